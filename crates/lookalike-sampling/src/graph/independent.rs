//! The proximity graph as the published program builds it: each instance draws its candidates by itself.

use lookalike_base::{Seed, Watch};
use lookalike_kernels::{KernelError, TopK};
use rayon::prelude::*;

use crate::error::SamplingError;
use crate::graph::{GraphOptions, Members, ProximityGraph};

/// The graph of `members`, each of which draws its candidates independently of all others; their rows are gathered one by one.
///
/// As published, except that candidates are distinct and an instance is never its own.
///
/// # Errors
/// [`SamplingError::Kernel`] where rows have no columns, [`SamplingError::NotFinite`] for a row with NaN or an infinity, and [`SamplingError::Cancelled`] where `watch` stopped the work.
pub(crate) fn graph(
    members: &Members<'_>,
    options: &GraphOptions,
    seed: Seed,
    build: u64,
    watch: Watch<'_>,
) -> Result<ProximityGraph, SamplingError> {
    let (count, columns, k) = (members.instances.len(), members.embeddings.columns(), options.neighbors);
    if columns == 0 {
        return Err(KernelError::Shape { values: 0, columns }.into());
    }
    let lengths = (count.checked_mul(columns), count.checked_mul(k));
    let (Some(values), Some(edges)) = lengths else {
        return Err(SamplingError::Instances { instances: count });
    };
    let mut unit = vec![0.0; values];
    for (member, row) in unit.chunks_exact_mut(columns).enumerate() {
        if !members.read(member as u32, row) {
            return Err(members.first_not_finite(member));
        }
    }
    let row = |member: u32| &unit[member as usize * columns..][..columns];
    let mut best = TopK { k, indices: vec![0; edges], similarities: vec![0.0; edges] };
    let places = best.indices.par_chunks_mut(k).zip(best.similarities.par_chunks_mut(k)).enumerate();
    places.for_each(|(own, (indices, similarities))| {
        if watch.is_cancelled() {
            return;
        }
        watch.progress.advance(1);
        let own = own as u32;
        let drawn = seed
            .stream("independent candidates", build, 0, own.into())
            .distinct(options.candidates as u32, count as u32 - 1);
        let others = drawn.into_iter().map(|other| other + u32::from(other >= own));
        let score = |other| members.embeddings.similarity(row(own), row(other));
        let mut scored: Vec<(u32, f32)> = others.map(|other| (other, score(other))).collect();
        scored.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        for ((index, similarity), entry) in indices.iter_mut().zip(similarities).zip(scored) {
            (*index, *similarity) = entry;
        }
    });
    if watch.is_cancelled() {
        return Err(SamplingError::Cancelled);
    }
    Ok(members.named(best))
}
