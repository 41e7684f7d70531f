//! `lookalike bench graph`

use std::hint::black_box;
use std::time::Instant;

use lookalike_base::progress::{Cancellation, ProgressDisplay};
use lookalike_base::{Matrix, Seed, Watch};
use lookalike_kernels::level;
use lookalike_kernels::map::Precision;
use lookalike_kernels::product::{Operand, multiply};
use lookalike_sampling::{GraphOptions, SamplingError, Scoring, proximity_graph};
use serde::Serialize;

use crate::failure::Failure;
use crate::output::say;
use crate::progress::Terminal;
use crate::table::Table;

/// Values of all rows, at most: 64 GiB.
const MOST_VALUES: usize = 1 << 34;
/// The product that graphs are measured by: rows, terms and columns.
const PRODUCT: [usize; 3] = [2048, 256, 2048];
/// Products of a round, of which the fastest counts: it is how fast the machine can be at that moment.
const PRODUCTS: usize = 5;

#[derive(clap::Args)]
pub(super) struct GraphArguments {
    /// Rows of noise, each an instance
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    rows: usize,
    /// Values of a row
    #[arg(long, default_value_t = 128, value_name = "D")]
    dimension: usize,
    /// Random candidates of each row; all others, N − 1, make the graph exact
    #[arg(long, default_value_t = 1000, value_name = "M")]
    candidates: usize,
    /// Neighbors of each row that are kept
    #[arg(long, default_value_t = 100, value_name = "K")]
    neighbors: usize,
    /// The number format in which candidates are compared
    #[arg(long, value_enum, default_value = "f32")]
    scoring: Scoring,
    /// Graphs that are built, each from candidates of its own, after one that is not timed
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Print one line of JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// What graphs cost.
#[derive(Serialize)]
struct GraphCost {
    rows: usize,
    dimension: usize,
    candidates: usize,
    neighbors: usize,
    scoring: Scoring,
    /// The instructions that compared candidates.
    instructions: &'static str,
    threads: usize,
    /// Of each graph.
    seconds: Vec<f64>,
    /// Their median.
    median_seconds: f64,
    /// 2 · N · M · D by the median: billions of operations a second, however products came about.
    gflops: f64,
    /// That of a product of matrices in `f32`, 2048 × 256 by 256 × 2048, between the graphs.
    product_gflops: f64,
    /// The first by the second.
    share_of_product: f64,
    /// Bytes.
    peak_memory: Option<u64>,
}

pub(super) fn graph(arguments: &GraphArguments, cancellation: &Cancellation) -> Result<(), Failure> {
    let cost = measure(arguments, cancellation)?;
    if arguments.json { say(serde_json::to_string(&cost)?) } else { say(table(&cost)) }
}

fn measure(arguments: &GraphArguments, cancellation: &Cancellation) -> Result<GraphCost, Failure> {
    let GraphArguments { rows, dimension, candidates, neighbors, scoring, rounds, .. } = *arguments;
    if rows < 2 || dimension == 0 || rounds == 0 {
        return Err(Failure::usage("--rows is at least 2, --dimension and --rounds at least 1"));
    }
    if candidates >= rows || neighbors > candidates {
        return Err(Failure::usage(format!(
            "--candidates is at most {}, as a row has no more others, and --neighbors at most --candidates",
            rows - 1
        )));
    }
    let values = rows.checked_mul(dimension).filter(|values| *values <= MOST_VALUES);
    let Some(values) = values else {
        return Err(Failure::usage(format!(
            "{rows} rows of {dimension} values are more than {} GiB",
            MOST_VALUES >> 28
        )));
    };
    let matrix = noise(values, dimension)?;
    let options = GraphOptions { candidates, neighbors, scoring, ..GraphOptions::default() };
    let (mut seconds, mut product) = (Vec::with_capacity(rounds), product_gflops());
    for round in 0..=rounds {
        let label = if round == 0 {
            "a graph that is not timed".to_owned()
        } else {
            format!("graph {round} of {rounds}")
        };
        let progress = Terminal.start(rows as u64, &label);
        let watch = Watch { progress: &*progress, cancellation };
        let begun = Instant::now();
        let built = proximity_graph(matrix.rows(), None, &options, Seed(1), round as u64, watch);
        black_box(built.map_err(|error| match error {
            SamplingError::Cancelled => Failure::Interrupted("nothing was measured".to_owned()),
            error => error.into(),
        })?);
        if round > 0 {
            seconds.push(begun.elapsed().as_secs_f64());
        }
        progress.finish();
        product = product.max(product_gflops());
    }
    let mut sorted = seconds.clone();
    sorted.sort_by(f64::total_cmp);
    let median_seconds = sorted[sorted.len() / 2];
    let gflops = 2.0 * rows as f64 * candidates as f64 * dimension as f64 / median_seconds / 1e9;
    let precision = match scoring {
        Scoring::F32 => Precision::F32,
        Scoring::Bf16 => Precision::Bf16,
    };
    Ok(GraphCost {
        rows,
        dimension,
        candidates,
        neighbors,
        scoring,
        instructions: level(precision),
        threads: rayon::current_num_threads(),
        seconds,
        median_seconds,
        gflops,
        product_gflops: product,
        share_of_product: gflops / product,
        peak_memory: lookalike_learn::cost::peak_memory(),
    })
}

/// Rows of noise, the same for the same sizes.
fn noise(values: usize, dimension: usize) -> Result<Matrix, Failure> {
    let mut noise = Vec::new();
    noise.try_reserve_exact(values).map_err(|_| {
        Failure::usage(format!("{} rows of {dimension} values do not fit into memory", values / dimension))
    })?;
    let mut stream = Seed(0).stream("bench graph", 0, 0, 0);
    noise.extend((0..values).map(|_| stream.range(-1.0, 1.0)));
    Ok(Matrix::new(noise, dimension)?)
}

/// The speed of a product of matrices at this moment, in billions of operations a second.
fn product_gflops() -> f64 {
    let [rows, terms, columns] = PRODUCT;
    let values = |count: usize| (0..count).map(|place| (place % 97) as f32 - 48.0).collect::<Vec<f32>>();
    let (left, right) = (values(rows * terms), values(terms * columns));
    let work = 2.0 * (rows * terms * columns) as f64;
    let time = |_| {
        let begun = Instant::now();
        let (left, right) = (Operand::new(&left, rows, terms), Operand::new(&right, terms, columns));
        black_box(multiply(left, right, None, Precision::F32));
        work / begun.elapsed().as_secs_f64() / 1e9
    };
    (0..PRODUCTS).map(time).fold(0.0, f64::max)
}

fn table(cost: &GraphCost) -> Table {
    let mut table = Table::default();
    let (fastest, slowest) = cost
        .seconds
        .iter()
        .fold((f64::MAX, 0.0_f64), |(least, most), seconds| (least.min(*seconds), most.max(*seconds)));
    table.row(
        format!("seconds a graph, median of {} (fastest to slowest)", cost.seconds.len()),
        format!("{:.3} ({fastest:.3} to {slowest:.3})", cost.median_seconds),
    );
    table.row("billions of operations a second", format!("{:.0}", cost.gflops));
    table.row("  of a product of matrices in f32", format!("{:.0}", cost.product_gflops));
    table.row("share of that product's speed", super::percent(cost.share_of_product));
    table.row("instructions", cost.instructions);
    table.row("peak memory", super::memory(cost.peak_memory));
    table
}
