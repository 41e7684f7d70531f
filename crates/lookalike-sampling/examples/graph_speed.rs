//! Times graphs and a matrix product: `graph_speed WORK N D M K ROUNDS [FILE]`.
//!
//! WORK is `proximity` (M candidates, K kept), `knn` (K nearest of all; M is not read), `mapped` (as `proximity`, of the rows
//! of FILE, which `write` makes), `mean` or `cross` (as `proximity`, of pairs of D columns each), `positive` (what leaving out edges by
//! the similarity to the positive takes on such a graph) or `gemm` (N×D times D×M; K is not read). `proximity-bf16` and `knn-bf16` score in
//! bfloat16 first. Prints a line a round: the work with its sizes,
//! seconds, billions of operations a second, where a product of two rows counts 2·D of them however it came about, and the
//! largest memory so far, in MB: of the process, and of it what is no page of a file (looked at every 20 ms).

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]
#![expect(unsafe_code, reason = "gemm takes pointers and strides")]

use std::error::Error;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lookalike_base::{MappedRows, Matrix, RowSource, Seed, Watch, npy};
use lookalike_sampling::{GraphOptions, PairRows, ProximityGraph, Scoring, knn_graph, proximity_graph};
use rayon::prelude::*;

const USAGE: &str = "usage: graph_speed proximity|proximity-bf16|knn|knn-bf16|mapped|mean|cross|positive|write|gemm N D M K ROUNDS [FILE]";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [work, n, d, m, k, rounds, file @ ..] = arguments.as_slice() else { return Err(USAGE.into()) };
    let sizes: Vec<usize> = [n, d, m, k, rounds].iter().map(|size| size.parse()).collect::<Result<_, _>>()?;
    let &[n, d, m, k, rounds] = sizes.as_slice() else { return Err(USAGE.into()) };
    let file = file.first().map(String::as_str).unwrap_or_default();
    let (kind, scoring) = match work.strip_suffix("-bf16") {
        Some(kind) => (kind, Scoring::Bf16),
        None => (work.as_str(), Scoring::F32),
    };
    match kind {
        "write" => npy::write_rows(file, random(n, d)?.rows())?,
        "gemm" => gemm(n, d, m, rounds)?,
        "knn" => {
            let rows = random(n, d)?;
            measure(work, [n, d, n - 1, k], rounds, |_| {
                Ok(knn_graph(rows.rows(), None, k, None, scoring, Watch::default())?.edges())
            })?;
        }
        "proximity" => {
            let rows = random(n, d)?;
            measure(work, [n, d, m, k], rounds, |round| {
                Ok(proximity(rows.rows(), None, scoring, m, k, round)?.edges())
            })?;
        }
        "mean" | "cross" => {
            let rows = random(n, 2 * d)?;
            let pairs = if work == "mean" { PairRows::Mean } else { PairRows::Cross };
            let compared = if work == "mean" { d } else { 2 * d };
            measure(work, [n, compared, m, k], rounds, |round| {
                Ok(proximity(rows.rows(), Some(pairs), scoring, m, k, round)?.edges())
            })?;
        }
        "positive" => {
            let rows = random(n, 2 * d)?;
            let graph = proximity(rows.rows(), Some(PairRows::Cross), scoring, m, k, 0)?;
            measure(work, [n, 2 * d, 2 * k, k], rounds, |_| {
                black_box(graph.below_positive(rows.rows(), 0.95)?);
                Ok(graph.edges())
            })?;
        }
        "mapped" => {
            let rows = MappedRows::open(file)?;
            let sizes = [rows.len(), rows.columns(), m, k];
            measure(work, sizes, rounds, |round| Ok(proximity(&rows, None, scoring, m, k, round)?.edges()))?;
        }
        _ => return Err(USAGE.into()),
    }
    Ok(())
}

fn random(n: usize, d: usize) -> Result<Matrix, Box<dyn Error>> {
    let mut values = vec![0.0; n * d];
    values.par_chunks_mut(d).enumerate().for_each(|(row, values)| {
        let mut stream = Seed(0).stream("benchmark", 0, 0, row as u64);
        values.fill_with(|| stream.range(-1.0, 1.0));
    });
    Ok(Matrix::new(values, d)?)
}

fn proximity(
    rows: impl RowSource,
    pairs: Option<PairRows>,
    scoring: Scoring,
    m: usize,
    k: usize,
    round: usize,
) -> Result<ProximityGraph, Box<dyn Error>> {
    let options = GraphOptions { candidates: m, neighbors: k, pairs, scoring, ..GraphOptions::default() };
    Ok(proximity_graph(rows, None, &options, Seed(1), round as u64, Watch::default())?.0)
}

fn measure(
    work: &str,
    [n, d, m, k]: [usize; 4],
    rounds: usize,
    build: impl Fn(usize) -> Result<usize, Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    for round in 0..rounds {
        let (done, begun) = (AtomicBool::new(false), Instant::now());
        let (edges, seconds, anonymous) = std::thread::scope(|scope| {
            let watch = scope.spawn(|| watch_anonymous(&done));
            let edges = build(round).map_err(|error| error.to_string());
            let seconds = begun.elapsed().as_secs_f64();
            done.store(true, Ordering::Relaxed);
            (edges, seconds, watch.join().unwrap_or(f64::NAN))
        });
        assert_eq!(edges?, n * k);
        report(work, [n, d, m, k], seconds, anonymous);
    }
    Ok(())
}

/// The largest anonymous memory of the process until all is `done`, in MB.
fn watch_anonymous(done: &AtomicBool) -> f64 {
    let mut largest = megabytes("RssAnon:");
    while !done.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(20));
        largest = largest.max(megabytes("RssAnon:"));
    }
    largest
}

/// A line of the process's status, in MB.
fn megabytes(name: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(name));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
    kilobytes.map_or(f64::NAN, |kilobytes| kilobytes * 1.024e-3)
}

fn report(work: &str, [n, d, m, k]: [usize; 4], seconds: f64, anonymous: f64) {
    let rate = 2.0 * n as f64 * m as f64 * d as f64 / seconds / 1e9;
    let peak = megabytes("VmHWM:");
    println!(
        "{work} n={n} d={d} m={m} k={k} seconds={seconds:.4} gflops={rate:.1} peak={peak:.0} anonymous={anonymous:.0}"
    );
}

/// The product of N×D and D×M on all threads, often enough for a tenth of a second a round.
fn gemm(n: usize, d: usize, m: usize, rounds: usize) -> Result<(), Box<dyn Error>> {
    let (left, right, mut product) = (random(n, d)?, random(d, m)?, vec![0.0_f32; n * m]);
    let repeats = (1e10 / (n * d * m) as f64).ceil();
    for _ in 0..rounds {
        let begun = Instant::now();
        for _ in 0..repeats as usize {
            let (left, right) = (left.rows().values().as_ptr(), right.rows().values().as_ptr());
            let (target, threads) = (product.as_mut_ptr(), gemm::Parallelism::Rayon(0));
            // SAFETY: all are row-major with the strides given, and as long as those and the sizes say.
            unsafe {
                gemm::gemm(
                    n, m, d, target, 1, m as isize, false, left, 1, d as isize, right, 1, m as isize, 0.0,
                    1.0, false, false, false, threads,
                );
            }
            black_box(&product);
        }
        report("gemm", [n, d, m, 0], begun.elapsed().as_secs_f64() / repeats, megabytes("RssAnon:"));
    }
    Ok(())
}
