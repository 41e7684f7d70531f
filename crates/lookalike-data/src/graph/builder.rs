//! From what the files of a set say to the set in memory.

use super::edges::undirected;
use super::graph_set::{GraphSet, NodeLabels};
use crate::error::DataError;
use lookalike_base::Matrix;
use std::collections::BTreeMap;

/// What the files of a set say, node after node and graph after graph.
#[derive(Debug, Default)]
pub(super) struct ParsedGraphs {
    pub(super) name: String,
    /// Number of nodes of each graph.
    pub(super) sizes: Vec<usize>,
    /// Edges as listed: any direction, any number of times. Nodes are numbered through all graphs.
    pub(super) edges: Vec<(u32, u32)>,
    pub(super) labels: Option<Vec<i64>>,
    pub(super) node_labels: Option<LabelColumns>,
    pub(super) attributes: Option<Matrix>,
    /// The names of files that say more of the set than is read.
    pub(super) unread: Vec<String>,
}

/// Labels, as many of each node.
#[derive(Debug, Default)]
pub(super) struct LabelColumns {
    /// n×`columns`, row after row.
    pub(super) values: Vec<i64>,
    pub(super) columns: usize,
}

impl LabelColumns {
    /// The labels numbered, column after column and ascending in each. Where there are several columns, a label is named after its
    /// own too, which is numbered from 1: `2:7`.
    fn numbered(self) -> NodeLabels {
        let Self { values, columns } = self;
        let (mut labels, mut names) = (vec![0; values.len()], Vec::new());
        for column in 0..columns {
            let own: Vec<i64> = values.iter().skip(column).step_by(columns).copied().collect();
            let (own, found) = numbered(&own);
            let first = names.len() as u32;
            for (row, label) in own.into_iter().enumerate() {
                labels[row * columns + column] = first + label;
            }
            let name = |label| if columns == 1 { label } else { format!("{}:{label}", column + 1) };
            names.extend(found.into_iter().map(name));
        }
        NodeLabels { labels, names, columns }
    }
}

impl ParsedGraphs {
    /// The set, and what a user should know about its edges.
    pub(super) fn build(self) -> Result<(GraphSet, Vec<String>), DataError> {
        let mut nodes = vec![0];
        nodes.extend(self.sizes.iter().scan(0, |sum, size| {
            *sum += size;
            Some(*sum)
        }));
        let (edges, repairs) = undirected(self.sizes.iter().sum(), &self.edges)?;
        if nodes.last() == Some(&0) {
            return Err(DataError::Graph { problem: format!("no graph of {} has a node", self.name) });
        }
        let mut warnings = repairs.warnings(&self.name);
        warnings.extend(self.without_nodes());
        let (labels, classes) = match self.labels {
            None => (None, Vec::new()),
            Some(labels) => {
                let (labels, classes) = numbered(&labels);
                (Some(labels), classes)
            }
        };
        let node_labels = self.node_labels.map(LabelColumns::numbered);
        let Self { name, attributes, unread, .. } = self;
        Ok((GraphSet { name, edges, nodes, node_labels, attributes, labels, classes, unread }, warnings))
    }

    /// What a user should know of graphs without nodes.
    fn without_nodes(&self) -> Option<String> {
        let mut empty = self.sizes.iter().zip(1..).filter(|(size, _)| **size == 0).map(|(_, graph)| graph);
        let first: usize = empty.next()?;
        let others = empty.count();
        Some(format!(
            "{} graphs of {} have no nodes, the first of them is the {first}. of the file; they stay in the set, and nothing tells \
             them apart",
            others + 1,
            self.name
        ))
    }
}

/// The labels numbered in ascending order, and their names in that order.
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
    fn labels_are_numbered_in_their_own_order() {
        assert_eq!(numbered(&[1, -1, 1, 7]), (vec![1, 0, 1, 2], vec!["-1".into(), "1".into(), "7".into()]));
    }
}
