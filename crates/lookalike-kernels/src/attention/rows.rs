//! The loops over the scores of one query, which are as many as a multiple of sixteen.

#![expect(unsafe_code, reason = "registers, where loops over two rows are not compiled for them")]
#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]

use std::hint::black_box;
use std::ops::Range;

use crate::dropout::bits;
use crate::functions::exp_negative;
use crate::vector::{PANEL as LANES, Vector, multiply_add};

/// Computes all lanes before any is stored: of two rows the compiler does not see that they are disjoint. Unlike
/// the standard library's function, this is always inlined.
#[inline(always)]
fn lanes(of: impl Fn(usize) -> f32) -> [f32; LANES] {
    let mut values = [0.0; LANES];
    for (lane, value) in values.iter_mut().enumerate() {
        *value = of(lane);
    }
    values
}

#[inline(always)]
fn reduce(lanes: [f32; LANES], of: impl Fn(f32, f32) -> f32) -> f32 {
    // Opaque, or the loop before would be compiled for the halves of halves, and not for whole registers.
    let mut lanes = black_box(lanes);
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
///
/// # Safety
/// As [`Vector`].
#[inline(always)]
pub(super) unsafe fn exponentials<V: Vector, const FUSED: bool>(
    products: &mut [f32],
    factor: f32,
    bias: Option<&[f32]>,
    within: &Range<usize>,
) -> f32 {
    let scores = products.as_chunks_mut::<LANES>().0;
    if let Some(bias) = bias {
        let factor = [factor; LANES];
        for (scores, bias) in scores.iter_mut().zip(bias.as_chunks::<LANES>().0) {
            for at in (0..LANES).step_by(V::LANES) {
                // SAFETY: the caller guarantees the registers, and no vector is longer than these lanes, whose
                // number is a multiple of its length.
                unsafe {
                    let score = V::load(scores.as_ptr().add(at));
                    let bias = V::load(bias.as_ptr().add(at));
                    let factor = V::load(factor.as_ptr().add(at));
                    score.multiply_add(factor, bias).store(scores.as_mut_ptr().add(at));
                }
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
        *scores = lanes(|lane| exp_negative::<FUSED>(scores[lane] - largest));
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
            for (lane, value) in values.iter_mut().enumerate() {
                *value *= self.of(first.wrapping_add(lane as u32));
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
        *values = lanes(|lane| values[lane] * inverse);
        sums = lanes(|lane| multiply_add::<FUSED>(values[lane], gradients[lane], sums[lane]));
    }
    let sum = reduce(sums, |one, other| one + other);
    for (values, gradients) in chunks.iter().zip(gradients) {
        *gradients = lanes(|lane| values[lane] * (gradients[lane] - sum));
    }
    if mask.is_some() {
        exponentials.iter_mut().zip(&*dropped).for_each(|(value, mask)| *value *= mask);
    }
}
