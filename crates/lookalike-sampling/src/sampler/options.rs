//! What a user can choose about batches. Defaults are those of the BatchSampler paper, in the values that its published
//! program takes for small image data sets, but for one: each instance comes once an epoch.

use lookalike_kernels::Scoring;
use serde::{Deserialize, Serialize};

use crate::error::{SamplingError, Warning};
use crate::graph::weights::check_temperature;
use crate::graph::{CandidateDraw, GraphOptions, PairRows};
use crate::plan::{BatchOrder, Coverage, LastBatch, check_uniform_fraction};
use crate::sampler::hardness_share::{HardnessShare, linear};
use crate::set::check_instances;

/// Candidates of each instance where none are asked for, M. Paper: 1000.
const CANDIDATES: usize = 1000;

/// Neighbours of each instance where none are asked for, K. Paper: 100.
const NEIGHBORS: usize = 100;

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
    #[cfg_attr(
        feature = "clap",
        value(
            help = "Stretches of an order in which nearest neighbours stand close: GCBS (Sachidananda et al. 2023)"
        )
    )]
    /// Consecutive instances of an order that keeps the neighbours of the nearest-neighbour graph together: GCBS, see
    /// [`bandwidth_order`](crate::bandwidth_order).
    Gcbs,
    #[cfg_attr(
        feature = "clap",
        value(help = "Clusters of B instances, by balanced two-means (NGAME, TAS-B)")
    )]
    /// Clusters of B instances, see [`cluster_order`](crate::cluster_order).
    Clusters,
}

impl SamplerKind {
    /// Whether batches are cut from an order of all instances, which a refresh makes.
    pub(crate) fn is_order(self) -> bool {
        matches!(self, Self::Gcbs | Self::Clusters)
    }

    /// What batches of this kind are called in an error.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Uniform => UNIFORM,
            Self::Walk => "kind = \"walk\"",
            Self::Nearest => "kind = \"nearest\"",
            Self::Gcbs => "kind = \"gcbs\"",
            Self::Clusters => "kind = \"clusters\"",
        }
    }
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
        linear(self.from, self.to, self.over_epochs, epoch) as f32
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
    /// How hard batches of [`SamplerKind::Walk`] are to be, which is not read by other kinds; candidates, neighbours and restart are then found on the data, and must not be
    /// given.
    pub hardness_share: Option<HardnessShare>,
    /// The share of an epoch's time that its graphs may take, where [`SamplerOptions::epoch_seconds`] tells that time and
    /// [`SamplerOptions::hardness_share`] chooses the candidates.
    pub budget: f64,
    /// Seconds that an epoch of training takes.
    pub epoch_seconds: Option<f64>,
    /// Candidates drawn for each instance at a rebuild, M, for [`SamplerKind::Walk`]; absent: 1000 as published, or all others where they are
    /// fewer.
    pub candidates: Option<usize>,
    /// How the candidates of different instances are drawn, for [`SamplerKind::Walk`]. Published program: independently.
    pub candidate_draw: CandidateDraw,
    /// Neighbours kept of them, K, for [`SamplerKind::Walk`], and of all for [`SamplerKind::Gcbs`]; [`SamplerKind::Nearest`] needs and keeps
    /// B − 1. Absent: 100 as published, or all candidates where they are fewer.
    pub neighbors: Option<usize>,
    /// In which numbers instances are compared when a graph is built. Published program: `f32`.
    pub scoring: Scoring,
    /// How instances are compared that are pairs of a query and a document, whose embeddings lie side by side in a row; absent: a
    /// row is one embedding. Uniform batches are only measured by it.
    pub pairs: Option<PairRows>,
    /// Restart probability of [`SamplerKind::Walk`]; absent: as published.
    pub restart: Option<RestartSchedule>,
    /// Temperature τ of [`SamplerKind::Walk`], which then goes to a neighbour with a probability in proportion to
    /// exp(similarity/τ); without one to each alike, as published.
    pub temperature: Option<f64>,
    /// Share of each batch that is drawn uniformly from the unused instances, 0 to 1; the rest is walked, or nearest.
    pub uniform_fraction: f64,
    /// Nobody shares a batch with an instance of a higher similarity, as far as their embeddings are known: such instances are likely the
    /// same thing. See [`Ceiling`](crate::Ceiling).
    pub similarity_ceiling: Option<f64>,
    /// The same, with the similarity that this percentage of all pairs of instances do not exceed, estimated at each rebuild.
    pub pair_percentile: Option<f64>,
    /// The same, with the similarity that this percentage of the graph's edges do not exceed, found anew at each rebuild.
    pub edge_percentile: Option<f64>,
    /// Of pairs: i and j do not share a batch where query i is closer to document j than this share of its similarity to its own
    /// document, or query j to document i; above 0, at most 1. Document j may answer query i just as well. Published for mined negatives:
    /// 0.95 (NV-Retriever, Moreira et al. 2024).
    pub similarity_to_positive: Option<f64>,
    /// Batches from one rebuild of the graph to the next, t; of all data sets together. Paper: 100.
    pub refresh_every: u64,
    /// First epochs, whose batches are uniform while they gather embeddings. Published program: 1.
    pub uniform_epochs: u64,
    /// Every so many epochs, from epoch 0 on, one is uniform too; 2 or more. For losses that need batches of all kinds of instances.
    pub uniform_every: Option<u64>,
    /// What happens to the instances that do not fill a batch.
    pub last_batch: LastBatch,
    /// In which order batches of look-alikes come that were planned together; absent: as planned.
    pub batch_order: Option<BatchOrder>,
    /// Whether uniform batches are drawn anew every epoch, as where absent; otherwise they are those of epoch 0 in every epoch, as in
    /// GraphCL's published program.
    pub reshuffle: Option<bool>,
}

impl Default for SamplerOptions {
    fn default() -> Self {
        Self {
            kind: SamplerKind::Walk,
            batch_size: 256,
            coverage: Coverage::Cover,
            hardness_share: None,
            budget: 0.1,
            epoch_seconds: None,
            candidates: None,
            candidate_draw: CandidateDraw::Tiles,
            neighbors: None,
            scoring: Scoring::F32,
            pairs: None,
            restart: None,
            temperature: None,
            uniform_fraction: 0.0,
            similarity_ceiling: None,
            pair_percentile: None,
            edge_percentile: None,
            similarity_to_positive: None,
            refresh_every: 100,
            uniform_epochs: 1,
            uniform_every: None,
            last_batch: LastBatch::Drop,
            batch_order: None,
            reshuffle: None,
        }
    }
}

/// Whether a kind of batches reads an option.
type Reads = fn(SamplerKind) -> bool;

/// What uniform batches are called in an error.
pub(crate) const UNIFORM: &str = "kind = \"uniform\"";

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
        if let Some(every @ 0..=1) = self.uniform_every {
            let (option, expected) = ("uniform_every", "2 or more: with 1 all epochs would be uniform");
            return Err(SamplingError::Number { option, value: every as f64, expected });
        }
        self.restart().check()?;
        check_uniform_fraction(self.uniform_fraction)?;
        self.check_share()?;
        self.check_ceilings()?;
        self.check_kind()?;
        match self.kind {
            SamplerKind::Walk if self.hardness_share.is_some() => Ok(Vec::new()),
            SamplerKind::Walk => {
                let (candidates, neighbors) = self.sizes(instances);
                Ok(self.graph(candidates, neighbors).fitted(instances)?.1.into_iter().collect())
            }
            SamplerKind::Gcbs if self.neighbors == Some(0) => {
                Err(SamplingError::Zero { option: "neighbors" })
            }
            _ => Ok(Vec::new()),
        }
    }

    /// Whether instances that are too similar share no batch.
    pub(crate) fn has_ceiling(&self) -> bool {
        [self.similarity_ceiling, self.pair_percentile, self.edge_percentile, self.similarity_to_positive]
            .iter()
            .any(Option::is_some)
    }

    /// M and K of walks among `instances`. What was given is taken as it is, and what was not fits itself to the data.
    pub fn sizes(&self, instances: usize) -> (usize, usize) {
        let others = instances.saturating_sub(1).max(1);
        let candidates = self.candidates.unwrap_or(CANDIDATES.max(self.neighbors.unwrap_or(0)).min(others));
        (candidates, self.neighbors.unwrap_or(NEIGHBORS.min(candidates).min(others)))
    }

    /// The restart probability of walks.
    pub(crate) fn restart(&self) -> RestartSchedule {
        self.restart.unwrap_or_default()
    }

    /// How a graph of `neighbors` of `candidates` is built.
    pub(crate) fn graph(&self, candidates: usize, neighbors: usize) -> GraphOptions {
        let Self { candidate_draw: draw, scoring, pairs, .. } = *self;
        GraphOptions { candidates, draw, neighbors, scoring, pairs }
    }

    /// The epoch by which uniform batches of `epoch` are drawn.
    pub(crate) fn drawn_in(&self, epoch: u64) -> u64 {
        if self.reshuffle == Some(false) { 0 } else { epoch }
    }

    /// Checks the share of hardness, and what it does not go with.
    fn check_share(&self) -> Result<(), SamplingError> {
        if !(self.budget > 0.0 && self.budget <= 1.0) {
            let expected = "above 0 and at most 1";
            return Err(SamplingError::Number { option: "budget", value: self.budget, expected });
        }
        if let Some(value) = self.epoch_seconds
            && !(value > 0.0 && value.is_finite())
        {
            let expected = "above 0 and finite";
            return Err(SamplingError::Number { option: "epoch_seconds", value, expected });
        }
        if self.epoch_seconds.is_some() && self.hardness_share.is_none() {
            let (option, with) = ("epoch_seconds", "options without hardness_share");
            let reason = "it limits the candidates that the share finds";
            return Err(SamplingError::Combination { option, with, reason });
        }
        let Some(share) = self.hardness_share else { return Ok(()) };
        share.check()?;
        let found = "the share finds candidates, neighbors and restart on the data";
        let others = [
            ("candidates", self.candidates.is_some(), found),
            ("neighbors", self.neighbors.is_some(), found),
            ("restart", self.restart.is_some(), found),
            (
                "temperature",
                self.temperature.is_some(),
                "walks that prefer the similar are harder than it counts on",
            ),
            (
                "uniform_fraction",
                self.uniform_fraction > 0.0,
                "it would make batches easier; ask for a smaller share",
            ),
        ];
        match others.into_iter().find(|(_, given, _)| *given) {
            None => Ok(()),
            Some((option, _, reason)) => {
                Err(SamplingError::Combination { option, with: "hardness_share", reason })
            }
        }
    }

    /// Checks the ceilings on similarity, and the temperature of walks.
    fn check_ceilings(&self) -> Result<(), SamplingError> {
        if let Some(temperature) = self.temperature {
            check_temperature(temperature)?;
        }
        if let Some(value) = self.similarity_ceiling
            && !(-1.0..=1.0).contains(&value)
        {
            let (option, expected) = ("similarity_ceiling", "a cosine, from -1 to 1");
            return Err(SamplingError::Number { option, value, expected });
        }
        let percentiles =
            [("pair_percentile", self.pair_percentile), ("edge_percentile", self.edge_percentile)];
        for (option, value) in percentiles {
            if let Some(value) = value
                && !(value > 0.0 && value <= 100.0)
            {
                return Err(SamplingError::Number { option, value, expected: "above 0 and at most 100" });
            }
        }
        let given = [
            ("similarity_ceiling", self.similarity_ceiling),
            ("pair_percentile", self.pair_percentile),
            ("edge_percentile", self.edge_percentile),
        ];
        let mut given = given.into_iter().filter(|(_, value)| value.is_some());
        if let (Some((option, _)), Some((with, _))) = (given.next(), given.next()) {
            let reason = "each says from where on two instances are too similar; give one of them";
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

    /// Checks that a kind of batches is not asked for what it does not have.
    fn check_kind(&self) -> Result<(), SamplingError> {
        const UNIFORM_ONLY: &str = "it has no graph, and all of its batches are uniform";
        const WALKS_ONLY: &str = "it walks nowhere";
        use SamplerKind::{Clusters, Uniform, Walk};
        let independent = self.candidate_draw == CandidateDraw::Independent;
        // What only walks have, what only graphs have, and what all kinds but uniform batches have.
        let given: [(&str, bool, Reads); 8] = [
            ("candidate_draw", independent, |kind| kind == Walk),
            ("temperature", self.temperature.is_some(), |kind| kind == Walk),
            ("edge_percentile", self.edge_percentile.is_some(), |kind| !matches!(kind, Uniform | Clusters)),
            ("uniform_fraction", self.uniform_fraction > 0.0, |kind| kind != Uniform),
            ("uniform_every", self.uniform_every.is_some(), |kind| kind != Uniform),
            ("similarity_ceiling", self.similarity_ceiling.is_some(), |kind| kind != Uniform),
            ("pair_percentile", self.pair_percentile.is_some(), |kind| kind != Uniform),
            ("similarity_to_positive", self.similarity_to_positive.is_some(), |kind| kind != Uniform),
        ];
        match given.into_iter().find(|(_, given, reads)| *given && !reads(self.kind)) {
            None => Ok(()),
            Some((option, ..)) => {
                let reason = match self.kind {
                    Uniform => UNIFORM_ONLY,
                    Clusters if option == "edge_percentile" => "it has no graph, and no edges",
                    _ => WALKS_ONLY,
                };
                Err(SamplingError::Combination { option, with: self.kind.name(), reason })
            }
        }
    }

    /// The first option in which `other` differs, with both values.
    pub(crate) fn difference(&self, other: &Self) -> Option<(&'static str, String, String)> {
        let both = self.values().into_iter().zip(other.values());
        both.into_iter().find(|(a, b)| a.1 != b.1).map(|((name, a), (_, b))| (name, a, b))
    }

    /// Every option by name. A new one must be named here: the pattern has no rest.
    fn values(&self) -> [(&'static str, String); 26] {
        let Self {
            kind,
            batch_size,
            coverage,
            hardness_share,
            budget,
            epoch_seconds,
            candidates,
            candidate_draw,
            neighbors,
            scoring,
            pairs,
            restart: _,
            temperature,
            uniform_fraction,
            similarity_ceiling,
            pair_percentile,
            edge_percentile,
            similarity_to_positive,
            refresh_every,
            uniform_epochs,
            uniform_every,
            last_batch,
            batch_order,
            reshuffle,
        } = self;
        let RestartSchedule { from, to, over_epochs } = self.restart();
        [
            ("kind", format!("{kind:?}")),
            ("batch_size", batch_size.to_string()),
            ("coverage", format!("{coverage:?}")),
            ("hardness_share", shown(hardness_share.as_ref())),
            ("budget", budget.to_string()),
            ("epoch_seconds", shown(epoch_seconds.as_ref())),
            ("candidates", shown(candidates.as_ref())),
            ("candidate_draw", format!("{candidate_draw:?}")),
            ("neighbors", shown(neighbors.as_ref())),
            ("scoring", format!("{scoring:?}")),
            ("pairs", format!("{pairs:?}")),
            ("restart.from", from.to_string()),
            ("restart.to", to.to_string()),
            ("restart.over_epochs", over_epochs.to_string()),
            ("temperature", shown(temperature.as_ref())),
            ("uniform_fraction", uniform_fraction.to_string()),
            ("similarity_ceiling", shown(similarity_ceiling.as_ref())),
            ("pair_percentile", shown(pair_percentile.as_ref())),
            ("edge_percentile", shown(edge_percentile.as_ref())),
            ("similarity_to_positive", shown(similarity_to_positive.as_ref())),
            ("refresh_every", refresh_every.to_string()),
            ("uniform_epochs", uniform_epochs.to_string()),
            ("uniform_every", shown(uniform_every.as_ref())),
            ("last_batch", format!("{last_batch:?}")),
            ("batch_order", format!("{:?}", batch_order.unwrap_or_default())),
            ("reshuffle", reshuffle.unwrap_or(true).to_string()),
        ]
    }
}

/// An option that can be absent, in an error.
fn shown<T: std::fmt::Debug>(value: Option<&T>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| format!("{value:?}"))
}
