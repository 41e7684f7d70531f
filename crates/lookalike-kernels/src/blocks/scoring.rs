//! The number format in which candidates are compared before the best are chosen.

use serde::{Deserialize, Serialize};

use crate::bf16;
use crate::dot::{Level, products};
use crate::vector::key;

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
    /// kept, a few of the best can be missed. Multiplication is faster on processors with AVX512-BF16; others
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

/// How the rows of a panel are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PanelFormat {
    /// One value of a row in a line.
    F32,
    /// One value of a row in a line, rounded to bfloat16.
    RoundedF32,
    /// Two values of a row in a line, rounded to bfloat16, in the bits of one `f32`.
    Bf16Pairs,
}

impl PanelFormat {
    /// The format that `scoring` multiplies at `level`.
    pub(super) fn of(scoring: Scoring, level: Level) -> Self {
        match scoring {
            Scoring::F32 => Self::F32,
            Scoring::Bf16 if level.multiplies_pairs() => Self::Bf16Pairs,
            Scoring::Bf16 => Self::RoundedF32,
        }
    }

    /// Lines of a panel of rows of `columns`.
    pub(super) fn lines(self, columns: usize) -> usize {
        match self {
            Self::F32 | Self::RoundedF32 => columns,
            Self::Bf16Pairs => columns.div_ceil(2),
        }
    }
}

/// The first two of `values` as bfloat16, in the lower and the upper half. A missing value is 0.
pub(super) fn pair(values: &[f32]) -> f32 {
    let at = |place: usize| values.get(place).copied().unwrap_or(0.0);
    f32::from_bits(bf16::pair(at(0), at(1)))
}

/// Rows read side by side, so that the processor waits for their memory once and not row by row.
const TOGETHER: usize = 4;

/// Scores entries again in `f32`: each key becomes that of its row's product with `own`, under the index that
/// `row` gives.
pub(super) fn score_again<'r>(
    level: Level,
    own: &[f32],
    keys: &mut [u64],
    row: impl Fn(u32) -> (u32, &'r [f32]),
) {
    let entry = |key: u64| row(!(key as u32));
    let (several, rest) = keys.as_chunks_mut::<TOGETHER>();
    for keys in several {
        let entries = keys.map(entry);
        let products = products(level, own, entries.map(|entry| entry.1));
        *keys = std::array::from_fn(|at| key(products[at], entries[at].0));
    }
    for entry_key in rest {
        let (index, other) = entry(*entry_key);
        let [product] = products(level, own, [other]);
        *entry_key = key(product, index);
    }
}
