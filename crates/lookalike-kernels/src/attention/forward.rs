//! The results of some queries of a head.

#![expect(unsafe_code, reason = "products by registers, and columns of rows that tasks share")]
#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]

use std::ops::Range;

use super::blocks::{Head, Keys, Part, Scratch, room};
use super::output::Output;
use super::product::{Left, Right, Size};
use super::rows::exponentials;
use super::tiles::Products;
use crate::vector::{PANEL, Vector, VectorWork};

pub(super) struct Forward<'a> {
    pub(super) head: Head<'a>,
    pub(super) products: Products,
    pub(super) queries: Range<usize>,
    pub(super) scratch: &'a mut Scratch,
    pub(super) out: &'a Output<'a>,
}

impl VectorWork for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector, const FUSED: bool>(self) {
        let Self { head, products, queries, out, .. } = self;
        let products = products.of_text(head.tokens);
        let own = head.own;
        let packed = head.reach(&queries);
        let padded = packed.len().next_multiple_of(PANEL);
        let [keys, values, scores, results, inverses, ..] = &mut self.scratch.buffers;
        let rounded = &mut self.scratch.rounded;
        let keys = room(keys, padded * own);
        let values = room(values, packed.len() * own);
        // SAFETY: the level was detected.
        unsafe { head.part(Part::Key, &packed).transpose::<V>(keys) };
        head.part(Part::Value, &packed).copy(values);
        for first in queries.clone().step_by(head.block()) {
            let block = first..(first + head.block()).min(queries.end);
            let reached = Keys::new::<V>(&head, &packed, &block);
            let stride = reached.scores();
            let scores = room(scores, block.len() * stride);
            let results = room(results, block.len() * own);
            let inverses = room(inverses, block.len());
            let queries = head.part(Part::Query, &block);
            let left = Left { values: queries.values, row: queries.stride, step: 1 };
            // SAFETY: the level was detected.
            unsafe {
                let panels = (&*keys, &reached);
                products.with_keys::<V, FUSED>(rounded, left, [block.len(), own], panels, scores, stride);
            }
            let rows = scores.chunks_exact_mut(stride).zip(block.clone());
            for ((scores, query), inverse) in rows.zip(inverses.iter_mut()) {
                let bias = head.bias(query, reached.first());
                let within = reached.within(&head, query);
                // SAFETY: the level was detected.
                let sum = unsafe { exponentials::<V, FUSED>(scores, head.factor(), bias, &within) };
                *inverse = 1.0 / sum;
                if let Some(mask) = head.mask(query, reached.first()) {
                    mask.apply(scores);
                }
            }
            let left = Left { values: scores, row: stride, step: 1 };
            let right = Right { values: &values[reached.begin * own..], stride: own };
            let size = Size { rows: block.len(), columns: own, steps: reached.count() };
            // SAFETY: the level was detected.
            unsafe { products.product::<V, FUSED, false>(rounded, size, left, right, results, own) };
            for ((result, query), inverse) in results.chunks_exact(own).zip(block).zip(inverses.iter()) {
                // SAFETY: these queries of this head are those of this task alone.
                unsafe { out.scaled(head.first + query, head.index * own, result, *inverse) };
            }
        }
    }
}
