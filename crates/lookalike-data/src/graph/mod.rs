//! Graphs: data sets, what describes a node, augmentations, diffusions, and batches.

pub mod augment;
pub mod batch;
mod builder;
pub mod diffusion;
pub mod features;
mod files;
mod fingerprint;
mod gin;
pub mod graph_set;
mod line_reader;
pub mod nodes;
mod pickle;
pub mod planetoid;
mod tu;
pub mod views;

pub use augment::{GraphAugment, GraphAugmentOptions, GraphAugmentation, Variant};
pub use batch::{Graph, GraphBatch};
pub use diffusion::{Diffused, Diffusion, DiffusionOptions, Diffusions, diffuse};
pub use features::{Feature, FeatureRule, Features};
pub use files::is_path;
pub use graph_set::{GraphRef, GraphSet, NodeLabels};
pub use nodes::{NodeBatch, NodeGraph, SubGraphs};
pub use planetoid::NodeSet;
pub use views::{DescribedGraphs, DiffusedBatch, DiffusedGraphs, GraphViews, PlainGraphs, normalized};

use crate::error::DataError;
use files::{Format, Source};
use std::path::Path;

/// Reads a set of graphs in TU format or in the text format of the GIN paper's code; returned with it are warnings that
/// the user should see. `name` is that of the set, whose files lie in `root` or below it, in a folder of its own name, its
/// `raw`, or the same below `tu`, plain or as `NAME.zip`; or it is the path of a folder, a zip or a text file, below `root`
/// or not.
///
/// A set without the file of graph labels is read as one without labels. A graph may have no edges, but not no nodes.
///
/// # Errors
/// [`DataError::NoGraphs`] where files are missing; [`DataError::Line`] where a file does not hold what the format demands,
/// with the line; [`DataError::Archive`] and [`DataError::Io`] where it cannot be unpacked or read.
pub fn open(name: &str, root: &Path) -> Result<(GraphSet, Vec<String>), DataError> {
    let source = Source::locate(name, root)?;
    match source.format() {
        Format::Tu => tu::read(&source),
        Format::Gin => gin::read(&source),
    }?
    .build()
}
