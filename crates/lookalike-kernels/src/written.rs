//! Outputs that are written once, without being cleared first.

use std::mem::MaybeUninit;

/// A vector of `length` values that `write` fills. Clearing it first would cost a pass over memory.
///
/// # Safety
/// `write` must write every element.
#[expect(unsafe_code, reason = "the length of a vector is set after its elements were written")]
pub(crate) unsafe fn written(length: usize, write: impl FnOnce(&mut [MaybeUninit<f32>])) -> Vec<f32> {
    let mut values = Vec::with_capacity(length);
    write(&mut values.spare_capacity_mut()[..length]);
    // SAFETY: the capacity is at least `length`, and the caller vouches that all of it was written.
    unsafe { values.set_len(length) };
    values
}
