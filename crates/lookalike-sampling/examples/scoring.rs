//! What scoring in bfloat16 gains and loses beside `f32`: `scoring EMBEDDINGS.npy M K ROUNDS`; M = 0 for the K nearest of all.
//!
//! Prints a line for each build, the two in turn, with its seconds, and at the end the share of the edges of the `f32` graph that
//! were found, the share of instances with all of them, and by how much the similarities of the others fall short.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::error::Error;
use std::time::Instant;

use lookalike_base::{Rows, Seed, Watch, npy};
use lookalike_sampling::{GraphOptions, ProximityGraph, Scoring, knn_graph, proximity_graph};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, m, k, rounds] = arguments.as_slice() else {
        return Err("usage: scoring EMBEDDINGS.npy M K ROUNDS".into());
    };
    let (m, k, rounds): (usize, usize, usize) = (m.parse()?, k.parse()?, rounds.parse()?);
    let matrix = npy::read_rows(file)?;
    let (n, d) = (matrix.len(), matrix.columns());
    let name = file.rsplit('/').next().unwrap_or_default();
    let mut graphs = Vec::new();
    for _ in 0..rounds {
        graphs.clear();
        for scoring in [Scoring::F32, Scoring::Bf16] {
            let begun = Instant::now();
            graphs.push(build(matrix.rows(), m, k, scoring)?);
            let seconds = begun.elapsed().as_secs_f64();
            println!("build {name} n={n} d={d} m={m} k={k} scoring={scoring:?} seconds={seconds:.4}");
        }
    }
    let [exact, rounded] = graphs.as_slice() else { return Err("ROUNDS must be at least 1".into()) };
    let (mut found, mut whole, mut shortfall) = (0, 0, 0.0_f32);
    for own in 0..n as u32 {
        let mut expected = exact.neighbors(own).to_vec();
        expected.sort_unstable();
        let common =
            rounded.neighbors(own).iter().filter(|other| expected.binary_search(other).is_ok()).count();
        found += common;
        whole += usize::from(common == expected.len());
        for (expected, found) in exact.similarities(own).iter().zip(rounded.similarities(own)) {
            shortfall = shortfall.max(expected - found);
        }
    }
    println!(
        "recall {name} n={n} d={d} m={m} k={k} edges={:.7} rows={:.6} shortfall={shortfall:.2e}",
        found as f64 / exact.edges() as f64,
        whole as f64 / n as f64,
    );
    Ok(())
}

fn build(rows: Rows<'_>, m: usize, k: usize, scoring: Scoring) -> Result<ProximityGraph, Box<dyn Error>> {
    if m == 0 {
        return Ok(knn_graph(rows, None, k, None, scoring, Watch::default())?);
    }
    let options = GraphOptions { candidates: m, neighbors: k, scoring, ..GraphOptions::default() };
    Ok(proximity_graph(rows, None, &options, Seed(1), 0, Watch::default())?.0)
}
