//! Whose candidate is whose, and which candidates are no negatives of a query.
//!
//! What is left out is kept as a list a query: a query leaves out its own entry of a bank of a million, so a table of queries by
//! candidates would hold a million zeros beside it.

use std::sync::Arc;

use crate::burn::tensor::IndexingUpdateOp;

use crate::engine::{Device, Int, Tensor, TensorData, from_host};

/// Whose candidate each row is.
#[derive(Debug, Clone)]
pub enum InstanceIds {
    /// Row i is instance i's, of so many: a memory bank.
    Rows(usize),
    /// One instance a row, or [`NO_INSTANCE`](super::NO_INSTANCE).
    Listed(Arc<Vec<u32>>),
}

impl InstanceIds {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        match self {
            Self::Rows(rows) => *rows,
            Self::Listed(ids) => ids.len(),
        }
    }

    /// Whose candidate `row` is.
    ///
    /// # Panics
    /// Where there is no such row.
    pub fn of(&self, row: usize) -> u32 {
        match self {
            Self::Rows(_) => row as u32,
            Self::Listed(ids) => ids[row],
        }
    }
}

impl From<Vec<u32>> for InstanceIds {
    fn from(ids: Vec<u32>) -> Self {
        Self::Listed(Arc::new(ids))
    }
}

impl FromIterator<u32> for InstanceIds {
    fn from_iter<I: IntoIterator<Item = u32>>(ids: I) -> Self {
        ids.into_iter().collect::<Vec<u32>>().into()
    }
}

/// The candidates that are no negatives of a query, for each query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excluded {
    queries: Vec<Vec<u32>>,
}

impl Excluded {
    /// One list of candidates a query; `None` where nothing is left out.
    pub fn new(mut queries: Vec<Vec<u32>>) -> Option<Self> {
        for candidates in &mut queries {
            candidates.sort_unstable();
            candidates.dedup();
        }
        queries.iter().any(|candidates| !candidates.is_empty()).then_some(Self { queries })
    }

    /// What `query` leaves out, ascending.
    pub fn of(&self, query: usize) -> &[u32] {
        &self.queries[query]
    }

    /// How many each query leaves out.
    ///
    /// # Shapes
    /// `[Q, 1]`
    pub(crate) fn counts(&self, device: &Device) -> Tensor<2> {
        let counts = self.queries.iter().map(|candidates| candidates.len() as f32).collect();
        from_host(counts, [self.queries.len(), 1], device)
    }

    /// `logits` with `by` subtracted from those of the candidates that are left out; gradient passes as it is.
    ///
    /// # Shapes
    /// `[Q, K]` → the same.
    pub(crate) fn lower(&self, logits: Tensor<2>, by: f32) -> Tensor<2> {
        let (queries, device) = (self.queries.len(), logits.device());
        let most = self.queries.iter().map(Vec::len).max().unwrap_or(0);
        // Shorter lists are filled up with the first candidate, from which nothing is subtracted.
        let (mut columns, mut values) = (vec![0_i64; queries * most], vec![0.0; queries * most]);
        let rows = columns.chunks_exact_mut(most.max(1)).zip(values.chunks_exact_mut(most.max(1)));
        for ((columns, values), candidates) in rows.zip(&self.queries) {
            for ((column, value), candidate) in columns.iter_mut().zip(values).zip(candidates) {
                (*column, *value) = (i64::from(*candidate), -by);
            }
        }
        let columns =
            Tensor::<2, Int>::from_data(TensorData::new(columns, [queries, most]), &device.clone().inner());
        let values = from_host(values, [queries, most], &device);
        logits.scatter(1, columns, values, IndexingUpdateOp::Add)
    }

    /// What is left out with that of `more` added, of as many queries.
    #[must_use]
    pub(crate) fn and(mut self, more: Vec<Vec<u32>>) -> Self {
        for (candidates, more) in self.queries.iter_mut().zip(more) {
            candidates.extend(more);
        }
        self
    }
}
