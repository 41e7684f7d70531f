//! Kernels of one pixel: pixels of an image, instead of images, stand in the lanes, for neither taps nor borders ask that
//! all lanes be alike. Nothing needs to be transposed.

#![expect(unsafe_code, reason = "tasks write to parts of one result")]
#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]

use std::ops::Range;

use rayon::prelude::*;

use super::arithmetic::{Arithmetic, Kernel, LANES};
use super::correlate::{Call, Phase, SOURCE, SUMS, Tiles, split_panels};
use super::grid::Axis;
use super::layout::{Planes, Target, pack};
use super::scratch::{Class, Scratch, User, first, with_scratch};

/// Positions of a task, at least.
const POSITIONS: usize = 12;

/// Whether only the first phase sums anything, and each of its pixels one pixel that there is.
pub(super) fn is_flat(phases: &[Phase]) -> bool {
    let whole = |axis: &Axis| {
        axis.taps == 1 && axis.shift == 0 && axis.stride * (axis.count.max(1) - 1) < axis.source
    };
    let nothing = |axis: &Axis| axis.taps == 0;
    let [start, rest @ ..] = phases else { return false };
    start.axes.iter().all(whole) && rest.iter().all(|phase| phase.axes.iter().any(nothing))
}

/// The pixels of the first phase, image after image.
#[derive(Debug, Clone, Copy)]
struct Pixels {
    axes: [Axis; 2],
    from: Planes,
    to: Planes,
}

impl Pixels {
    fn of_image(&self) -> usize {
        self.axes[0].count * self.axes[1].count
    }

    /// Where, in channel 0, a pixel finds its source and its target.
    fn place(&self, pixel: usize) -> [usize; 2] {
        let (image, pixel) = (pixel / self.of_image(), pixel % self.of_image());
        let [vertical, horizontal] = &self.axes;
        let (row, column) = (pixel / horizontal.count, pixel % horizontal.count);
        let source = vertical.stride * row * self.from.width + horizontal.stride * column;
        let target = vertical.pixel(row) * self.to.width + horizontal.pixel(column);
        [image * self.from.values() + source, image * self.to.values() + target]
    }

    /// Whether sixteen pixels follow each other, at their source or at their target.
    fn follow(&self, pixel: usize) -> [bool; 2] {
        let [vertical, horizontal] = &self.axes;
        let one_image = pixel % self.of_image() + LANES <= self.of_image();
        let source = vertical.stride == 1 && horizontal.stride == 1 && horizontal.count == self.from.width;
        let target = vertical.step == 1 && horizontal.step == 1 && horizontal.count == self.to.width;
        [one_image && source, one_image && target]
    }
}

/// Computes the pixels of the first phase; nobody touches the others.
pub(super) fn correlate(call: &Call<'_>) {
    let pixels = Pixels { axes: call.phases[0].axes, from: call.from, to: call.to };
    let count = call.count * pixels.of_image();
    let blocks = count.div_ceil(LANES);
    let words = call.path.words(call.from.channels);
    let each = (SOURCE / (words * LANES)).max(POSITIONS);
    let ranges = blocks.div_ceil(each);
    let [task_panels, panel_ranges] = split_panels(call, ranges.max(1));
    (0..ranges * panel_ranges).into_par_iter().for_each(|task| {
        let at = |range: usize| blocks * range / ranges;
        let range = task / panel_ranges;
        let panels = task % panel_ranges * task_panels;
        let panels = panels..call.to.channels.div_ceil(call.path.rows()).min(panels + task_panels);
        let pixels_of_task = at(range) * LANES..count.min(at(range + 1) * LANES);
        with_scratch(User::Task, |scratch| run(call, &pixels, pixels_of_task, panels, scratch));
    });
}

fn run(call: &Call<'_>, pixels: &Pixels, range: Range<usize>, panels: Range<usize>, scratch: &mut Scratch) {
    let path = call.path;
    let words = path.words(call.from.channels);
    let blocks = range.len().div_ceil(LANES);
    let source = first(&mut scratch.first, blocks * words * LANES);
    path.run(Lay { pixels, range: range.clone(), values: call.images, words: source });
    scratch.positions.clear();
    scratch.positions.extend((0..blocks).map(|block| [block * words * LANES, block]));
    scratch.classes.clear();
    let class = Class { positions: 0..blocks, lines: 1, length: words, weights: 0, weight_step: words };
    scratch.classes.push(class);
    let stride = blocks * LANES;
    let group = (SUMS / (path.rows() * stride)).max(1);
    for panels in panels.clone().step_by(group).map(|start| start..panels.end.min(start + group)) {
        let sums = first(&mut scratch.sums, panels.len() * path.rows() * stride);
        path.run(Tiles {
            line: 0,
            panels: panels.clone(),
            weights: call.weights,
            panel_words: call.panel_words,
            bias: call.bias,
            source,
            positions: &scratch.positions,
            classes: &scratch.classes,
            sums,
            stride,
        });
        let channels = panels.start * path.rows()..call.to.channels.min(panels.end * path.rows());
        path.run(Take { pixels, range: range.clone(), channels, sums, stride, target: call.target });
    }
}

/// Lays a range of pixels out as `[⌈pixels / 16⌉, words of C, 16]`.
struct Lay<'a> {
    pixels: &'a Pixels,
    range: Range<usize>,
    values: &'a [f32],
    words: &'a mut [u32],
}

impl Kernel for Lay<'_> {
    #[inline(always)]
    unsafe fn run<A: Arithmetic>(self) {
        let Self { pixels, range, values, words } = self;
        let (map, channels) = (pixels.from.map(), pixels.from.channels);
        let each = if A::PAIRS { 2 } else { 1 };
        let words_of_channels = channels.div_ceil(each);
        let blocks = words.as_chunks_mut::<LANES>().0.chunks_exact_mut(words_of_channels);
        for (block, words) in range.clone().step_by(LANES).zip(blocks) {
            let places: [usize; LANES] =
                std::array::from_fn(|lane| pixels.place((block + lane).min(range.end - 1))[0]);
            let whole = pixels.follow(block)[0] && block + LANES <= range.end;
            for (word, words) in words.iter_mut().enumerate() {
                let values_of = |channel: usize, out: &mut [f32; LANES]| {
                    let values = &values[channel * map..];
                    if whole {
                        out.copy_from_slice(&values[places[0]..][..LANES]);
                    } else {
                        out.iter_mut().zip(&places).for_each(|(out, place)| *out = values[*place]);
                    }
                };
                let (mut low, mut high) = ([0.0; LANES], [0.0; LANES]);
                values_of(word * each, &mut low);
                if A::PAIRS && word * each + 1 < channels {
                    values_of(word * each + 1, &mut high);
                }
                // SAFETY: as the caller's.
                unsafe { pack::<A>(&low, Some(&high), words) };
            }
        }
    }
}

/// Takes sums `[channels, ⌈pixels / 16⌉, 16]` to a range of pixels.
struct Take<'a> {
    pixels: &'a Pixels,
    range: Range<usize>,
    channels: Range<usize>,
    sums: &'a [f32],
    /// Sums from one channel to the next.
    stride: usize,
    target: Target,
}

impl Kernel for Take<'_> {
    /// # Safety
    /// Beside the registers: the target holds the images, and nobody else touches the pixels.
    #[inline(always)]
    unsafe fn run<A: Arithmetic>(self) {
        let Self { pixels, range, channels, sums, stride, target } = self;
        let map = pixels.to.map();
        for (index, block) in range.clone().step_by(LANES).enumerate() {
            let count = LANES.min(range.end - block);
            let places: [usize; LANES] =
                std::array::from_fn(|lane| pixels.place((block + lane).min(range.end - 1))[1]);
            let whole = pixels.follow(block)[1] && count == LANES;
            for (row, channel) in channels.clone().enumerate() {
                let sums = &sums[row * stride + index * LANES..][..count];
                // SAFETY: the caller vouches for the pixels of these channels.
                unsafe {
                    let target = target.0.add(channel * map);
                    if whole {
                        target.add(places[0]).copy_from_nonoverlapping(sums.as_ptr(), LANES);
                    } else {
                        for (place, sum) in places.iter().zip(sums) {
                            target.add(*place).write(*sum);
                        }
                    }
                }
            }
        }
    }
}
