//! In which numbers products are made before the best are chosen.

use serde::{Deserialize, Serialize};

use crate::dot::{Level, products};
use crate::vector::key;

/// In which numbers candidates are compared. Similarities that are kept are products of `f32` either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scoring {
    /// `f32`: the best are the best.
    #[default]
    F32,
    /// Rows are rounded to bfloat16, 8 bits of a number instead of 24, and products summed as `f32`. A sixteenth
    /// and 8 candidates more than are to be kept survive this, and of them the best by their products as `f32` are kept.
    ///
    /// Between rows of unit length the rounding moves a product by about 10⁻³/√d where their values are of similar size, and never by
    /// more than 2⁻⁸, so that with many candidates nearly as similar as the last one kept a few of the best can be missed.
    /// Multiplication is faster where the processor has AVX512-BF16; elsewhere the same rounded rows are multiplied as `f32`.
    /// Survivors cost more than they do in `f32`, so that it pays only where candidates are hundreds of times those kept.
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

/// How a row stands in a panel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// Its values, one a line.
    Single,
    /// Its values, rounded to bfloat16.
    Rounded,
    /// Two of its values a line, rounded to bfloat16, in the bits of one `f32`.
    Pairs,
}

impl Layout {
    /// What `scoring` multiplies at `level`.
    pub(super) fn of(scoring: Scoring, level: Level) -> Self {
        match scoring {
            Scoring::F32 => Self::Single,
            Scoring::Bf16 if level.multiplies_pairs() => Self::Pairs,
            Scoring::Bf16 => Self::Rounded,
        }
    }

    /// Lines of a panel of rows of `columns`.
    pub(super) fn lines(self, columns: usize) -> usize {
        match self {
            Self::Single | Self::Rounded => columns,
            Self::Pairs => columns.div_ceil(2),
        }
    }
}

/// The upper half of the nearest number that has only one; of two as near the one with an even half. NaN stays NaN.
fn half(value: f32) -> u32 {
    let bits = value.to_bits();
    if value.is_nan() {
        return bits >> 16 | 1 << 6;
    }
    // An overflow of the significand raises the exponent, as it should, up to infinity.
    (bits + 0x7fff + (bits >> 16 & 1)) >> 16
}

/// `value` as bfloat16.
pub(super) fn rounded(value: f32) -> f32 {
    f32::from_bits(half(value) << 16)
}

/// The first two of `values`, or one and 0, as bfloat16 in the lower and the upper half.
pub(super) fn pair(values: &[f32]) -> f32 {
    let at = |place: usize| values.get(place).map_or(0, |value| half(*value));
    f32::from_bits(at(1) << 16 | at(0))
}

/// Rows read side by side: a processor that waits for one of them from memory waits for all at once.
const TOGETHER: usize = 4;

/// Scores entries anew: each number of `keys` becomes that of its row's product with `own`, and of what `row` calls it.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_rounded_to_the_nearest_with_eight_bits_and_to_the_even_of_two() {
        // 1 + 2⁻⁷ is the next after 1; halfway between two lies what ends in an 8 after them.
        for (value, expected) in [
            (1.0, 1.0),
            (1.0 + 0.003_906, 1.0),
            (1.0 + 0.003_906_25, 1.0),
            (1.0 + 0.003_907, 1.007_812_5),
            (1.0 + 0.011_718_75, 1.015_625),
            (-1.999, -2.0),
            (f32::MAX, f32::INFINITY),
            (f32::NEG_INFINITY, f32::NEG_INFINITY),
            (0.0, 0.0),
        ] {
            assert_eq!(rounded(value), expected, "{value}");
        }
        for bits in [0x7f80_0001, 0x7fff_ffff, 0xffff_ffff] {
            assert!(rounded(f32::from_bits(bits)).is_nan());
        }
        assert_eq!(pair(&[1.0, -2.0]).to_bits(), 0xc000_3f80);
        assert_eq!(pair(&[1.0]).to_bits(), 0x3f80);
    }
}
