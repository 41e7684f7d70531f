//! What holds of every set of graphs that was read.

use lookalike_data::graph::open;
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
