//! Why a score could not be given.

use lookalike_base::MatrixError;
use lookalike_kernels::KernelError;
use thiserror::Error;

/// Why a score could not be given.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum MetricError {
    /// The input is valid, but does not determine the score.
    #[error("{score} is undefined: {reason}")]
    Undefined {
        /// The score.
        score: &'static str,
        /// What it would need.
        reason: String,
    },
    /// A value of the input is NaN or infinite.
    #[error("{what}: {problem}")]
    Values {
        /// Which of the inputs.
        what: &'static str,
        /// Where.
        problem: MatrixError,
    },
    /// Two inputs do not fit each other.
    #[error("there are {found} {what}, but {expected} are needed, one for each of the {of}")]
    Length {
        /// What there is too much or too little of.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there should be.
        expected: usize,
        /// What they belong to.
        of: &'static str,
    },
    /// Two matrices differ in width.
    #[error("{first} have {first_columns} dimensions, but {second} have {second_columns}")]
    Dimensions {
        /// The first matrix.
        first: &'static str,
        /// Its columns.
        first_columns: usize,
        /// The second matrix.
        second: &'static str,
        /// Its columns.
        second_columns: usize,
    },
    /// A label is not below the number of classes.
    #[error("label {label} of {what} {row} is not below the number of classes, {classes}")]
    Label {
        /// Which of the inputs.
        what: &'static str,
        /// The row with the label.
        row: usize,
        /// The label.
        label: u32,
        /// The number of classes.
        classes: usize,
    },
    /// A batch names an instance that does not exist.
    #[error("batch {batch} names instance {instance}, but there are only {instances}")]
    Instance {
        /// The batch.
        batch: usize,
        /// The instance.
        instance: u32,
        /// Number of instances.
        instances: usize,
    },
    /// One entry of a list cannot be used.
    #[error("{what} {at}: {problem}")]
    Entry {
        /// What the list holds, in the singular.
        what: &'static str,
        /// Its place in the list, from 0.
        at: usize,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
    /// An option has a value with which nothing can be computed.
    #[error("{option} is {value}; it must be {needed}")]
    Option {
        /// Its name.
        option: &'static str,
        /// Its value.
        value: String,
        /// What it must be.
        needed: &'static str,
    },
    /// The singular value decomposition did not converge.
    #[error("the singular value decomposition did not converge")]
    Decomposition,
    /// Whoever asked for it has asked it to stop.
    #[error("stopped before it was done")]
    Cancelled,
    /// The kernels refused.
    #[error(transparent)]
    Kernel(#[from] KernelError),
}

impl MetricError {
    pub(crate) fn undefined(score: &'static str, reason: impl Into<String>) -> Self {
        Self::Undefined { score, reason: reason.into() }
    }

    pub(crate) fn entry(what: &'static str, at: usize, problem: impl Into<String>) -> Self {
        Self::Entry { what, at, problem: problem.into() }
    }

    pub(crate) fn option(option: &'static str, value: &impl ToString, needed: &'static str) -> Self {
        Self::Option { option, value: value.to_string(), needed }
    }
}
