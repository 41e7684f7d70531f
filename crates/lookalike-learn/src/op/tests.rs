//! The operations against the engine's own, gradients by its own automatic differentiation.

use burn::tensor::Device;
use burn::tensor::activation::relu;
use burn::tensor::module::{batch_norm as engine_fixed, batch_norm_train, conv2d as engine_conv2d};
use burn::tensor::ops::ConvOptions;
use lookalike_base::Seed;

use super::*;
use crate::engine::{Precision, Tensor, to_host};
use crate::layer::normal;

const EPSILON: f64 = 1e-5;

fn leaf<const D: usize>(purpose: &str, shape: [usize; D]) -> Tensor<D> {
    normal(shape, 1.0, &mut Seed(3).stream(purpose, 0, 0, 0), &Device::flex()).autodiff().require_grad()
}

/// Output and gradients of `leaves`, for a gradient of the output drawn at random.
fn results(output: Tensor<4>, leaves: &[Leaf<'_>]) -> Vec<Vec<f32>> {
    let weights = leaf("gradient", output.dims()).inner().autodiff();
    let mut gradients = (output.clone() * weights).sum().backward();
    let mut results = vec![to_host(output)];
    results.extend(leaves.iter().map(|leaf| match leaf {
        Leaf::Map(tensor) => to_host(tensor.grad_remove(&mut gradients).unwrap()),
        Leaf::Channels(tensor) => to_host(tensor.grad_remove(&mut gradients).unwrap()),
    }));
    results
}

enum Leaf<'a> {
    Map(&'a Tensor<4>),
    Channels(&'a Tensor<1>),
}

fn assert_close(names: &[&str], ours: &[Vec<f32>], theirs: &[Vec<f32>], case: &str) {
    assert_eq!([ours.len(), theirs.len()], [names.len(); 2]);
    for ((name, ours), theirs) in names.iter().zip(ours).zip(theirs) {
        assert_eq!(ours.len(), theirs.len(), "{name}, {case}");
        let largest = theirs.iter().fold(0.0, |largest: f32, value| largest.max(value.abs()));
        let worst = ours.iter().zip(theirs).fold(0.0, |worst: f32, (a, b)| worst.max((a - b).abs()));
        assert!(worst <= 1e-5 * largest, "{name} is off by {worst:e} of {largest:e}, {case}");
    }
}

#[test]
fn a_convolution_has_the_output_and_gradients_of_the_engine() {
    let cases = [
        ([4, 3, 32, 32], 16, 3, 1),
        ([3, 16, 17, 13], 32, 3, 2),
        ([5, 32, 9, 9], 24, 1, 2),
        ([9, 20, 8, 8], 40, 1, 1),
        ([2, 3, 21, 30], 10, 7, 2),
        ([12, 128, 4, 4], 96, 3, 1),
    ];
    for (shape, outputs, kernel, stride) in cases {
        let (input, weight) = (leaf("input", shape), leaf("weight", [outputs, shape[1], kernel, kernel]));
        let leaves = [Leaf::Map(&input), Leaf::Map(&weight)];
        let ours =
            results(conv2d(input.clone(), weight.clone(), stride, kernel / 2, Precision::F32), &leaves);
        let options = ConvOptions::new([stride; 2], [kernel / 2; 2], [1; 2], 1);
        let theirs = results(engine_conv2d(input.clone(), weight.clone(), None, options), &leaves);
        assert_close(&["y", "dx", "dw"], &ours, &theirs, &format!("{shape:?} {outputs} {kernel} {stride}"));
    }
}

/// The nearest values that bf16 holds.
fn rounded<const D: usize>(tensor: &Tensor<D>) -> Tensor<D> {
    let bits = |value: f32| value.to_bits();
    let values = to_host(tensor.clone()).into_iter().map(|value| {
        let bits = bits(value);
        f32::from_bits((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff_0000)
    });
    let values = values.collect();
    crate::engine::from_host(values, tensor.dims(), &Device::flex()).autodiff().require_grad()
}

#[test]
fn a_convolution_in_bf16_is_that_of_rounded_operands() {
    for (shape, outputs, kernel, stride) in [([4, 3, 16, 16], 16, 3, 1), ([3, 32, 9, 7], 24, 3, 2)] {
        let (input, weight) = (leaf("input", shape), leaf("weight", [outputs, shape[1], kernel, kernel]));
        let of = |input: &Tensor<4>, weight: &Tensor<4>, precision| {
            let output = conv2d(input.clone(), weight.clone(), stride, kernel / 2, precision);
            // The gradient that arrives is one that bf16 holds.
            let weights = rounded(&leaf("gradient", output.dims())).inner().autodiff();
            let mut gradients = (output.clone() * weights).sum().backward();
            let mut gradient = |leaf: &Tensor<4>| to_host(leaf.grad_remove(&mut gradients).unwrap());
            vec![to_host(output), gradient(input), gradient(weight)]
        };
        let (near_input, near_weight) = (rounded(&input), rounded(&weight));
        let ours = of(&input, &weight, Precision::Bf16);
        let theirs = of(&near_input, &near_weight, Precision::F32);
        let case = format!("{shape:?} {outputs} {kernel} {stride}");
        assert_close(&["y", "dx", "dw"], &ours, &theirs, &case);
        let whole = of(&input, &weight, Precision::F32);
        let differ = |(a, b): (&Vec<f32>, &Vec<f32>)| a.iter().zip(b).any(|(a, b)| (a - b).abs() > 1e-3);
        assert!(ours.iter().zip(&whole).all(differ), "nothing was rounded, {case}");
    }
}

#[test]
fn a_convolution_of_an_untracked_input_has_a_weight_gradient() {
    let input = leaf("input", [4, 3, 8, 8]).inner().autodiff();
    let weight = leaf("weight", [6, 3, 3, 3]);
    let ours = results(conv2d(input.clone(), weight.clone(), 1, 1, Precision::F32), &[Leaf::Map(&weight)]);
    let options = ConvOptions::new([1; 2], [1; 2], [1; 2], 1);
    let theirs = results(engine_conv2d(input, weight.clone(), None, options), &[Leaf::Map(&weight)]);
    assert_close(&["y", "dw"], &ours, &theirs, "untracked input");
}

#[test]
fn a_normalisation_has_the_output_and_gradients_of_the_engine() {
    for shape in [[6, 5, 7, 9], [40, 3, 1, 1], [3, 16, 32, 32]] {
        let (input, residual) = (leaf("input", shape), leaf("residual", shape));
        let (scale, shift) = (leaf("scale", [shape[1]]), leaf("shift", [shape[1]]));
        let affine = || Affine { scale: scale.clone(), shift: shift.clone(), epsilon: EPSILON };
        let engine = || batch_norm_train(input.clone(), scale.clone(), shift.clone(), EPSILON);
        let leaves = [Leaf::Map(&input), Leaf::Channels(&scale), Leaf::Channels(&shift)];
        let names = ["y", "dx", "dγ", "dβ"];

        let (output, statistics) = batch_norm(input.clone(), affine(), 1);
        let ours = [to_host(statistics.mean), to_host(statistics.variance)];
        let theirs = [to_host(engine().mean), to_host(engine().variance)];
        assert_close(&["mean", "variance"], &ours, &theirs, &format!("{shape:?}"));
        let (ours, theirs) = (results(output, &leaves), results(engine().output, &leaves));
        assert_close(&names, &ours, &theirs, &format!("{shape:?}"));

        let ours = results(batch_norm_relu(input.clone(), affine(), 1).0, &leaves);
        let theirs = results(relu(engine().output), &leaves);
        assert_close(&names, &ours, &theirs, &format!("ReLU {shape:?}"));

        let leaves =
            [Leaf::Map(&input), Leaf::Channels(&scale), Leaf::Channels(&shift), Leaf::Map(&residual)];
        let ours = results(batch_norm_add_relu(input.clone(), residual.clone(), affine(), 1).0, &leaves);
        let theirs = results(relu(engine().output + residual.clone()), &leaves);
        assert_close(&["y", "dx", "dγ", "dβ", "dr"], &ours, &theirs, &format!("residual {shape:?}"));
    }
}

#[test]
fn each_group_is_normalised_as_if_it_were_a_batch() {
    for (shape, groups) in [([6, 5, 7, 9], 2), ([8, 3, 4, 4], 8), ([9, 4, 5, 5], 3)] {
        let (input, residual) = (leaf("input", shape), leaf("residual", shape));
        let (scale, shift) = (leaf("scale", [shape[1]]), leaf("shift", [shape[1]]));
        let affine = || Affine { scale: scale.clone(), shift: shift.clone(), epsilon: EPSILON };
        // One normalisation after another, by the engine.
        let by_one = |then: &dyn Fn(Tensor<4>, Tensor<4>) -> Tensor<4>| {
            let length = shape[0] / groups;
            let of_group = |group: usize| {
                let of = |tensor: &Tensor<4>| tensor.clone().narrow(0, group * length, length);
                let normal = batch_norm_train(of(&input), scale.clone(), shift.clone(), EPSILON);
                then(normal.output, of(&residual))
            };
            Tensor::cat((0..groups).map(of_group).collect(), 0)
        };
        let leaves = [Leaf::Map(&input), Leaf::Channels(&scale), Leaf::Channels(&shift)];
        let names = ["y", "dx", "dγ", "dβ"];
        let case = format!("{groups} groups of {shape:?}");

        let (output, statistics) = batch_norm(input.clone(), affine(), groups);
        assert_eq!(statistics.mean.dims(), [groups * shape[1]]);
        let theirs = results(by_one(&|output, _| output), &leaves);
        assert_close(&names, &results(output, &leaves), &theirs, &case);

        let ours = results(batch_norm_relu(input.clone(), affine(), groups).0, &leaves);
        assert_close(&names, &ours, &results(by_one(&|output, _| relu(output)), &leaves), &case);

        let leaves =
            [Leaf::Map(&input), Leaf::Channels(&scale), Leaf::Channels(&shift), Leaf::Map(&residual)];
        let ours = batch_norm_add_relu(input.clone(), residual.clone(), affine(), groups).0;
        let theirs = results(by_one(&|output, residual| relu(output + residual)), &leaves);
        assert_close(&["y", "dx", "dγ", "dβ", "dr"], &results(ours, &leaves), &theirs, &case);
    }
}

#[test]
fn groups_that_do_not_divide_a_batch_are_fewer() {
    let groups = [(8, 2), (8, 8), (30, 8), (7, 3), (2, 5), (0, 4), (5, 0)];
    assert_eq!(groups.map(|(images, asked)| equal_groups(images, asked)), [2, 8, 6, 1, 2, 1, 1]);
}

#[test]
fn a_normalisation_by_given_statistics_is_that_of_the_engine() {
    let (input, scale, shift) = (leaf("input", [4, 6, 3, 5]), leaf("scale", [6]), leaf("shift", [6]));
    let (mean, variance) = (leaf("mean", [6]).inner(), leaf("variance", [6]).inner().abs());
    let statistics = || BatchStatistics { mean: mean.clone(), variance: variance.clone() };
    let affine = || Affine { scale: scale.clone().inner(), shift: shift.clone().inner(), epsilon: EPSILON };
    let ours = to_host(batch_norm_fixed(input.clone().inner(), affine(), statistics()));
    let plain = input.clone().inner();
    let theirs = engine_fixed(plain, affine().scale, affine().shift, mean.clone(), variance.clone(), EPSILON);
    assert_close(&["y"], &[ours], &[to_host(theirs)], "untracked");

    // Frozen statistics under trained weights: gradients must pass.
    let affine = Affine { scale: scale.clone(), shift: shift.clone(), epsilon: EPSILON };
    let leaves = [Leaf::Map(&input), Leaf::Channels(&scale), Leaf::Channels(&shift)];
    let ours = results(batch_norm_fixed(input.clone(), affine, statistics()), &leaves);
    let (mean, variance) = (mean.autodiff(), variance.autodiff());
    let theirs = engine_fixed(input.clone(), scale.clone(), shift.clone(), mean, variance, EPSILON);
    assert_close(&["y", "dx", "dγ", "dβ"], &ours, &results(theirs, &leaves), "tracked");
}
