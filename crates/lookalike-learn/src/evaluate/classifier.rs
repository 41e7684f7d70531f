//! How often the classifier that a run trained is right: a linear one on a frozen encoder, or that of an encoder which was fine-tuned with it.

use lookalike_metrics::{Classified, MetricError};

use super::{Figure, ScoreEntry, Subject, right};
use crate::error::LearnError;
use crate::method::contrastive_clustering::likeliest;
use crate::method::supervised::CLASSIFIER;
use crate::modality::ArmKind;

const ARMS: &[ArmKind] = &[ArmKind::Trained, ArmKind::TrainingStatistics, ArmKind::Best];

/// The classifier in a registry.
pub const ENTRY: ScoreEntry = ScoreEntry {
    kind: CLASSIFIER,
    about: "accuracy of the run's classifier",
    modalities: &[("image", ARMS)],
    measure,
    ..ScoreEntry::PLAIN
};

/// Of the part to test on, of its images with a class. Nothing where the run has no classifier.
fn measure(subject: &Subject<'_>) -> Result<Vec<Figure>, LearnError> {
    let (told, modality) = (subject.told(CLASSIFIER)?, subject.modality());
    let (Some(logits), Some(split)) = (told.last(), modality.parts().last()) else { return Ok(Vec::new()) };
    let labels = modality.labels(*split);
    let predicted: Vec<u32> =
        labels.known().iter().map(|row| likeliest(logits.row(*row as usize)) as u32).collect();
    let result = if labels.classes == logits.columns() {
        Classified::of(&predicted, &labels.of_known(), labels.classes)
    } else {
        let reason =
            format!("it tells {} classes, and {} has {}", logits.columns(), modality.name(), labels.classes);
        Err(MetricError::Undefined { score: "the accuracy of the run's classifier", reason })
    };
    // Of other data nobody knows whether classes of one number are the same.
    let about = if subject.own_data { "" } else { " (classes taken by their numbers)" };
    right::figures(subject, CLASSIFIER, subject.title(&format!("{}{about}", ENTRY.about)), result)
}
