//! Instance discrimination with a memory bank (Wu et al. 2018, <https://arxiv.org/abs/1805.01978>): a view is to be nearest to its
//! instance's own entry of the bank, which holds one vector an instance. Each instance is seen in one view a step.
//!
//! Over all entries it is a softmax of as many classes as there are instances (`info-nce`; the published program on CIFAR-10);
//! where that is too many, noise-contrastive estimation compares with a few thousand drawn ones
//! ([`noise_contrastive`](crate::loss::noise_contrastive)). An entry is updated when its instance was seen, after the loss.

use lookalike_base::arrays::{Array, Arrays};

use super::entry::ONE_VIEW;
use super::{Building, Embedder, Method, MethodEntry, Network, Outputs, Terms};
use crate::engine::{Device, Tensor};
use crate::error::LearnError;
use crate::head::ProjectionOptions;
use crate::head::projection::WITHOUT_NORM;
use crate::input::{Batch, RowId};
use crate::loss::noise_contrastive::{NoiseOptions, log_normalizer, noise_contrastive};
use crate::loss::{Mask, Similarities, normalize};
use crate::module::{Module, Pass, Visitor};
use crate::negatives::memory_bank::BankOptions;
use crate::negatives::{Compared, Comparison, Contrast, InstanceIds, MIXING, MemoryBank, Observer, Owners};
use crate::options::{Options, Range, Value, When};
use crate::step::Step;

crate::options! {
    /// What a recipe says of instance discrimination.
    pub struct InstanceDiscriminationOptions {
        /// The projection head.
        projection: ProjectionOptions = Value::Table, Range::Table(WITHOUT_NORM);
    }
}

/// Instance discrimination in a registry.
pub const ENTRY: MethodEntry = MethodEntry {
    kind: "instance-discrimination",
    paper: "Wu et al. 2018",
    about: "one view against a memory bank of one vector an instance",
    keys: InstanceDiscriminationOptions::KEYS,
    negatives: &["bank"],
    losses: &["info-nce", "debiased", "hard", "noise-contrastive"],
    columns: ONE_VIEW,
    defaults: &[When::always(("loss.temperature", Value::Number(0.07)))],
    build,
    ..MethodEntry::VIEWS
};

fn build(building: &Building<'_>) -> Result<Box<dyn Method>, LearnError> {
    let network = building.network("encoder", "projection")?;
    let BankOptions { bank_momentum } = building.settings.read("negatives")?;
    let shape = [building.instances, building.projected(network.encoder.dimension())?];
    let bank = MemoryBank::new(shape, bank_momentum, &mut building.stream("bank"), building.device);
    let objective = match building.settings.text("loss.kind") {
        Some("noise-contrastive") => BankObjective::Noise(building.settings.read("loss")?),
        _ => BankObjective::Softmax(building.contrast()?),
    };
    Ok(Box::new(InstanceDiscrimination::new(network, bank, objective)))
}

/// How a view is told from other instances.
#[derive(Debug, Clone)]
pub enum BankObjective {
    /// A softmax over the whole bank, in one of its forms.
    Softmax(Contrast),
    /// Noise-contrastive estimation.
    Noise(NoiseOptions),
}

/// A network and an entry for every instance.
#[derive(Clone)]
pub struct InstanceDiscrimination {
    network: Network,
    bank: MemoryBank,
    objective: BankObjective,
    /// log Z, once the first batch has shown it.
    log_normalizer: Option<f64>,
}

impl InstanceDiscrimination {
    /// Trains `network` on the instances that `bank` has an entry for.
    pub fn new(network: Network, bank: MemoryBank, objective: BankObjective) -> Self {
        Self { network, bank, objective, log_normalizer: None }
    }

    /// The memory bank.
    pub fn bank(&self) -> &MemoryBank {
        &self.bank
    }

    /// Each query against its own entry and drawn ones.
    fn against_noise(
        &mut self,
        outputs: &Outputs,
        &NoiseOptions { temperature, noise: drawn }: &NoiseOptions,
        step: &Step,
        observer: &mut dyn Observer,
    ) -> Tensor<1> {
        let (query, instances) = (outputs.get("query"), &outputs.instances);
        let entries = self.bank.vectors().dims()[0];
        let of_query = |instance: &u32| {
            let mut stream = step.stream("noise", RowId { instance: *instance, view: 0 });
            (0..drawn).map(move |_| stream.below(entries as u32))
        };
        let rows: Vec<u32> = instances.iter().flat_map(of_query).collect();
        let own = self.bank.select(instances);
        let similarities = Similarities {
            positive: (query.clone() * own.clone()).sum_dim(1),
            negatives: self.bank.products(query.clone(), rows.clone()),
            mask: None,
        };
        let log_z =
            self.log_normalizer.unwrap_or_else(|| log_normalizer(&similarities, temperature, entries));
        self.log_normalizer = Some(log_z);
        if observer.looks() {
            // The own entry, drawn by chance, is compared as noise but is no negative that could be hard or false.
            let drawn_for = |query: usize| &rows[query * drawn..][..drawn];
            let chance = |(query, own): (usize, &u32)| {
                let columns = drawn_for(query).iter().zip(0..).filter(|(row, _)| *row == own);
                columns.map(|(_, column)| column).collect()
            };
            let mask = Mask::new(instances.iter().enumerate().map(chance).collect());
            let plain = Similarities { mask, ..similarities.clone() };
            observer.compared(&Compared {
                query: &query,
                positive: &own,
                owners: Some(Owners {
                    queries: instances,
                    candidate: &|query, column| drawn_for(query)[column],
                }),
                plain: &plain,
                similarities: &plain,
                draw: None,
                temperature,
            });
        }
        observer.number("log_normalizer", &|| log_z);
        noise_contrastive(&similarities, temperature, log_z, entries).mean()
    }
}

impl Module for InstanceDiscrimination {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        self.network.visit(visitor);
    }
}

impl Method for InstanceDiscrimination {
    fn encode(&mut self, batch: &Batch, _: &Step, pass: &mut Pass) -> Result<Outputs, LearnError> {
        let query = self.network.project(batch.column(0)?, pass)?.projection;
        Ok(Outputs::new(batch.instances.clone(), vec![("query", normalize(query))]))
    }

    fn loss(
        &mut self,
        gathered: &Outputs,
        step: &Step,
        observer: &mut dyn Observer,
    ) -> Result<Terms, LearnError> {
        match self.objective.clone() {
            BankObjective::Softmax(contrast) => {
                let (query, instances) = (gathered.get("query"), &gathered.instances);
                let entries = self.bank.vectors().dims()[0];
                let comparison = Comparison::with_dictionary(
                    query,
                    self.bank.select(instances),
                    (instances, 0),
                    (self.bank.vectors(), InstanceIds::Rows(entries)),
                    true,
                );
                Ok(Terms::single("contrast", contrast.compare(&comparison, step, MIXING[0], observer)))
            }
            BankObjective::Noise(noise) => {
                Ok(Terms::single("noise contrast", self.against_noise(gathered, &noise, step, observer)))
            }
        }
    }

    fn after_step(&mut self, gathered: &Outputs, _: &Step) {
        self.bank.update(&gathered.instances, gathered.get("query"));
    }

    /// The projection.
    fn embeddings(&self, outputs: &Outputs) -> Tensor<2> {
        outputs.get("query").inner()
    }

    fn kept(&self) -> Box<dyn Embedder> {
        Box::new(self.network.clone())
    }

    fn state(&mut self) -> Arrays {
        let mut arrays = self.bank.arrays();
        if let Some(log_z) = self.log_normalizer {
            arrays.insert("bank.log_normalizer".to_owned(), Array::u64([1], vec![log_z.to_bits()]));
        }
        arrays
    }

    fn restore(&mut self, state: &Arrays, device: &Device) -> Result<(), LearnError> {
        self.bank.restore(state, device)?;
        let log_z =
            state.get("bank.log_normalizer").and_then(Array::as_u64).and_then(|bits| bits.first().copied());
        self.log_normalizer = log_z.map(f64::from_bits);
        Ok(())
    }
}
