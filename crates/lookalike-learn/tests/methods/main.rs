//! Every method beside PyTorch over 20 steps (`fixtures/make_contrast.py` made the numbers), and claim by claim.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of tests fails the test")]

#[path = "../common/mod.rs"]
mod common;

mod contrastive_clustering;
mod end_to_end;
mod memory_bank;
mod moco;
mod momentum_encoder;
mod ranks;
mod resume;
mod shuffling;
mod simclr;
mod supervised;

use std::path::Path;
use std::sync::Arc;

use common::{COLUMNS, Mlp, SEED, cpu, fixture, numbers, relative, training, values, vectors};
use lookalike_base::arrays::{Array, Arrays};
use lookalike_base::tensors::{self, TensorFile};
use lookalike_learn::encoder::Encoder;
use lookalike_learn::engine::{Device, Tensor, from_host, to_host};
use lookalike_learn::head::{HeadNorm, Projection, ProjectionOptions};
use lookalike_learn::input::Batch;
use lookalike_learn::loss::noise_contrastive::NoiseOptions;
use lookalike_learn::loss::{InfoNce, normalize};
use lookalike_learn::method::instance_discrimination::BankObjective;
use lookalike_learn::method::moco::{Dictionary, MocoOptions};
use lookalike_learn::method::momentum_encoder::MomentumShape;
use lookalike_learn::method::{Building, Method, MethodEntry, Moco, Network, Outputs};
use lookalike_learn::module::arrays_of;
use lookalike_learn::negatives::{Contrast, MemoryBank, Observer, Queue, Unobserved};
use lookalike_learn::options::Settings;
use lookalike_learn::recipe::Recipe;
use lookalike_learn::step::Step;
use lookalike_learn::train::optimizer::{NamedGradients, accumulate};
use lookalike_learn::train::{Optimizer, OptimizerOptions};
use lookalike_learn::{LearnError, Registry};

const BATCH: u32 = 6;
const INSTANCES: u32 = 16;
const QUEUE: usize = 20;
const STEPS: u64 = 20;
const LOSS: InfoNce = InfoNce { temperature: 0.2 };

fn contrast() -> Contrast {
    Contrast::plain(LOSS)
}

fn encoder() -> Mlp {
    Mlp::new(&[COLUMNS, 32, 16], 0.0, &mut SEED.stream("encoder", 0, 0, 0), &cpu())
}

fn head(inputs: usize, width: usize) -> Projection {
    let options = ProjectionOptions { layers: 2, width, dimension: 8, batch_norm: HeadNorm::Hidden };
    Projection::new(inputs, &options, &mut SEED.stream("projection", 0, 0, 0), &cpu())
}

fn network() -> Network {
    Network::new(Box::new(encoder()), head(16, 16))
}

fn queue() -> Queue {
    let mut queue = Queue::new(QUEUE, 8, &mut SEED.stream("queue", 0, 0, 0), &cpu());
    let keys = to_host(normalize(from_host(numbers(QUEUE * 8, 2000), [QUEUE, 8], &cpu())));
    let mut arrays = queue.arrays();
    arrays.insert("queue.keys".to_owned(), Array::f32([QUEUE, 8], keys));
    queue.restore(&arrays, &cpu()).unwrap();
    queue
}

fn dictionary(exclude_own: bool) -> Dictionary {
    Dictionary { queue: queue(), exclude_own }
}

fn moco_options() -> MocoOptions {
    MocoOptions {
        momentum: 0.9,
        momentum_schedule: MomentumShape::Constant,
        symmetric: true,
        batch_norm_groups: 2,
        shuffle: false,
        ..MocoOptions::default()
    }
}

fn moco() -> Moco {
    Moco::new(network(), Some(dictionary(true)), contrast(), moco_options())
}

fn bank(size: usize) -> MemoryBank {
    let mut bank = MemoryBank::new([size, 8], 0.5, &mut SEED.stream("bank", 0, 0, 0), &cpu());
    let vectors = to_host(normalize(from_host(numbers(size * 8, 2001), [size, 8], &cpu())));
    bank.restore(&Arrays::from([("bank.vectors".to_owned(), Array::f32([size, 8], vectors))]), &cpu())
        .unwrap();
    bank
}

fn noise(drawn: usize) -> BankObjective {
    BankObjective::Noise(NoiseOptions { temperature: 0.2, noise: drawn })
}

/// The batch of step `step`: two views of six instances, as the script draws them.
fn batch(step: u64) -> Batch {
    let instances = (0..BATCH).map(|index| (BATCH * step as u32 + index) % INSTANCES).collect();
    let key = 1000 + 2 * step as u32;
    let view = |key| vectors(numbers(BATCH as usize * COLUMNS, key), COLUMNS);
    Batch::of_views(instances, vec![view(key), view(key + 1)])
}

/// The same instances with their rows in the order of `rows`.
fn reordered(batch: &Batch, rows: &[u32]) -> Batch {
    let instances = rows.iter().map(|row| batch.instances[*row as usize]).collect();
    Batch { instances, columns: batch.columns.iter().map(|column| column.select(rows)).collect() }
}

/// Where a run of [`STEPS`] steps stands.
fn at(step: u64) -> Step {
    Step { seed: SEED, step, steps: STEPS, batch: step, ..Step::default() }
}

fn encode(method: &mut dyn Method, batch: &Batch, step: &Step) -> Outputs {
    method.encode(batch, step, &mut training()).unwrap()
}

/// The loss of outputs, which are those of all processes.
fn loss(method: &mut dyn Method, outputs: &Outputs, step: &Step, observer: &mut dyn Observer) -> Tensor<1> {
    method.loss(outputs, step, observer).unwrap().total().unwrap()
}

/// One step by SGD, as the trainer makes it; returns the loss.
fn step(method: &mut dyn Method, optimizer: &mut Optimizer, step: u64) -> f32 {
    let at = at(step);
    method.before_step(&at);
    let outputs = encode(method, &batch(step), &at);
    let loss = loss(method, &outputs, &at, &mut Unobserved);
    let mut gradients = NamedGradients::new();
    accumulate(method, loss.clone().backward(), &mut gradients);
    optimizer.step(method, gradients, 0.02);
    method.after_step(&outputs, &at);
    loss.inner().into_scalar()
}

/// What a recipe says.
fn settings(text: &str) -> Settings {
    Recipe::parse(text, Path::new("test.toml"), &[], &Registry::standard()).unwrap().settings().clone()
}

/// What `entry` makes of a recipe on vectors.
fn build(
    entry: &MethodEntry,
    settings: &Settings,
    labels: Option<Vec<u32>>,
) -> Result<Box<dyn Method>, LearnError> {
    let device: Device = cpu();
    (entry.build)(&Building {
        shape: None,
        classes: 0,
        settings,
        encoder: &|_| Ok(Box::new(encoder()) as Box<dyn Encoder>),
        weights: None,
        loss: Some(Arc::new(LOSS)),
        instances: INSTANCES as usize,
        labels: labels.map(Arc::new),
        known: None,
        relevance: None,
        inputs: COLUMNS,
        seed: SEED,
        device: &device,
    })
}

fn sgd() -> Optimizer {
    Optimizer::new(OptimizerOptions { momentum: 0.9, weight_decay: 0.0, ..OptimizerOptions::default() })
}

fn is_close(what: &str, ours: &[f32], theirs: &[f32]) {
    let error = relative(ours, theirs);
    assert!(error <= 1e-5, "{what}: {error:e}");
}

/// Twenty steps from the weights that the script starts from: losses and weights are PyTorch's.
fn follow_pytorch(name: &str, method: &mut dyn Method) -> TensorFile {
    let file = tensors::read(fixture("methods.safetensors")).unwrap();
    let mut optimizer = sgd();
    for index in 0..STEPS {
        let loss = step(method, &mut optimizer, index);
        is_close(&format!("{name}, loss {index}"), &[loss], values(&file, &format!("{name}.loss.{index}")));
    }
    for (tensor, array) in arrays_of(method) {
        let theirs = values(&file, &format!("{name}.model.{tensor}"));
        is_close(&format!("{name}, {tensor}"), array.as_f32().unwrap(), theirs);
    }
    file
}

fn keys_are_pytorchs(name: &str, state: &Arrays, file: &TensorFile) {
    let keys: Vec<_> = state.iter().filter(|(tensor, _)| tensor.starts_with("key.")).collect();
    assert_eq!(keys.len(), 11);
    for (tensor, array) in keys {
        is_close(
            &format!("{name}, {tensor}"),
            array.as_f32().unwrap(),
            values(file, &format!("{name}.{tensor}")),
        );
    }
}
