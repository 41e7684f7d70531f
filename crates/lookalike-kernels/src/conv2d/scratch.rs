//! Buffers that a thread keeps from call to call, as large as its largest call needed: after that, a kernel
//! allocates nothing but its result.

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

/// Who borrows buffers.
#[derive(Debug, Clone, Copy)]
pub(super) enum User {
    Task,
    Call,
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
    SCRATCH.with(|cells| cells[place].set(Some(scratch)));
    result
}

/// The first `length` elements, which hold values of an earlier use.
pub(super) fn first<T: Copy + Default>(buffer: &mut Vec<T>, length: usize) -> &mut [T] {
    if buffer.len() < length {
        buffer.resize(length, T::default());
    }
    &mut buffer[..length]
}
