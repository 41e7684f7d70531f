//! What ranks that share a run must have in common before they begin, and how batches divide among them.

use lookalike_base::arrays::Arrays;
use lookalike_base::hash::Hasher;
use lookalike_base::ranks::{Ranks, RanksError, floats};
use lookalike_sampling::LastBatch;

use super::trainer::TrainOptions;
use crate::error::LearnError;
use crate::method::Method;
use crate::module::arrays_of;
use crate::options::{refuse, require};

/// Checks that all ranks stand at one place with the same tensors, and will meet at the same steps.
///
/// # Errors
/// [`LearnError::Ranks`] names the first one that differs, and in what.
pub(super) fn agree(options: &TrainOptions, method: &mut dyn Method, stands: &str) -> Result<(), LearnError> {
    if options.ranks.size() == 1 {
        return Ok(());
    }
    let tensors = arrays_of(method).into_iter().chain(method.state()).collect();
    let mut left_out = Hasher::new();
    left_out.numbers(options.left_out.iter().map(|(instance, _)| instance.to_le_bytes()));
    let looks = [&options.development, &options.monitor].map(|own| own.as_ref().map(|own| own.every));
    let own = [
        ("stands at another step", stands.to_owned()),
        ("begins with other weights", fingerprint(&tensors)),
        ("cannot read the same instances", format!("{:016x}", left_out.short())),
        (
            "stops, saves or looks at other steps",
            format!("{:?} {} {looks:?}", options.max_steps, options.checkpoint_every),
        ),
    ];
    Ok(lookalike_base::ranks::agree(&*options.ranks, &own)?)
}

/// A number for tensors, their names included.
fn fingerprint(tensors: &Arrays) -> String {
    let mut hasher = Hasher::new();
    for (name, array) in tensors {
        hasher.text(name);
        if let Some(values) = array.as_f32() {
            hasher.numbers(values.iter().map(|value| value.to_le_bytes()));
        }
    }
    format!("{:016x}", hasher.short())
}

/// Checks that all ranks have the same networks, those that they do not have included.
///
/// # Errors
/// [`LearnError::Ranks`] names the first one that differs.
pub(crate) fn agree_on_networks(
    ranks: &dyn Ranks,
    networks: impl FnOnce() -> Vec<Option<Arrays>>,
) -> Result<(), LearnError> {
    if ranks.size() == 1 {
        return Ok(());
    }
    let of = |network: &Option<Arrays>| network.as_ref().map_or_else(|| "none".to_owned(), fingerprint);
    let own = networks().iter().map(of).collect::<Vec<_>>().join(" ");
    Ok(lookalike_base::ranks::agree(ranks, &[("has another network", own)])?)
}

/// The rows of all batches in their order, which ranks have made in turn: rank r of P those of the batches r, r + P, r + 2P, …, one behind another.
/// `lengths` are the rows of each batch.
///
/// # Errors
/// [`LearnError::Ranks`] where one has not made its share, or is gone.
pub(crate) fn in_turn(ranks: &dyn Ranks, own: Vec<f32>, lengths: &[usize]) -> Result<Vec<f32>, LearnError> {
    if ranks.size() == 1 {
        return Ok(own);
    }
    let sent: Vec<u8> = own.iter().flat_map(|value| value.to_le_bytes()).collect();
    drop(own);
    let all = ranks.all_gather(&sent)?;
    drop(sent);
    let values = all.iter().map(Vec::len).sum::<usize>() / size_of::<f32>();
    let width = values / lengths.iter().sum::<usize>().max(1) * size_of::<f32>();
    let mut rest: Vec<&[u8]> = all.iter().map(Vec::as_slice).collect();
    let mut in_order = Vec::with_capacity(values);
    for (length, rank) in lengths.iter().zip((0..ranks.size()).cycle()) {
        let (rows, others) = rest[rank].split_at_checked(length * width).ok_or_else(|| {
            RanksError::Disagreement(format!("rank {rank} did not make its share of the rows"))
        })?;
        in_order.extend(floats(rows));
        rest[rank] = others;
    }
    Ok(in_order)
}

/// Checks how batches are divided and by whom.
///
/// # Errors
/// [`LearnError::Recipe`] names what does not go together.
pub(super) fn check_shards(options: &TrainOptions, batch_norm: bool) -> Result<(), LearnError> {
    let (shards, ranks) = (options.shards, options.ranks.size());
    let key = "train.shards";
    require(shards.is_power_of_two(), key, "must be a power of two")?;
    let reason = format!(
        "is {shards}, and {ranks} processes share the run: start a power of two of them, at most {shards}"
    );
    if !ranks.is_power_of_two() || ranks > shards {
        return Err(refuse(key, reason));
    }
    require(
        ranks == 1 || options.sampler.epoch_seconds.is_none(),
        "sampler.epoch_seconds",
        "lets the speed of a process decide who shares a batch, and each of several would decide otherwise; leave it out",
    )?;
    let batch = options.sampler.batch_size;
    if !batch.is_multiple_of(shards) {
        return Err(refuse(key, format!("is {shards}, which does not divide sampler.batch_size, {batch}")));
    }
    require(
        shards == 1 || !batch_norm || batch / shards >= 2,
        key,
        "must leave each shard two instances of a batch, for BatchNorm takes its statistics over a shard",
    )?;
    let keeps = options.sampler.last_batch == LastBatch::Keep;
    require(
        shards == 1 || !keeps || options.instances.is_multiple_of(batch),
        "sampler.last_batch",
        "is `keep`, whose smaller batch has no equal shards; set it to `drop`, or train.shards to 1",
    )?;
    match options.chunk {
        Some(chunk) if shards > 1 => {
            let reason = "encodes a batch in parts, and so do train.shards; give one of them";
            Err(refuse(chunk.key(), reason))
        }
        _ => Ok(()),
    }
}
