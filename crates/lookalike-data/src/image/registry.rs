//! Data sets by name.

use crate::error::DataError;
use crate::image::cifar::{self, Cifar};
use crate::image::dataset::{ImageDataset, Split};
use crate::image::folder;
use crate::image::glyphs;
use crate::image::idx::{self, Idx};
use crate::published::{KnownFile, known_files};
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

/// The root of a set that is read from files.
fn root(options: &DataOptions) -> Result<&Path, DataError> {
    let expected = || {
        let info = list().into_iter().find(|info| info.name == options.name);
        let expected = info.map_or("", |info| info.root);
        let fetched = !known_files(&options.name).is_empty();
        let hint = if fetched {
            format!("; `lookalike data get {}` fetches it", options.name)
        } else {
            String::new()
        };
        format!("{expected}{hint}")
    };
    match options.root.as_deref() {
        None => Err(DataError::NoRoot { name: options.name.clone(), expected: expected() }),
        Some(root) if !root.exists() => {
            Err(DataError::RootMissing { root: root.into(), expected: expected() })
        }
        Some(root) => Ok(root),
    }
}

/// What there is to know of a data set before it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DatasetInfo {
    /// Its name, one of [`NAMES`].
    pub name: &'static str,
    /// What its images show, and how many there are.
    pub what: &'static str,
    /// What [`DataOptions::root`] should name; empty for a set that needs none.
    pub root: &'static str,
    /// The published files, which can be fetched.
    pub files: &'static [KnownFile],
}

/// All data sets, in the order of [`NAMES`].
pub fn list() -> Vec<DatasetInfo> {
    let describe = |name| match name {
        "glyphs" => ("letters and digits drawn on the fly, 62 classes, 32×32 RGB, 20,000 + 4,000", ""),
        "cifar10" => (
            "photographs, 10 classes, 32×32 RGB, 50,000 + 10,000",
            "cifar-10-binary.tar.gz, the folder cifar-10-batches-bin it unpacks to, or a folder that holds either",
        ),
        "cifar100" => (
            "photographs, 100 classes, 32×32 RGB, 50,000 + 10,000",
            "cifar-100-binary.tar.gz, the folder cifar-100-binary it unpacks to, or a folder that holds either",
        ),
        "mnist" => (
            "handwritten digits, 10 classes, 28×28 grey, 60,000 + 10,000",
            "the folder of the four idx files, gzipped or plain, or one that holds it as mnist or MNIST/raw",
        ),
        "fashion-mnist" => (
            "articles of clothing, 10 classes, 28×28 grey, 60,000 + 10,000",
            "the folder of the four idx files, gzipped or plain, or one that holds it as fashion-mnist or \
             FashionMNIST/raw",
        ),
        _ => (
            "your own PNG, JPEG and WebP files, with labels or without",
            "a folder of images, directly or in one sub-folder a class, below train and test or not",
        ),
    };
    let info = |name: &&'static str| {
        let (what, root) = describe(*name);
        DatasetInfo { name, what, root, files: known_files(name) }
    };
    NAMES.iter().map(info).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(name: &str, root: Option<&Path>) -> String {
        let options =
            DataOptions { name: name.to_owned(), root: root.map(Path::to_owned), skip_corrupt: false };
        match open(&options, Split::Train) {
            Ok((dataset, _)) => format!("opened {}", dataset.name()),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn every_listed_name_is_known_to_open() {
        for info in list() {
            assert!(!message(info.name, None).starts_with("there is no data set"), "{}", info.name);
            assert_eq!(info.root.is_empty(), info.name == "glyphs");
        }
        assert!(message("cifar", None).contains("glyphs, cifar10"));
    }

    #[test]
    fn the_description_of_glyphs_counts_what_is_drawn() {
        let counts = [Split::Train, Split::Test].map(glyphs::published_len);
        assert_eq!(counts, [20_000, 4000]);
    }

    #[test]
    fn without_files_the_message_says_what_is_expected_and_how_to_fetch_it() {
        let folder = tempfile::tempdir().unwrap();
        for (name, wanted) in [
            ("cifar10", "cifar-10-batches-bin"),
            ("cifar100", "cifar-100-binary"),
            ("mnist", "MNIST/raw"),
            ("fashion-mnist", "fashion-mnist"),
        ] {
            for root in [None, Some(folder.path()), Some(&*folder.path().join("gone"))] {
                let text = message(name, root);
                assert!(
                    text.contains(wanted) && text.contains(&format!("`lookalike data get {name}`")),
                    "{text}"
                );
            }
        }
        assert!(message("folder", None).ends_with("below train and test or not"));
    }
}
