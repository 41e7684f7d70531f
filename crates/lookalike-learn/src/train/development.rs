//! A run that is judged while it trains: a score every so many steps, and the tensors of the best step beside those of the last.
//!
//! The best never takes the place of the last: a run ends with its last step, and `best.safetensors` stands beside its `model.safetensors`.

use std::path::Path;

use lookalike_base::arrays::Arrays;
use lookalike_base::progress::Cancellation;
use lookalike_base::tensors::{self, TensorFile};
use serde::{Deserialize, Serialize};

use crate::error::LearnError;
use crate::method::Embedder;

/// The file of a run that holds the tensors of the best step, under the names of `model.safetensors`.
pub const BEST: &str = "best.safetensors";

/// What gives a network its score: the larger the better.
pub type Judge = Box<dyn FnMut(&mut dyn Embedder, &Cancellation) -> Result<f64, LearnError> + Send>;

/// How a run is judged.
pub struct Development {
    /// Optimiser steps from one judgement to the next; the last step is judged too.
    pub every: u64,
    /// What the score is, in words.
    pub name: String,
    /// What gives it.
    pub judge: Judge,
}

impl std::fmt::Debug for Development {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Development")
            .field("every", &self.every)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Development {
    /// Whether step `step` is to be judged in a run that ends with step `last`.
    pub(super) fn is_due(&self, step: u64, last: u64) -> bool {
        step > 0 && (step.is_multiple_of(self.every) || step == last)
    }
}

/// The best step so far.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Its score.
    pub score: f64,
    /// Optimiser steps made then.
    pub step: u64,
}

/// What has been judged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Judged {
    /// The last step that was; 0 for none.
    pub last: u64,
    /// The best of them.
    pub best: Option<Best>,
}

impl Judged {
    /// Takes the score of step `step`, and gives the best step; the first of several that are alike.
    pub(super) fn take(&mut self, score: f64, step: u64) -> Best {
        self.last = step;
        let best = self.best.filter(|best| best.score >= score).unwrap_or(Best { score, step });
        self.best = Some(best);
        best
    }
}

/// Puts the best step's tensors into the folder `run`. Where there is none yet, what a killed process left there stays: the same step
/// comes again, with the same bits.
///
/// # Errors
/// [`LearnError::ArrayFile`] where the folder cannot be written.
pub(super) fn keep(run: &Path, best: &Arrays) -> Result<(), LearnError> {
    if best.is_empty() {
        return Ok(());
    }
    let file = TensorFile { tensors: best.clone(), ..TensorFile::default() };
    Ok(tensors::write(run.join(BEST), &file)?)
}
