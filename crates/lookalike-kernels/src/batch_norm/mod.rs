//! Batch normalisation in training (Ioffe and Szegedy 2015, <https://arxiv.org/abs/1502.03167>, Algorithm 1), with the
//! `ReLU` and the residual sum that follow it in a residual network fused into its passes.
//!
//! Sums run over blocks in `f32` and from block to block in `f64`. Images are split by the sizes alone: results do not
//! depend on the number of threads.

mod run;

use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::dot::Level;
use crate::written::written;
use run::{Combine, Covariance, Mask, Moments, Normalize};

/// Sizes of a batch `[N, C, …]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Images, N.
    pub images: usize,
    /// Channels, C.
    pub channels: usize,
    /// Values of one channel of one image.
    pub pixels: usize,
}

impl Sizes {
    fn image(&self) -> usize {
        self.channels * self.pixels
    }

    /// Values over which a channel is normalized.
    fn count(&self) -> f64 {
        (self.images * self.pixels) as f64
    }

    /// Values of the images that one task takes.
    fn task(&self) -> usize {
        const TASKS: usize = 64;
        self.images.div_ceil(TASKS).max(1) * self.image()
    }

    fn check(&self, values: &[&[f32]], channels: &[&[f32]]) {
        assert!(self.channels > 0 && self.pixels > 0, "no batch has the sizes {self:?}");
        for values in values {
            assert_eq!(values.len(), self.images * self.image(), "values in {self:?}");
        }
        for channel in channels {
            assert_eq!(channel.len(), self.channels, "one value a channel in {self:?}");
        }
    }
}

/// Learned scale and shift, one a channel, and what is added to the variance.
#[derive(Debug, Clone, Copy)]
pub struct Affine<'a> {
    /// γ
    pub scale: &'a [f32],
    /// β
    pub shift: &'a [f32],
    /// ε
    pub epsilon: f64,
}

/// What follows the normalisation, as [`forward`] is to compute it.
#[derive(Debug, Clone, Copy)]
pub enum Then<'a> {
    /// Nothing.
    Nothing,
    /// max(0, ·)
    Relu,
    /// max(0, · + residual), the residual being as large as the input.
    AddRelu(&'a [f32]),
}

/// What followed the normalisation, as [`backward`] needs it.
#[derive(Debug, Clone, Copy)]
pub enum After<'a> {
    /// Nothing.
    Nothing,
    /// A `ReLU`.
    Relu,
    /// Residual and `ReLU`, with their output.
    AddRelu(&'a [f32]),
}

/// What [`forward`] computes.
#[derive(Debug, Clone, PartialEq)]
pub struct Normalized {
    /// As large as the input.
    pub output: Vec<f32>,
    /// Mean of each channel.
    pub mean: Vec<f32>,
    /// Biased variance of each channel.
    pub variance: Vec<f32>,
}

/// What [`backward`] computes.
#[derive(Debug, Clone, PartialEq)]
pub struct Gradients {
    /// Of the input.
    pub input: Vec<f32>,
    /// Of the residual, where there was one.
    pub residual: Option<Vec<f32>>,
    /// Of γ.
    pub scale: Vec<f32>,
    /// Of β.
    pub shift: Vec<f32>,
}

/// γ · (x − mean) / √(variance + ε) + β with mean and biased variance of each channel, and `then`.
///
/// # Panics
/// Where lengths do not fit `sizes`, or there are no channels or pixels.
pub fn forward(sizes: &Sizes, input: &[f32], affine: &Affine<'_>, then: Then<'_>) -> Normalized {
    forward_at(Level::detect(), sizes, input, affine, then)
}

fn forward_at(level: Level, sizes: &Sizes, input: &[f32], affine: &Affine<'_>, then: Then<'_>) -> Normalized {
    sizes.check(&[input], &[]);
    // Squares are taken of the distance to some value of the channel, lest a large mean swallow the variance.
    let origins: Vec<f32> = input.iter().step_by(sizes.pixels).take(sizes.channels).copied().collect();
    let partials = input.par_chunks(sizes.task()).map(|images| {
        channel_sums(sizes, images, |channel, run, _| {
            level.run(Moments { values: run, origin: origins[channel] })
        })
    });
    let sums = total(sizes, partials.collect());
    let (mut mean, mut variance) = (vec![0.0; sizes.channels], vec![0.0; sizes.channels]);
    for (channel, [first, second]) in sums.iter().enumerate().filter(|_| sizes.images > 0) {
        let distance = first / sizes.count();
        mean[channel] = (f64::from(origins[channel]) + distance) as f32;
        variance[channel] = (second / sizes.count() - distance * distance).max(0.0) as f32;
    }
    let output = normalize_at(level, sizes, input, affine, [&mean, &variance], then);
    Normalized { output, mean, variance }
}

/// γ · (x − mean) / √(variance + ε) + β with the mean and variance given for each channel, and `then`: what a network
/// does when it is evaluated with running statistics.
///
/// # Panics
/// Where lengths do not fit `sizes`, or there are no channels or pixels.
pub fn normalize(
    sizes: &Sizes,
    input: &[f32],
    affine: &Affine<'_>,
    statistics: [&[f32]; 2],
    then: Then<'_>,
) -> Vec<f32> {
    normalize_at(Level::detect(), sizes, input, affine, statistics, then)
}

#[expect(unsafe_code, reason = "the output is not cleared before it is written")]
fn normalize_at(
    level: Level,
    sizes: &Sizes,
    input: &[f32],
    affine: &Affine<'_>,
    [mean, variance]: [&[f32]; 2],
    then: Then<'_>,
) -> Vec<f32> {
    let residual = if let Then::AddRelu(residual) = then { residual } else { input };
    sizes.check(&[input, residual], &[affine.scale, affine.shift, mean, variance]);
    let deviations = inverse_deviations(variance, affine.epsilon);
    let write = |out: &mut [MaybeUninit<f32>]| {
        let task = sizes.task();
        let tasks = (out.par_chunks_mut(task), input.par_chunks(task), residual.par_chunks(task));
        tasks.into_par_iter().for_each(|(out, input, residual)| {
            let runs = out.chunks_exact_mut(sizes.pixels).zip(input.chunks_exact(sizes.pixels));
            let runs = runs.zip(residual.chunks_exact(sizes.pixels));
            for (index, ((out, input), residual)) in runs.enumerate() {
                let channel = index % sizes.channels;
                level.run(Normalize {
                    input,
                    mean: mean[channel],
                    scale: affine.scale[channel] * deviations[channel],
                    shift: affine.shift[channel],
                    residual: matches!(then, Then::AddRelu(_)).then_some(residual),
                    relu: !matches!(then, Then::Nothing),
                    out,
                });
            }
        });
    };
    // SAFETY: tasks and runs cover the output, which is as long as the input, and each run is written whole.
    unsafe { written(input.len(), write) }
}

/// The gradients of [`forward`], given the gradient of its output, the same `input` and `affine`, and the statistics
/// that it returned.
///
/// # Panics
/// Where lengths do not fit `sizes`, or there are no channels or pixels.
pub fn backward(
    sizes: &Sizes,
    input: &[f32],
    affine: &Affine<'_>,
    [mean, variance]: [&[f32]; 2],
    gradient: &[f32],
    after: After<'_>,
) -> Gradients {
    backward_at(Level::detect(), sizes, input, affine, [mean, variance], gradient, after)
}

fn backward_at(
    level: Level,
    sizes: &Sizes,
    input: &[f32],
    affine: &Affine<'_>,
    [mean, variance]: [&[f32]; 2],
    gradient: &[f32],
    after: After<'_>,
) -> Gradients {
    sizes.check(&[input, gradient], &[affine.scale, affine.shift, mean, variance]);
    let deviations = inverse_deviations(variance, affine.epsilon);
    let scales: Vec<f32> =
        affine.scale.iter().zip(&deviations).map(|(scale, deviation)| scale * deviation).collect();
    // Of a `ReLU` without residual the output is computed again: that is cheaper than reading it.
    let mask = |channel: usize| match after {
        After::Relu => Some((scales[channel], affine.shift[channel])),
        After::Nothing | After::AddRelu(_) => None,
    };
    let residual = match after {
        After::AddRelu(output) => Some(behind_relu(level, sizes, gradient, output)),
        After::Nothing | After::Relu => None,
    };
    let gradient = residual.as_deref().unwrap_or(gradient);
    let partials =
        input.par_chunks(sizes.task()).zip(gradient.par_chunks(sizes.task())).map(|(images, gradient)| {
            channel_sums(sizes, images, |channel, run, place| {
                let gradient = &gradient[place..][..run.len()];
                level.run(Covariance { input: run, gradient, mean: mean[channel], mask: mask(channel) })
            })
        });
    let sums = total(sizes, partials.collect());
    let combine = |channel: usize| {
        let [sum, product] = sums[channel].map(|sum| sum / sizes.count());
        let deviation = f64::from(deviations[channel]);
        [sum as f32, (product * deviation * deviation) as f32]
    };
    let combine: Vec<[f32; 2]> = (0..sizes.channels).map(combine).collect();
    let write = |out: &mut [MaybeUninit<f32>]| {
        let task = sizes.task();
        let tasks = (out.par_chunks_mut(task), input.par_chunks(task), gradient.par_chunks(task));
        tasks.into_par_iter().for_each(|(out, input, gradient)| {
            let runs = out.chunks_exact_mut(sizes.pixels).zip(input.chunks_exact(sizes.pixels));
            for (index, ((out, input), gradient)) in runs.zip(gradient.chunks_exact(sizes.pixels)).enumerate()
            {
                let channel = index % sizes.channels;
                let (mean, scale, [sum, slope]) = (mean[channel], scales[channel], combine[channel]);
                level.run(Combine { input, gradient, mean, scale, sum, slope, mask: mask(channel), out });
            }
        });
    };
    #[expect(unsafe_code, reason = "the gradient is not cleared before it is written")]
    // SAFETY: tasks and runs cover the result, which is as long as the input, and each run is written whole.
    let input = unsafe { written(input.len(), write) };
    let scale = sums
        .iter()
        .zip(&deviations)
        .map(|([_, product], deviation)| (product * f64::from(*deviation)) as f32);
    Gradients {
        input,
        residual,
        scale: scale.collect(),
        shift: sums.iter().map(|[sum, _]| *sum as f32).collect(),
    }
}

/// The gradient where a `ReLU`'s output is positive, else 0.
#[expect(unsafe_code, reason = "the gradient is not cleared before it is written")]
fn behind_relu(level: Level, sizes: &Sizes, gradient: &[f32], output: &[f32]) -> Vec<f32> {
    sizes.check(&[output], &[]);
    let write = |out: &mut [MaybeUninit<f32>]| {
        let tasks = out.par_chunks_mut(sizes.task()).zip(gradient.par_chunks(sizes.task()));
        tasks
            .zip(output.par_chunks(sizes.task()))
            .for_each(|((out, gradient), output)| level.run(Mask { gradient, output, out }));
    };
    // SAFETY: the tasks cover the result, which is as long as the gradient, and each is written whole.
    unsafe { written(gradient.len(), write) }
}

fn inverse_deviations(variance: &[f32], epsilon: f64) -> Vec<f32> {
    variance.iter().map(|variance| (1.0 / (f64::from(*variance) + epsilon).sqrt()) as f32).collect()
}

/// For each channel the sum of what `sums` gives for its runs, called with the channel, the run and where it begins.
fn channel_sums(
    sizes: &Sizes,
    images: &[f32],
    sums: impl Fn(usize, &[f32], usize) -> [f64; 2],
) -> Vec<[f64; 2]> {
    let mut totals = vec![[0.0; 2]; sizes.channels];
    for (index, run) in images.chunks_exact(sizes.pixels).enumerate() {
        let channel = index % sizes.channels;
        let [first, second] = sums(channel, run, index * sizes.pixels);
        totals[channel][0] += first;
        totals[channel][1] += second;
    }
    totals
}

/// The sum of all tasks' sums, in their order.
fn total(sizes: &Sizes, partials: Vec<Vec<[f64; 2]>>) -> Vec<[f64; 2]> {
    let mut totals = vec![[0.0; 2]; sizes.channels];
    for partial in partials {
        for (total, partial) in totals.iter_mut().zip(partial) {
            total[0] += partial[0];
            total[1] += partial[1];
        }
    }
    totals
}

#[cfg(test)]
mod tests;
