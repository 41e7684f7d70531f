//! A sample of the instances, on which walks are tried.

use std::ops::Range;
use std::time::Instant;

use lookalike_base::{Matrix, RowSource, Seed, Watch};
use serde::{Deserialize, Serialize};

use crate::dial::{DialInput, RESTART, share};
use crate::error::SamplingError;
use crate::graph::filter::sampled;
use crate::graph::pairs::pair_sum;
use crate::graph::{
    CandidateDraw, GraphOptions, PairRows, ProximityGraph, check_row, knn_graph, proximity_graph,
};
use crate::plan::{LastBatch, PlanInput, Strategy, plan_segment};
use crate::set::{InstanceSet, check_instances, present_of};
use crate::walk::Transition;

/// At least so many instances are drawn, where there are as many.
const LEAST: usize = 8192;

/// A sample compares as many pairs as a graph of N instances with twice as many candidates.
const PAIRS_EACH: f64 = 500.0;

/// Batches of a sample hold at least so many.
const SMALLEST_BATCH: usize = 4;

/// Epochs are planned until this many batches are measured, or four epochs.
const MEASURED: usize = 96;

/// Mean similarities within batches.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HardnessScale {
    /// Of uniform batches: exact.
    pub uniform: f64,
    /// Of batches of nearest neighbours: estimated from a sample, exact where that is everybody.
    pub nearest: f64,
}

/// Some instances, and how hard their uniform and nearest batches are.
pub(super) struct Sample<'a> {
    input: &'a DialInput<'a>,
    rows: Matrix,
    /// Instances it stands for, N.
    pub(super) instances: usize,
    /// Instances a batch, b.
    batch_size: usize,
    own: HardnessScale,
    all: HardnessScale,
    /// Seconds that the comparison of all its pairs took.
    seconds: f64,
}

impl<'a> Sample<'a> {
    pub(super) fn draw(input: &'a DialInput<'a>, watch: Watch<'_>) -> Result<Self, SamplingError> {
        let total = input.rows.len();
        check_instances(total)?;
        let instances = input.present.map_or(total, InstanceSet::count);
        check_instances(instances)?;
        let count = LEAST.max((PAIRS_EACH * instances as f64).sqrt() as usize).min(instances);
        let mut stream = input.seed.stream("calibration", input.build, 0, 0);
        let drawn = sampled(total, input.present, count as u32, &mut stream);
        let rows = read(input.rows, &drawn)?;
        let fitting = |count: usize| {
            let least = SMALLEST_BATCH.min(input.batch_size);
            scaled(input.batch_size, count, instances).max(least).min(count)
        };
        let batch_size = fitting(count);
        let begun = Instant::now();
        let own = HardnessScale {
            uniform: mean(&rows, input.pairs, 0..count),
            nearest: nearest(&rows, batch_size, input, watch)?,
        };
        let seconds = begun.elapsed().as_secs_f64();
        let everybody = present_of(total, input.present).map(|instance| instance as usize);
        let uniform = mean_of(input.rows, input.pairs, everybody).unwrap_or_default();
        // What batches of a sample have too much falls with their size, as 1/b: half a sample tells how fast.
        let excess = if count < instances && fitting(count / 2) < batch_size {
            // Drawn, not every other one: neighbours in the data set are often alike.
            let half: Vec<usize> =
                stream.distinct(count as u32 / 2, count as u32).into_iter().map(|at| at as usize).collect();
            let half_rows = select(&rows, &half)?;
            let smaller = fitting(half.len());
            let halved =
                nearest(&half_rows, smaller, input, watch)? - mean(&half_rows, input.pairs, 0..half.len());
            let inverse = |size: usize| (size as f64).recip();
            let slope = (halved - (own.nearest - own.uniform)) / (inverse(smaller) - inverse(batch_size));
            slope * (inverse(batch_size) - inverse(input.batch_size))
        } else {
            0.0
        };
        let range = (own.nearest - own.uniform - excess).max(0.0);
        let all = HardnessScale { uniform, nearest: uniform + range };
        Ok(Self { input, rows, instances, batch_size, own, all, seconds })
    }

    /// How hard batches of all instances are.
    pub(super) fn scale(&self) -> HardnessScale {
        self.all
    }

    /// Instances in the sample, n.
    pub(super) fn drawn(&self) -> usize {
        self.rows.len()
    }

    /// Whether nearest batches are no harder than uniform ones: all rows are alike, or no two more than others.
    pub(super) fn is_flat(&self) -> bool {
        self.own.nearest - self.own.uniform < 1e-6 || self.all.nearest <= self.all.uniform
    }

    /// Candidates of each instance that can be compared in so many seconds, a power of two.
    pub(super) fn candidates_in(&self, seconds: f64) -> usize {
        let pairs = (self.drawn() * self.drawn()) as f64;
        let candidates = seconds / self.seconds.max(1e-9) * pairs / self.instances as f64;
        if candidates < 2.0 { 1 } else { 1 << (candidates.min(f64::from(1 << 30)).log2() as u32) }
    }

    /// The share of hardness of walks over a graph of `neighbors` of `candidates`, numbers that are those of all instances.
    pub(super) fn share(
        &self,
        candidates: usize,
        neighbors: usize,
        watch: Watch<'_>,
    ) -> Result<f64, SamplingError> {
        let others = self.drawn() - 1;
        let candidates = scaled(candidates, self.drawn(), self.instances).clamp(1, others);
        // Neighbours are scaled as batches are, which have a smallest size.
        let neighbors = scaled(neighbors, self.batch_size, self.input.batch_size).clamp(1, candidates);
        let options = GraphOptions {
            candidates,
            draw: CandidateDraw::Tiles,
            neighbors,
            scoring: self.input.scoring,
            pairs: self.input.pairs,
        };
        let input = self.input;
        let (graph, _) = proximity_graph(self.rows.rows(), None, &options, input.seed, input.build, watch)?;
        let walk = Strategy::Walk(Transition { graph: &graph, restart: RESTART as f32, weights: None });
        let hardness = planned(&self.rows.rows(), self.batch_size, walk, input, watch)?;
        Ok(share(hardness, self.own))
    }
}

/// The mean similarity within batches of walks over `graph`, whole epochs of them.
pub(super) fn walked_hardness(
    graph: &ProximityGraph,
    input: &DialInput<'_>,
    watch: Watch<'_>,
) -> Result<f64, SamplingError> {
    let walk = Strategy::Walk(Transition { graph, restart: RESTART as f32, weights: None });
    planned(input.rows, input.batch_size, walk, input, watch)
}

/// `count` of all, where a sample has `part` of `whole`.
fn scaled(count: usize, part: usize, whole: usize) -> usize {
    (count as f64 * part as f64 / whole as f64).round() as usize
}

/// The rows of some instances, which must be finite.
fn read(rows: &dyn RowSource, instances: &[u32]) -> Result<Matrix, SamplingError> {
    let columns = rows.columns();
    let mut values = vec![0.0; instances.len() * columns];
    for (instance, row) in instances.iter().zip(values.chunks_exact_mut(columns.max(1))) {
        rows.read_row(*instance as usize, row);
        check_row(row, *instance)?;
    }
    Ok(Matrix::new(values, columns)?)
}

fn select(rows: &Matrix, places: &[usize]) -> Result<Matrix, SamplingError> {
    let values = places.iter().flat_map(|place| rows.row(*place)).copied().collect();
    Ok(Matrix::new(values, rows.columns())?)
}

/// The mean similarity in batches of nearest neighbours.
fn nearest(
    rows: &Matrix,
    batch_size: usize,
    input: &DialInput<'_>,
    watch: Watch<'_>,
) -> Result<f64, SamplingError> {
    let neighbors = (batch_size - 1).clamp(1, rows.len() - 1);
    let graph = knn_graph(rows.rows(), None, neighbors, input.pairs, input.scoring, watch)?;
    planned(&rows.rows(), batch_size, Strategy::Nearest { graph: &graph }, input, watch)
}

/// The mean similarity in the batches of some epochs.
fn planned(
    rows: &dyn RowSource,
    batch_size: usize,
    strategy: Strategy<'_>,
    input: &DialInput<'_>,
    watch: Watch<'_>,
) -> Result<f64, SamplingError> {
    let batches = rows.len() / batch_size;
    let epochs = MEASURED.div_ceil(batches.max(1)).clamp(1, 4) as u64;
    let (mut sum, mut count) = (0.0, 0);
    for epoch in 0..epochs {
        let plan = PlanInput {
            instances: rows.len(),
            batch_size,
            last_batch: LastBatch::Drop,
            coverage: input.coverage,
            multiple: 1,
            strategy,
            uniform_fraction: 0.0,
            groups: None,
            ceiling: None,
            labels: None,
            seed: calibration_seed(input.seed),
            epoch,
            first_batch: 0,
            batches,
            used: &InstanceSet::new(rows.len()),
        };
        for batch in plan_segment(&plan, watch)?.batches {
            let present = |member: &u32| input_has(input, rows.len(), *member);
            let members = batch.iter().filter(|member| present(member)).map(|member| *member as usize);
            sum += mean_of(rows, input.pairs, members).map_or(0.0, |mean| {
                count += 1;
                mean
            });
        }
    }
    Ok(if count == 0 { 0.0 } else { sum / f64::from(count) })
}

/// Whether a member of a plan over all instances has an embedding; those of a sample all have one.
fn input_has(input: &DialInput<'_>, planned: usize, member: u32) -> bool {
    planned != input.rows.len() || input.present.is_none_or(|present| present.contains(member))
}

/// Plans of a calibration are none of those that are trained on.
fn calibration_seed(seed: Seed) -> Seed {
    Seed(seed.stream("calibration plan", 0, 0, 0).bits())
}

fn mean(rows: &Matrix, pairs: Option<PairRows>, chosen: Range<usize>) -> f64 {
    mean_of(&rows.rows(), pairs, chosen).unwrap_or_default()
}

fn mean_of(
    rows: &dyn RowSource,
    pairs: Option<PairRows>,
    chosen: impl Iterator<Item = usize>,
) -> Option<f64> {
    pair_sum(rows, pairs.is_some(), chosen).mean()
}
