//! Which files of a folder are images, and of which class.

use crate::error::DataError;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

/// Endings of the files that are read, in lower case.
const EXTENSIONS: [&str; 4] = ["png", "jpg", "jpeg", "webp"];

/// Limit of the levels of folders below a class.
const MAX_DEPTH: usize = 32;

/// The images of a folder, sorted by path.
pub(super) enum Listing {
    /// Directly in the folder: no classes.
    Flat(Vec<PathBuf>),
    /// Names of the sub-folders with images, sorted, with their images.
    Classes(Vec<(String, Vec<PathBuf>)>),
}

impl Listing {
    /// Names of the classes, sorted; none of a flat folder.
    pub(super) fn class_names(&self) -> Vec<String> {
        match self {
            Self::Flat(_) => Vec::new(),
            Self::Classes(classes) => classes.iter().map(|(name, _)| name.clone()).collect(),
        }
    }
}

/// How many files that are not images, and links to folders, are passed over.
#[derive(Default)]
struct Ignored {
    files: usize,
    links: usize,
}

/// Lists `folder`, and adds a warning for whatever is passed over.
pub(super) fn list(folder: &Path, warnings: &mut Vec<String>) -> Result<Listing, DataError> {
    let mut ignored = Ignored::default();
    let mut direct = Vec::new();
    let mut classes = Vec::new();
    let mut empty = Vec::new();
    for path in entries(folder)? {
        if !path.is_dir() {
            if is_image(&path) {
                direct.push(path);
            } else {
                ignored.files += 1;
            }
            continue;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut files = Vec::new();
        descend(&path, MAX_DEPTH, &mut files, &mut ignored)?;
        if files.is_empty() { empty.push(name) } else { classes.push((name, files)) }
    }
    let shown = folder.display();
    if ignored.files > 0 {
        warnings
            .push(format!("{} files in {shown} are not PNG, JPEG or WebP and are ignored", ignored.files));
    }
    if ignored.links > 0 {
        warnings
            .push(format!("{} links to folders inside classes of {shown} are not followed", ignored.links));
    }
    if !empty.is_empty() {
        let empty = empty.join(", ");
        warnings.push(format!("sub-folders of {shown} without images, which are no classes: {empty}"));
    }
    if classes.is_empty() {
        return Ok(Listing::Flat(direct));
    }
    if !direct.is_empty() {
        warnings.push(format!("{} images directly in {shown} have no class and are ignored", direct.len()));
    }
    // By name, as labels are, which for names that are not UTF-8 is not the order of the paths.
    classes.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(Listing::Classes(classes))
}

/// Adds the images in and below `folder` to `files`, sorted.
fn descend(
    folder: &Path,
    depth: usize,
    files: &mut Vec<PathBuf>,
    ignored: &mut Ignored,
) -> Result<(), DataError> {
    if depth == 0 {
        let source = std::io::Error::other(format!("it lies more than {MAX_DEPTH} levels below its class"));
        return Err(DataError::Io { action: "list", path: folder.to_owned(), source });
    }
    for path in entries(folder)? {
        if path.is_symlink() && path.is_dir() {
            // It may lead back to where the descent came from.
            ignored.links += 1;
        } else if path.is_dir() {
            descend(&path, depth - 1, files, ignored)?;
        } else if is_image(&path) {
            files.push(path);
        } else {
            ignored.files += 1;
        }
    }
    Ok(())
}

/// The entries of `folder` whose names do not begin with a dot, sorted.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(DataError::io("list", folder))? {
        let entry = entry.map_err(DataError::io("list", folder))?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            paths.push(entry.path());
        }
    }
    paths.sort_unstable();
    Ok(paths)
}

fn is_image(path: &Path) -> bool {
    let extension = path.extension().and_then(OsStr::to_str).map(str::to_ascii_lowercase);
    extension.is_some_and(|extension| EXTENSIONS.contains(&extension.as_str()))
}
