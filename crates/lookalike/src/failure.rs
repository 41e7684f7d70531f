//! How a command fails: the message with its causes, and the exit status.

use lookalike_data::DataError;
use lookalike_learn::LearnError;

use crate::output::{complain, tell};

/// Exit status after an interrupt, when everything is saved: 128 + SIGINT, as shells have it.
pub(crate) const INTERRUPTED: u8 = 130;

/// Why a command ends early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something went wrong; the status says whose side it is on.
    Error {
        /// The error with its causes.
        error: anyhow::Error,
        /// 2 for usage and recipes, 1 for the rest.
        status: u8,
    },
    /// The user interrupted, and this is how to go on.
    Interrupted(String),
}

impl Failure {
    /// A mistake in how the command was called.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::Error { error: anyhow::Error::msg(message.into()), status: 2 }
    }

    /// What to make of an error: cancelled work is an interrupt, after which `how` to go on is said.
    pub(crate) fn or_interrupted(how: impl Into<String>) -> impl FnOnce(LearnError) -> Self {
        move |error| match error {
            LearnError::Cancelled => Self::Interrupted(how.into()),
            error => error.into(),
        }
    }

    /// The same, with what it is about before the message.
    pub(crate) fn about(self, what: &str) -> Self {
        match self {
            Self::Error { error, status } => {
                Self::Error { error: anyhow::anyhow!("{what}: {error}"), status }
            }
            interrupted @ Self::Interrupted(_) => interrupted,
        }
    }

    /// Prints the reason to standard error, and gives the exit status.
    pub(crate) fn report(self) -> u8 {
        match self {
            Self::Error { error, status } => {
                complain(format_args!("error: {error}"));
                // Errors that only pass on another one repeat its words; each cause is told once.
                let mut told = error.to_string();
                for cause in error.chain().skip(1).map(ToString::to_string) {
                    if !told.contains(&cause) {
                        complain(format_args!("  because: {cause}"));
                    }
                    told = cause;
                }
                status
            }
            Self::Interrupted(how) => {
                tell(format_args!("interrupted: {how}"));
                INTERRUPTED
            }
        }
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        let error = error.into();
        if let Some(LearnError::Cancelled) = error.downcast_ref() {
            return Self::Interrupted("the work was not finished".to_owned());
        }
        let status = match error.downcast_ref() {
            Some(
                LearnError::Recipe { .. }
                | LearnError::Device { .. }
                | LearnError::Data(DataError::Option { .. }),
            ) => 2,
            _ => 1,
        };
        Self::Error { error, status }
    }
}
