//! The augmentations as the code does them that the paper's numbers come from (`unsupervised_TU` of
//! Shen-Lab/GraphCL). They work on edges in one direction each, among them loops from nodes to themselves,
//! and leave all nodes in place, of which the training loop then removes those without edges.

use super::{GraphAugmentKind, GraphAugmentOptions, mask, share};
use crate::error::DataError;
use crate::graph::batch::Graph;
use lookalike_base::Stream;
use lookalike_kernels::sparse::Csr;
use std::collections::BTreeSet;

/// The graph with a self-loop at each node before the last node that has an edge, as the published code adds
/// them.
pub(super) fn with_loops(graph: &Graph) -> Result<Graph, DataError> {
    let last = graph.edges.columns().iter().copied().max().unwrap_or(0);
    let rows = (0..graph.nodes()).map(|node| {
        let own = (node < last as usize).then_some((node as u32, 1.0));
        graph.edges.row(node).iter().map(|to| (*to, 1.0)).chain(own).collect::<Vec<_>>()
    });
    let edges = Csr::from_rows(rows, graph.nodes()).map_err(DataError::graph)?.without_values();
    Ok(Graph { edges, features: graph.features.clone(), columns: graph.columns })
}

/// The nodes that have an edge or a self-loop, and the edges among them without the self-loops.
pub(super) fn without_isolated(graph: &Graph) -> Result<Graph, DataError> {
    let mut occurs = vec![false; graph.nodes()];
    for (node, occurring) in (0..graph.nodes()).map(|node| (node, graph.edges.row(node))) {
        occurs[node] |= !occurring.is_empty();
        for to in occurring {
            occurs[*to as usize] = true;
        }
    }
    let kept: Vec<u32> = (0..graph.nodes() as u32).filter(|node| occurs[*node as usize]).collect();
    graph.induced(&kept).retained(|from, to| from != to)
}

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
            graph.retained(|from, to| !dropped.contains(&from) && !dropped.contains(&to))
        }
        // Deletes only, each direction for itself.
        GraphAugmentKind::PerturbEdges => {
            let entries = graph.edges.entries();
            let amount = share(entries, options.edge_ratio);
            let deleted: BTreeSet<u32> = stream.distinct(amount, entries as u32).into_iter().collect();
            let mut number = 0;
            graph.retained(|_, _| {
                number += 1;
                !deleted.contains(&(number - 1))
            })
        }
        GraphAugmentKind::MaskAttributes => Ok(mask(graph, options.mask_ratio, stream)),
        GraphAugmentKind::Subgraph => star(graph, options.subgraph_ratio, stream),
        _ => Ok(graph.clone()),
    }
}

/// Edges among a random node and some of its neighbours: ⌊`ratio` · n⌋ of them at most, drawn with
/// replacement in as many tries as there are nodes. The code means to go on to neighbours of neighbours, and
/// does not.
fn star(graph: &Graph, ratio: f64, stream: &mut Stream) -> Result<Graph, DataError> {
    if graph.nodes() == 0 {
        return Ok(graph.clone());
    }
    let most = share(graph.nodes(), ratio) as usize;
    let first = stream.below(graph.nodes() as u32);
    let neighbors = graph.edges.row(first as usize);
    let mut kept = BTreeSet::from([first]);
    for _ in 0..graph.nodes() {
        if kept.len() > most || neighbors.is_empty() {
            break;
        }
        kept.insert(neighbors[stream.below(neighbors.len() as u32) as usize]);
    }
    graph.retained(|from, to| kept.contains(&from) && kept.contains(&to))
}
