//! Between arrays and the slices of Rust. What arrays may be is checked on the Python side, where their types are known.

use lookalike_base::{Array, Arrays, Rows, Values};
use numpy::{PyArray1, PyArrayDyn, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2, PyReadonlyArrayDyn};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// Any error of Lookalike as a `ValueError`.
pub(crate) fn value_error(error: impl std::fmt::Display) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// The rows of a matrix in C order.
pub(crate) fn rows<'a>(array: &'a PyReadonlyArray2<'_, f32>) -> PyResult<Rows<'a>> {
    let columns = array.as_array().ncols();
    Rows::new(array.as_slice().map_err(value_error)?, columns).map_err(value_error)
}

/// Instances, each below `count`; `name` is what the array is called.
pub(crate) fn instances(name: &str, array: &PyReadonlyArray1<'_, i64>, count: usize) -> PyResult<Vec<u32>> {
    let values = array.as_slice().map_err(value_error)?;
    let instance = |(at, value): (usize, &i64)| {
        u32::try_from(*value).ok().filter(|instance| (*instance as usize) < count).ok_or_else(|| {
            PyValueError::new_err(format!("{name}[{at}] is {value}, which is none of the {count} instances"))
        })
    };
    values.iter().enumerate().map(instance).collect()
}

/// The batches whose members come one after another in `members`, each as many as `sizes` says.
pub(crate) fn batches(
    members: &PyReadonlyArray1<'_, i64>,
    sizes: &PyReadonlyArray1<'_, i64>,
    count: usize,
) -> PyResult<Vec<Vec<u32>>> {
    let mut members = &instances("the plan", members, count)?[..];
    let mut batches = Vec::new();
    for size in sizes.as_slice().map_err(value_error)? {
        let split = usize::try_from(*size).ok().and_then(|size| members.split_at_checked(size));
        let (batch, rest) =
            split.ok_or_else(|| PyValueError::new_err("sizes of batches that do not add up"))?;
        batches.push(batch.to_vec());
        members = rest;
    }
    Ok(batches)
}

/// A matrix of numbers, as NumPy counts: 64-bit integers.
pub(crate) fn matrix(
    py: Python<'_>,
    values: impl IntoIterator<Item = i64>,
    shape: [usize; 2],
) -> PyResult<Bound<'_, PyArrayDyn<i64>>> {
    PyArray1::from_vec(py, values.into_iter().collect()).reshape(shape.to_vec())
}

/// Arrays by name; what is unsigned goes as signed numbers of the same bits, which PyTorch knows too.
pub(crate) fn to_dict(py: Python<'_>, arrays: Arrays) -> PyResult<Bound<'_, PyDict>> {
    let dict = PyDict::new(py);
    for (name, Array { shape, values }) in arrays {
        match values {
            Values::F32(values) => dict.set_item(name, PyArray1::from_vec(py, values).reshape(shape)?)?,
            Values::I64(values) => dict.set_item(name, PyArray1::from_vec(py, values).reshape(shape)?)?,
            Values::U64(values) => {
                let values = values.into_iter().map(u64::cast_signed).collect();
                dict.set_item(name, PyArray1::from_vec(py, values).reshape(shape)?)?;
            }
            Values::U32(values) => {
                let values = values.into_iter().map(u32::cast_signed).collect();
                dict.set_item(name, PyArray1::from_vec(py, values).reshape(shape)?)?;
            }
            Values::U8(values) => dict.set_item(name, PyArray1::from_vec(py, values).reshape(shape)?)?,
        }
    }
    Ok(dict)
}

/// The arrays that [`to_dict`] gave away.
pub(crate) fn from_dict(dict: &Bound<'_, PyDict>) -> PyResult<Arrays> {
    let mut arrays = Arrays::new();
    for (name, value) in dict {
        let name: String = name.extract()?;
        let array = if let Ok(array) = value.extract::<PyReadonlyArrayDyn<'_, f32>>() {
            Array::f32(array.as_array().shape(), array.as_slice().map_err(value_error)?.to_vec())
        } else if let Ok(array) = value.extract::<PyReadonlyArrayDyn<'_, i64>>() {
            let values = array.as_slice().map_err(value_error)?.iter().map(|value| value.cast_unsigned());
            Array::u64(array.as_array().shape(), values.collect())
        } else if let Ok(array) = value.extract::<PyReadonlyArrayDyn<'_, i32>>() {
            let values = array.as_slice().map_err(value_error)?.iter().map(|value| value.cast_unsigned());
            Array::u32(array.as_array().shape(), values.collect())
        } else {
            let problem = format!("the state's array {name} is neither float32, int64 nor int32");
            return Err(PyValueError::new_err(problem));
        };
        arrays.insert(name, array);
    }
    Ok(arrays)
}
