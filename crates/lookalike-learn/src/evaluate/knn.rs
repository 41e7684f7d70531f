//! Weighted k-nearest-neighbour accuracy (Wu et al. 2018, <https://arxiv.org/abs/1805.01978>).

use lookalike_metrics::{KnnOptions, knn_accuracy};

use super::{Figure, Score, ScoreEntry, Subject};
use crate::error::LearnError;
use crate::modality::ArmKind;
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
    let split = subject.fit_and_test()?;
    let (fit, test) = (&split.fit, &split.test);
    let options = KnnOptions { k, temperature };
    let result =
        knn_accuracy(fit.rows.rows(), &fit.labels, test.rows.rows(), &test.labels, split.classes, &options);
    let score = Score::of(result.map(|knn| knn.accuracy))?;
    let used = k.min(fit.rows.len());
    let title = subject.title(&format!("kNN accuracy (k = {used}, t = {temperature})"));
    let mut figures = vec![Figure::new(subject.key("knn"), &score, title, score.share())?];
    if subject.arm.kind == ArmKind::Trained {
        figures.push(Figure::hidden("knn_k", &used)?);
        figures.push(Figure::hidden("knn_temperature", &temperature)?);
    }
    Ok(figures)
}
