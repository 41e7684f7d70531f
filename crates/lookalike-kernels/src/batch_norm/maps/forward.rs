//! Output and statistics.

#![expect(unsafe_code, reason = "tasks write to parts of one result")]

use std::mem::MaybeUninit;

use super::super::{Affine, Epilogue, Normalized, moments};
use super::{BLOCK, MapNormShape, add, mask_by_relu, outputs};
use crate::instructions::Level;
use crate::map::{LANES, Line, for_words, lines, pack_line, unpack_line};
use crate::output::{OutputLines, init_vec};
use crate::vector::{Work, multiply_add};

/// γ · (x − mean) / √(variance + ε) + β with mean and biased variance of each channel of each group, and
/// `epilogue`. Lanes without an image are 0.
///
/// # Panics
/// If lengths do not fit `shape`, there are no channels or pixels, or the groups do not divide the images.
pub fn forward(
    shape: &MapNormShape,
    input: &[u32],
    affine: &Affine<'_>,
    epilogue: Epilogue<'_, u32>,
) -> Normalized<u32> {
    forward_at(Level::detect(), shape, input, affine, epilogue)
}

pub(in super::super) fn forward_at(
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

/// γ · (x − mean) / √(variance + ε) + β with the mean and variance `[G, C]` given, and `epilogue`: with one
/// group, what a network does when it is evaluated with running statistics.
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

/// Writes the statistics of the input, if none are given.
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
        let output = OutputLines::new(out);
        *statistics = shape.of_words([0.0; 2], |word, statistics| {
            let input = lines(input);
            for_words!(
                level,
                shape.precision,
                Normalize { shape, word, input, affine, given, epilogue, statistics, output }
            );
        });
    };
    // SAFETY: the words of all blocks cover the output, and each is written whole.
    unsafe { init_vec(input.len(), write) }
}

/// Normalises the channels of a word.
struct Normalize<'a, const PER_WORD: usize> {
    shape: &'a MapNormShape,
    word: usize,
    input: &'a [Line],
    affine: &'a Affine<'a>,
    given: Option<[&'a [f32]; 2]>,
    epilogue: Epilogue<'a, u32>,
    /// Mean and variance, `[PER_WORD, G]`, to be written.
    statistics: &'a mut [[f32; 2]],
    output: OutputLines<'a>,
}

impl<const PER_WORD: usize> Work for Normalize<'_, PER_WORD> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let Self { shape, word, input, affine, given, epilogue, statistics, output } = self;
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
        // Backwards, for the last blocks are still in the cache.
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
            // SAFETY: only this task writes the lines of this word.
            let out = unsafe { output.tile(range.clone()) };
            for (index, (line, out)) in input[range].iter().zip(out).enumerate() {
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
                out.write(pack_line::<PER_WORD>(&values));
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
    // Squares are of the distance to some value of the channel, so that a large mean does not swallow the
    // variance.
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
        // Groups come in their order.
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
