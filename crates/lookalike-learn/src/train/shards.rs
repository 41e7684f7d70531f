//! Logical shards: parts of a batch that are encoded by themselves, wherever that is done.
//!
//! A batch has V shards, and each of P ranks encodes V/P of them, one behind another. What shards have of their own is what a batch has without them: its passes
//! through the encoder, and with these the statistics of BatchNorm. All else is of the batch: the outputs of all shards stand together in their order, every rank
//! compares them as one, and sends the gradient of its own rows back through its own shards. The gradients of all shards are added by a fixed tree
//! ([`tree_sum`]). So P makes no difference to any bit, and no factor of P can be forgotten: the gradient is that of one loss.
//!
//! BatchNorm's running statistics move once a batch, to the mean of where the shards would have moved them.

use std::collections::BTreeMap;

use lookalike_base::ranks::{Ranks, RanksError, tree_sum};

use super::optimizer::{NamedGradients, accumulate};
use super::trainer::{Comparing, finite, gradients};
use crate::engine::{Device, Tensor, from_host, to_host};
use crate::error::LearnError;
use crate::input::Batch;
use crate::method::{Method, Outputs};
use crate::module::{AnyTensor, Pass, Role, for_each_tensor};
use crate::options::require;

/// How a batch is divided.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shards<'a> {
    /// Into how many shards, V.
    pub(super) count: usize,
    /// Who shares them.
    pub(super) ranks: &'a dyn Ranks,
    /// Where this rank computes.
    pub(super) device: &'a Device,
}

impl Shards<'_> {
    /// The instances of each of this rank's shards, of a batch of `instances`: stretches of one length, or one more.
    pub(super) fn own(&self, instances: &[u32]) -> Vec<Vec<u32>> {
        let each = self.count / self.ranks.size();
        let first = self.ranks.rank() * each;
        let begins = |shard: usize| shard * instances.len() / self.count;
        (first..first + each).map(|shard| instances[begins(shard)..begins(shard + 1)].to_vec()).collect()
    }
}

/// Encodes this rank's shards, compares the outputs of all, and adds the gradients of all to `sum`. Returns the outputs of all, without gradients, and the loss.
///
/// # Errors
/// [`LearnError::NotFinite`] for the loss, [`LearnError::Ranks`] where another rank is gone, and as [`gradients`].
pub(super) fn learn(
    method: &mut dyn Method,
    own: &[Batch],
    shards: Shards<'_>,
    pass: &mut Pass,
    comparing: &mut Comparing<'_>,
    sum: &mut NamedGradients,
) -> Result<(Outputs, f32), LearnError> {
    let outputs = encode(method, own, shards, pass, comparing)?;
    let (gathered, first) = gather(&outputs, shards)?;
    if gathered.instances != comparing.step.instances {
        let told = "the ranks have encoded other batches than one; they do not share one plan".to_owned();
        return Err(RanksError::Disagreement(told).into());
    }
    // Leaves of the graph of the loss: their gradients are what goes back through the shards.
    let leaves = gathered.map(|tensor| tensor.inner().autodiff().require_grad());
    let terms = method.loss(&leaves, comparing.step, comparing.observer)?;
    let (total, loss) = finite(&terms, comparing.step)?;
    let mut of_outputs = gradients(&total)?;
    let cached: Vec<Option<Tensor<2>>> = leaves
        .rows_of(0, leaves.instances.len())
        .map(|(leaf, _)| leaf.grad_remove(&mut of_outputs))
        .collect();
    // Of parameters that the loss itself reads: the same on every rank.
    accumulate(method, of_outputs, sum);
    let mut flat = Vec::new();
    let mut begins = first;
    for output in outputs {
        let count = output.instances.len();
        let continued = output.rows_of(0, count).zip(leaves.rows_of(begins, count)).zip(&cached);
        let products = continued.filter_map(|(((own, _), (_, [start, rows])), gradient)| {
            let gradient = gradient.clone()?.narrow(0, start, rows);
            own.is_tracked().then(|| (own * gradient).sum())
        });
        let mut of_shard = NamedGradients::new();
        if let Some(surrogate) = products.reduce(|sum, product| sum + product) {
            accumulate(method, gradients(&surrogate)?, &mut of_shard);
        }
        flat.push(flattened(method, of_shard));
        begins += count;
    }
    let added = add(method, &tree_sum(shards.ranks, flat)?, shards.device, sum);
    require(added || !sum.is_empty(), "method", "nothing that learns has a part in the loss")?;
    Ok((leaves.map(Tensor::inner), loss))
}

/// Encodes this rank's shards, each by BatchNorm as it was before the batch, which then moves by all.
fn encode(
    method: &mut dyn Method,
    own: &[Batch],
    shards: Shards<'_>,
    pass: &mut Pass,
    comparing: &Comparing<'_>,
) -> Result<Vec<Outputs>, LearnError> {
    let before = buffers(method);
    let (mut outputs, mut after) = (Vec::new(), Vec::new());
    for shard in own {
        set_buffers(method, before.clone());
        outputs.push(method.encode(shard, comparing.step, pass)?);
        after.push(buffers(method).into_iter().flat_map(to_host).collect());
    }
    if !before.is_empty() {
        let mut values = tree_sum(shards.ranks, after)?.into_iter();
        let share = 1.0 / shards.count as f32;
        let mean = before.iter().map(|buffer| {
            let length = buffer.dims()[0];
            let own = values.by_ref().take(length).map(|value| value * share).collect();
            from_host(own, [length], shards.device)
        });
        let mean = mean.collect();
        set_buffers(method, mean);
    }
    Ok(outputs)
}

/// The outputs of all shards as one, without gradients, and where this rank's begin.
fn gather(own: &[Outputs], shards: Shards<'_>) -> Result<(Outputs, usize), LearnError> {
    let ranks = shards.ranks;
    if ranks.size() == 1 {
        let all: Vec<Outputs> = own.iter().map(|output| output.clone().map(Tensor::inner)).collect();
        return Ok((Outputs::join(&all)?, 0));
    }
    let sent: Vec<u8> = own.iter().flat_map(Outputs::to_bytes).collect();
    let (mut all, mut first) = (Vec::new(), 0);
    for (rank, bytes) in ranks.all_gather(&sent)?.iter().enumerate() {
        if rank == ranks.rank() {
            first = all.iter().map(|output: &Outputs| output.instances.len()).sum();
        }
        all.extend(own[0].read_alike(bytes, shards.device)?);
    }
    Ok((Outputs::join(&all)?, first))
}

/// Calls `action` with each tensor that is kept and not trained, of followers too.
fn for_each_buffer(method: &mut dyn Method, action: &mut dyn FnMut(&mut dyn AnyTensor)) {
    let mut only = |role: Role, tensor: &mut dyn AnyTensor| {
        if role == Role::Buffer {
            action(tensor);
        }
    };
    for_each_tensor(method, &mut |_, role, tensor| only(role, tensor));
    for follower in method.followers() {
        for_each_tensor(follower, &mut |_, role, tensor| only(role, tensor));
    }
}

fn buffers(method: &mut dyn Method) -> Vec<Tensor<1>> {
    let mut found = Vec::new();
    for_each_buffer(method, &mut |tensor| found.push(tensor.flat()));
    found
}

fn set_buffers(method: &mut dyn Method, values: Vec<Tensor<1>>) {
    let mut values = values.into_iter();
    for_each_buffer(method, &mut |tensor| {
        if let Some(value) = values.next() {
            tensor.assign(value);
        }
    });
}

/// The names and lengths of what learns, in the order in which all ranks have them.
fn learned(method: &mut dyn Method) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for_each_tensor(method, &mut |name, _, tensor| {
        if tensor.learns() {
            found.insert(name.to_owned(), tensor.shape().iter().product());
        }
    });
    found
}

/// Gradients one behind another, those that there are not as zeros, each behind a number that is 1 where there is one.
fn flattened(method: &mut dyn Method, mut gradients: NamedGradients) -> Vec<f32> {
    let mut flat = Vec::new();
    for (name, length) in learned(method) {
        match gradients.remove(&name) {
            Some(gradient) => {
                flat.push(1.0);
                flat.extend(to_host(gradient));
            }
            None => flat.extend(std::iter::repeat_n(0.0, length + 1)),
        }
    }
    flat
}

/// Adds what [`flattened`] made to `sum`. Whether there was anything.
fn add(method: &mut dyn Method, mut flat: &[f32], device: &Device, sum: &mut NamedGradients) -> bool {
    let mut any = false;
    for (name, length) in learned(method) {
        let (own, rest) = flat.split_at(length + 1);
        flat = rest;
        if own[0] > 0.0 {
            any = true;
            let gradient = from_host(own[1..].to_vec(), [length], device);
            let gradient = match sum.remove(&name) {
                Some(before) => before + gradient,
                None => gradient,
            };
            sum.insert(name, gradient);
        }
    }
    any
}
