//! What goes wrong is an error that names the place, and loses nothing.

use std::sync::Arc;

use lookalike_base::progress::Cancellation;
use lookalike_base::tensors;
use lookalike_data::{BatchRequest, BatchSource, DataError};
use lookalike_learn::LearnError;
use lookalike_learn::input::Batch;
use lookalike_learn::train::{OptimizerKind, TrainOptions, Trainer};
use lookalike_sampling::{Coverage, SamplerKind};

use crate::common::{
    COLUMNS, Mlp, NoisyViews, SEED, Watched, checkpoints, cpu, options, perceptron, points, sampler, series,
    train, with_head,
};

const INSTANCES: usize = 40;

fn set(run: &std::path::Path) -> TrainOptions {
    options(run, INSTANCES, sampler(SamplerKind::Walk, Coverage::Cover, 8), 20)
}

fn source() -> NoisyViews {
    NoisyViews(points(INSTANCES, 4, 4).values)
}

fn error_of(source: impl BatchSource<Batch = Batch> + 'static, set: TrainOptions) -> LearnError {
    train(perceptron(0.0), Arc::new(source), set, &Cancellation::new()).map(|_| ()).unwrap_err()
}

fn all_are_finite(run: &std::path::Path) {
    for path in checkpoints(run) {
        for (name, array) in tensors::read(&path).unwrap().tensors {
            let finite = array.as_f32().is_none_or(|values| values.iter().all(|value| value.is_finite()));
            assert!(finite, "{}: {name}", path.display());
        }
    }
}

/// Good batches until `step`, then what `fail` makes of them.
struct Failing<F> {
    good: NoisyViews,
    step: u64,
    fail: F,
}

impl<F> BatchSource for Failing<F>
where
    F: Fn(&BatchRequest, Batch) -> Result<Batch, DataError> + Send + Sync,
{
    type Batch = Batch;

    fn batch(&self, request: &BatchRequest) -> Result<Batch, DataError> {
        let batch = self.good.batch(request)?;
        if request.step < self.step { Ok(batch) } else { (self.fail)(request, batch) }
    }
}

#[test]
fn a_nan_in_the_data_stops_the_run_with_step_instances_and_last_good_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let mut values = points(INSTANCES, 4, 4).values;
    values.row_mut(17)[0] = f32::NAN;
    let from_step_7 = Failing {
        good: source(),
        step: 7,
        fail: move |request: &BatchRequest, _| NoisyViews(values.clone()).batch(request),
    };
    let error = error_of(from_step_7, set(folder.path()));
    let LearnError::NotFinite { value, step, instances, .. } = &error else { panic!("{error}") };
    assert!(value.is_nan() && *step >= 7 && instances.len() == 8 && instances.contains(&17), "{error}");
    let good = step - step % 3;
    assert!(error.to_string().contains(&format!("last good checkpoint is that of step {good}")), "{error}");
    assert!(
        error.to_string().contains(&format!("at step {step}")) && error.to_string().contains("17"),
        "{error}"
    );
    all_are_finite(folder.path());
    assert_eq!(series(folder.path(), "step", "step").len() as u64, *step);
}

#[test]
fn a_learning_rate_far_too_high_stops_the_run_and_leaves_no_bad_checkpoint() {
    for (rate, checkpoint_every) in [(1e20, 100), (1e20, 1), (1e38, 1)] {
        let folder = tempfile::tempdir().unwrap();
        let mut set = TrainOptions { checkpoint_every, ..set(folder.path()) };
        set.optimizer.kind = OptimizerKind::Sgd;
        set.schedule.base = rate;
        let error = error_of(source(), set).to_string();
        assert!(
            error.contains("step") && error.contains("instance") && error.contains("checkpoint"),
            "{error}"
        );
        all_are_finite(folder.path());
    }
}

#[test]
fn gradients_too_long_for_32_bits_stop_the_run_before_they_move_anything() {
    for kind in [OptimizerKind::Sgd, OptimizerKind::Adam] {
        let folder = tempfile::tempdir().unwrap();
        let mut set = set(folder.path());
        set.optimizer.kind = kind;
        let encoder = Mlp::new(&[COLUMNS, 32, 16], 0.0, &mut SEED.stream("encoder", 0, 0, 0), &cpu());
        let method = with_head(encoder, 1e-30);
        let error = train(method, Arc::new(source()), set, &Cancellation::new()).map(|_| ()).unwrap_err();
        let LearnError::NotFinite { what, step: 0, .. } = &error else { panic!("{error}") };
        assert!(what.starts_with("the length of the gradient of `"), "{error}");
        assert!(error.to_string().contains("loss.temperature"), "{error}");
        assert!(checkpoints(folder.path()).is_empty());
    }
}

#[test]
fn before_the_first_checkpoint_the_error_says_that_there_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let mut values = points(INSTANCES, 4, 4).values;
    (0..INSTANCES).for_each(|row| values.row_mut(row)[0] = f32::NAN);
    let error = error_of(NoisyViews(values), set(folder.path())).to_string();
    assert!(error.contains("at step 0") && error.contains("there is no checkpoint yet"), "{error}");
    assert!(checkpoints(folder.path()).is_empty());
}

#[test]
fn a_source_that_fails_or_panics_ends_the_run_with_its_own_words() {
    let folder = tempfile::tempdir().unwrap();
    let refuse = |request: &BatchRequest, _| {
        Err(DataError::Option { key: "test".to_owned(), problem: format!("no batch {}", request.step) })
    };
    let error =
        error_of(Failing { good: source(), step: 4, fail: refuse }, set(&folder.path().join("fails")));
    assert!(matches!(error, LearnError::Data(_)) && error.to_string().contains("no batch 4"), "{error}");

    let panic = |_: &BatchRequest, _| -> Result<Batch, DataError> { panic!("the source broke") };
    let error =
        error_of(Failing { good: source(), step: 4, fail: panic }, set(&folder.path().join("panics")));
    assert!(matches!(error, LearnError::Data(DataError::Panic { step: 4, .. })), "{error}");
    assert!(error.to_string().contains("the source broke"), "{error}");
    for run in ["fails", "panics"] {
        assert_eq!(checkpoints(&folder.path().join(run)).len(), 1);
    }
}

#[test]
fn a_run_folder_that_cannot_be_made_is_an_error_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "in the way").unwrap();
    let run = file.join("run");
    let opened = Trainer::open(Box::new(perceptron(0.0)), Arc::new(source()), set(&run));
    let error = opened.map(|_| ()).unwrap_err();
    assert!(matches!(&error, LearnError::Io { path, .. } if *path == run), "{error}");
}

#[test]
fn a_disk_that_takes_no_checkpoint_any_more_is_an_error_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = folder.path().join("checkpoints");
    // After the first checkpoint, of step 3, a file takes the folder's place.
    let watched = Watched::new(perceptron(0.0), {
        let checkpoints = checkpoints.clone();
        move |batch| {
            if batch == 4 {
                std::fs::remove_dir_all(&checkpoints).unwrap();
                std::fs::write(&checkpoints, "in the way").unwrap();
            }
        }
    });
    let result = train(watched, Arc::new(source()), set(folder.path()), &Cancellation::new());
    let error = result.map(|_| ()).unwrap_err();
    assert!(matches!(&error, LearnError::Io { path, .. } if path.starts_with(&checkpoints)), "{error}");
    assert_eq!(series(folder.path(), "step", "step").len(), 6);
}

#[cfg(target_os = "linux")]
#[test]
fn events_on_a_full_disk_are_an_error_with_their_path() {
    let folder = tempfile::tempdir().unwrap();
    let board = folder.path().join("events.out.tfevents.lookalike");
    std::os::unix::fs::symlink("/dev/full", &board).unwrap();
    let error = error_of(source(), set(folder.path()));
    let LearnError::Io { path, source } = &error else { panic!("{error}") };
    assert_eq!((path, source.kind()), (&board, std::io::ErrorKind::StorageFull));
}

#[test]
fn fewer_instances_than_a_batch_are_refused_before_anything_is_trained() {
    let folder = tempfile::tempdir().unwrap();
    let few = TrainOptions { instances: 7, ..set(folder.path()) };
    let error = error_of(NoisyViews(points(7, 2, 4).values), few);
    assert!(matches!(error, LearnError::Sampling(_)), "{error}");
    assert!(error.to_string().contains('7') && error.to_string().contains('8'), "{error}");
}
