//! The files of a run as it began with them: they keep their numbers when some cannot be read any more.

use std::path::{Component, Path, PathBuf};

use lookalike_base::atomic::write_atomic;
use lookalike_base::progress::ProgressDisplay;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Folder, FolderOptions, ImageFolder, UNLABELLED, base_of, named, part_name, undecodable};
use crate::bounded::read_file;
use crate::error::DataError;
use crate::image::dataset::Split;

/// The file of a run's folder that names them.
pub const FILE: &str = "images.json";

/// Bytes of that file at most: those of tens of millions of names.
const MOST: u64 = 4 << 30;

/// Both parts of a folder.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptFolder {
    classes: Vec<String>,
    train: Vec<KeptFile>,
    /// Absent where the same images are learned from and measured on.
    #[serde(skip_serializing_if = "Option::is_none")]
    test: Option<Vec<KeptFile>>,
}

/// A file by its path within the folder, its length and its class.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptFile {
    file: String,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<u32>,
}

/// Writes what `train` and `test` hold to `path`. Where a name is no UTF-8 nothing is written: such a run has no list.
///
/// # Errors
/// [`DataError::Io`] where a file cannot be looked at, or `path` not be written.
pub fn write(train: &ImageFolder, test: &ImageFolder, path: &Path) -> Result<(), DataError> {
    let Some(learned) = files(train)? else { return Ok(()) };
    let tested = if train.serves_both { None } else { files(test)? };
    if tested.is_none() && !train.serves_both {
        return Ok(());
    }
    let kept = KeptFolder { classes: train.classes.clone(), train: learned, test: tested };
    write_atomic(path, |writer| Ok(serde_json::to_writer(writer, &kept)?))
        .map_err(DataError::io("write", path))
}

/// The files of a part, where all names are UTF-8.
fn files(part: &ImageFolder) -> Result<Option<Vec<KeptFile>>, DataError> {
    let sizes = part.sizes()?;
    let file = |(index, bytes): (usize, u64)| {
        let path = &part.files[index];
        let file = path.strip_prefix(&part.root).unwrap_or(path).to_str()?.to_owned();
        let class = part.labels.get(index).copied().filter(|label| *label != UNLABELLED);
        Some(KeptFile { file, bytes, class })
    };
    Ok(sizes.into_iter().enumerate().map(file).collect())
}

/// Opens the files that `list` names in the folder or list `root`: as many, under the same numbers. Where `options` say so, those that
/// cannot be read any more are left out: they keep their numbers, have no label, and another stands in for them.
///
/// # Errors
/// [`DataError::Unreadable`] where some cannot be read and none is to be left out; [`DataError::Io`] and [`DataError::Option`] about the
/// list.
pub fn open(
    root: &Path,
    list: &Path,
    options: &FolderOptions,
    display: &dyn ProgressDisplay,
) -> Result<Folder, DataError> {
    let kept = read(list)?;
    let mut left_out = Vec::new();
    let serves_both = kept.test.is_none();
    let mut part = |files: Vec<KeptFile>, split| {
        let (folder, bad) = part_of(root, &files, (split, serves_both), &kept.classes, options, display)?;
        left_out.extend(bad);
        Ok::<_, DataError>(folder)
    };
    let train = part(kept.train, Split::Train)?;
    let test = match kept.test {
        Some(files) => part(files, Split::Test)?,
        None => ImageFolder { name: part_name(root, Split::Test), ..train.clone() },
    };
    let files = train.files.len() + if serves_both { 0 } else { test.files.len() };
    if !options.skip_corrupt && !left_out.is_empty() {
        let (path, bad) = (root.to_owned(), left_out.len());
        return Err(DataError::Unreadable { path, bad, files, named: named(&left_out).join("; ") });
    }
    Ok(Folder { train, test, files, left_out, warnings: Vec::new(), note: None })
}

fn read(list: &Path) -> Result<KeptFolder, DataError> {
    let wrong = |problem: String| DataError::Option { key: list.display().to_string(), problem };
    let bytes = read_file(list, MOST)?;
    let kept: KeptFolder = serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
    for KeptFile { file, class, .. } in kept.train.iter().chain(kept.test.iter().flatten()) {
        let within = Path::new(file).components().all(|part| matches!(part, Component::Normal(_)));
        if !within || file.is_empty() {
            return Err(wrong(format!("{file:?} is no file below the folder of images")));
        }
        if class.is_some_and(|class| class as usize >= kept.classes.len()) {
            return Err(wrong(format!("{file:?} has a class that is not among the {}", kept.classes.len())));
        }
    }
    Ok(kept)
}

/// A part, and its files that cannot be read, with the reasons.
fn part_of(
    root: &Path,
    files: &[KeptFile],
    (split, serves_both): (Split, bool),
    classes: &[String],
    options: &FolderOptions,
    display: &dyn ProgressDisplay,
) -> Result<(ImageFolder, Vec<(PathBuf, String)>), DataError> {
    let base = base_of(root);
    let paths: Vec<PathBuf> = files.iter().map(|kept| base.join(&kept.file)).collect();
    let reasons = if options.skip_corrupt {
        undecodable(&paths, display)
    } else {
        let gone = |path: &PathBuf| std::fs::metadata(path).err().map(|error| error.to_string());
        paths.par_iter().map(gone).collect()
    };
    let bad = paths.iter().zip(&reasons).filter_map(|(path, reason)| Some((path.clone(), reason.clone()?)));
    let bad: Vec<_> = bad.collect();
    if bad.len() == paths.len() {
        let hint = format!("none of its files can be read any more; {}", named(&bad).join("; "));
        return Err(DataError::NoImages { path: root.to_owned(), hint });
    }
    let left_out: Vec<u32> =
        (0..).zip(&reasons).filter(|(_, reason)| reason.is_some()).map(|(index, _)| index).collect();
    let mut labels: Vec<u32> = files.iter().map(|kept| kept.class.unwrap_or(UNLABELLED)).collect();
    if labels.iter().all(|label| *label == UNLABELLED) {
        labels.clear();
    }
    let bytes = files.iter().map(|kept| kept.bytes).collect();
    let folder = ImageFolder {
        name: part_name(root, split),
        root: base.to_owned(),
        files: paths,
        labels,
        classes: classes.to_vec(),
        serves_both,
        left_out,
        bytes,
    };
    Ok((folder, bad))
}
