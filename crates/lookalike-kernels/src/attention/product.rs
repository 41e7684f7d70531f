//! Products of small matrices: of queries with keys, and of probabilities with values.

#![expect(
    unsafe_code,
    reason = "values read and written through pointers whose bounds are asserted at entry"
)]
#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]

use std::marker::PhantomData;

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{__m256, __m512};

use crate::dot::Level;
use crate::vector::{PANEL, Vector, Work, multiply_add};

/// Work to be compiled for the registers of each level.
pub(super) trait Task {
    /// The work, to be marked `#[inline(always)]`.
    fn run<V: Vector, const FUSED: bool>(self);
}

struct With<V, T>(T, PhantomData<V>);

impl<V: Vector, T: Task> Work for With<V, T> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        self.0.run::<V, FUSED>();
    }
}

/// Runs `task` with the registers of `level`.
pub(super) fn run(level: Level, task: impl Task) {
    match level {
        Level::Portable => level.run(With::<[f32; 4], _>(task, PhantomData)),
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => level.run(With::<__m256, _>(task, PhantomData)),
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => level.run(With::<__m512, _>(task, PhantomData)),
    }
}

/// Rows of a tile, whose sums stay in registers.
const ROWS: usize = 4;

/// Keys that lie side by side when they are transposed: as many as a tile has columns.
pub(super) const fn panel<V: Vector>() -> usize {
    if 2 * V::LANES > PANEL { 2 * V::LANES } else { PANEL }
}

/// The left matrix of a product: row r has in column i the value `r · row + i · step`.
#[derive(Clone, Copy)]
pub(super) struct Left<'a> {
    pub(super) values: &'a [f32],
    pub(super) row: usize,
    pub(super) step: usize,
}

/// The right matrix of a product, whose rows are `stride` apart.
#[derive(Clone, Copy)]
pub(super) struct Right<'a> {
    pub(super) values: &'a [f32],
    pub(super) stride: usize,
}

/// Rows, columns, and columns of the left matrix.
#[derive(Clone, Copy)]
pub(super) struct Size {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) steps: usize,
}

/// Writes the product to rows of `out` that are `stride` apart, or with `ADD` adds it to them. Each value is
/// summed in the order of the steps, whatever the size.
///
/// # Panics
/// If a matrix does not have the values that the size says.
///
/// # Safety
/// As [`Vector`].
#[inline(always)]
pub(super) unsafe fn product<V: Vector, const FUSED: bool, const ADD: bool>(
    size: Size,
    left: Left<'_>,
    right: Right<'_>,
    out: &mut [f32],
    stride: usize,
) {
    let Size { rows, columns, steps } = size;
    if rows == 0 || columns == 0 {
        return;
    }
    assert!(steps > 0 && (rows - 1) * left.row + (steps - 1) * left.step < left.values.len(), "left matrix");
    assert!((steps - 1) * right.stride + columns <= right.values.len(), "right matrix");
    assert!((rows - 1) * stride + columns <= out.len(), "product");
    let mut column = 0;
    while column + 2 * V::LANES <= columns {
        // SAFETY: by the assertions, and as the caller's.
        unsafe { tiles::<V, 2, ADD>(size, column, left, right, out, stride) };
        column += 2 * V::LANES;
    }
    while column + V::LANES <= columns {
        // SAFETY: as above.
        unsafe { tiles::<V, 1, ADD>(size, column, left, right, out, stride) };
        column += V::LANES;
    }
    for column in column..columns {
        for row in 0..rows {
            let mut sum = 0.0;
            for step in 0..steps {
                let factor = left.values[row * left.row + step * left.step];
                sum = multiply_add::<FUSED>(factor, right.values[step * right.stride + column], sum);
            }
            let place = &mut out[row * stride + column];
            *place = if ADD { *place + sum } else { sum };
        }
    }
}

/// All rows of `C` registers of columns.
///
/// # Safety
/// As [`Vector`]; the assertions of [`product`] hold, and there are as many columns from `column` on.
#[inline(always)]
unsafe fn tiles<V: Vector, const C: usize, const ADD: bool>(
    Size { rows, steps, .. }: Size,
    column: usize,
    left: Left<'_>,
    right: Right<'_>,
    out: &mut [f32],
    stride: usize,
) {
    for first in (0..rows).step_by(ROWS) {
        // Where rows are missing, the last is computed several times.
        let at: [usize; ROWS] = std::array::from_fn(|row| (first + row).min(rows - 1) * left.row);
        // SAFETY: rows, columns and steps lie in the matrices, as the caller guarantees.
        unsafe {
            let from = left.values.as_ptr();
            let from = at.map(|at| from.add(at));
            let mut sums = [[V::splat(0.0); C]; ROWS];
            for step in 0..steps {
                let values = right.values.as_ptr().add(step * right.stride + column);
                let values: [V; C] = std::array::from_fn(|part| V::load(values.add(part * V::LANES)));
                for (sums, from) in sums.iter_mut().zip(from) {
                    let factor = V::splat(*from.add(step * left.step));
                    for (sum, values) in sums.iter_mut().zip(values) {
                        *sum = factor.multiply_add(values, *sum);
                    }
                }
            }
            for (row, sums) in sums.into_iter().enumerate().take(rows - first) {
                let target = out.as_mut_ptr().add((first + row) * stride + column);
                for (part, sum) in sums.into_iter().enumerate() {
                    let target = target.add(part * V::LANES);
                    let sum = if ADD { V::splat(1.0).multiply_add(sum, V::load(target)) } else { sum };
                    sum.store(target);
                }
            }
        }
    }
}

/// Some columns of a matrix: of a head's queries, keys or values.
#[derive(Clone, Copy)]
pub(super) struct Columns<'a> {
    /// From the first value of the first row on.
    pub(super) values: &'a [f32],
    /// From row to row.
    pub(super) stride: usize,
    pub(super) rows: usize,
    pub(super) width: usize,
}

impl Columns<'_> {
    /// Writes the rows one behind the other.
    #[inline(always)]
    pub(super) fn copy(&self, out: &mut [f32]) {
        for (row, out) in out.chunks_exact_mut(self.width).enumerate().take(self.rows) {
            out.copy_from_slice(&self.values[row * self.stride..][..self.width]);
        }
    }

    /// Writes panels of as many rows as [`panel`] says, the last of sixteen where these are enough. A panel has
    /// a line for each column. Rows that are missing are zeros.
    ///
    /// # Safety
    /// As [`Vector`].
    #[inline(always)]
    pub(super) unsafe fn transpose<V: Vector>(&self, out: &mut [f32]) {
        let Self { values, stride, rows, width } = *self;
        let padded = rows.next_multiple_of(PANEL);
        let whole = width / PANEL * PANEL;
        assert!(rows == 0 || (rows - 1) * stride + width <= values.len(), "rows");
        assert!(padded * width <= out.len(), "panels");
        for first in (0..padded).step_by(PANEL) {
            let begin = first / panel::<V>() * panel::<V>();
            let line = panel::<V>().min(padded - begin);
            let target = &mut out[begin * width..][..line * width];
            let own = PANEL.min(rows - first);
            for column in (0..whole).step_by(PANEL) {
                let mut square = [0.0; PANEL * PANEL];
                let source = if own == PANEL {
                    (&values[first * stride + column..], stride)
                } else {
                    for (row, out) in square.chunks_exact_mut(PANEL).enumerate().take(own) {
                        out.copy_from_slice(&values[(first + row) * stride + column..][..PANEL]);
                    }
                    (square.as_slice(), PANEL)
                };
                let target = &mut target[column * line + first - begin..];
                // SAFETY: by the assertions there are sixteen rows of sixteen values at the source, which has
                // its own rows or the square, and sixteen lines at the target, from `first − begin` on, which
                // is below `line` by sixteen at least.
                unsafe { V::transpose(source.0.as_ptr(), source.1, target.as_mut_ptr(), line) };
            }
            for column in whole..width {
                let target = &mut target[column * line + first - begin..][..PANEL];
                for (row, target) in target.iter_mut().enumerate() {
                    *target = if row < own { values[(first + row) * stride + column] } else { 0.0 };
                }
            }
        }
    }
}
