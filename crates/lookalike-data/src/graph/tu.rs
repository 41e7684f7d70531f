//! The format of the TU Dortmund data sets (Morris et al. 2020, *TU Dataset*, <https://arxiv.org/abs/2007.08663>): text files
//! `DS_A.txt` (an edge a line, `from, to`), `DS_graph_indicator.txt` (for each node its graph), and where they exist
//! `DS_graph_labels.txt`, `DS_node_labels.txt`, `DS_node_attributes.txt`. Nodes and graphs are numbered from 1.

use super::builder::Listed;
use super::files::Source;
use super::line_reader::{Lines, shortened};
use crate::error::DataError;
use lookalike_base::Matrix;
use std::iter;

/// What the files say.
pub(super) fn read(source: &Source) -> Result<Listed, DataError> {
    let sizes = source.required("_graph_indicator.txt", sizes)?;
    let nodes = sizes.iter().sum();
    let graph_of: Vec<u32> =
        sizes.iter().zip(0..).flat_map(|(size, graph)| iter::repeat_n(graph, *size)).collect();
    let edges = source.required("_A.txt", |lines| edges(lines, &graph_of))?;
    let labels = source.optional("_graph_labels.txt", |lines| {
        integers(lines, sizes.len(), "the label of a graph", "graphs")
    })?;
    let node_labels = source
        .optional("_node_labels.txt", |lines| integers(lines, nodes, "the label of a node", "nodes"))?;
    let attributes = source.optional("_node_attributes.txt", |lines| attributes(lines, nodes))?;
    Ok(Listed { name: source.name().to_owned(), sizes, edges, labels, node_labels, attributes })
}

/// The number of nodes of each graph.
fn sizes(lines: &mut Lines<'_>) -> Result<Vec<usize>, DataError> {
    let mut sizes: Vec<usize> = Vec::new();
    let mut nodes = 0_u32;
    while let Some(graph) = lines.number_on_next::<i64>("the number of a graph")? {
        let last = sizes.len() as i64;
        if graph == last + 1 {
            sizes.push(0);
        } else if graph > last {
            return Err(
                lines.wrong(format!(
                    "graph {graph} follows graph {last}: graph {} has no nodes, or nodes do not stand in the order of their graphs",
                    last + 1
                ))
            );
        } else if graph < last || last == 0 {
            let problem = format!(
                "graph {graph} follows graph {last}; nodes stand in the order of their graphs, from 1"
            );
            return Err(lines.wrong(problem));
        }
        if let Some(size) = sizes.last_mut() {
            *size += 1;
        }
        nodes = nodes.checked_add(1).ok_or_else(|| lines.wrong("more nodes than 32 bits can number"))?;
    }
    if sizes.is_empty() {
        return Err(lines.wrong("the file names no node"));
    }
    Ok(sizes)
}

/// The edges, with nodes numbered from 0.
fn edges(lines: &mut Lines<'_>, graph_of: &[u32]) -> Result<Vec<(u32, u32)>, DataError> {
    let nodes = graph_of.len();
    let mut edges = Vec::new();
    while let Some(line) = lines.next()? {
        let Some((from, to)) = pair(line) else {
            let found = shortened(line);
            return Err(lines.wrong(format!("{found:?} where an edge should stand as two nodes, `from, to`")));
        };
        if let Some(node) = [from, to].into_iter().find(|node| !(1..=nodes as u64).contains(node)) {
            let problem =
                format!("node {node} does not exist: the graph indicator numbers nodes from 1 to {nodes}");
            return Err(lines.wrong(problem));
        }
        let (from, to) = ((from - 1) as u32, (to - 1) as u32);
        let [a, b] = [from, to].map(|node| graph_of[node as usize] + 1);
        if a != b {
            let problem =
                format!("nodes {} and {} are of graphs {a} and {b}; an edge is within one", from + 1, to + 1);
            return Err(lines.wrong(problem));
        }
        edges.push((from, to));
    }
    Ok(edges)
}

fn pair(line: &str) -> Option<(u64, u64)> {
    let (from, to) = line.split_once(',')?;
    Some((from.trim().parse().ok()?, to.trim().parse().ok()?))
}

/// One integer for each of `count` `things`.
fn integers(lines: &mut Lines<'_>, count: usize, what: &str, things: &str) -> Result<Vec<i64>, DataError> {
    let mut values = Vec::new();
    while let Some(value) = lines.number_on_next(what)? {
        if values.len() == count {
            return Err(lines.wrong(format!("there are {count} {things}, and here is one label more")));
        }
        values.push(value);
    }
    ends(lines, values.len(), count, things)?;
    Ok(values)
}

/// As many comma-separated numbers for each node.
fn attributes(lines: &mut Lines<'_>, nodes: usize) -> Result<Matrix, DataError> {
    let (mut values, mut columns, mut rows) = (Vec::new(), 0, 0);
    while let Some(line) = lines.next()? {
        let before = values.len();
        let mut wrong = None;
        for field in line.split(',').map(str::trim) {
            match field.parse::<f32>() {
                Ok(value) if value.is_finite() => values.push(value),
                _ => wrong = wrong.or_else(|| Some(shortened(field))),
            }
        }
        if let Some(field) = wrong {
            return Err(lines.wrong(format!("{field:?} where a finite number should stand")));
        }
        let found = values.len() - before;
        if rows == 0 {
            columns = found;
        }
        if rows == nodes {
            return Err(lines.wrong(format!("there are {nodes} nodes, and here are attributes of one more")));
        }
        if found != columns {
            return Err(lines.wrong(format!("{found} attributes, where the first node has {columns}")));
        }
        rows += 1;
    }
    ends(lines, rows, nodes, "nodes")?;
    Matrix::new(values, columns).map_err(|error| lines.wrong(error.to_string()))
}

/// An error where the file ended after `found` of `count` lines.
fn ends(lines: &Lines<'_>, found: usize, count: usize, things: &str) -> Result<(), DataError> {
    if found == count {
        return Ok(());
    }
    Err(lines.wrong(format!("the file ends after {found} lines, and there are {count} {things}")))
}
