//! Gradients that are clipped: the length of all of them together, after accumulation, and what the events say of it.

use std::sync::Arc;

use lookalike_base::progress::Cancellation;
use lookalike_learn::module::arrays_of;
use lookalike_learn::train::{OptimizerKind, OptimizerOptions, TrainOptions};
use lookalike_sampling::{Coverage, SamplerKind};

use crate::common::{NoisyViews, events, options, perceptron, points, sampler, series, train};

const INSTANCES: usize = 48;

/// Trains by plain descent at rate 1, so that a step is its gradient. Gives how far the weights moved, and the lengths in the events.
fn run(clip: Option<f64>, accumulate: u64, steps: u64) -> (f64, Vec<f64>) {
    let folder = tempfile::tempdir().unwrap();
    let optimizer = OptimizerOptions {
        kind: OptimizerKind::Sgd,
        learning_rate: 1.0,
        momentum: 0.0,
        weight_decay: 0.0,
        clip,
        ..OptimizerOptions::default()
    };
    let plan = sampler(SamplerKind::Uniform, Coverage::Cover, 8);
    let mut set = TrainOptions { optimizer, accumulate, ..options(folder.path(), INSTANCES, plan, steps) };
    set.schedule.base = 1.0;
    set.schedule.warmup = 0;
    set.log_every = steps;
    let source = Arc::new(NoisyViews(points(INSTANCES, 4, 3).values));
    let before = arrays_of(&mut perceptron(0.1));
    let (mut trainer, ..) = train(perceptron(0.1), source, set, &Cancellation::new()).unwrap();
    let mut moved = 0.0;
    for (name, after) in arrays_of(&mut trainer.method) {
        let pairs = after.as_f32().unwrap().iter().zip(before[&name].as_f32().unwrap());
        if !name.contains("running") {
            moved += pairs.map(|(after, before)| f64::from(after - before).powi(2)).sum::<f64>();
        }
    }
    let told = events(folder.path());
    let told = told.iter().filter(|event| event["kind"] == "step");
    assert_eq!(told.clone().count(), 1);
    assert!(clip.is_some() || told.clone().all(|event| event.get("gradient_norm").is_none()));
    let norms = if clip.is_some() { series(folder.path(), "step", "gradient_norm") } else { Vec::new() };
    (moved.sqrt(), norms)
}

#[test]
fn a_step_is_as_long_as_its_gradient_or_as_the_clip_where_that_is_shorter() {
    for accumulate in [1, 3] {
        let (whole, _) = run(None, accumulate, 1);
        let (clipped, norms) = run(Some(whole / 4.0), accumulate, 1);
        assert!((clipped / (whole / 4.0) - 1.0).abs() < 1e-5, "{accumulate}: {clipped} of {whole}");
        assert!((norms[0] / whole - 1.0).abs() < 1e-6, "{accumulate}: {norms:?} is not {whole}");
        let (unclipped, norms) = run(Some(4.0 * whole), accumulate, 1);
        assert!((unclipped / whole - 1.0).abs() < 1e-6 && (norms[0] / whole - 1.0).abs() < 1e-6);
    }
}

#[test]
fn an_event_has_the_mean_length_of_the_steps_since_the_one_before() {
    let most = 1e-3;
    let (_, norms) = run(Some(most), 1, 4);
    let (_, first) = run(Some(most), 1, 1);
    // Steps of a thousandth leave the lengths nearly as they are.
    assert!(
        norms.len() == 1 && norms[0] > 0.3 * first[0] && norms[0] < 3.0 * first[0],
        "{norms:?} {first:?}"
    );
    assert!(norms[0] > most);
}
