//! The number format in which candidates are compared before the best are chosen.

use serde::{Deserialize, Serialize};

use crate::dot::products;
use crate::instructions::{Bf16Products, Level};
use crate::tiles::{SIDE, TileUnit};

/// The number format in which candidates are compared. The similarities that are kept are products of `f32`
/// either way.
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scoring {
    /// `f32`: the best are kept for certain.
    #[cfg_attr(feature = "clap", value(help = "The best are the best"))]
    #[default]
    F32,
    /// Rows are rounded to bfloat16, 8 bits of a number instead of 24, and products are summed in `f32`. A
    /// sixteenth and 8 more candidates survive this than are to be kept, and the best of them by their
    /// products in `f32` are kept.
    ///
    /// Between rows of unit length the rounding moves a product by about 10⁻³/√d if their values are of
    /// similar size, and never by more than 2⁻⁸. If many candidates are nearly as similar as the last one
    /// kept, a few of the best can be missed. Multiplication is faster on processors with AVX512-BF16 or AMX; others
    /// multiply the same rounded rows in `f32`. Survivors cost more than in `f32`, so that it pays only if
    /// there are hundreds of candidates for each one kept.
    #[cfg_attr(
        feature = "clap",
        value(
            help = "Rounded first, the last ones again in f32: faster only where candidates are hundreds of times the neighbors"
        )
    )]
    Bf16,
}

impl Scoring {
    /// Candidates that are kept until they are scored again, for the `k` best of `amount`.
    pub(super) fn survivors(self, k: usize, amount: usize) -> usize {
        match self {
            Self::F32 => k,
            Self::Bf16 => (k + k / 16 + 8).min(amount),
        }
    }
}

/// What makes two rows similar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Similarity {
    /// Their product.
    Product,
    /// Of rows in two halves, the larger one of the two products of a first half with the other row's second.
    Crossed,
}

impl Similarity {
    /// Parts into which a row falls.
    pub(super) fn parts(self) -> usize {
        match self {
            Self::Product => 1,
            Self::Crossed => 2,
        }
    }

    /// Those of one row with each of several.
    fn of<const N: usize>(self, level: Level, own: &[f32], others: [&[f32]; N]) -> [f32; N] {
        match self {
            Self::Product => products(level, own, others),
            Self::Crossed => {
                let (first, second) = own.split_at(own.len() / 2);
                let halves = others.map(|other| other.split_at(other.len() / 2));
                let forth = products(level, first, halves.map(|(_, second)| second));
                let back = products(level, second, halves.map(|(first, _)| first));
                std::array::from_fn(|at| larger(forth[at], back[at]))
            }
        }
    }
}

/// The larger one of two numbers.
pub(super) fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

/// How the rows of a panel are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PanelFormat {
    /// One value of a row in a line.
    F32,
    /// One value of a row in a line, rounded to bfloat16.
    RoundedF32,
    /// Two values of a row in a line, rounded to bfloat16, in the bits of one `f32`.
    Bf16Pairs,
    /// The same, with lines up to a whole tile of these registers.
    Bf16Tiles(TileUnit),
}

impl PanelFormat {
    /// The format that `scoring` multiplies on this processor.
    pub(super) fn of(scoring: Scoring) -> Self {
        match (scoring, Bf16Products::detect()) {
            (Scoring::F32, _) => Self::F32,
            (Scoring::Bf16, Bf16Products::Widened) => Self::RoundedF32,
            (Scoring::Bf16, Bf16Products::Pairs) => Self::Bf16Pairs,
            (Scoring::Bf16, Bf16Products::Tiles(unit)) => Self::Bf16Tiles(unit),
        }
    }

    /// Every format that `scoring` can multiply at `level`, that of the model of tiles among them.
    #[cfg(test)]
    pub(super) fn all(scoring: Scoring, level: Level) -> Vec<Self> {
        let best = Self::of(scoring);
        let mut formats = match scoring {
            Scoring::F32 => return vec![Self::F32],
            Scoring::Bf16 => vec![Self::RoundedF32, Self::Bf16Tiles(TileUnit::Model), best],
        };
        if level == Level::detect() && Bf16Products::detect() != Bf16Products::Widened {
            formats.push(Self::Bf16Pairs);
        }
        // Pairs are multiplied by the best level alone.
        formats.retain(|format| *format != Self::Bf16Pairs || level == Level::detect());
        formats
    }

    /// Lines of a panel of rows of `columns`.
    pub(super) fn lines(self, columns: usize) -> usize {
        match self {
            Self::F32 | Self::RoundedF32 => columns,
            Self::Bf16Pairs => columns.div_ceil(2),
            Self::Bf16Tiles(_) => columns.div_ceil(2).next_multiple_of(SIDE),
        }
    }
}

/// Rows read side by side, so that the processor waits for their memory once and not row by row.
const TOGETHER: usize = 8;

/// Scores entries again in `f32`: each similarity becomes that of its row to `own`, and its position the index that
/// `row` gives.
pub(super) fn score_again<'r>(
    level: Level,
    similarity: Similarity,
    own: &[f32],
    (similarities, positions): (&mut [f32], &mut [u32]),
    row: impl Fn(u32) -> (u32, &'r [f32]),
) {
    let (several, rest) = similarities.as_chunks_mut::<TOGETHER>();
    let (positions, last) = positions.as_chunks_mut::<TOGETHER>();
    for (similarities, positions) in several.iter_mut().zip(positions) {
        let entries = positions.map(&row);
        *similarities = similarity.of(level, own, entries.map(|entry| entry.1));
        *positions = entries.map(|entry| entry.0);
    }
    for (score, position) in rest.iter_mut().zip(last) {
        let (index, other) = row(*position);
        [*score] = similarity.of(level, own, [other]);
        *position = index;
    }
}
