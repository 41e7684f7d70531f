//! The engine's own normalisation, group by group: what every backend without kernels of ours does.

use crate::burn::backend::tensor::FloatTensor;
use crate::burn::backend::{Backend, TensorMetadata};

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

/// As [`gradients`], where the statistics were given: they do not depend on the input.
pub(super) fn fixed_gradients<B: Backend>(
    [input, scale, shift, mean, variance, gradient]: [FloatTensor<B>; 6],
    epsilon: f64,
    relu: bool,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
    let shape = input.shape();
    let channels = shape[1];
    // `[C]` against `[N, C, …]`.
    let across = |tensor: FloatTensor<B>| {
        let mut ones = vec![1; shape.num_dims()];
        ones[1] = channels;
        B::float_reshape(tensor, ones.into())
    };
    let gradient = if relu {
        let (input, mean, variance) = (input.clone(), mean.clone(), variance.clone());
        let output = B::batch_norm(input, scale.clone(), shift, mean, variance, epsilon);
        B::relu_backward(B::relu(output), gradient)
    } else {
        gradient
    };
    let deviation = B::float_sqrt(B::float_add_scalar(variance, epsilon.into()));
    let standard = B::float_div(B::float_sub(input, across(mean)), across(deviation.clone()));
    let of_channels = |tensor: FloatTensor<B>| {
        let mut sum = tensor;
        for dimension in (0..shape.num_dims()).filter(|dimension| *dimension != 1) {
            sum = B::float_sum_dim(sum, dimension);
        }
        B::float_reshape(sum, [channels].into())
    };
    let input = B::float_mul(gradient.clone(), across(B::float_div(scale, deviation)));
    let scale = of_channels(B::float_mul(gradient.clone(), standard));
    (input, scale, of_channels(gradient))
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
    use crate::burn::backend::Flex;
    use crate::burn::backend::ops::{ActivationOps, FloatTensorOps, ModuleOps};

    use super::super::super::Plain;
    use super::super::super::map::{MapShape, Maps};
    use super::super::{BatchLayout, NormSettings, Normalization};
    use super::*;
    use crate::engine::Precision;

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

    /// The engine on `[N, C, H, W]` beside the kernels on the same as a map.
    #[test]
    fn the_engine_and_the_kernels_agree_on_every_grouping() {
        let shape = MapShape { images: 6, channels: 4, height: 5, width: 7 };
        let pack = |tensor| Flex::pack(tensor, shape, Precision::F32);
        let unpack = |map| Flex::unpack(map, shape, Precision::F32, None);
        for (groups, relu, fixed) in [
            (1, false, false),
            (1, true, false),
            (2, true, false),
            (3, false, false),
            (6, true, false),
            (1, false, true),
            (1, true, true),
        ] {
            let case = format!("{groups} groups, ReLU {relu}, fixed {fixed}");
            let (input, gradient) = (tensor([6, 4, 5, 7], 41), tensor([6, 4, 5, 7], 53));
            let (scale, shift) = (tensor([4], 29), tensor([4], 11));
            let layout = BatchLayout::Map(shape, Precision::F32);
            let settings = NormSettings { layout, groups, epsilon: 1e-5, relu, fixed };
            let (mean, variance) = if fixed {
                let (mean, variance) = (tensor([4], 7), Flex::float_abs(tensor([4], 13)));
                let given = || (scale.clone(), shift.clone(), mean.clone(), variance.clone());
                let (scale, shift, mean, variance) = given();
                let ours = unpack(Flex::normalize_fixed(
                    pack(input.clone()),
                    scale,
                    shift,
                    mean,
                    variance,
                    settings,
                    None,
                ));
                let (scale, shift, mean, variance) = given();
                let theirs = Flex::batch_norm(input.clone(), scale, shift, mean, variance, 1e-5);
                let theirs = if relu { Flex::relu(theirs) } else { theirs };
                let (_, _, mean, variance) = given();
                let again = (mean.clone(), variance.clone());
                assert_same([ours, again.0, again.1], [theirs, mean.clone(), variance.clone()], &case);
                (mean, variance)
            } else {
                let (output, mean, variance) =
                    Flex::normalize(pack(input.clone()), scale.clone(), shift.clone(), settings, None);
                let engine =
                    normalize::<Flex>(&[input.clone(), scale.clone(), shift.clone()], groups, 1e-5, relu);
                let statistics = (engine.1.clone(), engine.2.clone());
                assert_same([unpack(output), mean, variance], engine.into(), &case);
                statistics
            };
            let tensors = [input, scale, shift, mean, variance, gradient];
            let [input, scale, shift, mean, variance, gradient] = tensors.clone();
            let (input, gradient) = (pack(input), pack(gradient));
            let kernels = Flex::normalize_gradients(input, scale, shift, mean, variance, gradient, settings);
            let theirs = if fixed {
                fixed_gradients::<Flex>(tensors, 1e-5, relu)
            } else {
                gradients::<Flex>(&tensors, groups, 1e-5, relu)
            };
            assert_same([unpack(kernels.0), kernels.1, kernels.2], theirs.into(), &case);
        }
    }
}
