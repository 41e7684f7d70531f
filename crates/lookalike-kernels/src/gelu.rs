//! The Gaussian error linear unit (Hendrycks and Gimpel, 2016) x · Φ(x), exact and not by the tangent, behind
//! the sum with a bias.
//!
//! Matrices are row-major, with as many columns as the bias has values.

#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]

use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::columns::{AddRows, over_tasks, task_rows};
use crate::functions::{FAR, normal};
use crate::instructions::Level;
use crate::output::init_vec;
use crate::vector::{Work, multiply_add};

/// gelu(values + bias). An infinity becomes what the function tends to.
///
/// # Panics
/// If `values` are not rows as long as `bias`, or `bias` is empty.
pub fn bias_gelu(values: &[f32], bias: &[f32]) -> Vec<f32> {
    bias_gelu_at(Level::detect(), values, bias)
}

#[expect(unsafe_code, reason = "the output is not cleared before it is written")]
fn bias_gelu_at(level: Level, values: &[f32], bias: &[f32]) -> Vec<f32> {
    let task = check(values, bias.len());
    let write = |out: &mut [MaybeUninit<f32>]| {
        let tasks = out.par_chunks_mut(task).zip(values.par_chunks(task));
        tasks.for_each(|(out, values)| level.run(Forward { values, bias, out }));
    };
    // SAFETY: tasks cover the output, which is as long as the values, and each is written whole.
    unsafe { init_vec(values.len(), write) }
}

/// The gradient of the values, given that of what [`bias_gelu`] returned for the same `values` and `bias`. The
/// bias has the [`column_sums`] of it.
///
/// # Panics
/// As [`bias_gelu`], and if `gradient` is not as long as `values`.
pub fn bias_gelu_gradient(values: &[f32], bias: &[f32], gradient: &[f32]) -> Vec<f32> {
    bias_gelu_gradient_at(Level::detect(), values, bias, gradient)
}

#[expect(unsafe_code, reason = "the gradient is not cleared before it is written")]
fn bias_gelu_gradient_at(level: Level, values: &[f32], bias: &[f32], gradient: &[f32]) -> Vec<f32> {
    let task = check(values, bias.len());
    assert_eq!(gradient.len(), values.len(), "a gradient for each value");
    let write = |out: &mut [MaybeUninit<f32>]| {
        let tasks = (out.par_chunks_mut(task), values.par_chunks(task), gradient.par_chunks(task));
        tasks.into_par_iter().for_each(|(out, values, gradient)| {
            level.run(Backward { values, bias, gradient, out });
        });
    };
    // SAFETY: as above.
    unsafe { init_vec(values.len(), write) }
}

/// The sum of each column: the gradient of a bias, given that of the rows it was added to.
///
/// # Panics
/// If `values` are not rows of `columns`, or `columns` is 0.
pub fn column_sums(values: &[f32], columns: usize) -> Vec<f32> {
    column_sums_at(Level::detect(), values, columns)
}

fn column_sums_at(level: Level, values: &[f32], columns: usize) -> Vec<f32> {
    let task = check(values, columns);
    let mut partials = vec![0.0; values.len().div_ceil(task) * columns];
    let tasks = partials.par_chunks_exact_mut(columns).zip(values.par_chunks(task));
    tasks.for_each(|(totals, rows)| level.run(AddRows { rows, totals }));
    over_tasks(&partials, columns)
}

/// Values of a task.
///
/// # Panics
/// If `values` are not rows of `columns`, or `columns` is 0.
fn check(values: &[f32], columns: usize) -> usize {
    assert!(columns > 0, "rows have at least one column");
    assert!(values.len().is_multiple_of(columns), "{} values do not form rows of {columns}", values.len());
    task_rows(values.len() / columns, columns) * columns
}

struct Forward<'a> {
    values: &'a [f32],
    bias: &'a [f32],
    out: &'a mut [MaybeUninit<f32>],
}

impl Work for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let columns = self.bias.len();
        let rows = self.out.chunks_exact_mut(columns).zip(self.values.chunks_exact(columns));
        for (out, values) in rows {
            for ((out, value), bias) in out.iter_mut().zip(values).zip(self.bias) {
                let x = value + bias;
                // At the limit −0 · 0 is 0, where −∞ · 0 would be no number.
                let factor = if x < -FAR { -FAR } else { x };
                out.write(factor * normal::<FUSED>(x).below);
            }
        }
    }
}

struct Backward<'a> {
    values: &'a [f32],
    bias: &'a [f32],
    gradient: &'a [f32],
    out: &'a mut [MaybeUninit<f32>],
}

impl Work for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        /// 1 / √(2π).
        const DENSITY: f32 = 0.398_942_3;
        let columns = self.bias.len();
        let rows = self.out.chunks_exact_mut(columns).zip(self.values.chunks_exact(columns));
        for ((out, values), gradient) in rows.zip(self.gradient.chunks_exact(columns)) {
            for (((out, value), bias), gradient) in out.iter_mut().zip(values).zip(self.bias).zip(gradient) {
                let x = value + bias;
                let factor = if x < -FAR { -FAR } else { x };
                let factor = if factor > FAR { FAR } else { factor };
                let normal = normal::<FUSED>(x);
                let slope = multiply_add::<FUSED>(factor * DENSITY, normal.bell, normal.below);
                out.write(gradient * slope);
            }
        }
    }
}

#[cfg(test)]
mod tests;
