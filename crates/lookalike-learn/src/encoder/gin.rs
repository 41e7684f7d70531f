//! Graph isomorphism network (Xu et al. 2019, *How Powerful are Graph Neural Networks?*, <https://arxiv.org/abs/1810.00826>,
//! equation 4.1), as the published GraphCL builds it.
//!
//! hᵥ ← BatchNorm ( max(0, MLP ( (1 + ε) hᵥ + Σ_{u ∈ N(v)} hᵤ )) ), MLP being linear, `ReLU`, linear, and ε = 0, not trained.
//!
//! A graph's vector is the [`Pooling`] of every layer's nodes side by side. Tensors have the names of the published state
//! dict (`convs.0.nn.0.weight`, `bns.0.weight` …), which beside them has ε as `convs.0.eps`.

use std::sync::Arc;

use crate::burn::tensor::activation::relu;
use lookalike_base::Stream;
use lookalike_data::graph::GraphBatch;

use super::entry::{EncoderEntry, LAYERS, Normalized, WIDTH, add_counters};
use super::{Encoder, Features, Parts, Pooling};
use crate::engine::{Device, Tensor, from_host};
use crate::error::LearnError;
use crate::input::Input;
use crate::layer::{BatchNorm, Linear};
use crate::module::{Module, Pass, Visitor};
use crate::op::{SparseMatrix, aggregate};
use crate::options::{Options, Range, Value};

crate::options! {
    /// What the network looks like; the defaults are the published ones.
    pub struct GinOptions {
        /// Message passing layers; GraphCL: 3.
        layers: usize = Value::Integer(3), LAYERS;
        /// Length of a node's vector; GraphCL: 32. The representation has `layers` · `width` numbers.
        width: usize = Value::Integer(32), WIDTH;
        /// How the nodes of each layer become a graph; GraphCL: by their sum.
        read_out: Pooling = Value::Text("sum"), Range::OneOf(&["sum", "mean", "max"]);
    }
}

/// A graph isomorphism network in a registry.
pub const ENTRY: EncoderEntry = EncoderEntry {
    kind: "gin",
    about: "a graph isomorphism network",
    keys: GinOptions::KEYS,
    modalities: &["graph"],
    methods: &[],
    rounds: false,
    normalized: Normalized::Parts,
    dimension: |settings| {
        let GinOptions { layers, width, .. } = settings.read("encoder")?;
        Ok(layers * width)
    },
    build: |settings, inputs, stream, device| {
        Ok(Box::new(Gin::new(inputs, &settings.read("encoder")?, stream, device)))
    },
    exported: "model.safetensors",
    suits: |settings, program| program.has_no_such(settings),
    export: |exporting| exporting.write(add_counters),
};

/// A graph isomorphism network.
#[derive(Debug, Clone)]
pub struct Gin {
    layers: Vec<Layer>,
    width: usize,
    read_out: Pooling,
    device: Device,
}

#[derive(Debug, Clone)]
struct Layer {
    mlp: [Linear; 2],
    normalization: BatchNorm,
}

impl Gin {
    /// A network on nodes of `features` values. Weights are uniform after Glorot and Bengio and biases 0, as published.
    pub fn new(features: usize, options: &GinOptions, stream: &mut Stream, device: &Device) -> Self {
        let &GinOptions { layers, width, read_out } = options;
        let layers = (0..layers).map(|layer| {
            let inputs = if layer == 0 { features } else { width };
            let mlp = [inputs, width].map(|inputs| Linear::xavier([inputs, width], stream, device));
            Layer { mlp, normalization: BatchNorm::new(width, device) }
        });
        Self { layers: layers.collect(), width, read_out, device: device.clone() }
    }
}

impl Module for Gin {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        for (index, layer) in self.layers.iter_mut().enumerate() {
            let [first, second] = &mut layer.mlp;
            visitor.module(&format!("convs.{index}.nn.0"), first);
            visitor.module(&format!("convs.{index}.nn.2"), second);
            visitor.module(&format!("bns.{index}"), &mut layer.normalization);
        }
    }
}

impl Encoder for Gin {
    /// # Errors
    /// [`LearnError::Input`] for others than graphs.
    fn forward(&mut self, input: &Input, pass: &mut Pass) -> Result<Features, LearnError> {
        let input: &GraphBatch = input.get()?;
        if input.nodes() == 0 {
            return Ok(Features::of(Tensor::zeros([input.len(), self.dimension()], &self.device)));
        }
        let edges = SparseMatrix::new(input.edges.clone());
        let offsets: Arc<[usize]> = input.offsets.as_slice().into();
        let mut nodes = from_host(input.features.clone(), [input.nodes(), input.columns], &self.device);
        let graphs = self.layers.iter_mut().map(|layer| {
            let [first, second] = &layer.mlp;
            let hidden = relu(first.forward(aggregate(&edges, 1.0, nodes.clone()), pass));
            nodes = layer.normalization.forward(relu(second.forward(hidden, pass)), pass);
            self.read_out.forward(Parts { values: nodes.clone(), offsets: Arc::clone(&offsets) })
        });
        let vector = Tensor::cat(graphs.collect(), 1);
        Ok(Features { vector, parts: Some(Parts { values: nodes, offsets }), maps: Vec::new() })
    }

    fn dimension(&self) -> usize {
        self.layers.len() * self.width
    }
}
