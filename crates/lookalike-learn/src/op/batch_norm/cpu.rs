//! The kernels of the CPU behind the operation.

use burn::backend::Flex;
use burn::backend::tensor::FloatTensor;
use lookalike_kernels::batch_norm as kernel;

use super::super::Plain;
use super::super::clock::{Task, timed};
use super::Normalization;

fn kernel_sizes(input: &Plain, groups: usize) -> kernel::Sizes {
    let [images, channels] = input.dims();
    kernel::Sizes { images, groups, channels, pixels: input.values().len() / (images * channels).max(1) }
}

/// Output, mean and variance as tensors, the first with the shape of `input`.
fn tensors(
    input: &Plain,
    normal: kernel::Normalized,
) -> (FloatTensor<Flex>, FloatTensor<Flex>, FloatTensor<Flex>) {
    let count = normal.mean.len();
    let [mean, variance] = [normal.mean, normal.variance].map(|values| Plain::from_values(values, [count]));
    (input.like(normal.output), mean, variance)
}

impl Normalization for Flex {
    fn normalize(
        input: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        groups: usize,
        epsilon: f64,
        relu: bool,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let [input, scale, shift] = [input, scale, shift].map(Plain::new);
        let affine = kernel::Affine { scale: scale.values(), shift: shift.values(), epsilon };
        let then = if relu { kernel::Then::Relu } else { kernel::Then::Nothing };
        let sizes = kernel_sizes(&input, groups);
        let forward = || kernel::forward(&sizes, input.values(), &affine, then);
        tensors(&input, timed(Task::Normalization, forward))
    }

    fn normalize_add_relu(
        input: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        groups: usize,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let [input, residual, scale, shift] = [input, residual, scale, shift].map(Plain::new);
        let affine = kernel::Affine { scale: scale.values(), shift: shift.values(), epsilon };
        let then = kernel::Then::AddRelu(residual.values());
        let sizes = kernel_sizes(&input, groups);
        let forward = || kernel::forward(&sizes, input.values(), &affine, then);
        tensors(&input, timed(Task::Normalization, forward))
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
        let sizes = kernel_sizes(&input, 1);
        input.like(kernel::normalize(&sizes, input.values(), &affine, statistics, kernel::Then::Nothing))
    }

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
        let after = if relu { kernel::After::Relu } else { kernel::After::Nothing };
        let tensors = [input, scale, shift, mean, variance, gradient].map(Plain::new);
        let (input, _, scale, shift) = backward(&tensors, groups, epsilon, after);
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
        groups: usize,
        epsilon: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let output = Plain::new(output);
        let tensors = [input, scale, shift, mean, variance, gradient].map(Plain::new);
        backward(&tensors, groups, epsilon, kernel::After::AddRelu(output.values()))
    }
}

/// Gradients of input, residual, scale and shift; that of the residual is the given one where there was none.
fn backward(
    [input, scale, shift, mean, variance, gradient]: &[Plain; 6],
    groups: usize,
    epsilon: f64,
    after: kernel::After<'_>,
) -> (FloatTensor<Flex>, FloatTensor<Flex>, FloatTensor<Flex>, FloatTensor<Flex>) {
    let affine = kernel::Affine { scale: scale.values(), shift: shift.values(), epsilon };
    let statistics = [mean.values(), variance.values()];
    let sizes = kernel_sizes(input, groups);
    let backward = || kernel::backward(&sizes, input.values(), &affine, statistics, gradient.values(), after);
    let gradients = timed(Task::NormalizationGradient, backward);
    let residual = gradients.residual.map_or_else(|| gradient.0.clone(), |residual| input.like(residual));
    (input.like(gradients.input), residual, scale.like(gradients.scale), shift.like(gradients.shift))
}
