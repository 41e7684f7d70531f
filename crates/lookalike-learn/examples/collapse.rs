//! The two linear models in which dimensional collapse can be watched (Jing et al. 2022, *Understanding Dimensional Collapse in
//! Contrastive Self-supervised Learning*, sections 4 and 5, <https://arxiv.org/abs/2110.09348>).
//!
//! Data x ∈ R¹⁶ are standard normal; a view adds noise of deviation ν to the last eight coordinates. InfoNCE by the distances of
//! embeddings that are not normalised (equation 2), batches of 128, SGD at 0.1.
//!
//! - One layer z = W x: with ν above the data's own deviation, singular values of W vanish (theorem 1).
//! - Two layers z = W₂ W₁ x: they vanish with hardly any noise, by the layers' alignment (theorem 2).
//!
//! `cargo run --release --example collapse -- [STEPS]` prints the embeddings' effective rank and singular values, healthy beside
//! collapsed, in about a minute.

use std::error::Error;
use std::io::Write;

use lookalike_base::{Matrix, Seed};
use lookalike_learn::engine::{self, Device, DeviceName, Tensor, from_host, to_host};
use lookalike_learn::layer::Linear;
use lookalike_learn::loss::Similarities;
use lookalike_learn::loss::info_nce::info_nce;
use lookalike_learn::module::{Module, Pass, Visitor};
use lookalike_learn::train::optimizer::{NamedGradients, accumulate};
use lookalike_learn::train::{Optimizer, OptimizerOptions};
use lookalike_metrics::{Centering, spectrum};

const SEED: Seed = Seed(0);
const DIMENSION: usize = 16;
const BATCH: usize = 128;
const RATE: f64 = 0.1;

/// Linear layers, one after another.
struct Layers(Vec<Linear>);

impl Module for Layers {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        for (index, layer) in self.0.iter_mut().enumerate() {
            visitor.module(&index.to_string(), layer);
        }
    }
}

impl Layers {
    fn forward(&self, input: Tensor<2>, pass: &Pass) -> Tensor<2> {
        self.0.iter().fold(input, |hidden, layer| layer.forward(hidden, pass))
    }
}

/// Two views of a batch.
fn views(step: u64, noise: f32, device: &Device) -> [Tensor<2>; 2] {
    let mut stream = SEED.stream("data", 0, step, 0);
    let data: Vec<f32> = (0..BATCH * DIMENSION).map(|_| stream.normal()).collect();
    [0, 1].map(|view| {
        let mut stream = SEED.stream("noise", 0, step, 1 + view);
        let values = data.iter().enumerate().map(|(index, value)| {
            let noise = if index % DIMENSION < DIMENSION / 2 { 0.0 } else { noise };
            value + noise * stream.normal()
        });
        from_host(values.collect(), [BATCH, DIMENSION], device)
    })
}

/// Trains `depth` layers with noise ν and gives the singular values of the embeddings of fresh data, over √N.
fn train(depth: u64, noise: f32, steps: u64, device: &Device) -> Result<(Vec<f64>, f64), Box<dyn Error>> {
    let layer = |index| Linear::new([DIMENSION; 2], false, &mut SEED.stream("layer", 0, index, 0), device);
    let mut layers = Layers((0..depth).map(layer).collect());
    let options = OptimizerOptions { momentum: 0.0, weight_decay: 0.0, ..OptimizerOptions::default() };
    let mut optimizer = Optimizer::new(options);
    let own: Vec<f32> =
        (0..BATCH * BATCH).map(|cell| f32::from(u8::from(cell / BATCH == cell % BATCH))).collect();
    for step in 0..steps {
        let pass = Pass::training(SEED.stream("dropout", 0, step, 0));
        let [first, second] = views(step, noise, device).map(|view| layers.forward(view, &pass));
        // −‖z − z′‖²/2, section 4, equation 2; the negatives of a view are the same views of the others.
        let square = |rows: Tensor<2>| rows.square().sum_dim(1);
        let lengths = square(first.clone());
        let product = first.clone().matmul(first.clone().transpose());
        let similarities = Similarities {
            positive: square(first - second).mul_scalar(-0.5),
            negatives: product - (lengths.clone() + lengths.transpose()).mul_scalar(0.5),
            excluded: Some(from_host(own.clone(), [BATCH, BATCH], device)),
        };
        let loss = info_nce(&similarities, 1.0).mean();
        let mut gradients = NamedGradients::new();
        accumulate(&mut layers, loss.backward(), &mut gradients);
        optimizer.step(&mut layers, gradients, RATE);
    }
    let mut stream = SEED.stream("test", 0, 0, 0);
    let rows = 4096;
    let data = (0..rows * DIMENSION).map(|_| stream.normal()).collect();
    let embedded = layers.forward(from_host(data, [rows, DIMENSION], device), &Pass::evaluation());
    let embedded = Matrix::new(to_host(embedded), DIMENSION)?;
    let spectrum = spectrum(embedded.rows(), Centering::Centered)?;
    let scaled = spectrum.singular_values.iter().map(|value| value / (rows as f64).sqrt()).collect();
    Ok((scaled, spectrum.effective_rank()?))
}

fn main() -> Result<(), Box<dyn Error>> {
    let steps = std::env::args().nth(1).map_or(Ok(4000), |steps| steps.parse())?;
    let device = engine::open(DeviceName::Cpu)?;
    let mut out = std::io::stdout().lock();
    for (name, depth, noise) in [
        ("one layer, weak noise (0.1)", 1, 0.1),
        ("one layer, noise above the data's own deviation (1.5)", 1, 1.5),
        ("two layers, hardly any noise (0.001)", 2, 0.001),
        ("one layer, hardly any noise (0.001)", 1, 0.001),
    ] {
        let (values, rank) = train(depth, noise, steps, &device)?;
        let values: Vec<String> = values.iter().map(|value| format!("{value:.3}")).collect();
        writeln!(out, "{name}: effective rank {rank:.2} of {DIMENSION}\n  {}", values.join(" "))?;
    }
    Ok(())
}
