//! Batches of views: what they hold, and what they do not depend on.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may stop where a promise is broken")]

use lookalike_base::Seed;
use lookalike_data::image::augment::{AugmentOptions, Augmentation, Normalization, Parameters, Scratch};
use lookalike_data::image::dataset::{Image, ImageDataset};
use lookalike_data::{
    BatchRequest, BatchSource, DataError, ImageBatch, ImageViews, Loader, LoaderOptions, PlainImages,
};
use std::borrow::Cow;
use std::num::NonZeroUsize;
use std::sync::Arc;

/// Noise images of `width` × `height`; those with an index in `broken` have a byte too few.
struct Noise {
    width: u32,
    height: u32,
    broken: &'static [u32],
}

impl ImageDataset for Noise {
    fn len(&self) -> usize {
        100
    }

    fn image(&self, index: u32) -> Result<Image<'_>, DataError> {
        let mut stream = Seed(1).stream("test", 0, 0, u64::from(index));
        let bytes = 3 * self.width * self.height - u32::from(self.broken.contains(&index));
        let pixels = (0..bytes).map(|_| stream.below(256) as u8).collect();
        Ok(Image { width: self.width, height: self.height, pixels: Cow::Owned(pixels) })
    }

    fn label(&self, _: u32) -> Option<u32> {
        None
    }

    fn classes(&self) -> &[String] {
        &[]
    }

    fn name(&self) -> String {
        "noise".into()
    }
}

const UNCHANGED: Normalization = Normalization { mean: [0.0; 3], std: [1.0; 3] };

fn count(threads: usize) -> NonZeroUsize {
    NonZeroUsize::new(threads).unwrap()
}

fn noise(broken: &'static [u32]) -> Arc<Noise> {
    Arc::new(Noise { width: 40, height: 33, broken })
}

fn views(threads: usize, broken: &'static [u32]) -> ImageViews {
    let options = AugmentOptions { blur: Some(0.5), solarize: Some(0.3), ..AugmentOptions::default() };
    ImageViews::new(noise(broken), options.validate().unwrap(), Seed(3), count(threads))
}

fn request(instances: Vec<u32>) -> BatchRequest {
    BatchRequest { instances, epoch: 2, step: 7 }
}

fn stacked(source: &ImageViews, request: &BatchRequest) -> ImageBatch {
    match &source.batch(request).unwrap().views[..] {
        [first, second] => {
            let [_, channels, height, width] = first.shape;
            let values = [&first.values[..], &second.values].concat();
            ImageBatch { values, shape: [2 * first.shape[0], channels, height, width] }
        }
        views => panic!("{} views", views.len()),
    }
}

#[test]
fn batches_do_not_depend_on_the_number_of_threads() {
    let requests: Vec<_> = (0..6)
        .map(|step| BatchRequest { instances: (step..step + 7).map(|i| i as u32).collect(), epoch: 0, step })
        .collect();
    let run = |threads, inner| -> Vec<_> {
        let options = LoaderOptions { threads: count(threads), ahead: count(3) };
        let mut loader = Loader::start(Arc::new(views(inner, &[])), requests.clone(), options).unwrap();
        std::iter::from_fn(|| loader.next()).map(Result::unwrap).collect()
    };
    let alone = run(1, 1);
    assert_eq!(alone.len(), 6);
    for (threads, inner) in [(4, 1), (1, 3), (2, 2), (1, 50)] {
        assert!(run(threads, inner) == alone, "{threads} threads with {inner} in a batch");
    }
}

#[test]
fn a_view_depends_on_its_instance_and_not_on_the_batch_around_it() {
    let source = views(1, &[]);
    let row = 3 * 32 * 32;
    let many = stacked(&source, &request(vec![5, 9, 1]));
    let one = stacked(&source, &request(vec![9]));
    assert_eq!((many.shape, one.shape), ([6, 3, 32, 32], [2, 3, 32, 32]));
    assert_eq!(many.values[row..2 * row], one.values[..row]);
    assert_eq!(many.values[4 * row..5 * row], one.values[row..]);
}

#[test]
fn views_differ_from_each_other_and_from_step_to_step() {
    let source = views(1, &[]);
    let row = 3 * 32 * 32;
    let now = stacked(&source, &request(vec![4]));
    assert_ne!(now.values[..row], now.values[row..]);
    let later = stacked(&source, &BatchRequest { step: 8, ..request(vec![4]) });
    let next_epoch = stacked(&source, &BatchRequest { epoch: 3, ..request(vec![4]) });
    assert!(now != later && now != next_epoch && later != next_epoch);
}

#[test]
fn the_second_view_follows_its_own_options() {
    let second = AugmentOptions {
        preset: Some(lookalike_data::image::augment::Preset::None),
        size: Some(32),
        ..Default::default()
    };
    let options = AugmentOptions { second_view: Some(Box::new(second)), ..AugmentOptions::default() };
    let source = ImageViews::new(noise(&[]), options.validate().unwrap(), Seed(3), count(1));
    let batch = stacked(&source, &request(vec![0, 1]));
    let plain = PlainImages::new(noise(&[]), 32, UNCHANGED, count(1)).batch(&request(vec![0, 1])).unwrap();
    assert_eq!(batch.values[plain.values.len()..], plain.values);
    assert_ne!(batch.values[..plain.values.len()], plain.values);
}

#[test]
fn plain_images_of_the_right_size_are_only_normalized() {
    let square = Arc::new(Noise { width: 32, height: 32, broken: &[] });
    let batch =
        PlainImages::new(square.clone(), 32, UNCHANGED, count(2)).batch(&request(vec![3, 8])).unwrap();
    assert_eq!(batch.shape, [2, 3, 32, 32]);
    let image = square.image(8).unwrap();
    for (place, level) in image.pixels.iter().enumerate() {
        let value = batch.values[3 * 1024 + place % 3 * 1024 + place / 3];
        assert!((value * 255.0 - f32::from(*level)).abs() < 1e-4);
    }
}

#[test]
fn the_error_of_a_batch_is_that_of_its_first_bad_image() {
    for threads in [1, 2, 5] {
        let error = views(threads, &[60, 20, 40]).batch(&request(vec![10, 20, 30, 40, 50, 60])).unwrap_err();
        assert!(matches!(&error, DataError::Image { index: 20, .. }), "{threads} threads: {error}");
    }
}

#[test]
fn an_image_without_pixels_is_an_error() {
    let empty = Arc::new(Noise { width: 0, height: 5, broken: &[] });
    let error = PlainImages::new(empty, 32, UNCHANGED, count(1)).batch(&request(vec![0])).unwrap_err();
    assert_eq!(error.to_string(), "instance 0 of noise: 0 bytes are not an RGB image of 0 × 5");
}

#[test]
fn a_batch_of_nothing_is_empty() {
    assert_eq!(stacked(&views(2, &[]), &request(Vec::new())).shape, [0, 3, 32, 32]);
}

#[test]
fn the_most_extreme_shapes_still_give_views() {
    for (width, height) in [(1, 1), (1, 300), (300, 1), (2, 3)] {
        let image = Image { width, height, pixels: Cow::Owned(vec![77; (3 * width * height) as usize]) };
        for augmentation in AugmentOptions::default().validate().unwrap() {
            let mut out = vec![0.0; 3 * 32 * 32];
            for instance in 0..50 {
                let mut stream = Seed(5).stream("augment", 0, 0, instance);
                augmentation.apply(&image, &mut stream, &mut Scratch::default(), &mut out);
                assert!(out.iter().all(|value| value.is_finite()));
            }
        }
        let mut out = vec![0.0; 3 * 32 * 32];
        let plain = Augmentation::plain(32, UNCHANGED);
        plain.render(&image, &Parameters::default(), &mut Scratch::default(), &mut out);
        assert!(out.iter().all(|value| (value * 255.0 - 77.0).abs() < 1e-3), "{width} × {height}");
    }
}
