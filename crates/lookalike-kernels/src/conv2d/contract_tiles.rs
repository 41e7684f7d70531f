//! The weight gradient on tile registers.
//!
//! Here too it is, for every tap and pair of channels, a sum over images and pixels. Words are pairs of images, and a
//! step of sixteen words is two neighbouring pixels of sixteen images. Rows of the input have zeros where taps reach
//! beyond the image, and those of the gradient where they have an odd number of pixels, so that every row is made of
//! whole steps. With a stride, a row of the input has its pixels sorted by their place within a stride: those of a tap
//! are neighbours again. A tap begins at an even or at an odd pixel, for which there are two copies of the input.

#![expect(unsafe_code, reason = "tiles read through pointers whose bounds are asserted")]
#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]

use std::ops::Range;

use super::arithmetic::{Arithmetic, Kernel, LANES, Path};
use super::contract::{TaskSplit, rows_of_units};
use super::grid::Axis;
use super::layout::{BLOCK, StridedMap, transpose_block};
use super::scratch::{Scratch, first};
use crate::map::lines;
use crate::tiles::{SIDE, SQUARE, SumBlock, TileKernel, TileUnit, Tiles, side_by_side};

/// Words of a pixel: pairs of sixteen images.
const WORDS: usize = LANES / 2;
/// Pixels of a step.
const PIXELS: usize = SIDE / WORDS;
/// Sums of a task, at most: they stay in the second cache.
const SUMS: usize = 144 * 1024;
/// Channels of a task, at most.
const CHANNELS: usize = 256;
/// Products for which it pays to write a sum and to add it to those of other tasks: tiles make them in no time.
const PRODUCTS: usize = 4096;
/// Words of both operands of a task, at most, unless one row needs more.
pub(super) const OPERANDS: usize = 512 * 1024;
/// Pixels of a row where neighbours do not matter.
const WIDTH: usize = 64;
/// Channels for which tile registers are worth it: fewer would fill less than half of one.
const FEWEST: usize = SIDE / 2;
/// A pixel that does not exist.
const NOWHERE: u32 = u32::MAX;

/// Whether tiles are worth it for so many channels.
pub(super) fn suits(channels: [usize; 2], sources: [StridedMap<'_>; 2]) -> bool {
    let numbered = |source: &StridedMap<'_>| source.shape.pixels() < NOWHERE as usize;
    channels.iter().all(|channels| *channels >= FEWEST) && sources.iter().all(numbered)
}

impl<'a> Call<'a> {
    /// Of the gradient of the weights, from input and output gradient; `axes` are those of the output, and `words` a
    /// task's operands have at most, unless one row needs more.
    pub(super) fn new(
        unit: TileUnit,
        path: Path,
        axes: [Axis; 2],
        [mut input, gradient]: [StridedMap<'a>; 2],
        words: usize,
        wanted: usize,
    ) -> Self {
        let channels = [input, gradient].map(|source| source.shape.channels);
        let [mut vertical, mut horizontal] = axes;
        let pixels = gradient.shape.pixels();
        let is_flat = axes.iter().all(Axis::meets_one);
        if is_flat {
            input.stride = vertical.stride;
            let width = pixels.min(WIDTH);
            [vertical, horizontal] = [vertical.thinned(pixels.div_ceil(width)), horizontal.thinned(width)];
        }
        let taps = vertical.taps * horizontal.taps;
        let most = (SUMS / taps).isqrt() / BLOCK * BLOCK;
        let task_channels = channels.map(|channels| {
            let most = most.clamp(2 * BLOCK, CHANNELS);
            channels.div_ceil(channels.div_ceil(most)).next_multiple_of(BLOCK)
        });
        let steps = horizontal.count.div_ceil(PIXELS);
        let farthest = (horizontal.taps - 1) / horizontal.stride;
        let rows = Rows {
            vertical,
            horizontal,
            steps,
            phases: horizontal.stride.min(horizontal.taps),
            copies: if farthest > 0 { PIXELS } else { 1 },
            stream: steps + farthest / PIXELS,
        };
        let row_words = |rows_of_gradient: usize| {
            let sources = (rows_of_gradient - 1) * vertical.stride + vertical.taps;
            SIDE * (sources * rows.input() * task_channels[0] + rows_of_gradient * steps * task_channels[1])
        };
        let blocks = gradient.shape.blocks();
        let often = gradient.shape.images * pixels / PRODUCTS;
        let ranges = TaskSplit::new(channels, taps, task_channels, usize::MAX, often).ranges();
        let most = rows_of_units(vertical.count, blocks, ranges);
        let fits = (1..=most).rev().find(|rows| row_words(*rows) <= words).unwrap_or(1);
        let row_ranges = vertical.count.div_ceil(fits);
        let most_together = (blocks / ranges).max(1);
        let together = match row_ranges {
            1 => (words / row_words(vertical.count)).clamp(1, most_together),
            _ => 1,
        };
        let units = blocks.div_ceil(together) * row_ranges;
        Self {
            unit,
            path,
            sources: [input, gradient],
            rows,
            pixels: if is_flat { pixels } else { usize::MAX },
            split: TaskSplit::new(channels, taps, task_channels, units, often).cut([2 * BLOCK; 2], wanted),
            blocks,
            row_ranges,
            together,
        }
    }
}

/// Rows as they are packed.
#[derive(Debug, Clone, Copy)]
struct Rows {
    vertical: Axis,
    horizontal: Axis,
    /// Steps of a row of the gradient.
    steps: usize,
    /// Places within a stride that some tap reads.
    phases: usize,
    /// Of each of them: one from the first pixel on, and one from the second.
    copies: usize,
    /// Steps of each copy.
    stream: usize,
}

impl Rows {
    /// Steps of a row of the input.
    fn input(&self) -> usize {
        self.phases * self.copies * self.stream
    }

    /// Pixels of a row of the input.
    fn pixels(&self) -> usize {
        self.phases * self.pixels_of_phase()
    }

    /// Those of a place within a stride.
    fn pixels_of_phase(&self) -> usize {
        self.stream * PIXELS + self.copies - 1
    }

    /// The step of a row of the input that the first step of the gradient meets at a tap.
    fn of_tap(&self, tap: usize) -> usize {
        let (phase, pixel) = (tap % self.horizontal.stride, tap / self.horizontal.stride);
        (phase * self.copies + pixel % PIXELS) * self.stream + pixel / PIXELS
    }

    /// Lists the columns of a row of the input, as far as the image has them.
    fn input_columns(&self) -> impl Iterator<Item = Option<usize>> {
        let (horizontal, of_phase) = (self.horizontal, self.pixels_of_phase());
        (0..self.pixels()).map(move |place| {
            let (phase, index) = (place / of_phase, place % of_phase);
            let column = (index * horizontal.stride + phase) as isize + horizontal.shift;
            usize::try_from(column).ok().filter(|column| *column < horizontal.source)
        })
    }
}

/// A call and its split into tasks.
pub(super) struct Call<'a> {
    unit: TileUnit,
    path: Path,
    sources: [StridedMap<'a>; 2],
    rows: Rows,
    /// Pixels that there are, where rows are no rows of the map.
    pixels: usize,
    pub(super) split: TaskSplit,
    blocks: usize,
    /// Ranges of rows of a block, one of which is packed at a time, or blocks that are packed together.
    row_ranges: usize,
    together: usize,
}

impl Call<'_> {
    /// The sums `[taps, task channels, task outputs]` of one task.
    pub(super) fn run(&self, task: usize, sums: &mut [f32], scratch: &mut Scratch) {
        let [channels, outputs] = self.split.channels_of(task);
        let units = self.split.units_of(task);
        if units.is_empty() {
            sums.fill(0.0);
        }
        for unit in units.clone() {
            let block = unit / self.row_ranges * self.together;
            let blocks = block..self.blocks.min(block + self.together);
            let row_at = |range: usize| self.rows.vertical.count * range / self.row_ranges;
            let rows = row_at(unit % self.row_ranges)..row_at(unit % self.row_ranges + 1);
            let sources = self.rows.vertical.sources_of(rows.clone());
            let input_panel = blocks.len() * sources.len() * self.rows.input() * SQUARE;
            let input = first(&mut scratch.first, channels.len().div_ceil(BLOCK) * input_panel);
            let panel = blocks.len() * rows.len() * self.rows.steps * SQUARE;
            let gradient = first(&mut scratch.second, outputs.len().div_ceil(BLOCK) * panel);
            for (index, block) in blocks.clone().enumerate() {
                self.list(sources.clone(), 0, &mut scratch.offsets);
                self.path.run(PackRows {
                    source: self.sources[0],
                    block,
                    channels: channels.clone(),
                    pixels: &scratch.offsets,
                    rows: self.rows,
                    place: index * sources.len() * self.rows.input() * SQUARE,
                    panel: input_panel,
                    words: input,
                });
                self.list(rows.clone(), 1, &mut scratch.offsets);
                self.path.run(PackColumns {
                    source: self.sources[1],
                    block,
                    channels: outputs.clone(),
                    pixels: &scratch.offsets,
                    place: index * rows.len() * self.rows.steps * SQUARE,
                    panel,
                    words: gradient,
                });
            }
            self.unit.run(ContractSquares {
                call: self,
                input,
                gradient,
                panels: [input_panel, panel],
                channels: channels.len(),
                outputs: outputs.len(),
                blocks: blocks.len(),
                rows,
                sources,
                is_first: unit == units.start,
                sums,
            });
        }
    }

    /// Lists the pixels of rows of the input, 0, or of the gradient, 1.
    fn list(&self, rows: Range<usize>, side: usize, pixels: &mut Vec<u32>) {
        pixels.clear();
        let source = &self.sources[side];
        let Rows { horizontal, steps, .. } = self.rows;
        // Of the input, and of the gradient.
        let across = [horizontal.source, horizontal.count][side];
        for row in rows {
            let mut push = |column: Option<usize>| {
                let pixel = column.map(|column| row * across + column).filter(|pixel| *pixel < self.pixels);
                pixels.push(pixel.map_or(NOWHERE, |pixel| source.pixel(pixel) as u32));
            };
            match side {
                0 => self.rows.input_columns().for_each(&mut push),
                _ => (0..steps * PIXELS).for_each(|column| push((column < across).then_some(column))),
            }
        }
    }
}

/// Packs some channels at some pixels of a block as `[⌈channels / 16⌉, rows, phases, copies, steps, 16 channels, 16]`:
/// the words of a step and a channel are the pairs of images of two pixels.
struct PackRows<'a> {
    source: StridedMap<'a>,
    block: usize,
    /// From an even one on.
    channels: Range<usize>,
    /// `[rows, phases, pixels]`
    pixels: &'a [u32],
    rows: Rows,
    /// The word of each panel at which they begin, and words of a panel.
    place: usize,
    panel: usize,
    words: &'a mut [u32],
}

impl Kernel for PackRows<'_> {
    #[inline(always)]
    unsafe fn run<A: Arithmetic>(self) {
        let Self { source, block, channels, pixels, rows, place, panel, words } = self;
        let (count, map) = (channels.len(), lines(source.words));
        assert!(A::PAIRS && channels.start.is_multiple_of(2));
        let phases = pixels.len() / rows.pixels() * rows.phases;
        for two in (0..count.next_multiple_of(BLOCK)).step_by(2) {
            let steps =
                &mut words[two / BLOCK * panel + place..][..phases * rows.copies * rows.stream * SQUARE];
            let steps = steps.as_chunks_mut::<{ SIDE }>().0;
            let first = (two < count).then(|| source.first_line(block, channels.start / 2 + two / 2));
            let phases = pixels.chunks_exact(rows.pixels_of_phase());
            for (pixels, steps) in phases.zip(steps.chunks_exact_mut(rows.copies * rows.stream * SIDE)) {
                let mut before = [[0; LANES]; 2];
                for (index, pixel) in pixels.iter().enumerate() {
                    let line = match first {
                        Some(first) if *pixel != NOWHERE => map[first + *pixel as usize],
                        _ => [0; LANES],
                    };
                    // The images of each of two channels.
                    let now = [line.map(|word| word as u16), line.map(|word| (word >> 16) as u16)];
                    // Two pixels are a step of the copy that begins at an even or at an odd one.
                    let copy = (index + 1) % PIXELS;
                    if index > 0 && copy < rows.copies {
                        let step = copy * rows.stream + (index - 1) / PIXELS;
                        let place = step * SIDE + two % BLOCK;
                        for half in 0..2 {
                            write_step(&mut steps[place + half], [before[half], now[half]]);
                        }
                    }
                    before = now;
                }
            }
        }
    }
}

/// Writes the images of two pixels, two of them a word.
#[inline(always)]
fn write_step(target: &mut [u32; SIDE], pixels: [[u16; LANES]; 2]) {
    // SAFETY: both are 64 bytes without invalid values, and the first of two images is the lower half of a word.
    #[cfg(target_endian = "little")]
    let words = unsafe { std::mem::transmute::<[[u16; LANES]; 2], [u32; SIDE]>(pixels) };
    #[cfg(not(target_endian = "little"))]
    let words = std::array::from_fn(|word| {
        let [low, high] = [0, 1].map(|half| u32::from(pixels.as_flattened()[2 * word + half]));
        low | high << 16
    });
    *target = words;
}

/// Packs some channels at some pixels of a block as `[⌈channels / 16⌉, pixels, pairs of images, 16]`.
struct PackColumns<'a> {
    source: StridedMap<'a>,
    block: usize,
    /// From a multiple of 16 on.
    channels: Range<usize>,
    pixels: &'a [u32],
    /// The word of each panel at which they begin, and words of a panel.
    place: usize,
    panel: usize,
    words: &'a mut [u32],
}

impl Kernel for PackColumns<'_> {
    #[inline(always)]
    unsafe fn run<A: Arithmetic>(self) {
        let Self { source, block, channels, pixels, place, panel, words } = self;
        assert!(A::PAIRS && channels.start.is_multiple_of(BLOCK));
        let stride = source.shape.pixels() * LANES;
        for (index, channel) in channels.clone().step_by(BLOCK).enumerate() {
            let there = (channels.end - channel).min(BLOCK).div_ceil(2);
            let first = source.first_line(block, channel / 2);
            let target = &mut words[index * panel + place..][..pixels.len() * WORDS * BLOCK];
            for (pixel, target) in pixels.iter().zip(target.chunks_exact_mut(WORDS * BLOCK)) {
                if *pixel == NOWHERE {
                    target.fill(0);
                    continue;
                }
                let start = (first + *pixel as usize) * LANES;
                // SAFETY: as the caller's.
                unsafe { transpose_block::<A>(source.words, start, stride, there, target, BLOCK) };
            }
        }
    }
}

/// Adds the products of packed rows to a task's sums, or writes them there.
struct ContractSquares<'a> {
    call: &'a Call<'a>,
    /// `[⌈channels / 16⌉, blocks, source rows, phases, copies, steps, 16 channels, 16]`
    input: &'a [u32],
    /// `[⌈outputs / 16⌉, blocks, rows, steps, 16, 16 outputs]`
    gradient: &'a [u32],
    /// Words of a panel of each.
    panels: [usize; 2],
    channels: usize,
    outputs: usize,
    blocks: usize,
    rows: Range<usize>,
    sources: Range<usize>,
    is_first: bool,
    sums: &'a mut [f32],
}

impl TileKernel for ContractSquares<'_> {
    #[inline(always)]
    unsafe fn run<T: Tiles>(self, tiles: &mut T) {
        let Call { rows: Rows { vertical, horizontal, .. }, split, .. } = self.call;
        let [task_channels, task_outputs] = split.task_channels;
        let [channels, outputs] = [self.channels, self.outputs].map(|count| count.next_multiple_of(BLOCK));
        let [input_row, gradient_row] =
            [self.call.rows.input(), self.call.rows.steps].map(|steps| steps * SQUARE);
        assert_eq!(self.panels[0], self.blocks * self.sources.len() * input_row);
        assert_eq!(self.panels[1], self.blocks * self.rows.len() * gradient_row);
        assert!(channels / BLOCK * self.panels[0] <= self.input.len());
        assert!(outputs / BLOCK * self.panels[1] <= self.gradient.len());
        assert!(channels <= task_channels && outputs <= task_outputs);
        assert_eq!(self.sums.len(), split.sums());
        for tap in 0..vertical.taps * horizontal.taps {
            let [tap_row, tap_column] = [tap / horizontal.taps, tap % horizontal.taps];
            let tap_rows = vertical.indices_of(tap_row, self.rows.clone());
            let first = self.call.rows.of_tap(tap_column);
            assert!(first + self.call.rows.steps <= self.call.rows.input());
            let source = |row: usize| vertical.source_of(row, tap_row) - self.sources.start;
            assert!(tap_rows.is_empty() || source(tap_rows.end - 1) < self.sources.len());
            for channel in (0..channels).step_by(2 * BLOCK) {
                for output in (0..outputs).step_by(2 * BLOCK) {
                    let place = (tap * task_channels + channel) * task_outputs + output;
                    // SAFETY: by the assertions, rows of these channels and panels of these outputs lie in the
                    // operands, and their sums in those of the task.
                    unsafe {
                        let steps = TapSteps {
                            // Without valid rows there may be no input.
                            input: self
                                .input
                                .as_ptr()
                                .wrapping_add(channel / BLOCK * self.panels[0] + first * SQUARE),
                            gradient: self.gradient.as_ptr().add(output / BLOCK * self.panels[1]),
                            sums: self.sums.as_mut_ptr().add(place),
                            tap_row,
                            rows: tap_rows.clone(),
                        };
                        match [channels - channel > BLOCK, outputs - output > BLOCK] {
                            [true, true] => self.block::<T, 2, 2>(tiles, steps),
                            [true, false] => self.block::<T, 2, 1>(tiles, steps),
                            [false, true] => self.block::<T, 1, 2>(tiles, steps),
                            [false, false] => self.block::<T, 1, 1>(tiles, steps),
                        }
                    }
                }
            }
        }
    }
}

/// Where the products of a tap and a block of sums begin, and of which rows they are.
struct TapSteps {
    input: *const u32,
    gradient: *const u32,
    sums: *mut f32,
    tap_row: usize,
    rows: Range<usize>,
}

impl ContractSquares<'_> {
    /// # Safety
    /// From the pointers on there are `ROWS` · 16 channels, and `COLUMNS` panels of outputs, with these rows.
    #[inline(always)]
    unsafe fn block<T: Tiles, const ROWS: usize, const COLUMNS: usize>(
        &self,
        tiles: &mut T,
        steps: TapSteps,
    ) {
        let Rows { vertical, steps: width, .. } = self.call.rows;
        let input_row = self.call.rows.input() * SQUARE;
        let task_outputs = self.call.split.task_channels[1];
        let TapSteps { input, gradient, sums: target, tap_row, rows } = steps;
        // SAFETY: as the caller's.
        unsafe {
            let target = side_by_side::<COLUMNS>(target);
            let mut sums = if self.is_first {
                SumBlock::<T, ROWS, COLUMNS>::zeros(tiles)
            } else {
                SumBlock::load(tiles, target.map(<*mut f32>::cast_const), task_outputs)
            };
            for block in 0..self.blocks {
                for row in rows.clone() {
                    let source = vertical.source_of(row, tap_row) - self.sources.start;
                    let input = input.add((block * self.sources.len() + source) * input_row);
                    let of_block = block * self.rows.len() + row - self.rows.start;
                    let gradient = gradient.add(of_block * width * SQUARE);
                    for step in (0..width * SQUARE).step_by(SQUARE) {
                        let left = std::array::from_fn(|panel| input.add(panel * self.panels[0] + step));
                        let right = std::array::from_fn(|panel| gradient.add(panel * self.panels[1] + step));
                        sums.add(left, SIDE, right, SIDE);
                    }
                }
            }
            sums.store(target, task_outputs);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::normals;
    use super::super::{ConvShape, weight_gradient_at};
    use super::*;
    use crate::map::{Precision, pack};

    #[test]
    fn operands_that_are_packed_row_by_row_give_the_same_gradient() {
        for (kernel, stride) in [(3, 1), (3, 2), (1, 1)] {
            let padding = kernel / 2;
            let (images, inputs, outputs, height, width) = (37, 20, 35, 11, 9);
            let shape = ConvShape { images, inputs, outputs, height, width, kernel, stride, padding };
            let (from, to) = (shape.input(), shape.output());
            let axes = [(from.height, to.height), (from.width, to.width)]
                .map(|(input, output)| Axis::of_output(&shape, input, output));
            let [input, gradient] = [("input", from), ("gradient", to)]
                .map(|(name, map)| pack(&map, Precision::Bf16, &normals(name, map.values())));
            for path in Path::all(Precision::Bf16) {
                let Some(unit) = path.tiles() else { continue };
                let whole = weight_gradient_at(path, &shape, [&input, &gradient]);
                let sources = [(&input, from), (&gradient, to)]
                    .map(|(words, map)| StridedMap::dense(words, map, Precision::Bf16));
                // One row at a time: sums go on where those of the rows before ended.
                let call = Call::new(unit, path, axes, sources, 1, 1);
                assert!(call.row_ranges > 1);
                let by_rows = call.split.run(path, &|task, sums, scratch| call.run(task, sums, scratch));
                let largest = whole.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
                assert_eq!(whole.len(), by_rows.len());
                for (whole, by_rows) in whole.iter().zip(&by_rows) {
                    assert!(
                        (whole - by_rows).abs() <= 1e-5 * largest,
                        "{whole} {by_rows} {path:?} {shape:?}"
                    );
                }
            }
        }
    }
}
