//! Whether the files of a data set are those its authors published, and can be read.

use crate::error::DataError;
use crate::image::cifar::{Cifar, Source};
use crate::image::dataset::Split;
use crate::image::idx::{self, Idx};
use crate::image::registry::{self, DataOptions};
use crate::published::published_md5;
use lookalike_base::progress::Progress;
use md5::{Digest, Md5};
use std::fmt::Write;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

const CHUNK: usize = 1 << 16;

/// What was found about a file, or about the whole folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileCheck {
    /// The file; for [`Verdict::Warning`] the root.
    pub path: PathBuf,
    /// What was found.
    pub verdict: Verdict,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The MD5 sum is that of the published file.
    Published,
    /// The sum is another one: the file was changed, damaged, or belongs to another data set.
    Differs {
        /// The sum of this file.
        found: String,
        /// The sum of the published one.
        expected: &'static str,
    },
    /// No sum of such a file was published, so that only reading it can tell.
    Unknown,
    /// Opening the data set gave this warning.
    Warning(String),
}

/// Compares the files of data set `name` with the published ones, and opens both splits; of a `folder` every image is
/// decoded. `root` is what [`DataOptions::root`] would be. `show` makes the display of progress from the number of
/// bytes to compare and a label: [`Progress::new`].
///
/// # Errors
/// Whatever keeps a split from being opened, see [`registry::open`]. A sum that differs is no error but a verdict.
pub fn check(
    name: &str,
    root: Option<&Path>,
    show: &dyn Fn(u64, &str) -> Progress,
) -> Result<Vec<FileCheck>, DataError> {
    let options =
        DataOptions { name: name.to_owned(), root: root.map(Path::to_owned), skip_corrupt: name == "folder" };
    let mut warnings = Vec::new();
    for split in [Split::Train, Split::Test] {
        warnings.extend(registry::open(&options, split)?.1);
    }
    warnings.dedup();
    let Some(root) = root else { return Ok(Vec::new()) };
    let mut checks = compare(files(name, root)?, show)?;
    checks.extend(
        warnings.into_iter().map(|text| FileCheck { path: root.into(), verdict: Verdict::Warning(text) }),
    );
    Ok(checks)
}

/// The files to compare, each with the published sum, where there is one.
fn files(name: &str, root: &Path) -> Result<Vec<(PathBuf, Option<&'static str>)>, DataError> {
    let paths = match name {
        "cifar10" => return cifar_files(Cifar::Ten, root),
        "cifar100" => return cifar_files(Cifar::Hundred, root),
        "mnist" => idx_files(Idx::Mnist, root)?,
        "fashion-mnist" => idx_files(Idx::FashionMnist, root)?,
        _ => Vec::new(),
    };
    Ok(paths.into_iter().map(|path| (path.clone(), path_md5(name, &path))).collect())
}

fn cifar_files(which: Cifar, root: &Path) -> Result<Vec<(PathBuf, Option<&'static str>)>, DataError> {
    Ok(match Source::locate(which, root)? {
        // Whatever the archive is called, it can only be the one that was published.
        Source::Archive(path) => vec![(path, published_md5(which.name(), which.archive()))],
        Source::Folder(folder) => [Split::Train, Split::Test]
            .iter()
            .flat_map(|split| which.files(*split))
            .map(|file| (folder.join(file), published_md5(which.name(), file)))
            .collect(),
    })
}

fn idx_files(which: Idx, root: &Path) -> Result<Vec<PathBuf>, DataError> {
    let train = idx::locate(which, root, Split::Train)?;
    let test = idx::locate(which, root, Split::Test)?;
    Ok(train.into_iter().chain(test).collect())
}

fn path_md5(dataset: &str, path: &Path) -> Option<&'static str> {
    published_md5(dataset, path.file_name()?.to_str()?)
}

fn compare(
    files: Vec<(PathBuf, Option<&'static str>)>,
    show: &dyn Fn(u64, &str) -> Progress,
) -> Result<Vec<FileCheck>, DataError> {
    let mut total = 0;
    for (path, _) in files.iter().filter(|(_, expected)| expected.is_some()) {
        total += path.metadata().map_err(DataError::io("read", path))?.len();
    }
    let progress = show(total, "check");
    let checks = files.into_iter().map(|(path, expected)| {
        let verdict = match expected {
            None => Verdict::Unknown,
            Some(expected) => match md5_of(&path, &progress)? {
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

fn md5_of(path: &Path, progress: &Progress) -> Result<String, DataError> {
    let mut file = File::open(path).map_err(DataError::io("open", path))?;
    let mut digest = Md5::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        let count = file.read(&mut chunk).map_err(DataError::io("read", path))?;
        if count == 0 {
            return Ok(hexadecimal(&digest.finalize()));
        }
        digest.update(&chunk[..count]);
        progress.advance(count as u64);
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
