//! Convolution with square kernels.

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::ops::ConvOptions;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::FloatDType;
use lookalike_kernels::conv2d as kernel;

use super::Plain;
use super::clock::{Task, timed};
use crate::engine::{Precision, Tensor};

/// Convolution without bias.
///
/// # Shapes
/// `[N, C, H, W]` and weights `[O, C, K, K]` → `[N, O, H′, W′]`.
pub(crate) fn conv2d(
    input: Tensor<4>,
    weight: Tensor<4>,
    stride: usize,
    padding: usize,
    precision: Precision,
) -> Tensor<4> {
    let (input, weight) = (input.into_dispatch(), weight.into_dispatch());
    Tensor::from_dispatch(Dispatch::convolve(input, weight, stride, padding, precision))
}

fn options(stride: usize, padding: usize) -> ConvOptions<2> {
    ConvOptions::new([stride; 2], [padding; 2], [1; 2], 1)
}

/// What the engine's own operation gives for tensors of that precision, as `f32`.
fn at_precision<B: Backend, const N: usize>(
    precision: Precision,
    tensors: [FloatTensor<B>; N],
    compute: impl FnOnce([FloatTensor<B>; N]) -> FloatTensor<B>,
) -> FloatTensor<B> {
    match precision {
        Precision::F32 => compute(tensors),
        Precision::Bf16 => {
            let rounded = tensors.map(|tensor| B::float_cast(tensor, FloatDType::BF16));
            B::float_cast(compute(rounded), FloatDType::F32)
        }
    }
}

/// A convolution and its gradients on each backend.
#[backend_extension(
    Autodiff,
    Flex,
    Cube: cfg(any(feature = "cuda", feature = "wgpu")),
    Fusion: cfg(any(feature = "cuda", feature = "wgpu")),
)]
pub(crate) trait Convolution: Backend {
    /// The output.
    #[fusion(default)]
    fn convolve(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        stride: usize,
        padding: usize,
        precision: Precision,
    ) -> FloatTensor<Self> {
        let compute = |[input, weight]: [_; 2]| Self::conv2d(input, weight, None, options(stride, padding));
        at_precision::<Self, 2>(precision, [input, weight], compute)
    }

    /// The gradient of the input, for the output's gradient.
    #[fusion(default)]
    fn convolve_input_gradient(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        stride: usize,
        padding: usize,
        precision: Precision,
    ) -> FloatTensor<Self> {
        let compute = |[input, weight, gradient]: [_; 3]| {
            Self::conv2d_x_backward(input, weight, gradient, options(stride, padding))
        };
        at_precision::<Self, 3>(precision, [input, weight, gradient], compute)
    }

    /// The gradient of the weights, for the output's gradient.
    #[fusion(default)]
    fn convolve_weight_gradient(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        stride: usize,
        padding: usize,
        precision: Precision,
    ) -> FloatTensor<Self> {
        let compute = |[input, weight, gradient]: [_; 3]| {
            Self::conv2d_weight_backward(input, weight, gradient, options(stride, padding))
        };
        at_precision::<Self, 3>(precision, [input, weight, gradient], compute)
    }
}

#[cfg(any(feature = "cuda", feature = "wgpu"))]
impl Convolution for burn::backend::Cube {}

fn kernel_precision(precision: Precision) -> kernel::Precision {
    match precision {
        Precision::F32 => kernel::Precision::F32,
        Precision::Bf16 => kernel::Precision::Bf16,
    }
}

fn kernel_shape(input: &Plain, weight: &Plain, stride: usize, padding: usize) -> kernel::Shape {
    let [images, inputs, height, width] = input.dims();
    let [outputs, _, kernel, _] = weight.dims();
    kernel::Shape { images, inputs, outputs, height, width, kernel, stride, padding }
}

impl Convolution for Flex {
    fn convolve(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        stride: usize,
        padding: usize,
        precision: Precision,
    ) -> FloatTensor<Self> {
        let [input, weight] = [input, weight].map(Plain::new);
        let shape = kernel_shape(&input, &weight, stride, padding);
        let precision = kernel_precision(precision);
        let output = timed(Task::Convolution, || {
            kernel::forward(&shape, precision, input.values(), weight.values(), None)
        });
        Plain::from_values(output, [shape.images, shape.outputs, shape.output_height(), shape.output_width()])
    }

    fn convolve_input_gradient(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        stride: usize,
        padding: usize,
        precision: Precision,
    ) -> FloatTensor<Self> {
        let [input, weight, gradient] = [input, weight, gradient].map(Plain::new);
        let shape = kernel_shape(&input, &weight, stride, padding);
        let precision = kernel_precision(precision);
        timed(Task::InputGradient, || {
            input.like(kernel::input_gradient(&shape, precision, weight.values(), gradient.values()))
        })
    }

    fn convolve_weight_gradient(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        stride: usize,
        padding: usize,
        precision: Precision,
    ) -> FloatTensor<Self> {
        let [input, weight, gradient] = [input, weight, gradient].map(Plain::new);
        let shape = kernel_shape(&input, &weight, stride, padding);
        let precision = kernel_precision(precision);
        timed(Task::WeightGradient, || {
            weight.like(kernel::weight_gradient(&shape, precision, input.values(), gradient.values()))
        })
    }
}

#[derive(Debug)]
struct ConvolveBackward;

impl<B: Convolution> Backward<B, 2> for ConvolveBackward {
    /// Input, weight, stride, padding and precision.
    type State = (NodeId, NodeId, usize, usize, Precision);

    fn backward(self, ops: Ops<Self::State, 2>, gradients: &mut Gradients, checkpointer: &mut Checkpointer) {
        let [input_node, weight_node] = ops.parents;
        let gradient = gradients.consume::<B>(&ops.node);
        let (input, weight, stride, padding, precision) = ops.state;
        let input: FloatTensor<B> = checkpointer.retrieve_node_output(input);
        let weight: FloatTensor<B> = checkpointer.retrieve_node_output(weight);
        if let Some(node) = input_node {
            let (input, weight, gradient) = (input.clone(), weight.clone(), gradient.clone());
            gradients.register::<B>(
                node.id,
                B::convolve_input_gradient(input, weight, gradient, stride, padding, precision),
            );
        }
        if let Some(node) = weight_node {
            gradients.register::<B>(
                node.id,
                B::convolve_weight_gradient(input, weight, gradient, stride, padding, precision),
            );
        }
    }
}

impl<B: Convolution, C: CheckpointStrategy> Convolution for Autodiff<B, C> {
    fn convolve(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        stride: usize,
        padding: usize,
        precision: Precision,
    ) -> FloatTensor<Self> {
        let compute = |input: FloatTensor<Self>, weight: FloatTensor<Self>| {
            B::convolve(input.into_primitive(), weight.into_primitive(), stride, padding, precision)
        };
        match ConvolveBackward.prepare::<C>([input.node(), weight.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prepared) => {
                let state =
                    (prepared.checkpoint(&input), prepared.checkpoint(&weight), stride, padding, precision);
                prepared.finish(state, compute(input, weight))
            }
            OpsKind::UnTracked(prepared) => prepared.finish(compute(input, weight)),
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::backend::ops::ModuleOps;

    use super::*;

    #[test]
    fn the_engines_own_bf16_gives_f32_that_is_near() {
        let tensor = |shape: [usize; 4], factor: usize| {
            let values = (0..shape.iter().product()).map(|at: usize| (at * factor % 101) as f32 / 50.0 - 1.0);
            Plain::from_values(values.collect(), shape)
        };
        let (input, weight) = (tensor([2, 8, 9, 9], 37), tensor([6, 8, 3, 3], 23));
        let of = |precision| {
            let compute = |[input, weight]: [_; 2]| Flex::conv2d(input, weight, None, options(1, 1));
            at_precision::<Flex, 2>(precision, [input.clone(), weight.clone()], compute)
        };
        let (whole, rounded) = (of(Precision::F32), of(Precision::Bf16));
        let (whole, rounded) = (whole.as_slice::<f32>().unwrap(), rounded.as_slice::<f32>().unwrap());
        let largest = whole.iter().fold(0.0, |largest: f32, value| largest.max(value.abs()));
        let worst = whole.iter().zip(rounded).fold(0.0, |worst: f32, (a, b)| worst.max((a - b).abs()));
        assert!(worst > 0.0 && worst <= 0.01 * largest, "off by {worst} of {largest}");
    }
}
