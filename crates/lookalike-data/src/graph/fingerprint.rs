//! What tells sets of graphs apart wherever their files lie: a hash of all that is read of them.

use lookalike_base::Matrix;
use lookalike_kernels::sparse::Csr;
use sha2::{Digest, Sha256};

use super::graph_set::GraphSet;
use super::planetoid::NodeSet;

/// Parts one after the other, each behind its kind and length, so that no two sets are the same bytes.
#[derive(Default)]
struct Contents(Sha256);

impl Contents {
    fn part<const N: usize>(&mut self, kind: &str, numbers: impl ExactSizeIterator<Item = [u8; N]>) {
        self.0.update(kind);
        self.0.update((numbers.len() as u64).to_le_bytes());
        // In blocks: a call a number would take longer than the hash.
        let mut block = Vec::with_capacity(1 << 12);
        for number in numbers {
            block.extend_from_slice(&number);
            if block.len() >= 1 << 12 {
                self.0.update(&block);
                block.clear();
            }
        }
        self.0.update(&block);
    }

    fn edges(&mut self, edges: &Csr) {
        self.part("ends", edges.offsets().iter().map(|end| (*end as u64).to_le_bytes()));
        self.part("columns", edges.columns().iter().map(|column| column.to_le_bytes()));
    }

    fn matrix(&mut self, kind: &str, matrix: &Matrix) {
        self.part(kind, matrix.rows().values().iter().map(|value| value.to_le_bytes()));
    }

    fn numbers(&mut self, kind: &str, numbers: &[u32]) {
        self.part(kind, numbers.iter().map(|number| number.to_le_bytes()));
    }

    fn names(&mut self, names: &[String]) {
        self.part("names", names.iter().map(|name| (name.len() as u64).to_le_bytes()));
        for name in names {
            self.0.update(name);
        }
    }

    fn digest(self) -> String {
        let digest = self.0.finalize();
        digest.iter().fold("sha256 ".to_owned(), |text, byte| format!("{text}{byte:02x}"))
    }
}

/// Of the edges, labels and attributes of `set`, not of its name.
pub(super) fn of_graphs(set: &GraphSet) -> String {
    let mut contents = Contents::default();
    contents.part("graphs", set.nodes.iter().map(|first| (*first as u64).to_le_bytes()));
    contents.edges(&set.edges);
    if let Some(labels) = &set.node_labels {
        contents.numbers("labels of nodes", &labels.labels);
        contents.names(&labels.names);
    }
    if let Some(attributes) = &set.attributes {
        contents.matrix("attributes", attributes);
    }
    if let Some(labels) = &set.labels {
        contents.numbers("labels", labels);
        contents.names(&set.classes);
    }
    contents.digest()
}

/// Of the edges, features, classes and split of `set`, not of its name.
pub(super) fn of_nodes(set: &NodeSet) -> String {
    let mut contents = Contents::default();
    contents.edges(&set.edges);
    contents.matrix("features", &set.features);
    contents.part("classes", [(set.classes as u64).to_le_bytes()].into_iter());
    contents.part("labels", set.labels.iter().map(|label| label.map_or(-1, i64::from).to_le_bytes()));
    for (kind, part) in [("train", &set.train), ("validation", &set.validation), ("test", &set.test)] {
        contents.numbers(kind, part);
    }
    contents.digest()
}
