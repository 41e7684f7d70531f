//! Shear, translation and rotation of a whole image, as Pillow's `transform` and `rotate` do them with the matrices of
//! torchvision.
//!
//! What an operation moves into the image from outside is filled with one colour. To the nearest pixel Pillow steps through
//! the source in fixed point with 16 bits of fraction; bilinear, it computes each place in double precision. Both are
//! done here to the bit.

use super::Rgb;
use serde::{Deserialize, Serialize};

/// How a pixel between the source's pixels is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Interpolation {
    /// `nearest`: the pixel that holds the place.
    #[default]
    Nearest,
    /// `bilinear`: the mean of the four around it, by distance.
    Bilinear,
}

/// What stands where the source has no pixel, and how those between are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sampling {
    /// How pixels are found.
    pub interpolation: Interpolation,
    /// Red, green and blue of what lies outside.
    pub fill: [u8; 3],
}

/// Buffers of these operations, kept between calls.
#[derive(Debug, Default)]
pub struct AffineScratch {
    /// The three planes as they were.
    planes: Vec<u8>,
    /// The pixels as they were, red in the lowest byte: one look instead of three.
    pixels: Vec<u32>,
    /// Pixels of a row of the result.
    row: Vec<u32>,
}

/// (a, b, c, d, e, f): the pixel at (x, y) of the result comes from (a·x + b·y + c, d·x + e·y + f).
type Matrix = [f64; 6];

/// Moves each row sideways by `slope` times its distance from the top: to the left where it is positive.
pub fn shear_x(image: Rgb<'_>, width: usize, slope: f64, sampling: Sampling, scratch: &mut AffineScratch) {
    let tangent = angle_of(slope).tan();
    if sampling.interpolation == Interpolation::Bilinear {
        return bilinear(
            image,
            width,
            [1.0, tangent, 0.0, 0.0, 1.0, 0.0],
            sampling.fill,
            &mut scratch.planes,
        );
    }
    // The nearest pixels of a row lie side by side.
    for (plane, fill) in image.into_iter().zip(sampling.fill) {
        let mut place = fixed(0.5 + tangent * 0.5);
        for row in plane.chunks_exact_mut(width) {
            let left = place >> FRACTION;
            shift(row, (left.unsigned_abs() as usize).min(width), left < 0, fill);
            place += fixed(tangent);
        }
    }
}

/// Moves each column up by `slope` times its distance from the left; down where it is negative.
pub fn shear_y(image: Rgb<'_>, width: usize, slope: f64, sampling: Sampling, scratch: &mut AffineScratch) {
    let angle = angle_of(slope);
    transform(image, width, [1.0, 0.0, 0.0, angle.sin() / angle.cos(), 1.0, 0.0], sampling, scratch);
}

/// The angle of a slope, by way of degrees as torchvision takes it.
fn angle_of(slope: f64) -> f64 {
    slope.atan().to_degrees().to_radians()
}

/// Moves the image by whole pixels, to the right and down.
pub fn translate(image: Rgb<'_>, width: usize, [right, down]: [i32; 2], fill: [u8; 3]) {
    for (plane, fill) in image.into_iter().zip(fill) {
        let height = plane.len() / width;
        let rows = down.unsigned_abs() as usize;
        shift(plane, rows.min(height) * width, down > 0, fill);
        let columns = (right.unsigned_abs() as usize).min(width);
        if columns > 0 {
            plane.chunks_exact_mut(width).for_each(|row| shift(row, columns, right > 0, fill));
        }
    }
}

/// Moves `values` by `distance` to the end or to the start.
fn shift(values: &mut [u8], distance: usize, to_the_end: bool, fill: u8) {
    let kept = values.len() - distance;
    if to_the_end {
        values.copy_within(..kept, distance);
        values[..distance].fill(fill);
    } else {
        values.copy_within(distance.., 0);
        values[kept..].fill(fill);
    }
}

/// Turns the image about its centre, counter-clockwise, by `degrees`. Quarter turns of squares, and half turns, move whole
/// pixels.
pub fn rotate(image: Rgb<'_>, width: usize, degrees: f64, sampling: Sampling, scratch: &mut AffineScratch) {
    let height = image[0].len() / width;
    let degrees = degrees.rem_euclid(360.0);
    if degrees == 180.0 {
        image.into_iter().for_each(<[u8]>::reverse);
    } else if width == height && (degrees == 90.0 || degrees == 270.0) {
        for plane in image {
            quarter_turn(plane, width, degrees == 90.0);
        }
    } else if degrees != 0.0 {
        transform(image, width, rotation(degrees, width, height), sampling, scratch);
    }
}

/// Pillow's matrix of a rotation about the centre; sine and cosine are rounded to 15 decimals there.
fn rotation(degrees: f64, width: usize, height: usize) -> Matrix {
    let (sine, cosine) = (-degrees.to_radians()).sin_cos();
    let [a, b, d, e] = [cosine, sine, -sine, cosine].map(to_15_decimals);
    let (x, y) = (width as f64 / 2.0, height as f64 / 2.0);
    [a, b, a * -x + b * -y + x, d, e, d * -x + e * -y + y]
}

/// The nearest decimal number, between −1 and 1, that has 15 places.
fn to_15_decimals(number: f64) -> f64 {
    let scaled = number * 1e15;
    // What the product has lost decides at 45°, where it ends in ½.
    let lost = number.mul_add(1e15, -scaled);
    let whole = scaled.floor();
    let up = scaled - whole + lost > 0.5;
    (if up { whole + 1.0 } else { whole }) / 1e15
}

/// Turns a square plane by 90°.
fn quarter_turn(plane: &mut [u8], side: usize, counter_clockwise: bool) {
    for row in 0..side {
        for column in row + 1..side {
            plane.swap(row * side + column, column * side + row);
        }
    }
    if counter_clockwise {
        for row in 0..side / 2 {
            let (above, below) = plane.split_at_mut((side - 1 - row) * side);
            above[row * side..][..side].swap_with_slice(&mut below[..side]);
        }
    } else {
        plane.chunks_exact_mut(side).for_each(<[u8]>::reverse);
    }
}

fn transform(image: Rgb<'_>, width: usize, matrix: Matrix, sampling: Sampling, scratch: &mut AffineScratch) {
    match sampling.interpolation {
        Interpolation::Nearest => nearest(image, width, matrix, sampling.fill, scratch),
        Interpolation::Bilinear => bilinear(image, width, matrix, sampling.fill, &mut scratch.planes),
    }
}

/// Bits of the fraction of a place in fixed point.
const FRACTION: u32 = 16;

/// A place or step in fixed point, rounded.
fn fixed(number: f64) -> i32 {
    (number * f64::from(1 << FRACTION) + 0.5).floor() as i32
}

fn nearest(image: Rgb<'_>, width: usize, matrix: Matrix, fill: [u8; 3], scratch: &mut AffineScratch) {
    let [a, b, c, d, e, f] = matrix;
    let [across, down] = [[fixed(a), fixed(b)], [fixed(d), fixed(e)]];
    let (mut x, mut y) = (fixed(c + a * 0.5 + b * 0.5), fixed(f + d * 0.5 + e * 0.5));

    let AffineScratch { pixels, row: found, .. } = scratch;
    let [red, green, blue] = image;
    let packed = red.iter().zip(&*green).zip(&*blue);
    pixels.clear();
    pixels.extend(packed.map(|((r, g), b)| u32::from(*r) | u32::from(*g) << 8 | u32::from(*b) << 16));
    let limits = [width, pixels.len() / width].map(|side| (side as i32) << FRACTION);
    let rows =
        red.chunks_exact_mut(width).zip(green.chunks_exact_mut(width)).zip(blue.chunks_exact_mut(width));
    for ((red, green), blue) in rows {
        let inside = within(x, across[0], limits[0], width);
        let other = within(y, down[0], limits[1], width);
        let from = inside.0.max(other.0);
        let to = inside.1.min(other.1).max(from);
        found.clear();
        found.extend((from as i32..to as i32).map(|column| {
            let (x, y) = (x + column * across[0], y + column * down[0]);
            pixels[(y >> FRACTION) as usize * width + (x >> FRACTION) as usize]
        }));
        for ((row, bits), fill) in [red, green, blue].into_iter().zip([0, 8, 16]).zip(fill) {
            row[..from].fill(fill);
            row[to..].fill(fill);
            row[from..to].iter_mut().zip(&*found).for_each(|(value, pixel)| *value = (pixel >> bits) as u8);
        }
        x += across[1];
        y += down[1];
    }
}

/// The steps k < `count` at which `start` + k · `step` is in 0 … `limit` − 1: from the first to before the second number.
fn within(start: i32, step: i32, limit: i32, count: usize) -> (usize, usize) {
    let (start, limit) = (i64::from(start), i64::from(limit));
    let (first, end) = match i64::from(step) {
        0 if (0..limit).contains(&start) => (0, count as i64),
        0 => (0, 0),
        step @ 1.. => (up(-start, step), up(limit - start, step)),
        step => (up(start - limit + 1, -step), up(start + 1, -step)),
    };
    let clip = |number: i64| number.clamp(0, count as i64) as usize;
    (clip(first), clip(end))
}

/// `number` / `divisor`, rounded up.
fn up(number: i64, divisor: i64) -> i64 {
    -(-number).div_euclid(divisor)
}

fn bilinear(image: Rgb<'_>, width: usize, matrix: Matrix, fill: [u8; 3], source: &mut Vec<u8>) {
    source.clear();
    for plane in &image {
        source.extend_from_slice(plane);
    }
    let [a, b, c, d, e, f] = matrix;
    let pixels = source.len() / 3;
    let height = pixels / width;
    let [red, green, blue] = image;
    let targets = red.iter_mut().zip(green).zip(blue).enumerate();
    for (index, ((red, green), blue)) in targets {
        let (column, row) = ((index % width) as f64 + 0.5, (index / width) as f64 + 0.5);
        let (x, y) = (a * column + b * row + c, d * column + e * row + f);
        if !(0.0 <= x && x < width as f64 && 0.0 <= y && y < height as f64) {
            [*red, *green, *blue] = fill;
            continue;
        }
        let (x, y) = (Between::of(x, width), Between::of(y, height));
        let levels = [0, 1, 2].map(|plane| {
            let plane = &source[plane * pixels..][..pixels];
            let along = |row: usize| {
                x.mean(plane[row * width + x.first].into(), plane[row * width + x.second].into())
            };
            y.mean(along(y.first), along(y.second)) as u8
        });
        [*red, *green, *blue] = levels;
    }
}

/// Two neighbours, the same at an edge, and how far a place is from the first to the second.
struct Between {
    first: usize,
    second: usize,
    share: f64,
}

impl Between {
    /// The pixels around `place`, which lies in one of `count`; a pixel's place is its centre.
    fn of(place: f64, count: usize) -> Self {
        let floor = (place - 0.5).floor();
        let share = place - 0.5 - floor;
        let first = floor.max(0.0) as usize;
        let second = ((floor + 1.0) as usize).min(count - 1);
        Self { first, second, share }
    }

    fn mean(&self, first: f64, second: f64) -> f64 {
        first + (second - first) * self.share
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_the_languages_own() {
        for degrees in (-3600..3600).map(|step| f64::from(step) * 0.1) {
            let sine = degrees.to_radians().sin();
            let expected: f64 = format!("{sine:.15}").parse().unwrap_or(f64::NAN);
            assert_eq!(to_15_decimals(sine), expected, "{degrees}");
        }
    }
}
