//! Output and statistics.

#![expect(unsafe_code, reason = "tasks write to parts of one result")]

use std::mem::MaybeUninit;

use super::super::{Affine, Epilogue, Normalized, Sums, moments};
use super::{BLOCK, MapNormShape, Piece, add, mask_by_relu, outputs};
use crate::instructions::Level;
use crate::map::{LANES, Line, Precision, for_words, lines, pack_line, unpack_line};
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
        // Each task writes the lines of its piece of a word.
        let output = OutputLines::new(out);
        let pieces = shape.pieces();
        *statistics = shape.of_words([0.0; 2], |word, statistics: &mut [[f32; 2]]| {
            let input = lines(input);
            if let Some(given) = given {
                shape.copy_statistics(word, given, statistics);
            } else if shape.map.images > 0 {
                let origins = origins(shape, word, input);
                let sums = shape.sums_of_word(pieces, |piece, sums| {
                    let origins = &origins;
                    for_words!(level, shape.precision, Measure { shape, word, piece, input, origins, sums });
                });
                for ((statistic, sums), origin) in statistics.iter_mut().zip(sums).zip(origins) {
                    *statistic = moments(sums, origin, shape.count());
                }
            }
            let statistics = &*statistics;
            pieces.run_backwards(|piece| {
                for_words!(
                    level,
                    shape.precision,
                    Normalize { shape, word, piece, input, affine, epilogue, statistics, output }
                );
            });
        });
    };
    // SAFETY: the words of all blocks cover the output, and each is written whole.
    unsafe { init_vec(input.len(), write) }
}

/// Normalises the channels of a piece of a word.
struct Normalize<'a, const PER_WORD: usize> {
    shape: &'a MapNormShape,
    word: usize,
    piece: Piece,
    input: &'a [Line],
    affine: &'a Affine<'a>,
    epilogue: Epilogue<'a, u32>,
    /// Mean and variance, `[PER_WORD, G]`.
    statistics: &'a [[f32; 2]],
    output: OutputLines<'a>,
}

impl<const PER_WORD: usize> Work for Normalize<'_, PER_WORD> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let Self { shape, word, piece, input, affine, epilogue, statistics, output } = self;
        // Backwards, for the last blocks are still in the cache.
        for block in piece.blocks.rev() {
            let range = shape.lines_of(block, word, &piece.pixels);
            let lanes = shape.affine_of::<PER_WORD>(affine, block, word, |channel, group| {
                statistics[channel % PER_WORD * shape.groups + group]
            });
            let residual = match epilogue {
                Epilogue::AddRelu(residual) => Some(&lines(residual)[range.clone()]),
                Epilogue::Nothing | Epilogue::Relu => None,
            };
            let rectified = !matches!(epilogue, Epilogue::Nothing);
            // SAFETY: only this task writes these lines.
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

/// A value of each group of each channel of a word. Squares are of the distance to it, so that a large mean does not
/// swallow the variance.
fn origins(shape: &MapNormShape, word: usize, input: &[Line]) -> Vec<f32> {
    let of_group = shape.map.images / shape.groups;
    let of = |half: usize, group: usize| {
        let image = group * of_group;
        let line = &input[shape.lines_of(image / LANES, word, &(0..1)).start];
        match shape.precision {
            Precision::F32 => unpack_line::<1>(line)[half][image % LANES],
            Precision::Bf16 => unpack_line::<2>(line)[half][image % LANES],
        }
    };
    let halves = 0..shape.precision.channels_per_word();
    halves.flat_map(|half| (0..shape.groups).map(move |group| of(half, group))).collect()
}

/// Sums of distances and of their squares of the channels of a piece of a word.
struct Measure<'a, const PER_WORD: usize> {
    shape: &'a MapNormShape,
    word: usize,
    piece: Piece,
    input: &'a [Line],
    /// `[PER_WORD, G]`
    origins: &'a [f32],
    /// `[PER_WORD, G]`, to which they are added.
    sums: &'a mut [Sums],
}

impl<const PER_WORD: usize> Work for Measure<'_, PER_WORD> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let Self { shape, word, piece, input, origins: of_groups, sums: totals } = self;
        for block in piece.blocks {
            let lines = &input[shape.lines_of(block, word, &piece.pixels)];
            let mut origins = [[0.0; LANES]; PER_WORD];
            for half in 0..PER_WORD {
                origins[half] = shape.lanes(block, |group| of_groups[half * shape.groups + group]);
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
            shape.add_lanes(block, &sums, totals);
        }
    }
}
