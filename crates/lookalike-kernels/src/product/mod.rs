//! Products of dense matrices, as linear layers need them.
//!
//! Each sum is made in an order that depends on the number of its terms alone. A row of a result is the same,
//! bit for bit, whatever other rows there are and however many threads compute: what an encoder makes of a
//! text does not depend on the batch.

mod pack;
mod plan;
mod scratch;
mod tile;
mod tiles;

pub(crate) use scratch::PackedLine;
pub(crate) use tile::Output as RowsOutput;
pub(crate) use tiles::Rectangle;

use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::conv2d::arithmetic::Path;
use crate::map::Precision;
use crate::output::init_vec;
use crate::sizes::row_values;
use crate::tasks;
use pack::{Factors, PackPanels};
use plan::Plan;
use scratch::{User, with_lines};
use tile::{DEPTH, GROUPS, Output, ROWS, Stripe};

/// Panels of the left operand that are packed together: where it is read transposed, longer stretches of it
/// follow each other.
const TOGETHER: usize = 8;

/// A row-major matrix, read as it lies or transposed.
#[derive(Debug, Clone, Copy)]
pub struct Operand<'a> {
    values: &'a [f32],
    /// As they are read.
    rows: usize,
    columns: usize,
    transposed: bool,
}

impl<'a> Operand<'a> {
    /// `rows` rows of `columns` values, as they lie.
    ///
    /// # Panics
    /// If `values` has another length.
    pub fn new(values: &'a [f32], rows: usize, columns: usize) -> Self {
        assert_eq!(values.len(), row_values(rows, columns), "values of {rows} rows of {columns}");
        Self { values, rows, columns, transposed: false }
    }

    /// The transpose, without moving anything.
    #[must_use]
    pub fn transposed(self) -> Self {
        Self { rows: self.columns, columns: self.rows, transposed: !self.transposed, ..self }
    }

    /// Its rows.
    fn row_factors(self) -> Factors<'a> {
        let Self { values, rows, columns, transposed } = self;
        Factors { values, count: rows, depth: columns, contiguous: !transposed }
    }
}

/// `left` · `right`, and `bias` added to each row.
///
/// In [`Precision::Bf16`] the values of both operands are rounded to bfloat16, and sums are `f32`.
///
/// # Shapes
/// `[m, k]` · `[k, n]` is `[m, n]`, row-major; the bias is `[n]`. The product of no terms, k = 0, is the
/// bias, or 0.
///
/// # Panics
/// If `right` has not as many rows as `left` has columns, or if the bias has not a value a column.
pub fn multiply(
    left: Operand<'_>,
    right: Operand<'_>,
    bias: Option<&[f32]>,
    precision: Precision,
) -> Vec<f32> {
    multiply_at(Path::detect(precision), left, right, bias)
}

#[expect(unsafe_code, reason = "the product is not cleared before it is written")]
fn multiply_at(path: Path, left: Operand<'_>, right: Operand<'_>, bias: Option<&[f32]>) -> Vec<f32> {
    let (rows, columns, depth) = (left.rows, right.columns, left.columns);
    assert_eq!(right.rows, depth, "the right operand has as many rows as the left one has columns");
    assert!(
        bias.is_none_or(|bias| bias.len() == columns),
        "a bias has a value for each of {columns} columns"
    );
    let values = row_values(rows, columns);
    if values == 0 || depth == 0 {
        return bias.map_or_else(|| vec![0.0; values], |bias| bias.repeat(rows));
    }
    let operands = [left.row_factors(), right.transposed().row_factors()];
    let write = |out: &mut [MaybeUninit<f32>]| match path.tiles() {
        Some(unit) => tiles::multiply_into(unit, path, operands, bias, out),
        None => multiply_into(path, operands, bias, out),
    };
    // SAFETY: there is at least one word, and the stripes or rectangles of the first words cover the whole result.
    unsafe { init_vec(values, write) }
}

/// Writes the whole product of operands of at least one word.
#[expect(unsafe_code, reason = "tasks write to one result")]
fn multiply_into(
    path: Path,
    [left, right]: [Factors<'_>; 2],
    bias: Option<&[f32]>,
    out: &mut [MaybeUninit<f32>],
) {
    let words = left.depth.div_ceil(path.precision().channels_per_word());
    let plan = Plan::new([left.count, right.count, words], tasks::threads());
    // SAFETY: chunks follow each other, those of the same rows in the order of their words, and the tasks of a
    // chunk have rows or columns of their own.
    let output = unsafe { Output::new(out, left.count, right.count) };
    for (rows, words) in plan.chunks() {
        let panels = rows.len().div_ceil(ROWS);
        with_lines(User::Call, panels * words.len(), |packed| {
            let pack_block = |(block, lines): (usize, &mut [PackedLine])| {
                let start = words.start + block * DEPTH;
                let words = start..words.end.min(start + DEPTH);
                let together = TOGETHER * words.len();
                let pack_panels = |(index, panels): (usize, &mut [PackedLine])| {
                    let (first, words) = (rows.start + index * TOGETHER * ROWS, words.clone());
                    path.run(PackPanels { factors: left, first, words, panels });
                };
                if plan.is_parallel() {
                    lines.par_chunks_mut(together).enumerate().for_each(pack_panels);
                } else {
                    lines.chunks_mut(together).enumerate().for_each(pack_panels);
                }
            };
            if plan.is_parallel() {
                packed.par_chunks_mut(panels * DEPTH).enumerate().for_each(pack_block);
            } else {
                packed.chunks_mut(panels * DEPTH).enumerate().for_each(pack_block);
            }
            let (tasks, packed, first_row) = (plan.tasks(rows.clone()), &*packed, rows.start);
            let run = |task: usize| {
                let ((rows, column), words) = (tasks.task(task), words.clone());
                with_lines(User::Task, DEPTH.min(plan.deep) * GROUPS, |panel| {
                    path.run(Stripe {
                        left: packed,
                        panels,
                        first_row,
                        rows,
                        right,
                        column,
                        words,
                        bias,
                        output,
                        panel,
                    });
                });
            };
            if plan.is_parallel() {
                (0..tasks.count()).into_par_iter().for_each(run);
            } else {
                (0..tasks.count()).for_each(run);
            }
        });
    }
}

/// Sums of a task, at least, about: a stripe of columns, or a few blocks of tiles.
#[cfg(test)]
pub(crate) const LEAST: usize = 2 * plan::TALL * tile::COLUMNS;

/// Tasks of a product of `[rows, columns, words]` on so many threads, and the sums of one of them.
#[cfg(test)]
pub(crate) fn count_tasks(path: Path, [rows, columns, words]: [usize; 3], threads: usize) -> [usize; 2] {
    let tasks = match path.tiles() {
        Some(_) => tiles::Grid::new(rows, 0..columns, words, threads).tasks(),
        None => Plan::new([rows, columns, words], threads).tasks(0..rows).count(),
    };
    [tasks, rows * columns / tasks]
}

#[cfg(test)]
mod tests;
