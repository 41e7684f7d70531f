//! Batches of graphs with their diffusions: the two views of MVGRL.

use super::Diffusions;
use crate::error::DataError;
use crate::graph::adjacency::normalized;
use crate::graph::batch::GraphBatch;
use crate::graph::views::DescribedGraphs;
use crate::loader::{BatchRequest, BatchSource};
use lookalike_kernels::sparse::Csr;
use std::sync::Arc;

/// Graphs and their diffusions over the same nodes: the two views of MVGRL.
#[derive(Debug, Clone, PartialEq)]
pub struct DiffusedBatch {
    /// The instances, in the order of the plan.
    pub instances: Vec<u32>,
    /// The graphs.
    pub graphs: GraphBatch,
    /// Their edges as Ã = D^(−1/2) (A + I) D^(−1/2), n×n.
    pub normalized: Csr,
    /// Their diffusions, n×n.
    pub diffusion: Csr,
}

/// Batches of graphs with their diffusions.
#[derive(Debug, Clone)]
pub struct DiffusedGraphs {
    graphs: DescribedGraphs,
    diffusions: Arc<Diffusions>,
}

impl DiffusedGraphs {
    /// Batches of `graphs` with their `diffusions`, which were computed from the same set.
    ///
    /// # Errors
    /// [`DataError::Graph`] where there is not one diffusion a graph.
    pub fn new(graphs: DescribedGraphs, diffusions: Arc<Diffusions>) -> Result<Self, DataError> {
        let (found, expected) = (diffusions.matrices.len(), graphs.set.len());
        if found != expected {
            return Err(DataError::Graph {
                problem: format!("{found} diffusions for {expected} graphs; expected one a graph"),
            });
        }
        Ok(Self { graphs, diffusions })
    }
}

impl BatchSource for DiffusedGraphs {
    type Batch = DiffusedBatch;

    fn batch(&self, request: &BatchRequest) -> Result<Self::Batch, DataError> {
        let graphs = request.instances.iter().map(|instance| self.graphs.graph(*instance));
        let graphs = GraphBatch::of(&graphs.collect::<Result<Vec<_>, _>>()?)?;
        let matrices = request.instances.iter().map(|instance| &self.diffusions.matrices[*instance as usize]);
        let diffusion = Csr::block_diagonal(matrices).map_err(DataError::graph)?;
        let normalized = normalized(&graphs.edges)?;
        Ok(DiffusedBatch { instances: request.instances.clone(), graphs, normalized, diffusion })
    }
}
