//! The weight gradient by tiles: as many products as a tile has elements, of channels and outputs over tiles of all images.

#![expect(unsafe_code, reason = "registers read and written through pointers whose bounds are asserted")]
#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]

use std::ops::Range;

use rayon::prelude::*;

use super::super::Shape;
use super::super::arithmetic::{Arithmetic, Kernel, LANES, Path};
use super::super::contract::{PANEL, Walk};
use super::super::grid::Axis;
use super::super::layout::{Planes, take_columns};
use super::super::scratch::{Scratch, User, first, with_scratch};
use super::tiles::Tiles;
use super::transform::{Gradient, Input, Line, WeightGradient, collect, spread};
use super::{ELEMENTS, INPUTS, OUTPUTS};
use crate::vector::Vector;

/// Tiles that are transformed at once, at least where there are so many.
const POSITIONS: usize = 128;
/// Tasks to be had where sizes allow it; each has sums of its own.
const TASKS: usize = 16;
/// Input and output channels of a task, at most.
const CHANNELS: usize = 128;

/// The gradient of the weights, `[O, C, 3, 3]`; `axes` are those of the output.
pub(in super::super) fn contract(
    path: Path,
    shape: &Shape,
    axes: &[Axis; 2],
    input: &[f32],
    gradient: &[f32],
) -> Vec<f32> {
    assert!(super::is_possible(path, axes));
    let (from, to) = (shape.input(), shape.output());
    let map = [to.height, to.width];
    let columns = path.contraction_columns(shape.outputs);
    let range = |channels: usize, panel: usize| {
        let ranges = channels.div_ceil(CHANNELS);
        let each = channels.div_ceil(ranges).next_multiple_of(panel);
        [each, channels.div_ceil(each)]
    };
    let [task_inputs, input_ranges] = range(shape.inputs, PANEL);
    let [task_outputs, output_ranges] = range(shape.outputs, columns);
    let bands = shape.images * to.height.div_ceil(OUTPUTS);
    let unit = POSITIONS.div_ceil(to.width.div_ceil(OUTPUTS));
    let units = bands.div_ceil(unit);
    let call = Call {
        path,
        operands: [
            Operand {
                values: input,
                planes: from,
                tiles: Tiles::new(map, axes.map(|axis| axis.shift), INPUTS, from),
            },
            Operand { values: gradient, planes: to, tiles: Tiles::new(map, [0, 0], OUTPUTS, to) },
        ],
        bands,
        columns,
        task_channels: [task_inputs, task_outputs],
        channel_ranges: [input_ranges, output_ranges],
        unit,
        units,
        ranges: (TASKS / (input_ranges * output_ranges)).clamp(1, units.max(1)),
    };
    let mut result = vec![0.0; shape.outputs * shape.terms()];
    with_scratch(User::Call, |scratch| {
        let tasks = input_ranges * output_ranges * call.ranges;
        let sums = first(&mut scratch.sums, tasks * call.sums());
        sums.par_chunks_exact_mut(call.sums()).enumerate().for_each(|(task, sums)| {
            with_scratch(User::Task, |scratch| call.run(task, sums, scratch));
        });
        result.par_chunks_mut(LANES * shape.terms()).enumerate().for_each(|(block, result)| {
            with_scratch(User::Task, |scratch| {
                let (call, outputs, rows) = (&call, block * LANES, &mut scratch.rows);
                path.run(Gather { call, outputs, sums, rows, result });
            });
        });
    });
    result
}

/// Input or output gradient.
struct Operand<'a> {
    values: &'a [f32],
    planes: Planes,
    tiles: Tiles,
}

/// A call and its split into tasks, which depends on its sizes alone.
struct Call<'a> {
    path: Path,
    operands: [Operand<'a>; 2],
    /// Rows of tiles of all images.
    bands: usize,
    /// Columns of a panel of the gradient.
    columns: usize,
    /// Inputs and outputs of a task's sums, multiples of the panels, and ranges of both.
    task_channels: [usize; 2],
    channel_ranges: [usize; 2],
    /// Bands that are transformed at once, and how many such units there are.
    unit: usize,
    units: usize,
    /// Ranges of units.
    ranges: usize,
}

impl Call<'_> {
    /// Sums of a task, `[elements, inputs, outputs]`.
    fn sums(&self) -> usize {
        ELEMENTS * self.task_channels[0] * self.task_channels[1]
    }

    /// Input and output channels of a task.
    fn channels(&self, task: usize) -> [Range<usize>; 2] {
        let range = task / self.ranges;
        let range = [range / self.channel_ranges[1], range % self.channel_ranges[1]];
        [0, 1].map(|side| {
            let start = range[side] * self.task_channels[side];
            start..self.operands[side].planes.channels.min(start + self.task_channels[side])
        })
    }

    fn run(&self, task: usize, sums: &mut [f32], scratch: &mut Scratch) {
        sums.fill(0.0);
        let channels = self.channels(task);
        let range = task % self.ranges;
        for unit in self.units * range / self.ranges..self.units * (range + 1) / self.ranges {
            let bands = unit * self.unit..self.bands.min((unit + 1) * self.unit);
            let positions = bands.len() * self.operands[0].tiles.count[1];
            let [inputs, outputs] = channels.each_ref().map(Range::len);
            let panels = [inputs.div_ceil(PANEL), outputs.div_ceil(self.columns)];
            // A line more, lest all elements fall into the same set of a cache.
            let steps = [panels[0] * positions * PANEL + LANES, panels[1] * positions * self.columns + LANES];
            let laid = self.operands.iter().map(|operand| operand.tiles.band_words()).max().unwrap_or(0);
            let (laid, input) = first(&mut scratch.first, laid + ELEMENTS * steps[0]).split_at_mut(laid);
            let gradient = first(&mut scratch.second, ELEMENTS * steps[1]);
            for (index, band) in bands.enumerate() {
                let [rows, columns] = self.operands[0].tiles.count;
                let position = index * columns;
                let [image, row] = [band / rows, band % rows];
                let offsets = &mut scratch.offsets;
                let of = |side: usize, words, columns| Spread {
                    operand: &self.operands[side],
                    image,
                    row,
                    channels: channels[side].clone(),
                    offsets: &[],
                    place: [position, positions],
                    columns,
                    laid: &mut [],
                    words,
                    step: steps[side],
                };
                offsets.clear();
                self.operands[0].tiles.list(row, offsets);
                self.path.run(SpreadInput(Spread { offsets, laid, ..of(0, input, PANEL) }));
                offsets.clear();
                self.operands[1].tiles.list(row, offsets);
                self.path.run(SpreadGradient(Spread { offsets, laid, ..of(1, gradient, self.columns) }));
            }
            self.path.run(Multiply { call: self, inputs, panels, positions, steps, input, gradient, sums });
        }
    }
}

/// Transforms a row of tiles of an image into `[elements, ⌈channels / columns⌉, positions, columns]`.
struct Spread<'a> {
    operand: &'a Operand<'a>,
    image: usize,
    row: usize,
    channels: Range<usize>,
    offsets: &'a [u32],
    /// Of the first tile, and positions there are.
    place: [usize; 2],
    /// A multiple of 16.
    columns: usize,
    laid: &'a mut [u32],
    words: &'a mut [u32],
    /// Words from one element to the next.
    step: usize,
}

impl Spread<'_> {
    /// # Safety
    /// The processor has the registers of `A`.
    #[inline(always)]
    unsafe fn run<A: Arithmetic, L: Line<SIDE, INPUTS>, const SIDE: usize>(self) {
        assert!(!A::PAIRS);
        let Self { operand, image, row, channels, offsets, place, columns, laid, words, step } = self;
        let [position, positions] = place;
        let Operand { values, planes, tiles } = operand;
        let (rows, count) = (tiles.rows(row), channels.len());
        assert_eq!(offsets.len(), tiles.count[1] * SIDE * SIDE);
        assert!(offsets.iter().all(|offset| *offset as usize + LANES <= laid.len()));
        assert!(
            count.div_ceil(columns) * positions * columns <= step && position + tiles.count[1] <= positions
        );
        assert!(ELEMENTS * step <= words.len());
        for channel in (0..count.next_multiple_of(columns)).step_by(LANES) {
            let maps = count.saturating_sub(channel).min(LANES);
            let start = image * planes.values() + (channels.start + channel.min(count - 1)) * planes.map();
            // SAFETY: as the caller's.
            unsafe { tiles.lay::<A>(values, &rows, [start, planes.map(), maps], laid) };
            for tile in 0..tiles.count[1] {
                let place = (channel / columns * positions + position + tile) * columns + channel % columns;
                for lane in (0..LANES).step_by(A::Register::LANES) {
                    // SAFETY: by the assertions each square lies in what was laid out and each element in the words.
                    unsafe {
                        let offsets = offsets.as_ptr().add(tile * SIDE * SIDE);
                        let laid = laid.as_ptr().cast::<f32>().add(lane);
                        let target = words.as_mut_ptr().cast::<f32>().add(place + lane);
                        spread::<L, A::Register, SIDE>(laid, offsets, target, step);
                    }
                }
            }
        }
    }
}

struct SpreadInput<'a>(Spread<'a>);

impl Kernel for SpreadInput<'_> {
    #[inline(always)]
    unsafe fn run<A: Arithmetic>(self) {
        // SAFETY: as the caller's.
        unsafe { self.0.run::<A, Input, INPUTS>() }
    }
}

struct SpreadGradient<'a>(Spread<'a>);

impl Kernel for SpreadGradient<'_> {
    #[inline(always)]
    unsafe fn run<A: Arithmetic>(self) {
        // SAFETY: as the caller's.
        unsafe { self.0.run::<A, Gradient, OUTPUTS>() }
    }
}

/// Adds the products of some positions to a task's sums.
struct Multiply<'a> {
    call: &'a Call<'a>,
    inputs: usize,
    panels: [usize; 2],
    positions: usize,
    steps: [usize; 2],
    /// `[elements, panels, positions, 16]`
    input: &'a [u32],
    /// `[elements, panels, positions, columns]`
    gradient: &'a [u32],
    sums: &'a mut [f32],
}

impl Kernel for Multiply<'_> {
    #[inline(always)]
    unsafe fn run<A: Arithmetic>(self) {
        assert!(!A::PAIRS);
        let Self { call, inputs, panels, positions, steps, input, gradient, sums } = self;
        let (columns, [task_inputs, task_outputs]) = (call.columns, call.task_channels);
        assert!(panels[0] * positions * PANEL <= steps[0] && ELEMENTS * steps[0] <= input.len());
        assert!(panels[1] * positions * columns <= steps[1] && ELEMENTS * steps[1] <= gradient.len());
        assert!(inputs <= panels[0] * PANEL && panels[0] * PANEL <= task_inputs);
        assert!(panels[1] * columns <= task_outputs && ELEMENTS * task_inputs * task_outputs <= sums.len());
        let walk = Walk {
            rows: 1,
            stretches: 1,
            length: positions,
            input_steps: [0; 2],
            gradient_steps: [0; 2],
            row: task_outputs,
        };
        for element in 0..ELEMENTS {
            for channel in (0..inputs).step_by(A::CONTRACTION_ROWS) {
                for panel in 0..panels[1] {
                    // SAFETY: rows of a tile divide those of a panel: by the assertions every word read lies in its panel,
                    // and every sum in those of the task.
                    unsafe {
                        let place = channel / PANEL * positions * PANEL + channel % PANEL;
                        let input = input.as_ptr().add(element * steps[0] + place);
                        let gradient =
                            gradient.as_ptr().add(element * steps[1] + panel * positions * columns);
                        let place = (element * task_inputs + channel) * task_outputs + panel * columns;
                        walk.panel::<A>(columns, input, gradient, sums.as_mut_ptr().add(place));
                    }
                }
            }
        }
    }
}

/// The gradients `[outputs, C, 3, 3]` of sixteen outputs from the sums of all tasks.
struct Gather<'a> {
    call: &'a Call<'a>,
    /// The first.
    outputs: usize,
    sums: &'a [f32],
    /// Room for the gradients of some channels.
    rows: &'a mut Vec<[f32; LANES]>,
    result: &'a mut [f32],
}

impl Kernel for Gather<'_> {
    #[inline(always)]
    unsafe fn run<A: Arithmetic>(self) {
        assert!(!A::PAIRS);
        let Self { call, outputs, sums, rows, result } = self;
        let [task_inputs, task_outputs] = call.task_channels;
        let inputs = call.operands[0].planes.channels;
        let rows = first(rows, 9 * LANES.min(inputs));
        for channel in 0..inputs {
            let taps = &mut rows[channel % LANES * 9..][..9];
            let range = channel / task_inputs * call.channel_ranges[1] + outputs / task_outputs;
            let tasks = range * call.ranges..(range + 1) * call.ranges;
            let place = channel % task_inputs * task_outputs + outputs % task_outputs;
            assert!(
                (tasks.end - 1) * call.sums() + (ELEMENTS - 1) * task_inputs * task_outputs + place + LANES
                    <= sums.len()
            );
            for lane in (0..LANES).step_by(A::Register::LANES) {
                // SAFETY: by the assertion the elements of sixteen outputs lie in the sums of each task.
                unsafe {
                    let mut elements = [A::Register::splat(0.0); ELEMENTS];
                    for task in tasks.clone() {
                        for (element, value) in elements.iter_mut().enumerate() {
                            let place = task * call.sums() + element * task_inputs * task_outputs + place;
                            let sum = A::Register::load(sums.as_ptr().add(place + lane));
                            *value = sum.multiply_add(A::Register::splat(1.0), *value);
                        }
                    }
                    let square = collect::<WeightGradient, A::Register, 3>(&elements);
                    for (tap, value) in square.iter().flatten().enumerate() {
                        value.store(taps[tap].as_mut_ptr().add(lane));
                    }
                }
            }
            if channel % LANES == LANES - 1 || channel + 1 == inputs {
                let first = channel / LANES * LANES;
                let rows = &rows[..9 * (channel + 1 - first)];
                // SAFETY: as the caller's.
                unsafe { take_columns::<A::Register>(rows, 9 * first, 9 * inputs, result) };
            }
        }
    }
}
