//! NumPy's array files, `.npy` versions 1 to 3: embeddings as `f32` matrices, labels and plans as integers.
//!
//! Format: <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>. A file of another element type or
//! layout is refused with the line of Python that converts it, rather than converted silently.

mod header;

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use crate::arrays::element_count;
use crate::atomic::Staged;
use crate::bytes::{bf16_to_f32, encode, f16_to_f32, f64_to_f32};
use crate::encoded::Element;
use crate::error::ArrayFileError;
use crate::foreign;
use crate::mapped::MatrixLayout;
use crate::matrix::{Matrix, Rows};
use header::{Header, MAGIC};

/// Reads a 2-dimensional array of `float16`, `float32` or `float64`; the last is rounded to `f32`.
///
/// # Errors
/// [`ArrayFileError`] where the file cannot be read, is no `.npy` file, is cut short, or holds another type or layout.
pub fn read_rows(path: impl AsRef<Path>) -> Result<Matrix, ArrayFileError> {
    let path = path.as_ref();
    let mut array = Opened::new(path)?;
    let (element, [_, columns]) = array.matrix()?;
    let values = match element {
        Element::F64 => array.numbers(f64_to_f32)?,
        Element::F32 => array.numbers(f32::from_le_bytes)?,
        Element::F16 => array.numbers(f16_to_f32)?,
        Element::BF16 => array.numbers(bf16_to_f32)?,
    };
    Matrix::new(values, columns).map_err(|_| no_columns(path))
}

fn no_columns(path: &Path) -> ArrayFileError {
    ArrayFileError::unsupported(path, "the matrix has no columns", "at least one is needed")
}

/// Opens a 2-dimensional array of `float16`, `float32` or `float64` and says where its values lie, once the length of the file has been
/// found to be what they need.
pub(crate) fn layout(path: &Path) -> Result<(File, MatrixLayout), ArrayFileError> {
    let array = Opened::new(path)?;
    let (element, [rows, columns]) = array.matrix()?;
    array.count(element.size())?;
    let length = array.file.metadata().map_err(ArrayFileError::read(path))?.len();
    let offset = (length - array.data_bytes) as usize;
    Ok((array.file, MatrixLayout { offset, rows, columns, element }))
}

/// Reads an array of integers of any size and shape: the values, last axis fastest, and the shape.
///
/// # Errors
/// [`ArrayFileError`] where the file cannot be read, is no `.npy` file, is cut short, holds no integers, or one that
/// exceeds `i64`.
pub fn read_integers(path: impl AsRef<Path>) -> Result<(Vec<i64>, Vec<usize>), ArrayFileError> {
    integers(Opened::new(path.as_ref())?)
}

/// Reads identifiers, as of classes or groups: integers of at least 0, and −1 for none. Of floating-point numbers they may be too, with
/// NaN for none, for so an array of integers becomes where some are missing.
///
/// # Errors
/// As [`read_integers`], and where another number is negative or no integer, which is named by its place.
pub fn read_identifiers(path: impl AsRef<Path>) -> Result<(Vec<i64>, Vec<usize>), ArrayFileError> {
    let path = path.as_ref();
    let mut array = Opened::new(path)?;
    let floats = match array.header.descr.as_str() {
        "<f8" => array.numbers(f64::from_le_bytes)?,
        "<f4" => array.numbers(|bytes| f64::from(f32::from_le_bytes(bytes)))?,
        "<f2" => array.numbers(|bytes| f64::from(f16_to_f32(bytes)))?,
        _ => {
            let (values, shape) = integers(array)?;
            return match values.iter().position(|value| *value < -1) {
                None => Ok((values, shape)),
                Some(at) => Err(no_identifier(path, at, &values[at])),
            };
        }
    };
    let identifier = |(at, value): (usize, &f64)| match *value {
        value if value.is_nan() => Ok(-1),
        // Above 2⁵³ not every integer is such a number: what stands there may have been another one.
        value if value.fract() == 0.0 && (-1.0..=9_007_199_254_740_992.0).contains(&value) => {
            Ok(value as i64)
        }
        value => Err(no_identifier(path, at, &value)),
    };
    let values = floats.iter().enumerate().map(identifier).collect::<Result<_, _>>()?;
    Ok((values, array.header.shape))
}

fn no_identifier(path: &Path, at: usize, value: &impl std::fmt::Display) -> ArrayFileError {
    let advice = "identifiers are integers of at least 0, and -1 or NaN for none";
    ArrayFileError::unsupported(path, format!("entry {at} is {value}"), advice)
}

fn integers(mut array: Opened<'_>) -> Result<(Vec<i64>, Vec<usize>), ArrayFileError> {
    let path = array.path;
    let values = match array.header.descr.as_str() {
        "<i8" => array.numbers(i64::from_le_bytes)?,
        "<i4" => array.numbers(|bytes| i64::from(i32::from_le_bytes(bytes)))?,
        "<i2" => array.numbers(|bytes| i64::from(i16::from_le_bytes(bytes)))?,
        "|i1" => array.numbers(|bytes| i64::from(i8::from_le_bytes(bytes)))?,
        "<u8" => array
            .numbers(u64::from_le_bytes)?
            .into_iter()
            .map(i64::try_from)
            .collect::<Result<_, _>>()
            .map_err(|_| {
                ArrayFileError::unsupported(
                    path,
                    "an element exceeds the largest int64",
                    "save smaller numbers",
                )
            })?,
        "<u4" => array.numbers(|bytes| i64::from(u32::from_le_bytes(bytes)))?,
        "<u2" => array.numbers(|bytes| i64::from(u16::from_le_bytes(bytes)))?,
        "|u1" | "|b1" => array.numbers(|[byte]: [u8; 1]| i64::from(byte))?,
        other => {
            return Err(ArrayFileError::unsupported(
                path,
                format!("the elements are of type '{other}'"),
                "save them with numpy.save(path, array.astype('<i8'))",
            ));
        }
    };
    Ok((values, array.header.shape))
}

/// Writes a matrix as `float32`, atomically.
///
/// # Errors
/// [`ArrayFileError::Io`] where the file cannot be written; what stood there before is then untouched.
pub fn write_rows(path: impl AsRef<Path>, rows: Rows<'_>) -> Result<(), ArrayFileError> {
    let path = path.as_ref();
    stage_rows(path, rows)?.publish().map_err(ArrayFileError::write(path))
}

/// [`write_rows`] up to the moment in which the file appears, for files that are to appear together.
///
/// # Errors
/// As [`write_rows`].
pub fn stage_rows(path: impl AsRef<Path>, rows: Rows<'_>) -> Result<Staged, ArrayFileError> {
    let header = header::encode("<f4", &[rows.len(), rows.columns()]);
    stage(path.as_ref(), &header, |writer| encode(rows.values(), f32::to_le_bytes, writer))
}

/// Writes integers as `int64`, atomically.
///
/// # Errors
/// [`ArrayFileError::Unwritable`] where `shape` does not fit the number of `values`; [`ArrayFileError::Io`] where the
/// file cannot be written; what stood there before is then untouched.
pub fn write_integers(path: impl AsRef<Path>, shape: &[usize], values: &[i64]) -> Result<(), ArrayFileError> {
    let path = path.as_ref();
    if element_count(shape) != Some(values.len()) {
        let problem = format!("{} values do not fill the shape {shape:?}", values.len());
        return Err(ArrayFileError::unwritable(path, problem));
    }
    let header = header::encode("<i8", shape);
    let staged = stage(path, &header, |writer| encode(values, i64::to_le_bytes, writer))?;
    staged.publish().map_err(ArrayFileError::write(path))
}

fn stage(
    path: &Path,
    header: &[u8],
    data: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> Result<Staged, ArrayFileError> {
    Staged::write(path, |writer| {
        writer.write_all(header)?;
        data(writer)
    })
    .map_err(ArrayFileError::write(path))
}

/// A file whose header has been read and checked against its length, positioned at its data.
struct Opened<'a> {
    path: &'a Path,
    file: File,
    header: Header,
    data_bytes: u64,
}

impl<'a> Opened<'a> {
    fn new(path: &'a Path) -> Result<Self, ArrayFileError> {
        let mut file = File::open(path).map_err(ArrayFileError::read(path))?;
        let length = file.metadata().map_err(ArrayFileError::read(path))?.len();
        let malformed =
            |problem: String| ArrayFileError::Malformed { path: path.to_owned(), format: ".npy", problem };
        // Magic, version and the longest form of the header's length.
        let mut start = Vec::new();
        (&mut file).take(12).read_to_end(&mut start).map_err(ArrayFileError::read(path))?;
        if !start.starts_with(MAGIC) {
            (&mut file)
                .take(foreign::TELLING as u64)
                .read_to_end(&mut start)
                .map_err(ArrayFileError::read(path))?;
            if let Some(refusal) = foreign::refusal(path, &start) {
                return Err(refusal);
            }
            return Err(malformed("it does not begin with the bytes \\x93NUMPY".into()));
        }
        let (offset, size) = header::extent(&start).map_err(malformed)?;
        let mut text = start.get(offset..).unwrap_or_default().to_vec();
        let missing = (size as u64).saturating_sub(text.len() as u64);
        (&mut file).take(missing).read_to_end(&mut text).map_err(ArrayFileError::read(path))?;
        if text.len() < size {
            return Err(ArrayFileError::torn(path, format!("it ends at byte {length}, within its header")));
        }
        let header = header::parse(&text[..size]).map_err(malformed)?;
        let data_bytes = length.saturating_sub((offset + size) as u64);
        if header.fortran_order && header.shape.len() > 1 {
            return Err(ArrayFileError::unsupported(
                path,
                "the array is stored in Fortran order",
                "save it with numpy.save(path, numpy.ascontiguousarray(array))",
            ));
        }
        if header.descr.starts_with('>') {
            return Err(ArrayFileError::unsupported(
                path,
                format!("the elements are big-endian ('{}')", header.descr),
                format!("save them with numpy.save(path, array.astype('<{}'))", &header.descr[1..]),
            ));
        }
        Ok(Self { path, file, header, data_bytes })
    }

    /// Type and shape, where it is a matrix of floating-point numbers.
    fn matrix(&self) -> Result<(Element, [usize; 2]), ArrayFileError> {
        let &[rows, columns] = self.header.shape.as_slice() else {
            let found = format!("the array has shape {:?}", self.header.shape);
            let advice = "a matrix with one instance a row is expected";
            return Err(ArrayFileError::unsupported(self.path, found, advice));
        };
        let element = match self.header.descr.as_str() {
            "<f8" => Element::F64,
            "<f4" => Element::F32,
            "<f2" => Element::F16,
            "<V2" | "|V2" => {
                return Err(ArrayFileError::unsupported(
                    self.path,
                    "the elements have 2 bytes and no type, as numpy.save leaves bfloat16",
                    "save them as safetensors, or with numpy.save(path, array.astype('<f4'))",
                ));
            }
            other => {
                return Err(ArrayFileError::unsupported(
                    self.path,
                    format!("the elements are of type '{other}'"),
                    "save them with numpy.save(path, array.astype('<f4'))",
                ));
            }
        };
        if columns == 0 {
            return Err(no_columns(self.path));
        }
        Ok((element, [rows, columns]))
    }

    /// The number of elements, each of `size` bytes, where the file holds just that many.
    fn count(&self, size: usize) -> Result<usize, ArrayFileError> {
        let shape = &self.header.shape;
        let count = element_count(shape);
        let needed = count.and_then(|count| (count as u64).checked_mul(size as u64));
        if let Some(count) = count
            && needed == Some(self.data_bytes)
        {
            return Ok(count);
        }
        let needed =
            needed.map_or("more bytes than can be counted".into(), |needed| format!("{needed} bytes"));
        let found = self.data_bytes;
        let problem =
            format!("shape {shape:?} of '{}' needs {needed}, but {found} follow", self.header.descr);
        Err(ArrayFileError::torn(self.path, problem))
    }

    /// Reads all elements, each of `SIZE` bytes.
    fn numbers<T, const SIZE: usize>(
        &mut self,
        number: impl Fn([u8; SIZE]) -> T,
    ) -> Result<Vec<T>, ArrayFileError> {
        let count = self.count(SIZE)?;
        let mut numbers = Vec::with_capacity(count);
        let mut buffer = vec![0; SIZE * 8192];
        while numbers.len() < count {
            let bytes = &mut buffer[..SIZE * (count - numbers.len()).min(8192)];
            self.file.read_exact(bytes).map_err(ArrayFileError::read(self.path))?;
            let (chunks, _) = bytes.as_chunks::<SIZE>();
            numbers.extend(chunks.iter().map(|bytes| number(*bytes)));
        }
        Ok(numbers)
    }
}
