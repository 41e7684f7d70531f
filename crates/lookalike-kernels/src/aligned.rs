//! Values that begin with a cache line, so that no vector of sixteen lies in two.

#![expect(unsafe_code, reason = "cache lines are seen as their values")]

use std::ops::{Deref, DerefMut};

/// Sixteen values in a cache line of their own.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C, align(64))]
struct CacheLine([f32; 16]);

/// A vector of values that begins with a cache line.
#[derive(Debug, Clone, Default)]
pub(crate) struct AlignedValues {
    lines: Vec<CacheLine>,
    length: usize,
}

impl AlignedValues {
    pub(crate) fn zeros(length: usize) -> Self {
        Self { lines: vec![CacheLine::default(); length.div_ceil(16)], length }
    }

    /// Makes it longer, by zeros, or shorter; it keeps its memory.
    pub(crate) fn resize(&mut self, length: usize) {
        if self.lines.len() < length.div_ceil(16) {
            self.lines.resize(length.div_ceil(16), CacheLine::default());
        }
        self.length = length;
    }
}

impl Deref for AlignedValues {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: the lines are made of values, and there are not fewer than `length`.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.length) }
    }
}

impl DerefMut for AlignedValues {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.length) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_begin_with_a_cache_line_and_stay_when_they_grow() {
        let mut values = AlignedValues::zeros(5);
        values.copy_from_slice(&[1.0, 2.0, 3.0, 4.0, 5.0]);
        for length in [3, 20, 1000, 5] {
            values.resize(length);
            assert_eq!(values.len(), length);
            assert!(values.as_ptr().addr().is_multiple_of(64));
            assert_eq!(values[..3], [1.0, 2.0, 3.0]);
        }
    }
}
