//! Arrays of NumPy and compressed rows of SciPy within a pickle.

use super::{GlobalCall, Pickle, Value};

/// A matrix in compressed rows, as `SciPy` keeps it.
pub(in super::super) struct CompressedRows {
    pub(in super::super) rows: usize,
    pub(in super::super) columns: usize,
    offsets: Vec<i64>,
    indices: Vec<i64>,
    values: Vec<f32>,
}

impl CompressedRows {
    /// Writes the entries of `row` into `out`, which holds zeros.
    pub(in super::super) fn write(&self, row: usize, out: &mut [f32]) {
        for at in self.offsets[row] as usize..self.offsets[row + 1] as usize {
            out[self.indices[at] as usize] = self.values[at];
        }
    }
}

/// The matrix of SciPy in compressed rows that a value is, where it is one.
pub(in super::super) fn matrix(pickle: &Pickle<'_>, value: Value) -> Option<CompressedRows> {
    let call = pickle.call(value)?;
    if !call.module.starts_with("scipy.sparse") || !matches!(call.name, "csr_matrix" | "csr_array") {
        return None;
    }
    let items = pickle.dict(call.state?)?;
    let field = |name: &str| {
        let mut items = items.iter();
        items.find_map(|(key, value)| (pickle.bytes(*key)? == name.as_bytes()).then_some(*value))
    };
    let shape = pickle.tuple(field("_shape").or_else(|| field("shape"))?)?;
    let shape: Vec<usize> = shape.iter().filter_map(|size| usize::try_from(size.int()?).ok()).collect();
    let &[rows, columns] = &shape[..] else { return None };
    let whole =
        |name| Some(array(pickle, field(name)?)?.1.into_iter().map(|value| value as i64).collect::<Vec<_>>());
    let (offsets, indices) = (whole("indptr")?, whole("indices")?);
    let values: Vec<f32> = array(pickle, field("data")?)?.1.into_iter().map(|value| value as f32).collect();
    let rising = offsets.first() == Some(&0) && offsets.windows(2).all(|pair| pair[0] <= pair[1]);
    let fits = rising
        && offsets.len().checked_sub(1) == Some(rows)
        && offsets.last() == Some(&(indices.len() as i64));
    let inside = indices.iter().all(|index| (0..columns as i64).contains(index));
    let finite = values.iter().all(|value| value.is_finite());
    let matrix = CompressedRows { rows, columns, offsets, indices, values };
    (fits && inside && finite && columns > 0 && matrix.values.len() == matrix.indices.len()).then_some(matrix)
}

/// Shape and values, last axis fastest, of the NumPy array that a value is, where it is one of little-endian numbers.
pub(in super::super) fn array(pickle: &Pickle<'_>, value: Value) -> Option<(Vec<usize>, Vec<f64>)> {
    let call = pickle.call(value)?;
    let (bytes, kind, shape, by_columns) = if is_of_numpy(&call, "multiarray", "_reconstruct") {
        let &[_, shape, kind, Value::Bool(by_columns), bytes] = pickle.tuple(call.state?)? else {
            return None;
        };
        (bytes, kind, shape, by_columns)
    } else if is_of_numpy(&call, "numeric", "_frombuffer") {
        let &[bytes, kind, shape, order] = call.arguments else { return None };
        (bytes, kind, shape, pickle.bytes(order)? == b"F")
    } else {
        return None;
    };
    let shape = pickle.tuple(shape)?.iter().map(|size| usize::try_from(size.int()?).ok());
    let shape = shape.collect::<Option<Vec<_>>>()?;
    let values = numbers(pickle, kind, &pickle.raw(bytes)?)?;
    let expected = shape.iter().try_fold(1_usize, |product, size| product.checked_mul(*size));
    if expected != Some(values.len()) {
        return None;
    }
    match (by_columns, &shape[..]) {
        (false, _) | (true, [_]) => Some((shape, values)),
        (true, &[rows, columns]) => {
            let row = |row: usize| (0..columns).map(move |column| column * rows + row);
            let values = (0..rows).flat_map(row).map(|at| values[at]).collect();
            Some((shape, values))
        }
        _ => None,
    }
}

/// The whole number that a value is, Python's or NumPy's.
pub(in super::super) fn integer(pickle: &Pickle<'_>, value: Value) -> Option<i64> {
    if let Some(value) = value.int() {
        return Some(value.into());
    }
    let call = pickle.call(value)?;
    let &[kind, bytes] = call.arguments else { return None };
    if !is_of_numpy(&call, "multiarray", "scalar") {
        return None;
    }
    match numbers(pickle, kind, &pickle.raw(bytes)?)?[..] {
        [value] if value.fract() == 0.0 => Some(value as i64),
        _ => None,
    }
}

/// Whether `call` is one of `name` in `module` of NumPy's core, which was renamed.
fn is_of_numpy(call: &GlobalCall<'_>, module: &str, name: &str) -> bool {
    let own = ["numpy.core.", "numpy._core."].iter().find_map(|core| call.module.strip_prefix(core));
    own == Some(module) && call.name == name
}

/// The numbers in `bytes`, which are of the type `kind`.
fn numbers(pickle: &Pickle<'_>, kind: Value, bytes: &[u8]) -> Option<Vec<f64>> {
    let call = pickle.call(kind)?;
    let order = pickle.bytes(*pickle.tuple(call.state?)?.get(1)?)?;
    if (call.module, call.name) != ("numpy", "dtype") || !matches!(order, b"<" | b"|") {
        return None;
    }
    match (pickle.bytes(*call.arguments.first()?)?, order) {
        (b"b1" | b"u1", _) => each(bytes, |[byte]: [u8; 1]| byte.into()),
        (b"i1", _) => each(bytes, |bytes| i8::from_le_bytes(bytes).into()),
        (b"u2", b"<") => each(bytes, |bytes| u16::from_le_bytes(bytes).into()),
        (b"i2", b"<") => each(bytes, |bytes| i16::from_le_bytes(bytes).into()),
        (b"u4", b"<") => each(bytes, |bytes| u32::from_le_bytes(bytes).into()),
        (b"i4", b"<") => each(bytes, |bytes| i32::from_le_bytes(bytes).into()),
        (b"i8", b"<") => each(bytes, |bytes| i64::from_le_bytes(bytes) as f64),
        (b"f4", b"<") => each(bytes, |bytes| f32::from_le_bytes(bytes).into()),
        (b"f8", b"<") => each(bytes, f64::from_le_bytes),
        _ => None,
    }
}

fn each<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f64) -> Option<Vec<f64>> {
    let (chunks, rest) = bytes.as_chunks::<N>();
    rest.is_empty().then(|| chunks.iter().map(|chunk| number(*chunk)).collect())
}
