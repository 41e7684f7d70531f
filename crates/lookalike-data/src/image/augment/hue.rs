//! Hue: a rotation of the colour circle in 8-bit HSV, as torchvision does it by way of Pillow's HSV mode.
//!
//! Hue and saturation are truncated to 8 bits between the two conversions, as there: one step of hue is up to
//! six levels of a channel, so a conversion in floating point would not agree. Where the exact hue is a whole
//! step, rounding decides which step it becomes: hence single and double precision in the places where Pillow
//! has them.

use super::Rgb;
use super::levels::{floor_double, nearest};

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
    let divisor = if range == 0.0 { 1.0 } else { range };
    let [red, green, blue] = [red, green, blue].map(|channel| (value - channel) / divisor);
    let sector = if red == 0.0 {
        f64::from(blue - green)
    } else if green == 0.0 {
        2.0 + f64::from(red) - f64::from(blue)
    } else {
        4.0 + f64::from(green) - f64::from(red)
    };
    let turns = f64::from(sector as f32) / 6.0 + 1.0;
    let turns = (if turns >= 1.0 { turns - 1.0 } else { turns }) as f32;
    let hue = floor_double(f64::from(turns) * 255.0) + steps;
    let hue = if hue >= 256.0 { hue - 256.0 } else { hue };
    let saturation = floor_double(f64::from(range / value.max(1.0)) * 255.0);

    let depth = value * saturation * (1.0 / 255.0);
    let sector = hue * (6.0 / 255.0);
    [5.0, 3.0, 1.0].map(|shift| {
        let k = sector + shift;
        let k = if k >= 6.0 { k - 6.0 } else { k };
        nearest(value - depth * k.min(4.0 - k).clamp(0.0, 1.0))
    })
}
