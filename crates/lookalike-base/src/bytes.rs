//! Numbers from and to little-endian bytes.

use std::io::{self, Write};

#[cfg(feature = "safetensors")]
use crate::arrays::Values;

/// Bytes converted at a time: large enough to be fast, small enough to need no thought about memory.
const CHUNK: usize = 16 * 1024;

/// Decodes `bytes`, a whole number of `SIZE`-byte numbers.
#[cfg(feature = "safetensors")]
pub(crate) fn decode<T, const SIZE: usize>(bytes: &[u8], number: impl Fn([u8; SIZE]) -> T) -> Vec<T> {
    let (numbers, _) = bytes.as_chunks::<SIZE>();
    numbers.iter().map(|bytes| number(*bytes)).collect()
}

/// Writes `values`, each turned into bytes by `bytes`.
pub(crate) fn encode<T: Copy, const SIZE: usize>(
    values: &[T],
    bytes: impl Fn(T) -> [u8; SIZE],
    writer: &mut (impl Write + ?Sized),
) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(CHUNK.min(values.len() * SIZE));
    for values in values.chunks(CHUNK / SIZE) {
        buffer.clear();
        for value in values {
            buffer.extend_from_slice(&bytes(*value));
        }
        writer.write_all(&buffer)?;
    }
    Ok(())
}

/// Writes `values`, little-endian.
#[cfg(feature = "safetensors")]
pub(crate) fn encode_values(values: &Values, writer: &mut (impl Write + ?Sized)) -> io::Result<()> {
    match values {
        Values::F32(values) => encode(values, f32::to_le_bytes, writer),
        Values::I64(values) => encode(values, i64::to_le_bytes, writer),
        Values::U64(values) => encode(values, u64::to_le_bytes, writer),
        Values::U32(values) => encode(values, u32::to_le_bytes, writer),
        Values::U8(values) => writer.write_all(values),
    }
}

/// The `f32` equal to an IEEE 754 half-precision number.
pub(crate) fn f16_to_f32(bytes: [u8; 2]) -> f32 {
    let bits = u32::from(u16::from_le_bytes(bytes));
    let (sign, exponent, fraction) = (bits >> 15 << 31, bits >> 10 & 0x1f, bits & 0x3ff);
    match exponent {
        // Subnormal halves are fraction · 2⁻²⁴, which a float holds exactly.
        0 => f32::from_bits(sign | (fraction as f32 * 2.0_f32.powi(-24)).to_bits()),
        0x1f => f32::from_bits(sign | 0x7f80_0000 | fraction << 13),
        _ => f32::from_bits(sign | (exponent + 112) << 23 | fraction << 13),
    }
}

/// The `f32` nearest to a double; what is beyond its range becomes an infinity.
pub(crate) fn f64_to_f32(bytes: [u8; 8]) -> f32 {
    f64::from_le_bytes(bytes) as f32
}

/// The `f32` equal to a bfloat16 number, which is its upper half.
pub(crate) fn bf16_to_f32(bytes: [u8; 2]) -> f32 {
    f32::from_bits(u32::from(u16::from_le_bytes(bytes)) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_precision_number_is_converted_exactly() {
        for bits in 0..=u16::MAX {
            let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f64::from(bits & 0x3ff) / 1024.0);
            let magnitude = match exponent {
                0 => fraction * 2.0_f64.powi(-14),
                31 if fraction == 0.0 => f64::INFINITY,
                31 => f64::NAN,
                _ => (1.0 + fraction) * 2.0_f64.powi(exponent - 15),
            };
            let expected = if bits >> 15 == 1 { -magnitude } else { magnitude };
            let converted = f64::from(f16_to_f32(bits.to_le_bytes()));
            assert!(converted == expected || converted.is_nan() && expected.is_nan(), "{bits:#x}");
            assert!(expected.is_nan() || converted.is_sign_negative() == (bits >> 15 == 1), "{bits:#x}");
        }
    }

    #[test]
    fn bfloat16_is_the_upper_half_of_a_float() {
        assert_eq!(bf16_to_f32(0xc049_u16.to_le_bytes()), -3.140_625);
    }

    #[test]
    fn values_longer_than_a_chunk_come_back_as_they_were() {
        let values: Vec<u64> = (0..CHUNK as u64).map(|i| i * 0x0123_4567_89ab).collect();
        let mut bytes = Vec::new();
        encode(&values, u64::to_le_bytes, &mut bytes).unwrap();
        assert_eq!(decode(&bytes, u64::from_le_bytes), values);
    }
}
