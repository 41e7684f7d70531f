//! Embeddings in files as people have them: one file, one tensor of a file, or a folder of shards.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::encoded::Element;
use crate::error::ArrayFileError;
use crate::mapped::MappedRows;
use crate::source::RowSource;

/// More rows than 32 bits can number are not taken: every instance has such a number.
const MOST_ROWS: usize = u32::MAX as usize;

/// The rows of one file or of several, one matrix behind another, all mapped and none read before it is asked for.
///
/// For mapped files the same holds as for [`MappedRows`].
#[derive(Debug)]
pub struct FileRows {
    parts: Vec<MappedRows>,
    /// Where each part ends, in rows of all.
    ends: Vec<usize>,
    columns: usize,
}

impl FileRows {
    /// Opens what `path` means: a file as [`MappedRows::open`] takes it, `FILE:NAME` for a tensor of a safetensors file, or a folder,
    /// whose `.npy` and `.safetensors` files are taken in the order of their names. Numbers in names are compared as
    /// numbers: `shard-10.npy` comes after `shard-9.npy`. `FOLDER:NAME` takes the tensor of that name of each file.
    ///
    /// # Errors
    /// [`ArrayFileError`] where a file cannot be mapped, the folder holds none, a shard has no rows or another width than the first, or there are 2³² rows or more.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ArrayFileError> {
        let path = path.as_ref();
        let (place, tensor) = split_name(path);
        if place.is_dir() {
            Self::join(&shards(&place)?, tensor.as_deref())
        } else {
            Self::join(&[path.to_owned()], None)
        }
    }

    /// Opens several files, one matrix behind another, in the order given.
    ///
    /// # Errors
    /// As [`FileRows::open`].
    pub fn of(paths: &[PathBuf]) -> Result<Self, ArrayFileError> {
        match paths {
            [path] => Self::open(path),
            paths => Self::join(paths, None),
        }
    }

    fn join(paths: &[PathBuf], tensor: Option<&str>) -> Result<Self, ArrayFileError> {
        let mut joined = Self { parts: Vec::new(), ends: Vec::new(), columns: 0 };
        for path in paths {
            let part = MappedRows::open_named(path, tensor)?;
            joined.check(&part, path, paths)?;
            joined.columns = part.columns();
            joined.ends.push(joined.len() + part.len());
            joined.parts.push(part);
        }
        Ok(joined)
    }

    /// Checks that `part` fits behind what is there.
    fn check(&self, part: &MappedRows, path: &Path, paths: &[PathBuf]) -> Result<(), ArrayFileError> {
        if !self.parts.is_empty() && part.columns() != self.columns {
            let found =
                format!("it has {} columns, and {} has {}", part.columns(), paths[0].display(), self.columns);
            return Err(ArrayFileError::unsupported(path, found, "shards of one matrix have one width"));
        }
        if paths.len() > 1 && part.is_empty() {
            return Err(ArrayFileError::unsupported(
                path,
                "it has no rows",
                "write the shard again, or remove it",
            ));
        }
        if self.len().saturating_add(part.len()) > MOST_ROWS {
            let found = format!("with it there are {} rows", self.len().saturating_add(part.len()));
            return Err(ArrayFileError::unsupported(path, found, "fewer than 2^32 can be numbered"));
        }
        Ok(())
    }

    /// Whether some of the numbers are `float64`, which are rounded to `float32` when they are read.
    pub fn rounds(&self) -> bool {
        self.parts.iter().any(|part| part.element() == Element::F64)
    }

    /// The part that holds a row, and its place there.
    fn find(&self, index: usize) -> (&MappedRows, usize) {
        if let [part] = &self.parts[..] {
            return (part, index);
        }
        let at = self.ends.partition_point(|end| *end <= index);
        assert!(at < self.parts.len(), "row {index} of {}", RowSource::len(self));
        (&self.parts[at], index - at.checked_sub(1).map_or(0, |before| self.ends[before]))
    }
}

impl RowSource for FileRows {
    fn len(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    fn columns(&self) -> usize {
        self.columns
    }

    fn read_row(&self, index: usize, into: &mut [f32]) {
        let (part, at) = self.find(index);
        part.read_row(at, into);
    }

    fn addresses(&self, index: usize) -> Range<usize> {
        let (part, at) = self.find(index);
        part.addresses(at)
    }
}

/// The file or folder that is meant by `path`, and the name behind its colon. What exists under the whole name is meant itself.
pub fn split_name(path: &Path) -> (PathBuf, Option<String>) {
    let whole = || (path.to_owned(), None);
    let Some(text) = path.to_str().filter(|_| !path.exists()) else { return whole() };
    let named = text.match_indices(':').map(|(at, _)| (Path::new(&text[..at]), &text[at + 1..]));
    let mut named = named.filter(|(file, name)| file.exists() && !name.is_empty());
    named.next().map_or_else(whole, |(file, name)| (file.to_owned(), Some(name.to_owned())))
}

/// The array files in `folder`, in the order of their names.
fn shards(folder: &Path) -> Result<Vec<PathBuf>, ArrayFileError> {
    let read = |error| ArrayFileError::read(folder)(error);
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(read)? {
        let path = entry.map_err(read)?.path();
        if is_array(&path) && !is_hidden(&path) {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        let found = "the folder holds no .npy and no .safetensors file";
        return Err(ArrayFileError::unsupported(
            folder,
            found,
            "give a folder with the shards of one matrix",
        ));
    }
    paths.sort_by_cached_key(|path| natural(&path.file_name().unwrap_or_default().to_string_lossy()));
    Ok(paths)
}

/// Whether a file is an array by its name.
pub fn is_array(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "npy" || end == "safetensors")
}

/// Whether `path` means an array by its name, a tensor of one, or a folder with arrays in it.
pub fn holds_arrays(path: &Path) -> bool {
    let (place, _) = split_name(path);
    is_array(&place) || (place.is_dir() && shards(&place).is_ok())
}

/// Temporary files of a writer begin with a dot.
fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'))
}

/// A name in parts by which it is sorted: text, and each run of digits behind it by its value, which is that of the longer
/// one where zeros are left out.
fn natural(name: &str) -> Vec<(String, usize, String)> {
    let (mut parts, mut rest) = (Vec::new(), name);
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| letter.is_ascii_digit()).unwrap_or(rest.len());
        let (text, behind) = rest.split_at(digits);
        let end = behind.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(behind.len());
        let value = behind[..end].trim_start_matches('0');
        parts.push((text.to_owned(), value.len(), value.to_owned()));
        rest = &behind[end..];
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_are_sorted_as_numbers() {
        let mut names = [
            "b",
            "part-10",
            "part-9",
            "part-010b",
            "part-1-of-2",
            "part-1",
            "a99999999999999999999999",
            "a7",
        ];
        names.sort_by_key(|name| natural(name));
        assert_eq!(
            names,
            [
                "a7",
                "a99999999999999999999999",
                "b",
                "part-1",
                "part-1-of-2",
                "part-9",
                "part-10",
                "part-010b"
            ]
        );
    }
}
