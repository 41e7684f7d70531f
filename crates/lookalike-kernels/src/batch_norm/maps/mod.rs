//! Batch normalisation of [maps](crate::map). A thread takes a channel, or the two channels of a word: their
//! values rarely fill more than a core's cache, so that the second pass over them reads no memory. Where channels are
//! fewer than tasks should be, pieces of a word are tasks of their own, which threads without a word take up.

#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]
#![expect(clippy::needless_range_loop, reason = "half and lane number values of several arrays at once")]

mod backward;
mod forward;

use std::ops::Range;

use rayon::prelude::*;

use super::{Affine, Sums, check, inverse_deviation, normalized};
use crate::map::{LANES, MapShape, Precision};
use crate::tasks;
pub use backward::backward;
#[cfg(test)]
pub(super) use backward::backward_at;
#[cfg(test)]
pub(super) use forward::forward_at;
pub use forward::{forward, normalize};

/// Lines whose sum `f32` holds well.
const BLOCK: usize = 64;
/// Lines that are worth a task.
pub(crate) const LEAST: usize = 512;

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

    /// The lines of a word of a block, at some pixels.
    #[inline(always)]
    fn lines_of(&self, block: usize, word: usize, pixels: &Range<usize>) -> Range<usize> {
        let start = (block * self.map.channel_words(self.precision) + word) * self.map.pixels();
        start + pixels.start..start + pixels.end
    }

    /// How words are cut: by the shape alone, as each piece has sums of its own.
    fn pieces(&self) -> Pieces {
        let (blocks, pixels) = (self.map.blocks(), self.map.pixels());
        let wanted = tasks::MANY.div_ceil(self.map.channel_words(self.precision));
        let pieces = wanted.min(blocks * pixels / LEAST).max(1);
        let ranges = pieces.min(blocks).max(1);
        Pieces { blocks, pixels, ranges: [ranges, pieces.div_ceil(ranges)] }
    }

    /// The channels of a word.
    #[inline(always)]
    fn channels(&self, word: usize) -> Range<usize> {
        let each = self.precision.channels_per_word();
        word * each..self.map.channels.min((word + 1) * each)
    }

    /// The given statistics `[G, C]` of the channels of a word, as `[channels, G]`.
    fn copy_statistics(&self, word: usize, [mean, variance]: [&[f32]; 2], statistics: &mut [[f32; 2]]) {
        for (half, channel) in self.channels(word).enumerate() {
            for group in 0..self.groups {
                let place = group * self.map.channels + channel;
                statistics[half * self.groups + group] = [mean[place], variance[place]];
            }
        }
    }

    /// Adds the sums of the lanes of a block to those of their groups, `[PER_WORD, G]`.
    #[inline(always)]
    fn add_lanes<const PER_WORD: usize>(
        &self,
        block: usize,
        sums: &[[[f64; LANES]; 2]; PER_WORD],
        totals: &mut [Sums],
    ) {
        for lane in 0..LANES {
            let Some(group) = self.group(block, lane) else { break };
            for half in 0..PER_WORD {
                let total = &mut totals[half * self.groups + group];
                total[0] += sums[half][0][lane];
                total[1] += sums[half][1][lane];
            }
        }
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

    /// Tasks, and their lines.
    #[cfg(test)]
    pub(crate) fn count_tasks(&self) -> [usize; 2] {
        let pieces = self.pieces();
        let lines = pieces.blocks.div_ceil(pieces.ranges[0]) * pieces.pixels.div_ceil(pieces.ranges[1]);
        [self.map.channel_words(self.precision) * pieces.count(), lines]
    }

    /// The sums of a word, one of each group of each channel, of which `sums_of` adds those of a piece. Pieces are added
    /// in their order.
    fn sums_of_word(&self, pieces: Pieces, sums_of: impl Fn(Piece, &mut [Sums]) + Sync) -> Vec<Sums> {
        let each = self.precision.channels_per_word() * self.groups;
        let mut sums = vec![[0.0; 2]; pieces.count() * each];
        pieces.run(sums.par_chunks_exact_mut(each), sums_of);
        let (total, others) = sums.split_at_mut(each);
        for sums in others.chunks_exact(each) {
            for (total, sum) in total.iter_mut().zip(sums) {
                *total = [total[0] + sum[0], total[1] + sum[1]];
            }
        }
        sums.truncate(each);
        sums
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

/// Pieces of a word: ranges of blocks, and of the pixels of each.
#[derive(Debug, Clone, Copy)]
struct Pieces {
    blocks: usize,
    pixels: usize,
    ranges: [usize; 2],
}

/// Some blocks of a word, and some pixels of each.
#[derive(Debug, Clone)]
struct Piece {
    blocks: Range<usize>,
    pixels: Range<usize>,
}

impl Pieces {
    fn count(&self) -> usize {
        self.ranges[0] * self.ranges[1]
    }

    fn piece(&self, number: usize) -> Piece {
        let part =
            |count: usize, range: usize, ranges: usize| count * range / ranges..count * (range + 1) / ranges;
        Piece {
            blocks: part(self.blocks, number / self.ranges[1], self.ranges[0]),
            pixels: part(self.pixels, number % self.ranges[1], self.ranges[1]),
        }
    }

    /// Runs `work` for each piece, with an item of its own.
    fn run<T: Send>(&self, items: impl IndexedParallelIterator<Item = T>, work: impl Fn(Piece, T) + Sync) {
        items.enumerate().for_each(|(number, item)| work(self.piece(number), item));
    }

    /// As [`run`](Self::run), from the last piece to the first.
    fn run_backwards(&self, work: impl Fn(Piece) + Sync) {
        let count = self.count();
        (0..count).into_par_iter().for_each(|number| work(self.piece(count - 1 - number)));
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
