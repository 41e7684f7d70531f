//! Instance discrimination with a memory bank (Wu et al. 2018, <https://arxiv.org/abs/1805.01978>): a view is to be nearest to its
//! instance's own entry of the bank, which holds one vector an instance. Each instance is seen in one view a step.
//!
//! Over all entries it is a softmax of as many classes as there are instances (`info-nce`; the published program on CIFAR-10);
//! where that is too many, noise-contrastive estimation compares with a few thousand drawn ones
//! ([`noise_contrastive`](crate::loss::noise_contrastive)). An entry is updated when its instance was seen, after the loss.

use std::cell::Cell;
use std::sync::Arc;

use lookalike_base::Matrix;
use lookalike_base::arrays::{Array, Arrays};
use lookalike_data::ViewBatch;
use serde_json::{Map, Value, json};

use super::network::both_views;
use super::{Method, Network, Outputs, Position, Terms, rows_of};
use crate::encoder::Encoder;
use crate::engine::{Device, Tensor};
use crate::error::LearnError;
use crate::loss::noise_contrastive::{log_normalizer, noise_contrastive};
use crate::loss::{Similarities, normalize};
use crate::module::{Module, Pass, Visitor};
use crate::negatives::diagnostics::{self, Seen};
use crate::negatives::{Comparison, ContrastiveLoss, Excluded, InstanceIds, MemoryBank};

/// How a view is told from other instances.
#[derive(Debug, Clone)]
pub enum BankObjective {
    /// A softmax over the whole bank, in one of its forms.
    Softmax(ContrastiveLoss),
    /// Noise-contrastive estimation.
    Noise(Noise),
}

/// What noise-contrastive estimation is made with.
#[derive(Debug, Clone)]
pub struct Noise {
    /// τ > 0. The paper: 0.07.
    pub temperature: f32,
    /// m, entries drawn for each query, uniformly with replacement. The paper: 4096.
    pub drawn: usize,
    /// Classes of the instances where known, only ever used to report false negatives.
    pub labels: Option<Arc<Vec<u32>>>,
}

/// A network and an entry for every instance.
#[derive(Debug, Clone)]
pub struct InstanceDiscrimination<E> {
    /// What is trained.
    pub network: Network<E>,
    bank: MemoryBank,
    objective: BankObjective,
    /// log Z, once the first batch has shown it.
    log_normalizer: Cell<Option<f64>>,
    position: Position,
}

impl<E: Encoder> InstanceDiscrimination<E> {
    /// Trains `network` on the instances that `bank` has an entry for.
    pub fn new(network: Network<E>, bank: MemoryBank, objective: BankObjective) -> Self {
        Self { network, bank, objective, log_normalizer: Cell::new(None), position: Position::default() }
    }

    /// The memory bank.
    pub fn bank(&self) -> &MemoryBank {
        &self.bank
    }

    /// Entries drawn for each of `queries`, `drawn` one after another for each.
    fn draw(&self, queries: u64, drawn: usize) -> Vec<u32> {
        let entries = self.bank.vectors().dims()[0] as u32;
        let of_query = |query| {
            let mut stream = self.position.seed.stream("noise", 0, self.position.batch, query);
            (0..drawn).map(move |_| stream.below(entries))
        };
        (0..queries).flat_map(of_query).collect()
    }

    /// Each query against its own entry and `drawn` others, and what the diagnostics show of it.
    fn against_noise(&self, outputs: &Outputs, noise: &Noise) -> (Tensor<1>, Map<String, Value>) {
        let Noise { temperature, drawn, .. } = *noise;
        let (query, instances) = (outputs.get("query"), &outputs.instances);
        let entries = self.bank.vectors().dims()[0];
        let rows = self.draw(instances.len() as u64, drawn);
        let own = self.bank.select(instances);
        let similarities = Similarities {
            positive: (query.clone() * own.clone()).sum_dim(1),
            negatives: self.bank.products(query.clone(), rows.clone()),
            excluded: None,
        };
        let log_z =
            self.log_normalizer.get().unwrap_or_else(|| log_normalizer(&similarities, temperature, entries));
        self.log_normalizer.set(Some(log_z));
        let loss = noise_contrastive(&similarities, temperature, log_z, entries).mean();
        if !self.position.diagnostics {
            return (loss, Map::new());
        }
        // The own entry, drawn by chance, is compared as noise but is no negative that could be hard or false.
        let drawn_for = |query: usize| &rows[query * drawn..][..drawn];
        let chance = |(query, own): (usize, &u32)| {
            let columns = drawn_for(query).iter().enumerate().filter(|(_, row)| *row == own);
            columns.map(|(column, _)| column as u32).collect()
        };
        let chance = Excluded::new(instances.iter().enumerate().map(chance).collect());
        let seen = Similarities { excluded: chance, ..similarities };
        let mut scalars = diagnostics::scalars(&Seen {
            query: &query,
            positive: &own,
            instances,
            owner: &|query, column| drawn_for(query)[column],
            plain: &seen,
            similarities: &seen,
            draw: None,
            labels: noise.labels.as_ref().map(|labels| labels.as_slice()),
            temperature,
        });
        scalars.insert("log_normalizer".to_owned(), json!(log_z));
        (loss, scalars)
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
        match &self.objective {
            BankObjective::Softmax(contrast) => {
                let (query, instances) = (outputs.get("query"), &outputs.instances);
                let entries = self.bank.vectors().dims()[0];
                let comparison = Comparison {
                    query,
                    instances: instances.clone(),
                    positive: self.bank.select(instances),
                    candidates: self.bank.vectors(),
                    candidate_instances: InstanceIds::Rows(entries),
                    exclude_own: true,
                    tracked: false,
                };
                let (loss, scalars) = contrast.compare(&comparison, &self.position, 0);
                Terms::new(vec![("contrast", loss)], scalars)
            }
            BankObjective::Noise(noise) => {
                let (loss, scalars) = self.against_noise(outputs, noise);
                Terms::new(vec![("noise contrast", loss)], scalars)
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
