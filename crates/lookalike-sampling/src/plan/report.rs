//! What a plan did: how hard and how false its negatives are, who came how often, and on what graph.
//!
//! Every figure about negatives stands beside that of uniform batches on the same embeddings and labels. Means are compared
//! with their exact expectation; the histogram of anchors has no closed form, and is compared with that of one
//! uniform plan of the same batch sizes, drawn by a seed.

use lookalike_base::{RowSource, Seed, Watch};
use lookalike_kernels::normalize;
use lookalike_metrics::{FalseNegatives, Hardness, false_negative_rate, hardness, pair_hardness};
use serde::{Deserialize, Serialize};

use crate::error::SamplingError;
use crate::graph::pairs::{halves, normalize_halves};
use crate::graph::{GraphStatistics, ProximityGraph};
use crate::plan::BatchOrigins;
use crate::plan::decile;

/// Bins of a histogram of similarities: bin i holds those from i/20 − 1 up to below (i + 1)/20 − 1, the last one 1 too.
pub const SIMILARITY_BINS: usize = 40;

/// What is known beside the plan and the embeddings; each part is optional.
#[derive(Debug, Clone, Copy, Default)]
pub struct PlanContext<'a> {
    /// Whether a row holds a query and its document. The negatives of a query are then the documents of the others, and hardness
    /// is the mean of qᵢ·dⱼ.
    pub pairs: bool,
    /// A label an instance, for the false-negative rate.
    pub labels: Option<&'a [u32]>,
    /// The graph that was walked.
    pub graph: Option<&'a ProximityGraph>,
    /// Origins of the batches, one for each.
    pub origins: Option<&'a [BatchOrigins]>,
    /// Batches of each epoch, where the plan holds several: restarts are counted by tenth of an epoch.
    pub batches_per_epoch: Option<usize>,
}

/// A plan in numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlanReport {
    /// Instances of the data set, N.
    pub instances: usize,
    /// Batches of the plan.
    pub batches: usize,
    /// Mean similarity of an anchor to its negatives, beside that of uniform batches.
    pub hardness: Hardness,
    /// Anchors by their mean similarity to their negatives.
    pub anchors: AnchorHistogram,
    /// Share of negatives that are of their anchor's class, beside that of uniform batches; absent without labels.
    pub false_negatives: Option<FalseNegatives>,
    /// How many instances came 0, 1, 2, … times.
    pub draws: Vec<u64>,
    /// Share of the instances that came.
    pub reach: f64,
    /// The graph, where it was given.
    pub graph: Option<GraphReport>,
    /// Fresh starts by tenth of an epoch, those of all epochs together, where origins were given.
    pub restarts: Option<[u64; 10]>,
}

impl PlanReport {
    /// How often [`plan_report`] goes through the batches.
    pub const PASSES: u64 = 3;
}

/// Anchors by their mean cosine similarity to the other members of their batch, in [`SIMILARITY_BINS`] bins of 0.05.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnchorHistogram {
    /// Of the plan.
    pub plan: Vec<u64>,
    /// Of a uniform plan with batches of the same sizes.
    pub uniform: Vec<u64>,
}

/// A graph, and how many have how many others tied to them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GraphReport {
    /// Degrees and similarities in few numbers.
    pub statistics: GraphStatistics,
    /// Members by in-degree: none, 1, 2 to 3, 4 to 7, and so on by powers of two.
    pub in_degrees: Vec<u64>,
    /// Instances by number of neighbours, in the same bins; the first are those outside the graph.
    pub out_degrees: Vec<u64>,
}

/// Reports on `plan`: any run of batches, for instance an epoch. `seed` draws the uniform plan of the histogram. Of the
/// embeddings no more than a batch is in memory, so that those of a mapped file need not fit.
///
/// The progress of `watch` counts [`PlanReport::PASSES`] times the batches; the work ends soon after `watch` asks it to stop.
///
/// # Shapes
/// `embeddings` N×d, N×2d for pairs; labels N; a graph of N instances; origins one a batch.
///
/// # Errors
/// [`SamplingError::Length`] for labels, a graph or origins of another number, [`SamplingError::OddColumns`] for pairs without two halves, and [`SamplingError::Metric`] where the plan has
/// no pair to compare, names an instance that does not exist, a value is not finite, or all labels are the same;
/// and [`SamplingError::Cancelled`] where `watch` stopped the work.
pub fn plan_report(
    plan: &[Vec<u32>],
    embeddings: impl RowSource,
    context: &PlanContext<'_>,
    seed: Seed,
    watch: Watch<'_>,
) -> Result<PlanReport, SamplingError> {
    let instances = embeddings.len();
    context.check(instances, plan.len())?;
    let pairs = context.pairs;
    let hardness = if pairs {
        halves(embeddings.columns())?;
        pair_hardness(plan, &embeddings, watch)?
    } else {
        hardness(plan, &embeddings, watch)?
    };
    let false_negatives = context.labels.map(|labels| false_negative_rate(plan, labels)).transpose()?;
    let anchors = AnchorHistogram {
        plan: anchor_histogram(plan, &embeddings, pairs, watch)?,
        uniform: anchor_histogram(&uniform_plan(plan, instances, seed), &embeddings, pairs, watch)?,
    };
    let draws = draws(plan, instances);
    let reach = 1.0 - draws.first().copied().unwrap_or_default() as f64 / instances as f64;
    Ok(PlanReport {
        instances,
        batches: plan.len(),
        hardness,
        anchors,
        false_negatives,
        draws,
        reach,
        graph: context.graph.map(GraphReport::of),
        restarts: context.origins.map(|origins| restarts(origins, context.batches_per_epoch)),
    })
}

impl PlanContext<'_> {
    fn check(&self, instances: usize, batches: usize) -> Result<(), SamplingError> {
        let lengths = [
            ("labels", self.labels.map(<[u32]>::len), instances),
            ("nodes of the graph", self.graph.map(ProximityGraph::instances), instances),
            ("origins of batches", self.origins.map(<[BatchOrigins]>::len), batches),
        ];
        for (what, found, expected) in lengths {
            if let Some(found) = found
                && found != expected
            {
                return Err(SamplingError::Length { what, found, instances: expected });
            }
        }
        Ok(())
    }
}

impl GraphReport {
    fn of(graph: &ProximityGraph) -> Self {
        let (out, neighbors, _) = graph.parts();
        let mut into = vec![0_u32; graph.instances()];
        for other in neighbors {
            into[*other as usize] += 1;
        }
        let members = into.iter().zip(&out).filter(|(_, out)| **out > 0).map(|(into, _)| *into);
        Self {
            statistics: graph.statistics(),
            in_degrees: by_powers_of_two(members),
            out_degrees: by_powers_of_two(out.iter().copied()),
        }
    }
}

/// How many of the values are 0, 1, 2 to 3, 4 to 7, and so on.
fn by_powers_of_two(values: impl Iterator<Item = u32>) -> Vec<u64> {
    count(values.map(|value| (u32::BITS - value.leading_zeros()) as usize))
}

/// How often each number comes, from 0 to the largest.
fn count(numbers: impl Iterator<Item = usize>) -> Vec<u64> {
    let mut counts = Vec::new();
    for number in numbers {
        if number >= counts.len() {
            counts.resize(number + 1, 0);
        }
        counts[number] += 1;
    }
    counts
}

/// How many instances come how often.
fn draws(plan: &[Vec<u32>], instances: usize) -> Vec<u64> {
    let mut times = vec![0_u32; instances];
    plan.iter().flatten().for_each(|member| times[*member as usize] += 1);
    count(times.into_iter().map(|times| times as usize))
}

fn restarts(origins: &[BatchOrigins], batches_per_epoch: Option<usize>) -> [u64; 10] {
    let (mut deciles, total) = ([0; 10], batches_per_epoch.unwrap_or(origins.len()).max(1));
    for (batch, batch_origins) in origins.iter().enumerate() {
        deciles[decile(batch % total, total)] += batch_origins.restarts;
    }
    deciles
}

/// The anchors of `plan` by their mean similarity to the others of their batch; batches of one have none.
fn anchor_histogram(
    plan: &[Vec<u32>],
    embeddings: &impl RowSource,
    pairs: bool,
    watch: Watch<'_>,
) -> Result<Vec<u64>, SamplingError> {
    let mut counts = vec![0; SIMILARITY_BINS];
    let columns = embeddings.columns();
    // An anchor's own columns, and those by which others see it; of pairs the query's and the document's.
    let (own, seen) = if pairs { (0..columns / 2, columns / 2..columns) } else { (0..columns, 0..columns) };
    for batch in plan {
        if watch.is_cancelled() {
            return Err(SamplingError::Cancelled);
        }
        watch.progress.advance(1);
        if batch.len() < 2 {
            continue;
        }
        let mut rows = vec![0.0_f32; batch.len() * columns];
        let mut sum = vec![0.0_f64; seen.len()];
        for (member, row) in batch.iter().zip(rows.chunks_exact_mut(columns)) {
            embeddings.read_row(*member as usize, row);
            // They were found to be finite, so it never refuses.
            if pairs {
                normalize_halves(row)
            } else {
                normalize(row)
            };
            sum.iter_mut().zip(&row[seen.clone()]).for_each(|(sum, value)| *sum += f64::from(*value));
        }
        for row in rows.chunks_exact(columns) {
            // z · (Σ z − z): what the anchor has with itself does not count.
            let others = sum.iter().zip(&row[seen.clone()]).map(|(sum, value)| sum - f64::from(*value));
            let similarity: f64 =
                row[own.clone()].iter().zip(others).map(|(value, others)| f64::from(*value) * others).sum();
            let mean = similarity / (batch.len() - 1) as f64;
            let bin = ((mean + 1.0) * (SIMILARITY_BINS / 2) as f64) as usize;
            counts[bin.min(SIMILARITY_BINS - 1)] += 1;
        }
    }
    Ok(counts)
}

/// Batches of the sizes of those of `plan`, whose members are drawn without replacement within each run of N.
fn uniform_plan(plan: &[Vec<u32>], instances: usize, seed: Seed) -> Vec<Vec<u32>> {
    let mut orders = 0;
    let mut order: Vec<u32> = Vec::new();
    let batch = |batch: &Vec<u32>| {
        if order.len() < batch.len() {
            order = seed.stream("plan report", 0, orders, 0).permutation(instances as u32);
            orders += 1;
        }
        order.split_off(order.len().saturating_sub(batch.len()))
    };
    plan.iter().map(batch).collect()
}
