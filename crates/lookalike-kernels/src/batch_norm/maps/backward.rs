//! Gradients.

#![expect(unsafe_code, reason = "tasks write to parts of one result")]

use std::mem::MaybeUninit;
use std::ops::Range;

use super::super::{Affine, EpilogueSaved, Gradients, StatisticsSource, Sums, inverse_deviation, losses};
use super::{BLOCK, Lanes, MapNormShape, Piece, add, mask_by_relu, outputs};
use crate::instructions::Level;
use crate::map::{LANES, Line, for_words, lines, pack_line, unpack_line};
use crate::output::{OutputLines, init_vec};
use crate::vector::{Work, multiply_add};

/// The gradients of [`forward`](super::forward()), given the gradient of its output, the same `input` and
/// `affine`, and the statistics that it returned, or those given to [`normalize`](super::normalize()).
///
/// # Panics
/// As [`forward`](super::forward()).
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

pub(in super::super) fn backward_at(
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
            // Each task writes the lines of its piece of a word, of both.
            let (out, masked) = (OutputLines::new(out), OutputLines::new(masked));
            let pieces = shape.pieces();
            sums = shape.of_words([0.0; 2], |word, sums: &mut [Sums]| {
                let (input, gradient, statistics) = (lines(input), lines(gradient), [mean, variance]);
                let operands =
                    Operands { shape, word, input, affine, statistics, fixed, gradient, saved, out, masked };
                let of_pieces = shape.sums_of_word(pieces, |piece, sums| {
                    for_words!(level, shape.precision, AddSums { operands, piece, sums });
                });
                sums.copy_from_slice(&of_pieces);
                let sums = &*sums;
                pieces.run_backwards(|piece| {
                    for_words!(level, shape.precision, Differentiate { operands, piece, sums });
                });
            });
        };
        // SAFETY: the words of all blocks cover the gradient of the residual, and each is written whole if
        // there is one.
        residual = unsafe { init_vec(if adds { input.len() } else { 0 }, all) };
    };
    // SAFETY: the words of all blocks cover the gradient, and each is written whole.
    let input = unsafe { init_vec(input.len(), write) };
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

/// What the gradients of the channels of a word are made of.
#[derive(Clone, Copy)]
struct Operands<'a> {
    shape: &'a MapNormShape,
    word: usize,
    input: &'a [Line],
    affine: &'a Affine<'a>,
    statistics: [&'a [f32]; 2],
    /// Whether the statistics were given, so that no gradient passes through them.
    fixed: bool,
    gradient: &'a [Line],
    saved: EpilogueSaved<'a, u32>,
    /// The gradient of the input.
    out: OutputLines<'a>,
    /// The gradient of the residual, if there was one: that of the output where the `ReLU` passed it.
    masked: OutputLines<'a>,
}

/// Adds the sums of a piece, and writes the gradient of its residual, if there was one.
struct AddSums<'a, const PER_WORD: usize> {
    operands: Operands<'a>,
    piece: Piece,
    /// `[PER_WORD, G]`
    sums: &'a mut [Sums],
}

impl<const PER_WORD: usize> Work for AddSums<'_, PER_WORD> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        for block in self.piece.blocks {
            self.operands.add_sums::<FUSED, PER_WORD>(block, &self.piece.pixels, self.sums);
        }
    }
}

/// Writes the gradient of the input of a piece, once all sums are known.
struct Differentiate<'a, const PER_WORD: usize> {
    operands: Operands<'a>,
    piece: Piece,
    /// `[PER_WORD, G]`, of the whole word.
    sums: &'a [Sums],
}

impl<const PER_WORD: usize> Work for Differentiate<'_, PER_WORD> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        // Backwards, for the last blocks are still in the cache.
        for block in self.piece.blocks.rev() {
            self.operands.write_gradient::<FUSED, PER_WORD>(block, &self.piece.pixels, self.sums);
        }
    }
}

impl Operands<'_> {
    /// Means, scales and shifts of the lanes of a block.
    #[inline(always)]
    fn affine_of<const PER_WORD: usize>(&self, block: usize) -> [[Lanes; PER_WORD]; 3] {
        let channels = self.shape.map.channels;
        self.shape.affine_of::<PER_WORD>(self.affine, block, self.word, |channel, group| {
            self.statistics.map(|of_groups| of_groups[group * channels + channel])
        })
    }

    #[inline(always)]
    fn add_sums<const FUSED: bool, const PER_WORD: usize>(
        &self,
        block: usize,
        pixels: &Range<usize>,
        totals: &mut [Sums],
    ) {
        let (range, affine) =
            (self.shape.lines_of(block, self.word, pixels), self.affine_of::<PER_WORD>(block));
        let (inputs, gradients) = (&self.input[range.clone()], &self.gradient[range.clone()]);
        let relu = matches!(self.saved, EpilogueSaved::Relu);
        let mut residual = match self.saved {
            // SAFETY: only this task writes and reads these lines, one slice at a time.
            EpilogueSaved::AddRelu(output) => {
                Some((&lines(output)[range.clone()], unsafe { self.masked.tile(range) }))
            }
            EpilogueSaved::Nothing | EpilogueSaved::Relu => None,
        };
        let mut sums = [[[0.0; LANES]; 2]; PER_WORD];
        for start in (0..inputs.len()).step_by(BLOCK) {
            let mut partial = [[[0.0; LANES]; 2]; PER_WORD];
            for place in start..inputs.len().min(start + BLOCK) {
                let input = unpack_line::<PER_WORD>(&inputs[place]);
                let mut gradient = unpack_line::<PER_WORD>(&gradients[place]);
                if let Some((output, masked)) = &mut residual {
                    gradient = mask_by_relu(gradient, &unpack_line::<PER_WORD>(&output[place]));
                    masked[place].write(pack_line::<PER_WORD>(&gradient));
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
        self.shape.add_lanes(block, &sums, totals);
    }

    /// What the gradient of each value of a block loses through the statistics, see [`losses`].
    #[inline(always)]
    fn losses_of<const PER_WORD: usize>(&self, block: usize, sums: &[Sums]) -> [[Lanes; PER_WORD]; 2] {
        let (groups, channels) = (self.shape.groups, self.shape.map.channels);
        let mut lost = [[[0.0; LANES]; PER_WORD]; 2];
        let of_word = if self.fixed { 0..0 } else { self.shape.channels(self.word) };
        for (half, channel) in of_word.enumerate() {
            let losses = |group: usize| {
                let variance = self.statistics[1][group * channels + channel];
                let deviation = inverse_deviation(variance, self.affine.epsilon);
                losses(sums[half * groups + group], deviation, self.shape.count())
            };
            lost[0][half] = self.shape.lanes(block, |group| losses(group)[0]);
            lost[1][half] = self.shape.lanes(block, |group| losses(group)[1]);
        }
        lost
    }

    #[inline(always)]
    fn write_gradient<const FUSED: bool, const PER_WORD: usize>(
        &self,
        block: usize,
        pixels: &Range<usize>,
        sums: &[Sums],
    ) {
        let (range, affine) =
            (self.shape.lines_of(block, self.word, pixels), self.affine_of::<PER_WORD>(block));
        let lost = self.losses_of::<PER_WORD>(block, sums);
        let (inputs, gradients) = (&self.input[range.clone()], &self.gradient[range.clone()]);
        let relu = matches!(self.saved, EpilogueSaved::Relu);
        let masked = match self.saved {
            // SAFETY: as in `add_sums`.
            EpilogueSaved::AddRelu(_) => Some(unsafe { self.masked.tile(range.clone()) }),
            EpilogueSaved::Nothing | EpilogueSaved::Relu => None,
        };
        // SAFETY: only this task writes these lines.
        let out = unsafe { self.out.tile(range) };
        for (place, out) in out.iter_mut().enumerate() {
            let input = unpack_line::<PER_WORD>(&inputs[place]);
            let mut values = match &masked {
                // SAFETY: `add_sums` wrote it.
                Some(masked) => unpack_line::<PER_WORD>(unsafe { masked[place].assume_init_ref() }),
                None => unpack_line::<PER_WORD>(&gradients[place]),
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
            out.write(pack_line::<PER_WORD>(&values));
        }
    }
}
