//! Gradient caching (Gao et al. 2021, *Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup*,
//! <https://arxiv.org/abs/2101.06983>): a batch is encoded in chunks without gradients, compared as a whole, which gives the
//! gradient of each output, and encoded again in chunks with gradients. The gradients are those of the whole batch, and memory is that
//! of a chunk and of the outputs.
//!
//! Dropout gives the same masks both times, because they hang on instance, view and place. BatchNorm would see other batches, so
//! methods that have it are refused.

use lookalike_data::loader::BatchRequest;

use super::optimizer::{NamedGradients, accumulate};
use super::trainer::{Comparing, finite, gradients};
use crate::engine::Tensor;
use crate::error::LearnError;
use crate::input::{Batch, Source};
use crate::method::{Method, Outputs};
use crate::module::Pass;
use crate::options::refuse;

/// How much of a batch is encoded at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chunk {
    /// So many instances.
    Instances(usize),
    /// As many instances, one after another, as have at most so many tokens in all their columns together.
    Tokens(usize),
}

impl Chunk {
    /// The key of a recipe that asks for it.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Instances(_) => "train.chunk",
            Self::Tokens(_) => "train.chunk_tokens",
        }
    }

    /// Checks before the first step that each of `instances` fits, as long as the views of the first step are as long as any.
    ///
    /// # Errors
    /// [`LearnError::Recipe`] names the largest instance where it does not; whatever `source` reports.
    pub(super) fn check(self, source: &Source, instances: usize) -> Result<(), LearnError> {
        /// Instances that are looked at together.
        const PIECE: u32 = 4096;
        let Self::Tokens(budget) = self else { return Ok(()) };
        let (mut first, count) = (0, u32::try_from(instances).unwrap_or(u32::MAX));
        let mut largest = (0, 0);
        while first < count {
            let next = first.saturating_add(PIECE).min(count);
            let batch =
                source.batch(&BatchRequest { instances: (first..next).collect(), epoch: 0, step: 0 })?;
            // Of equals the first.
            let own = (first..next).zip(batch.sizes()).rev().max_by_key(|(_, size)| *size);
            largest = own.filter(|(_, size)| *size > largest.1).unwrap_or(largest);
            first = next;
        }
        if largest.1 > budget { Err(too_large(largest, budget)) } else { Ok(()) }
    }

    /// The instances of each chunk of `batch`.
    ///
    /// # Errors
    /// [`LearnError::Recipe`] where an instance does not fit.
    fn of(self, batch: &Batch) -> Result<Vec<&[u32]>, LearnError> {
        let budget = match self {
            Self::Instances(count) => return Ok(batch.instances.chunks(count).collect()),
            Self::Tokens(budget) => budget,
        };
        let (mut chunks, mut first, mut tokens) = (Vec::new(), 0, 0);
        for (place, size) in batch.sizes().into_iter().enumerate() {
            if size > budget {
                return Err(too_large((batch.instances[place], size), budget));
            }
            if tokens + size > budget {
                chunks.push(&batch.instances[first..place]);
                (first, tokens) = (place, 0);
            }
            tokens += size;
        }
        chunks.push(&batch.instances[first..]);
        Ok(chunks)
    }
}

/// An instance, and its tokens, of which no chunk may have as many.
fn too_large((instance, tokens): (u32, usize), budget: usize) -> LearnError {
    let reason = format!(
        "is {budget}, and instance {instance}, counted from 0, has {tokens} tokens in its columns together; take at least {tokens}, or \
         cut texts by text.max_length"
    );
    refuse("train.chunk_tokens", reason)
}

/// Encodes `batch` in chunks, compares all, and adds the gradients to `sum`. Returns the outputs, without
/// gradients, and the loss.
///
/// # Errors
/// [`LearnError::Input`] where instances cannot be encoded apart, [`LearnError::Recipe`] where one is larger than a chunk, [`LearnError::NotFinite`] for the loss, and as [`gradients`].
pub(super) fn learn(
    method: &mut dyn Method,
    batch: &Batch,
    chunk: Chunk,
    pass: &mut Pass,
    comparing: &mut Comparing<'_>,
    sum: &mut NamedGradients,
) -> Result<(Outputs, f32), LearnError> {
    if !batch.is_divisible() {
        let what = batch.columns.first().map_or("these instances", |column| column.input.what());
        return Err(LearnError::Input(format!(
            "{}: {what} cannot be encoded apart from one another",
            chunk.key()
        )));
    }
    let step = comparing.step;
    let parts: Vec<Batch> = chunk.of(batch)?.into_iter().map(|instances| batch.part(instances)).collect();
    let mut outputs = Vec::new();
    for part in &parts {
        outputs.push(pass.without_gradient(|pass| method.encode(part, step, pass))?);
    }
    // Leaves of the graph of the loss: their gradients are what the second encoding continues from.
    let leaves = Outputs::join(&outputs)?.map(|tensor| tensor.inner().autodiff().require_grad());
    let terms = method.loss(&leaves, step, comparing.observer)?;
    let (total, loss) = finite(&terms, step)?;
    let mut of_outputs = total.backward();
    let cached: Vec<Option<Tensor<2>>> = leaves
        .rows_of(0, leaves.instances.len())
        .map(|(leaf, _)| leaf.grad_remove(&mut of_outputs))
        .collect();
    // Of parameters that the loss itself reads.
    accumulate(method, of_outputs, sum);
    let mut first = 0;
    for part in &parts {
        let count = part.instances.len();
        let again = method.encode(part, step, pass)?;
        let continued = again.rows_of(0, count).zip(leaves.rows_of(first, count)).zip(&cached);
        let products = continued.filter_map(|(((output, _), (_, [start, rows])), gradient)| {
            let gradient = gradient.clone()?.narrow(0, start, rows);
            Some((output * gradient).sum())
        });
        if let Some(surrogate) = products.reduce(|sum, product| sum + product) {
            accumulate(method, gradients(&surrogate)?, sum);
        }
        first += count;
    }
    Ok((leaves.map(Tensor::inner), loss))
}
