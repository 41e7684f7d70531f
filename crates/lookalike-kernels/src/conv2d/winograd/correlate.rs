//! Output and input gradient by tiles: sixteen images side by side in the lanes, as in a direct correlation.

#![expect(unsafe_code, reason = "registers read and written through pointers whose bounds are asserted")]
#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]

use std::ops::Range;

use rayon::prelude::*;

use super::super::arithmetic::{Arithmetic, Kernel, LANES, Path};
use super::super::correlate::{CorrelateMicroKernel, Operands};
use super::super::grid::Axis;
use super::super::layout::{OutputMap, StridedMap, unpack_line};
use super::super::scratch::{Scratch, User, first, with_scratch};
use super::super::weights::Weights;
use super::tiles::TileGrid;
use super::transform::{
    InputTransform, OutputTransform, WeightTransform, elements_to_tile, tile_to_elements,
};
use super::{ELEMENTS, INPUTS, OUTPUTS};
use crate::bf16;
use crate::map::{MapShape, lines};
use crate::output::{OutputLines, init_vec};
use crate::tasks;
use crate::vector::Vector;

/// Tasks there should be, if the shape allows it, also for few threads.
const TASKS: usize = 32;
/// Positions (a tile of sixteen images each) and output channels of a task, at least, if there are so many. Of fewer
/// channels than the first the inputs are transformed too often, unless threads would be idle: the last do less than
/// twice the work of the first.
const LEAST: [[usize; 2]; 6] = [[8, 128], [8, 64], [8, 32], [8, 16], [4, 16], [2, 16]];
/// Products that are made before they are transformed back.
const PRODUCTS: usize = 64 * 1024;

/// As [`correlate`](super::super::correlate::correlate), of one axis along either side.
pub(in super::super) fn correlate(
    path: Path,
    axes: &[Axis; 2],
    operands: &Operands<'_>,
    [from, to]: [MapShape; 2],
    weights: &Weights<'_>,
) -> Vec<u32> {
    assert!(super::is_possible(axes));
    let precision = path.precision();
    let panels = to.channels.div_ceil(path.rows());
    // One line more, so that the elements do not all fall into the same set of a cache.
    let element_words = from.channels * path.rows() + LANES;
    let panel_words = ELEMENTS * element_words;
    let taps = std::array::from_fn(|tap| {
        let [row, column] = [axes[0].kernel_of(tap / 3), axes[1].kernel_of(tap % 3)];
        ((row * 3 + column) * LANES) as u32
    });
    let tiles = TileGrid::new([to.height, to.width], axes.map(|axis| axis.shift), INPUTS, from);
    let split = TaskSplit::new(&tiles, to, tasks::wanted());
    let write = |out: &mut [std::mem::MaybeUninit<u32>]| {
        // Tasks differ in bands or panels.
        let lines = OutputLines::new(out);
        with_scratch(User::Call, |scratch| {
            let mut call = Call {
                path,
                tiles,
                source: StridedMap::dense(operands.map, from, precision),
                result: OutputMap { shape: to, precision, lines, added: operands.added },
                bias: operands.bias,
                weights,
                taps: &taps,
                transformed: &[],
                panels,
                panel_words,
            };
            if split.band_ranges > 1 {
                let words = first(&mut scratch.first, panels * panel_words);
                words.par_chunks_mut(panel_words).enumerate().for_each(|(panel, words)| {
                    with_scratch(User::Task, |scratch| {
                        call.transform_weights(panel, &mut scratch.rows, words);
                    });
                });
                call.transformed = words;
            }
            (0..split.tasks()).into_par_iter().for_each(|task| {
                with_scratch(User::Task, |scratch| call.run(&split, task, scratch));
            });
        });
    };
    // SAFETY: the tiles of all tasks cover every pixel of every block and channel.
    unsafe { init_vec(to.words(precision), write) }
}

/// Tasks of a correlation where there are tasks of `wanted`.
#[cfg(test)]
pub(in super::super) fn count_tasks(axes: &[Axis; 2], [from, to]: [MapShape; 2], wanted: usize) -> usize {
    let tiles = TileGrid::new([to.height, to.width], axes.map(|axis| axis.shift), INPUTS, from);
    TaskSplit::new(&tiles, to, wanted).tasks()
}

struct Call<'a> {
    /// The instructions for the maps. Transformed tiles are `f32`.
    path: Path,
    tiles: TileGrid,
    source: StridedMap<'a>,
    result: OutputMap<'a>,
    bias: Option<&'a [f32]>,
    weights: &'a Weights<'a>,
    /// Where the taps lie among the packed ones.
    taps: &'a [u32; 9],
    /// The transformed weights of all panels, if several tasks need them. A single task transforms them panel
    /// by panel, for all of them may be more than the caches hold.
    transformed: &'a [u32],
    panels: usize,
    panel_words: usize,
}

/// How a call is split into tasks: ranges of rows of tiles of sixteen images, and ranges of panels. No sum hangs
/// on it.
struct TaskSplit {
    bands: usize,
    band_ranges: usize,
    panel_ranges: usize,
}

impl TaskSplit {
    /// The coarsest that has tasks enough, or that of the most tasks.
    fn new(tiles: &TileGrid, to: MapShape, wanted: usize) -> Self {
        let [rows, columns] = tiles.count;
        let bands = to.blocks() * rows;
        let of = |[positions, channels]: [usize; 2]| {
            let band_ranges = bands.div_ceil(positions.div_ceil(columns));
            let wanted = wanted.max(TASKS).div_ceil(band_ranges);
            Self { bands, band_ranges, panel_ranges: wanted.min(to.channels / channels).max(1) }
        };
        tasks::coarsest(LEAST.map(of), wanted, Self::tasks)
    }

    fn tasks(&self) -> usize {
        self.band_ranges * self.panel_ranges
    }

    /// The bands of a task, and its range of all `panels`.
    fn ranges(&self, task: usize, panels: usize) -> [Range<usize>; 2] {
        let part =
            |count: usize, range: usize, ranges: usize| count * range / ranges..count * (range + 1) / ranges;
        let bands = part(self.bands, task / self.panel_ranges, self.band_ranges);
        [bands, part(panels, task % self.panel_ranges, self.panel_ranges)]
    }
}

impl Call<'_> {
    /// Words from an element of a panel to the next.
    fn element_words(&self) -> usize {
        self.panel_words / ELEMENTS
    }

    /// Transforms the weights of a panel.
    fn transform_weights(&self, panel: usize, rows: &mut Vec<[f32; LANES]>, words: &mut [u32]) {
        let outputs = panel * self.path.rows();
        let outputs = outputs..self.result.shape.channels.min(outputs + self.path.rows());
        self.path.in_f32().run(TransformWeights { call: self, outputs, rows, words });
    }

    /// The transformed weights of some panels, for which there is room in `words` if that is still to be done.
    fn transformed_weights<'w>(
        &'w self,
        panels: Range<usize>,
        words: &'w mut Vec<u32>,
        rows: &mut Vec<[f32; LANES]>,
    ) -> &'w [u32] {
        if !self.transformed.is_empty() {
            return &self.transformed[panels.start * self.panel_words..panels.end * self.panel_words];
        }
        let words = first(words, panels.len() * self.panel_words);
        for (panel, words) in panels.zip(words.chunks_exact_mut(self.panel_words)) {
            self.transform_weights(panel, rows, words);
        }
        words
    }

    fn run(&self, split: &TaskSplit, task: usize, scratch: &mut Scratch) {
        let [bands, panels] = split.ranges(task, self.panels);
        let (from, to) = (self.source.shape, self.result.shape);
        let [rows, columns] = self.tiles.count;
        let positions = bands.len() * columns;
        // One line more, so that the elements do not all fall into the same set of a cache.
        let step = (positions * from.channels + 1) * LANES;
        let source = first(&mut scratch.first, ELEMENTS * step);
        for (index, band) in bands.clone().enumerate() {
            scratch.offsets.clear();
            self.tiles.list(band % rows, &mut scratch.offsets);
            self.path.run(TransformInput {
                call: self,
                band,
                offsets: &scratch.offsets,
                position: index * columns,
                packed: first(&mut scratch.rows, 2 * self.tiles.band_words() / LANES),
                source,
                step,
            });
        }
        scratch.positions.clear();
        let places = (0..positions).map(|position| [position * from.channels * LANES, position]);
        scratch.positions.extend(places);

        let stride = (ELEMENTS * positions + 1) * LANES;
        let group = (PRODUCTS / (self.path.rows() * stride)).max(1);
        let map = 2 * OUTPUTS * to.width * LANES;
        for panels in panels.clone().step_by(group).map(|start| start..panels.end.min(start + group)) {
            let count = panels.len() * self.path.rows();
            let (map, products) = first(&mut scratch.sums, map + count * stride).split_at_mut(map);
            let positions = &scratch.positions;
            let weights = self.transformed_weights(panels.clone(), &mut scratch.second, &mut scratch.rows);
            self.path.in_f32().run(MultiplyTiles {
                call: self,
                weights,
                positions,
                source,
                step,
                products,
                stride,
            });
            let channels = panels.start * self.path.rows()..to.channels.min(panels.end * self.path.rows());
            for (index, band) in bands.clone().enumerate() {
                self.path.run(TransformOutput {
                    call: self,
                    band,
                    channels: channels.clone(),
                    products: &products[index * columns * LANES..],
                    positions: positions.len(),
                    stride,
                    map,
                });
            }
        }
    }
}

/// Transforms the weights of a panel to `[elements, C, rows]`. Values of outputs that do not exist are
/// unspecified.
struct TransformWeights<'a> {
    call: &'a Call<'a>,
    outputs: Range<usize>,
    /// Room for the weights of some channels.
    rows: &'a mut Vec<[f32; LANES]>,
    words: &'a mut [u32],
}

impl Kernel for TransformWeights<'_> {
    #[inline(always)]
    unsafe fn run<A: Arithmetic>(self) {
        const {
            assert!(A::ROWS <= A::Register::LANES);
        }
        let Self { call, outputs, rows, words } = self;
        let (weights, step) = (call.weights, call.element_words());
        assert!(ELEMENTS * step <= words.len() && call.source.shape.channels * A::ROWS <= step);
        assert!(call.taps.iter().all(|tap| (*tap as usize) < 9 * LANES));
        let rows = first(rows, weights.rows(LANES));
        let mut elements = [[0.0_f32; LANES]; ELEMENTS];
        for start in (0..call.source.shape.channels).step_by(LANES) {
            let channels = start..call.source.shape.channels.min(start + LANES);
            // SAFETY: as the caller's.
            unsafe { weights.pack::<A::Register>(outputs.start, channels.clone(), rows) };
            if call.path.is_bf16() {
                rows.as_flattened_mut().iter_mut().for_each(|value| *value = bf16::round(*value));
            }
            for (channel, taps) in channels.zip(rows.chunks_exact(9)) {
                // SAFETY: nine taps lie in as many rows; no register is longer than a row.
                unsafe {
                    let (taps, elements) = (taps.as_ptr().cast(), elements.as_mut_ptr().cast());
                    tile_to_elements::<WeightTransform, A::Register, 3>(
                        taps,
                        call.taps.as_ptr(),
                        elements,
                        LANES,
                    );
                }
                for (element, values) in elements.iter().enumerate() {
                    let words = &mut words[element * step + channel * A::ROWS..][..A::ROWS];
                    words.iter_mut().zip(values).for_each(|(word, value)| *word = value.to_bits());
                }
            }
        }
    }
}

/// Transforms a row of tiles of a block into `[elements, positions, C, 16]`, from a position on.
struct TransformInput<'a> {
    call: &'a Call<'a>,
    /// Counted over all blocks.
    band: usize,
    offsets: &'a [u32],
    position: usize,
    /// Room for the zeros and pixels of the channels of a word.
    packed: &'a mut [[f32; LANES]],
    source: &'a mut [u32],
    /// Words from one element to the next.
    step: usize,
}

impl Kernel for TransformInput<'_> {
    #[inline(always)]
    unsafe fn run<A: Arithmetic>(self) {
        let Self { call, band, offsets, position, packed, source, step } = self;
        let (tiles, channels) = (&call.tiles, call.source.shape.channels);
        let [rows, columns] = tiles.count;
        let pixels = tiles.pixels(band % rows);
        let (low, high) = packed.split_at_mut(packed.len() / 2);
        [low[0], high[0]] = [[0.0; LANES]; 2];
        assert_eq!(offsets.len(), columns * ELEMENTS);
        assert!(offsets.iter().all(|offset| *offset as usize + LANES <= low.len() * LANES));
        assert!((position + columns) * channels * LANES <= step);
        assert!(ELEMENTS * step <= source.len());
        let each = call.source.precision.channels_per_word();
        for word in 0..call.source.channel_words() {
            let first = call.source.line(band / rows, word, pixels.start);
            let map = &lines(call.source.words)[first..][..pixels.len()];
            for ((line, low), high) in map.iter().zip(&mut low[1..]).zip(&mut high[1..]) {
                // SAFETY: as the caller's.
                unsafe { unpack_line::<A>(line, [low, high]) };
            }
            let of_word = word * each..channels.min((word + 1) * each);
            for (channel, packed) in of_word.zip([&*low, &*high]) {
                for tile in 0..columns {
                    let place = ((position + tile) * channels + channel) * LANES;
                    for lane in (0..LANES).step_by(A::Register::LANES) {
                        // SAFETY: by the assertions each tile lies in the packed pixels and each element in
                        // the source.
                        unsafe {
                            let offsets = offsets.as_ptr().add(tile * ELEMENTS);
                            let packed = packed.as_ptr().cast::<f32>().add(lane);
                            let target = source.as_mut_ptr().cast::<f32>().add(place + lane);
                            tile_to_elements::<InputTransform, A::Register, INPUTS>(
                                packed, offsets, target, step,
                            );
                        }
                    }
                }
            }
        }
    }
}

/// The tile products of some panels, `[rows, elements, positions, 16]`.
struct MultiplyTiles<'a> {
    call: &'a Call<'a>,
    /// `[panels, elements, C, rows]`
    weights: &'a [u32],
    /// In the source of the first element, and numbers.
    positions: &'a [[usize; 2]],
    source: &'a [u32],
    step: usize,
    products: &'a mut [f32],
    stride: usize,
}

impl Kernel for MultiplyTiles<'_> {
    #[inline(always)]
    unsafe fn run<A: Arithmetic>(self) {
        assert!(!A::PAIRS);
        let Self { call, weights, positions, source, step, products, stride } = self;
        let channels = call.source.shape.channels;
        let panels = weights.len() / call.panel_words;
        assert!(channels * A::ROWS <= call.element_words());
        assert!(ELEMENTS * step <= source.len() && ELEMENTS * positions.len() * LANES <= stride);
        assert!(
            positions
                .iter()
                .all(|[place, number]| place + channels * LANES <= step && *number < positions.len())
        );
        assert!(panels * A::ROWS * stride <= products.len());
        for element in 0..ELEMENTS {
            for panel in 0..panels {
                // SAFETY: by the assertions the weights of an element lie in the panel's, the positions in
                // the element's part of the source, and their sums in its part of each row.
                unsafe {
                    let place = panel * call.panel_words + element * call.element_words();
                    let sums = panel * A::ROWS * stride + element * positions.len() * LANES;
                    let micro_kernel = CorrelateMicroKernel {
                        weights: weights.as_ptr().add(place),
                        weight_step: 0,
                        source_step: 0,
                        lines: 1,
                        length: channels,
                        bias: &[0.0; 8],
                        source: source.as_ptr().add(element * step),
                        sums: products.as_mut_ptr().add(sums),
                        stride,
                    };
                    micro_kernel.all::<A>(positions);
                }
            }
        }
    }
}

/// Transforms the products of a row of tiles back, and writes them to their pixels.
struct TransformOutput<'a> {
    call: &'a Call<'a>,
    /// Counted over all blocks.
    band: usize,
    /// From an even one on.
    channels: Range<usize>,
    /// From the first position of the band on.
    products: &'a [f32],
    /// Positions of the task.
    positions: usize,
    stride: usize,
    /// Room for the band's rows of the channels of a word.
    map: &'a mut [f32],
}

impl Kernel for TransformOutput<'_> {
    #[inline(always)]
    unsafe fn run<A: Arithmetic>(self) {
        let Self { call, band, channels, products, positions, stride, map } = self;
        let [bands, columns] = call.tiles.count;
        let to = call.result.shape;
        let each = call.result.precision.channels_per_word();
        let start = OUTPUTS * (band % bands);
        let rows = start..to.height.min(start + OUTPUTS);
        let pixels = rows.start * to.width..rows.end * to.width;
        let of_channel = map.len() / 2;
        let last = (channels.len().max(1) - 1) * stride + ((ELEMENTS - 1) * positions + columns) * LANES;
        assert!(last <= products.len() && pixels.len() * LANES <= of_channel);
        for (index, channel) in channels.clone().enumerate() {
            let bias = call.bias.map_or(0.0, |bias| bias[channel]);
            let half = channel % each;
            for tile in 0..columns {
                let width = OUTPUTS.min(to.width - OUTPUTS * tile);
                for lane in (0..LANES).step_by(A::Register::LANES) {
                    // SAFETY: by the assertions all elements lie in the products and all pixels in the map.
                    unsafe {
                        let products = products.as_ptr().add(index * stride + tile * LANES + lane);
                        let mut elements = [A::Register::splat(0.0); ELEMENTS];
                        for (element, value) in elements.iter_mut().enumerate() {
                            *value = A::Register::load(products.add(element * positions * LANES));
                        }
                        let outputs = elements_to_tile::<OutputTransform, A::Register, OUTPUTS>(&elements);
                        let map = map.as_mut_ptr().add(half * of_channel);
                        for (row, values) in outputs.iter().enumerate().take(rows.len()) {
                            for (column, value) in values.iter().enumerate().take(width) {
                                let pixel = row * to.width + OUTPUTS * tile + column;
                                let sum =
                                    value.multiply_add(A::Register::splat(1.0), A::Register::splat(bias));
                                sum.store(map.add(pixel * LANES + lane));
                            }
                        }
                    }
                }
            }
            if half + 1 == each || channel + 1 == channels.end {
                // SAFETY: as the caller's; no other task has these channels of these rows.
                unsafe {
                    let block = band / bands;
                    call.result.write_sums::<A>(block, channel / each, pixels.clone(), map, of_channel);
                }
            }
        }
    }
}
