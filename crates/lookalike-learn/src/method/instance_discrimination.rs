//! Instance discrimination with a memory bank (Wu et al. 2018, <https://arxiv.org/abs/1805.01978>): a view is to be nearest to its
//! instance's own entry of the bank, which holds one vector an instance. Each instance is seen in one view a step.
//!
//! Over all entries it is a softmax of as many classes as there are instances (`info-nce`; the published program on CIFAR-10);
//! where that is too many, noise-contrastive estimation compares with a few thousand drawn ones
//! ([`noise_contrastive`](crate::loss::noise_contrastive)). An entry is updated when its instance was seen, after the loss.

use std::cell::Cell;

use lookalike_base::Matrix;
use lookalike_base::arrays::{Array, Arrays};
use lookalike_data::ViewBatch;
use serde_json::{Map, json};

use super::network::both_views;
use super::{Method, Network, Outputs, Position, Terms, rows_of};
use crate::encoder::Encoder;
use crate::engine::{Device, Tensor};
use crate::error::LearnError;
use crate::loss::noise_contrastive::{log_normalizer, noise_contrastive};
use crate::loss::{Similarities, normalize};
use crate::module::{Module, Pass, Visitor};
use crate::negatives::{Comparison, Contrast, MemoryBank};

/// How a view is told from other instances.
#[derive(Debug, Clone)]
pub enum Objective {
    /// A softmax over the whole bank, in one of its forms.
    Softmax(Contrast),
    /// Noise-contrastive estimation.
    Noise {
        /// τ > 0. The paper: 0.07.
        temperature: f32,
        /// m, entries drawn for each query, uniformly with replacement. The paper: 4096.
        drawn: usize,
    },
}

/// A network and an entry for every instance.
#[derive(Debug, Clone)]
pub struct InstanceDiscrimination<E> {
    /// What is trained.
    pub network: Network<E>,
    bank: MemoryBank,
    objective: Objective,
    /// log Z, once the first batch has shown it.
    log_normalizer: Cell<Option<f64>>,
    position: Position,
}

impl<E: Encoder> InstanceDiscrimination<E> {
    /// Trains `network` on the instances that `bank` has an entry for.
    pub fn new(network: Network<E>, bank: MemoryBank, objective: Objective) -> Self {
        Self { network, bank, objective, log_normalizer: Cell::new(None), position: Position::default() }
    }

    /// The memory bank.
    pub fn bank(&self) -> &MemoryBank {
        &self.bank
    }

    /// Each query beside its own entry and entries drawn for it.
    fn against_drawn(&self, query: Tensor<2>, instances: &[u32], drawn: usize) -> Similarities {
        let entries = self.bank.vectors().dims()[0] as u32;
        let [queries, dimension] = query.dims();
        let rows: Vec<u32> = (0..queries as u64)
            .flat_map(|query| {
                let mut stream = self.position.seed.stream("noise", 0, self.position.batch, query);
                (0..drawn).map(move |_| stream.below(entries)).collect::<Vec<u32>>()
            })
            .collect();
        let noise = self.bank.select(&rows).reshape([queries, drawn, dimension]);
        let negatives = noise.matmul(query.clone().reshape([queries, dimension, 1]));
        Similarities {
            positive: (query * self.bank.select(instances)).sum_dim(1),
            negatives: negatives.reshape([queries, drawn]),
            excluded: None,
        }
    }
}

impl<E: Encoder> Module for InstanceDiscrimination<E> {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        self.network.visit(visitor);
    }
}

impl<E: Encoder> Method for InstanceDiscrimination<E> {
    type Batch = ViewBatch<E::Input>;

    fn before_step(&mut self, position: &Position) {
        self.position = *position;
    }

    fn encode(&mut self, batch: &Self::Batch, pass: &mut Pass) -> Outputs {
        let [first, _] = both_views(&batch.views);
        let [_, query] = self.network.embed(&first, pass);
        Outputs::new(batch.instances.clone(), vec![("query", normalize(query))])
    }

    fn loss(&self, outputs: &Outputs) -> Terms {
        let (query, instances) = (outputs.get("query"), &outputs.instances);
        let entries = self.bank.vectors().dims()[0];
        match &self.objective {
            Objective::Softmax(contrast) => {
                let comparison = Comparison {
                    query,
                    instances: instances.clone(),
                    positive: self.bank.select(instances),
                    candidates: self.bank.vectors(),
                    candidate_instances: (0..entries as u32).collect(),
                    exclude_own: true,
                    tracked: false,
                };
                let (loss, figures) = contrast.compare(&comparison, &self.position, 0);
                Terms::new(vec![("contrast", loss)], figures)
            }
            Objective::Noise { temperature, drawn } => {
                let similarities = self.against_drawn(query, instances, *drawn);
                let log_z = self
                    .log_normalizer
                    .get()
                    .unwrap_or_else(|| log_normalizer(&similarities, *temperature, entries));
                self.log_normalizer.set(Some(log_z));
                let loss = noise_contrastive(&similarities, *temperature, log_z, entries).mean();
                let figures = Map::from_iter([("log_normalizer".to_owned(), json!(log_z))]);
                Terms::new(vec![("noise contrast", loss)], figures)
            }
        }
    }

    fn after_step(&mut self, outputs: &Outputs) {
        self.bank.update(&outputs.instances, outputs.get("query"));
    }

    /// The projection.
    fn embeddings(&self, outputs: &Outputs) -> Matrix {
        rows_of(outputs.get("query").inner())
    }

    fn state(&mut self) -> Arrays {
        let mut arrays = self.bank.arrays();
        if let Some(log_z) = self.log_normalizer.get() {
            arrays.insert("bank.log_normalizer".to_owned(), Array::u64([1], vec![log_z.to_bits()]));
        }
        arrays
    }

    fn restore(&mut self, state: &Arrays, device: &Device) -> Result<(), LearnError> {
        self.bank.restore(state, device)?;
        let log_z =
            state.get("bank.log_normalizer").and_then(Array::as_u64).and_then(|bits| bits.first().copied());
        self.log_normalizer.set(log_z.map(f64::from_bits));
        Ok(())
    }
}
