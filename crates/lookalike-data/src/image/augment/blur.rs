//! Gaussian blur with torchvision's semantics: a sampled Gaussian of a given odd length, reflected edges, one
//! rounding at the end. A Gaussian in two dimensions is the product of two in one, so rows are blurred first,
//! then columns.

use super::Rgb;
use super::levels::nearest;

/// Columns computed together: the sums of a block stay in registers while the kernel passes over them.
const BLOCK: usize = 16;

/// Buffers of a blur, kept between calls.
#[derive(Debug, Default)]
pub struct BlurScratch {
    /// Weights of the centre and of each pair of taps at distance 1, 2, …
    half: Vec<f32>,
    /// One row with its reflected edges.
    padded: Vec<f32>,
    /// A plane blurred along rows, each row filled up to whole blocks.
    rows: Vec<f32>,
}

/// Blurs each plane of a `width`-wide image with a Gaussian of `sigma` pixels, sampled at `kernel` (odd)
/// points.
///
/// # Panics
/// Where `kernel` / 2 reaches `width` or the height: the edge could not be reflected.
pub fn gaussian_blur(image: Rgb<'_>, width: usize, kernel: usize, sigma: f32, scratch: &mut BlurScratch) {
    let height = image[0].len() / width;
    assert!(
        kernel / 2 < width && kernel / 2 < height,
        "a {width} × {height} image has no reflection of {kernel}"
    );
    sample_gaussian(kernel, sigma, &mut scratch.half);
    if scratch.half.len() == 1 {
        return;
    }
    let pitch = width.next_multiple_of(BLOCK);
    scratch.padded.resize(pitch + 2 * (scratch.half.len() - 1), 0.0);
    scratch.rows.resize(pitch * height, 0.0);
    for plane in image {
        for (row, target) in plane.chunks_exact(width).zip(scratch.rows.chunks_exact_mut(pitch)) {
            blur_row(row, &scratch.half, &mut scratch.padded, target);
        }
        for (index, target) in plane.chunks_exact_mut(width).enumerate() {
            blur_column(&scratch.rows, pitch, index, &scratch.half, target);
        }
    }
}

/// The weights of a normalised Gaussian from its centre outwards.
///
/// Pairs of taps at the far end that together weigh less than 2⁻¹¹ are left out, which moves no level by more
/// than an eighth: at σ = 2 the kernel of 23 shrinks to 15, at σ = 0.5 to 5.
fn sample_gaussian(kernel: usize, sigma: f32, half: &mut Vec<f32>) {
    half.clear();
    half.extend((0..=kernel / 2).map(|distance| (-0.5 * (distance as f32 / sigma).powi(2)).exp()));
    let total = |half: &[f32]| half[0] + 2.0 * half[1..].iter().sum::<f32>();
    let negligible = total(half) / 2048.0;
    let mut tail = 0.0;
    while let [_, .., last] = half[..]
        && tail + 2.0 * last < negligible
    {
        tail += 2.0 * last;
        half.pop();
    }
    let total = total(half);
    for weight in half {
        *weight /= total;
    }
}

/// Blurs one row along itself.
fn blur_row(row: &[u8], half: &[f32], padded: &mut [f32], target: &mut [f32]) {
    let (width, radius) = (row.len(), half.len() - 1);
    for (value, level) in padded[radius..].iter_mut().zip(row) {
        *value = f32::from(*level);
    }
    for distance in 1..=radius {
        padded[radius - distance] = padded[radius + distance];
        padded[radius + width - 1 + distance] = padded[radius + width - 1 - distance];
    }
    for (block, target) in target.as_chunks_mut::<BLOCK>().0.iter_mut().enumerate() {
        let center = block * BLOCK + radius;
        let at = |start: usize| padded[start..].first_chunk::<BLOCK>();
        *target = [0.0; BLOCK];
        for (distance, weight) in half.iter().enumerate() {
            if let (Some(left), Some(right)) = (at(center - distance), at(center + distance)) {
                add_pair(target, left, right, if distance == 0 { weight * 0.5 } else { *weight });
            }
        }
    }
}

/// Blurs columns at row `index` of `rows` and rounds to whole levels.
fn blur_column(rows: &[f32], pitch: usize, index: usize, half: &[f32], target: &mut [u8]) {
    let last = rows.len() / pitch - 1;
    for (block, target) in target.chunks_mut(BLOCK).enumerate() {
        let at = |row: usize| rows[row * pitch + block * BLOCK..].first_chunk::<BLOCK>();
        let mut sums = [0.0; BLOCK];
        for (distance, weight) in half.iter().enumerate() {
            let below = if index + distance > last { 2 * last - index - distance } else { index + distance };
            if let (Some(above), Some(below)) = (at(index.abs_diff(distance)), at(below)) {
                add_pair(&mut sums, above, below, if distance == 0 { weight * 0.5 } else { *weight });
            }
        }
        for (value, sum) in target.iter_mut().zip(sums) {
            *value = nearest(sum);
        }
    }
}

#[inline]
fn add_pair(sums: &mut [f32; BLOCK], one: &[f32; BLOCK], other: &[f32; BLOCK], weight: f32) {
    for ((sum, one), other) in sums.iter_mut().zip(one).zip(other) {
        *sum += weight * (one + other);
    }
}
