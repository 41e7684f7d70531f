//! The nodes of one graph: all are learned from without labels, those to train on teach a linear probe, those to test on are
//! scored, as MVGRL is on citation graphs.

use std::path::Path;
use std::sync::Arc;

use lookalike_base::progress::{Cancellation, ProgressDisplay, Silent};
use lookalike_base::{Matrix, Watch};
use lookalike_data::graph::{NodeBatch, NodeGraph, NodeSet, Subgraphs, planetoid};
use lookalike_data::{DataError, Split};
use lookalike_metrics::linear_probe;

use super::{Baselines, Domain, Evaluation, EvaluationScope, Experiment, Part, SharedBatchSource};
use crate::engine::Device;
use crate::error::LearnError;
use crate::evaluate::scores::{Labels, Score};
use crate::evaluate::{BatchScores, Geometry};
use crate::method::{MvgrlNodes, build};
use crate::recipe::ValidRecipe;

/// A graph with classes of nodes, and what the encoders see of it.
pub struct Nodes {
    set: NodeSet,
    graph: Arc<NodeGraph>,
}

/// Scores on nodes, and what they stand beside.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct NodeEvaluation {
    /// Accuracy of a linear probe on the nodes to test; absent where not asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linear: Option<Score>,
    /// The learning rate that it chose.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linear_rate: Option<f32>,
    /// The same of the encoders before their first step; absent where not asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linear_untrained: Option<Score>,
    /// The same of the features, which see no edges; absent where not asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linear_features: Option<Score>,
    /// How the nodes lie.
    #[serde(flatten)]
    pub geometry: Geometry,
    /// The last epoch's batches.
    #[serde(flatten)]
    pub batches: BatchScores,
    /// What was classified.
    pub layer: &'static str,
    /// Nodes that the probe learned from.
    pub train_nodes: usize,
    /// Nodes that were scored.
    pub test_nodes: usize,
}

impl Nodes {
    /// Reads the graph and diffuses it, as `display` shows; the second value tells what a user should know.
    ///
    /// # Errors
    /// [`LearnError::Data`] where files are missing or wrong, a part of the split is empty, or the graph cannot be diffused.
    pub fn open(
        recipe: &ValidRecipe,
        display: &dyn ProgressDisplay,
    ) -> Result<(Self, Vec<String>), LearnError> {
        let options = recipe.recipe();
        let root = options.data.root.as_deref().unwrap_or(Path::new("."));
        let (set, warnings) = planetoid::open(&options.data.name, root)?;
        for (part, nodes) in [("train on", &set.train), ("test", &set.test)] {
            if nodes.is_empty() {
                let problem = format!("the split of {} has no nodes to {part}", set.name);
                return Err(DataError::Graph { problem }.into());
            }
        }
        let progress = display.start(set.features.len() as u64, "diffusing");
        let graph = NodeGraph::of(&set, &options.diffusion(), &*progress);
        progress.finish();
        let graph = graph?;
        Ok((Self { set, graph: Arc::new(graph) }, warnings))
    }

    /// The graph with its classes and its split.
    pub fn set(&self) -> &NodeSet {
        &self.set
    }

    fn source(&self, recipe: &ValidRecipe) -> SharedBatchSource<NodeBatch> {
        Arc::new(Subgraphs::new(self.graph.clone(), recipe.seed()))
    }

    /// The rows of `nodes` that have a class, and these.
    fn labelled(&self, rows: &Matrix, nodes: &[u32]) -> Result<(Matrix, Vec<u32>), LearnError> {
        let (mut values, mut labels) = (Vec::new(), Vec::new());
        for node in nodes {
            if let Some(label) = self.set.labels[*node as usize] {
                values.extend_from_slice(rows.row(*node as usize));
                labels.push(label);
            }
        }
        Ok((Matrix::new(values, rows.columns())?, labels))
    }

    /// How many of `nodes` have a class.
    fn with_class(&self, nodes: &[u32]) -> usize {
        nodes.iter().filter(|node| self.set.labels[**node as usize].is_some()).count()
    }

    /// Accuracy and rate of a linear probe on `rows`, one a node.
    fn probe(
        &self,
        rows: &Matrix,
        recipe: &ValidRecipe,
        watch: Watch<'_>,
    ) -> Result<(Score, Option<f32>), LearnError> {
        let options = recipe.recipe().evaluate.probe(recipe.seed());
        let ((train, learned), (test, scored)) =
            (self.labelled(rows, &self.set.train)?, self.labelled(rows, &self.set.test)?);
        let classes = self.set.classes;
        let result = linear_probe(train.rows(), &learned, test.rows(), &scored, classes, &options, watch);
        let rate = result.as_ref().ok().map(|probe| probe.rate);
        Ok((Score::of(result.map(|probe| probe.accuracy))?, rate))
    }
}

impl Domain for Nodes {
    type Method = MvgrlNodes;
    type Network = MvgrlNodes;

    fn name(&self) -> String {
        self.set.name.clone()
    }

    fn instances(&self) -> usize {
        self.graph.nodes()
    }

    fn note(&self, recipe: &ValidRecipe) -> Option<String> {
        Some(super::graphs::lost_mass(recipe, self.graph.lost, self.graph.max_lost))
    }

    fn fingerprint(&self) -> Result<String, LearnError> {
        Ok(format!("{} nodes, {}", self.graph.nodes(), self.set.fingerprint()))
    }

    /// Empty where a node has no class.
    fn labels(&self) -> Labels {
        let labels: Option<Vec<u32>> = self.set.labels.iter().copied().collect();
        Labels { labels: labels.unwrap_or_default(), classes: self.set.classes }
    }

    fn method(&self, recipe: &ValidRecipe, device: &Device) -> Result<MvgrlNodes, LearnError> {
        Ok(build::mvgrl_nodes(recipe, self.graph.features.width(), device))
    }

    fn untrained(&self, recipe: &ValidRecipe, device: &Device) -> Result<MvgrlNodes, LearnError> {
        self.method(recipe, device)
    }

    fn network(method: &MvgrlNodes) -> &MvgrlNodes {
        method
    }

    fn batches(&self, recipe: &ValidRecipe) -> Result<SharedBatchSource<NodeBatch>, LearnError> {
        Ok(self.source(recipe))
    }

    fn part(&self, split: Split, recipe: &ValidRecipe) -> Result<Part<NodeBatch>, LearnError> {
        if split == Split::Test {
            let reason = "the nodes of a graph are embedded together: those to test are rows of the whole";
            return Err(LearnError::Evaluation(reason.to_owned()));
        }
        Ok(Part { source: self.source(recipe), instances: self.graph.nodes(), name: self.name() })
    }

    /// All nodes: each is encoded among its neighbours.
    fn embedded_together(&self, _: &ValidRecipe) -> usize {
        self.graph.nodes()
    }

    fn evaluate(
        experiment: &Experiment<Self>,
        network: &MvgrlNodes,
        plan: &[Vec<u32>],
        scope: EvaluationScope,
        cancellation: &Cancellation,
    ) -> Result<Evaluation, LearnError> {
        let (recipe, data) = (&experiment.recipe, &experiment.data);
        let embed = |network: &mut MvgrlNodes| experiment.embed(network, Split::Train, cancellation);
        let embedded = embed(&mut network.clone())?;
        let mut rows = Vec::new();
        if scope.probe {
            rows.push(embedded.representation.clone());
            if scope.baselines != Baselines::None {
                rows.push(embed(&mut experiment.network()?)?.representation);
            }
            if scope.baselines == Baselines::All {
                rows.push(data.set.features.clone());
            }
        }
        let epochs = rows.len() as u64 * recipe.recipe().evaluate.probe(recipe.seed()).total_epochs();
        let progress = if rows.is_empty() {
            Box::new(Silent)
        } else {
            experiment.display.start(epochs, "linear probes")
        };
        let watch = Watch { progress: &*progress, cancellation };
        let mut scores = Vec::new();
        for rows in rows {
            scores.push(data.probe(&rows, recipe, watch)?);
        }
        progress.finish();
        let mut scores = scores.into_iter();
        let (linear, linear_rate) = scores.next().map_or((None, None), |(score, rate)| (Some(score), rate));
        let mut beside = scores.map(|(score, _)| score);
        Ok(Evaluation::Nodes(Box::new(NodeEvaluation {
            linear,
            linear_rate,
            linear_untrained: beside.next(),
            linear_features: beside.next(),
            geometry: Geometry::of(embedded.representation.rows())?,
            batches: BatchScores::of(plan, embedded.projection.rows(), &data.labels())?,
            layer: "representation (sum of both views)",
            train_nodes: data.with_class(&data.set.train),
            test_nodes: data.with_class(&data.set.test),
        })))
    }
}
