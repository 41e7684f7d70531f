//! Alignment of two views of the same instances (Wang and Isola 2020, equation 1, <https://arxiv.org/abs/2005.10242>).

use super::{Figure, Score, ScoreEntry, Subject};
use crate::error::LearnError;

/// Alignment in a registry.
pub const ENTRY: ScoreEntry =
    ScoreEntry { kind: "alignment", about: "alignment of views", measure, ..ScoreEntry::PLAIN };

/// Mean squared distance between two views of an instance of the last part, normalised representations.
fn measure(subject: &Subject<'_>) -> Result<Vec<Figure>, LearnError> {
    let [first, second] = subject.two_views()?;
    let alignment = lookalike_metrics::alignment(first.representation.rows(), second.representation.rows());
    let score = Score::of(alignment)?;
    let title = subject.title_alone("alignment (less is better)");
    Ok(vec![Figure::new(subject.key("alignment"), &score, title, score.digits())?])
}
