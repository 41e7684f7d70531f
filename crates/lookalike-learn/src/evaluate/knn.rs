//! Weighted k-nearest-neighbour accuracy (Wu et al. 2018, <https://arxiv.org/abs/1805.01978>).

use lookalike_base::Watch;
use lookalike_metrics::{Classified, KnnOptions, MetricError, PiecewiseKnn, classifiable, knn_accuracy};

use super::{Figure, ScoreEntry, Subject, right};
use crate::error::LearnError;
use crate::modality::{ArmKind, FitAndTest, ReadRows};
use crate::options::{Options, POSITIVE, SOME, Value};

crate::options! {
    /// What a recipe says of it.
    pub struct NeighborOptions {
        /// Neighbours that vote (Wu et al. 2018: 200); lowered to the number of training instances.
        knn_k: usize = Value::Integer(200), SOME;
        /// The temperature of their votes; 0.1 in MoCo's CIFAR-10 demonstration, 0.07 in the paper.
        knn_temperature: f32 = Value::Number(0.1), POSITIVE;
    }
}

/// kNN in a registry.
pub const ENTRY: ScoreEntry = ScoreEntry {
    kind: "knn",
    about: "kNN accuracy",
    keys: NeighborOptions::KEYS,
    circumstances: &["knn_k", "knn_temperature"],
    measure,
    ..ScoreEntry::PLAIN
};

fn measure(subject: &Subject<'_>) -> Result<Vec<Figure>, LearnError> {
    let NeighborOptions { knn_k: k, knn_temperature: temperature } = subject.settings.read("evaluate")?;
    let options = KnnOptions { k, temperature };
    let (used, classified) = match subject.read {
        None => of_rows(subject, &options)?,
        Some(read) => of_pieces(subject, read, &options)?,
    };
    let title = subject.title(&format!("kNN accuracy (k = {used}, t = {temperature})"));
    let mut figures = right::figures(subject, "knn", title, classified)?;
    if subject.arm.kind == ArmKind::Trained {
        figures.push(Figure::hidden("knn_k", &used)?);
        figures.push(Figure::hidden("knn_temperature", &temperature)?);
    }
    Ok(figures)
}

/// How many neighbours vote, and how right they are.
type Voted = (usize, Result<Classified, MetricError>);

fn of_rows(subject: &Subject<'_>, options: &KnnOptions) -> Result<Voted, LearnError> {
    let FitAndTest { fit, test, classes, .. } = subject.fit_and_test()?;
    let result =
        knn_accuracy(fit.rows.rows(), &fit.labels, test.rows.rows(), &test.labels, *classes, options);
    Ok((options.k.min(fit.rows.len()), result.map(|knn| knn.classified)))
}

/// The same of rows that need not fit into memory: those to test are held, those to learn from pass by. Nothing is read where nothing
/// can be scored.
fn of_pieces(subject: &Subject<'_>, read: &dyn ReadRows, options: &KnnOptions) -> Result<Voted, LearnError> {
    let modality = subject.modality();
    let [fit, test] = modality.parts() else {
        return Err(LearnError::Evaluation("these data have no part to test on".to_owned()));
    };
    let [train, tested] = [*fit, *test].map(|split| modality.labels(split));
    let classes = train.classes.max(tested.classes);
    let (labels, truth) = (train.of_known(), tested.of_known());
    let used = options.k.min(labels.len());
    if let Err(error) = classifiable("kNN accuracy", &labels, &truth) {
        return Ok((used, Err(error)));
    }
    let title = format!("comparing {}", subject.arm.title);
    let predicted = subject.watched((labels.len() + truth.len()) as u64, &title, |watch| {
        let Watch { progress, cancellation } = watch;
        let rows = read.matrix(*test, &tested.known(), cancellation)?;
        progress.advance(rows.len() as u64);
        let mut knn = PiecewiseKnn::new(rows, &labels, classes, options)?;
        read.read(*fit, &train.known(), cancellation, &mut |rows| {
            progress.advance(rows.len() as u64);
            Ok(knn.offer(rows, cancellation)?)
        })?;
        Ok(knn.finish()?)
    })?;
    Ok((used, Classified::of(&predicted.labels, &truth, classes)))
}
