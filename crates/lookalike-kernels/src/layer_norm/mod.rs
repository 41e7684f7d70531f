//! Layer normalisation (Ba, Kiros and Hinton, 2016) of what a layer of a transformer adds to its input:
//! (z − mean) / σ · scale + shift with z = residual + dropout(values + bias), of each row by itself.
//!
//! Matrices are row-major, with as many columns as the scale has values. Neither z nor the mask of dropout is
//! kept: the gradient computes both again.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::columns::{over_tasks, task_rows};
use crate::dropout::Place;
use crate::instructions::Level;
use crate::output::init_vec;
use loops::{Backward, Forward, Mask};

mod loops;
#[cfg(test)]
mod tests;

/// What is normalised: residual + dropout(values + bias).
#[derive(Debug, Clone, Copy)]
pub struct LayerNormInput<'a> {
    /// Rows.
    pub values: &'a [f32],
    /// A value a column.
    pub bias: Option<&'a [f32]>,
    /// Rows, as many as of `values`.
    pub residual: Option<&'a [f32]>,
    /// Which of the sums with the bias are dropped.
    pub dropout: Option<Dropped<'a>>,
}

/// Which values are dropped: those where [`dropout::mask`](crate::dropout::mask) is 0. The others are scaled as
/// it says. The mask is never stored.
#[derive(Debug, Clone, Copy)]
pub struct Dropped<'a> {
    /// A place a row.
    pub places: &'a [Place],
    /// From 0 to below 1.
    pub probability: f32,
}

/// What follows the normalisation, and what keeps it finite.
#[derive(Debug, Clone, Copy)]
pub struct LayerNormScale<'a> {
    /// A factor a column.
    pub scale: &'a [f32],
    /// What is added to a column.
    pub shift: Option<&'a [f32]>,
    /// What is added to the variance.
    pub epsilon: f32,
}

/// The gradients of [`layer_norm`].
#[derive(Debug, Clone, PartialEq)]
pub struct LayerNormGradient {
    /// Rows.
    pub values: Vec<f32>,
    /// Rows, where there is a residual.
    pub residual: Option<Vec<f32>>,
    /// A value a column, where there is a bias.
    pub bias: Option<Vec<f32>>,
    /// A value a column.
    pub scale: Vec<f32>,
    /// A value a column, whether there was a shift or not.
    pub shift: Vec<f32>,
}

/// The normalised rows, and mean and 1 / √(variance + ε) of each row.
///
/// # Panics
/// If the values or the residual are not rows as long as the scale, bias or shift are not as long as it, there
/// is not a place a row, the probability is not from 0 to below 1, or the scale is empty.
pub fn layer_norm(input: &LayerNormInput<'_>, scale: &LayerNormScale<'_>) -> (Vec<f32>, Vec<[f32; 2]>) {
    layer_norm_at(Level::detect(), input, scale)
}

#[expect(unsafe_code, reason = "the output is not cleared before it is written")]
fn layer_norm_at(
    level: Level,
    input: &LayerNormInput<'_>,
    scale: &LayerNormScale<'_>,
) -> (Vec<f32>, Vec<[f32; 2]>) {
    let rows = check(input, scale);
    let columns = scale.scale.len();
    let task = task_rows(rows, columns);
    let mut statistics = vec![[0.0; 2]; rows];
    let write = |out: &mut [MaybeUninit<f32>]| {
        let tasks = out.par_chunks_mut(task * columns).zip(statistics.par_chunks_mut(task));
        tasks.enumerate().for_each(|(index, (out, statistics))| {
            let input = part(input, index * task, statistics.len(), columns);
            level.run(Forward { mask: mask(&input), input, scale, out, statistics });
        });
    };
    // SAFETY: tasks cover the output, and each is written whole.
    let out = unsafe { init_vec(input.values.len(), write) };
    (out, statistics)
}

/// The gradients, given that of the rows that [`layer_norm`] returned for the same `input` and `scale`, and the
/// statistics that it returned.
///
/// # Panics
/// As [`layer_norm`], and if `gradient` is not as long as the values, or there are not statistics of each row.
pub fn layer_norm_gradient(
    input: &LayerNormInput<'_>,
    scale: &LayerNormScale<'_>,
    statistics: &[[f32; 2]],
    gradient: &[f32],
) -> LayerNormGradient {
    layer_norm_gradient_at(Level::detect(), input, scale, statistics, gradient)
}

#[expect(unsafe_code, reason = "the gradients are not cleared before they are written")]
fn layer_norm_gradient_at(
    level: Level,
    input: &LayerNormInput<'_>,
    scale: &LayerNormScale<'_>,
    statistics: &[[f32; 2]],
    gradient: &[f32],
) -> LayerNormGradient {
    let rows = check(input, scale);
    assert_eq!(gradient.len(), input.values.len(), "a gradient for each value");
    assert_eq!(statistics.len(), rows, "statistics of each row");
    let columns = scale.scale.len();
    let task = task_rows(rows, columns);
    let count = rows.div_ceil(task);
    let [mut scales, mut shifts, mut biases] = [(); 3].map(|()| vec![0.0; count * columns]);
    let work = |index: usize,
                values: &mut [MaybeUninit<f32>],
                residual: Option<&mut [MaybeUninit<f32>]>,
                sums: [&mut [f32]; 3]| {
        let own = values.len() / columns;
        let input = part(input, index * task, own, columns);
        let statistics = &statistics[index * task..][..own];
        let gradient = &gradient[index * task * columns..][..values.len()];
        let [scales, shifts, biases] = sums;
        let mask = mask(&input);
        let scale = scale.scale;
        let sums = [scales, shifts, biases];
        level.run(Backward { input, mask, scale, statistics, gradient, values, residual, sums });
    };
    let mut residual = None;
    let write = |out: &mut [MaybeUninit<f32>]| {
        let sums = (
            scales.par_chunks_exact_mut(columns),
            shifts.par_chunks_exact_mut(columns),
            biases.par_chunks_exact_mut(columns),
        );
        let tasks = out.par_chunks_mut(task * columns).zip(sums.into_par_iter()).enumerate();
        if input.residual.is_some() {
            let write = |out: &mut [MaybeUninit<f32>]| {
                tasks.zip(out.par_chunks_mut(task * columns)).for_each(
                    |((index, (out, (one, two, three))), residual)| {
                        work(index, out, Some(residual), [one, two, three]);
                    },
                );
            };
            // SAFETY: as below; the tasks are those of the gradient of the values.
            residual = Some(unsafe { init_vec(gradient.len(), write) });
        } else {
            tasks.for_each(|(index, (out, (one, two, three)))| work(index, out, None, [one, two, three]));
        }
    };
    // SAFETY: tasks cover the gradient, and each is written whole.
    let values = unsafe { init_vec(gradient.len(), write) };
    LayerNormGradient {
        values,
        residual,
        bias: input.bias.map(|_| over_tasks(&biases, columns)),
        scale: over_tasks(&scales, columns),
        shift: over_tasks(&shifts, columns),
    }
}

/// The number of rows.
fn check(input: &LayerNormInput<'_>, scale: &LayerNormScale<'_>) -> usize {
    let columns = scale.scale.len();
    assert!(columns > 0, "rows have at least one column");
    let values = input.values.len();
    assert!(values.is_multiple_of(columns), "{values} values do not form rows of {columns}");
    for of_columns in [input.bias, scale.shift].into_iter().flatten() {
        assert_eq!(of_columns.len(), columns, "a bias and a shift for each column");
    }
    if let Some(residual) = input.residual {
        assert_eq!(residual.len(), values, "a residual for each value");
    }
    let rows = values / columns;
    if let Some(Dropped { places, probability }) = input.dropout {
        assert_eq!(places.len(), rows, "a place for each row");
        assert!((0.0..1.0).contains(&probability), "a probability of dropping from 0 to below 1");
    }
    rows
}

/// Some of the rows.
fn part<'a>(input: &LayerNormInput<'a>, first: usize, rows: usize, columns: usize) -> LayerNormInput<'a> {
    let own = first * columns..(first + rows) * columns;
    LayerNormInput {
        values: &input.values[own.clone()],
        bias: input.bias,
        residual: input.residual.map(|residual| &residual[own]),
        dropout: input.dropout.map(|dropout| Dropped { places: &dropout.places[first..][..rows], ..dropout }),
    }
}

/// Where nothing can be dropped there is no mask.
fn mask<'a>(input: &LayerNormInput<'a>) -> Option<Mask<'a>> {
    input
        .dropout
        .filter(|dropout| dropout.probability > 0.0)
        .map(|Dropped { places, probability }| Mask::new(places, probability))
}
