//! The proximity graph as the published program builds it: each instance draws its candidates by itself.

use lookalike_base::{RowSource, Seed, Watch};
use lookalike_kernels::{Scoring, TopK, dot, normalize};
use rayon::prelude::*;

use crate::error::{SamplingError, Warning};
use crate::graph::{GraphOptions, Members, ProximityGraph};
use crate::set::InstanceSet;

/// The slow twin of [`proximity_graph`](crate::proximity_graph), to compare it with: candidates are drawn for each instance
/// independently of all others, and their rows gathered one by one.
///
/// As published, but for candidates that come twice, and an instance that is its own. Takes about ten times as long;
/// rows are compared as `f32` only.
///
/// # Shapes
/// `embeddings` N×d, a row for each instance. A copy of all is in memory.
///
/// # Errors
/// As [`proximity_graph`](crate::proximity_graph), [`SamplingError::Combination`] for another scoring than `f32`, and
/// [`SamplingError::Cancelled`] where `watch` said so.
pub fn independent_graph(
    embeddings: impl RowSource,
    present: Option<&InstanceSet>,
    options: &GraphOptions,
    seed: Seed,
    build: u64,
    watch: Watch<'_>,
) -> Result<(ProximityGraph, Vec<Warning>), SamplingError> {
    if options.scoring != Scoring::F32 {
        let (with, reason) = ("independent candidates", "their rows are compared as they are");
        return Err(SamplingError::Combination { option: "scoring", with, reason });
    }
    let members = Members::new(&embeddings, present)?;
    let (count, columns) = (members.instances.len(), embeddings.columns());
    let (options, warning) = options.fitted(count)?;
    let mut unit = vec![0.0; count * columns];
    for (member, row) in unit.chunks_exact_mut(columns).enumerate() {
        embeddings.read_row(members.instances[member] as usize, row);
        if !normalize(row) {
            return Err(members.first_not_finite(member));
        }
    }
    let row = |member: u32| &unit[member as usize * columns..][..columns];
    let k = options.neighbors;
    let mut best = TopK { k, indices: vec![0; count * k], similarities: vec![0.0; count * k] };
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
        let mut scored: Vec<(u32, f32)> = others.map(|other| (other, dot(row(own), row(other)))).collect();
        scored.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        for ((index, similarity), entry) in indices.iter_mut().zip(similarities).zip(scored) {
            (*index, *similarity) = entry;
        }
    });
    if watch.is_cancelled() {
        return Err(SamplingError::Cancelled);
    }
    Ok((members.named(best), warning.into_iter().collect()))
}
