//! All kinds of batches on the same embeddings, side by side.

use std::collections::HashSet;
use std::time::Instant;

use lookalike_base::{RowSource, Seed, Silent, Watch};
use lookalike_kernels::Scoring;
use lookalike_metrics::{false_negative_rate, hardness, pair_hardness};
use serde::{Deserialize, Serialize};

use crate::error::SamplingError;
use crate::graph::PairRows;
use crate::sampler::{HardnessShare, Sampler, SamplerKind, SamplerOptions};

/// One epoch of one kind of batches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanComparison {
    /// The kind, and what sets it apart.
    pub name: String,
    /// Mean similarity of an anchor to its negatives, less that of uniform batches.
    pub hardness: f64,
    /// The same as a share of that of `nearest`; absent where nearest batches are no harder than uniform ones.
    pub share: Option<f64>,
    /// Share of negatives of their anchor's class; absent without labels.
    pub false_negatives: Option<f64>,
    /// Share of the instances that came.
    pub reach: f64,
    /// Seconds for graph, clusters or order, calibration included.
    pub build_seconds: f64,
    /// Seconds for the batches.
    pub plan_seconds: f64,
}

impl PlanComparison {
    /// Kinds that [`compare_plans`] compares at most.
    pub const MOST: u64 = 7 + SHARES.len() as u64;
}

/// What is compared on the same embeddings.
#[derive(Debug, Clone, Copy)]
pub struct ComparisonOptions {
    /// Instances a batch, B.
    pub batch_size: usize,
    /// How pairs are compared.
    pub pairs: Option<PairRows>,
    /// In which numbers.
    pub scoring: Scoring,
    /// The seed of every random number.
    pub seed: Seed,
}

/// Shares of hardness that the dial is tried at.
const SHARES: [f64; 3] = [0.25, 0.5, 0.75];

/// Plans an epoch of each kind of batches: uniform, walks with the published M, K and restart, nearest, GCBS, clusters, and walks by
/// the dial at shares of a quarter, a half and three quarters. Of GCBS and clusters stands beside them what walks as hard as they come to.
/// Each instance comes once, but for the remainder.
///
/// # Shapes
/// `rows` N×d, N×2d for pairs; labels N.
///
/// # Errors
/// As [`Sampler::rebuild_from`] and [`Sampler::next_segment_of_all`], and [`SamplingError::Metric`] where labels do not fit.
pub fn compare_plans(
    rows: &dyn RowSource,
    labels: Option<&[u32]>,
    options: ComparisonOptions,
    watch: Watch<'_>,
) -> Result<Vec<PlanComparison>, SamplingError> {
    let run = |name: String, kind, share: Option<f64>| {
        let asked = SamplerOptions {
            kind,
            batch_size: options.batch_size,
            pairs: options.pairs,
            scoring: options.scoring,
            hardness_share: share.map(HardnessShare::constant),
            uniform_epochs: 0,
            refresh_every: u64::MAX,
            ..SamplerOptions::default()
        };
        arm(name, asked, rows, labels, options.seed, watch)
    };
    let mut found = Vec::new();
    for (name, kind) in [
        ("uniform", SamplerKind::Uniform),
        ("walk", SamplerKind::Walk),
        ("nearest", SamplerKind::Nearest),
        ("gcbs", SamplerKind::Gcbs),
        ("clusters", SamplerKind::Clusters),
    ] {
        found.push(run(name.to_owned(), kind, None)?);
    }
    let hardest = found.iter().find(|arm| arm.name == "nearest").map_or(0.0, |arm| arm.hardness);
    let share = |hardness: f64| (hardest > 0.0).then(|| hardness / hardest);
    for asked in SHARES {
        found.push(run(format!("walk, hardness_share {asked}"), SamplerKind::Walk, Some(asked))?);
    }
    for other in ["gcbs", "clusters"] {
        let as_hard = found.iter().find(|arm| arm.name == other).and_then(|arm| share(arm.hardness));
        if let Some(asked) = as_hard.filter(|share| (0.0..=1.0).contains(share)) {
            found.push(run(format!("walk, as hard as {other}"), SamplerKind::Walk, Some(asked))?);
        }
    }
    for arm in &mut found {
        arm.share = share(arm.hardness);
    }
    Ok(found)
}

fn arm(
    name: String,
    asked: SamplerOptions,
    rows: &dyn RowSource,
    labels: Option<&[u32]>,
    seed: Seed,
    watch: Watch<'_>,
) -> Result<PlanComparison, SamplingError> {
    let pairs = asked.pairs.is_some();
    let (mut sampler, _) = Sampler::new(rows.len(), asked, seed)?;
    sampler.set_cancellation(watch.cancellation.clone());
    let begun = Instant::now();
    sampler.rebuild_from(rows, &Silent)?;
    let build_seconds = begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    let plan = sampler.next_segment_of_all(Some(&rows), &Silent)?.batches;
    let plan_seconds = begun.elapsed().as_secs_f64();
    let silent = Watch { progress: &Silent, cancellation: watch.cancellation };
    let measured = if pairs { pair_hardness(&plan, rows, silent)? } else { hardness(&plan, rows, silent)? };
    let false_negatives = labels.map(|labels| false_negative_rate(&plan, labels)).transpose()?;
    let distinct = plan.iter().flatten().collect::<HashSet<_>>().len();
    watch.progress.advance(1);
    Ok(PlanComparison {
        name,
        hardness: measured.difference,
        share: None,
        false_negatives: false_negatives.map(|found| found.rate),
        reach: distinct as f64 / rows.len() as f64,
        build_seconds,
        plan_seconds,
    })
}
