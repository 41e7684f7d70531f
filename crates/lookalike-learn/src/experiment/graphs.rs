//! Graphs: one set, which is learned from without labels and cross-validated with them, as GraphCL and MVGRL are.

use std::path::Path;
use std::sync::Arc;

use lookalike_base::progress::{Cancellation, ProgressDisplay};
use lookalike_base::{Matrix, Watch};
use lookalike_data::graph::diffusion::EXACT_NODES;
use lookalike_data::graph::{
    self, DescribedGraphs, DiffusedBatch, DiffusedGraphs, Diffusions, FeatureRule, Features,
    GraphAugmentKind, GraphAugmentOptions, GraphBatch, GraphSet, GraphViews, PlainGraphs, Variant,
};
use lookalike_data::{Split, ViewBatch};
use lookalike_metrics::SvmKernel;

use super::{Baselines, Domain, Evaluation, EvaluationScope, Experiment, Part, SharedBatchSource};
use crate::encoder::gin::Gin;
use crate::engine::Device;
use crate::error::LearnError;
use crate::evaluate::scores::Labels;
use crate::evaluate::{Accuracy, BatchScores, CrossValidation, Embedder, Geometry};
use crate::method::build::{self, Parts};
use crate::method::{AnyMethod, Method, Mvgrl, Network};
use crate::module::{Module, has_buffers};
use crate::recipe::{MethodKind, ValidRecipe};

/// A set of graphs, and what a method makes batches of.
pub struct Graphs<M: GraphMethod> {
    set: Arc<GraphSet>,
    features: FeatureRule,
    described: DescribedGraphs,
    columns: usize,
    made: M::Made,
}

/// A method on graphs: what it is built from and what it reads.
pub trait GraphMethod: Method + Sized {
    /// What is evaluated and kept.
    type Network: Embedder + Module + Clone;
    /// What is made of the set once.
    type Made;

    /// What was classified, in words.
    const LAYER: &'static str;

    /// Makes it.
    ///
    /// # Errors
    /// [`LearnError::Data`] where it cannot be made of these graphs.
    fn make(
        set: &GraphSet,
        recipe: &ValidRecipe,
        display: &dyn ProgressDisplay,
    ) -> Result<Self::Made, LearnError>;

    /// What a user should know of it.
    fn note(made: &Self::Made, recipe: &ValidRecipe) -> Option<String>;

    /// The method before its first step.
    ///
    /// # Errors
    /// As [`build::build`].
    fn build(graphs: &Graphs<Self>, recipe: &ValidRecipe, device: &Device) -> Result<Self, LearnError>;

    /// What is kept, before the first step.
    ///
    /// # Errors
    /// As [`GraphMethod::build`].
    fn untrained(
        graphs: &Graphs<Self>,
        recipe: &ValidRecipe,
        device: &Device,
    ) -> Result<Self::Network, LearnError>;

    /// What is kept.
    fn kept(&self) -> &Self::Network;

    /// Batches to learn from.
    ///
    /// # Errors
    /// [`LearnError::Data`] where they cannot be made of these graphs.
    fn batches(
        graphs: &Graphs<Self>,
        recipe: &ValidRecipe,
    ) -> Result<SharedBatchSource<Self::Batch>, LearnError>;

    /// Batches to embed.
    ///
    /// # Errors
    /// As [`GraphMethod::batches`].
    fn plain(
        graphs: &Graphs<Self>,
        recipe: &ValidRecipe,
    ) -> Result<SharedBatchSource<<Self::Network as Embedder>::Input>, LearnError>;
}

/// What a user should know of the shares of mass that diffusions lost.
pub(super) fn lost_mass(recipe: &ValidRecipe, mean: f64, most: f64) -> String {
    format!(
        "diffusion: entries below {} are left out (graphs.diffusion.epsilon), {:.2} % of the mass, {:.2} % of a node's at most",
        recipe.recipe().diffusion().epsilon,
        100.0 * mean,
        100.0 * most
    )
}

fn gin(features: usize, recipe: &ValidRecipe, purpose: &'static str, device: &Device) -> Gin {
    let mut stream = recipe.seed().stream(purpose, 0, 0, 0);
    Gin::new(features, &recipe.recipe().encoder.gin(), &mut stream, device)
}

impl GraphMethod for AnyMethod<Gin> {
    type Network = Network<Gin>;
    type Made = ();

    const LAYER: &'static str = "representation (before the projection head)";

    fn make(_: &GraphSet, _: &ValidRecipe, _: &dyn ProgressDisplay) -> Result<(), LearnError> {
        Ok(())
    }

    fn note((): &(), _: &ValidRecipe) -> Option<String> {
        None
    }

    fn build(graphs: &Graphs<Self>, recipe: &ValidRecipe, device: &Device) -> Result<Self, LearnError> {
        let encoder = |purpose| gin(graphs.columns, recipe, purpose, device);
        let parts = Parts {
            encoder: encoder("encoder"),
            second: encoder("encoder of keys"),
            instances: graphs.set.len(),
            labels: graphs.set.labels().map(|labels| Arc::new(labels.to_vec())),
            device,
        };
        build::build(recipe, parts)
    }

    fn untrained(
        graphs: &Graphs<Self>,
        recipe: &ValidRecipe,
        device: &Device,
    ) -> Result<Network<Gin>, LearnError> {
        build::network(recipe, gin(graphs.columns, recipe, "encoder", device), device)
    }

    fn kept(&self) -> &Network<Gin> {
        self.network()
    }

    fn batches(
        graphs: &Graphs<Self>,
        recipe: &ValidRecipe,
    ) -> Result<SharedBatchSource<ViewBatch<GraphBatch>>, LearnError> {
        let options = recipe.recipe();
        let view = options.graph_augment()?;
        let first = match options.variant() {
            Variant::Paper => view.clone(),
            // The published code contrasts the graph itself with one view.
            variant @ Variant::Original => {
                GraphAugmentOptions::published(GraphAugmentKind::Nothing, variant).validate()?
            }
        };
        Ok(Arc::new(GraphViews::new(graphs.described.clone(), [first, view], recipe.seed())))
    }

    fn plain(
        graphs: &Graphs<Self>,
        recipe: &ValidRecipe,
    ) -> Result<SharedBatchSource<GraphBatch>, LearnError> {
        Ok(Arc::new(PlainGraphs::new(graphs.described.clone(), recipe.recipe().variant())))
    }
}

impl GraphMethod for Mvgrl {
    type Network = Self;
    type Made = Arc<Diffusions>;

    const LAYER: &'static str = "representation (sum of both views, behind the head of graphs)";

    fn make(
        set: &GraphSet,
        recipe: &ValidRecipe,
        display: &dyn ProgressDisplay,
    ) -> Result<Self::Made, LearnError> {
        let progress = display.start(set.len() as u64, "diffusing");
        let diffusions = Diffusions::of(set, &recipe.recipe().diffusion(), &*progress);
        progress.finish();
        Ok(Arc::new(diffusions?))
    }

    fn note(made: &Self::Made, recipe: &ValidRecipe) -> Option<String> {
        let series = match made.truncated {
            0 => String::new(),
            graphs => {
                format!("; {graphs} graphs of more than {EXACT_NODES} nodes by a series that is cut off")
            }
        };
        Some(lost_mass(recipe, made.lost, made.max_lost) + &series)
    }

    fn build(graphs: &Graphs<Self>, recipe: &ValidRecipe, device: &Device) -> Result<Self, LearnError> {
        let labels = graphs.set.labels().map(|labels| Arc::new(labels.to_vec()));
        Ok(build::mvgrl(recipe, graphs.columns, labels, device))
    }

    fn untrained(graphs: &Graphs<Self>, recipe: &ValidRecipe, device: &Device) -> Result<Self, LearnError> {
        <Self as GraphMethod>::build(graphs, recipe, device)
    }

    fn kept(&self) -> &Self {
        self
    }

    fn batches(
        graphs: &Graphs<Self>,
        _: &ValidRecipe,
    ) -> Result<SharedBatchSource<DiffusedBatch>, LearnError> {
        Ok(Arc::new(DiffusedGraphs::new(graphs.described.clone(), graphs.made.clone())?))
    }

    fn plain(
        graphs: &Graphs<Self>,
        recipe: &ValidRecipe,
    ) -> Result<SharedBatchSource<DiffusedBatch>, LearnError> {
        <Self as GraphMethod>::batches(graphs, recipe)
    }
}

/// Scores on graphs, and what they stand beside.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct GraphEvaluation {
    /// Accuracy of the published protocol, statistics estimated anew.
    pub svm: Accuracy,
    /// The same with BatchNorm's running statistics as training left them, as published; absent where the encoder has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub svm_training_statistics: Option<Accuracy>,
    /// The same of the encoder before its first step; absent where not asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub svm_untrained: Option<Accuracy>,
    /// The same of rows that need no encoder; absent where not asked for.
    #[serde(flatten)]
    pub trivial: Option<Trivial>,
    /// How the graphs lie, statistics estimated anew.
    #[serde(flatten)]
    pub geometry: Geometry,
    /// The last epoch's batches.
    #[serde(flatten)]
    pub batches: BatchScores,
    /// What was classified.
    pub layer: &'static str,
    /// The machine.
    pub kernel: SvmKernel,
    /// Seeds of folds.
    pub fold_seeds: usize,
}

/// Accuracies of the same protocol on rows that need no encoder.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Trivial {
    /// Of how many nodes a graph has of each label.
    pub svm_labels: Accuracy,
    /// Of the numbers of its nodes and edges.
    pub svm_sizes: Accuracy,
}

impl<M: GraphMethod> Graphs<M> {
    /// Opens the set and makes of it what the method needs; the second value tells what a user should know.
    ///
    /// # Errors
    /// [`LearnError::Data`] where files are missing or wrong, or cannot serve the recipe's features or diffusion.
    pub fn open(
        recipe: &ValidRecipe,
        display: &dyn ProgressDisplay,
    ) -> Result<(Self, Vec<String>), LearnError> {
        let options = recipe.recipe();
        let root = options.data.root.as_deref().unwrap_or(Path::new("."));
        let (set, warnings) = graph::open(&options.data.name, root)?;
        let rule = options.graphs.features.clone().unwrap_or_else(|| match options.method.kind {
            MethodKind::Mvgrl => FeatureRule::mvgrl(&set),
            _ => FeatureRule::graphcl(&set),
        });
        let rule = rule.fitted(&set);
        let described = Features::new(&rule, &set)?;
        let columns = described.columns();
        let made = M::make(&set, recipe, display)?;
        let set = Arc::new(set);
        let described = DescribedGraphs::new(set.clone(), described);
        Ok((Self { set, features: rule, described, columns, made }, warnings))
    }

    /// What describes a node, by the recipe or where that says nothing by the method and the set.
    pub fn features(&self) -> &FeatureRule {
        &self.features
    }

    /// The set.
    pub fn set(&self) -> &GraphSet {
        &self.set
    }

    /// What is to be beaten.
    fn trivial(
        &self,
        score: &dyn Fn(&Matrix) -> Result<Accuracy, LearnError>,
    ) -> Result<Trivial, LearnError> {
        let svm_labels = match self.set.label_histograms() {
            Some(histograms) => score(&histograms)?,
            None => Accuracy::undefined("the set has no labels of nodes"),
        };
        let sizes = Matrix::new(self.set.sizes().concat(), 2)?;
        Ok(Trivial { svm_labels, svm_sizes: score(&sizes)? })
    }
}

impl<M: GraphMethod> Domain for Graphs<M> {
    type Method = M;
    type Network = M::Network;

    fn name(&self) -> String {
        self.set.name().to_owned()
    }

    fn instances(&self) -> usize {
        self.set.len()
    }

    fn fingerprint(&self) -> Result<String, LearnError> {
        let set = &self.set;
        Ok(format!("{} graphs, {} nodes, {}", set.len(), set.nodes(), set.fingerprint()))
    }

    fn note(&self, recipe: &ValidRecipe) -> Option<String> {
        M::note(&self.made, recipe)
    }

    fn labels(&self) -> Labels {
        Labels { labels: self.set.labels().unwrap_or_default().to_vec(), classes: self.set.classes().len() }
    }

    fn method(&self, recipe: &ValidRecipe, device: &Device) -> Result<M, LearnError> {
        M::build(self, recipe, device)
    }

    fn untrained(&self, recipe: &ValidRecipe, device: &Device) -> Result<M::Network, LearnError> {
        M::untrained(self, recipe, device)
    }

    fn network(method: &M) -> &M::Network {
        method.kept()
    }

    fn batches(&self, recipe: &ValidRecipe) -> Result<SharedBatchSource<M::Batch>, LearnError> {
        M::batches(self, recipe)
    }

    fn part(
        &self,
        split: Split,
        recipe: &ValidRecipe,
    ) -> Result<Part<<M::Network as Embedder>::Input>, LearnError> {
        if split == Split::Test {
            let reason = "a set of graphs has no test part: it is cross-validated as a whole";
            return Err(LearnError::Evaluation(reason.to_owned()));
        }
        Ok(Part { source: M::plain(self, recipe)?, instances: self.set.len(), name: self.name() })
    }

    fn evaluate(
        experiment: &Experiment<Self>,
        network: &M::Network,
        plan: &[Vec<u32>],
        scope: EvaluationScope,
        cancellation: &Cancellation,
    ) -> Result<Evaluation, LearnError> {
        let (recipe, data) = (experiment.recipe.recipe(), &experiment.data);
        let labels = data.labels();
        let seeds = scope.fold_seeds.map_or(recipe.fold_seeds(), |most| most.min(recipe.fold_seeds()));
        let first = experiment.recipe.seed();
        let protocol = CrossValidation { labels: &labels, kernel: recipe.svm(), first, seeds };
        let embed = |network: &mut M::Network| experiment.embed(network, Split::Train, cancellation);

        let estimated = embed(&mut experiment.with_estimated_statistics(network)?)?;
        // Without BatchNorm nothing was estimated anew.
        let as_trained =
            has_buffers(&mut network.clone()).then(|| embed(&mut network.clone())).transpose()?;
        let baselines = match scope.baselines {
            Baselines::All => 3,
            Baselines::Untrained => 1,
            Baselines::None => 0,
        };
        let sets = 1 + u64::from(as_trained.is_some()) + baselines;
        let progress = experiment.display.start(sets * protocol.total_fits(), "support vector machines");
        let watch = Watch { progress: &*progress, cancellation };
        let score = |rows: &Matrix| protocol.score(rows.rows(), watch);
        let svm = score(&estimated.representation)?;
        let training = as_trained.map(|as_trained| score(&as_trained.representation)).transpose()?;
        let mut svm_untrained = None;
        if scope.baselines != Baselines::None {
            let mut network = experiment.with_estimated_statistics(&experiment.network()?)?;
            svm_untrained = Some(score(&embed(&mut network)?.representation)?);
        }
        let trivial = (scope.baselines == Baselines::All).then(|| data.trivial(&score)).transpose()?;
        progress.finish();
        Ok(Evaluation::Graphs(Box::new(GraphEvaluation {
            svm,
            svm_training_statistics: training,
            svm_untrained,
            trivial,
            geometry: Geometry::of(estimated.representation.rows())?,
            batches: BatchScores::of(plan, estimated.projection.rows(), &labels)?,
            layer: M::LAYER,
            kernel: protocol.kernel,
            fold_seeds: seeds,
        })))
    }
}
