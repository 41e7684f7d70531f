//! Embeddings as they are given: an array of `float32`, the bytes of other numbers, files, or two of these side by side.

use std::ops::Range;
use std::path::PathBuf;

use lookalike_base::{Element, EncodedRows, FileRows, RowSource, Rows};
use numpy::{PyArray1, PyArrayDyn, PyArrayMethods, PyReadonlyArray2};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use rayon::prelude::*;

use crate::arrays::{rows, value_error};
use crate::work::run;

/// The matrix in a file, in several, or in a folder of them, of which rows are read when they are needed.
#[pyclass(frozen, name = "FileRows", module = "lookalike._lookalike")]
pub(crate) struct PyFileRows(FileRows);

#[pymethods]
impl PyFileRows {
    #[new]
    fn new(py: Python<'_>, paths: Vec<PathBuf>) -> PyResult<Self> {
        py.detach(|| FileRows::of(&paths)).map(Self).map_err(|error| {
            match std::error::Error::source(&error) {
                Some(cause) => value_error(format!("{error}: {cause}")),
                None => value_error(error),
            }
        })
    }

    #[getter]
    fn shape(&self) -> (usize, usize) {
        (self.0.len(), self.0.columns())
    }

    /// Whether numbers are `float64` in the file, and rounded when they are read.
    #[getter]
    fn rounds(&self) -> bool {
        self.0.rounds()
    }
}

/// One matrix from Python.
enum Part<'py> {
    Array(PyReadonlyArray2<'py, f32>),
    Encoded(PyReadonlyArray2<'py, u8>, Element),
    Files(Bound<'py, PyFileRows>),
}

/// Embeddings from Python: a matrix, or those of queries and documents.
pub(crate) struct Embeddings<'py>(Vec<Part<'py>>);

impl<'py> Part<'py> {
    fn extract(object: &Bound<'py, PyAny>) -> PyResult<Self> {
        if let Ok(array) = object.extract() {
            return Ok(Self::Array(array));
        }
        if let Ok(files) = object.cast::<PyFileRows>() {
            return Ok(Self::Files(files.clone()));
        }
        let (bytes, name): (PyReadonlyArray2<'py, u8>, String) = object.extract()?;
        let element = match name.as_str() {
            "F64" => Element::F64,
            "F16" => Element::F16,
            "BF16" => Element::BF16,
            _ => return Err(PyTypeError::new_err(format!("{name} is no type of numbers"))),
        };
        Ok(Self::Encoded(bytes, element))
    }

    fn source(&self) -> PyResult<One<'_>> {
        Ok(match self {
            Self::Array(array) => One::Rows(rows(array)?),
            Self::Encoded(bytes, element) => {
                let columns = bytes.as_array().ncols() / element.size();
                let bytes = bytes.as_slice().map_err(value_error)?;
                One::Encoded(EncodedRows::new(bytes, columns, *element).map_err(value_error)?)
            }
            Self::Files(files) => One::Files(&files.get().0),
        })
    }
}

impl<'py> FromPyObject<'_, 'py> for Embeddings<'py> {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        match Part::extract(&object) {
            Ok(part) => Ok(Self(vec![part])),
            Err(error) => {
                let pair: Result<(Bound<'py, PyAny>, Bound<'py, PyAny>), _> = object.extract();
                let (queries, documents) = pair.map_err(|_| error)?;
                Ok(Self(vec![Part::extract(&queries)?, Part::extract(&documents)?]))
            }
        }
    }
}

impl Embeddings<'_> {
    /// Their rows, of two matrices side by side.
    pub(crate) fn source(&self) -> PyResult<Source<'_>> {
        let parts = self.0.iter().map(Part::source).collect::<PyResult<Vec<_>>>()?;
        if parts.iter().any(|part| part.len() != parts[0].len()) {
            return Err(value_error("queries and documents differ in rows"));
        }
        Ok(Source(parts))
    }
}

#[derive(Clone, Copy)]
enum One<'a> {
    Rows(Rows<'a>),
    Encoded(EncodedRows<'a>),
    Files(&'a FileRows),
}

/// Rows of what Python gave, without a copy of all of them.
#[derive(Clone)]
pub(crate) struct Source<'a>(Vec<One<'a>>);

impl RowSource for One<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Rows(rows) => rows.len(),
            Self::Encoded(rows) => rows.len(),
            Self::Files(rows) => RowSource::len(*rows),
        }
    }

    fn columns(&self) -> usize {
        match self {
            Self::Rows(rows) => rows.columns(),
            Self::Encoded(rows) => rows.columns(),
            Self::Files(rows) => rows.columns(),
        }
    }

    fn read_row(&self, index: usize, into: &mut [f32]) {
        match self {
            Self::Rows(rows) => rows.read_row(index, into),
            Self::Encoded(rows) => rows.read_row(index, into),
            Self::Files(rows) => rows.read_row(index, into),
        }
    }

    fn addresses(&self, index: usize) -> Range<usize> {
        match self {
            Self::Rows(rows) => rows.addresses(index),
            Self::Encoded(rows) => rows.addresses(index),
            Self::Files(rows) => rows.addresses(index),
        }
    }
}

impl RowSource for Source<'_> {
    fn len(&self) -> usize {
        self.0[0].len()
    }

    fn columns(&self) -> usize {
        self.0.iter().map(RowSource::columns).sum()
    }

    fn read_row(&self, index: usize, mut into: &mut [f32]) {
        for part in &self.0 {
            let (own, rest) = into.split_at_mut(part.columns());
            part.read_row(index, own);
            into = rest;
        }
    }

    /// Those of the row in the first part.
    fn addresses(&self, index: usize) -> Range<usize> {
        self.0[0].addresses(index)
    }
}

/// The `count` rows from `first` on as an array of `float32`, converted on all threads.
#[pyfunction]
pub(crate) fn read_rows<'py>(
    py: Python<'py>,
    embeddings: Embeddings<'py>,
    first: usize,
    count: usize,
) -> PyResult<Bound<'py, PyArrayDyn<f32>>> {
    let source = embeddings.source()?;
    let (rows, columns) = (source.len(), source.columns());
    if first.checked_add(count).is_none_or(|end| end > rows) {
        return Err(value_error(format!("{count} rows from {first} on are not among the {rows} there are")));
    }
    let mut values = Vec::new();
    values
        .try_reserve_exact(count.saturating_mul(columns))
        .map_err(|_| value_error(format!("{count} rows of {columns} columns do not fit into memory")))?;
    values.resize(count * columns, 0.0_f32);
    run(py, |_| {
        values
            .par_chunks_exact_mut(columns)
            .enumerate()
            .for_each(|(at, row)| source.read_row(first + at, row));
    })?;
    PyArray1::from_vec(py, values).reshape(vec![count, columns])
}
