//! What makes one vector of an instance of those of its parts: of a graph of its nodes (Xu et al. 2019, *How Powerful are Graph
//! Neural Networks?*, <https://arxiv.org/abs/1810.00826>, equation 4.2), of a text of its tokens.

use std::sync::Arc;

use lookalike_kernels::sparse::segment::Scale;
use serde::{Deserialize, Serialize};

use super::Parts;
use crate::engine::Tensor;
use crate::error::LearnError;
use crate::op::{maximum, pool, select_rows};

/// Sum, mean or maximum over the parts of an instance; zeros for an instance without parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// The sum, which tells multisets apart; what GraphCL and MVGRL take.
    #[default]
    Sum,
    /// The mean.
    Mean,
    /// The maximum of each column.
    Max,
}

impl Pooling {
    /// # Shapes
    /// `[parts, d]` → `[instances, d]`.
    pub fn forward(self, Parts { values, offsets }: Parts) -> Tensor<2> {
        match self {
            Self::Sum => pool(values, &offsets, Scale::Sum),
            Self::Mean => pool(values, &offsets, Scale::Mean),
            Self::Max => maximum(values, &offsets),
        }
    }
}

/// The first part of each instance, as the class token of a transformer.
///
/// # Shapes
/// `[parts, d]` → `[instances, d]`.
///
/// # Errors
/// [`LearnError::Input`] where an instance has no part.
pub(crate) fn first(Parts { values, offsets }: &Parts) -> Result<Tensor<2>, LearnError> {
    if offsets.windows(2).any(|ends| ends[0] == ends[1]) {
        return Err(LearnError::Input("an instance without tokens has no first one".to_owned()));
    }
    let first: Vec<u32> = offsets.iter().map(|offset| *offset as u32).collect();
    Ok(select_rows(values.clone(), &first[..offsets.len() - 1]))
}

/// All parts but the first `counts` of each instance.
pub(crate) fn without_first(parts: Parts, counts: &[u32]) -> Parts {
    if counts.iter().all(|count| *count == 0) {
        return parts;
    }
    let Parts { values, offsets } = parts;
    let (mut rows, mut kept) = (Vec::new(), vec![0]);
    for (ends, count) in offsets.windows(2).zip(counts) {
        rows.extend((ends[0] as u32..ends[1] as u32).skip(*count as usize));
        kept.push(rows.len());
    }
    Parts { values: select_rows(values, &rows), offsets: Arc::from(kept) }
}
