//! A matrix whose columns are written by several tasks.

#![expect(unsafe_code, reason = "tasks write columns of rows that they share")]

use std::marker::PhantomData;
use std::mem::MaybeUninit;

use crate::output::init_vec;
use crate::sizes::row_values;

/// A matrix to be written.
pub(super) struct Output<'a> {
    values: *mut MaybeUninit<f32>,
    rows: usize,
    columns: usize,
    borrowed: PhantomData<&'a mut [MaybeUninit<f32>]>,
}

impl Output<'_> {
    /// The matrix of this many rows and columns that `work` writes.
    ///
    /// # Safety
    /// `work` must write every value, each by one thread alone.
    pub(super) unsafe fn write([rows, columns]: [usize; 2], work: impl FnOnce(&Output<'_>)) -> Vec<f32> {
        let write = |values: &mut [MaybeUninit<f32>]| {
            work(&Output { values: values.as_mut_ptr(), rows, columns, borrowed: PhantomData });
        };
        // SAFETY: as the caller guarantees.
        unsafe { init_vec(row_values(rows, columns), write) }
    }

    /// Writes `values`, each multiplied by `factor`, to a row from a column on.
    ///
    /// # Panics
    /// If the matrix does not have these places.
    ///
    /// # Safety
    /// No other thread may write to these places.
    #[inline]
    pub(super) unsafe fn scaled(&self, row: usize, column: usize, values: &[f32], factor: f32) {
        let inside = row < self.rows && values.len() <= self.columns && column <= self.columns - values.len();
        assert!(inside, "a matrix of {} rows of {} has no row {row}", self.rows, self.columns);
        // SAFETY: by the assertion the places lie in the matrix, which is borrowed as long as this, and the
        // caller guarantees that nobody else writes to them.
        let target = unsafe {
            std::slice::from_raw_parts_mut(self.values.add(row * self.columns + column), values.len())
        };
        target.iter_mut().zip(values).for_each(|(target, value)| {
            target.write(value * factor);
        });
    }
}

// SAFETY: this is a mutable borrow of numbers, which may be sent; callers keep the places disjoint.
unsafe impl Sync for Output<'_> {}
