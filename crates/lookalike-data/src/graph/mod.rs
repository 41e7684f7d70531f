//! Graphs: data sets, features of nodes, augmentations, diffusions, and batches.

pub mod adjacency;
pub mod augment;
pub mod batch;
mod builder;
#[cfg(feature = "diffusion")]
pub mod diffusion;
mod edges;
pub mod features;
mod files;
mod fingerprint;
mod gin;
pub mod graph_set;
mod line_reader;
mod node_folder;
pub mod node_set;
#[cfg(feature = "diffusion")]
pub mod nodes;
mod pickle;
pub mod planetoid;
mod tu;
pub mod views;

pub use adjacency::normalized;
pub use augment::{GraphAugmentKind, GraphAugmentOptions, GraphAugmentation, Variant};
pub use batch::{Graph, GraphBatch};
#[cfg(feature = "diffusion")]
pub use diffusion::{
    Diffused, DiffusedBatch, DiffusedGraphs, Diffusion, DiffusionOptions, Diffusions, diffuse,
};
pub use features::{Feature, FeatureRule, Features};
pub use files::is_path;
pub use graph_set::{GraphRef, GraphSet, NodeLabels};
pub use node_set::NodeSet;
#[cfg(feature = "diffusion")]
pub use nodes::{NodeBatch, NodeGraph, Subgraphs};
pub use views::{DescribedGraphs, GraphViews, PlainGraphs};

use crate::error::DataError;
use files::{Format, GraphFiles};
use std::path::Path;

/// Reads a set of graphs in TU format or in the text format of the GIN paper's code. Returns the set and
/// warnings that the user should see.
///
/// `name` is the name of the set, whose files lie in `root` or below it, in a folder of that name, in its
/// `raw`, or in the same below `tu`, plain or as `NAME.zip`. Or `name` is the path of a folder, a zip archive
/// or a text file, below `root` or not.
///
/// A set without the file of graph labels is read as one without labels. A graph needs a node, but no edge.
///
/// A file may have 2 GiB, unpacked. It is read line by line, but the numbers in it are kept: while a set is
/// read, it takes up to twenty times the length of its files in memory, and up to five times once it is read.
///
/// # Errors
/// [`DataError::NoGraphs`] where files are missing; [`DataError::Line`] where a line does not follow the
/// format; [`DataError::Archive`] and [`DataError::Io`] where a file cannot be unpacked or read.
pub fn open(name: &str, root: &Path) -> Result<(GraphSet, Vec<String>), DataError> {
    let files = GraphFiles::locate(name, root)?;
    match files.format() {
        Format::Tu => tu::read(&files),
        Format::Gin => gin::read(&files),
    }?
    .build()
}

/// Reads one graph whose nodes are the instances: `ind.NAME.*` of [`planetoid`], or a folder of one's own that holds `edges.npy`,
/// `edges.csv` or `edges.txt`, `features.npy`, and where they are known `labels.npy`, `train.npy`, `validation.npy` and `test.npy`.
/// `name` is the name of either below `root`, or the path of such a folder. Returns the graph and warnings that the user should see.
///
/// # Errors
/// As [`planetoid::open`] has; [`DataError::Graph`] where an array cannot be read or is not about these nodes.
pub fn open_nodes(name: &str, root: &Path) -> Result<(NodeSet, Vec<String>), DataError> {
    match planetoid::open(name, root) {
        Err(DataError::NoGraphs { wanted, .. }) => match node_folder::open(name, root) {
            Err(DataError::NoGraphs { name, root, wanted: others }) => {
                Err(DataError::NoGraphs { name, root, wanted: [wanted, others].concat() })
            }
            opened => opened,
        },
        opened => opened,
    }
}
