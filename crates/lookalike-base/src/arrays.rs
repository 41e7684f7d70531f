//! Arrays of any shape with typed values: what array files and checkpoints hold.

use std::collections::BTreeMap;

/// Named arrays, in the order of their names.
pub type Arrays = BTreeMap<String, Array>;

/// The values of an array, last axis fastest.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// 32-bit floating point.
    F32(Vec<f32>),
    /// Signed 64-bit integers.
    I64(Vec<i64>),
    /// Unsigned 64-bit integers.
    U64(Vec<u64>),
    /// Unsigned 32-bit integers.
    U32(Vec<u32>),
    /// Bytes.
    U8(Vec<u8>),
}

impl Values {
    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::I64(values) => values.len(),
            Self::U64(values) => values.len(),
            Self::U32(values) => values.len(),
            Self::U8(values) => values.len(),
        }
    }

    /// Whether there is no value at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The type's name in safetensors: `F32`, `I64`, `U64`, `U32` or `U8`.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::F32(_) => "F32",
            Self::I64(_) => "I64",
            Self::U64(_) => "U64",
            Self::U32(_) => "U32",
            Self::U8(_) => "U8",
        }
    }
}

/// An array: a shape, and as many values as the product of its extents (1 for the empty shape of a scalar).
///
/// Constructors do not compare the two; the writers in [`tensors`](crate::tensors) refuse an array whose shape does
/// not fit its values.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    /// Extent along each axis.
    pub shape: Vec<usize>,
    /// Values, last axis fastest.
    pub values: Values,
}

impl Array {
    /// An array of `f32`.
    pub fn f32(shape: impl Into<Vec<usize>>, values: Vec<f32>) -> Self {
        Self { shape: shape.into(), values: Values::F32(values) }
    }

    /// An array of `i64`.
    pub fn i64(shape: impl Into<Vec<usize>>, values: Vec<i64>) -> Self {
        Self { shape: shape.into(), values: Values::I64(values) }
    }

    /// An array of `u64`.
    pub fn u64(shape: impl Into<Vec<usize>>, values: Vec<u64>) -> Self {
        Self { shape: shape.into(), values: Values::U64(values) }
    }

    /// An array of `u32`.
    pub fn u32(shape: impl Into<Vec<usize>>, values: Vec<u32>) -> Self {
        Self { shape: shape.into(), values: Values::U32(values) }
    }

    /// An array of bytes.
    pub fn u8(shape: impl Into<Vec<usize>>, values: Vec<u8>) -> Self {
        Self { shape: shape.into(), values: Values::U8(values) }
    }

    /// The values, where they are `f32`.
    pub fn as_f32(&self) -> Option<&[f32]> {
        if let Values::F32(values) = &self.values { Some(values) } else { None }
    }

    /// The values, where they are `i64`.
    pub fn as_i64(&self) -> Option<&[i64]> {
        if let Values::I64(values) = &self.values { Some(values) } else { None }
    }

    /// The values, where they are `u64`.
    pub fn as_u64(&self) -> Option<&[u64]> {
        if let Values::U64(values) = &self.values { Some(values) } else { None }
    }

    /// The values, where they are `u32`.
    pub fn as_u32(&self) -> Option<&[u32]> {
        if let Values::U32(values) = &self.values { Some(values) } else { None }
    }

    /// The values, where they are bytes.
    pub fn as_u8(&self) -> Option<&[u8]> {
        if let Values::U8(values) = &self.values { Some(values) } else { None }
    }

    /// Whether the shape's product is the number of values.
    pub fn is_consistent(&self) -> bool {
        element_count(&self.shape) == Some(self.values.len())
    }
}

/// Product of the extents, or `None` where it overflows.
pub(crate) fn element_count(shape: &[usize]) -> Option<usize> {
    // A zero extent empties the array whatever the others say, so an overflow before it does not matter.
    if shape.contains(&0) {
        return Some(0);
    }
    shape.iter().try_fold(1_usize, |count, extent| count.checked_mul(*extent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_accessor_answers_for_its_own_type_only() {
        let array = Array::u32([2], vec![1, 2]);
        assert_eq!(array.as_u32(), Some(&[1, 2][..]));
        assert!(array.as_f32().is_none() && array.as_i64().is_none());
        assert!(array.as_u64().is_none() && array.as_u8().is_none());
    }

    #[test]
    fn a_scalar_holds_one_value_and_a_shape_that_overflows_none() {
        assert!(Array::f32([], vec![1.0]).is_consistent());
        assert!(Array::f32([3, 0], vec![]).is_consistent());
        assert!(!Array::f32([2, 2], vec![0.0; 3]).is_consistent());
        assert_eq!(element_count(&[usize::MAX, 2]), None);
    }
}
