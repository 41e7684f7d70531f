//! Outputs that are written without being zeroed first: zeroing them would cost a pass over memory.

#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]

use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Range;

use crate::map::{LANES, Line};

/// A vector of `length` values that `write` initialises.
///
/// # Safety
/// `write` must write every element.
#[expect(unsafe_code, reason = "the length of a vector is set after its elements were written")]
pub(crate) unsafe fn init_vec<T>(length: usize, write: impl FnOnce(&mut [MaybeUninit<T>])) -> Vec<T> {
    let mut values = Vec::with_capacity(length);
    write(&mut values.spare_capacity_mut()[..length]);
    // SAFETY: the capacity is at least `length`, and the caller guarantees that every element was written.
    unsafe { values.set_len(length) };
    values
}

/// The lines of an output map, for several tasks that each write lines of their own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OutputLines<'a> {
    first: *mut MaybeUninit<Line>,
    count: usize,
    results: PhantomData<&'a mut [MaybeUninit<u32>]>,
}

impl<'a> OutputLines<'a> {
    /// The lines of `results`, which stay borrowed as long as any copy of this.
    pub(crate) fn new(results: &'a mut [MaybeUninit<u32>]) -> Self {
        let lines = results.as_chunks_mut::<LANES>().0;
        Self { first: lines.as_mut_ptr().cast(), count: lines.len(), results: PhantomData }
    }

    /// The lines of a tile, for one task to write. They are checked here once for the whole tile, and not
    /// line by line.
    ///
    /// # Panics
    /// If the output does not have all of these lines.
    ///
    /// # Safety
    /// As long as the caller uses the returned slice, no other slice of any of these lines may be in use.
    #[expect(unsafe_code, reason = "callers keep their tiles disjoint")]
    #[inline(always)]
    pub(crate) unsafe fn tile(self, lines: Range<usize>) -> &'a mut [MaybeUninit<Line>] {
        assert!(
            lines.start <= lines.end && lines.end <= self.count,
            "an output of {} lines has no lines {lines:?}",
            self.count
        );
        // SAFETY: by the assertion the lines lie in `results`, which is borrowed for 'a, and the caller
        // guarantees that no other slice of them is in use. A line needs no more alignment than a word, and
        // may be uninitialised.
        unsafe { std::slice::from_raw_parts_mut(self.first.add(lines.start), lines.len()) }
    }
}

// SAFETY: this is a mutable borrow of words, which may be sent; callers of `tile` keep the borrowed parts
// disjoint.
#[expect(unsafe_code, reason = "tasks of several threads write to one map")]
unsafe impl Send for OutputLines<'_> {}
// SAFETY: as above.
#[expect(unsafe_code, reason = "as above")]
unsafe impl Sync for OutputLines<'_> {}

#[cfg(test)]
#[expect(unsafe_code, reason = "the tests write tiles, one after another")]
mod tests {
    use super::*;

    fn line(value: u32) -> Line {
        [value; LANES]
    }

    #[test]
    fn tiles_are_the_lines_of_the_output_in_their_order() {
        let write = |out: &mut [MaybeUninit<u32>]| {
            let output = OutputLines::new(out);
            for tile in [3..5, 0..0, 0..3, 5..5] {
                // SAFETY: one slice at a time.
                let lines = unsafe { output.tile(tile.clone()) };
                assert_eq!(lines.len(), tile.len());
                lines.iter_mut().zip(tile).for_each(|(target, value)| {
                    target.write(line(value as u32));
                });
            }
        };
        // SAFETY: five lines are all there are, and each was written.
        let words = unsafe { init_vec(5 * LANES, write) };
        assert_eq!(words, (0..5).flat_map(line).collect::<Vec<_>>());
    }

    #[test]
    fn a_tile_that_is_not_in_the_output_is_refused_in_release_builds_too() {
        let mut words = [MaybeUninit::new(0); 3 * LANES];
        let output = OutputLines::new(&mut words);
        #[expect(clippy::reversed_empty_ranges, reason = "that is what must be refused")]
        for tile in [2..4, 4..4, 0..usize::MAX, 2..1, usize::MAX..0] {
            // SAFETY: one slice at a time.
            let refused = std::panic::catch_unwind(|| unsafe { output.tile(tile.clone()).len() });
            assert!(refused.is_err(), "{tile:?}");
        }
    }
}
