//! One graph with features, and many as one.

use super::features::Features;
use super::graph_set::GraphSet;
use crate::error::DataError;
use lookalike_kernels::sparse::Csr;

/// A graph whose nodes have features. After an augmentation it may have no nodes, and its edges need not go
/// both ways.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    /// n×n: row i has the nodes whose messages node i receives.
    pub edges: Csr,
    /// n×d, row after row.
    pub features: Vec<f32>,
    /// Features of a node, d.
    pub columns: usize,
}

/// Graphs side by side: one block-diagonal sparse matrix of edges.
#[derive(Debug, Clone, PartialEq)]
pub struct GraphBatch {
    /// n×n for n nodes in all.
    pub edges: Csr,
    /// Graph g has the nodes `offsets[g]` to `offsets[g + 1]` − 1: the segments of
    /// [`segment`](lookalike_kernels::sparse::segment).
    pub offsets: Vec<usize>,
    /// n×d, row after row.
    pub features: Vec<f32>,
    /// Features of a node, d.
    pub columns: usize,
}

impl Graph {
    /// Graph `index` of `set`.
    ///
    /// # Errors
    /// [`DataError::Index`] where there is no such graph.
    pub fn of(set: &GraphSet, features: &Features, index: u32) -> Result<Self, DataError> {
        if index as usize >= set.len() {
            return Err(DataError::Index { dataset: set.name().to_owned(), index, len: set.len() });
        }
        let graph = set.graph(index as usize);
        let (mut offsets, mut columns) = (vec![0], Vec::with_capacity(graph.edges()));
        for node in 0..graph.nodes() {
            columns.extend(graph.neighbors(node));
            offsets.push(columns.len());
        }
        let edges = Csr::new(offsets, columns, None, graph.nodes()).map_err(DataError::graph)?;
        Ok(Self { edges, features: features.of(set, graph), columns: features.columns() })
    }

    /// Number of nodes, n.
    pub fn nodes(&self) -> usize {
        self.edges.len()
    }

    /// The subgraph of the nodes `kept`, which ascend, with all edges among them.
    pub(super) fn induced(&self, kept: &[u32]) -> Self {
        let row = |node: &u32| &self.features[*node as usize * self.columns..][..self.columns];
        let features = kept.iter().flat_map(row).copied().collect();
        Self { edges: self.edges.induced(kept), features, columns: self.columns }
    }

    /// The same nodes with the edges for which `keep` holds.
    pub(super) fn retained(&self, mut keep: impl FnMut(u32, u32) -> bool) -> Result<Self, DataError> {
        let (mut offsets, mut columns) = (vec![0], Vec::with_capacity(self.edges.entries()));
        for node in 0..self.nodes() as u32 {
            columns.extend(self.edges.row(node as usize).iter().copied().filter(|to| keep(node, *to)));
            offsets.push(columns.len());
        }
        let edges = Csr::new(offsets, columns, None, self.nodes()).map_err(DataError::graph)?;
        Ok(Self { edges, features: self.features.clone(), columns: self.columns })
    }
}

impl GraphBatch {
    /// The graphs as one, in their order.
    ///
    /// # Errors
    /// [`DataError::Graph`] where there are none, they differ in columns, or they have more than 2³² − 1
    /// nodes.
    pub fn of(graphs: &[Graph]) -> Result<Self, DataError> {
        let columns = graphs.first().map_or(0, |graph| graph.columns);
        if columns == 0 || graphs.iter().any(|graph| graph.columns != columns) {
            let problem =
                "a batch needs at least one graph, and its graphs the same number of features".to_owned();
            return Err(DataError::Graph { problem });
        }
        let mut offsets = vec![0];
        offsets.extend(graphs.iter().scan(0, |sum, graph| {
            *sum += graph.nodes();
            Some(*sum)
        }));
        let edges = Csr::block_diagonal(graphs.iter().map(|graph| &graph.edges)).map_err(DataError::graph)?;
        let features = graphs.iter().flat_map(|graph| &graph.features).copied().collect();
        Ok(Self { edges, offsets, features, columns })
    }

    /// A batch of the graphs numbered `graphs`, in that order.
    ///
    /// # Panics
    /// Where there is no such graph.
    #[must_use]
    pub fn select(&self, graphs: &[u32]) -> Self {
        let nodes = |graph: &u32| self.offsets[*graph as usize]..self.offsets[*graph as usize + 1];
        let mut offsets = Vec::with_capacity(graphs.len() + 1);
        offsets.push(0);
        let mut features = Vec::new();
        for nodes in graphs.iter().map(nodes) {
            offsets.push(offsets[offsets.len() - 1] + nodes.len());
            features.extend_from_slice(&self.features[nodes.start * self.columns..nodes.end * self.columns]);
        }
        let edges = self.edges.diagonal_blocks(graphs.iter().map(nodes));
        Self { edges, offsets, features, columns: self.columns }
    }

    /// The graphs of all `batches`, in their order.
    ///
    /// # Errors
    /// [`DataError::Graph`] where there is none, they differ in columns, or they have more than 2³² − 1 nodes.
    pub fn joined(batches: &[&Self]) -> Result<Self, DataError> {
        let columns = batches.first().map_or(0, |batch| batch.columns);
        if columns == 0 || batches.iter().any(|batch| batch.columns != columns) {
            let problem = "batches to join need the same number of features, at least one".to_owned();
            return Err(DataError::Graph { problem });
        }
        let mut offsets = vec![0];
        for batch in batches {
            let begin = offsets[offsets.len() - 1];
            offsets.extend(batch.offsets[1..].iter().map(|end| begin + end));
        }
        let edges =
            Csr::block_diagonal(batches.iter().map(|batch| &batch.edges)).map_err(DataError::graph)?;
        let features = batches.iter().flat_map(|batch| &batch.features).copied().collect();
        Ok(Self { edges, offsets, features, columns })
    }

    /// Number of graphs.
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether there is no graph.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of nodes of all graphs.
    pub fn nodes(&self) -> usize {
        self.edges.len()
    }
}
