//! Batches of graphs: views of each to contrast, or the graphs themselves to evaluate.

use super::augment::{GraphAugmentation, Variant, plain};
use super::batch::{Graph, GraphBatch};
use super::features::Features;
use super::graph_set::GraphSet;
use crate::error::DataError;
use crate::loader::{BatchRequest, BatchSource};
use crate::views::ViewBatch;
use lookalike_base::Seed;
use std::sync::Arc;

/// A set with the features of its nodes, from which batches are made.
#[derive(Debug, Clone)]
pub struct DescribedGraphs {
    pub(super) set: Arc<GraphSet>,
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

/// Augmented views of each graph: two to contrast, or one.
///
/// View v of an instance is drawn from the stream (`augment`, epoch, step, 2 · instance + v): it depends on
/// no other instance of the batch, on no thread, and on nothing before.
#[derive(Debug, Clone)]
pub struct GraphViews {
    graphs: DescribedGraphs,
    views: Vec<GraphAugmentation>,
    seed: Seed,
}

impl GraphViews {
    /// Views of `graphs`, one by each augmentation. The published GraphCL contrasts each graph, not augmented,
    /// with one view.
    pub fn new(graphs: DescribedGraphs, views: impl Into<Vec<GraphAugmentation>>, seed: Seed) -> Self {
        Self { graphs, views: views.into(), seed }
    }
}

impl BatchSource for GraphViews {
    type Batch = ViewBatch<GraphBatch>;

    fn batch(&self, request: &BatchRequest) -> Result<Self::Batch, DataError> {
        let views = self.views.iter().zip(0..).map(|(augment, view)| {
            let graph = |instance: &u32| {
                let address = 2 * u64::from(*instance) + view;
                let mut stream = self.seed.stream("augment", request.epoch, request.step, address);
                augment.apply(&self.graphs.graph(*instance)?, &mut stream)
            };
            GraphBatch::of(&request.instances.iter().map(graph).collect::<Result<Vec<_>, _>>()?)
        });
        let views = views.collect::<Result<Vec<_>, DataError>>()?;
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
    /// Batches of `graphs` for an encoder that was trained after `variant`.
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
