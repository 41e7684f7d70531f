//! A linear layer of the same length and tanh, as BERT's pooler is: the head of SimCSE (Gao et al. 2021, section 6.1,
//! <https://arxiv.org/abs/2104.08821>).

use lookalike_base::Stream;

use super::Head;
use crate::engine::{Device, Tensor};
use crate::layer::{Linear, normal};
use crate::module::{Module, Pass, Visitor};

/// tanh(W · x + b).
#[derive(Debug, Clone)]
pub struct TanhLayer {
    dense: Linear,
}

impl TanhLayer {
    /// On vectors of length `width`: normal weights of standard deviation 0.02, bias 0.
    pub fn new(width: usize, stream: &mut Stream, device: &Device) -> Self {
        Self { dense: Linear::of(normal([width, width], 0.02, stream, device), device) }
    }
}

impl Head for TanhLayer {
    fn forward(&mut self, input: Tensor<2>, pass: &Pass) -> Tensor<2> {
        self.dense.forward_rows(input, pass).tanh()
    }
}

impl Module for TanhLayer {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visitor.module("dense", &mut self.dense);
    }
}
