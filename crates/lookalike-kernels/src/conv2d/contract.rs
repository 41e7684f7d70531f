//! The weight gradient: for every tap and pair of channels a sum over images and pixels.
//!
//! Images of a pixel follow each other, then pixels of a row, and channels lie in panels: the register tile
//! of a tap reads whole rows of input and output gradient without an index, and skips pixels whose tap lies
//! outside the image.

#![expect(unsafe_code, reason = "register tiles read through pointers whose bounds are asserted")]
#![expect(clippy::needless_range_loop, reason = "row and vector number registers of several arrays at once")]
#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]

use std::ops::Range;

use rayon::prelude::*;

use super::ConvShape;
use super::arithmetic::{Arithmetic, Kernel, LANES, Path};
use super::contract_tiles;
use super::grid::Axis;
use super::layout::{PackChannels, PackWindows, StridedMap};
use super::scratch::{Scratch, User, first, with_scratch};
use super::weights::unpack_columns;
use super::winograd;
use crate::tasks;
use crate::vector::Vector;

/// Columns of a panel of the input.
pub(super) const PANEL: usize = 16;
/// Tasks there should be, if the shape allows it, even of few products. Each has sums of its own.
const TASKS: usize = 16;
/// Products for which it pays to write a sum and to add it to those of other tasks.
pub(super) const PRODUCTS: usize = 1024;
/// Output channels of a task.
const OUTPUTS: usize = 256;
/// Products of a value of the output gradient in a task, about.
const TERMS: usize = 512;
/// Words of both operands of a task, at most, unless one row needs more.
const WORDS: usize = 192 * 1024;
/// Below so many input channels, taps are packed as if they were channels: the channels alone would fill no
/// tile.
const FEW: usize = 5;

/// What computes the sums `[taps, task channels, task outputs]` of a task.
type SumOfTask<'a> = dyn Fn(usize, &mut [f32], &mut Scratch) + Sync + 'a;

/// The gradient of the weights, `[O, C, K, K]`.
pub(super) fn contract(path: Path, shape: &ConvShape, input: &[u32], gradient: &[u32]) -> Vec<f32> {
    with_split(path, shape, [input, gradient], tasks::wanted(), |split, sum| split.run(path, sum))
}

/// Tasks of a contraction where there are tasks of `wanted`, and those of one as fine as possible.
#[cfg(test)]
pub(super) fn count_tasks(path: Path, shape: &ConvShape, wanted: usize) -> [usize; 2] {
    [wanted, usize::MAX].map(|wanted| with_split(path, shape, [&[], &[]], wanted, |split, _| split.tasks()))
}

/// Chooses by what the sums are made, and splits them.
fn with_split<T>(
    path: Path,
    shape: &ConvShape,
    [input, gradient]: [&[u32]; 2],
    wanted: usize,
    then: impl FnOnce(&TaskSplit, &SumOfTask<'_>) -> T,
) -> T {
    let (from, to) = (shape.input(), shape.output());
    let sides = [(from.height, to.height), (from.width, to.width)];
    let axes = sides.map(|(input, output)| Axis::of_output(shape, input, output));
    let sources = [(input, from), (gradient, to)]
        .map(|(words, shape)| StridedMap::dense(words, shape, path.precision()));
    let channels = [shape.inputs, shape.outputs];
    if let Some(unit) = path.tiles().filter(|_| contract_tiles::suits(channels, sources)) {
        let call = contract_tiles::Call::new(unit, path, axes, sources, contract_tiles::OPERANDS, wanted);
        return then(&call.split, &|task, sums, scratch| call.run(task, sums, scratch));
    }
    if winograd::suits(&axes, channels) {
        let call = winograd::contract::Call::new(path, &axes, sources, wanted);
        return then(&call.split, &|task, sums, scratch| call.run(task, sums, scratch));
    }
    let call = Call::new(path, shape, axes, sources, wanted);
    then(&call.split, &|task, sums, scratch| call.run(task, sums, scratch))
}

/// How channels, outputs and images are split into tasks: images by the shape alone, as each range of them has sums
/// of its own. Ranges of channels and outputs hang on the number of threads, for no sum hangs on these.
#[derive(Debug, Clone, Copy)]
pub(super) struct TaskSplit {
    /// Channels and outputs.
    channels: [usize; 2],
    /// Taps of a pair of both.
    taps: usize,
    /// Channels and outputs of a task's sums, multiples of the panels.
    pub(super) task_channels: [usize; 2],
    /// Units of images and rows.
    units: usize,
    /// Ranges of units.
    ranges: usize,
}

impl TaskSplit {
    /// Splits the units into as many ranges as are worth sums of their own, where there are `often` as many products of
    /// a sum as make one range worth it.
    pub(super) fn new(
        channels: [usize; 2],
        taps: usize,
        task_channels: [usize; 2],
        units: usize,
        often: usize,
    ) -> Self {
        let split = Self { channels, taps, task_channels, units, ranges: 1 };
        let there = split.channel_ranges().iter().product::<usize>();
        let ranges = (often.min(tasks::MANY) / there).max(TASKS / there);
        Self { ranges: ranges.clamp(1, units.max(1)), ..split }
    }

    /// With tasks of fewer channels and outputs, multiples of `least`, until there are `wanted` of them. Each of them
    /// packs its operands, which for that many threads is less than they would lose as idle ones.
    pub(super) fn cut(mut self, least: [usize; 2], wanted: usize) -> Self {
        while self.tasks() < wanted {
            let halves = [0, 1].map(|side| (self.task_channels[side] / 2).next_multiple_of(least[side]));
            let is_less = [0, 1].map(|side| halves[side] < self.task_channels[side]);
            let side = match is_less {
                [false, false] => break,
                [true, true] => usize::from(self.task_channels[1] >= self.task_channels[0]),
                [_, other] => usize::from(other),
            };
            self.task_channels[side] = halves[side];
        }
        self
    }

    /// Ranges of units.
    pub(super) fn ranges(&self) -> usize {
        self.ranges
    }

    fn tasks(&self) -> usize {
        self.channel_ranges().iter().product::<usize>() * self.ranges
    }

    /// Ranges of channels and of outputs.
    fn channel_ranges(&self) -> [usize; 2] {
        [0, 1].map(|side| self.channels[side].div_ceil(self.task_channels[side]))
    }

    /// Sums of a task, `[taps, task channels, task outputs]`.
    pub(super) fn sums(&self) -> usize {
        self.taps * self.task_channels[0] * self.task_channels[1]
    }

    /// Channels and outputs of a task.
    pub(super) fn channels_of(&self, task: usize) -> [Range<usize>; 2] {
        let (range, [_, outputs]) = (task / self.ranges, self.channel_ranges());
        let range = [range / outputs, range % outputs];
        [0, 1].map(|side| {
            let start = range[side] * self.task_channels[side];
            start..self.channels[side].min(start + self.task_channels[side])
        })
    }

    /// Units of a task.
    pub(super) fn units_of(&self, task: usize) -> Range<usize> {
        let range = task % self.ranges;
        self.units * range / self.ranges..self.units * (range + 1) / self.ranges
    }

    /// Lets `sum(task, sums, scratch)` write the sums of every task, and adds them up to
    /// `[outputs, C, taps]`.
    pub(super) fn run(&self, path: Path, sum: &SumOfTask<'_>) -> Vec<f32> {
        let [channels, outputs] = self.channels;
        let terms = channels * self.taps;
        let mut result = vec![0.0; outputs * terms];
        with_scratch(User::Call, |scratch| {
            let sums = first(&mut scratch.sums, self.tasks() * self.sums());
            sums.par_chunks_exact_mut(self.sums()).enumerate().for_each(|(task, sums)| {
                with_scratch(User::Task, |scratch| sum(task, sums, scratch));
            });
            result.par_chunks_mut(PANEL * terms).enumerate().for_each(|(block, result)| {
                with_scratch(User::Task, |scratch| {
                    let (split, output, rows) = (self, block * PANEL, &mut scratch.rows);
                    path.run(SumTasks { split, output, sums, rows, result });
                });
            });
        });
        result
    }
}

/// Rows of a unit, at most, of all `rows` of each block, for as many units as ranges: rows that are packed once more,
/// because taps of neighbours read them, should not be most of them.
pub(super) fn rows_of_units(rows: usize, blocks: usize, ranges: usize) -> usize {
    const LEAST: usize = 4;
    rows.div_ceil(ranges.div_ceil(blocks)).max(LEAST).min(rows)
}

/// A call and its split into tasks.
struct Call<'a> {
    path: Path,
    input: StridedMap<'a>,
    gradient: StridedMap<'a>,
    /// Of the output.
    axes: [Axis; 2],
    /// Those of the packed input.
    vertical: Axis,
    horizontal: Axis,
    /// Whether the input is packed as windows. Then its taps are channels, and its pixels those of the
    /// output.
    windows: bool,
    /// Words of a pixel of a block.
    lanes: usize,
    /// Columns of a panel of the gradient.
    columns: usize,
    split: TaskSplit,
    /// Ranges of output rows, one of which is packed at a time.
    row_ranges: usize,
}

impl<'a> Call<'a> {
    fn new(
        path: Path,
        shape: &ConvShape,
        axes: [Axis; 2],
        [mut input, gradient]: [StridedMap<'a>; 2],
        wanted: usize,
    ) -> Self {
        let windows = shape.kernel > 1 && shape.inputs < FEW;
        let channels = if windows { shape.terms() } else { shape.inputs };
        let [mut vertical, mut horizontal] = axes;
        let output = gradient.shape;
        if windows {
            [vertical, horizontal] =
                [vertical, horizontal].map(|axis| Axis { shift: 0, taps: 1, ..axis }.thinned(axis.count));
        } else if axes.iter().all(Axis::meets_one) {
            input.stride = vertical.stride;
            [vertical, horizontal] = [vertical.thinned(output.pixels()), horizontal.thinned(1)];
        }
        let lanes = LANES / path.precision().channels_per_word();
        let columns = path.contraction_columns(shape.outputs);
        let taps = vertical.taps * horizontal.taps;
        let task_channels = TERMS.div_ceil(taps).min(channels).next_multiple_of(PANEL).min(256);
        let task_outputs = OUTPUTS.min(shape.outputs).next_multiple_of(columns);
        let row_words = |rows: usize| {
            let sources = (rows - 1) * vertical.stride + vertical.taps;
            lanes * (sources * horizontal.source * task_channels + rows * horizontal.count * task_outputs)
        };
        let rows = vertical.count;
        let often = output.images * output.pixels() / PRODUCTS;
        let task_sizes = [task_channels, task_outputs];
        let ranges = TaskSplit::new([channels, shape.outputs], taps, task_sizes, usize::MAX, often).ranges();
        let most = rows_of_units(rows, shape.input().blocks(), ranges);
        let fits = (1..=most).rev().find(|rows| row_words(*rows) <= WORDS).unwrap_or(1);
        let row_ranges = rows.div_ceil(fits);
        let units = shape.input().blocks() * row_ranges;
        let split =
            TaskSplit::new([channels, shape.outputs], taps, [task_channels, task_outputs], units, often)
                .cut([PANEL, columns], wanted);
        Self { path, input, gradient, axes, vertical, horizontal, windows, lanes, columns, split, row_ranges }
    }

    /// The sums `[taps, task channels, task outputs]` of one task.
    fn run(&self, task: usize, sums: &mut [f32], scratch: &mut Scratch) {
        let (path, lanes) = (self.path, self.lanes);
        let [channels, outputs] = self.split.channels_of(task);
        sums.fill(0.0);
        for unit in self.split.units_of(task) {
            let block = unit / self.row_ranges;
            let row_at = |range: usize| self.vertical.count * range / self.row_ranges;
            let rows = row_at(unit % self.row_ranges)..row_at(unit % self.row_ranges + 1);
            let sources = self.vertical.sources_of(rows.clone());
            let panel = sources.len() * self.horizontal.source * lanes * PANEL;
            let input = first(&mut scratch.first, channels.len().div_ceil(PANEL) * panel);
            if self.windows {
                path.run(PackWindows {
                    source: self.input,
                    block,
                    terms: channels.clone(),
                    rows: rows.clone(),
                    axes: self.axes,
                    words: input,
                });
            } else {
                let width = self.horizontal.source;
                path.run(PackChannels {
                    source: self.input,
                    block,
                    channels: channels.clone(),
                    pixels: sources.start * width..sources.end * width,
                    columns: PANEL,
                    words: input,
                });
            }
            let width = self.horizontal.count;
            let gradient_panel = rows.len() * width * lanes * self.columns;
            let gradient = first(&mut scratch.second, outputs.len().div_ceil(self.columns) * gradient_panel);
            path.run(PackChannels {
                source: self.gradient,
                block,
                channels: outputs.clone(),
                pixels: rows.start * width..rows.end * width,
                columns: self.columns,
                words: gradient,
            });
            path.run(ContractTiles {
                call: self,
                input,
                gradient,
                panels: [panel, gradient_panel],
                channels: channels.len(),
                outputs: outputs.len(),
                rows,
                sources,
                lanes,
                sums,
            });
        }
    }
}

/// The gradients `[outputs, C, taps]` of up to sixteen outputs, `output` and those after it, from the sums of
/// all tasks.
struct SumTasks<'a> {
    split: &'a TaskSplit,
    output: usize,
    sums: &'a [f32],
    /// Room for the gradients of some channels.
    rows: &'a mut Vec<[f32; LANES]>,
    result: &'a mut [f32],
}

impl Kernel for SumTasks<'_> {
    #[inline(always)]
    unsafe fn run<A: Arithmetic>(self) {
        let Self { split, output, sums, rows, result } = self;
        let TaskSplit {
            channels: [inputs, _], taps, task_channels: [task_inputs, task_outputs], ranges, ..
        } = *split;
        let of_task = split.sums();
        for start in (0..inputs).step_by(PANEL) {
            let channels = start..inputs.min(start + PANEL);
            let rows = first(rows, channels.len() * taps);
            for (channel, rows) in channels.zip(rows.chunks_exact_mut(taps)) {
                let range = channel / task_inputs * split.channel_ranges()[1] + output / task_outputs;
                for (tap, total) in rows.iter_mut().enumerate() {
                    let place =
                        (tap * task_inputs + channel % task_inputs) * task_outputs + output % task_outputs;
                    *total = [0.0; LANES];
                    for task in range * ranges..(range + 1) * ranges {
                        let sums = &sums[task * of_task + place..][..LANES];
                        total.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum);
                    }
                }
            }
            // SAFETY: as the caller's.
            unsafe { unpack_columns::<A::Register>(rows, start * taps, inputs * taps, result) };
        }
    }
}

/// Adds the products of packed rows to a task's sums.
struct ContractTiles<'a> {
    call: &'a Call<'a>,
    /// `[⌈channels / 16⌉, source rows, source columns, lanes, 16]`
    input: &'a [u32],
    /// `[⌈outputs / columns⌉, rows, columns of the map, lanes, columns]`
    gradient: &'a [u32],
    /// Words of a panel of each.
    panels: [usize; 2],
    channels: usize,
    outputs: usize,
    rows: Range<usize>,
    sources: Range<usize>,
    lanes: usize,
    sums: &'a mut [f32],
}

impl Kernel for ContractTiles<'_> {
    #[inline(always)]
    unsafe fn run<A: Arithmetic>(self) {
        let Call { vertical, horizontal, split, columns, .. } = *self.call;
        let [task_channels, task_outputs] = split.task_channels;
        let [input_panels, gradient_panels] = [self.channels.div_ceil(PANEL), self.outputs.div_ceil(columns)];
        assert!(input_panels * self.panels[0] <= self.input.len());
        assert!(gradient_panels * self.panels[1] <= self.gradient.len());
        assert_eq!(self.panels[0], self.sources.len() * horizontal.source * self.lanes * PANEL);
        assert_eq!(self.panels[1], self.rows.len() * horizontal.count * self.lanes * columns);
        assert!(input_panels * PANEL <= task_channels && gradient_panels * columns <= task_outputs);
        assert_eq!(self.sums.len(), split.sums());
        for tap in 0..vertical.taps * horizontal.taps {
            let [tap_row, tap_column] = [tap / horizontal.taps, tap % horizontal.taps];
            let rows = vertical.indices_of(tap_row, self.rows.clone());
            let pixels = horizontal.indices_of(tap_column, 0..horizontal.count);
            if rows.is_empty() || pixels.is_empty() {
                continue;
            }
            let source_row = vertical.source_of(rows.start, tap_row) - self.sources.start;
            let source = source_row * horizontal.source + horizontal.source_of(pixels.start, tap_column);
            let target = (rows.start - self.rows.start) * horizontal.count + pixels.start;
            // Without stride the pixels of a row are one stretch, and without taps the rows too.
            let (lines, stretches, length) = match (horizontal.stride, vertical.taps * horizontal.taps) {
                (1, 1) if [horizontal.source, horizontal.count] == [pixels.len(); 2] => {
                    (1, 1, rows.len() * pixels.len() * self.lanes)
                }
                (1, _) => (rows.len(), 1, pixels.len() * self.lanes),
                _ => (rows.len(), pixels.len(), self.lanes),
            };
            let micro_kernel = ContractMicroKernel {
                rows: lines,
                stretches,
                length,
                input_steps: [
                    vertical.stride * horizontal.source * self.lanes * PANEL,
                    horizontal.stride * self.lanes * PANEL,
                ],
                gradient_steps: [horizontal.count * self.lanes * columns, self.lanes * columns],
                row: task_outputs,
                add: true,
            };
            for channel in (0..self.channels).step_by(A::CONTRACTION_ROWS) {
                for panel in 0..gradient_panels {
                    let place = (tap * task_channels + channel) * task_outputs + panel * columns;
                    // SAFETY: valid taps of pixels lie in the packed rows, and rows of a tile divide those of
                    // a panel: by the assertions every word read lies in its panel, and every sum in those of
                    // the task.
                    unsafe {
                        let input = self.input.as_ptr().add(
                            channel / PANEL * self.panels[0] + source * self.lanes * PANEL + channel % PANEL,
                        );
                        let gradient = self
                            .gradient
                            .as_ptr()
                            .add(panel * self.panels[1] + target * self.lanes * columns);
                        let sums = self.sums.as_mut_ptr().add(place);
                        micro_kernel.panel::<A>(columns, input, gradient, sums);
                    }
                }
            }
        }
    }
}

/// The loops of a register tile: over rows, the stretches of a row, and the words of a stretch.
pub(super) struct ContractMicroKernel {
    pub(super) rows: usize,
    pub(super) stretches: usize,
    pub(super) length: usize,
    /// Words from row to row, and from stretch to stretch.
    pub(super) input_steps: [usize; 2],
    pub(super) gradient_steps: [usize; 2],
    /// Sums from one channel to the next.
    pub(super) row: usize,
    /// Whether to add to the sums instead of overwriting them.
    pub(super) add: bool,
}

impl ContractMicroKernel {
    /// Sums the products of a tile's channels and a panel of the gradient.
    ///
    /// # Safety
    /// The processor has the registers of `A`, every step stays in the panels, whose gradient has `columns`,
    /// and as many sums of `CONTRACTION_ROWS` rows lie in the target.
    #[inline(always)]
    pub(super) unsafe fn panel<A: Arithmetic>(
        &self,
        columns: usize,
        input: *const u32,
        gradient: *const u32,
        target: *mut f32,
    ) {
        // SAFETY: as the caller's.
        unsafe {
            match (A::CONTRACTION_ROWS, columns / A::Register::LANES) {
                (8, 2) => self.tile::<A, 8, 2>(input, gradient, target),
                (8, _) => self.tile::<A, 8, 1>(input, gradient, target),
                (4, _) => self.tile::<A, 4, 2>(input, gradient, target),
                _ => self.tile::<A, 2, 4>(input, gradient, target),
            }
        }
    }

    /// # Safety
    /// The processor has the registers of `A`, every step stays in the panels, and `ROWS` rows of `VECTORS`
    /// registers lie in the sums.
    #[inline(always)]
    unsafe fn tile<A: Arithmetic, const ROWS: usize, const VECTORS: usize>(
        &self,
        input: *const u32,
        gradient: *const u32,
        target: *mut f32,
    ) {
        let lanes = A::Register::LANES;
        // SAFETY: as the caller's.
        unsafe {
            let mut sums = [[A::Register::splat(0.0); VECTORS]; ROWS];
            for row in 0..if self.add { ROWS } else { 0 } {
                for vector in 0..VECTORS {
                    sums[row][vector] = A::Register::load(target.add(row * self.row + vector * lanes));
                }
            }
            for row in 0..self.rows {
                for stretch in 0..self.stretches {
                    let input = input.add(row * self.input_steps[0] + stretch * self.input_steps[1]);
                    let gradient =
                        gradient.add(row * self.gradient_steps[0] + stretch * self.gradient_steps[1]);
                    for position in 0..self.length {
                        let mut values = [A::Register::splat(0.0); VECTORS];
                        for vector in 0..VECTORS {
                            let place = (position * VECTORS + vector) * lanes;
                            values[vector] = A::Register::load(gradient.add(place).cast());
                        }
                        for row in 0..ROWS {
                            let value = f32::from_bits(*input.add(position * PANEL + row));
                            let value = A::Register::splat(value);
                            for vector in 0..VECTORS {
                                sums[row][vector] = A::add_products(value, values[vector], sums[row][vector]);
                            }
                        }
                    }
                }
            }
            for row in 0..ROWS {
                for vector in 0..VECTORS {
                    sums[row][vector].store(target.add(row * self.row + vector * lanes));
                }
            }
        }
    }
}
