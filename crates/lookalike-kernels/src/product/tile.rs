//! The register tile, and the task that moves it over the result.

#![expect(unsafe_code, reason = "register tiles read through pointers whose bounds are asserted")]
#![expect(clippy::needless_range_loop, reason = "row and vector number registers of several arrays at once")]
#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]

use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Range;

use super::pack::{Factors, Steps, pack};
use super::scratch::PackedLine;
use crate::conv2d::arithmetic::{Arithmetic, Kernel};
use crate::map::LANES;
use crate::vector::{Vector, prefetch};

/// Words that are summed in registers before the sum is added to the result. It decides the order of
/// summation, so nothing else may.
pub(super) const DEPTH: usize = 256;
/// Lines of a word of a panel of the right operand.
pub(super) const GROUPS: usize = 3;
/// Columns of such a panel: they are whole register tiles at each level.
pub(super) const COLUMNS: usize = GROUPS * LANES;
/// Rows of a panel of the left operand.
pub(super) const ROWS: usize = LANES;
/// Rows of a stripe for which it is not worth to pack columns whose words lie side by side, at most.
const DIRECT: usize = 32;
/// Words by which the left operand, which comes from a cache that the cores share, is asked for early.
const AHEAD: usize = 32;
/// Rows of a register tile, at most.
const TILE_ROWS: usize = 8;

/// The result, for several tasks that each write a rectangle of their own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output<'a> {
    first: *mut f32,
    rows: usize,
    columns: usize,
    /// Values from row to row.
    stride: usize,
    values: PhantomData<&'a mut [MaybeUninit<f32>]>,
}

// SAFETY: this is a mutable borrow of values, which may be sent; the caller of `new` keeps stripes disjoint.
unsafe impl Send for Output<'_> {}
// SAFETY: as above.
unsafe impl Sync for Output<'_> {}

impl<'a> Output<'a> {
    /// `rows` rows of `columns` values.
    ///
    /// # Safety
    /// No two tasks may run stripes with values in common at the same time, and a stripe that does not begin
    /// with the first word may only run after that of the words before it.
    pub(super) unsafe fn new(values: &'a mut [MaybeUninit<f32>], rows: usize, columns: usize) -> Self {
        assert_eq!(values.len(), rows * columns, "values of the result");
        Self { first: values.as_mut_ptr().cast(), rows, columns, stride: columns, values: PhantomData }
    }

    /// `rows` rows of `columns` values, which are `stride` apart, for one task alone.
    ///
    /// # Panics
    /// If there are fewer values.
    ///
    /// # Safety
    /// Only one task may use it and its copies. Values are written before they are added to.
    pub(crate) unsafe fn of_rows(values: &'a mut [f32], [rows, columns]: [usize; 2], stride: usize) -> Self {
        assert!(
            columns <= stride && rows > 0 && (rows - 1) * stride + columns <= values.len(),
            "values of rows"
        );
        Self { first: values.as_mut_ptr(), rows, columns, stride, values: PhantomData }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    pub(super) fn stride(&self) -> usize {
        self.stride
    }

    /// Where a value lies that there is.
    ///
    /// # Panics
    /// If there is none.
    #[inline(always)]
    pub(super) fn place(&self, row: usize, column: usize) -> *mut f32 {
        assert!(row < self.rows && column < self.columns, "a place of the result");
        // SAFETY: by the assertion it lies in the borrowed values.
        unsafe { self.first.add(row * self.stride + column) }
    }
}

/// Adds the products of some words to a stripe of the result, a panel of columns wide. Those of the first
/// word overwrite what is there.
pub(super) struct Stripe<'a> {
    /// Panels of the left operand, `[⌈words / DEPTH⌉, panels, words of the block, 16]`.
    pub(super) left: &'a [PackedLine],
    /// Of each block.
    pub(super) panels: usize,
    /// The row of the result that the first panel begins with.
    pub(super) first_row: usize,
    /// Rows of the stripe.
    pub(super) rows: Range<usize>,
    pub(super) right: Factors<'a>,
    /// The first column of the stripe.
    pub(super) column: usize,
    pub(super) words: Range<usize>,
    pub(super) bias: Option<&'a [f32]>,
    pub(super) output: Output<'a>,
    /// Room for a panel of the right operand.
    pub(super) panel: &'a mut [PackedLine],
}

impl Kernel for Stripe<'_> {
    #[inline(always)]
    unsafe fn run<A: Arithmetic>(self) {
        let Self { left, panels, first_row, rows, right, column, words, bias, output, panel } = self;
        let columns = COLUMNS.min(output.columns.saturating_sub(column));
        assert!(first_row <= rows.start && (rows.start - first_row).is_multiple_of(ROWS));
        assert!(rows.end <= output.rows && rows.end <= first_row + panels * ROWS);
        assert_eq!(left.len(), panels * words.len(), "lines of the left operand");
        assert!(bias.is_none_or(|bias| bias.len() == output.columns));
        let is_direct = !A::PAIRS && !right.contiguous && columns == COLUMNS && rows.len() <= DIRECT;
        for start in words.clone().step_by(DEPTH) {
            let block = start..words.end.min(start + DEPTH);
            let depth = block.len();
            let columns_of = if is_direct {
                let values = &right.values[start * right.count + column..];
                assert!(values.len() >= (depth - 1) * right.count + COLUMNS, "columns of the right operand");
                Columns { first: values.as_ptr().cast(), step: right.count }
            } else {
                let panel = &mut panel[..depth * GROUPS];
                let steps = Steps { word: GROUPS, group: 1 };
                // SAFETY: as the caller's.
                unsafe { pack::<A>(&right, column, block, GROUPS, steps, panel) };
                Columns { first: panel.as_ptr().cast(), step: COLUMNS }
            };
            for row in rows.clone().step_by(ROWS) {
                let place = (start - words.start) * panels + (row - first_row) / ROWS * depth;
                let left = &left[place..][..depth];
                let count = ROWS.min(rows.end - row);
                // SAFETY: both panels have `depth` words, and rows and columns lie in the output, by the
                // assertions. By the promise to `Output::new` no other task writes there, and what is not the
                // first block finds the sums of those before.
                unsafe {
                    let target = output.first.add(row * output.columns + column);
                    let base = match bias {
                        _ if start > 0 => Some((target.cast_const(), output.columns)),
                        Some(bias) => Some((bias.as_ptr().add(column), 0)),
                        None => None,
                    };
                    let place = Place { target, step: output.columns, base };
                    add_panel::<A>(left, columns_of, count, columns, place);
                }
            }
        }
    }
}

/// Words of columns of the right operand, packed or as they lie.
#[derive(Clone, Copy)]
struct Columns {
    first: *const u32,
    /// Words from row to row.
    step: usize,
}

/// Where a tile is written, and what is added to it.
#[derive(Clone, Copy)]
struct Place {
    target: *mut f32,
    /// Values from row to row.
    step: usize,
    /// What the sums are added to, with its values from row to row.
    base: Option<(*const f32, usize)>,
}

impl Place {
    /// # Safety
    /// Row and column lie in both.
    #[inline(always)]
    unsafe fn at(self, row: usize, column: usize) -> Self {
        // SAFETY: as the caller's.
        unsafe {
            let base = self.base.map(|(base, step)| (base.add(row * step + column), step));
            Self { target: self.target.add(row * self.step + column), base, ..self }
        }
    }
}

/// Adds the products of two panels to `rows` rows of `columns` values.
///
/// # Safety
/// The processor has the registers of `A`, the panels are those of as many words, at most sixteen rows and
/// [`COLUMNS`] columns, and the values lie in what `place` tells.
#[inline(always)]
unsafe fn add_panel<A: Arithmetic>(
    left: &[PackedLine],
    right: Columns,
    rows: usize,
    columns: usize,
    place: Place,
) {
    let lanes = A::Register::LANES;
    let most = if lanes == LANES { TILE_ROWS } else { TILE_ROWS / 2 };
    for column in (0..columns).step_by(GROUPS * lanes) {
        let width = (columns - column).min(GROUPS * lanes);
        for row in (0..rows).step_by(most) {
            let height = (rows - row).min(most);
            // SAFETY: rows and columns of a tile lie in the panels, as `most` divides 16 and a tile's columns
            // divide those of a panel. The rest is as the caller's.
            unsafe {
                let tile = Tile {
                    words: left.len(),
                    left: left.as_ptr().cast::<u32>().add(row),
                    right: Columns { first: right.first.add(column), ..right },
                    size: [height, width],
                };
                let place = place.at(row, column);
                match (height, width.div_ceil(lanes)) {
                    (1, 1) => tile.run::<A, 1, 1>(place),
                    (1, 2) => tile.run::<A, 1, 2>(place),
                    (1, _) => tile.run::<A, 1, 3>(place),
                    (2, 1) => tile.run::<A, 2, 1>(place),
                    (2, 2) => tile.run::<A, 2, 2>(place),
                    (2, _) => tile.run::<A, 2, 3>(place),
                    (3 | 4, 1) => tile.run::<A, 4, 1>(place),
                    (3 | 4, 2) => tile.run::<A, 4, 2>(place),
                    (3 | 4, _) => tile.run::<A, 4, 3>(place),
                    (_, 1) => tile.run::<A, TILE_ROWS, 1>(place),
                    (_, 2) => tile.run::<A, TILE_ROWS, 2>(place),
                    (_, _) => tile.run::<A, TILE_ROWS, 3>(place),
                }
            }
        }
    }
}

/// A register tile: the sums of the products of some rows and columns of two panels.
#[derive(Clone, Copy)]
struct Tile {
    words: usize,
    left: *const u32,
    right: Columns,
    /// Rows and columns that are kept.
    size: [usize; 2],
}

impl Tile {
    /// Adds the tile to what `place` tells.
    ///
    /// # Safety
    /// The processor has the registers of `A`; from both pointers on, there are `HEIGHT` rows or `VECTORS`
    /// registers of columns of as many words of panels; as many rows and columns as are kept lie in the place.
    #[inline(always)]
    unsafe fn run<A: Arithmetic, const HEIGHT: usize, const VECTORS: usize>(self, place: Place) {
        let [height, width] = self.size;
        // SAFETY: as the caller's; a tile that is not kept whole is written to a buffer.
        unsafe {
            if height == HEIGHT && width == VECTORS * A::Register::LANES {
                self.sum::<A, HEIGHT, VECTORS>(place);
                return;
            }
            let mut sums = [[0.0; COLUMNS]; TILE_ROWS];
            let target = sums.as_mut_ptr().cast();
            self.sum::<A, HEIGHT, VECTORS>(Place { target, step: COLUMNS, base: None });
            for row in 0..height {
                for column in 0..width {
                    let sum = sums[row][column];
                    let one = place.at(row, column);
                    *one.target = match one.base {
                        Some((base, _)) => *base + sum,
                        None => sum,
                    };
                }
            }
        }
    }

    /// # Safety
    /// As [`Self::run`], and the whole tile lies in the place.
    #[inline(always)]
    unsafe fn sum<A: Arithmetic, const HEIGHT: usize, const VECTORS: usize>(self, place: Place) {
        let lanes = A::Register::LANES;
        // SAFETY: as the caller's.
        unsafe {
            let mut sums = [[A::Register::splat(0.0); VECTORS]; HEIGHT];
            // The sums are added to it later.
            for row in 0..HEIGHT {
                for vector in 0..VECTORS {
                    prefetch(place.target.add(row * place.step + vector * lanes));
                }
            }
            for word in 0..self.words {
                let (left, right) =
                    (self.left.add(word * ROWS), self.right.first.add(word * self.right.step));
                prefetch(left.wrapping_add(AHEAD * ROWS));
                let mut values = [A::Register::splat(0.0); VECTORS];
                for vector in 0..VECTORS {
                    values[vector] = A::Register::load(right.add(vector * lanes).cast());
                }
                for row in 0..HEIGHT {
                    let value = A::Register::splat(f32::from_bits(*left.add(row)));
                    for vector in 0..VECTORS {
                        sums[row][vector] = A::add_products(value, values[vector], sums[row][vector]);
                    }
                }
            }
            for row in 0..HEIGHT {
                for vector in 0..VECTORS {
                    let mut sum = sums[row][vector];
                    if let Some((base, step)) = place.base {
                        // Times 1, which is exact, as registers have no sum alone.
                        let base = A::Register::load(base.add(row * step + vector * lanes));
                        sum = sum.multiply_add(A::Register::splat(1.0), base);
                    }
                    sum.store(place.target.add(row * place.step + vector * lanes));
                }
            }
        }
    }
}
