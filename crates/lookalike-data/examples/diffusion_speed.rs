//! Seconds, entries and memory of the approximate `PageRank` of a graph made up here.
//!
//!     cargo run --release -p lookalike-data --features diffusion --example diffusion_speed -- NODES random|power-law EPSILON
//!
//! Both kinds have a mean degree of 10. Of `power-law` each node comes with five edges to nodes before it, drawn by the edges these have
//! (Barabási and Albert 1999).

#![allow(clippy::print_stdout, reason = "this is what it is for")]

use lookalike_base::{Seed, Watch};
use lookalike_data::graph::{DiffusionOptions, Solution, diffuse};
use lookalike_kernels::sparse::Csr;
use std::error::Error;
use std::time::Instant;

const EDGES_A_NODE: usize = 5;

fn edges(nodes: u32, power_law: bool) -> Result<Csr, Box<dyn Error>> {
    let mut stream = Seed(1).stream("graph", 0, 0, 0);
    let (mut rows, mut ends) = (vec![Vec::new(); nodes as usize], vec![0]);
    for node in 1..nodes {
        for _ in 0..EDGES_A_NODE {
            let to =
                if power_law { ends[stream.below(ends.len() as u32) as usize] } else { stream.below(nodes) };
            if to != node {
                rows[node as usize].push((to, 1.0));
                rows[to as usize].push((node, 1.0));
                ends.extend(power_law.then_some(to));
            }
        }
        ends.extend([node].iter().cycle().take(if power_law { EDGES_A_NODE } else { 0 }));
    }
    Ok(Csr::from_rows(rows, nodes as usize)?.without_values())
}

/// The most memory that this process had, in MiB.
fn memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib / 1024)
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [nodes, kind, epsilon] = &arguments[..] else {
        return Err("give NODES random|power-law EPSILON".into());
    };
    let graph = edges(nodes.parse()?, kind == "power-law")?;
    let degrees = (0..graph.len()).map(|node| graph.row(node).len());
    println!(
        "{kind}: {} nodes, {} edges, greatest degree {:?}",
        graph.len(),
        graph.entries() / 2,
        degrees.max()
    );
    let before = memory();
    let options = DiffusionOptions {
        epsilon: epsilon.parse()?,
        solution: Solution::Approximate,
        ..DiffusionOptions::default()
    };
    let started = Instant::now();
    let made = diffuse(&graph, &options, Watch::default())?;
    println!(
        "epsilon {epsilon}: {:.2} s, {} entries, {:.2} % of the mass lost, {:.2} % of a node's at most, {before:?} MiB before, {:?} MiB at most",
        started.elapsed().as_secs_f64(),
        made.matrix.entries(),
        100.0 * made.lost,
        100.0 * made.max_lost,
        memory()
    );
    Ok(())
}
