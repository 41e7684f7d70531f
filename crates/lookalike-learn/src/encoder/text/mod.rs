//! Encoders of texts: a transformer of BERT's kind or a table of one vector a token, and what makes a text's vector of its tokens'.
//!
//! Tensors have the names of Hugging Face's checkpoints, those of linear layers after pooling begin with `dense.0.` and so on.

pub mod config;
pub mod entry;
mod tail;
mod transformer;

use lookalike_base::Stream;

pub use config::{Family, TransformerConfig};
pub use tail::{Activation, Dense, TextPooling};
pub use transformer::Transformer;

use super::pooling::without_first;
use super::{Encoder, Features, Parts};
use crate::engine::{Device, Tensor};
use crate::error::LearnError;
use crate::input::{Input, TextInput};
use crate::layer::normal;
use crate::loss::normalize;
use crate::module::{Module, Parameter, Pass, Role, Visitor};
use crate::op::lookup;

/// What gives tokens their vectors.
#[derive(Debug, Clone)]
pub enum Body {
    /// A transformer: a token's vector depends on all others of its text.
    Transformer(Box<Transformer>),
    /// A table: a token has one vector.
    Table(Box<TokenTable>),
}

/// One vector a token, `[vocabulary, d]`.
#[derive(Debug, Clone)]
pub struct TokenTable {
    table: Parameter<2>,
    size: [usize; 2],
}

impl TokenTable {
    /// Normal vectors from `stream`, or zeros without one, to be replaced.
    pub fn new(size: [usize; 2], stream: Option<&mut Stream>, device: &Device) -> Self {
        let table = match stream {
            Some(stream) => normal(size, 1.0, stream, device),
            None => Tensor::zeros(size, device),
        };
        Self { table: Parameter::new(table), size }
    }
}

impl Body {
    /// Length of a token's vector.
    pub fn width(&self) -> usize {
        match self {
            Self::Transformer(transformer) => transformer.config().width,
            Self::Table(table) => table.size[1],
        }
    }

    /// Tokens it knows.
    pub fn vocabulary(&self) -> usize {
        match self {
            Self::Transformer(transformer) => transformer.config().vocabulary,
            Self::Table(table) => table.size[0],
        }
    }

    fn forward(&self, input: &TextInput, pass: &Pass) -> Result<Parts, LearnError> {
        match self {
            Self::Transformer(transformer) => transformer.forward(input, pass),
            Self::Table(table) => {
                let TokenTable { table, size } = &**table;
                transformer::check_ids(&input.tokens.ids, size[0])?;
                let ids = input.tokens.ids.as_slice().into();
                let offsets = input.tokens.offsets.as_slice().into();
                Ok(Parts { values: lookup(table.read(pass), &ids), offsets })
            }
        }
    }
}

/// An encoder of texts.
#[derive(Debug, Clone)]
pub struct TextEncoder {
    /// What gives tokens their vectors.
    pub body: Body,
    /// What makes one of them.
    pub pooling: Vec<TextPooling>,
    /// Whether the first token's vector passes through the transformer's pooler; goes with [`TextPooling::Cls`] alone.
    pub pooler: bool,
    /// Linear layers after pooling.
    pub dense: Vec<Dense>,
    /// Whether vectors are scaled to length 1 in the end.
    pub normalize: bool,
}

impl TextEncoder {
    /// Of the body's tokens the mean.
    pub fn mean_of(body: Body) -> Self {
        Self { body, pooling: vec![TextPooling::Mean], pooler: false, dense: Vec::new(), normalize: false }
    }

    fn pool(&self, parts: &Parts, pass: &Pass) -> Result<Tensor<2>, LearnError> {
        let pooled = self.pooling.iter().map(|pooling| {
            let vector = pooling.forward(parts.clone())?;
            match &self.body {
                Body::Transformer(transformer) if self.pooler => transformer.pool(vector, pass),
                _ => Ok(vector),
            }
        });
        let mut pooled: Vec<Tensor<2>> = pooled.collect::<Result<_, LearnError>>()?;
        Ok(if pooled.len() == 1 { pooled.remove(0) } else { Tensor::cat(pooled, 1) })
    }
}

impl Module for TextEncoder {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        match &mut self.body {
            Body::Transformer(transformer) => transformer.visit(visitor),
            Body::Table(body) => visitor.tensor("embedding.weight", Role::Weight, &mut body.table),
        }
        for (index, dense) in self.dense.iter_mut().enumerate() {
            visitor.module(&format!("dense.{index}"), dense);
        }
    }
}

impl Encoder for TextEncoder {
    /// # Errors
    /// [`LearnError::Input`] for others than texts, a text that is too long, or a token that is not in the vocabulary.
    fn forward(&mut self, input: &Input, pass: &mut Pass) -> Result<Features, LearnError> {
        let input: &TextInput = input.get()?;
        let parts = self.body.forward(input, pass)?;
        let mut vector = self.pool(&without_first(parts.clone(), &input.unpooled), pass)?;
        for dense in &self.dense {
            vector = dense.forward(vector, pass);
        }
        if self.normalize {
            vector = normalize(vector);
        }
        Ok(Features { parts: Some(parts), ..Features::of(vector) })
    }

    fn words(&self, pass: &Pass) -> Option<Tensor<2>> {
        match &self.body {
            Body::Transformer(transformer) => Some(transformer.words(pass)),
            Body::Table(_) => None,
        }
    }

    fn dimension(&self) -> usize {
        let pooled = self.pooling.len() * self.body.width();
        self.dense.last().map_or(pooled, |dense| dense.sizes[1])
    }
}
