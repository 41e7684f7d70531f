//! Times every convolution of three networks:
//! `convolution [small|resnet18|resnet50] [f32|bf16] [substring of a layer] [output|dx|dw]`.
//!
//! Prints, for the output and for both gradients, the median time and arithmetic speed of a call, and at the
//! end what one training step spends in convolutions. The layers are those of
//! `benchmarks/convolution/layers.tsv`.
#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a program for a terminal, on a file of this repository"
)]

mod timing;

use lookalike_kernels::conv2d::{ConvShape, forward, input_gradient, weight_gradient};
use lookalike_kernels::map::{MapShape, Precision, pack};
use timing::median_seconds;

/// As in the command.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const LAYERS: &str = include_str!("../../../benchmarks/convolution/layers.tsv");

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let word = |index: usize| words.get(index).map_or("", String::as_str);
    let precision = if word(1) == "bf16" { Precision::Bf16 } else { Precision::F32 };
    println!("matrix product of 2048 x 2048 x 2048 in f32: {:.0} GFLOP/s", gemm_speed());
    println!(
        "{:24} {:>5}  {:>9} {:>7}  {:>9} {:>7}  {:>9} {:>7}",
        "layer", "count", "output ms", "GFLOP/s", "dx ms", "GFLOP/s", "dw ms", "GFLOP/s"
    );
    let mut step = [0.0; 3];
    for line in LAYERS.lines().skip(1).filter(|line| line.starts_with(word(0))) {
        let sizes: Vec<usize> =
            line.split('\t').skip(1).map(|size| size.parse().expect("a table of numbers")).collect();
        let [images, inputs, outputs, side, kernel, stride, count] = sizes[..] else { continue };
        let name = format!("{inputs}-{outputs} @{side} {kernel}x{kernel}/{stride}");
        if !name.contains(word(2)) {
            continue;
        }
        let shape = ConvShape {
            images,
            inputs,
            outputs,
            height: side,
            width: side,
            kernel,
            stride,
            padding: kernel / 2,
        };
        let times = time_layer(&shape, precision, word(3));
        let places = shape.output_height() * shape.output_width();
        let work = 2.0 * (images * outputs * inputs * kernel * kernel * places) as f64;
        print!("{name:24} {count:5}");
        for (index, seconds) in times.into_iter().enumerate() {
            // The images' gradient is never asked for.
            let needed = inputs != 3 || index != 1;
            step[index] += if needed { seconds * count as f64 } else { 0.0 };
            print!("  {:9.3} {:7.1}", seconds * 1e3, work / seconds / 1e9);
        }
        println!();
    }
    println!(
        "a step: output {:.1} ms, dx {:.1} ms, dw {:.1} ms, together {:.1} ms",
        step[0] * 1e3,
        step[1] * 1e3,
        step[2] * 1e3,
        step.iter().sum::<f64>() * 1e3
    );
}

/// Seconds of output, input gradient and weight gradient, or of the one that is named.
fn time_layer(shape: &ConvShape, precision: Precision, only: &str) -> [f64; 3] {
    let ConvShape { inputs, outputs, kernel, .. } = *shape;
    let numbers = |count: usize| -> Vec<f32> {
        let mut stream = lookalike_base::Seed(1).stream("numbers", 0, 0, 0);
        (0..count).map(|_| stream.normal()).collect()
    };
    let map = |shape: MapShape| pack(&shape, precision, &numbers(shape.values()));
    let (input, gradient) = (map(shape.input()), map(shape.output()));
    let weight = numbers(outputs * inputs * kernel * kernel);
    let time = |name: &str, work: &dyn Fn()| {
        if only.is_empty() || only == name { median_seconds(work) } else { f64::NAN }
    };
    [
        time("output", &|| drop(forward(shape, precision, &input, &weight, None))),
        time("dx", &|| drop(input_gradient(shape, precision, &weight, &gradient, None))),
        time("dw", &|| drop(weight_gradient(shape, precision, &input, &gradient))),
    ]
}

fn gemm_speed() -> f64 {
    const SIDE: usize = 2048;
    let (a, b) = (vec![1.0_f32; SIDE * SIDE], vec![1.0_f32; SIDE * SIDE]);
    let seconds = median_seconds(|| matrix_product(SIDE, &a, &b));
    2.0 * (SIDE * SIDE * SIDE) as f64 / seconds / 1e9
}

#[allow(unsafe_code, reason = "the crate of the matrix product works on pointers")]
fn matrix_product(side: usize, a: &[f32], b: &[f32]) -> Vec<f32> {
    let mut c = vec![0.0; side * side];
    let stride = side as isize;
    // SAFETY: three matrices of side by side values, none of which overlap.
    unsafe {
        gemm::gemm(
            side,
            side,
            side,
            c.as_mut_ptr(),
            1,
            stride,
            false,
            a.as_ptr(),
            1,
            stride,
            b.as_ptr(),
            1,
            stride,
            0.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::Rayon(0),
        );
    }
    c
}
