//! Checks whether the files of a data set are the published ones and can be read.

use crate::checksum::Checksum;
use crate::error::DataError;
use crate::image::cifar::{Cifar, CifarFiles};
use crate::image::dataset::Split;
use crate::image::idx::{self, Idx};
use crate::image::registry::{self, DataOptions};
use crate::published::published_sha256;
use lookalike_base::progress::ProgressDisplay;
use std::path::{Path, PathBuf};

/// The result of a check for one file, or a warning about the whole folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileCheck {
    /// The file; for [`Verdict::Warning`] the root.
    pub path: PathBuf,
    /// What was found.
    pub verdict: Verdict,
}

/// What a check found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The SHA-256 sum is that of the published file.
    Published,
    /// The sum differs: the file was changed or damaged, or belongs to another data set.
    Differs {
        /// The sum of this file.
        found: String,
        /// The sum of the published one.
        expected: &'static str,
    },
    /// No sum of such a file is known, so only reading it shows whether it is right.
    Unknown,
    /// Opening the data set gave this warning.
    Warning(String),
}

/// Compares the files of data set `name` with the published ones, and opens both splits; of a `folder` every image is
/// decoded. `root` is what [`DataOptions::root`] would be. `display` shows the progress,
/// which counts bytes.
///
/// # Errors
/// As [`registry::open`] has for either split. A sum that differs is a verdict, not an error.
pub fn check(
    name: &str,
    root: Option<&Path>,
    display: &dyn ProgressDisplay,
) -> Result<Vec<FileCheck>, DataError> {
    let options =
        DataOptions { name: name.to_owned(), root: root.map(Path::to_owned), skip_corrupt: name == "folder" };
    let mut warnings = Vec::new();
    for split in [Split::Train, Split::Test] {
        warnings.extend(registry::open(&options, split, display)?.1);
    }
    warnings.dedup();
    let Some(root) = root else { return Ok(Vec::new()) };
    let mut checks = compare(files(name, root)?, display)?;
    checks.extend(
        warnings.into_iter().map(|text| FileCheck { path: root.into(), verdict: Verdict::Warning(text) }),
    );
    Ok(checks)
}

/// The files to compare, each with the published sum where one is known.
fn files(name: &str, root: &Path) -> Result<Vec<(PathBuf, Option<&'static str>)>, DataError> {
    let paths = match name {
        "cifar10" => return cifar_files(Cifar::Ten, root),
        "cifar100" => return cifar_files(Cifar::Hundred, root),
        "mnist" => idx_files(Idx::Mnist, root)?,
        "fashion-mnist" => idx_files(Idx::FashionMnist, root)?,
        _ => Vec::new(),
    };
    Ok(paths.into_iter().map(|path| (path.clone(), sha256_of_name(name, &path))).collect())
}

fn cifar_files(which: Cifar, root: &Path) -> Result<Vec<(PathBuf, Option<&'static str>)>, DataError> {
    Ok(match CifarFiles::locate(which, root)? {
        // Whatever the archive is called, it is compared with the published one.
        CifarFiles::Archive(path) => vec![(path, published_sha256(which.name(), which.archive()))],
        CifarFiles::Folder(folder) => [Split::Train, Split::Test]
            .iter()
            .flat_map(|split| which.files(*split))
            .map(|file| (folder.join(file), published_sha256(which.name(), file)))
            .collect(),
    })
}

fn idx_files(which: Idx, root: &Path) -> Result<Vec<PathBuf>, DataError> {
    let train = idx::locate(which, root, Split::Train)?;
    let test = idx::locate(which, root, Split::Test)?;
    Ok(train.into_iter().chain(test).collect())
}

fn sha256_of_name(dataset: &str, path: &Path) -> Option<&'static str> {
    published_sha256(dataset, path.file_name()?.to_str()?)
}

fn compare(
    files: Vec<(PathBuf, Option<&'static str>)>,
    display: &dyn ProgressDisplay,
) -> Result<Vec<FileCheck>, DataError> {
    let mut total = 0;
    for (path, _) in files.iter().filter(|(_, expected)| expected.is_some()) {
        total += path.metadata().map_err(DataError::io("read", path))?.len();
    }
    let progress = display.start(total, "check");
    let checks = files.into_iter().map(|(path, expected)| {
        let verdict = match expected {
            None => Verdict::Unknown,
            Some(expected) => match Checksum::of_file(&path, |count| progress.advance(count as u64))? {
                found if found == expected => Verdict::Published,
                found => Verdict::Differs { found, expected },
            },
        };
        Ok(FileCheck { path, verdict })
    });
    let checks = checks.collect();
    progress.finish();
    checks
}
