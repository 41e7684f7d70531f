//! The format of the TU Dortmund data sets (Morris et al. 2020, *TU Dataset*,
//! <https://arxiv.org/abs/2007.08663>): text files `DS_A.txt` (an edge a line, `from, to`),
//! `DS_graph_indicator.txt` (for each node its graph), and where they exist `DS_graph_labels.txt`,
//! `DS_node_labels.txt` (one label or several, with commas between them), `DS_node_attributes.txt`. Nodes and graphs are numbered
//! from 1.

use super::builder::{LabelColumns, ParsedGraphs};
use super::files::GraphFiles;
use super::line_reader::{LineReader, fields, shortened, whole};
use crate::error::DataError;
use lookalike_base::Matrix;
use std::iter;

/// Files of the format that nothing here reads.
const UNREAD: [&str; 3] = ["_edge_labels.txt", "_edge_attributes.txt", "_graph_attributes.txt"];

const GRAPH_LABELS: &str = "_graph_labels.txt";

/// What the files say.
pub(super) fn read(files: &GraphFiles) -> Result<ParsedGraphs, DataError> {
    let labelled = files.optional(GRAPH_LABELS, count)?;
    let sizes = files.required("_graph_indicator.txt", |lines| sizes(lines, labelled))?;
    let nodes = sizes.iter().sum();
    let graph_of: Vec<u32> =
        sizes.iter().zip(0..).flat_map(|(size, graph)| iter::repeat_n(graph, *size)).collect();
    let edges = files.required("_A.txt", |lines| edges(lines, &graph_of))?;
    let labels = files.optional(GRAPH_LABELS, |lines| {
        let labels = read_labels(lines, sizes.len(), "graph")?;
        if labels.columns > 1 {
            let problem =
                format!("{} labels a graph; a graph has one label, so keep one column", labels.columns);
            return Err(lines.wrong_at(1, problem));
        }
        Ok(labels.values)
    })?;
    let node_labels = files.optional("_node_labels.txt", |lines| read_labels(lines, nodes, "node"))?;
    let attributes = files.optional("_node_attributes.txt", |lines| attributes(lines, nodes))?;
    let unread = files.among(&UNREAD)?;
    Ok(ParsedGraphs { name: files.name().to_owned(), sizes, edges, labels, node_labels, attributes, unread })
}

/// How many lines there are.
fn count(lines: &mut LineReader<'_>) -> Result<usize, DataError> {
    let mut count = 0;
    while lines.next()?.is_some() {
        count += 1;
    }
    Ok(count)
}

/// The number of nodes of each graph. A graph may have none where `labelled` graphs have a label, for then a number left out is no
/// slip.
fn sizes(lines: &mut LineReader<'_>, labelled: Option<usize>) -> Result<Vec<usize>, DataError> {
    let mut sizes: Vec<usize> = Vec::new();
    let mut nodes = 0_u32;
    while let Some(graph) = lines.number_on_next::<i64>("the number of a graph")? {
        let last = sizes.len() as i64;
        if graph < 1 && last == 0 {
            return Err(lines.wrong(format!("graphs are numbered from 1, and the file begins with {graph}")));
        }
        if graph < last || graph < 1 {
            let problem =
                format!("graph {graph} follows graph {last}; nodes must be sorted by graph, numbered from 1");
            return Err(lines.wrong(problem));
        }
        if graph > last + 1 && labelled.is_none_or(|labelled| graph > labelled as i64) {
            let reason = match labelled {
                None => "they have no labels that would tell graphs without nodes from a slip".to_owned(),
                Some(labelled) => format!("{labelled} graphs have labels"),
            };
            let after =
                if last == 0 { "begins the file".to_owned() } else { format!("follows graph {last}") };
            return Err(lines.wrong(format!("graph {graph} {after}, and {reason}")));
        }
        sizes.resize(graph as usize, 0);
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
        if let Some(node) = [from, to].into_iter().find(|node| !(1..=nodes as i64).contains(node)) {
            let numbered = if node < 1 { ", numbered from 1" } else { "" };
            let problem =
                format!("node {node} does not exist; the graph indicator lists nodes 1 to {nodes}{numbered}");
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

fn pair(line: &str) -> Option<(i64, i64)> {
    let mut ends = fields(line).map(whole);
    let (from, to) = (ends.next()??, ends.next()??);
    ends.next().is_none().then_some((from, to))
}

/// Labels of each of `count` things called `thing`, the same number of each.
fn read_labels(lines: &mut LineReader<'_>, count: usize, thing: &str) -> Result<LabelColumns, DataError> {
    let mut labels = LabelColumns::default();
    let mut rows = 0;
    while let Some(line) = lines.next()? {
        let before = labels.values.len();
        let mut wrong = None;
        for field in fields(line) {
            match whole(field) {
                Some(label) => labels.values.push(label),
                None => wrong = wrong.or_else(|| Some(shortened(field))),
            }
        }
        if let Some(field) = wrong {
            return Err(
                lines.wrong(format!("expected the label of a {thing}, a whole number, found {field:?}"))
            );
        }
        if rows == count {
            return Err(lines.wrong(format!("more labels than the {count} {thing}s")));
        }
        let found = labels.values.len() - before;
        if rows == 0 {
            labels.columns = found;
        }
        if found != labels.columns {
            return Err(lines.wrong(format!("{found} labels, but the first {thing} has {}", labels.columns)));
        }
        rows += 1;
    }
    ends(lines, rows, count, &format!("{thing}s"))?;
    Ok(labels)
}

/// One row of comma-separated numbers for each node, all of one length.
fn attributes(lines: &mut LineReader<'_>, nodes: usize) -> Result<Matrix, DataError> {
    let (mut values, mut columns, mut rows) = (Vec::new(), 0, 0);
    while let Some(line) = lines.next()? {
        let before = values.len();
        let mut wrong = None;
        for field in fields(line) {
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
