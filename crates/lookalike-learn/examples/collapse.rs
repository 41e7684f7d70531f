//! The two linear models in which dimensional collapse can be watched (Jing et al. 2022, *Understanding Dimensional Collapse in
//! Contrastive Self-supervised Learning*, sections 4 and 5, <https://arxiv.org/abs/2110.09348>).
//!
//! Settings are those of the published program (`toy_task`): 10,000 standard normal x ∈ R¹⁶, batches of 128, InfoNCE by inner products
//! that are not normalised at temperature 0.1, the keys of the other views as negatives, 10,000 steps of SGD without momentum or
//! decay. (The text's equation 2 has −‖z − z′‖²/2 instead of inner products.)
//!
//! - One layer z = W x + b, rate 0.001, a view adding noise of deviation ν to the last eight coordinates: with ν above the data's own
//!   deviation, singular values of W vanish (theorem 1).
//! - Two layers z = W₂ W₁ x that begin with singular values exp(−0.35 i), rate 0.01, noise of 0.001 on all coordinates: small
//!   singular values fall behind by the layers' alignment, with hardly any noise (theorem 2).
//!
//! `cargo run --release --example collapse -- [STEPS]` prints the embeddings' effective rank and the spectrum of their covariance,
//! healthy beside collapsed. Measured once, two busy cores, 2026-11-24: 32 s; effective rank 15.96 and 12.60 of 16 (weak and strong
//! noise; the eight noisy values at most 0.011, the others above 0.13), 12.02 with two layers (four values below 5e-6), 15.96 with one.

use std::error::Error;
use std::io::Write;

use lookalike_base::arrays::Array;
use lookalike_base::{Matrix, Seed, Stream};
use lookalike_learn::LearnError;
use lookalike_learn::engine::{self, Device, DeviceName, Tensor, from_host, to_host};
use lookalike_learn::layer::Linear;
use lookalike_learn::loss::Similarities;
use lookalike_learn::loss::nt_xent::{info_nce, own_row};
use lookalike_learn::module::{Module, Pass, Visitor, load_arrays};
use lookalike_learn::step::Step;
use lookalike_learn::train::optimizer::{NamedGradients, accumulate};
use lookalike_learn::train::{Optimizer, OptimizerOptions};
use lookalike_metrics::{Centering, spectrum};

const SEED: Seed = Seed(0);
const INSTANCES: u32 = 10_000;
const DIMENSION: usize = 16;
const BATCH: usize = 128;
const TEMPERATURE: f32 = 0.1;

/// One of the models, and how it is trained.
struct Model {
    name: &'static str,
    /// Linear layers, the first of which has a bias where it is the only one.
    depth: u64,
    /// Deviation of the noise that makes a view.
    noise: f32,
    /// Coordinates that it is added to, the last ones.
    noisy: usize,
    rate: f64,
}

const MODELS: [Model; 4] = [
    Model { name: "one layer, weak noise (0.01)", depth: 1, noise: 0.01, noisy: 8, rate: 0.001 },
    Model { name: "one layer, noise above the data's (1.5)", depth: 1, noise: 1.5, noisy: 8, rate: 0.001 },
    Model { name: "two layers, hardly any noise (0.001)", depth: 2, noise: 0.001, noisy: 16, rate: 0.01 },
    Model { name: "one layer, hardly any noise (0.001)", depth: 1, noise: 0.001, noisy: 16, rate: 0.01 },
];

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
    fn new(depth: u64, device: &Device) -> Result<Self, LearnError> {
        let layer =
            |index| Linear::new([DIMENSION; 2], depth == 1, &mut SEED.stream("layer", 0, index, 0), device);
        let mut layers = Self((0..depth).map(layer).collect());
        if depth > 1 {
            let weight = |index| (format!("{index}.weight"), Array::f32([DIMENSION; 2], decaying(index)));
            load_arrays(&mut layers, &(0..depth).map(weight).collect(), "", device)?;
        }
        Ok(layers)
    }

    fn forward(&self, input: Tensor<2>, pass: &Pass) -> Tensor<2> {
        self.0.iter().fold(input, |hidden, layer| layer.forward(hidden, pass))
    }
}

/// A matrix with singular values exp(−0.35 i) and random singular vectors.
fn decaying(index: u64) -> Vec<f32> {
    let [left, right] = [0, 1].map(|side| orthogonal(&mut SEED.stream("singular vectors", 0, index, side)));
    let entry = |(row, column): (usize, usize)| {
        let terms = (0..DIMENSION).map(|i| left[i][row] * (-0.35 * i as f32).exp() * right[i][column]);
        terms.sum()
    };
    (0..DIMENSION).flat_map(|row| (0..DIMENSION).map(move |column| (row, column))).map(entry).collect()
}

/// Orthonormal vectors, by Gram and Schmidt from normal ones.
fn orthogonal(stream: &mut Stream) -> Vec<Vec<f32>> {
    let mut basis: Vec<Vec<f32>> = Vec::new();
    while basis.len() < DIMENSION {
        let mut vector: Vec<f32> = (0..DIMENSION).map(|_| stream.normal()).collect();
        for other in &basis {
            let along: f32 = vector.iter().zip(other).map(|(a, b)| a * b).sum();
            vector.iter_mut().zip(other).for_each(|(value, other)| *value -= along * other);
        }
        let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
        basis.push(vector.into_iter().map(|value| value / length).collect());
    }
    basis
}

/// Normal numbers, a row of so many an instance.
fn data(purpose: &'static str, instances: u32) -> Vec<f32> {
    let mut stream = SEED.stream(purpose, 0, 0, 0);
    (0..instances as usize * DIMENSION).map(|_| stream.normal()).collect()
}

/// Two views of a batch.
fn views(data: &[f32], step: u64, model: &Model, device: &Device) -> [Tensor<2>; 2] {
    let batch = SEED.stream("batch", 0, step, 0).permutation(INSTANCES);
    [0, 1].map(|view| {
        let mut stream = SEED.stream("noise", 0, step, view);
        let rows = batch[..BATCH].iter().map(|row| &data[*row as usize * DIMENSION..][..DIMENSION]);
        let values = rows.flatten().enumerate().map(|(index, value)| {
            let noise = if index % DIMENSION < DIMENSION - model.noisy { 0.0 } else { model.noise };
            value + noise * stream.normal()
        });
        from_host(values.collect(), [BATCH, DIMENSION], device)
    })
}

/// Trains a model; the eigenvalues of the covariance of the embeddings of fresh data, and their effective rank.
fn train(model: &Model, steps: u64, device: &Device) -> Result<(Vec<f64>, f64), Box<dyn Error>> {
    let mut layers = Layers::new(model.depth, device)?;
    let options = OptimizerOptions { momentum: 0.0, weight_decay: 0.0, ..OptimizerOptions::default() };
    let mut optimizer = Optimizer::new(options);
    let data = self::data("data", INSTANCES);
    for step in 0..steps {
        let pass = Pass::training(&Step::default());
        let [query, key] = views(&data, step, model, device).map(|view| layers.forward(view, &pass));
        let similarities = Similarities {
            positive: (query.clone() * key.clone()).sum_dim(1),
            negatives: query.matmul(key.transpose()),
            mask: own_row(BATCH),
        };
        let loss = info_nce(&similarities, TEMPERATURE).mean();
        let mut gradients = NamedGradients::new();
        accumulate(&mut layers, loss.backward(), &mut gradients);
        optimizer.step(&mut layers, gradients, model.rate);
    }
    let rows = 1000;
    let test = from_host(self::data("test", rows), [rows as usize, DIMENSION], device);
    let embedded = Matrix::new(to_host(layers.forward(test, &Pass::evaluation())), DIMENSION)?;
    let spectrum = spectrum(embedded.rows(), Centering::Centered)?;
    let eigenvalues =
        spectrum.singular_values.iter().map(|value| value * value / f64::from(rows - 1)).collect();
    Ok((eigenvalues, spectrum.effective_rank()?))
}

fn main() -> Result<(), Box<dyn Error>> {
    let steps = std::env::args().nth(1).map_or(Ok(10_000), |steps| steps.parse())?;
    let device = engine::open(DeviceName::Cpu)?;
    let mut out = std::io::stdout().lock();
    for model in &MODELS {
        let (values, rank) = train(model, steps, &device)?;
        let values: Vec<String> = values.iter().map(|value| format!("{value:.1e}")).collect();
        writeln!(out, "{}: effective rank {rank:.2} of {DIMENSION}\n  {}", model.name, values.join(" "))?;
    }
    Ok(())
}
