//! Instances that are pairs: rows that hold a query and its document side by side.
//!
//! Of a query the in-batch negatives are the documents of the others. What is hard about instance j for instance i is therefore the
//! similarity of query i to document j, qᵢ·dⱼ, and not that of the two rows. [`PairRows::Mean`] comes close to it with rows of one half
//! the width: (qᵢ + dᵢ)·(qⱼ + dⱼ) holds both directions beside qᵢ·qⱼ and dᵢ·dⱼ, which are alike where topics are.
//! [`PairRows::Cross`] looks at nothing else.

use lookalike_base::RowSource;
use lookalike_kernels::{
    Circulant, KernelError, RowReader, Scoring, Stop, TopK, circulant_top_k, crossed_top_k, dot, normalize,
};
use lookalike_metrics::PairSum;
use serde::{Deserialize, Serialize};

use crate::error::SamplingError;

/// How pairs of a query and a document are compared, whose vectors lie side by side in a row of 2d columns.
///
/// Each half is scaled to unit length; a half of zeros stays as it is, and is similar to nobody.
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PairRows {
    /// Two pairs are as similar as their means (q + d)/2, scaled to unit length.
    #[cfg_attr(feature = "clap", value(help = "By their means (q + d) / 2"))]
    Mean,
    /// Two pairs are as similar as the nearer of query and document across them: max(qᵢ·dⱼ, qⱼ·dᵢ).
    #[cfg_attr(feature = "clap", value(help = "By query and document across them, the nearer of the two"))]
    Cross,
}

/// Rows in the form in which they are compared: of unit length, pairs by halves.
#[derive(Clone, Copy)]
pub(crate) struct UnitRows<'a> {
    pub(crate) rows: &'a dyn RowSource,
    pub(crate) pairs: Option<PairRows>,
}

impl<'a> UnitRows<'a> {
    /// # Errors
    /// [`SamplingError::OddColumns`] for pairs whose rows have no two halves.
    pub(crate) fn new(rows: &'a dyn RowSource, pairs: Option<PairRows>) -> Result<Self, SamplingError> {
        if pairs.is_some() {
            halves(rows.columns())?;
        }
        Ok(Self { rows, pairs })
    }

    /// Columns of a row as it is compared.
    pub(crate) fn columns(&self) -> usize {
        match self.pairs {
            None | Some(PairRows::Cross) => self.rows.columns(),
            Some(PairRows::Mean) => self.rows.columns() / 2,
        }
    }

    /// Writes row `index` as it is compared; whether it is finite.
    pub(crate) fn read(&self, index: usize, into: &mut [f32]) -> bool {
        match self.pairs {
            None => {
                self.rows.read_row(index, into);
                normalize(into)
            }
            Some(PairRows::Cross) => {
                self.rows.read_row(index, into);
                normalize_halves(into)
            }
            Some(PairRows::Mean) => {
                let mut row = vec![0.0; self.rows.columns()];
                self.rows.read_row(index, &mut row);
                let finite = normalize_halves(&mut row);
                let (query, document) = row.split_at(into.len());
                for (mean, (q, d)) in into.iter_mut().zip(query.iter().zip(document)) {
                    *mean = 0.5 * (q + d);
                }
                finite && normalize(into)
            }
        }
    }

    /// How similar two rows are that were [read](UnitRows::read).
    pub(crate) fn similarity(&self, a: &[f32], b: &[f32]) -> f32 {
        match self.pairs {
            None | Some(PairRows::Mean) => dot(a, b),
            Some(PairRows::Cross) => {
                let ((query, document), (other_query, other_document)) =
                    (a.split_at(a.len() / 2), b.split_at(b.len() / 2));
                dot(query, other_document).max(dot(document, other_query))
            }
        }
    }

    /// The most similar candidates of each row; `read` gives them by their numbers.
    pub(crate) fn top_k(
        &self,
        circulant: &Circulant,
        order: &[u32],
        k: usize,
        scoring: Scoring,
        read: &impl RowReader,
        stop: Stop<'_>,
    ) -> Result<TopK, KernelError> {
        match self.pairs {
            None | Some(PairRows::Mean) => {
                circulant_top_k(circulant, order, self.columns(), k, scoring, read, stop)
            }
            Some(PairRows::Cross) => crossed_top_k(circulant, order, self.columns(), k, scoring, read, stop),
        }
    }
}

/// The similarities of some rows, of pairs those of queries to the documents of others, in one sum.
pub(crate) fn pair_sum(rows: impl RowSource, pairs: bool, chosen: impl Iterator<Item = usize>) -> PairSum {
    if pairs { PairSum::crossed(rows, chosen) } else { PairSum::of(rows, chosen) }
}

/// The columns of a query, of rows of `columns` that hold it and its document.
///
/// # Errors
/// [`SamplingError::OddColumns`] where there are no two halves.
pub(crate) fn halves(columns: usize) -> Result<usize, SamplingError> {
    if columns.is_multiple_of(2) { Ok(columns / 2) } else { Err(SamplingError::OddColumns { columns }) }
}

/// Scales both halves of `row` to unit length; whether all of it is finite.
pub(crate) fn normalize_halves(row: &mut [f32]) -> bool {
    let (query, document) = row.split_at_mut(row.len() / 2);
    normalize(query) && normalize(document)
}
