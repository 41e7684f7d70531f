//! Rows of unit length.

#![expect(unsafe_code, reason = "stores past the caches, to whole aligned lines of a slice")]
#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]

use crate::instructions::Level;
use crate::sizes::checked_product;
use crate::vector::Work;

/// Partial sums: a 512-bit register of `f64`, twice.
const LANES: usize = 16;

/// Scales `row` to unit Euclidean length; a row of zeros stays as it is. Returns whether all its values are
/// finite: a row with a NaN or an infinity is left unchanged.
pub fn normalize(row: &mut [f32]) -> bool {
    Level::detect().run(Normalize(row))
}

/// The square of the Euclidean norm of `row`; finite where all its values are, as no square of an `f32`
/// overflows an `f64`.
pub fn squared_norm(row: &[f32]) -> f64 {
    Level::detect().run(SquaredNorm(row))
}

/// Scales each of `rows` to unit length, as [`normalize`] does, and writes it to the row of `target` that
/// `places` names. `squared_norms` has the [`squared_norm`] of each row; all of them are finite. Where the
/// processor can, the values are written past the caches, as they are read much later.
///
/// # Shapes
/// `rows` n×`columns`, `squared_norms` n, `places` n, `target` any number of rows × `columns`.
///
/// # Panics
/// If these disagree, or a place lies outside of `target`.
pub fn scatter_units(
    rows: &[f32],
    columns: usize,
    squared_norms: &[f64],
    places: &[u32],
    target: &mut [f32],
) {
    assert_eq!(places.len(), squared_norms.len(), "a place for each squared norm");
    assert_eq!(
        Some(rows.len()),
        checked_product([places.len(), columns]),
        "a row of {columns} for each place"
    );
    if columns == 0 {
        return;
    }
    // Checked before anything is written, for stores past the caches must be followed by a fence.
    let available = target.len() / columns;
    assert!(places.iter().all(|place| (*place as usize) < available), "a place out of the target's range");
    let level = Level::detect();
    for ((row, square), place) in rows.chunks_exact(columns).zip(squared_norms).zip(places) {
        let target = &mut target[*place as usize * columns..][..columns];
        level.run(WriteScaled { row, scale: unit_scale(*square), target });
    }
    fence();
}

/// Orders the stores of [`write_line`], which go past the caches, before all later ones.
fn fence() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every processor of this kind has it.
    unsafe {
        std::arch::x86_64::_mm_sfence();
    }
}

/// The factor that scales a row to unit length.
fn unit_scale(squared_norm: f64) -> f64 {
    if squared_norm > 0.0 { 1.0 / squared_norm.sqrt() } else { 1.0 }
}

struct Normalize<'a>(&'a mut [f32]);

impl Work for Normalize<'_> {
    type Output = bool;

    #[inline(always)]
    fn run<const FUSED: bool>(self) -> bool {
        let square = SquaredNorm(self.0).run::<FUSED>();
        if square.is_finite() {
            let scale = unit_scale(square);
            for value in self.0 {
                *value = (f64::from(*value) * scale) as f32;
            }
        }
        square.is_finite()
    }
}

struct SquaredNorm<'a>(&'a [f32]);

impl Work for SquaredNorm<'_> {
    type Output = f64;

    #[inline(always)]
    fn run<const FUSED: bool>(self) -> f64 {
        // In f64 neither do squares overflow nor does scaling lose more than its last rounding.
        let mut sums = [0.0_f64; LANES];
        let (chunks, rest) = self.0.as_chunks::<LANES>();
        for chunk in chunks {
            for lane in 0..LANES {
                sums[lane] += f64::from(chunk[lane]) * f64::from(chunk[lane]);
            }
        }
        for (sum, value) in sums.iter_mut().zip(rest) {
            *sum += f64::from(*value) * f64::from(*value);
        }
        sums.iter().sum()
    }
}

/// Values of a line of the caches, at an address of one.
#[repr(C, align(64))]
struct Line([f32; 16]);

struct WriteScaled<'a> {
    row: &'a [f32],
    scale: f64,
    target: &'a mut [f32],
}

impl Work for WriteScaled<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let scaled = |value: f32| (f64::from(value) * self.scale) as f32;
        // SAFETY: sixteen `f32` side by side are a line, and the other way around.
        let (head, lines, tail) = unsafe { self.target.align_to_mut::<Line>() };
        let (first, rest) = self.row.split_at(head.len());
        let (middle, last) = rest.as_chunks::<16>();
        for (target, values) in lines.iter_mut().zip(middle) {
            write_line(target, values.map(scaled));
        }
        let ends = head.iter_mut().zip(first).chain(tail.iter_mut().zip(last));
        ends.for_each(|(target, value)| *target = scaled(*value));
    }
}

#[inline(always)]
fn write_line(target: &mut Line, values: [f32; 16]) {
    #[cfg(target_arch = "x86_64")]
    for (at, four) in values.as_chunks::<4>().0.iter().enumerate() {
        // SAFETY: every processor of this kind has the instructions; a line holds four times four values, the
        // first of which is aligned to its 64 bytes.
        unsafe {
            use std::arch::x86_64::{_mm_loadu_ps, _mm_stream_ps};
            _mm_stream_ps(target.0.as_mut_ptr().add(4 * at), _mm_loadu_ps(four.as_ptr()));
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        target.0 = values;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_the_largest_and_smallest_numbers_get_unit_length() {
        let half = std::f32::consts::FRAC_1_SQRT_2;
        for level in Level::all() {
            for (row, expected) in [
                ([3.0, 4.0], [0.6, 0.8]),
                ([f32::MAX, f32::MAX], [half, half]),
                ([1e-45, 0.0], [1.0, 0.0]),
                ([0.0, 0.0], [0.0, 0.0]),
            ] {
                let mut row = [row, [0.0; 2]].concat().repeat(10);
                row[2..].fill(0.0);
                let scale = unit_scale(level.run(SquaredNorm(&row)));
                let mut target = vec![7.0; row.len()];
                level.run(WriteScaled { row: &row, scale, target: &mut target });
                fence();
                assert!(level.run(Normalize(&mut row)));
                assert_eq!(row[..2], expected, "{level:?}");
                assert_eq!(target, row, "{level:?}");
            }
        }
    }

    #[test]
    fn scattered_rows_of_any_width_and_address_are_the_normalized_ones() {
        for columns in [0, 1, 3, 16, 17, 40, 64, 256] {
            for skipped in [0, 1, 4] {
                let rows: Vec<f32> = (0..4 * columns).map(|at| (at as f32 * 0.7).sin() * 3.0).collect();
                let places = [5, 0, 6, 2];
                let squares: Vec<f64> =
                    (0..4).map(|at| squared_norm(&rows[at * columns..][..columns])).collect();
                let mut target = vec![9.0; skipped + 7 * columns];
                scatter_units(&rows, columns, &squares, &places, &mut target[skipped..]);

                let mut expected = vec![9.0; skipped + 7 * columns];
                for (at, place) in places.into_iter().enumerate() {
                    let row = &mut expected[skipped + place as usize * columns..][..columns];
                    row.copy_from_slice(&rows[at * columns..][..columns]);
                    normalize(row);
                }
                assert_eq!(target, expected, "{columns} columns, {skipped} skipped");
            }
        }
    }

    #[test]
    #[should_panic(expected = "range")]
    fn a_place_outside_is_refused() {
        scatter_units(&[1.0, 0.0], 2, &[1.0], &[3], &mut [0.0; 6]);
    }

    #[test]
    fn a_row_that_is_not_finite_is_left_as_it_is() {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut row = vec![2.0; 40];
            row[33] = value;
            assert!(!normalize(&mut row));
            assert_eq!(row[..33], [2.0; 33]);
        }
    }
}
