//! The exact graph beside the neighbours that faiss finds; `tests/fixtures/faiss_knn.py` made them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use lookalike_base::npy;
use lookalike_sampling::{GraphOptions, ProximityGraph, Scoring, knn_graph, knn_graph_by, proximity_graph};

/// Below this two similarities cannot be told apart: sums of `f32` in different orders.
const ALIKE: f32 = 1e-5;

#[test]
fn the_knn_graph_is_that_of_faiss_but_for_neighbors_equally_similar() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let rows = npy::read_rows(folder.join("faiss_rows.npy")).unwrap();
    let (neighbors, shape) = npy::read_integers(folder.join("faiss_neighbors.npy")).unwrap();
    let similarities = npy::read_rows(folder.join("faiss_similarities.npy")).unwrap();
    let k = shape[1];
    assert_eq!(shape, [rows.len(), similarities.columns()]);
    let everyone = GraphOptions { candidates: rows.len() - 1, neighbors: k, scoring: Scoring::F32 };
    let graphs: [ProximityGraph; 3] = [
        knn_graph(rows.rows(), None, k).unwrap(),
        knn_graph_by(rows.rows(), None, k, Scoring::Bf16).unwrap(),
        proximity_graph(rows.rows(), None, &everyone, lookalike_base::Seed(1), 0).unwrap().0,
    ];
    for graph in graphs {
        let mut exchanged = 0;
        for own in 0..rows.len() {
            let expected = &neighbors[own * k..][..k];
            let found = graph.neighbors(own as u32).iter().zip(graph.similarities(own as u32));
            for (place, (other, similarity)) in found.enumerate() {
                // The most similar, the next, and so on are as similar as faiss says.
                assert!((similarity - similarities.row(own)[place]).abs() < ALIKE, "{own} {place}");
                exchanged += usize::from(i64::from(*other) != expected[place]);
                if !expected.contains(&i64::from(*other)) {
                    // One that faiss did not return is as similar as the last that it did.
                    assert!((similarity - similarities.row(own)[k - 1]).abs() < ALIKE, "{own} {other}");
                }
            }
        }
        // Duplicates, mostly; all others are in their places.
        assert!(exchanged < rows.len() * k / 50, "{exchanged}");
    }
}
