//! The 16 bits of a bfloat16: sign, the eight exponent bits of an `f32`, and seven bits of its fraction.

#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features is vectorised with them"
)]

/// The nearest bfloat16, ties to even, in the upper half. Infinities and what is not a number stay so.
#[inline(always)]
fn bits(value: f32) -> u32 {
    let bits = value.to_bits();
    let nearest = bits.wrapping_add(0x7FFF + (bits >> 16 & 1)) & 0xFFFF_0000;
    // Of what is not a number the sign and a bit of the fraction are kept, lest it round to an infinity.
    if value.is_nan() { bits & 0xFFFF_0000 | 0x0040_0000 } else { nearest }
}

/// Two values rounded, the first in the lower half.
#[inline(always)]
pub(super) fn pair(low: f32, high: f32) -> u32 {
    bits(high) | bits(low) >> 16
}

/// The nearest bfloat16, as an `f32`.
#[cfg(test)]
pub(super) fn round(value: f32) -> f32 {
    f32::from_bits(bits(value))
}
