//! A classification as figures: its accuracy in a table, and in JSON beside it what each class and all alike are worth.

use lookalike_metrics::{Classified, MetricError};
use serde::Serialize;

use super::{Figure, Score, Subject};
use crate::error::LearnError;

/// How right a class was.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct ClassScore {
    /// Its name, its number where it has none.
    class: String,
    /// Instances scored.
    instances: usize,
    /// Share of them that was predicted rightly.
    accuracy: f64,
}

/// The classes that have instances, under their `names`.
pub(super) fn by_class(classified: &Classified, names: &[String]) -> Vec<ClassScore> {
    let class = |(number, count): (usize, &lookalike_metrics::ClassCount)| {
        let class = names.get(number).cloned().unwrap_or_else(|| number.to_string());
        Some(ClassScore { class, instances: count.instances, accuracy: count.accuracy()? })
    };
    classified.classes.iter().enumerate().filter_map(class).collect()
}

/// Accuracy, balanced accuracy and that of each class under `key`; the table shows the second where it differs from the first.
pub(super) fn figures(
    subject: &Subject<'_>,
    key: &str,
    title: String,
    result: Result<Classified, MetricError>,
) -> Result<Vec<Figure>, LearnError> {
    let classified = result.as_ref().ok().cloned();
    let score = Score::of(result.map(|classified| classified.accuracy))?;
    let Some(classified) = classified else {
        return Ok(vec![Figure::new(subject.key(key), &score, title, score.share())?]);
    };
    let balanced = Score::Value(classified.balanced);
    let beside = if classified.is_even() {
        String::new()
    } else {
        format!(", balanced {}", balanced.share().trim_start())
    };
    let classes = by_class(&classified, &subject.modality().class_names());
    Ok(vec![
        Figure::new(subject.key(key), &score, title, score.share() + &beside)?,
        Figure::hidden(subject.key(&format!("{key}_balanced")), &balanced)?,
        Figure::hidden(subject.key(&format!("{key}_by_class")), &classes)?,
    ])
}
