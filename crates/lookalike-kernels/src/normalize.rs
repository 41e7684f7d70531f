//! Rows of unit length.

use crate::dot::Level;
use crate::vector::Work;

/// Partial sums: a 512-bit register of `f64`, twice.
const LANES: usize = 16;

/// Scales `row` to unit Euclidean length; zeros stay as they are. Returns whether all its values are finite; a row that
/// holds another is left as it is.
pub fn normalize(row: &mut [f32]) -> bool {
    Level::detect().run(Normalize(row))
}

struct Normalize<'a>(&'a mut [f32]);

impl Work for Normalize<'_> {
    type Output = bool;

    #[expect(
        clippy::inline_always,
        reason = "only code inlined into a function with target features may use them"
    )]
    #[inline(always)]
    fn run<const FUSED: bool>(self) -> bool {
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
        let square: f64 = sums.iter().sum();
        if square > 0.0 && square.is_finite() {
            let scale = 1.0 / square.sqrt();
            for value in self.0 {
                *value = (f64::from(*value) * scale) as f32;
            }
        }
        square.is_finite()
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
                assert!(level.run(Normalize(&mut row)));
                assert_eq!(row[..2], expected, "{level:?}");
            }
        }
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
