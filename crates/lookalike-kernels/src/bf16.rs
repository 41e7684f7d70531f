//! The 16 bits of a bfloat16: sign, the eight exponent bits of an `f32`, and seven bits of its fraction.

#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features is vectorised with them"
)]

/// The bits of the nearest bfloat16 to those of an `f32`, ties to even, in the upper half. Infinities and NaN
/// stay what they are.
#[inline(always)]
pub(crate) fn bits(bits: u32) -> u32 {
    let nearest = bits.wrapping_add(0x7FFF + (bits >> 16 & 1)) & 0xFFFF_0000;
    // A NaN keeps its sign and gets a bit of the fraction, so that it does not round to an infinity.
    if f32::from_bits(bits).is_nan() { bits & 0xFFFF_0000 | 0x0040_0000 } else { nearest }
}

/// Two values rounded, the first in the lower half.
#[inline(always)]
pub(crate) fn pair(low: f32, high: f32) -> u32 {
    bits(high.to_bits()) | bits(low.to_bits()) >> 16
}

/// The nearest bfloat16, as an `f32`.
#[inline(always)]
pub(crate) fn round(value: f32) -> f32 {
    f32::from_bits(bits(value.to_bits()))
}

/// Half the distance from a bfloat16 to the next: a value that was rounded to it was at most so far away.
#[cfg(test)]
pub(crate) fn half_step(value: f32) -> f64 {
    f64::from(f32::from_bits(value.to_bits() & 0x7F80_0000)) / 256.0
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
            assert_eq!(round(value), expected, "{value}");
        }
        for bits in [0x7f80_0001, 0x7fff_ffff, 0xffff_ffff] {
            assert!(round(f32::from_bits(bits)).is_nan());
        }
        assert_eq!(pair(1.0, -2.0), 0xc000_3f80);
        assert_eq!(pair(1.0, 0.0), 0x3f80);
    }
}
