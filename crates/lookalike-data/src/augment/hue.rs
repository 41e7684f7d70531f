//! Hue: a rotation of the colour circle in 8-bit HSV, as torchvision does it by way of Pillow's HSV mode.
//!
//! Hue and saturation are truncated to 8 bits between the two conversions, as there: one step of hue is up to six
//! levels of a channel, so a conversion in floating point would not agree.

use super::Rgb;

/// Turns the hue of every pixel by `turn` of the circle, from −0.5 to 0.5.
pub fn hue(image: Rgb<'_>, turn: f32) {
    let steps = ((f64::from(turn) * 255.0) as i32 as u8) as f32;
    let [red, green, blue] = image;
    for ((red, green), blue) in red.iter_mut().zip(green.iter_mut()).zip(blue.iter_mut()) {
        let turned = turn_pixel(f32::from(*red), f32::from(*green), f32::from(*blue), steps);
        [*red, *green, *blue] = turned;
    }
}

/// One pixel, without branches so that the loop above runs many at a time.
#[inline]
fn turn_pixel(red: f32, green: f32, blue: f32, steps: f32) -> [u8; 3] {
    let value = red.max(green).max(blue);
    let range = value - red.min(green).min(blue);
    // For gray pixels any divisor does: their saturation is 0.
    let inverse = 1.0 / if range == 0.0 { 1.0 } else { range };
    let sector = if value == red {
        (green - blue) * inverse
    } else if value == green {
        2.0 + (blue - red) * inverse
    } else {
        4.0 + (red - green) * inverse
    };
    let sector = if sector < 0.0 { sector + 6.0 } else { sector };
    let hue = f32::from((sector * 42.5) as u8) + steps;
    let hue = if hue >= 256.0 { hue - 256.0 } else { hue };
    let saturation = f32::from((range / value.max(1.0) * 255.0) as u8);

    let depth = value * saturation * (1.0 / 255.0);
    let sector = hue * (6.0 / 255.0);
    [5.0, 3.0, 1.0].map(|shift| {
        let k = sector + shift;
        let k = if k >= 6.0 { k - 6.0 } else { k };
        (value - depth * k.min(4.0 - k).clamp(0.0, 1.0) + 0.5) as u8
    })
}
