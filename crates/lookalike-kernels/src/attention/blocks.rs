//! What tasks have in common: a head of a text, the keys that some queries reach, and room for their scores.

#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]

use std::ops::Range;

use super::product::{Columns, panel};
use super::rows::Mask;
use super::tiles::Rounded;
use crate::vector::{PANEL, Vector};

/// A head of a text.
#[derive(Clone, Copy)]
pub(super) struct Head<'a> {
    /// Of all texts and heads.
    pub(super) qkv: &'a [f32],
    /// The row of its first token.
    pub(super) first: usize,
    /// At least one.
    pub(super) tokens: usize,
    /// Of all heads, and its own.
    pub(super) width: usize,
    pub(super) own: usize,
    /// Which of the heads.
    pub(super) index: usize,
    pub(super) window: Option<usize>,
    pub(super) distances: Option<Distances<'a>>,
    pub(super) dropout: Option<Dropout>,
}

/// The bias of a head.
#[derive(Clone, Copy)]
pub(super) struct Distances<'a> {
    /// Of each distance, and padding.
    pub(super) values: &'a [f32],
    /// Of each distance.
    pub(super) buckets: &'a [u32],
}

/// The dropout of a text.
#[derive(Clone, Copy)]
pub(super) struct Dropout {
    pub(super) key: u64,
    pub(super) threshold: u32,
    pub(super) scale: f32,
}

/// Which third of the columns.
#[derive(Clone, Copy)]
pub(super) enum Part {
    Query = 0,
    Key = 1,
    Value = 2,
}

impl<'a> Head<'a> {
    /// The column of the matrix of queries, keys and values at which a part of the head begins.
    pub(super) fn column(&self, part: Part) -> usize {
        part as usize * self.width + self.index * self.own
    }

    /// A part of some tokens.
    #[inline(always)]
    pub(super) fn part(&self, part: Part, tokens: &Range<usize>) -> Columns<'a> {
        let stride = 3 * self.width;
        let values = &self.qkv[(self.first + tokens.start) * stride + self.column(part)..];
        Columns { values, stride, rows: tokens.len(), width: self.own }
    }

    /// What products are multiplied by.
    pub(super) fn factor(&self) -> f32 {
        (1.0 / (self.own as f64).sqrt()) as f32
    }

    /// The tokens that some tokens attend to.
    pub(super) fn reach(&self, queries: &Range<usize>) -> Range<usize> {
        match self.window {
            Some(window) => {
                queries.start.saturating_sub(window)..queries.end.saturating_add(window).min(self.tokens)
            }
            None => 0..self.tokens,
        }
    }

    /// Queries whose scores are made together, so many that the scores stay in the second cache.
    pub(super) fn block(&self) -> usize {
        const SCORES: usize = 1 << 15;
        const LEAST: usize = 16;
        const MOST: usize = 64;
        let keys = self.window.map_or(self.tokens, |window| self.tokens.min(window.saturating_mul(2)));
        (SCORES / keys.max(1)).clamp(LEAST, MOST) / 4 * 4
    }

    /// The bias of a query's scores, from a key on.
    #[inline(always)]
    pub(super) fn bias(&self, query: usize, key: usize) -> Option<&'a [f32]> {
        self.distances.map(|bias| &bias.values[bias.buckets.len() / 2 + key - query..])
    }

    /// The mask of a query's probabilities, from a key on.
    #[inline(always)]
    pub(super) fn mask(&self, query: usize, key: usize) -> Option<Mask> {
        self.dropout.map(|Dropout { key: of_text, threshold, scale }| {
            let row = self.index.wrapping_mul(self.tokens).wrapping_add(query);
            let first = row.wrapping_mul(self.tokens).wrapping_add(key) as u32;
            Mask { key: of_text, first, threshold, scale }
        })
    }
}

/// The keys of some queries: whole panels of those that were packed.
pub(super) struct Keys {
    /// The first packed one, counted in the text, and how many were packed.
    pub(super) origin: usize,
    pub(super) packed: usize,
    /// The first and the last place of the panels, counted from the origin; the end is padded.
    pub(super) begin: usize,
    pub(super) end: usize,
}

impl Keys {
    /// Of `queries`, where those of `packed` tokens were packed.
    #[inline(always)]
    pub(super) fn new<V: Vector>(head: &Head<'_>, packed: &Range<usize>, queries: &Range<usize>) -> Self {
        let reach = head.reach(queries);
        let padded = packed.len().next_multiple_of(PANEL);
        let begin = (reach.start - packed.start) / panel::<V>() * panel::<V>();
        let end = (reach.end - packed.start).next_multiple_of(panel::<V>()).min(padded);
        Self { origin: packed.start, packed: packed.len(), begin, end }
    }

    /// Scores of a query, padded.
    pub(super) fn scores(&self) -> usize {
        self.end - self.begin
    }

    /// Keys among them that are none but padding left out.
    pub(super) fn count(&self) -> usize {
        self.end.min(self.packed) - self.begin
    }

    /// The first key, counted in the text.
    pub(super) fn first(&self) -> usize {
        self.origin + self.begin
    }

    /// Which of a query's scores are of keys that it attends to.
    #[inline(always)]
    pub(super) fn within(&self, head: &Head<'_>, query: usize) -> Range<usize> {
        let reach = head.reach(&(query..query + 1));
        reach.start - self.first()..reach.end - self.first()
    }

    /// The panels: where each begins, counted from the origin, and how many keys it has.
    #[inline(always)]
    pub(super) fn panels<V: Vector>(&self) -> impl Iterator<Item = (usize, usize)> {
        let end = self.end;
        (self.begin..end).step_by(panel::<V>()).map(move |begin| (begin, panel::<V>().min(end - begin)))
    }
}

/// Buffers of a task, which hold nothing between two tasks.
#[derive(Default)]
pub(super) struct Scratch {
    pub(super) buffers: [Vec<f32>; 12],
    pub(super) rounded: Rounded,
}

/// The first values of a buffer, which are those of an earlier use.
#[inline(always)]
pub(super) fn room(buffer: &mut Vec<f32>, length: usize) -> &mut [f32] {
    if buffer.len() < length {
        buffer.resize(length, 0.0);
    }
    &mut buffer[..length]
}
