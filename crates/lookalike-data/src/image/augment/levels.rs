//! From numbers to 8-bit levels, in ways that compilers turn into vector instructions.
//!
//! `x as u8` means the same as [`truncate`], but without newer instructions than every x86-64 has, compilers
//! clip one number at a time, which makes it the slowest part of a loop. (Where numbers come one at a time
//! anyway, it is faster.)

/// From here on a single-precision number has no fraction, and its low bits are its whole part.
const WHOLE: f32 = 8_388_608.0;

/// [`WHOLE`] in double precision.
const WHOLE_DOUBLE: f64 = 4_503_599_627_370_496.0;

/// Clips to 0 … 255 and drops the fraction.
#[inline]
pub(super) fn truncate(level: f32) -> u8 {
    (floor(clip(level)) + WHOLE).to_bits() as u8
}

/// Clips to 0 … 255 and takes the nearest level, ties to even.
#[inline]
pub(super) fn nearest(level: f32) -> u8 {
    (clip(level) + WHOLE).to_bits() as u8
}

/// The whole part of a number from 0 to 2²².
#[inline]
pub(super) fn floor(number: f32) -> f32 {
    let nearest = (number + WHOLE) - WHOLE;
    if nearest > number { nearest - 1.0 } else { nearest }
}

/// [`floor`] of a number from 0 to 2²² given in double precision.
#[inline]
pub(super) fn floor_double(number: f64) -> f32 {
    let nearest = (number + WHOLE_DOUBLE) - WHOLE_DOUBLE;
    (if nearest > number { nearest - 1.0 } else { nearest }) as f32
}

/// Comparisons rather than `clamp`, whose care for NaN costs instructions.
#[inline]
fn clip(level: f32) -> f32 {
    let level = if level > 0.0 { level } else { 0.0 };
    if level < 255.0 { level } else { 255.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truncation_is_the_languages_own() {
        let hostile = [-1e9, -1.0, -0.0, 254.999_98, 255.0, 255.5, 256.0, 1e9, f32::INFINITY, f32::NAN];
        let around = (0..256).flat_map(|level| {
            let level = level as f32;
            [level, level.next_up(), level.next_down(), level + 0.5, level + 0.25]
        });
        for level in hostile.into_iter().chain(around) {
            assert_eq!(truncate(level), level as u8, "{level}");
            assert_eq!(nearest(level), level.round_ties_even() as u8, "{level}");
        }
    }

    #[test]
    fn whole_parts_are_the_languages_own() {
        for step in 0..100_000 {
            let number = f64::from(step) * 0.012_345;
            assert_eq!(floor(number as f32), (number as f32).floor(), "{number}");
            assert_eq!(floor_double(number), number.floor() as f32, "{number}");
        }
    }
}
