//! Candidates in tiles beside candidates drawn independently: `candidates EMBEDDINGS.npy LABELS.npy M K B BUILDS`.
//!
//! Builds each graph with BUILDS seeds and walks an epoch on each, with the options of the published program (restart 0.1) and both
//! coverages. Prints a line for each graph, quantiles of the similarities of its edges and of its in-degrees, and one for each epoch:
//! hardness, false-negative rate, how many instances came, and how many batches a pair of instances that met shared on average.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::collections::HashMap;
use std::error::Error;
use std::time::Instant;

use lookalike_base::{Matrix, Seed, Watch, npy};
use lookalike_metrics::{false_negative_rate, hardness};
use lookalike_sampling::{
    CandidateDraw, Coverage, GraphOptions, InstanceSet, LastBatch, PlanInput, ProximityGraph, Strategy,
    Transition, batches_per_epoch, plan_segment, proximity_graph,
};

const RESTART: f32 = 0.1;
const QUANTILES: [f64; 9] = [0.0, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [embeddings, labels, sizes @ ..] = arguments.as_slice() else { return Err(USAGE.into()) };
    let sizes: Vec<usize> = sizes.iter().map(|size| size.parse()).collect::<Result<_, _>>()?;
    let &[candidates, neighbors, batch_size, builds] = sizes.as_slice() else { return Err(USAGE.into()) };
    let name = embeddings.rsplit('/').next().unwrap_or_default().to_owned();
    let embeddings = npy::read_rows(embeddings)?;
    let labels: Vec<u32> =
        npy::read_integers(labels)?.0.into_iter().map(u32::try_from).collect::<Result<_, _>>()?;
    let options = GraphOptions { candidates, neighbors, ..GraphOptions::default() };
    for build in 0..builds as u64 {
        let begun = Instant::now();
        let tiles = proximity_graph(embeddings.rows(), None, &options, Seed(1), build, Watch::default())?.0;
        let independent = GraphOptions { draw: CandidateDraw::Independent, ..options };
        let between = begun.elapsed().as_secs_f64();
        let drawn =
            proximity_graph(embeddings.rows(), None, &independent, Seed(1), build, Watch::default())?.0;
        let seconds = [between, begun.elapsed().as_secs_f64() - between];
        for ((kind, graph), seconds) in [("tiles", &tiles), ("independent", &drawn)].into_iter().zip(seconds)
        {
            println!("graph {name} {kind} build={build} seconds={seconds:.3} {}", shape(graph));
            for coverage in [Coverage::Repeat, Coverage::Cover] {
                let batches = epoch(graph, batch_size, coverage, build)?;
                println!(
                    "epoch {name} {kind} {coverage:?} build={build} {}",
                    judge(&batches, &embeddings, &labels)?
                );
            }
        }
    }
    Ok(())
}

const USAGE: &str = "usage: candidates EMBEDDINGS.npy LABELS.npy M K B BUILDS";

/// Quantiles of similarities and in-degrees, and the share of edges that go both ways.
fn shape(graph: &ProximityGraph) -> String {
    let (_, others, similarities) = graph.parts();
    let mut degrees = vec![0.0_f32; graph.instances()];
    for other in others {
        degrees[*other as usize] += 1.0;
    }
    let quantiles = |mut values: Vec<f32>| {
        values.sort_unstable_by(f32::total_cmp);
        let places = QUANTILES.map(|share| values[((values.len() - 1) as f64 * share).round() as usize]);
        places.map(|value| format!("{value:.4}")).join(",")
    };
    let instances = graph.instances() as u32;
    let mutual: usize = (0..instances)
        .map(|own| {
            graph.neighbors(own).iter().filter(|other| graph.neighbors(**other).contains(&own)).count()
        })
        .sum();
    format!(
        "similarity={} in_degree={} mutual={:.4}",
        quantiles(similarities.to_vec()),
        quantiles(degrees),
        mutual as f64 / graph.edges() as f64
    )
}

fn epoch(
    graph: &ProximityGraph,
    batch_size: usize,
    coverage: Coverage,
    epoch: u64,
) -> Result<Vec<Vec<u32>>, Box<dyn Error>> {
    let instances = graph.instances();
    Ok(plan_segment(
        &PlanInput {
            instances,
            batch_size,
            last_batch: LastBatch::Drop,
            multiple: 1,
            coverage,
            strategy: Strategy::Walk(Transition { graph, restart: RESTART, weights: None }),
            uniform_fraction: 0.0,
            groups: None,
            ceiling: None,
            labels: None,
            seed: Seed(1),
            epoch,
            first_batch: 0,
            batches: batches_per_epoch(instances, batch_size, LastBatch::Drop),
            used: &InstanceSet::new(instances),
        },
        Watch::default(),
    )?
    .batches)
}

fn judge(batches: &[Vec<u32>], embeddings: &Matrix, labels: &[u32]) -> Result<String, Box<dyn Error>> {
    let (hardness, false_negatives) =
        (hardness(batches, embeddings.rows(), Watch::default())?, false_negative_rate(batches, labels)?);
    let mut seen = InstanceSet::new(embeddings.len());
    seen.extend(batches.iter().flatten().copied());
    let mut meetings: HashMap<(u32, u32), u32> = HashMap::new();
    for batch in batches {
        for (at, one) in batch.iter().enumerate() {
            for other in &batch[at + 1..] {
                *meetings.entry((*one.min(other), *one.max(other))).or_default() += 1;
            }
        }
    }
    let again = meetings.values().map(|times| f64::from(*times)).sum::<f64>() / meetings.len() as f64;
    Ok(format!(
        "hardness={:.5} uniform_hardness={:.5} false_negatives={:.5} uniform_false_negatives={:.5} reach={:.4} \
         meetings={again:.4}",
        hardness.similarity,
        hardness.uniform,
        false_negatives.rate,
        false_negatives.uniform,
        seen.count() as f64 / embeddings.len() as f64
    ))
}
