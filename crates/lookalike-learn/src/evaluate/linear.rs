//! A linear probe: accuracy of a linear classifier on frozen representations.

use lookalike_metrics::{ProbeOptions, linear_probe};

use super::{Figure, ScoreEntry, Subject, right};
use crate::error::LearnError;
use crate::modality::ArmKind;
use crate::options::{Options, SOME, Value, at_least};

crate::options! {
    /// What a recipe says of it.
    pub struct LinearOptions {
        /// Epochs of the linear probe, for each learning rate it tries; MoCo: 100.
        probe_epochs: usize = Value::Integer(100), SOME;
        /// Labels a class that the probe may use, one of them to choose the rate.
        probe_labels_per_class: Option<usize> = Value::Absent("all"), at_least(2);
    }
}

/// The linear probe in a registry.
pub const ENTRY: ScoreEntry = ScoreEntry {
    kind: "linear",
    about: "linear probe",
    keys: LinearOptions::KEYS,
    circumstances: &["linear_rate", "linear_labels_per_class", "train_nodes", "test_nodes"],
    measure,
    ..ScoreEntry::PLAIN
};

fn measure(subject: &Subject<'_>) -> Result<Vec<Figure>, LearnError> {
    let LinearOptions { probe_epochs: epochs, probe_labels_per_class: labels_per_class } =
        subject.settings.read("evaluate")?;
    let options = ProbeOptions { epochs, labels_per_class, seed: subject.seed, ..ProbeOptions::default() };
    let split = subject.fit_and_test()?;
    let (fit, test) = (&split.fit, &split.test);
    let result = subject.watched(options.total_epochs(), "linear probe", |watch| {
        let (rows, labels) = ([fit.rows.rows(), test.rows.rows()], [&fit.labels, &test.labels]);
        Ok(linear_probe(rows[0], labels[0], rows[1], labels[1], split.classes, &options, watch))
    })?;
    let rate = result.as_ref().ok().map(|probe| probe.rate);
    let trained = subject.arm.kind == ArmKind::Trained;
    let mut about = vec![split.about.clone()];
    about.extend(labels_per_class.map(|labels| format!("{labels} labels a class")));
    about.extend(rate.filter(|_| trained).map(|rate| format!("rate {rate}")));
    about.retain(|text| !text.is_empty());
    let about = if about.is_empty() { String::new() } else { format!(" ({})", about.join(", ")) };
    let title = subject.title(&format!("linear probe accuracy{about}"));
    let mut figures = right::figures(subject, "linear", title, result.map(|probe| probe.classified))?;
    if trained {
        if let Some(rate) = rate {
            figures.push(Figure::hidden("linear_rate", &rate)?);
        }
        if let Some(labels) = labels_per_class {
            figures.push(Figure::hidden("linear_labels_per_class", &labels)?);
        }
        for (name, count) in &split.counts {
            figures.push(Figure::hidden(*name, count)?);
        }
    }
    Ok(figures)
}
