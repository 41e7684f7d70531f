//! A data set of graphs in memory.

use super::fingerprint::ContentHash;
use lookalike_base::Matrix;
use lookalike_kernels::sparse::Csr;

/// Labelled graphs. Their edges are one block-diagonal [`Csr`]: undirected, so each edge in both directions,
/// no edge from a node to itself, none twice.
#[derive(Debug, Clone, PartialEq)]
pub struct GraphSet {
    pub(super) name: String,
    pub(super) edges: Csr,
    /// Graph g has the nodes `nodes[g]` to `nodes[g + 1]` − 1.
    pub(super) nodes: Vec<usize>,
    pub(super) node_labels: Option<NodeLabels>,
    pub(super) attributes: Option<Matrix>,
    pub(super) labels: Option<Vec<u32>>,
    pub(super) classes: Vec<String>,
    pub(super) unread: Vec<String>,
}

/// The labels of each node of a set: one, or one of each of several columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeLabels {
    /// For each node `columns` indices into `names`, one a column.
    pub labels: Vec<u32>,
    /// The labels as the files write them; where there are several columns, each behind the number of its own, from 1: `2:7`.
    pub names: Vec<String>,
    /// Labels of a node.
    pub columns: usize,
}

impl NodeLabels {
    /// The labels of `node`, one a column.
    ///
    /// # Panics
    /// Where there is no such node, as slices do.
    pub fn of(&self, node: usize) -> &[u32] {
        &self.labels[node * self.columns..][..self.columns]
    }
}

/// A graph of a set, borrowed.
#[derive(Debug, Clone, Copy)]
pub struct GraphRef<'a> {
    set: &'a GraphSet,
    first: usize,
    end: usize,
}

impl GraphSet {
    /// Number of graphs, N.
    pub fn len(&self) -> usize {
        self.nodes.len() - 1
    }

    /// Whether there is no graph.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its name, for instance `MUTAG`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Number of nodes of all graphs.
    pub fn nodes(&self) -> usize {
        self.edges.len()
    }

    /// Number of edges of all graphs, each counted in both directions.
    pub fn edges(&self) -> usize {
        self.edges.entries()
    }

    /// The greatest number of neighbours of a node.
    pub fn max_degree(&self) -> usize {
        self.edges.offsets().windows(2).map(|ends| ends[1] - ends[0]).max().unwrap_or(0)
    }

    /// The labels of all graphs, indices into [`GraphSet::classes`]; `None` where the files hold none.
    pub fn labels(&self) -> Option<&[u32]> {
        self.labels.as_deref()
    }

    /// The classes, as the files write them; empty where they hold none.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The labels of nodes, where the files hold any.
    pub fn node_labels(&self) -> Option<&NodeLabels> {
        self.node_labels.as_ref()
    }

    /// The attributes of nodes, one row a node, where the files hold any.
    pub fn attributes(&self) -> Option<&Matrix> {
        self.attributes.as_ref()
    }

    /// The names of files that say more of the set than is read, such as labels of edges.
    pub fn unread(&self) -> &[String] {
        &self.unread
    }

    /// Graph `index`.
    ///
    /// # Panics
    /// Where `index` is not below [`GraphSet::len`], as slices do.
    pub fn graph(&self, index: usize) -> GraphRef<'_> {
        GraphRef { set: self, first: self.nodes[index], end: self.nodes[index + 1] }
    }

    /// A SHA-256 hash of the edges, labels and attributes, which tells the set from others. The name is left
    /// out.
    pub fn fingerprint(&self) -> String {
        let mut contents = ContentHash::default();
        contents.part("graphs", self.nodes.iter().map(|first| (*first as u64).to_le_bytes()));
        contents.edges(&self.edges);
        if let Some(labels) = &self.node_labels {
            if labels.columns > 1 {
                contents.numbers("labels of a node", &[labels.columns as u32]);
            }
            contents.numbers("labels of nodes", &labels.labels);
            contents.names(&labels.names);
        }
        if let Some(attributes) = &self.attributes {
            contents.matrix("attributes", attributes);
        }
        if let Some(labels) = &self.labels {
            contents.numbers("labels", labels);
            contents.names(&self.classes);
        }
        contents.digest()
    }

    /// For each graph the number of nodes of each label: a baseline that sees no edges. `None` without labels
    /// of nodes.
    pub fn label_histograms(&self) -> Option<Matrix> {
        let labels = self.node_labels.as_ref()?;
        let columns = labels.names.len();
        let mut counts = vec![0.0; self.len() * columns];
        for (counts, ends) in counts.chunks_exact_mut(columns).zip(self.nodes.windows(2)) {
            for label in (ends[0]..ends[1]).flat_map(|node| labels.of(node)) {
                counts[*label as usize] += 1.0;
            }
        }
        Matrix::new(counts, columns).ok()
    }

    /// For each graph the number of its nodes and of its undirected edges: a baseline that sees sizes alone.
    pub fn sizes(&self) -> Vec<[f32; 2]> {
        let graphs = (0..self.len()).map(|index| self.graph(index));
        graphs.map(|graph| [graph.nodes() as f32, graph.edges() as f32 / 2.0]).collect()
    }
}

impl<'a> GraphRef<'a> {
    /// Number of nodes, n.
    pub fn nodes(self) -> usize {
        self.end - self.first
    }

    /// Number of edges, each counted in both directions.
    pub fn edges(self) -> usize {
        let offsets = self.set.edges.offsets();
        offsets[self.end] - offsets[self.first]
    }

    /// The number of its first node within the set.
    pub fn first(self) -> usize {
        self.first
    }

    /// The neighbours of `node`, both numbered within the graph, ascending.
    ///
    /// # Panics
    /// Where `node` is not below [`GraphRef::nodes`].
    pub fn neighbors(self, node: usize) -> impl ExactSizeIterator<Item = u32> + 'a {
        assert!(node < self.nodes(), "node {node} of {}", self.nodes());
        let first = self.first as u32;
        self.set.edges.row(self.first + node).iter().map(move |neighbor| neighbor - first)
    }
}
