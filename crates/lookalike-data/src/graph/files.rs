//! Finds the files of a set of graphs, in a folder or in a zip archive, and opens them.

use super::line_reader::LineReader;
use crate::bounded::Bounded;
use crate::error::DataError;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use zip::ZipArchive;

/// Limit of one file after unpacking, in bytes. The longest published file has less than half of it. What is
/// kept in memory can be several times as large, see [`open`](super::open).
const MAX_BYTES: u64 = 1 << 31;

/// Limit of the sets that an error names.
const MAX_NAMED: usize = 10;

/// The end of the name of the file of edges, which every set in TU format has.
const EDGES: &str = "_A.txt";

/// The format of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// `DS_A.txt` and others.
    Tu,
    /// `DS.txt`.
    Gin,
}

/// The files of one set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GraphFiles {
    location: Location,
    /// The name of the set, with which the names of its files begin.
    name: String,
    format: Format,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Location {
    Folder(PathBuf),
    /// An archive, and the folder within it, which ends in a slash unless it is empty.
    Zip(PathBuf, String),
}

impl GraphFiles {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn format(&self) -> Format {
        self.format
    }

    /// The set that `name` means: a path, below `root` or not, of a folder, a zip or a text file in GIN's
    /// format; or the name of a set whose files lie in `root`, or below it in a folder of its own name, its
    /// `raw`, or those below `tu`.
    pub(super) fn locate(name: &str, root: &Path) -> Result<Self, DataError> {
        if is_path(name) {
            return Self::at_path(name, root);
        }
        let tu = root.join("tu");
        let own = [root.join(name), tu.join(name)];
        let folders = [root, &own[0], &own[0].join("raw"), &own[1], &own[1].join("raw"), &tu];
        for folder in folders {
            let here = || Location::Folder(folder.to_owned());
            let plain = |format| Self { location: here(), name: name.to_owned(), format };
            if folder.join(format!("{name}{EDGES}")).is_file() {
                return Ok(plain(Format::Tu));
            }
            if folder.join(format!("{name}.txt")).is_file() {
                return Ok(plain(Format::Gin));
            }
            for zip in [format!("{name}.zip"), format!("{name}.gin.zip")] {
                let zip = folder.join(zip);
                if zip.is_file() {
                    return Self::in_zip(&zip, Some(name));
                }
            }
        }
        if root.is_file() {
            return Self::in_zip(root, Some(name));
        }
        let wanted = [EDGES, ".txt", ".zip", ".gin.zip"].map(|end| format!("{name}{end}")).to_vec();
        Err(DataError::NoGraphs { name: name.to_owned(), root: root.into(), wanted })
    }

    fn at_path(name: &str, root: &Path) -> Result<Self, DataError> {
        let below = root.join(name);
        let path = if below.exists() { below } else { PathBuf::from(name) };
        let own = if path.is_dir() { path.file_name() } else { path.file_stem() };
        let stem = own.and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
        if path.extension().is_some_and(|end| end == "zip") {
            return Self::in_zip(&path, None);
        }
        if path.is_dir() {
            let entries = path.read_dir().map_err(DataError::io("list", &path))?;
            let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
            let sets = names.filter_map(|file| set_of(&file).map(str::to_owned)).collect();
            if let Some(set) = only(sets, &path)? {
                return Ok(Self { location: Location::Folder(path), name: set, format: Format::Tu });
            }
            if path.join(format!("{stem}.txt")).is_file() {
                return Ok(Self { location: Location::Folder(path), name: stem, format: Format::Gin });
            }
        } else if path.is_file() {
            let folder = path.parent().map(Path::to_owned).unwrap_or_default();
            if let Some(set) = path.file_name().and_then(|file| file.to_str()?.strip_suffix(EDGES)) {
                return Ok(Self {
                    location: Location::Folder(folder),
                    name: set.to_owned(),
                    format: Format::Tu,
                });
            }
            return Ok(Self { location: Location::Folder(folder), name: stem, format: Format::Gin });
        }
        let wanted = vec![format!("*{EDGES}"), format!("{stem}.txt")];
        Err(DataError::NoGraphs { name: name.to_owned(), root: path, wanted })
    }

    /// The set in an archive: the one named `name`; without a name the only one in TU format, or the one in
    /// GIN's format named like the archive.
    fn in_zip(path: &Path, name: Option<&str>) -> Result<Self, DataError> {
        let archive = open_zip(path)?;
        let file = path.file_name().and_then(|file| file.to_str()).unwrap_or_default();
        let stem = file.strip_suffix(".zip").unwrap_or(file);
        let stem = stem.strip_suffix(".gin").unwrap_or(stem);
        let mut members = Vec::new();
        for member in archive.file_names() {
            members.push(member.map_err(DataError::archive(path))?.into_owned());
        }
        members.retain(|member| !member.starts_with("__MACOSX"));
        members.sort_unstable();
        let file_of = |member: &str| member.rsplit('/').next().unwrap_or_default().to_owned();
        let find = |format: Format, set: &str| {
            let wanted = format!("{set}{}", if format == Format::Tu { EDGES } else { ".txt" });
            let member = members.iter().find(|member| file_of(member) == wanted)?;
            let folder = member[..member.len() - wanted.len()].to_owned();
            let location = Location::Zip(path.to_owned(), folder);
            Some(Self { location, name: set.to_owned(), format })
        };
        let sets = members.iter().filter_map(|member| set_of(&file_of(member)).map(str::to_owned));
        let sets = sets.filter(|set| name.is_none_or(|name| name == set));
        let tu = only(sets.collect(), path)?;
        let found = tu.and_then(|set| find(Format::Tu, &set));
        let found = found.or_else(|| find(Format::Gin, name.unwrap_or(stem)));
        found.ok_or_else(|| {
            let set = name.unwrap_or(stem);
            let wanted = vec![format!("{}{EDGES}", name.unwrap_or("*")), format!("{set}.txt")];
            DataError::NoGraphs { name: set.to_owned(), root: path.into(), wanted }
        })
    }

    /// The names of those files that are there, each given by its end.
    pub(super) fn among(&self, ends: &[&str]) -> Result<Vec<String>, DataError> {
        let mut found = Vec::new();
        for end in ends {
            found.extend(self.optional(end, |_| Ok(format!("{}{end}", self.name)))?);
        }
        Ok(found)
    }

    /// Reads the file whose name ends in `end`; it must exist.
    ///
    /// # Errors
    /// [`DataError::NoGraphs`] where it does not; what `read` says of its lines.
    pub(super) fn required<T>(
        &self,
        end: &str,
        read: impl FnOnce(&mut LineReader<'_>) -> Result<T, DataError>,
    ) -> Result<T, DataError> {
        self.optional(end, read)?.ok_or_else(|| {
            let root = match &self.location {
                Location::Folder(path) | Location::Zip(path, _) => path.clone(),
            };
            DataError::NoGraphs { name: self.name.clone(), root, wanted: vec![format!("{}{end}", self.name)] }
        })
    }

    /// Reads the file whose name ends in `end`; `None` where there is no such file.
    pub(super) fn optional<T>(
        &self,
        end: &str,
        read: impl FnOnce(&mut LineReader<'_>) -> Result<T, DataError>,
    ) -> Result<Option<T>, DataError> {
        let file = format!("{}{end}", self.name);
        match &self.location {
            Location::Folder(folder) => {
                let path = folder.join(file);
                if !path.is_file() {
                    return Ok(None);
                }
                let reader = File::open(&path).map_err(DataError::io("open", &path))?;
                let reader = BufReader::with_capacity(1 << 16, Bounded::new(reader, MAX_BYTES));
                read(&mut LineReader::new(reader, path)).map(Some)
            }
            Location::Zip(path, folder) => {
                let member = format!("{folder}{file}");
                let mut archive = open_zip(path)?;
                let Some(index) = archive.index_for_name(&member) else { return Ok(None) };
                let reader = archive.by_index(index).map_err(DataError::archive(path))?;
                let reader = BufReader::with_capacity(1 << 16, Bounded::new(reader, MAX_BYTES));
                read(&mut LineReader::new(reader, path.join(member))).map(Some)
            }
        }
    }
}

/// The name of the set whose edges the file named `file` holds. Hidden files, which archivers leave behind,
/// are passed over.
fn set_of(file: &str) -> Option<&str> {
    file.strip_suffix(EDGES).filter(|set| !set.starts_with('.'))
}

/// The only one of `sets`; `None` where there are none.
fn only(mut sets: Vec<String>, root: &Path) -> Result<Option<String>, DataError> {
    sets.sort_unstable();
    if sets.len() > 1 {
        let more = if sets.len() > MAX_NAMED { ", …" } else { "" };
        let problem = format!(
            "{} holds several sets of graphs: {}{more}; set data.root to it and data.name to one of them",
            root.display(),
            sets[..sets.len().min(MAX_NAMED)].join(", ")
        );
        return Err(DataError::Graph { problem });
    }
    Ok(sets.pop())
}

/// Whether `name` is a path rather than the name of a set.
pub fn is_path(name: &str) -> bool {
    let end = Path::new(name).extension();
    name.contains(['/', '\\']) || end.is_some_and(|end| end == "zip" || end == "txt")
}

fn open_zip(path: &Path) -> Result<ZipArchive<BufReader<File>>, DataError> {
    let file = File::open(path).map_err(DataError::io("open", path))?;
    ZipArchive::new(BufReader::new(file)).map_err(DataError::archive(path))
}
