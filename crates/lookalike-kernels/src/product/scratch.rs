//! Room for packed operands, which a thread keeps from call to call: a product allocates nothing but its
//! result once the largest was computed. What is larger than [`MOST`] is given back after the call.

use std::cell::Cell;

use crate::map::Line;

/// Sixteen words in a cache line of their own: a vector of packed words never lies in two.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C, align(64))]
pub(crate) struct PackedLine(pub(crate) Line);

/// Lines that a thread keeps for each user, at most: 16 MiB. The division of a product asks for about half of them.
const MOST: usize = (16 << 20) / size_of::<PackedLine>();

/// Who borrows room.
#[derive(Debug, Clone, Copy)]
pub(super) enum User {
    /// A call, for the operand that its tasks share.
    Call,
    /// A task, for a panel of the other.
    Task,
}

thread_local! {
    /// The room of each [`User`]. A call waits for tasks that run on the same thread, and may itself be part
    /// of a task.
    static ROOM: [Cell<Vec<PackedLine>>; 2] = const { [const { Cell::new(Vec::new()) }; 2] };
}

/// Lends `lines` lines of this thread, which hold words of an earlier use. They are new if those of the
/// thread are in use: a thread that waits may take up another call.
pub(super) fn with_lines<T>(user: User, lines: usize, work: impl FnOnce(&mut [PackedLine]) -> T) -> T {
    let place = match user {
        User::Call => 0,
        User::Task => 1,
    };
    let mut room = ROOM.with(|cells| cells[place].take());
    if room.len() < lines {
        room.resize(lines, PackedLine::default());
    }
    let result = work(&mut room[..lines]);
    if room.capacity() <= MOST {
        ROOM.with(|cells| cells[place].set(room));
    }
    result
}
