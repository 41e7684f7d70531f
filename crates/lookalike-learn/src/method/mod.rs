//! Methods: what is encoded, what is compared, and what happens after a step. No loops, no files, no printing.

pub mod simclr;

use lookalike_base::Matrix;

use crate::engine::Tensor;
use crate::module::{Module, Pass};

pub use simclr::SimClr;

/// What a method made of one batch: tensors of one row an instance, and whose rows they are.
#[derive(Debug, Clone)]
pub struct Outputs {
    /// The instances, in the order of the rows.
    pub instances: Vec<u32>,
    tensors: Vec<(&'static str, Tensor<2>)>,
}

impl Outputs {
    /// Outputs of `instances` under their names.
    pub fn new(instances: Vec<u32>, tensors: Vec<(&'static str, Tensor<2>)>) -> Self {
        Self { instances, tensors }
    }

    /// The tensor of that name.
    ///
    /// # Panics
    /// Where the method that made the outputs has no such tensor: a mistake in the method, not in its input.
    pub fn get(&self, name: &str) -> Tensor<2> {
        match self.tensors.iter().find(|(known, _)| *known == name) {
            Some((_, tensor)) => tensor.clone(),
            None => unreachable!("the method made no output named `{name}`"),
        }
    }
}

/// The terms of a loss; their sum is what is minimised.
#[derive(Debug)]
pub struct Terms(Vec<(&'static str, Tensor<1>)>);

impl Terms {
    /// A loss of a single term.
    pub fn single(name: &'static str, term: Tensor<1>) -> Self {
        Self(vec![(name, term)])
    }

    /// The sum of all terms; `None` where there is none.
    pub fn total(&self) -> Option<Tensor<1>> {
        self.0.iter().map(|(_, term)| term.clone()).reduce(|sum, term| sum + term)
    }
}

/// A way to learn an encoder by contrast.
pub trait Method: Module {
    /// What the loader hands over.
    type Batch: Send + 'static;

    /// Runs the encoders on a batch.
    fn encode(&mut self, batch: &Self::Batch, pass: &mut Pass) -> Outputs;

    /// Compares the outputs.
    fn loss(&self, outputs: &Outputs) -> Terms;

    /// Called for every batch after the parameters moved, where they moved: momentum encoders, queues and banks.
    fn after_step(&mut self, outputs: &Outputs);

    /// The embeddings by which the sampler finds look-alikes: one row an instance, in the order of the outputs.
    fn embeddings(&self, outputs: &Outputs) -> Matrix;
}
