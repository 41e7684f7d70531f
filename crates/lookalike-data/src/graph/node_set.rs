//! One graph in memory whose nodes are the instances.

use super::fingerprint::ContentHash;
use lookalike_base::Matrix;
use lookalike_kernels::sparse::Csr;

/// One graph whose nodes have classes.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeSet {
    /// Its name, for instance `cora`.
    pub name: String,
    /// n×n, undirected: each edge in both directions, no edge from a node to itself, none twice.
    pub edges: Csr,
    /// n×d; zeros for a node that no file describes.
    pub features: Matrix,
    /// For each node its class; `None` for a node that no file describes.
    pub labels: Vec<Option<u32>>,
    /// Number of classes.
    pub classes: usize,
    /// The nodes of the published split to train on.
    pub train: Vec<u32>,
    /// To validate on.
    pub validation: Vec<u32>,
    /// To test on.
    pub test: Vec<u32>,
}

impl NodeSet {
    /// A SHA-256 hash of the edges, features, classes and split, which tells the graph from others. The name
    /// is left out.
    pub fn fingerprint(&self) -> String {
        let mut contents = ContentHash::default();
        contents.edges(&self.edges);
        contents.matrix("features", &self.features);
        contents.part("classes", [(self.classes as u64).to_le_bytes()].into_iter());
        contents.part("labels", self.labels.iter().map(|label| label.map_or(-1, i64::from).to_le_bytes()));
        for (kind, nodes) in [("train", &self.train), ("validation", &self.validation), ("test", &self.test)]
        {
            contents.numbers(kind, nodes);
        }
        contents.digest()
    }
}
