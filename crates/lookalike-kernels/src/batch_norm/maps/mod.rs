//! Batch normalisation of [maps](crate::map). A task takes a channel, or the two channels of a word: their
//! values rarely fill more than a core's cache, so that the second pass over them reads no memory.

#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]
#![expect(clippy::needless_range_loop, reason = "half and lane number values of several arrays at once")]

mod backward;
mod forward;

use std::ops::Range;

use rayon::prelude::*;

use super::{Affine, check, inverse_deviation, normalized};
use crate::map::{LANES, MapShape, Precision};
pub use backward::backward;
#[cfg(test)]
pub(super) use backward::backward_at;
#[cfg(test)]
pub(super) use forward::forward_at;
pub use forward::{forward, normalize};

/// Lines whose sum `f32` holds well.
const BLOCK: usize = 64;

/// A value of each image of a block.
type Lanes = [f32; LANES];

/// The shape of a map, how its images are grouped, and how it is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MapNormShape {
    /// The shape of the map.
    pub map: MapShape,
    /// Groups of N / G consecutive images, each normalised by statistics of its own; G divides N. More than
    /// one is what training in several processes gives, and what MoCo's shuffled batch normalisation needs
    /// (He et al. 2020, §3.3).
    pub groups: usize,
    /// How the map is held.
    pub precision: Precision,
}

impl MapNormShape {
    /// Values over which a channel is normalised.
    fn count(&self) -> f64 {
        (self.map.images / self.groups * self.map.pixels()) as f64
    }

    /// The group of a lane, if it has an image.
    #[inline(always)]
    fn group(&self, block: usize, lane: usize) -> Option<usize> {
        let image = block * LANES + lane;
        (image < self.map.images).then(|| image / (self.map.images / self.groups))
    }

    /// The value of its group for each lane of a block; 0 for a lane without an image.
    #[inline(always)]
    fn lanes(&self, block: usize, mut of_group: impl FnMut(usize) -> f32) -> Lanes {
        if self.groups == 1 && (block + 1) * LANES <= self.map.images {
            return [of_group(0); LANES];
        }
        let (mut lanes, mut last) = ([0.0; LANES], (usize::MAX, 0.0));
        for (lane, value) in lanes.iter_mut().enumerate() {
            let Some(group) = self.group(block, lane) else { break };
            if group != last.0 {
                last = (group, of_group(group));
            }
            *value = last.1;
        }
        lanes
    }

    /// The lines of a word of a block.
    #[inline(always)]
    fn lines_of(&self, block: usize, word: usize) -> Range<usize> {
        let pixels = self.map.pixels();
        let start = (block * self.map.channel_words(self.precision) + word) * pixels;
        start..start + pixels
    }

    /// The channels of a word.
    #[inline(always)]
    fn channels(&self, word: usize) -> Range<usize> {
        let each = self.precision.channels_per_word();
        word * each..self.map.channels.min((word + 1) * each)
    }

    fn check(&self, maps: &[&[u32]], affine: &Affine<'_>, statistics: &[&[f32]]) {
        for map in maps {
            self.map.check_map(self.precision, map);
        }
        check(self, [self.map.images, self.groups, self.map.channels], affine, statistics);
    }

    /// Means, scales and shifts of the lanes of a block, given mean and variance of a channel and group.
    #[inline(always)]
    fn affine_of<const PER_WORD: usize>(
        &self,
        affine: &Affine<'_>,
        block: usize,
        word: usize,
        statistics: impl Fn(usize, usize) -> [f32; 2],
    ) -> [[Lanes; PER_WORD]; 3] {
        let mut values = [[[0.0; LANES]; PER_WORD]; 3];
        for (half, channel) in self.channels(word).enumerate() {
            values[0][half] = self.lanes(block, |group| statistics(channel, group)[0]);
            values[1][half] = self.lanes(block, |group| {
                affine.scale[channel] * inverse_deviation(statistics(channel, group)[1], affine.epsilon)
            });
            values[2][half] = self.lanes(block, |_| affine.shift[channel]);
        }
        values
    }

    /// Runs `of_word` for every word, with a slice of its own: one element for each group of each channel of
    /// the word.
    fn of_words<T: Copy + Send>(&self, empty: T, of_word: impl Fn(usize, &mut [T]) + Sync) -> Vec<T> {
        let each = self.precision.channels_per_word() * self.groups;
        let mut all = vec![empty; self.map.channel_words(self.precision) * each];
        all.par_chunks_exact_mut(each).enumerate().for_each(|(word, own)| of_word(word, own));
        all
    }

    /// Where the element of a channel and group lies in what [`of_words`](Self::of_words) returns.
    fn place(&self, channel: usize, group: usize) -> usize {
        channel * self.groups + group
    }
}

/// Adds the sums of a block of lines.
#[inline(always)]
fn add<const PER_WORD: usize>(sums: &mut [[[f64; LANES]; 2]; PER_WORD], partial: &[[Lanes; 2]; PER_WORD]) {
    for half in 0..PER_WORD {
        for kind in 0..2 {
            for lane in 0..LANES {
                sums[half][kind][lane] += f64::from(partial[half][kind][lane]);
            }
        }
    }
}

/// The outputs of means, scales and shifts.
#[inline(always)]
fn outputs<const FUSED: bool, const PER_WORD: usize>(
    input: &[Lanes; PER_WORD],
    [mean, scale, shift]: &[[Lanes; PER_WORD]; 3],
) -> [Lanes; PER_WORD] {
    let mut outputs = [[0.0; LANES]; PER_WORD];
    for half in 0..PER_WORD {
        for lane in 0..LANES {
            let (input, mean) = (input[half][lane], mean[half][lane]);
            outputs[half][lane] = normalized::<FUSED>(input, mean, scale[half][lane], shift[half][lane]);
        }
    }
    outputs
}

/// The gradients or values that a `ReLU` passes, given its outputs, or its inputs: both are positive in the
/// same places.
#[inline(always)]
fn mask_by_relu<const PER_WORD: usize>(
    gradient: [Lanes; PER_WORD],
    outputs: &[Lanes; PER_WORD],
) -> [Lanes; PER_WORD] {
    let mut passed = [[0.0; LANES]; PER_WORD];
    for half in 0..PER_WORD {
        for lane in 0..LANES {
            // By bits: the compiler would make branches of a choice.
            let passes = u32::from(outputs[half][lane] <= 0.0).wrapping_sub(1);
            passed[half][lane] = f32::from_bits(gradient[half][lane].to_bits() & passes);
        }
    }
    passed
}
