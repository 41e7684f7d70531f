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
    pub(super) node_labels: Option<Vec<i64>>,
    pub(super) attributes: Option<Matrix>,
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
        let warnings = repairs.warnings(&self.name);
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
