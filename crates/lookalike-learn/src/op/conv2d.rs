//! Convolution of feature maps with square kernels.

#![expect(
    clippy::used_underscore_binding,
    reason = "the engine's macro names what an operation's default does not need"
)]

use crate::burn;
use crate::burn::backend::autodiff::NodeId;
use crate::burn::backend::autodiff::checkpoint::base::Checkpointer;
use crate::burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use crate::burn::backend::autodiff::grads::Gradients;
use crate::burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use crate::burn::backend::ops::ConvOptions;
use crate::burn::backend::tensor::FloatTensor;
use crate::burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use crate::burn::tensor::FloatDType;
use lookalike_kernels::conv2d as kernel;
use lookalike_kernels::conv2d::ConvShape;

use super::Plain;
use super::clock::{Task, timed};
use super::map::{FeatureMap, Join, MapShape, Words};
use crate::engine::{Precision, Tensor};

/// Convolution without bias.
///
/// # Shapes
/// A map of C channels and weights `[O, C, K, K]` → a map of O channels.
pub(crate) fn conv2d(input: FeatureMap, weight: Tensor<4>, stride: usize, padding: usize) -> FeatureMap {
    let [outputs, inputs, kernel, _] = weight.dims();
    let MapShape { images, channels, height, width } = input.shape;
    assert_eq!(inputs, channels, "channels of weights and map");
    let shape = ConvShape { images, inputs, outputs, height, width, kernel, stride, padding };
    let FeatureMap { values, precision, join, .. } = input;
    let output = Dispatch::convolve(values.into_dispatch(), weight.into_dispatch(), shape, precision, join);
    FeatureMap { values: Tensor::from_dispatch(output), shape: shape.output(), precision, join: None }
}

fn options(shape: &ConvShape) -> ConvOptions<2> {
    ConvOptions::new([shape.stride; 2], [shape.padding; 2], [1; 2], 1)
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
        shape: ConvShape,
        precision: Precision,
        _join: Option<Join>,
    ) -> FloatTensor<Self> {
        let compute = |[input, weight]: [_; 2]| Self::conv2d(input, weight, None, options(&shape));
        at_precision::<Self, 2>(precision, [input, weight], compute)
    }

    /// The gradient of the input, for the output's gradient.
    #[fusion(default)]
    fn convolve_input_gradient(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        shape: ConvShape,
        precision: Precision,
    ) -> FloatTensor<Self> {
        let compute = |[input, weight, gradient]: [_; 3]| {
            Self::conv2d_x_backward(input, weight, gradient, options(&shape))
        };
        at_precision::<Self, 3>(precision, [input, weight, gradient], compute)
    }

    /// The gradient of the input, for the output's gradient, and what is `added` to it.
    #[fusion(default)]
    fn convolve_input_gradient_and(
        added: FloatTensor<Self>,
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        shape: ConvShape,
        precision: Precision,
    ) -> FloatTensor<Self> {
        Self::float_add(Self::convolve_input_gradient(input, weight, gradient, shape, precision), added)
    }

    /// The gradient of the weights, for the output's gradient.
    #[fusion(default)]
    fn convolve_weight_gradient(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        shape: ConvShape,
        precision: Precision,
    ) -> FloatTensor<Self> {
        let compute = |[input, weight, gradient]: [_; 3]| {
            Self::conv2d_weight_backward(input, weight, gradient, options(&shape))
        };
        at_precision::<Self, 3>(precision, [input, weight, gradient], compute)
    }
}

#[cfg(any(feature = "cuda", feature = "wgpu"))]
impl Convolution for burn::backend::Cube {}

/// The input gradient by the kernels, and what is added to it.
fn input_gradient(
    weight: FloatTensor<Flex>,
    gradient: &FloatTensor<Flex>,
    added: Option<&FloatTensor<Flex>>,
    shape: &ConvShape,
    precision: Precision,
) -> FloatTensor<Flex> {
    let (weight, gradient, added) = (Plain::new(weight), Words::new(gradient), added.map(Words::new));
    let added = added.as_ref().map(Words::words);
    let map = timed(Task::InputGradient, || {
        let (weight, gradient) = (weight.values(), gradient.words());
        kernel::input_gradient(shape, precision, weight, &gradient, added.as_deref())
    });
    Words::tensor(map, &shape.input(), precision)
}

impl Convolution for Flex {
    fn convolve(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        shape: ConvShape,
        precision: Precision,
        _join: Option<Join>,
    ) -> FloatTensor<Self> {
        let (input, weight) = (Words::new(&input), Plain::new(weight));
        let map = timed(Task::Convolution, || {
            kernel::forward(&shape, precision, &input.words(), weight.values(), None)
        });
        Words::tensor(map, &shape.output(), precision)
    }

    fn convolve_input_gradient(
        _input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        shape: ConvShape,
        precision: Precision,
    ) -> FloatTensor<Self> {
        input_gradient(weight, &gradient, None, &shape, precision)
    }

    fn convolve_input_gradient_and(
        added: FloatTensor<Self>,
        _input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        shape: ConvShape,
        precision: Precision,
    ) -> FloatTensor<Self> {
        input_gradient(weight, &gradient, Some(&added), &shape, precision)
    }

    fn convolve_weight_gradient(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        shape: ConvShape,
        precision: Precision,
    ) -> FloatTensor<Self> {
        let [input, gradient] = [&input, &gradient].map(Words::new);
        let values = timed(Task::WeightGradient, || {
            kernel::weight_gradient(&shape, precision, &input.words(), &gradient.words())
        });
        Plain::new(weight).like(values)
    }
}

#[derive(Debug)]
struct ConvolveBackward;

impl<B: Convolution> Backward<B, 2> for ConvolveBackward {
    /// Nodes of input and weight, shape, precision, and the input's other reader.
    type State = (NodeId, NodeId, ConvShape, Precision, Option<Join>);

    fn backward(self, ops: Ops<Self::State, 2>, gradients: &mut Gradients, checkpointer: &mut Checkpointer) {
        let [input_node, weight_node] = ops.parents;
        let gradient = gradients.consume::<B>(&ops.node);
        let (input, weight, shape, precision, join) = ops.state;
        let input: FloatTensor<B> = checkpointer.retrieve_node_output(input);
        let weight: FloatTensor<B> = checkpointer.retrieve_node_output(weight);
        if let Some(node) = input_node {
            let (input, weight, gradient) = (input.clone(), weight.clone(), gradient.clone());
            Join::register::<B>(join.as_ref(), gradients, node.id, |other| match other {
                Some(other) => {
                    B::convolve_input_gradient_and(other, input, weight, gradient, shape, precision)
                }
                None => B::convolve_input_gradient(input, weight, gradient, shape, precision),
            });
        }
        if let Some(node) = weight_node {
            let gradient = B::convolve_weight_gradient(input, weight, gradient, shape, precision);
            gradients.register::<B>(node.id, gradient);
        }
    }
}

impl<B: Convolution, C: CheckpointStrategy> Convolution for Autodiff<B, C> {
    fn convolve(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        shape: ConvShape,
        precision: Precision,
        join: Option<Join>,
    ) -> FloatTensor<Self> {
        let compute = |input: FloatTensor<Self>, weight: FloatTensor<Self>| {
            B::convolve(input.into_primitive(), weight.into_primitive(), shape, precision, None)
        };
        match ConvolveBackward.prepare::<C>([input.node(), weight.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prepared) => {
                let nodes = (prepared.checkpoint(&input), prepared.checkpoint(&weight));
                prepared.finish((nodes.0, nodes.1, shape, precision, join), compute(input, weight))
            }
            OpsKind::UnTracked(prepared) => prepared.finish(compute(input, weight)),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::burn::backend::ops::ModuleOps;

    use super::*;

    #[test]
    fn the_engines_own_bf16_gives_f32_that_is_near() {
        let tensor = |shape: [usize; 4], factor: usize| {
            let values = (0..shape.iter().product()).map(|at: usize| (at * factor % 101) as f32 / 50.0 - 1.0);
            Plain::from_values(values.collect(), shape)
        };
        let (input, weight) = (tensor([2, 8, 9, 9], 37), tensor([6, 8, 3, 3], 23));
        let of = |precision| {
            let options = || ConvOptions::new([1; 2], [1; 2], [1; 2], 1);
            let compute = |[input, weight]: [_; 2]| Flex::conv2d(input, weight, None, options());
            at_precision::<Flex, 2>(precision, [input.clone(), weight.clone()], compute)
        };
        let (whole, rounded) = (of(Precision::F32), of(Precision::Bf16));
        let (whole, rounded) = (whole.as_slice::<f32>().unwrap(), rounded.as_slice::<f32>().unwrap());
        let largest = whole.iter().fold(0.0, |largest: f32, value| largest.max(value.abs()));
        let worst = whole.iter().zip(rounded).fold(0.0, |worst: f32, (a, b)| worst.max((a - b).abs()));
        assert!(worst > 0.0 && worst <= 0.01 * largest, "off by {worst} of {largest}");
    }
}
