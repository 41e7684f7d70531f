//! Encoders: what turns an input into one vector an instance, and where it has them into vectors of its parts.

pub mod entry;
pub mod export;
pub mod gcn;
pub mod gin;
pub mod pooling;
pub mod resnet;
pub mod text;
pub mod vit;

use std::sync::Arc;

use dyn_clone::DynClone;
use lookalike_base::arrays::Arrays;

use crate::engine::Tensor;
use crate::error::LearnError;
use crate::input::Input;
use crate::module::{Module, Pass};

pub use entry::{EncoderEntry, Normalized};
pub use export::Program;
pub use pooling::Pooling;

/// What an encoder makes of N instances.
#[derive(Debug, Clone)]
pub struct Features {
    /// One vector an instance, `[N, d]`.
    pub vector: Tensor<2>,
    /// Vectors of their parts, of encoders that have them.
    pub parts: Option<Parts>,
    /// Feature maps by stage, `[N, C, H, W]` each, where [`Pass::maps`] asks for them and the encoder has them.
    pub maps: Vec<Tensor<4>>,
}

/// Vectors of the parts of instances: the nodes of graphs, the tokens of texts and images.
#[derive(Debug, Clone)]
pub struct Parts {
    /// `[parts, d]`
    pub values: Tensor<2>,
    /// Instance i has the rows `offsets[i]` to `offsets[i + 1]`, less one.
    pub offsets: Arc<[usize]>,
}

impl Features {
    /// Vectors, and nothing beside them.
    pub fn of(vector: Tensor<2>) -> Self {
        Self { vector, parts: None, maps: Vec::new() }
    }
}

/// A network from inputs to vectors.
pub trait Encoder: Module + DynClone + Send {
    /// What it makes of the instances of `input`.
    ///
    /// # Errors
    /// [`LearnError::Input`] where it does not read such.
    fn forward(&mut self, input: &Input, pass: &mut Pass) -> Result<Features, LearnError>;

    /// Length of the vectors it gives, d.
    fn dimension(&self) -> usize;

    /// How many stages it gives feature maps of, where [`Pass::maps`] asks for them; 0 where it has none.
    fn stages(&self) -> usize {
        0
    }

    /// The table of one vector a token that it begins with, `[vocabulary, d]`; of encoders that make vectors of tokens which hang on the
    /// others of their text, so that a masked token can be told.
    fn words(&self, _: &Pass) -> Option<Tensor<2>> {
        None
    }

    /// The tensors of a file that it is to start from, under its own names and in its own shapes; of encoders whose files differ in these.
    ///
    /// # Errors
    /// [`LearnError::Weights`] where a tensor cannot be made its own.
    fn adopt(&self, arrays: Arrays) -> Result<Arrays, LearnError> {
        Ok(arrays)
    }
}

dyn_clone::clone_trait_object!(Encoder);
