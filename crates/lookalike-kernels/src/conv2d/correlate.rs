//! Output and input gradient: for every pixel a sum over taps and channels of the source.
//!
//! Sixteen images stand side by side in the lanes of a position (a pixel of sixteen images), so that any stride and any
//! size of map is computed without gaps, and taps outside the image are skipped instead of multiplied by zeros. In a row
//! of the kernel, valid taps and channels follow each other in the laid-out source as in the packed weights: a tile
//! walks through both without an index.

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
use super::layout::{LayImages, Planes, TakeImages, Target};
use super::scratch::{Class, Scratch, User, first, with_scratch};
use crate::vector::Vector;
use crate::written::written;

/// Tasks to be had where sizes allow it.
const TASKS: usize = 32;
/// Outputs of a task, at least: fewer would not be worth laying out the source once more.
const OUTPUTS: usize = 64;
/// Words of the source of a task, at most where a row of the result needs no more: they and the weights of a panel
/// stay in the second-level cache.
const SOURCE: usize = 160 * 1024;

/// Some pixels of the result and the sum that gives them.
pub(super) struct Part {
    /// Rows and columns.
    pub(super) axes: [Axis; 2],
}

impl Part {
    /// Words of the weights of one row of a panel.
    fn terms(&self, words: usize) -> usize {
        self.axes[0].taps * self.axes[1].taps * words
    }
}

/// Computes all `parts`, which together cover every pixel of `to`, from images of sizes `from`. `weight(part, output,
/// channel, [tap row, tap column])` is what the part multiplies by.
pub(super) fn correlate(
    path: Path,
    parts: &[Part],
    images: &[f32],
    [from, to]: [Planes; 2],
    bias: Option<&[f32]>,
    weight: &(impl Fn(usize, usize, usize, [usize; 2]) -> f32 + Sync),
) -> Vec<f32> {
    let count = images.len() / from.values();
    let write = |out: &mut [MaybeUninit<f32>]| {
        let target = Target(out.as_mut_ptr().cast());
        with_scratch(User::Call, |scratch| {
            for (index, part) in parts.iter().enumerate() {
                let panel = path.rows() * part.terms(path.words(from.channels));
                let weights = first(&mut scratch.first, to.channels.div_ceil(path.rows()) * panel);
                pack(path, part, [from.channels, to.channels], weights, &|output, channel, taps| {
                    weight(index, output, channel, taps)
                });
                let call = Call { path, part, images, count, from, to, bias, weights, target };
                let plan = Plan::new(&call);
                (0..plan.tasks()).into_par_iter().for_each(|task| {
                    with_scratch(User::Task, |scratch| call.run(&plan, task, scratch));
                });
            }
        });
    };
    // SAFETY: the parts cover every pixel, and the tasks of a part every image, row and channel.
    unsafe { written(count * to.values(), write) }
}

/// Weights as `[⌈outputs / rows⌉, tap rows, tap columns, words of channels, rows]`, 0 for outputs that do not exist.
fn pack(
    path: Path,
    part: &Part,
    [channels, outputs]: [usize; 2],
    weights: &mut [u32],
    value: &(impl Fn(usize, usize, [usize; 2]) -> f32 + Sync),
) {
    let (rows, words) = (path.rows(), path.words(channels));
    let [tap_rows, tap_columns] = [part.axes[0].taps, part.axes[1].taps];
    let taps = tap_rows * tap_columns;
    let panel = (rows * taps * words).max(1);
    weights.par_chunks_mut(panel).enumerate().for_each(|(panel, weights)| {
        weights.fill(0);
        for word in 0..words {
            for (row, output) in (panel * rows..outputs.min((panel + 1) * rows)).enumerate() {
                for tap in 0..taps {
                    let place = [tap / tap_columns, tap % tap_columns];
                    let value = |channel: usize| {
                        if channel < channels { value(output, channel, place) } else { 0.0 }
                    };
                    weights[(tap * words + word) * rows + row] = if path.pairs() {
                        path.word(value(2 * word), value(2 * word + 1))
                    } else {
                        path.word(value(word), 0.0)
                    };
                }
            }
        }
    });
}

/// One part of one call.
struct Call<'a> {
    path: Path,
    part: &'a Part,
    images: &'a [f32],
    count: usize,
    from: Planes,
    to: Planes,
    bias: Option<&'a [f32]>,
    weights: &'a [u32],
    target: Target,
}

/// How a call is split into tasks: by its sizes alone.
#[derive(Debug, Clone, Copy)]
struct Plan {
    /// Images of a task, a multiple of 16, and ranges of them.
    images: usize,
    image_ranges: usize,
    /// Rows of a task's result, at most, and ranges of them.
    row_ranges: usize,
    /// Panels of a task, and ranges of them.
    panels: usize,
    panel_ranges: usize,
}

impl Plan {
    fn new(call: &Call<'_>) -> Self {
        /// Positions among which there are enough of each kind to fill the tiles.
        const POSITIONS: usize = 32;
        let [vertical, horizontal] = &call.part.axes;
        let (rows, columns) = (vertical.count, horizontal.count);
        let blocks = call.count.div_ceil(LANES).max(1);
        let task_blocks = (POSITIONS / (rows * columns).max(1)).clamp(1, blocks);
        let image_ranges = blocks.div_ceil(task_blocks);
        let row_words = task_blocks * call.from.width * call.path.words(call.from.channels) * LANES;
        let fits =
            (1..=rows).rev().find(|rows| (rows * vertical.stride + vertical.taps) * row_words <= SOURCE);
        let row_ranges = rows.div_ceil(fits.unwrap_or(1)).max(1);
        let panels = call.to.channels.div_ceil(call.path.rows());
        let wanted = TASKS.div_ceil(image_ranges * row_ranges).min(call.to.channels / OUTPUTS).max(1);
        let task_panels = panels.div_ceil(wanted);
        Self {
            images: task_blocks * LANES,
            image_ranges,
            row_ranges,
            panels: task_panels,
            panel_ranges: panels.div_ceil(task_panels),
        }
    }

    fn tasks(&self) -> usize {
        self.image_ranges * self.row_ranges * self.panel_ranges
    }
}

impl Call<'_> {
    fn run(&self, plan: &Plan, task: usize, scratch: &mut Scratch) {
        let path = self.path;
        let [vertical, horizontal] = self.part.axes;
        let range = task / plan.panel_ranges;
        let images = range / plan.row_ranges * plan.images;
        let images = images..self.count.min(images + plan.images);
        let row_range = range % plan.row_ranges;
        let row_at = |range: usize| vertical.count * range / plan.row_ranges;
        let rows = row_at(row_range)..row_at(row_range + 1);
        let panels = task % plan.panel_ranges * plan.panels;
        let panels = panels..self.to.channels.div_ceil(path.rows()).min(panels + plan.panels);
        let positions_a_block = rows.len() * horizontal.count;
        if positions_a_block == 0 || images.is_empty() {
            return;
        }
        let sources = vertical.sources_of(rows.clone());
        let words = path.words(self.from.channels);
        let block_words = sources.len() * self.from.width * words * LANES;
        let blocks = images.len().div_ceil(LANES);
        let block_images = |block: usize| {
            let start = images.start + block * LANES;
            start..images.end.min(start + LANES)
        };
        let source = first(&mut scratch.first, blocks * block_words);
        for (block, words) in source.chunks_exact_mut(block_words.max(1)).enumerate() {
            let (values, planes, rows) = (self.images, self.from, sources.clone());
            path.run(LayImages { values, planes, images: block_images(block), rows, words });
        }
        list(
            [vertical, horizontal],
            rows.clone(),
            |block, row, column| {
                block * block_words + ((row - sources.start) * self.from.width + column) * words * LANES
            },
            blocks,
            &mut scratch.positions,
            &mut scratch.classes,
        );
        let stride = blocks * positions_a_block * LANES;
        let sums = first(&mut scratch.sums, panels.len() * path.rows() * stride);
        path.run(Tiles {
            words,
            line: self.from.width * words * LANES,
            tap_columns: horizontal.taps,
            panels: panels.clone(),
            weights: self.weights,
            panel_words: path.rows() * self.part.terms(words),
            bias: self.bias,
            source,
            positions: &scratch.positions,
            classes: &scratch.classes,
            sums,
            stride,
        });
        let channels = panels.start * path.rows()..self.to.channels.min(panels.end * path.rows());
        for block in 0..blocks {
            path.run(TakeImages {
                sums: &sums[block * positions_a_block * LANES..],
                stride,
                planes: self.to,
                images: block_images(block),
                channels: channels.clone(),
                axes: self.part.axes,
                rows: rows.clone(),
                target: self.target,
            });
        }
    }
}

/// Lists the positions of `rows` of all `blocks` of sixteen images, `[place in the source of the first valid tap, number]`,
/// grouped by their valid taps.
fn list(
    [vertical, horizontal]: [Axis; 2],
    rows: Range<usize>,
    place: impl Fn(usize, usize, usize) -> usize,
    blocks: usize,
    positions: &mut Vec<[usize; 2]>,
    classes: &mut Vec<Class>,
) {
    positions.clear();
    classes.clear();
    for (row_run, row_taps) in vertical.runs(rows.clone()) {
        for (column_run, column_taps) in horizontal.runs(0..horizontal.count) {
            let start = positions.len();
            let nothing = row_taps.is_empty() || column_taps.is_empty();
            for block in 0..blocks {
                for row in row_run.clone() {
                    for column in column_run.clone() {
                        let source = if nothing {
                            0
                        } else {
                            let row = vertical.source_of(row, row_taps.start);
                            place(block, row, horizontal.source_of(column, column_taps.start))
                        };
                        let number = (block * rows.len() + row - rows.start) * horizontal.count + column;
                        positions.push([source, number]);
                    }
                }
            }
            let taps = if nothing { [0..0, 0..0] } else { [row_taps.clone(), column_taps] };
            classes.push(Class { positions: start..positions.len(), taps });
        }
    }
}

/// The sums of some panels at the positions of a task.
struct Tiles<'a> {
    /// Words of the channels of a pixel.
    words: usize,
    /// Words of the source from one row to the next.
    line: usize,
    tap_columns: usize,
    panels: Range<usize>,
    weights: &'a [u32],
    panel_words: usize,
    bias: Option<&'a [f32]>,
    source: &'a [u32],
    positions: &'a [[usize; 2]],
    classes: &'a [Class],
    sums: &'a mut [f32],
    /// Sums from one output to the next.
    stride: usize,
}

impl Kernel for Tiles<'_> {
    #[inline(always)]
    unsafe fn run<A: Arithmetic>(self) {
        assert!(self.panels.end * self.panel_words <= self.weights.len());
        assert!(self.panels.len() * A::ROWS * self.stride <= self.sums.len());
        for class in self.classes {
            let lines = class.taps[0].len();
            let (length, tap) = (
                class.taps[1].len() * self.words,
                class.taps[0].start * self.tap_columns + class.taps[1].start,
            );
            let [skip, step] = [tap, self.tap_columns].map(|taps| taps * self.words * A::ROWS);
            if lines > 0 {
                assert!(skip + (lines - 1) * step + length * A::ROWS <= self.panel_words);
            }
            for [source, number] in &self.positions[class.positions.clone()] {
                let reach = if lines == 0 { 0 } else { (lines - 1) * self.line + length * LANES };
                assert!(source + reach <= self.source.len() && (number + 1) * LANES <= self.stride);
            }
        }
        for (index, panel) in self.panels.clone().enumerate() {
            let mut bias = [0.0; 8];
            if let Some(all) = self.bias {
                bias.iter_mut().zip(&all[panel * A::ROWS..]).for_each(|(bias, value)| *bias = *value);
            }
            for class in self.classes {
                let tap = class.taps[0].start * self.tap_columns + class.taps[1].start;
                // SAFETY: the assertions above hold for this class, its positions, this panel and its sums.
                unsafe {
                    let walk = Walk {
                        weights: self
                            .weights
                            .as_ptr()
                            .add(panel * self.panel_words + tap * self.words * A::ROWS),
                        weight_step: self.tap_columns * self.words * A::ROWS,
                        source_step: self.line,
                        lines: class.taps[0].len(),
                        length: class.taps[1].len() * self.words,
                        bias: &bias,
                        source: self.source.as_ptr(),
                        sums: self.sums.as_mut_ptr().add(index * A::ROWS * self.stride),
                        stride: self.stride,
                    };
                    let mut positions = &self.positions[class.positions.clone()];
                    while !positions.is_empty() {
                        // Two tiles of two keep the multipliers busier than one of three and one of one.
                        let count = match positions.len() {
                            4 => A::POSITIONS.min(2),
                            more => A::POSITIONS.min(more),
                        };
                        let (now, later) = positions.split_at(count);
                        match (A::ROWS, count * (LANES / A::Register::LANES)) {
                            (8, 3) => walk.tile::<A, 8, 3>(now),
                            (8, 2) => walk.tile::<A, 8, 2>(now),
                            (8, _) => walk.tile::<A, 8, 1>(now),
                            (6, _) => walk.tile::<A, 6, 2>(now),
                            _ => walk.tile::<A, 2, 4>(now),
                        }
                        positions = later;
                    }
                }
            }
        }
    }
}

/// What the tiles of a panel and a class have in common.
struct Walk<'a> {
    weights: *const u32,
    weight_step: usize,
    source_step: usize,
    /// Valid rows of the kernel.
    lines: usize,
    /// Terms of such a row.
    length: usize,
    bias: &'a [f32; 8],
    source: *const u32,
    sums: *mut f32,
    stride: usize,
}

impl Walk<'_> {
    /// Sums `ROWS` outputs in `VECTORS` registers of the `positions`, which the latter just hold.
    ///
    /// # Safety
    /// The processor has the registers of `A`; each line of each position lies in the source, each line of the weights
    /// in the panel, and the positions in each of the panel's `ROWS` rows of sums.
    #[inline(always)]
    unsafe fn tile<A: Arithmetic, const ROWS: usize, const VECTORS: usize>(&self, positions: &[[usize; 2]]) {
        let lanes = A::Register::LANES;
        let vectors = LANES / lanes;
        // SAFETY: as the caller's.
        unsafe {
            let mut sources = [self.source; VECTORS];
            for vector in 0..VECTORS {
                let [place, _] = positions[vector / vectors];
                sources[vector] = self.source.add(place + vector % vectors * lanes);
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
