//! Graph convolutional network (Kipf and Welling 2017, <https://arxiv.org/abs/1609.02907>, equation 2), with the bias and the
//! `PReLU` that MVGRL gives it (Hassani and Khasahmadi 2020, <https://arxiv.org/abs/2006.05582>, section 3.2).
//!
//! H ← `PReLU` ( Ã H Wᵀ + b ), Ã being any normalised adjacency or diffusion.
//!
//! Of whole graphs the vector is the sums over the nodes after each layer, side by side, and the parts are the nodes after the last
//! one; of the nodes of one graph the vectors are the nodes after the last layer.
//!
//! Tensors are named as in MVGRL's published code, whose graph encoders do not register them: `layers.0.fc.weight`,
//! `layers.0.bias`, `layers.0.act.weight`.

use std::sync::Arc;

use lookalike_base::Stream;
use lookalike_data::graph::GraphBatch;

use super::entry::{EncoderEntry, LAYERS, Normalized, WIDTH};
use super::{Encoder, Features, Parts, Pooling};
use crate::engine::{Device, Tensor, from_host};
use crate::error::LearnError;
use crate::input::{Input, NodeInput};
use crate::layer::{Linear, PRelu};
use crate::module::{Module, Parameter, Pass, Role, Visitor};
use crate::op::{SparseMatrix, aggregate};
use crate::options::{Options, Value};

crate::options! {
    /// What the network looks like.
    pub struct GcnOptions {
        /// Layers of either GCN. MVGRL's published code tries 2, 8 and 12 and says nothing of how to choose; on nodes it has 1.
        layers: usize = Value::Integer(2), LAYERS;
        /// Length of a node's and of a graph's vector; MVGRL: 512.
        width: usize = Value::Integer(512), WIDTH;
    }
}

/// A graph convolutional network in a registry.
pub const ENTRY: EncoderEntry = EncoderEntry {
    kind: "gcn",
    about: "MVGRL's two graph convolutional networks",
    keys: GcnOptions::KEYS,
    modalities: &["graph", "node"],
    methods: &["mvgrl", "mvgrl-nodes"],
    rounds: false,
    normalized: Normalized::Nothing,
    dimension: |settings| Ok(settings.read::<GcnOptions>("encoder")?.width),
    build: |settings, inputs, stream, device| {
        let GcnOptions { layers, width } = settings.read("encoder")?;
        Ok(Box::new(Gcn::new(inputs, layers, width, stream, device)))
    },
    exported: "model.safetensors",
    suits: |settings, program| program.has_no_such(settings),
    export: |exporting| exporting.write(|_| {}),
};

/// A graph convolutional network.
#[derive(Debug, Clone)]
pub struct Gcn {
    layers: Vec<Layer>,
    width: usize,
    device: Device,
}

#[derive(Debug, Clone)]
struct Layer {
    fc: Linear,
    bias: Parameter<1>,
    activation: PRelu,
}

/// What describes nodes, n×features.
#[expect(clippy::large_enum_variant, reason = "a pass has one")]
enum Nodes {
    /// Value by value.
    Dense(Tensor<2>),
    /// Mostly zeros, as the words of documents are.
    Sparse(Arc<SparseMatrix>),
}

impl Gcn {
    /// `layers` layers of `width` on nodes of `features` values: weights uniform after Glorot and Bengio, bias 0, slope 0.25.
    pub fn new(features: usize, layers: usize, width: usize, stream: &mut Stream, device: &Device) -> Self {
        let layers = (0..layers).map(|layer| Layer {
            fc: Linear::xavier_without_bias(
                [if layer == 0 { features } else { width }, width],
                stream,
                device,
            ),
            bias: Parameter::new(Tensor::zeros([width], device)),
            activation: PRelu::new(device),
        });
        Self { layers: layers.collect(), width, device: device.clone() }
    }

    /// The nodes after every layer.
    ///
    /// # Shapes
    /// Ã `[n, n]`, nodes `[n, features]` → `[n, width]` for each layer.
    fn layers(&self, adjacency: &Arc<SparseMatrix>, mut nodes: Nodes, pass: &Pass) -> Vec<Tensor<2>> {
        let each = self.layers.iter().map(|layer| {
            let products = match &nodes {
                Nodes::Dense(nodes) => layer.fc.forward(nodes.clone(), pass),
                Nodes::Sparse(nodes) => aggregate(nodes, 0.0, layer.fc.weight(pass).transpose()),
            };
            let sums = aggregate(adjacency, 0.0, products);
            let layer = layer.activation.forward(sums + layer.bias.read(pass).unsqueeze(), pass);
            nodes = Nodes::Dense(layer.clone());
            layer
        });
        each.collect()
    }

    fn of_graphs(&self, input: &GraphBatch, pass: &Pass) -> Features {
        if input.nodes() == 0 {
            return Features::of(Tensor::zeros([input.len(), self.dimension()], &self.device));
        }
        let features = from_host(input.features.clone(), [input.nodes(), input.columns], &self.device);
        let adjacency = SparseMatrix::new(input.edges.clone());
        let layers = self.layers(&adjacency, Nodes::Dense(features), pass);
        let offsets: Arc<[usize]> = input.offsets.as_slice().into();
        let parts = |nodes: &Tensor<2>| Parts { values: nodes.clone(), offsets: Arc::clone(&offsets) };
        let sums = layers.iter().map(|nodes| Pooling::Sum.forward(parts(nodes))).collect();
        Features { vector: Tensor::cat(sums, 1), parts: layers.last().map(parts), maps: Vec::new() }
    }

    fn of_nodes(&self, input: &NodeInput, pass: &Pass) -> Features {
        let [adjacency, features] =
            [&input.matrix, &input.features].map(|matrix| SparseMatrix::new((**matrix).clone()));
        let layers = self.layers(&adjacency, Nodes::Sparse(features), pass);
        Features::of(layers.into_iter().next_back().unwrap_or_else(|| unreachable!("a GCN has a layer")))
    }
}

impl Module for Gcn {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        for (index, layer) in self.layers.iter_mut().enumerate() {
            visitor.module(&format!("layers.{index}"), layer);
        }
    }
}

impl Module for Layer {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visitor.module("fc", &mut self.fc);
        visitor.tensor("bias", Role::Bias, &mut self.bias);
        visitor.module("act", &mut self.activation);
    }
}

impl Encoder for Gcn {
    /// # Errors
    /// [`LearnError::Input`] for others than graphs and the nodes of one.
    fn forward(&mut self, input: &Input, pass: &mut Pass) -> Result<Features, LearnError> {
        match input.get() {
            Ok(nodes) => Ok(self.of_nodes(nodes, pass)),
            Err(_) => Ok(self.of_graphs(input.get()?, pass)),
        }
    }

    /// Of a graph. That of a node is the width.
    fn dimension(&self) -> usize {
        self.layers.len() * self.width
    }
}
