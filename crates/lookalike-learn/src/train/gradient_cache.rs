//! Gradient caching (Gao et al. 2021, *Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup*,
//! <https://arxiv.org/abs/2101.06983>): a batch is encoded in chunks without gradients, compared as a whole, which gives the
//! gradient of each output, and encoded again in chunks with gradients. The gradients are those of the whole batch, and memory is that
//! of a chunk and of the outputs.
//!
//! Dropout gives the same masks both times, because they hang on instance, view and place. BatchNorm would see other batches, so
//! methods that have it are refused.

use super::optimizer::{NamedGradients, accumulate};
use super::trainer::{Comparing, finite, gradients};
use crate::engine::Tensor;
use crate::error::LearnError;
use crate::input::Batch;
use crate::method::{Method, Outputs};
use crate::module::Pass;

/// Encodes `batch` in chunks of `chunk` instances, compares all, and adds the gradients to `sum`. Returns the outputs of all
/// processes, without gradients, and the loss.
///
/// # Errors
/// [`LearnError::Input`] where instances cannot be encoded apart, [`LearnError::NotFinite`] for the loss, and as [`gradients`].
pub(super) fn learn(
    method: &mut dyn Method,
    batch: &Batch,
    chunk: usize,
    pass: &mut Pass,
    comparing: &mut Comparing<'_>,
    sum: &mut NamedGradients,
) -> Result<(Outputs, f32), LearnError> {
    if !batch.is_divisible() {
        let what = batch.columns.first().map_or("these instances", |column| column.input.what());
        return Err(LearnError::Input(format!(
            "train.chunk: {what} cannot be encoded apart from one another"
        )));
    }
    let step = comparing.step;
    let parts: Vec<Batch> = batch.instances.chunks(chunk).map(|instances| batch.part(instances)).collect();
    let mut outputs = Vec::new();
    for part in &parts {
        outputs.push(pass.without_gradient(|pass| method.encode(part, step, pass))?);
    }
    // Leaves of the graph of the loss: their gradients are what the second encoding continues from.
    let leaves = Outputs::join(&outputs)?.map(|tensor| tensor.inner().autodiff().require_grad());
    let gathered = comparing.collective.gather(&leaves);
    let terms = method.loss(&leaves, &gathered, step, comparing.observer)?;
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
    Ok((gathered.map(Tensor::inner), loss))
}
