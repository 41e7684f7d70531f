//! Lists of tokens of different lengths as a modality's input, packed without padding, and an encoder that takes their mean.

use std::sync::Arc;

use lookalike_base::Stream;
use lookalike_learn::LearnError;
use lookalike_learn::encoder::{Encoder, Features, Parts, Pooling};
use lookalike_learn::engine::{Device, Int, Tensor, TensorData, from_host};
use lookalike_learn::input::{Input, Instances};
use lookalike_learn::layer::{Dropping, Linear, dropout};
use lookalike_learn::module::{Module, Parameter, Pass, Role, Visitor};

/// One list of tokens an instance, any lengths: all tokens one after another, and where each list begins.
#[derive(Debug, Clone)]
pub struct TokenLists {
    ids: Vec<u32>,
    /// List i has the tokens `offsets[i]` to `offsets[i + 1]`, less one.
    offsets: Arc<[usize]>,
}

impl TokenLists {
    /// The tokens of list `index`.
    pub fn list(&self, index: usize) -> &[u32] {
        &self.ids[self.offsets[index]..self.offsets[index + 1]]
    }
}

impl FromIterator<Vec<u32>> for TokenLists {
    fn from_iter<I: IntoIterator<Item = Vec<u32>>>(lists: I) -> Self {
        let (mut ids, mut offsets) = (Vec::new(), vec![0]);
        for list in lists {
            ids.extend(list);
            offsets.push(ids.len());
        }
        Self { ids, offsets: offsets.into() }
    }
}

impl Instances for TokenLists {
    fn what(&self) -> &'static str {
        "token lists"
    }

    fn count(&self) -> usize {
        self.offsets.len() - 1
    }

    fn select(&self, rows: &[u32]) -> Input {
        let chosen: Self = rows.iter().map(|row| self.list(*row as usize).to_vec()).collect();
        Input::new(chosen)
    }

    fn join(&self, inputs: &[&Input]) -> Result<Input, LearnError> {
        let parts: Vec<&Self> = Input::all(inputs)?;
        let lists = parts.iter().flat_map(|part| (0..part.count()).map(|index| part.list(index).to_vec()));
        Ok(Input::new(lists.collect::<Self>()))
    }
}

/// Looks every token up, drops values out, takes the mean of each list and a linear layer of it.
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
        let values = (0..vocabulary * dimension).map(|_| stream.normal()).collect();
        let table = Parameter::new(from_host(values, [vocabulary, dimension], device));
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
    fn forward(&mut self, input: &Input, pass: &mut Pass) -> Result<Features, LearnError> {
        let lists: &TokenLists = input.get()?;
        let offsets = Arc::clone(&lists.offsets);
        let ids: Vec<i64> = lists.ids.iter().map(|id| i64::from(*id)).collect();
        let count = ids.len();
        let ids = Tensor::<1, Int>::from_data(TensorData::new(ids, [count]), &self.device);
        let tokens = self.table.read(pass).select(0, ids);
        let dropping = Dropping {
            offsets: Some(&offsets),
            probability: self.dropout,
            purpose: "dropout of tokens".to_owned(),
        };
        let tokens = dropout(tokens, &dropping, pass);
        let parts = Parts { values: tokens, offsets };
        let vector = self.output.forward(Pooling::Mean.forward(parts.clone()), pass);
        Ok(Features { parts: Some(parts), ..Features::of(vector) })
    }

    fn dimension(&self) -> usize {
        self.dimension
    }
}
