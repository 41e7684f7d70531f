//! The engine's own normalisation, group by group: what every backend without kernels of ours does.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, TensorMetadata};

/// Output, and mean and variance of each group.
pub(super) fn normalize<B: Backend>(
    [input, scale, shift]: &[FloatTensor<B>; 3],
    groups: usize,
    epsilon: f64,
    relu: bool,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
    let (mut outputs, mut means, mut variances) = (Vec::new(), Vec::new(), Vec::new());
    for group in 0..groups {
        let normal =
            B::batch_norm_train(part::<B>(input, group, groups), scale.clone(), shift.clone(), epsilon);
        outputs.push(if relu { B::relu(normal.output) } else { normal.output });
        means.push(normal.mean);
        variances.push(normal.variance);
    }
    (joined::<B>(outputs), joined::<B>(means), joined::<B>(variances))
}

/// Gradients of input, scale and shift, given those three, mean and variance of each group, and the output's gradient.
pub(super) fn gradients<B: Backend>(
    [input, scale, shift, mean, variance, gradient]: &[FloatTensor<B>; 6],
    groups: usize,
    epsilon: f64,
    relu: bool,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
    let (mut inputs, mut scales, mut shifts) = (Vec::new(), Vec::new(), Vec::new());
    for group in 0..groups {
        let [input, mean, variance, gradient] =
            [input, mean, variance, gradient].map(|tensor| part::<B>(tensor, group, groups));
        let gradient = if relu {
            let (input, mean, variance) = (input.clone(), mean.clone(), variance.clone());
            let output = B::batch_norm(input, scale.clone(), shift.clone(), mean, variance, epsilon);
            B::relu_backward(B::relu(output), gradient)
        } else {
            gradient
        };
        let gradients = B::batch_norm_train_backward(input, scale.clone(), mean, variance, epsilon, gradient);
        inputs.push(gradients.x_grad);
        scales.push(gradients.gamma_grad);
        shifts.push(gradients.beta_grad);
    }
    (joined::<B>(inputs), sum::<B>(scales), sum::<B>(shifts))
}

/// One of `groups` equal parts of `tensor` along its first dimension.
fn part<B: Backend>(tensor: &FloatTensor<B>, group: usize, groups: usize) -> FloatTensor<B> {
    if groups == 1 {
        return tensor.clone();
    }
    let length = tensor.shape()[0] / groups;
    B::float_slice(tensor.clone(), &[(group * length..(group + 1) * length).into()])
}

/// Tensors one after another along their first dimension.
fn joined<B: Backend>(mut tensors: Vec<FloatTensor<B>>) -> FloatTensor<B> {
    if tensors.len() == 1 { tensors.swap_remove(0) } else { B::float_cat(tensors, 0) }
}

fn sum<B: Backend>(tensors: Vec<FloatTensor<B>>) -> FloatTensor<B> {
    let sum = tensors.into_iter().reduce(B::float_add);
    sum.unwrap_or_else(|| unreachable!("there is at least one group"))
}

#[cfg(test)]
mod tests {
    use burn::backend::Flex;

    use super::super::super::Plain;
    use super::super::Normalization;
    use super::*;

    fn tensor<const D: usize>(shape: [usize; D], factor: usize) -> FloatTensor<Flex> {
        let values = (0..shape.iter().product()).map(|at: usize| (at * factor % 97) as f32 / 31.0 - 1.2);
        Plain::from_values(values.collect(), shape)
    }

    fn assert_same(ours: [FloatTensor<Flex>; 3], theirs: [FloatTensor<Flex>; 3], case: &str) {
        for (ours, theirs) in ours.into_iter().zip(theirs) {
            let (ours, theirs) = (Plain::new(ours), Plain::new(theirs));
            assert_eq!(ours.0.shape(), theirs.0.shape(), "{case}");
            let largest = theirs.values().iter().fold(0.0, |largest: f32, value| largest.max(value.abs()));
            let close = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-5 * largest;
            assert!(ours.values().iter().zip(theirs.values()).all(close), "{case}");
        }
    }

    #[test]
    fn the_engine_and_the_kernels_agree_on_every_grouping() {
        for (groups, relu) in [(1, false), (1, true), (2, true), (3, false), (6, true)] {
            let case = format!("{groups} groups, ReLU {relu}");
            let (input, gradient) = (tensor([6, 4, 5, 7], 41), tensor([6, 4, 5, 7], 53));
            let (scale, shift) = (tensor([4], 29), tensor([4], 11));
            let kernels = Flex::normalize(input.clone(), scale.clone(), shift.clone(), groups, 1e-5, relu);
            let engine =
                normalize::<Flex>(&[input.clone(), scale.clone(), shift.clone()], groups, 1e-5, relu);
            let (mean, variance) = (engine.1.clone(), engine.2.clone());
            assert_same(kernels.into(), engine.into(), &case);

            let tensors = [input, scale, shift, mean, variance, gradient];
            let [input, scale, shift, mean, variance, gradient] = tensors.clone();
            let kernels =
                Flex::normalize_gradients(input, scale, shift, mean, variance, gradient, groups, 1e-5, relu);
            assert_same(kernels.into(), gradients::<Flex>(&tensors, groups, 1e-5, relu).into(), &case);
        }
    }
}
