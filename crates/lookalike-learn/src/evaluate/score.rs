//! A score: either a number or the reason why there is none.

use lookalike_metrics::MetricError;
use serde::Serialize;

use crate::error::LearnError;

/// A number, or why it is undefined.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Score {
    /// The number.
    Value(f64),
    /// The reason.
    Undefined {
        /// In words.
        undefined: String,
    },
}

impl Score {
    /// The number, where there is one.
    pub fn value(&self) -> Option<f64> {
        match self {
            Self::Value(value) => Some(*value),
            Self::Undefined { .. } => None,
        }
    }

    /// No number, for this reason.
    pub fn undefined(reason: impl Into<String>) -> Self {
        Self::Undefined { undefined: reason.into() }
    }

    /// A score from the metrics; what the input does not determine becomes [`Score::Undefined`], anything else stays an
    /// error.
    ///
    /// # Errors
    /// [`LearnError::Metrics`] and [`LearnError::Cancelled`].
    pub fn of(result: Result<f64, MetricError>) -> Result<Self, LearnError> {
        match result {
            Ok(value) => Ok(Self::Value(value)),
            Err(error @ MetricError::Undefined { .. }) => Ok(Self::undefined(error.to_string())),
            Err(error) => Err(error.into()),
        }
    }

    /// As [`Score::of`], of a score that was made on the way of other work.
    ///
    /// # Errors
    /// Those of that work.
    pub fn of_learning(result: Result<f64, LearnError>) -> Result<Self, LearnError> {
        match result {
            Err(LearnError::Metrics(error)) => Self::of(Err(error)),
            Ok(value) => Ok(Self::Value(value)),
            Err(error) => Err(error),
        }
    }

    /// As a percentage.
    pub fn share(&self) -> String {
        self.shown(|value| format!("{:6.2} %", 100.0 * value))
    }

    /// As a number.
    pub fn digits(&self) -> String {
        self.shown(|value| format!("{value:8.4}"))
    }

    fn shown(&self, show: impl Fn(f64) -> String) -> String {
        match self {
            Self::Value(value) => show(*value),
            Self::Undefined { undefined } => format!("undefined: {undefined}"),
        }
    }
}
