//! Vectors as a modality's input, and a perceptron with dropout that reads them.

use lookalike_base::{Matrix, Stream};
use lookalike_learn::LearnError;
use lookalike_learn::encoder::{Encoder, Features};
use lookalike_learn::engine::{Device, from_host};
use lookalike_learn::input::{Input, Instances};
use lookalike_learn::layer::{Dropping, Linear, dropout};
use lookalike_learn::module::{Module, Pass, Visitor};

/// One vector an instance.
#[derive(Debug, Clone)]
pub struct Vectors(pub Matrix);

impl Instances for Vectors {
    fn what(&self) -> &'static str {
        "vectors"
    }

    fn count(&self) -> usize {
        self.0.len()
    }

    fn select(&self, rows: &[u32]) -> Input {
        let values = rows.iter().flat_map(|row| self.0.row(*row as usize).iter().copied()).collect();
        Input::new(Self(Matrix::new(values, self.0.columns()).unwrap()))
    }

    fn join(&self, inputs: &[&Input]) -> Result<Input, LearnError> {
        let parts: Vec<&Self> = Input::all(inputs)?;
        let values = parts.iter().flat_map(|part| part.0.rows().values().to_vec()).collect();
        Ok(Input::new(Self(Matrix::new(values, self.0.columns())?)))
    }
}

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
    fn forward(&mut self, input: &Input, pass: &mut Pass) -> Result<Features, LearnError> {
        let Vectors(input) = input.get()?;
        let shape = [input.len(), input.columns()];
        let mut hidden = from_host(input.rows().values().to_vec(), shape, &self.device);
        let last = self.layers.len().saturating_sub(1);
        for (index, layer) in self.layers.iter().enumerate() {
            hidden = layer.forward(hidden, pass);
            if index < last {
                let purpose = format!("dropout of layer {index}");
                hidden = dropout(
                    hidden.clamp_min(0.0),
                    &Dropping { offsets: None, probability: self.dropout, purpose },
                    pass,
                );
            }
        }
        Ok(Features::of(hidden))
    }

    fn dimension(&self) -> usize {
        self.dimension
    }
}
