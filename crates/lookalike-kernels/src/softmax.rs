//! Softmax of the columns of a matrix, as of what is said of each pixel where classes are planes.

#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]

use crate::functions::exp_negative;
use crate::instructions::Level;
use crate::vector::Work;

/// Columns at a time, whose sums stay in the first cache.
const PIECE: usize = 256;

/// Makes of each column its softmax times its factor; a column whose factor is 0 becomes 0 where its values are finite.
///
/// # Panics
/// If `values` are not rows as long as `factors`.
pub fn softmax_of_columns(values: &mut [f32], factors: &[f32]) {
    softmax_of_columns_at(Level::detect(), values, factors);
}

fn softmax_of_columns_at(level: Level, values: &mut [f32], factors: &[f32]) {
    assert_eq!(values.len() % factors.len().max(1), 0, "rows of {} columns", factors.len());
    for (piece, own) in factors.chunks(PIECE).enumerate() {
        level.run(Softmax { values, columns: factors.len(), first: piece * PIECE, factors: own });
    }
}

/// Columns from `first` on, as many as there are factors.
struct Softmax<'a> {
    values: &'a mut [f32],
    columns: usize,
    first: usize,
    factors: &'a [f32],
}

impl Work for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let Self { values, columns, first, factors } = self;
        let mut largest = [f32::NEG_INFINITY; PIECE];
        for row in values.chunks_exact(columns) {
            for (largest, value) in largest.iter_mut().zip(&row[first..][..factors.len()]) {
                *largest = if *value > *largest { *value } else { *largest };
            }
        }
        let mut sums = [0.0; PIECE];
        for row in values.chunks_exact_mut(columns) {
            let row = &mut row[first..][..factors.len()];
            for ((value, largest), sum) in row.iter_mut().zip(&largest).zip(&mut sums) {
                *value = exp_negative::<FUSED>(*value - largest);
                *sum += *value;
            }
        }
        for (sum, factor) in sums.iter_mut().zip(factors) {
            *sum = factor / *sum;
        }
        for row in values.chunks_exact_mut(columns) {
            let row = &mut row[first..][..factors.len()];
            row.iter_mut().zip(&sums).for_each(|(value, factor)| *value *= factor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_those_in_double_precision() {
        for (rows, columns) in [(1, 1), (2, 15), (3, 16), (21, 257), (5, 1000)] {
            let value = |at: usize| ((at * 7919) % 997) as f32 / 49.85 - 10.0;
            let values: Vec<f32> = (0..rows * columns).map(value).collect();
            let factors: Vec<f32> = (0..columns).map(|column| (column % 3) as f32 * 0.5).collect();
            for level in [Level::Portable, Level::detect()] {
                let mut found = values.clone();
                softmax_of_columns_at(level, &mut found, &factors);
                for column in 0..columns {
                    let own = |row: usize| f64::from(values[row * columns + column]).exp();
                    let sum: f64 = (0..rows).map(own).sum();
                    for row in 0..rows {
                        let expected = f64::from(factors[column]) * own(row) / sum;
                        let found = f64::from(found[row * columns + column]);
                        assert!(
                            (found - expected).abs() <= 1e-6,
                            "{rows}×{columns}: {found}, not {expected}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_no_number_spoils_its_column_alone_and_no_columns_are_nothing() {
        let mut values = [0.0, 1.0, f32::NAN, 1.0];
        softmax_of_columns(&mut values, &[1.0, 1.0]);
        assert!(values[0].is_nan() && values[2].is_nan(), "{values:?}");
        assert_eq!([values[1], values[3]], [0.5, 0.5]);
        softmax_of_columns(&mut [], &[]);
    }

    #[test]
    #[should_panic(expected = "rows of 3 columns")]
    fn what_are_not_rows_is_refused() {
        softmax_of_columns(&mut [0.0; 4], &[1.0; 3]);
    }
}
