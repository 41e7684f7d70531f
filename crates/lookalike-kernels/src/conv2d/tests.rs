//! The kernels against loops in f64 that follow the definition.

use proptest::prelude::*;

use super::*;

/// Calls `visit(output index, input index, weight index)` for every product of the convolution.
fn each_product(shape: &Shape, mut visit: impl FnMut(usize, usize, usize)) {
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

/// max |a − b| / max |b|
fn difference(a: &[f32], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let largest = b.iter().fold(1e-30, |largest: f64, b| largest.max(b.abs()));
    a.iter().zip(b).fold(0.0, |worst: f64, (a, b)| worst.max((f64::from(*a) - b).abs())) / largest
}

fn levels() -> Vec<Level> {
    let mut levels = vec![Level::Portable, Level::detect()];
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        levels.push(Level::Avx2);
    }
    levels
}

fn normals(purpose: &str, count: usize) -> Vec<f32> {
    let mut stream = lookalike_base::Seed(7).stream(purpose, 0, 0, 0);
    (0..count).map(|_| stream.normal()).collect()
}

fn check(shape: &Shape) {
    let input = normals("input", shape.images * shape.input().values());
    let weight = normals("weight", shape.outputs * shape.terms());
    let gradient = normals("gradient", shape.images * shape.output().values());
    let [mut y, mut dx, mut dw] = [gradient.len(), input.len(), weight.len()].map(|length| vec![0.0; length]);
    each_product(shape, |output, pixel, term| {
        y[output] += f64::from(input[pixel]) * f64::from(weight[term]);
        dx[pixel] += f64::from(gradient[output]) * f64::from(weight[term]);
        dw[term] += f64::from(gradient[output]) * f64::from(input[pixel]);
    });
    for level in levels() {
        let results = [
            ("output", difference(&forward_at(level, shape, &input, &weight), &y)),
            ("input gradient", difference(&input_gradient_at(level, shape, &weight, &gradient), &dx)),
            ("weight gradient", difference(&weight_gradient_at(level, shape, &input, &gradient), &dw)),
        ];
        for (name, difference) in results {
            assert!(difference <= 1e-5, "{name} at {level:?} is off by {difference:e} for {shape:?}");
        }
    }
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
fn the_number_of_threads_changes_no_bit() {
    let shape =
        Shape { images: 37, inputs: 5, outputs: 20, height: 12, width: 10, kernel: 3, stride: 1, padding: 1 };
    let input = normals("input", shape.images * shape.input().values());
    let weight = normals("weight", shape.outputs * shape.terms());
    let all = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let y = forward(&shape, &input, &weight);
            let gradients = [input_gradient(&shape, &weight, &y), weight_gradient(&shape, &input, &y)];
            (y, gradients)
        })
    };
    assert!(all(1) == all(3));
}
