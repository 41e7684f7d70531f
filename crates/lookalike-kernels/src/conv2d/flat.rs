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
use super::layout::{Planes, Target, every, pack};
use super::scratch::{Class, Piece, Scratch, User, first, with_scratch};

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

    /// A range of pixels in pieces as long as possible.
    fn pieces(&self, range: Range<usize>) -> impl Iterator<Item = Piece> + '_ {
        let [vertical, horizontal] = &self.axes;
        let whole = |axis: &Axis, from: usize, to: usize| {
            (axis.stride, axis.step) == (1, 1) && axis.count == from && axis.count == to
        };
        let dense = whole(vertical, self.from.height, self.to.height)
            && whole(horizontal, self.from.width, self.to.width);
        let line = if dense { self.of_image() } else { horizontal.count };
        let mut next = range.start;
        std::iter::from_fn(move || {
            let start = next;
            next = range.end.min(start + line - start % line);
            let [source, target] = self.place(start);
            (start < next).then_some(Piece { source, target, count: next - start })
        })
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
    scratch.pieces.clear();
    scratch.pieces.extend(pixels.pieces(range));
    let pieces = &scratch.pieces;
    let source = first(&mut scratch.first, blocks * words * LANES);
    let stage = first(&mut scratch.sums, 2 * blocks * LANES).split_at_mut(blocks * LANES);
    path.run(Lay { pixels, pieces, values: call.images, stage, words: source });
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
        path.run(Take { pixels, pieces, channels, sums, stride, target: call.target });
    }
}

/// Lays pieces out as `[⌈pixels / 16⌉, words of C, 16]`.
struct Lay<'a> {
    pixels: &'a Pixels,
    pieces: &'a [Piece],
    values: &'a [f32],
    /// Room for the pixels of both channels of a word; the latter is not read where words are no pairs.
    stage: (&'a mut [f32], &'a mut [f32]),
    words: &'a mut [u32],
}

impl Kernel for Lay<'_> {
    #[inline(always)]
    unsafe fn run<A: Arithmetic>(self) {
        let Self { pixels, pieces, values, stage: (low, high), words } = self;
        let (map, channels, step) = (pixels.from.map(), pixels.from.channels, pixels.axes[1].stride);
        let each = if A::PAIRS { 2 } else { 1 };
        let words_of_channels = channels.div_ceil(each);
        let words = words.as_chunks_mut::<LANES>().0;
        low.fill(0.0);
        high.fill(0.0);
        for word in 0..words_of_channels {
            read(&values[word * each * map..], pieces, step, low);
            let paired = A::PAIRS && word * each + 1 < channels;
            if paired {
                read(&values[(word * each + 1) * map..], pieces, step, high);
            }
            let blocks = words.iter_mut().skip(word).step_by(words_of_channels);
            let pairs = low.as_chunks::<LANES>().0.iter().zip(high.as_chunks::<LANES>().0);
            for (words, (low, high)) in blocks.zip(pairs) {
                // SAFETY: as the caller's.
                unsafe { pack::<A>(low, paired.then_some(high), words) };
            }
        }
    }
}

/// Reads pieces of a channel whose pixels are `step` apart.
#[inline(always)]
fn read(values: &[f32], pieces: &[Piece], step: usize, mut out: &mut [f32]) {
    for piece in pieces {
        let (now, later) = out.split_at_mut(piece.count);
        every(&values[piece.source..], step, now);
        out = later;
    }
}

/// Takes sums `[channels, ⌈pixels / 16⌉, 16]` to pieces.
struct Take<'a> {
    pixels: &'a Pixels,
    pieces: &'a [Piece],
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
        let Self { pixels, pieces, channels, sums, stride, target } = self;
        let (map, step) = (pixels.to.map(), pixels.axes[1].step);
        for (row, channel) in channels.enumerate() {
            let mut sums = &sums[row * stride..][..stride];
            for piece in pieces {
                let (now, later) = sums.split_at(piece.count);
                // SAFETY: the caller vouches for the pixels of these channels.
                unsafe {
                    let target = target.0.add(channel * map + piece.target);
                    if step == 1 {
                        target.copy_from_nonoverlapping(now.as_ptr(), now.len());
                    } else {
                        for (index, sum) in now.iter().enumerate() {
                            target.add(step * index).write(*sum);
                        }
                    }
                }
                sums = later;
            }
        }
    }
}
