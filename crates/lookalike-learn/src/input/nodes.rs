//! The nodes of one graph as an input: each is encoded among its neighbours.

use std::sync::Arc;

use lookalike_kernels::sparse::Csr;

use super::{Input, Instances};
use crate::error::LearnError;

/// A sub-graph, one node a row.
#[derive(Debug, Clone)]
pub struct NodeInput {
    /// What the nodes are multiplied by, a normalised adjacency or a diffusion, n×n.
    pub matrix: Arc<Csr>,
    /// What describes them, n×d.
    pub features: Arc<Csr>,
}

impl Instances for NodeInput {
    fn what(&self) -> &'static str {
        "nodes of one graph"
    }

    fn count(&self) -> usize {
        self.matrix.len()
    }

    /// The nodes among themselves: their other neighbours are left out.
    fn select(&self, rows: &[u32]) -> Input {
        Input::new(Self {
            matrix: Arc::new(self.matrix.induced(rows)),
            features: Arc::new(self.features.chosen(rows)),
        })
    }

    fn join(&self, inputs: &[&Input]) -> Result<Input, LearnError> {
        let parts: Vec<&Self> = Input::all(inputs)?;
        let joined = |part: fn(&Self) -> &Csr| {
            let rows = parts.iter().map(|input| part(input));
            Csr::block_diagonal(rows).map_err(|error| LearnError::Input(error.to_string()))
        };
        let matrix = Arc::new(joined(|input| &input.matrix)?);
        let rows = parts.iter().flat_map(|input| {
            let features = &input.features;
            (0..features.len()).map(|row| features.row_entries(row).collect::<Vec<_>>())
        });
        let width = self.features.width();
        let features = Csr::from_rows(rows, width).map_err(|error| LearnError::Input(error.to_string()))?;
        Ok(Input::new(Self { matrix, features: Arc::new(features) }))
    }

    fn is_divisible(&self) -> bool {
        false
    }
}
