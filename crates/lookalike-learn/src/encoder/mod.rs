//! Encoders: what turns an input into one vector an instance.

pub mod gcn;
pub mod gin;
pub mod inputs;
pub mod mlp;
pub mod read_out;
pub mod resnet;
pub mod tokens;

use crate::engine::Tensor;
use crate::module::{Module, Pass};

pub use inputs::Inputs;
pub use read_out::ReadOut;

/// A network from inputs of one kind to vectors.
pub trait Encoder: Module + Send {
    /// What it reads: a batch of images or graphs, vectors, token lists.
    type Input: Inputs;

    /// # Shapes
    /// N inputs → `[N, dimension]`.
    fn forward(&mut self, input: &Self::Input, pass: &mut Pass) -> Tensor<2>;

    /// Length of the vectors it gives, d.
    fn dimension(&self) -> usize;
}
