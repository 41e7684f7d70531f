//! Rows of a file that is mapped into memory instead of read: more of them than memory holds.

use std::fs::File;
use std::ops::Range;
use std::path::Path;

use memmap2::Mmap;
#[cfg(feature = "safetensors")]
use safetensors::tensor::Dtype;

use crate::bytes::{bf16_to_f32, f16_to_f32};
use crate::error::ArrayFileError;
use crate::npy;
use crate::source::RowSource;
#[cfg(feature = "safetensors")]
use crate::tensors;

/// How a value lies in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Element {
    F32,
    F16,
    #[cfg_attr(not(feature = "safetensors"), expect(dead_code, reason = "only safetensors files hold it"))]
    BF16,
}

impl Element {
    pub(crate) fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
        }
    }
}

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
    /// Maps a `.npy` file with a 2-dimensional array of `float32` or `float16`, or a safetensors file, recognised by its
    /// extension `.safetensors`, whose only matrix is of `F32`, `F16` or `BF16`.
    ///
    /// Safetensors files need the feature `safetensors`. The header and the length of the file are compared first; its values are not read.
    ///
    /// # Errors
    /// [`ArrayFileError`] where the file cannot be mapped, is not of its format, is cut short, or holds another type or
    /// layout.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ArrayFileError> {
        let path = path.as_ref();
        if path.extension().is_some_and(|extension| extension == "safetensors") {
            #[cfg(feature = "safetensors")]
            return Self::safetensors(path, None);
            #[cfg(not(feature = "safetensors"))]
            return Err(ArrayFileError::unsupported(
                path,
                "it is a safetensors file",
                "lookalike-base reads those with its feature `safetensors`",
            ));
        }
        let (file, layout) = npy::layout(path)?;
        Ok(Self { map: map(path, &file)?, layout })
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
            let mut names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
            names.sort_unstable();
            let problem = format!("it holds the tensors {names:?}");
            return Err(ArrayFileError::unsupported(path, problem, "name the one matrix that is meant"));
        };
        let unsupported = |found: String| {
            ArrayFileError::unsupported(
                path,
                found,
                "a matrix of F32, F16 or BF16 with at least one column is mapped",
            )
        };
        let element = match view.dtype() {
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
    /// The bytes of a row.
    fn bytes(&self, index: usize) -> &[u8] {
        let MatrixLayout { offset, rows, columns, element } = self.layout;
        assert!(index < rows, "row {index} of {rows}");
        let width = columns * element.size();
        &self.map[offset + index * width..][..width]
    }
}

impl RowSource for MappedRows {
    fn len(&self) -> usize {
        self.layout.rows
    }

    fn columns(&self) -> usize {
        self.layout.columns
    }

    fn addresses(&self, index: usize) -> Range<usize> {
        let bytes = self.bytes(index).as_ptr_range();
        bytes.start.addr()..bytes.end.addr()
    }

    fn read_row(&self, index: usize, into: &mut [f32]) {
        let MatrixLayout { rows, columns, element, .. } = self.layout;
        assert!(index < rows && into.len() == columns, "row {index} of {rows}, {columns} columns");
        let bytes = self.bytes(index);
        match element {
            Element::F32 => convert(bytes, f32::from_le_bytes, into),
            Element::F16 => convert(bytes, f16_to_f32, into),
            Element::BF16 => convert(bytes, bf16_to_f32, into),
        }
    }
}

fn convert<const SIZE: usize>(bytes: &[u8], number: impl Fn([u8; SIZE]) -> f32, into: &mut [f32]) {
    let (numbers, _) = bytes.as_chunks::<SIZE>();
    for (value, bytes) in into.iter_mut().zip(numbers) {
        *value = number(*bytes);
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
