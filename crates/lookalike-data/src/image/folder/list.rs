//! Which files of a folder are images, and of which class.

use super::Found;
use crate::error::DataError;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, DirEntry, FileType};
use std::io;
use std::path::{Path, PathBuf};

/// Endings of the files that are read, in lower case.
const EXTENSIONS: [&str; 14] =
    ["png", "jpg", "jpeg", "jfif", "jpe", "webp", "tif", "tiff", "bmp", "gif", "ppm", "pgm", "pbm", "pnm"];

/// Limit of the levels of folders below a class.
const MAX_DEPTH: usize = 32;

/// Endings that a message counts at most.
const MAX_ENDINGS: usize = 6;

/// What is passed over in a folder.
#[derive(Debug, Default)]
struct Ignored {
    /// How many files have an ending that no image has.
    endings: BTreeMap<String, usize>,
    /// How many links to folders are not followed.
    links: usize,
}

impl Ignored {
    fn file(&mut self, path: &Path) {
        let ending = path.extension().map_or_else(
            || "files without an ending".to_owned(),
            |ending| format!(".{}", ending.to_string_lossy().to_lowercase()),
        );
        *self.endings.entry(ending).or_default() += 1;
    }

    /// The files by ending, the most frequent first: `20 .heic, 3 .txt`.
    fn by_ending(&self) -> Option<String> {
        let mut endings: Vec<_> = self.endings.iter().collect();
        endings.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let shown = endings.iter().take(MAX_ENDINGS).map(|(ending, count)| format!("{count} {ending}"));
        let mut shown = shown.collect::<Vec<String>>().join(", ");
        if endings.len() > MAX_ENDINGS {
            shown.push_str(", …");
        }
        (!endings.is_empty()).then_some(shown)
    }
}

/// Lists `folder`, and adds a warning for whatever is passed over.
pub(super) fn list(folder: &Path, warnings: &mut Vec<String>) -> Result<Found, DataError> {
    let mut passed = Ignored::default();
    let mut direct = Found::default();
    let mut classes = Vec::new();
    let mut empty = Vec::new();
    for Entry { path, kind } in entries(folder)? {
        match kind {
            Kind::LinkToFolder if leads_back(&path, folder) => passed.links += 1,
            Kind::Folder | Kind::LinkToFolder => {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let mut found = Found::default();
                descend(&path, MAX_DEPTH, &mut found, &mut passed)?;
                if found.is_empty() { empty.push(name) } else { classes.push((name, found)) }
            }
            Kind::File => direct.add(path, &mut passed),
            Kind::Bad(reason) => direct.add_bad(path, reason, &mut passed),
        }
    }
    warn(folder, &passed, &empty, warnings);
    let (place, passed_over) = (folder.to_owned(), passed.by_ending());
    if classes.is_empty() {
        return Ok(Found { place, passed_over, ..direct });
    }
    if !direct.files.is_empty() {
        let (count, shown) = (direct.files.len(), folder.display());
        warnings.push(format!("{count} images directly in {shown} have no class and are ignored"));
    }
    // By name, as labels are, which for names that are not UTF-8 is not the order of the paths.
    classes.sort_by(|a, b| a.0.cmp(&b.0));
    let mut all = Found { bad: direct.bad, place, passed_over, ..Found::default() };
    for (name, found) in classes {
        // Names that are not UTF-8 may be one when shown.
        if all.classes.last() != Some(&name) {
            all.classes.push(name);
        }
        let label = all.classes.len() as u32 - 1;
        all.labels.resize(all.labels.len() + found.files.len(), label);
        all.files.extend(found.files);
        all.bad.extend(found.bad);
    }
    Ok(all)
}

fn warn(folder: &Path, passed: &Ignored, empty: &[String], warnings: &mut Vec<String>) {
    let shown = folder.display();
    if let Some(endings) = passed.by_ending() {
        let count: usize = passed.endings.values().sum();
        warnings.push(format!(
            "{count} files in {shown} are no images by their names and are ignored: {endings}"
        ));
    }
    if passed.links > 0 {
        let count = passed.links;
        warnings.push(format!("{count} links to folders inside classes of {shown} are not followed"));
    }
    if !empty.is_empty() {
        let empty = empty.join(", ");
        warnings.push(format!("sub-folders of {shown} without images, which are no classes: {empty}"));
    }
}

impl Found {
    /// Adds a file, if it is an image by its name.
    fn add(&mut self, path: PathBuf, passed: &mut Ignored) {
        if is_image(&path) { self.files.push(path) } else { passed.file(&path) }
    }

    /// Adds what cannot be read, if it is an image by its name.
    fn add_bad(&mut self, path: PathBuf, reason: String, passed: &mut Ignored) {
        if is_image(&path) { self.bad.push((path, reason)) } else { passed.file(&path) }
    }
}

/// Adds the images in and below `folder`, sorted.
fn descend(folder: &Path, depth: usize, found: &mut Found, passed: &mut Ignored) -> Result<(), DataError> {
    if depth == 0 {
        let source = io::Error::other(format!("it lies more than {MAX_DEPTH} levels below its class"));
        return Err(DataError::Io { action: "list", path: folder.to_owned(), source });
    }
    let entries = match entries(folder) {
        Ok(entries) => entries,
        Err(DataError::Io { path, source, .. }) => {
            found.bad.push((path, format!("the folder cannot be listed: {source}")));
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    for Entry { path, kind } in entries {
        match kind {
            // It may lead back to where the descent came from.
            Kind::LinkToFolder => passed.links += 1,
            Kind::Folder => descend(&path, depth - 1, found, passed)?,
            Kind::File => found.add(path, passed),
            Kind::Bad(reason) => found.add_bad(path, reason, passed),
        }
    }
    Ok(())
}

/// Whether a link leads to `folder` or to one that holds it.
fn leads_back(link: &Path, folder: &Path) -> bool {
    let (Ok(target), Ok(folder)) = (link.canonicalize(), folder.canonicalize()) else { return false };
    folder.starts_with(target)
}

/// An entry of a folder.
pub(super) struct Entry {
    pub(super) path: PathBuf,
    pub(super) kind: Kind,
}

/// What an entry of a folder is.
pub(super) enum Kind {
    /// A file, or a link to one.
    File,
    Folder,
    LinkToFolder,
    /// Nothing that can be read, and why.
    Bad(String),
}

/// The entries of `folder` whose names do not begin with a dot, sorted.
pub(super) fn entries(folder: &Path) -> Result<Vec<Entry>, DataError> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(DataError::io("list", folder))? {
        let entry: DirEntry = entry.map_err(DataError::io("list", folder))?;
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let path = entry.path();
        let kind =
            entry.file_type().map_or_else(|error| Kind::Bad(error.to_string()), |found| kind(&path, found));
        entries.push(Entry { path, kind });
    }
    entries.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(entries)
}

/// What stands at `path`, where the system says `found` without following links.
fn kind(path: &Path, found: FileType) -> Kind {
    if found.is_dir() {
        return Kind::Folder;
    }
    if found.is_file() {
        return Kind::File;
    }
    if !found.is_symlink() {
        return Kind::Bad("is a pipe, a socket or a device and no file".to_owned());
    }
    match fs::metadata(path) {
        Ok(target) if target.is_dir() => Kind::LinkToFolder,
        Ok(target) if target.is_file() => Kind::File,
        Ok(_) => Kind::Bad("is a link to a pipe, a socket or a device and to no file".to_owned()),
        Err(error) => {
            let target = fs::read_link(path).unwrap_or_default();
            let reason = match error.kind() {
                io::ErrorKind::NotFound => "which is not there".to_owned(),
                _ => format!("which cannot be reached: {error}"),
            };
            Kind::Bad(format!("is a link to {}, {reason}", target.display()))
        }
    }
}

/// Why no image can be read at `path`, if that is so.
pub(super) fn problem(path: &Path) -> Option<String> {
    match fs::symlink_metadata(path).map(|found| kind(path, found.file_type())) {
        Ok(Kind::File) => None,
        Ok(Kind::Folder | Kind::LinkToFolder) => Some("is a folder".to_owned()),
        Ok(Kind::Bad(reason)) => Some(reason),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some("is not there".to_owned()),
        Err(error) => Some(error.to_string()),
    }
}

/// Whether a file is an image by its name.
pub fn is_image(path: &Path) -> bool {
    let extension = path.extension().and_then(OsStr::to_str).map(str::to_ascii_lowercase);
    extension.is_some_and(|extension| EXTENSIONS.contains(&extension.as_str()))
}
