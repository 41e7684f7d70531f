//! MoCo v3 (Chen et al. 2021, algorithm 1, <https://arxiv.org/abs/2104.02057>): no queue; keys of both views by the momentum encoder,
//! queries of both through a predictor, each compared with the keys of the other view in its batch.
//!
//! As in algorithm 1 a direction's loss is multiplied by 2τ, and the two are added. The momentum rises to 1 along half a cosine.
//! The published projection head ends in BatchNorm without scale and shift; a head here has them, or no last BatchNorm.

use lookalike_base::Matrix;
use lookalike_base::arrays::Arrays;
use lookalike_data::ViewBatch;

use super::network::both_views;
use super::{Method, Network, Outputs, Position, Terms};
use crate::encoder::Encoder;
use crate::engine::Device;
use crate::error::LearnError;
use crate::head::Projection;
use crate::loss::nt_xent;
use crate::module::{Module, Pass, Visitor};
use crate::negatives::{Comparison, ContrastiveLoss};
use crate::train::momentum_encoder::{Momentum, MomentumEncoder};

/// A network with a predictor, and its momentum encoder without.
#[derive(Debug, Clone)]
pub struct MocoV3<E> {
    /// Encoder and projection head.
    pub network: Network<E>,
    predictor: Projection,
    key: MomentumEncoder<Network<E>>,
    contrast: ContrastiveLoss,
    position: Position,
}

impl<E: Encoder + Clone> MocoV3<E> {
    /// The momentum encoder begins as a copy of `network`.
    pub fn new(
        network: Network<E>,
        predictor: Projection,
        momentum: Momentum,
        contrast: ContrastiveLoss,
    ) -> Self {
        let key = MomentumEncoder::of(&network, momentum);
        Self { network, predictor, key, contrast, position: Position::default() }
    }
}

impl<E: Encoder> Module for MocoV3<E> {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        self.network.visit(visitor);
        visitor.module("predictor", &mut self.predictor);
    }
}

impl<E: Encoder + Clone> Method for MocoV3<E> {
    type Batch = ViewBatch<E::Input>;

    fn before_step(&mut self, position: &Position) {
        self.position = *position;
        self.key.follow(&mut self.network, position);
    }

    fn encode(&mut self, batch: &Self::Batch, pass: &mut Pass) -> Outputs {
        let views = both_views(&batch.views);
        let [first, second] = views.each_ref().map(|view| {
            let [_, projection] = self.network.embed(view, pass);
            self.predictor.forward(projection, pass)
        });
        let [key_of_first, key_of_second] = views.each_ref().map(|view| {
            let [_, key] = pass.without_gradient(|pass| self.key.module.embed(view, pass));
            key
        });
        let tensors = vec![
            ("query of first", first),
            ("query of second", second),
            ("key of first", key_of_first),
            ("key of second", key_of_second),
        ];
        Outputs::new(batch.instances.clone(), tensors)
    }

    fn loss(&self, outputs: &Outputs) -> Terms {
        let compare = |query, key, direction| {
            let [comparison, _] = nt_xent::across(outputs.get(query), outputs.get(key), &outputs.instances);
            let comparison = Comparison { tracked: false, ..comparison };
            let (loss, scalars) = self.contrast.compare(&comparison, &self.position, direction);
            (loss.mul_scalar(2.0 * self.contrast.loss.temperature()), scalars)
        };
        let (first, scalars) = compare("query of first", "key of second", 0);
        let (second, _) = compare("query of second", "key of first", 1);
        Terms::new(vec![("first to second", first), ("second to first", second)], scalars)
    }

    fn after_step(&mut self, _: &Outputs) {}

    /// The keys of both views side by side.
    fn embeddings(&self, outputs: &Outputs) -> Matrix {
        outputs.side_by_side(["key of first", "key of second"])
    }

    fn state(&mut self) -> Arrays {
        self.key.arrays()
    }

    fn restore(&mut self, state: &Arrays, device: &Device) -> Result<(), LearnError> {
        self.key.restore(state, device)
    }
}
