//! What a user can choose about batches. Defaults are those of the BatchSampler paper, in the values that its published
//! program takes for small image data sets.

use lookalike_kernels::Scoring;
use serde::{Deserialize, Serialize};

use crate::error::{SamplingError, Warning};
use crate::graph::weights::check_temperature;
use crate::graph::{CandidateDraw, GraphOptions, PairRows};
use crate::plan::{Coverage, LastBatch, check_uniform_fraction};
use crate::set::check_instances;

/// How batches are made.
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SamplerKind {
    /// A random order of all instances, cut into batches: each is used at most once an epoch.
    Uniform,
    /// Random walks with restart over the proximity graph: the method of the paper.
    #[default]
    Walk,
    /// An instance and its nearest neighbours of all: the paper's kNN baseline.
    Nearest,
}

/// The probability of going back to the start, falling linearly over the first epochs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RestartSchedule {
    /// Probability in epoch 0. Paper: 0.2.
    pub from: f64,
    /// Probability from epoch `over_epochs` on. Paper: 0.05.
    pub to: f64,
    /// Epochs from the one to the other; 0 for `to` at once. Published program: 7.5, which is 0.02 an epoch.
    pub over_epochs: f64,
}

impl Default for RestartSchedule {
    fn default() -> Self {
        Self { from: 0.2, to: 0.05, over_epochs: 7.5 }
    }
}

impl RestartSchedule {
    /// The restart probability in `epoch`, counted from 0.
    pub fn at(&self, epoch: u64) -> f32 {
        let progress = if self.over_epochs > 0.0 { (epoch as f64 / self.over_epochs).min(1.0) } else { 1.0 };
        (self.from + (self.to - self.from) * progress) as f32
    }

    fn check(&self) -> Result<(), SamplingError> {
        for (option, value) in [("restart.from", self.from), ("restart.to", self.to)] {
            if !(0.0..1.0).contains(&value) {
                return Err(SamplingError::Number { option, value, expected: "at least 0 and below 1" });
            }
        }
        if !(self.over_epochs.is_finite() && self.over_epochs >= 0.0) {
            let (option, value) = ("restart.over_epochs", self.over_epochs);
            return Err(SamplingError::Number { option, value, expected: "finite and at least 0" });
        }
        Ok(())
    }
}

/// Everything that decides who shares a batch, the seed and the embeddings apart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SamplerOptions {
    /// How batches are made.
    pub kind: SamplerKind,
    /// Instances a batch, B. Paper: 256 for the small image data sets.
    pub batch_size: usize,
    /// Whether an instance may come more than once an epoch; uniform epochs always cover.
    pub coverage: Coverage,
    /// Candidates drawn for each instance at a rebuild, M, for [`SamplerKind::Walk`]. Paper: 1000.
    pub candidates: usize,
    /// How the candidates of different instances are drawn, for [`SamplerKind::Walk`]. Published program: independently.
    pub candidate_draw: CandidateDraw,
    /// Neighbours kept of them, K, for [`SamplerKind::Walk`]; [`SamplerKind::Nearest`] needs and keeps B − 1. Paper: 100.
    pub neighbors: usize,
    /// In which numbers instances are compared when a graph is built. Published program: `f32`.
    pub scoring: Scoring,
    /// How instances are compared that are pairs of a query and a document, whose embeddings lie side by side in a row; absent: a
    /// row is one embedding. Uniform batches are only measured by it.
    pub pairs: Option<PairRows>,
    /// Restart probability of [`SamplerKind::Walk`].
    pub restart: RestartSchedule,
    /// Temperature τ of [`SamplerKind::Walk`], which then goes to a neighbour with a probability in proportion to
    /// exp(similarity/τ); without one to each alike, as published.
    pub temperature: Option<f64>,
    /// Share of each batch that is drawn uniformly from the unused instances, 0 to 1; the rest is walked, or nearest.
    pub uniform_fraction: f64,
    /// Edges of a higher similarity are not walked: such neighbours are likely false negatives.
    pub similarity_ceiling: Option<f64>,
    /// The same, with the similarity that this percentage of the graph's edges do not exceed, found anew at each rebuild.
    pub similarity_percentile: Option<f64>,
    /// Of pairs: edges i–j are not walked where query i is closer to document j than this share of its similarity to its own
    /// document, or query j to document i; above 0, at most 1. Document j may answer query i just as well. Published for mined negatives:
    /// 0.95 (NV-Retriever, Moreira et al. 2024).
    pub similarity_to_positive: Option<f64>,
    /// Batches from one rebuild of the graph to the next, t; of all data sets together. Paper: 100.
    pub refresh_every: u64,
    /// First epochs, whose batches are uniform while they gather embeddings. Published program: 1.
    pub uniform_epochs: u64,
    /// What happens to the instances that do not fill a batch.
    pub last_batch: LastBatch,
    /// Whether uniform batches are drawn anew every epoch, as where absent; otherwise they are those of epoch 0 in every epoch, as in
    /// GraphCL's published program.
    pub reshuffle: Option<bool>,
}

impl Default for SamplerOptions {
    fn default() -> Self {
        Self {
            kind: SamplerKind::Walk,
            batch_size: 256,
            coverage: Coverage::Repeat,
            candidates: 1000,
            candidate_draw: CandidateDraw::Tiles,
            neighbors: 100,
            scoring: Scoring::F32,
            pairs: None,
            restart: RestartSchedule::default(),
            temperature: None,
            uniform_fraction: 0.0,
            similarity_ceiling: None,
            similarity_percentile: None,
            similarity_to_positive: None,
            refresh_every: 100,
            uniform_epochs: 1,
            last_batch: LastBatch::Drop,
            reshuffle: None,
        }
    }
}

/// What uniform batches are called in an error.
pub(crate) const UNIFORM: &str = "kind = \"uniform\"";

/// What batches of nearest neighbours are called in an error.
const NEAREST: &str = "kind = \"nearest\"";

impl SamplerOptions {
    /// Checks the options for a data set of `instances`; what had to be put right is returned.
    ///
    /// # Errors
    /// Names the first option that is out of range.
    pub fn check(&self, instances: usize) -> Result<Vec<Warning>, SamplingError> {
        check_instances(instances)?;
        if !(1..=instances).contains(&self.batch_size) {
            return Err(SamplingError::BatchSize { batch_size: self.batch_size, instances });
        }
        if self.refresh_every == 0 {
            return Err(SamplingError::Zero { option: "refresh_every" });
        }
        self.restart.check()?;
        check_uniform_fraction(self.uniform_fraction)?;
        self.check_edges()?;
        self.check_uniform()?;
        match self.kind {
            SamplerKind::Walk => Ok(self.graph(self.neighbors).fitted(instances)?.1.into_iter().collect()),
            SamplerKind::Uniform | SamplerKind::Nearest => Ok(Vec::new()),
        }
    }

    /// How a graph of `neighbors` is built.
    pub(crate) fn graph(&self, neighbors: usize) -> GraphOptions {
        let Self { candidates, candidate_draw: draw, scoring, pairs, .. } = *self;
        GraphOptions { candidates, draw, neighbors, scoring, pairs }
    }

    /// The epoch by which uniform batches of `epoch` are drawn.
    pub(crate) fn drawn_in(&self, epoch: u64) -> u64 {
        if self.reshuffle == Some(false) { 0 } else { epoch }
    }

    /// Checks the options about which edges are walked, and how likely.
    fn check_edges(&self) -> Result<(), SamplingError> {
        if self.candidate_draw == CandidateDraw::Independent && self.kind == SamplerKind::Nearest {
            let reason = "all other instances are compared";
            return Err(SamplingError::Combination { option: "candidate_draw", with: NEAREST, reason });
        }
        if let Some(temperature) = self.temperature {
            check_temperature(temperature)?;
            if self.kind == SamplerKind::Nearest {
                let reason = "it takes the most similar neighbors in their order and walks nowhere";
                return Err(SamplingError::Combination { option: "temperature", with: NEAREST, reason });
            }
        }
        if let Some(value) = self.similarity_ceiling
            && !(-1.0..=1.0).contains(&value)
        {
            let (option, expected) = ("similarity_ceiling", "a cosine, from -1 to 1");
            return Err(SamplingError::Number { option, value, expected });
        }
        if let Some(value) = self.similarity_percentile
            && !(value > 0.0 && value <= 100.0)
        {
            let (option, expected) = ("similarity_percentile", "above 0 and at most 100");
            return Err(SamplingError::Number { option, value, expected });
        }
        if self.similarity_ceiling.is_some() && self.similarity_percentile.is_some() {
            let (option, with) = ("similarity_ceiling", "similarity_percentile");
            let reason = "each says which edges are too similar; give one of them";
            return Err(SamplingError::Combination { option, with, reason });
        }
        self.check_positive()
    }

    /// Checks the share of the similarity to an instance's own document.
    fn check_positive(&self) -> Result<(), SamplingError> {
        let Some(value) = self.similarity_to_positive else { return Ok(()) };
        let option = "similarity_to_positive";
        if !(value > 0.0 && value <= 1.0) {
            return Err(SamplingError::Number { option, value, expected: "above 0 and at most 1" });
        }
        if self.pairs.is_none() {
            let (with, reason) = (
                "rows of one embedding",
                "a positive is known of pairs only; say how those are compared: pairs",
            );
            return Err(SamplingError::Combination { option, with, reason });
        }
        Ok(())
    }

    /// Checks that uniform batches are not asked for what only graphs have.
    fn check_uniform(&self) -> Result<(), SamplingError> {
        let given = [
            ("candidate_draw", self.candidate_draw == CandidateDraw::Independent),
            ("temperature", self.temperature.is_some()),
            ("uniform_fraction", self.uniform_fraction > 0.0),
            ("similarity_ceiling", self.similarity_ceiling.is_some()),
            ("similarity_percentile", self.similarity_percentile.is_some()),
            ("similarity_to_positive", self.similarity_to_positive.is_some()),
        ];
        match given.into_iter().find(|(_, given)| *given && self.kind == SamplerKind::Uniform) {
            None => Ok(()),
            Some((option, _)) => {
                let reason = "it has no graph, and all of its batches are uniform";
                Err(SamplingError::Combination { option, with: UNIFORM, reason })
            }
        }
    }

    /// The first option in which `other` differs, with both values.
    pub(crate) fn difference(&self, other: &Self) -> Option<(&'static str, String, String)> {
        let both = self.values().into_iter().zip(other.values());
        both.into_iter().find(|(a, b)| a.1 != b.1).map(|((name, a), (_, b))| (name, a, b))
    }

    /// Every option by name. A new one must be named here: the pattern has no rest.
    fn values(&self) -> [(&'static str, String); 20] {
        let Self {
            kind,
            batch_size,
            coverage,
            candidates,
            candidate_draw,
            neighbors,
            scoring,
            pairs,
            restart: RestartSchedule { from, to, over_epochs },
            temperature,
            uniform_fraction,
            similarity_ceiling,
            similarity_percentile,
            similarity_to_positive,
            refresh_every,
            uniform_epochs,
            last_batch,
            reshuffle,
        } = self;
        [
            ("kind", format!("{kind:?}")),
            ("batch_size", batch_size.to_string()),
            ("coverage", format!("{coverage:?}")),
            ("candidates", candidates.to_string()),
            ("candidate_draw", format!("{candidate_draw:?}")),
            ("neighbors", neighbors.to_string()),
            ("scoring", format!("{scoring:?}")),
            ("pairs", format!("{pairs:?}")),
            ("restart.from", from.to_string()),
            ("restart.to", to.to_string()),
            ("restart.over_epochs", over_epochs.to_string()),
            ("temperature", format!("{temperature:?}")),
            ("uniform_fraction", uniform_fraction.to_string()),
            ("similarity_ceiling", format!("{similarity_ceiling:?}")),
            ("similarity_percentile", format!("{similarity_percentile:?}")),
            ("similarity_to_positive", format!("{similarity_to_positive:?}")),
            ("refresh_every", refresh_every.to_string()),
            ("uniform_epochs", uniform_epochs.to_string()),
            ("last_batch", format!("{last_batch:?}")),
            ("reshuffle", reshuffle.unwrap_or(true).to_string()),
        ]
    }
}
