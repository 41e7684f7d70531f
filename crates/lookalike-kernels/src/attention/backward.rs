//! The gradients of the queries, keys and values of a head of a text.

#![expect(unsafe_code, reason = "products by registers, and columns of rows that tasks share")]
#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]

use super::blocks::{Distances, Head, Keys, Part, Scratch, room};
use super::output::Output;
use super::product::{Columns, Left, Right, Size};
use super::rows::{exponentials, score_gradient};
use super::tiles::Products;
use crate::vector::{PANEL, Vector, VectorWork};

pub(super) struct Backward<'a> {
    pub(super) head: Head<'a>,
    pub(super) products: Products,
    /// Of the results of all texts and heads.
    pub(super) gradient: &'a [f32],
    pub(super) scratch: &'a mut Scratch,
    /// Of the gradients of the bias: a bucket each, if there is one.
    pub(super) sums: &'a mut [f32],
    pub(super) out: &'a Output<'a>,
}

impl VectorWork for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector, const FUSED: bool>(self) {
        let Self { head, products, gradient, out, .. } = self;
        let products = products.of_text(head.tokens);
        let (own, tokens) = (head.own, head.tokens);
        let all = 0..tokens;
        let padded = tokens.next_multiple_of(PANEL);
        let [keys, key_panels, value_panels, of_keys, of_values, of_distances, rest @ ..] =
            &mut self.scratch.buffers;
        let rounded = &mut self.scratch.rounded;
        let keys = room(keys, tokens * own);
        let [key_panels, value_panels] = [key_panels, value_panels].map(|buffer| room(buffer, padded * own));
        let [of_keys, of_values] = [of_keys, of_values].map(|buffer| room(buffer, tokens * own));
        let of_distances = room(of_distances, if head.distances.is_some() { 2 * tokens - 1 } else { 0 });
        for sums in [&mut *of_keys, of_values, of_distances] {
            sums.fill(0.0);
        }
        head.part(Part::Key, &all).copy(keys);
        // SAFETY: the level was detected.
        unsafe {
            head.part(Part::Key, &all).transpose::<V>(key_panels);
            head.part(Part::Value, &all).transpose::<V>(value_panels);
        }
        for first in all.clone().step_by(head.block()) {
            let block = first..(first + head.block()).min(tokens);
            let rows = block.len();
            let reached = Keys::new::<V>(&head, &all, &block);
            let stride = reached.scores();
            let [queries, gradients, of_queries, scores, of_scores, mask] = &mut *rest;
            let [queries, gradients, of_queries] =
                [queries, gradients, of_queries].map(|buffer| room(buffer, rows * own));
            let [scores, of_scores] = [scores, of_scores].map(|buffer| room(buffer, rows * stride));
            let mask = room(mask, stride);
            head.part(Part::Query, &block).copy(queries);
            let of_results = &gradient[(head.first + block.start) * head.width + head.index * own..];
            Columns { values: of_results, stride: head.width, rows, width: own }.copy(gradients);
            let operands =
                [(&*queries, &*key_panels, &mut *scores), (&*gradients, &*value_panels, &mut *of_scores)];
            for (left, panels, out) in operands {
                let left = Left { values: left, row: own, step: 1 };
                // SAFETY: the level was detected.
                unsafe {
                    let panels = (panels, &reached);
                    products.with_keys::<V, FUSED>(rounded, left, [rows, own], panels, out, stride);
                }
            }
            let each = scores.chunks_exact_mut(stride).zip(of_scores.chunks_exact_mut(stride));
            for ((scores, of_scores), query) in each.zip(block.clone()) {
                let bias = head.bias(query, reached.first());
                let within = reached.within(&head, query);
                // SAFETY: the level was detected.
                let sum = unsafe { exponentials::<V, FUSED>(scores, head.factor(), bias, &within) };
                let inverse = 1.0 / sum;
                let dropped = head.mask(query, reached.first());
                score_gradient::<FUSED>(scores, inverse, of_scores, dropped, mask);
                if head.distances.is_some() {
                    let sums = &mut of_distances[tokens - 1 + reached.first() + within.start - query..];
                    sums.iter_mut().zip(&of_scores[within]).for_each(|(sum, value)| *sum += value);
                }
            }
            let count = reached.count();
            let left = Left { values: of_scores, row: stride, step: 1 };
            let right = Right { values: &keys[reached.begin * own..], stride: own };
            // SAFETY: the level was detected.
            unsafe {
                let size = Size { rows, columns: own, steps: count };
                products.product::<V, FUSED, false>(rounded, size, left, right, of_queries, own);
            }
            let size = Size { rows: count, columns: own, steps: rows };
            let operands =
                [(&*scores, &*gradients, &mut *of_values), (&*of_scores, &*queries, &mut *of_keys)];
            for (left, right, out) in operands {
                let left = Left { values: left, row: 1, step: stride };
                let right = Right { values: right, stride: own };
                let out = &mut out[reached.begin * own..];
                // SAFETY: the level was detected.
                unsafe { products.product::<V, FUSED, true>(rounded, size, left, right, out, own) };
            }
            write(out, &head, Part::Query, block.start, of_queries, head.factor());
        }
        write(out, &head, Part::Key, 0, of_keys, head.factor());
        write(out, &head, Part::Value, 0, of_values, 1.0);
        if let Some(Distances { buckets, .. }) = head.distances {
            let buckets = &buckets[buckets.len() / 2 + 1 - tokens..];
            for (sum, bucket) in of_distances.iter().zip(buckets) {
                self.sums[*bucket as usize] += sum;
            }
        }
    }
}

/// Writes a part of some tokens, from `first` on.
#[inline(always)]
fn write(out: &Output<'_>, head: &Head<'_>, part: Part, first: usize, values: &[f32], factor: f32) {
    for (token, values) in values.chunks_exact(head.own).enumerate() {
        // SAFETY: each part of this head of this text is written by this task alone.
        unsafe { out.scaled(head.first + first + token, head.column(part), values, factor) };
    }
}
