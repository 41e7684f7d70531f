//! The scores of a trained encoder, each either a number or the reason why there is none.

use lookalike_base::{Rows, Seed, Watch};
use lookalike_metrics::{
    Centering, KnnOptions, MetricError, UniformityOptions, collapse, false_negative_rate, hardness,
    knn_accuracy, linear_probe, rank_me, spectrum, uniformity,
};
use serde::Serialize;

use super::{Embedded, EvaluateOptions};
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

    /// A score from the metrics; what the input does not determine becomes [`Score::Undefined`], anything else stays an
    /// error.
    pub(crate) fn of(result: Result<f64, MetricError>) -> Result<Self, LearnError> {
        match result {
            Ok(value) => Ok(Self::Value(value)),
            Err(error @ MetricError::Undefined { .. }) => {
                Ok(Self::Undefined { undefined: error.to_string() })
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl std::fmt::Display for Score {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Value(value) => write!(formatter, "{value:.4}"),
            Self::Undefined { undefined } => write!(formatter, "undefined: {undefined}"),
        }
    }
}

/// A labelled part of a data set: labels may be missing.
#[derive(Debug, Clone, Default)]
pub struct Labels {
    /// One an instance; empty where the data set has none.
    pub labels: Vec<u32>,
    /// Number of classes.
    pub classes: usize,
}

/// Weighted kNN accuracy of `test` against `train`.
///
/// # Errors
/// [`LearnError::Metrics`] where rows do not fit or are not finite; missing labels are an undefined score.
pub fn knn(
    [train, test]: [Rows<'_>; 2],
    [train_labels, test_labels]: [&Labels; 2],
    options: &EvaluateOptions,
) -> Result<Score, LearnError> {
    let knn = KnnOptions { k: options.knn_k, temperature: options.knn_temperature };
    let classes = train_labels.classes.max(test_labels.classes);
    let result = knn_accuracy(train, &train_labels.labels, test, &test_labels.labels, classes, &knn);
    Score::of(result.map(|knn| knn.accuracy))
}

/// What `lookalike evaluate` measures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Scores {
    /// Weighted kNN accuracy on the representation.
    pub knn: Score,
    /// Accuracy of a linear probe on the representation; absent where not asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linear: Option<Score>,
    /// The learning rate that the probe chose.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linear_rate: Option<f32>,
    /// Labels a class that the probe was allowed; absent where all were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linear_labels_per_class: Option<usize>,
    /// Geometry of the test split.
    #[serde(flatten)]
    pub geometry: Geometry,
    /// The last epoch's batches, on the train split's projections.
    #[serde(flatten)]
    pub batches: BatchScores,
}

/// How representations lie.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Geometry {
    /// Uniformity of the normalised representations.
    pub uniformity: Score,
    /// Effective rank of the centred representations.
    pub effective_rank: Score,
    /// RankMe of the representations, not centred.
    pub rank_me: Score,
    /// Mean standard deviation a dimension of the normalised representations; 1/√d is healthy, 0 collapsed.
    pub deviation: Score,
}

impl Geometry {
    /// Measures `representation`.
    ///
    /// # Errors
    /// [`LearnError::Metrics`] where it is not finite.
    pub fn of(representation: Rows<'_>) -> Result<Self, LearnError> {
        let spread = UniformityOptions::default();
        let rank =
            spectrum(representation, Centering::Centered).and_then(|spectrum| spectrum.effective_rank());
        Ok(Self {
            uniformity: Score::of(uniformity(representation, &spread).map(|uniformity| uniformity.value))?,
            effective_rank: Score::of(rank)?,
            rank_me: Score::of(rank_me(representation))?,
            deviation: Score::of(collapse(representation).map(|collapse| collapse.mean))?,
        })
    }
}

/// What the batches of an epoch are like.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BatchScores {
    /// Mean similarity of anchors to their negatives, less that of uniform batches.
    pub hardness: Score,
    /// Share of negatives of the anchor's own class.
    pub false_negative_rate: Score,
    /// The same for uniform batches.
    pub false_negative_rate_uniform: Score,
}

impl BatchScores {
    /// Measures `plan` on the `projection` of the instances, which are of `labels`.
    ///
    /// # Errors
    /// [`LearnError::Metrics`] where projections are not finite.
    pub fn of(plan: &[Vec<u32>], projection: Rows<'_>, labels: &Labels) -> Result<Self, LearnError> {
        let negatives = || false_negative_rate(plan, &labels.labels);
        Ok(Self {
            hardness: Score::of(
                hardness(plan, projection, Watch::default()).map(|hardness| hardness.difference),
            )?,
            false_negative_rate: Score::of(negatives().map(|rate| rate.rate))?,
            false_negative_rate_uniform: Score::of(negatives().map(|rate| rate.uniform))?,
        })
    }
}

impl Scores {
    /// Measures `train` and `test` embeddings; `plan` are the batches of the run's last epoch.
    ///
    /// # Errors
    /// [`LearnError::Metrics`] where embeddings are not finite, or the probe was asked to stop.
    pub fn measure(
        [train, test]: [&Embedded; 2],
        labels: [&Labels; 2],
        plan: &[Vec<u32>],
        options: &EvaluateOptions,
        probe: Option<(Seed, Watch<'_>)>,
    ) -> Result<Self, LearnError> {
        let rows = [train.representation.rows(), test.representation.rows()];
        let linear = probe.map(|(seed, watch)| {
            let probe = options.probe(seed);
            let ([train, test], classes) = (labels, labels[0].classes.max(labels[1].classes));
            let result = linear_probe(rows[0], &train.labels, rows[1], &test.labels, classes, &probe, watch);
            let rate = result.as_ref().ok().map(|probe| probe.rate);
            Score::of(result.map(|probe| probe.accuracy)).map(|score| (score, rate))
        });
        let (linear, linear_rate) = match linear.transpose()? {
            Some((score, rate)) => (Some(score), rate),
            None => (None, None),
        };
        Ok(Self {
            knn: knn(rows, labels, options)?,
            linear_labels_per_class: linear.as_ref().and(options.probe_labels_per_class),
            linear,
            linear_rate,
            geometry: Geometry::of(rows[1])?,
            batches: BatchScores::of(plan, train.projection.rows(), labels[0])?,
        })
    }
}
