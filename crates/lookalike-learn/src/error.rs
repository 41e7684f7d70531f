//! What can go wrong while learning.

use std::path::PathBuf;

use thiserror::Error;

/// Why a recipe, a run or an evaluation could not go on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LearnError {
    /// The work was asked to stop before it was done.
    #[error("the work was cancelled")]
    Cancelled,
    /// A device that is unknown, not built in, or not there.
    #[error("device `{name}`: {reason}")]
    Device {
        /// As the recipe names it.
        name: String,
        /// Why not.
        reason: String,
    },
    /// A recipe that cannot be read or cannot be run.
    #[error("{place}: {reason}")]
    Recipe {
        /// The file or key.
        place: String,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// An input that an encoder or method cannot read: a part of the program that does not fit another.
    #[error("{0}")]
    Input(String),
    /// Weights that do not fit the network.
    #[error("weights: tensor `{name}`: {reason}")]
    Weights {
        /// The tensor's name.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A folder of a sentence encoder that cannot be read or written.
    #[error("{}: {reason}", path.display())]
    SentenceEncoder {
        /// The folder or the file in it.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A checkpoint that cannot be used.
    #[error("checkpoint {}: {reason}", path.display())]
    Checkpoint {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A loss or gradient that is NaN or infinite.
    #[error(
        "the loss is {loss} at step {step}; its batch's instances are {instances:?}; {last_good}. \
         A lower learning rate (optimizer.learning_rate) or a longer warm-up (train.warmup_epochs) is the usual cure"
    )]
    NotFinite {
        /// The value.
        loss: f32,
        /// The optimiser step.
        step: u64,
        /// Who was in the batch.
        instances: Vec<u32>,
        /// Where the last good checkpoint is.
        last_good: String,
    },
    /// Too few instances, or anything else that evaluation needs and does not find.
    #[error("evaluation: {0}")]
    Evaluation(String),
    /// A file of the run that cannot be written or read.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
    /// From the data.
    #[error(transparent)]
    Data(lookalike_data::DataError),
    /// From the sampler.
    #[error(transparent)]
    Sampling(lookalike_sampling::SamplingError),
    /// From the metrics.
    #[error(transparent)]
    Metrics(lookalike_metrics::MetricError),
    /// From an array file.
    #[error(transparent)]
    ArrayFile(#[from] lookalike_base::ArrayFileError),
    /// From a matrix.
    #[error(transparent)]
    Matrix(#[from] lookalike_base::MatrixError),
}

/// Cancelled work is one variant, wherever it was done.
impl From<lookalike_data::DataError> for LearnError {
    fn from(error: lookalike_data::DataError) -> Self {
        match error {
            lookalike_data::DataError::Cancelled { .. } | lookalike_data::DataError::Stopped => {
                Self::Cancelled
            }
            error => Self::Data(error),
        }
    }
}

impl From<lookalike_sampling::SamplingError> for LearnError {
    fn from(error: lookalike_sampling::SamplingError) -> Self {
        match error {
            lookalike_sampling::SamplingError::Cancelled => Self::Cancelled,
            error => Self::Sampling(error),
        }
    }
}

impl From<lookalike_metrics::MetricError> for LearnError {
    fn from(error: lookalike_metrics::MetricError) -> Self {
        match error {
            lookalike_metrics::MetricError::Cancelled => Self::Cancelled,
            error => Self::Metrics(error),
        }
    }
}
