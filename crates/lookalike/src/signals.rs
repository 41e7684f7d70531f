//! Signals that ask the work to stop: Ctrl-C by a user, and those by which schedulers announce that they will.
//!
//! The work saves what it has and ends. What it was asked by decides the exit status: 130 after Ctrl-C, 75 after the others, which says
//! "start me again" (`EX_TEMPFAIL` of sysexits.h) to Slurm's requeue, systemd and loops around the command.

use std::sync::atomic::{AtomicBool, Ordering};

use lookalike_base::progress::Cancellation;

use crate::failure::{Failure, INTERRUPTED};

/// Exit status after a signal of a scheduler, when everything is saved.
#[cfg(unix)]
pub(crate) const START_AGAIN: u8 = 75;

/// Whether the first signal came from a scheduler.
static SCHEDULED: AtomicBool = AtomicBool::new(false);

/// Raises `cancellation` with the first signal; a second Ctrl-C ends the process.
#[cfg(unix)]
pub(crate) fn listen(cancellation: &Cancellation) -> Result<(), Failure> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};

    let mut signals = vec![SIGINT, SIGTERM, SIGUSR1];
    // Under `nohup` the end of the terminal is no reason to stop.
    signals.extend((!is_ignored(SIGHUP)).then_some(SIGHUP));
    let mut heard = signal_hook::iterator::Signals::new(signals)?;
    let cancellation = cancellation.clone();
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        for signal in heard.forever() {
            // Whoever presses Ctrl-C twice does not want to wait for the checkpoint. Schedulers repeat themselves without meaning it.
            if cancellation.is_cancelled() && signal == SIGINT {
                std::process::exit(i32::from(INTERRUPTED));
            }
            if !cancellation.is_cancelled() {
                SCHEDULED.store(signal != SIGINT, Ordering::Relaxed);
                cancellation.cancel();
            }
        }
    })?;
    Ok(())
}

/// Whether the process began with that signal ignored, as far as the system shows it.
#[cfg(unix)]
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

/// Raises `cancellation` with the first Ctrl-C; a second one ends the process.
#[cfg(not(unix))]
pub(crate) fn listen(cancellation: &Cancellation) -> Result<(), Failure> {
    let cancellation = cancellation.clone();
    ctrlc::set_handler(move || {
        if cancellation.is_cancelled() {
            std::process::exit(i32::from(INTERRUPTED));
        }
        cancellation.cancel();
    })?;
    Ok(())
}

/// Whether a scheduler asked for the end.
pub(crate) fn is_scheduled() -> bool {
    SCHEDULED.load(Ordering::Relaxed)
}

/// Says whether a scheduler asked for the end, of this process or of another one of its run.
pub(crate) fn set_scheduled(scheduled: bool) {
    SCHEDULED.store(scheduled, Ordering::Relaxed);
}

/// The exit status of work that ended with `status`: that of an interrupt hangs on who interrupted.
pub(crate) fn status(status: u8) -> u8 {
    #[cfg(unix)]
    if status == INTERRUPTED && SCHEDULED.load(Ordering::Relaxed) {
        return START_AGAIN;
    }
    status
}
