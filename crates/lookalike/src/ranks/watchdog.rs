//! Ends a job in which one rank waits too long for another. MPI ends all where a process dies; where a machine or the network is gone, it waits for ever.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::failure::Failure;
use crate::output::{complain, rank};
use crate::signals::START_AGAIN;

/// Says how long a rank waits beyond what is usual.
const PATIENCE: &str = "LOOKALIKE_PATIENCE";
const DEFAULT_PATIENCE: Duration = Duration::from_mins(2);
const MOST_PATIENCE: f64 = 1e6;
/// Usual steps that another rank may take for one.
const STEPS: f64 = 20.0;
/// How many times longer another rank may work on what this one has done.
const SLOWER: f64 = 3.0;
/// Steps whose median is the usual one.
const REMEMBERED: usize = 101;
/// Between two looks.
const LOOKS: Duration = Duration::from_millis(200);
/// Programs of MPI, by the first 15 letters of their names as the system shows them, that wait for a machine which they cannot reach, as their processes did.
const LAUNCHERS: [&str; 12] = [
    "mpiexec",
    "mpiexec.hydra",
    "mpiexec.mpich",
    "mpiexec.openmpi",
    "mpirun",
    "mpirun.mpich",
    "mpirun.openmpi",
    "hydra_pmi_proxy",
    "orterun",
    "orted",
    "prterun",
    "prted",
];

/// Watches how long this process waits for others.
#[derive(Debug, Clone)]
pub(super) struct Watchdog(Arc<Mutex<Watched>>);

#[derive(Debug)]
struct Watched {
    patience: Duration,
    /// For how long, without times in which this process was stopped, and for whom in what.
    waits: Option<(Duration, String)>,
    /// When the last wait ended.
    free: Instant,
    /// How long this process worked before the present wait.
    worked: Duration,
    last_step: Option<Instant>,
    /// Seconds of the last steps.
    steps: VecDeque<f64>,
}

/// A wait, until it is dropped.
pub(super) struct Waiting<'a>(&'a Watchdog);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut watched = self.0.watched();
        watched.waits = None;
        watched.free = Instant::now();
    }
}

impl Watchdog {
    /// Begins to watch, as rank `rank`.
    ///
    /// # Errors
    /// [`Failure::usage`] where the patience that the environment asks for is no number of seconds.
    pub(super) fn start() -> Result<Self, Failure> {
        let patience = match std::env::var(PATIENCE) {
            Err(_) => DEFAULT_PATIENCE,
            Ok(text) => {
                let seconds = text.parse().ok().filter(|seconds| (0.0..=MOST_PATIENCE).contains(seconds));
                seconds.map(Duration::from_secs_f64).ok_or_else(|| {
                    Failure::usage(format!(
                        "{PATIENCE} is `{text}`; give seconds, from 0 to {MOST_PATIENCE:e}"
                    ))
                })?
            }
        };
        let watched = Watched {
            patience,
            waits: None,
            free: Instant::now(),
            worked: Duration::ZERO,
            last_step: None,
            steps: VecDeque::new(),
        };
        let watchdog = Self(Arc::new(Mutex::new(watched)));
        let own = watchdog.clone();
        std::thread::Builder::new().name("watchdog".to_owned()).spawn(move || own.watch())?;
        Ok(watchdog)
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that this process waits from now on for `what`.
    pub(super) fn wait(&self, what: impl Into<String>) -> Waiting<'_> {
        let mut watched = self.watched();
        watched.worked = watched.free.elapsed();
        watched.waits = Some((Duration::ZERO, what.into()));
        Waiting(self)
    }

    /// Says that a step is made.
    pub(super) fn step_made(&self) {
        let (mut watched, now) = (self.watched(), Instant::now());
        if let Some(last) = watched.last_step.replace(now) {
            watched.steps.push_back((now - last).as_secs_f64());
            if watched.steps.len() > REMEMBERED {
                watched.steps.pop_front();
            }
        }
    }

    fn watch(&self) {
        let mut looked = Instant::now();
        loop {
            std::thread::sleep(LOOKS);
            // A process that was stopped has waited for nobody meanwhile.
            let since = looked.elapsed().min(2 * LOOKS);
            looked = Instant::now();
            let mut watched = self.watched();
            let limit = watched.limit();
            let Some((waited, what)) = &mut watched.waits else { continue };
            *waited += since;
            if *waited > limit {
                let (waited, what) = (*waited, what.clone());
                drop(watched);
                end(&what, waited, limit);
            }
        }
    }
}

impl Watched {
    /// How long a wait may be.
    fn limit(&self) -> Duration {
        let mut steps: Vec<f64> = self.steps.iter().copied().collect();
        steps.sort_by(f64::total_cmp);
        let step = steps.get(steps.len() / 2).copied().unwrap_or(0.0);
        self.patience + Duration::from_secs_f64(STEPS * step) + self.worked.mul_f64(SLOWER)
    }
}

/// Ends this process, and the launchers that would wait as it did.
fn end(what: &str, waited: Duration, limit: Duration) -> ! {
    complain(format_args!(
        "error: rank {} waited {:.0} s for {what}, longer than {:.0} s: a process, its machine or the network is gone, and the job ends. Start it again; \
         training goes on with --resume. {PATIENCE} sets how many seconds a rank waits beyond what is usual",
        rank(),
        waited.as_secs_f64(),
        limit.as_secs_f64()
    ));
    // Launchers hand on what was told.
    std::thread::sleep(Duration::from_millis(500));
    for launcher in launchers() {
        // It may have ended by itself.
        let _gone = kill_process(launcher, Signal::KILL);
    }
    signal_hook::low_level::exit(i32::from(START_AGAIN))
}

/// The launchers among those that this process descends from, the first one first.
fn launchers() -> Vec<Pid> {
    let mut found = Vec::new();
    let mut process = rustix::process::getppid();
    while let Some(pid) = process {
        let Ok(text) = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())) else { break };
        // The name stands in brackets and may hold any; then come the state and the parent.
        let Some((name, rest)) = text.split_once('(').and_then(|(_, rest)| rest.rsplit_once(") ")) else {
            break;
        };
        if LAUNCHERS.contains(&name) {
            found.push(pid);
        }
        process = rest.split(' ').nth(1).and_then(|parent| parent.parse().ok()).and_then(Pid::from_raw);
    }
    found.reverse();
    found
}
