//! Batch normalisation of [maps](crate::map). A task takes a channel, or the pair of a word: its values fill no more than a core's
//! cache as a rule, so that the second pass over them reads no memory.

#![expect(unsafe_code, reason = "tasks write to parts of one result")]
#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]
#![expect(clippy::needless_range_loop, reason = "half and lane number values of several arrays at once")]

use std::mem::MaybeUninit;
use std::ops::Range;

use rayon::prelude::*;

use super::{
    Affine, Epilogue, EpilogueSaved, Gradients, Normalized, StatisticsSource, Sums, check, inverse_deviation,
    losses, moments, normalized,
};
use crate::dot::Level;
use crate::map::{LANES, Line, MapShape, Precision, for_words, lines, pack_line, unpack_line};
use crate::vector::{Work, multiply_add};
use crate::written::{Target, written};

/// Lines whose sum `f32` holds well.
const BLOCK: usize = 64;

/// A value of each image of a block.
type Lanes = [f32; LANES];

/// The shape of a map, how its images are grouped, and how it is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MapNormShape {
    /// Of the map.
    pub map: MapShape,
    /// Groups of N / G consecutive images, each normalised by statistics of its own; G divides N. More than one is what
    /// training in several processes gives, and what MoCo's shuffled batch normalisation needs (He et al. 2020, §3.3).
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

    /// What is said of the groups, for each lane of a block: 0 where there is no image.
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
            self.map.check(self.precision, map);
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

    /// Runs `of_word` for every word, with room of its own: an element for each group of each channel of the word.
    fn of_words<T: Copy + Send>(&self, empty: T, of_word: impl Fn(usize, &mut [T]) + Sync) -> Vec<T> {
        let each = self.precision.channels_per_word() * self.groups;
        let mut all = vec![empty; self.map.channel_words(self.precision) * each];
        all.par_chunks_exact_mut(each).enumerate().for_each(|(word, own)| of_word(word, own));
        all
    }

    /// Where the room of a channel and group lies.
    fn place(&self, channel: usize, group: usize) -> usize {
        channel * self.groups + group
    }
}

/// γ · (x − mean) / √(variance + ε) + β with mean and biased variance of each channel of each group, and
/// `epilogue`. Lanes without an image are 0.
///
/// # Panics
/// Where lengths do not fit `shape`, there are no channels or pixels, or the groups do not divide the images.
pub fn forward(
    shape: &MapNormShape,
    input: &[u32],
    affine: &Affine<'_>,
    epilogue: Epilogue<'_, u32>,
) -> Normalized<u32> {
    forward_at(Level::detect(), shape, input, affine, epilogue)
}

pub(super) fn forward_at(
    level: Level,
    shape: &MapNormShape,
    input: &[u32],
    affine: &Affine<'_>,
    epilogue: Epilogue<'_, u32>,
) -> Normalized<u32> {
    let mut statistics = Vec::new();
    let output = normalize_at(level, shape, input, affine, None, epilogue, &mut statistics);
    let (mut mean, mut variance) = (Vec::new(), Vec::new());
    for group in 0..shape.groups {
        let of_channel = |channel: usize| statistics[shape.place(channel, group)];
        mean.extend((0..shape.map.channels).map(|channel| of_channel(channel)[0]));
        variance.extend((0..shape.map.channels).map(|channel| of_channel(channel)[1]));
    }
    Normalized { output, mean, variance }
}

/// γ · (x − mean) / √(variance + ε) + β with the mean and variance `[G, C]` given, and `epilogue`: with one group, what a
/// network does when it is evaluated with running statistics.
///
/// # Panics
/// As [`forward`].
pub fn normalize(
    shape: &MapNormShape,
    input: &[u32],
    affine: &Affine<'_>,
    statistics: [&[f32]; 2],
    epilogue: Epilogue<'_, u32>,
) -> Vec<u32> {
    normalize_at(Level::detect(), shape, input, affine, Some(statistics), epilogue, &mut Vec::new())
}

/// Where no statistics are given, writes those of the input.
fn normalize_at(
    level: Level,
    shape: &MapNormShape,
    input: &[u32],
    affine: &Affine<'_>,
    given: Option<[&[f32]; 2]>,
    epilogue: Epilogue<'_, u32>,
    statistics: &mut Vec<[f32; 2]>,
) -> Vec<u32> {
    let residual = if let Epilogue::AddRelu(residual) = epilogue { residual } else { input };
    shape.check(&[input, residual], affine, given.as_ref().map_or(&[], |given| given));
    let write = |out: &mut [MaybeUninit<u32>]| {
        // Each task writes the lines of its word.
        let target = Target::new(out);
        *statistics = shape.of_words([0.0; 2], |word, statistics| {
            let input = lines(input);
            for_words!(
                level,
                shape.precision,
                Normalize { shape, word, input, affine, given, epilogue, statistics, target }
            );
        });
    };
    // SAFETY: the words of all blocks cover the output, and each is written whole.
    unsafe { written(input.len(), write) }
}

/// Normalises the channels of a word.
struct Normalize<'a, const PER_WORD: usize> {
    shape: &'a MapNormShape,
    word: usize,
    input: &'a [Line],
    affine: &'a Affine<'a>,
    given: Option<[&'a [f32]; 2]>,
    epilogue: Epilogue<'a, u32>,
    /// Mean and variance, `[PER_WORD, G]`, to be written where none are given.
    statistics: &'a mut [[f32; 2]],
    target: Target,
}

impl<const PER_WORD: usize> Work for Normalize<'_, PER_WORD> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let Self { shape, word, input, affine, given, epilogue, statistics, target } = self;
        let (groups, channels) = (shape.groups, shape.map.channels);
        if let Some([mean, variance]) = given {
            for (half, channel) in shape.channels(word).enumerate() {
                for group in 0..groups {
                    let place = group * channels + channel;
                    statistics[half * groups + group] = [mean[place], variance[place]];
                }
            }
        } else {
            measure::<FUSED, PER_WORD>(shape, word, input, statistics);
        }
        // Backwards, for what was read last is still in the cache.
        for block in (0..shape.map.blocks()).rev() {
            let range = shape.lines_of(block, word);
            let lanes = shape.affine_of::<PER_WORD>(affine, block, word, |channel, group| {
                statistics[channel % PER_WORD * groups + group]
            });
            let residual = match epilogue {
                Epilogue::AddRelu(residual) => Some(&lines(residual)[range.clone()]),
                Epilogue::Nothing | Epilogue::Relu => None,
            };
            let rectified = !matches!(epilogue, Epilogue::Nothing);
            for (index, line) in input[range.clone()].iter().enumerate() {
                let mut values = outputs::<FUSED, PER_WORD>(&unpack_line::<PER_WORD>(line), &lanes);
                if let Some(residual) = residual {
                    let added = unpack_line::<PER_WORD>(&residual[index]);
                    for half in 0..PER_WORD {
                        for lane in 0..LANES {
                            values[half][lane] += added[half][lane];
                        }
                    }
                }
                if rectified {
                    values = mask_by_relu(values, &values);
                }
                // SAFETY: this word's lines are those of this task.
                unsafe { target.write(range.start + index, pack_line::<PER_WORD>(&values)) };
            }
        }
    }
}

/// Mean and variance of the channels of a word, `[PER_WORD, G]`.
#[inline(always)]
fn measure<const FUSED: bool, const PER_WORD: usize>(
    shape: &MapNormShape,
    word: usize,
    input: &[Line],
    statistics: &mut [[f32; 2]],
) {
    let (groups, of_group) = (shape.groups, shape.map.images / shape.groups);
    // Squares are taken of the distance to some value of the channel, lest a large mean swallow the variance.
    let origin = |half: usize, group: usize| {
        let image = group * of_group;
        let line = &input[shape.lines_of(image / LANES, word)][0];
        unpack_line::<PER_WORD>(line)[half][image % LANES]
    };
    let mut totals = [[0.0; 2]; PER_WORD];
    for block in 0..shape.map.blocks() {
        let lines = &input[shape.lines_of(block, word)];
        let mut origins = [[0.0; LANES]; PER_WORD];
        for half in 0..PER_WORD {
            origins[half] = shape.lanes(block, |group| origin(half, group));
        }
        let mut sums = [[[0.0; LANES]; 2]; PER_WORD];
        for lines in lines.chunks(BLOCK) {
            let mut partial = [[[0.0; LANES]; 2]; PER_WORD];
            for line in lines {
                let values = unpack_line::<PER_WORD>(line);
                for half in 0..PER_WORD {
                    for lane in 0..LANES {
                        let distance = values[half][lane] - origins[half][lane];
                        let [sum, square] = [partial[half][0][lane], partial[half][1][lane]];
                        partial[half][0][lane] = sum + distance;
                        partial[half][1][lane] = multiply_add::<FUSED>(distance, distance, square);
                    }
                }
            }
            add(&mut sums, &partial);
        }
        // What groups there are, are met in their order.
        for lane in 0..LANES {
            let Some(group) = shape.group(block, lane) else { break };
            for half in 0..PER_WORD {
                totals[half][0] += sums[half][0][lane];
                totals[half][1] += sums[half][1][lane];
            }
            if (block * LANES + lane + 1).is_multiple_of(of_group) {
                for half in 0..PER_WORD {
                    statistics[half * groups + group] =
                        moments(totals[half], origin(half, group), shape.count());
                    totals[half] = [0.0; 2];
                }
            }
        }
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

/// The gradients of [`forward`], given the gradient of its output, the same `input` and `affine`, and the statistics
/// that it returned, or those of [`normalize`].
///
/// # Panics
/// As [`forward`].
pub fn backward(
    shape: &MapNormShape,
    input: &[u32],
    affine: &Affine<'_>,
    statistics: StatisticsSource<'_>,
    gradient: &[u32],
    saved: EpilogueSaved<'_, u32>,
) -> Gradients<u32> {
    backward_at(Level::detect(), shape, input, affine, statistics, gradient, saved)
}

pub(super) fn backward_at(
    level: Level,
    shape: &MapNormShape,
    input: &[u32],
    affine: &Affine<'_>,
    statistics: StatisticsSource<'_>,
    gradient: &[u32],
    saved: EpilogueSaved<'_, u32>,
) -> Gradients<u32> {
    let ([mean, variance], fixed) = statistics.parts();
    let output = if let EpilogueSaved::AddRelu(output) = saved { output } else { input };
    shape.check(&[input, gradient, output], affine, &[mean, variance]);
    let adds = matches!(saved, EpilogueSaved::AddRelu(_));
    let mut sums = Vec::new();
    let mut residual = Vec::new();
    let write = |out: &mut [MaybeUninit<u32>]| {
        let all = |masked: &mut [MaybeUninit<u32>]| {
            // Each task writes the lines of its word, of both.
            let targets = [Target::new(out), Target::new(masked)];
            sums = shape.of_words([0.0; 2], |word, sums: &mut [Sums]| {
                let (input, gradient, statistics) = (lines(input), lines(gradient), [mean, variance]);
                for_words!(
                    level,
                    shape.precision,
                    Differentiate {
                        shape,
                        word,
                        input,
                        affine,
                        statistics,
                        fixed,
                        gradient,
                        saved,
                        sums,
                        targets
                    }
                );
            });
        };
        // SAFETY: the words of all blocks cover the gradient of the residual, and each is written whole where there is one.
        residual = unsafe { written(if adds { input.len() } else { 0 }, all) };
    };
    // SAFETY: the words of all blocks cover the gradient, and each is written whole.
    let input = unsafe { written(input.len(), write) };
    let (mut scale, mut shift) = (Vec::new(), Vec::new());
    for channel in 0..shape.map.channels {
        let mut gradients = [0.0; 2];
        for group in 0..shape.groups {
            let [sum, product] = sums[shape.place(channel, group)];
            let variance = variance[group * shape.map.channels + channel];
            gradients[0] += product * f64::from(inverse_deviation(variance, affine.epsilon));
            gradients[1] += sum;
        }
        scale.push(gradients[0] as f32);
        shift.push(gradients[1] as f32);
    }
    Gradients { input, residual: adds.then_some(residual), scale, shift }
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

/// What a `ReLU` passes, gradients or values, given its outputs, or what they are before they are rectified.
#[inline(always)]
fn mask_by_relu<const PER_WORD: usize>(
    gradient: [Lanes; PER_WORD],
    outputs: &[Lanes; PER_WORD],
) -> [Lanes; PER_WORD] {
    let mut passed = [[0.0; LANES]; PER_WORD];
    for half in 0..PER_WORD {
        for lane in 0..LANES {
            // As bits: of a choice the compiler would make branches.
            let passes = u32::from(outputs[half][lane] <= 0.0).wrapping_sub(1);
            passed[half][lane] = f32::from_bits(gradient[half][lane].to_bits() & passes);
        }
    }
    passed
}

/// The gradients of the channels of a word.
struct Differentiate<'a, const PER_WORD: usize> {
    shape: &'a MapNormShape,
    word: usize,
    input: &'a [Line],
    affine: &'a Affine<'a>,
    statistics: [&'a [f32]; 2],
    fixed: bool,
    gradient: &'a [Line],
    saved: EpilogueSaved<'a, u32>,
    /// `[PER_WORD, G]`, zeros, to be written.
    sums: &'a mut [Sums],
    /// The input's gradient, and the residual's where there was one.
    targets: [Target; 2],
}

impl<const PER_WORD: usize> Work for Differentiate<'_, PER_WORD> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let (shape, groups, relu) =
            (self.shape, self.shape.groups, matches!(self.saved, EpilogueSaved::Relu));
        let ([mean, variance], channels) = (self.statistics, shape.map.channels);
        let affine_of = |block: usize| {
            shape.affine_of::<PER_WORD>(self.affine, block, self.word, |channel, group| {
                [mean, variance].map(|of_groups| of_groups[group * channels + channel])
            })
        };
        let blocks = shape.map.blocks();
        for block in 0..blocks {
            let range = shape.lines_of(block, self.word);
            let affine = affine_of(block);
            let output = match self.saved {
                EpilogueSaved::AddRelu(output) => Some(lines(output)),
                EpilogueSaved::Nothing | EpilogueSaved::Relu => None,
            };
            let mut sums = [[[0.0; LANES]; 2]; PER_WORD];
            for start in range.clone().step_by(BLOCK) {
                let mut partial = [[[0.0; LANES]; 2]; PER_WORD];
                for place in start..range.end.min(start + BLOCK) {
                    let input = unpack_line::<PER_WORD>(&self.input[place]);
                    let mut gradient = unpack_line::<PER_WORD>(&self.gradient[place]);
                    if let Some(output) = output {
                        gradient = mask_by_relu(gradient, &unpack_line::<PER_WORD>(&output[place]));
                        // SAFETY: this word's lines are those of this task.
                        unsafe { self.targets[1].write(place, pack_line::<PER_WORD>(&gradient)) };
                    } else if relu {
                        gradient = mask_by_relu(gradient, &outputs::<FUSED, PER_WORD>(&input, &affine));
                    }
                    for half in 0..PER_WORD {
                        for lane in 0..LANES {
                            let distance = input[half][lane] - affine[0][half][lane];
                            let [sum, product] = [partial[half][0][lane], partial[half][1][lane]];
                            let gradient = gradient[half][lane];
                            partial[half][0][lane] = sum + gradient;
                            partial[half][1][lane] = multiply_add::<FUSED>(gradient, distance, product);
                        }
                    }
                }
                add(&mut sums, &partial);
            }
            for lane in 0..LANES {
                let Some(group) = shape.group(block, lane) else { break };
                for half in 0..PER_WORD {
                    let total = &mut self.sums[half * groups + group];
                    total[0] += sums[half][0][lane];
                    total[1] += sums[half][1][lane];
                }
            }
        }
        // Backwards, for what was read last is still in the cache.
        for block in (0..blocks).rev() {
            let range = shape.lines_of(block, self.word);
            let affine = affine_of(block);
            let mut lost = [[[0.0; LANES]; PER_WORD]; 2];
            let of_word = if self.fixed { 0..0 } else { shape.channels(self.word) };
            for (half, channel) in of_word.enumerate() {
                let losses = |group: usize| {
                    let deviation =
                        inverse_deviation(variance[group * channels + channel], self.affine.epsilon);
                    losses(self.sums[half * groups + group], deviation, shape.count())
                };
                lost[0][half] = shape.lanes(block, |group| losses(group)[0]);
                lost[1][half] = shape.lanes(block, |group| losses(group)[1]);
            }
            for place in range {
                let input = unpack_line::<PER_WORD>(&self.input[place]);
                let mut values = match self.saved {
                    // SAFETY: written above, by this task.
                    EpilogueSaved::AddRelu(_) => {
                        unpack_line::<PER_WORD>(&unsafe { self.targets[1].read(place) })
                    }
                    EpilogueSaved::Nothing | EpilogueSaved::Relu => {
                        unpack_line::<PER_WORD>(&self.gradient[place])
                    }
                };
                if relu {
                    values = mask_by_relu(values, &outputs::<FUSED, PER_WORD>(&input, &affine));
                }
                for half in 0..PER_WORD {
                    for lane in 0..LANES {
                        let distance = input[half][lane] - affine[0][half][lane];
                        let gradient = values[half][lane] - lost[0][half][lane];
                        values[half][lane] = affine[1][half][lane]
                            * multiply_add::<FUSED>(distance, -lost[1][half][lane], gradient);
                    }
                }
                // SAFETY: as above.
                unsafe { self.targets[0].write(place, pack_line::<PER_WORD>(&values)) };
            }
        }
    }
}
