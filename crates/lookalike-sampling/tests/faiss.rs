//! The exact graph beside the neighbours that faiss finds; `tests/fixtures/faiss_knn.py` made them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use lookalike_base::{Watch, npy};
use lookalike_sampling::{GraphOptions, ProximityGraph, Scoring, knn_graph, proximity_graph};

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
    let everyone = GraphOptions { candidates: rows.len() - 1, neighbors: k, ..GraphOptions::default() };
    let graphs: [ProximityGraph; 3] = [
        knn_graph(rows.rows(), None, k, None, Scoring::F32, Watch::default()).unwrap(),
        knn_graph(rows.rows(), None, k, None, Scoring::Bf16, Watch::default()).unwrap(),
        proximity_graph(rows.rows(), None, &everyone, lookalike_base::Seed(1), 0, Watch::default())
            .unwrap()
            .0,
    ];
    let product = |a: usize, b: usize| -> f64 {
        let length = |row: &[f32]| row.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
        let (a, b) = (rows.row(a), rows.row(b));
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>() / (length(a) * length(b))
    };
    for graph in graphs {
        for own in 0..rows.len() {
            let expected = neighbors[own * k..][..k].iter().zip(similarities.row(own));
            let found = graph.neighbors(own as u32).iter().zip(graph.similarities(own as u32));
            for ((other, similarity), (faiss, expected)) in found.zip(expected) {
                assert!((similarity - expected).abs() < ALIKE, "{own}: {similarity}, {expected}");
                let (other, faiss) = (*other as usize, *faiss as usize);
                assert!(
                    (product(own, other) - f64::from(*similarity)).abs() < f64::from(ALIKE),
                    "{own} {other}"
                );
                let difference = (product(own, other) - product(own, faiss)).abs();
                assert!(other == faiss || difference < f64::from(ALIKE), "{own}: {other} for {faiss}");
            }
        }
    }
}
