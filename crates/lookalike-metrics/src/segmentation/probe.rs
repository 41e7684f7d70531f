//! A linear probe of pixels: a normalisation of each feature and a 1×1 convolution on frozen maps, bilinear interpolation of what they say,
//! and cross-entropy over pixels.
//!
//! The protocol of linear segmentation (Van Gansbeke et al. 2021, *Unsupervised Semantic Segmentation by Contrasting Object Mask Proposals*,
//! section 4.2; Oquab et al. 2024, *DINOv2*, section 7.4) on maps made once: stochastic gradient descent with momentum 0.9 and no weight
//! decay, the rate on a cosine without restarts, the classifier of the last epoch. As images are not augmented, the normalisation is
//! BatchNorm's closed form, mean and deviation of all cells to learn from. The rate is chosen on held-out images among those to learn from, by
//! mean IoU; then all are fitted anew with it.

use lookalike_base::{Rows, Seed, Watch};
use lookalike_kernels::map::Precision;
use lookalike_kernels::product::{Operand, multiply};
use lookalike_kernels::softmax::softmax_of_columns;
use rayon::prelude::*;
use serde::Serialize;

use super::bilinear::Bilinear;
use super::{Confusion, DenseImage, IGNORED, check_cells, check_images, likeliest};
use crate::check;
use crate::error::MetricError;
use crate::standardize::Standardizer;

const SCORE: &str = "the segmentation probe";
const MOMENTUM: f32 = 0.9;

/// How the probe is trained.
#[derive(Debug, Clone, PartialEq)]
pub struct SegmentationOptions {
    /// Learning rates to choose from; by default 0.01 to 1 in steps of about √10.
    pub rates: Vec<f32>,
    /// Passes over the images; by default 40.
    pub epochs: usize,
    /// Images a step; by default 16.
    pub batch_size: usize,
    /// Share of the images on which the rate is chosen; by default 0.2.
    pub held_out: f64,
    /// Draws held-out images and batches.
    pub seed: Seed,
}

impl Default for SegmentationOptions {
    fn default() -> Self {
        let rates = vec![0.01, 0.03, 0.1, 0.3, 1.0];
        Self { rates, epochs: 40, batch_size: 16, held_out: 0.2, seed: Seed(0) }
    }
}

impl SegmentationOptions {
    /// How many epochs the probe trains in all, by which its progress advances: each rate, and the final fit.
    pub fn total_epochs(&self) -> u64 {
        let fits = if self.rates.len() == 1 { 1 } else { self.rates.len() + 1 };
        (self.epochs * fits) as u64
    }
}

/// A trained probe.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SegmentationProbe {
    /// The learning rate that was chosen: greatest mean IoU on the held-out images, among equals the least.
    pub rate: f32,
    /// Whether it is the least or greatest on offer of several, so that a better one may lie beyond.
    pub rate_at_edge: bool,
    /// What the classifier has of each class and feature as they come, the normalisation folded in, `[classes, d]`.
    pub weights: Vec<f32>,
    /// What it adds, a value a class.
    pub bias: Vec<f32>,
}

impl SegmentationProbe {
    /// Trains a probe on `images`. The progress of `watch` advances by one an epoch, [`SegmentationOptions::total_epochs`] in all, and after
    /// each it is asked whether to stop. A single rate is taken as it is, without holding images out.
    ///
    /// The same input, options and processor give the same result on any number of threads.
    ///
    /// # Errors
    /// [`MetricError::Undefined`] where pixels have fewer than two classes, where there is one image and a rate to choose, or where every rate
    /// diverged; other variants where inputs do not fit each other, are not finite, or an option is impossible; and
    /// [`MetricError::Cancelled`] where `watch` said so.
    pub fn fit(
        images: &[DenseImage<'_>],
        classes: usize,
        options: &SegmentationOptions,
        watch: Watch<'_>,
    ) -> Result<Self, MetricError> {
        let SegmentationOptions { rates, epochs, batch_size, held_out, .. } = options;
        check::training(rates, *epochs, *batch_size, *held_out)?;
        check_images(SCORE, images, classes)?;
        let cells: Vec<Rows<'_>> = images.iter().map(|image| image.cells).collect();
        let problem = Problem { images, classes, standardizer: Standardizer::of(&cells), options, watch };
        let all: Vec<u32> = (0..images.len() as u32).collect();
        let rate = match options.rates[..] {
            [rate] => rate,
            _ => problem.choose(&all)?,
        };
        let fitted = problem.fit(&all, rate)?;
        if !fitted.is_finite() {
            return Err(diverged());
        }
        let (weights, bias) = problem.folded(&fitted);
        Ok(Self { rate, rate_at_edge: check::at_edge(rate, &options.rates), weights, bias })
    }

    /// The class of each pixel of an image.
    ///
    /// # Errors
    /// [`MetricError`] where the cells do not fit the grid, or have another number of features.
    pub fn predict(
        &self,
        cells: Rows<'_>,
        grid: [usize; 2],
        size: [usize; 2],
    ) -> Result<Vec<u8>, MetricError> {
        check_cells(cells, grid, size)?;
        check::finite("cells", cells)?;
        let classes = self.bias.len();
        let own = Rows::new(&self.weights, self.weights.len() / classes)
            .map_err(|problem| MetricError::Values { what: "weights", problem })?;
        check::same_dimensions("the probe's weights", own, "cells", cells)?;
        Ok(likeliest(&logits(&self.weights, &self.bias, cells), classes, grid, size))
    }
}

fn diverged() -> MetricError {
    MetricError::undefined(SCORE, "training diverged at every learning rate; offer lower ones")
}

/// What is said of each cell, `[classes, cells]`.
fn logits(weights: &[f32], bias: &[f32], cells: Rows<'_>) -> Vec<f32> {
    let (classes, columns) = (bias.len(), cells.columns());
    let left = Operand::new(weights, classes, columns);
    let right = Operand::new(cells.values(), cells.len(), columns).transposed();
    let mut planes = multiply(left, right, None, Precision::F32);
    for (plane, bias) in planes.chunks_exact_mut(cells.len()).zip(bias) {
        for value in plane {
            *value += bias;
        }
    }
    planes
}

/// Weights of normalised features, `[classes, d]`, and a bias a class.
#[derive(Debug, Clone)]
struct Classifier {
    weights: Vec<f32>,
    bias: Vec<f32>,
}

impl Classifier {
    fn zeros(classes: usize, columns: usize) -> Self {
        Self { weights: vec![0.0; classes * columns], bias: vec![0.0; classes] }
    }

    fn is_finite(&self) -> bool {
        self.weights.iter().chain(&self.bias).all(|value| value.is_finite())
    }

    /// Its values beside those of another.
    fn zip<'a>(&'a mut self, other: &'a Self) -> impl Iterator<Item = (&'a mut f32, &'a f32)> {
        let bias = self.bias.iter_mut().zip(&other.bias);
        self.weights.iter_mut().zip(&other.weights).chain(bias)
    }
}

/// What all fits of a probe share.
struct Problem<'a> {
    images: &'a [DenseImage<'a>],
    classes: usize,
    standardizer: Standardizer,
    options: &'a SegmentationOptions,
    watch: Watch<'a>,
}

impl Problem<'_> {
    /// The weights and the bias that make of features as they come what `classifier` makes of normalised ones.
    fn folded(&self, classifier: &Classifier) -> (Vec<f32>, Vec<f32>) {
        let Standardizer { means, scales } = &self.standardizer;
        let (mut weights, mut bias) = (classifier.weights.clone(), classifier.bias.clone());
        for (weights, bias) in weights.chunks_exact_mut(means.len()).zip(&mut bias) {
            let mut shift = 0.0;
            for (weight, (mean, scale)) in weights.iter_mut().zip(means.iter().zip(scales)) {
                let scaled = f64::from(*weight) * scale;
                shift += scaled * mean;
                *weight = scaled as f32;
            }
            *bias = (f64::from(*bias) - shift) as f32;
        }
        (weights, bias)
    }

    /// The rate that does best on images that are held out.
    fn choose(&self, all: &[u32]) -> Result<f32, MetricError> {
        let mut order = all.to_vec();
        self.options.seed.stream("segmentation held out", 0, 0, 0).shuffle(&mut order);
        let most = order.len() - 1;
        if most == 0 {
            let reason = "there is one image to learn from, and the learning rate is chosen on another";
            return Err(MetricError::undefined(SCORE, reason));
        }
        let amount = ((order.len() as f64 * self.options.held_out).round() as usize).clamp(1, most);
        let (held_out, fitted) = order.split_at(amount);
        let score = |rate: &f32| {
            let classifier = self.fit(fitted, *rate)?;
            Ok(classifier.is_finite().then(|| self.mean_iou(&classifier, held_out)).transpose()?.flatten())
        };
        let scores: Vec<Result<Option<f64>, MetricError>> =
            self.options.rates.par_iter().map(score).collect();
        let mut best: Option<(f64, f32)> = None;
        for (score, rate) in scores.into_iter().zip(&self.options.rates) {
            let Some(score) = score? else { continue };
            let better = |(most, least): (f64, f32)| score > most || (score == most && *rate < least);
            if best.is_none_or(better) {
                best = Some((score, *rate));
            }
        }
        best.map(|(_, rate)| rate).ok_or_else(diverged)
    }

    /// Mean IoU on these images; `None` where none of their pixels counts.
    fn mean_iou(&self, classifier: &Classifier, images: &[u32]) -> Result<Option<f64>, MetricError> {
        let (weights, bias) = self.folded(classifier);
        let mut confusion = Confusion::new(self.classes)?;
        for image in images {
            let DenseImage { cells, grid, truth, size } = self.images[*image as usize];
            confusion.add(truth, &likeliest(&logits(&weights, &bias, cells), self.classes, grid, size))?;
        }
        match confusion.scores() {
            Ok(scores) => Ok(Some(scores.mean_iou)),
            Err(MetricError::Undefined { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Fits the chosen images, from zeros: the problem is convex, so the start needs no chance.
    fn fit(&self, images: &[u32], rate: f32) -> Result<Classifier, MetricError> {
        let SegmentationOptions { epochs, batch_size, seed, .. } = self.options;
        let columns = self.standardizer.means.len();
        let mut classifier = Classifier::zeros(self.classes, columns);
        let mut velocity = classifier.clone();
        let steps = epochs * images.len().div_ceil(*batch_size);
        let mut done = 0;
        for epoch in 0..*epochs {
            let mut order = images.to_vec();
            seed.stream("segmentation batches", epoch as u64, 0, 0).shuffle(&mut order);
            for batch in order.chunks(*batch_size) {
                let phase = std::f64::consts::PI * f64::from(done) / steps as f64;
                let rate = (f64::from(rate) * 0.5 * (1.0 + phase.cos())) as f32;
                let gradient = self.gradient(&classifier, batch);
                for (velocity, gradient) in velocity.zip(&gradient) {
                    *velocity = MOMENTUM * *velocity + gradient;
                }
                classifier.zip(&velocity).for_each(|(value, velocity)| *value -= rate * velocity);
                done += 1;
            }
            self.watch.progress.advance(1);
            if self.watch.is_cancelled() {
                return Err(MetricError::Cancelled);
            }
        }
        Ok(classifier)
    }

    /// The gradient of the mean cross-entropy of all pixels of a batch that count; 0 where none does.
    fn gradient(&self, classifier: &Classifier, batch: &[u32]) -> Classifier {
        let counts = |image: &u32| {
            self.images[*image as usize].truth.iter().filter(|class| **class != IGNORED).count()
        };
        let pixels: usize = batch.iter().map(counts).sum();
        let mut sum = Classifier::zeros(self.classes, self.standardizer.means.len());
        if pixels == 0 {
            return sum;
        }
        let (weights, bias) = self.folded(classifier);
        let share = 1.0 / pixels as f32;
        let of_image = |image: &u32| self.of_image(&weights, &bias, &self.images[*image as usize], share);
        let parts: Vec<Classifier> = batch.par_iter().map(of_image).collect();
        // In the order of the batch, however many threads there are.
        for part in &parts {
            sum.zip(part).for_each(|(sum, part)| *sum += part);
        }
        let Standardizer { means, scales } = &self.standardizer;
        for (weights, bias) in sum.weights.chunks_exact_mut(means.len()).zip(&sum.bias) {
            for (weight, (mean, scale)) in weights.iter_mut().zip(means.iter().zip(scales)) {
                *weight = ((f64::from(*weight) - f64::from(*bias) * mean) * scale) as f32;
            }
        }
        sum
    }

    /// The gradient of an image by weights and bias of features as they come, of the sum over its pixels times `share`.
    fn of_image(&self, weights: &[f32], bias: &[f32], image: &DenseImage<'_>, share: f32) -> Classifier {
        let DenseImage { cells, grid, truth, size } = *image;
        let planes = logits(weights, bias, cells);
        let upsampling = Bilinear::new(grid, size);
        let mut pixels = vec![0.0; self.classes * truth.len()];
        for (plane, pixels) in planes.chunks_exact(cells.len()).zip(pixels.chunks_exact_mut(truth.len())) {
            upsampling.forward(plane, pixels);
        }
        softmax_less_truth(&mut pixels, truth, share);
        let mut errors = vec![0.0; planes.len()];
        for (pixels, errors) in pixels.chunks_exact(truth.len()).zip(errors.chunks_exact_mut(cells.len())) {
            upsampling.backward(pixels, errors);
        }
        let sums = errors.chunks_exact(cells.len()).map(|errors| errors.iter().sum());
        let left = Operand::new(&errors, self.classes, cells.len());
        let right = Operand::new(cells.values(), cells.len(), cells.columns());
        Classifier { bias: sums.collect(), weights: multiply(left, right, None, Precision::F32) }
    }
}

/// Makes of the logits of pixels, `[classes, pixels]`, the gradient of their cross-entropy times `share`; 0 of pixels that do not count.
fn softmax_less_truth(logits: &mut [f32], truth: &[u8], share: f32) {
    let factors: Vec<f32> = truth.iter().map(|class| if *class == IGNORED { 0.0 } else { share }).collect();
    softmax_of_columns(logits, &factors);
    for (pixel, class) in truth.iter().enumerate().filter(|(_, class)| **class != IGNORED) {
        logits[usize::from(*class) * truth.len() + pixel] -= share;
    }
}
