//! Methods: what is encoded, what is compared, and what happens after a step. No loops, no files, no printing.
//!
//! A method is one file: its paper and equations, its options with their defaults and sources, what it goes with, its checks, and
//! `encode`, `loss` and `after_step`. Its [`MethodEntry`] says as data what it goes with.
//!
//! | file | query | positive | negatives |
//! |---|---|---|---|
//! | [`simclr`] | each view, by the encoder | the other view, by the same encoder | all other views of the batch |
//! | [`contrastive_clustering`] | the same, and each cluster's column of assignments | the other view | all other views; all other clusters |
//! | [`direct_clr`] | the same, without a head: the first coordinates of the representation | | |
//! | [`graphcl`] | each view of a graph; in its published code the graph as it is, alone | the other view | other graphs' views |
//! | [`end_to_end`] | view 1, by the encoder | view 2, by a second encoder, also trained | keys of the batch |
//! | [`instance_discrimination`] | view 1 | the instance's entry of the memory bank | other entries |
//! | [`moco`] | view 1 | view 2, by the momentum encoder | a queue of earlier keys |
//! | [`mvgrl`] | nodes of a graph, and of its diffusion | the graph in the other view | other graphs in that view |
//! | [`mvgrl_nodes`] | a sub-graph, and its diffusion | the nodes of the other view | that view's nodes with shuffled features |
//! | [`moco_v3`] | both views, through a predictor | the other view, by the momentum encoder | keys of the batch |
//! | [`pairs`] | a query, by the encoder | its document, by the same encoder | other documents of the batch, own hard negatives |
//! | [`mlm`] | a text with tokens hidden, by the encoder and a classifier | each hidden token | the rest of the vocabulary |
//! | [`simcse`] | a text through dropout, or a premise | the same text through dropout, or its entailment | others of the batch, the row's contradiction |
//! | [`supervised`] | view 1, by the encoder and a classifier | its class | the other classes |

pub mod contrastive_clustering;
pub mod direct_clr;
pub mod end_to_end;
pub mod entry;
pub mod graphcl;
pub mod instance_discrimination;
pub mod mlm;
pub mod moco;
pub mod moco_v3;
pub mod momentum_encoder;
pub mod mvgrl;
pub mod mvgrl_nodes;
pub mod network;
pub mod pairs;
pub mod simclr;
pub mod simcse;
pub mod supervised;

use std::sync::Arc;

use dyn_clone::DynClone;
use lookalike_base::arrays::Arrays;
use lookalike_base::{Matrix, Rows};

use crate::engine::{Device, Tensor, from_host, to_host};
use crate::error::LearnError;
use crate::input::{Batch, Input};
use crate::loss::normalize;
use crate::module::{Module, Pass};
use crate::negatives::Observer;
use crate::step::Step;

pub use contrastive_clustering::ContrastiveClustering;
pub use direct_clr::DirectClr;
pub use end_to_end::EndToEnd;
pub use entry::{Building, Checked, MethodEntry};
pub use instance_discrimination::InstanceDiscrimination;
pub use mlm::Mlm;
pub use moco::Moco;
pub use moco_v3::MocoV3;
pub use mvgrl::Mvgrl;
pub use mvgrl_nodes::MvgrlNodes;
pub use network::Network;
pub use pairs::Pairs;
pub use simclr::SimClr;
pub use simcse::SimCse;
pub use supervised::Supervised;

/// What [`Batch::joined_pair`] became, column by column.
fn parted(both: &Tensor<2>, [first, second]: [usize; 2]) -> [Tensor<2>; 2] {
    [(0, first), (first, second)].map(|(start, count)| both.clone().narrow(0, start, count))
}

/// What a method made of one batch: tensors of one row an instance, or of one a part, and whose rows they are.
#[derive(Debug, Clone)]
pub struct Outputs {
    /// The instances, in the order of the rows.
    pub instances: Vec<u32>,
    tensors: Vec<Output>,
    /// Where tensors have rows for the parts of instances, as the nodes of graphs: instance i has the rows `parts[i]` to
    /// `parts[i + 1]`, less one.
    parts: Option<Arc<[usize]>>,
}

/// A tensor under its name.
#[derive(Debug, Clone)]
struct Output {
    name: &'static str,
    tensor: Tensor<2>,
    /// Whether it has a row a part.
    of_parts: bool,
}

impl Outputs {
    /// Outputs of `instances` under their names, one row an instance.
    pub fn new(instances: Vec<u32>, tensors: Vec<(&'static str, Tensor<2>)>) -> Self {
        let tensors = tensors.into_iter().map(|(name, tensor)| Output { name, tensor, of_parts: false });
        Self { instances, tensors: tensors.collect(), parts: None }
    }

    /// With tensors that have a row for each part of an instance, see [`Outputs::parts`].
    #[must_use]
    pub fn with_parts(mut self, parts: Arc<[usize]>, tensors: Vec<(&'static str, Tensor<2>)>) -> Self {
        let tensors = tensors.into_iter().map(|(name, tensor)| Output { name, tensor, of_parts: true });
        self.tensors.extend(tensors);
        self.parts = Some(parts);
        self
    }

    /// With further tensors of one row an instance.
    #[must_use]
    pub fn and(mut self, tensors: Vec<(&'static str, Tensor<2>)>) -> Self {
        let tensors = tensors.into_iter().map(|(name, tensor)| Output { name, tensor, of_parts: false });
        self.tensors.extend(tensors);
        self
    }

    /// Whether the instances have parts: those of graphs without nodes have none.
    pub fn has_parts(&self) -> bool {
        self.parts.is_some()
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
        match self.tensors.iter().find(|output| output.name == name) {
            Some(output) => output.tensor.clone(),
            None => unreachable!("the method made no output named `{name}`"),
        }
    }

    /// Two tensors side by side, each row of either of unit length: embeddings whose similarity is the mean of the two
    /// similarities.
    pub fn side_by_side(&self, names: [&str; 2]) -> Tensor<2> {
        let [first, second] = names.map(|name| normalize(self.get(name).inner()));
        Tensor::cat(vec![first, second], 1)
    }

    /// What several parts of a batch gave, as one.
    ///
    /// # Errors
    /// [`LearnError::Input`] where there is none.
    pub(crate) fn join(outputs: &[Self]) -> Result<Self, LearnError> {
        let first = outputs.first().ok_or_else(|| LearnError::Input("no part of a batch".to_owned()))?;
        let tensors = (0..first.tensors.len()).map(|index| {
            let Output { name, of_parts, .. } = first.tensors[index];
            let rows = outputs.iter().map(|part| part.tensors[index].tensor.clone()).collect();
            Output { name, tensor: Tensor::cat(rows, 0), of_parts }
        });
        let parts = first.parts.as_ref().map(|_| {
            let mut offsets = vec![0];
            for part in outputs {
                let begin = offsets[offsets.len() - 1];
                offsets.extend(part.parts().iter().skip(1).map(|end| begin + end));
            }
            offsets.into()
        });
        let instances = outputs.iter().flat_map(|part| part.instances.iter().copied()).collect();
        Ok(Self { instances, tensors: tensors.collect(), parts })
    }

    /// All numbers, for another rank, which has outputs of the same names.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let count = |value: usize| (value as u64).to_le_bytes();
        let mut bytes = count(self.instances.len()).to_vec();
        bytes.extend(self.instances.iter().flat_map(|instance| instance.to_le_bytes()));
        let parts = self.parts.as_deref().unwrap_or_default();
        bytes.extend(count(parts.len()));
        bytes.extend(parts.iter().flat_map(|part| count(*part)));
        for output in &self.tensors {
            bytes.extend(output.tensor.dims().into_iter().flat_map(count));
            bytes.extend(to_host(output.tensor.clone()).iter().flat_map(|value| value.to_le_bytes()));
        }
        bytes
    }

    /// What [`Outputs::to_bytes`] made of one or more with the names of these, on `device`.
    ///
    /// # Errors
    /// [`LearnError::Input`] where the bytes end too early.
    pub(crate) fn read_alike(&self, mut bytes: &[u8], device: &Device) -> Result<Vec<Self>, LearnError> {
        let mut all = Vec::new();
        while !bytes.is_empty() {
            let read = || {
                let instances = counted(&mut bytes)?;
                let instances = words(&mut bytes, instances)?.map(u32::from_le_bytes).collect();
                let count = counted(&mut bytes)?;
                let parts: Option<Vec<usize>> = (0..count).map(|_| counted(&mut bytes)).collect();
                let parts = parts.filter(|parts| !parts.is_empty()).map(Into::into);
                let mut tensors = Vec::new();
                for Output { name, of_parts, .. } in &self.tensors {
                    let shape = [counted(&mut bytes)?, counted(&mut bytes)?];
                    let values = words(&mut bytes, shape[0].checked_mul(shape[1])?)?.map(f32::from_le_bytes);
                    let tensor = from_host(values.collect(), shape, device);
                    tensors.push(Output { name, tensor, of_parts: *of_parts });
                }
                Some(Self { instances, tensors, parts })
            };
            let mut read = read;
            all.push(
                read().ok_or_else(|| LearnError::Input("another rank's outputs are not whole".to_owned()))?,
            );
        }
        Ok(all)
    }

    /// The same with each tensor replaced by what `change` makes of it.
    pub(crate) fn map(mut self, change: impl Fn(Tensor<2>) -> Tensor<2>) -> Self {
        for output in &mut self.tensors {
            output.tensor = change(output.tensor.clone());
        }
        self
    }

    /// All tensors, each with the rows that instances `first` to `first + count`, less one, have in it.
    pub(crate) fn rows_of(
        &self,
        first: usize,
        count: usize,
    ) -> impl Iterator<Item = (Tensor<2>, [usize; 2])> {
        let parts = self.parts.clone();
        self.tensors.iter().map(move |output| {
            let rows = match &parts {
                Some(parts) if output.of_parts => [parts[first], parts[first + count] - parts[first]],
                _ => [first, count],
            };
            (output.tensor.clone(), rows)
        })
    }
}

/// The number at the beginning of `bytes`, which is taken off.
fn counted(bytes: &mut &[u8]) -> Option<usize> {
    let (number, rest) = bytes.split_first_chunk::<8>()?;
    *bytes = rest;
    usize::try_from(u64::from_le_bytes(*number)).ok()
}

/// So many words of four bytes at the beginning of `bytes`, which are taken off.
fn words<'a>(bytes: &mut &'a [u8], count: usize) -> Option<impl Iterator<Item = [u8; 4]> + use<'a>> {
    let (own, rest) = bytes.split_at_checked(count.checked_mul(4)?)?;
    *bytes = rest;
    Some(own.chunks_exact(4).map(|word| [word[0], word[1], word[2], word[3]]))
}

/// The terms of a loss; their sum is what is minimised.
#[derive(Debug)]
pub struct Terms(Vec<(&'static str, Tensor<1>)>);

impl Terms {
    /// A loss of a single term.
    pub fn single(name: &'static str, term: Tensor<1>) -> Self {
        Self(vec![(name, term)])
    }

    /// A loss of several terms.
    pub fn new(terms: Vec<(&'static str, Tensor<1>)>) -> Self {
        Self(terms)
    }

    /// With another term.
    #[must_use]
    pub fn and(mut self, name: &'static str, term: Tensor<1>) -> Self {
        self.0.push((name, term));
        self
    }

    /// With those of `others`.
    #[must_use]
    pub fn with(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    /// The sum of all terms; `None` where there is none.
    pub fn total(&self) -> Option<Tensor<1>> {
        self.0.iter().map(|(_, term)| term.clone()).reduce(|sum, term| sum + term)
    }
}

/// A way to learn an encoder by contrast.
///
/// [`Module::visit`] shows what is trained; [`state`](Method::state) gives all else that a run needs to go on: momentum encoders,
/// queues, banks.
pub trait Method: Module {
    /// Called before every batch: momentum encoders move here.
    fn before_step(&mut self, _step: &Step) {}

    /// Runs the encoders on a batch. What it gives of an instance must not depend on others, but by BatchNorm.
    ///
    /// # Errors
    /// [`LearnError::Input`] where the batch does not have the columns that the method reads.
    fn encode(&mut self, batch: &Batch, step: &Step, pass: &mut Pass) -> Result<Outputs, LearnError>;

    /// Compares the outputs of a whole batch, those of all its shards.
    ///
    /// # Errors
    /// [`LearnError::Input`] where outputs are missing.
    fn loss(
        &mut self,
        gathered: &Outputs,
        step: &Step,
        observer: &mut dyn Observer,
    ) -> Result<Terms, LearnError>;

    /// Called for every batch after the parameters moved, where they moved: queues and banks take what was encoded.
    fn after_step(&mut self, _gathered: &Outputs, _step: &Step) {}

    /// Called with the embeddings of all instances, as [`Method::embeddings`] gave them, of unit length: before the first step where they
    /// were made then, and whenever the sampler looks for look-alikes anew.
    fn refreshed(&mut self, _rows: Rows<'_>) {}

    /// The embeddings by which the sampler finds look-alikes, without gradient: one row an instance, in the order of the outputs.
    fn embeddings(&self, outputs: &Outputs) -> Tensor<2>;

    /// How likely each instance is of each cluster, without gradient, in the order of the outputs; `None` of methods that tell no
    /// clusters.
    ///
    /// # Shapes
    /// `[N, C]`.
    fn assignments(&self, _outputs: &Outputs) -> Option<Tensor<2>> {
        None
    }

    /// Modules that encode as training does and are not trained: momentum encoders.
    fn followers(&mut self) -> Vec<&mut dyn Module> {
        Vec::new()
    }

    /// A copy of what is evaluated and kept.
    fn kept(&self) -> Box<dyn Embedder>;

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

/// What makes an embedding of each instance of a batch: the part of a method that is evaluated and kept.
pub trait Embedder: Module + DynClone + Send {
    /// # Errors
    /// [`LearnError::Input`] where the batch does not have the columns that it reads.
    fn embed(&mut self, batch: &Batch, pass: &mut Pass) -> Result<Embeddings, LearnError>;

    /// What the head of that name, which tells clusters or classes, makes of representations, as `embed` makes them; `None` where there is no
    /// such head.
    ///
    /// # Shapes
    /// N×d → N×C.
    ///
    /// # Errors
    /// [`LearnError::Matrix`] where rows are missing.
    fn told(&mut self, _head: &str, _representations: &Matrix) -> Result<Option<Matrix>, LearnError> {
        Ok(None)
    }

    /// The feature maps of every stage of the encoder, `[N, C, H, W]` each; none of encoders that have none.
    ///
    /// # Errors
    /// As [`Encoder::forward`](crate::encoder::Encoder::forward).
    fn maps(&mut self, _input: &Input, _pass: &mut Pass) -> Result<Vec<Tensor<4>>, LearnError> {
        Ok(Vec::new())
    }

    /// What the representation is, in words.
    fn layer(&self) -> &'static str;
}

dyn_clone::clone_trait_object!(Embedder);

/// Embeddings of N instances, none normalised.
#[derive(Debug, Clone)]
pub struct Embeddings {
    /// What is kept and evaluated, `[N, d]`.
    pub representation: Tensor<2>,
    /// What the loss compares, `[N, e]`.
    pub projection: Tensor<2>,
}
