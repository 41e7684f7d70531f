//! A run that was stopped or killed and goes on ends with the same bits as one that never stopped.

use std::path::Path;
use std::sync::Arc;

use lookalike_base::progress::{Cancellation, Watch};
use lookalike_learn::LearnError;
use lookalike_learn::head::{HeadNorm, Projection, ProjectionOptions};
use lookalike_learn::loss::Alignment;
use lookalike_learn::method::simclr::InBatchNegatives;
use lookalike_learn::method::{Network, SimClr};
use lookalike_learn::negatives::Contrast;
use lookalike_learn::train::{OptimizerKind, Outcome, Schedule, Shape, TrainOptions, Trainer};
use lookalike_sampling::{Coverage, LastBatch, SamplerKind};

use crate::common::{
    COLUMNS, Mlp, NoisyViews, SEED, Watched, checkpoints, copy, cpu, events, newest_bytes, options,
    perceptron, points, sampler, series, train,
};

const INSTANCES: usize = 50;
const BATCH: usize = 8;
/// 6 batches an epoch, so that the run ends within its fourth.
const BATCHES: u64 = 21;

fn source() -> Arc<NoisyViews> {
    Arc::new(NoisyViews(points(INSTANCES, 5, 2).values))
}

fn method() -> SimClr {
    perceptron(0.1)
}

fn go_on(run: TrainOptions) -> Result<(Outcome, Vec<String>), LearnError> {
    train(method(), source(), run, &Cancellation::new()).map(|(_, outcome, warnings)| (outcome, warnings))
}

/// Every step of the run has one `step` event, in order, and nothing came after the last checkpoint.
fn has_every_step_once(run: &Path, steps: u64) {
    let found = series(run, "step", "step");
    assert_eq!(found, (1..=steps).map(|step| step as f64).collect::<Vec<f64>>(), "{}", run.display());
    let events = events(run);
    assert!(events.windows(2).all(|pair| pair[0]["step"].as_u64() <= pair[1]["step"].as_u64()));
    assert_eq!(events.last().unwrap()["kind"], "checkpoint");
    let epochs = series(run, "epoch", "epoch");
    assert_eq!(epochs, (0..epochs.len()).map(|epoch| epoch as f64).collect::<Vec<f64>>());
}

/// What a run differs in, and its options for a folder.
type Variant = (String, Box<dyn Fn(&Path) -> TrainOptions>);

/// Every kind of plan, with and without accumulation.
fn variants() -> Vec<Variant> {
    let mut variants: Vec<Variant> = Vec::new();
    for kind in [SamplerKind::Uniform, SamplerKind::Walk, SamplerKind::Nearest] {
        for coverage in [Coverage::Repeat, Coverage::Cover] {
            for accumulate in [1, 3] {
                let name = format!("{kind:?}-{coverage:?}-{accumulate}");
                let make = move |run: &Path| {
                    let plan = sampler(kind, coverage, BATCH);
                    let mut set = options(run, INSTANCES, plan, BATCHES / accumulate);
                    set.accumulate = accumulate;
                    set.checkpoint_every = if accumulate == 1 { 4 } else { 2 };
                    set
                };
                variants.push((name, Box::new(make)));
            }
        }
    }
    let with = |change: fn(&mut TrainOptions)| {
        move |run: &Path| {
            let plan = sampler(SamplerKind::Walk, Coverage::Cover, BATCH);
            let mut set = options(run, INSTANCES, plan, BATCHES);
            change(&mut set);
            set
        }
    };
    variants.push(("keep".to_owned(), Box::new(with(|set| set.sampler.last_batch = LastBatch::Keep))));
    variants.push(("lars".to_owned(), Box::new(with(|set| set.optimizer.kind = OptimizerKind::Lars))));
    variants
}

#[test]
fn a_run_killed_at_any_batch_goes_on_to_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    for (name, set) in variants() {
        let run = folder.path().join(&name);
        let killed = |batch: u64| folder.path().join(format!("{name}-killed-{batch}"));
        // Before the first checkpoint; between two; at the end of an epoch (6, 12) and of a segment (10, 14); and with
        // gradients half accumulated.
        let moments = [1, 5, 6, 10, 11, 12, 13, 14, 20];
        let copies: Vec<_> = moments.iter().map(|batch| (*batch, killed(*batch))).collect();
        let from = run.clone();
        let watched = Watched::new(method(), move |batch| {
            copies.iter().filter(|(moment, _)| *moment == batch).for_each(|(_, to)| copy(&from, to));
        });
        let (trainer, outcome, _) = train(watched, source(), set(&run), &Cancellation::new()).unwrap();
        assert_eq!(outcome, Outcome::Finished);
        let steps = trainer.step();
        has_every_step_once(&run, steps);
        let expected = newest_bytes(&run);
        for batch in moments {
            let killed = killed(batch);
            let (outcome, warnings) = go_on(set(&killed)).unwrap();
            assert_eq!((outcome, warnings), (Outcome::Finished, Vec::new()), "{name}, {batch}");
            assert!(newest_bytes(&killed) == expected, "{name}, killed after batch {batch}: other bits");
            has_every_step_once(&killed, steps);
        }
    }
}

#[test]
fn a_run_cancelled_again_and_again_goes_on_to_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    for (name, set) in variants() {
        let [run, stopped] = ["run", "stopped"].map(|kind| folder.path().join(format!("{name}-{kind}")));
        go_on(set(&run)).unwrap();
        // Cancelled after its 1st batch, then after the 2nd, 3rd, … of each continuation, until it is through.
        let mut stops = 0;
        loop {
            stops += 1;
            let cancellation = Cancellation::new();
            let flag = cancellation.clone();
            let watched = Watched::new(method(), move |batch| {
                if batch == stops {
                    flag.cancel();
                }
            });
            let (trainer, outcome, _) = train(watched, source(), set(&stopped), &cancellation).unwrap();
            if outcome == Outcome::Finished {
                has_every_step_once(&stopped, trainer.step());
                break;
            }
            assert_eq!(outcome, Outcome::Interrupted);
            assert!(trainer.step() < trainer.last_step());
        }
        assert!(stops > 2, "{name} was never stopped");
        assert!(newest_bytes(&stopped) == newest_bytes(&run), "{name}: other bits");
    }
}

fn walk(run: &Path) -> TrainOptions {
    options(run, INSTANCES, sampler(SamplerKind::Walk, Coverage::Cover, BATCH), BATCHES)
}

/// A finished run, and a copy of it killed after 13 batches, with checkpoints of steps 9 and 12.
fn run_and_killed(folder: &Path) -> [std::path::PathBuf; 2] {
    let [run, killed] = ["run", "killed"].map(|name| folder.join(name));
    let (from, to) = (run.clone(), killed.clone());
    let watched = Watched::new(method(), move |batch| {
        if batch == 13 {
            copy(&from, &to);
        }
    });
    train(watched, source(), walk(&run), &Cancellation::new()).unwrap();
    assert_eq!(checkpoints(&killed).len(), 2);
    [run, killed]
}

fn truncate(path: &Path) {
    let bytes = std::fs::read(path).unwrap();
    std::fs::write(path, &bytes[..bytes.len() * 2 / 3]).unwrap();
}

fn flip_a_byte(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() * 2 / 3;
    bytes[middle] ^= 0x10;
    std::fs::write(path, bytes).unwrap();
}

fn empty(path: &Path) {
    std::fs::write(path, []).unwrap();
}

#[test]
fn a_torn_checkpoint_is_told_and_the_one_before_it_used() {
    for damage in [truncate, flip_a_byte, empty] {
        let folder = tempfile::tempdir().unwrap();
        let [run, killed] = run_and_killed(folder.path());
        let [before, newest] = checkpoints(&killed).try_into().unwrap();
        damage(&newest);
        // What a crash within a write leaves behind is no checkpoint.
        std::fs::write(newest.with_file_name(".step-000000015.safetensors.1-0.part"), [0; 100]).unwrap();

        let (trainer, warnings) = Trainer::open(Box::new(method()), source(), walk(&killed)).unwrap();
        assert!(before.ends_with("step-000000009.safetensors") && trainer.step() == 9);
        assert!(warnings.len() == 1 && warnings[0].contains("step-000000012.safetensors"), "{warnings:?}");
        drop(trainer);
        assert_eq!(go_on(walk(&killed)).unwrap().0, Outcome::Finished);
        assert!(newest_bytes(&killed) == newest_bytes(&run));
        has_every_step_once(&killed, BATCHES);
    }
}

#[test]
fn a_torn_checkpoint_does_not_push_out_the_whole_ones() {
    let folder = tempfile::tempdir().unwrap();
    let [_, killed] = run_and_killed(folder.path());
    flip_a_byte(&checkpoints(&killed)[1]);
    // Stopped at step 10, before the torn checkpoint of step 12 is overtaken.
    let cancellation = Cancellation::new();
    cancellation.cancel();
    let (trainer, outcome, _) = train(method(), source(), walk(&killed), &cancellation).unwrap();
    assert_eq!((outcome, trainer.step()), (Outcome::Interrupted, 10));
    drop(trainer);
    let names: Vec<_> =
        checkpoints(&killed).iter().map(|path| path.file_name().unwrap().to_owned()).collect();
    assert_eq!(names, ["step-000000009.safetensors", "step-000000010.safetensors"]);
}

#[test]
fn without_a_whole_checkpoint_a_run_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let [_, killed] = run_and_killed(folder.path());
    for path in checkpoints(&killed) {
        truncate(&path);
    }
    let before = events(&killed);
    let error = go_on(walk(&killed)).unwrap_err().to_string();
    assert!(error.contains("no checkpoint is whole"), "{error}");
    assert!(error.contains("step-000000009") && error.contains("step-000000012"), "{error}");
    assert_eq!(events(&killed), before);
}

#[test]
fn a_run_of_another_recipe_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let [_, killed] = run_and_killed(folder.path());
    let before = events(&killed);
    let other = TrainOptions { identity: "another".to_owned(), ..walk(&killed) };
    let error = go_on(other).unwrap_err().to_string();
    assert!(error.contains("another run"), "{error}");
    assert_eq!(events(&killed), before);
}

#[test]
fn a_finished_run_says_so_and_keeps_its_checkpoint_and_evaluation() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let (mut trainer, outcome, _) = train(method(), source(), walk(&run), &Cancellation::new()).unwrap();
    assert_eq!(outcome, Outcome::Finished);
    let step = trainer.step();
    trainer.events().record("evaluation", step, serde_json::json!({"knn": 0.5})).unwrap();
    drop(trainer);
    let before = (newest_bytes(&run), events(&run));
    assert_eq!(go_on(walk(&run)).unwrap().0, Outcome::AlreadyFinished);
    assert!((newest_bytes(&run), events(&run)) == before);
}

#[test]
fn a_run_that_was_ended_early_goes_on_along_the_same_schedule() {
    let folder = tempfile::tempdir().unwrap();
    let [run, early] = ["run", "early"].map(|name| folder.path().join(name));
    go_on(walk(&run)).unwrap();
    let (outcome, _) = go_on(TrainOptions { max_steps: Some(8), ..walk(&early) }).unwrap();
    assert_eq!((outcome, series(&early, "step", "step").len()), (Outcome::Finished, 8));
    assert_eq!(go_on(walk(&early)).unwrap().0, Outcome::Finished);
    assert!(newest_bytes(&early) == newest_bytes(&run));
    has_every_step_once(&early, BATCHES);
}

#[test]
fn without_a_checkpoint_a_run_starts_anew() {
    let folder = tempfile::tempdir().unwrap();
    let [run, killed] = run_and_killed(folder.path());
    std::fs::remove_dir_all(killed.join("checkpoints")).unwrap();
    let (mut trainer, warnings) = Trainer::open(Box::new(method()), source(), walk(&killed)).unwrap();
    assert!(trainer.step() == 0 && warnings.is_empty());
    trainer.run(Watch::default()).unwrap();
    assert!(newest_bytes(&killed) == newest_bytes(&run));
    has_every_step_once(&killed, BATCHES);
}

/// Warnings of collapse among the events of a run, with their steps.
fn told(run: &Path) -> Vec<(u64, String)> {
    let warnings = events(run).into_iter().filter(|event| event["kind"] == "warning");
    let collapse = warnings.filter(|event| event["message"].as_str().unwrap().contains("collapse"));
    collapse.map(|event| (event["step"].as_u64().unwrap(), event["message"].to_string())).collect()
}

#[test]
fn collapse_is_told_once_however_often_a_run_is_resumed() {
    let folder = tempfile::tempdir().unwrap();
    // Positives alone, without BatchNorm to hold them apart: all points go to one.
    let positives_only = || {
        let form = ProjectionOptions { layers: 1, width: 0, dimension: 8, batch_norm: HeadNorm::None };
        let head = Projection::new(16, &form, &mut SEED.stream("projection", 0, 0, 0), &cpu());
        let encoder = Mlp::new(&[COLUMNS, 32, 16], 0.0, &mut SEED.stream("encoder", 0, 0, 0), &cpu());
        let network = Network::new(Box::new(encoder), head);
        SimClr::new(network, Contrast::plain(Alignment), InBatchNegatives::AllViews)
    };
    let go = |max_steps| {
        let set =
            options(folder.path(), INSTANCES, sampler(SamplerKind::Uniform, Coverage::Cover, BATCH), 400);
        train(
            positives_only(),
            source(),
            TrainOptions { max_steps: Some(max_steps), ..set },
            &Cancellation::new(),
        )
        .unwrap();
        told(folder.path())
    };
    let mut steps = 60;
    let mut first = go(steps);
    while first.is_empty() && steps < 400 {
        steps += 60;
        first = go(steps);
    }
    assert!(!first.is_empty(), "it never collapsed");
    for more in [10, 20] {
        let again = go(steps + more);
        assert_eq!(again[..first.len()], first);
        let messages = |part: &str| again.iter().filter(|(_, message)| message.contains(part)).count();
        assert!(messages("to one point") <= 1 && messages("to few dimensions") <= 1, "{again:?}");
    }
}

/// What a run of so many epochs is, of `BATCHES` steps each.
fn epochs(run: &Path, epochs: u64) -> TrainOptions {
    let mut set = walk(run);
    set.identity = format!("seed = 0\n[train]\nepochs = {epochs}\n[data-set]\nfingerprint = \"points\"\n");
    set.schedule = Schedule { total: epochs * BATCHES, shape: Shape::Cosine, ..set.schedule.clone() };
    set
}

#[test]
fn a_finished_run_is_trained_longer_along_a_schedule_of_the_added_steps() {
    let folder = tempfile::tempdir().unwrap();
    let [longer, stopped] = ["longer", "stopped"].map(|name| folder.path().join(name));
    let rates = |run: &Path| series(run, "step", "learning_rate");
    for run in [&longer, &stopped] {
        go_on(epochs(run, 1)).unwrap();
    }
    let first = rates(&longer);
    assert_eq!(go_on(epochs(&longer, 3)).unwrap().0, Outcome::Finished);
    let all = rates(&longer);
    assert_eq!((all.len() as u64, &all[..first.len()]), (3 * BATCHES, &first[..]));
    // Warm-up and half a cosine once more, over the steps that were added.
    let added = Schedule { total: 2 * BATCHES, ..epochs(&longer, 2).schedule };
    for (step, rate) in all[first.len()..].iter().enumerate() {
        assert!((rate - added.rate(step as u64)).abs() < 1e-12, "step {step}: {rate}");
    }
    let told: Vec<_> = events(&longer).into_iter().filter(|event| event["kind"] == "schedule").collect();
    assert_eq!(told.len(), 1);
    assert_eq!([&told[0]["begins"], &told[0]["steps"], &told[0]["step"]], [BATCHES, 3 * BATCHES, BATCHES]);

    // Stopped on the way, before its first checkpoint and after it, it ends with the same bits.
    for stop in [2, 9] {
        let cancellation = Cancellation::new();
        let flag = cancellation.clone();
        let watched = Watched::new(method(), move |batch| {
            if batch == stop {
                flag.cancel();
            }
        });
        let outcome = train(watched, source(), epochs(&stopped, 3), &cancellation).unwrap().1;
        assert_eq!(outcome, Outcome::Interrupted);
    }
    assert_eq!(go_on(epochs(&stopped, 3)).unwrap().0, Outcome::Finished);
    assert!(newest_bytes(&stopped) == newest_bytes(&longer), "other bits");
    has_every_step_once(&stopped, 3 * BATCHES);
    assert_eq!(go_on(epochs(&stopped, 3)).unwrap().0, Outcome::AlreadyFinished);
}

#[test]
fn a_run_that_cannot_be_trained_longer_says_why_and_keeps_all_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let refused = |set: TrainOptions| go_on(set).unwrap_err().to_string();
    go_on(TrainOptions { max_steps: Some(8), ..epochs(&run, 1) }).unwrap();
    let early = refused(epochs(&run, 3));
    assert!(
        early.contains("train.epochs: 3, the run has 1") && early.contains("stands at step 8"),
        "{early}"
    );
    assert!(early.contains("--set train.max_steps="), "{early}");
    go_on(epochs(&run, 1)).unwrap();
    let bytes = newest_bytes(&run);
    let mut other = epochs(&run, 3);
    other.identity = other.identity.replace("seed = 0", "seed = 7").replace("points", "others");
    let other = refused(other);
    for part in
        ["seed: 7, the run has 0", "train.epochs: 3, the run has 1", "the data are not those of the run"]
    {
        assert!(other.contains(part), "{other}");
    }
    let mut long_warm_up = epochs(&run, 2);
    long_warm_up.schedule.warmup = BATCHES + 1;
    assert!(refused(long_warm_up).contains("train.warmup_epochs"), "a warm-up of more than what is added");
    assert!(
        refused(TrainOptions { schedule: epochs(&run, 1).schedule, ..epochs(&run, 2) })
            .contains("made 21 already")
    );
    assert!(newest_bytes(&run) == bytes);
}

#[test]
fn as_many_checkpoints_are_kept_as_are_asked_for() {
    for kept in [1, 2, 4] {
        let folder = tempfile::tempdir().unwrap();
        go_on(TrainOptions { kept, ..walk(folder.path()) }).unwrap();
        assert_eq!(checkpoints(folder.path()).len(), kept);
    }
}
