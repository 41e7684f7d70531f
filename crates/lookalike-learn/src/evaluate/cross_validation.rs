//! The published protocol of graphs over several seeds of folds: what GraphCL and MVGRL report of one set of embeddings.

use lookalike_base::{Rows, Seed, Watch};
use lookalike_metrics::{MetricError, SvmKernel, SvmOptions, svm_accuracy};
use serde::Serialize;

use super::{Figure, ScoreEntry, Subject};
use crate::error::LearnError;
use crate::modality::{ArmKind, Labelled, Labels};
use crate::options::{Options, Range, SOME, Value, at_least};

crate::options! {
    /// What a recipe says of it.
    pub struct SvmSettings {
        /// The machine of the [protocol](graphs.md#classifying-embeddings), as the method's paper has it.
        svm: SvmKernel = Value::Text("rbf"), Range::OneOf(&["rbf", "linear"]);
        /// Draws of folds, from `seed` on.
        fold_seeds: usize = Value::Integer(5), SOME;
        /// Folds of a draw; as published: 10. A class with fewer members is tested by some of them alone.
        folds: usize = Value::Integer(10), at_least(2);
    }
}

/// The cross-validated support vector machine in a registry.
pub const ENTRY: ScoreEntry = ScoreEntry {
    kind: "svm",
    about: "cross-validated support vector machine",
    keys: SvmSettings::KEYS,
    circumstances: &["kernel", "fold_seeds", "folds"],
    measure,
    ..ScoreEntry::PLAIN
};

fn measure(subject: &Subject<'_>) -> Result<Vec<Figure>, LearnError> {
    let SvmSettings { svm: kernel, fold_seeds, folds } = subject.settings.read("evaluate")?;
    let seeds = subject.fold_seeds.map_or(fold_seeds, |most| most.min(fold_seeds));
    let Some(rows) = subject.rows.first() else { return Ok(Vec::new()) };
    let labels = subject.labels();
    let members = Labelled::of(rows, labels.clone())?;
    let known = Labels { labels: members.labels, ..labels };
    let protocol = CrossValidation { labels: &known, kernel, first: subject.seed, seeds, folds };
    let accuracy = subject.watched(protocol.total_fits(), "support vector machine", |watch| {
        protocol.score(members.rows.rows(), watch)
    })?;
    let machine = match kernel {
        SvmKernel::Linear => "linear",
        SvmKernel::Rbf => "rbf",
    };
    let parts = if folds == 10 { "ten".to_owned() } else { folds.to_string() };
    let svm = format!("SVM accuracy ({machine}, {parts} folds, {seeds} fold seeds)");
    let mut figures = Vec::new();
    let trained = subject.arm.kind == ArmKind::Trained;
    if let Some(spread) = accuracy.spread().filter(|_| trained) {
        let majority = format!("{:6.2} %", 100.0 * spread.majority);
        figures.push(Figure::shown(format!("{svm}: most frequent class"), majority));
    }
    figures.push(Figure::new(subject.key("svm"), &accuracy, subject.title(&svm), accuracy.to_string())?);
    if trained {
        figures.push(Figure::hidden("kernel", &kernel)?);
        figures.push(Figure::hidden("fold_seeds", &seeds)?);
        figures.push(Figure::hidden("folds", &folds)?);
        if let Some(spread) = accuracy.spread().filter(|spread| spread.unfinished > 0) {
            let title = "fits that ended before the solver's tolerance";
            figures.push(Figure::shown(title, spread.unfinished.to_string()));
        }
        let unknown = subject.labels().unknown();
        let notes = notes(&protocol, unknown, &subject.modality().class_names());
        figures.extend(notes.iter().map(|note| Figure::shown("note", note)));
        if !notes.is_empty() {
            figures.push(Figure::hidden("notes", &notes)?);
        }
    }
    Ok(figures)
}

/// What a reader of the accuracy should know: classes that some folds do not test, and instances without a label.
fn notes(protocol: &CrossValidation<'_>, unknown: usize, names: &[String]) -> Vec<String> {
    let Labels { labels, classes } = protocol.labels;
    let mut counts = vec![0_usize; *classes];
    for label in labels {
        counts[*label as usize] += 1;
    }
    let small = counts.iter().enumerate().filter(|(_, count)| (1..protocol.folds).contains(*count));
    let mut notes: Vec<String> = small
        .map(|(class, count)| {
            let name = names.get(class).map_or_else(|| class.to_string(), Clone::clone);
            let folds = protocol.folds;
            format!("class {name} has {count} members, fewer than the {folds} folds (evaluate.folds): some folds do not test it")
        })
        .collect();
    if unknown > 0 && !labels.is_empty() {
        let all = labels.len() + unknown;
        notes.push(format!("{unknown} of {all} instances have no label and are left out of accuracies"));
    }
    notes
}

/// Accuracy over seeds of folds, or why it is undefined.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Accuracy {
    /// The accuracy.
    Measured(AccuracySpread),
    /// The reason.
    Undefined {
        /// In words.
        undefined: String,
    },
}

/// Accuracies of several seeds of folds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AccuracySpread {
    /// Their mean, from 0 to 1.
    pub mean: f64,
    /// Their standard deviation (of a sample); absent for a single one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deviation: Option<f64>,
    /// Each, the mean over its folds.
    pub seeds: Vec<f64>,
    /// Their mean with classes counting alike: of all instances, each predicted when its fold tested it, the mean over classes of the
    /// share predicted rightly.
    pub balanced: f64,
    /// Share of the most frequent class: what is to be beaten by looking at nothing.
    pub majority: f64,
    /// Fits that ended before they were within the solver's tolerance.
    pub unfinished: usize,
}

impl AccuracySpread {
    fn of(seeds: Vec<f64>, balanced: &[f64], majority: f64, unfinished: usize) -> Self {
        let mean_of = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
        let (mean, balanced) = (mean_of(&seeds), mean_of(balanced));
        let squares: f64 = seeds.iter().map(|accuracy| (accuracy - mean).powi(2)).sum();
        let deviation = (seeds.len() > 1).then(|| (squares / (seeds.len() - 1) as f64).sqrt());
        Self { mean, deviation, seeds, balanced, majority, unfinished }
    }
}

impl Accuracy {
    /// The accuracies, where there are any.
    pub fn spread(&self) -> Option<&AccuracySpread> {
        match self {
            Self::Measured(spread) => Some(spread),
            Self::Undefined { .. } => None,
        }
    }

    /// No accuracy, for this reason.
    pub fn undefined(reason: impl Into<String>) -> Self {
        Self::Undefined { undefined: reason.into() }
    }
}

impl std::fmt::Display for Accuracy {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Measured(AccuracySpread { mean, deviation, .. }) => {
                write!(formatter, "{:6.2} %", 100.0 * mean)?;
                deviation.map_or(Ok(()), |deviation| write!(formatter, " ± {:.2}", 100.0 * deviation))
            }
            Self::Undefined { undefined } => write!(formatter, "undefined: {undefined}"),
        }
    }
}

/// The protocol with one SVM: stratified folds, ten as published, C chosen within each, anew for every seed of folds.
#[derive(Debug, Clone, Copy)]
pub struct CrossValidation<'a> {
    /// The classes.
    pub labels: &'a Labels,
    /// The SVM.
    pub kernel: SvmKernel,
    /// The first seed of folds: the run's, so that arms of one seed are scored on the same folds, and those of several on
    /// several, as published.
    pub first: Seed,
    /// Seeds of folds from there on.
    pub seeds: usize,
    /// Folds of a seed; published: 10.
    pub folds: usize,
}

impl CrossValidation<'_> {
    /// By how much progress advances for each set of embeddings.
    pub fn total_fits(&self) -> u64 {
        self.seeds as u64 * self.options(0).total_fits()
    }

    /// How the folds of a seed are scored.
    fn options(&self, seed: u64) -> SvmOptions {
        let seed = Seed(self.first.0.wrapping_add(seed));
        SvmOptions { folds: self.folds, ..SvmOptions::published(self.kernel, seed) }
    }

    /// Scores `embeddings`. What the data do not determine (no labels, no class with as many
    /// members as folds) is [`Accuracy::Undefined`].
    ///
    /// # Errors
    /// [`LearnError::Metrics`] where embeddings are not finite or do not fit the labels, and [`LearnError::Cancelled`].
    pub fn score(&self, embeddings: Rows<'_>, watch: Watch<'_>) -> Result<Accuracy, LearnError> {
        let (mut seeds, mut balanced, mut majority, mut unfinished) = (Vec::new(), Vec::new(), 0.0, 0);
        for seed in 0..self.seeds as u64 {
            let Labels { labels, classes } = self.labels;
            match svm_accuracy(embeddings, labels, *classes, &self.options(seed), watch) {
                Ok(score) => {
                    seeds.push(score.accuracy);
                    balanced.push(score.classified.balanced);
                    majority = score.majority;
                    unfinished += score.unfinished;
                }
                Err(error @ MetricError::Undefined { .. }) => {
                    watch.progress.advance(self.total_fits());
                    return Ok(Accuracy::undefined(error.to_string()));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Accuracy::Measured(AccuracySpread::of(seeds, &balanced, majority, unfinished)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_is_that_of_a_sample_and_absent_for_one_seed() {
        let spread = AccuracySpread::of(vec![0.8, 0.9], &[0.7, 0.8], 0.6, 0);
        assert!((spread.mean - 0.85).abs() < 1e-12);
        assert!((spread.deviation.unwrap() - 0.005_f64.sqrt()).abs() < 1e-12);
        assert_eq!(Accuracy::Measured(spread).to_string(), " 85.00 % ± 7.07");
        assert_eq!(Accuracy::Measured(AccuracySpread::of(vec![0.8], &[0.8], 0.6, 0)).to_string(), " 80.00 %");
    }

    #[test]
    fn what_the_labels_do_not_allow_is_said() {
        let labels = |labels: &[u32]| Labels { labels: labels.to_vec(), classes: 2 };
        let values: Vec<f32> =
            (0..24).map(|row| if row < 12 { 1.0 } else { -1.0 } * (20.0 + row as f32)).collect();
        let rows = Rows::new(&values, 1).unwrap();
        let message = |labels: &Labels| {
            let protocol =
                CrossValidation { labels, kernel: SvmKernel::Linear, first: Seed(0), seeds: 2, folds: 10 };
            protocol.score(rows, Watch::default()).unwrap().to_string()
        };
        assert!(message(&labels(&[])).starts_with("undefined: "), "{}", message(&labels(&[])));
        let few: Vec<u32> = (0..24).map(|row| row % 4).collect();
        let few = Labels { labels: few, classes: 4 };
        assert!(message(&few).contains("no class has as many rows as there are folds"), "{}", message(&few));
        let enough: Vec<u32> = (0..24).map(|row| u32::from(row < 12)).collect();
        assert_eq!(message(&labels(&enough)), "100.00 % ± 0.00");
    }
}
