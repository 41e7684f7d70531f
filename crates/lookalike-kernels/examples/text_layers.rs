//! Times the layers of a text encoder, `text_layers [threads] [f32|bf16]`, at the sizes of `MiniLM`: width 384, 12 heads,
//! 1536 inside. Texts have about 12, about 22, 128 and 512 tokens, 16,384 tokens together.
//!
//! Prints the median nanoseconds a token, forward and backward, with dropout and without.
#![allow(clippy::print_stdout, reason = "a program for a terminal")]

mod timing;

use lookalike_base::Seed;
use lookalike_kernels::attention::{
    AttentionShape, DistanceBias, DroppedProbabilities, attention, attention_gradient,
};
use lookalike_kernels::dropout::Place;
use lookalike_kernels::embedding::rows_gradient;
use lookalike_kernels::gelu::{bias_gelu, bias_gelu_gradient, column_sums};
use lookalike_kernels::layer_norm::{
    Dropped, LayerNormInput, LayerNormScale, layer_norm, layer_norm_gradient,
};
use lookalike_kernels::map::Precision;
use timing::median_seconds;

/// As in the command.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const TOKENS: usize = 1 << 14;
const WIDTH: usize = 384;
const HEADS: usize = 12;
const INNER: usize = 1536;

fn main() {
    let threads = std::env::args().nth(1).and_then(|threads| threads.parse().ok()).unwrap_or(0);
    let precision = match std::env::args().nth(2).as_deref() {
        Some("bf16") => Precision::Bf16,
        _ => Precision::F32,
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    println!("{:32} {:>12} {:>12}", "ns a token", "output", "gradients");
    match pool {
        Ok(pool) => pool.install(|| {
            rows();
            texts(precision);
        }),
        Err(error) => println!("{error}"),
    }
}

fn numbers(purpose: &str, count: usize) -> Vec<f32> {
    let mut stream = Seed(1).stream(purpose, 0, 0, 0);
    (0..count).map(|_| stream.normal()).collect()
}

fn report(name: &str, output: f64, gradients: f64) {
    let [output, gradients] = [output, gradients].map(|seconds| seconds * 1e9 / TOKENS as f64);
    println!("{name:32} {output:12.1} {gradients:12.1}");
}

/// What is done to each token by itself.
fn rows() {
    let [inner, inner_gradient] = ["inner", "inner gradient"].map(|name| numbers(name, TOKENS * INNER));
    let bias = numbers("bias", INNER);
    let output = median_seconds(|| bias_gelu(&inner, &bias));
    let gradients = median_seconds(|| bias_gelu_gradient(&inner, &bias, &inner_gradient));
    report("bias, GELU", output, gradients);
    report("sums of columns, inner", 0.0, median_seconds(|| column_sums(&inner, INNER)));

    let [values, residual, gradient] =
        ["values", "residual", "gradient"].map(|name| numbers(name, TOKENS * WIDTH));
    let [bias, scale, shift] = ["bias", "scale", "shift"].map(|name| numbers(name, WIDTH));
    let places: Vec<Place> = (0..TOKENS as u64).map(|row| Place { key: row << 20, first: 0 }).collect();
    let scale = LayerNormScale { scale: &scale, shift: Some(&shift), epsilon: 1e-12 };
    for (name, probability) in [("residual, LayerNorm", 0.0), ("dropout, residual, LayerNorm", 0.1)] {
        let input = LayerNormInput {
            values: &values,
            bias: Some(&bias),
            residual: Some(&residual),
            dropout: Some(Dropped { places: &places, probability }),
        };
        let (_, statistics) = layer_norm(&input, &scale);
        let output = median_seconds(|| layer_norm(&input, &scale));
        let gradients = median_seconds(|| layer_norm_gradient(&input, &scale, &statistics, &gradient));
        report(name, output, gradients);
    }
    let mut stream = Seed(1).stream("ids", 0, 0, 0);
    let ids: Vec<u32> =
        (0..TOKENS).map(|row| if row % 12 == 0 { 101 } else { stream.below(30_522) }).collect();
    report("embedding", 0.0, median_seconds(|| rows_gradient(&ids, &gradient, WIDTH)));
}

/// Attention.
fn texts(precision: Precision) {
    let qkv = numbers("qkv", TOKENS * 3 * WIDTH);
    let gradient = numbers("gradient", TOKENS * WIDTH);
    let buckets: Vec<u32> = (0..1023).map(|place: u32| place.abs_diff(511).min(15) * 2).collect();
    let values = numbers("bias", 32 * HEADS);
    let bias = DistanceBias { values: &values, buckets: &buckets };
    for (length, spread) in [(12, 6), (22, 10), (128, 0), (512, 0)] {
        let mut stream = Seed(1).stream("lengths", 0, 0, 0);
        let mut offsets = vec![0];
        let mut end = 0;
        while end < TOKENS {
            end = (end + length - spread + stream.below(2 * spread as u32 + 1) as usize).min(TOKENS);
            offsets.push(end);
        }
        let shape = AttentionShape { offsets: &offsets, heads: HEADS, width: WIDTH, window: None };
        let keys: Vec<u64> = (0..offsets.len() as u64 - 1).map(|text| text << 34).collect();
        let dropout = DroppedProbabilities { keys: &keys, probability: 0.1 };
        for (name, bias, dropout) in
            [("", None, None), (", bias", Some(&bias), None), (", dropout", None, Some(&dropout))]
        {
            let output = median_seconds(|| attention(&shape, precision, &qkv, bias, dropout));
            let gradients =
                median_seconds(|| attention_gradient(&shape, precision, &qkv, bias, dropout, &gradient));
            report(&format!("attention, {length} tokens{name}"), output, gradients);
        }
    }
}
