//! The random walk with restart of BatchSampler.
//!
//! From its start the walk goes to a uniformly random neighbour of where it is, or with the restart probability back to
//! the start. A high probability keeps the batch close around its start; a low one lets it wander off, and lowers the
//! share of false negatives with the hardness.

use lookalike_base::Stream;

use crate::graph::ProximityGraph;

/// A walk is exhausted after this many steps in a row that brought nobody new.
///
/// What bounds every walk: on an island smaller than the batch, in a neighbourhood that the epoch has used up, or with
/// a restart probability close to 1. Smaller values give up neighbourhoods that are half used (with 20, covering
/// batches of CIFAR-10 pixels are near chance from the middle of the epoch on, with 100 from its last quarter), larger
/// ones cost time in proportion.
pub const PATIENCE: usize = 100;

/// Walks from `start` and offers every node it comes to, until `take` has accepted `wanted` of them or the walk is
/// exhausted ([`PATIENCE`]); returns how many were accepted. The start itself is not offered first.
///
/// # Panics
/// Where `start` is not an instance of the graph.
pub fn walk(
    graph: &ProximityGraph,
    start: u32,
    restart: f32,
    wanted: usize,
    stream: &mut Stream,
    mut take: impl FnMut(u32) -> bool,
) -> usize {
    let (mut at, mut taken, mut idle) = (start, 0, 0);
    while taken < wanted && idle < PATIENCE {
        at = step(graph, start, at, restart, stream);
        if take(at) {
            taken += 1;
            idle = 0;
        } else {
            idle += 1;
        }
    }
    taken
}

/// One step; from a node without neighbours it leads to the start.
fn step(graph: &ProximityGraph, start: u32, at: u32, restart: f32, stream: &mut Stream) -> u32 {
    let neighbors = graph.neighbors(at);
    if neighbors.is_empty() || stream.chance(restart) {
        return start;
    }
    neighbors[stream.below(neighbors.len() as u32) as usize]
}
