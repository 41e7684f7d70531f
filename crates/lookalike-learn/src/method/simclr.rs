//! SimCLR (Chen et al. 2020, <https://arxiv.org/abs/2002.05709>): two views of every instance, one encoder, a projection
//! head, and NT-Xent with the rest of the batch as negatives.
//!
//! SimCSE without supervision is the same method with both views made inside the encoder by dropout.

use lookalike_base::Matrix;
use lookalike_data::{ViewBatch, Views};

use super::network::both_views;
use super::{Method, Network, Outputs, Position, Terms};
use crate::encoder::Encoder;
use crate::head::{Head, Projection};
use crate::loss::{Loss, nt_xent};
use crate::module::{Module, Pass, Visitor};
use crate::negatives::ContrastiveLoss;

/// Which other views of the batch are negatives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InBatchNegatives {
    /// Both of every other instance, 2B − 2: NT-Xent.
    AllViews,
    /// The other one, B − 1: each view is compared with the views of the other side, as DirectCLR's program does.
    OtherViews,
    /// The second one, B − 1, and first views alone are queries, as in [GraphCL](crate::method::graphcl)'s program.
    SecondViews,
}

/// An encoder with its projection head.
#[derive(Debug, Clone)]
pub struct SimClr<E> {
    /// What is trained.
    pub network: Network<E>,
    contrast: ContrastiveLoss,
    in_batch: InBatchNegatives,
    apart: bool,
    position: Position,
}

impl<E: Encoder> SimClr<E> {
    /// Trains `encoder` through `projection` by NT-Xent at `temperature` τ > 0 (the paper: 0.5 on CIFAR-10, 0.1 on ImageNet).
    pub fn new(encoder: E, projection: Projection, temperature: f32) -> Self {
        let network = Network { encoder, head: Head::Projection(projection) };
        Self::with(network, ContrastiveLoss::plain(Loss::InfoNce { temperature }), InBatchNegatives::AllViews)
    }

    /// Trains `network` by any loss.
    pub fn with(network: Network<E>, contrast: ContrastiveLoss, in_batch: InBatchNegatives) -> Self {
        Self { network, contrast, in_batch, apart: false, position: Position::default() }
    }

    /// Lets each view go through BatchNorm by itself, where SimCLR's published code sends both through together.
    #[must_use]
    pub fn normalized_apart(mut self) -> Self {
        self.apart = true;
        self
    }
}

impl<E: Encoder> Module for SimClr<E> {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        self.network.visit(visitor);
    }
}

impl<E: Encoder> Method for SimClr<E> {
    type Batch = ViewBatch<E::Input>;

    fn before_step(&mut self, position: &Position) {
        self.position = *position;
    }

    fn encode(&mut self, batch: &Self::Batch, pass: &mut Pass) -> Outputs {
        let count = batch.instances.len();
        let (first, second) = match &batch.views {
            Views::Stacked(views) if !self.apart => {
                let [_, both] = self.network.embed(views, pass);
                (both.clone().narrow(0, 0, count), both.narrow(0, count, count))
            }
            views => {
                let [[_, first], [_, second]] = both_views(views).map(|view| self.network.embed(&view, pass));
                (first, second)
            }
        };
        Outputs::new(batch.instances.clone(), vec![("first", first), ("second", second)])
    }

    fn loss(&self, outputs: &Outputs) -> Terms {
        let [first, second] = ["first", "second"].map(|name| outputs.get(name));
        match self.in_batch {
            InBatchNegatives::AllViews => {
                let comparison = nt_xent::views(first, second, &outputs.instances);
                let (loss, scalars) = self.contrast.compare(&comparison, &self.position, 0);
                Terms::new(vec![("contrast", loss)], scalars)
            }
            InBatchNegatives::SecondViews => {
                let [comparison, _] = nt_xent::across(first, second, &outputs.instances);
                let (loss, scalars) = self.contrast.compare(&comparison, &self.position, 0);
                Terms::new(vec![("contrast", loss)], scalars)
            }
            InBatchNegatives::OtherViews => {
                let [one, other] = nt_xent::across(first, second, &outputs.instances);
                let (one, scalars) = self.contrast.compare(&one, &self.position, 0);
                let (other, _) = self.contrast.compare(&other, &self.position, 1);
                let terms = [("first to second", one), ("second to first", other)];
                Terms::new(terms.map(|(name, loss)| (name, loss.mul_scalar(0.5))).into(), scalars)
            }
        }
    }

    fn after_step(&mut self, _: &Outputs) {}

    /// Both projections side by side, each of unit length, as BatchSampler builds its graph from: the similarity of two
    /// instances is then the mean of their views' similarities.
    fn embeddings(&self, outputs: &Outputs) -> Matrix {
        outputs.side_by_side(["first", "second"])
    }
}
