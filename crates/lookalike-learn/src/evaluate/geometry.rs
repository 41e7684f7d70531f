//! How representations lie: uniformity, rank and deviation.

use lookalike_metrics::{Centering, UniformityOptions, collapse, rank_me, spectrum, uniformity};

use super::{Figure, Score, ScoreEntry, Subject};
use crate::error::LearnError;

/// Geometry in a registry.
pub const ENTRY: ScoreEntry =
    ScoreEntry { kind: "geometry", about: "geometry", measure, ..ScoreEntry::PLAIN };

/// Of the last part: uniformity of the normalised representations, effective rank of the centred ones, `RankMe` of those not centred,
/// and the mean standard deviation a dimension of the normalised ones (1/√d is healthy, 0 collapsed).
fn measure(subject: &Subject<'_>) -> Result<Vec<Figure>, LearnError> {
    let Some(rows) = subject.rows.last().map(|rows| rows.rows()) else { return Ok(Vec::new()) };
    let rank = spectrum(rows, Centering::Centered).and_then(|spectrum| spectrum.effective_rank());
    let spread = uniformity(rows, &UniformityOptions::default()).map(|uniformity| uniformity.value);
    let deviation = collapse(rows).map(|collapse| collapse.mean);
    [
        ("uniformity", "uniformity (less is better)", Score::of(spread)?),
        ("effective_rank", "effective rank, centred", Score::of(rank)?),
        ("rank_me", "RankMe, not centred", Score::of(rank_me(rows))?),
        ("deviation", "deviation a dimension", Score::of(deviation)?),
    ]
    .into_iter()
    .map(|(key, title, score)| {
        Figure::new(subject.key(key), &score, subject.title_alone(title), score.digits())
    })
    .collect()
}
