//! What a sampler tells about its batches.

use serde::{Deserialize, Serialize};

use crate::dial::Calibration;
use crate::graph::GraphStatistics;
use crate::plan::hardness::HardnessTally;
use crate::plan::{BatchOrigins, decile};

/// How old the embeddings were when a graph was built, or tried to be.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Staleness {
    /// Batches consumed at the time.
    pub step: u64,
    /// Instances without an embedding; their places in batches are filled uniformly.
    pub without_embedding: usize,
    /// Mean age of the embeddings, in steps.
    pub mean_age: f64,
    /// Age of the oldest, in steps.
    pub max_age: u64,
}

/// Where the members of an epoch's batches came from.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct EpochReport {
    /// The epoch, from 0.
    pub epoch: u64,
    /// Batches consumed of it.
    pub batches: usize,
    /// Origins by tenth of the epoch: batch b of n is in tenth ⌊10·b/n⌋.
    pub deciles: [BatchOrigins; 10],
    /// Hardness by tenth of the epoch, measured when batches are planned on the embeddings there are then; of uniform
    /// batches nothing is measured.
    pub hardness: [HardnessTally; 10],
    /// Share of the instances that were in a batch.
    pub reach: f64,
}

impl EpochReport {
    /// Counts the origins of batch `batch` of `total`.
    pub(crate) fn count(&mut self, origins: BatchOrigins, batch: usize, total: usize) {
        self.deciles[decile(batch, total)] += origins;
        self.batches += 1;
    }
}

/// The state of a sampler in few numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SamplerReport {
    /// The running epoch, as far as its batches were consumed.
    pub current: EpochReport,
    /// The epoch before, once there is one.
    pub finished: Option<EpochReport>,
    /// The embeddings at the last refresh, once there was one.
    pub staleness: Option<Staleness>,
    /// The graph in use, if there is one.
    pub graph: Option<GraphStatistics>,
    /// What the dial came to, of each data set; nothing without a dial, and before the first refresh.
    pub calibrations: Vec<Option<Calibration>>,
    /// Rebuilds of the graph since the run began; those of several data sets count as one.
    pub builds: u64,
    /// Seconds spent on them by this process.
    pub build_seconds: f64,
}
