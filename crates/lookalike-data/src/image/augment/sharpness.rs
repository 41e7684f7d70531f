//! Sharpness: the image blended with a smoothed copy of itself, as Pillow's `ImageEnhance.Sharpness` does it.

use super::Rgb;
use super::blend::blend;

/// Buffers of [`sharpness`], kept between calls.
#[derive(Debug, Default)]
pub struct SharpnessScratch {
    /// A plane as it was.
    copy: Vec<u8>,
    /// Sums over three rows, column by column.
    columns: Vec<u16>,
}

/// Blends each plane of a `width`-wide image with its mean under the weights (1 1 1, 1 5 1, 1 1 1) / 13: `factor` 0 is
/// smooth, 1 the image itself, more is sharper. The outermost rows and columns stay as they are.
pub fn sharpness(image: Rgb<'_>, width: usize, factor: f32, scratch: &mut SharpnessScratch) {
    let SharpnessScratch { copy, columns } = scratch;
    for plane in image {
        copy.clear();
        copy.extend_from_slice(plane);
        let targets = plane.chunks_exact_mut(width).skip(1);
        for (rows, target) in copy.windows(3 * width).step_by(width).zip(targets) {
            let (above, rest) = rows.split_at(width);
            let (middle, below) = rest.split_at(width);
            let sums = above.iter().zip(middle).zip(below);
            columns.clear();
            columns.extend(sums.map(|((a, b), c)| u16::from(*a) + u16::from(*b) + u16::from(*c)));
            sharpen_row(columns, factor, target);
        }
    }
}

/// One row but for its ends, by the sums of its `columns`.
fn sharpen_row(columns: &[u16], factor: f32, row: &mut [u8]) {
    let [_, inner @ .., _] = row else { return };
    let around = columns.iter().zip(&columns[1..]).zip(&columns[2..]);
    for (value, ((left, middle), right)) in inner.iter_mut().zip(around) {
        let smooth = thirteenth(left + middle + right + 4 * u16::from(*value));
        *value = blend(f32::from(smooth), *value, factor);
    }
}

/// The nearest integer to a thirteenth of `sum`, up to 13 · 255. There are no ties: twice a sum is even, 13 times an odd
/// number is not.
#[inline]
fn thirteenth(sum: u16) -> u8 {
    // (2 · sum + 13) / 26, by multiplication with 2²⁰ / 26.
    ((u32::from(2 * sum + 13) * 40_330) >> 20) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thirteenths_are_rounded() {
        for sum in 0..=13 * 255_u16 {
            assert_eq!(f64::from(thirteenth(sum)), (f64::from(sum) / 13.0).round(), "{sum}");
        }
    }
}
