//! Evaluation: makes embeddings with a trained method and hands them to `lookalike-metrics`.
//!
//! Rules: weights of the last epoch, BatchNorm by its running statistics, which are first estimated anew on uniform,
//! un-augmented batches, because batches of look-alikes bias them. The method that training goes on with is not touched:
//! everything here works on a copy.

pub mod cross_validation;
pub mod embed;
pub mod proxy;
pub mod scores;

use lookalike_base::Seed;
use lookalike_metrics::{ProbeOptions, SvmKernel};
use serde::{Deserialize, Serialize};

use crate::error::LearnError;

pub use cross_validation::{Accuracy, CrossValidation};
pub use embed::{Embedded, Embedder, embed, estimate_statistics};
pub use proxy::Proxy;
pub use scores::{BatchScores, Geometry, Score, Scores};

/// The `[evaluate]` section of a recipe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvaluateOptions {
    /// Neighbours k of the weighted kNN classifier (Wu et al. 2018: 200).
    pub knn_k: usize,
    /// Its temperature (0.1 in MoCo's CIFAR-10 demonstration; 0.07 in the paper).
    pub knn_temperature: f32,
    /// Epochs of the linear probe (MoCo: 100).
    pub probe_epochs: usize,
    /// Labels a class that the probe may use; absent: all.
    pub probe_labels_per_class: Option<usize>,
    /// The machine that scores embeddings of graphs; the method's paper's if absent.
    pub svm: Option<SvmKernel>,
    /// Seeds by which the folds of graphs are drawn; 5 if absent.
    pub fold_seeds: Option<usize>,
    /// Instances a batch.
    pub batch_size: usize,
    /// Uniform batches on which BatchNorm's running statistics are estimated anew.
    pub statistics_batches: usize,
}

impl Default for EvaluateOptions {
    fn default() -> Self {
        Self {
            knn_k: 200,
            knn_temperature: 0.1,
            probe_epochs: 100,
            probe_labels_per_class: None,
            svm: None,
            fold_seeds: None,
            batch_size: 256,
            statistics_batches: 50,
        }
    }
}

impl EvaluateOptions {
    /// How the linear probe learns, its order by `seed`.
    pub fn probe(&self, seed: Seed) -> ProbeOptions {
        let Self { probe_epochs: epochs, probe_labels_per_class: labels_per_class, .. } = *self;
        ProbeOptions { epochs, labels_per_class, seed, ..ProbeOptions::default() }
    }

    /// # Errors
    /// [`LearnError::Recipe`] names the first key whose value is impossible.
    pub fn validate(&self) -> Result<(), LearnError> {
        let positive = [
            ("evaluate.knn_k", self.knn_k),
            ("evaluate.probe_epochs", self.probe_epochs),
            ("evaluate.batch_size", self.batch_size),
            ("evaluate.statistics_batches", self.statistics_batches),
        ];
        let refuse =
            |key: &str, reason: &str| LearnError::Recipe { place: key.to_owned(), reason: reason.to_owned() };
        if let Some((key, _)) = positive.into_iter().find(|(_, value)| *value == 0) {
            return Err(refuse(key, "must be at least 1"));
        }
        if !(self.knn_temperature > 0.0 && self.knn_temperature.is_finite()) {
            return Err(refuse("evaluate.knn_temperature", "must be above 0"));
        }
        if self.probe_labels_per_class.is_some_and(|labels| labels < 2) {
            return Err(refuse(
                "evaluate.probe_labels_per_class",
                "must be at least 2, one of them to choose the rate",
            ));
        }
        Ok(())
    }
}
