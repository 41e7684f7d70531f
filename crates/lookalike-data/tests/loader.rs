//! What the loader promises: order, a bounded head start, errors in their place, and an end.

#![expect(clippy::unwrap_used, reason = "a test may stop where a promise is broken")]

use lookalike_data::{BatchRequest, BatchSource, DataError, Loader, LoaderOptions};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

fn options(threads: usize, ahead: usize) -> LoaderOptions {
    LoaderOptions { threads: NonZeroUsize::new(threads).unwrap(), ahead: NonZeroUsize::new(ahead).unwrap() }
}

fn requests(steps: std::ops::Range<u64>) -> Vec<BatchRequest> {
    steps.map(|step| BatchRequest { instances: vec![step as u32; 3], epoch: step / 4, step }).collect()
}

/// Makes a batch by calling a function of the step.
struct Source<F>(F);

impl<F: Fn(u64) -> Result<u64, DataError> + Send + Sync> BatchSource for Source<F> {
    type Batch = u64;

    fn batch(&self, request: &BatchRequest) -> Result<u64, DataError> {
        (self.0)(request.step)
    }
}

/// A source whose batches wait until the test lets them pass, and which counts those that began.
#[derive(Default)]
struct Gate {
    state: Mutex<(usize, usize)>,
    changed: Condvar,
}

impl Gate {
    /// Lets `count` more batches pass.
    fn open(&self, count: usize) {
        self.state.lock().unwrap().1 += count;
        self.changed.notify_all();
    }

    fn pass(&self) {
        let mut state = self.state.lock().unwrap();
        state.0 += 1;
        self.changed.notify_all();
        while state.1 == 0 {
            state = self.changed.wait(state).unwrap();
        }
        state.1 -= 1;
    }

    fn began(&self) -> usize {
        self.state.lock().unwrap().0
    }

    fn wait_until_began(&self, count: usize) {
        let mut state = self.state.lock().unwrap();
        while state.0 < count {
            state = self.changed.wait(state).unwrap();
        }
    }
}

#[test]
fn the_loader_never_reorders() {
    // The first of each four batches takes longest, so the others overtake it.
    let source = Source(|step| {
        thread::sleep(Duration::from_millis(if step % 4 == 0 { 8 } else { 0 }));
        Ok(step)
    });
    let mut loader = Loader::start(Arc::new(source), requests(0..24), options(4, 8)).unwrap();
    let steps: Vec<u64> = std::iter::from_fn(|| loader.next()).map(Result::unwrap).collect();
    assert_eq!(steps, (0..24).collect::<Vec<_>>());
}

#[test]
fn it_keeps_a_bounded_number_of_batches_ahead() {
    let gate = Arc::new(Gate::default());
    let source = Source({
        let gate = Arc::clone(&gate);
        move |step| {
            gate.pass();
            Ok(step)
        }
    });
    let mut loader = Loader::start(Arc::new(source), requests(0..20), options(4, 3)).unwrap();
    gate.open(100);
    for taken in 0..20 {
        gate.wait_until_began((taken + 3).min(20));
        // Whatever the threads do meanwhile, a fourth batch may not begin before one is taken.
        thread::yield_now();
        assert!(gate.began() <= taken + 3, "{} batches began when {taken} were taken", gate.began());
        assert_eq!(loader.next().unwrap().unwrap(), taken as u64);
    }
}

#[test]
fn a_corrupt_record_surfaces_at_its_place() {
    let source = Source(|step| {
        if step == 2 { Err(DataError::Index { dataset: "test".into(), index: 9, len: 3 }) } else { Ok(step) }
    });
    let mut loader = Loader::start(Arc::new(source), requests(0..5), options(3, 5)).unwrap();
    let came: Vec<_> = std::iter::from_fn(|| loader.next()).collect();
    assert_eq!(came.len(), 5);
    for (step, batch) in came.iter().enumerate() {
        assert_eq!(batch.is_err(), step == 2, "step {step}: {batch:?}");
    }
}

#[test]
fn a_panic_in_a_source_becomes_an_error_and_the_batches_after_it_still_come() {
    let source = Source(|step| if step == 1 { panic!("record {step} is impossible") } else { Ok(step) });
    let mut loader = Loader::start(Arc::new(source), requests(0..4), options(1, 2)).unwrap();
    assert_eq!(loader.next().unwrap().unwrap(), 0);
    let error = loader.next().unwrap().unwrap_err();
    assert!(
        matches!(&error, DataError::Panic { step: 1, message } if message == "record 1 is impossible"),
        "{error}"
    );
    assert_eq!(loader.next().unwrap().unwrap(), 2);
    assert_eq!(loader.next().unwrap().unwrap(), 3);
    assert!(loader.next().is_none());
}

#[test]
fn a_drained_loader_takes_further_requests() {
    let mut loader = Loader::start(Arc::new(Source(Ok)), requests(0..3), options(2, 2)).unwrap();
    assert_eq!(std::iter::from_fn(|| loader.next()).count(), 3);
    assert!(loader.next().is_none());
    loader.extend(requests(3..7));
    let steps: Vec<u64> = std::iter::from_fn(|| loader.next()).map(Result::unwrap).collect();
    assert_eq!(steps, [3, 4, 5, 6]);
}

#[test]
fn a_loader_without_requests_is_empty() {
    let mut loader = Loader::start(Arc::new(Source(Ok)), Vec::new(), options(2, 2)).unwrap();
    assert!(loader.next().is_none());
}

#[test]
fn dropping_a_loader_joins_its_threads() {
    let made = Arc::new(AtomicUsize::new(0));
    let source = Arc::new(Source({
        let made = Arc::clone(&made);
        move |step| {
            made.fetch_add(1, Ordering::SeqCst);
            Ok(step)
        }
    }));
    let mut loader = Loader::start(source.clone(), requests(0..1000), options(3, 2)).unwrap();
    loader.next().unwrap().unwrap();
    drop(loader);
    // Each thread holds the source; the test's own handle is the only one left, so all have ended.
    assert_eq!(Arc::strong_count(&source), 1);
    // One was taken, two may have been ahead of it.
    assert!(made.load(Ordering::SeqCst) <= 3, "{made:?} batches were made for nobody");
}

#[test]
fn time_spent_waiting_is_counted() {
    let source = Source(|step| {
        thread::sleep(Duration::from_millis(5));
        Ok(step)
    });
    let mut loader = Loader::start(Arc::new(source), requests(0..1), options(1, 1)).unwrap();
    assert_eq!(loader.waited(), Duration::ZERO);
    loader.next().unwrap().unwrap();
    assert!(loader.waited() > Duration::ZERO);
}
