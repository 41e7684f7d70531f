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
        "{what} is {value:e} at step {step}; its batch holds {}; {last_good}. {CURES}",
        members(instances, names)
    )]
    NotFinite {
        /// The loss, or the gradient of which parameter.
        what: String,
        /// The value.
        value: f64,
        /// The optimiser step.
        step: u64,
        /// Who was in the batch.
        instances: Vec<u32>,
        /// What they are called, as by their files, where they have names and these are known.
        names: Vec<String>,
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
    /// From ranks that share a run.
    #[error(transparent)]
    Ranks(#[from] lookalike_base::RanksError),
    /// From a matrix.
    #[error(transparent)]
    Matrix(#[from] lookalike_base::MatrixError),
}

/// What helps against numbers that are not finite.
pub(crate) const CURES: &str = "A lower learning rate (optimizer.learning_rate), a longer warm-up (train.warmup_epochs), clipped gradients \
                                (optimizer.clip) or a higher loss.temperature is the usual cure";

/// How many members of a batch a message names.
const NAMED: usize = 8;

/// The first members of a batch, by name where they have one.
fn members(instances: &[u32], names: &[String]) -> String {
    let mut named: Vec<String> = names.iter().take(NAMED).cloned().collect();
    if named.is_empty() {
        named = instances.iter().take(NAMED).map(|instance| format!("instance {instance}")).collect();
    }
    let more = instances.len().saturating_sub(named.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", named.join(", "))
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
