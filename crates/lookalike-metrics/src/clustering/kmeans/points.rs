//! The rows that are clustered, as they are compared.

use lookalike_base::Rows;
use lookalike_kernels::map::Precision;
use lookalike_kernels::product::{Operand, multiply};
use lookalike_kernels::squared_norm;
use rayon::prelude::*;

/// Rows that are summed by one task.
const BLOCK: usize = 4096;

/// Rows less their mean, in units of a power of two by which no value was above 1: squares neither overflow nor vanish.
pub(super) struct Points {
    values: Vec<f32>,
    columns: usize,
    /// Squared lengths.
    pub(super) squares: Vec<f32>,
    mean: Vec<f64>,
    unit: f64,
    /// Mean over the columns of the variance of a column.
    pub(super) variance: f64,
}

impl Points {
    pub(super) fn new(rows: Rows<'_>) -> Self {
        let columns = rows.columns();
        let mean = mean(rows);
        let greatest = rows.values().par_chunks(BLOCK * columns).map(greatest).reduce(|| 0.0, f32::max);
        let unit = if greatest > 0.0 { f64::from(greatest).log2().ceil().exp2() } else { 1.0 };
        // The inverse of a power of two is exact.
        let inverse = 1.0 / unit;
        let mut values = vec![0.0; rows.values().len()];
        let mut squares = vec![0.0; rows.len()];
        let work = values.par_chunks_mut(columns).zip(rows.values().par_chunks(columns)).zip(&mut squares);
        work.with_min_len(BLOCK / 16).for_each(|((into, row), square)| {
            for ((into, value), mean) in into.iter_mut().zip(row).zip(&mean) {
                *into = ((f64::from(*value) - mean) * inverse) as f32;
            }
            *square = squared_norm(into) as f32;
        });
        let variance = squares.iter().copied().map(f64::from).sum::<f64>() / rows.values().len() as f64;
        Self { values, columns, squares, mean, unit, variance }
    }

    pub(super) fn len(&self) -> usize {
        self.squares.len()
    }

    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    pub(super) fn values(&self) -> &[f32] {
        &self.values
    }

    pub(super) fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.columns..][..self.columns]
    }

    /// Writes these rows one after another.
    pub(super) fn gather(&self, rows: &[u32], into: &mut Vec<f32>) {
        into.clear();
        for row in rows {
            into.extend_from_slice(self.row(*row as usize));
        }
    }

    /// A row as it was given.
    pub(super) fn restore(&self, row: &[f32]) -> impl Iterator<Item = f32> {
        row.iter().zip(&self.mean).map(|(value, mean)| (mean + f64::from(*value) * self.unit) as f32)
    }

    /// A sum of squares in the units of what was given.
    pub(super) fn restore_square(&self, square: f64) -> f64 {
        square * self.unit * self.unit
    }
}

/// The products of each of `left` with each of `right`, rows of `columns` values: `[left, right]`.
pub(super) fn products(left: &[f32], right: &[f32], columns: usize) -> Vec<f32> {
    let [left, right] = [left, right].map(|values| Operand::new(values, values.len() / columns, columns));
    multiply(left, right.transposed(), None, Precision::F32)
}

/// The mean row, summed block by block, and the blocks in order.
fn mean(rows: Rows<'_>) -> Vec<f64> {
    let columns = rows.columns();
    let add = |mut sums: Vec<f64>, row: &[f32]| {
        sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
        sums
    };
    let blocks: Vec<Vec<f64>> = rows
        .values()
        .par_chunks(BLOCK * columns)
        .map(|rows| rows.chunks_exact(columns).fold(vec![0.0; columns], add))
        .collect();
    let mut mean = vec![0.0; columns];
    for block in blocks {
        mean.iter_mut().zip(block).for_each(|(mean, sum)| *mean += sum);
    }
    for mean in &mut mean {
        *mean /= rows.len() as f64;
    }
    mean
}

/// The greatest magnitude.
fn greatest(values: &[f32]) -> f32 {
    // Numbers without their signs are ordered as their bits are, which compare faster.
    f32::from_bits(values.iter().map(|value| value.abs().to_bits()).max().unwrap_or(0))
}
