//! Brightness, contrast and saturation: the image blended with one that lacks the property in question (black, flat
//! gray at the mean luma, or its own grayscale), with Pillow's truncation to whole levels.

use super::Rgb;
use super::grayscale::luma;

/// `other` + `factor` · (`value` − `other`), truncated and clipped to 0 … 255.
#[inline]
fn blend(other: f32, value: u8, factor: f32) -> u8 {
    (other + factor * (f32::from(value) - other)) as u8
}

/// Blends with black: `factor` 0 is black, 1 the image itself.
pub fn brightness(image: Rgb<'_>, factor: f32) {
    for plane in image {
        for value in plane {
            *value = blend(0.0, *value, factor);
        }
    }
}

/// Blends with a flat gray at the image's mean luma (rounded): `factor` 0 is that gray, 1 the image itself.
pub fn contrast(image: Rgb<'_>, factor: f32) {
    let [red, green, blue] = &image;
    let total: u64 = red
        .iter()
        .zip(green.iter())
        .zip(blue.iter())
        .fold(0, |sum, ((red, green), blue)| sum + u64::from(luma(*red, *green, *blue) as u8));
    let mean = (total as f64 / red.len() as f64 + 0.5).floor() as f32;
    for plane in image {
        for value in plane {
            *value = blend(mean, *value, factor);
        }
    }
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
