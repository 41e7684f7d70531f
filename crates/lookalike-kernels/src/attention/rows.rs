//! The loops over the scores of one query, which are as many as a multiple of sixteen.

#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]

use std::ops::Range;

use crate::dropout::bits;
use crate::functions::exp_negative;
use crate::vector::{PANEL as LANES, multiply_add};

#[inline(always)]
fn reduce(mut lanes: [f32; LANES], of: impl Fn(f32, f32) -> f32) -> f32 {
    let mut width = LANES;
    while width > 1 {
        width /= 2;
        for lane in 0..width {
            lanes[lane] = of(lanes[lane], lanes[lane + width]);
        }
    }
    lanes[0]
}

#[inline(always)]
fn larger(one: f32, other: f32) -> f32 {
    if other > one { other } else { one }
}

/// Makes of products of a query with keys exp(score − largest score), 0 for keys that are not `within` reach,
/// and returns their sum. Scores are the products times `factor`, with the bias added.
#[inline(always)]
pub(super) fn exponentials<const FUSED: bool>(
    products: &mut [f32],
    factor: f32,
    bias: Option<&[f32]>,
    within: &Range<usize>,
) -> f32 {
    let scores = products.as_chunks_mut::<LANES>().0;
    if let Some(bias) = bias {
        for (scores, bias) in scores.iter_mut().zip(bias.as_chunks::<LANES>().0) {
            for lane in 0..LANES {
                scores[lane] = multiply_add::<FUSED>(scores[lane], factor, bias[lane]);
            }
        }
    } else {
        for score in scores.as_flattened_mut() {
            *score *= factor;
        }
    }
    products[..within.start].fill(f32::NEG_INFINITY);
    products[within.end..].fill(f32::NEG_INFINITY);
    let scores = products.as_chunks_mut::<LANES>().0;
    let mut largest = [f32::NEG_INFINITY; LANES];
    for scores in &*scores {
        for lane in 0..LANES {
            largest[lane] = larger(largest[lane], scores[lane]);
        }
    }
    let largest = reduce(largest, larger);
    let mut sums = [0.0; LANES];
    for scores in scores {
        for lane in 0..LANES {
            scores[lane] = exp_negative::<FUSED>(scores[lane] - largest);
        }
        for lane in 0..LANES {
            sums[lane] += scores[lane];
        }
    }
    reduce(sums, |one, other| one + other)
}

/// The mask of dropout of one query.
#[derive(Clone, Copy)]
pub(super) struct Mask {
    pub(super) key: u64,
    /// The counter of the first score.
    pub(super) first: u32,
    pub(super) threshold: u32,
    pub(super) scale: f32,
}

impl Mask {
    #[inline(always)]
    fn of(&self, counter: u32) -> f32 {
        if bits(self.key, counter) >> 8 >= self.threshold { self.scale } else { 0.0 }
    }

    /// Multiplies by the mask.
    #[inline(always)]
    pub(super) fn apply(&self, values: &mut [f32]) {
        let mut first = self.first;
        for values in values.as_chunks_mut::<LANES>().0 {
            for lane in 0..LANES {
                values[lane] *= self.of(first.wrapping_add(lane as u32));
            }
            first = first.wrapping_add(LANES as u32);
        }
    }
}

/// Makes of exponentials, whose sum is 1 / `inverse`, the probabilities by which the values are multiplied, and
/// of the gradient of those the gradient of the scores. `dropped` is room for a mask.
#[inline(always)]
pub(super) fn score_gradient<const FUSED: bool>(
    exponentials: &mut [f32],
    inverse: f32,
    gradient: &mut [f32],
    mask: Option<Mask>,
    dropped: &mut [f32],
) {
    if let Some(mask) = mask {
        dropped.fill(1.0);
        mask.apply(dropped);
        gradient.iter_mut().zip(&*dropped).for_each(|(gradient, mask)| *gradient *= mask);
    }
    let chunks = exponentials.as_chunks_mut::<LANES>().0;
    let gradients = gradient.as_chunks_mut::<LANES>().0;
    let mut sums = [0.0; LANES];
    for (values, gradients) in chunks.iter_mut().zip(&*gradients) {
        for lane in 0..LANES {
            values[lane] *= inverse;
            sums[lane] = multiply_add::<FUSED>(values[lane], gradients[lane], sums[lane]);
        }
    }
    let sum = reduce(sums, |one, other| one + other);
    for (values, gradients) in chunks.iter().zip(gradients) {
        for lane in 0..LANES {
            gradients[lane] = values[lane] * (gradients[lane] - sum);
        }
    }
    if mask.is_some() {
        exponentials.iter_mut().zip(&*dropped).for_each(|(value, mask)| *value *= mask);
    }
}
