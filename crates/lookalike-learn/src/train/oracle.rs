//! An oracle while a run trains: whom batches and losses take to be of one class, so that they are no negatives of each other.
//!
//! Labels are an upper bound and no method. Without them clusters stand in: those that k-means finds in the embeddings, or those of a
//! cluster head where it is sure (SCAN and TCL: a probability above 0.99). Early clusters are wrong, so nothing is left out in the first third
//! of the run. Both ends are told with each change: how many of the pairs that count as one class are (precision), and how many of those
//! that are it counts (recall). See [`oracle`](crate::negatives::oracle) for what losses make of it.

use std::collections::HashMap;
use std::sync::Arc;

use lookalike_base::arrays::{Array, Arrays};
use lookalike_base::{Matrix, Rows, Seed, Watch};
use lookalike_metrics::{KmeansOptions, MetricError, kmeans};
use lookalike_sampling::{Avoid, UNLABELLED};
use serde::{Deserialize, Serialize};

use crate::engine::to_host;
use crate::error::LearnError;
use crate::method::{Method, Outputs};
use crate::negatives::Known;
use crate::options::{FRACTION, Range, Value};

/// Whose classes an oracle knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OracleKind {
    /// The labels.
    Labels,
    /// Clusters of the embeddings.
    #[default]
    Kmeans,
    /// Clusters of a cluster head, where it is sure.
    Head,
}

/// Who heeds an oracle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Heeding {
    /// Walks, and losses.
    #[default]
    All,
    /// Walks: instances of one class share no batch of look-alikes.
    Sampler,
    /// Losses: instances of one class are no negatives of each other.
    Negatives,
}

crate::options! {
    /// An oracle.
    pub struct OracleOptions {
        /// Whose classes it knows. `labels`: an upper bound, no method; `kmeans`: clusters of the embeddings, found anew at each refresh and in
        /// uniform epochs at their beginning; `head`: clusters of `contrastive-clustering`, where its head is sure.
        kind: OracleKind = Value::Text("kmeans"), Range::OneOf(&["labels", "kmeans", "head"]);
        /// Who heeds it. `sampler`: batches of look-alikes; `negatives`: the loss, which leaves candidates of the query's class out; `all`: both.
        to: Heeding = Value::Text("all"), Range::OneOf(&["all", "sampler", "negatives"]);
        /// Clusters of `kmeans`.
        clusters: Option<usize> = Value::Absent("`method.clusters`"), Range::Integer { least: 2, most: 65_536 };
        /// Share of the run that passes before it is heeded: early clusters are wrong.
        begins: f64 = Value::Number(1.0 / 3.0), FRACTION;
        /// Probability above which the head is sure of a cluster; SCAN, TCL: 0.99. Instances it is not sure of have no class.
        confidence: f32 = Value::Number(0.99), FRACTION;
        /// What walks avoid. `edges`: edges within a class are not walked; `members`: instances of the class of the walk's start are not
        /// collected, those of another class may be several.
        avoid: Avoid = Value::Text("edges"), Range::OneOf(&["edges", "members"]);
    }
}

/// Times that k-means begins anew at a refresh.
const RESTARTS: usize = 3;

/// What an oracle is made of.
#[derive(Debug, Clone)]
pub struct OracleSetup {
    /// What the recipe says.
    pub options: OracleOptions,
    /// What the loss reads, where it heeds the oracle.
    pub known: Option<Known>,
    /// Whether the sampler heeds it.
    pub walks: bool,
    /// Number of clusters of k-means.
    pub clusters: usize,
}

/// An oracle of a run.
pub(super) struct Oracle {
    setup: OracleSetup,
    instances: usize,
    /// What is heeded; nothing before it begins.
    classes: Option<Vec<u32>>,
    /// The newest cluster of each instance by the head, where it is sure.
    sure: Vec<u32>,
    /// The newest embeddings, where the sampler keeps none; rows of zeros before there are any.
    rows: Option<Matrix>,
}

/// What a change of an oracle came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Told {
    /// Whose classes it knows.
    by: OracleKind,
    /// How many classes it has.
    classes: usize,
    /// Share of the instances that have one.
    known: f64,
    /// Share of the pairs of one class that are of one label; absent without labels or pairs.
    precision: Option<f64>,
    /// Share of the pairs of one label that are of one class.
    recall: Option<f64>,
}

impl Told {
    /// What a user should know where nobody has a class.
    pub(super) fn warning(&self) -> Option<String> {
        (self.classes == 0).then(|| {
            "the oracle knows the class of no instance, so nobody is left out; with `head` a lower train.oracle.confidence makes it sure of some"
                .to_owned()
        })
    }

    /// In one line.
    pub(super) fn line(&self) -> String {
        let share = |share: f64| format!("{:.1} %", 100.0 * share);
        let known = share(self.known);
        let known =
            format!("the oracle has {} classes, and knows that of {known} of the instances", self.classes);
        let (Some(precision), Some(recall)) = (self.precision, self.recall) else { return known };
        let (precision, recall) = (share(precision), share(recall));
        format!(
            "{known}; of the pairs it counts as one class {precision} are, and it counts {recall} of those that are"
        )
    }
}

impl Oracle {
    pub(super) fn new(setup: OracleSetup, instances: usize) -> Self {
        let sure = match setup.options.kind {
            OracleKind::Head => vec![UNLABELLED; instances],
            _ => Vec::new(),
        };
        Self { setup, instances, classes: None, sure, rows: None }
    }

    /// What walks avoid; `None` before it begins, and where they do not heed it.
    pub(super) fn of_walks(&self) -> Option<lookalike_sampling::Oracle> {
        let labels = self.classes.clone().filter(|_| self.setup.walks)?;
        Some(lookalike_sampling::Oracle { labels, avoid: self.setup.options.avoid })
    }

    /// Whether it has begun.
    pub(super) fn has_begun(&self) -> bool {
        self.classes.is_some()
    }

    /// Whether it needs embeddings that the sampler does not keep.
    pub(super) fn needs_rows(&self) -> bool {
        self.setup.options.kind == OracleKind::Kmeans
    }

    /// Remembers the embeddings of a batch.
    pub(super) fn record(&mut self, instances: &[u32], embeddings: Rows<'_>) -> Result<(), LearnError> {
        let columns = embeddings.columns();
        let rows = match &mut self.rows {
            Some(rows) => rows,
            None => self.rows.insert(Matrix::new(vec![0.0; self.instances * columns], columns)?),
        };
        for (instance, embedding) in instances.iter().zip(embeddings.iter()) {
            rows.row_mut(*instance as usize).copy_from_slice(embedding);
        }
        Ok(())
    }

    /// Remembers of which clusters the head is sure.
    pub(super) fn look(&mut self, method: &dyn Method, outputs: &Outputs) {
        if self.sure.is_empty() {
            return;
        }
        let Some(assigned) = method.assignments(outputs) else { return };
        let clusters = assigned.dims()[1];
        let assigned = to_host(assigned);
        for (instance, row) in outputs.instances.iter().zip(assigned.chunks_exact(clusters)) {
            let sure = (0..).zip(row).find(|(_, share)| **share > self.setup.options.confidence);
            self.sure[*instance as usize] = sure.map_or(UNLABELLED, |(cluster, _): (u32, _)| cluster);
        }
    }

    /// Looks for classes anew, `share` of the run having been made; `None` before it begins, and as long as there is nothing to find them
    /// in. `kept` are the embeddings that the sampler keeps.
    ///
    /// # Errors
    /// [`LearnError::Cancelled`], and whatever k-means reports.
    pub(super) fn refresh(
        &mut self,
        share: f64,
        labels: Option<&[u32]>,
        kept: Option<Rows<'_>>,
        seed: Seed,
        watch: Watch<'_>,
    ) -> Result<Option<Told>, LearnError> {
        if share < self.setup.options.begins {
            return Ok(None);
        }
        let found = match self.setup.options.kind {
            OracleKind::Labels => labels.map(<[u32]>::to_vec),
            OracleKind::Head => Some(self.sure.clone()),
            OracleKind::Kmeans => {
                let rows = kept.or(self.rows.as_ref().map(Matrix::rows));
                rows.map(|rows| clusters_of(rows, self.setup.clusters, seed, watch)).transpose()?.flatten()
            }
        };
        let Some(classes) = found else { return Ok(None) };
        let told = self.told(&classes, labels);
        self.heed(classes);
        Ok(Some(told))
    }

    fn heed(&mut self, classes: Vec<u32>) {
        if let Some(known) = &self.setup.known {
            known.set(Arc::new(classes.clone()));
        }
        self.classes = Some(classes);
    }

    fn told(&self, classes: &[u32], labels: Option<&[u32]>) -> Told {
        let agreement = labels.map(|labels| Agreement::of(classes, labels));
        let mut distinct: Vec<u32> = classes.iter().copied().filter(|class| *class != UNLABELLED).collect();
        let known = distinct.len() as f64 / classes.len().max(1) as f64;
        distinct.sort_unstable();
        distinct.dedup();
        Told {
            by: self.setup.options.kind,
            classes: distinct.len(),
            known,
            precision: agreement.and_then(|agreement| agreement.precision()),
            recall: agreement.and_then(|agreement| agreement.recall()),
        }
    }

    /// What a checkpoint keeps of it.
    pub(super) fn arrays(&self) -> Arrays {
        let mut arrays = Arrays::new();
        let classes = self.classes.as_ref().map(|classes| ("classes", classes));
        let sure = (!self.sure.is_empty()).then_some(("sure", &self.sure));
        for (name, values) in classes.into_iter().chain(sure) {
            arrays.insert(name.to_owned(), Array::u32([values.len()], values.clone()));
        }
        if let Some(rows) = &self.rows {
            let shape = [rows.len(), rows.columns()];
            arrays.insert("rows".to_owned(), Array::f32(shape, rows.rows().values().to_vec()));
        }
        arrays
    }

    /// Goes on from what [`Oracle::arrays`] gave; `None` where that is of other data.
    pub(super) fn restored(mut self, arrays: &Arrays) -> Option<Self> {
        let whole = |name: &str| match arrays.get(name) {
            None => Some(None),
            Some(array) => {
                let values = array.as_u32().filter(|values| values.len() == self.instances)?;
                Some(Some(values.to_vec()))
            }
        };
        let (classes, sure) = (whole("classes")?, whole("sure")?);
        if let Some(array) = arrays.get("rows") {
            let [rows, columns] = <[usize; 2]>::try_from(array.shape.clone()).ok()?;
            let values = array.as_f32().filter(|_| rows == self.instances)?;
            self.rows = Some(Matrix::new(values.to_vec(), columns).ok()?);
        }
        self.sure = sure.unwrap_or(self.sure);
        if let Some(classes) = classes {
            self.heed(classes);
        }
        Some(self)
    }
}

/// The cluster of each row, [`UNLABELLED`] of rows that are not there yet; `None` where there are fewer rows than clusters.
fn clusters_of(
    rows: Rows<'_>,
    clusters: usize,
    seed: Seed,
    watch: Watch<'_>,
) -> Result<Option<Vec<u32>>, LearnError> {
    let is_there = |row: &usize| rows.row(*row).iter().any(|value| *value != 0.0);
    let there: Vec<usize> = (0..rows.len()).filter(is_there).collect();
    if there.len() < clusters {
        return Ok(None);
    }
    let values = there.iter().flat_map(|row| rows.row(*row)).copied().collect();
    let present = Matrix::new(values, rows.columns())?;
    let options = KmeansOptions { restarts: RESTARTS, seed, ..KmeansOptions::new(clusters) };
    let found = match kmeans(present.rows(), &options, watch) {
        Err(MetricError::Cancelled) => return Err(LearnError::Cancelled),
        found => found?,
    };
    let mut all = vec![UNLABELLED; rows.len()];
    for (row, cluster) in there.into_iter().zip(found.clusters) {
        all[row] = cluster;
    }
    Ok(Some(all))
}

/// Pairs of instances by class and by label, of those that have a label.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Agreement {
    one_class: f64,
    one_label: f64,
    both: f64,
}

impl Agreement {
    fn of(classes: &[u32], labels: &[u32]) -> Self {
        let pairs = |counts: HashMap<(u32, u32), u64>| -> f64 {
            counts
                .values()
                .map(|count| (*count as f64) * (*count as f64 - 1.0) / 2.0)
                .fold(0.0, |sum, pairs| sum + pairs)
        };
        let count = |key: &dyn Fn(u32, u32) -> Option<(u32, u32)>| {
            let mut counts: HashMap<(u32, u32), u64> = HashMap::new();
            for (class, label) in classes.iter().zip(labels).filter(|(_, label)| **label != UNLABELLED) {
                if let Some(key) = key(*class, *label) {
                    *counts.entry(key).or_default() += 1;
                }
            }
            counts
        };
        Self {
            one_class: pairs(count(&|class, _| (class != UNLABELLED).then_some((class, 0)))),
            one_label: pairs(count(&|_, label| Some((0, label)))),
            both: pairs(count(&|class, label| (class != UNLABELLED).then_some((class, label)))),
        }
    }

    fn precision(&self) -> Option<f64> {
        (self.one_class > 0.0).then(|| self.both / self.one_class)
    }

    fn recall(&self) -> Option<f64> {
        (self.one_label > 0.0).then(|| self.both / self.one_label)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precision_and_recall_are_those_of_pairs() {
        // Of six instances classes hold the pairs 01, 23, 24, 34; labels hold 01, 02, 12, 34; both 01 and 34.
        let (classes, labels) = ([0, 0, 1, 1, 1, UNLABELLED], [7, 7, 7, 8, 8, 9]);
        let agreement = Agreement::of(&classes, &labels);
        assert_eq!((agreement.precision(), agreement.recall()), (Some(0.5), Some(0.5)));
        // An instance without a label is in no pair.
        let agreement = Agreement::of(&classes, &[7, 7, 7, 8, UNLABELLED, 9]);
        assert_eq!((agreement.precision(), agreement.recall()), (Some(0.5), Some(1.0 / 3.0)));
        assert_eq!(Agreement::of(&[UNLABELLED; 2], &[0, 0]).precision(), None);
    }

    #[test]
    fn rows_that_are_not_there_yet_have_no_class() {
        let rows = Matrix::new(vec![1.0, 0.0, 0.0, 0.0, 0.9, 0.1, 0.0, 1.0], 2).unwrap();
        let found = clusters_of(rows.rows(), 2, Seed(0), Watch::default()).unwrap().unwrap();
        assert_eq!((found[1], found[0] == found[2], found[0] == found[3]), (UNLABELLED, true, false));
        assert_eq!(clusters_of(rows.rows(), 4, Seed(0), Watch::default()).unwrap(), None);
    }
}
