//! Batch normalisation of rows of one value a channel, as behind a linear layer.

use std::cell::Cell;
use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::{
    Affine, Epilogue, EpilogueSaved, Gradients, Normalized, StatisticsSource, Sums, check, inverse_deviation,
    losses, moments,
};
use crate::instructions::Level;
use crate::output::init_vec;
use crate::sizes::product;
use crate::tasks;
use loops::{CombineRows, MaskRows, NormalizeRows, RowCovariance, RowMoments};

mod loops;

/// The shape of a batch `[N, C]`, and how its rows are grouped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowNormShape {
    /// Rows, N.
    pub rows: usize,
    /// Groups of N / G consecutive rows, each normalised by statistics of its own; G divides N.
    pub groups: usize,
    /// Channels, C.
    pub channels: usize,
}

impl RowNormShape {
    /// Values over which a channel is normalised.
    fn count(&self) -> f64 {
        (self.rows / self.groups) as f64
    }

    /// Rows that one task takes: they are of one group. Without groups the last task may have fewer.
    fn task_rows(&self) -> usize {
        /// Values that are worth a task.
        const LEAST: usize = 1 << 13;
        let most = self.rows.div_ceil(tasks::MANY).max(LEAST / self.channels).max(1);
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
        assert!(self.channels > 0, "no batch has the shape {self:?}");
        let count = product([self.rows, self.channels], self);
        for values in values {
            assert_eq!(values.len(), count, "values in {self:?}");
        }
        check(self, [self.rows, self.groups, self.channels], affine, statistics);
    }
}

/// γ · (x − mean) / √(variance + ε) + β with mean and biased variance of each channel of each group, and
/// `epilogue`.
///
/// # Panics
/// If lengths do not fit `shape`, there are no channels, or the groups do not divide the rows.
pub fn forward(
    shape: &RowNormShape,
    input: &[f32],
    affine: &Affine<'_>,
    epilogue: Epilogue<'_, f32>,
) -> Normalized<f32> {
    forward_at(Level::detect(), shape, input, affine, epilogue)
}

pub(super) fn forward_at(
    level: Level,
    shape: &RowNormShape,
    input: &[f32],
    affine: &Affine<'_>,
    epilogue: Epilogue<'_, f32>,
) -> Normalized<f32> {
    shape.check(&[input], affine, &[]);
    // Squares are of the distance to some value of the channel, so that a large mean does not swallow the
    // variance.
    let first_rows = input.chunks((input.len() / shape.groups).max(1));
    let origins: Vec<f32> = first_rows.flat_map(|row| &row[..shape.channels]).copied().collect();
    let sums = channel_sums(shape, input.par_chunks(shape.task()), |first, _, values, totals| {
        let origins = &origins[first..][..shape.channels];
        level.run(RowMoments { values, origins, totals });
    });
    let statistics = sums.iter().zip(&origins).map(|(sums, origin)| moments(*sums, *origin, shape.count()));
    let (mean, variance): (Vec<f32>, Vec<f32>) = statistics.map(|[mean, variance]| (mean, variance)).unzip();
    // Without rows there are no statistics.
    let [mean, variance] = [mean, variance].map(|mut values: Vec<f32>| {
        values.resize(sums.len(), 0.0);
        values
    });
    let output = normalize_at(level, shape, input, affine, [&mean, &variance], epilogue);
    Normalized { output, mean, variance }
}

/// γ · (x − mean) / √(variance + ε) + β with the mean and variance `[G, C]` given, and `epilogue`: with one
/// group, what a network does when it is evaluated with running statistics.
///
/// # Panics
/// As [`forward`].
pub fn normalize(
    shape: &RowNormShape,
    input: &[f32],
    affine: &Affine<'_>,
    statistics: [&[f32]; 2],
    epilogue: Epilogue<'_, f32>,
) -> Vec<f32> {
    normalize_at(Level::detect(), shape, input, affine, statistics, epilogue)
}

#[expect(unsafe_code, reason = "the output is not cleared before it is written")]
fn normalize_at(
    level: Level,
    shape: &RowNormShape,
    input: &[f32],
    affine: &Affine<'_>,
    [mean, variance]: [&[f32]; 2],
    epilogue: Epilogue<'_, f32>,
) -> Vec<f32> {
    let residual = if let Epilogue::AddRelu(residual) = epilogue { residual } else { input };
    shape.check(&[input, residual], affine, &[mean, variance]);
    let scales = scales(affine, &inverse_deviations(variance, affine.epsilon));
    let (adds, relu) = (matches!(epilogue, Epilogue::AddRelu(_)), !matches!(epilogue, Epilogue::Nothing));
    let write = |out: &mut [MaybeUninit<f32>]| {
        let task = shape.task();
        let tasks = (out.par_chunks_mut(task), input.par_chunks(task), residual.par_chunks(task));
        tasks.into_par_iter().enumerate().for_each(|(task, (out, input, residual))| {
            let first = shape.statistics(task);
            let [mean, scale] = [mean, &scales].map(|values| &values[first..][..shape.channels]);
            let residual = adds.then_some(residual);
            let shift = affine.shift;
            level.run(NormalizeRows { input, mean, scale, shift, residual, relu, out });
        });
    };
    // SAFETY: tasks cover the output, which is as long as the input, and each is written whole.
    unsafe { init_vec(input.len(), write) }
}

/// The gradients of [`forward`], given the gradient of its output, the same `input` and `affine`, and the
/// statistics that it returned, or those of [`normalize`].
///
/// # Panics
/// As [`forward`].
pub fn backward(
    shape: &RowNormShape,
    input: &[f32],
    affine: &Affine<'_>,
    statistics: StatisticsSource<'_>,
    gradient: &[f32],
    saved: EpilogueSaved<'_, f32>,
) -> Gradients<f32> {
    backward_at(Level::detect(), shape, input, affine, statistics, gradient, saved)
}

#[expect(unsafe_code, reason = "the gradient is not cleared before it is written")]
pub(super) fn backward_at(
    level: Level,
    shape: &RowNormShape,
    input: &[f32],
    affine: &Affine<'_>,
    statistics: StatisticsSource<'_>,
    gradient: &[f32],
    saved: EpilogueSaved<'_, f32>,
) -> Gradients<f32> {
    let ([mean, variance], fixed) = statistics.parts();
    shape.check(&[input, gradient], affine, &[mean, variance]);
    let deviations = inverse_deviations(variance, affine.epsilon);
    let scales = scales(affine, &deviations);
    // The output of a `ReLU` without residual is computed again, which is cheaper than reading it.
    let masks = |first: usize| {
        matches!(saved, EpilogueSaved::Relu).then_some([&scales[first..][..shape.channels], affine.shift])
    };
    let residual = match saved {
        EpilogueSaved::AddRelu(output) => Some(mask_by_relu(level, shape, gradient, output)),
        EpilogueSaved::Nothing | EpilogueSaved::Relu => None,
    };
    let gradient = residual.as_deref().unwrap_or(gradient);
    let sums = channel_sums(shape, input.par_chunks(shape.task()), |first, task, input, totals| {
        let gradient = &gradient[task * shape.task()..][..input.len()];
        let mean = &mean[first..][..shape.channels];
        level.run(RowCovariance { input, gradient, mean, mask: masks(first), totals });
    });
    let combine = sums
        .iter()
        .zip(&deviations)
        .map(|(sums, deviation)| if fixed { [0.0; 2] } else { losses(*sums, *deviation, shape.count()) });
    let combine: Vec<[f32; 2]> = combine.collect();
    let write = |out: &mut [MaybeUninit<f32>]| {
        let task = shape.task();
        let tasks = (out.par_chunks_mut(task), input.par_chunks(task), gradient.par_chunks(task));
        tasks.into_par_iter().enumerate().for_each(|(task, (out, input, gradient))| {
            let first = shape.statistics(task);
            let [mean, scale] = [mean, &scales].map(|values| &values[first..][..shape.channels]);
            let (combine, mask) = (&combine[first..][..shape.channels], masks(first));
            level.run(CombineRows { input, gradient, mean, scale, combine, mask, out });
        });
    };
    // SAFETY: tasks cover the result, which is as long as the input, and each is written whole.
    let input = unsafe { init_vec(input.len(), write) };
    let (mut scale, mut shift) = (vec![0.0; shape.channels], vec![0.0; shape.channels]);
    for (place, ([sum, product], deviation)) in sums.iter().zip(&deviations).enumerate() {
        scale[place % shape.channels] += product * f64::from(*deviation);
        shift[place % shape.channels] += sum;
    }
    let [scale, shift] =
        [scale, shift].map(|sums: Vec<f64>| sums.into_iter().map(|sum| sum as f32).collect());
    Gradients { input, residual, scale, shift }
}

/// The gradient where a `ReLU`'s output is positive, else 0.
#[expect(unsafe_code, reason = "the gradient is not cleared before it is written")]
fn mask_by_relu(level: Level, shape: &RowNormShape, gradient: &[f32], output: &[f32]) -> Vec<f32> {
    assert_eq!(output.len(), gradient.len(), "values of the output in {shape:?}");
    let write = |out: &mut [MaybeUninit<f32>]| {
        let tasks = out.par_chunks_mut(shape.task()).zip(gradient.par_chunks(shape.task()));
        tasks
            .zip(output.par_chunks(shape.task()))
            .for_each(|((out, gradient), output)| level.run(MaskRows { gradient, output, out }));
    };
    // SAFETY: the tasks cover the result, which is as long as the gradient, and each is written whole.
    unsafe { init_vec(gradient.len(), write) }
}

/// γ / √(variance + ε) of each channel of each group.
fn scales(affine: &Affine<'_>, deviations: &[f32]) -> Vec<f32> {
    affine.scale.iter().cycle().zip(deviations).map(|(scale, deviation)| scale * deviation).collect()
}

fn inverse_deviations(variance: &[f32], epsilon: f64) -> Vec<f32> {
    variance.iter().map(|variance| inverse_deviation(*variance, epsilon)).collect()
}

/// The sums `[G, C]` of what `sums` adds to the totals of a task's channels, called with the place of the
/// group's first statistic, the task and its values. Tasks are added in their order.
fn channel_sums<'a>(
    shape: &RowNormShape,
    tasks: impl IndexedParallelIterator<Item = &'a [f32]>,
    sums: impl Fn(usize, usize, &[f32], &mut [Sums]) + Sync,
) -> Vec<Sums> {
    /// Sums that a thread keeps room for: 8 MiB.
    const MOST: usize = (8 << 20) / size_of::<Sums>();
    thread_local! {
        static PARTIALS: Cell<Vec<Sums>> = const { Cell::new(Vec::new()) };
    }
    let mut partials = PARTIALS.take();
    partials.clear();
    partials.resize(tasks.len() * shape.channels, [0.0; 2]);
    let targets = partials.par_chunks_exact_mut(shape.channels);
    targets.zip(tasks).enumerate().for_each(|(task, (totals, images))| {
        sums(shape.statistics(task), task, images, totals);
    });
    let mut totals = vec![[0.0; 2]; shape.groups * shape.channels];
    for (task, partial) in partials.chunks_exact(shape.channels).enumerate() {
        for (total, partial) in totals[shape.statistics(task)..].iter_mut().zip(partial) {
            total[0] += partial[0];
            total[1] += partial[1];
        }
    }
    if partials.capacity() <= MOST {
        PARTIALS.set(partials);
    }
    totals
}
