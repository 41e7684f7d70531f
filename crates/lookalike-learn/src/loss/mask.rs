//! Which candidates are no negatives of a query.
//!
//! What is left out is kept as a list a query: a query leaves out its own entry of a bank of a million, so a table of queries by
//! candidates would hold a million zeros beside it.

use std::sync::Arc;

use crate::burn::tensor::IndexingUpdateOp;
use crate::engine::{Device, Int, Tensor, TensorData, from_host};

/// The candidates that are no negatives of a query, for each query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    /// Shared: the mask goes with every copy of the similarities.
    queries: Arc<Vec<Vec<u32>>>,
}

impl Mask {
    /// One list of candidates a query; `None` where nothing is left out.
    pub fn new(mut queries: Vec<Vec<u32>>) -> Option<Self> {
        for candidates in &mut queries {
            candidates.sort_unstable();
            candidates.dedup();
        }
        queries.iter().any(|candidates| !candidates.is_empty()).then(|| Self { queries: Arc::new(queries) })
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
    pub fn lower(&self, logits: Tensor<2>, by: f32) -> Tensor<2> {
        let (queries, device) = (self.queries.len(), logits.device());
        let most = self.queries.iter().map(Vec::len).max().unwrap_or(0);
        // Shorter lists are filled up with the first candidate, from which nothing is subtracted.
        let (mut columns, mut values) = (vec![0_i64; queries * most], vec![0.0; queries * most]);
        let rows = columns.chunks_exact_mut(most.max(1)).zip(values.chunks_exact_mut(most.max(1)));
        for ((columns, values), candidates) in rows.zip(&*self.queries) {
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
        for (candidates, more) in Arc::make_mut(&mut self.queries).iter_mut().zip(more) {
            candidates.extend(more);
        }
        self
    }
}
