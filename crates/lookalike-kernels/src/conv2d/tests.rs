//! The kernels against loops in f64 that follow the definition.

use proptest::prelude::*;

use super::*;

/// Calls `visit(output index, input index, weight index)` for every product of the convolution.
pub(super) fn each_product(shape: &Shape, mut visit: impl FnMut(usize, usize, usize)) {
    let Shape { images, inputs, outputs, height, width, kernel, stride, padding } = *shape;
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

/// max |a − b| / max |b|, or, where the largest sum all but cancels, a 64th of the sum of the largest sizes.
pub(super) fn difference(a: &[f32], b: &[f64], sizes: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let least = sizes.iter().fold(1e-30, |largest: f64, size| largest.max(size / 64.0));
    let largest = b.iter().fold(least, |largest: f64, b| largest.max(b.abs()));
    a.iter().zip(b).fold(0.0, |worst: f64, (a, b)| worst.max((f64::from(*a) - b).abs())) / largest
}

pub(super) fn normals(purpose: &str, count: usize) -> Vec<f32> {
    let mut stream = lookalike_base::Seed(7).stream(purpose, 0, 0, 0);
    (0..count).map(|_| stream.normal()).collect()
}

/// The twins of output, input gradient, weight gradient and bias gradient.
pub(super) fn twins(shape: &Shape, [input, weight, gradient]: [&[f32]; 3], bias: &[f32]) -> [Vec<f64>; 4] {
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

fn check(shape: &Shape) {
    let exact = [
        normals("input", shape.images * shape.input().values()),
        normals("weight", shape.outputs * shape.terms()),
        normals("gradient", shape.images * shape.output().values()),
    ];
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
    // … which sums of many products average out, so that they hold a bound beside the largest of many results.
    let averaged = |result: &[f32]| result.len() >= 1024 && products >= 64 * result.len();
    let paths = [Precision::F32, Precision::Bf16]
        .into_iter()
        .flat_map(|precision| Path::all(precision).into_iter().map(move |path| (path, precision)));
    for (path, precision) in paths {
        let results = [
            ("output", forward_at(path, shape, [input, weight], Some(&bias))),
            ("input gradient", input_gradient_at(path, shape, [weight, gradient])),
            ("weight gradient", weight_gradient_at(path, shape, [input, gradient])),
        ];
        let twins = of_exact.iter().zip(&of_rounded).zip(&of_sizes);
        for ((name, result), ((exact, rounded), sizes)) in results.iter().zip(twins) {
            let bounds = match precision {
                Precision::F32 => vec![(exact, 1e-5)],
                Precision::Bf16 if averaged(result) => vec![(rounded, 1e-4), (exact, 5e-3)],
                Precision::Bf16 => vec![(rounded, 1e-4)],
            };
            for (twin, bound) in bounds {
                let difference = difference(result, twin, sizes);
                assert!(difference <= bound, "{name} at {path:?} is off by {difference:e} for {shape:?}");
            }
            for ((result, exact), size) in result.iter().zip(exact).zip(sizes) {
                let off = (f64::from(*result) - exact).abs();
                assert!(
                    off <= 0.00783 * size + 1e-5,
                    "{name} at {path:?} is off by {off:e} of {size} for {shape:?}"
                );
            }
        }
    }
    let difference = difference(&bias_gradient(shape, gradient), &of_exact[3], &of_sizes[3]);
    assert!(difference <= 1e-5, "bias gradient is off by {difference:e} for {shape:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn output_and_gradients_are_those_of_the_definition(
        (images, inputs, outputs) in (0_usize..12, 1_usize..8, 1_usize..20),
        (height, width) in (1_usize..13, 1_usize..13),
        (kernel, stride, padding) in (1_usize..8, 1_usize..4, 0_usize..5),
    ) {
        let shape = Shape { images, inputs, outputs, height, width, kernel, stride, padding };
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
        check(&Shape { images: 9, inputs, outputs, height: side, width: side, kernel, stride, padding });
    }
}

#[test]
fn more_images_than_lanes_are_no_exception() {
    for (images, side, kernel, stride) in
        [(16, 9, 3, 2), (17, 9, 5, 2), (37, 4, 3, 2), (37, 7, 1, 2), (33, 5, 5, 1), (19, 6, 1, 1)]
    {
        let padding = kernel / 2;
        check(&Shape { images, inputs: 6, outputs: 18, height: side, width: side, kernel, stride, padding });
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    // Summed directly, by tiles, in phases, as windows, flat, and flat after thinning.
    for (inputs, outputs, kernel, stride) in
        [(5, 20, 3, 1), (16, 20, 3, 1), (16, 20, 3, 2), (3, 20, 5, 1), (16, 20, 1, 1), (16, 20, 1, 2)]
    {
        let (images, padding) = (37, kernel / 2);
        let shape = Shape { images, inputs, outputs, height: 12, width: 10, kernel, stride, padding };
        let input = normals("input", shape.images * shape.input().values());
        let weight = normals("weight", shape.outputs * shape.terms());
        let all = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                [Precision::F32, Precision::Bf16].map(|precision| {
                    let y = forward(&shape, precision, &input, &weight, None);
                    let dx = input_gradient(&shape, precision, &weight, &y);
                    let dw = weight_gradient(&shape, precision, &input, &y);
                    let db = bias_gradient(&shape, &y);
                    [y, dx, dw, db]
                })
            })
        };
        assert!(all(1) == all(3));
    }
}
