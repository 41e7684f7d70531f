//! Batch normalisation of rows of one value a channel, as behind a linear layer.

use std::cell::Cell;
use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::{
    Affine, After, Gradients, Normalized, Statistics, Sums, Then, check, inverse_deviation, losses, moments,
};
use crate::dot::Level;
use crate::written::written;
use loops::{CombineRows, MaskRows, NormalizeRows, RowCovariance, RowMoments};

mod loops;

/// Sizes of a batch `[N, C]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Rows, N.
    pub rows: usize,
    /// Groups of N / G consecutive rows, each normalised by statistics of its own; G divides N.
    pub groups: usize,
    /// Channels, C.
    pub channels: usize,
}

impl Sizes {
    /// Values over which a channel is normalised.
    fn count(&self) -> f64 {
        (self.rows / self.groups) as f64
    }

    /// Rows that one task takes: they are of one group. Without groups the last task may have fewer.
    fn task_rows(&self) -> usize {
        const TASKS: usize = 64;
        /// Values that are worth a task.
        const LEAST: usize = 1 << 13;
        let most = self.rows.div_ceil(TASKS).max(LEAST / self.channels).max(1);
        if self.groups == 1 {
            return most;
        }
        let group = self.rows / self.groups;
        (1..=most).rev().find(|task| group.is_multiple_of(*task)).unwrap_or(1)
    }

    /// Values that one task takes.
    fn task(&self) -> usize {
        self.task_rows() * self.channels
    }

    /// Where in `[G, C]` the statistics of a task's rows begin.
    fn statistics(&self, task: usize) -> usize {
        task * self.task_rows() / (self.rows / self.groups) * self.channels
    }

    fn check(&self, values: &[&[f32]], affine: &Affine<'_>, statistics: &[&[f32]]) {
        assert!(self.channels > 0, "no batch has the sizes {self:?}");
        for values in values {
            assert_eq!(values.len(), self.rows * self.channels, "values in {self:?}");
        }
        check(self, [self.rows, self.groups, self.channels], affine, statistics);
    }
}

/// γ · (x − mean) / √(variance + ε) + β with mean and biased variance of each channel of each group, and
/// `then`.
///
/// # Panics
/// Where lengths do not fit `sizes`, there are no channels, or the groups do not divide the rows.
pub fn forward(sizes: &Sizes, input: &[f32], affine: &Affine<'_>, then: Then<'_, f32>) -> Normalized<f32> {
    forward_at(Level::detect(), sizes, input, affine, then)
}

pub(super) fn forward_at(
    level: Level,
    sizes: &Sizes,
    input: &[f32],
    affine: &Affine<'_>,
    then: Then<'_, f32>,
) -> Normalized<f32> {
    sizes.check(&[input], affine, &[]);
    // Squares are taken of the distance to some value of the channel, lest a large mean swallow the variance.
    let first_rows = input.chunks((input.len() / sizes.groups).max(1));
    let origins: Vec<f32> = first_rows.flat_map(|row| &row[..sizes.channels]).copied().collect();
    let sums = channel_sums(sizes, input.par_chunks(sizes.task()), |first, _, values, totals| {
        let origins = &origins[first..][..sizes.channels];
        level.run(RowMoments { values, origins, totals });
    });
    let statistics = sums.iter().zip(&origins).map(|(sums, origin)| moments(*sums, *origin, sizes.count()));
    let (mean, variance): (Vec<f32>, Vec<f32>) = statistics.map(|[mean, variance]| (mean, variance)).unzip();
    // Without rows there are no statistics.
    let [mean, variance] = [mean, variance].map(|mut values: Vec<f32>| {
        values.resize(sums.len(), 0.0);
        values
    });
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
    then: Then<'_, f32>,
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
    then: Then<'_, f32>,
) -> Vec<f32> {
    let residual = if let Then::AddRelu(residual) = then { residual } else { input };
    sizes.check(&[input, residual], affine, &[mean, variance]);
    let scales = scales(affine, &inverse_deviations(variance, affine.epsilon));
    let (adds, relu) = (matches!(then, Then::AddRelu(_)), !matches!(then, Then::Nothing));
    let write = |out: &mut [MaybeUninit<f32>]| {
        let task = sizes.task();
        let tasks = (out.par_chunks_mut(task), input.par_chunks(task), residual.par_chunks(task));
        tasks.into_par_iter().enumerate().for_each(|(task, (out, input, residual))| {
            let first = sizes.statistics(task);
            let [mean, scale] = [mean, &scales].map(|values| &values[first..][..sizes.channels]);
            let residual = adds.then_some(residual);
            let shift = affine.shift;
            level.run(NormalizeRows { input, mean, scale, shift, residual, relu, out });
        });
    };
    // SAFETY: tasks cover the output, which is as long as the input, and each is written whole.
    unsafe { written(input.len(), write) }
}

/// The gradients of [`forward`], given the gradient of its output, the same `input` and `affine`, and the statistics
/// that it returned, or those of [`normalize`].
///
/// # Panics
/// As [`forward`].
pub fn backward(
    sizes: &Sizes,
    input: &[f32],
    affine: &Affine<'_>,
    statistics: Statistics<'_>,
    gradient: &[f32],
    after: After<'_, f32>,
) -> Gradients<f32> {
    backward_at(Level::detect(), sizes, input, affine, statistics, gradient, after)
}

#[expect(unsafe_code, reason = "the gradient is not cleared before it is written")]
pub(super) fn backward_at(
    level: Level,
    sizes: &Sizes,
    input: &[f32],
    affine: &Affine<'_>,
    statistics: Statistics<'_>,
    gradient: &[f32],
    after: After<'_, f32>,
) -> Gradients<f32> {
    let ([mean, variance], fixed) = statistics.parts();
    sizes.check(&[input, gradient], affine, &[mean, variance]);
    let deviations = inverse_deviations(variance, affine.epsilon);
    let scales = scales(affine, &deviations);
    // Of a `ReLU` without residual the output is computed again: that is cheaper than reading it.
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
        let mean = &mean[first..][..sizes.channels];
        level.run(RowCovariance { input, gradient, mean, mask: masks(first), totals });
    });
    let combine = sums
        .iter()
        .zip(&deviations)
        .map(|(sums, deviation)| if fixed { [0.0; 2] } else { losses(*sums, *deviation, sizes.count()) });
    let combine: Vec<[f32; 2]> = combine.collect();
    let write = |out: &mut [MaybeUninit<f32>]| {
        let task = sizes.task();
        let tasks = (out.par_chunks_mut(task), input.par_chunks(task), gradient.par_chunks(task));
        tasks.into_par_iter().enumerate().for_each(|(task, (out, input, gradient))| {
            let first = sizes.statistics(task);
            let [mean, scale] = [mean, &scales].map(|values| &values[first..][..sizes.channels]);
            let (combine, mask) = (&combine[first..][..sizes.channels], masks(first));
            level.run(CombineRows { input, gradient, mean, scale, combine, mask, out });
        });
    };
    // SAFETY: tasks cover the result, which is as long as the input, and each is written whole.
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
            .for_each(|((out, gradient), output)| level.run(MaskRows { gradient, output, out }));
    };
    // SAFETY: the tasks cover the result, which is as long as the gradient, and each is written whole.
    unsafe { written(gradient.len(), write) }
}

/// γ / √(variance + ε) of each channel of each group.
fn scales(affine: &Affine<'_>, deviations: &[f32]) -> Vec<f32> {
    affine.scale.iter().cycle().zip(deviations).map(|(scale, deviation)| scale * deviation).collect()
}

fn inverse_deviations(variance: &[f32], epsilon: f64) -> Vec<f32> {
    variance.iter().map(|variance| inverse_deviation(*variance, epsilon)).collect()
}

/// The sums `[G, C]` of what `sums` adds to the totals of a task's channels, called with the place of the group's first
/// statistic, the task and its values. Tasks are added in their order.
fn channel_sums<'a>(
    sizes: &Sizes,
    tasks: impl IndexedParallelIterator<Item = &'a [f32]>,
    sums: impl Fn(usize, usize, &[f32], &mut [Sums]) + Sync,
) -> Vec<Sums> {
    thread_local! {
        static PARTIALS: Cell<Vec<Sums>> = const { Cell::new(Vec::new()) };
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
