//! Pooling: the mean over all pixels, and the largest value of windows.

#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]
#![expect(clippy::needless_range_loop, reason = "half and lane number values of several arrays at once")]

use std::cell::Cell;

use rayon::prelude::*;

use super::{LANES, Line, MapShape, Precision, for_words, lines, pack_line, unpack_line};
use crate::instructions::Level;
use crate::sizes::{product, windows};
use crate::tasks;
use crate::vector::Work;

/// Windows of pooling. The padding has no values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Height and width.
    pub side: usize,
    /// Pixels from one to the next.
    pub stride: usize,
    /// Pixels around the map, on each side; at most half of `side`.
    pub padding: usize,
}

impl Window {
    /// Windows along a side of `pixels`.
    ///
    /// # Panics
    /// If there are none, because a window is larger than the padded side or has no pixels, or the stride is
    /// 0.
    pub fn count(&self, pixels: usize) -> usize {
        let count = windows(pixels, self.side, self.stride, self.padding);
        assert!(count.is_some(), "no windows of {self:?} lie along {pixels} pixels");
        count.unwrap_or_default()
    }

    /// The shape of a map after pooling.
    ///
    /// # Panics
    /// If a window is larger than the padded map, if it could lie in the padding alone, or if it has no
    /// pixels or no stride.
    pub fn pooled(&self, shape: &MapShape) -> MapShape {
        assert!(self.padding <= self.side / 2, "some windows of {self:?} lie in the padding alone");
        MapShape { height: self.count(shape.height), width: self.count(shape.width), ..*shape }
    }

    /// The pixels that a window sees of a side of `pixels`.
    #[inline(always)]
    fn seen(&self, window: usize, pixels: usize) -> std::ops::Range<usize> {
        let start = (window * self.stride).saturating_sub(self.padding);
        start..(window * self.stride + self.side).saturating_sub(self.padding).min(pixels)
    }
}

/// The mean of each channel over all pixels, `[N, C]`.
///
/// # Panics
/// If the map does not fit `shape`.
pub fn mean(shape: &MapShape, precision: Precision, map: &[u32]) -> Vec<f32> {
    let (sums, words, each) =
        (sums(shape, precision, map), shape.channel_words(precision), precision.channels_per_word());
    let mut means = Vec::with_capacity(shape.images * shape.channels);
    for image in 0..shape.images {
        means.extend((0..shape.channels).map(|channel| {
            let sums = &sums[image / LANES * words + channel / each][channel % each];
            (sums[image % LANES] / shape.pixels() as f64) as f32
        }));
    }
    means
}

/// The sum of each channel over all pixels, of the images of each block:
/// `[blocks, words of C, channels of a word, 16]`.
pub(crate) fn sums(shape: &MapShape, precision: Precision, map: &[u32]) -> Vec<[[f64; LANES]; 2]> {
    shape.check_map(precision, map);
    let level = Level::detect();
    let mut sums = vec![[[0.0; LANES]; 2]; shape.blocks() * shape.channel_words(precision)];
    let maps = map.par_chunks_exact(shape.pixels() * LANES);
    let both = sums.par_iter_mut().zip(maps);
    both.for_each(|(sums, map)| for_words!(level, precision, Sum { lines: lines(map), sums }));
    sums
}

/// Pixels whose sum `f32` holds well.
const BLOCK: usize = 64;

struct Sum<'a, const PER_WORD: usize> {
    lines: &'a [Line],
    sums: &'a mut [[f64; LANES]; 2],
}

impl<const PER_WORD: usize> Work for Sum<'_, PER_WORD> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        for block in self.lines.chunks(BLOCK) {
            let mut sums = [[0.0; LANES]; PER_WORD];
            for line in block {
                let values = unpack_line::<PER_WORD>(line);
                for half in 0..PER_WORD {
                    for lane in 0..LANES {
                        sums[half][lane] += values[half][lane];
                    }
                }
            }
            for half in 0..PER_WORD {
                for lane in 0..LANES {
                    self.sums[half][lane] += f64::from(sums[half][lane]);
                }
            }
        }
    }
}

/// The gradient of the map, given that of the means, `[N, C]`.
///
/// # Panics
/// If the gradient does not fit `shape`.
pub fn mean_gradient(shape: &MapShape, precision: Precision, gradient: &[f32]) -> Vec<u32> {
    shape.check();
    assert_eq!(
        gradient.len(),
        product([shape.images, shape.channels], shape),
        "values of the gradient of {shape:?}"
    );
    let (words, each, pixels) =
        (shape.channel_words(precision), precision.channels_per_word(), shape.pixels());
    let mut map = vec![0; shape.words(precision)];
    map.par_chunks_exact_mut(pixels * LANES).enumerate().for_each(|(index, map)| {
        let (block, word) = (index / words, index % words);
        let mut values = [[0.0; LANES]; 2];
        for (lane, image) in shape.images_of(block).enumerate() {
            for channel in word * each..shape.channels.min((word + 1) * each) {
                let value = gradient[image * shape.channels + channel];
                values[channel % each][lane] = value / pixels as f32;
            }
        }
        let line = match precision {
            Precision::F32 => pack_line::<1>(&[values[0]]),
            Precision::Bf16 => pack_line::<2>(&values),
        };
        map.as_chunks_mut().0.fill(line);
    });
    map
}

/// The largest value of each window.
///
/// # Panics
/// If the map does not fit `shape`, or as [`Window::pooled`].
pub fn max_pool(shape: &MapShape, window: &Window, precision: Precision, map: &[u32]) -> Vec<u32> {
    shape.check_map(precision, map);
    let (pooled, level) = (window.pooled(shape), Level::detect());
    let mut out = vec![0; pooled.words(precision)];
    let rows = task_rows(&pooled, precision);
    let maps = map.par_chunks_exact(shape.pixels() * LANES);
    out.par_chunks_exact_mut(pooled.pixels() * LANES).zip(maps).for_each(|(out, map)| {
        let pieces = out.par_chunks_mut(rows * pooled.width * LANES).enumerate();
        pieces.for_each(|(piece, out)| {
            let (lines, out) = (lines(map), out.as_chunks_mut().0);
            let first = piece * rows;
            for_words!(level, precision, MaxPool { shape, window, lines, first, out });
        });
    });
    out
}

/// Tasks of pooling to or from a map.
#[cfg(test)]
pub(crate) fn count_tasks(shape: &MapShape, precision: Precision) -> [usize; 2] {
    let rows = task_rows(shape, precision);
    let words = shape.blocks() * shape.channel_words(precision);
    [words * shape.height.div_ceil(rows), rows * shape.width]
}

/// Rows of a map that a task makes of a word of a block: all of them, if words and blocks are tasks enough.
fn task_rows(shape: &MapShape, precision: Precision) -> usize {
    let wanted = tasks::MANY.div_ceil((shape.blocks() * shape.channel_words(precision)).max(1));
    let most = (shape.pixels() / LEAST).clamp(1, shape.height);
    shape.height.div_ceil(wanted.min(most))
}

/// Pixels that are worth a task.
pub(crate) const LEAST: usize = 512;

struct MaxPool<'a, const PER_WORD: usize> {
    shape: &'a MapShape,
    window: &'a Window,
    lines: &'a [Line],
    /// The first row of windows.
    first: usize,
    out: &'a mut [Line],
}

impl<const PER_WORD: usize> Work for MaxPool<'_, PER_WORD> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let Self { shape, window, lines, first, out } = self;
        let columns = window.count(shape.width);
        for (index, out) in out.iter_mut().enumerate() {
            let mut largest = [[f32::NEG_INFINITY; LANES]; PER_WORD];
            for row in window.seen(first + index / columns, shape.height) {
                for column in window.seen(index % columns, shape.width) {
                    let values = unpack_line::<PER_WORD>(&lines[row * shape.width + column]);
                    for half in 0..PER_WORD {
                        for lane in 0..LANES {
                            let value = values[half][lane];
                            // NaN is larger than any number.
                            if value > largest[half][lane] || value.is_nan() {
                                largest[half][lane] = value;
                            }
                        }
                    }
                }
            }
            *out = pack_line::<PER_WORD>(&largest);
        }
    }
}

/// The gradient of the map, given the input and output of [`max_pool`] and the gradient of the output: each
/// window's goes to the first of its largest values.
///
/// # Panics
/// As [`max_pool`].
pub fn max_pool_gradient(
    shape: &MapShape,
    window: &Window,
    precision: Precision,
    [map, output, gradient]: [&[u32]; 3],
) -> Vec<u32> {
    let (pooled, level) = (window.pooled(shape), Level::detect());
    shape.check_map(precision, map);
    pooled.check_map(precision, output);
    pooled.check_map(precision, gradient);
    let mut out = vec![0; map.len()];
    let (from, to) = (shape.pixels() * LANES, pooled.pixels() * LANES);
    let operands = map.par_chunks_exact(from).zip(output.par_chunks_exact(to));
    let operands = operands.zip(gradient.par_chunks_exact(to));
    let rows = task_rows(shape, precision);
    out.par_chunks_exact_mut(from).zip(operands).for_each(|(out, ((map, output), gradient))| {
        let [map, output, gradient] = [map, output, gradient].map(lines);
        out.par_chunks_mut(rows * shape.width * LANES).enumerate().for_each(|(piece, out)| {
            let out = out.as_chunks_mut().0;
            let rows = piece * rows..piece * rows + out.len() / shape.width;
            let mut sums = SUMS.take();
            sums.clear();
            sums.resize(out.len(), [[0.0; LANES]; 2]);
            let sums_of = sums.as_mut_slice();
            for_words!(
                level,
                precision,
                MaxPoolGradient { shape, window, map, output, gradient, rows, sums: sums_of, out }
            );
            if sums.capacity() <= MOST {
                SUMS.set(sums);
            }
        });
    });
    out
}

/// Pixels for whose sums a thread keeps room: 8 MiB.
const MOST: usize = (8 << 20) / size_of::<[[f32; LANES]; 2]>();

thread_local! {
    /// A buffer that a thread keeps from call to call, so that only results are allocated.
    static SUMS: Cell<Vec<[[f32; LANES]; 2]>> = const { Cell::new(Vec::new()) };
}

struct MaxPoolGradient<'a, const PER_WORD: usize> {
    shape: &'a MapShape,
    window: &'a Window,
    map: &'a [Line],
    output: &'a [Line],
    gradient: &'a [Line],
    /// Those whose gradient is made.
    rows: std::ops::Range<usize>,
    /// Zeros, one for each of their pixels.
    sums: &'a mut [[[f32; LANES]; 2]],
    out: &'a mut [Line],
}

impl<const PER_WORD: usize> Work for MaxPoolGradient<'_, PER_WORD> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let Self { shape, window, map, output, gradient, rows, sums, out } = self;
        let columns = window.count(shape.width);
        for (index, (output, gradient)) in output.iter().zip(gradient).enumerate() {
            let seen = window.seen(index / columns, shape.height);
            if seen.start >= rows.end || seen.end <= rows.start {
                continue;
            }
            let largest = unpack_line::<PER_WORD>(output);
            let mut left = unpack_line::<PER_WORD>(gradient);
            // What a row of another task takes is not left to these.
            for row in seen.start..seen.end.min(rows.end) {
                for column in window.seen(index % columns, shape.width) {
                    let pixel = row * shape.width + column;
                    let own = rows.contains(&row).then(|| pixel - rows.start * shape.width);
                    let values = unpack_line::<PER_WORD>(&map[pixel]);
                    for half in 0..PER_WORD {
                        for lane in 0..LANES {
                            let value = values[half][lane];
                            let is_largest = value >= largest[half][lane] || value.is_nan();
                            let gradient = left[half][lane];
                            if let Some(own) = own {
                                sums[own][half][lane] += if is_largest { gradient } else { 0.0 };
                            }
                            left[half][lane] = if is_largest { 0.0 } else { gradient };
                        }
                    }
                }
            }
        }
        for (out, sums) in out.iter_mut().zip(sums) {
            let mut values = [[0.0; LANES]; PER_WORD];
            values.copy_from_slice(&sums[..PER_WORD]);
            *out = pack_line::<PER_WORD>(&values);
        }
    }
}
