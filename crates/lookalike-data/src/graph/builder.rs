//! From what files list to undirected graphs without doubles.

use super::graph_set::{GraphSet, NodeLabels};
use crate::error::DataError;
use lookalike_base::Matrix;
use lookalike_kernels::sparse::Csr;
use std::collections::BTreeMap;

/// What the files of a set say, node after node and graph after graph.
#[derive(Debug, Default)]
pub(super) struct Listed {
    pub(super) name: String,
    /// Number of nodes of each graph.
    pub(super) sizes: Vec<usize>,
    /// Edges as listed: any direction, any number of times. Nodes are numbered through all graphs.
    pub(super) edges: Vec<(u32, u32)>,
    pub(super) labels: Option<Vec<i64>>,
    pub(super) node_labels: Option<Vec<i64>>,
    pub(super) attributes: Option<Matrix>,
}

/// How a list of edges differed from undirected ones, each listed once in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Cleaned {
    listed: usize,
    doubles: usize,
    loops: usize,
    one_way: usize,
}

impl Listed {
    /// The set, and what a user should know about its edges.
    pub(super) fn build(self) -> Result<(GraphSet, Vec<String>), DataError> {
        let mut nodes = vec![0];
        nodes.extend(self.sizes.iter().scan(0, |sum, size| {
            *sum += size;
            Some(*sum)
        }));
        let (edges, cleaned) = undirected(self.sizes.iter().sum(), &self.edges)?;
        let warnings = cleaned.warnings(&self.name);
        let (labels, classes) = match self.labels {
            None => (None, Vec::new()),
            Some(labels) => {
                let (labels, classes) = numbered(&labels);
                (Some(labels), classes)
            }
        };
        let node_labels = self.node_labels.map(|labels| {
            let (labels, names) = numbered(&labels);
            NodeLabels { labels, names }
        });
        let attributes = self.attributes;
        Ok((GraphSet { name: self.name, edges, nodes, node_labels, attributes, labels, classes }, warnings))
    }
}

impl Cleaned {
    pub(super) fn warnings(self, name: &str) -> Vec<String> {
        let doubles = (self.doubles > 0).then(|| {
            format!(
                "{name} lists {} edges, {} of them more than once; each counts once",
                self.listed, self.doubles
            )
        });
        let loops = (self.loops > 0)
            .then(|| format!("{name} lists {} edges from a node to itself, which are left out", self.loops));
        let one_way = (self.one_way > 0).then(|| {
            format!("{name} lists {} edges in one direction only; each counts in both", self.one_way)
        });
        [doubles, loops, one_way].into_iter().flatten().collect()
    }
}

/// The undirected graph of `nodes` nodes with the edges listed, each of which must be between two of them.
pub(super) fn undirected(nodes: usize, listed: &[(u32, u32)]) -> Result<(Csr, Cleaned), DataError> {
    let mut cleaned = Cleaned { listed: listed.len(), ..Cleaned::default() };
    let mut next = vec![0; nodes + 1];
    for (from, to) in listed {
        next[*from as usize + 1] += usize::from(from != to);
    }
    (0..nodes).for_each(|node| next[node + 1] += next[node]);
    let mut columns = vec![0; next[nodes]];
    cleaned.loops = listed.len() - columns.len();
    let starts = next.clone();
    for (from, to) in listed.iter().filter(|(from, to)| from != to) {
        columns[next[*from as usize]] = *to;
        next[*from as usize] += 1;
    }
    let (mut offsets, mut kept) = (vec![0; nodes + 1], 0);
    for node in 0..nodes {
        let row = starts[node]..starts[node + 1];
        columns[row.clone()].sort_unstable();
        let first = kept;
        for at in row {
            if kept == first || columns[kept - 1] != columns[at] {
                columns[kept] = columns[at];
                kept += 1;
            }
        }
        offsets[node + 1] = kept;
    }
    cleaned.doubles = columns.len() - kept;
    columns.truncate(kept);
    let edges = sparse(offsets, columns, nodes)?;
    let reversed = edges.transpose();
    if edges == reversed {
        return Ok((edges, cleaned));
    }
    let (mut offsets, mut columns) = (vec![0], Vec::with_capacity(2 * kept));
    for node in 0..nodes {
        let first = columns.len();
        columns.extend_from_slice(edges.row(node));
        columns.extend_from_slice(reversed.row(node));
        columns[first..].sort_unstable();
        let mut row = columns.split_off(first);
        row.dedup();
        columns.append(&mut row);
        offsets.push(columns.len());
    }
    cleaned.one_way = columns.len() - kept;
    Ok((sparse(offsets, columns, nodes)?, cleaned))
}

fn sparse(offsets: Vec<usize>, columns: Vec<u32>, nodes: usize) -> Result<Csr, DataError> {
    Csr::new(offsets, columns, None, nodes).map_err(|error| DataError::Graph { problem: error.to_string() })
}

/// Numbers in place of labels, in the order of the labels, and the labels that there are.
fn numbered(labels: &[i64]) -> (Vec<u32>, Vec<String>) {
    let mut numbers: BTreeMap<i64, u32> = labels.iter().map(|label| (*label, 0)).collect();
    numbers.values_mut().zip(0..).for_each(|(number, next)| *number = next);
    let names = numbers.keys().map(ToString::to_string).collect();
    (labels.iter().map(|label| numbers[label]).collect(), names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_become_undirected_and_single_and_what_was_done_is_said() {
        let listed = [(0, 1), (1, 0), (1, 0), (2, 1), (2, 2), (3, 0)];
        let (edges, cleaned) = undirected(5, &listed).unwrap();
        assert_eq!(edges.offsets(), [0, 2, 4, 5, 6, 6]);
        assert_eq!(edges.columns(), [1, 3, 0, 2, 1, 0]);
        assert_eq!(cleaned, Cleaned { listed: 6, doubles: 1, loops: 1, one_way: 2 });
        let warnings = cleaned.warnings("X");
        assert_eq!(warnings[0], "X lists 6 edges, 1 of them more than once; each counts once");
        assert_eq!(warnings.len(), 3);
    }

    #[test]
    fn labels_are_numbered_in_their_own_order() {
        assert_eq!(numbered(&[1, -1, 1, 7]), (vec![1, 0, 1, 2], vec!["-1".into(), "1".into(), "7".into()]));
    }
}
