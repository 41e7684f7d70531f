//! The dial: from how hard batches are to be, to the candidates, neighbours and restarts of the walks that make them so.
//!
//! Hardness is measured as a share of the way from uniform batches, 0, to batches of nearest neighbours, 1, under the same coverage. Of the
//! walks that come to the same hardness those have the fewest false negatives that stay near their start and choose among many neighbours:
//! a high restart probability, K about as large as the batch, and M candidates that decide how near the K are. So restart and K are
//! set by a rule, and M is searched for ([`calibrate`]).
//!
//! The search happens on a sample of n of the N instances, with batches of b = B·n/N, K and M made smaller alike: what a ball of B of N holds, a
//! ball of b of n holds too. All pairs of the sample are compared once for its nearest batches, and fewer for each M that is tried, about 2n²
//! in all. With n = √(500·N) those are as many as the published M = 1000 compares; less than 8192 instances are never drawn, which costs a
//! fraction of a second. What remains is put right on the graph itself, by walks over fewer of its neighbours.

mod sample;

use lookalike_base::{RowSource, Seed, Watch};
use lookalike_kernels::Scoring;
use serde::{Deserialize, Serialize};

use crate::dial::sample::Sample;
use crate::error::{CandidateLimit, SamplingError, Warning};
use crate::graph::{PairRows, ProximityGraph};
use crate::plan::Coverage;
use crate::set::InstanceSet;

pub use sample::HardnessScale;

/// The restart probability of walks that the dial sets.
const RESTART: f64 = 0.9;

/// Neighbours are as many as fill a batch twice, but no more than this, unless that is less than half a batch.
const MANY_NEIGHBORS: usize = 128;

/// A share is reached where it is missed by no more than this.
const NEAR: f64 = 0.02;

/// Shares that are missed by more than this are said not to be reached.
const MISSED: f64 = 0.05;

/// The search for candidates stops where they are known to a tenth.
const CLOSE: f64 = 1.1;

/// Of more instances than this a graph is taken as it is: walks over it would take longer than its build.
const TOO_MANY_TO_FIT: usize = 1 << 20;

/// What a calibration depends on.
#[derive(Clone, Copy)]
pub struct DialInput<'a> {
    /// The embeddings, N×d; N×2d for pairs.
    pub rows: &'a dyn RowSource,
    /// Who has an embedding; absent: everybody.
    pub present: Option<&'a InstanceSet>,
    /// How pairs are compared.
    pub pairs: Option<PairRows>,
    /// In which numbers.
    pub scoring: Scoring,
    /// Instances a batch, B.
    pub batch_size: usize,
    /// Whether an instance may come more than once an epoch.
    pub coverage: Coverage,
    /// The run's seed.
    pub seed: Seed,
    /// The number of the build that it is for.
    pub build: u64,
    /// Seconds that one graph may take; absent: as long as it takes.
    pub build_seconds: Option<f64>,
}

/// What the dial came to on some embeddings.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// The share of hardness that was asked for.
    pub asked: f64,
    /// The share that batches are expected to come to.
    pub share: f64,
    /// Candidates of each instance, M.
    pub candidates: usize,
    /// Neighbours that are kept, K.
    pub neighbors: usize,
    /// Restart probability.
    pub restart: f64,
    /// Mean similarity in uniform batches.
    pub uniform: f64,
    /// Mean similarity in batches of nearest neighbours, estimated from a sample.
    pub nearest: f64,
    /// Instances that had an embedding.
    pub embedded: usize,
    /// Instances of these in the sample.
    pub sampled: usize,
    /// The most candidates that the budget allows, where it set a limit.
    pub most_candidates: Option<usize>,
}

impl Calibration {
    /// Whether the share is not what was asked for.
    pub fn is_missed(&self) -> bool {
        self.off() > MISSED
    }

    /// How far the share is from what was asked for.
    pub(crate) fn off(&self) -> f64 {
        (self.asked - self.share).abs()
    }

    /// What is to be said of it at `step`, where batches have `batch_size`.
    pub(crate) fn warning(&self, step: u64, batch_size: usize) -> Option<Warning> {
        let Self { asked, share, candidates, embedded, most_candidates, .. } = *self;
        if embedded < 2 * batch_size {
            return Some(Warning::OneBatch { embedded, batch_size });
        }
        if self.nearest <= self.uniform {
            return Some(Warning::AllAlike { step });
        }
        let limit = match most_candidates {
            Some(most) if candidates >= most => CandidateLimit::Budget,
            None if candidates + 1 >= embedded => CandidateLimit::Instances,
            _ => CandidateLimit::None,
        };
        let (asked, share) = (asked.to_string(), format!("{share:.2}"));
        self.is_missed().then_some(Warning::ShareMissed { asked, share, candidates, limit })
    }

    /// The calibration for a second graph, where the first one missed the share and other candidates can meet it: their number goes with the
    /// share, which is close where the share is small and on the safe side where it is large.
    pub(crate) fn corrected(&self, neighbors: usize) -> Option<Self> {
        let factor = (self.asked / self.share.max(1e-3)).clamp(0.5, 2.0);
        let most = self.most_candidates.unwrap_or(self.embedded - 1);
        let candidates =
            ((self.candidates as f64 * factor).round() as usize).clamp(neighbors.min(most), most);
        (self.is_missed() && candidates != self.candidates).then_some(Self { candidates, neighbors, ..*self })
    }

    /// Neighbours that a graph is built with, so that fewer or more of them can be walked.
    pub(crate) fn spare_neighbors(&self) -> usize {
        (self.neighbors + self.neighbors / 2).min(self.candidates)
    }

    /// The share that a mean similarity is.
    fn share_of(&self, similarity: f64) -> f64 {
        share(similarity, HardnessScale { uniform: self.uniform, nearest: self.nearest })
    }

    /// Chooses how many of the neighbours of `graph` are walked, by the hardness of whole epochs of batches: the graph of those, and what it
    /// comes to.
    ///
    /// # Errors
    /// [`SamplingError::Cancelled`] where `watch` stopped the work.
    pub(crate) fn fit(
        &self,
        graph: ProximityGraph,
        input: &DialInput<'_>,
        watch: Watch<'_>,
    ) -> Result<(ProximityGraph, Self), SamplingError> {
        let (most, instances) = (self.spare_neighbors(), graph.instances());
        if instances > TOO_MANY_TO_FIT || self.nearest <= self.uniform {
            return Ok((graph.truncated(self.neighbors), *self));
        }
        // Fewer neighbours than two thirds would be collected from again and again, and with them more false negatives.
        let (mut low, mut high) = ((self.neighbors * 2 / 3).max(1), most);
        let mut best: Option<(ProximityGraph, Self)> = None;
        let mut neighbors = self.neighbors;
        for _ in 0..5 {
            let walked = graph.truncated(neighbors);
            let share = self.share_of(sample::walked_hardness(&walked, input, watch)?);
            let found = Self { share, neighbors, ..*self };
            if best.as_ref().is_none_or(|(_, best)| found.off() < best.off()) {
                best = Some((walked, found));
            }
            if found.off() <= NEAR || high <= low + 1 {
                break;
            }
            // Fewer neighbours are nearer ones.
            if share < self.asked {
                high = neighbors;
            } else {
                low = neighbors;
            }
            let next = (low as f64 * high as f64).sqrt().round() as usize;
            if next == neighbors {
                break;
            }
            neighbors = next;
        }
        Ok(best.unwrap_or((graph, *self)))
    }
}

fn share(similarity: f64, scale: HardnessScale) -> f64 {
    let range = scale.nearest - scale.uniform;
    if range > 0.0 { (similarity - scale.uniform) / range } else { 0.0 }
}

/// Finds candidates, neighbours and restart by which walks come to `asked`, a share from 0 to 1.
///
/// The same embeddings, seed and build give the same, but where [`DialInput::build_seconds`] sets a limit: that is counted in powers of two
/// candidates, by the time that the sample took.
///
/// # Errors
/// [`SamplingError::OddColumns`] for pairs without two halves, [`SamplingError::NotFinite`] for a row with NaN or an infinity,
/// [`SamplingError::Instances`] where fewer than two are present, [`SamplingError::Cancelled`] where `watch` stopped the work.
pub fn calibrate(input: &DialInput<'_>, asked: f64, watch: Watch<'_>) -> Result<Calibration, SamplingError> {
    let sample = Sample::draw(input, watch)?;
    let scale = sample.scale();
    let others = sample.instances - 1;
    let allowed = input.build_seconds.map(|seconds| sample.candidates_in(seconds));
    let limit = allowed.filter(|allowed| *allowed < others);
    let most = limit.unwrap_or(others).max(1);
    let neighbors = (2 * input.batch_size).min(MANY_NEIGHBORS).max(input.batch_size / 2).clamp(1, most);
    let found = if sample.is_flat() {
        Found { share: 0.0, candidates: most.min(neighbors), neighbors }
    } else {
        search(&sample, asked, most, neighbors, watch)?
    };
    Ok(Calibration {
        asked,
        share: found.share,
        candidates: found.candidates.clamp(found.neighbors, most.max(found.neighbors)),
        neighbors: found.neighbors,
        restart: RESTART,
        uniform: scale.uniform,
        nearest: scale.nearest,
        embedded: sample.instances,
        sampled: sample.drawn(),
        most_candidates: limit,
    })
}

/// How hard uniform and nearest batches are.
///
/// # Errors
/// As [`calibrate`].
pub fn hardness_scale(input: &DialInput<'_>, watch: Watch<'_>) -> Result<HardnessScale, SamplingError> {
    Ok(Sample::draw(input, watch)?.scale())
}

struct Found {
    share: f64,
    candidates: usize,
    neighbors: usize,
}

/// Candidates for `neighbors`, or where all there are do not make batches hard enough, fewer neighbours of those.
fn search(
    sample: &Sample<'_>,
    asked: f64,
    most: usize,
    neighbors: usize,
    watch: Watch<'_>,
) -> Result<Found, SamplingError> {
    let hardest = sample.share(most, neighbors, watch)?;
    if hardest < asked {
        let mut best = Found { share: hardest, candidates: most, neighbors };
        let mut fewer = neighbors;
        while best.share < asked && fewer > 1 && fewer * 8 > neighbors {
            fewer = (fewer * 2).div_ceil(3).min(fewer - 1);
            let share = sample.share(most, fewer, watch)?;
            if share > best.share {
                best = Found { share, candidates: most, neighbors: fewer };
            }
        }
        return Ok(best);
    }
    // With as many candidates as neighbours the graph is random.
    let (mut low, mut low_share) = (neighbors as f64, 0.0);
    let (mut high, mut high_share) = (most as f64, hardest);
    while high / low > CLOSE && high_share - low_share > NEAR {
        let middle = (low * high).sqrt();
        let share = sample.share(middle.round() as usize, neighbors, watch)?;
        if share < asked {
            (low, low_share) = (middle, share);
        } else {
            (high, high_share) = (middle, share);
        }
    }
    let between = ((asked - low_share) / (high_share - low_share).max(f64::MIN_POSITIVE)).clamp(0.0, 1.0);
    let candidates = (low.ln() + between * (high / low).ln()).exp().round() as usize;
    Ok(Found { share: asked, candidates, neighbors })
}
