//! What the batches of the last epoch are like: how hard their negatives are, and how many of them are false.

use lookalike_base::Watch;
use lookalike_metrics::{false_negative_rate, hardness};

use super::{Figure, Score, ScoreEntry, Subject};
use crate::error::LearnError;

/// The last epoch's batches in a registry.
pub const ENTRY: ScoreEntry =
    ScoreEntry { kind: "batches", about: "score of batches", measure, ..ScoreEntry::PLAIN };

/// Mean similarity of anchors to their negatives, less that of uniform batches; the share of negatives of the anchor's own class, and
/// the same for uniform batches. On projections of the part to learn from. Nothing where the batches are not known.
fn measure(subject: &Subject<'_>) -> Result<Vec<Figure>, LearnError> {
    let Some(projection) = subject.projection.filter(|_| !subject.plan.is_empty()) else {
        return Ok(Vec::new());
    };
    let labels = subject.labels().labels;
    let rate = || false_negative_rate(subject.plan, &labels);
    let hard = hardness(subject.plan, projection.rows(), Watch::default());
    let hard = Score::of(hard.map(|hardness| hardness.difference))?;
    let own = Score::of(rate().map(|rate| rate.rate))?;
    let uniform = Score::of(rate().map(|rate| rate.uniform))?;
    [
        ("hardness", "hardness of the last epoch's batches, above uniform", &hard, hard.digits()),
        ("false_negative_rate", "false negatives in them", &own, own.share()),
        ("false_negative_rate_uniform", "false negatives in uniform batches", &uniform, uniform.share()),
    ]
    .into_iter()
    .map(|(key, title, score, text)| Figure::new(subject.key(key), score, subject.title_alone(title), text))
    .collect()
}
