//! MoCo (He et al. 2020, algorithm 1, <https://arxiv.org/abs/1911.05722>; v2: Chen et al. 2020, <https://arxiv.org/abs/2003.04297>).
//!
//! Queries by the encoder, keys by its momentum encoder, negatives from a queue of earlier keys. The order of a step is the
//! paper's: the momentum encoder moves, the keys are made, the loss sees the *old* queue, and the keys are enqueued last: a key is
//! never among its own negatives, not in the second direction of the symmetric form either.
//!
//! v1 has a linear head and τ = 0.07; v2 a head of two layers, τ = 0.2, blur and weaker colour jitter. On one device BatchNorm's
//! statistics are taken in groups, and those of the keys over shuffled images, see [`Network::project_shuffled`].

use lookalike_base::Matrix;
use lookalike_base::arrays::Arrays;
use lookalike_data::ViewBatch;

use super::network::both_views;
use super::{Method, Network, Outputs, Position, Terms};
use crate::encoder::Encoder;
use crate::engine::{Device, Tensor};
use crate::error::LearnError;
use crate::loss::{normalize, nt_xent};
use crate::module::{Module, Pass, Visitor};
use crate::negatives::{Comparison, ContrastiveLoss, Queue};
use crate::train::momentum_encoder::{Momentum, MomentumEncoder};

/// What distinguishes one MoCo from another.
#[derive(Debug, Clone)]
pub struct MocoOptions {
    /// Of the momentum encoder. The paper: 0.999; its CIFAR-10 demonstration: 0.99.
    pub momentum: Momentum,
    /// Whether the second view is also a query, and the first also a key; the losses of both directions are added, as in the
    /// CIFAR-10 demonstration.
    pub symmetric: bool,
    /// Parts of a batch that have BatchNorm statistics of their own.
    pub groups: usize,
    /// Whether the images are shuffled before the key encoder.
    pub shuffle: bool,
    /// Whether older keys of the query's instance are left out of its negatives.
    pub exclude_own: bool,
}

/// A network, its momentum encoder, and the keys of earlier batches.
#[derive(Debug, Clone)]
pub struct Moco<E> {
    /// What is trained.
    pub network: Network<E>,
    key: MomentumEncoder<Network<E>>,
    /// Without one, negatives are the batch's other keys.
    queue: Option<Queue>,
    contrast: ContrastiveLoss,
    options: MocoOptions,
    position: Position,
}

impl<E: Encoder + Clone> Moco<E> {
    /// The momentum encoder begins as a copy of `network`.
    pub fn new(
        network: Network<E>,
        queue: Option<Queue>,
        contrast: ContrastiveLoss,
        options: MocoOptions,
    ) -> Self {
        let key = MomentumEncoder::of(&network, options.momentum);
        Self { network, key, queue, contrast, options, position: Position::default() }
    }

    /// The queue, where there is one.
    pub fn queue(&self) -> Option<&Queue> {
        self.queue.as_ref()
    }

    fn queries(&mut self, input: &E::Input, pass: &mut Pass) -> Tensor<2> {
        normalize(self.network.project_in_groups(input, self.options.groups, pass))
    }

    fn keys(&mut self, input: &E::Input, direction: u64, pass: &mut Pass) -> Tensor<2> {
        let network = &mut self.key.module;
        let groups = self.options.groups;
        let shuffle = self.options.shuffle;
        let mut stream = self.position.seed.stream("shuffle", 0, self.position.batch, direction);
        let keys = pass.without_gradient(|pass| {
            if shuffle {
                network.project_shuffled(input, groups, &mut stream, pass)
            } else {
                network.project_in_groups(input, groups, pass)
            }
        });
        normalize(keys)
    }

    /// Queries beside their keys and the old queue, or the other keys of the batch.
    fn comparison(&self, query: Tensor<2>, key: Tensor<2>, instances: &[u32]) -> Comparison {
        let Some(queue) = &self.queue else {
            let [comparison, _] = nt_xent::across(query, key, instances);
            return Comparison { tracked: false, ..comparison };
        };
        Comparison {
            query,
            instances: instances.to_vec(),
            positive: key,
            candidates: queue.keys(),
            candidate_instances: queue.instance_ids(),
            exclude_own: self.options.exclude_own,
            tracked: false,
        }
    }
}

impl<E: Encoder> Module for Moco<E> {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        self.network.visit(visitor);
    }
}

impl<E: Encoder + Clone> Method for Moco<E> {
    type Batch = ViewBatch<E::Input>;

    fn before_step(&mut self, position: &Position) {
        self.position = *position;
        self.key.follow(&mut self.network, position);
    }

    fn encode(&mut self, batch: &Self::Batch, pass: &mut Pass) -> Outputs {
        let [first, second] = both_views(&batch.views);
        let mut tensors = vec![("query", self.queries(&first, pass)), ("key", self.keys(&second, 0, pass))];
        if self.options.symmetric {
            tensors.push(("query of second", self.queries(&second, pass)));
            tensors.push(("key of first", self.keys(&first, 1, pass)));
        }
        Outputs::new(batch.instances.clone(), tensors)
    }

    fn loss(&self, outputs: &Outputs) -> Terms {
        let compare = |query, key, direction| {
            let comparison = self.comparison(outputs.get(query), outputs.get(key), &outputs.instances);
            self.contrast.compare(&comparison, &self.position, direction)
        };
        let (loss, scalars) = compare("query", "key", 0);
        let mut terms = vec![("first to second", loss)];
        if self.options.symmetric {
            terms.push(("second to first", compare("query of second", "key of first", 1).0));
        }
        Terms::new(terms, scalars)
    }

    fn after_step(&mut self, outputs: &Outputs) {
        let Some(queue) = &mut self.queue else { return };
        queue.enqueue(outputs.get("key"), &outputs.instances);
        if self.options.symmetric {
            queue.enqueue(outputs.get("key of first"), &outputs.instances);
        }
    }

    /// Query and key side by side.
    fn embeddings(&self, outputs: &Outputs) -> Matrix {
        outputs.side_by_side(["query", "key"])
    }

    fn state(&mut self) -> Arrays {
        let mut arrays = self.key.arrays();
        arrays.extend(self.queue.iter().flat_map(Queue::arrays));
        arrays
    }

    fn restore(&mut self, state: &Arrays, device: &Device) -> Result<(), LearnError> {
        self.key.restore(state, device)?;
        self.queue.as_mut().map_or(Ok(()), |queue| queue.restore(state, device))
    }
}
