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

use lookalike_base::Stream;

use super::{Building, Embedder, Embeddings, Method, MethodEntry, Outputs, Terms};
use crate::encoder::Encoder;
use crate::encoder::gcn::{Gcn, GcnOptions};
use crate::engine::{Device, Tensor};
use crate::error::LearnError;
use crate::input::{Batch, Column};
use crate::layer::uniform;
use crate::loss::jensen_shannon::binary;
use crate::module::{Module, Parameter, Pass, Role, Visitor};
use crate::negatives::Observer;
use crate::options::{Value, When};
use crate::step::Step;

/// MVGRL on nodes in a registry.
pub const ENTRY: MethodEntry = MethodEntry {
    kind: "mvgrl-nodes",
    paper: "Hassani and Khasahmadi 2020",
    about: "nodes of one graph and of its diffusion against a summary of the other view",
    modalities: &["node"],
    encoders: &["gcn"],
    losses: &["jensen-shannon"],
    columns: &[When::always(&["graph", "diffusion", "corrupted graph", "corrupted diffusion"])],
    plain: &["graph", "diffusion"],
    defaults: &[When::always(("encoder.layers", Value::Integer(1)))],
    exports: "",
    learns: &[""],
    build: |building| Ok(Box::new(mvgrl_nodes(building)?)),
    kept: |building| Ok(Box::new(mvgrl_nodes(building)?)),
    ..MethodEntry::VIEWS
};

fn mvgrl_nodes(building: &Building<'_>) -> Result<MvgrlNodes, LearnError> {
    let form = building.settings.read("encoder")?;
    let mut stream = building.stream("encoder");
    let mut method = MvgrlNodes::new(building.inputs, &form, &mut stream, building.device);
    building.start(&mut method)?;
    Ok(method)
}

/// Two encoders and what scores their nodes, named as in the published code.
#[derive(Debug, Clone)]
pub struct MvgrlNodes {
    encoders: [Gcn; 2],
    discriminator: Bilinear,
}

impl MvgrlNodes {
    /// Encoders of nodes that `inputs` values describe, and a discriminator; published: one layer of 512.
    pub fn new(
        inputs: usize,
        &GcnOptions { layers, width }: &GcnOptions,
        stream: &mut Stream,
        device: &Device,
    ) -> Self {
        let encoders = [(); 2].map(|()| Gcn::new(inputs, layers, width, stream, device));
        Self { encoders, discriminator: Bilinear::new(width, stream, device) }
    }

    /// The nodes of a view, `[b, width]`.
    fn view(&mut self, index: usize, column: &Column, pass: &mut Pass) -> Result<Tensor<2>, LearnError> {
        let encoder = &mut self.encoders[index];
        Ok(pass.reading(column, |pass| encoder.forward(&column.input, pass))?.vector)
    }
}

impl Module for MvgrlNodes {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        let [first, second] = &mut self.encoders;
        visitor.module("gcn1", first);
        visitor.module("gcn2", second);
        visitor.module("disc.f_k", &mut self.discriminator);
    }
}

/// The outputs of an encoding, in the order of the batch's columns.
const OUTPUTS: [&str; 4] =
    ["nodes of first", "nodes of second", "corrupted nodes of first", "corrupted nodes of second"];

impl Method for MvgrlNodes {
    fn encode(&mut self, batch: &Batch, _: &Step, pass: &mut Pass) -> Result<Outputs, LearnError> {
        let mut tensors = Vec::new();
        for (index, name) in OUTPUTS.into_iter().enumerate() {
            tensors.push((name, self.view(index % 2, batch.column(index)?, pass)?));
        }
        Ok(Outputs::new(batch.instances.clone(), tensors))
    }

    fn loss(&mut self, gathered: &Outputs, step: &Step, _: &mut dyn Observer) -> Result<Terms, LearnError> {
        let [first, second, corrupted_first, corrupted_second] = OUTPUTS.map(|name| gathered.get(name));
        let [of_first, of_second] = [&first, &second].map(|nodes| sigmoid(nodes.clone().mean_dim(0)));
        let pass = Pass::training(step);
        let score =
            |nodes: Tensor<2>, summary: &Tensor<2>| self.discriminator.forward(nodes, summary.clone(), &pass);
        let second_to_first = [score(second, &of_first), score(corrupted_second, &of_first)];
        let first_to_second = [score(first, &of_second), score(corrupted_first, &of_second)];
        let term = |[together, apart]: [Tensor<2>; 2]| binary(together, apart).mul_scalar(0.5);
        Ok(Terms::new(vec![
            ("nodes of second to first", term(second_to_first)),
            ("nodes of first to second", term(first_to_second)),
        ]))
    }

    /// The nodes of both views side by side, each of unit length.
    fn embeddings(&self, outputs: &Outputs) -> Tensor<2> {
        outputs.side_by_side([OUTPUTS[0], OUTPUTS[1]])
    }

    fn kept(&self) -> Box<dyn Embedder> {
        Box::new(self.clone())
    }
}

impl Embedder for MvgrlNodes {
    /// H₁ + H₂, and both side by side.
    fn embed(&mut self, batch: &Batch, pass: &mut Pass) -> Result<Embeddings, LearnError> {
        let [graph, diffusion] = batch.pair()?;
        let (first, second) = (self.view(0, graph, pass)?, self.view(1, diffusion, pass)?);
        let representation = first.clone() + second.clone();
        Ok(Embeddings { representation, projection: Tensor::cat(vec![first, second], 1) })
    }

    fn layer(&self) -> &'static str {
        "representation (sum of both views)"
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
