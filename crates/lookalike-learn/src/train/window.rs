//! What happened since the last `step` event.

use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

/// Sums since the last `step` event.
#[derive(Debug)]
pub(super) struct Window {
    loss: f64,
    batches: u64,
    instances: u64,
    /// Lengths of the gradients before they were clipped, and of how many steps.
    norms: f64,
    clipped: u64,
    waited: Duration,
    since: Instant,
}

impl Window {
    pub(super) fn new() -> Self {
        Self {
            loss: 0.0,
            batches: 0,
            instances: 0,
            norms: 0.0,
            clipped: 0,
            waited: Duration::ZERO,
            since: Instant::now(),
        }
    }

    /// Adds a batch of so many instances.
    pub(super) fn add_batch(&mut self, loss: f32, instances: usize) {
        self.loss += f64::from(loss);
        self.batches += 1;
        self.instances += instances as u64;
    }

    /// Adds a step whose gradients had that length, where they are clipped.
    pub(super) fn add_step(&mut self, norm: Option<f64>) {
        self.norms += norm.unwrap_or(0.0);
        self.clipped += u64::from(norm.is_some());
    }

    /// Adds time spent waiting for the loader.
    pub(super) fn add_wait(&mut self, waited: Duration) {
        self.waited += waited;
    }

    /// Leaves out time that was spent on something else than training.
    pub(super) fn leave_out(&mut self, elsewhere: Duration) {
        self.since += elsewhere;
    }

    pub(super) fn mean_loss(&self) -> f64 {
        self.loss / self.batches.max(1) as f64
    }

    fn seconds(&self) -> f64 {
        self.since.elapsed().as_secs_f64().max(1e-9)
    }

    /// Share of the time that was spent waiting for the loader.
    pub(super) fn waited_share(&self) -> f64 {
        self.waited.as_secs_f64() / self.seconds()
    }

    /// What a `step` event says of it.
    pub(super) fn fields(&self) -> Map<String, Value> {
        let mut fields = Map::new();
        fields.insert("loss".to_owned(), json!(self.mean_loss()));
        if self.clipped > 0 {
            fields.insert("gradient_norm".to_owned(), json!(self.norms / self.clipped as f64));
        }
        fields.insert("instances_per_second".to_owned(), json!(self.instances as f64 / self.seconds()));
        fields.insert("loader_wait_share".to_owned(), json!(self.waited_share()));
        fields
    }
}
