//! Antialiased bilinear resize of a rectangle of an image (and the horizontal flip, which is the same pass
//! with its columns mirrored), as Pillow's `resize(..., BILINEAR)` and torchvision's `antialias=True` do it.
//!
//! A triangle filter, widened by the scale where the image shrinks, first along rows, then along columns,
//! each rounded to whole levels. Only pixels inside the rectangle have weight: cropping and resizing are one
//! operation.

use super::levels::truncate;
use crate::image::dataset::Image;

/// One axis of a resize: `length` pixels from `start` become `target`, of which `count` from `first` are
/// wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Axis {
    /// First source pixel.
    pub start: usize,
    /// Source pixels.
    pub length: usize,
    /// Pixels the whole source length becomes.
    pub target: usize,
    /// First wanted target pixel.
    pub first: usize,
    /// Wanted target pixels.
    pub count: usize,
    /// Whether the wanted pixels come out in reverse order.
    pub mirrored: bool,
}

impl Axis {
    /// `length` pixels from `start` become `target`, all of them wanted.
    pub fn whole(start: usize, length: usize, target: usize) -> Self {
        Self { start, length, target, first: 0, count: target, mirrored: false }
    }
}

/// Which source pixels make each target pixel: `taps` weights from `starts[i]` on, which add up to 1.
#[derive(Debug, Default)]
struct FilterWeights {
    taps: usize,
    starts: Vec<usize>,
    values: Vec<f32>,
}

impl FilterWeights {
    fn fill(&mut self, axis: &Axis) {
        let scale = axis.length as f64 / axis.target as f64;
        let support = scale.max(1.0);
        let center = |index: usize| (index as f64 + 0.5) * scale;
        let reach = |index: usize| {
            let from = (center(index) - support + 0.5).max(0.0) as usize;
            let to = ((center(index) + support + 0.5) as usize).min(axis.length);
            (from, to)
        };
        let wanted = axis.first..axis.first + axis.count;
        self.taps = wanted.clone().map(|index| reach(index).1 - reach(index).0).max().unwrap_or(0);
        self.starts.clear();
        self.values.clear();
        for position in wanted.clone() {
            let index = if axis.mirrored { wanted.end + wanted.start - 1 - position } else { position };
            let (from, to) = reach(index);
            // Every target pixel has the same number of taps; those beyond its reach weigh nothing.
            let start = from.min(axis.length - self.taps);
            let triangle =
                |source: usize| (1.0 - ((source as f64 - center(index) + 0.5) / support).abs()).max(0.0);
            let total: f64 = (from..to).map(triangle).sum();
            let weight = |source| if (from..to).contains(&source) { triangle(source) / total } else { 0.0 };
            self.values.extend((start..start + self.taps).map(|source| weight(source) as f32));
            self.starts.push(axis.start + start);
        }
    }
}

/// Buffers of a resize, kept between calls.
#[derive(Debug, Default)]
pub struct ResizeScratch {
    across: FilterWeights,
    down: FilterWeights,
    /// Rows of the source, already resized along themselves: all reds of a row, then greens, then blues.
    rows: Vec<u8>,
    sums: Vec<f32>,
}

/// The planes of an image whose longest side is at most `most` pixels, reduced where it is larger, and height and width of these.
pub fn reduced(image: &Image<'_>, most: usize) -> (Vec<u8>, [usize; 2]) {
    let (height, width) = (image.height as usize, image.width as usize);
    let longest = height.max(width);
    let side = |side: usize| {
        if longest > most {
            ((side as f64 * most as f64 / longest as f64).round() as usize).max(1)
        } else {
            side
        }
    };
    let size = [side(height), side(width)];
    let mut planes = vec![0; 3 * size[0] * size[1]];
    let (across, down) = (Axis::whole(0, width, size[1]), Axis::whole(0, height, size[0]));
    resize(image, &across, &down, &mut ResizeScratch::default(), &mut planes);
    (planes, size)
}

/// Resizes a rectangle of `image`, whose columns are given by `across` and rows by `down`.
///
/// # Shapes
/// `planes`: 3 × `down.count` × `across.count`.
///
/// # Panics
/// Where `planes` has another length or an axis leaves the image.
pub fn resize(image: &Image<'_>, across: &Axis, down: &Axis, scratch: &mut ResizeScratch, planes: &mut [u8]) {
    assert_eq!(
        planes.len(),
        3 * across.count * down.count,
        "three planes of {} × {}",
        down.count,
        across.count
    );
    let (columns, pitch) = (across.count, 3 * across.count);
    scratch.across.fill(across);
    scratch.down.fill(down);
    let (weights, taps) = (&scratch.down, scratch.down.taps);
    let first_row = weights.starts.iter().copied().min().unwrap_or(0);
    let end_row = weights.starts.iter().copied().max().unwrap_or(0) + taps;

    scratch.rows.resize((end_row - first_row) * pitch, 0);
    let source_pitch = 3 * image.width as usize;
    let source = image.pixels[first_row * source_pitch..end_row * source_pitch].chunks_exact(source_pitch);
    for (source, row) in source.zip(scratch.rows.chunks_exact_mut(pitch)) {
        match scratch.across.taps {
            1 => resize_row::<1>(source, &scratch.across, row),
            2 => resize_row::<2>(source, &scratch.across, row),
            3 => resize_row::<3>(source, &scratch.across, row),
            _ => resize_row_wide(source, &scratch.across, row),
        }
    }

    scratch.sums.resize(pitch, 0.0);
    let (red, rest) = planes.split_at_mut(columns * down.count);
    let (green, blue) = rest.split_at_mut(columns * down.count);
    let targets = red
        .chunks_exact_mut(columns)
        .zip(green.chunks_exact_mut(columns))
        .zip(blue.chunks_exact_mut(columns));
    for ((start, weights), ((red, green), blue)) in
        weights.starts.iter().zip(weights.values.chunks_exact(taps)).zip(targets)
    {
        let rows = &scratch.rows[(start - first_row) * pitch..][..taps * pitch];
        sum_rows(rows, weights, &mut scratch.sums);
        for (plane, sums) in [red, green, blue].into_iter().zip(scratch.sums.chunks_exact(columns)) {
            plane.iter_mut().zip(sums).for_each(|(value, sum)| *value = truncate(*sum));
        }
    }
}

/// One row along itself, `TAPS` weights a pixel: interleaved `source` to red, green and blue parts of `row`.
fn resize_row<const TAPS: usize>(source: &[u8], weights: &FilterWeights, row: &mut [u8]) {
    let columns = weights.starts.len();
    let (red, rest) = row.split_at_mut(columns);
    let (green, blue) = rest.split_at_mut(columns);
    let (taps, _) = weights.values.as_chunks::<TAPS>();
    let targets = red.iter_mut().zip(green).zip(blue);
    for ((start, taps), ((red, green), blue)) in weights.starts.iter().zip(taps).zip(targets) {
        let pixels = &source[3 * start..3 * (start + TAPS)];
        let mut sums = [0.5_f32; 3];
        for (tap, weight) in taps.iter().enumerate() {
            for channel in 0..3 {
                sums[channel] += weight * f32::from(pixels[3 * tap + channel]);
            }
        }
        [*red, *green, *blue] = sums.map(|sum| sum as u8);
    }
}

/// [`resize_row`] for any number of weights.
fn resize_row_wide(source: &[u8], weights: &FilterWeights, row: &mut [u8]) {
    let columns = weights.starts.len();
    for (column, start) in weights.starts.iter().enumerate() {
        let taps = &weights.values[column * weights.taps..][..weights.taps];
        let (pixels, _) = source[3 * start..].as_chunks::<3>();
        let mut sums = [0.5_f32; 3];
        for (pixel, weight) in pixels.iter().zip(taps) {
            for channel in 0..3 {
                sums[channel] += weight * f32::from(pixel[channel]);
            }
        }
        for (channel, sum) in sums.into_iter().enumerate() {
            row[channel * columns + column] = sum as u8;
        }
    }
}

/// ½ plus the weighted sum of as many rows as there are weights.
fn sum_rows(rows: &[u8], weights: &[f32], sums: &mut [f32]) {
    let pitch = sums.len();
    if let [first, second] = *weights {
        let (above, below) = rows.split_at(pitch);
        for ((sum, above), below) in sums.iter_mut().zip(above).zip(below) {
            *sum = 0.5 + first * f32::from(*above) + second * f32::from(*below);
        }
    } else {
        sums.fill(0.5);
        for (row, weight) in rows.chunks_exact(pitch).zip(weights) {
            sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += weight * f32::from(*value));
        }
    }
}
