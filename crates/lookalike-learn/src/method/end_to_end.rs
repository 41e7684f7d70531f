//! End-to-end training of two encoders (the first mechanism of He et al. 2020, figure 2a, <https://arxiv.org/abs/1911.05722>):
//! queries by one encoder, keys by another, gradient through both; the batch's other keys are the negatives.

use super::{Embedder, Method, MethodEntry, Network, Outputs, Terms};
use crate::engine::Tensor;
use crate::error::LearnError;
use crate::head::ProjectionOptions;
use crate::head::projection::WITHOUT_NORM;
use crate::input::Batch;
use crate::module::{Module, Pass, Visitor};
use crate::negatives::{Comparison, Contrast, MIXING, Observer};
use crate::options::{Options, Range, Value, When};
use crate::step::Step;

crate::options! {
    /// What a recipe says of end-to-end training.
    pub struct EndToEndOptions {
        /// The projection heads.
        projection: ProjectionOptions = Value::Table, Range::Table(WITHOUT_NORM);
    }
}

/// End-to-end training in a registry.
pub const ENTRY: MethodEntry = MethodEntry {
    kind: "end-to-end",
    paper: "He et al. 2020, figure 2a",
    about: "two encoders, both trained: view 1 by the one against the batch's views 2 by the other",
    keys: EndToEndOptions::KEYS,
    defaults: &[When::always(("loss.temperature", Value::Number(0.07)))],
    build: |building| {
        let network = building.network("encoder", "projection")?;
        let key = building.network("encoder of keys", "projection of keys")?;
        Ok(Box::new(EndToEnd::new(network, key, building.contrast()?)))
    },
    learns: &["encoder.", "key.encoder."],
    ..MethodEntry::VIEWS
};

/// Two networks that start apart and are both trained.
#[derive(Clone)]
pub struct EndToEnd {
    /// That of the queries, which is kept.
    network: Network,
    key: Network,
    contrast: Contrast,
}

impl EndToEnd {
    /// Queries by `network`, keys by `key`.
    pub fn new(network: Network, key: Network, contrast: Contrast) -> Self {
        Self { network, key, contrast }
    }
}

impl Module for EndToEnd {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        self.network.visit(visitor);
        visitor.module("key", &mut self.key);
    }
}

impl Method for EndToEnd {
    fn encode(&mut self, batch: &Batch, _: &Step, pass: &mut Pass) -> Result<Outputs, LearnError> {
        let [first, second] = batch.pair()?;
        let query = self.network.project(first, pass)?.projection;
        let key = self.key.project(second, pass)?.projection;
        Ok(Outputs::new(batch.instances.clone(), vec![("query", query), ("key", key)]))
    }

    fn loss(
        &mut self,
        gathered: &Outputs,
        step: &Step,
        observer: &mut dyn Observer,
    ) -> Result<Terms, LearnError> {
        let (query, key) = (gathered.get("query"), gathered.get("key"));
        let [queries, _] = Comparison::across(query, key, &gathered.instances);
        Ok(Terms::single("contrast", self.contrast.compare(&queries, step, MIXING[0], observer)))
    }

    /// Query and key side by side.
    fn embeddings(&self, outputs: &Outputs) -> Tensor<2> {
        outputs.side_by_side(["query", "key"])
    }

    fn kept(&self) -> Box<dyn Embedder> {
        Box::new(self.network.clone())
    }
}
