//! Data sets of images by name.

use crate::error::DataError;
use crate::image::cifar::{self, Cifar};
use crate::image::dataset::{ImageDataset, Split};
#[cfg(feature = "folder")]
use crate::image::folder;
#[cfg(feature = "glyphs")]
use crate::image::glyphs;
use crate::image::idx::{self, Idx};
use crate::published::{PublishedFile, published_files};
use lookalike_base::progress::ProgressDisplay;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Which data set to open: the `[data]` section of a recipe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataOptions {
    /// Name of the data set, one of [`NAMES`].
    pub name: String,
    /// Folder that holds its files; not needed for a set that is drawn when it is opened.
    #[serde(default)]
    pub root: Option<PathBuf>,
    /// Decode all files of `folder` when it is opened and leave out those that cannot be decoded, instead of
    /// failing at the first of them later.
    #[serde(default)]
    pub skip_corrupt: bool,
    /// Share of the images of each class that is split off for testing, of a `folder` without a part to test on.
    #[serde(default)]
    pub test_share: Option<f64>,
}

/// All names that [`open`] knows.
pub const NAMES: &[&str] = &["glyphs", "cifar10", "cifar100", "mnist", "fashion-mnist", "folder"];

/// Both parts of a data set.
pub struct BothParts {
    /// What to learn from.
    pub train: Arc<dyn ImageDataset>,
    /// What to measure on.
    pub test: Arc<dyn ImageDataset>,
    /// What the user should see.
    pub warnings: Vec<String>,
    /// What was made of the files, as a share that was split off.
    pub note: Option<String>,
    /// Writes which files these are, so that [`open_kept`] finds them again; `None` of sets that are always the same.
    pub keep: Option<Keep>,
}

/// Writes the files of a set to the path of a list.
pub type Keep = Arc<dyn Fn(&Path) -> Result<(), DataError> + Send + Sync>;

/// Opens both parts of a data set as the list at `kept` names its files, where there is one: as many, under the same numbers, those that
/// cannot be read any more being left out where `options` say so. Other sets are opened as by [`open_both`].
///
/// # Errors
/// As [`open_both`], and what is wrong with the list.
pub fn open_kept(
    options: &DataOptions,
    kept: &Path,
    display: &dyn ProgressDisplay,
) -> Result<BothParts, DataError> {
    if options.name == "folder" && kept.exists() {
        open_folder(options, Some(kept), display)
    } else {
        open_both(options, display)
    }
}

/// Opens both parts of a data set, and decodes none of its files twice.
///
/// # Errors
/// [`DataError::UnknownName`]; [`DataError::FeatureMissing`] where this build lacks the feature `glyphs` or
/// `folder` of the set with that name; a missing root or file; whatever makes a file unreadable; [`DataError::Option`] where a share is to
/// be split off of a set that has a part to test on.
pub fn open_both(options: &DataOptions, display: &dyn ProgressDisplay) -> Result<BothParts, DataError> {
    if options.name == "folder" {
        return open_folder(options, None, display);
    }
    if options.test_share.is_some() {
        let problem = format!("goes with `folder`, and {} has images to test on; leave it out", options.name);
        return Err(DataError::Option { key: "data.test_share".to_owned(), problem });
    }
    let [train, test] = [Split::Train, Split::Test].map(|split| open_part(options, split));
    Ok(BothParts { train: train?, test: test?, warnings: Vec::new(), note: None, keep: None })
}

/// Opens one part of a data set. Returns the set and warnings that the user should see.
///
/// # Errors
/// As [`open_both`].
pub fn open(
    options: &DataOptions,
    split: Split,
    display: &dyn ProgressDisplay,
) -> Result<(Arc<dyn ImageDataset>, Vec<String>), DataError> {
    if options.name == "folder" {
        let BothParts { train, test, warnings, .. } = open_folder(options, None, display)?;
        return Ok((if split == Split::Train { train } else { test }, warnings));
    }
    Ok((open_part(options, split)?, Vec::new()))
}

fn open_part(options: &DataOptions, split: Split) -> Result<Arc<dyn ImageDataset>, DataError> {
    Ok(match options.name.as_str() {
        "glyphs" => return open_glyphs(options, split),
        "cifar10" => Arc::new(cifar::open(Cifar::Ten, root(options)?, split)?),
        "cifar100" => Arc::new(cifar::open(Cifar::Hundred, root(options)?, split)?),
        "mnist" => Arc::new(idx::open(Idx::Mnist, root(options)?, split)?),
        "fashion-mnist" => Arc::new(idx::open(Idx::FashionMnist, root(options)?, split)?),
        name if Path::new(name).exists() => {
            let problem = format!(
                "`{name}` is a path, and images of one's own have the name `folder`: their folder or list is data.root, so give --data folder \
                 --data-root {name}"
            );
            return Err(DataError::Option { key: "data.name".to_owned(), problem });
        }
        _ => return Err(DataError::UnknownName { name: options.name.clone(), available: NAMES.to_vec() }),
    })
}

#[cfg(feature = "glyphs")]
#[expect(clippy::unnecessary_wraps, reason = "without the feature it fails")]
fn open_glyphs(_: &DataOptions, split: Split) -> Result<Arc<dyn ImageDataset>, DataError> {
    Ok(Arc::new(glyphs::glyphs(glyphs::SEED, split, glyphs::standard_len(split))))
}

#[cfg(feature = "folder")]
fn open_folder(
    options: &DataOptions,
    kept: Option<&Path>,
    display: &dyn ProgressDisplay,
) -> Result<BothParts, DataError> {
    let how = folder::FolderOptions { skip_corrupt: options.skip_corrupt, test_share: options.test_share };
    let root = root(options)?;
    let folder = match kept {
        None => folder::open_both(root, &how, display)?,
        Some(list) => folder::kept::open(root, list, &how, display)?,
    };
    let warnings = folder.all_warnings(root);
    let folder::Folder { train, test, note, .. } = folder;
    let (train, test) = (Arc::new(train), Arc::new(test));
    let parts = (train.clone(), test.clone());
    let keep: Keep = Arc::new(move |path| folder::kept::write(&parts.0, &parts.1, path));
    Ok(BothParts { train, test, warnings, note, keep: Some(keep) })
}

#[cfg(not(feature = "glyphs"))]
fn open_glyphs(options: &DataOptions, _: Split) -> Result<Arc<dyn ImageDataset>, DataError> {
    Err(DataError::FeatureMissing { name: options.name.clone(), feature: "glyphs" })
}

#[cfg(not(feature = "folder"))]
fn open_folder(
    options: &DataOptions,
    _: Option<&Path>,
    _: &dyn ProgressDisplay,
) -> Result<BothParts, DataError> {
    Err(DataError::FeatureMissing { name: options.name.clone(), feature: "folder" })
}

/// The root of a set that is read from files.
fn root(options: &DataOptions) -> Result<&Path, DataError> {
    let expected = || {
        let info = list().into_iter().find(|info| info.name == options.name);
        let expected = info.map_or("", |info| info.root);
        let hint = if info.is_some_and(|info| !info.files.is_empty()) {
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

/// What is known of a data set before it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DatasetInfo {
    /// Its name, one of [`NAMES`].
    pub name: &'static str,
    /// What its images show, and how many there are.
    pub description: &'static str,
    /// What [`DataOptions::root`] should name; empty for a set that needs none.
    pub root: &'static str,
    /// The published files, which can be downloaded.
    pub files: &'static [PublishedFile],
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
            "your own PNG, JPEG, WebP, TIFF, BMP and GIF files, with labels or without",
            "a folder of images, directly or in one sub-folder a class, below train and test or not, or a list of their paths, a csv \
             or tsv file",
        ),
    };
    let info = |name: &&'static str| {
        let (description, root) = describe(*name);
        DatasetInfo { name, description, root, files: published_files(name) }
    };
    NAMES.iter().map(info).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lookalike_base::Silent;

    fn message(name: &str, root: Option<&Path>) -> String {
        let options = DataOptions {
            name: name.to_owned(),
            root: root.map(Path::to_owned),
            skip_corrupt: false,
            test_share: None,
        };
        match open(&options, Split::Train, &Silent) {
            Ok((dataset, _)) => format!("opened {}", dataset.name()),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn every_listed_name_is_known_to_open() {
        for info in list() {
            assert!(!message(info.name, None).starts_with("unknown"), "{}", info.name);
            assert_eq!(info.root.is_empty(), info.name == "glyphs");
        }
        let unknown = "unknown image data set \"cifar\"; available: glyphs, cifar10, cifar100, mnist, fashion-mnist, folder";
        assert_eq!(message("cifar", None), unknown);
    }

    #[cfg(feature = "glyphs")]
    #[test]
    fn the_description_of_glyphs_counts_what_is_drawn() {
        let counts = [Split::Train, Split::Test].map(glyphs::standard_len);
        assert_eq!(counts, [20_000, 4000]);
    }

    #[cfg(not(all(feature = "folder", feature = "glyphs")))]
    #[test]
    fn a_set_that_was_not_built_names_its_feature() {
        for (name, built) in [("folder", cfg!(feature = "folder")), ("glyphs", cfg!(feature = "glyphs"))] {
            let said = format!(
                "data set {name:?} needs the cargo feature `{name}` of lookalike-data, which this build lacks"
            );
            assert_eq!(message(name, None) == said, !built, "{}", message(name, None));
        }
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
        if cfg!(feature = "folder") {
            assert!(message("folder", None).ends_with("a csv or tsv file"));
        }
    }
}
