//! Solarise: every level from a threshold up is inverted.

use super::Rgb;

/// Replaces each `value` ≥ `threshold` by 255 − `value`.
pub fn solarize(image: Rgb<'_>, threshold: u8) {
    for plane in image {
        for value in plane {
            *value = if *value < threshold { *value } else { 255 - *value };
        }
    }
}
