//! An experiment: what a valid recipe describes, opened and put together. What all data have in common is here; what only images,
//! graphs or the nodes of a graph have is theirs to say, as a [`Domain`].

pub mod graphs;
pub mod images;
pub mod nodes;

use std::path::Path;
use std::sync::Arc;

use lookalike_base::arrays::{Array, Arrays};
use lookalike_base::progress::{Cancellation, ProgressDisplay, Watch};
use lookalike_base::tensors::{self, TensorFile};
use lookalike_data::Split;
use lookalike_data::loader::{BatchSource, LoaderOptions};

use crate::encoder::gin::Gin;
use crate::encoder::resnet::Architecture;
use crate::engine::{self, Device};
use crate::error::LearnError;
use crate::evaluate::scores::Labels;
use crate::evaluate::{Embedded, Embedder, embed, estimate_statistics};
use crate::method::{AnyMethod, Method, Mvgrl};
use crate::module::{Module, arrays_of, has_buffers, load_arrays};
use crate::recipe::{EncoderKind, Modality, ValidRecipe};
use crate::train::checkpoint::Checkpoints;
use crate::train::trainer::{TrainOptions, Trainer, read_plan};

pub use graphs::{GraphEvaluation, Graphs};
pub use images::{ImageEvaluation, Images};
pub use nodes::{NodeEvaluation, Nodes};

/// The file of a finished run that holds the method, BatchNorm's statistics estimated anew.
pub const MODEL: &str = "model.safetensors";

/// A kind of data with the methods that learn from it.
pub trait Domain: Sized {
    /// What is trained.
    type Method: Method;
    /// What is evaluated and kept of it.
    type Network: Embedder + Module + Clone;

    /// What the instances to learn from are called in reports.
    fn name(&self) -> String;

    /// Their number, N.
    fn instances(&self) -> usize;

    /// What a user should know of what was made of them.
    fn note(&self, _: &ValidRecipe) -> Option<String> {
        None
    }

    /// Tells them from other data, wherever the files lie.
    ///
    /// # Errors
    /// [`LearnError::Data`] where a file cannot be looked at.
    fn fingerprint(&self) -> Result<String, LearnError>;

    /// Their classes.
    fn labels(&self) -> Labels;

    /// The method before its first step; the same weights for the same seed.
    ///
    /// # Errors
    /// As [`build`](crate::method::build::build).
    fn method(&self, recipe: &ValidRecipe, device: &Device) -> Result<Self::Method, LearnError>;

    /// What is kept of that, without queue, bank and whatever else a method has.
    ///
    /// # Errors
    /// As [`Domain::method`].
    fn untrained(&self, recipe: &ValidRecipe, device: &Device) -> Result<Self::Network, LearnError>;

    /// What is kept of a method.
    fn network(method: &Self::Method) -> &Self::Network;

    /// Batches to learn from.
    ///
    /// # Errors
    /// [`LearnError::Data`] where the recipe's views cannot be made of the data.
    fn batches(
        &self,
        recipe: &ValidRecipe,
    ) -> Result<SharedBatchSource<<Self::Method as Method>::Batch>, LearnError>;

    /// How training's batches are made ahead.
    fn loader(recipe: &ValidRecipe) -> LoaderOptions {
        recipe.loader()
    }

    /// A part of the data without augmentation.
    ///
    /// # Errors
    /// [`LearnError::Evaluation`] where there is no such part.
    fn part(
        &self,
        split: Split,
        recipe: &ValidRecipe,
    ) -> Result<Part<<Self::Network as Embedder>::Input>, LearnError>;

    /// How many instances are embedded at once, in evaluation.
    fn embedded_together(&self, recipe: &ValidRecipe) -> usize {
        recipe.recipe().evaluate.batch_size
    }

    /// Measures a trained network; `plan` are the batches of its last epoch.
    ///
    /// # Errors
    /// Whatever data and metrics report, and [`LearnError::Cancelled`].
    fn evaluate(
        experiment: &Experiment<Self>,
        network: &Self::Network,
        plan: &[Vec<u32>],
        scope: EvaluationScope,
        cancellation: &Cancellation,
    ) -> Result<Evaluation, LearnError>;
}

/// What makes batches.
pub type SharedBatchSource<B> = Arc<dyn BatchSource<Batch = B>>;

/// A part of a data set, not augmented.
pub struct Part<B> {
    /// What makes its batches.
    pub source: SharedBatchSource<B>,
    /// How many instances it has.
    pub instances: usize,
    /// What it is called in reports.
    pub name: String,
}

/// How much is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EvaluationScope {
    /// Of images and nodes: a linear probe.
    pub probe: bool,
    /// Of graphs and nodes: what stands beside a result and does not come from training.
    pub baselines: Baselines,
    /// Of graphs: seeds of folds at most; the recipe's where absent.
    pub fold_seeds: Option<usize>,
}

impl EvaluationScope {
    /// What a run ends with.
    pub const AFTER_TRAINING: Self = Self { probe: false, baselines: Baselines::None, fold_seeds: Some(1) };
    /// Everything.
    pub const FULL: Self = Self { probe: true, baselines: Baselines::All, fold_seeds: None };
}

/// What stands beside the accuracy of a trained encoder on graphs or nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Baselines {
    /// The encoder before its first step, and trivial rows: histograms of labels, numbers of nodes and edges; features of nodes.
    All,
    /// The encoder before its first step.
    Untrained,
    /// Nothing.
    None,
}

/// Scores of a trained method, and what they stand beside.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[serde(untagged)]
pub enum Evaluation {
    /// On images.
    Images(Box<ImageEvaluation>),
    /// On graphs.
    Graphs(Box<GraphEvaluation>),
    /// On the nodes of a graph.
    Nodes(Box<NodeEvaluation>),
}

/// An experiment on any kind of data.
pub enum AnyExperiment {
    /// Residual networks on images.
    Images(Experiment<Images>),
    /// Methods that contrast views of graphs.
    GraphViews(Experiment<Graphs<AnyMethod<Gin>>>),
    /// MVGRL.
    Mvgrl(Experiment<Graphs<Mvgrl>>),
    /// MVGRL on nodes.
    Nodes(Experiment<Nodes>),
}

impl AnyExperiment {
    /// Opens device and data; the second value tells what a user should know about the data. `display` shows the progress of
    /// long work, here and in the experiment.
    ///
    /// # Errors
    /// [`LearnError::Device`] and [`LearnError::Data`].
    pub fn open(
        recipe: ValidRecipe,
        display: Arc<dyn ProgressDisplay>,
    ) -> Result<(Self, Vec<String>), LearnError> {
        let device = engine::open(recipe.device())?;
        match (recipe.recipe().modality(), recipe.recipe().encoder()) {
            (Modality::Images, _) => {
                let (data, warnings) = Images::open(&recipe, &*display)?;
                Ok((Self::Images(Experiment { recipe, device, data, display }), warnings))
            }
            (Modality::Graphs, EncoderKind::Gcn) => {
                let (data, warnings) = Graphs::open(&recipe, &*display)?;
                let recipe = recipe.with_features(data.features());
                Ok((Self::Mvgrl(Experiment { recipe, device, data, display }), warnings))
            }
            (Modality::Graphs, _) => {
                let (data, warnings) = Graphs::open(&recipe, &*display)?;
                let recipe = recipe.with_features(data.features());
                Ok((Self::GraphViews(Experiment { recipe, device, data, display }), warnings))
            }
            (Modality::Nodes, _) => {
                let (data, warnings) = Nodes::open(&recipe, &*display)?;
                Ok((Self::Nodes(Experiment { recipe, device, data, display }), warnings))
            }
        }
    }
}

/// A recipe with its data and device open.
pub struct Experiment<D> {
    recipe: ValidRecipe,
    device: Device,
    data: D,
    display: Arc<dyn ProgressDisplay>,
}

impl<D: Domain> Experiment<D> {
    /// The recipe.
    pub fn recipe(&self) -> &ValidRecipe {
        &self.recipe
    }

    /// The data.
    pub fn data(&self) -> &D {
        &self.data
    }

    /// The method before its first step; the same weights for the same seed.
    ///
    /// # Errors
    /// As [`Domain::method`].
    pub fn method(&self) -> Result<D::Method, LearnError> {
        self.data.method(&self.recipe, &self.device)
    }

    /// The network before its first step, without queue, bank and whatever else a method keeps.
    ///
    /// # Errors
    /// As [`Domain::method`].
    pub fn network(&self) -> Result<D::Network, LearnError> {
        self.data.untrained(&self.recipe, &self.device)
    }

    /// A trainer in the folder `run`, at its newest checkpoint where there is one.
    ///
    /// # Errors
    /// As [`Trainer::open`], and [`LearnError::Device`] where the device does not multiply at the recipe's precision.
    pub fn trainer(&self, run: &Path) -> Result<(Trainer<D::Method>, Vec<String>), LearnError> {
        let recipe = self.recipe.recipe();
        engine::check_precision(self.recipe.device(), &self.device, recipe.train.precision)?;
        let instances = self.data.instances();
        let sampler = &recipe.sampler;
        let refuse = |place: &str, reason: String| LearnError::Recipe { place: place.to_owned(), reason };
        sampler.check(instances).map_err(|error| refuse("sampler", error.to_string()))?;
        let batches =
            lookalike_sampling::batches_per_epoch(instances, sampler.batch_size, sampler.last_batch) as u64;
        let (epochs, accumulate) = (recipe.train.epochs, recipe.train.accumulate);
        if accumulate > epochs.saturating_mul(batches) {
            let reason = format!(
                "must be at most the {batches} batches of each of the run's {epochs} epochs together"
            );
            return Err(refuse("train.accumulate", reason));
        }
        let schedule = self.recipe.schedule(batches);
        let labels = self.data.labels().labels;
        let labels = (labels.len() == instances).then_some(labels);
        recipe.check_with_data(instances, labels.is_some(), schedule.total)?;
        let options = TrainOptions {
            run: run.to_owned(),
            identity: format!(
                "{}\n[data-set]\nfingerprint = \"{}\"\n",
                self.recipe.identity()?,
                self.data.fingerprint()?
            ),
            seed: self.recipe.seed(),
            device: self.device.clone(),
            precision: recipe.train.precision,
            instances,
            labels,
            sampler: sampler.clone(),
            optimizer: recipe.optimizer.clone(),
            schedule,
            max_steps: recipe.train.max_steps,
            accumulate: recipe.train.accumulate,
            checkpoint_every: self.recipe.checkpoint_every(batches),
            log_every: recipe.train.log_every,
            loader: D::loader(&self.recipe),
        };
        Trainer::open(self.method()?, self.data.batches(&self.recipe)?, options)
    }

    /// Embeds a whole part of the data in evaluation mode.
    ///
    /// # Errors
    /// Whatever the data report, and [`LearnError::Cancelled`].
    pub fn embed(
        &self,
        network: &mut D::Network,
        split: Split,
        cancellation: &Cancellation,
    ) -> Result<Embedded, LearnError> {
        let Part { source, instances, name } = self.data.part(split, &self.recipe)?;
        let progress = self.display.start(instances as u64, &format!("embedding {name}"));
        let (size, loader) = (self.data.embedded_together(&self.recipe), self.recipe.loader());
        let embedded =
            embed(network, source, instances, size, loader, Watch { progress: &*progress, cancellation });
        progress.finish();
        embedded
    }

    /// A copy of `network` whose BatchNorm statistics are estimated anew on uniform, un-augmented train batches, where it has any.
    ///
    /// # Errors
    /// Whatever the data report.
    pub fn with_estimated_statistics(&self, network: &D::Network) -> Result<D::Network, LearnError> {
        let mut copy = network.clone();
        if !has_buffers(&mut copy) {
            return Ok(copy);
        }
        let options = &self.recipe.recipe().evaluate;
        let sizes = (options.batch_size, options.statistics_batches);
        let (seed, loader) = (self.recipe.seed(), self.recipe.loader());
        let Part { source, instances, .. } = self.data.part(Split::Train, &self.recipe)?;
        estimate_statistics(&mut copy, source, instances, sizes, seed, loader)?;
        Ok(copy)
    }

    /// Measures a trained network; `plan` are the batches of its last epoch.
    ///
    /// # Errors
    /// Whatever data and metrics report, and [`LearnError::Cancelled`].
    pub fn evaluate(
        &self,
        network: &D::Network,
        plan: &[Vec<u32>],
        scope: EvaluationScope,
        cancellation: &Cancellation,
    ) -> Result<Evaluation, LearnError> {
        D::evaluate(self, network, plan, scope, cancellation)
    }

    /// The network as the newest checkpoint of `run` holds it, and the batches of its last epoch.
    ///
    /// # Errors
    /// [`LearnError::Checkpoint`] where there is none, or it is damaged or of another network.
    pub fn trained(&self, run: &Path) -> Result<(D::Network, Vec<Vec<u32>>), LearnError> {
        let refuse =
            |reason: &str| LearnError::Checkpoint { path: run.to_owned(), reason: reason.to_owned() };
        let newest = Checkpoints::of_run(run).newest()?;
        let (_, arrays, _) = newest.ok_or_else(|| refuse("it has no checkpoint yet"))?;
        let mut network = self.network()?;
        load_arrays(&mut network, &arrays, "model.", &self.device)?;
        let plan = read_plan(&arrays).ok_or_else(|| refuse("the epoch's batches are missing or damaged"))?;
        Ok((network, plan))
    }

    /// Writes `network` as the result of the run: with statistics estimated anew, under `model.safetensors`.
    ///
    /// # Errors
    /// [`LearnError::ArrayFile`] where the file cannot be written.
    pub fn save_model(&self, run: &Path, network: &D::Network) -> Result<(), LearnError> {
        let mut estimated = self.with_estimated_statistics(network)?;
        let file = TensorFile { tensors: arrays_of(&mut estimated), ..TensorFile::default() };
        Ok(tensors::write(run.join(MODEL), &file)?)
    }

    /// The network that [`Experiment::save_model`] wrote.
    ///
    /// # Errors
    /// [`LearnError::Checkpoint`] where the run has not finished, [`LearnError::Weights`] where the file is of another
    /// network.
    pub fn load_model(&self, run: &Path) -> Result<D::Network, LearnError> {
        let mut network = self.network()?;
        load_arrays(&mut network, &read_model(run)?, "", &self.device)?;
        Ok(network)
    }
}

/// The tensors of a finished run.
fn read_model(run: &Path) -> Result<Arrays, LearnError> {
    let path = run.join(MODEL);
    if !path.exists() {
        let reason = match Checkpoints::of_run(run).newest() {
            Ok(Some((state, ..))) => format!(
                "the run stands at step {} and has no {MODEL} yet; finish it with `lookalike train --resume`",
                state.step
            ),
            _ => format!("there is no {MODEL}: not a finished run"),
        };
        return Err(LearnError::Checkpoint { path: run.to_owned(), reason });
    }
    Ok(tensors::read(&path)?.tensors)
}

/// Writes the encoder of a finished run under PyTorch's names and layouts, those of torchvision for its networks.
///
/// For torchvision's own networks the file also holds what `load_state_dict(strict=True)` asks for and training does not
/// have: a classifier `fc` of 1000 classes, all zeros, and the counters `num_batches_tracked`.
///
/// # Errors
/// As [`Experiment::load_model`]; [`LearnError::ArrayFile`] where the file cannot be written.
pub fn export(recipe: &ValidRecipe, run: &Path, path: &Path) -> Result<(), LearnError> {
    let mut exported = read_model(run)?;
    // MVGRL has two encoders and keeps their heads: all of it is what embeds.
    if recipe.recipe().encoder() != EncoderKind::Gcn {
        exported = exported
            .into_iter()
            .filter_map(|(name, array)| name.strip_prefix("encoder.").map(|name| (name.to_owned(), array)))
            .collect();
    }
    let counters: Vec<String> = exported
        .keys()
        .filter_map(|name| {
            name.strip_suffix("running_var").map(|layer| format!("{layer}num_batches_tracked"))
        })
        .collect();
    exported.extend(counters.into_iter().map(|name| (name, Array::i64([], vec![0]))));
    let published =
        recipe.recipe().encoder().architecture().filter(|network| *network != Architecture::Small);
    if let Some(dimension) = published.map(Architecture::dimension) {
        exported.insert("fc.weight".to_owned(), Array::f32([1000, dimension], vec![0.0; 1000 * dimension]));
        exported.insert("fc.bias".to_owned(), Array::f32([1000], vec![0.0; 1000]));
    }
    Ok(tensors::write(path, &TensorFile { tensors: exported, ..TensorFile::default() })?)
}
