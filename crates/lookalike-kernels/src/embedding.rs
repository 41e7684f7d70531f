//! The gradient of a table of rows that are looked up, as of the tokens of a vocabulary: of the rows that occur
//! alone.

#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]

use rayon::prelude::*;

use crate::instructions::Level;
use crate::sizes::row_values;
use crate::vector::Work;

/// Occurrences that are summed one after another. An id that is everywhere, as that of the beginning of a text,
/// is the work of several threads.
const PIECE: usize = 128;

/// The ids that occur, ascending, and for each the sum of its rows of `gradient`.
///
/// # Shapes
/// `gradient` has a row of `width` values for each of `ids`; the sums have one for each id that occurs.
///
/// # Panics
/// If `gradient` has not a row for each id, `width` is 0, or there are more than 2³² ids.
pub fn rows_gradient(ids: &[u32], gradient: &[f32], width: usize) -> (Vec<u32>, Vec<f32>) {
    rows_gradient_at(Level::detect(), ids, gradient, width)
}

fn rows_gradient_at(level: Level, ids: &[u32], gradient: &[f32], width: usize) -> (Vec<u32>, Vec<f32>) {
    assert!(width > 0, "rows have at least one column");
    assert_eq!(gradient.len(), row_values(ids.len(), width), "a row of the gradient for each id");
    assert!(u32::try_from(ids.len()).is_ok(), "rows are numbered in 32 bits");
    // Rows in the order of their ids, and of themselves where those are equal.
    let mut order: Vec<u64> =
        ids.par_iter().enumerate().map(|(row, id)| u64::from(*id) << 32 | row as u64).collect();
    order.par_sort_unstable();
    let segments: Vec<&[u64]> = order.chunk_by(|one, other| one >> 32 == other >> 32).collect();
    let mut sums = vec![0.0; row_values(segments.len(), width)];
    sums.par_chunks_exact_mut(width).zip(&segments).for_each(|(sum, rows)| {
        if rows.len() <= PIECE {
            level.run(AddRows { gradient, rows, sum });
            return;
        }
        let pieces = rows.par_chunks(PIECE).map(|rows| {
            let mut sum = vec![0.0; width];
            level.run(AddRows { gradient, rows, sum: &mut sum });
            sum
        });
        for piece in pieces.collect::<Vec<_>>() {
            sum.iter_mut().zip(&piece).for_each(|(sum, value)| *sum += value);
        }
    });
    (segments.iter().map(|rows| (rows[0] >> 32) as u32).collect(), sums)
}

/// Adds rows of the gradient, which the lower halves of `rows` name.
struct AddRows<'a> {
    gradient: &'a [f32],
    rows: &'a [u64],
    sum: &'a mut [f32],
}

impl Work for AddRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let width = self.sum.len();
        for row in self.rows {
            let row = &self.gradient[*row as u32 as usize * width..][..width];
            self.sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::sizes::refusal;

    fn gradient(count: usize) -> Vec<f32> {
        let mut stream = lookalike_base::Seed(3).stream("gradient", 0, 0, 0);
        (0..count).map(|_| stream.normal()).collect()
    }

    fn check(ids: &[u32], width: usize) {
        let gradient = gradient(ids.len() * width);
        let mut expected = BTreeMap::<u32, Vec<f64>>::new();
        for (id, row) in ids.iter().zip(gradient.chunks(width)) {
            let sums = expected.entry(*id).or_insert_with(|| vec![0.0; width]);
            sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += f64::from(*value));
        }
        for level in Level::all() {
            let (found, sums) = rows_gradient_at(level, ids, &gradient, width);
            assert!(found.iter().eq(expected.keys()));
            let expected: Vec<f64> = expected.values().flatten().copied().collect();
            assert_eq!(sums.len(), expected.len());
            for (sum, expected) in sums.iter().zip(&expected) {
                assert!((f64::from(*sum) - expected).abs() < 1e-5 * expected.abs().max(10.0), "{level:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn rows_of_each_id_are_summed(
            ids in prop::collection::vec(0_u32..20, 0..300),
            width in 1_usize..40,
            spread in prop::sample::select(vec![1_u32, 1 << 27]),
        ) {
            check(&ids.iter().map(|id| id * spread).collect::<Vec<_>>(), width);
        }
    }

    #[test]
    fn an_id_that_is_everywhere_and_the_last_one_are_summed() {
        let ids: Vec<u32> = (0..2000).map(|row| if row % 3 == 0 { u32::MAX } else { row % 7 }).collect();
        check(&ids, 17);
    }

    #[test]
    fn sums_have_the_same_bits_on_any_number_of_threads() {
        let ids: Vec<u32> = (0..3000_u32).map(|row| row.wrapping_mul(row) % 11).collect();
        let gradient = gradient(3000 * 20);
        let whole = rows_gradient(&ids, &gradient, 20);
        for threads in [1, 2, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert_eq!(pool.install(|| rows_gradient(&ids, &gradient, 20)), whole, "{threads} threads");
        }
    }

    #[test]
    fn a_gradient_of_other_rows_is_refused() {
        assert!(refusal(|| rows_gradient(&[1, 2], &[1.0; 3], 2)).contains("a row of the gradient"));
        assert!(refusal(|| rows_gradient(&[], &[], 0)).contains("at least one column"));
    }
}
