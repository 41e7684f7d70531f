//! Convolution with square kernels.

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::ops::ConvOptions;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use lookalike_kernels::conv2d as kernel;

use super::Plain;
use crate::engine::Tensor;

/// Convolution without bias.
///
/// # Shapes
/// `[N, C, H, W]` and weights `[O, C, K, K]` → `[N, O, H′, W′]`.
pub(crate) fn conv2d(input: Tensor<4>, weight: Tensor<4>, stride: usize, padding: usize) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::convolve(input.into_dispatch(), weight.into_dispatch(), stride, padding))
}

fn options(stride: usize, padding: usize) -> ConvOptions<2> {
    ConvOptions::new([stride; 2], [padding; 2], [1; 2], 1)
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
    ) -> FloatTensor<Self> {
        Self::conv2d(input, weight, None, options(stride, padding))
    }

    /// The gradient of the input, for the output's gradient.
    #[fusion(default)]
    fn convolve_input_gradient(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        stride: usize,
        padding: usize,
    ) -> FloatTensor<Self> {
        Self::conv2d_x_backward(input, weight, gradient, options(stride, padding))
    }

    /// The gradient of the weights, for the output's gradient.
    #[fusion(default)]
    fn convolve_weight_gradient(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        stride: usize,
        padding: usize,
    ) -> FloatTensor<Self> {
        Self::conv2d_weight_backward(input, weight, gradient, options(stride, padding))
    }
}

#[cfg(any(feature = "cuda", feature = "wgpu"))]
impl Convolution for burn::backend::Cube {}

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
    ) -> FloatTensor<Self> {
        let [input, weight] = [input, weight].map(Plain::new);
        let shape = kernel_shape(&input, &weight, stride, padding);
        let output = kernel::forward(&shape, kernel::Precision::F32, input.values(), weight.values(), None);
        Plain::from_values(output, [shape.images, shape.outputs, shape.output_height(), shape.output_width()])
    }

    fn convolve_input_gradient(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        stride: usize,
        padding: usize,
    ) -> FloatTensor<Self> {
        let [input, weight, gradient] = [input, weight, gradient].map(Plain::new);
        let shape = kernel_shape(&input, &weight, stride, padding);
        input.like(kernel::input_gradient(&shape, kernel::Precision::F32, weight.values(), gradient.values()))
    }

    fn convolve_weight_gradient(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        stride: usize,
        padding: usize,
    ) -> FloatTensor<Self> {
        let [input, weight, gradient] = [input, weight, gradient].map(Plain::new);
        let shape = kernel_shape(&input, &weight, stride, padding);
        weight.like(kernel::weight_gradient(
            &shape,
            kernel::Precision::F32,
            input.values(),
            gradient.values(),
        ))
    }
}

#[derive(Debug)]
struct ConvolveBackward;

impl<B: Convolution> Backward<B, 2> for ConvolveBackward {
    /// Input, weight, stride and padding.
    type State = (NodeId, NodeId, usize, usize);

    fn backward(self, ops: Ops<Self::State, 2>, gradients: &mut Gradients, checkpointer: &mut Checkpointer) {
        let [input_node, weight_node] = ops.parents;
        let gradient = gradients.consume::<B>(&ops.node);
        let (input, weight, stride, padding) = ops.state;
        let input: FloatTensor<B> = checkpointer.retrieve_node_output(input);
        let weight: FloatTensor<B> = checkpointer.retrieve_node_output(weight);
        if let Some(node) = input_node {
            let (input, weight, gradient) = (input.clone(), weight.clone(), gradient.clone());
            gradients
                .register::<B>(node.id, B::convolve_input_gradient(input, weight, gradient, stride, padding));
        }
        if let Some(node) = weight_node {
            gradients.register::<B>(
                node.id,
                B::convolve_weight_gradient(input, weight, gradient, stride, padding),
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
    ) -> FloatTensor<Self> {
        let compute = |input: FloatTensor<Self>, weight: FloatTensor<Self>| {
            B::convolve(input.into_primitive(), weight.into_primitive(), stride, padding)
        };
        match ConvolveBackward.prepare::<C>([input.node(), weight.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prepared) => {
                let state = (prepared.checkpoint(&input), prepared.checkpoint(&weight), stride, padding);
                prepared.finish(state, compute(input, weight))
            }
            OpsKind::UnTracked(prepared) => prepared.finish(compute(input, weight)),
        }
    }
}
