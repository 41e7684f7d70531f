//! What accuracies rest on: what predicting the most frequent class gives, and what a reader should know of who is compared with whom.

use lookalike_data::Split;
use lookalike_metrics::Classified;

use super::knn::NeighborOptions;
use super::{Figure, Score, ScoreEntry, Subject};
use crate::error::LearnError;
use crate::modality::{Labels, Modality};

/// The premise in a registry.
pub const ENTRY: ScoreEntry = ScoreEntry {
    kind: "premise",
    about: "premise of accuracies",
    circumstances: &["unlabelled_train", "unlabelled_test", "unreadable_train", "unreadable_test"],
    measure,
    of_parts: false,
    ..ScoreEntry::PLAIN
};

/// Classes, or instances, named in a note at most.
const MOST_NAMED: usize = 5;

fn measure(subject: &Subject<'_>) -> Result<Vec<Figure>, LearnError> {
    let modality = subject.modality();
    let [train, test] = modality.parts() else { return Ok(Vec::new()) };
    let parts = [*train, *test].map(|split| Judged { labels: modality.labels(split), split });
    let [train, test] = &parts;
    let mut figures = most_frequent(&train.labels, &test.labels, &modality.class_names())?;
    let NeighborOptions { knn_k, .. } = subject.settings.read("evaluate")?;
    let notes = notes(modality, &parts, knn_k);
    for note in &notes {
        figures.push(Figure::shown("note", note));
    }
    if !notes.is_empty() {
        figures.push(Figure::hidden("notes", &notes)?);
    }
    for (part, [unlabelled, unreadable]) in
        [(train, ["unlabelled_train", "unreadable_train"]), (test, ["unlabelled_test", "unreadable_test"])]
    {
        for (key, count) in
            [(unlabelled, part.unlabelled(modality)), (unreadable, modality.left_out(part.split).len())]
        {
            if count > 0 {
                figures.push(Figure::hidden(key, &count)?);
            }
        }
    }
    Ok(figures)
}

/// A part of the data with its labels.
struct Judged {
    labels: Labels,
    split: Split,
}

impl Judged {
    /// How many instances have no label, beside those that cannot be read any more, which have none either.
    fn unlabelled(&self, modality: &dyn Modality) -> usize {
        self.labels.unknown().saturating_sub(modality.left_out(self.split).len())
    }

    /// What a reader should know of the instances that accuracies leave out.
    fn notes(&self, modality: &dyn Modality, part: &str) -> Vec<String> {
        let (mut notes, all) = (Vec::new(), self.labels.labels.len());
        let without = self.unlabelled(modality);
        if without > 0 {
            notes.push(format!(
                "{without} of {all} {part} instances have no label and are left out of accuracies"
            ));
        }
        let gone = modality.left_out(self.split);
        if !gone.is_empty() {
            let name = |instance: &u32| {
                modality.instance_name(self.split, *instance).unwrap_or_else(|| instance.to_string())
            };
            let named: Vec<String> = gone.iter().take(MOST_NAMED).map(name).collect();
            let more = if gone.len() > MOST_NAMED { ", …" } else { "" };
            notes.push(format!(
                "{} of {all} {part} instances cannot be read any more and are left out of accuracies: {}{more}",
                gone.len(),
                named.join(", ")
            ));
        }
        notes
    }
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
fn notes(modality: &dyn Modality, [train, test]: &[Judged; 2], k: usize) -> Vec<String> {
    let mut notes = Vec::new();
    let (known, tested) = (train.labels.known().len(), test.labels.known().len());
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
    notes.extend(train.notes(modality, "training"));
    notes.extend(test.notes(modality, "test"));
    notes.extend(untaught(&train.labels, &test.labels, &modality.class_names()));
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
