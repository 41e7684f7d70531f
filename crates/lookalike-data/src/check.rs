//! Checks whether the files of a data set are the published ones and can be read.

use crate::checksum::Checksum;
use crate::error::DataError;
use crate::image::cifar::{Cifar, CifarFiles};
use crate::image::dataset::Split;
use crate::image::idx::{self, Idx};
use crate::image::registry::{self, BothParts, DataOptions};
use crate::published::published_sha256;
use lookalike_base::progress::ProgressDisplay;
use std::path::{Path, PathBuf};
#[cfg(feature = "folder")]
use std::sync::Arc;

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
    /// The file, an image by its name, cannot be read, for this reason.
    Unreadable(String),
    /// Opening the data set gave this warning.
    Warning(String),
}

/// What a check found out of a data set.
pub struct Checked {
    /// Its files, where they can be compared or cannot be read, and warnings.
    pub files: Vec<FileCheck>,
    /// What can be read of it.
    pub parts: BothParts,
    /// How many files of a folder there are, those that cannot be read included.
    pub images: Option<usize>,
}

impl Checked {
    /// How many files cannot be read.
    pub fn unreadable(&self) -> usize {
        self.files.iter().filter(|file| matches!(file.verdict, Verdict::Unreadable(_))).count()
    }
}

/// Compares the files of data set `name` with the published ones, and opens both parts; of a `folder` every image is
/// decoded. `root` is what [`DataOptions::root`] would be. `display` shows the progress,
/// which counts bytes.
///
/// # Errors
/// As [`registry::open_both`] has. A sum that differs, and an image that cannot be decoded among others, is a verdict, not an error.
pub fn check(name: &str, root: Option<&Path>, display: &dyn ProgressDisplay) -> Result<Checked, DataError> {
    #[cfg(feature = "folder")]
    if let Some(root) = root.filter(|root| name == "folder" && root.exists()) {
        return check_folder(root, display);
    }
    let root_given = root.map(Path::to_owned);
    let options =
        DataOptions { name: name.to_owned(), root: root_given, skip_corrupt: false, test_share: None };
    let parts = registry::open_both(&options, display)?;
    let files = root.map_or(Ok(Vec::new()), |root| compare(files(name, root)?, display))?;
    Ok(Checked { files, parts, images: None })
}

/// Decodes every image of a folder.
#[cfg(feature = "folder")]
fn check_folder(root: &Path, display: &dyn ProgressDisplay) -> Result<Checked, DataError> {
    use crate::image::folder::{self, FolderOptions};
    let folder = folder::open_both(root, &FolderOptions { skip_corrupt: true, test_share: None }, display)?;
    let check = |path: PathBuf, verdict| FileCheck { path, verdict };
    let bad = folder.left_out.into_iter().map(|(path, reason)| check(path, Verdict::Unreadable(reason)));
    let warnings = folder.warnings.into_iter().map(|text| check(root.to_owned(), Verdict::Warning(text)));
    let files = warnings.chain(bad).collect();
    let (train, test) = (Arc::new(folder.train), Arc::new(folder.test));
    let parts = BothParts { train, test, warnings: Vec::new(), note: None };
    Ok(Checked { files, parts, images: Some(folder.files) })
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
