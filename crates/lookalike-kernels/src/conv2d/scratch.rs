//! Buffers that a thread keeps from call to call, as large as its largest call needed: after that, a kernel
//! allocates nothing but its result. Those of a call that needs more than [`User::bound`] are given back after
//! it.

use std::cell::Cell;
use std::ops::Range;

use super::arithmetic::LANES;

/// Buffers of one thread; none of them holds anything between two uses.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// Packed operands.
    pub(super) first: Vec<u32>,
    pub(super) second: Vec<u32>,
    pub(super) sums: Vec<f32>,
    /// Weights of sixteen outputs each, or pixels of sixteen images.
    pub(super) rows: Vec<[f32; LANES]>,
    pub(super) positions: Vec<[usize; 2]>,
    pub(super) classes: Vec<TapClass>,
    /// Of the values of transformed tiles.
    pub(super) offsets: Vec<u32>,
}

/// Positions of a correlation that have the same valid taps.
#[derive(Debug)]
pub(super) struct TapClass {
    /// Of the list of positions.
    pub(super) positions: Range<usize>,
    /// Rows of the kernel that are valid, and words of the source in each.
    pub(super) lines: usize,
    pub(super) length: usize,
    /// Where in each row of a panel the weights of the first line begin, and from line to line.
    pub(super) weights: usize,
    pub(super) weight_step: usize,
}

thread_local! {
    /// The buffers of each [`User`]. A call waits for tasks that run on the same thread, and may itself be
    /// part of a task.
    static SCRATCH: [Cell<Option<Box<Scratch>>>; 2] = const { [const { Cell::new(None) }; 2] };
}

impl Scratch {
    /// Bytes that the buffers hold.
    fn bytes(&self) -> usize {
        let Self { first, second, sums, rows, positions, classes, offsets } = self;
        let words = first.capacity() + second.capacity() + sums.capacity() + offsets.capacity();
        size_of::<u32>() * words
            + size_of::<[f32; LANES]>() * rows.capacity()
            + size_of::<[usize; 2]>() * positions.capacity()
            + size_of::<TapClass>() * classes.capacity()
    }
}

/// Who borrows buffers.
#[derive(Debug, Clone, Copy)]
pub(super) enum User {
    Task,
    Call,
}

impl User {
    /// Bytes that a thread keeps for it, at most. The calls of residual networks need less: transformed weights of 512
    /// by 512 channels are 36 MiB.
    const fn bound(self) -> usize {
        match self {
            Self::Task => 16 << 20,
            Self::Call => 48 << 20,
        }
    }
}

/// Lends the buffers of this thread, or new ones if those are in use: a thread that waits may take up another
/// call.
pub(super) fn with_scratch<T>(user: User, work: impl FnOnce(&mut Scratch) -> T) -> T {
    let place = match user {
        User::Task => 0,
        User::Call => 1,
    };
    let mut scratch = SCRATCH.with(|cells| cells[place].take()).unwrap_or_default();
    let result = work(&mut scratch);
    if scratch.bytes() <= user.bound() {
        SCRATCH.with(|cells| cells[place].set(Some(scratch)));
    }
    result
}

/// `length` elements, which hold values of an earlier use. Those that are smaller than a cache line begin with one:
/// vectors and tiles are read from whole lines.
pub(super) fn first<T: Copy + Default>(buffer: &mut Vec<T>, length: usize) -> &mut [T] {
    /// Bytes of a cache line.
    const LINE: usize = 64;
    let most = if size_of::<T>() < LINE { LINE / size_of::<T>() - 1 } else { 0 };
    if buffer.len() < length + most {
        buffer.resize(length + most, T::default());
    }
    let skipped = if most > 0 { buffer.as_ptr().align_offset(LINE).min(most) } else { 0 };
    &mut buffer[skipped..][..length]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_begin_with_a_cache_line() {
        let mut buffer = Vec::new();
        for length in [1, 5, 100, 7, 10_000] {
            let words: &mut [u32] = first(&mut buffer, length);
            assert_eq!((words.len(), words.as_ptr().addr() % 64), (length, 0));
        }
        assert_eq!(first(&mut vec![[0.0_f32; LANES]], 3).len(), 3);
    }

    #[test]
    fn what_is_larger_than_the_bound_is_given_back() {
        let held = |user: User, bytes: usize| {
            let of_now = |scratch: &mut Scratch| {
                first(&mut scratch.first, bytes / size_of::<u32>());
            };
            with_scratch(user, of_now);
            with_scratch(user, |scratch| scratch.bytes())
        };
        for user in [User::Task, User::Call] {
            assert!(held(user, user.bound() / 2) >= user.bound() / 2);
            assert!(held(user, user.bound()) <= user.bound() / 2);
        }
    }
}
