//! The weight gradient by tiles: as many products as a tile has elements, of channels and outputs over tiles
//! of all images.

#![expect(unsafe_code, reason = "registers read and written through pointers whose bounds are asserted")]
#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]

use std::ops::Range;

use super::super::arithmetic::{Arithmetic, Kernel, LANES, Path};
use super::super::contract::{ContractMicroKernel, PANEL, PRODUCTS, TaskSplit};
use super::super::grid::Axis;
use super::super::layout::{BLOCK, StridedMap, unpack_line};
use super::super::scratch::{Scratch, first};
use super::tiles::TileGrid;
use super::transform::{
    GradientTransform, InputTransform, Transform, WeightGradientTransform, elements_to_tile, tile_to_elements,
};
use super::{ELEMENTS, INPUTS, OUTPUTS};
use crate::map::lines;
use crate::vector::Vector;

/// Tiles that are transformed at once, at least, if there are so many.
const POSITIONS: usize = 128;
/// Input and output channels of a task, at most.
const CHANNELS: usize = 64;

impl<'a> Call<'a> {
    /// Of the gradient of the weights, `[O, C, 3, 3]`, from input and output gradient; `axes` are those of the output.
    pub(in super::super) fn new(
        path: Path,
        axes: &[Axis; 2],
        sources: [StridedMap<'a>; 2],
        wanted: usize,
    ) -> Self {
        assert!(super::is_possible(axes));
        let channels = sources.map(|source| source.shape.channels);
        let to = sources[1].shape;
        let columns = path.contraction_columns(channels[1]);
        let task_channels = |channels: usize, panel: usize| {
            channels.div_ceil(channels.div_ceil(CHANNELS)).next_multiple_of(panel)
        };
        let task_channels = [task_channels(channels[0], PANEL), task_channels(channels[1], columns)];
        let bands = to.blocks() * to.height.div_ceil(OUTPUTS);
        let unit = POSITIONS.div_ceil(to.width.div_ceil(OUTPUTS) * to.images.clamp(1, LANES));
        let shifts = [axes.map(|axis| axis.shift), [0; 2]];
        let operand = |side: usize, square: usize| Operand {
            source: sources[side],
            tiles: TileGrid::new([to.height, to.width], shifts[side], square, sources[side].shape),
        };
        let often = bands * to.width.div_ceil(OUTPUTS) * LANES * ELEMENTS / 9 / PRODUCTS;
        Self {
            path,
            operands: [operand(0, INPUTS), operand(1, OUTPUTS)],
            bands,
            columns,
            split: TaskSplit::new(channels, 9, task_channels, bands.div_ceil(unit), often)
                .cut([PANEL, columns], wanted),
            unit,
        }
    }
}

/// Input or output gradient.
struct Operand<'a> {
    source: StridedMap<'a>,
    tiles: TileGrid,
}

/// A call and its split into tasks.
pub(in super::super) struct Call<'a> {
    /// The instructions for the maps. Transformed tiles are `f32`.
    path: Path,
    operands: [Operand<'a>; 2],
    /// Rows of tiles of all blocks.
    bands: usize,
    /// Columns of a panel of the gradient.
    columns: usize,
    pub(in super::super) split: TaskSplit,
    /// Bands that are transformed at once.
    unit: usize,
}

impl Call<'_> {
    /// Images of the block of a band.
    fn images_of(&self, band: usize) -> usize {
        let operand = &self.operands[0];
        operand.source.shape.images_of(band / operand.tiles.count[0]).len()
    }

    /// The sums `[taps, task inputs, task outputs]` of one task.
    pub(in super::super) fn run(&self, task: usize, sums: &mut [f32], scratch: &mut Scratch) {
        let channels = self.split.channels_of(task);
        let [task_inputs, task_outputs] = self.split.task_channels;
        let products = first(&mut scratch.sums, ELEMENTS * task_inputs * task_outputs);
        let units = self.split.units_of(task);
        for unit in units.clone() {
            let bands = unit * self.unit..self.bands.min((unit + 1) * self.unit);
            let [rows, columns] = self.operands[0].tiles.count;
            let positions = bands.clone().map(|band| self.images_of(band) * columns).sum();
            let [inputs, outputs] = channels.each_ref().map(Range::len);
            let panels = [inputs.div_ceil(PANEL), outputs.div_ceil(self.columns)];
            // One line more, so that the elements do not all fall into the same set of a cache.
            let steps = [panels[0] * positions * PANEL + LANES, panels[1] * positions * self.columns + LANES];
            let packed =
                self.operands.iter().map(|operand| LANES * operand.tiles.band_words()).max().unwrap_or(0);
            let (packed, input) =
                first(&mut scratch.first, packed + ELEMENTS * steps[0]).split_at_mut(packed);
            let gradient = first(&mut scratch.second, ELEMENTS * steps[1]);
            let mut position = 0;
            for band in bands {
                let images = self.images_of(band);
                for (side, words) in [&mut *input, &mut *gradient].into_iter().enumerate() {
                    let operand = &self.operands[side];
                    scratch.offsets.clear();
                    operand.tiles.list(band % rows, &mut scratch.offsets);
                    let operand = TransformOperand {
                        operand,
                        band,
                        images,
                        channels: channels[side].clone(),
                        offsets: &scratch.offsets,
                        place: [position, positions],
                        columns: [PANEL, self.columns][side],
                        packed: &mut *packed,
                        words,
                        step: steps[side],
                    };
                    match side {
                        0 => self.path.run(TransformInput(operand)),
                        _ => self.path.run(TransformGradient(operand)),
                    }
                }
                position += images * columns;
            }
            let add = unit > units.start;
            self.path.in_f32().run(MultiplyTiles {
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
        self.path.run(TransformWeightGradient { products, task_channels: self.split.task_channels, sums });
    }
}

/// Transforms a row of tiles of the images of a block into
/// `[elements, ⌈channels / columns⌉, positions, columns]`.
struct TransformOperand<'a> {
    operand: &'a Operand<'a>,
    band: usize,
    images: usize,
    /// From a multiple of 16 on.
    channels: Range<usize>,
    offsets: &'a [u32],
    /// Of the first tile, and positions there are.
    place: [usize; 2],
    /// A multiple of 16.
    columns: usize,
    /// Room for the zeros and pixels of sixteen channels of each image.
    packed: &'a mut [u32],
    words: &'a mut [u32],
    /// Words from one element to the next.
    step: usize,
}

impl TransformOperand<'_> {
    /// Packs sixteen channels of the band as `[images, zeros and pixels, 16]`, in `f32`.
    ///
    /// # Safety
    /// The processor has the registers of `A`.
    #[inline(always)]
    unsafe fn pack<A: Arithmetic>(&mut self, channel: usize) {
        let source = &self.operand.source;
        let (each, map_pixels) = (source.precision.channels_per_word(), source.shape.pixels());
        let tiles = &self.operand.tiles;
        let (pixels, image) = (tiles.pixels(self.band % tiles.count[0]), tiles.band_words());
        let rows = BLOCK / each;
        let word = (self.channels.start + channel) / each;
        let there = self.channels.end.div_ceil(each).saturating_sub(word).min(rows);
        let first = source.line(self.band / tiles.count[0], word, pixels.start);
        let map = lines(source.words);
        assert!(there == 0 || first + (there - 1) * map_pixels + pixels.len() <= map.len());
        assert!((1 + pixels.len()) * LANES <= image && LANES * image <= self.packed.len());
        for packed in self.packed.chunks_exact_mut(image) {
            packed[..LANES].fill(0);
        }
        for pixel in 0..pixels.len() {
            let mut block = [[0.0; LANES]; BLOCK];
            // SAFETY: by the assertions sixteen lines lie in the map where they are read from it, and sixteen
            // rows in the packed ones; the caller guarantees the registers.
            unsafe {
                let (source, stride) = if there == BLOCK {
                    (map.as_ptr().add(first + pixel).cast::<f32>(), map_pixels * LANES)
                } else {
                    for row in 0..there {
                        let line = &map[first + row * map_pixels + pixel];
                        let [low, high] = &mut block[row * each..][..2] else { unreachable!() };
                        unpack_line::<A>(line, [low, high]);
                    }
                    (block.as_ptr().cast(), LANES)
                };
                let target = self.packed.as_mut_ptr().add((1 + pixel) * LANES);
                A::Register::transpose(source, stride, target.cast(), image);
            }
        }
    }

    /// # Safety
    /// The processor has the registers of `A`.
    #[inline(always)]
    unsafe fn run<A: Arithmetic, L: Transform<SIDE, INPUTS>, const SIDE: usize>(mut self) {
        let [position, positions] = self.place;
        let (tiles, count, columns) = (&self.operand.tiles, self.channels.len(), self.columns);
        let (across, image_words) = (tiles.count[1], tiles.band_words());
        assert_eq!(self.offsets.len(), across * SIDE * SIDE);
        assert!(self.offsets.iter().all(|offset| *offset as usize + LANES <= image_words));
        assert!(LANES * image_words <= self.packed.len() && self.images <= LANES);
        assert!(count.div_ceil(columns) * positions * columns <= self.step);
        assert!(position + self.images * across <= positions);
        assert!(ELEMENTS * self.step <= self.words.len());
        for channel in (0..count.next_multiple_of(columns)).step_by(LANES) {
            // SAFETY: as the caller's.
            unsafe { self.pack::<A>(channel) };
            for tile in 0..self.images * across {
                let (image, column) = (tile / across, tile % across);
                let place = (channel / columns * positions + position + tile) * columns + channel % columns;
                for lane in (0..LANES).step_by(A::Register::LANES) {
                    // SAFETY: by the assertions each tile lies in the packed pixels and each element in the
                    // words.
                    unsafe {
                        let offsets = self.offsets.as_ptr().add(column * SIDE * SIDE);
                        let packed = self.packed.as_ptr().cast::<f32>().add(image * image_words + lane);
                        let target = self.words.as_mut_ptr().cast::<f32>().add(place + lane);
                        tile_to_elements::<L, A::Register, SIDE>(packed, offsets, target, self.step);
                    }
                }
            }
        }
    }
}

struct TransformInput<'a>(TransformOperand<'a>);

impl Kernel for TransformInput<'_> {
    #[inline(always)]
    unsafe fn run<A: Arithmetic>(self) {
        // SAFETY: as the caller's.
        unsafe { self.0.run::<A, InputTransform, INPUTS>() }
    }
}

struct TransformGradient<'a>(TransformOperand<'a>);

impl Kernel for TransformGradient<'_> {
    #[inline(always)]
    unsafe fn run<A: Arithmetic>(self) {
        // SAFETY: as the caller's.
        unsafe { self.0.run::<A, GradientTransform, OUTPUTS>() }
    }
}

/// The tile products: for each element, the sum over some positions of input times gradient.
struct MultiplyTiles<'a> {
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

impl Kernel for MultiplyTiles<'_> {
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
        let micro_kernel = ContractMicroKernel {
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
                    // SAFETY: rows of a tile divide those of a panel: by the assertions every word read lies
                    // in its panel, and every sum in those of the task.
                    unsafe {
                        let place = channel / PANEL * positions * PANEL + channel % PANEL;
                        let input = input.as_ptr().add(element * steps[0] + place);
                        let gradient =
                            gradient.as_ptr().add(element * steps[1] + panel * positions * columns);
                        let place = (element * task_inputs + channel) * task_outputs + panel * columns;
                        micro_kernel.panel::<A>(columns, input, gradient, products.as_mut_ptr().add(place));
                    }
                }
            }
        }
    }
}

/// Transforms a task's products back to `[taps, task inputs, task outputs]`.
struct TransformWeightGradient<'a> {
    products: &'a [f32],
    task_channels: [usize; 2],
    sums: &'a mut [f32],
}

impl Kernel for TransformWeightGradient<'_> {
    #[inline(always)]
    unsafe fn run<A: Arithmetic>(self) {
        let Self { products, task_channels: [inputs, outputs], sums } = self;
        let pairs = inputs * outputs;
        assert!(pairs.is_multiple_of(LANES));
        assert!(products.len() == ELEMENTS * pairs && sums.len() == 9 * pairs);
        for pair in (0..pairs).step_by(A::Register::LANES) {
            // SAFETY: by the assertions every element and every tap has as many pairs, whose number registers
            // divide.
            unsafe {
                let mut elements = [A::Register::splat(0.0); ELEMENTS];
                for (element, value) in elements.iter_mut().enumerate() {
                    *value = A::Register::load(products.as_ptr().add(element * pairs + pair));
                }
                let taps = elements_to_tile::<WeightGradientTransform, A::Register, 3>(&elements);
                for (tap, value) in taps.iter().flatten().enumerate() {
                    value.store(sums.as_mut_ptr().add(tap * pairs + pair));
                }
            }
        }
    }
}
