//! What holds of every set of graphs, and of every graph of nodes, that was read.

use lookalike_data::graph::{NodeSet, open};
use std::path::Path;

/// Opens the set and goes through its graphs.
pub fn check(name: &str, root: &Path) {
    let Ok((set, _)) = open(name, root) else { return };
    assert!(!set.is_empty());
    assert!(set.labels().is_none_or(|labels| labels.len() == set.len()));
    assert!(
        set.labels().is_none_or(|labels| labels.iter().all(|label| (*label as usize) < set.classes().len()))
    );
    let graphs = (0..set.len()).map(|index| set.graph(index));
    let nodes: usize = graphs
        .map(|graph| {
            let count = graph.nodes();
            assert!((0..count).all(|node| graph.neighbors(node).all(|other| (other as usize) < count)));
            count
        })
        .sum();
    assert_eq!(nodes, set.nodes());
    let _ = set.fingerprint();
}

/// Checks that what is said of nodes is about nodes that there are.
pub fn check_nodes(set: &NodeSet) {
    let nodes = set.labels.len();
    assert_eq!(set.features.len(), nodes);
    assert!(set.labels.iter().flatten().all(|label| (*label as usize) < set.classes));
    let known = set.train.iter().chain(&set.validation).chain(&set.test);
    assert!(known.into_iter().all(|node| (*node as usize) < nodes));
    let _ = set.fingerprint();
}
