//! End-to-end training of two encoders (the first mechanism of He et al. 2020, figure 2a, <https://arxiv.org/abs/1911.05722>):
//! queries by one encoder, keys by another, gradient through both; the batch's other keys are the negatives.

use lookalike_base::Matrix;
use lookalike_data::ViewBatch;

use super::network::both_views;
use super::{Method, Network, Outputs, Position, Terms};
use crate::encoder::Encoder;
use crate::loss::nt_xent;
use crate::module::{Module, Pass, Visitor};
use crate::negatives::ContrastiveLoss;

/// Two networks that start apart and are both trained.
#[derive(Debug, Clone)]
pub struct EndToEnd<E> {
    /// That of the queries, which is kept.
    pub network: Network<E>,
    key: Network<E>,
    contrast: ContrastiveLoss,
    position: Position,
}

impl<E: Encoder> EndToEnd<E> {
    /// Queries by `network`, keys by `key`.
    pub fn new(network: Network<E>, key: Network<E>, contrast: ContrastiveLoss) -> Self {
        Self { network, key, contrast, position: Position::default() }
    }
}

impl<E: Encoder> Module for EndToEnd<E> {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        self.network.visit(visitor);
        visitor.module("key", &mut self.key);
    }
}

impl<E: Encoder> Method for EndToEnd<E> {
    type Batch = ViewBatch<E::Input>;

    fn before_step(&mut self, position: &Position) {
        self.position = *position;
    }

    fn encode(&mut self, batch: &Self::Batch, pass: &mut Pass) -> Outputs {
        let [first, second] = both_views(&batch.views);
        let [_, query] = self.network.embed(&first, pass);
        let [_, key] = self.key.embed(&second, pass);
        Outputs::new(batch.instances.clone(), vec![("query", query), ("key", key)])
    }

    fn loss(&self, outputs: &Outputs) -> Terms {
        let [queries, _] = nt_xent::across(outputs.get("query"), outputs.get("key"), &outputs.instances);
        let (loss, scalars) = self.contrast.compare(&queries, &self.position, 0);
        Terms::new(vec![("contrast", loss)], scalars)
    }

    fn after_step(&mut self, _: &Outputs) {}

    /// Query and key side by side.
    fn embeddings(&self, outputs: &Outputs) -> Matrix {
        outputs.side_by_side(["query", "key"])
    }
}
