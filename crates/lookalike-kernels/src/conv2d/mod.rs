//! Convolution of images with square kernels, and its gradients.
//!
//! Each function lays its operands out a piece at a time, so that the innermost loops read them in order from the
//! caches: `correlate` for output and input gradient, `contract` for the weight gradient, and `winograd` for all three where
//! tiles need far fewer products. Work is split into tasks by the shape alone: results do not depend on the number of
//! threads. Inputs are expected to be finite: what is not a number, or rounds to an infinity, spreads to other pixels of its tile,
//! and in the weight gradient to other taps.

mod arithmetic;
mod contract;
mod correlate;
mod flat;
mod grid;
mod layout;
mod scratch;
mod weights;
mod winograd;

use rayon::prelude::*;

use arithmetic::Path;
use grid::Axis;
use layout::Planes;
use weights::Weights;

/// How both operands are rounded. Products and sums are `f32`, and so is what goes in and comes out.
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
        let least = self.inputs.min(self.outputs).min(self.height).min(self.width);
        assert!(
            self.stride > 0 && least > 0 && (1..=padded).contains(&self.kernel),
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
}

/// The convolution (cross-correlation, as deep learning calls it so).
///
/// # Shapes
/// `input` is `[N, C, H, W]`, `weight` `[O, C, K, K]`, `bias` `[O]`; the output is `[N, O, H′, W′]`.
///
/// # Panics
/// Where lengths do not fit `shape`, or in `shape` channels, pixels, kernel or stride are 0 or the kernel is larger than the
/// padded image.
pub fn forward(
    shape: &Shape,
    precision: Precision,
    input: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
) -> Vec<f32> {
    forward_at(Path::detect(precision), shape, [input, weight], bias)
}

fn forward_at(path: Path, shape: &Shape, [input, weight]: [&[f32]; 2], bias: Option<&[f32]>) -> Vec<f32> {
    shape.check_lengths(Some(input), Some(weight), None);
    if let Some(bias) = bias {
        assert_eq!(bias.len(), shape.outputs, "values of the bias in {shape:?}");
    }
    let (from, to) = (shape.input(), shape.output());
    let sides = [(from.height, to.height), (from.width, to.width)]
        .map(|(input, output)| vec![Axis::of_output(shape, input, output)]);
    let taps = shape.kernel * shape.kernel;
    let weights = Weights { values: weight, output: shape.terms(), channel: taps, kernel: shape.kernel };
    correlate::correlate(path, &sides, input, [from, to], bias, &weights)
}

/// The gradient of the input: each pixel sums what it contributed to.
///
/// # Shapes
/// `weight` is `[O, C, K, K]`, `gradient` (of the output) `[N, O, H′, W′]`; the result is `[N, C, H, W]`.
///
/// # Panics
/// As [`forward`].
pub fn input_gradient(shape: &Shape, precision: Precision, weight: &[f32], gradient: &[f32]) -> Vec<f32> {
    input_gradient_at(Path::detect(precision), shape, [weight, gradient])
}

fn input_gradient_at(path: Path, shape: &Shape, [weight, gradient]: [&[f32]; 2]) -> Vec<f32> {
    shape.check_lengths(None, Some(weight), Some(gradient));
    let (from, to) = (shape.output(), shape.input());
    let sides = [(to.height, from.height), (to.width, from.width)].map(|(input, output)| {
        (0..shape.stride).map(|phase| Axis::of_input_phase(shape, phase, input, output)).collect::<Vec<_>>()
    });
    let taps = shape.kernel * shape.kernel;
    let weights = Weights { values: weight, output: taps, channel: shape.terms(), kernel: shape.kernel };
    correlate::correlate(path, &sides, gradient, [from, to], None, &weights)
}

/// The gradient of the weights, summed over all images.
///
/// # Shapes
/// `input` is `[N, C, H, W]`, `gradient` (of the output) `[N, O, H′, W′]`; the result is `[O, C, K, K]`.
///
/// # Panics
/// As [`forward`].
pub fn weight_gradient(shape: &Shape, precision: Precision, input: &[f32], gradient: &[f32]) -> Vec<f32> {
    weight_gradient_at(Path::detect(precision), shape, [input, gradient])
}

fn weight_gradient_at(path: Path, shape: &Shape, [input, gradient]: [&[f32]; 2]) -> Vec<f32> {
    shape.check_lengths(Some(input), None, Some(gradient));
    contract::contract(path, shape, input, gradient)
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

#[cfg(test)]
mod tests;
