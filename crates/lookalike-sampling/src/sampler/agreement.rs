//! Whether the ranks of a run will plan the same batches.

use lookalike_base::hash::Hasher;
use serde::{Deserialize, Serialize};

use crate::error::SamplingError;
use crate::sampler::Sampler;

/// All that the next segment depends on, in few numbers that ranks can exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agreement {
    /// [`ProximityGraph::fingerprint`](crate::ProximityGraph::fingerprint) of the graph in use.
    pub graph: u64,
    /// The first 64 bits of a SHA-256 of options, groups, labels, data sets, instances and ranks as they are serialised.
    pub settings: u64,
    /// The run's seed.
    pub seed: u64,
    /// Batches consumed in all.
    pub steps: u64,
    /// The epoch of the next batch, and its position within.
    pub position: (u64, usize),
}

impl Sampler {
    /// What ranks must agree on before they take their parts of a segment: to be asked after
    /// [`Sampler::next_segment`], which may rebuild the graph. Costs a pass over the graph.
    pub fn agreement(&self) -> Agreement {
        let labels = self.data.oracle.as_ref().map(crate::Oracle::fingerprint);
        let groups = self.data.groups.as_ref().map(crate::Groups::fingerprint);
        let (ranks, split, sets) = (self.data.ranks.count, self.data.ranks.split, self.data.several_sets());
        let settings = (self.instances, &self.options, labels, groups, sets, ranks, split);
        let settings = serde_json::to_string(&settings)
            .unwrap_or_else(|_| unreachable!("numbers and names are serialised"));
        let mut hasher = Hasher::new();
        hasher.text(&settings);
        Agreement {
            graph: self.graph().fingerprint(),
            settings: hasher.short(),
            seed: self.seed.0,
            steps: self.steps,
            position: (self.epoch, self.position),
        }
    }
}

/// Checks that all ranks would plan the same batches; `all` holds the agreement of each, by rank.
///
/// # Errors
/// [`SamplingError::Ranks`] names the first rank that differs from rank 0, and in what.
pub fn check_agreement(all: &[Agreement]) -> Result<(), SamplingError> {
    let Some(first) = all.first() else { return Ok(()) };
    for (rank, other) in all.iter().enumerate() {
        let pairs = [
            ("the seed", first.seed, other.seed),
            ("the number of batches consumed", first.steps, other.steps),
            ("the epoch", first.position.0, other.position.0),
            ("the position within the epoch", first.position.1 as u64, other.position.1 as u64),
            ("options, groups, labels, data sets or ranks", first.settings, other.settings),
            ("the graph's fingerprint", first.graph, other.graph),
        ];
        if let Some((what, expected, found)) = pairs.iter().find(|(_, expected, found)| expected != found) {
            let problem = format!(
                "rank {rank} differs from rank 0 in {what} ({found:x}, not {expected:x}); all must record the same embeddings"
            );
            return Err(SamplingError::Ranks { problem });
        }
    }
    Ok(())
}
