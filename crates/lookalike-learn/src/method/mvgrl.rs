//! MVGRL on sets of graphs (Hassani and Khasahmadi 2020, *Contrastive Multi-View Representation Learning on Graphs*,
//! <https://arxiv.org/abs/2006.05582>, section 3 and algorithm 1): a graph and its diffusion are two views with the same nodes,
//! each has an encoder of its own, and the nodes of one view are contrasted with the graphs of the other.
//!
//! With the [GCN](crate::encoder::gcn)s f₁ on Ã and f₂ on S, heads φ for nodes and ψ for graphs, both shared by the views,
//! Hᵢ = φ(fᵢ) after the last layer, and gᵢ = ψ(sums over the nodes after each layer, side by side):
//!
//! ℓ = JSD(H₁, g₂) + JSD(H₂, g₁), see [`local_global`]; a graph's embedding is g₁ + g₂.
//!
//! In the published code (`graph/train.py` of kavehhassani/mvgrl) no optimiser ever sees the GCNs, which stay as they were drawn; `original` does so too.
//! Its dense batches are padded to the largest graph of the *set*, padding counts in the loss's denominators, and which nodes
//! are padding is read off other graphs than those of the batch; here there is no padding, in neither variant.
//!
//! Instead of nodes with graphs, the graphs' vectors of the two views can be contrasted with each other, in both directions,
//! by any loss of a query: [`MvgrlObjective::Softmax`].

use std::sync::Arc;

use lookalike_base::{Matrix, Stream};
use lookalike_data::graph::{DiffusedBatch, Variant};
use lookalike_kernels::sparse::segment::Scale;
use serde::{Deserialize, Serialize};

use super::{Method, Outputs, Position, Terms};
use crate::encoder::gcn::{Adjacency, Gcn, Nodes};
use crate::engine::{Device, Tensor, from_host};
use crate::evaluate::Embedder;
use crate::layer::{Linear, PRelu};
use crate::loss::jensen_shannon::local_global;
use crate::loss::nt_xent;
use crate::module::{Module, Pass, Visitor};
use crate::negatives::ContrastiveLoss;
use crate::op::pool;

/// What the encoders look like, and whether they learn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MvgrlOptions {
    /// Layers of either GCN, at least 1. The published code tries 2, 8 and 12 and says nothing of how to choose.
    pub layers: usize,
    /// Length of a node's and of a graph's vector: 512.
    pub width: usize,
    /// Whether the GCNs learn (`paper`) or stay as they were drawn (`original`).
    pub variant: Variant,
}

impl Default for MvgrlOptions {
    fn default() -> Self {
        Self { layers: 2, width: 512, variant: Variant::Paper }
    }
}

/// What is contrasted with what.
#[derive(Debug, Clone)]
pub enum MvgrlObjective {
    /// Nodes of one view with graphs of the other.
    JensenShannon,
    /// Graphs of one view with those of the other.
    Softmax(ContrastiveLoss),
}

/// Two encoders and their heads, named as in the published code.
#[derive(Debug, Clone)]
pub struct Mvgrl {
    encoders: [Gcn; 2],
    /// None where nodes are not contrasted.
    nodes: Option<SkipMlp>,
    graphs: SkipMlp,
    objective: MvgrlObjective,
    variant: Variant,
    position: Position,
    device: Device,
}

impl Mvgrl {
    /// Encoders and heads on nodes of `features` values.
    pub fn new(
        features: usize,
        options: &MvgrlOptions,
        objective: MvgrlObjective,
        stream: &mut Stream,
        device: &Device,
    ) -> Self {
        let &MvgrlOptions { layers, width, variant } = options;
        let nodes = SkipMlp::new([width; 2], stream, device);
        let graphs = SkipMlp::new([layers * width, width], stream, device);
        let encoders = [(); 2].map(|()| Gcn::new(features, layers, width, stream, device));
        let nodes = matches!(objective, MvgrlObjective::JensenShannon).then_some(nodes);
        let position = Position::default();
        Self { encoders, nodes, graphs, objective, variant, position, device: device.clone() }
    }

    /// The nodes of either view, where they are contrasted, and its graphs.
    ///
    /// # Shapes
    /// `[n, width]` and `[graphs, width]`.
    fn views(
        &mut self,
        batch: &DiffusedBatch,
        offsets: &Arc<[usize]>,
        pass: &mut Pass,
    ) -> [(Option<Tensor<2>>, Tensor<2>); 2] {
        let graphs = &batch.graphs;
        let shape = [graphs.nodes(), graphs.columns];
        let features = from_host(graphs.features.clone(), shape, &self.device);
        let adjacencies = [&batch.normalized, &batch.diffusion].map(Adjacency::from);
        [0, 1].map(|view| {
            let (encoder, adjacency) = (&self.encoders[view], &adjacencies[view]);
            let run = |pass: &mut Pass| encoder.layers(adjacency, Nodes::Dense(features.clone()), pass);
            let layers = match self.variant {
                Variant::Original => pass.without_gradient(run),
                Variant::Paper => run(pass),
            };
            let sums = layers.iter().map(|nodes| pool(nodes.clone(), offsets, Scale::Sum)).collect();
            let graphs = self.graphs.forward(Tensor::cat(sums, 1), pass);
            let nodes = self.nodes.as_ref().zip(layers.into_iter().next_back());
            (nodes.map(|(head, nodes)| head.forward(nodes, pass)), graphs)
        })
    }
}

impl Module for Mvgrl {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        if let Some(nodes) = &mut self.nodes {
            visitor.module("mlp1", nodes);
        }
        visitor.module("mlp2", &mut self.graphs);
        let [first, second] = &mut self.encoders;
        visitor.module("gnn1", first);
        visitor.module("gnn2", second);
    }
}

impl Method for Mvgrl {
    type Batch = DiffusedBatch;

    fn before_step(&mut self, position: &Position) {
        self.position = *position;
    }

    fn encode(&mut self, batch: &DiffusedBatch, pass: &mut Pass) -> Outputs {
        let offsets: Arc<[usize]> = batch.graphs.offsets.as_slice().into();
        let [(nodes, first), (others, second)] = self.views(batch, &offsets, pass);
        let mut tensors = vec![("graphs of first", first), ("graphs of second", second)];
        tensors.extend(nodes.map(|nodes| ("nodes of first", nodes)));
        tensors.extend(others.map(|nodes| ("nodes of second", nodes)));
        Outputs::new(batch.instances.clone(), tensors).with_parts(offsets)
    }

    fn loss(&self, outputs: &Outputs) -> Terms {
        let [first, second] = ["graphs of first", "graphs of second"].map(|name| outputs.get(name));
        match &self.objective {
            MvgrlObjective::JensenShannon => {
                let offsets = outputs.parts();
                let one = local_global(outputs.get("nodes of first"), second, &offsets);
                let other = local_global(outputs.get("nodes of second"), first, &offsets);
                let terms = vec![("nodes of first to graphs", one), ("nodes of second to graphs", other)];
                Terms::new(terms, serde_json::Map::new())
            }
            MvgrlObjective::Softmax(contrast) => {
                let [one, other] = nt_xent::across(first, second, &outputs.instances);
                let (one, scalars) = contrast.compare(&one, &self.position, 0);
                let (other, _) = contrast.compare(&other, &self.position, 1);
                let terms = [("first to second", one), ("second to first", other)];
                Terms::new(terms.map(|(name, loss)| (name, loss.mul_scalar(0.5))).into(), scalars)
            }
        }
    }

    fn after_step(&mut self, _: &Outputs) {}

    /// The graphs of both views side by side, each of unit length.
    fn embeddings(&self, outputs: &Outputs) -> Matrix {
        outputs.side_by_side(["graphs of first", "graphs of second"])
    }
}

impl Embedder for Mvgrl {
    type Input = DiffusedBatch;

    /// g₁ + g₂, and both side by side.
    fn embed(&mut self, batch: &DiffusedBatch, pass: &mut Pass) -> [Tensor<2>; 2] {
        let offsets: Arc<[usize]> = batch.graphs.offsets.as_slice().into();
        let [(_, first), (_, second)] = self.views(batch, &offsets, pass);
        [first.clone() + second.clone(), Tensor::cat(vec![first, second], 1)]
    }
}

/// Three linear layers with a `PReLU` behind each, beside a linear layer that skips them.
#[derive(Debug, Clone)]
struct SkipMlp {
    layers: Vec<(Linear, PRelu)>,
    shortcut: Linear,
}

impl SkipMlp {
    fn new([inputs, outputs]: [usize; 2], stream: &mut Stream, device: &Device) -> Self {
        let layers = [inputs, outputs, outputs]
            .map(|inputs| (Linear::new([inputs, outputs], true, stream, device), PRelu::new(device)));
        Self { layers: layers.into(), shortcut: Linear::new([inputs, outputs], true, stream, device) }
    }

    /// # Shapes
    /// `[n, inputs]` → `[n, outputs]`.
    fn forward(&self, input: Tensor<2>, pass: &Pass) -> Tensor<2> {
        let hidden = self.layers.iter().fold(input.clone(), |hidden, (linear, activation)| {
            activation.forward(linear.forward(hidden, pass), pass)
        });
        hidden + self.shortcut.forward(input, pass)
    }
}

impl Module for SkipMlp {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        for (index, (linear, activation)) in self.layers.iter_mut().enumerate() {
            visitor.module(&format!("ffn.{}", 2 * index), linear);
            visitor.module(&format!("ffn.{}", 2 * index + 1), activation);
        }
        visitor.module("linear_shortcut", &mut self.shortcut);
    }
}
