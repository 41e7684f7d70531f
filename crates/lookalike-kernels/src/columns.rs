//! Sums of columns, which are gradients of what was added to every row, in an order that sizes alone choose.

#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]

use rayon::prelude::*;

use crate::vector::Work;

/// Rows of a task: `f32` holds the sum of so many well, and they are worth a task where they are wide.
pub(crate) fn task_rows(columns: usize) -> usize {
    const MOST: usize = 64;
    const VALUES: usize = 1 << 14;
    (VALUES / columns).clamp(1, MOST)
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
