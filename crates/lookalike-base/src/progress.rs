//! How long work says how far it has come, and learns that it should stop. Libraries report; whoever calls them decides what is shown.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

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

/// Shows how far one piece of work has come.
pub trait Progress: Send + Sync {
    /// Counts `n` more steps as done.
    fn advance(&self, n: u64);

    /// Counts `n` steps in all as done. If this comes before any other step, as on resuming, the rate is counted from there.
    fn set_position(&self, n: u64);

    /// Shows `text` behind the count from now on, for instance the loss.
    fn message(&self, text: &str);

    /// Prints a line of text without disturbing the display.
    fn note(&self, text: &str);

    /// Ends the display.
    fn finish(&self);
}

/// Starts the display of one piece of work after another.
pub trait ProgressDisplay: Send + Sync {
    /// Starts to show work of `total` steps under the name `label`.
    fn start(&self, total: u64, label: &str) -> Box<dyn Progress>;
}

/// Shows nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn advance(&self, _: u64) {}
    fn set_position(&self, _: u64) {}
    fn message(&self, _: &str) {}
    fn note(&self, _: &str) {}
    fn finish(&self) {}
}

impl ProgressDisplay for Silent {
    fn start(&self, _: u64, _: &str) -> Box<dyn Progress> {
        Box::new(Self)
    }
}

/// What long work is given: where it reports its progress, and the flag that asks it to stop.
///
/// [`Watch::default`] shows nothing and never stops. What the work counts is said in its documentation.
#[derive(Clone, Copy)]
pub struct Watch<'a> {
    /// Where the work reports how far it has come.
    pub progress: &'a dyn Progress,
    /// Asks the work to stop.
    pub cancellation: &'a Cancellation,
}

impl<'a> Watch<'a> {
    /// Shows nothing, and stops the work once `cancellation` is raised.
    pub fn silent(cancellation: &'a Cancellation) -> Self {
        Self { progress: &Silent, cancellation }
    }

    /// Whether the work is to stop.
    pub fn is_cancelled(self) -> bool {
        self.cancellation.is_cancelled()
    }
}

impl Default for Watch<'_> {
    fn default() -> Self {
        static NEVER: LazyLock<Cancellation> = LazyLock::new(Cancellation::new);
        Self::silent(&NEVER)
    }
}

impl std::fmt::Debug for Watch<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Watch").field("cancellation", self.cancellation).finish_non_exhaustive()
    }
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
    fn a_watch_hears_its_own_flag_and_the_default_one_none() {
        let flag = Cancellation::new();
        flag.cancel();
        assert!(Watch::silent(&flag).is_cancelled());
        assert!(!Watch::default().is_cancelled());
    }
}
