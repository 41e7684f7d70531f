//! The operations against the engine's own, gradients by its own automatic differentiation.

use crate::burn::tensor::Device;
use crate::burn::tensor::activation::relu;
use crate::burn::tensor::module::{
    batch_norm as engine_fixed, batch_norm_train, conv2d as engine_conv2d, max_pool2d,
};
use crate::burn::tensor::ops::{ConvOptions, MaxPoolOptions};
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

/// A convolution of images, by way of maps.
fn convolved(
    input: Tensor<4>,
    weight: Tensor<4>,
    stride: usize,
    padding: usize,
    precision: Precision,
) -> Tensor<4> {
    conv2d(FeatureMap::pack(input, precision), weight, stride, padding).unpack()
}

/// A normalisation of images as a map, or, where there is one pixel, as rows.
fn normalised(
    input: Tensor<4>,
    affine: Affine,
    groups: usize,
    epilogue: Epilogue<Tensor<4>>,
    as_rows: bool,
) -> (Tensor<4>, BatchStatistics) {
    let shape = input.dims();
    if as_rows {
        let rows = |images: Tensor<4>| images.reshape([shape[0], shape[1]]);
        let (output, statistics) = batch_norm(rows(input), affine, groups, changed(epilogue, rows));
        return (output.reshape(shape), statistics);
    }
    let map = |images| FeatureMap::pack(images, Precision::F32);
    let (output, statistics) = batch_norm(map(input), affine, groups, changed(epilogue, map));
    (output.unpack(), statistics)
}

fn changed<A, B: Batch>(epilogue: Epilogue<A>, change: impl Fn(A) -> B) -> Epilogue<B> {
    match epilogue {
        Epilogue::Nothing => Epilogue::Nothing,
        Epilogue::Relu => Epilogue::Relu,
        Epilogue::AddRelu(residual) => Epilogue::AddRelu(change(residual)),
    }
}

impl Leaf<'_> {
    fn again(&self) -> Self {
        match self {
            Self::Map(tensor) => Self::Map(tensor),
            Self::Channels(tensor) => Self::Channels(tensor),
        }
    }
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
            results(convolved(input.clone(), weight.clone(), stride, kernel / 2, Precision::F32), &leaves);
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

/// The length of the difference over that of `theirs` is at most a hundredth: what of each operation in bf16 holds, and no network
/// of many of them could be asked for.
fn assert_within_a_hundredth(names: &[&str], ours: &[Vec<f32>], theirs: &[Vec<f32>], case: &str) {
    assert_eq!([ours.len(), theirs.len()], [names.len(); 2]);
    let length =
        |values: &mut dyn Iterator<Item = f32>| values.map(|x| f64::from(x).powi(2)).sum::<f64>().sqrt();
    for ((name, ours), theirs) in names.iter().zip(ours).zip(theirs) {
        assert_eq!(ours.len(), theirs.len(), "{name}, {case}");
        let difference = length(&mut ours.iter().zip(theirs).map(|(a, b)| a - b));
        let off = difference / length(&mut theirs.iter().copied());
        assert!(off <= 1e-2, "{name} is off by {off}, {case}");
    }
}

/// As [`assert_close`], of maps: ours were rounded to bf16 when they were held, theirs were not.
fn assert_close_but_for_rounding(names: &[&str], ours: &[Vec<f32>], theirs: &[Vec<f32>], case: &str) {
    assert_within_a_hundredth(names, ours, theirs, case);
    for ((name, ours), theirs) in names.iter().zip(ours).zip(theirs) {
        assert_eq!(ours.len(), theirs.len(), "{name}, {case}");
        let largest = theirs.iter().fold(0.0, |largest: f32, value| largest.max(value.abs()));
        let off = ours
            .iter()
            .zip(theirs)
            .fold(0.0, |worst: f32, (ours, theirs)| worst.max((ours - theirs).abs() - theirs.abs() / 256.0));
        assert!(off <= 1e-5 * largest, "{name} is off by {off:e} of {largest:e}, {case}");
    }
}

#[test]
fn a_convolution_in_bf16_is_that_of_rounded_operands() {
    let cases = [
        ([4, 3, 16, 16], 16, 3, 1),
        ([18, 64, 8, 8], 64, 3, 1),
        ([3, 32, 9, 7], 24, 3, 2),
        ([9, 20, 8, 8], 40, 1, 1),
        ([17, 64, 5, 6], 32, 1, 1),
        ([5, 32, 9, 9], 24, 1, 2),
        ([2, 3, 21, 30], 10, 7, 2),
        ([16, 3, 32, 32], 64, 7, 2),
    ];
    for (shape, outputs, kernel, stride) in cases {
        let (input, weight) = (leaf("input", shape), leaf("weight", [outputs, shape[1], kernel, kernel]));
        let of = |input: &Tensor<4>, weight: &Tensor<4>, precision| {
            let output = convolved(input.clone(), weight.clone(), stride, kernel / 2, precision);
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
        assert_close_but_for_rounding(&["y", "dx"], &ours[..2], &theirs[..2], &case);
        assert_close(&["dw"], &ours[2..], &theirs[2..], &case);
        let whole = of(&input, &weight, Precision::F32);
        let differ = |(a, b): (&Vec<f32>, &Vec<f32>)| a.iter().zip(b).any(|(a, b)| (a - b).abs() > 1e-3);
        assert!(ours.iter().zip(&whole).all(differ), "nothing was rounded, {case}");
    }
}

/// Output and gradients of maps, then gradients of channels, for a gradient of the output that bf16 holds.
fn results_of_rounded(
    output: Tensor<4>,
    maps: &[&Tensor<4>],
    channels: &[&Tensor<1>],
) -> (Vec<Vec<f32>>, Vec<Vec<f32>>) {
    let weights = rounded(&leaf("gradient", output.dims())).inner().autodiff();
    let mut gradients = (output.clone() * weights).sum().backward();
    let mut of_maps = vec![to_host(output)];
    of_maps.extend(maps.iter().map(|leaf| to_host(leaf.grad_remove(&mut gradients).unwrap())));
    let of_channels = channels.iter().map(|leaf| to_host(leaf.grad_remove(&mut gradients).unwrap()));
    (of_maps, of_channels.collect())
}

#[test]
fn a_normalisation_in_bf16_is_that_of_rounded_operands() {
    for (shape, groups) in [([6, 5, 7, 9], 1), ([36, 4, 4, 3], 2), ([20, 32, 8, 8], 1)] {
        let [input, residual] = ["input", "residual"].map(|purpose| rounded(&leaf(purpose, shape)));
        let (scale, shift) = (leaf("scale", [shape[1]]), leaf("shift", [shape[1]]));
        for case in ["alone", "ReLU", "residual"] {
            let of = |precision| {
                let map = |images: &Tensor<4>| FeatureMap::pack(images.clone(), precision);
                let (epilogue, maps) = match case {
                    "residual" => (Epilogue::AddRelu(map(&residual)), vec![&input, &residual]),
                    "ReLU" => (Epilogue::Relu, vec![&input]),
                    _ => (Epilogue::Nothing, vec![&input]),
                };
                let affine = Affine { scale: scale.clone(), shift: shift.clone(), epsilon: EPSILON };
                let output = batch_norm(map(&input), affine, groups, epilogue).0.unpack();
                results_of_rounded(output, &maps, &[&scale, &shift])
            };
            let (ours, theirs) = (of(Precision::Bf16), of(Precision::F32));
            let case = format!("{groups} groups of {shape:?}, {case}");
            assert_close_but_for_rounding(&["y", "dx", "dr"][..ours.0.len()], &ours.0, &theirs.0, &case);
            assert_close(&["dγ", "dβ"], &ours.1, &theirs.1, &case);
            assert!(ours.0.iter().zip(&theirs.0).take(2).all(|(a, b)| a != b), "nothing was rounded, {case}");
        }
    }
}

#[test]
fn pooling_and_the_sum_of_two_gradients_in_bf16_are_those_of_rounded_operands() {
    let shape = [18, 5, 8, 7];
    let input = rounded(&leaf("input", shape));
    let weight = rounded(&leaf("weight", [5, 5, 3, 3]));
    let map = |precision| FeatureMap::pack(input.clone(), precision);
    let pooled = |precision| results_of_rounded(map(precision).max_pool(3, 2, 1).unpack(), &[&input], &[]).0;
    let means = |precision| {
        let means = map(precision).mean().reshape([shape[0], shape[1], 1, 1]);
        results_of_rounded(means, &[&input], &[]).0
    };
    // The gradient of a convolution, added to one that is held already.
    let both = |precision| {
        let [one, other] = map(precision).split();
        let sum = conv2d(one, weight.clone(), 2, 1).unpack() + other.max_pool(3, 2, 1).unpack();
        results_of_rounded(sum, &[&input], &[]).0
    };
    for precision in [Precision::F32, Precision::Bf16] {
        // The largest value and the mean of values that bf16 holds are not rounded.
        assert_close(&["largest"], &pooled(precision)[..1], &pooled(Precision::F32)[..1], "exact");
        assert_close(&["mean"], &means(precision)[..1], &means(Precision::F32)[..1], "exact");
    }
    for (case, of) in [("largest", &pooled as &dyn Fn(_) -> _), ("mean", &means)] {
        let (ours, theirs): (Vec<Vec<f32>>, _) = (of(Precision::Bf16), of(Precision::F32));
        assert_close_but_for_rounding(&["y", "dx"], &ours, &theirs, case);
    }
    let (ours, theirs) = (both(Precision::Bf16), both(Precision::F32));
    assert_within_a_hundredth(&["y", "dx"], &ours, &theirs, "two readers");
    let largest = theirs[1].iter().fold(0.0, |largest: f32, value| largest.max(value.abs()));
    let off = ours[1].iter().zip(&theirs[1]).fold(0.0, |worst: f32, (a, b)| worst.max((a - b).abs()));
    // The gradient that waits is rounded, and so is the sum.
    assert!(off <= largest / 128.0, "dx is off by {off:e} of {largest:e}");
}

#[test]
fn a_convolution_of_an_untracked_input_has_a_weight_gradient() {
    let input = leaf("input", [4, 3, 8, 8]).inner().autodiff();
    let weight = leaf("weight", [6, 3, 3, 3]);
    let ours = results(convolved(input.clone(), weight.clone(), 1, 1, Precision::F32), &[Leaf::Map(&weight)]);
    let options = ConvOptions::new([1; 2], [1; 2], [1; 2], 1);
    let theirs = results(engine_conv2d(input, weight.clone(), None, options), &[Leaf::Map(&weight)]);
    assert_close(&["y", "dw"], &ours, &theirs, "untracked input");
}

#[test]
fn a_normalisation_has_the_output_and_gradients_of_the_engine() {
    let cases =
        [([6, 5, 7, 9], false), ([40, 3, 1, 1], false), ([40, 3, 1, 1], true), ([3, 16, 32, 32], false)];
    for (shape, as_rows) in cases {
        let (input, residual) = (leaf("input", shape), leaf("residual", shape));
        let (scale, shift) = (leaf("scale", [shape[1]]), leaf("shift", [shape[1]]));
        let affine = || Affine { scale: scale.clone(), shift: shift.clone(), epsilon: EPSILON };
        let engine = || batch_norm_train(input.clone(), scale.clone(), shift.clone(), EPSILON);
        let ours = |epilogue| normalised(input.clone(), affine(), 1, epilogue, as_rows);
        let leaves = [Leaf::Map(&input), Leaf::Channels(&scale), Leaf::Channels(&shift)];
        let names = ["y", "dx", "dγ", "dβ"];
        let case = format!("{shape:?}, rows: {as_rows}");

        let (output, statistics) = ours(Epilogue::Nothing);
        let both = [to_host(statistics.mean), to_host(statistics.variance)];
        let theirs = [to_host(engine().mean), to_host(engine().variance)];
        assert_close(&["mean", "variance"], &both, &theirs, &case);
        assert_close(&names, &results(output, &leaves), &results(engine().output, &leaves), &case);

        let theirs = results(relu(engine().output), &leaves);
        assert_close(&names, &results(ours(Epilogue::Relu).0, &leaves), &theirs, &format!("ReLU {case}"));

        let leaves =
            [Leaf::Map(&input), Leaf::Channels(&scale), Leaf::Channels(&shift), Leaf::Map(&residual)];
        let added = results(ours(Epilogue::AddRelu(residual.clone())).0, &leaves);
        let theirs = results(relu(engine().output + residual.clone()), &leaves);
        assert_close(&["y", "dx", "dγ", "dβ", "dr"], &added, &theirs, &format!("residual {case}"));
    }
}

#[test]
fn each_group_is_normalised_as_if_it_were_a_batch() {
    for (shape, groups, as_rows) in [
        ([6, 5, 7, 9], 2, false),
        ([8, 3, 4, 4], 8, false),
        ([9, 4, 5, 5], 3, false),
        ([36, 4, 2, 2], 2, false),
        ([36, 4, 1, 1], 2, true),
    ] {
        let (input, residual) = (leaf("input", shape), leaf("residual", shape));
        let (scale, shift) = (leaf("scale", [shape[1]]), leaf("shift", [shape[1]]));
        let affine = || Affine { scale: scale.clone(), shift: shift.clone(), epsilon: EPSILON };
        // One normalisation after another, by the engine.
        let by_one = |epilogue: &dyn Fn(Tensor<4>, Tensor<4>) -> Tensor<4>| {
            let length = shape[0] / groups;
            let of_group = |group: usize| {
                let of = |tensor: &Tensor<4>| tensor.clone().narrow(0, group * length, length);
                let normal = batch_norm_train(of(&input), scale.clone(), shift.clone(), EPSILON);
                epilogue(normal.output, of(&residual))
            };
            Tensor::cat((0..groups).map(of_group).collect(), 0)
        };
        let leaves = [Leaf::Map(&input), Leaf::Channels(&scale), Leaf::Channels(&shift)];
        let names = ["y", "dx", "dγ", "dβ"];
        let case = format!("{groups} groups of {shape:?}, rows: {as_rows}");
        let ours = |epilogue| normalised(input.clone(), affine(), groups, epilogue, as_rows);

        let (output, statistics) = ours(Epilogue::Nothing);
        assert_eq!(statistics.mean.dims(), [groups * shape[1]]);
        let theirs = results(by_one(&|output, _| output), &leaves);
        assert_close(&names, &results(output, &leaves), &theirs, &case);

        let rectified = results(ours(Epilogue::Relu).0, &leaves);
        assert_close(&names, &rectified, &results(by_one(&|output, _| relu(output)), &leaves), &case);

        let leaves =
            [Leaf::Map(&input), Leaf::Channels(&scale), Leaf::Channels(&shift), Leaf::Map(&residual)];
        let added = ours(Epilogue::AddRelu(residual.clone())).0;
        let theirs = results(by_one(&|output, residual| relu(output + residual)), &leaves);
        assert_close(&["y", "dx", "dγ", "dβ", "dr"], &results(added, &leaves), &theirs, &case);
    }
}

#[test]
fn groups_that_do_not_divide_a_batch_are_fewer() {
    let groups = [(8, 2), (8, 8), (30, 8), (7, 3), (2, 5), (0, 4), (5, 0)];
    assert_eq!(groups.map(|(images, asked)| equal_groups(images, asked)), [2, 8, 6, 1, 2, 1, 1]);
}

#[test]
fn a_normalisation_by_given_statistics_is_that_of_the_engine() {
    let shape = [4, 6, 3, 5];
    let (input, scale, shift) = (leaf("input", shape), leaf("scale", [6]), leaf("shift", [6]));
    let residual = leaf("residual", shape);
    let (mean, variance) = (leaf("mean", [6]).inner(), leaf("variance", [6]).inner().abs());
    let statistics = || BatchStatistics { mean: mean.clone(), variance: variance.clone() };
    let map = |images| FeatureMap::pack(images, Precision::F32);
    let affine = || Affine { scale: scale.clone().inner(), shift: shift.clone().inner(), epsilon: EPSILON };
    let plain = input.clone().inner();
    let ours =
        to_host(batch_norm_fixed(map(plain.clone()), affine(), statistics(), Epilogue::Nothing).unpack());
    let theirs = engine_fixed(plain, affine().scale, affine().shift, mean.clone(), variance.clone(), EPSILON);
    assert_close(&["y"], &[ours], &[to_host(theirs)], "untracked");

    // Frozen statistics under trained weights: gradients must pass.
    let affine = || Affine { scale: scale.clone(), shift: shift.clone(), epsilon: EPSILON };
    let leaves = [Leaf::Map(&input), Leaf::Channels(&scale), Leaf::Channels(&shift), Leaf::Map(&residual)];
    let names = ["y", "dx", "dγ", "dβ", "dr"];
    let engine = || {
        let (mean, variance) = (mean.clone().autodiff(), variance.clone().autodiff());
        engine_fixed(input.clone(), scale.clone(), shift.clone(), mean, variance, EPSILON)
    };
    let of = |epilogue| batch_norm_fixed(map(input.clone()), affine(), statistics(), epilogue).unpack();
    assert_close(
        &names[..4],
        &results(of(Epilogue::Nothing), &leaves[..3]),
        &results(engine(), &leaves[..3]),
        "tracked",
    );
    let theirs = results(relu(engine()), &leaves[..3]);
    assert_close(&names[..4], &results(of(Epilogue::Relu), &leaves[..3]), &theirs, "tracked, ReLU");
    let theirs = results(relu(engine() + residual.clone()), &leaves);
    let ours = results(of(Epilogue::AddRelu(map(residual.clone()))), &leaves);
    assert_close(&names, &ours, &theirs, "tracked, residual");
}

#[test]
fn the_gradients_of_two_readers_of_a_map_are_added() {
    let (input, one, other) =
        (leaf("input", [18, 6, 8, 7]), leaf("one", [6, 6, 3, 3]), leaf("other", [6, 6, 1, 1]));
    let (scale, shift) = (leaf("scale", [6]), leaf("shift", [6]));
    let affine = || Affine { scale: scale.clone(), shift: shift.clone(), epsilon: EPSILON };
    let leaves = [Leaf::Map(&input), Leaf::Map(&one), Leaf::Map(&other), Leaf::Channels(&scale)];
    let names = ["y", "dx", "dw", "dw′", "dγ"];
    let engine = |input: Tensor<4>, weight: &Tensor<4>, padding| {
        engine_conv2d(input, weight.clone(), None, ConvOptions::new([1; 2], [padding; 2], [1; 2], 1))
    };
    // What a residual block does: a convolution and the residual, or two convolutions, of one map.
    for identity in [true, false] {
        let [map, shortcut] = FeatureMap::pack(input.clone(), Precision::F32).split();
        let sum = if identity { shortcut } else { conv2d(shortcut, other.clone(), 1, 0) };
        let ours = batch_norm(conv2d(map, one.clone(), 1, 1), affine(), 1, Epilogue::AddRelu(sum)).0.unpack();
        let shortcut = if identity { input.clone() } else { engine(input.clone(), &other, 0) };
        let map = batch_norm_train(engine(input.clone(), &one, 1), scale.clone(), shift.clone(), EPSILON);
        let theirs = relu(map.output + shortcut);
        let kept: Vec<usize> = (0..4).filter(|leaf| !identity || *leaf != 2).collect();
        let leaves: Vec<Leaf<'_>> = kept.iter().map(|leaf| leaves[*leaf].again()).collect();
        let names: Vec<&str> =
            std::iter::once(names[0]).chain(kept.iter().map(|leaf| names[leaf + 1])).collect();
        let case = format!("identity: {identity}");
        assert_close(&names, &results(ours, &leaves), &results(theirs, &leaves), &case);
    }
    // Other readers add as well, in either order.
    let [map, again] = FeatureMap::pack(input.clone(), Precision::F32).split();
    let pooled = |images: Tensor<4>| {
        max_pool2d(images, MaxPoolOptions::new([3; 2]).with_stride([2; 2]).with_padding([1; 2]))
    };
    let mean = |means: Tensor<2>| means.reshape([18, 6, 1, 1]);
    let ours = map.max_pool(3, 2, 1).unpack() + mean(again.mean());
    let means = input.clone().reshape([18, 6, 56]).mean_dim(2).reshape([18, 6]);
    let theirs = pooled(input.clone()) + mean(means);
    let leaf = [Leaf::Map(&input)];
    assert_close(&["y", "dx"], &results(ours, &leaf), &results(theirs, &leaf), "pooling and mean");
}
