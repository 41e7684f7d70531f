//! The kernels against loops in f64 that follow the definition.

use proptest::prelude::*;

use super::*;
use crate::bf16::half_step;
use crate::map::{pack, unpack};
use crate::sizes::refusal;

/// Calls `visit(output index, input index, weight index)` for every product of the convolution.
pub(super) fn each_product(shape: &ConvShape, mut visit: impl FnMut(usize, usize, usize)) {
    let ConvShape { images, inputs, outputs, height, width, kernel, stride, padding } = *shape;
    let (out_height, out_width) = (shape.output_height(), shape.output_width());
    for image in 0..images {
        for output in 0..outputs {
            for place in 0..out_height * out_width {
                for term in 0..inputs * kernel * kernel {
                    let (channel, row, column) =
                        (term / kernel / kernel, term / kernel % kernel, term % kernel);
                    let y = (place / out_width * stride + row).wrapping_sub(padding);
                    let x = (place % out_width * stride + column).wrapping_sub(padding);
                    if y < height && x < width {
                        visit(
                            (image * outputs + output) * out_height * out_width + place,
                            ((image * inputs + channel) * height + y) * width + x,
                            output * inputs * kernel * kernel + term,
                        );
                    }
                }
            }
        }
    }
}

/// By how much of max |b|, or, where the largest sum all but cancels, of a 64th of the sum of the largest
/// sizes, a is off b: where results are rounded, off what is rounded to a.
pub(super) fn difference(a: &[f32], b: &[f64], sizes: &[f64], precision: Precision) -> f64 {
    assert_eq!(a.len(), b.len());
    let least = sizes.iter().fold(1e-30, |largest: f64, size| largest.max(size / 64.0));
    let largest = b.iter().fold(least, |largest: f64, b| largest.max(b.abs()));
    let off = |(a, b): (&f32, &f64)| {
        let rounding = match precision {
            Precision::F32 => 0.0,
            Precision::Bf16 => half_step(*a),
        };
        ((f64::from(*a) - b).abs() - rounding).max(0.0)
    };
    a.iter().zip(b).map(off).fold(0.0, f64::max) / largest
}

/// Input, weights and gradient of the output.
pub(super) fn operands(shape: &ConvShape) -> [Vec<f32>; 3] {
    [
        normals("input", shape.input().values()),
        normals("weight", shape.weights()),
        normals("gradient", shape.output().values()),
    ]
}

/// Output, input gradient and weight gradient at a path, by way of maps.
pub(super) fn results(
    path: Path,
    shape: &ConvShape,
    [input, weight, gradient]: [&[f32]; 3],
    bias: &[f32],
) -> [Vec<f32>; 3] {
    let precision = path.precision();
    let (from, to) = (shape.input(), shape.output());
    let (input, gradient) = (pack(&from, precision, input), pack(&to, precision, gradient));
    [
        unpack(&to, precision, &forward_at(path, shape, &input, weight, Some(bias))),
        unpack(&from, precision, &input_gradient_at(path, shape, weight, &gradient, None)),
        weight_gradient_at(path, shape, [&input, &gradient]),
    ]
}

pub(super) fn normals(purpose: &str, count: usize) -> Vec<f32> {
    let mut stream = lookalike_base::Seed(7).stream(purpose, 0, 0, 0);
    (0..count).map(|_| stream.normal()).collect()
}

/// The twins of output, input gradient, weight gradient and bias gradient.
pub(super) fn twins(
    shape: &ConvShape,
    [input, weight, gradient]: [&[f32]; 3],
    bias: &[f32],
) -> [Vec<f64>; 4] {
    let map = shape.output_height() * shape.output_width();
    let mut y: Vec<f64> =
        (0..gradient.len()).map(|index| f64::from(bias[index / map % shape.outputs])).collect();
    let [mut dx, mut dw, mut db] = [input.len(), weight.len(), bias.len()].map(|length| vec![0.0; length]);
    each_product(shape, |output, pixel, term| {
        y[output] += f64::from(input[pixel]) * f64::from(weight[term]);
        dx[pixel] += f64::from(gradient[output]) * f64::from(weight[term]);
        dw[term] += f64::from(gradient[output]) * f64::from(input[pixel]);
    });
    for (index, gradient) in gradient.iter().enumerate() {
        db[index / map % shape.outputs] += f64::from(*gradient);
    }
    [y, dx, dw, db]
}

pub(super) fn check(shape: &ConvShape) {
    let exact = operands(shape);
    let bias = normals("bias", shape.outputs);
    let [input, weight, gradient] = exact.each_ref().map(Vec::as_slice);
    let rounded =
        exact.each_ref().map(|values| values.iter().copied().map(crate::bf16::round).collect::<Vec<_>>());
    let of_exact = twins(shape, [input, weight, gradient], &bias);
    let of_rounded = twins(shape, rounded.each_ref().map(Vec::as_slice), &bias);
    let mut products = 0;
    each_product(shape, |_, _, _| products += 1);
    // Rounding both factors moves a product by up to 2⁻⁷ of its size and a little more, whatever they are …
    let sizes = exact.each_ref().map(|values| values.iter().map(|value| value.abs()).collect::<Vec<_>>());
    let of_sizes = twins(shape, sizes.each_ref().map(Vec::as_slice), &vec![0.0; shape.outputs]);
    // … which sums of many products average out, so that they hold a bound beside the largest of many
    // results.
    let averaged = |result: &[f32]| result.len() >= 1024 && products >= 64 * result.len();
    let paths = [Precision::F32, Precision::Bf16]
        .into_iter()
        .flat_map(|precision| Path::all(precision).into_iter().map(move |path| (path, precision)));
    for (path, precision) in paths {
        let results = results(path, shape, [input, weight, gradient], &bias);
        let twins = of_exact.iter().zip(&of_rounded).zip(&of_sizes);
        for ((name, result), ((exact, rounded), sizes)) in NAMES.iter().zip(&results).zip(twins) {
            // Weight gradients leave as `f32`.
            let leaves = if *name == NAMES[2] { Precision::F32 } else { precision };
            let bounds = match precision {
                Precision::F32 => vec![(exact, 1e-5)],
                Precision::Bf16 if averaged(result) => vec![(rounded, 1e-4), (exact, 5e-3)],
                Precision::Bf16 => vec![(rounded, 1e-4)],
            };
            for (twin, bound) in bounds {
                let difference = difference(result, twin, sizes, leaves);
                assert!(difference <= bound, "{name} at {path:?} is off by {difference:e} for {shape:?}");
            }
            for ((result, exact), size) in result.iter().zip(exact).zip(sizes) {
                let off = (f64::from(*result) - exact).abs();
                let rounding = if leaves == Precision::F32 { 0.0 } else { half_step(*result) };
                let bound = 0.00783 * size + 1e-5 + rounding;
                assert!(off <= bound, "{name} at {path:?} is off by {off:e} of {size} for {shape:?}");
            }
        }
    }
    for precision in [Precision::F32, Precision::Bf16] {
        let map = pack(&shape.output(), precision, gradient);
        let twin = if precision == Precision::F32 { &of_exact[3] } else { &of_rounded[3] };
        let difference =
            difference(&bias_gradient(shape, precision, &map), twin, &of_sizes[3], Precision::F32);
        assert!(difference <= 1e-5, "bias gradient is off by {difference:e} for {shape:?}");
    }
}

pub(super) const NAMES: [&str; 3] = ["output", "input gradient", "weight gradient"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn output_and_gradients_are_those_of_the_definition(
        (images, inputs, outputs) in (0_usize..12, 1_usize..8, 1_usize..20),
        (height, width) in (1_usize..13, 1_usize..13),
        (kernel, stride, padding) in (1_usize..8, 1_usize..4, 0_usize..5),
    ) {
        let shape = ConvShape { images, inputs, outputs, height, width, kernel, stride, padding };
        prop_assume!(kernel <= height.min(width) + 2 * padding);
        check(&shape);
    }
}

#[test]
fn the_layers_of_residual_networks_are_those_of_the_definition() {
    let sizes =
        [(3, 16, 32, 3, 1), (16, 32, 16, 3, 2), (70, 33, 8, 3, 1), (130, 64, 4, 3, 2), (64, 128, 9, 1, 2)];
    for (inputs, outputs, side, kernel, stride) in sizes.into_iter().chain([(3, 64, 30, 7, 2)]) {
        let padding = kernel / 2;
        check(&ConvShape { images: 9, inputs, outputs, height: side, width: side, kernel, stride, padding });
    }
}

#[test]
fn more_images_than_lanes_are_no_exception() {
    for (images, inputs, side, kernel, stride) in [
        (16, 5, 9, 3, 2),
        (17, 6, 9, 5, 2),
        (37, 5, 4, 3, 2),
        (37, 7, 7, 1, 2),
        (33, 5, 5, 5, 1),
        (19, 9, 6, 1, 1),
        (37, 3, 7, 3, 2),
        (33, 2, 6, 5, 1),
        (20, 4, 9, 7, 3),
    ] {
        let padding = kernel / 2;
        check(&ConvShape { images, inputs, outputs: 19, height: side, width: side, kernel, stride, padding });
    }
}

#[test]
fn pixels_that_no_output_meets_have_no_gradient() {
    for (side, kernel, stride, padding) in
        [(7, 1, 3, 0), (7, 2, 5, 1), (1, 1, 3, 1), (1, 1, 100_000, 0), (3, 2, 4, 2)]
    {
        check(&ConvShape {
            images: 3,
            inputs: 4,
            outputs: 5,
            height: side,
            width: side,
            kernel,
            stride,
            padding,
        });
    }
}

#[test]
fn no_images_are_no_values() {
    for (kernel, stride) in [(3, 1), (3, 2), (1, 1), (1, 2)] {
        let padding = kernel / 2;
        let shape =
            ConvShape { images: 0, inputs: 16, outputs: 16, height: 9, width: 9, kernel, stride, padding };
        let weight = vec![1.0; shape.weights()];
        for precision in [Precision::F32, Precision::Bf16] {
            assert!(forward(&shape, precision, &[], &weight, None).is_empty());
            assert!(input_gradient(&shape, precision, &weight, &[], None).is_empty());
            assert!(weight_gradient(&shape, precision, &[], &[]).iter().all(|value| *value == 0.0));
        }
    }
}

#[test]
fn what_is_added_to_an_input_gradient_is_in_the_result() {
    // By tiles, directly, in phases, and without neighbours.
    for (kernel, stride) in [(3, 1), (5, 1), (3, 2), (1, 1), (1, 2)] {
        let padding = kernel / 2;
        let shape =
            ConvShape { images: 18, inputs: 17, outputs: 20, height: 9, width: 8, kernel, stride, padding };
        let (from, to) = (shape.input(), shape.output());
        let weight = normals("weight", shape.weights());
        let gradient = normals("gradient", to.values());
        let added = normals("added", from.values());
        for precision in [Precision::F32, Precision::Bf16] {
            let (gradient, added) = (pack(&to, precision, &gradient), pack(&from, precision, &added));
            for path in Path::all(precision) {
                let of = |added: Option<&[u32]>| {
                    unpack(&from, precision, &input_gradient_at(path, &shape, &weight, &gradient, added))
                };
                let expected: Vec<f64> = of(None)
                    .iter()
                    .zip(unpack(&from, precision, &added))
                    .map(|(gradient, added)| f64::from(*gradient) + f64::from(added))
                    .collect();
                let sum = of(Some(&added));
                for ((sum, expected), alone) in sum.iter().zip(&expected).zip(of(None)) {
                    // Both the gradient alone and the sum are rounded.
                    let off = (f64::from(*sum) - expected).abs();
                    let bound = match precision {
                        Precision::F32 => 1e-6 * (1.0 + f64::from(alone.abs())),
                        Precision::Bf16 => half_step(*sum) + half_step(alone) + 1e-4,
                    };
                    assert!(off <= bound, "{sum} is not {expected} at {path:?} for {shape:?}");
                }
            }
        }
    }
}

#[test]
fn lanes_without_an_image_stay_zero() {
    for (kernel, stride) in [(3, 1), (3, 2), (1, 1), (5, 1)] {
        let padding = kernel / 2;
        let shape =
            ConvShape { images: 21, inputs: 16, outputs: 18, height: 9, width: 9, kernel, stride, padding };
        for precision in [Precision::F32, Precision::Bf16] {
            let input = pack(&shape.input(), precision, &vec![1.0; shape.input().images * 16 * 81]);
            let weight = normals("weight", shape.weights());
            let bias = normals("bias", shape.outputs);
            let output = forward(&shape, precision, &input, &weight, Some(&bias));
            let gradient = input_gradient(&shape, precision, &weight, &output, None);
            for (map, sizes) in [(&output, shape.output()), (&gradient, shape.input())] {
                let last = &map[map.len() / 2..];
                assert_eq!(last.len(), sizes.words(precision) / 2);
                for line in last.chunks_exact(crate::map::LANES) {
                    assert_eq!(line[5..], [0; 11], "{shape:?} in {precision:?}");
                }
            }
        }
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    // Summed directly, by tiles, in phases, as windows, and without neighbours.
    for (inputs, outputs, kernel, stride) in
        [(5, 20, 3, 1), (16, 20, 3, 1), (16, 20, 3, 2), (3, 20, 5, 1), (16, 20, 1, 1), (16, 20, 1, 2)]
    {
        let (images, padding) = (37, kernel / 2);
        let shape = ConvShape { images, inputs, outputs, height: 12, width: 10, kernel, stride, padding };
        let (from, to) = (shape.input(), shape.output());
        let input = normals("input", from.values());
        let weight = normals("weight", shape.weights());
        let all = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                [Precision::F32, Precision::Bf16].map(|precision| {
                    let input = pack(&from, precision, &input);
                    let y = forward(&shape, precision, &input, &weight, None);
                    let dx = input_gradient(&shape, precision, &weight, &y, Some(&input));
                    let dw = weight_gradient(&shape, precision, &input, &y);
                    let db = bias_gradient(&shape, precision, &y);
                    let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect();
                    assert_eq!(y.len(), to.words(precision));
                    [y, dx, bits(dw), bits(db)]
                })
            })
        };
        let one = all(1);
        // As coarse and as fine as tasks get.
        assert!(one == all(3) && one == all(64));
    }
}

/// What forward pass and gradients say to a shape and empty operands.
fn refusals(shape: &ConvShape, input: &[u32], weight: &[f32], gradient: &[u32]) -> [String; 4] {
    let precision = Precision::F32;
    [
        refusal(|| forward(shape, precision, input, weight, None)),
        refusal(|| input_gradient(shape, precision, weight, gradient, None)),
        refusal(|| weight_gradient(shape, precision, input, gradient)),
        refusal(|| bias_gradient(shape, precision, gradient)),
    ]
}

#[test]
fn shapes_whose_products_would_wrap_around_are_refused() {
    let half = 1 << (usize::BITS / 2);
    let one =
        ConvShape { images: 1, inputs: 1, outputs: 1, height: 1, width: 1, kernel: 1, stride: 1, padding: 0 };
    for shape in [
        // An output of 2³² by 2³² pixels: counted as none, it would be written behind its end.
        ConvShape { kernel: 2, padding: half / 2, ..one },
        ConvShape { images: 16, outputs: half, kernel: 2, padding: half / 2, ..one },
        // Weights that would be counted as none.
        ConvShape { images: 0, inputs: half, outputs: half, ..one },
        ConvShape { images: 0, inputs: half / 4, kernel: 2, outputs: half, padding: 1, ..one },
        ConvShape { images: half, inputs: half, ..one },
        // Positions that are signed.
        ConvShape { padding: usize::MAX / 2, kernel: usize::MAX / 2, ..one },
        ConvShape { padding: usize::MAX / 2 + 1, ..one },
        ConvShape { stride: usize::MAX / 2, ..one },
    ] {
        for message in refusals(&shape, &[0; 16], &[0.0], &[0; 16]) {
            assert!(message.starts_with("sizes too large to count: "), "{message} for {shape:?}");
        }
    }
}

#[test]
fn shapes_of_no_convolution_are_refused() {
    let shape =
        ConvShape { images: 1, inputs: 2, outputs: 2, height: 4, width: 3, kernel: 3, stride: 1, padding: 0 };
    for (shape, wanted) in [
        (ConvShape { kernel: 4, ..shape }, "no convolution"),
        (ConvShape { kernel: 0, ..shape }, "no convolution"),
        (ConvShape { stride: 0, ..shape }, "no convolution"),
        (ConvShape { inputs: 0, ..shape }, "no map"),
        (ConvShape { outputs: 0, ..shape }, "no map"),
    ] {
        for message in refusals(&shape, &[0; 16], &[0.0], &[0; 16]) {
            assert!(message.contains(wanted), "{message} for {shape:?}");
        }
    }
    let [input, gradient] = [shape.input(), shape.output()].map(|map| vec![0; map.words(Precision::F32)]);
    let weight = vec![0.0; shape.weights()];
    for message in [
        refusal(|| forward(&shape, Precision::F32, &input[1..], &weight, None)),
        refusal(|| forward(&shape, Precision::F32, &input, &weight[1..], None)),
        refusal(|| forward(&shape, Precision::F32, &input, &weight, Some(&[0.0]))),
        refusal(|| input_gradient(&shape, Precision::F32, &weight, &gradient[1..], None)),
        refusal(|| input_gradient(&shape, Precision::F32, &weight, &gradient, Some(&input[1..]))),
        refusal(|| weight_gradient(&shape, Precision::F32, &input[1..], &gradient)),
        refusal(|| bias_gradient(&shape, Precision::F32, &gradient[1..])),
    ] {
        assert!(message.contains("words of a map") || message.contains("values of the"), "{message}");
    }
}

#[test]
fn a_stride_beyond_any_image_meets_the_first_pixel_alone() {
    let shape = ConvShape {
        images: 2,
        inputs: 3,
        outputs: 4,
        height: 5,
        width: 6,
        kernel: 3,
        stride: usize::MAX / 8,
        padding: 1,
    };
    check(&shape);
}
