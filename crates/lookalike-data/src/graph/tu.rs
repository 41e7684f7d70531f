//! The format of the TU Dortmund data sets (Morris et al. 2020, *TU Dataset*,
//! <https://arxiv.org/abs/2007.08663>): text files `DS_A.txt` (an edge a line, `from, to`),
//! `DS_graph_indicator.txt` (for each node its graph), and where they exist `DS_graph_labels.txt`,
//! `DS_node_labels.txt`, `DS_node_attributes.txt`. Nodes and graphs are numbered from 1.

use super::builder::ParsedGraphs;
use super::files::GraphFiles;
use super::line_reader::{LineReader, shortened};
use crate::error::DataError;
use lookalike_base::Matrix;
use std::iter;

/// What the files say.
pub(super) fn read(files: &GraphFiles) -> Result<ParsedGraphs, DataError> {
    let sizes = files.required("_graph_indicator.txt", sizes)?;
    let nodes = sizes.iter().sum();
    let graph_of: Vec<u32> =
        sizes.iter().zip(0..).flat_map(|(size, graph)| iter::repeat_n(graph, *size)).collect();
    let edges = files.required("_A.txt", |lines| edges(lines, &graph_of))?;
    let labels = files.optional("_graph_labels.txt", |lines| {
        integers(lines, sizes.len(), "the label of a graph", "graphs")
    })?;
    let node_labels =
        files.optional("_node_labels.txt", |lines| integers(lines, nodes, "the label of a node", "nodes"))?;
    let attributes = files.optional("_node_attributes.txt", |lines| attributes(lines, nodes))?;
    Ok(ParsedGraphs { name: files.name().to_owned(), sizes, edges, labels, node_labels, attributes })
}

/// The number of nodes of each graph.
fn sizes(lines: &mut LineReader<'_>) -> Result<Vec<usize>, DataError> {
    let mut sizes: Vec<usize> = Vec::new();
    let mut nodes = 0_u32;
    while let Some(graph) = lines.number_on_next::<i64>("the number of a graph")? {
        let last = sizes.len() as i64;
        if graph == last + 1 {
            sizes.push(0);
        } else if graph > last {
            let problem = format!(
                "graph {graph} follows graph {last}; graph {} has no nodes, or the nodes are not sorted by graph",
                last + 1
            );
            return Err(lines.wrong(problem));
        } else if graph < last || last == 0 {
            let problem =
                format!("graph {graph} follows graph {last}; nodes must be sorted by graph, numbered from 1");
            return Err(lines.wrong(problem));
        }
        if let Some(size) = sizes.last_mut() {
            *size += 1;
        }
        nodes = nodes.checked_add(1).ok_or_else(|| lines.wrong("more than 4294967295 nodes, the limit"))?;
    }
    if sizes.is_empty() {
        return Err(lines.wrong("the file holds no nodes"));
    }
    Ok(sizes)
}

/// The edges, with nodes numbered from 0.
fn edges(lines: &mut LineReader<'_>, graph_of: &[u32]) -> Result<Vec<(u32, u32)>, DataError> {
    let nodes = graph_of.len();
    let mut edges = Vec::new();
    while let Some(line) = lines.next()? {
        let Some((from, to)) = pair(line) else {
            let found = shortened(line);
            return Err(lines.wrong(format!("expected an edge as two nodes, `from, to`, found {found:?}")));
        };
        if let Some(node) = [from, to].into_iter().find(|node| !(1..=nodes as u64).contains(node)) {
            let problem = format!("node {node} does not exist; the graph indicator lists nodes 1 to {nodes}");
            return Err(lines.wrong(problem));
        }
        let (from, to) = ((from - 1) as u32, (to - 1) as u32);
        let [a, b] = [from, to].map(|node| graph_of[node as usize] + 1);
        if a != b {
            let problem = format!(
                "the edge joins node {} of graph {a} and node {} of graph {b}; both must be in one graph",
                from + 1,
                to + 1
            );
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
fn integers(
    lines: &mut LineReader<'_>,
    count: usize,
    what: &str,
    things: &str,
) -> Result<Vec<i64>, DataError> {
    let mut values = Vec::new();
    while let Some(value) = lines.number_on_next(what)? {
        if values.len() == count {
            return Err(lines.wrong(format!("more labels than the {count} {things}")));
        }
        values.push(value);
    }
    ends(lines, values.len(), count, things)?;
    Ok(values)
}

/// One row of comma-separated numbers for each node, all of one length.
fn attributes(lines: &mut LineReader<'_>, nodes: usize) -> Result<Matrix, DataError> {
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
            return Err(lines.wrong(format!("expected a finite number, found {field:?}")));
        }
        let found = values.len() - before;
        if rows == 0 {
            columns = found;
        }
        if rows == nodes {
            return Err(lines.wrong(format!("more attribute rows than the {nodes} nodes")));
        }
        if found != columns {
            return Err(lines.wrong(format!("{found} attributes, but the first node has {columns}")));
        }
        rows += 1;
    }
    ends(lines, rows, nodes, "nodes")?;
    Matrix::new(values, columns).map_err(|error| lines.wrong(error.to_string()))
}

/// Fails where the file ended after `found` of `count` lines.
fn ends(lines: &LineReader<'_>, found: usize, count: usize, things: &str) -> Result<(), DataError> {
    if found == count {
        return Ok(());
    }
    Err(lines.wrong(format!("the file ends after {found} lines, but there are {count} {things}")))
}
