//! An experiment on images: what a valid recipe describes, opened and put together.

use std::path::Path;
use std::sync::Arc;

use lookalike_base::arrays::{Array, Arrays};
use lookalike_base::progress::{Cancellation, Progress};
use lookalike_base::tensors::{self, TensorFile};
use lookalike_base::{Matrix, Seed, Watch};
use lookalike_data::augment::Augmentation;
use lookalike_data::loader::{BatchRequest, BatchSource};
use lookalike_data::{ImageBatch, ImageDataset, ImageViews, PlainImages, Split, Views};
use lookalike_metrics::{MetricError, alignment};

use crate::encoder::resnet::{Architecture, ResNet};
use crate::engine::{self, Device};
use crate::error::LearnError;
use crate::evaluate::scores::{Labels, Score, Scores, knn};
use crate::evaluate::{Embedded, Proxy, embed, estimate_statistics};
use crate::method::build::{self, Parts};
use crate::method::{AnyMethod, Network};
use crate::module::{arrays_of, load_arrays};
use crate::recipe::ValidRecipe;
use crate::train::checkpoint::Checkpoints;
use crate::train::trainer::{TrainOptions, Trainer, read_plan};

/// The file of a finished run that holds the method, BatchNorm's statistics estimated anew.
pub const MODEL: &str = "model.safetensors";

/// A method on residual networks.
pub type ImageMethod = AnyMethod<ResNet>;
/// What is evaluated and kept of it.
pub type ImageNetwork = Network<ResNet>;

/// A recipe with its data and device open.
pub struct Experiment {
    recipe: ValidRecipe,
    device: Device,
    train: Arc<dyn ImageDataset>,
    test: Arc<dyn ImageDataset>,
    views: [Augmentation; 2],
}

/// Scores of a trained method, and what they stand beside.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Evaluation {
    /// kNN accuracy of the pixels as the encoder sees them.
    pub knn_pixels: Score,
    /// kNN accuracy of the encoder before training.
    pub knn_untrained: Score,
    /// kNN accuracy with BatchNorm's running statistics as training left them.
    pub knn_training_statistics: Score,
    /// Mean squared distance between two views of a test image, normalised representations.
    pub alignment: Score,
    /// The proxy task on projections of two views of the test images.
    #[serde(flatten)]
    pub proxy: Proxy,
    /// All other scores, with statistics estimated anew.
    #[serde(flatten)]
    pub scores: Scores,
    /// What was classified by kNN.
    pub layer: &'static str,
    /// k of the kNN classifier.
    pub knn_k: usize,
    /// Temperature of the kNN classifier.
    pub knn_temperature: f32,
}

impl Experiment {
    /// Opens device and data; the second value tells what a user should know about the data.
    ///
    /// # Errors
    /// [`LearnError::Device`] and [`LearnError::Data`].
    pub fn open(recipe: ValidRecipe) -> Result<(Self, Vec<String>), LearnError> {
        let device = engine::open(recipe.device())?;
        let (train, mut warnings) = lookalike_data::open(&recipe.recipe().data, Split::Train)?;
        let (test, more) = lookalike_data::open(&recipe.recipe().data, Split::Test)?;
        warnings.extend(more);
        warnings.dedup();
        let views = recipe.recipe().augment.validate()?;
        Ok((Self { recipe, device, train, test, views }, warnings))
    }

    /// The recipe.
    pub fn recipe(&self) -> &ValidRecipe {
        &self.recipe
    }

    /// The part of the data to learn from, or to measure on.
    pub fn dataset(&self, split: Split) -> &Arc<dyn ImageDataset> {
        match split {
            Split::Train => &self.train,
            Split::Test => &self.test,
        }
    }

    /// The method before its first step; the same weights for the same seed.
    ///
    /// # Errors
    /// As [`build::build`].
    pub fn method(&self) -> Result<ImageMethod, LearnError> {
        let labels = self.labels(Split::Train).labels;
        let parts = Parts {
            encoder: self.encoder("encoder"),
            second: self.encoder("encoder of keys"),
            instances: self.train.len(),
            labels: (labels.len() == self.train.len()).then(|| Arc::new(labels)),
            device: &self.device,
        };
        build::build(&self.recipe, parts)
    }

    /// The network before its first step, without queue, bank and whatever else a method keeps.
    ///
    /// # Errors
    /// As [`build::build`].
    pub fn network(&self) -> Result<ImageNetwork, LearnError> {
        build::network(&self.recipe, self.encoder("encoder"), &self.device)
    }

    fn encoder(&self, purpose: &'static str) -> ResNet {
        let options = &self.recipe.recipe().encoder;
        let mut stream = self.recipe.seed().stream(purpose, 0, 0, 0);
        ResNet::new(options.kind, options.stem, &mut stream, &self.device)
    }

    /// A trainer in the folder `run`, at its newest checkpoint where there is one.
    ///
    /// # Errors
    /// As [`Trainer::open`], and [`LearnError::Device`] where the device does not multiply at the recipe's precision.
    pub fn trainer(&self, run: &Path) -> Result<(Trainer<ImageMethod>, Vec<String>), LearnError> {
        let recipe = self.recipe.recipe();
        engine::check_precision(self.recipe.device(), &self.device, recipe.train.precision)?;
        let instances = self.train.len();
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
        let labels = self.labels(Split::Train).labels;
        let labels = (labels.len() == instances).then_some(labels);
        recipe.check_with_data(instances, labels.is_some(), schedule.total)?;
        let loader = self.recipe.loader();
        let source =
            ImageViews::new(self.train.clone(), self.views.clone(), self.recipe.seed(), loader.threads);
        let options = TrainOptions {
            run: run.to_owned(),
            identity: format!(
                "{}\n[data-set]\nfingerprint = \"{}\"\n",
                self.recipe.identity()?,
                self.train.fingerprint()?
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
            // A batch's views are made by all threads together; one more batch is under way while it is encoded.
            loader: lookalike_data::loader::LoaderOptions {
                threads: std::num::NonZero::<usize>::MIN,
                ..loader
            },
        };
        Trainer::open(self.method()?, Arc::new(source), options)
    }

    /// Labels of a split; empty where it has none.
    pub fn labels(&self, split: Split) -> Labels {
        let dataset = self.dataset(split);
        let labels: Option<Vec<u32>> = (0..dataset.len() as u32).map(|index| dataset.label(index)).collect();
        Labels { labels: labels.unwrap_or_default(), classes: dataset.classes().len() }
    }

    /// The images of `dataset` without augmentation, as the encoder sees them.
    fn plain(&self, dataset: &Arc<dyn ImageDataset>) -> Arc<dyn BatchSource<Batch = ImageBatch>> {
        let [view, _] = &self.views;
        let threads = self.recipe.loader().threads;
        Arc::new(PlainImages::new(dataset.clone(), view.size(), view.normalization(), threads))
    }

    /// Embeds a whole data set in evaluation mode. `None` where cancelled.
    ///
    /// # Errors
    /// Whatever the data set reports.
    pub fn embed(
        &self,
        network: &mut ImageNetwork,
        dataset: &Arc<dyn ImageDataset>,
        cancellation: &Cancellation,
    ) -> Result<Option<Embedded>, LearnError> {
        let progress = Progress::new(dataset.len() as u64, &format!("embedding {}", dataset.name()));
        let (size, loader) = (self.recipe.recipe().evaluate.batch_size, self.recipe.loader());
        let embedded =
            embed(network, self.plain(dataset), dataset.len(), size, loader, (&progress, cancellation));
        progress.finish();
        embedded
    }

    /// A copy of `network` whose BatchNorm statistics are estimated anew on uniform, un-augmented train batches.
    ///
    /// # Errors
    /// Whatever the data set reports.
    pub fn with_estimated_statistics(&self, network: &ImageNetwork) -> Result<ImageNetwork, LearnError> {
        let mut copy = network.clone();
        let options = &self.recipe.recipe().evaluate;
        let sizes = (options.batch_size, options.statistics_batches);
        let (seed, loader) = (self.recipe.seed(), self.recipe.loader());
        estimate_statistics(&mut copy, self.plain(&self.train), self.train.len(), sizes, seed, loader)?;
        Ok(copy)
    }

    /// Measures a trained network; `plan` are the batches of its last epoch. `None` where cancelled.
    ///
    /// # Errors
    /// Whatever data and metrics report.
    pub fn evaluate(
        &self,
        network: &ImageNetwork,
        plan: &[Vec<u32>],
        probe: bool,
        cancellation: &Cancellation,
    ) -> Result<Option<Evaluation>, LearnError> {
        let options = &self.recipe.recipe().evaluate;
        let labels = [self.labels(Split::Train), self.labels(Split::Test)];
        let labels = [&labels[0], &labels[1]];
        let both = |network: &mut ImageNetwork| -> Result<Option<[Embedded; 2]>, LearnError> {
            let Some(train) = self.embed(network, &self.train, cancellation)? else { return Ok(None) };
            Ok(self.embed(network, &self.test, cancellation)?.map(|test| [train, test]))
        };
        let knn_of = |[train, test]: &[Embedded; 2]| {
            knn([train.representation.rows(), test.representation.rows()], labels, options)
        };

        let pixels = [self.pixels(&self.train)?, self.pixels(&self.test)?];
        let knn_pixels = knn([pixels[0].rows(), pixels[1].rows()], labels, options)?;
        drop(pixels);
        if cancellation.is_cancelled() {
            return Ok(None);
        }
        let Some(untrained) = both(&mut self.with_estimated_statistics(&self.network()?)?)? else {
            return Ok(None);
        };
        let Some(as_trained) = both(&mut network.clone())? else { return Ok(None) };
        let mut estimated = self.with_estimated_statistics(network)?;
        let Some([train, test]) = both(&mut estimated)? else { return Ok(None) };

        let progress = if probe {
            let probe =
                lookalike_metrics::ProbeOptions { epochs: options.probe_epochs, ..Default::default() };
            Progress::new(probe.total_epochs(), "linear probe")
        } else {
            Progress::hidden()
        };
        let watch = Watch { progress: &progress, cancellation };
        let probe = probe.then_some((self.recipe.seed(), watch));
        let scores = match Scores::measure([&train, &test], labels, plan, options, probe) {
            Err(LearnError::Metrics(MetricError::Cancelled)) => return Ok(None),
            scores => scores?,
        };
        progress.finish();
        let [representations, projections] = self.two_views(&mut estimated)?;
        let alignment = Score::of(alignment(representations[0].rows(), representations[1].rows()))?;
        let mixing = self.recipe.recipe().negatives.mixing.unwrap_or_default();
        let proxy = Proxy::measure(projections, mixing, self.recipe.seed())?;
        Ok(Some(Evaluation {
            knn_pixels,
            knn_untrained: knn_of(&untrained)?,
            knn_training_statistics: knn_of(&as_trained)?,
            alignment,
            proxy,
            scores,
            layer: "representation (before the projection head)",
            knn_k: options.knn_k.min(self.train.len()),
            knn_temperature: options.knn_temperature,
        }))
    }

    /// The pixels of a data set, one image a row.
    fn pixels(&self, dataset: &Arc<dyn ImageDataset>) -> Result<Matrix, LearnError> {
        let source = self.plain(dataset);
        let mut values = Vec::new();
        let order: Vec<u32> = (0..dataset.len() as u32).collect();
        for chunk in order.chunks(1024) {
            let batch = source.batch(&BatchRequest { instances: chunk.to_vec(), epoch: 0, step: 0 })?;
            values.extend(batch.values);
        }
        let columns = values.len() / dataset.len().max(1);
        Ok(Matrix::new(values, columns)?)
    }

    /// Representations of the first and of the second view of the test images, and projections of the same.
    fn two_views(&self, network: &mut ImageNetwork) -> Result<[[Matrix; 2]; 2], LearnError> {
        let seed = Seed(self.recipe.recipe().seed ^ 1);
        let source =
            ImageViews::new(self.test.clone(), self.views.clone(), seed, self.recipe.loader().threads);
        let order: Vec<u32> = (0..self.test.len() as u32).collect();
        let mut values = [(); 2].map(|()| [Vec::new(), Vec::new()]);
        let mut columns = [0; 2];
        for (chunk, step) in order.chunks(self.recipe.recipe().evaluate.batch_size).zip(0..) {
            let batch = source.batch(&BatchRequest { instances: chunk.to_vec(), epoch: 0, step })?;
            let Views::Stacked(views) = &batch.views else { unreachable!("image views are stacked") };
            let parts = network.embed(views, &mut crate::module::Pass::evaluation());
            for ((part, columns), halves) in parts.into_iter().zip(&mut columns).zip(&mut values) {
                *columns = part.dims()[1];
                let both = engine::to_host(part);
                let (first, second) = both.split_at(both.len() / 2);
                halves[0].extend_from_slice(first);
                halves[1].extend_from_slice(second);
            }
        }
        let [representations, projections] = values;
        let matrices = |[first, second]: [Vec<f32>; 2], columns| -> Result<[Matrix; 2], LearnError> {
            Ok([Matrix::new(first, columns)?, Matrix::new(second, columns)?])
        };
        Ok([matrices(representations, columns[0])?, matrices(projections, columns[1])?])
    }

    /// The network as the newest checkpoint of `run` holds it, and the batches of its last epoch.
    ///
    /// # Errors
    /// [`LearnError::Checkpoint`] where there is none, or it is damaged or of another network.
    pub fn trained(&self, run: &Path) -> Result<(ImageNetwork, Vec<Vec<u32>>), LearnError> {
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
    pub fn save_model(&self, run: &Path, network: &ImageNetwork) -> Result<(), LearnError> {
        let mut estimated = self.with_estimated_statistics(network)?;
        let file = TensorFile { tensors: arrays_of(&mut estimated), ..TensorFile::default() };
        Ok(tensors::write(run.join(MODEL), &file)?)
    }

    /// The network that [`Experiment::save_model`] wrote.
    ///
    /// # Errors
    /// [`LearnError::Checkpoint`] where the run has not finished, [`LearnError::Weights`] where the file is of another
    /// network.
    pub fn load_model(&self, run: &Path) -> Result<ImageNetwork, LearnError> {
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

/// Writes the encoder of a finished run under torchvision's names and layouts.
///
/// For torchvision's own networks the file also holds what `load_state_dict(strict=True)` asks for and training does not
/// have: a classifier `fc` of 1000 classes, all zeros, and the counters `num_batches_tracked`.
///
/// # Errors
/// As [`Experiment::load_model`]; [`LearnError::ArrayFile`] where the file cannot be written.
pub fn export(recipe: &ValidRecipe, run: &Path, path: &Path) -> Result<(), LearnError> {
    let mut exported: Arrays = read_model(run)?
        .into_iter()
        .filter_map(|(name, array)| name.strip_prefix("encoder.").map(|name| (name.to_owned(), array)))
        .collect();
    let counters: Vec<String> = exported
        .keys()
        .filter_map(|name| {
            name.strip_suffix("running_var").map(|layer| format!("{layer}num_batches_tracked"))
        })
        .collect();
    exported.extend(counters.into_iter().map(|name| (name, Array::i64([], vec![0]))));
    let encoder = &recipe.recipe().encoder;
    let dimension = (encoder.kind != Architecture::Small).then(|| encoder.kind.dimension());
    if let Some(dimension) = dimension {
        exported.insert("fc.weight".to_owned(), Array::f32([1000, dimension], vec![0.0; 1000 * dimension]));
        exported.insert("fc.bias".to_owned(), Array::f32([1000], vec![0.0; 1000]));
    }
    Ok(tensors::write(path, &TensorFile { tensors: exported, ..TensorFile::default() })?)
}
