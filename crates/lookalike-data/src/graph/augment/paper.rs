//! The augmentations as the paper describes them. Edges stay undirected.

use super::{GraphAugmentKind, GraphAugmentOptions, mask, share};
use crate::error::DataError;
use crate::graph::batch::Graph;
use lookalike_base::Stream;
use lookalike_kernels::sparse::Csr;
use std::collections::BTreeSet;

/// Steps of a walk for each node of the graph, after which it ends with what it met.
const STEPS: usize = 100;

pub(super) fn apply(
    kind: GraphAugmentKind,
    options: &GraphAugmentOptions,
    graph: &Graph,
    stream: &mut Stream,
) -> Result<Graph, DataError> {
    match kind {
        GraphAugmentKind::DropNodes => {
            let amount = share(graph.nodes(), options.drop_ratio);
            let dropped: BTreeSet<u32> = stream.distinct(amount, graph.nodes() as u32).into_iter().collect();
            let kept: Vec<u32> = (0..graph.nodes() as u32).filter(|node| !dropped.contains(node)).collect();
            Ok(graph.induced(&kept))
        }
        GraphAugmentKind::PerturbEdges => perturb(graph, options.edge_ratio, stream),
        GraphAugmentKind::MaskAttributes => Ok(mask(graph, options.mask_ratio, stream)),
        GraphAugmentKind::Subgraph => Ok(walk(graph, options.subgraph_ratio, stream)),
        _ => Ok(graph.clone()),
    }
}

/// Deletes ⌊`ratio` · m⌋ of the m edges and adds as many that were not there, or as many as there are.
fn perturb(graph: &Graph, ratio: f64, stream: &mut Stream) -> Result<Graph, DataError> {
    let nodes = graph.nodes() as u64;
    let upper = |from: u32| graph.edges.row(from as usize).iter().filter(move |to| **to > from);
    let edges: Vec<(u32, u32)> =
        (0..graph.nodes() as u32).flat_map(|from| upper(from).map(move |to| (from, *to))).collect();
    let amount = share(edges.len(), ratio);
    let deleted: BTreeSet<u32> = stream.distinct(amount, edges.len() as u32).into_iter().collect();
    let free = nodes * nodes.saturating_sub(1) / 2 - edges.len() as u64;
    let added = absent(graph, u64::from(amount).min(free), free, stream);
    let kept =
        edges.into_iter().zip(0..).filter(|(_, number)| !deleted.contains(number)).map(|(edge, _)| edge);
    let mut rows = vec![Vec::new(); graph.nodes()];
    for (from, to) in kept.chain(added) {
        rows[from as usize].push((to, 1.0));
        rows[to as usize].push((from, 1.0));
    }
    let edges = Csr::from_rows(rows, graph.nodes()).map_err(DataError::graph)?.without_values();
    Ok(Graph { edges, features: graph.features.clone(), columns: graph.columns })
}

/// `amount` of the `free` pairs of different nodes between which there is no edge, uniformly.
fn absent(graph: &Graph, amount: u64, free: u64, stream: &mut Stream) -> BTreeSet<(u32, u32)> {
    let nodes = graph.nodes() as u32;
    let is_absent = |from: u32, to: u32| graph.edges.row(from as usize).binary_search(&to).is_err();
    let mut added = BTreeSet::new();
    if amount == 0 {
        return added;
    }
    // Where few are free, all are listed; then there are about as many pairs as edges.
    if free < 4 * amount {
        let pairs = (0..nodes).flat_map(|from| (from + 1..nodes).map(move |to| (from, to)));
        let pairs: Vec<(u32, u32)> = pairs.filter(|(from, to)| is_absent(*from, *to)).collect();
        let chosen = stream.distinct(amount as u32, pairs.len() as u32);
        return chosen.into_iter().map(|at| pairs[at as usize]).collect();
    }
    while (added.len() as u64) < amount {
        let (from, to) = (stream.below(nodes), stream.below(nodes));
        if from < to && is_absent(from, to) {
            added.insert((from, to));
        }
    }
    added
}

/// The nodes that a random walk from a random node meets, until they are ⌊`ratio` · n⌋ and one at least. It
/// ends with fewer where no more can be reached or after a hundred steps for each node of the graph.
fn walk(graph: &Graph, ratio: f64, stream: &mut Stream) -> Graph {
    if graph.nodes() == 0 {
        return graph.clone();
    }
    let mut node = stream.below(graph.nodes() as u32);
    let wanted = reached(graph, node, share(graph.nodes(), ratio).max(1) as usize);
    let mut met = BTreeSet::from([node]);
    for _ in 0..STEPS * graph.nodes() {
        if met.len() == wanted {
            break;
        }
        let neighbors = graph.edges.row(node as usize);
        node = neighbors[stream.below(neighbors.len() as u32) as usize];
        met.insert(node);
    }
    graph.induced(&met.into_iter().collect::<Vec<_>>())
}

/// How many nodes can be reached from `start`, itself among them; `most` where they are more.
fn reached(graph: &Graph, start: u32, most: usize) -> usize {
    let (mut seen, mut waiting) = (BTreeSet::from([start]), vec![start]);
    while let Some(node) = waiting.pop() {
        for neighbor in graph.edges.row(node as usize) {
            if seen.len() < most && seen.insert(*neighbor) {
                waiting.push(*neighbor);
            }
        }
    }
    seen.len()
}
