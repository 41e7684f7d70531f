//! The loader: threads make batches ahead of the step that needs them.
//!
//! It is generic over what a batch is and names no modality. Batches come out in the order of their requests,
//! each a function of its request alone, so neither the number of threads nor their timing changes what is
//! trained on. At most [`LoaderOptions::ahead`] batches exist beyond those handed out. Where a plan is made
//! piecemeal, segment by segment, [`Loader::extend`] gives the same threads more to do.

use crate::error::DataError;
use std::any::Any;
use std::collections::VecDeque;
use std::iter;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Which batch to make: its instances, and its address for the random streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchRequest {
    /// The instances, in the order of the plan.
    pub instances: Vec<u32>,
    /// The epoch the batch belongs to.
    pub epoch: u64,
    /// The batch's number within the run.
    pub step: u64,
}

/// Makes the batch of a request. The same request must give the same batch, whichever thread asks and when.
pub trait BatchSource: Send + Sync {
    /// What a training step takes.
    type Batch: Send + 'static;

    /// The batch that `request` asks for.
    ///
    /// # Errors
    /// Where an instance does not exist or cannot be read.
    fn batch(&self, request: &BatchRequest) -> Result<Self::Batch, DataError>;
}

/// How far ahead and with how many threads a loader works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoaderOptions {
    /// Batches made at the same time. A source that divides a batch among threads itself needs few.
    pub threads: NonZeroUsize,
    /// Batches finished or being made that were not yet asked for, which is the memory a loader takes. Fewer
    /// than `threads` leave threads idle.
    pub ahead: NonZeroUsize,
}

/// Batches in the order of their requests, made ahead by threads that end with it.
#[derive(Debug)]
pub struct Loader<B> {
    shared: Arc<Shared<B>>,
    threads: Vec<JoinHandle<()>>,
    waited: Duration,
}

#[derive(Debug)]
struct Shared<B> {
    state: Mutex<State<B>>,
    /// Signalled when there may be work: a request came, a batch was taken, or the loader is dropped.
    work: Condvar,
    /// Signalled when a batch is finished.
    finished: Condvar,
    ahead: usize,
}

#[derive(Debug)]
struct State<B> {
    /// Requests no thread has begun.
    waiting: VecDeque<BatchRequest>,
    /// Batches begun but not taken, oldest first; empty while being made.
    begun: VecDeque<Option<Result<B, DataError>>>,
    /// Batches taken since the start: the number of the first in `begun`.
    taken: usize,
    stopping: bool,
}

impl<B: Send + 'static> Loader<B> {
    /// Starts the threads on `requests`.
    ///
    /// # Errors
    /// [`DataError::Thread`] where the operating system refuses a thread.
    pub fn start(
        source: Arc<dyn BatchSource<Batch = B>>,
        requests: Vec<BatchRequest>,
        options: LoaderOptions,
    ) -> Result<Self, DataError> {
        let state = State { waiting: requests.into(), begun: VecDeque::new(), taken: 0, stopping: false };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            work: Condvar::new(),
            finished: Condvar::new(),
            ahead: options.ahead.get(),
        });
        let mut loader = Self { shared, threads: Vec::new(), waited: Duration::ZERO };
        for (number, source) in iter::repeat_n(source, options.threads.get()).enumerate() {
            let shared = Arc::clone(&loader.shared);
            let thread = thread::Builder::new().name(format!("loader-{number}"));
            loader.threads.push(thread.spawn(move || shared.work(&*source)).map_err(DataError::Thread)?);
        }
        Ok(loader)
    }

    /// Appends requests to those not yet answered.
    pub fn extend(&mut self, requests: impl IntoIterator<Item = BatchRequest>) {
        self.shared.lock().waiting.extend(requests);
        self.shared.work.notify_all();
    }

    /// The batch of the oldest request not yet answered, waiting for it where it is not ready; none when all
    /// requests were answered. An error takes the place of its batch, and the batches after it still come.
    #[expect(
        clippy::should_implement_trait,
        reason = "after `extend` there is more, which no iterator promises"
    )]
    pub fn next(&mut self) -> Option<Result<B, DataError>> {
        let began = Instant::now();
        let mut state = self.shared.lock();
        let batch = loop {
            if state.begun.is_empty() && state.waiting.is_empty() {
                break None;
            }
            if let Some(ready @ Some(_)) = state.begun.front_mut() {
                break ready.take();
            }
            state = self.shared.finished.wait(state).unwrap_or_else(PoisonError::into_inner);
        };
        if batch.is_some() {
            state.begun.pop_front();
            state.taken += 1;
        }
        drop(state);
        self.shared.work.notify_one();
        self.waited += began.elapsed();
        batch
    }

    /// Time that [`Loader::next`] took so far: what training spent waiting for data.
    pub fn waited(&self) -> Duration {
        self.waited
    }
}

impl<B> Drop for Loader<B> {
    /// Ends the threads, which finish at most the batch each has in hand.
    fn drop(&mut self) {
        self.shared.lock().stopping = true;
        self.shared.work.notify_all();
        for thread in self.threads.drain(..) {
            // The panic of a source was caught and delivered as an error, and no other can be reported here.
            drop(thread.join());
        }
    }
}

impl<B> Shared<B> {
    /// The state. No code that holds it can panic halfway through a change, so a poisoned lock is sound.
    fn lock(&self) -> MutexGuard<'_, State<B>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B: Send + 'static> Shared<B> {
    /// What each thread does: it takes the oldest request, makes the batch and puts it where it belongs.
    fn work(&self, source: &dyn BatchSource<Batch = B>) {
        while let Some((number, request)) = self.claim() {
            let made = catch_unwind(AssertUnwindSafe(|| source.batch(&request)));
            let batch = made.unwrap_or_else(|cause| {
                Err(DataError::Panic { step: request.step, message: message_of(&*cause) })
            });
            let mut state = self.lock();
            let index = number - state.taken;
            state.begun[index] = Some(batch);
            drop(state);
            self.finished.notify_one();
        }
    }

    /// The oldest request and its number, once there is one and room for its batch; none when the loader is
    /// dropped.
    fn claim(&self) -> Option<(usize, BatchRequest)> {
        let mut state = self.lock();
        loop {
            if state.stopping {
                return None;
            }
            if state.begun.len() < self.ahead
                && let Some(request) = state.waiting.pop_front()
            {
                state.begun.push_back(None);
                return Some((state.taken + state.begun.len() - 1, request));
            }
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn message_of(cause: &(dyn Any + Send)) -> String {
    let text = cause.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| cause.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}
