//! The queue of keys of earlier batches (He et al. 2020, section 3.2, <https://arxiv.org/abs/1911.05722>).
//!
//! It starts with random unit vectors, as in the published program. The newest keys replace the oldest, wherever the end of
//! the memory falls, so the size need not be a multiple of the batch.

use std::sync::Arc;

use lookalike_base::Stream;
use lookalike_base::arrays::{Array, Arrays};

use super::comparison::{InstanceIds, NO_INSTANCE};
use super::directions;
use super::entry::{NegativesEntry, Pool};
use crate::engine::{Device, Tensor, from_host, to_host};
use crate::error::LearnError;
use crate::options::{FLAG, Options, Value, vectors_from};

crate::options! {
    /// What a recipe says of a queue.
    pub struct QueueOptions {
        /// K, keys in the queue, at least those of a batch; MoCo: 65,536, its CIFAR-10 demonstration: 4096. Below N (2N if symmetric)
        /// without `exclude_own`.
        size: usize = Value::Integer(65_536), vectors_from(1);
        /// Whether older keys of the query's instance in the queue are left out; the paper's are not. Own views of a batch and the own entry
        /// of a bank always are.
        exclude_own: bool = Value::Flag(false), FLAG;
    }
}

/// A queue in a registry.
pub const ENTRY: NegativesEntry = NegativesEntry {
    kind: "queue",
    about: "keys of earlier batches",
    keys: QueueOptions::KEYS,
    methods: &[],
    pool: Pool::Sized,
};

/// K keys of unit length, and whose they are.
#[derive(Debug, Clone)]
pub struct Queue {
    keys: Tensor<2>,
    instances: Arc<Vec<u32>>,
    /// The row that the next key replaces.
    next: usize,
}

impl Queue {
    /// `size` random directions in `dimension` dimensions.
    pub fn new(size: usize, dimension: usize, stream: &mut Stream, device: &Device) -> Self {
        let keys = directions([size, dimension], stream, device);
        Self { keys, instances: Arc::new(vec![NO_INSTANCE; size]), next: 0 }
    }

    /// # Shapes
    /// `[K, d]`, in no particular order; no copy.
    pub fn keys(&self) -> Tensor<2> {
        self.keys.clone()
    }

    /// Whose key each row is, or [`NO_INSTANCE`].
    pub fn instances(&self) -> &[u32] {
        &self.instances
    }

    /// The same; no copy.
    pub fn instance_ids(&self) -> InstanceIds {
        InstanceIds::Listed(self.instances.clone())
    }

    /// The row that the next key replaces.
    pub fn next(&self) -> usize {
        self.next
    }

    /// Replaces the oldest keys by `keys` of `instances`; of more keys than the queue holds, the last ones stay.
    ///
    /// # Shapes
    /// `keys`: `[N, d]`, of unit length; kept without gradient.
    pub fn enqueue(&mut self, keys: Tensor<2>, instances: &[u32]) {
        let size = self.instances.len();
        let [count, dimension] = keys.dims();
        let skipped = count.saturating_sub(size);
        let keys = keys.inner().narrow(0, skipped, count - skipped);
        let instances = &instances[skipped..];
        let before_end = instances.len().min(size - self.next);
        for (from, to, length) in [(0, self.next, before_end), (before_end, 0, instances.len() - before_end)]
        {
            if length > 0 {
                let new = keys.clone().narrow(0, from, length);
                // Taken out while it is written to, so that nothing else holds it and no copy is made.
                let old = std::mem::replace(&mut self.keys, new.clone());
                self.keys = old.slice_assign([to..to + length, 0..dimension], new);
                // Shared only while a comparison stands, so that no copy is made here either.
                Arc::make_mut(&mut self.instances)[to..to + length]
                    .copy_from_slice(&instances[from..from + length]);
            }
        }
        self.next = (self.next + instances.len()) % size;
    }

    /// All it holds, for a checkpoint.
    pub fn arrays(&self) -> Arrays {
        let size = self.instances.len();
        Arrays::from([
            ("queue.keys".to_owned(), Array::f32(self.keys.dims(), to_host(self.keys.clone()))),
            ("queue.instances".to_owned(), Array::u32([size], self.instances.to_vec())),
            ("queue.next".to_owned(), Array::u64([1], vec![self.next as u64])),
        ])
    }

    /// Goes on from what [`Queue::arrays`] gave.
    ///
    /// # Errors
    /// [`LearnError::Weights`] where a part is missing or of another size.
    pub fn restore(&mut self, arrays: &Arrays, device: &Device) -> Result<(), LearnError> {
        let refuse = |name: &str| LearnError::Weights {
            name: name.to_owned(),
            reason: format!("it is missing, or not of a queue of shape {:?}", self.keys.dims()),
        };
        let keys = arrays.get("queue.keys").filter(|array| array.shape == self.keys.dims());
        let keys = keys.and_then(Array::as_f32).ok_or_else(|| refuse("queue.keys"))?;
        let size = self.instances.len();
        let instances = arrays.get("queue.instances").and_then(Array::as_u32);
        let instances = instances.filter(|ids| ids.len() == size).ok_or_else(|| refuse("queue.instances"))?;
        let next = arrays.get("queue.next").and_then(Array::as_u64).and_then(|next| next.first().copied());
        let next = next.filter(|next| *next < size as u64).ok_or_else(|| refuse("queue.next"))?;
        self.keys = from_host(keys.to_vec(), self.keys.dims(), device);
        self.instances = Arc::new(instances.to_vec());
        self.next = next as usize;
        Ok(())
    }
}
