//! Brightness, contrast and saturation: the image blended with one that lacks the property in question
//! (black, flat gray at the mean luma, or its own grayscale), with Pillow's truncation to whole levels.

use super::Rgb;
use super::grayscale::luma;
use super::levels::truncate;
use super::table::{Table, look_up};

/// Pixels whose luma is summed in 32 bits, four at a time where 64 bits would be two.
const SUMMED: usize = 4096;

/// `other` + `factor` · (`value` − `other`), truncated and clipped to 0 … 255.
#[inline]
pub(super) fn blend(other: f32, value: u8, factor: f32) -> u8 {
    truncate(other + factor * (f32::from(value) - other))
}

/// Blends with black: `factor` 0 is black, 1 the image itself.
pub fn brightness(image: Rgb<'_>, factor: f32) {
    blend_with_level(image, 0.0, factor);
}

/// Blends with one level, which is looked up faster than computed.
fn blend_with_level(image: Rgb<'_>, other: f32, factor: f32) {
    let table: Table = std::array::from_fn(|level| blend(other, level as u8, factor));
    for plane in image {
        look_up(plane, &table);
    }
}

/// Blends with a flat gray at the image's mean luma (rounded): `factor` 0 is that gray, 1 the image itself.
pub fn contrast(image: Rgb<'_>, factor: f32) {
    let [red, green, blue] = &image;
    let sum = |((red, green), blue): ((&[u8], &[u8]), &[u8])| -> u64 {
        let pixels = red.iter().zip(green).zip(blue);
        pixels.map(|((red, green), blue)| u32::from(truncate(luma(*red, *green, *blue)))).sum::<u32>().into()
    };
    let blocks = red.chunks(SUMMED).zip(green.chunks(SUMMED)).zip(blue.chunks(SUMMED));
    let mean = (blocks.map(sum).sum::<u64>() as f64 / red.len() as f64 + 0.5).floor() as f32;
    blend_with_level(image, mean, factor);
}

/// Blends with the image's grayscale: `factor` 0 is gray, 1 the image itself.
pub fn saturation(image: Rgb<'_>, factor: f32) {
    let [red, green, blue] = image;
    for ((red, green), blue) in red.iter_mut().zip(green.iter_mut()).zip(blue.iter_mut()) {
        let gray = luma(*red, *green, *blue);
        *red = blend(gray, *red, factor);
        *green = blend(gray, *green, factor);
        *blue = blend(gray, *blue, factor);
    }
}
