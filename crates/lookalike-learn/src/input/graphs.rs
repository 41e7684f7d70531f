//! Graphs as an input.

use lookalike_data::graph::GraphBatch;

use super::{Input, Instances};
use crate::error::LearnError;

impl Instances for GraphBatch {
    fn what(&self) -> &'static str {
        "graphs"
    }

    fn count(&self) -> usize {
        self.len()
    }

    fn select(&self, rows: &[u32]) -> Input {
        Input::new(GraphBatch::select(self, rows))
    }

    fn join(&self, inputs: &[&Input]) -> Result<Input, LearnError> {
        Ok(Input::new(Self::joined(&Input::all(inputs)?)?))
    }
}
