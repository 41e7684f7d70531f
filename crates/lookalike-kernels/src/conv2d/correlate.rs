//! Output and input gradient: for every pixel a sum over taps and channels of the source.
//!
//! Sixteen images stand side by side in the lanes of a position (a pixel of sixteen images), so that any
//! stride and any size of map is computed without gaps, and taps outside the image are skipped instead of
//! multiplied by zeros. In a row of the kernel, valid taps and channels follow each other in the packed
//! source as in the packed weights: a tile reads both without an index.

#![expect(unsafe_code, reason = "register tiles and tasks that write to parts of one result")]
#![expect(clippy::needless_range_loop, reason = "row and vector number registers of several arrays at once")]
#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]

use std::mem::MaybeUninit;
use std::ops::Range;

use rayon::prelude::*;

use super::arithmetic::{Arithmetic, Kernel, LANES, Path};
use super::grid::Axis;
use super::layout::{OutputMap, PackImages, StridedMap, WriteSums};
use super::scratch::{Scratch, TapClass, User, first, with_scratch};
use super::weights::Weights;
use super::winograd;
use crate::map::MapShape;
use crate::output::{OutputLines, init_vec};
use crate::tasks;
use crate::tiles::{SIDE, SQUARE, SumBlock, TileKernel, TileUnit, Tiles};
use crate::vector::Vector;

/// Tasks there should be, if the shape allows it, also for few threads.
const TASKS: usize = 32;
/// Positions and outputs of a task, at least. The first have enough positions of each class to fill the tiles, and
/// outputs for which it pays to pack the source once more. The others are for threads that would be idle: the last do
/// about twice the work of the first.
const LEAST: [[usize; 2]; 5] = [[40, 64], [40, 32], [16, 32], [16, 16], [8, 16]];
/// Words of the source of a task, at most, unless the least positions need more: they and the weights of a
/// panel stay in the second-level cache.
const SOURCE: usize = 160 * 1024;
/// Sums that are made before they are written to their pixels.
const SUMS: usize = 64 * 1024;
/// Rows of weights that are packed at once, about.
const ROWS: usize = 192;
/// Words of a pixel for which tile registers are worth it: fewer would fill less than half of one.
const FEWEST: usize = SIDE / 2;

/// What a correlation reads besides its weights, and what it adds to its sums.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operands<'a> {
    pub(super) map: &'a [u32],
    /// One a channel of the result.
    pub(super) bias: Option<&'a [f32]>,
    /// As large as the result.
    pub(super) added: Option<&'a [u32]>,
}

/// Computes every pixel of a map of shape `to` from one of shape `from`. Each pixel belongs to one of the
/// axes along either side.
pub(super) fn correlate(
    path: Path,
    sides: &[Vec<Axis>; 2],
    operands: &Operands<'_>,
    [from, to]: [MapShape; 2],
    weights: &Weights<'_>,
) -> Vec<u32> {
    let blocks = to.blocks();
    if blocks == 0 {
        return Vec::new();
    }
    let precision = path.precision();
    let plan = match Plan::new(path, sides, [from, to]) {
        Ok(plan) => plan,
        Err(axes) => return winograd::correlate::correlate(path, &axes, operands, [from, to], weights),
    };
    let Plan { unit, words, outputs, ref phases, row_words, stride, packed, made } = plan;
    let source = StridedMap { stride, ..StridedMap::dense(operands.map, from, precision) };
    let panel_words = row_words * outputs;
    let split = TaskSplit::new(&plan, blocks, tasks::wanted());
    let write = |out: &mut [MaybeUninit<u32>]| {
        // Tasks differ in blocks, rows or channels.
        let lines = OutputLines::new(out);
        with_scratch(User::Call, |scratch| {
            let panels = first(&mut scratch.first, to.channels.div_ceil(outputs) * panel_words);
            panels.par_chunks_mut(panel_words.max(1)).enumerate().for_each(|(panel, packed)| {
                let outputs = panel * outputs..to.channels.min((panel + 1) * outputs);
                with_scratch(User::Task, |scratch| {
                    let (channels, rows) = (from.channels, &mut scratch.rows);
                    let count = plan.outputs;
                    path.run(PackWeights {
                        phases,
                        weights,
                        channels,
                        words_of_channels: words,
                        outputs,
                        count,
                        rows,
                        words: packed,
                    });
                    if unit.is_some() {
                        path.run(TurnSquares(packed));
                    }
                });
            });
            let call = Call {
                path,
                unit,
                words,
                outputs,
                phases,
                source,
                blocks,
                packed,
                made,
                bias: operands.bias,
                weights: panels,
                panel_words,
                result: OutputMap { shape: to, precision, lines, added: operands.added },
            };
            (0..split.tasks()).into_par_iter().for_each(|task| {
                with_scratch(User::Task, |scratch| call.run(&split, task, scratch));
            });
        });
    };
    // SAFETY: every pixel belongs to a phase, and the tasks cover every block, row and channel.
    unsafe { init_vec(to.words(precision), write) }
}

/// Tasks of a correlation where there are tasks of `wanted`, and those of one as fine as possible.
#[cfg(test)]
pub(super) fn count_tasks(
    path: Path,
    sides: &[Vec<Axis>; 2],
    shapes: [MapShape; 2],
    wanted: usize,
) -> [usize; 2] {
    let [_, to] = shapes;
    [wanted, usize::MAX].map(|wanted| match Plan::new(path, sides, shapes) {
        Ok(plan) => TaskSplit::new(&plan, to.blocks(), wanted).tasks(),
        Err(axes) => winograd::correlate::count_tasks(&axes, shapes, wanted),
    })
}

/// What is packed and made, and by what.
struct Plan {
    /// The tile registers that multiply, if any do.
    unit: Option<TileUnit>,
    /// Words of a packed pixel, and outputs of a panel.
    words: usize,
    outputs: usize,
    phases: Vec<Phase>,
    /// Words of the weights in a row of a panel.
    row_words: usize,
    /// Pixels of the source from one that is packed to the next.
    stride: usize,
    /// Shapes of the packed source and of the result that is made of it.
    packed: MapShape,
    made: MapShape,
}

impl Plan {
    /// # Errors
    /// The axes, if tiles are worth it along them.
    fn new(path: Path, sides: &[Vec<Axis>; 2], [from, to]: [MapShape; 2]) -> Result<Self, Box<[Axis; 2]>> {
        let there = from.channel_words(path.precision());
        let unit = path.tiles().filter(|_| there >= FEWEST);
        let words = if unit.is_some() { there.next_multiple_of(SIDE) } else { there };
        let outputs = if unit.is_some() { SIDE } else { path.rows() };
        let (phases, row_words) = phases(sides, words);
        let mut plan = Self { unit, words, outputs, phases, row_words, stride: 1, packed: from, made: to };
        if let [phase] = &mut plan.phases[..] {
            if unit.is_none() && winograd::suits(&phase.axes, [from.channels, to.channels]) {
                return Err(Box::new(phase.axes));
            }
            if phase.axes.iter().all(Axis::meets_one) {
                // Neighbours do not matter, and pixels that no output reads are not packed.
                plan.stride = phase.axes[0].stride;
                phase.axes = [phase.axes[0].thinned(to.pixels()), phase.axes[1].thinned(1)];
                (plan.packed, plan.made) = (MapShape { channels: from.channels, ..to }.flat(), to.flat());
            }
        }
        Ok(plan)
    }
}

/// The pixels of one axis along either side.
pub(super) struct Phase {
    pub(super) axes: [Axis; 2],
    /// Where its weights begin, in each row of a panel.
    place: usize,
}

/// The phases of all pairs of axes, and the words of their weights in a row of a panel.
fn phases(sides: &[Vec<Axis>; 2], channel_words: usize) -> (Vec<Phase>, usize) {
    let (mut phases, mut place) = (Vec::new(), 0);
    for vertical in &sides[0] {
        for horizontal in &sides[1] {
            phases.push(Phase { axes: [*vertical, *horizontal], place });
            place += vertical.taps * horizontal.taps * channel_words;
        }
    }
    (phases, place)
}

/// Packs the weights of a panel as `[phase, tap rows, tap columns, words of channels, outputs]`, 0 for outputs and
/// channels that do not exist.
struct PackWeights<'a> {
    phases: &'a [Phase],
    weights: &'a Weights<'a>,
    channels: usize,
    /// Not less than there are.
    words_of_channels: usize,
    outputs: Range<usize>,
    /// Outputs of a whole panel.
    count: usize,
    /// Room for the weights of some channels.
    rows: &'a mut Vec<[f32; LANES]>,
    words: &'a mut [u32],
}

impl Kernel for PackWeights<'_> {
    #[inline(always)]
    unsafe fn run<A: Arithmetic>(self) {
        let Self { phases, weights, channels, words_of_channels, outputs, count, rows, words } = self;
        let (taps, each) = (weights.taps(), if A::PAIRS { 2 } else { 1 });
        if outputs.len() < count || channels.div_ceil(each) < words_of_channels {
            words.fill(0);
        }
        let most = (ROWS / taps).max(1).next_multiple_of(each);
        let rows = first(rows, weights.rows(most));
        for start in (0..channels).step_by(most) {
            let group = start..channels.min(start + most);
            // SAFETY: as the caller's.
            unsafe { weights.pack::<A::Register>(outputs.start, group.clone(), rows) };
            for phase in phases {
                let [vertical, horizontal] = &phase.axes;
                for tap in 0..vertical.taps * horizontal.taps {
                    let row = vertical.kernel_of(tap / horizontal.taps);
                    let of_kernel = row * weights.kernel + horizontal.kernel_of(tap % horizontal.taps);
                    for channel in group.clone().step_by(each) {
                        let place = (channel - start) * taps + of_kernel;
                        let paired = A::PAIRS && channel + 1 < channels;
                        let high = if paired { rows[place + taps] } else { [0.0; LANES] };
                        // SAFETY: as the caller's.
                        let line = unsafe { A::pack_line(&[rows[place], high]) };
                        let place = (phase.place + tap * words_of_channels + channel / each) * count;
                        words[place..][..outputs.len()].copy_from_slice(&line[..outputs.len()]);
                    }
                }
            }
        }
    }
}

/// Turns each sixteen words of sixteen outputs, which follow each other, into sixteen outputs of sixteen words, as tile
/// registers read them.
struct TurnSquares<'a>(&'a mut [u32]);

impl Kernel for TurnSquares<'_> {
    #[inline(always)]
    unsafe fn run<A: Arithmetic>(self) {
        for square in self.0.as_chunks_mut::<SQUARE>().0 {
            let lines = *square;
            // SAFETY: both are squares; the caller guarantees the registers.
            unsafe {
                A::Register::transpose(lines.as_ptr().cast(), SIDE, square.as_mut_ptr().cast(), SIDE);
            }
        }
    }
}

/// One call.
struct Call<'a> {
    path: Path,
    /// The tile registers that multiply, if any do.
    unit: Option<TileUnit>,
    /// Words of a packed pixel, and outputs of a panel.
    words: usize,
    outputs: usize,
    phases: &'a [Phase],
    source: StridedMap<'a>,
    blocks: usize,
    /// Shapes of the packed source and of the result that is made of it.
    packed: MapShape,
    made: MapShape,
    bias: Option<&'a [f32]>,
    weights: &'a [u32],
    panel_words: usize,
    result: OutputMap<'a>,
}

/// How a call is split into tasks. No sum hangs on it.
#[derive(Debug, Clone, Copy)]
struct TaskSplit {
    /// Blocks of a task, and ranges of them.
    blocks: [usize; 2],
    row_ranges: usize,
    /// Panels that stay together, how many such there are, and ranges of those.
    panels: [usize; 3],
}

impl TaskSplit {
    /// The coarsest that has tasks enough, or that of the most tasks.
    fn new(plan: &Plan, blocks: usize, wanted: usize) -> Self {
        tasks::coarsest(LEAST.map(|least| Self::of(plan, blocks, least, wanted)), wanted, Self::tasks)
    }

    /// With at least so many positions and outputs a task.
    fn of(plan: &Plan, blocks: usize, [positions, outputs]: [usize; 2], wanted: usize) -> Self {
        let (rows, columns) = (plan.made.height, plan.made.width);
        let task_blocks = (positions / (rows * columns)).clamp(1, blocks);
        let block_ranges = blocks.div_ceil(task_blocks);
        let row_words = task_blocks * plan.packed.width * plan.words * LANES;
        let sources = |rows: usize| {
            let of = |phase: &Phase| {
                let axis = &phase.axes[0];
                rows.div_ceil(axis.step).saturating_sub(1) * axis.stride + axis.taps
            };
            plan.phases.iter().map(of).max().unwrap_or(0)
        };
        let least = positions.div_ceil(task_blocks * columns).min(rows);
        let fits = (least..=rows).rev().find(|rows| sources(*rows) * row_words <= SOURCE).unwrap_or(least);
        let most_panels = (plan.made.channels / outputs).max(1);
        // Rather of fewer rows than of fewer outputs.
        let row_ranges =
            wanted.div_ceil(block_ranges * most_panels).min(rows / least).max(rows.div_ceil(fits));
        let panels = plan.made.channels.div_ceil(plan.outputs);
        let ranges = wanted.max(TASKS).div_ceil(block_ranges * row_ranges).min(most_panels);
        // Tile registers multiply two panels at a time.
        let together = if plan.unit.is_some() && outputs >= 2 * SIDE { 2 } else { 1 };
        let groups = panels.div_ceil(together);
        Self {
            blocks: [task_blocks, block_ranges],
            row_ranges,
            panels: [together, groups, ranges.min(groups)],
        }
    }

    fn tasks(&self) -> usize {
        self.blocks[1] * self.row_ranges * self.panels[2]
    }
}

impl Call<'_> {
    fn run(&self, split: &TaskSplit, task: usize, scratch: &mut Scratch) {
        let path = self.path;
        let [together, groups, panel_ranges] = split.panels;
        let range = task / panel_ranges;
        let blocks = range / split.row_ranges * split.blocks[0];
        let blocks = blocks..self.blocks.min(blocks + split.blocks[0]);
        let row_at = |range: usize| self.made.height * range / split.row_ranges;
        let rows = row_at(range % split.row_ranges)..row_at(range % split.row_ranges + 1);
        let panel_at = |range: usize| groups * range / panel_ranges * together;
        let range = task % panel_ranges;
        let panels = panel_at(range)..self.made.channels.div_ceil(self.outputs).min(panel_at(range + 1));
        let sources = self.sources(rows.clone());
        let words = self.words;
        let line = self.packed.width * words * LANES;
        let block_words = sources.len() * line;
        let source = first(&mut scratch.first, blocks.len() * block_words);
        for (block, words) in blocks.clone().zip(source.chunks_exact_mut(block_words.max(1))) {
            let pixels = sources.start * self.packed.width..sources.end * self.packed.width;
            path.run(PackImages { source: self.source, block, pixels, count: self.words, words });
        }
        let place = |block: usize, row: usize, column: usize| {
            block * block_words + (row - sources.start) * line + column * words * LANES
        };
        self.list(rows.clone(), blocks.len(), place, &mut scratch.positions, &mut scratch.classes);
        let block_positions = rows.len() * self.made.width;
        let stride = blocks.len() * block_positions * LANES;
        let group = (SUMS / (self.outputs * stride)).max(2) / 2 * 2;
        for panels in panels.clone().step_by(group).map(|start| start..panels.end.min(start + group)) {
            let sums = first(&mut scratch.sums, panels.len() * self.outputs * stride);
            let tiles = CorrelateTiles {
                line,
                panels: panels.clone(),
                weights: self.weights,
                panel_words: self.panel_words,
                bias: self.bias,
                source,
                positions: &scratch.positions,
                classes: &scratch.classes,
                sums,
                stride,
            };
            match self.unit {
                Some(unit) => unit.run(tiles),
                None => path.run(tiles),
            }
            for (index, block) in blocks.clone().enumerate() {
                path.run(WriteSums {
                    sums: &sums[index * block_positions * LANES..],
                    stride,
                    result: self.result,
                    block,
                    channels: panels.start * self.outputs..self.made.channels.min(panels.end * self.outputs),
                    pixels: rows.start * self.made.width..rows.end * self.made.width,
                });
            }
        }
    }

    /// The rows of the source that `rows` of the result need.
    fn sources(&self, rows: Range<usize>) -> Range<usize> {
        let needed = self.phases.iter().map(|phase| {
            let vertical = &phase.axes[0];
            let indices = vertical.indices_in(rows.clone());
            if indices.is_empty() { 0..0 } else { vertical.sources_of(indices) }
        });
        needed
            .filter(|needed| !needed.is_empty())
            .reduce(|a, b| a.start.min(b.start)..a.end.max(b.end))
            .unwrap_or(0..0)
    }

    /// Lists the positions of `rows` of all `blocks` of sixteen images,
    /// `[place in the source of the first valid tap, number]`, grouped by phase and valid taps.
    fn list(
        &self,
        rows: Range<usize>,
        blocks: usize,
        place: impl Fn(usize, usize, usize) -> usize,
        positions: &mut Vec<[usize; 2]>,
        classes: &mut Vec<TapClass>,
    ) {
        positions.clear();
        classes.clear();
        let words = self.words;
        for phase in self.phases {
            let [vertical, horizontal] = &phase.axes;
            for (row_run, row_taps) in vertical.runs(vertical.indices_in(rows.clone())) {
                for (column_run, column_taps) in horizontal.runs(0..horizontal.count) {
                    let start = positions.len();
                    let nothing = row_taps.is_empty() || column_taps.is_empty();
                    for (block, row, column) in (0..blocks)
                        .flat_map(|block| row_run.clone().map(move |row| (block, row)))
                        .flat_map(|(block, row)| column_run.clone().map(move |column| (block, row, column)))
                    {
                        let source = if nothing {
                            0
                        } else {
                            let source = vertical.source_of(row, row_taps.start);
                            place(block, source, horizontal.source_of(column, column_taps.start))
                        };
                        let [y, x] = [vertical.pixel(row), horizontal.pixel(column)];
                        positions.push([source, (block * rows.len() + y - rows.start) * self.made.width + x]);
                    }
                    let tap = row_taps.start * horizontal.taps + column_taps.start;
                    classes.push(TapClass {
                        positions: start..positions.len(),
                        lines: if nothing { 0 } else { row_taps.len() },
                        length: column_taps.len() * words,
                        weights: phase.place + tap * words,
                        weight_step: horizontal.taps * words,
                    });
                }
            }
        }
    }
}

/// The sums of some panels at the positions of a task.
pub(super) struct CorrelateTiles<'a> {
    /// Words of the source from one row to the next.
    pub(super) line: usize,
    pub(super) panels: Range<usize>,
    pub(super) weights: &'a [u32],
    pub(super) panel_words: usize,
    pub(super) bias: Option<&'a [f32]>,
    pub(super) source: &'a [u32],
    pub(super) positions: &'a [[usize; 2]],
    pub(super) classes: &'a [TapClass],
    pub(super) sums: &'a mut [f32],
    /// Sums from one output to the next.
    pub(super) stride: usize,
}

impl CorrelateTiles<'_> {
    /// Panics if a class, a position or a panel of `outputs` does not lie in its operand.
    #[inline(always)]
    fn check(&self, outputs: usize) {
        assert!(self.panels.end * self.panel_words <= self.weights.len());
        assert!(self.panels.len() * outputs * self.stride <= self.sums.len());
        for class in self.classes.iter().filter(|class| class.lines > 0) {
            let last = class.lines - 1;
            let weights = class.weights + last * class.weight_step + class.length;
            assert!(weights * outputs <= self.panel_words);
            for [source, _] in &self.positions[class.positions.clone()] {
                assert!(source + last * self.line + class.length * LANES <= self.source.len());
            }
        }
        assert!(self.positions.iter().all(|[_, number]| (number + 1) * LANES <= self.stride));
    }
}

impl Kernel for CorrelateTiles<'_> {
    #[inline(always)]
    unsafe fn run<A: Arithmetic>(self) {
        self.check(A::ROWS);
        for (index, panel) in self.panels.clone().enumerate() {
            let mut bias = [0.0; 8];
            if let Some(all) = self.bias {
                bias.iter_mut().zip(&all[panel * A::ROWS..]).for_each(|(bias, value)| *bias = *value);
            }
            for class in self.classes {
                // SAFETY: the assertions above hold for this class, its positions, this panel and its sums.
                unsafe {
                    let micro_kernel = CorrelateMicroKernel {
                        weights: self
                            .weights
                            .as_ptr()
                            .add(panel * self.panel_words + class.weights * A::ROWS),
                        weight_step: class.weight_step * A::ROWS,
                        source_step: self.line,
                        lines: class.lines,
                        length: class.length,
                        bias: &bias,
                        source: self.source.as_ptr(),
                        sums: self.sums.as_mut_ptr().add(index * A::ROWS * self.stride),
                        stride: self.stride,
                    };
                    micro_kernel.all::<A>(&self.positions[class.positions.clone()]);
                }
            }
        }
    }
}

impl TileKernel for CorrelateTiles<'_> {
    #[inline(always)]
    unsafe fn run<T: Tiles>(self, tiles: &mut T) {
        self.check(SIDE);
        let whole = |words: usize| words.is_multiple_of(SIDE);
        let is_whole =
            |class: &TapClass| whole(class.weights) && whole(class.weight_step) && whole(class.length);
        assert!(self.classes.iter().all(is_whole), "whole squares");
        for (index, panel) in self.panels.clone().step_by(2).enumerate() {
            let panels = (self.panels.end - panel).min(2);
            let mut bias = [[0.0; SIDE]; 2 * SIDE];
            if let Some(all) = self.bias {
                bias.iter_mut().zip(&all[panel * SIDE..]).for_each(|(bias, value)| bias.fill(*value));
            }
            for class in self.classes {
                // SAFETY: the assertions hold for this class, its positions, these panels and their sums.
                unsafe {
                    let squares = Squares {
                        weights: self.weights.as_ptr().add(panel * self.panel_words + class.weights * SIDE),
                        panel_words: self.panel_words,
                        weight_step: class.weight_step * SIDE,
                        source_step: self.line,
                        lines: class.lines,
                        length: class.length,
                        bias: bias.as_ptr().cast(),
                        source: self.source.as_ptr(),
                        sums: self.sums.as_mut_ptr().add(2 * index * SIDE * self.stride),
                        stride: self.stride,
                    };
                    for positions in self.positions[class.positions.clone()].chunks(2) {
                        match (panels, positions) {
                            (2, [one, other]) => squares.sum::<T, 2, 2>(tiles, [*one, *other]),
                            (2, [one, ..]) => squares.sum::<T, 2, 1>(tiles, [*one]),
                            (_, [one, other]) => squares.sum::<T, 1, 2>(tiles, [*one, *other]),
                            (_, [one, ..]) => squares.sum::<T, 1, 1>(tiles, [*one]),
                            (_, []) => {}
                        }
                    }
                }
            }
        }
    }
}

/// The loops of tile registers, as those of two panels and a class have them in common.
struct Squares {
    weights: *const u32,
    panel_words: usize,
    weight_step: usize,
    source_step: usize,
    /// Valid rows of the kernel.
    lines: usize,
    /// Words of such a row.
    length: usize,
    /// A row of sixteen for each output.
    bias: *const f32,
    source: *const u32,
    sums: *mut f32,
    stride: usize,
}

impl Squares {
    /// Sums the outputs of `PANELS` panels at some positions.
    ///
    /// # Safety
    /// Each line of each position lies in the source, each line of the weights in its panel, and the positions in each
    /// of the rows of sums.
    #[inline(always)]
    unsafe fn sum<T: Tiles, const PANELS: usize, const POSITIONS: usize>(
        &self,
        tiles: &mut T,
        positions: [[usize; 2]; POSITIONS],
    ) {
        // SAFETY: as the caller's.
        unsafe {
            let mut sums = SumBlock::<T, PANELS, POSITIONS>::load(tiles, [self.bias; POSITIONS], SIDE);
            for line in 0..self.lines {
                let weights = self.weights.add(line * self.weight_step);
                let sources = positions.map(|[place, _]| self.source.add(place + line * self.source_step));
                for term in (0..self.length).step_by(SIDE) {
                    let rows =
                        std::array::from_fn(|panel| weights.add(panel * self.panel_words + term * SIDE));
                    sums.add(rows, SIDE, sources.map(|source| source.add(term * SIDE)), SIDE);
                }
            }
            sums.store(positions.map(|[_, number]| self.sums.add(number * LANES)), self.stride);
        }
    }
}

/// The loops of a register tile, as the tiles of a panel and a class have them in common.
pub(super) struct CorrelateMicroKernel<'a> {
    pub(super) weights: *const u32,
    pub(super) weight_step: usize,
    pub(super) source_step: usize,
    /// Valid rows of the kernel.
    pub(super) lines: usize,
    /// Terms of such a row.
    pub(super) length: usize,
    pub(super) bias: &'a [f32; 8],
    pub(super) source: *const u32,
    pub(super) sums: *mut f32,
    pub(super) stride: usize,
}

impl CorrelateMicroKernel<'_> {
    /// Sums the outputs of a panel at all `positions`, in tiles.
    ///
    /// # Safety
    /// The processor has the registers of `A`; each line of each position lies in the source, each line of
    /// the weights in the panel, and the positions in each of the panel's rows of sums.
    #[inline(always)]
    pub(super) unsafe fn all<A: Arithmetic>(&self, mut positions: &[[usize; 2]]) {
        while !positions.is_empty() {
            // Two tiles of two keep the multipliers busier than one of three and one of one.
            let count = match positions.len() {
                4 => A::POSITIONS.min(2),
                more => A::POSITIONS.min(more),
            };
            let (now, later) = positions.split_at(count);
            // SAFETY: as the caller's.
            unsafe {
                match (A::ROWS, count * (LANES / A::Register::LANES)) {
                    (8, 3) => self.tile::<A, 8, 3>(now),
                    (8, 2) => self.tile::<A, 8, 2>(now),
                    (8, _) => self.tile::<A, 8, 1>(now),
                    (6, _) => self.tile::<A, 6, 2>(now),
                    _ => self.tile::<A, 2, 4>(now),
                }
            }
            positions = later;
        }
    }

    /// Sums `ROWS` outputs of the `positions`, which fill `VECTORS` registers.
    ///
    /// # Safety
    /// As [`all`](Self::all).
    #[inline(always)]
    unsafe fn tile<A: Arithmetic, const ROWS: usize, const VECTORS: usize>(&self, positions: &[[usize; 2]]) {
        let lanes = A::Register::LANES;
        let vectors = LANES / lanes;
        // SAFETY: as the caller's.
        unsafe {
            let mut sources = [self.source; VECTORS];
            for vector in 0..VECTORS {
                let [place, _] = positions[vector / vectors];
                // If no line is valid there may be no source.
                sources[vector] = self.source.wrapping_add(place + vector % vectors * lanes);
            }
            let mut sums = [[A::Register::splat(0.0); VECTORS]; ROWS];
            for row in 0..ROWS {
                sums[row] = [A::Register::splat(self.bias[row]); VECTORS];
            }
            for line in 0..self.lines {
                let weights = self.weights.add(line * self.weight_step);
                let sources = sources.map(|source| source.add(line * self.source_step));
                for term in 0..self.length {
                    let mut values = [A::Register::splat(0.0); VECTORS];
                    for vector in 0..VECTORS {
                        values[vector] = A::Register::load(sources[vector].add(term * LANES).cast());
                    }
                    for row in 0..ROWS {
                        let weight = A::Register::splat(f32::from_bits(*weights.add(term * ROWS + row)));
                        for vector in 0..VECTORS {
                            sums[row][vector] = A::add_products(weight, values[vector], sums[row][vector]);
                        }
                    }
                }
            }
            for row in 0..ROWS {
                for vector in 0..VECTORS {
                    let [_, number] = positions[vector / vectors];
                    let target = self.sums.add(row * self.stride + number * LANES + vector % vectors * lanes);
                    sums[row][vector].store(target);
                }
            }
        }
    }
}
