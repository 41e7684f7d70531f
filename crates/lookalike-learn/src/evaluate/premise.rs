//! What accuracies rest on: what predicting the most frequent class gives, and what a reader should know of who is compared with whom.

use lookalike_metrics::Classified;

use super::knn::NeighborOptions;
use super::{Figure, Score, ScoreEntry, Subject};
use crate::error::LearnError;
use crate::modality::{Labels, Modality};

/// The premise in a registry.
pub const ENTRY: ScoreEntry = ScoreEntry {
    kind: "premise",
    about: "premise of accuracies",
    circumstances: &["unlabelled_train", "unlabelled_test"],
    measure,
    of_parts: false,
    ..ScoreEntry::PLAIN
};

/// Classes named in a note at most.
const MOST_NAMED: usize = 5;

fn measure(subject: &Subject<'_>) -> Result<Vec<Figure>, LearnError> {
    let modality = subject.modality();
    let [train, test] = modality.parts() else { return Ok(Vec::new()) };
    let [train, test] = [*train, *test].map(|split| modality.labels(split));
    let mut figures = most_frequent(&train, &test, &modality.class_names())?;
    let NeighborOptions { knn_k, .. } = subject.settings.read("evaluate")?;
    let notes = notes(modality, &train, &test, knn_k);
    for note in &notes {
        figures.push(Figure::shown("note", note));
    }
    if !notes.is_empty() {
        figures.push(Figure::hidden("notes", &notes)?);
    }
    for (key, labels) in [("unlabelled_train", &train), ("unlabelled_test", &test)] {
        if labels.unknown() > 0 {
            figures.push(Figure::hidden(key, &labels.unknown())?);
        }
    }
    Ok(figures)
}

/// How many instances each class has.
fn counts(labels: &Labels) -> Vec<usize> {
    let mut counts = vec![0; labels.classes];
    for label in labels.of_known() {
        counts[label as usize] += 1;
    }
    counts
}

/// What predicting the most frequent class of the training instances gives, the first of several.
fn most_frequent(train: &Labels, test: &Labels, names: &[String]) -> Result<Vec<Figure>, LearnError> {
    let counts = counts(train);
    let most = counts.iter().copied().max().filter(|most| *most > 0);
    let Some(class) = most.and_then(|most| counts.iter().position(|count| *count == most)) else {
        return Ok(Vec::new());
    };
    let truth = test.of_known();
    if truth.is_empty() {
        return Ok(Vec::new());
    }
    let predicted = vec![class as u32; truth.len()];
    let classified = Classified::of(&predicted, &truth, train.classes.max(test.classes))?;
    let name = names.get(class).map_or_else(|| class.to_string(), Clone::clone);
    let score = Score::Value(classified.accuracy);
    let balanced = Score::Value(classified.balanced);
    let beside = if classified.is_even() {
        String::new()
    } else {
        format!(", balanced {}", balanced.share().trim_start())
    };
    let title = format!("accuracy of the most frequent class, {name}");
    Ok(vec![
        Figure::new("most_frequent_class", &score, title, score.share() + &beside)?,
        Figure::hidden("most_frequent_class_balanced", &balanced)?,
    ])
}

/// What a reader of accuracies should know.
fn notes(modality: &dyn Modality, train: &Labels, test: &Labels, k: usize) -> Vec<String> {
    let mut notes = Vec::new();
    let (known, tested) = (train.known().len(), test.known().len());
    if known == 0 || tested == 0 {
        return notes;
    }
    if modality.tests_what_it_learns() {
        notes.push(
            "train and test are the same instances, each of which finds itself: accuracies say nothing of new ones; data.test_share \
             splits a part off for testing"
                .to_owned(),
        );
    }
    let used = k.min(known);
    if used > known / 10 {
        let fewer = (known / 10).max(1);
        notes.push(format!(
            "k = {used} is more than a tenth of the {known} training instances, so that frequent classes outvote rare ones; \
             evaluate.knn_k = {fewer} asks the nearest alone"
        ));
    }
    for (labels, part) in [(train, "training"), (test, "test")] {
        if labels.unknown() > 0 {
            let (without, all) = (labels.unknown(), labels.labels.len());
            notes.push(format!(
                "{without} of {all} {part} instances have no label and are left out of accuracies"
            ));
        }
    }
    notes.extend(untaught(train, test, &modality.class_names()));
    notes
}

/// Says which classes are tested that nobody could learn.
fn untaught(train: &Labels, test: &Labels, names: &[String]) -> Option<String> {
    let (taught, tested) = (counts(train), counts(test));
    let lacks = |class: &usize| tested[*class] > 0 && taught.get(*class).is_none_or(|count| *count == 0);
    let classes: Vec<String> = (0..tested.len())
        .filter(lacks)
        .map(|class| names.get(class).map_or_else(|| class.to_string(), Clone::clone))
        .collect();
    let shown = classes.get(..MOST_NAMED).unwrap_or(&classes).join(", ");
    let more = if classes.len() > MOST_NAMED { ", …" } else { "" };
    (!classes.is_empty()).then(|| {
        format!("{} classes of test instances have no training instance: {shown}{more}", classes.len())
    })
}
