//! Where a run stands when it comes to a batch, and the random numbers of that step.

use lookalike_base::{Seed, Stream};

use crate::input::RowId;

/// A batch of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The run's seed.
    pub seed: Seed,
    /// The epoch, from 0 on.
    pub epoch: u64,
    /// Optimiser steps made before.
    pub step: u64,
    /// Optimiser steps of the whole run.
    pub steps: u64,
    /// Optimiser steps made before the present schedule begins: 0 but for runs that are trained longer than they were to be.
    pub begins: u64,
    /// Batches consumed before.
    pub batch: u64,
    /// Whether the parameters have moved since the batch before, or could have: false within a step of several batches.
    pub moved: bool,
    /// Whether the batch was drawn uniformly, as are those of uniform epochs.
    pub uniform: bool,
    /// The batch's instances, in the order of the plan.
    pub instances: Vec<u32>,
}

impl Default for Step {
    /// The only batch of a run of one step.
    fn default() -> Self {
        Self {
            seed: Seed(0),
            epoch: 0,
            step: 0,
            steps: 1,
            begins: 0,
            batch: 0,
            moved: true,
            uniform: true,
            instances: Vec::new(),
        }
    }
}

impl Step {
    /// The random numbers of a row for `purpose`, which names the layer or direction: the same in whatever order, chunk or process
    /// the row is encoded.
    pub fn stream(&self, purpose: &str, row: RowId) -> Stream {
        self.seed.stream(purpose, self.epoch, self.batch, row.address())
    }

    /// The share of the present schedule that was made before, by optimiser steps.
    pub fn share(&self) -> f64 {
        let [made, all] = [self.step, self.steps].map(|steps| steps.saturating_sub(self.begins));
        made as f64 / all.max(1) as f64
    }
}
