//! Batch normalisation by the statistics of the batch, alone or with the `ReLU` or the residual sum and `ReLU` behind it.

#![expect(clippy::too_many_arguments, reason = "an operation of the engine takes its tensors one by one")]

use burn::backend::autodiff::NodeId;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use lookalike_kernels::batch_norm as kernel;

use super::Plain;
use crate::engine::Tensor;

/// Scale and shift of a normalisation layer, `[C]` each, and what is added to the variance.
#[derive(Debug, Clone)]
pub(crate) struct Affine {
    pub(crate) scale: Tensor<1>,
    pub(crate) shift: Tensor<1>,
    pub(crate) epsilon: f64,
}

/// Mean and biased variance of a batch, `[C]` each, not tracked.
#[derive(Debug, Clone)]
pub(crate) struct BatchStatistics {
    pub(crate) mean: Tensor<1>,
    pub(crate) variance: Tensor<1>,
}

/// Normalises by the batch.
///
/// # Shapes
/// `[N, C, …]` → the same.
pub(crate) fn batch_norm<const D: usize>(input: Tensor<D>, affine: Affine) -> (Tensor<D>, BatchStatistics) {
    batch_norm_then(input, affine, false)
}

/// max(0, [`batch_norm`])
pub(crate) fn batch_norm_relu<const D: usize>(
    input: Tensor<D>,
    affine: Affine,
) -> (Tensor<D>, BatchStatistics) {
    batch_norm_then(input, affine, true)
}

fn batch_norm_then<const D: usize>(
    input: Tensor<D>,
    affine: Affine,
    relu: bool,
) -> (Tensor<D>, BatchStatistics) {
    let Affine { scale, shift, epsilon } = affine;
    let (scale, shift) = (scale.into_dispatch(), shift.into_dispatch());
    let (output, mean, variance) = Dispatch::normalize(input.into_dispatch(), scale, shift, epsilon, relu);
    let statistics =
        BatchStatistics { mean: Tensor::from_dispatch(mean), variance: Tensor::from_dispatch(variance) };
    (Tensor::from_dispatch(output), statistics)
}

/// max(0, [`batch_norm`] + `residual`)
pub(crate) fn batch_norm_add_relu<const D: usize>(
    input: Tensor<D>,
    residual: Tensor<D>,
    affine: Affine,
) -> (Tensor<D>, BatchStatistics) {
    let Affine { scale, shift, epsilon } = affine;
    let (scale, shift) = (scale.into_dispatch(), shift.into_dispatch());
    let (output, mean, variance) =
        Dispatch::normalize_add_relu(input.into_dispatch(), residual.into_dispatch(), scale, shift, epsilon);
    let statistics =
        BatchStatistics { mean: Tensor::from_dispatch(mean), variance: Tensor::from_dispatch(variance) };
    (Tensor::from_dispatch(output), statistics)
}

/// Normalises by given statistics.
///
/// # Shapes
/// `[N, C, …]` → the same.
pub(crate) fn batch_norm_fixed<const D: usize>(
    input: Tensor<D>,
    affine: Affine,
    statistics: BatchStatistics,
) -> Tensor<D> {
    let Affine { scale, shift, epsilon } = affine;
    let [scale, shift, mean, variance] =
        [scale, shift, statistics.mean, statistics.variance].map(Tensor::into_dispatch);
    Tensor::from_dispatch(Dispatch::normalize_fixed(
        input.into_dispatch(),
        scale,
        shift,
        mean,
        variance,
        epsilon,
    ))
}

/// Normalisation and its gradients on each backend.
#[backend_extension(
    Autodiff,
    Flex,
    Cube: cfg(any(feature = "cuda", feature = "wgpu")),
    Fusion: cfg(any(feature = "cuda", feature = "wgpu")),
)]
pub(crate) trait Normalization: Backend {
    /// Output, mean and variance.
    #[fusion(default)]
    fn normalize(
        input: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        epsilon: f64,
        relu: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let normal = Self::batch_norm_train(input, scale, shift, epsilon);
        let output = if relu { Self::relu(normal.output) } else { normal.output };
        (output, normal.mean, normal.variance)
    }

    /// Output, mean and variance.
    #[fusion(default)]
    fn normalize_add_relu(
        input: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let normal = Self::batch_norm_train(input, scale, shift, epsilon);
        (Self::relu(Self::float_add(normal.output, residual)), normal.mean, normal.variance)
    }

    /// The output.
    #[fusion(default)]
    fn normalize_fixed(
        input: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        Self::batch_norm(input, scale, shift, mean, variance, epsilon)
    }

    /// Gradients of input, scale and shift, given the output's gradient; `relu` as in the forward pass.
    #[fusion(default)]
    fn normalize_gradients(
        input: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        epsilon: f64,
        relu: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let gradient = if relu {
            let (input, scale, mean, variance) =
                (input.clone(), scale.clone(), mean.clone(), variance.clone());
            Self::relu_backward(
                Self::relu(Self::batch_norm(input, scale, shift, mean, variance, epsilon)),
                gradient,
            )
        } else {
            gradient
        };
        let gradients = Self::batch_norm_train_backward(input, scale, mean, variance, epsilon, gradient);
        (gradients.x_grad, gradients.gamma_grad, gradients.beta_grad)
    }

    /// Gradients of input, residual, scale and shift, given the output and its gradient.
    #[fusion(default)]
    fn normalize_add_relu_gradients(
        input: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        output: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        // What passed the `ReLU` is read off the output; the shift changes no gradient beyond that.
        let _ = shift;
        let gradient = Self::relu_backward(output, gradient);
        let gradients =
            Self::batch_norm_train_backward(input, scale, mean, variance, epsilon, gradient.clone());
        (gradients.x_grad, gradient, gradients.gamma_grad, gradients.beta_grad)
    }
}

#[cfg(any(feature = "cuda", feature = "wgpu"))]
impl Normalization for burn::backend::Cube {}

fn kernel_sizes(input: &Plain) -> kernel::Sizes {
    let [images, channels] = input.dims();
    kernel::Sizes { images, groups: 1, channels, pixels: input.values().len() / (images * channels).max(1) }
}

/// Output, mean and variance as tensors, the first with the shape of `input`.
fn tensors(input: &Plain, normal: kernel::Normalized) -> [FloatTensor<Flex>; 3] {
    let channels = normal.mean.len();
    let statistics = [normal.mean, normal.variance].map(|values| Plain::from_values(values, [channels]));
    let [mean, variance] = statistics;
    [input.like(normal.output), mean, variance]
}

impl Normalization for Flex {
    fn normalize(
        input: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        epsilon: f64,
        relu: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let [input, scale, shift] = [input, scale, shift].map(Plain::new);
        let affine = kernel::Affine { scale: scale.values(), shift: shift.values(), epsilon };
        let then = if relu { kernel::Then::Relu } else { kernel::Then::Nothing };
        tensors(&input, kernel::forward(&kernel_sizes(&input), input.values(), &affine, then)).into()
    }

    fn normalize_add_relu(
        input: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let [input, residual, scale, shift] = [input, residual, scale, shift].map(Plain::new);
        let affine = kernel::Affine { scale: scale.values(), shift: shift.values(), epsilon };
        let then = kernel::Then::AddRelu(residual.values());
        tensors(&input, kernel::forward(&kernel_sizes(&input), input.values(), &affine, then)).into()
    }

    fn normalize_fixed(
        input: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        epsilon: f64,
    ) -> FloatTensor<Self> {
        let [input, scale, shift, mean, variance] = [input, scale, shift, mean, variance].map(Plain::new);
        let affine = kernel::Affine { scale: scale.values(), shift: shift.values(), epsilon };
        let statistics = [mean.values(), variance.values()];
        let sizes = kernel_sizes(&input);
        input.like(kernel::normalize(&sizes, input.values(), &affine, statistics, kernel::Then::Nothing))
    }

    fn normalize_gradients(
        input: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        epsilon: f64,
        relu: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let after = if relu { kernel::After::Relu } else { kernel::After::Nothing };
        let tensors = [input, scale, shift, mean, variance, gradient].map(Plain::new);
        let (input, _, scale, shift) = kernel_gradients(&tensors, epsilon, after);
        (input, scale, shift)
    }

    fn normalize_add_relu_gradients(
        input: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        mean: FloatTensor<Self>,
        variance: FloatTensor<Self>,
        output: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let output = Plain::new(output);
        let tensors = [input, scale, shift, mean, variance, gradient].map(Plain::new);
        kernel_gradients(&tensors, epsilon, kernel::After::AddRelu(output.values()))
    }
}

/// Gradients of input, residual, scale and shift; that of the residual is the given one where there was none.
fn kernel_gradients(
    [input, scale, shift, mean, variance, gradient]: &[Plain; 6],
    epsilon: f64,
    after: kernel::After<'_>,
) -> (FloatTensor<Flex>, FloatTensor<Flex>, FloatTensor<Flex>, FloatTensor<Flex>) {
    let affine = kernel::Affine { scale: scale.values(), shift: shift.values(), epsilon };
    let statistics = [mean.values(), variance.values()];
    let sizes = kernel_sizes(input);
    let gradients = kernel::backward(&sizes, input.values(), &affine, statistics, gradient.values(), after);
    let residual = gradients.residual.map_or_else(|| gradient.0.clone(), |residual| input.like(residual));
    (input.like(gradients.input), residual, scale.like(gradients.scale), shift.like(gradients.shift))
}

/// What both backward passes keep; input, scale and shift are kept by the engine's graph.
#[derive(Debug, Clone)]
struct Saved<B: Backend> {
    nodes: [NodeId; 3],
    mean: FloatTensor<B>,
    variance: FloatTensor<B>,
    epsilon: f64,
}

#[derive(Debug)]
struct NormalizeBackward;

impl<B: Normalization> Backward<B, 3> for NormalizeBackward {
    /// And whether a `ReLU` followed.
    type State = (Saved<B>, bool);

    fn backward(self, ops: Ops<Self::State, 3>, gradients: &mut Gradients, checkpointer: &mut Checkpointer) {
        let gradient = gradients.consume::<B>(&ops.node);
        let (saved, relu) = ops.state;
        let [input, scale, shift] = saved.nodes.map(|node| checkpointer.retrieve_node_output(node));
        let (input, scale, shift) = B::normalize_gradients(
            input,
            scale,
            shift,
            saved.mean,
            saved.variance,
            gradient,
            saved.epsilon,
            relu,
        );
        for (node, gradient) in ops.parents.into_iter().zip([input, scale, shift]) {
            if let Some(node) = node {
                gradients.register::<B>(node.id, gradient);
            }
        }
    }
}

#[derive(Debug)]
struct NormalizeAddReluBackward;

impl<B: Normalization> Backward<B, 4> for NormalizeAddReluBackward {
    /// And the output.
    type State = (Saved<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 4>, gradients: &mut Gradients, checkpointer: &mut Checkpointer) {
        let gradient = gradients.consume::<B>(&ops.node);
        let (saved, output) = ops.state;
        let [input, scale, shift] = saved.nodes.map(|node| checkpointer.retrieve_node_output(node));
        let (input, residual, scale, shift) = B::normalize_add_relu_gradients(
            input,
            scale,
            shift,
            saved.mean,
            saved.variance,
            output,
            gradient,
            saved.epsilon,
        );
        for (node, gradient) in ops.parents.into_iter().zip([input, residual, scale, shift]) {
            if let Some(node) = node {
                gradients.register::<B>(node.id, gradient);
            }
        }
    }
}

impl<B: Normalization, C: CheckpointStrategy> Normalization for Autodiff<B, C> {
    fn normalize(
        input: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        epsilon: f64,
        relu: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let nodes = [input.node(), scale.node(), shift.node()];
        let compute = |[input, scale, shift]: [FloatTensor<Self>; 3]| {
            B::normalize(
                input.into_primitive(),
                scale.into_primitive(),
                shift.into_primitive(),
                epsilon,
                relu,
            )
        };
        let (output, mean, variance) = match NormalizeBackward.prepare::<C>(nodes).compute_bound().stateful()
        {
            OpsKind::Tracked(mut prepared) => {
                let inputs = [input, scale, shift];
                let nodes = inputs.each_ref().map(|tensor| prepared.checkpoint(tensor));
                let (output, mean, variance) = compute(inputs);
                let saved = Saved { nodes, mean: mean.clone(), variance: variance.clone(), epsilon };
                (prepared.finish((saved, relu), output), mean, variance)
            }
            OpsKind::UnTracked(prepared) => {
                let (output, mean, variance) = compute([input, scale, shift]);
                (prepared.finish(output), mean, variance)
            }
        };
        (output, FloatTensor::<Self>::new(mean), FloatTensor::<Self>::new(variance))
    }

    fn normalize_add_relu(
        input: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let nodes = [input.node(), residual.node(), scale.node(), shift.node()];
        let residual = residual.into_primitive();
        let compute = |[input, scale, shift]: [FloatTensor<Self>; 3], residual: FloatTensor<B>| {
            let (scale, shift) = (scale.into_primitive(), shift.into_primitive());
            B::normalize_add_relu(input.into_primitive(), residual, scale, shift, epsilon)
        };
        let (output, mean, variance) =
            match NormalizeAddReluBackward.prepare::<C>(nodes).compute_bound().stateful() {
                OpsKind::Tracked(mut prepared) => {
                    let inputs = [input, scale, shift];
                    let nodes = inputs.each_ref().map(|tensor| prepared.checkpoint(tensor));
                    let (output, mean, variance) = compute(inputs, residual);
                    let saved = Saved { nodes, mean: mean.clone(), variance: variance.clone(), epsilon };
                    (prepared.finish((saved, output.clone()), output), mean, variance)
                }
                OpsKind::UnTracked(prepared) => {
                    let (output, mean, variance) = compute([input, scale, shift], residual);
                    (prepared.finish(output), mean, variance)
                }
            };
        (output, FloatTensor::<Self>::new(mean), FloatTensor::<Self>::new(variance))
    }
}
