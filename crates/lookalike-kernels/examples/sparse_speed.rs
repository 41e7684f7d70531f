//! Milliseconds of the sparse product and of read-outs:
//! `cargo run --release -p lookalike-kernels --example sparse_speed`.
//!
//! Prints one line a case: `<case> <who> <milliseconds> <GB/s>`. Bytes are those that have to move if nothing
//! stays in a cache but the rows being summed: a row of the dense matrix and a column number for each entry,
//! a row of the result. `copy` is what the machine reaches on as many rows as the result has, read and
//! written. `benchmarks/sparse-product/run.sh` sets `torch.sparse` beside it.

#![expect(clippy::print_stdout, reason = "a benchmark prints its result")]

use std::hint::black_box;
use std::time::Instant;

use lookalike_base::{Seed, Stream};
use lookalike_kernels::KernelError;
use lookalike_kernels::sparse::segment::{Scale, total};
use lookalike_kernels::sparse::{Csr, product};
use rayon::prelude::*;

/// Graphs, nodes of each, neighbours of a node, columns.
const CASES: &[(&str, usize, usize, usize, usize)] = &[
    ("nci1-batch-128x30-deg2-32", 128, 30, 2, 32),
    ("collab-batch-128x74-deg66-32", 128, 74, 66, 32),
    ("one-graph-100000-deg10-128", 1, 100_000, 10, 128),
    ("one-graph-3000-deg4-512", 1, 3000, 4, 512),
];

const ROUNDS: usize = 30;

fn main() -> Result<(), KernelError> {
    for (name, graphs, nodes, degree, columns) in CASES {
        let mut stream = Seed(1).stream("sparse speed", 0, 0, 0);
        let blocks: Vec<Csr> =
            (0..*graphs).map(|_| random(*nodes, *degree, &mut stream)).collect::<Result<_, _>>()?;
        let matrix = Csr::block_diagonal(&blocks)?;
        let dense: Vec<f32> = (0..matrix.width() * columns).map(|_| stream.unit()).collect();
        let bytes = 4 * (matrix.entries() * (columns + 1) + matrix.len() * columns);
        report(name, "product", bytes, || product(&matrix, &dense, *columns));
        let values = (0..matrix.entries()).map(|_| stream.unit()).collect();
        let valued = matrix.clone().with_values(values)?;
        report(name, "product-of-values", bytes + 4 * matrix.entries(), || {
            product(&valued, &dense, *columns)
        });
        let offsets: Vec<usize> = (0..=*graphs).map(|graph| graph * nodes).collect();
        report(name, "read-out", 4 * dense.len(), || total(Scale::Sum, &offsets, &dense, *columns));
        report(name, "copy", 8 * dense.len(), || {
            let mut copy = vec![0.0_f32; dense.len()];
            copy.par_chunks_mut(1 << 14)
                .zip(dense.par_chunks(1 << 14))
                .for_each(|(to, from)| to.copy_from_slice(from));
            copy
        });
    }
    Ok(())
}

fn random(nodes: usize, degree: usize, stream: &mut Stream) -> Result<Csr, KernelError> {
    let rows = (0..nodes).map(|_| {
        let neighbors = stream.distinct(degree as u32, nodes as u32);
        neighbors.into_iter().map(|neighbor| (neighbor, 1.0)).collect::<Vec<_>>()
    });
    Ok(Csr::from_rows(rows.collect::<Vec<_>>(), nodes)?.without_values())
}

/// The median of `ROUNDS` rounds.
fn report<T>(case: &str, who: &str, bytes: usize, mut work: impl FnMut() -> T) {
    let mut seconds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let began = Instant::now();
            black_box(work());
            began.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    let median = seconds[ROUNDS / 2];
    println!("{case} {who} {:.4} {:.1}", median * 1e3, bytes as f64 / median / 1e9);
}
