//! How fast batches are walked: `cargo run --release -p lookalike-sampling --example walk_speed [RESTART [N…]]`.
//!
//! Whole epochs of B = 256 on random graphs with K = 100, planned in segments of 100 batches as a sampler with the default
//! `refresh_every` does, on one thread. Prints a line for each: N, what was walked, batches a second over the epochs (all that
//! a segment costs included; seconds of a core, not of the clock), and microseconds a batch by tenth of the epoch. Then the
//! hardness by tenth of covering and repeating epochs on the proximity graph of 100,000 points in 20 clusters. Needs 2 GB.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::time::Instant;

use lookalike_base::{Matrix, Seed, Watch};
use lookalike_sampling::{
    Coverage, EdgeWeights, GraphOptions, Groups, InstanceSet, LastBatch, PlanInput, ProximityGraph, Strategy,
    Transition, batches_per_epoch, decile_hardness, plan_segment, proximity_graph,
};

const BATCH_SIZE: usize = 256;
const NEIGHBORS: usize = 100;
const SEGMENT: usize = 100;

/// Epochs are walked until so many instances were drawn, so that those of small data sets can be timed too.
const DRAWN: usize = 2_000_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let restart = std::env::args().nth(1).map_or(Ok(0.1), |argument| argument.parse::<f32>())?;
    let sizes: Vec<usize> = std::env::args().skip(2).map(|size| size.parse()).collect::<Result<_, _>>()?;
    for instances in if sizes.is_empty() { vec![100_000, 1_000_000] } else { sizes } {
        let graph = random_graph(instances)?;
        let weights = EdgeWeights::new(&graph, 0.2)?;
        let pairs: Vec<u64> = (0..instances as u64).map(|instance| instance / 2).collect();
        let pairs = Groups::new(&pairs);
        let used = InstanceSet::new(instances);
        let repeat = input(&graph, restart, Coverage::Repeat, &used);
        let cover = input(&graph, restart, Coverage::Cover, &used);
        let weighted = Strategy::Walk(Transition { graph: &graph, restart, weights: Some(&weights) });
        for (name, input) in [
            ("repeat", repeat),
            ("cover", cover),
            ("repeat-weighted", PlanInput { strategy: weighted, ..repeat }),
            ("cover-weighted", PlanInput { strategy: weighted, ..cover }),
            ("cover-groups-of-2", PlanInput { groups: Some(&pairs), ..cover }),
            ("cover-uniform-0.25", PlanInput { uniform_fraction: 0.25, ..cover }),
        ] {
            measure(name, &input)?;
        }
    }
    for (name, coverage) in [("repeat", Coverage::Repeat), ("cover", Coverage::Cover)] {
        print_hardness(name, coverage, restart)?;
    }
    Ok(())
}

/// K random others for each instance, the first of them most similar.
fn random_graph(instances: usize) -> Result<ProximityGraph, Box<dyn std::error::Error>> {
    let mut stream = Seed(1).stream("graph", 0, 0, 0);
    let mut neighbors = Vec::with_capacity(instances * NEIGHBORS);
    for own in 0..instances as u32 {
        for _ in 0..NEIGHBORS {
            let other = stream.below(instances as u32 - 1);
            neighbors.push(other + u32::from(other >= own));
        }
    }
    let similarities = (0..neighbors.len()).map(|edge| 1.0 - (edge % NEIGHBORS) as f32 / NEIGHBORS as f32);
    let similarities = similarities.collect();
    Ok(ProximityGraph::from_edges(&vec![NEIGHBORS as u32; instances], neighbors, similarities)?)
}

/// The first segment of an epoch.
fn input<'a>(
    graph: &'a ProximityGraph,
    restart: f32,
    coverage: Coverage,
    used: &'a InstanceSet,
) -> PlanInput<'a> {
    PlanInput {
        instances: graph.instances(),
        batch_size: BATCH_SIZE,
        last_batch: LastBatch::Drop,
        multiple: 1,
        coverage,
        strategy: Strategy::Walk(Transition { graph, restart, weights: None }),
        uniform_fraction: 0.0,
        groups: None,
        ceiling: None,
        labels: None,
        seed: Seed(1),
        epoch: 0,
        first_batch: 0,
        batches: SEGMENT,
        used,
    }
}

/// Seconds that this thread was on a core, which other programs on the machine do not lengthen; where the system does not
/// tell, seconds since `started`.
fn cpu_seconds(started: Instant) -> f64 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = told.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    nanoseconds.map_or_else(|| started.elapsed().as_secs_f64(), |nanoseconds| nanoseconds as f64 * 1e-9)
}

/// Plans an epoch segment by segment; `planned` gets the first batch of each, its batches, and the seconds it took.
fn plan_epoch(
    input: &PlanInput<'_>,
    mut planned: impl FnMut(usize, &[Vec<u32>], f64),
) -> Result<(), Box<dyn std::error::Error>> {
    let total = batches_per_epoch(input.instances, BATCH_SIZE, LastBatch::Drop);
    let started = Instant::now();
    let mut used = InstanceSet::new(input.instances);
    for first_batch in (0..total).step_by(SEGMENT) {
        let batches = SEGMENT.min(total - first_batch);
        let begun = cpu_seconds(started);
        let segment =
            plan_segment(&PlanInput { first_batch, batches, used: &used, ..*input }, Watch::default())?;
        planned(first_batch, &segment.batches, cpu_seconds(started) - begun);
        used.extend(segment.batches.into_iter().flatten());
    }
    Ok(())
}

/// Plans epochs and prints how long they took.
fn measure(name: &str, input: &PlanInput<'_>) -> Result<(), Box<dyn std::error::Error>> {
    let total = batches_per_epoch(input.instances, BATCH_SIZE, LastBatch::Drop);
    let epochs = DRAWN.div_ceil(input.instances);
    let mut deciles = [(0.0, 0); 10];
    for epoch in 0..epochs as u64 {
        plan_epoch(&PlanInput { epoch, ..*input }, |first_batch, batches, seconds| {
            let (sum, counted) = &mut deciles[first_batch * 10 / total];
            *sum += seconds;
            *counted += batches.len() as u32;
        })?;
    }
    let seconds: f64 = deciles.iter().map(|(seconds, _)| seconds).sum();
    let micros: Vec<String> = deciles
        .iter()
        .map(|(seconds, counted)| format!("{:.0}", seconds * 1e6 / f64::from(*counted).max(1.0)))
        .collect();
    let rate = (total * epochs) as f64 / seconds;
    println!("{} {name} {rate:.0} batches/s; us by tenth {}", input.instances, micros.join(" "));
    Ok(())
}

/// Prints the hardness by tenth of an epoch on points in clusters.
fn print_hardness(name: &str, coverage: Coverage, restart: f32) -> Result<(), Box<dyn std::error::Error>> {
    let (instances, columns, clusters) = (100_000, 32, 20);
    let mut stream = Seed(1).stream("points", 0, 0, 0);
    let centres: Vec<f32> = (0..clusters * columns).map(|_| stream.normal()).collect();
    let value = |at: usize| centres[at / columns % clusters * columns + at % columns] + 0.7 * stream.normal();
    let points = Matrix::new((0..instances * columns).map(value).collect(), columns)?;
    let options = GraphOptions { candidates: 1000, neighbors: NEIGHBORS, ..GraphOptions::default() };
    let (graph, _) = proximity_graph(points.rows(), None, &options, Seed(1), 0, Watch::default())?;
    let (used, mut plan) = (InstanceSet::new(instances), Vec::new());
    plan_epoch(&input(&graph, restart, coverage, &used), |_, batches, _| plan.extend_from_slice(batches))?;
    let deciles = decile_hardness(&plan, points.rows())?;
    let deciles: Vec<String> =
        deciles.iter().map(|decile| format!("{:.3}", decile.unwrap_or_default())).collect();
    println!("hardness {name} by tenth {}", deciles.join(" "));
    Ok(())
}
