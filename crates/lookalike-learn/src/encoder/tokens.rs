//! The mean of token vectors, for lists of tokens of different lengths.

use lookalike_base::Stream;

use super::Encoder;
use crate::engine::{Device, Int, Tensor, TensorData, from_host};
use crate::layer::{Linear, dropout, normal};
use crate::module::{Module, Parameter, Pass, Role, Visitor};

/// Token lists, one an instance; any lengths, an empty list is the zero vector.
pub type TokenLists = Vec<Vec<u32>>;

/// Looks every token up, drops values out, takes the mean and a linear layer of it.
#[derive(Debug, Clone)]
pub struct MeanOfTokens {
    table: Parameter<2>,
    output: Linear,
    dropout: f32,
    dimension: usize,
    device: Device,
}

impl MeanOfTokens {
    /// A table of `vocabulary` normal vectors of length `dimension`.
    pub fn new(
        vocabulary: usize,
        dimension: usize,
        dropout: f32,
        stream: &mut Stream,
        device: &Device,
    ) -> Self {
        let table = Parameter::new(normal([vocabulary, dimension], 1.0, stream, device));
        let output = Linear::new([dimension; 2], true, stream, device);
        Self { table, output, dropout, dimension, device: device.clone() }
    }
}

impl Module for MeanOfTokens {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visitor.tensor("embedding.weight", Role::Weight, &mut self.table);
        visitor.module("output", &mut self.output);
    }
}

impl Encoder for MeanOfTokens {
    type Input = TokenLists;

    fn forward(&mut self, input: &TokenLists, pass: &mut Pass) -> Tensor<2> {
        let [rows, longest] = [input.len(), input.iter().map(Vec::len).max().unwrap_or(0).max(1)];
        let mut tokens = vec![0_i64; rows * longest];
        let mut shares = vec![0.0_f32; rows * longest];
        for (row, list) in input.iter().enumerate() {
            for (column, token) in list.iter().enumerate() {
                tokens[row * longest + column] = i64::from(*token);
                shares[row * longest + column] = 1.0 / list.len() as f32;
            }
        }
        let tokens = Tensor::<1, Int>::from_data(TensorData::new(tokens, [rows * longest]), &self.device);
        let vectors = self.table.read(pass).select(0, tokens).reshape([rows, longest, self.dimension]);
        let weighted =
            dropout(vectors, self.dropout, pass) * from_host(shares, [rows, longest, 1], &self.device);
        self.output.forward(weighted.sum_dim(1).reshape([rows, self.dimension]), pass)
    }

    fn dimension(&self) -> usize {
        self.dimension
    }
}
