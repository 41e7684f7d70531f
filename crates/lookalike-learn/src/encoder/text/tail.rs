//! What makes a text's vector of those of its tokens: pooling, and linear layers after it, as the modules of sentence-transformers.

use crate::burn::tensor::activation::{gelu, relu, tanh};
use lookalike_base::Stream;
use lookalike_kernels::sparse::segment::Scale;
use serde::{Deserialize, Serialize};

use crate::encoder::Parts;
use crate::encoder::pooling::first;
use crate::engine::{Device, Tensor, from_host};
use crate::error::LearnError;
use crate::layer::{Linear, uniform};
use crate::module::{Module, Pass, Visitor};
use crate::op::{maximum, pool};

/// A way from the vectors of tokens to that of their text. Of several the results stand side by side, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TextPooling {
    /// The first token's.
    Cls,
    /// The maximum of each column.
    Max,
    /// The mean.
    Mean,
    /// The sum, divided by the square root of the number of tokens.
    MeanSqrtLen,
}

impl TextPooling {
    /// All of them, in the order in which sentence-transformers puts their results side by side.
    pub const ALL: [Self; 4] = [Self::Cls, Self::Max, Self::Mean, Self::MeanSqrtLen];

    /// # Shapes
    /// `[tokens, d]` → `[texts, d]`.
    ///
    /// # Errors
    /// [`LearnError::Input`] where a text has no token, and the first is asked for.
    pub(super) fn forward(self, Parts { values, offsets }: Parts) -> Result<Tensor<2>, LearnError> {
        match self {
            Self::Cls => first(&Parts { values, offsets }),
            Self::Max => Ok(maximum(values, &offsets)),
            Self::Mean => Ok(pool(values, &offsets, Scale::Mean)),
            Self::MeanSqrtLen => {
                let roots = offsets.windows(2).map(|ends| 1.0 / ((ends[1] - ends[0]).max(1) as f32).sqrt());
                let device = values.device().inner();
                let roots: Tensor<2> = from_host(roots.collect(), [offsets.len() - 1, 1], &device);
                Ok(pool(values, &offsets, Scale::Sum) * roots)
            }
        }
    }
}

/// What follows the linear part of a [`Dense`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    Identity,
    /// The hyperbolic tangent.
    Tanh,
    /// max(0, x).
    Relu,
    /// The exact GELU.
    Gelu,
}

impl Activation {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Identity, "torch.nn.modules.linear.Identity"),
        (Self::Tanh, "torch.nn.modules.activation.Tanh"),
        (Self::Relu, "torch.nn.modules.activation.ReLU"),
        (Self::Gelu, "torch.nn.modules.activation.GELU"),
    ];

    /// The class of PyTorch that computes it.
    pub fn class(self) -> &'static str {
        Self::ALL.iter().find(|(activation, _)| *activation == self).map_or("", |(_, class)| class)
    }

    /// Of that class.
    pub fn of_class(class: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == class).map(|(activation, _)| *activation)
    }
}

/// A linear layer of texts' vectors, and what follows it.
#[derive(Debug, Clone)]
pub struct Dense {
    linear: Linear,
    /// What follows.
    pub activation: Activation,
    /// Lengths of the vectors it reads and gives.
    pub sizes: [usize; 2],
    /// Whether it has a bias.
    pub bias: bool,
}

impl Dense {
    /// Weights uniform in ±1/√in from `stream`, or 0 without one, to be replaced; bias 0.
    pub fn new(
        sizes: [usize; 2],
        bias: bool,
        activation: Activation,
        stream: Option<&mut Stream>,
        device: &Device,
    ) -> Self {
        let [inputs, outputs] = sizes;
        let weight = match stream {
            Some(stream) => uniform([outputs, inputs], 1.0 / (inputs as f32).sqrt(), stream, device),
            None => Tensor::zeros([outputs, inputs], device),
        };
        let linear = Linear::of(weight, device);
        let linear = if bias { linear } else { linear.without_bias() };
        Self { linear, activation, sizes, bias }
    }

    /// # Shapes
    /// `[n, in]` → `[n, out]`.
    pub(super) fn forward(&self, input: Tensor<2>, pass: &Pass) -> Tensor<2> {
        let output = self.linear.forward_rows(input, pass);
        match self.activation {
            Activation::Identity => output,
            Activation::Tanh => tanh(output),
            Activation::Relu => relu(output),
            Activation::Gelu => gelu(output),
        }
    }
}

impl Module for Dense {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visitor.module("linear", &mut self.linear);
    }
}
