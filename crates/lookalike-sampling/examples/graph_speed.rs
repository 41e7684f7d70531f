//! Times the proximity graph, the exact graph and a matrix product in one run: `graph_speed WORK N D M K ROUNDS`.
//!
//! WORK is `proximity`, `knn` or `gemm`. Prints a line a round: the work, its sizes, seconds, and billions of
//! operations a second, where a product of two rows counts 2·d of them however it came about.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::time::Instant;

use lookalike_base::{Matrix, Seed};
use lookalike_sampling::{GraphOptions, knn_graph, proximity_graph};
use rayon::prelude::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [work, sizes @ ..] = arguments.as_slice() else { return Err("WORK N D M K ROUNDS".into()) };
    let sizes: Vec<usize> = sizes.iter().map(|size| size.parse()).collect::<Result<_, _>>()?;
    let &[n, d, m, k, rounds] = sizes.as_slice() else { return Err("WORK N D M K ROUNDS".into()) };
    let mut values = vec![0.0; n * d];
    values.par_chunks_mut(d).enumerate().for_each(|(row, values)| {
        let mut stream = Seed(0).stream("benchmark", 0, 0, row as u64);
        values.fill_with(|| stream.range(-1.0, 1.0));
    });
    let embeddings = Matrix::new(values, d)?;
    for round in 0..rounds {
        let begun = Instant::now();
        let compared = match work.as_str() {
            "proximity" => {
                let options = GraphOptions { candidates: m, neighbors: k };
                let (graph, _) = proximity_graph(embeddings.rows(), None, &options, Seed(1), round as u64)?;
                assert_eq!(graph.edges(), n * k);
                m
            }
            "knn" => {
                assert_eq!(knn_graph(embeddings.rows(), None, k)?.edges(), n * k);
                n - 1
            }
            _ => return Err("WORK is proximity or knn".into()),
        };
        let seconds = begun.elapsed().as_secs_f64();
        let rate = 2.0 * n as f64 * compared as f64 * d as f64 / seconds / 1e9;
        println!("{work} n={n} d={d} m={compared} k={k} seconds={seconds:.4} gflops={rate:.1}");
    }
    Ok(())
}
