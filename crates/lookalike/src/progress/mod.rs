//! Progress on the terminal, and a flag that asks long work to stop.

mod lines;

use std::env;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use lines::Lines;

/// Work that took less than this leaves no trace.
const WORTH_SHOWING: Duration = Duration::from_secs(2);

/// A flag, shared by its clones, by which long work is asked to stop at the next good moment.
#[derive(Debug, Clone, Default)]
pub struct Cancellation {
    cancelled: Arc<AtomicBool>,
}

impl Cancellation {
    /// A flag that is not raised.
    pub fn new() -> Self {
        Self::default()
    }

    /// Raises the flag, for good.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
    }

    /// Whether the flag is raised.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }
}

/// How long work tells how far it has come, and hears that it is to stop.
#[derive(Debug, Clone, Copy)]
pub struct Watch<'a> {
    /// What is shown of it; the work says what it counts.
    pub progress: &'a Progress,
    /// Asks it to stop.
    pub cancellation: &'a Cancellation,
}

impl<'a> Watch<'a> {
    /// Of work whose progress nobody sees.
    pub fn unseen(cancellation: &'a Cancellation) -> Self {
        static HIDDEN: Progress = Progress::hidden();
        Self { progress: &HIDDEN, cancellation }
    }

    /// Whether the work is to stop.
    pub fn is_cancelled(self) -> bool {
        self.cancellation.is_cancelled()
    }
}

/// How far some work has come, shown on standard error.
///
/// On a terminal it is a bar with count, rate, time left and a message, in colour unless `NO_COLOR` is set; elsewhere a
/// line of the same every five seconds. Work that took less than two seconds leaves nothing behind.
#[derive(Debug)]
pub struct Progress {
    form: Form,
}

#[derive(Debug)]
enum Form {
    Hidden,
    Bar { bar: ProgressBar, started: Instant, placed: AtomicBool },
    Lines { lines: Mutex<Lines>, started: Instant },
}

impl Progress {
    /// Starts to show work of `total` steps under the name `label`.
    pub fn new(total: u64, label: &str) -> Self {
        let started = Instant::now();
        let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        if !io::stderr().is_terminal() || dumb {
            return Self { form: Form::Lines { lines: Mutex::new(Lines::new(total, label)), started } };
        }
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
        bar.set_style(style());
        bar.set_prefix(label.to_owned());
        bar.enable_steady_tick(Duration::from_millis(500));
        Self { form: Form::Bar { bar, started, placed: AtomicBool::new(false) } }
    }

    /// Shows nothing, for tests and for work whose caller wants silence.
    pub const fn hidden() -> Self {
        Self { form: Form::Hidden }
    }

    /// Counts `n` steps more as done.
    pub fn advance(&self, n: u64) {
        match &self.form {
            Form::Hidden => {}
            Form::Bar { bar, placed, .. } => {
                placed.store(true, Ordering::Relaxed);
                bar.inc(n);
            }
            Form::Lines { started, .. } => self.line(|lines| lines.advance(n, started.elapsed())),
        }
    }

    /// Counts `n` steps in all as done. Where this comes before any other step, as on resuming, the rate is counted
    /// from there.
    pub fn set_position(&self, n: u64) {
        match &self.form {
            Form::Hidden => {}
            Form::Bar { bar, placed, .. } => {
                bar.set_position(n);
                if !placed.swap(true, Ordering::Relaxed) {
                    bar.reset_eta();
                }
            }
            Form::Lines { started, .. } => self.line(|lines| lines.set_position(n, started.elapsed())),
        }
    }

    /// Shows `text` behind the count from now on, for instance the loss.
    pub fn message(&self, text: impl Into<String>) {
        match &self.form {
            Form::Hidden => {}
            Form::Bar { bar, .. } => bar.set_message(text.into()),
            Form::Lines { lines, .. } => {
                lines.lock().unwrap_or_else(PoisonError::into_inner).message(text.into());
            }
        }
    }

    /// Prints a line of text on standard error without disturbing the bar.
    pub fn note(&self, text: &str) {
        match &self.form {
            Form::Hidden => {}
            Form::Bar { bar, .. } => bar.suspend(|| print(text)),
            Form::Lines { .. } => print(text),
        }
    }

    /// Ends the display: what has been reached stays to be read, if it took long enough to matter.
    pub fn finish(&self) {
        match &self.form {
            Form::Hidden => {}
            Form::Bar { bar, started, .. } if started.elapsed() < WORTH_SHOWING => bar.finish_and_clear(),
            Form::Bar { bar, .. } => bar.abandon(),
            Form::Lines { started, .. } => self.line(|lines| lines.finish(started.elapsed())),
        }
    }

    fn line(&self, update: impl FnOnce(&mut Lines) -> Option<String>) {
        if let Form::Lines { lines, .. } = &self.form
            && let Some(text) = update(&mut lines.lock().unwrap_or_else(PoisonError::into_inner))
        {
            print(&text);
        }
    }
}

/// A closed standard error must not stop the work whose progress cannot be shown.
fn print(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

fn style() -> ProgressStyle {
    let colored = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let bar = if colored { "{bar:30.cyan/blue}" } else { "{bar:30}" };
    let template = format!("{{prefix}} {bar} {{human_pos}}/{{human_len}} {{rate}} {{eta}} left {{wide_msg}}");
    ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar()).with_key(
        "rate",
        |state: &ProgressState, text: &mut dyn std::fmt::Write| {
            // A column that cannot be written is left out of the display; there is nobody to tell.
            let _ = write!(text, "{:.1}/s", state.per_sec());
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cancellation_reaches_every_clone() {
        let flag = Cancellation::new();
        let clone = flag.clone();
        assert!(!clone.is_cancelled());
        flag.cancel();
        assert!(clone.is_cancelled());
    }

    #[test]
    fn progress_is_shared_between_threads() {
        let progress = Progress::hidden();
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| progress.advance(1));
            }
        });
        progress.message("done");
        progress.finish();
    }

    #[test]
    fn the_bar_s_template_is_valid() {
        let bar = ProgressBar::with_draw_target(Some(10), ProgressDrawTarget::hidden()).with_style(style());
        bar.inc(1);
        assert_eq!(bar.position(), 1);
    }
}
