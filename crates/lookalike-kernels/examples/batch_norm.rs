//! Times batch normalisation in training, `batch_norm [f32|bf16]`, at the sizes of the small encoder and of
//! ResNet-18 for images of 32 px, and of ResNet-50 for 224 px.
//!
//! Prints the median time of output and gradients, with a `ReLU` and with residual and `ReLU`, and the memory
//! they read and write a second, counting each operand and each result once.
#![allow(clippy::print_stdout, reason = "a program for a terminal")]

mod timing;

use lookalike_kernels::batch_norm::maps::{MapNormShape, backward, forward};
use lookalike_kernels::batch_norm::{Affine, Epilogue, EpilogueSaved, StatisticsSource};
use lookalike_kernels::map::{MapShape, Precision, pack};
use timing::median_seconds;

/// As in the command.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let is_bf16 = std::env::args().nth(1).as_deref() == Some("bf16");
    let precision = if is_bf16 { Precision::Bf16 } else { Precision::F32 };
    println!(
        "{:20} {:>10} {:>7} {:>10} {:>7}",
        "images x C x pixels", "output ms", "GB/s", "grad. ms", "GB/s"
    );
    for [images, channels, side] in [
        [256, 16, 32],
        [256, 32, 16],
        [256, 64, 8],
        [64, 64, 32],
        [64, 128, 16],
        [64, 256, 8],
        [64, 512, 4],
        [16, 64, 112],
        [16, 256, 56],
        [16, 512, 28],
        [16, 1024, 14],
        [16, 2048, 7],
    ] {
        let map = MapShape { images, channels, height: side, width: side };
        let shape = MapNormShape { map, groups: 1, precision };
        let numbers = |purpose: &str| {
            let mut stream = lookalike_base::Seed(1).stream(purpose, 0, 0, 0);
            let values: Vec<f32> = (0..images * channels * side * side).map(|_| stream.normal()).collect();
            pack(&map, precision, &values)
        };
        let (input, residual, gradient) = (numbers("input"), numbers("residual"), numbers("gradient"));
        let (scale, shift) = (vec![1.0; channels], vec![0.0; channels]);
        let affine = Affine { scale: &scale, shift: &shift, epsilon: 1e-5 };
        let bytes = 4.0 * input.len() as f64 / 1e9;
        for (name, epilogue) in [("ReLU", Epilogue::Relu), ("residual, ReLU", Epilogue::AddRelu(&residual))] {
            let normal = forward(&shape, &input, &affine, epilogue);
            let (saved, more) = match epilogue {
                Epilogue::AddRelu(_) => (EpilogueSaved::AddRelu(&normal.output), [1.0, 2.0]),
                _ => (EpilogueSaved::Relu, [0.0, 0.0]),
            };
            let statistics = [normal.mean.as_slice(), &normal.variance];
            let output = median_seconds(|| forward(&shape, &input, &affine, epilogue));
            let gradients = median_seconds(|| {
                backward(&shape, &input, &affine, StatisticsSource::Batch(statistics), &gradient, saved)
            });
            println!(
                "{:20} {:10.3} {:7.1} {:10.3} {:7.1}  {name}",
                format!("{images} x {channels} x {side}^2"),
                output * 1e3,
                (2.0 + more[0]) * bytes / output,
                gradients * 1e3,
                (3.0 + more[1]) * bytes / gradients,
            );
        }
    }
}
