//! Products of small matrices: of queries with keys, and of probabilities with values.

#![expect(
    unsafe_code,
    reason = "values read and written through pointers whose bounds are asserted at entry"
)]
#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]

use crate::vector::{PANEL, Vector, multiply_add};

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
        // SAFETY: rows, columns and steps lie in the matrices, as the caller guarantees.
        unsafe {
            let from = left.values.as_ptr().add(first * left.row);
            let left = [left.row, left.step];
            let values = right.values.as_ptr().add(column);
            let right = (values, right.stride);
            let out = (out.as_mut_ptr().add(first * stride + column), stride);
            match rows - first {
                1 => tile::<V, 1, C, ADD>(steps, from, left, right, out),
                2 => tile::<V, 2, C, ADD>(steps, from, left, right, out),
                3 => tile::<V, 3, C, ADD>(steps, from, left, right, out),
                _ => tile::<V, ROWS, C, ADD>(steps, from, left, right, out),
            }
        }
    }
}

/// `R` rows of `C` registers, whose sums stay in registers.
///
/// # Safety
/// As [`Vector`]; the matrices have these rows and columns, and as many steps.
#[inline(always)]
unsafe fn tile<V: Vector, const R: usize, const C: usize, const ADD: bool>(
    steps: usize,
    mut left: *const f32,
    [row, next]: [usize; 2],
    (mut right, line): (*const f32, usize),
    (out, stride): (*mut f32, usize),
) {
    // SAFETY: as the caller's. Pointers that move past the last step are not read.
    unsafe {
        let mut sums = [[V::splat(0.0); C]; R];
        for _ in 0..steps {
            let values: [V; C] = std::array::from_fn(|part| V::load(right.add(part * V::LANES)));
            for (at, sums) in sums.iter_mut().enumerate() {
                let factor = V::splat(*left.add(at * row));
                for (sum, values) in sums.iter_mut().zip(values) {
                    *sum = factor.multiply_add(values, *sum);
                }
            }
            left = left.wrapping_add(next);
            right = right.wrapping_add(line);
        }
        for (at, sums) in sums.into_iter().enumerate() {
            for (part, sum) in sums.into_iter().enumerate() {
                let target = out.add(at * stride + part * V::LANES);
                let sum = if ADD { V::splat(1.0).multiply_add(sum, V::load(target)) } else { sum };
                sum.store(target);
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
