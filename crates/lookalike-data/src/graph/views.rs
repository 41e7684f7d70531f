//! Batches of graphs: two views of each to contrast, the graphs themselves to evaluate, or graphs with their diffusions.

use super::augment::{GraphAugment, Variant, plain};
use super::batch::{Graph, GraphBatch, impossible};
use super::diffusion::Diffusions;
use super::features::Features;
use super::graph_set::GraphSet;
use crate::error::DataError;
use crate::image::views::{ViewBatch, Views};
use crate::loader::{BatchRequest, BatchSource};
use lookalike_base::Seed;
use lookalike_kernels::sparse::Csr;
use std::sync::Arc;

/// A set with the description of its nodes: what every batch is made from.
#[derive(Debug, Clone)]
pub struct DescribedGraphs {
    set: Arc<GraphSet>,
    features: Features,
}

impl DescribedGraphs {
    /// The graphs of `set`, described by `features`, which were checked against it.
    pub fn new(set: Arc<GraphSet>, features: Features) -> Self {
        Self { set, features }
    }

    /// Graph `index`.
    ///
    /// # Errors
    /// [`DataError::Index`] where there is no such graph.
    pub fn graph(&self, index: u32) -> Result<Graph, DataError> {
        Graph::of(&self.set, &self.features, index)
    }
}

/// Two views of each graph.
///
/// View v of an instance is drawn from the stream (`augment`, epoch, step, 2 · instance + v): it depends on no other
/// instance of the batch, on no thread, and on nothing before.
#[derive(Debug, Clone)]
pub struct GraphViews {
    graphs: DescribedGraphs,
    views: [GraphAugment; 2],
    seed: Seed,
}

impl GraphViews {
    /// Views of `graphs` by the two augmentations. The published GraphCL contrasts each graph, not augmented, with one view.
    pub fn new(graphs: DescribedGraphs, views: [GraphAugment; 2], seed: Seed) -> Self {
        Self { graphs, views, seed }
    }
}

impl BatchSource for GraphViews {
    type Batch = ViewBatch<GraphBatch>;

    fn batch(&self, request: &BatchRequest) -> Result<Self::Batch, DataError> {
        let mut graphs = Vec::with_capacity(2 * request.instances.len());
        for (view, augment) in self.views.iter().enumerate() {
            for instance in &request.instances {
                let address = 2 * u64::from(*instance) + view as u64;
                let mut stream = self.seed.stream("augment", request.epoch, request.step, address);
                graphs.push(augment.apply(&self.graphs.graph(*instance)?, &mut stream)?);
            }
        }
        let views = Views::Stacked(GraphBatch::of(&graphs)?);
        Ok(ViewBatch { instances: request.instances.clone(), views })
    }
}

/// The graphs themselves.
#[derive(Debug, Clone)]
pub struct PlainGraphs {
    graphs: DescribedGraphs,
    variant: Variant,
}

impl PlainGraphs {
    /// Batches of `graphs` as an encoder that was trained on `variant` is to see them.
    pub fn new(graphs: DescribedGraphs, variant: Variant) -> Self {
        Self { graphs, variant }
    }
}

impl BatchSource for PlainGraphs {
    type Batch = GraphBatch;

    fn batch(&self, request: &BatchRequest) -> Result<Self::Batch, DataError> {
        let graph = |instance: &u32| plain(self.graphs.graph(*instance)?, self.variant);
        let graphs = request.instances.iter().map(graph).collect::<Result<Vec<_>, _>>()?;
        GraphBatch::of(&graphs)
    }
}

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
    /// Batches of `graphs`, of the same set of which `diffusions` are.
    ///
    /// # Errors
    /// [`DataError::Graph`] where there is not one diffusion a graph.
    pub fn new(graphs: DescribedGraphs, diffusions: Arc<Diffusions>) -> Result<Self, DataError> {
        let (found, expected) = (diffusions.matrices.len(), graphs.set.len());
        if found != expected {
            return Err(DataError::Graph {
                problem: format!("{found} diffusions are not one for each of {expected} graphs"),
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
        let diffusion = Csr::block_diagonal(matrices).map_err(impossible)?;
        let normalized = normalized(&graphs.edges)?;
        Ok(DiffusedBatch { instances: request.instances.clone(), graphs, normalized, diffusion })
    }
}

/// Ã = D^(−1/2) (A + I) D^(−1/2), D being the degrees of A + I (Kipf and Welling 2017, <https://arxiv.org/abs/1609.02907>,
/// section 2.2), for edges that go both ways.
///
/// # Errors
/// [`DataError::Graph`] where `edges` are not square.
pub fn normalized(edges: &Csr) -> Result<Csr, DataError> {
    let root = |node: usize| {
        let own = edges.row(node).binary_search(&(node as u32)).is_err();
        ((edges.row(node).len() + usize::from(own)) as f64).sqrt()
    };
    if edges.len() != edges.width() {
        let problem = format!("edges of {} nodes to {} are no graph", edges.len(), edges.width());
        return Err(DataError::Graph { problem });
    }
    let roots: Vec<f64> = (0..edges.len()).map(root).collect();
    let rows = (0..edges.len()).map(|node| {
        let roots = &roots;
        let entry = move |to: u32| (to, (1.0 / (roots[node] * roots[to as usize])) as f32);
        edges.row(node).iter().copied().chain([node as u32]).map(entry)
    });
    Csr::from_rows(rows, edges.len()).map_err(impossible)
}
