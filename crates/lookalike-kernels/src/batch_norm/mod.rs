//! Batch normalisation in training (Ioffe and Szegedy 2015, <https://arxiv.org/abs/1502.03167>, Algorithm 1), with the
//! `ReLU` and the residual sum that follow it in a residual network fused into its passes.
//!
//! Sums run over blocks in `f32` and from block to block in `f64`. Images are split by the sizes alone: results do not
//! depend on the number of threads.

mod rows;
mod run;

use std::cell::Cell;
use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::dot::Level;
use crate::written::written;
use rows::{CombineRows, NormalizeRows, RowCovariance, RowMoments};
use run::{Combine, Covariance, Mask, Moments, Normalize};

/// Sizes of a batch `[N, C, …]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Images, N.
    pub images: usize,
    /// Groups of N / G consecutive images, each normalised by statistics of its own; G divides N. More than one is what
    /// training in several processes gives, and what MoCo's shuffled batch normalisation needs (He et al. 2020, §3.3).
    pub groups: usize,
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
        (self.images / self.groups * self.pixels) as f64
    }

    /// Images that one task takes: they are of one group. Without groups the last task may have fewer.
    fn task_images(&self) -> usize {
        const TASKS: usize = 64;
        /// Values that are worth a task.
        const LEAST: usize = 1 << 13;
        let most = self.images.div_ceil(TASKS).max(1);
        if self.groups == 1 {
            return if self.pixels == 1 { most.max(LEAST / self.channels) } else { most };
        }
        let group = self.images / self.groups;
        (1..=most).rev().find(|task| group.is_multiple_of(*task)).unwrap_or(1)
    }

    /// Values of the images that one task takes.
    fn task(&self) -> usize {
        self.task_images() * self.image()
    }

    /// Where in `[G, C]` the statistics of a task's images begin.
    fn statistics(&self, task: usize) -> usize {
        task * self.task_images() / (self.images / self.groups) * self.channels
    }

    fn check(&self, values: &[&[f32]], affine: &Affine<'_>, statistics: &[&[f32]]) {
        assert!(self.channels > 0 && self.pixels > 0, "no batch has the sizes {self:?}");
        assert!(
            self.groups > 0 && self.images.is_multiple_of(self.groups),
            "images do not split into groups in {self:?}"
        );
        for values in values {
            assert_eq!(values.len(), self.images * self.image(), "values in {self:?}");
        }
        for channel in [affine.scale, affine.shift] {
            assert_eq!(channel.len(), self.channels, "one value a channel in {self:?}");
        }
        for statistic in statistics {
            assert_eq!(
                statistic.len(),
                self.groups * self.channels,
                "one value a group and channel in {self:?}"
            );
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
    /// Mean of each channel, `[G, C]`.
    pub mean: Vec<f32>,
    /// Biased variance of each channel, `[G, C]`.
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

/// γ · (x − mean) / √(variance + ε) + β with mean and biased variance of each channel of each group, and
/// `then`.
///
/// # Panics
/// Where lengths do not fit `sizes`, there are no channels or pixels, or the groups do not divide the images.
pub fn forward(sizes: &Sizes, input: &[f32], affine: &Affine<'_>, then: Then<'_>) -> Normalized {
    forward_at(Level::detect(), sizes, input, affine, then)
}

fn forward_at(level: Level, sizes: &Sizes, input: &[f32], affine: &Affine<'_>, then: Then<'_>) -> Normalized {
    sizes.check(&[input], affine, &[]);
    // Squares are taken of the distance to some value of the channel, lest a large mean swallow the variance.
    let first_images = input.chunks((input.len() / sizes.groups).max(1));
    let origins: Vec<f32> = first_images
        .flat_map(|image| image.iter().step_by(sizes.pixels).take(sizes.channels).copied())
        .collect();
    let sums = channel_sums(sizes, input.par_chunks(sizes.task()), |first, _, values, totals| {
        let origins = &origins[first..][..sizes.channels];
        if sizes.pixels == 1 {
            return level.run(RowMoments { values, origins, totals });
        }
        for (index, run) in values.chunks_exact(sizes.pixels).enumerate() {
            let channel = index % sizes.channels;
            let [one, other] = level.run(Moments { values: run, origin: origins[channel] });
            totals[channel][0] += one;
            totals[channel][1] += other;
        }
    });
    let (mut mean, mut variance) = (vec![0.0; sums.len()], vec![0.0; sums.len()]);
    for (index, ([first, second], origin)) in sums.iter().zip(&origins).enumerate() {
        let distance = first / sizes.count();
        mean[index] = (f64::from(*origin) + distance) as f32;
        variance[index] = (second / sizes.count() - distance * distance).max(0.0) as f32;
    }
    let output = normalize_at(level, sizes, input, affine, [&mean, &variance], then);
    Normalized { output, mean, variance }
}

/// γ · (x − mean) / √(variance + ε) + β with the mean and variance `[G, C]` given, and `then`: with one group, what a
/// network does when it is evaluated with running statistics.
///
/// # Panics
/// As [`forward`].
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
    sizes.check(&[input, residual], affine, &[mean, variance]);
    let deviations = inverse_deviations(variance, affine.epsilon);
    let scales = scales(affine, &deviations);
    let (adds, relu) = (matches!(then, Then::AddRelu(_)), !matches!(then, Then::Nothing));
    let write = |out: &mut [MaybeUninit<f32>]| {
        let task = sizes.task();
        let tasks = (out.par_chunks_mut(task), input.par_chunks(task), residual.par_chunks(task));
        tasks.into_par_iter().enumerate().for_each(|(task, (out, input, residual))| {
            let first = sizes.statistics(task);
            if sizes.pixels == 1 {
                let [mean, scale] = [mean, &scales].map(|values| &values[first..][..sizes.channels]);
                let residual = adds.then_some(residual);
                let shift = affine.shift;
                return level.run(NormalizeRows { input, mean, scale, shift, residual, relu, out });
            }
            let runs = out.chunks_exact_mut(sizes.pixels).zip(input.chunks_exact(sizes.pixels));
            let runs = runs.zip(residual.chunks_exact(sizes.pixels));
            for (index, ((out, input), residual)) in runs.enumerate() {
                let channel = index % sizes.channels;
                level.run(Normalize {
                    input,
                    mean: mean[first + channel],
                    scale: scales[first + channel],
                    shift: affine.shift[channel],
                    residual: adds.then_some(residual),
                    relu,
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
/// As [`forward`].
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
    sizes.check(&[input, gradient], affine, &[mean, variance]);
    let deviations = inverse_deviations(variance, affine.epsilon);
    let scales = scales(affine, &deviations);
    // Of a `ReLU` without residual the output is computed again: that is cheaper than reading it.
    let mask = |first: usize, channel: usize| match after {
        After::Relu => Some((scales[first + channel], affine.shift[channel])),
        After::Nothing | After::AddRelu(_) => None,
    };
    let masks = |first: usize| {
        matches!(after, After::Relu).then_some([&scales[first..][..sizes.channels], affine.shift])
    };
    let residual = match after {
        After::AddRelu(output) => Some(behind_relu(level, sizes, gradient, output)),
        After::Nothing | After::Relu => None,
    };
    let gradient = residual.as_deref().unwrap_or(gradient);
    let sums = channel_sums(sizes, input.par_chunks(sizes.task()), |first, task, input, totals| {
        let gradient = &gradient[task * sizes.task()..][..input.len()];
        if sizes.pixels == 1 {
            let mean = &mean[first..][..sizes.channels];
            return level.run(RowCovariance { input, gradient, mean, mask: masks(first), totals });
        }
        let runs = input.chunks_exact(sizes.pixels).zip(gradient.chunks_exact(sizes.pixels));
        for (index, (input, gradient)) in runs.enumerate() {
            let channel = index % sizes.channels;
            let (mean, mask) = (mean[first + channel], mask(first, channel));
            let [one, other] = level.run(Covariance { input, gradient, mean, mask });
            totals[channel][0] += one;
            totals[channel][1] += other;
        }
    });
    let combine = |([sum, product], deviation): (&[f64; 2], &f32)| {
        let slope = product / sizes.count() * f64::from(*deviation).powi(2);
        [(sum / sizes.count()) as f32, slope as f32]
    };
    let combine: Vec<[f32; 2]> = sums.iter().zip(&deviations).map(combine).collect();
    let write = |out: &mut [MaybeUninit<f32>]| {
        let task = sizes.task();
        let tasks = (out.par_chunks_mut(task), input.par_chunks(task), gradient.par_chunks(task));
        tasks.into_par_iter().enumerate().for_each(|(task, (out, input, gradient))| {
            let first = sizes.statistics(task);
            if sizes.pixels == 1 {
                let [mean, scale] = [mean, &scales].map(|values| &values[first..][..sizes.channels]);
                let combine = &combine[first..][..sizes.channels];
                let mask = masks(first);
                return level.run(CombineRows { input, gradient, mean, scale, combine, mask, out });
            }
            let runs = out.chunks_exact_mut(sizes.pixels).zip(input.chunks_exact(sizes.pixels));
            for (index, ((out, input), gradient)) in runs.zip(gradient.chunks_exact(sizes.pixels)).enumerate()
            {
                let channel = index % sizes.channels;
                let place = first + channel;
                let (mean, scale, [sum, slope]) = (mean[place], scales[place], combine[place]);
                let mask = mask(first, channel);
                level.run(Combine { input, gradient, mean, scale, sum, slope, mask, out });
            }
        });
    };
    #[expect(unsafe_code, reason = "the gradient is not cleared before it is written")]
    // SAFETY: tasks and runs cover the result, which is as long as the input, and each run is written whole.
    let input = unsafe { written(input.len(), write) };
    let (mut scale, mut shift) = (vec![0.0; sizes.channels], vec![0.0; sizes.channels]);
    for (place, ([sum, product], deviation)) in sums.iter().zip(&deviations).enumerate() {
        scale[place % sizes.channels] += product * f64::from(*deviation);
        shift[place % sizes.channels] += sum;
    }
    let [scale, shift] =
        [scale, shift].map(|sums: Vec<f64>| sums.into_iter().map(|sum| sum as f32).collect());
    Gradients { input, residual, scale, shift }
}

/// The gradient where a `ReLU`'s output is positive, else 0.
#[expect(unsafe_code, reason = "the gradient is not cleared before it is written")]
fn behind_relu(level: Level, sizes: &Sizes, gradient: &[f32], output: &[f32]) -> Vec<f32> {
    assert_eq!(output.len(), gradient.len(), "values of the output in {sizes:?}");
    let write = |out: &mut [MaybeUninit<f32>]| {
        let tasks = out.par_chunks_mut(sizes.task()).zip(gradient.par_chunks(sizes.task()));
        tasks
            .zip(output.par_chunks(sizes.task()))
            .for_each(|((out, gradient), output)| level.run(Mask { gradient, output, out }));
    };
    // SAFETY: the tasks cover the result, which is as long as the gradient, and each is written whole.
    unsafe { written(gradient.len(), write) }
}

/// γ / √(variance + ε) of each channel of each group.
fn scales(affine: &Affine<'_>, deviations: &[f32]) -> Vec<f32> {
    affine.scale.iter().cycle().zip(deviations).map(|(scale, deviation)| scale * deviation).collect()
}

fn inverse_deviations(variance: &[f32], epsilon: f64) -> Vec<f32> {
    variance.iter().map(|variance| (1.0 / (f64::from(*variance) + epsilon).sqrt()) as f32).collect()
}

/// The sums `[G, C]` of what `sums` adds to the totals of a task's channels, called with the place of the group's first
/// statistic, the task and its values. Tasks are added in their order.
fn channel_sums<'a>(
    sizes: &Sizes,
    tasks: impl IndexedParallelIterator<Item = &'a [f32]>,
    sums: impl Fn(usize, usize, &[f32], &mut [[f64; 2]]) + Sync,
) -> Vec<[f64; 2]> {
    thread_local! {
        static PARTIALS: Cell<Vec<[f64; 2]>> = const { Cell::new(Vec::new()) };
    }
    let mut partials = PARTIALS.take();
    partials.clear();
    partials.resize(tasks.len() * sizes.channels, [0.0; 2]);
    let targets = partials.par_chunks_exact_mut(sizes.channels);
    targets.zip(tasks).enumerate().for_each(|(task, (totals, images))| {
        sums(sizes.statistics(task), task, images, totals);
    });
    let mut totals = vec![[0.0; 2]; sizes.groups * sizes.channels];
    for (task, partial) in partials.chunks_exact(sizes.channels).enumerate() {
        for (total, partial) in totals[sizes.statistics(task)..].iter_mut().zip(partial) {
            total[0] += partial[0];
            total[1] += partial[1];
        }
    }
    PARTIALS.set(partials);
    totals
}

#[cfg(test)]
mod tests;
