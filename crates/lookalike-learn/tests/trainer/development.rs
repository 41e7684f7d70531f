//! A run that is judged while it trains keeps the best step beside the last, and a stopped one goes on exactly.

use std::path::Path;
use std::sync::{Arc, Mutex};

use lookalike_base::progress::{Cancellation, Watch};
use lookalike_base::tensors;
use lookalike_learn::LearnError;
use lookalike_learn::module::arrays_of;
use lookalike_learn::train::development::BEST;
use lookalike_learn::train::{Best, Development, Outcome, TrainOptions, Trainer};
use lookalike_sampling::{Coverage, SamplerKind};

use crate::common::{
    NoisyViews, Watched, copy, events, newest_bytes, options, perceptron, points, sampler, series, train,
};

const INSTANCES: usize = 50;
const STEPS: u64 = 17;

fn source() -> Arc<NoisyViews> {
    Arc::new(NoisyViews(points(INSTANCES, 5, 2).values))
}

/// The score that the judge gives step by step: best at step 8, and again at 12.
fn score(step: u64) -> f64 {
    [(4, 0.25), (8, 0.7), (12, 0.7), (16, 0.1 + 0.2), (17, 0.5)]
        .into_iter()
        .find_map(|(known, score)| (known == step).then_some(score))
        .unwrap()
}

/// A judge that counts the steps it is asked about from `first` on, four by four, and remembers what it was shown.
fn judged(first: u64, seen: &Arc<Mutex<Vec<f32>>>) -> Development {
    let (mut step, seen) = (first, Arc::clone(seen));
    let judge = move |network: &mut dyn lookalike_learn::method::Embedder, _: &Cancellation| {
        seen.lock().unwrap().push(arrays_of(network).values().next().unwrap().as_f32().unwrap()[0]);
        let own = step;
        step = (step + 4).min(STEPS);
        Ok(score(own))
    };
    Development { every: 4, name: "toy".to_owned(), judge: Box::new(judge) }
}

fn set(run: &Path, development: Option<Development>) -> TrainOptions {
    let plan = sampler(SamplerKind::Walk, Coverage::Cover, 8);
    TrainOptions { development, ..options(run, INSTANCES, plan, STEPS) }
}

fn run(run: &Path, first: u64) -> Trainer {
    let development = Some(judged(first, &Arc::default()));
    train(perceptron(0.1), source(), set(run, development), &Cancellation::new()).unwrap().0
}

#[test]
fn the_best_step_stands_beside_the_last_one() {
    let folder = tempfile::tempdir().unwrap();
    let [whole, early] = ["whole", "early"].map(|name| folder.path().join(name));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let development = Some(judged(4, &seen));
    let (trainer, outcome, _) =
        train(perceptron(0.1), source(), set(&whole, development), &Cancellation::new()).unwrap();
    assert_eq!(
        (outcome, trainer.step(), trainer.best()),
        (Outcome::Finished, 17, Some(Best { score: 0.7, step: 8 }))
    );

    // The file has the weights of a run that ends with step 8, under the names of the network that is kept.
    let ended = TrainOptions { max_steps: Some(8), ..set(&early, None) };
    let (eight, ..) = train(perceptron(0.1), source(), ended, &Cancellation::new()).unwrap();
    let best = tensors::read(whole.join(BEST)).unwrap().tensors;
    assert_eq!(best, arrays_of(&mut eight.method.kept()));
    assert_ne!(best, arrays_of(&mut trainer.method.kept()), "the run ends with its last step");
    assert_eq!(seen.lock().unwrap().len(), 5);

    let told = events(&whole);
    let told: Vec<_> = told.iter().filter(|event| event["kind"] == "development").collect();
    let field = |name: &str| told.iter().map(|event| event[name].as_f64().unwrap()).collect::<Vec<f64>>();
    assert_eq!(field("step"), [4.0, 8.0, 12.0, 16.0, 17.0]);
    assert_eq!(field("score"), [4, 8, 12, 16, 17].map(score));
    assert_eq!(field("best"), [0.25, 0.7, 0.7, 0.7, 0.7]);
    assert_eq!(field("best_step"), [4.0, 8.0, 8.0, 8.0, 8.0]);
    assert!(told.iter().all(|event| event["name"] == "toy"));
}

#[test]
fn judging_changes_nothing_of_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let [judged, plain] = ["judged", "plain"].map(|name| folder.path().join(name));
    let mut judged = run(&judged, 4);
    let (mut plain, ..) = train(perceptron(0.1), source(), set(&plain, None), &Cancellation::new()).unwrap();
    assert_eq!(arrays_of(&mut judged.method), arrays_of(&mut plain.method));
}

#[test]
fn a_run_killed_between_a_better_step_and_its_checkpoint_goes_on_to_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    // Checkpoints of steps 3, 6, 9, …: the copy of batch 8 has the best of step 4 and a checkpoint of step 6.
    let copies: Vec<_> =
        [2, 5, 7, 8, 9, 13].map(|batch| (batch, folder.path().join(format!("{batch}")))).into();
    let (from, to) = (whole.clone(), copies.clone());
    let watched = Watched::new(perceptron(0.1), move |batch| {
        to.iter().filter(|(moment, _)| *moment == batch).for_each(|(_, to)| copy(&from, to));
    });
    let development = Some(judged(4, &Arc::default()));
    train(watched, source(), set(&whole, development), &Cancellation::new()).unwrap();
    let best = std::fs::read(whole.join(BEST)).unwrap();
    for (batch, killed) in copies {
        // A best that no checkpoint knows is not that of the run any more.
        if batch == 9 {
            std::fs::write(killed.join(BEST), b"torn").unwrap();
        }
        let resumed = batch / 3 * 3;
        let trainer = run(&killed, (resumed / 4 + 1) * 4);
        assert_eq!(trainer.best(), Some(Best { score: 0.7, step: 8 }), "{batch}");
        assert!(newest_bytes(&killed) == newest_bytes(&whole), "killed after batch {batch}: other bits");
        assert!(std::fs::read(killed.join(BEST)).unwrap() == best, "{batch}: another best");
        assert_eq!(series(&killed, "development", "step"), [4.0, 8.0, 12.0, 16.0, 17.0], "{batch}");
    }
}

#[test]
fn a_judgement_that_was_interrupted_is_made_when_the_run_goes_on() {
    for stopped in [8, STEPS] {
        let folder = tempfile::tempdir().unwrap();
        let [whole, again] = ["whole", "again"].map(|name| folder.path().join(name));
        run(&whole, 4);
        let mut step = 0;
        let judge = move |_: &mut dyn lookalike_learn::method::Embedder, _: &Cancellation| {
            step = (step + 4).min(STEPS);
            if step == stopped { Err(LearnError::Cancelled) } else { Ok(score(step)) }
        };
        let development = Some(Development { every: 4, name: "toy".to_owned(), judge: Box::new(judge) });
        let (trainer, outcome, _) =
            train(perceptron(0.1), source(), set(&again, development), &Cancellation::new()).unwrap();
        assert_eq!((outcome, trainer.step()), (Outcome::Interrupted, stopped));
        drop(trainer);
        run(&again, stopped);
        assert!(newest_bytes(&again) == newest_bytes(&whole), "{stopped}");
        assert_eq!(series(&again, "development", "step"), [4.0, 8.0, 12.0, 16.0, 17.0]);
        let development = Some(judged(99, &Arc::default()));
        let (mut trainer, _) =
            Trainer::open(Box::new(perceptron(0.1)), source(), set(&again, development)).unwrap();
        assert_eq!(trainer.run(Watch::default()).unwrap(), Outcome::AlreadyFinished);
    }
}

#[test]
fn a_score_that_is_no_number_ends_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let judge = |_: &mut dyn lookalike_learn::method::Embedder, _: &Cancellation| Ok(f64::NAN);
    let development = Some(Development { every: 4, name: "toy".to_owned(), judge: Box::new(judge) });
    let error = train(perceptron(0.1), source(), set(folder.path(), development), &Cancellation::new());
    let error = error.map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("toy of step 4 is NaN"), "{error}");
    assert!(!folder.path().join(BEST).exists());
}
