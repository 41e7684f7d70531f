//! Every method beside PyTorch over 20 steps (`fixtures/make_contrast.py` made the numbers), and claim by claim.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a helper of tests fails the test")]

#[path = "../common/mod.rs"]
mod common;

mod end_to_end;
mod memory_bank;
mod moco;
mod momentum_encoder;
mod resume;
mod shuffling;
mod simclr;
mod supervised;

use std::sync::Arc;

use common::{COLUMNS, SEED, cpu, fixture, numbers, relative, training, values};
use lookalike_base::Matrix;
use lookalike_base::arrays::{Array, Arrays};
use lookalike_base::tensors::{self, TensorFile};
use lookalike_data::{ViewBatch, Views};
use lookalike_learn::encoder::mlp::Mlp;
use lookalike_learn::engine::{from_host, to_host};
use lookalike_learn::head::{Head, HeadNorm, Projection, ProjectionOptions};
use lookalike_learn::loss::{Loss, normalize};
use lookalike_learn::method::instance_discrimination::{BankObjective, Noise};
use lookalike_learn::method::moco::MocoOptions;
use lookalike_learn::method::{Method, Moco, Network, Position};
use lookalike_learn::module::arrays_of;
use lookalike_learn::negatives::{ContrastiveLoss, MemoryBank, Queue};
use lookalike_learn::train::momentum_encoder::{Momentum, MomentumShape};
use lookalike_learn::train::optimizer::{NamedGradients, accumulate};
use lookalike_learn::train::{Optimizer, OptimizerOptions};

const BATCH: u32 = 6;
const INSTANCES: u32 = 16;
const QUEUE: usize = 20;
const STEPS: u64 = 20;
const LOSS: Loss = Loss::InfoNce { temperature: 0.2 };

fn contrast() -> ContrastiveLoss {
    ContrastiveLoss::plain(LOSS)
}

fn encoder() -> Mlp {
    Mlp::new(&[COLUMNS, 32, 16], 0.0, &mut SEED.stream("encoder", 0, 0, 0), &cpu())
}

fn head(inputs: usize, width: usize) -> Projection {
    let options = ProjectionOptions { layers: 2, width, dimension: 8, batch_norm: HeadNorm::Hidden };
    Projection::new(inputs, &options, &mut SEED.stream("projection", 0, 0, 0), &cpu())
}

fn network() -> Network<Mlp> {
    Network { encoder: encoder(), head: Head::Projection(head(16, 16)) }
}

fn queue() -> Queue {
    let mut queue = Queue::new(QUEUE, 8, &mut SEED.stream("queue", 0, 0, 0), &cpu());
    let keys = to_host(normalize(from_host(numbers(QUEUE * 8, 2000), [QUEUE, 8], &cpu())));
    let mut arrays = queue.arrays();
    arrays.insert("queue.keys".to_owned(), Array::f32([QUEUE, 8], keys));
    queue.restore(&arrays, &cpu()).unwrap();
    queue
}

fn moco_options() -> MocoOptions {
    let momentum = Momentum { base: 0.9, shape: MomentumShape::Constant };
    MocoOptions { momentum, symmetric: true, groups: 2, shuffle: false, exclude_own: true }
}

fn moco() -> Moco<Mlp> {
    Moco::new(network(), Some(queue()), contrast(), moco_options())
}

fn bank(size: usize) -> MemoryBank {
    let mut bank = MemoryBank::new([size, 8], 0.5, &mut SEED.stream("bank", 0, 0, 0), &cpu());
    let vectors = to_host(normalize(from_host(numbers(size * 8, 2001), [size, 8], &cpu())));
    bank.restore(&Arrays::from([("bank.vectors".to_owned(), Array::f32([size, 8], vectors))]), &cpu())
        .unwrap();
    bank
}

fn noise(drawn: usize, labels: Option<Arc<Vec<u32>>>) -> BankObjective {
    BankObjective::Noise(Noise { temperature: 0.2, drawn, labels })
}

/// The batch of step `step`: two views of six instances, as the script draws them.
fn batch(step: u64) -> ViewBatch<Matrix> {
    let instances = (0..BATCH).map(|index| (BATCH * step as u32 + index) % INSTANCES).collect();
    let key = 1000 + 2 * step as u32;
    let view = |key| numbers(BATCH as usize * COLUMNS, key);
    let values = [view(key), view(key + 1)].concat();
    ViewBatch { instances, views: Views::Stacked(Matrix::new(values, COLUMNS).unwrap()) }
}

fn position(step: u64) -> Position {
    Position { seed: SEED, batch: step, step, steps: STEPS, moved: true, diagnostics: false }
}

/// One step by SGD, as the trainer makes it; returns the loss.
fn step<M: Method<Batch = ViewBatch<Matrix>>>(method: &mut M, optimizer: &mut Optimizer, step: u64) -> f32 {
    method.before_step(&position(step));
    let outputs = method.encode(&batch(step), &mut training());
    let loss = method.loss(&outputs).total().unwrap();
    let mut gradients = NamedGradients::new();
    accumulate(method, loss.clone().backward(), &mut gradients);
    optimizer.step(method, gradients, 0.02);
    method.after_step(&outputs);
    loss.inner().into_scalar()
}

fn sgd() -> Optimizer {
    Optimizer::new(OptimizerOptions { momentum: 0.9, weight_decay: 0.0, ..OptimizerOptions::default() })
}

fn is_close(what: &str, ours: &[f32], theirs: &[f32]) {
    let error = relative(ours, theirs);
    assert!(error <= 1e-5, "{what}: {error:e}");
}

/// Twenty steps from the weights that the script starts from: losses and weights are PyTorch's.
fn follow_pytorch<M: Method<Batch = ViewBatch<Matrix>>>(name: &str, method: &mut M) -> TensorFile {
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
