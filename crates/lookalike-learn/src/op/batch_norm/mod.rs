//! Batch normalisation by the statistics of the batch, alone or with the `ReLU` or the residual sum and `ReLU` behind it.
//!
//! Statistics are those of the whole batch or of groups of images that follow one another, as each GPU has its own where
//! a batch is spread over several: MoCo's shuffled normalisation (He et al. 2020, <https://arxiv.org/abs/1911.05722>,
//! section 3.3) relies on it.

#![expect(clippy::too_many_arguments, reason = "an operation of the engine takes its tensors one by one")]

mod backward;
mod cpu;
mod fallback;

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, backend_extension};

use crate::engine::Tensor;

/// Scale and shift of a normalisation layer, `[C]` each, and what is added to the variance.
#[derive(Debug, Clone)]
pub(crate) struct Affine {
    pub(crate) scale: Tensor<1>,
    pub(crate) shift: Tensor<1>,
    pub(crate) epsilon: f64,
}

/// Mean and biased variance of each group, `[groups · C]` each, not tracked.
#[derive(Debug, Clone)]
pub(crate) struct BatchStatistics {
    pub(crate) mean: Tensor<1>,
    pub(crate) variance: Tensor<1>,
}

/// Normalises each of `groups` equal groups of images by its own statistics; see [`equal_groups`].
///
/// # Shapes
/// `[N, C, …]` → the same.
pub(crate) fn batch_norm<const D: usize>(
    input: Tensor<D>,
    affine: Affine,
    groups: usize,
) -> (Tensor<D>, BatchStatistics) {
    batch_norm_then(input, affine, groups, false)
}

/// max(0, [`batch_norm`])
pub(crate) fn batch_norm_relu<const D: usize>(
    input: Tensor<D>,
    affine: Affine,
    groups: usize,
) -> (Tensor<D>, BatchStatistics) {
    batch_norm_then(input, affine, groups, true)
}

fn batch_norm_then<const D: usize>(
    input: Tensor<D>,
    affine: Affine,
    groups: usize,
    relu: bool,
) -> (Tensor<D>, BatchStatistics) {
    let Affine { scale, shift, epsilon } = affine;
    let (input, scale, shift) = (input.into_dispatch(), scale.into_dispatch(), shift.into_dispatch());
    let (output, mean, variance) = Dispatch::normalize(input, scale, shift, groups, epsilon, relu);
    let statistics =
        BatchStatistics { mean: Tensor::from_dispatch(mean), variance: Tensor::from_dispatch(variance) };
    (Tensor::from_dispatch(output), statistics)
}

/// max(0, [`batch_norm`] + `residual`)
pub(crate) fn batch_norm_add_relu<const D: usize>(
    input: Tensor<D>,
    residual: Tensor<D>,
    affine: Affine,
    groups: usize,
) -> (Tensor<D>, BatchStatistics) {
    let Affine { scale, shift, epsilon } = affine;
    let (input, residual) = (input.into_dispatch(), residual.into_dispatch());
    let (scale, shift) = (scale.into_dispatch(), shift.into_dispatch());
    let (output, mean, variance) =
        Dispatch::normalize_add_relu(input, residual, scale, shift, groups, epsilon);
    let statistics =
        BatchStatistics { mean: Tensor::from_dispatch(mean), variance: Tensor::from_dispatch(variance) };
    (Tensor::from_dispatch(output), statistics)
}

/// Normalises by given statistics, `[C]` each.
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

/// How many groups of equal size `images` are split into where `asked` are wanted: as many, or where these do not divide
/// the images, the next smaller number that does.
pub(crate) fn equal_groups(images: usize, asked: usize) -> usize {
    (1..=asked.min(images)).rev().find(|groups| images.is_multiple_of(*groups)).unwrap_or(1)
}

/// Normalisation and its gradients on each backend.
#[backend_extension(
    Autodiff,
    Flex,
    Cube: cfg(any(feature = "cuda", feature = "wgpu")),
    Fusion: cfg(any(feature = "cuda", feature = "wgpu")),
)]
pub(crate) trait Normalization: Backend {
    /// Output, and mean and variance of each group.
    #[fusion(default)]
    fn normalize(
        input: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        groups: usize,
        epsilon: f64,
        relu: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        fallback::normalize::<Self>(&[input, scale, shift], groups, epsilon, relu)
    }

    /// Output, and mean and variance of each group.
    #[fusion(default)]
    fn normalize_add_relu(
        input: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        groups: usize,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let (output, mean, variance) = Self::normalize(input, scale, shift, groups, epsilon, false);
        (Self::relu(Self::float_add(output, residual)), mean, variance)
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
        groups: usize,
        epsilon: f64,
        relu: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        fallback::gradients::<Self>(&[input, scale, shift, mean, variance, gradient], groups, epsilon, relu)
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
        groups: usize,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        // What passed the `ReLU` is read off the output.
        let residual = Self::relu_backward(output, gradient);
        let gradient = residual.clone();
        let (input, scale, shift) =
            Self::normalize_gradients(input, scale, shift, mean, variance, gradient, groups, epsilon, false);
        (input, residual, scale, shift)
    }
}

#[cfg(any(feature = "cuda", feature = "wgpu"))]
impl Normalization for burn::backend::Cube {}
