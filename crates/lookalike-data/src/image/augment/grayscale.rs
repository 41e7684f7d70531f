//! Grayscale: the luma of ITU-R BT.601 in 16-bit fixed point, as Pillow's `convert("L")` computes it.

use super::Rgb;
use super::levels::{floor, truncate};

/// Luma of one pixel, a whole number from 0 to 255.
///
/// The weighted sum stays below 2²⁴, so every step is exact in single precision.
#[inline]
pub(super) fn luma(red: u8, green: u8, blue: u8) -> f32 {
    let sum = f32::from(red) * 19_595.0 + f32::from(green) * 38_470.0 + f32::from(blue) * 7_471.0;
    floor((sum + 32_768.0) * (1.0 / 65_536.0))
}

/// Replaces all three channels by the pixel's luma.
pub fn grayscale(image: Rgb<'_>) {
    let [red, green, blue] = image;
    for ((red, green), blue) in red.iter_mut().zip(green.iter_mut()).zip(blue.iter_mut()) {
        let gray = truncate(luma(*red, *green, *blue));
        (*red, *green, *blue) = (gray, gray, gray);
    }
}
