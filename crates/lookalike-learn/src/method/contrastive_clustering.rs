//! Contrastive Clustering (Li et al. 2021, algorithm 1, <https://arxiv.org/abs/2009.09687>): [SimCLR](super::simclr) of the rows, and the
//! same contrast of the columns of a second head, which tells clusters.
//!
//! L = ℓ(Zᵃ, Zᵇ) + ℓ(Yᵃᵀ, Yᵇᵀ) + Σ over views (ln C − H(Y)), equation 8, with NT-Xent ℓ at τ = 0.5 of the rows of the projections Z and at
//! τ = 1 of the columns of the assignments Y. See [`clusters`](crate::loss::clusters) for the entropy H.
//!
//! The entropy term asks each batch to be of all clusters alike, and so it contradicts batches of look-alikes, which are of few
//! classes. `columns = "uniform"` splits the two: rows are contrasted in every batch, columns in those of uniform epochs alone, which
//! `sampler.uniform_every` sets among the others. `columns = "labelled"` is the form of the two passes that the published program makes
//! over STL-10: columns of instances that have a label (which is not looked at), rows of all.

use std::sync::Arc;

use lookalike_sampling::UNLABELLED;

use super::simclr::InBatchNegatives;
use super::{Building, Checked, Embedder, Method, MethodEntry, Network, Outputs, Terms, parted};
use crate::engine::{Tensor, to_host};
use crate::error::LearnError;
use crate::head::ClusterHead;
use crate::head::ProjectionOptions;
use crate::head::projection::WITHOUT_NORM;
use crate::input::Batch;
use crate::loss::clusters::entropy_gap;
use crate::loss::{InfoNce, QueryLoss};
use crate::module::{Module, Pass, Visitor};
use crate::negatives::{Comparison, Contrast, Observer};
use crate::options::{Options, POSITIVE, Range, Value, When, refuse, require};
use crate::step::Step;

/// The name of the head that tells clusters.
pub const CLUSTERS: &str = "clusters";

/// Rows a cluster in a batch, from which on every cluster is likely to be in each: published are 256 rows for 10 clusters.
const ROWS_A_CLUSTER: usize = 25;

/// What `columns` can be.
const COLUMNS: &[&str] = &["all", "uniform", "labelled"];

crate::options! {
    /// What a recipe says of Contrastive Clustering.
    pub struct ClusteringOptions {
        /// C, the number of clusters; the paper takes that of the classes, 10 for CIFAR-10.
        clusters: usize = Value::Integer(10), Range::Integer { least: 2, most: 65_536 };
        /// τ of the contrast of columns; the paper: 1.
        cluster_temperature: f32 = Value::Number(1.0), POSITIVE;
        /// In which batches columns are contrasted: `all`, as published; `uniform`, those of uniform epochs alone, which
        /// `sampler.uniform_every` sets among the others, so that these can be of look-alikes; `labelled`, those whose instances all have a label, which is not
        /// looked at: the two passes over STL-10, with `data.unlabelled = "apart"`.
        columns: String = Value::Text("all"), Range::OneOf(COLUMNS);
        /// The projection head of the rows.
        projection: ProjectionOptions = Value::Table, Range::Table(WITHOUT_NORM);
    }
}

/// Contrastive Clustering in a registry.
pub const ENTRY: MethodEntry = MethodEntry {
    kind: "contrastive-clustering",
    paper: "Li et al. 2021",
    about: "rows as `simclr` does, and columns: each cluster of a second head against its column in the other view and all other \
            clusters",
    keys: ClusteringOptions::KEYS,
    modalities: &["image", "graph", "text"],
    losses: &["nt-xent", "debiased", "hard"],
    defaults: &[When::always(("loss.temperature", Value::Number(0.5)))],
    in_batch: |checked| 2 * checked.batch_size.saturating_sub(1),
    scores: &["clustering"],
    check,
    check_data,
    advise,
    build,
    kept: |building| Ok(Box::new(network(building, &building.settings.read("method")?)?)),
    ..MethodEntry::VIEWS
};

fn check(checked: &Checked<'_>) -> Result<(), LearnError> {
    let options: ClusteringOptions = checked.settings.read("method")?;
    let sampler = |key: &str| checked.settings.value(&format!("sampler.{key}")).is_some();
    let looks_alike = checked.settings.text("sampler.kind") != Some("uniform");
    require(
        options.columns != "uniform" || !looks_alike || sampler("uniform_every"),
        "method.columns",
        "`uniform` contrasts clusters in uniform epochs alone: say with sampler.uniform_every which epochs are, as 2 for every second one",
    )
}

fn check_data(checked: &Checked<'_>, instances: usize) -> Result<(), LearnError> {
    let ClusteringOptions { clusters, .. } = checked.settings.read("method")?;
    let reason = format!("must be at most {instances}, the number of instances");
    require(clusters <= instances, "method.clusters", reason)
}

/// What makes columns worse than they could be: too few rows a cluster, or labelled instances amid others.
fn advise(checked: &Checked<'_>) -> Vec<String> {
    let Ok(ClusteringOptions { clusters, columns, .. }) = checked.settings.read("method") else {
        return Vec::new();
    };
    let (batch, asked) = (checked.batch_size, ROWS_A_CLUSTER * clusters);
    let few = (batch < asked).then(|| {
        format!(
            "a batch of {batch} has fewer than {ROWS_A_CLUSTER} instances for each of {clusters} clusters, so that clusters are missing from \
             batches and their columns are noise; take sampler.batch_size = {asked} or more, or fewer clusters"
        )
    });
    let mixed = columns == "labelled" && checked.settings.text("data.unlabelled") != Some("apart");
    let mixed = mixed.then(|| {
        "columns are contrasted in batches whose instances all have a label, and where others are mixed in there may be none; \
         data.unlabelled = \"apart\" gives these batches of their own"
            .to_owned()
    });
    few.into_iter().chain(mixed).collect()
}

fn network(building: &Building<'_>, options: &ClusteringOptions) -> Result<Network, LearnError> {
    let network = building.network("encoder", "projection")?;
    let (inputs, mut stream) = (network.encoder.dimension(), building.stream(CLUSTERS));
    Ok(network.with_head(CLUSTERS, ClusterHead::new(inputs, options.clusters, &mut stream, building.device)))
}

fn build(building: &Building<'_>) -> Result<Box<dyn Method>, LearnError> {
    let options: ClusteringOptions = building.settings.read("method")?;
    let columns = match options.columns.as_str() {
        "uniform" => Columns::OfUniform,
        "labelled" => {
            let any = |labels: &Arc<Vec<u32>>| labels.iter().any(|label| *label != UNLABELLED);
            let labels = building.labels.clone().filter(any);
            Columns::OfLabelled(labels.ok_or_else(|| {
                refuse("method.columns", "`labelled` needs instances that have a label, and none has one")
            })?)
        }
        _ => Columns::OfAll,
    };
    let temperature = options.cluster_temperature;
    let network = network(building, &options)?;
    Ok(Box::new(ContrastiveClustering::new(network, building.contrast()?, InfoNce { temperature }, columns)))
}

/// In which batches columns are contrasted.
#[derive(Debug, Clone)]
pub enum Columns {
    /// In all.
    OfAll,
    /// In those that were drawn uniformly.
    OfUniform,
    /// In those whose instances all have a label.
    OfLabelled(Arc<Vec<u32>>),
}

impl Columns {
    fn count(&self, step: &Step, instances: &[u32]) -> bool {
        match self {
            Self::OfAll => true,
            Self::OfUniform => step.uniform,
            Self::OfLabelled(labels) => {
                let is_labelled = |instance: &u32| labels[*instance as usize] != UNLABELLED;
                instances.iter().all(is_labelled)
            }
        }
    }
}

/// An encoder with a projection head for rows and one of clusters for columns.
#[derive(Clone)]
pub struct ContrastiveClustering {
    network: Network,
    contrast: Contrast,
    of_columns: InfoNce,
    columns: Columns,
}

impl ContrastiveClustering {
    /// Trains `network`, which has a head [`CLUSTERS`]: rows by `contrast`, columns by `of_columns`.
    pub fn new(network: Network, contrast: Contrast, of_columns: InfoNce, columns: Columns) -> Self {
        Self { network, contrast, of_columns, columns }
    }

    /// The terms of the columns of assignments in two views, `[N, C]` each.
    fn column_terms(&self, [first, second]: [Tensor<2>; 2]) -> Terms {
        let columns = Comparison::of_units(first.clone().transpose(), second.clone().transpose());
        let contrast = self.of_columns.each(&columns.similarities(Vec::new())).mean();
        Terms::new(vec![
            ("columns", contrast),
            ("entropy of first", entropy_gap(first)),
            ("entropy of second", entropy_gap(second)),
        ])
    }
}

impl Module for ContrastiveClustering {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        self.network.visit(visitor);
    }
}

impl Method for ContrastiveClustering {
    fn encode(&mut self, batch: &Batch, _: &Step, pass: &mut Pass) -> Result<Outputs, LearnError> {
        let (both, counts) = batch.joined_pair()?;
        let embeddings = self.network.project(&both, pass)?;
        let assignments = self.network.head(CLUSTERS, embeddings.representation, pass);
        let [first, second] = parted(&embeddings.projection, counts);
        let [of_first, of_second] = parted(&assignments, counts);
        let rows = vec![("first", first), ("second", second)];
        let columns = vec![("clusters of first", of_first), ("clusters of second", of_second)];
        Ok(Outputs::new(batch.instances.clone(), rows).and(columns))
    }

    fn loss(
        &mut self,
        gathered: &Outputs,
        step: &Step,
        observer: &mut dyn Observer,
    ) -> Result<Terms, LearnError> {
        let rows = InBatchNegatives::AllViews.terms(&self.contrast, gathered, step, observer);
        if !self.columns.count(step, &gathered.instances) {
            return Ok(rows);
        }
        let assignments = ["clusters of first", "clusters of second"].map(|name| gathered.get(name));
        let [first, _] = &assignments;
        observer.number("clusters", &|| first.dims()[1] as f64);
        observer.number("clusters_in_use", &|| in_use(first.clone()));
        observer.number("confidence", &|| confidence(first.clone()));
        Ok(rows.with(self.column_terms(assignments)))
    }

    /// Both projections side by side, as of [SimCLR](super::simclr).
    fn embeddings(&self, outputs: &Outputs) -> Tensor<2> {
        outputs.side_by_side(["first", "second"])
    }

    fn assignments(&self, outputs: &Outputs) -> Option<Tensor<2>> {
        Some(outputs.get("clusters of first").inner())
    }

    fn kept(&self) -> Box<dyn Embedder> {
        Box::new(self.network.clone())
    }
}

/// e^H of the shares of rows that have a cluster as their likeliest: as many clusters of equal size would have its entropy.
fn in_use(assignments: Tensor<2>) -> f64 {
    let clusters = assignments.dims()[1];
    let mut counts = vec![0.0_f64; clusters];
    let values = to_host(assignments.inner());
    for row in values.chunks_exact(clusters) {
        counts[likeliest(row)] += 1.0;
    }
    let all: f64 = counts.iter().sum();
    let entropy: f64 =
        counts.iter().filter(|count| **count > 0.0).map(|count| -count / all * (count / all).ln()).sum();
    entropy.exp()
}

/// The likeliest cluster of a row, the first of several.
pub(crate) fn likeliest(row: &[f32]) -> usize {
    (0..row.len()).reduce(|best, other| if row[other] > row[best] { other } else { best }).unwrap_or(0)
}

/// The mean of each row's largest probability.
fn confidence(assignments: Tensor<2>) -> f64 {
    let largest = to_host(assignments.inner().max_dim(1));
    largest.iter().map(|share| f64::from(*share)).sum::<f64>() / largest.len().max(1) as f64
}
