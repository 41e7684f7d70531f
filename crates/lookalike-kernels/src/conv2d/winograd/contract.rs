//! The weight gradient by tiles: as many products as a tile has elements, of channels and outputs over tiles of all images.

#![expect(unsafe_code, reason = "registers read and written through pointers whose bounds are asserted")]
#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]

use std::ops::Range;

use super::super::Shape;
use super::super::arithmetic::{Arithmetic, Kernel, LANES, Path};
use super::super::contract::{PANEL, Split, Walk};
use super::super::grid::Axis;
use super::super::layout::Planes;
use super::super::scratch::{Scratch, first};
use super::tiles::{Maps, Tiles};
use super::transform::{Gradient, Input, Line, WeightGradient, collect, spread};
use super::{ELEMENTS, INPUTS, OUTPUTS};
use crate::vector::Vector;

/// Tiles that are transformed at once, at least where there are so many.
const POSITIONS: usize = 128;
/// Input and output channels of a task, at most.
const CHANNELS: usize = 64;

/// The gradient of the weights, `[O, C, 3, 3]`; `axes` are those of the output.
pub(in super::super) fn contract(
    path: Path,
    shape: &Shape,
    axes: &[Axis; 2],
    input: &[f32],
    gradient: &[f32],
) -> Vec<f32> {
    assert!(super::is_possible(axes));
    let (rounded, path) = (path.pairs(), path.singles());
    let (from, to) = (shape.input(), shape.output());
    let map = [to.height, to.width];
    let columns = path.contraction_columns(shape.outputs);
    let task_channels = |channels: usize, panel: usize| {
        channels.div_ceil(channels.div_ceil(CHANNELS)).next_multiple_of(panel)
    };
    let task_channels = [task_channels(shape.inputs, PANEL), task_channels(shape.outputs, columns)];
    let bands = shape.images * to.height.div_ceil(OUTPUTS);
    let unit = POSITIONS.div_ceil(to.width.div_ceil(OUTPUTS));
    let call = Call {
        path,
        rounded,
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
        split: Split::new([shape.inputs, shape.outputs], 9, task_channels, bands.div_ceil(unit)),
        unit,
    };
    call.split.run(path, &|task, sums, scratch| call.run(task, sums, scratch))
}

/// Input or output gradient.
struct Operand<'a> {
    values: &'a [f32],
    planes: Planes,
    tiles: Tiles,
}

struct Call<'a> {
    path: Path,
    /// Whether operands are rounded to bfloat16.
    rounded: bool,
    operands: [Operand<'a>; 2],
    /// Rows of tiles of all images.
    bands: usize,
    /// Columns of a panel of the gradient.
    columns: usize,
    split: Split,
    /// Bands that are transformed at once.
    unit: usize,
}

impl Call<'_> {
    /// The sums `[taps, task inputs, task outputs]` of one task.
    fn run(&self, task: usize, sums: &mut [f32], scratch: &mut Scratch) {
        let channels = self.split.channels_of(task);
        let [task_inputs, task_outputs] = self.split.task_channels;
        let products = first(&mut scratch.sums, ELEMENTS * task_inputs * task_outputs);
        let units = self.split.units_of(task);
        for unit in units.clone() {
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
                    rounded: self.rounded,
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
            let add = unit > units.start;
            self.path.run(Multiply {
                call: self,
                inputs,
                panels,
                positions,
                steps,
                input,
                gradient,
                add,
                products,
            });
        }
        if units.is_empty() {
            products.fill(0.0);
        }
        self.path.run(Collect { products, task_channels: self.split.task_channels, sums });
    }
}

/// Transforms a row of tiles of an image into `[elements, ⌈channels / columns⌉, positions, columns]`.
struct Spread<'a> {
    operand: &'a Operand<'a>,
    rounded: bool,
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
        let Self { operand, rounded, image, row, channels, offsets, place, columns, laid, words, step } =
            self;
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
            let there = count.saturating_sub(channel).min(LANES);
            let start = image * planes.values() + (channels.start + channel.min(count - 1)) * planes.map();
            // SAFETY: as the caller's.
            unsafe {
                let maps = Maps { start, stride: planes.map(), count: there, next: LANES * planes.map() };
                tiles.lay::<A>(values, rounded, &rows, maps, laid);
            }
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

/// Sums the products of some positions.
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
    /// Whether to add to the products of earlier positions.
    add: bool,
    /// `[elements, task inputs, task outputs]`
    products: &'a mut [f32],
}

impl Kernel for Multiply<'_> {
    #[inline(always)]
    unsafe fn run<A: Arithmetic>(self) {
        assert!(!A::PAIRS);
        let Self { call, inputs, panels, positions, steps, input, gradient, add, products } = self;
        let (columns, [task_inputs, task_outputs]) = (call.columns, call.split.task_channels);
        assert!(panels[0] * positions * PANEL <= steps[0] && ELEMENTS * steps[0] <= input.len());
        assert!(panels[1] * positions * columns <= steps[1] && ELEMENTS * steps[1] <= gradient.len());
        assert!(inputs <= panels[0] * PANEL && panels[0] * PANEL <= task_inputs);
        assert!(
            panels[1] * columns <= task_outputs && ELEMENTS * task_inputs * task_outputs <= products.len()
        );
        let walk = Walk {
            rows: 1,
            stretches: 1,
            length: positions,
            input_steps: [0; 2],
            gradient_steps: [0; 2],
            row: task_outputs,
            add,
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
                        walk.panel::<A>(columns, input, gradient, products.as_mut_ptr().add(place));
                    }
                }
            }
        }
    }
}

/// Transforms a task's products back to `[taps, task inputs, task outputs]`.
struct Collect<'a> {
    products: &'a [f32],
    task_channels: [usize; 2],
    sums: &'a mut [f32],
}

impl Kernel for Collect<'_> {
    #[inline(always)]
    unsafe fn run<A: Arithmetic>(self) {
        let Self { products, task_channels: [inputs, outputs], sums } = self;
        let pairs = inputs * outputs;
        assert!(pairs.is_multiple_of(LANES));
        assert!(products.len() == ELEMENTS * pairs && sums.len() == 9 * pairs);
        for pair in (0..pairs).step_by(A::Register::LANES) {
            // SAFETY: by the assertions every element and every tap has as many pairs, whose number registers divide.
            unsafe {
                let mut elements = [A::Register::splat(0.0); ELEMENTS];
                for (element, value) in elements.iter_mut().enumerate() {
                    *value = A::Register::load(products.as_ptr().add(element * pairs + pair));
                }
                let square = collect::<WeightGradient, A::Register, 3>(&elements);
                for (tap, value) in square.iter().flatten().enumerate() {
                    value.store(sums.as_mut_ptr().add(tap * pairs + pair));
                }
            }
        }
    }
}
