//! Outputs that are written once, without being cleared first.

#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]

use std::mem::MaybeUninit;

use crate::map::{LANES, Line};

/// A vector of `length` values that `write` fills. Clearing it first would cost a pass over memory.
///
/// # Safety
/// `write` must write every element.
#[expect(unsafe_code, reason = "the length of a vector is set after its elements were written")]
pub(crate) unsafe fn written<T>(length: usize, write: impl FnOnce(&mut [MaybeUninit<T>])) -> Vec<T> {
    let mut values = Vec::with_capacity(length);
    write(&mut values.spare_capacity_mut()[..length]);
    // SAFETY: the capacity is at least `length`, and the caller vouches that all of it was written.
    unsafe { values.set_len(length) };
    values
}

/// A map that tasks write to, each to lines of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    lines: usize,
    words: *mut u32,
}

#[expect(unsafe_code, reason = "each caller vouches for the lines")]
impl Target {
    /// Whoever is given a copy vouches for the lines it writes, and that `results` lives so long.
    pub(crate) fn new(results: &mut [MaybeUninit<u32>]) -> Self {
        Self { lines: results.len() / LANES, words: results.as_mut_ptr().cast() }
    }

    /// Writes a line.
    ///
    /// # Safety
    /// There is one, and nobody else touches it.
    #[inline(always)]
    pub(crate) unsafe fn write(self, line: usize, words: Line) {
        debug_assert!(line < self.lines, "line {line} of {}", self.lines);
        // SAFETY: as the caller's; a line needs no more alignment than a word.
        unsafe { self.words.add(line * LANES).cast::<Line>().write(words) };
    }

    /// Reads a line.
    ///
    /// # Safety
    /// The caller has written it.
    #[inline(always)]
    pub(crate) unsafe fn read(self, line: usize) -> Line {
        debug_assert!(line < self.lines, "line {line} of {}", self.lines);
        // SAFETY: as the caller's.
        unsafe { self.words.add(line * LANES).cast::<Line>().read() }
    }
}

// SAFETY: who writes vouches for the lines.
#[expect(unsafe_code, reason = "tasks of several threads write to one map")]
unsafe impl Send for Target {}
// SAFETY: as above.
#[expect(unsafe_code, reason = "as above")]
unsafe impl Sync for Target {}
