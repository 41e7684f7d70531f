//! Embeddings of a whole data set.

use std::sync::Arc;

use lookalike_base::Watch;
use lookalike_base::{Matrix, Seed};
use lookalike_data::loader::{BatchRequest, BatchSource, Loader, LoaderOptions};

use crate::encoder::Encoder;
use crate::engine::{Tensor, to_host};
use crate::error::LearnError;
use crate::method::Network;
use crate::module::Pass;

/// Embeddings of every instance of a data set, in its order.
#[derive(Debug, Clone)]
pub struct Embedded {
    /// What the encoder gives: what is kept and evaluated.
    pub representation: Matrix,
    /// What the projection head makes of it: what the loss compares.
    pub projection: Matrix,
}

/// What makes an embedding of each instance of a batch.
pub trait Embedder {
    /// What it reads.
    type Input: Send + 'static;

    /// What is kept and evaluated, and what the loss compares.
    ///
    /// # Shapes
    /// N instances → `[N, d]` and `[N, e]`, neither normalised.
    fn embed(&mut self, input: &Self::Input, pass: &mut Pass) -> [Tensor<2>; 2];
}

impl<E: Encoder> Embedder for Network<E> {
    type Input = E::Input;

    fn embed(&mut self, input: &E::Input, pass: &mut Pass) -> [Tensor<2>; 2] {
        Network::embed(self, input, pass)
    }
}

/// Embeds all `instances` of `source` in evaluation mode. The progress of `watch` counts the instances.
///
/// # Errors
/// Whatever the source reports; [`LearnError::Cancelled`]; [`LearnError::Evaluation`] where the data set is empty.
pub fn embed<N: Embedder>(
    network: &mut N,
    source: Arc<dyn BatchSource<Batch = N::Input>>,
    instances: usize,
    batch_size: usize,
    loader: LoaderOptions,
    watch: Watch<'_>,
) -> Result<Embedded, LearnError> {
    let order: Vec<u32> = (0..instances as u32).collect();
    let requests = requests(&order, batch_size);
    let mut loader = Loader::start(source, requests, loader)?;
    let (mut columns, mut values) = ([0; 2], [Vec::new(), Vec::new()]);
    while let Some(batch) = loader.next().transpose()? {
        if watch.is_cancelled() {
            return Err(LearnError::Cancelled);
        }
        let parts: [Tensor<2>; 2] = network.embed(&batch, &mut Pass::evaluation());
        watch.progress.advance(parts[0].dims()[0] as u64);
        for (part, tensor) in parts.into_iter().enumerate() {
            columns[part] = tensor.dims()[1];
            values[part].extend(to_host(tensor));
        }
    }
    let [representation, projection] = values;
    if representation.is_empty() {
        return Err(LearnError::Evaluation("the data set is empty".to_owned()));
    }
    let representation = Matrix::new(representation, columns[0])?;
    Ok(Embedded { representation, projection: Matrix::new(projection, columns[1])? })
}

/// Estimates BatchNorm's running statistics anew: the plain mean over at most `batches` uniform batches of `source`.
///
/// # Errors
/// Whatever the source reports.
pub fn estimate_statistics<N: Embedder>(
    network: &mut N,
    source: Arc<dyn BatchSource<Batch = N::Input>>,
    instances: usize,
    (batch_size, batches): (usize, usize),
    seed: Seed,
    loader: LoaderOptions,
) -> Result<(), LearnError> {
    let order = seed.stream("statistics", 0, 0, 0).permutation(instances as u32);
    let mut requests = requests(&order, batch_size);
    // A short last batch would weigh as much as a full one.
    requests.retain(|request| request.instances.len() == batch_size.min(instances));
    requests.truncate(batches);
    let mut loader = Loader::start(source, requests, loader)?;
    let mut seen = 0;
    while let Some(batch) = loader.next().transpose()? {
        network.embed(&batch, &mut Pass::estimation(seen));
        seen += 1;
    }
    Ok(())
}

fn requests(order: &[u32], batch_size: usize) -> Vec<BatchRequest> {
    let batches = order.chunks(batch_size).zip(0..);
    batches.map(|(instances, step)| BatchRequest { instances: instances.to_vec(), epoch: 0, step }).collect()
}
