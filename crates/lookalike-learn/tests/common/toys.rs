//! Graphs that need no download.

use std::fmt::Write;

use lookalike_base::Seed;

/// `graphs` graphs of 6 to 12 nodes in the text format of GIN's code: rings, and stars of the same labels.
pub(crate) fn toys(graphs: usize) -> String {
    let mut text = format!("{graphs}\n");
    for graph in 0..graphs {
        let nodes = 6 + Seed(1).stream("toy", 0, 0, graph as u64).below(7) as usize;
        let class = graph % 2;
        writeln!(text, "{nodes} {class}").unwrap();
        for node in 0..nodes {
            let neighbors: Vec<usize> = match (class, node) {
                (0, _) => vec![(node + 1) % nodes, (node + nodes - 1) % nodes],
                (_, 0) => (1..nodes).collect(),
                _ => vec![0],
            };
            write!(text, "{} {}", node % 3, neighbors.len()).unwrap();
            for neighbor in neighbors {
                write!(text, " {neighbor}").unwrap();
            }
            text.push('\n');
        }
    }
    text
}
