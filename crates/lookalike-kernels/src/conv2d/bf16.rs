//! The 16 bits of a bfloat16: sign, the eight exponent bits of an `f32`, and seven bits of its fraction.

/// The nearest bfloat16, ties to even. Infinities and what is not a number stay so.
#[inline]
pub(super) fn round(value: f32) -> f32 {
    if value.is_nan() {
        return value;
    }
    let bits = value.to_bits();
    f32::from_bits((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF_0000)
}
