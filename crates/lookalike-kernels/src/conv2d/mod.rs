//! Convolution of [maps](crate::map) with square kernels, and its gradients.
//!
//! Each function packs its operands a piece at a time, so that the innermost loops read them in order from
//! the caches. `correlate` computes the output and the input gradient, `contract` the weight gradient, and
//! `winograd` all three where tiles need far fewer products. Tasks hang on the number of threads, but the order of a
//! sum hangs on the shape alone: results do not depend on the number of threads. Inputs are expected to be finite: a NaN, or a value that
//! rounds to an infinity, spreads to other pixels of its tile, and in the weight gradient to other taps.

pub(crate) mod arithmetic;
mod contract;
mod contract_tiles;
mod correlate;
mod grid;
mod layout;
mod scratch;
mod weights;
mod winograd;

use arithmetic::Path;
use correlate::Operands;
use grid::Axis;
use weights::Weights;

use crate::map::{MapShape, Precision, sums};
use crate::sizes::{product, windows};

/// The shape of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvShape {
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

impl ConvShape {
    /// Height of the output, H′ = (H + 2 · padding − K) / stride + 1, rounded down.
    ///
    /// # Panics
    /// If the kernel is larger than the padded image, or it or the stride is 0.
    pub fn output_height(&self) -> usize {
        self.output_side(self.height)
    }

    /// Width of the output, W′ = (W + 2 · padding − K) / stride + 1, rounded down.
    ///
    /// # Panics
    /// As [`output_height`](Self::output_height).
    pub fn output_width(&self) -> usize {
        self.output_side(self.width)
    }

    fn output_side(&self, side: usize) -> usize {
        let pixels = windows(side, self.kernel, self.stride, self.padding);
        assert!(pixels.is_some(), "no convolution has the shape {self:?}");
        pixels.unwrap_or_default()
    }

    /// Panics if there is no such convolution, or if the values of an operand or the positions of a tap
    /// cannot be counted: after this, none of their products wraps around.
    fn check(&self) {
        // A tap is at most so far from the first pixel; distances are signed, and some are sums of two of
        // them.
        let farthest = [self.padding, self.padding, self.stride, self.height.max(self.width)];
        let farthest = farthest.into_iter().try_fold(0_usize, usize::checked_add);
        let countable = farthest.is_some_and(|farthest| farthest <= isize::MAX as usize / 2);
        assert!(countable, "sizes too large to count: {self:?}");
        self.input().check();
        self.output().check();
        self.weights();
    }

    fn check_lengths(
        &self,
        precision: Precision,
        input: Option<&[u32]>,
        weight: Option<&[f32]>,
        output: Option<&[u32]>,
    ) {
        self.check();
        if let Some(map) = input {
            self.input().check_map(precision, map);
        }
        if let Some(map) = output {
            self.output().check_map(precision, map);
        }
        if let Some(weight) = weight {
            assert_eq!(weight.len(), self.weights(), "values of the weight in {self:?}");
        }
    }

    /// Values of the weight, O · C · K².
    fn weights(&self) -> usize {
        product([self.outputs, self.inputs, self.kernel, self.kernel], self)
    }

    /// The shape of the input.
    pub fn input(&self) -> MapShape {
        MapShape { images: self.images, channels: self.inputs, height: self.height, width: self.width }
    }

    /// The shape of the output.
    ///
    /// # Panics
    /// As [`output_height`](Self::output_height).
    pub fn output(&self) -> MapShape {
        let (height, width) = (self.output_height(), self.output_width());
        MapShape { images: self.images, channels: self.outputs, height, width }
    }

    /// Products that one output sums.
    fn terms(&self) -> usize {
        self.inputs * self.kernel * self.kernel
    }
}

/// The axis along either side by which the output sums the input.
fn output_sides(shape: &ConvShape) -> [Vec<Axis>; 2] {
    let (from, to) = (shape.input(), shape.output());
    [(from.height, to.height), (from.width, to.width)]
        .map(|(input, output)| vec![Axis::of_output(shape, input, output)])
}

/// The axes along either side by which the input's gradient sums that of the output.
fn input_sides(shape: &ConvShape) -> [Vec<Axis>; 2] {
    let (from, to) = (shape.input(), shape.output());
    [(from.height, to.height), (from.width, to.width)].map(|(input, output)| {
        // Later phases have no pixels.
        let phases = 0..shape.stride.min(input + shape.padding);
        let phases = phases.map(|phase| Axis::of_input_phase(shape, phase, input, output));
        phases.filter(|axis| axis.count > 0).collect()
    })
}

/// Tasks of output, input gradient and weight gradient where there are tasks of `wanted`, and of each those of one as
/// fine as possible.
#[cfg(test)]
pub(crate) fn count_tasks(path: Path, shape: &ConvShape, wanted: usize) -> [[usize; 2]; 3] {
    let (from, to) = (shape.input(), shape.output());
    [
        correlate::count_tasks(path, &output_sides(shape), [from, to], wanted),
        correlate::count_tasks(path, &input_sides(shape), [to, from], wanted),
        contract::count_tasks(path, shape, wanted),
    ]
}

/// The convolution, which in deep learning is a cross-correlation.
///
/// # Shapes
/// `input` is a [map](crate::map) of N images and C channels, `weight` `[O, C, K, K]`, `bias` `[O]`; the
/// output is a map of O channels.
///
/// # Panics
/// If lengths do not fit `shape`; if channels, pixels, kernel or stride are 0; if the kernel is larger than
/// the padded image.
pub fn forward(
    shape: &ConvShape,
    precision: Precision,
    input: &[u32],
    weight: &[f32],
    bias: Option<&[f32]>,
) -> Vec<u32> {
    forward_at(Path::detect(precision), shape, input, weight, bias)
}

fn forward_at(
    path: Path,
    shape: &ConvShape,
    input: &[u32],
    weight: &[f32],
    bias: Option<&[f32]>,
) -> Vec<u32> {
    shape.check_lengths(path.precision(), Some(input), Some(weight), None);
    if let Some(bias) = bias {
        assert_eq!(bias.len(), shape.outputs, "values of the bias in {shape:?}");
    }
    let (from, to) = (shape.input(), shape.output());
    let sides = output_sides(shape);
    let taps = shape.kernel * shape.kernel;
    let weights = Weights { values: weight, output: shape.terms(), channel: taps, kernel: shape.kernel };
    let operands = Operands { map: input, bias, added: None };
    correlate::correlate(path, &sides, &operands, [from, to], &weights)
}

/// The gradient of the input, plus `added` if it is given: the gradient of another layer that reads the same
/// input.
///
/// # Shapes
/// `weight` is `[O, C, K, K]`, `gradient` (of the output) a [map](crate::map) of O channels; the result and
/// `added` are maps of C channels.
///
/// # Panics
/// As [`forward`].
pub fn input_gradient(
    shape: &ConvShape,
    precision: Precision,
    weight: &[f32],
    gradient: &[u32],
    added: Option<&[u32]>,
) -> Vec<u32> {
    input_gradient_at(Path::detect(precision), shape, weight, gradient, added)
}

fn input_gradient_at(
    path: Path,
    shape: &ConvShape,
    weight: &[f32],
    gradient: &[u32],
    added: Option<&[u32]>,
) -> Vec<u32> {
    shape.check_lengths(path.precision(), added, Some(weight), Some(gradient));
    let (from, to) = (shape.output(), shape.input());
    let sides = input_sides(shape);
    let taps = shape.kernel * shape.kernel;
    let weights = Weights { values: weight, output: taps, channel: shape.terms(), kernel: shape.kernel };
    let operands = Operands { map: gradient, bias: None, added };
    correlate::correlate(path, &sides, &operands, [from, to], &weights)
}

/// The gradient of the weights, summed over all images.
///
/// # Shapes
/// `input` is a [map](crate::map) of C channels, `gradient` (of the output) one of O; the result is
/// `[O, C, K, K]`.
///
/// # Panics
/// As [`forward`].
pub fn weight_gradient(shape: &ConvShape, precision: Precision, input: &[u32], gradient: &[u32]) -> Vec<f32> {
    weight_gradient_at(Path::detect(precision), shape, [input, gradient])
}

fn weight_gradient_at(path: Path, shape: &ConvShape, [input, gradient]: [&[u32]; 2]) -> Vec<f32> {
    shape.check_lengths(path.precision(), Some(input), None, Some(gradient));
    if shape.images == 0 {
        return vec![0.0; shape.weights()];
    }
    contract::contract(path, shape, input, gradient)
}

/// The gradient of the bias: that of the output summed over images and pixels.
///
/// # Shapes
/// `gradient` (of the output) is a [map](crate::map) of O channels; the result is `[O]`.
///
/// # Panics
/// As [`forward`].
pub fn bias_gradient(shape: &ConvShape, precision: Precision, gradient: &[u32]) -> Vec<f32> {
    shape.check_lengths(precision, None, None, Some(gradient));
    let (sums, each) = (sums(&shape.output(), precision, gradient), precision.channels_per_word());
    let words = shape.output().channel_words(precision);
    let sum = |output: usize| {
        let of_blocks = sums.iter().skip(output / each).step_by(words);
        of_blocks.flat_map(|sums| sums[output % each]).sum::<f64>() as f32
    };
    (0..shape.outputs).map(sum).collect()
}

#[cfg(test)]
mod on_tiles;
#[cfg(test)]
mod tests;
