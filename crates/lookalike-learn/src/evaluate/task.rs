//! What an encoder is worth on sets of its own. Of texts: pairs whose similarity people scored, and queries with documents that answer
//! them. Of images: a part that is cut off and classified by its neighbours.

use std::collections::HashSet;
use std::sync::Arc;

use lookalike_base::Matrix;
use lookalike_base::progress::Cancellation;
use lookalike_data::text::{Retrieval, Sts};
use lookalike_metrics::{KnnOptions, QueryScores, RetrievalScores, knn_accuracy};

use super::{Figure, Score, ScoreEntry, Subject};
use crate::error::LearnError;
use crate::modality::{ArmKind, Part};
use crate::options::{Key, Range, Value};
use crate::sentence::score::{search, search_by_words, search_each, similarity};

/// A set on which an encoder is scored.
#[derive(Clone)]
pub struct Task {
    /// Its name in reports.
    pub name: String,
    /// What is scored.
    pub kind: TaskKind,
    /// What is embedded: of scored pairs one sentence, and the other; of a search the queries, and the documents; of neighbours these, and
    /// who is classified.
    pub parts: [Part; 2],
}

/// What is scored.
#[derive(Debug, Clone)]
pub enum TaskKind {
    /// The rank correlation of the cosines of pairs with scores.
    Similarity(Arc<Sts>),
    /// A search.
    Retrieval(Arc<Retrieval>),
    /// The classes of the second part by its neighbours in the first.
    Neighbors(Arc<NeighborTask>),
}

/// Instances to be classified by their neighbours.
#[derive(Debug)]
pub struct NeighborTask {
    /// The classes of both parts.
    pub labels: [Vec<u32>; 2],
    /// How many classes there are.
    pub classes: usize,
    /// How neighbours vote.
    pub options: KnnOptions,
}

impl Task {
    /// The one number by which encoders are compared while they train, larger being better: Spearman's correlation, nDCG@10, or the share of
    /// classes that neighbours tell.
    ///
    /// # Shapes
    /// A row for each text of its parts.
    ///
    /// # Errors
    /// Whatever the metrics report.
    pub fn score(&self, rows: [&Matrix; 2], cancellation: &Cancellation) -> Result<f64, LearnError> {
        match &self.kind {
            TaskKind::Similarity(sts) => similarity_of(sts, rows),
            TaskKind::Retrieval(data) => Ok(search(data, rows, cancellation)?.ndcg_at_10),
            TaskKind::Neighbors(task) => {
                let ([fit, test], [known, truth]) = (rows.map(Matrix::rows), &task.labels);
                Ok(knn_accuracy(fit, known, test, truth, task.classes, &task.options)?.classified.accuracy)
            }
        }
    }
}

fn similarity_of(sts: &Sts, [first, second]: [&Matrix; 2]) -> Result<f64, LearnError> {
    similarity(first.rows().iter().zip(second.rows().iter()).map(|(one, other)| [one, other]), &sts.scores)
}

/// Tasks in a registry.
pub const ENTRY: ScoreEntry = ScoreEntry {
    kind: "tasks",
    about: "score on sets of texts",
    keys: &[Key {
        name: "scored_on",
        default: Value::Absent("none, or pairs that are held out"),
        range: Range::Texts("names of sets, or paths below `data.root`"),
        about: "sets on which the encoder is scored: `sts12`, `stsb/dev`, a folder in BEIR's layout, a file of pairs; see \
                [texts](texts.md). Pairs that `text.hold_out` keeps from training are scored without being named",
    }],
    measure,
    of_parts: false,
    ..ScoreEntry::PLAIN
};

fn measure(subject: &Subject<'_>) -> Result<Vec<Figure>, LearnError> {
    let (mut figures, mut correlations, mut sets) = (Vec::new(), Vec::new(), HashSet::new());
    for task in subject.tasks() {
        let rows = subject.embedded(&task.parts)?;
        match &task.kind {
            TaskKind::Similarity(sts) => {
                let found = similarity_of(sts, rows.each_ref());
                let score = Score::of_learning(found)?;
                correlations.extend(score.value());
                sets.insert(task.name.split('/').next().unwrap_or_default());
                let title = subject.title(&format!("{}, Spearman's correlation", task.name));
                figures.push(Figure::new(subject.key(&task.name), &score, title, score.digits())?);
            }
            TaskKind::Neighbors(_) => {
                let score = Score::of_learning(task.score(rows.each_ref(), subject.cancellation()))?;
                let title = subject.title(&task.name);
                figures.push(Figure::new(subject.key(&task.name), &score, title, score.share())?);
            }
            TaskKind::Retrieval(data) => {
                let each = search_each(data, rows.each_ref(), subject.cancellation())?;
                let scores = RetrievalScores::mean(&each)?;
                let (key, title) = (|name: &str| subject.key(name), |name: &str| subject.title(name));
                figures.extend(of_search(&task.name, &scores, key, title)?);
                // For comparisons that are paired by query; four digits are enough for these, and short.
                let digits = |scores: &QueryScores| (scores.ndcg_at_10 * 1e4).round() / 1e4;
                let each: Vec<Option<f64>> = each.iter().map(|scores| scores.as_ref().map(digits)).collect();
                figures.push(Figure::hidden(subject.key(&format!("{}_ndcg@10_each", task.name)), &each)?);
                if subject.arm.kind == ArmKind::Trained {
                    let scores = search_by_words(data, subject.display(), subject.cancellation())?;
                    let key = |name: &str| format!("{name}_bm25");
                    let title = |name: &str| format!("{name}: BM25, no encoder");
                    figures.extend(of_search(&task.name, &scores, key, title)?);
                }
            }
        }
    }
    // Not over two parts of one set.
    if correlations.len() > 1 && sets.len() == correlations.len() {
        let mean = Score::Value(correlations.iter().sum::<f64>() / correlations.len() as f64);
        let title = subject.title("mean of these correlations");
        figures.push(Figure::new(subject.key("sts_mean"), &mean, title, mean.digits())?);
    }
    Ok(figures)
}

/// What a table shows of a search; the rest stands in JSON alone.
const SHOWN: [&str; 3] = ["ndcg@10", "mrr@10", "recall@100"];

/// The scores of a search, under the names in JSON and the titles in a table that theirs become.
fn of_search(
    task: &str,
    scores: &RetrievalScores,
    key: impl Fn(&str) -> String,
    title: impl Fn(&str) -> String,
) -> Result<Vec<Figure>, LearnError> {
    let figure = |(name, value)| {
        let (key, score) = (key(&format!("{task}_{name}")), Score::Value(value));
        if SHOWN.contains(&name) {
            Figure::new(key, &score, title(&format!("{task}, {name}")), score.digits())
        } else {
            Figure::hidden(key, &score)
        }
    };
    scores.named().into_iter().map(figure).collect()
}
