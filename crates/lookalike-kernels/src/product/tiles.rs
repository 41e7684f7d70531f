//! The product on tile registers: sums of sixteen rows and sixteen columns at a time.
//!
//! The right operand is packed once for all tasks, as lines of a word of sixteen columns; each task packs its rows of
//! the left one as squares of sixteen rows and sixteen words. Sums begin with the bias and are made word by word, in an
//! order that hangs on nothing.

#![expect(unsafe_code, reason = "tiles read and written through pointers whose bounds are asserted")]
#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]

use std::mem::MaybeUninit;
use std::ops::Range;

use rayon::prelude::*;

use super::pack::{Factors, PackPanels, PackSquares};
use super::scratch::{PackedLine, User, with_lines};
use super::tile::Output;
use crate::conv2d::arithmetic::Path;
use crate::tasks;
use crate::tiles::{SIDE, SumBlock, TileKernel, TileUnit, Tiles, side_by_side};

/// Words of the right operand that are packed at a time, at most: they stay in a cache that the cores share.
const WORDS: usize = 2 << 20;
/// Words in a column of them, at most.
const DEEPEST: usize = 4096;
/// Words of the left operand that a task packs, at most: they stay in the second cache.
const TASK_WORDS: usize = 128 * 1024;
/// Rows, and columns, of a block of sums.
const BLOCK: usize = 2 * SIDE;
/// Products of words below which one thread is faster than several.
const FEW: usize = 1 << 21;

/// Writes the whole product of operands of at least one word.
pub(super) fn multiply_into(
    unit: TileUnit,
    path: Path,
    [left, right]: [Factors<'_>; 2],
    bias: Option<&[f32]>,
    out: &mut [MaybeUninit<f32>],
) {
    let words = left.depth.div_ceil(2);
    let few = left.count.saturating_mul(right.count).saturating_mul(words) < FEW;
    let threads = if few { 1 } else { tasks::threads() };
    // SAFETY: chunks follow each other, those of the same columns in the order of their words, and the tasks of a
    // chunk have rows or columns of their own.
    let output = unsafe { Output::new(out, left.count, right.count) };
    // A bias for each column of a block, also for those that do not exist.
    let bias = bias.map(|bias| {
        let mut padded = bias.to_vec();
        padded.resize(right.count.next_multiple_of(BLOCK), 0.0);
        padded
    });
    let deep = words.next_multiple_of(SIDE).min(DEEPEST);
    let wide = (WORDS / deep / BLOCK).max(1) * BLOCK;
    for column in (0..right.count).step_by(wide) {
        let columns = column..right.count.min(column + wide);
        for word in (0..words).step_by(deep) {
            let words = word..words.min(word + deep).next_multiple_of(SIDE);
            let lines = words.len() * columns.len().div_ceil(SIDE);
            with_lines(User::Call, lines, |packed| {
                let pack = |(panel, lines): (usize, &mut [PackedLine])| {
                    let (first, words) = (columns.start + panel * SIDE, words.clone());
                    path.run(PackPanels { factors: right, first, words, panels: lines });
                };
                if threads > 1 {
                    packed.par_chunks_exact_mut(words.len()).enumerate().for_each(pack);
                } else {
                    packed.chunks_exact_mut(words.len()).enumerate().for_each(pack);
                }
                let grid = Grid::new(left.count, columns.clone(), words.len(), threads);
                let packed = &*packed;
                let run = |task: usize| {
                    let (rows, columns) = grid.task(task);
                    let lines = rows.len().div_ceil(SIDE) * words.len();
                    with_lines(User::Task, lines, |squares| {
                        let (first, words) = (rows.start, words.clone());
                        path.run(PackSquares { factors: left, first, words, panels: squares });
                        unit.run(Rectangle {
                            left: squares,
                            right: &packed[(columns.start - grid.columns.start) / SIDE * grid.deep..],
                            deep: grid.deep,
                            rows,
                            columns,
                            first: word == 0,
                            bias: bias.as_deref(),
                            output,
                        });
                    });
                };
                if threads > 1 {
                    (0..grid.tasks()).into_par_iter().for_each(run);
                } else {
                    (0..grid.tasks()).for_each(run);
                }
            });
        }
    }
}

/// How rows and columns are divided into tasks.
pub(super) struct Grid {
    rows: usize,
    columns: Range<usize>,
    /// Words of a row.
    deep: usize,
    /// Rows and columns of a task.
    tall: usize,
    wide: usize,
}

impl Grid {
    pub(super) fn new(rows: usize, columns: Range<usize>, deep: usize, threads: usize) -> Self {
        let wanted = if threads > 1 { tasks::wanted_of(threads) } else { 1 };
        let most = (TASK_WORDS / deep / BLOCK).max(1) * BLOCK;
        let tall = rows.div_ceil(wanted).next_multiple_of(BLOCK).min(most);
        let parts = wanted.div_ceil(rows.div_ceil(tall));
        let wide = columns.len().div_ceil(parts).next_multiple_of(BLOCK);
        Self { rows, columns, deep, tall, wide }
    }

    pub(super) fn tasks(&self) -> usize {
        self.rows.div_ceil(self.tall) * self.columns.len().div_ceil(self.wide)
    }

    fn task(&self, task: usize) -> (Range<usize>, Range<usize>) {
        let parts = self.columns.len().div_ceil(self.wide);
        let (row, column) = (task / parts * self.tall, self.columns.start + task % parts * self.wide);
        (row..self.rows.min(row + self.tall), column..self.columns.end.min(column + self.wide))
    }
}

/// Adds the products of some words to a rectangle of the result.
pub(crate) struct Rectangle<'a> {
    /// `[⌈rows / 16⌉, words / 16, 16 rows]`
    pub(crate) left: &'a [PackedLine],
    /// `[⌈columns / 16⌉, words]`, and what follows.
    pub(crate) right: &'a [PackedLine],
    /// Words, a multiple of sixteen.
    pub(crate) deep: usize,
    pub(crate) rows: Range<usize>,
    pub(crate) columns: Range<usize>,
    /// Whether these are the first words: their sums begin with the bias instead of what was written.
    pub(crate) first: bool,
    /// Of all columns, up to a whole block.
    pub(crate) bias: Option<&'a [f32]>,
    pub(crate) output: Output<'a>,
}

impl TileKernel for Rectangle<'_> {
    #[inline(always)]
    unsafe fn run<T: Tiles>(self, tiles: &mut T) {
        let Self { left, right, deep, ref rows, ref columns, bias, output, .. } = self;
        assert!(deep.is_multiple_of(SIDE));
        assert!(rows.len().div_ceil(SIDE) * deep <= left.len(), "squares of the left operand");
        assert!(columns.len().div_ceil(SIDE) * deep <= right.len(), "panels of the right operand");
        assert!(rows.end <= output.rows() && columns.end <= output.columns());
        assert!(bias.is_none_or(|bias| bias.len() >= columns.end.next_multiple_of(BLOCK)));
        for column in columns.clone().step_by(BLOCK) {
            for row in rows.clone().step_by(BLOCK) {
                let size = [rows.end - row, columns.end - column].map(|size| size.min(BLOCK));
                // SAFETY: by the assertions there are squares and panels for these rows and columns, and places for
                // them in the output.
                unsafe {
                    match size.map(|size| size > SIDE) {
                        [true, true] => self.block::<T, 2, 2>(tiles, row, column, size),
                        [true, false] => self.block::<T, 2, 1>(tiles, row, column, size),
                        [false, true] => self.block::<T, 1, 2>(tiles, row, column, size),
                        [false, false] => self.block::<T, 1, 1>(tiles, row, column, size),
                    }
                }
            }
        }
    }
}

impl Rectangle<'_> {
    /// Adds the products of a block of `size` rows and columns.
    ///
    /// # Safety
    /// There are `ROWS` panels of squares from `row` on, and `COLUMNS` panels from `column` on; `size` lies in the
    /// output.
    #[inline(always)]
    unsafe fn block<T: Tiles, const ROWS: usize, const COLUMNS: usize>(
        &self,
        tiles: &mut T,
        row: usize,
        column: usize,
        size: [usize; 2],
    ) {
        let stride = self.output.stride();
        let target = self.output.place(row, column);
        // SAFETY: as the caller's; a block that is not kept whole is summed in a buffer.
        unsafe {
            if size == [ROWS * SIDE, COLUMNS * SIDE] {
                self.sum::<T, ROWS, COLUMNS>(tiles, row, column, target, stride);
                return;
            }
            let mut buffer = [[0.0; BLOCK]; BLOCK];
            if !self.first {
                for (index, buffer) in buffer.iter_mut().enumerate().take(size[0]) {
                    let source = target.add(index * stride);
                    std::ptr::copy_nonoverlapping(source, buffer.as_mut_ptr(), size[1]);
                }
            }
            self.sum::<T, ROWS, COLUMNS>(tiles, row, column, buffer.as_mut_ptr().cast(), BLOCK);
            for (index, buffer) in buffer.iter().enumerate().take(size[0]) {
                let target = target.add(index * stride);
                std::ptr::copy_nonoverlapping(buffer.as_ptr(), target, size[1]);
            }
        }
    }

    /// Writes the sums of a whole block to `target`, whose rows are `step` apart, or adds the products to those there.
    ///
    /// # Safety
    /// As of [`block`](Self::block), and `target` has `ROWS` · 16 rows of `COLUMNS` · 16 values.
    #[inline(always)]
    unsafe fn sum<T: Tiles, const ROWS: usize, const COLUMNS: usize>(
        &self,
        tiles: &mut T,
        row: usize,
        column: usize,
        target: *mut f32,
        step: usize,
    ) {
        let deep = self.deep;
        // SAFETY: as the caller's.
        unsafe {
            let columns = side_by_side::<COLUMNS>(target);
            let mut sums = match (self.first, self.bias) {
                (true, None) => SumBlock::<T, ROWS, COLUMNS>::zeros(tiles),
                (true, Some(bias)) => SumBlock::repeat(tiles, bias.as_ptr().add(column)),
                _ => SumBlock::load(tiles, columns.map(<*mut f32>::cast_const), step),
            };
            let left = self.left.as_ptr().add((row - self.rows.start) / SIDE * deep).cast::<u32>();
            let right = self.right.as_ptr().add((column - self.columns.start) / SIDE * deep).cast::<u32>();
            for word in (0..deep).step_by(SIDE) {
                let place = |operand: *const u32, panel: usize| operand.add((panel * deep + word) * SIDE);
                let rows = std::array::from_fn(|panel| place(left, panel));
                let right = std::array::from_fn(|panel| place(right, panel));
                sums.add(rows, SIDE, right, SIDE);
            }
            sums.store(columns, step);
        }
    }
}
