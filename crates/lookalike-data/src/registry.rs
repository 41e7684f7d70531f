//! Data sets by name.

use crate::dataset::{ImageDataset, Split};
use crate::error::DataError;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;

/// Which data set to open: the `[data]` section of a recipe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataOptions {
    /// Name of the data set, one of [`NAMES`].
    pub name: String,
    /// Folder that holds its files; not needed for sets that are made on the fly.
    #[serde(default)]
    pub root: Option<PathBuf>,
    /// Leave out files of `folder` that cannot be decoded, after checking all of them when the set is opened, instead
    /// of failing at the first.
    #[serde(default)]
    pub skip_corrupt: bool,
}

/// All names that [`open`] knows.
pub const NAMES: &[&str] = &["glyphs", "cifar10", "cifar100", "mnist", "fashion-mnist", "folder"];

/// Opens one split of a data set; returned with it are warnings the user should see.
///
/// # Errors
/// An unknown name, a missing root or file, and whatever makes a file unreadable.
pub fn open(options: &DataOptions, split: Split) -> Result<(Arc<dyn ImageDataset>, Vec<String>), DataError> {
    if options.name == "glyphs" {
        let drawn = crate::glyphs::glyphs(crate::glyphs::SEED, split, crate::glyphs::published_len(split));
        return Ok((Arc::new(drawn), Vec::new()));
    }
    Err(DataError::UnknownName { name: options.name.clone(), known: NAMES.to_vec() })
}
