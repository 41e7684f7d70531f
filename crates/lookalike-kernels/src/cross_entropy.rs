//! Cross-entropy of rows of logits with a class each: log Σⱼ exp(zⱼ) − z of the class, as of a masked language model over its vocabulary.
//!
//! Of the softmax nothing is kept but the largest logit and the sum of each row: the gradient computes it again.

#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]

use std::hint::black_box;
use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::functions::exp_negative;
use crate::instructions::Level;
use crate::output::init_vec;
use crate::vector::{PANEL as LANES, Work};

/// The cross-entropy of each row, and for the gradient its largest logit and Σⱼ exp(zⱼ − largest).
///
/// # Panics
/// If the logits are not rows of `columns`, there is not a class a row, or one is not below `columns`.
pub fn cross_entropy(logits: &[f32], columns: usize, classes: &[u32]) -> (Vec<f32>, Vec<[f32; 2]>) {
    cross_entropy_at(Level::detect(), logits, columns, classes)
}

fn cross_entropy_at(
    level: Level,
    logits: &[f32],
    columns: usize,
    classes: &[u32],
) -> (Vec<f32>, Vec<[f32; 2]>) {
    check(logits, columns, classes);
    let rows = logits.par_chunks_exact(columns.max(1)).zip(classes);
    let of_row = |(row, class): (&[f32], &u32)| {
        let [largest, sum] = level.run(Sums { row });
        (sum.ln() - (row[*class as usize] - largest), [largest, sum])
    };
    rows.map(of_row).unzip()
}

/// The gradient of the logits, for that of what [`cross_entropy`] gave of each row beside these `sums`.
///
/// # Panics
/// As [`cross_entropy`], and if there are not a gradient and sums a row.
pub fn cross_entropy_gradient(
    logits: &[f32],
    columns: usize,
    classes: &[u32],
    sums: &[[f32; 2]],
    gradient: &[f32],
) -> Vec<f32> {
    cross_entropy_gradient_at(Level::detect(), logits, columns, classes, sums, gradient)
}

#[expect(unsafe_code, reason = "the gradient is not cleared before it is written")]
fn cross_entropy_gradient_at(
    level: Level,
    logits: &[f32],
    columns: usize,
    classes: &[u32],
    sums: &[[f32; 2]],
    gradient: &[f32],
) -> Vec<f32> {
    check(logits, columns, classes);
    assert_eq!((sums.len(), gradient.len()), (classes.len(), classes.len()), "sums and a gradient a row");
    let columns = columns.max(1);
    let write = |out: &mut [MaybeUninit<f32>]| {
        let rows = out.par_chunks_exact_mut(columns).zip(logits.par_chunks_exact(columns));
        rows.zip(classes.par_iter().zip(sums.par_iter().zip(gradient))).for_each(
            |((out, row), (class, ([largest, sum], gradient)))| {
                level.run(Softmax { row, largest: *largest, factor: gradient / sum, out });
                let own = (row[*class as usize] - largest).exp() / sum - 1.0;
                out[*class as usize].write(gradient * own);
            },
        );
    };
    // SAFETY: rows cover the output, which is as long as the logits, and each is written whole.
    unsafe { init_vec(logits.len(), write) }
}

fn check(logits: &[f32], columns: usize, classes: &[u32]) {
    assert_eq!(logits.len(), columns * classes.len(), "a class for each row of {columns} logits");
    assert!(classes.iter().all(|class| (*class as usize) < columns), "each class has a logit");
}

/// The largest of a row, and the sum of exponentials less it.
struct Sums<'a> {
    row: &'a [f32],
}

impl Work for Sums<'_> {
    type Output = [f32; 2];

    #[inline(always)]
    fn run<const FUSED: bool>(self) -> [f32; 2] {
        let (chunks, rest) = self.row.as_chunks::<LANES>();
        let mut lanes = [f32::NEG_INFINITY; LANES];
        for chunk in chunks {
            for lane in 0..LANES {
                lanes[lane] = if chunk[lane] > lanes[lane] { chunk[lane] } else { lanes[lane] };
            }
        }
        let all = black_box(lanes).into_iter().chain(rest.iter().copied());
        let largest =
            all.fold(f32::NEG_INFINITY, |largest, value| if value > largest { value } else { largest });
        let mut lanes = [0.0; LANES];
        for chunk in chunks {
            for lane in 0..LANES {
                lanes[lane] += exp_negative::<FUSED>(chunk[lane] - largest);
            }
        }
        let rest: f32 = rest.iter().map(|value| exp_negative::<FUSED>(value - largest)).sum();
        [largest, black_box(lanes).into_iter().sum::<f32>() + rest]
    }
}

/// exp(z − largest) · factor.
struct Softmax<'a> {
    row: &'a [f32],
    largest: f32,
    factor: f32,
    out: &'a mut [MaybeUninit<f32>],
}

impl Work for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        for (out, value) in self.out.iter_mut().zip(self.row) {
            out.write(exp_negative::<FUSED>(value - self.largest) * self.factor);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of every kind of length, each with its own size of logits.
    fn rows(columns: usize) -> (Vec<f32>, Vec<u32>) {
        let sizes = [1.0_f32, 30.0, 1e-3, 2e4];
        let value = |row: usize, column: usize| {
            ((row * 131 + column * 7919) % 997) as f32 / 498.5 * sizes[row] - sizes[row]
        };
        let logits = (0..4).flat_map(|row| (0..columns).map(move |column| value(row, column))).collect();
        (logits, (0..4).map(|row| (row * 17 % columns) as u32).collect())
    }

    fn levels() -> Vec<Level> {
        vec![Level::Portable, Level::detect()]
    }

    #[test]
    fn losses_and_gradients_are_those_in_double_precision() {
        for columns in [1, 2, 15, 16, 17, 300, 1000] {
            let (logits, classes) = rows(columns);
            let gradient = [0.25, -1.0, 2.0, 1.0];
            for level in levels() {
                let (losses, sums) = cross_entropy_at(level, &logits, columns, &classes);
                let gradients =
                    cross_entropy_gradient_at(level, &logits, columns, &classes, &sums, &gradient);
                for (row, logits) in logits.chunks_exact(columns).enumerate() {
                    let wide: Vec<f64> = logits.iter().map(|value| f64::from(*value)).collect();
                    let largest = wide.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                    let sum: f64 = wide.iter().map(|value| (value - largest).exp()).sum();
                    let class = classes[row] as usize;
                    let loss = sum.ln() + largest - wide[class];
                    assert!((f64::from(losses[row]) - loss).abs() <= 2e-6 * loss.abs().max(1.0), "{columns}");
                    for (column, value) in wide.iter().enumerate() {
                        let own = f64::from(u8::from(column == class));
                        let expected = f64::from(gradient[row]) * ((value - largest).exp() / sum - own);
                        let found = f64::from(gradients[row * columns + column]);
                        assert!(
                            (found - expected).abs() <= 1e-6 * f64::from(gradient[row].abs()),
                            "{columns}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_no_number_stays_none_and_no_rows_give_nothing() {
        let (losses, _) = cross_entropy(&[0.0, f32::NAN, 1.0, f32::INFINITY], 2, &[0, 0]);
        assert!(losses.iter().all(|loss| !loss.is_finite()), "{losses:?}");
        let (losses, sums) = cross_entropy(&[], 5, &[]);
        assert!(losses.is_empty() && cross_entropy_gradient(&[], 5, &[], &sums, &[]).is_empty());
    }
}
