//! Methods: what is encoded, what is compared, and what happens after a step. No loops, no files, no printing.
//!
//! | file | query | positive | negatives |
//! |---|---|---|---|
//! | [`simclr`] | each view, by the encoder | the other view, by the same encoder | all other views of the batch |
//! | [`direct_clr`] | the same, without a head: the first coordinates of the representation | | |
//! | [`graphcl`] | each view of a graph; in its published code the graph as it is, alone | the other view | other graphs' views |
//! | [`end_to_end`] | view 1, by the encoder | view 2, by a second encoder, also trained | keys of the batch |
//! | [`instance_discrimination`] | view 1 | the instance's entry of the memory bank | other entries |
//! | [`moco`] | view 1 | view 2, by the momentum encoder | a queue of earlier keys |
//! | [`mvgrl`] | nodes of a graph, and of its diffusion | the graph in the other view | other graphs in that view |
//! | [`mvgrl_nodes`] | a sub-graph, and its diffusion | the nodes of the other view | that view's nodes with shuffled features |
//! | [`moco_v3`] | both views, through a predictor | the other view, by the momentum encoder | keys of the batch |
//! | [`supervised`] | view 1, by the encoder and a classifier | its class | the other classes |

pub mod any;
pub mod build;
pub mod direct_clr;
pub mod end_to_end;
pub mod graphcl;
pub mod instance_discrimination;
pub mod moco;
pub mod moco_v3;
pub mod mvgrl;
pub mod mvgrl_nodes;
pub mod network;
pub mod simclr;
pub mod supervised;

use std::sync::Arc;

use lookalike_base::arrays::Arrays;
use lookalike_base::{Matrix, Seed};
use serde_json::{Map, Value};

use crate::engine::{Device, Tensor, to_host};
use crate::error::LearnError;
use crate::loss::normalize;
use crate::module::{Module, Pass};

pub use any::AnyMethod;
pub use end_to_end::EndToEnd;
pub use instance_discrimination::InstanceDiscrimination;
pub use moco::Moco;
pub use moco_v3::MocoV3;
pub use mvgrl::Mvgrl;
pub use mvgrl_nodes::MvgrlNodes;
pub use network::Network;
pub use simclr::SimClr;
pub use supervised::Supervised;

/// What a method made of one batch: tensors of one row an instance, and whose rows they are.
#[derive(Debug, Clone)]
pub struct Outputs {
    /// The instances, in the order of the rows.
    pub instances: Vec<u32>,
    tensors: Vec<(&'static str, Tensor<2>)>,
    /// Where tensors have rows for the parts of instances, as the nodes of graphs: instance i has the rows `parts[i]` to
    /// `parts[i + 1]`, less one.
    parts: Option<Arc<[usize]>>,
}

impl Outputs {
    /// Outputs of `instances` under their names.
    pub fn new(instances: Vec<u32>, tensors: Vec<(&'static str, Tensor<2>)>) -> Self {
        Self { instances, tensors, parts: None }
    }

    /// With tensors among them that have a row for each part of an instance, see [`Outputs::parts`].
    #[must_use]
    pub fn with_parts(self, parts: Arc<[usize]>) -> Self {
        Self { parts: Some(parts), ..self }
    }

    /// Where each instance's parts begin, and behind the last where they end.
    ///
    /// # Panics
    /// Where the method that made the outputs gave no parts: a mistake in the method, not in its input.
    pub fn parts(&self) -> Arc<[usize]> {
        self.parts.clone().unwrap_or_else(|| unreachable!("the method made no outputs of parts"))
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

    /// Two tensors side by side, each row of either of unit length: embeddings whose similarity is the mean of the two
    /// similarities.
    pub(crate) fn side_by_side(&self, names: [&str; 2]) -> Matrix {
        let [first, second] = names.map(|name| normalize(self.get(name).inner()));
        rows_of(Tensor::cat(vec![first, second], 1))
    }
}

/// A tensor's rows on the host.
pub(crate) fn rows_of(tensor: Tensor<2>) -> Matrix {
    let columns = tensor.dims()[1];
    Matrix::new(to_host(tensor), columns).unwrap_or_else(|error| unreachable!("rows of a tensor: {error}"))
}

/// The terms of a loss; their sum is what is minimised.
#[derive(Debug)]
pub struct Terms {
    terms: Vec<(&'static str, Tensor<1>)>,
    /// What the diagnostics show, under the names of the `diagnostics` event.
    pub scalars: Map<String, Value>,
}

impl Terms {
    /// A loss of a single term.
    pub fn single(name: &'static str, term: Tensor<1>) -> Self {
        Self::new(vec![(name, term)], Map::new())
    }

    /// A loss of several terms, with what the diagnostics show.
    pub fn new(terms: Vec<(&'static str, Tensor<1>)>, scalars: Map<String, Value>) -> Self {
        Self { terms, scalars }
    }

    /// The sum of all terms; `None` where there is none.
    pub fn total(&self) -> Option<Tensor<1>> {
        self.terms.iter().map(|(_, term)| term.clone()).reduce(|sum, term| sum + term)
    }
}

/// Where a run stands when it comes to a batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Position {
    /// The run's seed.
    pub seed: Seed,
    /// Batches consumed before.
    pub batch: u64,
    /// Optimiser steps made before.
    pub step: u64,
    /// Optimiser steps of the whole run.
    pub steps: u64,
    /// Whether the parameters have moved since the batch before, or could have: false within a step of several batches.
    pub moved: bool,
    /// Whether the diagnostics will be recorded.
    pub diagnostics: bool,
}

impl Default for Position {
    /// The only batch of a run of one step, without diagnostics.
    fn default() -> Self {
        Self { seed: Seed(0), batch: 0, step: 0, steps: 1, moved: true, diagnostics: false }
    }
}

/// A way to learn an encoder by contrast.
///
/// [`Module::visit`] shows what is trained; [`state`](Method::state) gives all else that a run needs to go on: momentum encoders,
/// queues, banks.
pub trait Method: Module {
    /// What the loader hands over.
    type Batch: Send + 'static;

    /// Called before every batch: momentum encoders move here.
    fn before_step(&mut self, _position: &Position) {}

    /// Runs the encoders on a batch.
    fn encode(&mut self, batch: &Self::Batch, pass: &mut Pass) -> Outputs;

    /// Compares the outputs.
    fn loss(&self, outputs: &Outputs) -> Terms;

    /// Called for every batch after the parameters moved, where they moved: queues and banks take what was encoded.
    fn after_step(&mut self, outputs: &Outputs);

    /// The embeddings by which the sampler finds look-alikes: one row an instance, in the order of the outputs.
    fn embeddings(&self, outputs: &Outputs) -> Matrix;

    /// What must be kept beside the trained tensors.
    fn state(&mut self) -> Arrays {
        Arrays::new()
    }

    /// Goes on from what [`Method::state`] gave.
    ///
    /// # Errors
    /// [`LearnError::Weights`] where a part is missing or of another method, network or data set.
    fn restore(&mut self, _state: &Arrays, _device: &Device) -> Result<(), LearnError> {
        Ok(())
    }
}
