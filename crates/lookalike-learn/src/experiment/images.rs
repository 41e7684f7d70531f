//! Images: one part to learn from, another to measure on.

use std::num::NonZero;
use std::sync::Arc;

use lookalike_base::progress::{Cancellation, ProgressDisplay, Silent};
use lookalike_base::{Matrix, Seed, Watch};
use lookalike_data::image::augment::Augmentation;
use lookalike_data::loader::{BatchRequest, BatchSource, LoaderOptions};
use lookalike_data::{ImageBatch, ImageDataset, ImageViews, PlainImages, Split, ViewBatch, Views};
use lookalike_metrics::alignment;

use super::{Domain, Evaluation, EvaluationScope, Experiment, Part, SharedBatchSource};
use crate::encoder::resnet::{Architecture, ResNet};
use crate::engine::{self, Device};
use crate::error::LearnError;
use crate::evaluate::proxy::MOST_IMAGES;
use crate::evaluate::scores::{Labels, Score, Scores, knn};
use crate::evaluate::{Embedded, Proxy};
use crate::method::build::{self, Parts};
use crate::method::{AnyMethod, Network};
use crate::recipe::ValidRecipe;

/// Both parts of a data set of images, and how views are made.
pub struct Images {
    train: Arc<dyn ImageDataset>,
    test: Arc<dyn ImageDataset>,
    views: [Augmentation; 2],
}

/// Scores on images, and what they stand beside.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct ImageEvaluation {
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

impl Images {
    /// Opens both parts; the second value tells what a user should know about them.
    ///
    /// # Errors
    /// [`LearnError::Data`].
    pub fn open(
        recipe: &ValidRecipe,
        display: &dyn ProgressDisplay,
    ) -> Result<(Self, Vec<String>), LearnError> {
        let options = recipe.recipe();
        let (train, mut warnings) = lookalike_data::open(&options.data, Split::Train, display)?;
        let (test, more) = lookalike_data::open(&options.data, Split::Test, display)?;
        warnings.extend(more);
        warnings.dedup();
        Ok((Self { train, test, views: options.augment.validate()? }, warnings))
    }

    fn dataset(&self, split: Split) -> &Arc<dyn ImageDataset> {
        match split {
            Split::Train => &self.train,
            Split::Test => &self.test,
        }
    }

    /// Labels of a split; empty where it has none.
    fn labels_of(&self, split: Split) -> Labels {
        let dataset = self.dataset(split);
        let labels: Option<Vec<u32>> = (0..dataset.len() as u32).map(|index| dataset.label(index)).collect();
        Labels { labels: labels.unwrap_or_default(), classes: dataset.classes().len() }
    }

    /// The images of `dataset` without augmentation, as the encoder sees them.
    fn plain(&self, dataset: &Arc<dyn ImageDataset>, recipe: &ValidRecipe) -> SharedBatchSource<ImageBatch> {
        let [view, _] = &self.views;
        let threads = recipe.loader().threads;
        Arc::new(PlainImages::new(dataset.clone(), view.size(), view.normalization(), threads))
    }

    /// The pixels of a data set, one image a row.
    fn pixels(
        &self,
        dataset: &Arc<dyn ImageDataset>,
        recipe: &ValidRecipe,
        cancellation: &Cancellation,
    ) -> Result<Matrix, LearnError> {
        let source = self.plain(dataset, recipe);
        let mut values = Vec::new();
        let order: Vec<u32> = (0..dataset.len() as u32).collect();
        for chunk in order.chunks(1024) {
            if cancellation.is_cancelled() {
                return Err(LearnError::Cancelled);
            }
            let batch = source.batch(&BatchRequest { instances: chunk.to_vec(), epoch: 0, step: 0 })?;
            values.extend(batch.values);
        }
        let columns = values.len() / dataset.len().max(1);
        Ok(Matrix::new(values, columns)?)
    }

    /// Representations of the first and of the second view of the test images, and projections of the same.
    fn two_views(
        &self,
        network: &mut Network<ResNet>,
        recipe: &ValidRecipe,
        cancellation: &Cancellation,
    ) -> Result<[[Matrix; 2]; 2], LearnError> {
        let seed = Seed(recipe.recipe().seed ^ 1);
        let source = ImageViews::new(self.test.clone(), self.views.clone(), seed, recipe.loader().threads);
        let order: Vec<u32> = (0..self.test.len() as u32).collect();
        let mut values = [(); 2].map(|()| [Vec::new(), Vec::new()]);
        let mut columns = [0; 2];
        for (chunk, step) in order.chunks(recipe.recipe().evaluate.batch_size).zip(0..) {
            if cancellation.is_cancelled() {
                return Err(LearnError::Cancelled);
            }
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
}

fn encoder(recipe: &ValidRecipe, purpose: &'static str, device: &Device) -> ResNet {
    let options = recipe.recipe();
    let architecture = options.encoder().architecture().unwrap_or(Architecture::ResNet18);
    let mut stream = recipe.seed().stream(purpose, 0, 0, 0);
    ResNet::new(architecture, options.encoder.stem(), &mut stream, device)
}

impl Domain for Images {
    type Method = AnyMethod<ResNet>;
    type Network = Network<ResNet>;

    fn name(&self) -> String {
        self.train.name()
    }

    fn instances(&self) -> usize {
        self.train.len()
    }

    fn fingerprint(&self) -> Result<String, LearnError> {
        Ok(self.train.fingerprint()?)
    }

    fn labels(&self) -> Labels {
        self.labels_of(Split::Train)
    }

    fn method(&self, recipe: &ValidRecipe, device: &Device) -> Result<Self::Method, LearnError> {
        let labels = self.labels().labels;
        let parts = Parts {
            encoder: encoder(recipe, "encoder", device),
            second: encoder(recipe, "encoder of keys", device),
            instances: self.train.len(),
            labels: (labels.len() == self.train.len()).then(|| Arc::new(labels)),
            device,
        };
        build::build(recipe, parts)
    }

    fn untrained(&self, recipe: &ValidRecipe, device: &Device) -> Result<Self::Network, LearnError> {
        build::network(recipe, encoder(recipe, "encoder", device), device)
    }

    fn network(method: &Self::Method) -> &Self::Network {
        method.network()
    }

    fn batches(&self, recipe: &ValidRecipe) -> Result<SharedBatchSource<ViewBatch<ImageBatch>>, LearnError> {
        let (data, views) = (self.train.clone(), self.views.clone());
        Ok(Arc::new(ImageViews::new(data, views, recipe.seed(), recipe.loader().threads)))
    }

    fn loader(recipe: &ValidRecipe) -> LoaderOptions {
        // A batch's views are made by all threads together; one more batch is under way while it is encoded.
        LoaderOptions { threads: NonZero::<usize>::MIN, ..recipe.loader() }
    }

    fn part(&self, split: Split, recipe: &ValidRecipe) -> Result<Part<ImageBatch>, LearnError> {
        let dataset = self.dataset(split);
        let source = self.plain(dataset, recipe);
        Ok(Part { source, instances: dataset.len(), name: dataset.name() })
    }

    fn evaluate(
        experiment: &Experiment<Self>,
        network: &Self::Network,
        plan: &[Vec<u32>],
        scope: EvaluationScope,
        cancellation: &Cancellation,
    ) -> Result<Evaluation, LearnError> {
        let (recipe, data) = (&experiment.recipe, &experiment.data);
        let options = &recipe.recipe().evaluate;
        let labels = [data.labels_of(Split::Train), data.labels_of(Split::Test)];
        let labels = [&labels[0], &labels[1]];
        let both = |network: &mut Self::Network| -> Result<[Embedded; 2], LearnError> {
            let train = experiment.embed(network, Split::Train, cancellation)?;
            Ok([train, experiment.embed(network, Split::Test, cancellation)?])
        };
        let knn_of = |[train, test]: &[Embedded; 2]| {
            knn([train.representation.rows(), test.representation.rows()], labels, options)
        };

        let pixels = |dataset| data.pixels(dataset, recipe, cancellation);
        let (train, test) = (pixels(&data.train)?, pixels(&data.test)?);
        let knn_pixels = knn([train.rows(), test.rows()], labels, options)?;
        drop((train, test));
        if cancellation.is_cancelled() {
            return Err(LearnError::Cancelled);
        }
        let mut untrained = experiment.with_estimated_statistics(&experiment.network()?)?;
        let untrained = both(&mut untrained)?;
        let as_trained = both(&mut network.clone())?;
        let mut estimated = experiment.with_estimated_statistics(network)?;
        let [train, test] = both(&mut estimated)?;

        let progress = if scope.probe {
            experiment.display.start(options.probe(recipe.seed()).total_epochs(), "linear probe")
        } else {
            Box::new(Silent)
        };
        let watch = Watch { progress: &*progress, cancellation };
        let probe = scope.probe.then_some((recipe.seed(), watch));
        let scores = Scores::measure([&train, &test], labels, plan, options, probe)?;
        progress.finish();
        let [representations, projections] = data.two_views(&mut estimated, recipe, cancellation)?;
        let alignment = Score::of(alignment(representations[0].rows(), representations[1].rows()))?;
        let mixing = recipe.recipe().negatives.mixing.unwrap_or_default();
        let progress = experiment.display.start(projections[0].len().min(MOST_IMAGES) as u64, "proxy task");
        let watch = Watch { progress: &*progress, cancellation };
        let proxy = Proxy::measure(projections, mixing, recipe.seed(), watch)?;
        progress.finish();
        Ok(Evaluation::Images(Box::new(ImageEvaluation {
            knn_pixels,
            knn_untrained: knn_of(&untrained)?,
            knn_training_statistics: knn_of(&as_trained)?,
            alignment,
            proxy,
            scores,
            layer: "representation (before the projection head)",
            knn_k: options.knn_k.min(data.train.len()),
            knn_temperature: options.knn_temperature,
        })))
    }
}
