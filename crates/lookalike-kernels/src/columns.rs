//! Sums of columns, which are gradients of what was added to every row, in an order that sizes alone choose.

#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]

use rayon::prelude::*;

use crate::tasks;
use crate::vector::Work;

/// Values that are worth a task, and its sums.
pub(crate) const LEAST: usize = 1 << 13;

/// Rows of a task of all `rows`: `f32` holds the sum of so many well, and where there are enough, each task is worth
/// twice as much as the least.
pub(crate) fn task_rows(rows: usize, columns: usize) -> usize {
    const MOST: usize = 64;
    let [least, most] = [LEAST, 2 * LEAST].map(|values| (values / columns).clamp(1, MOST));
    rows.div_ceil(tasks::MANY).clamp(least, most)
}

/// Adds each of `rows` to `totals`, whose length is that of a row.
pub(crate) struct AddRows<'a> {
    pub(crate) rows: &'a [f32],
    pub(crate) totals: &'a mut [f32],
}

impl Work for AddRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        for row in self.rows.chunks_exact(self.totals.len()) {
            self.totals.iter_mut().zip(row).for_each(|(total, value)| *total += value);
        }
    }
}

/// The sums over the tasks, given those of each, in the order of the tasks.
pub(crate) fn over_tasks(partials: &[f32], columns: usize) -> Vec<f32> {
    const TOGETHER: usize = 64;
    let mut sums = vec![0.0; columns];
    sums.par_chunks_mut(TOGETHER).enumerate().for_each(|(chunk, sums)| {
        let mut totals = [0.0_f64; TOGETHER];
        for partial in partials.chunks_exact(columns) {
            let partial = &partial[chunk * TOGETHER..][..sums.len()];
            totals.iter_mut().zip(partial).for_each(|(total, value)| *total += f64::from(*value));
        }
        sums.iter_mut().zip(totals).for_each(|(sum, total)| *sum = total as f32);
    });
    sums
}
