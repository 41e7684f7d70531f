//! How fast batches are walked: `cargo run --release -p lookalike-sampling --example walk_speed [RESTART [N…]]`.
//!
//! Whole epochs of B = 256 on random graphs with K = 100, planned in segments of 100 batches as a sampler with the default
//! `refresh_every` does, on one thread. Prints a line for each: N, coverage, batches a second over the epoch (all that
//! a segment costs included; seconds of a core, not of the clock), and microseconds a batch by tenth of the epoch. Needs 1.2 GB.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::time::Instant;

use lookalike_base::Seed;
use lookalike_sampling::{
    Coverage, InstanceSet, LastBatch, Method, Moves, PlanInput, ProximityGraph, batches_per_epoch,
    plan_segment,
};

const BATCH_SIZE: usize = 256;
const NEIGHBORS: usize = 100;
const SEGMENT: usize = 100;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let restart = std::env::args().nth(1).map_or(Ok(0.1), |argument| argument.parse::<f32>())?;
    let sizes: Vec<usize> = std::env::args().skip(2).map(|size| size.parse()).collect::<Result<_, _>>()?;
    for instances in if sizes.is_empty() { vec![100_000, 1_000_000] } else { sizes } {
        let graph = random_graph(instances)?;
        for coverage in [Coverage::Repeat, Coverage::Cover] {
            measure(&graph, coverage, restart)?;
        }
    }
    Ok(())
}

/// K random others for each instance.
fn random_graph(instances: usize) -> Result<ProximityGraph, Box<dyn std::error::Error>> {
    let mut stream = Seed(1).stream("graph", 0, 0, 0);
    let mut neighbors = Vec::with_capacity(instances * NEIGHBORS);
    for own in 0..instances as u32 {
        for _ in 0..NEIGHBORS {
            let other = stream.below(instances as u32 - 1);
            neighbors.push(other + u32::from(other >= own));
        }
    }
    let similarities = vec![0.5; neighbors.len()];
    Ok(ProximityGraph::from_edges(&vec![NEIGHBORS as u32; instances], neighbors, similarities)?)
}

/// Seconds that this thread was on a core, which other programs on the machine do not lengthen; where the system does not
/// tell, seconds since `started`.
fn cpu_seconds(started: Instant) -> f64 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = told.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    nanoseconds.map_or_else(|| started.elapsed().as_secs_f64(), |nanoseconds| nanoseconds as f64 * 1e-9)
}

/// Plans an epoch and prints how long it took.
fn measure(
    graph: &ProximityGraph,
    coverage: Coverage,
    restart: f32,
) -> Result<(), Box<dyn std::error::Error>> {
    let instances = graph.instances();
    let total = batches_per_epoch(instances, BATCH_SIZE, LastBatch::Drop);
    let started = Instant::now();
    let mut used = InstanceSet::new(instances);
    let mut deciles = [(0.0, 0); 10];
    for first_batch in (0..total).step_by(SEGMENT) {
        let batches = SEGMENT.min(total - first_batch);
        let begun = cpu_seconds(started);
        let segment = plan_segment(&PlanInput {
            instances,
            batch_size: BATCH_SIZE,
            last_batch: LastBatch::Drop,
            multiple: 1,
            coverage,
            method: Method::Walk(Moves { graph, restart, weights: None }),
            uniform_fraction: 0.0,
            groups: None,
            labels: None,
            seed: Seed(1),
            epoch: 0,
            first_batch,
            batches,
            used: &used,
        })?;
        used.extend(segment.batches.into_iter().flatten());
        let (seconds, counted) = &mut deciles[first_batch * 10 / total];
        *seconds += cpu_seconds(started) - begun;
        *counted += batches;
    }
    let seconds: f64 = deciles.iter().map(|(seconds, _)| seconds).sum();
    let micros: Vec<String> = deciles
        .iter()
        .map(|(seconds, counted)| format!("{:.0}", seconds * 1e6 / f64::from(*counted as u32).max(1.0)))
        .collect();
    let name = if coverage == Coverage::Cover { "cover" } else { "repeat" };
    println!("{instances} {name} {:.0} batches/s; us by tenth {}", total as f64 / seconds, micros.join(" "));
    Ok(())
}
