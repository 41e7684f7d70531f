//! A multi-layer perceptron with dropout, for data that are plain vectors.

use lookalike_base::{Matrix, Stream};

use super::Encoder;
use crate::engine::{Device, Tensor, from_host};
use crate::layer::{Linear, dropout};
use crate::module::{Module, Pass, Visitor};

/// Linear layers with ReLU and dropout between them.
#[derive(Debug, Clone)]
pub struct Mlp {
    layers: Vec<Linear>,
    dropout: f32,
    dimension: usize,
    device: Device,
}

impl Mlp {
    /// Layers of the given widths: input first, output last.
    pub fn new(widths: &[usize], dropout: f32, stream: &mut Stream, device: &Device) -> Self {
        let layers =
            widths.windows(2).map(|pair| Linear::new([pair[0], pair[1]], true, stream, device)).collect();
        Self { layers, dropout, dimension: widths.last().copied().unwrap_or(0), device: device.clone() }
    }
}

impl Module for Mlp {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        for (index, layer) in self.layers.iter_mut().enumerate() {
            visitor.module(&index.to_string(), layer);
        }
    }
}

impl Encoder for Mlp {
    type Input = Matrix;

    fn forward(&mut self, input: &Matrix, pass: &mut Pass) -> Tensor<2> {
        let shape = [input.len(), input.columns()];
        let mut hidden = from_host(input.rows().values().to_vec(), shape, &self.device);
        let last = self.layers.len().saturating_sub(1);
        for (index, layer) in self.layers.iter().enumerate() {
            hidden = layer.forward(hidden, pass);
            if index < last {
                hidden = dropout(crate::burn::tensor::activation::relu(hidden), self.dropout, pass);
            }
        }
        hidden
    }

    fn dimension(&self) -> usize {
        self.dimension
    }
}
