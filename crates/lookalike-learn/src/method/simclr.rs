//! SimCLR (Chen et al. 2020, <https://arxiv.org/abs/2002.05709>): two views of every instance, one encoder, a projection
//! head, and NT-Xent with the rest of the batch as negatives.
//!
//! SimCSE without supervision is the same method with both views made inside the encoder by dropout.

use lookalike_base::Matrix;
use lookalike_data::{ViewBatch, Views};

use super::{Method, Outputs, Terms};
use crate::encoder::Encoder;
use crate::engine::{Tensor, to_host};
use crate::head::Projection;
use crate::loss::nt_xent::nt_xent;
use crate::module::{Module, Pass, Visitor};

/// An encoder with its projection head.
#[derive(Debug, Clone)]
pub struct SimClr<E> {
    /// What is kept after training.
    pub encoder: E,
    projection: Projection,
    temperature: f32,
}

impl<E: Encoder> SimClr<E> {
    /// Trains `encoder` through `projection` at `temperature` τ > 0 (the paper: 0.5 on CIFAR-10, 0.1 on ImageNet).
    pub fn new(encoder: E, projection: Projection, temperature: f32) -> Self {
        Self { encoder, projection, temperature }
    }

    /// What the encoder gives, and what the head makes of it.
    ///
    /// # Shapes
    /// N inputs → `[N, encoder's dimension]` and `[N, head's dimension]`, neither normalised.
    pub fn embed(&mut self, input: &E::Input, pass: &mut Pass) -> [Tensor<2>; 2] {
        let representation = self.encoder.forward(input, pass);
        let projection = self.projection.forward(representation.clone(), pass);
        [representation, projection]
    }
}

impl<E: Encoder> Module for SimClr<E> {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visitor.module("encoder", &mut self.encoder);
        visitor.module("projection", &mut self.projection);
    }
}

impl<E: Encoder> Method for SimClr<E> {
    type Batch = ViewBatch<E::Input>;

    fn encode(&mut self, batch: &Self::Batch, pass: &mut Pass) -> Outputs {
        let count = batch.instances.len();
        let (first, second) = match &batch.views {
            // Both views go through BatchNorm together, as in the published code.
            Views::Stacked(views) => {
                let [_, both] = self.embed(views, pass);
                (both.clone().narrow(0, 0, count), both.narrow(0, count, count))
            }
            Views::Shared(input) => {
                let [[_, first], [_, second]] = [self.embed(input, pass), self.embed(input, pass)];
                (first, second)
            }
        };
        Outputs::new(batch.instances.clone(), vec![("first", first), ("second", second)])
    }

    fn loss(&self, outputs: &Outputs) -> Terms {
        Terms::single("nt_xent", nt_xent(outputs.get("first"), outputs.get("second"), self.temperature))
    }

    fn after_step(&mut self, _: &Outputs) {}

    /// Both projections side by side, each of unit length, as BatchSampler builds its graph from: the similarity of two
    /// instances is then the mean of their views' similarities.
    fn embeddings(&self, outputs: &Outputs) -> Matrix {
        let [first, second] =
            ["first", "second"].map(|name| crate::loss::normalize(outputs.get(name).inner()));
        let columns = 2 * first.dims()[1];
        let values = to_host(Tensor::cat(vec![first, second], 1));
        Matrix::new(values, columns).unwrap_or_else(|error| unreachable!("two tensors of one shape: {error}"))
    }
}
