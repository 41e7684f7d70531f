//! Graph convolutional network (Kipf and Welling 2017, <https://arxiv.org/abs/1609.02907>, equation 2), with the bias and the
//! `PReLU` that MVGRL gives it (Hassani and Khasahmadi 2020, <https://arxiv.org/abs/2006.05582>, section 3.2).
//!
//! H ← `PReLU` ( Ã H Wᵀ + b ), Ã being any normalised adjacency or diffusion.
//!
//! Tensors are named as in MVGRL's published code, whose graph encoders do not register them: `layers.0.fc.weight`,
//! `layers.0.bias`, `layers.0.act.weight`.

use std::sync::Arc;

use lookalike_base::Stream;
use lookalike_kernels::sparse::Csr;

use crate::engine::{Device, Tensor};
use crate::layer::{Linear, PRelu};
use crate::module::{Module, Parameter, Pass, Role, Visitor};
use crate::op::{SparseMatrix, aggregate};

/// A graph convolutional network.
#[derive(Debug, Clone)]
pub struct Gcn {
    layers: Vec<Layer>,
}

#[derive(Debug, Clone)]
struct Layer {
    fc: Linear,
    bias: Parameter<1>,
    activation: PRelu,
}

/// The matrix that every layer multiplies the nodes by: a normalised adjacency or a diffusion.
#[derive(Debug, Clone)]
pub struct Adjacency(Arc<SparseMatrix>);

/// What describes nodes, n×features.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "a pass has one")]
pub enum Nodes {
    /// Value by value.
    Dense(Tensor<2>),
    /// Mostly zeros, as the words of documents are.
    Sparse(Adjacency),
}

impl From<&Csr> for Adjacency {
    fn from(matrix: &Csr) -> Self {
        Self(SparseMatrix::new(matrix.clone()))
    }
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
        Self { layers: layers.collect() }
    }

    /// The nodes after every layer.
    ///
    /// # Shapes
    /// Ã `[n, n]`, nodes `[n, features]` → `[n, width]` for each layer.
    pub fn layers(&self, adjacency: &Adjacency, nodes: Nodes, pass: &Pass) -> Vec<Tensor<2>> {
        let mut nodes = nodes;
        let each = self.layers.iter().map(|layer| {
            let products = match &nodes {
                Nodes::Dense(nodes) => layer.fc.forward(nodes.clone(), pass),
                Nodes::Sparse(nodes) => aggregate(&nodes.0, 0.0, layer.fc.weight(pass).transpose()),
            };
            let sums = aggregate(&adjacency.0, 0.0, products);
            let layer = layer.activation.forward(sums + layer.bias.read(pass).unsqueeze(), pass);
            nodes = Nodes::Dense(layer.clone());
            layer
        });
        each.collect()
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
