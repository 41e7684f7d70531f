//! Progress on standard error: a bar on a terminal, lines elsewhere. Work that took less than two seconds leaves nothing behind.

mod lines;

use std::env;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use lookalike_base::progress::{Progress, ProgressDisplay, Silent};

use lines::LogLines;

use crate::output::is_quiet;

/// Work that took less than this leaves no trace.
const WORTH_SHOWING: Duration = Duration::from_secs(2);

/// Standard error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terminal;

impl ProgressDisplay for Terminal {
    fn start(&self, total: u64, label: &str) -> Box<dyn Progress> {
        if is_quiet() {
            return Box::new(Silent);
        }
        let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        if io::stderr().is_terminal() && !dumb {
            Box::new(Bar::new(total, label))
        } else {
            Box::new(Lines { lines: Mutex::new(LogLines::new(total, label)), started: Instant::now() })
        }
    }
}

/// A bar with count, rate, time left and a message, in colour unless `NO_COLOR` is set.
struct Bar {
    drawn: ProgressBar,
    started: Instant,
    /// Whether a position was set, from which the rate is counted.
    placed: AtomicBool,
}

impl Bar {
    fn new(total: u64, label: &str) -> Self {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
        bar.set_style(style());
        bar.set_prefix(label.to_owned());
        bar.enable_steady_tick(Duration::from_millis(500));
        Self { drawn: bar, started: Instant::now(), placed: AtomicBool::new(false) }
    }
}

impl Progress for Bar {
    fn advance(&self, n: u64) {
        self.placed.store(true, Ordering::Relaxed);
        self.drawn.inc(n);
    }

    fn set_position(&self, n: u64) {
        self.drawn.set_position(n);
        if !self.placed.swap(true, Ordering::Relaxed) {
            self.drawn.reset_eta();
        }
    }

    fn message(&self, text: &str) {
        self.drawn.set_message(text.to_owned());
    }

    fn note(&self, text: &str) {
        self.drawn.suspend(|| print(text));
    }

    /// What has been reached stays to be read, if it took long enough to matter.
    fn finish(&self) {
        if self.started.elapsed() < WORTH_SHOWING {
            self.drawn.finish_and_clear();
        } else {
            self.drawn.abandon();
        }
    }
}

/// The same every five seconds as a line, for logs and pipes.
struct Lines {
    lines: Mutex<LogLines>,
    started: Instant,
}

impl Lines {
    fn lock(&self) -> MutexGuard<'_, LogLines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress for Lines {
    fn advance(&self, n: u64) {
        print_due(self.lock().advance(n, self.started.elapsed()));
    }

    fn set_position(&self, n: u64) {
        print_due(self.lock().set_position(n, self.started.elapsed()));
    }

    fn message(&self, text: &str) {
        self.lock().message(text);
    }

    fn note(&self, text: &str) {
        print(text);
    }

    fn finish(&self) {
        print_due(self.lock().finish(self.started.elapsed()));
    }
}

fn print_due(line: Option<String>) {
    if let Some(line) = line {
        print(&line);
    }
}

/// A closed standard error must not stop the work whose progress cannot be shown.
fn print(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

fn style() -> ProgressStyle {
    let colored = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    // Eighty columns hold a short bar, and what the work says of itself.
    let bar = if colored { "{bar:6.cyan/blue}" } else { "{bar:6}" };
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
    fn progress_is_shared_between_threads() {
        let lines = Lines { lines: Mutex::new(LogLines::new(4, "shared")), started: Instant::now() };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| lines.advance(1));
            }
        });
        assert_eq!(lines.lock().finish(Duration::from_secs(3)).unwrap(), "shared 4/4, 1.3/s, took 3 seconds");
    }

    #[test]
    fn the_bar_s_template_is_valid() {
        let bar = ProgressBar::with_draw_target(Some(10), ProgressDrawTarget::hidden()).with_style(style());
        bar.inc(1);
        assert_eq!(bar.position(), 1);
    }
}
