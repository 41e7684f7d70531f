//! How a product is divided. No sum depends on it: each is made of blocks of
//! [`DEPTH`](super::tile::DEPTH) words, in their order.

use std::ops::Range;

use super::tile::{COLUMNS, DEPTH, ROWS};
use crate::tasks;

/// Words of the left operand that are packed at a time, at most: they stay in a cache that the cores share.
const WORDS: usize = 2 << 20;
/// Words in a row of them, at most.
const DEEPEST: usize = 16 * DEPTH;
/// Rows that are worth packing a panel of the right operand for.
pub(super) const TALL: usize = 64;
/// Products of values below which one thread is faster than several.
const FEW: usize = 1 << 19;

/// The division of a product of `rows` by `columns` sums of `words` words.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    rows: usize,
    columns: usize,
    words: usize,
    /// Words and rows of the left operand that are packed at a time.
    pub(super) deep: usize,
    tall: usize,
    threads: usize,
}

impl Plan {
    pub(super) fn new([rows, columns, words]: [usize; 3], threads: usize) -> Self {
        let few = rows.saturating_mul(columns).saturating_mul(words) < FEW;
        let deep = words.min(DEEPEST);
        let chunks = rows.div_ceil((WORDS / deep.max(1)).max(ROWS));
        let tall = rows.div_ceil(chunks.max(1)).next_multiple_of(ROWS);
        Self { rows, columns, words, deep, tall, threads: if few { 1 } else { threads } }
    }

    /// Whether several threads are faster than one.
    pub(super) fn is_parallel(&self) -> bool {
        self.threads > 1
    }

    /// Ranges of rows and of words, the left operand of which is packed at a time. Those of the same rows
    /// follow each other in the order of their words.
    pub(super) fn chunks(self) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
        (0..self.rows).step_by(self.tall.max(1)).flat_map(move |row| {
            (0..self.words).step_by(self.deep.max(1)).map(move |word| {
                (row..self.rows.min(row + self.tall), word..self.words.min(word + self.deep))
            })
        })
    }

    /// The tasks of a chunk of `rows`: rows and the first column of each.
    pub(super) fn tasks(&self, rows: Range<usize>) -> Tasks {
        let stripes = self.columns.div_ceil(COLUMNS);
        let wanted = tasks::wanted_of(self.threads).div_ceil(stripes.max(1)).min(rows.len().div_ceil(TALL));
        let tall = rows.len().div_ceil(wanted.max(1)).next_multiple_of(ROWS);
        Tasks { stripes, tall, rows }
    }
}

/// Tasks of a chunk, which cover its rows and all columns.
#[derive(Debug)]
pub(super) struct Tasks {
    stripes: usize,
    /// Rows of a task.
    tall: usize,
    rows: Range<usize>,
}

impl Tasks {
    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.stripes * self.rows.len().div_ceil(self.tall.max(1))
    }

    /// Rows and first column of one of them.
    pub(super) fn task(&self, task: usize) -> (Range<usize>, usize) {
        let (part, stripe) = (task / self.stripes, task % self.stripes);
        let row = self.rows.start + part * self.tall;
        (row..self.rows.end.min(row + self.tall), stripe * COLUMNS)
    }
}
