//! Accumulated gradients are the mean of those of the micro-batches, each with its own negatives.

use std::sync::Arc;

use lookalike_base::progress::Cancellation;
use lookalike_data::{BatchRequest, BatchSource};
use lookalike_learn::engine::to_host;
use lookalike_learn::method::Method;
use lookalike_learn::module::{Pass, arrays_of};
use lookalike_learn::negatives::Unobserved;
use lookalike_learn::step::Step;
use lookalike_learn::train::optimizer::{NamedGradients, accumulate};
use lookalike_learn::train::{Drops, OptimizerKind, OptimizerOptions, Schedule, Shape, TrainOptions};
use lookalike_sampling::{Coverage, Sampler, SamplerKind};

use crate::common::{NoisyViews, SEED, options, perceptron, points, sampler, series, train};

const INSTANCES: usize = 48;

/// The gradient of one batch at the initial weights, and its loss.
fn gradient(request: &BatchRequest, source: &NoisyViews) -> (NamedGradients, f64) {
    let mut method = perceptron(0.1);
    let batch = source.batch(request).unwrap();
    let step = Step { seed: SEED, epoch: request.epoch, batch: request.step, ..Step::default() };
    let outputs = method.encode(&batch, &step, &mut Pass::training(&step)).unwrap();
    let loss = method.loss(&outputs, &step, &mut Unobserved).unwrap().total().unwrap();
    let value = f64::from(to_host(loss.clone())[0]);
    let mut gradients = NamedGradients::new();
    accumulate(&mut method, loss.backward(), &mut gradients);
    (gradients, value)
}

#[test]
fn a_step_of_three_batches_follows_the_mean_of_their_gradients() {
    let folder = tempfile::tempdir().unwrap();
    let source = Arc::new(NoisyViews(points(INSTANCES, 4, 3).values));
    let plan = sampler(SamplerKind::Uniform, Coverage::Cover, 8);
    // Plain descent at rate 1: the step is the gradient.
    let optimizer = OptimizerOptions {
        kind: OptimizerKind::Sgd,
        learning_rate: 1.0,
        momentum: 0.0,
        weight_decay: 0.0,
        ..OptimizerOptions::default()
    };
    let schedule = Schedule {
        base: 1.0,
        begins: 0,
        warmup: 0,
        total: 1,
        shape: Shape::Constant,
        drops: Drops::default(),
    };
    let set = TrainOptions {
        optimizer,
        schedule,
        accumulate: 3,
        ..options(folder.path(), INSTANCES, plan.clone(), 1)
    };
    let (mut trainer, ..) = train(perceptron(0.1), source.clone(), set, &Cancellation::new()).unwrap();
    assert_eq!((trainer.step(), trainer.sampler().steps()), (1, 3));

    let segment = Sampler::new(INSTANCES, plan, SEED).unwrap().0.next_segment().unwrap();
    let requests = segment.batches.into_iter().take(3).zip(0..);
    let by_hand: Vec<(NamedGradients, f64)> = requests
        .map(|(instances, step)| gradient(&BatchRequest { instances, epoch: 0, step }, &source))
        .collect();

    let (before, after) = (arrays_of(&mut perceptron(0.1)), arrays_of(&mut trainer.method));
    let mut compared = 0;
    for name in by_hand[0].0.keys() {
        let [before, after] = [&before, &after].map(|arrays| arrays[name].as_f32().unwrap());
        let gradients: Vec<Vec<f32>> =
            by_hand.iter().map(|(gradients, _)| to_host(gradients[name].clone())).collect();
        for index in 0..before.len() {
            let mean = gradients.iter().map(|gradient| gradient[index]).sum::<f32>() / 3.0;
            let moved = before[index] - after[index];
            assert!((moved - mean).abs() < 1e-6, "{name}[{index}] moved by {moved}, not {mean}");
            compared += usize::from(mean.abs() > 1e-4);
        }
    }
    assert!(compared > 100, "only {compared} gradients are not 0");
    let mean = by_hand.iter().map(|(_, loss)| loss).sum::<f64>() / 3.0;
    assert!((series(folder.path(), "step", "loss")[0] - mean).abs() < 1e-6);
}
