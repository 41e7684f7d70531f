//! What an instance looks like to a person.

/// An instance as a person looks at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shown {
    /// A picture.
    Image {
        /// Pixels in a row.
        width: u32,
        /// Rows.
        height: u32,
        /// Red, green, blue of each pixel, row after row from the top: 3 · width · height bytes.
        pixels: Vec<u8>,
    },
    /// Texts that belong together, as a query and its document.
    Texts(Vec<String>),
    /// A graph.
    Graph {
        /// How many nodes it has.
        nodes: u32,
        /// The two nodes of each edge, an edge once.
        edges: Vec<[u32; 2]>,
        /// A label a node; empty where nodes have none.
        labels: Vec<u32>,
    },
}
