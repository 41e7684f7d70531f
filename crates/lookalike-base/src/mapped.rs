//! Rows of a file that is mapped into memory instead of read: more of them than memory holds.

use std::fs::File;
use std::ops::Range;
use std::path::Path;

use memmap2::Mmap;
#[cfg(feature = "safetensors")]
use safetensors::tensor::{Dtype, TensorView};

use crate::encoded::{Element, EncodedRows};
use crate::error::ArrayFileError;
use crate::files::split_name;
use crate::npy;
use crate::source::RowSource;
#[cfg(feature = "safetensors")]
use crate::tensors;

/// The most tensors that a message names.
#[cfg(feature = "safetensors")]
const MOST_NAMES: usize = 20;

/// Where a matrix lies in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MatrixLayout {
    /// The first byte of its first value.
    pub(crate) offset: usize,
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) element: Element,
}

/// A matrix in a file, one instance a row; each is converted to `f32` when it is read.
///
/// The pages of the file come into memory as they are needed and leave it when others need the room: they count as
/// cache, not as memory of the process.
///
/// The file must stay as it is for as long as this lives. Where another program writes to it, the values read are whatever
/// lies there at the time; where another program truncates it, the operating system ends this one with a bus error
/// (SIGBUS) when it touches a page that is gone, which no check beforehand can prevent. Files written under a temporary
/// name and renamed, as all of Lookalike's are, never change in this way.
#[derive(Debug)]
pub struct MappedRows {
    map: Mmap,
    layout: MatrixLayout,
}

impl MappedRows {
    /// Maps a `.npy` file with a 2-dimensional array of `float16`, `float32` or `float64`, or a safetensors file, recognised by its
    /// extension `.safetensors`, with a matrix of `F16`, `BF16`, `F32` or `F64`: its only one, or of several the one that
    /// `FILE:NAME` names.
    ///
    /// Safetensors files need the feature `safetensors`. The header and the length of the file are compared first; its values are not read.
    ///
    /// # Errors
    /// [`ArrayFileError`] where the file cannot be mapped, is not of its format, is cut short, or holds another type or
    /// layout.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ArrayFileError> {
        Self::open_named(path.as_ref(), None)
    }

    /// The same, with the name of a tensor where `path` itself has none.
    pub(crate) fn open_named(path: &Path, tensor: Option<&str>) -> Result<Self, ArrayFileError> {
        let (path, own) = split_name(path);
        let tensor = own.as_deref().or(tensor);
        if path.extension().is_some_and(|extension| extension == "safetensors") {
            #[cfg(feature = "safetensors")]
            return Self::safetensors(path, tensor);
            #[cfg(not(feature = "safetensors"))]
            return Err(ArrayFileError::unsupported(
                &path,
                "it is a safetensors file",
                "lookalike-base reads those with its feature `safetensors`",
            ));
        }
        let (file, layout) = npy::layout(&path)?;
        if let Some(name) = tensor {
            let found = format!("it is no safetensors file, so that nothing in it is called '{name}'");
            return Err(ArrayFileError::unsupported(&path, found, "leave the name out"));
        }
        Ok(Self { map: map(&path, &file)?, layout })
    }

    /// Maps the matrix `tensor` of a safetensors file, or its only matrix.
    ///
    /// The header is checked against the length of the file. A checksum is not verified, as that would read all of it.
    ///
    /// # Errors
    /// As [`MappedRows::open`], and where there is no such tensor or more than one matrix to choose from.
    #[cfg(feature = "safetensors")]
    pub fn safetensors(path: impl AsRef<Path>, tensor: Option<&str>) -> Result<Self, ArrayFileError> {
        let path = path.as_ref();
        let file = File::open(path).map_err(ArrayFileError::read(path))?;
        let map = map(path, &file)?;
        let contents = tensors::parse(path, &map)?;
        let found = contents.tensors();
        let mut matrices = found.iter().filter(|(name, view)| match tensor {
            Some(wanted) => name == wanted,
            None => view.shape().len() == 2,
        });
        let (Some((name, view)), None) = (matrices.next(), matrices.next()) else {
            return Err(not_one(path, &found, tensor));
        };
        let unsupported = |found: String| {
            ArrayFileError::unsupported(
                path,
                found,
                "a matrix of F16, BF16, F32 or F64 with at least one column is read",
            )
        };
        let element = match view.dtype() {
            Dtype::F64 => Element::F64,
            Dtype::F32 => Element::F32,
            Dtype::F16 => Element::F16,
            Dtype::BF16 => Element::BF16,
            other => return Err(unsupported(format!("tensor '{name}' is of type {other}"))),
        };
        let &[rows, columns @ 1..=usize::MAX] = view.shape() else {
            return Err(unsupported(format!("tensor '{name}' has shape {:?}", view.shape())));
        };
        // The view borrows from the map, so the distance of their beginnings is its place in the file.
        let offset = view.data().as_ptr() as usize - map.as_ptr() as usize;
        let layout = MatrixLayout { offset, rows, columns, element };
        drop(contents);
        Ok(Self { map, layout })
    }
}

impl MappedRows {
    /// How numbers lie in the file.
    pub fn element(&self) -> Element {
        self.layout.element
    }

    fn rows(&self) -> EncodedRows<'_> {
        let MatrixLayout { offset, rows, columns, element } = self.layout;
        EncodedRows::of_file(&self.map[offset..], rows, columns, element)
    }
}

impl RowSource for MappedRows {
    fn len(&self) -> usize {
        self.layout.rows
    }

    fn columns(&self) -> usize {
        self.layout.columns
    }

    fn read_row(&self, index: usize, into: &mut [f32]) {
        self.rows().read_row(index, into);
    }

    fn addresses(&self, index: usize) -> Range<usize> {
        self.rows().addresses(index)
    }
}

/// Says which tensors there are, where none or several are meant.
#[cfg(feature = "safetensors")]
fn not_one(path: &Path, found: &[(String, TensorView<'_>)], tensor: Option<&str>) -> ArrayFileError {
    let mut names: Vec<String> =
        found.iter().map(|(name, view)| format!("{name} ({} {:?})", view.dtype(), view.shape())).collect();
    names.sort_unstable();
    let more = names.len().saturating_sub(MOST_NAMES);
    names.truncate(MOST_NAMES);
    if more > 0 {
        names.push(format!("{more} more"));
    }
    let names = if names.is_empty() { "no tensor".to_owned() } else { names.join(", ") };
    match tensor {
        Some(wanted) => ArrayFileError::unsupported(
            path,
            format!("it has no tensor '{wanted}'"),
            format!("it holds {names}"),
        ),
        None => ArrayFileError::unsupported(
            path,
            format!("it holds {names}"),
            "name the one matrix that is meant, behind a colon: FILE:NAME",
        ),
    }
}

#[expect(unsafe_code, reason = "the one place where a file is mapped")]
fn map(path: &Path, file: &File) -> Result<Mmap, ArrayFileError> {
    // SAFETY: the map is private and read only. Its bytes are only ever copied out, and every pattern of them is a
    // number. That nobody changes the file meanwhile cannot be had from the operating system; it is asked of the caller in the
    // documentation of `MappedRows`, which says what happens otherwise. A file that was truncated ends the process
    // with a signal, so that memory which is not the file's is never read.
    unsafe { Mmap::map(file) }.map_err(ArrayFileError::read(path))
}
