//! What every kind of input to an encoder can do: be counted and chosen from.

use lookalike_base::Matrix;
use lookalike_data::ImageBatch;
use lookalike_data::graph::GraphBatch;

use super::tokens::TokenLists;

/// Inputs to an encoder, one a row.
pub trait Inputs: Clone + Send + 'static {
    /// How many.
    fn count(&self) -> usize;

    /// Those that `rows` names, in that order.
    ///
    /// # Panics
    /// Where there is no such row.
    #[must_use]
    fn select(&self, rows: &[u32]) -> Self;
}

impl Inputs for Matrix {
    fn count(&self) -> usize {
        self.len()
    }

    fn select(&self, rows: &[u32]) -> Self {
        let values = rows.iter().flat_map(|row| self.row(*row as usize).iter().copied()).collect();
        Self::new(values, self.columns()).unwrap_or_else(|error| unreachable!("rows of a matrix: {error}"))
    }
}

impl Inputs for TokenLists {
    fn count(&self) -> usize {
        self.len()
    }

    fn select(&self, rows: &[u32]) -> Self {
        rows.iter().map(|row| self[*row as usize].clone()).collect()
    }
}

impl Inputs for ImageBatch {
    fn count(&self) -> usize {
        self.shape[0]
    }

    fn select(&self, rows: &[u32]) -> Self {
        let [_, channels, height, width] = self.shape;
        let size = channels * height * width;
        let mut values = Vec::with_capacity(rows.len() * size);
        for row in rows {
            values.extend_from_slice(&self.values[*row as usize * size..][..size]);
        }
        Self { values, shape: [rows.len(), channels, height, width] }
    }
}

impl Inputs for GraphBatch {
    fn count(&self) -> usize {
        self.len()
    }

    fn select(&self, rows: &[u32]) -> Self {
        GraphBatch::select(self, rows)
    }
}
