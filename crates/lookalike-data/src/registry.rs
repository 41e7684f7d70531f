//! Data sets by name.

use crate::cifar::{self, Cifar};
use crate::dataset::{ImageDataset, Split};
use crate::error::DataError;
use crate::folder;
use crate::glyphs;
use crate::idx::{self, Idx};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
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
    let dataset: Arc<dyn ImageDataset> = match options.name.as_str() {
        "glyphs" => Arc::new(glyphs::glyphs(glyphs::SEED, split, glyphs::published_len(split))),
        "cifar10" => Arc::new(cifar::open(Cifar::Ten, root(options)?, split)?),
        "cifar100" => Arc::new(cifar::open(Cifar::Hundred, root(options)?, split)?),
        "mnist" => Arc::new(idx::open(Idx::Mnist, root(options)?, split)?),
        "fashion-mnist" => Arc::new(idx::open(Idx::FashionMnist, root(options)?, split)?),
        "folder" => {
            let (folder, warnings) = folder::open(root(options)?, split, options.skip_corrupt)?;
            return Ok((Arc::new(folder), warnings));
        }
        _ => return Err(DataError::UnknownName { name: options.name.clone(), known: NAMES.to_vec() }),
    };
    Ok((dataset, Vec::new()))
}

fn root(options: &DataOptions) -> Result<&Path, DataError> {
    options.root.as_deref().ok_or_else(|| DataError::NoRoot { name: options.name.clone() })
}
