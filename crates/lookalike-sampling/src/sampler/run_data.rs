//! What a sampler is told beside its options: groups, an oracle, the data sets that instances are of, and with which other ranks it shares
//! the batches.

use serde::{Deserialize, Serialize};

use crate::error::SamplingError;
use crate::plan::groups::{Groups, fingerprint};
use crate::plan::{Coverage, LastBatch, batches_per_epoch, shared_batches};
use crate::sampler::options::{SamplerKind, SamplerOptions, UNIFORM};
use crate::sampler::sets::DataSets;

/// What belongs to the data of a run and the machines it runs on, not to its recipe.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunData {
    /// Who must not share a batch.
    pub groups: Option<Groups>,
    /// Labels against false negatives, for analysis.
    pub oracle: Option<Oracle>,
    /// The data sets that instances are of, each batch from one of them; absent: all are of one.
    pub sets: Option<DataSets>,
    /// Who shares the batches.
    pub ranks: Ranks,
}

/// Labels as an oracle: what would be if false negatives were known. For analysis only, since a run without labels is the point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oracle {
    /// A label an instance.
    pub labels: Vec<u32>,
    /// What is avoided by them.
    pub avoid: Avoid,
}

impl Oracle {
    /// A number for the labels, and what is avoided by them.
    pub(crate) fn fingerprint(&self) -> (u64, Avoid) {
        (fingerprint(&self.labels), self.avoid)
    }
}

/// What an oracle keeps walks from.
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Avoid {
    /// Edges between instances of one class are not walked.
    Edges,
    /// Instances of the class of a walk's start are not collected, though walked through.
    Members,
}

/// The ranks of a run on several devices, which share the batches of an epoch.
///
/// Each rank plans for all and takes its own part, so all must record the same embeddings (those of all ranks, gathered)
/// and therefore hold the same graph; [`check_agreement`](crate::check_agreement) says whether they do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ranks {
    /// This one, from 0.
    pub rank: usize,
    /// How many there are, W. Each gets ⌊⌊N/B⌋/W⌋ batches an epoch.
    pub count: usize,
    /// How batches are shared.
    pub split: RankSplit,
}

/// How ranks share batches.
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RankSplit {
    /// Each batch of B is of one rank: batch b of an epoch goes to rank b mod W.
    #[cfg_attr(feature = "clap", value(help = "Each batch of B is one replica's"))]
    #[default]
    Batches,
    #[cfg_attr(
        feature = "clap",
        value(help = "Each batch of B·W is cut into a part for each replica, for losses that gather")
    )]
    /// Each batch has B·W members, and rank r gets those at its places r, r + W, r + 2W, …: for losses that gather.
    Within,
}

impl Default for Ranks {
    fn default() -> Self {
        Self { rank: 0, count: 1, split: RankSplit::Batches }
    }
}

impl Ranks {
    /// Members of a planned batch, where each rank gets `batch_size`.
    pub(crate) fn planned_size(&self, batch_size: usize) -> usize {
        if self.split == RankSplit::Within { batch_size.saturating_mul(self.count) } else { batch_size }
    }

    /// Planned batches for a batch of each rank.
    pub fn planned_at_once(&self) -> usize {
        if self.split == RankSplit::Within { 1 } else { self.count }
    }

    fn check(&self, instances: usize, options: &SamplerOptions) -> Result<(), SamplingError> {
        let invalid = |problem: String| Err(SamplingError::Ranks { problem });
        let (rank, count, batch_size) = (self.rank, self.count, options.batch_size);
        if rank >= count {
            return invalid(format!("there is no rank {rank} among {count}, which are numbered from 0"));
        }
        if count > 1 && options.last_batch == LastBatch::Keep {
            let (with, reason) = ("several ranks", "each rank must get as many batches of the same size");
            return Err(SamplingError::Combination { option: "last_batch = \"keep\"", with, reason });
        }
        if count > 1 && options.epoch_seconds.is_some() {
            let (option, with) = ("epoch_seconds", "several ranks");
            let reason = "each would count the candidates that its own speed allows, and plan other batches";
            return Err(SamplingError::Combination { option, with, reason });
        }
        if instances / batch_size / count == 0 && count > 1 {
            return invalid(format!(
                "{instances} instances in batches of {batch_size} do not give each of {count} ranks a batch"
            ));
        }
        Ok(())
    }
}

impl RunData {
    /// The data sets, where there are several: one is the same as none.
    pub(crate) fn several_sets(&self) -> Option<&DataSets> {
        self.sets.as_ref().filter(|sets| sets.sizes.len() > 1)
    }

    /// The groups, which must be one for each of `instances`.
    pub(crate) fn checked_groups(&self, instances: usize) -> Result<Option<&Groups>, SamplingError> {
        match &self.groups {
            Some(groups) if groups.instances() != instances => {
                Err(SamplingError::Length { what: "groups", found: groups.instances(), instances })
            }
            groups => Ok(groups.as_ref()),
        }
    }

    /// Checks the oracle against the number of all instances and options that were.
    pub(crate) fn check_oracle(
        &self,
        instances: usize,
        options: &SamplerOptions,
    ) -> Result<(), SamplingError> {
        if self.oracle.is_some() && options.kind == SamplerKind::Uniform {
            let reason = "uniform batches do not look at anybody";
            return Err(SamplingError::Combination { option: "an oracle", with: UNIFORM, reason });
        }
        if let Some(oracle) = &self.oracle
            && oracle.labels.len() != instances
        {
            return Err(SamplingError::Length { what: "labels", found: oracle.labels.len(), instances });
        }
        Ok(())
    }

    /// Checks ranks and groups against a data set of `instances` and options that were.
    pub(crate) fn check(
        &self,
        instances: usize,
        groups: Option<&Groups>,
        options: &SamplerOptions,
    ) -> Result<(), SamplingError> {
        self.ranks.check(instances, options)?;
        let Some(groups) = groups else { return Ok(()) };
        let size = self.ranks.planned_size(options.batch_size);
        let total = batches_per_epoch(instances, size, options.last_batch);
        let total = shared_batches(total, self.ranks.planned_at_once());
        let last = if options.last_batch == LastBatch::Keep { instances - (total - 1) * size } else { size };
        let covers = options.coverage == Coverage::Cover
            || options.kind == SamplerKind::Uniform
            || options.uniform_epochs > 0
            || options.uniform_every.is_some();
        groups.check(instances, size, covers.then_some((total, last)))
    }
}
