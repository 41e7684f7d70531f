//! Why there is no page.

use std::path::PathBuf;

use lookalike_metrics::MetricError;
use lookalike_sampling::SamplingError;

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("{path}: {problem}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// What was given does not fit together.
    #[error("{0}")]
    Input(String),
    /// A score cannot be measured.
    #[error(transparent)]
    Metric(MetricError),
    /// A graph cannot be built.
    #[error(transparent)]
    Sampling(SamplingError),
    /// The work was asked to stop.
    #[error("cancelled")]
    Cancelled,
}

/// Cancelled work is one variant, wherever it was done.
impl From<SamplingError> for ReportError {
    fn from(error: SamplingError) -> Self {
        match error {
            SamplingError::Cancelled => Self::Cancelled,
            error => Self::Sampling(error),
        }
    }
}

impl From<MetricError> for ReportError {
    fn from(error: MetricError) -> Self {
        match error {
            MetricError::Cancelled => Self::Cancelled,
            error => Self::Metric(error),
        }
    }
}

impl From<lookalike_kernels::KernelError> for ReportError {
    fn from(error: lookalike_kernels::KernelError) -> Self {
        SamplingError::from(error).into()
    }
}
