//! Convolution of images with square kernels, and its two gradients.
//!
//! A group of images stands side by side on one *sheet*, neighbours sharing the zeros between them, and each channel is
//! one such sheet. A kernel's tap is then nothing but an offset: the output at position n sums
//! `weight · sheet[n + offset]` over channels and taps, for all n alike, without a copy per tap. Positions between the
//! images are computed as well and thrown away. A stride s splits rows and columns into s phases (position modulo s),
//! which makes a strided convolution such a sum over phases.
//!
//! Images are split into groups, and the sums of the weight gradient into ranges of images, by the shape alone: results
//! do not depend on the number of threads. Inputs are expected to be finite.

mod bf16;
mod sheet;
mod tile;

use std::borrow::Cow;
use std::cell::RefCell;
use std::mem::MaybeUninit;
use std::ops::Range;

use rayon::prelude::*;

use crate::dot::Level;
use crate::written::written;
use sheet::{GradientSide, Pixels, Planes, Sheet};
use tile::{Contraction, Correlation, contract, correlate};

/// How the two factors of each product are rounded. Products and sums are `f32`, and so is what goes in and comes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// Not at all.
    #[default]
    F32,
    /// To the nearest bfloat16, ties to even.
    Bf16,
}

impl Precision {
    /// Whether this processor has instructions for it. Where it has not, the kernels round and multiply in `f32`: the
    /// same numbers up to the order of summation, but slower than [`Precision::F32`].
    pub fn is_native(self) -> bool {
        match self {
            Self::F32 => true,
            #[cfg(target_arch = "x86_64")]
            Self::Bf16 => is_x86_feature_detected!("avx512bf16") && is_x86_feature_detected!("avx512f"),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Bf16 => false,
        }
    }

    /// `values` as this precision multiplies them.
    fn round(self, values: &[f32]) -> Cow<'_, [f32]> {
        match self {
            Self::F32 => Cow::Borrowed(values),
            Self::Bf16 => Cow::Owned(values.iter().copied().map(bf16::round).collect()),
        }
    }
}

/// A convolution's sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Images, N.
    pub images: usize,
    /// Input channels, C.
    pub inputs: usize,
    /// Output channels, O.
    pub outputs: usize,
    /// Height of the input.
    pub height: usize,
    /// Width of the input.
    pub width: usize,
    /// Height and width of the kernel, K.
    pub kernel: usize,
    /// Input pixels from one output to the next.
    pub stride: usize,
    /// Zeros on each side of the input.
    pub padding: usize,
}

impl Shape {
    /// Height of the output, H′.
    pub fn output_height(&self) -> usize {
        (self.height + 2 * self.padding - self.kernel) / self.stride + 1
    }

    /// Width of the output, W′.
    pub fn output_width(&self) -> usize {
        (self.width + 2 * self.padding - self.kernel) / self.stride + 1
    }

    fn check(&self) {
        let padded = self.height.min(self.width) + 2 * self.padding;
        let channels = self.inputs.min(self.outputs);
        assert!(
            self.stride > 0 && channels > 0 && (1..=padded).contains(&self.kernel),
            "no convolution has the sizes {self:?}"
        );
    }

    fn check_lengths(&self, input: Option<&[f32]>, weight: Option<&[f32]>, output: Option<&[f32]>) {
        self.check();
        let expect = |name: &str, values: Option<&[f32]>, length: usize| {
            if let Some(values) = values {
                assert_eq!(values.len(), length, "values of the {name} in {self:?}");
            }
        };
        expect("input", input, self.images * self.input().values());
        expect("weight", weight, self.outputs * self.terms());
        expect("output gradient", output, self.images * self.output().values());
    }

    fn input(&self) -> Planes {
        Planes { channels: self.inputs, height: self.height, width: self.width }
    }

    fn output(&self) -> Planes {
        Planes { channels: self.outputs, height: self.output_height(), width: self.output_width() }
    }

    /// Products that one output sums.
    fn terms(&self) -> usize {
        self.inputs * self.kernel * self.kernel
    }

    /// Images on a sheet: as many as stay in the second-level cache, more where large weights would otherwise be read
    /// anew for every image, fewer where many threads would have nothing to do.
    fn group(&self) -> usize {
        const CACHE: usize = 64 * 1024;
        let values = CACHE + self.outputs * self.terms() / 8;
        (values / (self.input().values() + self.output().values())).clamp(1, self.images.div_ceil(8).max(1))
    }

    /// Where on the input's sheet each product of the first output finds its factor, for some input channels.
    fn offsets(&self, sheet: &Sheet, channels: usize) -> Vec<usize> {
        let (kernel, stride) = (self.kernel, self.stride);
        let term = |term: usize| {
            let (channel, row, column) = (term / kernel / kernel, term / kernel % kernel, term % kernel);
            sheet.offset(channel, [row % stride, column % stride], [row / stride, column / stride])
        };
        (0..channels * kernel * kernel).map(term).collect()
    }
}

/// The convolution (cross-correlation, as deep learning calls it so).
///
/// # Shapes
/// `input` is `[N, C, H, W]`, `weight` `[O, C, K, K]`, `bias` `[O]`; the output is `[N, O, H′, W′]`.
///
/// # Panics
/// Where lengths do not fit `shape`, or in `shape` channels, kernel or stride are 0 or the kernel is larger than the
/// padded image.
pub fn forward(
    shape: &Shape,
    precision: Precision,
    input: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
) -> Vec<f32> {
    forward_at(Level::detect(), shape, precision, [input, weight], bias)
}

fn forward_at(
    level: Level,
    shape: &Shape,
    precision: Precision,
    [input, weight]: [&[f32]; 2],
    bias: Option<&[f32]>,
) -> Vec<f32> {
    shape.check_lengths(Some(input), Some(weight), None);
    if let Some(bias) = bias {
        assert_eq!(bias.len(), shape.outputs, "values of the bias in {shape:?}");
    }
    let [input, weight] = [input, weight].map(|values| precision.round(values));
    let (input, weight) = (&*input, &*weight);
    let sheet = Sheet::of_input(shape, shape.group());
    let terms = shape.terms();
    let part = Part {
        weights: pack(level, shape.outputs, terms, |output, term| weight[output * terms + term]),
        offsets: shape.offsets(&sheet, shape.inputs),
        pixels: [shape.output_height(), shape.output_width()].map(|count| Pixels {
            first: 0,
            step: 1,
            count,
        }),
    };
    correlate_groups(level, &sheet, &[part], input, [shape.input(), shape.output()], bias)
}

/// The gradient of the input: each pixel sums what it contributed to.
///
/// # Shapes
/// `weight` is `[O, C, K, K]`, `gradient` (of the output) `[N, O, H′, W′]`; the result is `[N, C, H, W]`.
///
/// # Panics
/// As [`forward`].
pub fn input_gradient(shape: &Shape, precision: Precision, weight: &[f32], gradient: &[f32]) -> Vec<f32> {
    input_gradient_at(Level::detect(), shape, precision, [weight, gradient])
}

fn input_gradient_at(
    level: Level,
    shape: &Shape,
    precision: Precision,
    [weight, gradient]: [&[f32]; 2],
) -> Vec<f32> {
    shape.check_lengths(None, Some(weight), Some(gradient));
    let [weight, gradient] = [weight, gradient].map(|values| precision.round(values));
    let (weight, gradient) = (&*weight, &*gradient);
    let rows = GradientSide::new(shape, shape.height, shape.output_height());
    let columns = GradientSide::new(shape, shape.width, shape.output_width());
    let sheet = Sheet::of_gradient([&rows, &columns], shape, shape.group());
    let Shape { inputs, outputs, kernel, stride, .. } = *shape;
    let mut parts = Vec::new();
    for (row_phase, (row, row_pixels)) in rows.phases.iter().enumerate() {
        for (column_phase, (column, column_pixels)) in columns.phases.iter().enumerate() {
            let taps: Vec<[usize; 2]> = (row_phase..kernel)
                .step_by(stride)
                .flat_map(|row| (column_phase..kernel).step_by(stride).map(move |column| [row, column]))
                .collect();
            let terms = outputs * taps.len();
            let source = |term: usize| {
                let [tap_row, tap_column] = taps[term % taps.len()].map(|tap| tap / stride);
                let place = [sheet.top + row - tap_row, sheet.left + column - tap_column];
                sheet.offset(term / taps.len(), [0; 2], place)
            };
            let value = |input: usize, term: usize| {
                let [tap_row, tap_column] = taps[term % taps.len()];
                weight[((term / taps.len() * inputs + input) * kernel + tap_row) * kernel + tap_column]
            };
            if row_pixels.count * column_pixels.count == 0 {
                continue;
            }
            parts.push(Part {
                offsets: (0..terms).map(source).collect(),
                weights: pack(level, inputs, terms, value),
                pixels: [*row_pixels, *column_pixels],
            });
        }
    }
    correlate_groups(level, &sheet, &parts, gradient, [shape.output(), shape.input()], None)
}

/// Some pixels of the result and the sum that gives them.
struct Part {
    /// As [`Correlation::weights`].
    weights: Vec<f32>,
    offsets: Vec<usize>,
    /// Rows and columns of the pixels.
    pixels: [Pixels; 2],
}

/// Weights `value(row, term)` in the order in which the tiles read them.
fn pack(level: Level, rows: usize, terms: usize, value: impl Fn(usize, usize) -> f32 + Sync) -> Vec<f32> {
    let height = level.correlation_tile().rows;
    let mut weights = vec![0.0; rows.next_multiple_of(height) * terms];
    weights.par_chunks_mut((height * terms).max(1)).enumerate().for_each(|(panel, weights)| {
        for (term, weights) in weights.chunks_exact_mut(height).enumerate() {
            for (row, weight) in (panel * height..rows).zip(weights) {
                *weight = value(row, term);
            }
        }
    });
    weights
}

/// Computes all `parts`, which together cover every pixel of `to`, from images of sizes `from`.
#[expect(unsafe_code, reason = "outputs are not cleared before they are written")]
fn correlate_groups(
    level: Level,
    sheet: &Sheet,
    parts: &[Part],
    images: &[f32],
    [from, to]: [Planes; 2],
    bias: Option<&[f32]>,
) -> Vec<f32> {
    let tile = level.correlation_tile();
    let length = |part: &Part| (part.pixels[0].count * sheet.width()).next_multiple_of(tile.columns);
    let readable = |part: &Part| part.offsets.iter().max().map_or(0, |last| last + length(part));
    let readable = parts.iter().map(readable).max().unwrap_or(0);
    let group = |(images, out): (&[f32], &mut [MaybeUninit<f32>])| {
        with_buffers(|Buffers { source, sums }| {
            sheet.lay(images, from, 0..from.channels, readable, source);
            for part in parts {
                let length = length(part);
                sums.resize(to.channels.next_multiple_of(tile.rows) * length, 0.0);
                if part.offsets.is_empty() {
                    sums.fill(0.0);
                } else {
                    let work = Correlation { weights: &part.weights, offsets: &part.offsets, source, length };
                    correlate(level, &work, sums);
                }
                if let Some(bias) = bias {
                    for (sums, bias) in sums.chunks_exact_mut(length).zip(bias) {
                        for sum in sums {
                            *sum += bias;
                        }
                    }
                }
                sheet.take(sums, length, to, part.pixels, out);
            }
        });
    };
    let count = images.len() / from.values();
    let write = |out: &mut [MaybeUninit<f32>]| {
        let inputs = images.par_chunks(sheet.images * from.values());
        inputs.zip(out.par_chunks_mut(sheet.images * to.values())).for_each(group);
    };
    // SAFETY: there are as many groups of images as of results, and the parts cover every pixel of an image.
    unsafe { written(count * to.values(), write) }
}

/// The gradient of the weights, summed over all images.
///
/// # Shapes
/// `input` is `[N, C, H, W]`, `gradient` (of the output) `[N, O, H′, W′]`; the result is `[O, C, K, K]`.
///
/// # Panics
/// As [`forward`].
pub fn weight_gradient(shape: &Shape, precision: Precision, input: &[f32], gradient: &[f32]) -> Vec<f32> {
    weight_gradient_at(Level::detect(), shape, precision, [input, gradient])
}

fn weight_gradient_at(
    level: Level,
    shape: &Shape,
    precision: Precision,
    [input, gradient]: [&[f32]; 2],
) -> Vec<f32> {
    /// Input channels of a task.
    const CHANNELS: usize = 64;
    /// Tasks, where there are images enough; each has sums of its own.
    const TASKS: usize = 32;
    shape.check_lengths(Some(input), None, Some(gradient));
    let [input, gradient] = [input, gradient].map(|values| precision.round(values));
    let (input, gradient) = (&*input, &*gradient);
    let group = shape.group();
    let groups = shape.images.div_ceil(group);
    let blocks = shape.inputs.div_ceil(CHANNELS);
    let ranges = (TASKS / blocks).clamp(1, groups.max(1));
    let partial = |task: usize| {
        let (range, block) = (task / blocks, task % blocks);
        let images =
            group * (groups * range / ranges)..shape.images.min(group * (groups * (range + 1) / ranges));
        let channels = block * CHANNELS..shape.inputs.min((block + 1) * CHANNELS);
        partial_weight_gradient(level, shape, channels, images, [input, gradient])
    };
    let partials: Vec<Vec<f32>> = (0..ranges * blocks).into_par_iter().map(partial).collect();
    let tile = level.contraction_tile(shape.outputs);
    let stride = shape.outputs.next_multiple_of(tile.columns);
    let (terms, block_terms) = (shape.terms(), CHANNELS * shape.kernel * shape.kernel);
    let mut sums = vec![0.0; shape.outputs * terms];
    sums.par_chunks_mut(tile.columns * terms).enumerate().for_each(|(panel, sums)| {
        for (task, partial) in partials.iter().enumerate() {
            let first = task % blocks * block_terms;
            for (term, values) in (first..terms.min(first + block_terms)).zip(partial.chunks_exact(stride)) {
                let values = &values[panel * tile.columns..][..tile.columns];
                for (sums, value) in sums.chunks_exact_mut(terms).zip(values) {
                    sums[term] += value;
                }
            }
        }
    });
    sums
}

/// The part of some images and input channels, `[channels · K², O]`, both rounded up to tiles.
fn partial_weight_gradient(
    level: Level,
    shape: &Shape,
    channels: Range<usize>,
    images: Range<usize>,
    [input, gradient]: [&[f32]; 2],
) -> Vec<f32> {
    let tile = level.contraction_tile(shape.outputs);
    let (from, to) = (shape.input(), shape.output());
    let sheet = Sheet::of_input(shape, shape.group());
    let mut offsets = shape.offsets(&sheet, channels.len());
    // Rows that fill up the last tile read anything; nobody reads what they sum.
    offsets.resize(offsets.len().next_multiple_of(tile.rows), 0);
    let length = to.height * sheet.width();
    let readable = offsets.iter().max().map_or(0, |last| last + length);
    let mut sums = vec![0.0; offsets.len() * shape.outputs.next_multiple_of(tile.columns)];
    let input = &input[images.start * from.values()..images.end * from.values()];
    let gradient = &gradient[images.start * to.values()..images.end * to.values()];
    let groups = input.chunks(sheet.images * from.values()).zip(gradient.chunks(sheet.images * to.values()));
    with_buffers(|buffers| {
        for (input, gradient) in groups {
            sheet.lay(input, from, channels.clone(), readable, &mut buffers.source);
            sheet.transpose(gradient, to, tile.columns, &mut buffers.sums);
            let work =
                Contraction { gradient: &buffers.sums, offsets: &offsets, source: &buffers.source, length };
            contract(level, tile, &work, &mut sums);
        }
    });
    sums
}

/// The gradient of the bias: that of the output summed over images and pixels, in blocks as large as an image's map.
///
/// # Shapes
/// `gradient` (of the output) is `[N, O, H′, W′]`; the result is `[O]`.
///
/// # Panics
/// As [`forward`].
pub fn bias_gradient(shape: &Shape, gradient: &[f32]) -> Vec<f32> {
    shape.check_lengths(None, None, Some(gradient));
    let map = shape.output_height() * shape.output_width();
    let sum = |output: usize| {
        let maps = gradient.chunks_exact(map).skip(output).step_by(shape.outputs);
        maps.map(|map| map.iter().map(|value| f64::from(*value)).sum::<f64>()).sum::<f64>() as f32
    };
    (0..shape.outputs).into_par_iter().map(sum).collect()
}

/// What a thread keeps between groups.
#[derive(Default)]
struct Buffers {
    source: Vec<f32>,
    sums: Vec<f32>,
}

/// Lends the buffers of this thread. `work` must not wait for other work of the pool, which could ask for them again.
fn with_buffers(work: impl FnOnce(&mut Buffers)) {
    thread_local! {
        static BUFFERS: RefCell<Buffers> = RefCell::default();
    }
    BUFFERS.with_borrow_mut(work);
}

#[cfg(test)]
mod tests;
