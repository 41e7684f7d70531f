//! MVGRL on the nodes of one graph (Hassani and Khasahmadi 2020, *Contrastive Multi-View Representation Learning on Graphs*,
//! <https://arxiv.org/abs/2006.05582>, section 3, as `node/train.py` of kavehhassani/mvgrl trains it): the nodes of a sub-graph
//! are contrasted with a summary of it in the other view, and nodes whose features were shuffled stand for those of other graphs.
//!
//! With the [GCN](crate::encoder::gcn)s f₁ on Ã and f₂ on S, features X and their shuffled rows X̃, Hᵢ = fᵢ(X), H̃ᵢ = fᵢ(X̃),
//! cᵢ = σ(mean of Hᵢ) and the score s(h, c) = hᵀ W c + b:
//!
//! ℓ = ½ Σ over (i, j) = (1, 2), (2, 1) of ½ (mean sp(−s(Hⱼ, cᵢ)) + mean sp(s(H̃ⱼ, cᵢ))), see [`binary`]; a node's embedding is
//! H₁ + H₂.
//!
//! Scores and summaries are those of *Deep Graph Infomax* (Veličković et al. 2019), in place of the heads that whole graphs have.
//! The published code registers these GCNs and trains them: there is no other variant.

use lookalike_base::{Matrix, Stream};
use lookalike_data::graph::NodeBatch;

use super::{Method, Outputs, Terms};
use crate::encoder::gcn::{Adjacency, Gcn, Nodes};
use crate::engine::{Device, Tensor};
use crate::evaluate::Embedder;
use crate::layer::uniform;
use crate::loss::jensen_shannon::binary;
use crate::module::{Module, Parameter, Pass, Role, Visitor};

/// Two encoders and what scores their nodes, named as in the published code.
#[derive(Debug, Clone)]
pub struct MvgrlNodes {
    encoders: [Gcn; 2],
    discriminator: Bilinear,
}

impl MvgrlNodes {
    /// Encoders of `layers` layers of `width` on nodes of `features` values; published: one layer of 512.
    pub fn new(features: usize, [layers, width]: [usize; 2], stream: &mut Stream, device: &Device) -> Self {
        let encoders = [(); 2].map(|()| Gcn::new(features, layers, width, stream, device));
        Self { encoders, discriminator: Bilinear::new(width, stream, device) }
    }

    /// The nodes of either view, described by `features`.
    ///
    /// # Shapes
    /// `[b, width]` each.
    fn views(&self, adjacencies: &[Adjacency; 2], features: &Adjacency, pass: &Pass) -> [Tensor<2>; 2] {
        [0, 1].map(|view| {
            let nodes = Nodes::Sparse(features.clone());
            let layers = self.encoders[view].layers(&adjacencies[view], nodes, pass);
            layers.into_iter().next_back().unwrap_or_else(|| unreachable!("a GCN has a layer"))
        })
    }
}

fn adjacencies(batch: &NodeBatch) -> [Adjacency; 2] {
    [&batch.normalized, &batch.diffusion].map(Adjacency::from)
}

impl Module for MvgrlNodes {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        let [first, second] = &mut self.encoders;
        visitor.module("gcn1", first);
        visitor.module("gcn2", second);
        visitor.module("disc.f_k", &mut self.discriminator);
    }
}

impl Method for MvgrlNodes {
    type Batch = NodeBatch;

    fn encode(&mut self, batch: &NodeBatch, pass: &mut Pass) -> Outputs {
        let adjacencies = adjacencies(batch);
        let [first, second] = self.views(&adjacencies, &Adjacency::from(&batch.features), pass);
        let [other, another] = self.views(&adjacencies, &Adjacency::from(&batch.corrupted), pass);
        let [of_first, of_second] = [&first, &second].map(|nodes| sigmoid(nodes.clone().mean_dim(0)));
        let score = |nodes: &Tensor<2>, summary: &Tensor<2>| {
            self.discriminator.forward(nodes.clone(), summary.clone(), pass)
        };
        let tensors = vec![
            ("second to first", score(&second, &of_first)),
            ("corrupted second to first", score(&another, &of_first)),
            ("first to second", score(&first, &of_second)),
            ("corrupted first to second", score(&other, &of_second)),
            ("nodes of first", first),
            ("nodes of second", second),
        ];
        Outputs::new(batch.instances.clone(), tensors)
    }

    fn loss(&self, outputs: &Outputs) -> Terms {
        let term = |together, apart| binary(outputs.get(together), outputs.get(apart)).mul_scalar(0.5);
        let terms = vec![
            ("nodes of second to first", term("second to first", "corrupted second to first")),
            ("nodes of first to second", term("first to second", "corrupted first to second")),
        ];
        Terms::new(terms, serde_json::Map::new())
    }

    fn after_step(&mut self, _: &Outputs) {}

    /// The nodes of both views side by side, each of unit length.
    fn embeddings(&self, outputs: &Outputs) -> Matrix {
        outputs.side_by_side(["nodes of first", "nodes of second"])
    }
}

impl Embedder for MvgrlNodes {
    type Input = NodeBatch;

    /// H₁ + H₂, and both side by side.
    fn embed(&mut self, batch: &NodeBatch, pass: &mut Pass) -> [Tensor<2>; 2] {
        let [first, second] = self.views(&adjacencies(batch), &Adjacency::from(&batch.features), pass);
        [first.clone() + second.clone(), Tensor::cat(vec![first, second], 1)]
    }
}

/// 1 / (1 + e⁻ˣ) = ½ (1 + tanh ½x), whose gradient is finite for every x.
fn sigmoid(x: Tensor<2>) -> Tensor<2> {
    x.mul_scalar(0.5).tanh().add_scalar(1.0).mul_scalar(0.5)
}

/// s(h, c) = hᵀ W c + b, PyTorch's `Bilinear` of one output.
#[derive(Debug, Clone)]
struct Bilinear {
    /// `[1, width, width]`
    weight: Parameter<3>,
    /// `[1]`
    bias: Parameter<1>,
}

impl Bilinear {
    /// Weights uniform as `xavier_uniform_` makes those of such a tensor, in ±√(6 / (width² + width)); bias 0.
    fn new(width: usize, stream: &mut Stream, device: &Device) -> Self {
        let bound = (6.0 / (width * width + width) as f32).sqrt();
        let weight = uniform([1, width, width], bound, stream, device);
        Self { weight: Parameter::new(weight), bias: Parameter::new(Tensor::zeros([1], device)) }
    }

    /// # Shapes
    /// Nodes `[b, width]`, a summary `[1, width]` → `[b, 1]`.
    fn forward(&self, nodes: Tensor<2>, summary: Tensor<2>, pass: &Pass) -> Tensor<2> {
        let width = summary.dims()[1];
        let weight = self.weight.read(pass).reshape([width, width]);
        nodes.matmul(weight.matmul(summary.transpose())) + self.bias.read(pass).unsqueeze()
    }
}

impl Module for Bilinear {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visitor.tensor("weight", Role::Weight, &mut self.weight);
        visitor.tensor("bias", Role::Bias, &mut self.bias);
    }
}
