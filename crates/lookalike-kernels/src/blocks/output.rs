//! The rows of a result, written by many threads in any order.

#![expect(unsafe_code, reason = "rows of one slice are lent to several threads at once")]

use std::marker::PhantomData;

use crate::top_k::TopK;
use crate::vector::prefetch;

/// Values of a cache line.
const LINE: usize = 16;

/// A result whose rows are written by several threads, each row by one of them.
pub(super) struct OutputRows<'a> {
    k: usize,
    rows: usize,
    indices: *mut u32,
    similarities: *mut f32,
    borrowed: PhantomData<&'a mut TopK>,
}

// SAFETY: the vectors are borrowed for as long as this lives, and callers of `write` keep each row to one
// writer.
unsafe impl Sync for OutputRows<'_> {}
// SAFETY: as above; nothing is bound to a thread.
unsafe impl Send for OutputRows<'_> {}

impl<'a> OutputRows<'a> {
    pub(super) fn new(best: &'a mut TopK) -> Self {
        let rows = best.indices.len().min(best.similarities.len()) / best.k.max(1);
        Self {
            k: best.k,
            rows,
            indices: best.indices.as_mut_ptr(),
            similarities: best.similarities.as_mut_ptr(),
            borrowed: PhantomData,
        }
    }

    /// Asks for the places of `row`, which is written soon.
    pub(super) fn ask(&self, row: u32) {
        for at in (0..self.k).step_by(LINE) {
            let place = row as usize * self.k + at;
            prefetch(self.indices.wrapping_add(place));
            prefetch(self.similarities.wrapping_add(place));
        }
    }

    /// Lends the indices and similarities of `row` to `write`.
    ///
    /// # Safety
    /// The caller must not let two calls for the same row overlap.
    pub(super) unsafe fn write(&self, row: u32, write: impl FnOnce(&mut [u32], &mut [f32])) {
        let row = row as usize;
        assert!(row < self.rows, "row {row} of {}", self.rows);
        // SAFETY: the row lies inside both borrowed vectors, and the caller keeps it to one writer.
        unsafe {
            write(
                std::slice::from_raw_parts_mut(self.indices.add(row * self.k), self.k),
                std::slice::from_raw_parts_mut(self.similarities.add(row * self.k), self.k),
            );
        }
    }
}
