//! One graph whose nodes are the instances: batches are subgraphs, each with its diffusion and its corruption (Hassani and
//! Khasahmadi 2020, *Contrastive Multi-View Representation Learning on Graphs*, <https://arxiv.org/abs/2006.05582>, section 3.1
//! and `node/train.py` of the published code).

use std::sync::Arc;

use lookalike_base::{Seed, Watch};
use lookalike_kernels::sparse::Csr;

use super::adjacency::normalized;
use super::diffusion::{DiffusionOptions, diffuse};
use super::node_set::NodeSet;
use crate::error::DataError;
use crate::loader::{BatchRequest, BatchSource};

/// A graph as the encoders see it.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeGraph {
    /// Its edges as Ã = D^(−1/2) (A + I) D^(−1/2), n×n.
    pub normalized: Csr,
    /// Its diffusion, n×n.
    pub diffusion: Csr,
    /// n×d, sparse as words of documents are; each row sums to 1, or is 0.
    pub features: Csr,
    /// Share of the mass that is left out of the diffusion: the mean over nodes.
    pub lost: f64,
    /// The greatest share left out of any node's mass.
    pub max_lost: f64,
}

impl NodeGraph {
    /// The graph of `set` with its diffusion. `watch` counts nodes.
    ///
    /// # Errors
    /// As [`diffuse`] has.
    pub fn of(set: &NodeSet, options: &DiffusionOptions, watch: Watch<'_>) -> Result<Self, DataError> {
        let diffused = diffuse(&set.edges, options, watch)?;
        let rows = (0..set.features.len()).map(|node| {
            let row = set.features.row(node);
            let sum: f32 = row.iter().sum();
            let share = move |value: f32| if sum == 0.0 { 0.0 } else { value / sum };
            let entries = row.iter().zip(0_u32..).filter(|(value, _)| **value != 0.0);
            entries.map(move |(value, column)| (column, share(*value)))
        });
        Ok(Self {
            normalized: normalized(&set.edges)?,
            features: Csr::from_rows(rows, set.features.columns()).map_err(DataError::graph)?,
            diffusion: diffused.matrix,
            lost: diffused.lost,
            max_lost: diffused.max_lost,
        })
    }

    /// Number of nodes, n.
    pub fn nodes(&self) -> usize {
        self.normalized.len()
    }
}

/// The subgraph of some nodes.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeBatch {
    /// The nodes, in the order of the plan.
    pub instances: Vec<u32>,
    /// Ã among them, as it is in the whole graph, b×b.
    pub normalized: Csr,
    /// The diffusion among them, as it is in the whole graph, b×b.
    pub diffusion: Csr,
    /// What describes them, b×d.
    pub features: Csr,
    /// The same rows in another order, so that nodes stand where others belong (Veličković et al. 2019, *Deep Graph Infomax*,
    /// <https://arxiv.org/abs/1809.10341>, section 3.4); in the order of a number of the stream
    /// (`corruption`, epoch, step, node) each.
    pub corrupted: Csr,
}

/// Batches of one graph's nodes: subgraphs.
#[derive(Debug, Clone)]
pub struct Subgraphs {
    graph: Arc<NodeGraph>,
    seed: Seed,
}

impl Subgraphs {
    /// Subgraphs of `graph`, with features shuffled by `seed`.
    pub fn new(graph: Arc<NodeGraph>, seed: Seed) -> Self {
        Self { graph, seed }
    }

    /// The random number of a node by which the features of a batch are put into another order.
    fn key(&self, request: &BatchRequest, node: u32) -> u64 {
        self.seed.stream("corruption", request.epoch, request.step, u64::from(node)).bits()
    }
}

impl BatchSource for Subgraphs {
    type Batch = NodeBatch;

    fn batch(&self, request: &BatchRequest) -> Result<NodeBatch, DataError> {
        let (graph, nodes) = (&self.graph, &request.instances);
        let len = graph.nodes();
        if let Some(index) = nodes.iter().copied().find(|node| *node as usize >= len) {
            return Err(DataError::Index { dataset: "the graph".to_owned(), index, len });
        }
        let features = graph.features.chosen(nodes);
        let mut keyed: Vec<(u64, u32)> = nodes.iter().map(|node| self.key(request, *node)).zip(0..).collect();
        keyed.sort_unstable();
        let order: Vec<u32> = keyed.into_iter().map(|(_, row)| row).collect();
        let corrupted = features.chosen(&order);
        Ok(NodeBatch {
            instances: nodes.clone(),
            normalized: graph.normalized.induced(nodes),
            diffusion: graph.diffusion.induced(nodes),
            features,
            corrupted,
        })
    }
}
