//! Batches of images: augmented views of each instance to train on, or the plain images to evaluate on.

use crate::error::DataError;
use crate::image::augment::{Augmentation, Normalization, Parameters, Scratch};
use crate::image::dataset::{Image, ImageDataset};
use crate::loader::{BatchRequest, BatchSource};
use crate::views::ViewBatch;
use lookalike_base::stream::Seed;
use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread;

/// A batch of images for an encoder.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageBatch {
    /// Normalised values, last axis fastest.
    pub values: Vec<f32>,
    /// Images, channels, rows, columns.
    pub shape: [usize; 4],
}

impl ImageBatch {
    /// A batch of the images numbered `rows`, in that order.
    ///
    /// # Panics
    /// Where there is no such image.
    #[must_use]
    pub fn select(&self, rows: &[u32]) -> Self {
        let [_, channels, height, width] = self.shape;
        let size = channels * height * width;
        let mut values = Vec::with_capacity(rows.len() * size);
        for row in rows {
            values.extend_from_slice(&self.values[*row as usize * size..][..size]);
        }
        Self { values, shape: [rows.len(), channels, height, width] }
    }
}

/// Augmented views of each instance: two to contrast, or one.
///
/// View v of an instance is drawn from the stream (`augment`, epoch, step, 2 · instance + v): it depends on
/// no other instance of the batch, on no thread, and on nothing before.
pub struct ImageViews {
    renderer: BatchRenderer,
    views: Vec<Augmentation>,
    seed: Seed,
}

impl ImageViews {
    /// Views of `dataset`, one by each of the validated augmentations, which are of the same size; that of two
    /// [`AugmentOptions::validate`](crate::image::augment::AugmentOptions::validate) checks. Each batch is
    /// divided among `threads`, so that even a single large batch uses them all.
    ///
    /// # Panics
    /// Where there is no augmentation, or the sizes differ.
    pub fn new(
        dataset: Arc<dyn ImageDataset>,
        views: impl Into<Vec<Augmentation>>,
        seed: Seed,
        threads: NonZeroUsize,
    ) -> Self {
        let views = views.into();
        let size = views[0].size();
        assert!(views.iter().all(|view| view.size() == size), "all views of a batch have one size");
        Self { renderer: BatchRenderer { dataset, size, threads }, views, seed }
    }
}

impl BatchSource for ImageViews {
    type Batch = ViewBatch<ImageBatch>;

    fn batch(&self, request: &BatchRequest) -> Result<Self::Batch, DataError> {
        let views = self.views.len();
        let views =
            self.renderer.batches(views, &request.instances, |image, instance, view, scratch, out| {
                let address = 2 * u64::from(instance) + view as u64;
                let mut stream = self.seed.stream("augment", request.epoch, request.step, address);
                self.views[view].apply(image, &mut stream, scratch, out);
            })?;
        Ok(ViewBatch { instances: request.instances.clone(), views })
    }
}

/// The images without augmentation, normalised. Of an image of another size the shorter side is resized and
/// the central square shown.
pub struct PlainImages {
    renderer: BatchRenderer,
    plain: Augmentation,
}

impl PlainImages {
    /// Images of `dataset` with sides of `size` pixels, each batch divided among `threads`.
    pub fn new(
        dataset: Arc<dyn ImageDataset>,
        size: usize,
        normalization: Normalization,
        threads: NonZeroUsize,
    ) -> Self {
        Self {
            renderer: BatchRenderer { dataset, size, threads },
            plain: Augmentation::plain(size, normalization),
        }
    }
}

impl BatchSource for PlainImages {
    type Batch = ImageBatch;

    fn batch(&self, request: &BatchRequest) -> Result<Self::Batch, DataError> {
        let mut batches = self.renderer.batches(1, &request.instances, |image, _, _, scratch, out| {
            self.plain.render(image, &Parameters::default(), scratch, out);
        })?;
        Ok(batches.remove(0))
    }
}

/// Renders images of a data set into batches, on several threads.
struct BatchRenderer {
    dataset: Arc<dyn ImageDataset>,
    size: usize,
    threads: NonZeroUsize,
}

impl BatchRenderer {
    /// As many batches as `views`, each filled by `render(image, instance, view, …)`. Where several instances
    /// cannot be read, the error is that of the first.
    fn batches(
        &self,
        views: usize,
        instances: &[u32],
        render: impl Fn(&Image<'_>, u32, usize, &mut Scratch, &mut [f32]) + Sync,
    ) -> Result<Vec<ImageBatch>, DataError> {
        let shape = [instances.len(), 3, self.size, self.size];
        let row = 3 * self.size * self.size;
        let values = vec![0.0; shape.iter().product()];
        let mut batches = vec![ImageBatch { values, shape }; views];
        if instances.is_empty() {
            return Ok(batches);
        }
        let chunk = instances.len().div_ceil(self.threads.get());
        let mut blocks: Vec<_> =
            batches.iter_mut().map(|batch| batch.values.chunks_mut(chunk * row)).collect();
        let work =
            &|(instances, rows): (&[u32], Vec<&mut [f32]>)| self.render_chunk(instances, rows, &render);
        thread::scope(|scope| {
            let mut chunks = instances.chunks(chunk).map(|instances| {
                let rows: Vec<_> = blocks.iter_mut().filter_map(Iterator::next).collect();
                (instances, rows)
            });
            let own = chunks.next();
            let others: Vec<_> = chunks.map(|chunk| scope.spawn(move || work(chunk))).collect();
            let own = own.map_or(Ok(()), work);
            let others =
                others.into_iter().map(|other| other.join().unwrap_or_else(|cause| resume_unwind(cause)));
            std::iter::once(own).chain(others).collect::<Result<(), _>>()
        })?;
        Ok(batches)
    }

    /// One thread's part of a batch: `rows` are those of `instances` in each block of views.
    fn render_chunk(
        &self,
        instances: &[u32],
        mut rows: Vec<&mut [f32]>,
        render: impl Fn(&Image<'_>, u32, usize, &mut Scratch, &mut [f32]),
    ) -> Result<(), DataError> {
        let mut scratch = Scratch::default();
        let row = 3 * self.size * self.size;
        for (index, instance) in instances.iter().enumerate() {
            let image = self.image(*instance)?;
            for (view, rows) in rows.iter_mut().enumerate() {
                render(&image, *instance, view, &mut scratch, &mut rows[index * row..][..row]);
            }
        }
        Ok(())
    }

    /// The image of an instance, with as many pixels as its size says.
    fn image(&self, instance: u32) -> Result<Image<'_>, DataError> {
        let image = self.dataset.image(instance)?;
        let (width, height) = (image.width as usize, image.height as usize);
        if image.pixels.is_empty() || image.pixels.len() != 3 * width * height {
            let problem = format!("{} bytes are not an RGB image of {width} × {height}", image.pixels.len());
            return Err(DataError::Image { dataset: self.dataset.name(), index: instance, problem });
        }
        Ok(image)
    }
}
