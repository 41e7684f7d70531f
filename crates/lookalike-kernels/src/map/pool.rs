//! Pooling: the mean over all pixels, and the largest value of windows.

#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]
#![expect(clippy::needless_range_loop, reason = "half and lane number values of several arrays at once")]

use std::cell::Cell;

use rayon::prelude::*;

use super::{LANES, Line, Precision, Sizes, for_words, lines, read, written};
use crate::dot::Level;
use crate::vector::Work;

/// Windows of pooling: the padding counts for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Height and width.
    pub side: usize,
    /// Pixels from one to the next.
    pub stride: usize,
    /// Pixels beside the map on each side; at most half a side.
    pub padding: usize,
}

impl Window {
    /// Windows along a side of `pixels`.
    pub fn count(&self, pixels: usize) -> usize {
        (pixels + 2 * self.padding - self.side) / self.stride + 1
    }

    /// What pooling makes of a map.
    ///
    /// # Panics
    /// Where a window is larger than the padded map, or lies beside it.
    pub fn pooled(&self, sizes: &Sizes) -> Sizes {
        let padded = sizes.height.min(sizes.width) + 2 * self.padding;
        assert!(
            self.stride > 0 && 2 * self.padding <= self.side && (1..=padded).contains(&self.side),
            "no windows of {self:?} lie in {sizes:?}"
        );
        Sizes { height: self.count(sizes.height), width: self.count(sizes.width), ..*sizes }
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
/// Where the map does not fit `sizes`.
pub fn mean(sizes: &Sizes, precision: Precision, map: &[u32]) -> Vec<f32> {
    let (sums, words, each) = (sums(sizes, precision, map), sizes.channel_words(precision), precision.each());
    let mut means = Vec::with_capacity(sizes.images * sizes.channels);
    for image in 0..sizes.images {
        means.extend((0..sizes.channels).map(|channel| {
            let sums = &sums[image / LANES * words + channel / each][channel % each];
            (sums[image % LANES] / sizes.pixels() as f64) as f32
        }));
    }
    means
}

/// The sum of each channel over all pixels, of the images of each block: `[blocks, words of C, channels of a word, 16]`.
pub(crate) fn sums(sizes: &Sizes, precision: Precision, map: &[u32]) -> Vec<[[f64; LANES]; 2]> {
    sizes.check(precision, map);
    let level = Level::detect();
    let mut sums = vec![[[0.0; LANES]; 2]; sizes.blocks() * sizes.channel_words(precision)];
    let maps = map.par_chunks_exact(sizes.pixels() * LANES);
    let both = sums.par_iter_mut().zip(maps);
    both.for_each(|(sums, map)| for_words!(level, precision, Sum { lines: lines(map), sums }));
    sums
}

/// Pixels whose sum `f32` holds well.
const BLOCK: usize = 64;

struct Sum<'a, const EACH: usize> {
    lines: &'a [Line],
    sums: &'a mut [[f64; LANES]; 2],
}

impl<const EACH: usize> Work for Sum<'_, EACH> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        for block in self.lines.chunks(BLOCK) {
            let mut sums = [[0.0; LANES]; EACH];
            for line in block {
                let values = read::<EACH>(line);
                for half in 0..EACH {
                    for lane in 0..LANES {
                        sums[half][lane] += values[half][lane];
                    }
                }
            }
            for half in 0..EACH {
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
/// Where the gradient does not fit `sizes`.
pub fn mean_gradient(sizes: &Sizes, precision: Precision, gradient: &[f32]) -> Vec<u32> {
    assert_eq!(gradient.len(), sizes.images * sizes.channels, "values of the gradient of {sizes:?}");
    let (words, each, pixels) = (sizes.channel_words(precision), precision.each(), sizes.pixels());
    let mut map = vec![0; sizes.words(precision)];
    map.par_chunks_exact_mut(pixels * LANES).enumerate().for_each(|(index, map)| {
        let (block, word) = (index / words, index % words);
        let mut values = [[0.0; LANES]; 2];
        for (lane, image) in sizes.images_of(block).enumerate() {
            for channel in word * each..sizes.channels.min((word + 1) * each) {
                let value = gradient[image * sizes.channels + channel];
                values[channel % each][lane] = value / pixels as f32;
            }
        }
        let line = match precision {
            Precision::F32 => written::<1>(&[values[0]]),
            Precision::Bf16 => written::<2>(&values),
        };
        map.as_chunks_mut().0.fill(line);
    });
    map
}

/// The largest value of each window.
///
/// # Panics
/// Where the map does not fit `sizes`, or as [`Window::pooled`].
pub fn max_pool(sizes: &Sizes, window: &Window, precision: Precision, map: &[u32]) -> Vec<u32> {
    sizes.check(precision, map);
    let (pooled, level) = (window.pooled(sizes), Level::detect());
    let mut out = vec![0; pooled.words(precision)];
    let maps = map.par_chunks_exact(sizes.pixels() * LANES);
    out.par_chunks_exact_mut(pooled.pixels() * LANES).zip(maps).for_each(|(out, map)| {
        let (lines, out) = (lines(map), out.as_chunks_mut().0);
        for_words!(level, precision, MaxPool { sizes, window, lines, out });
    });
    out
}

struct MaxPool<'a, const EACH: usize> {
    sizes: &'a Sizes,
    window: &'a Window,
    lines: &'a [Line],
    out: &'a mut [Line],
}

impl<const EACH: usize> Work for MaxPool<'_, EACH> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let Self { sizes, window, lines, out } = self;
        let columns = window.count(sizes.width);
        for (index, out) in out.iter_mut().enumerate() {
            let mut largest = [[f32::NEG_INFINITY; LANES]; EACH];
            for row in window.seen(index / columns, sizes.height) {
                for column in window.seen(index % columns, sizes.width) {
                    let values = read::<EACH>(&lines[row * sizes.width + column]);
                    for half in 0..EACH {
                        for lane in 0..LANES {
                            let value = values[half][lane];
                            // What is not a number is larger than any.
                            if value > largest[half][lane] || value.is_nan() {
                                largest[half][lane] = value;
                            }
                        }
                    }
                }
            }
            *out = written::<EACH>(&largest);
        }
    }
}

/// The gradient of the map, given what [`max_pool`] read and wrote, and the gradient of what it wrote: each window's goes to
/// the first of its largest values.
///
/// # Panics
/// As [`max_pool`].
pub fn max_pool_gradient(
    sizes: &Sizes,
    window: &Window,
    precision: Precision,
    [map, output, gradient]: [&[u32]; 3],
) -> Vec<u32> {
    let (pooled, level) = (window.pooled(sizes), Level::detect());
    sizes.check(precision, map);
    pooled.check(precision, output);
    pooled.check(precision, gradient);
    let mut out = vec![0; map.len()];
    let (from, to) = (sizes.pixels() * LANES, pooled.pixels() * LANES);
    let operands = map.par_chunks_exact(from).zip(output.par_chunks_exact(to));
    let operands = operands.zip(gradient.par_chunks_exact(to));
    out.par_chunks_exact_mut(from).zip(operands).for_each(|(out, ((map, output), gradient))| {
        let [map, output, gradient] = [map, output, gradient].map(lines);
        let out = out.as_chunks_mut().0;
        let mut sums = SUMS.take();
        sums.clear();
        sums.resize(out.len(), [[0.0; LANES]; 2]);
        let sums_of = sums.as_mut_slice();
        for_words!(
            level,
            precision,
            MaxPoolGradient { sizes, window, map, output, gradient, sums: sums_of, out }
        );
        SUMS.set(sums);
    });
    out
}

thread_local! {
    /// What a thread keeps from call to call, so that nothing but results is allocated.
    static SUMS: Cell<Vec<[[f32; LANES]; 2]>> = const { Cell::new(Vec::new()) };
}

struct MaxPoolGradient<'a, const EACH: usize> {
    sizes: &'a Sizes,
    window: &'a Window,
    map: &'a [Line],
    output: &'a [Line],
    gradient: &'a [Line],
    /// Zeros, one a pixel.
    sums: &'a mut [[[f32; LANES]; 2]],
    out: &'a mut [Line],
}

impl<const EACH: usize> Work for MaxPoolGradient<'_, EACH> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let Self { sizes, window, map, output, gradient, sums, out } = self;
        let columns = window.count(sizes.width);
        for (index, (output, gradient)) in output.iter().zip(gradient).enumerate() {
            let largest = read::<EACH>(output);
            let mut left = read::<EACH>(gradient);
            for row in window.seen(index / columns, sizes.height) {
                for column in window.seen(index % columns, sizes.width) {
                    let pixel = row * sizes.width + column;
                    let values = read::<EACH>(&map[pixel]);
                    for half in 0..EACH {
                        for lane in 0..LANES {
                            let value = values[half][lane];
                            let is_largest = value >= largest[half][lane] || value.is_nan();
                            let gradient = left[half][lane];
                            sums[pixel][half][lane] += if is_largest { gradient } else { 0.0 };
                            left[half][lane] = if is_largest { 0.0 } else { gradient };
                        }
                    }
                }
            }
        }
        for (out, sums) in out.iter_mut().zip(sums) {
            let mut values = [[0.0; LANES]; EACH];
            values.copy_from_slice(&sums[..EACH]);
            *out = written::<EACH>(&values);
        }
    }
}
