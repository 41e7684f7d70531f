//! How well clusters agree with classes: those that k-means finds in representations, and those of a cluster head beside them.
//!
//! NMI (arithmetic mean of the entropies), accuracy (the best one-to-one map of clusters to classes) and ARI, see
//! [`clustering_scores`]. Clusters are found in the part to learn from, as published for clustering; where there is another part to test,
//! its rows go to the clusters found there, which is the honest figure.

use std::borrow::Cow;

use lookalike_base::Matrix;
use lookalike_data::Split;
use lookalike_metrics::{ClusteringScores, KmeansOptions, MetricError, clustering_scores, kmeans};

use super::{Figure, Score, ScoreEntry, Subject};
use crate::error::LearnError;
use crate::method::contrastive_clustering::{CLUSTERS, likeliest};
use crate::modality::{ArmKind, Labels, ReadRows};
use crate::options::{Options, Range, SOME, Value};

crate::options! {
    /// What a recipe says of it.
    pub struct ClusterOptions {
        /// Clusters of k-means.
        clusters: Option<usize> = Value::Absent("those of the cluster head, else as many as classes"), Range::Integer { least: 1, most: 65_536 };
        /// Times that k-means begins anew; the best is taken. scikit-learn: 10 until version 1.4.
        kmeans_restarts: usize = Value::Integer(10), SOME;
    }
}

const ARMS: &[ArmKind] = &[ArmKind::Raw, ArmKind::Untrained, ArmKind::Trained, ArmKind::Best];
/// Texts have no rows without an encoder.
const OF_TEXTS: &[ArmKind] = &[ArmKind::Untrained, ArmKind::Trained, ArmKind::Best];

/// Clusters in a registry.
pub const ENTRY: ScoreEntry = ScoreEntry {
    kind: "clustering",
    about: "score of clusters",
    keys: ClusterOptions::KEYS,
    modalities: &[("image", ARMS), ("graph", ARMS), ("text", OF_TEXTS), ("node", ARMS)],
    circumstances: &["kmeans_clusters", "head_clusters"],
    ends_training: false,
    measure,
    ..ScoreEntry::PLAIN
};

/// Values of rows that k-means reads at most: those of more are drawn.
const MOST_VALUES: usize = 1 << 25;

fn measure(subject: &Subject<'_>) -> Result<Vec<Figure>, LearnError> {
    let ClusterOptions { clusters, kmeans_restarts: restarts } = subject.settings.read("evaluate")?;
    let parts = parts(subject)?;
    let mut figures = Vec::new();
    if let Some(classes) = parts.iter().map(|part| part.labels.classes).max() {
        let own = subject.settings.integer("method.clusters").map(|clusters| clusters as usize);
        let clusters = clusters.or(own).unwrap_or(classes);
        let options = KmeansOptions { restarts, seed: subject.seed, ..KmeansOptions::new(clusters) };
        figures.extend(of_kmeans(subject, &parts, &options)?);
        if subject.arm.kind == ArmKind::Trained {
            figures.push(Figure::hidden("kmeans_clusters", &clusters)?);
            if clusters < classes {
                let note = format!(
                    "{classes} classes cannot all have a cluster of their own among {clusters}: some are wrong whatever is found"
                );
                figures.push(Figure::shown("note", note));
            }
        }
    }
    // Of data without labels the head can be looked at, and no more.
    let assigned = subject.told(CLUSTERS)?;
    for part in &parts {
        let Some(assigned) = assigned.get(part.place) else { break };
        let by = format!("the head ({} clusters)", assigned.columns());
        figures.extend(part.scored(subject, ("head", &by), &likeliest_of(assigned))?);
    }
    if let Some(assigned) = assigned.first() {
        figures.extend(shares(subject, assigned)?);
        figures.push(Figure::hidden(subject.key("head_clusters"), &assigned.columns())?);
    }
    Ok(figures)
}

/// The scores of k-means on every part.
fn of_kmeans(
    subject: &Subject<'_>,
    parts: &[Clustered<'_>],
    options: &KmeansOptions,
) -> Result<Vec<Figure>, LearnError> {
    let by = format!("k-means ({} clusters)", options.clusters);
    let found = match fitted(subject, parts, options)? {
        Ok(found) => found,
        Err(error) => {
            let score = Score::of(Err(error))?;
            let title = subject.title(&by);
            return Ok(vec![Figure::new(subject.key("kmeans_accuracy"), &score, title, score.share())?]);
        }
    };
    let mut figures = Vec::new();
    for (part, found) in parts.iter().zip(&found) {
        figures.extend(part.scored(subject, ("kmeans", &by), found)?);
    }
    Ok(figures)
}

/// The clusters of the rows of every part, by k-means on the first.
type Found = Result<Vec<Vec<u32>>, MetricError>;

fn fitted(
    subject: &Subject<'_>,
    parts: &[Clustered<'_>],
    options: &KmeansOptions,
) -> Result<Found, LearnError> {
    let first = &parts[0].rows;
    subject.watched(options.restarts as u64, &format!("k-means: {}", subject.arm.title), |watch| {
        let found = match kmeans(first.rows(), options, watch) {
            Err(MetricError::Cancelled) => return Err(LearnError::Cancelled),
            Err(error) => return Ok(Err(error)),
            Ok(found) => found,
        };
        let others = parts[1..].iter().map(|part| found.assign(part.rows.rows()));
        Ok(std::iter::once(Ok(found.clusters.clone())).chain(others).collect())
    })
}

/// Rows of a part with their classes.
struct Clustered<'a> {
    /// Which of the parts it is.
    place: usize,
    /// Ends the names of its scores; empty for the part to learn from.
    suffix: &'static str,
    /// What they are, in words.
    about: String,
    rows: Cow<'a, Matrix>,
    labels: Labels,
}

impl Clustered<'_> {
    /// The scores of clusters of these rows: `name` begins their names in JSON, `by` says whose clusters they are.
    fn scored(
        &self,
        subject: &Subject<'_>,
        (name, by): (&str, &str),
        clusters: &[u32],
    ) -> Result<Vec<Figure>, LearnError> {
        let key = |score: &str| subject.key(&format!("{name}_{score}{}", self.suffix));
        let title = subject.title(&format!("accuracy, NMI, ARI of {by}, {}", self.about));
        let scores = match clustering_scores(&self.labels.labels, clusters) {
            Ok(scores) => scores,
            Err(error) => {
                let score = Score::of(Err(error))?;
                return Ok(vec![Figure::new(key("accuracy"), &score, title, score.share())?]);
            }
        };
        let ClusteringScores { nmi, ari, accuracy, .. } = scores;
        let shown = [accuracy, nmi, ari].map(|score| Score::Value(score).share()).join(",");
        Ok(vec![
            Figure::new(key("accuracy"), &accuracy, title, shown)?,
            Figure::hidden(key("nmi"), &nmi)?,
            Figure::hidden(key("ari"), &ari)?,
        ])
    }
}

/// The parts that have labels, the one to learn from first; none where that has none.
fn parts<'a>(subject: &Subject<'a>) -> Result<Vec<Clustered<'a>>, LearnError> {
    let modality = subject.modality();
    let mut parts = Vec::new();
    for (place, split) in modality.parts().iter().enumerate() {
        let labels = modality.labels(*split);
        if labels.known().is_empty() || (place > 0 && modality.tests_what_it_learns()) {
            if place == 0 {
                return Ok(parts);
            }
            continue;
        }
        let (suffix, what) = match place {
            0 => ("", "training instances"),
            _ => ("_test", "test instances"),
        };
        let (rows, labels, drawn) = rows(subject, place, *split, labels)?;
        let about = drawn.map_or_else(|| what.to_owned(), |drawn| format!("{drawn} of {what}"));
        parts.push(Clustered { place, suffix, about, rows, labels });
    }
    Ok(parts)
}

/// The rows of a part and their labels, and how many were drawn where they are too many.
fn rows<'a>(
    subject: &Subject<'a>,
    place: usize,
    split: Split,
    labels: Labels,
) -> Result<(Cow<'a, Matrix>, Labels, Option<usize>), LearnError> {
    let Some(read) = subject.read else {
        return Ok((Cow::Borrowed(&subject.rows[place]), labels, None));
    };
    let instances = labels.labels.len();
    let most = most_rows(subject, read, split)?;
    if instances <= most {
        let all: Vec<u32> = (0..instances as u32).collect();
        return Ok((Cow::Owned(read.matrix(split, &all, subject.cancellation())?), labels, None));
    }
    let mut drawn = subject.seed.stream("clustered rows", place as u64, 0, 0).permutation(instances as u32);
    drawn.truncate(most);
    drawn.sort_unstable();
    let rows = read.matrix(split, &drawn, subject.cancellation())?;
    let labels = Labels { labels: drawn.iter().map(|row| labels.labels[*row as usize]).collect(), ..labels };
    Ok((Cow::Owned(rows), labels, Some(most)))
}

/// As many rows as k-means reads at most.
fn most_rows(subject: &Subject<'_>, read: &dyn ReadRows, split: Split) -> Result<usize, LearnError> {
    let one = read.matrix(split, &[0], subject.cancellation())?;
    Ok((MOST_VALUES / one.columns()).max(1))
}

/// The likeliest cluster of each row, the first of several.
fn likeliest_of(assigned: &Matrix) -> Vec<u32> {
    (0..assigned.len()).map(|row| likeliest(assigned.row(row)) as u32).collect()
}

/// How many clusters are in use, and how sure the head is.
fn shares(subject: &Subject<'_>, assigned: &Matrix) -> Result<Vec<Figure>, LearnError> {
    let rows = assigned.len().max(1) as f64;
    let mut counts = vec![0_usize; assigned.columns()];
    for cluster in likeliest_of(assigned) {
        counts[cluster as usize] += 1;
    }
    let used = counts.iter().filter(|count| **count > 0).count();
    let largest = counts.iter().max().copied().unwrap_or(0) as f64 / rows;
    let sure =
        (0..assigned.len()).filter(|row| assigned.row(*row).iter().any(|share| *share > SURE)).count() as f64;
    let (share, sure) = (Score::Value(largest), Score::Value(sure / rows));
    let text = format!("{} of {}, the largest with {}", used, counts.len(), share.share().trim_start());
    Ok(vec![
        Figure::new(
            subject.key("head_clusters_used"),
            &used,
            subject.title_alone("clusters of the head in use"),
            text,
        )?,
        Figure::hidden(subject.key("head_largest"), &share)?,
        Figure::hidden(subject.key("head_sure"), &sure)?,
    ])
}

/// Above this probability the head counts as sure (SCAN's and TCL's .99).
const SURE: f32 = 0.99;
