//! Long work: without the interpreter's lock, on threads of its own, and ended by Ctrl-C.
//!
//! The threads last as long as the work. A pool that outlived it would be missing its threads in a process forked from this
//! one, as the workers of PyTorch's `DataLoader` are, and whatever waits for them there would wait for ever.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use lookalike_base::{Cancellation, Progress, Watch};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

/// How many threads work; without it as many as the process has processors.
const THREADS: &str = "LOOKALIKE_NUM_THREADS";
/// How often signals are looked for.
const PATIENCE: Duration = Duration::from_millis(50);
/// Work that is done before this time shows nothing.
const QUIET: Duration = Duration::from_secs(2);

/// Does `work` on a pool of its own. On Ctrl-C its flag is raised, and once it has ended `KeyboardInterrupt` is returned.
pub(crate) fn run<T: Send>(py: Python<'_>, work: impl FnOnce(&Cancellation) -> T + Send) -> PyResult<T> {
    run_looking(py, work, signals)
}

/// The same for work of `total` steps, which Python shows as `label` where it takes long.
pub(crate) fn run_shown<T: Send>(
    py: Python<'_>,
    label: &'static str,
    total: u64,
    work: impl FnOnce(Watch<'_>) -> T + Send,
) -> PyResult<T> {
    let counter = Counter::default();
    let mut display = Display { counter: &counter, label, total, begun: Instant::now(), shown: None };
    let watched = |cancellation: &Cancellation| work(Watch { progress: &counter, cancellation });
    let result = run_looking(py, watched, || {
        signals()?;
        display.update()
    });
    display.close(py);
    result
}

/// Does `work`, and calls `look` again and again meanwhile, without the interpreter's lock; its error ends the work.
fn run_looking<T: Send>(
    py: Python<'_>,
    work: impl FnOnce(&Cancellation) -> T + Send,
    look: impl FnMut() -> PyResult<()> + Send,
) -> PyResult<T> {
    let mut look = look;
    let pool = pool()?;
    let cancellation = Cancellation::new();
    let (mut result, mut interrupted) = (None, None);
    py.detach(|| {
        let (sender, receiver) = sync_channel(1);
        let flag = &cancellation;
        pool.in_place_scope(|scope| {
            scope.spawn(move |_| {
                // The other end waits until this is done.
                let _ = sender.send(work(flag));
            });
            loop {
                match receiver.recv_timeout(PATIENCE) {
                    Ok(value) => result = Some(value),
                    // A panic, which the end of the scope hands on.
                    Err(RecvTimeoutError::Disconnected) => {}
                    Err(RecvTimeoutError::Timeout) => {
                        if interrupted.is_none()
                            && let Err(signal) = look()
                        {
                            interrupted = Some(signal);
                            flag.cancel();
                        }
                        continue;
                    }
                }
                break;
            }
        });
    });
    match (interrupted, result) {
        (Some(signal), _) => Err(signal),
        (None, Some(value)) => Ok(value),
        (None, None) => Err(PyRuntimeError::new_err("the work ended without a result")),
    }
}

/// Counts the steps of some work.
#[derive(Default)]
struct Counter(AtomicU64);

impl Progress for Counter {
    fn advance(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    fn set_position(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    fn message(&self, _: &str) {}
    fn note(&self, _: &str) {}
    fn finish(&self) {}
}

/// What `lookalike._progress` shows of some work.
struct Display<'a> {
    counter: &'a Counter,
    label: &'static str,
    total: u64,
    begun: Instant,
    /// Its object, once the work has taken long.
    shown: Option<Py<PyAny>>,
}

impl Display<'_> {
    fn update(&mut self) -> PyResult<()> {
        if self.begun.elapsed() < QUIET {
            return Ok(());
        }
        Python::attach(|py| {
            if self.shown.is_none() {
                let begin = py.import("lookalike._progress")?.getattr("begin")?;
                self.shown = Some(begin.call1((self.label, self.total))?.unbind());
            }
            let Some(shown) = &self.shown else { return Ok(()) };
            shown.call_method1(py, "update", (self.counter.0.load(Ordering::Relaxed),)).map(drop)
        })
    }

    fn close(&self, py: Python<'_>) {
        if let Some(shown) = &self.shown
            && let Err(error) = shown.call_method0(py, "close")
        {
            // The result is there, and what shows how it came about must not lose it.
            error.write_unraisable(py, None);
        }
    }
}

/// Lets Python handle the signals that came, which on its main thread raises `KeyboardInterrupt` for Ctrl-C.
#[expect(
    clippy::redundant_closure_for_method_calls,
    reason = "the method itself is not general enough in its lifetime"
)]
fn signals() -> PyResult<()> {
    Python::attach(|py| py.check_signals())
}

fn pool() -> PyResult<ThreadPool> {
    let builder =
        ThreadPoolBuilder::new().num_threads(threads()?).thread_name(|number| format!("lookalike-{number}"));
    builder.build().map_err(|error| PyRuntimeError::new_err(format!("threads cannot be started: {error}")))
}

fn threads() -> PyResult<usize> {
    match std::env::var(THREADS) {
        Ok(text) => match text.trim().parse() {
            Ok(threads) if threads > 0 => Ok(threads),
            _ => Err(PyValueError::new_err(format!(
                "{THREADS} is {text:?}; it must be a number of at least 1"
            ))),
        },
        Err(_) => Ok(std::thread::available_parallelism().map_or(1, usize::from)),
    }
}
