//! Rows of numbers as they lie in a file or an array: of 16, 32 or 64 bits, little-endian, one row behind another.

use std::ops::Range;

use crate::bytes::{bf16_to_f32, f16_to_f32, f64_to_f32};
use crate::matrix::MatrixError;
use crate::source::RowSource;

/// How a number lies there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// IEEE 754 double precision, which is rounded to `f32` when it is read.
    F64,
    /// IEEE 754 single precision.
    F32,
    /// IEEE 754 half precision.
    F16,
    /// bfloat16, the upper half of a single.
    BF16,
}

impl Element {
    /// Bytes of a number.
    pub fn size(self) -> usize {
        match self {
            Self::F64 => 8,
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
        }
    }
}

/// A matrix of such numbers, borrowed; each row is converted to `f32` when it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncodedRows<'a> {
    bytes: &'a [u8],
    rows: usize,
    columns: usize,
    element: Element,
}

impl<'a> EncodedRows<'a> {
    /// Sees `bytes` as rows of `columns` numbers.
    ///
    /// # Errors
    /// [`MatrixError::Shape`] where `columns` is 0 or the bytes do not come out even.
    pub fn new(bytes: &'a [u8], columns: usize, element: Element) -> Result<Self, MatrixError> {
        match columns.checked_mul(element.size()) {
            Some(width @ 1..) if bytes.len().is_multiple_of(width) => {
                Ok(Self { bytes, rows: bytes.len() / width, columns, element })
            }
            _ => Err(MatrixError::Shape { values: bytes.len() / element.size(), columns }),
        }
    }

    /// The same of a file, whose length was compared with its header.
    pub(crate) fn of_file(bytes: &'a [u8], rows: usize, columns: usize, element: Element) -> Self {
        Self { bytes, rows, columns, element }
    }

    /// The bytes of a row.
    fn row(&self, index: usize) -> &'a [u8] {
        assert!(index < self.rows, "row {index} of {}", self.rows);
        let width = self.columns * self.element.size();
        &self.bytes[index * width..][..width]
    }
}

impl RowSource for EncodedRows<'_> {
    fn len(&self) -> usize {
        self.rows
    }

    fn columns(&self) -> usize {
        self.columns
    }

    fn read_row(&self, index: usize, into: &mut [f32]) {
        assert!(into.len() == self.columns, "{} values for {} columns", into.len(), self.columns);
        let bytes = self.row(index);
        match self.element {
            Element::F64 => convert(bytes, f64_to_f32, into),
            Element::F32 => convert(bytes, f32::from_le_bytes, into),
            Element::F16 => convert(bytes, f16_to_f32, into),
            Element::BF16 => convert(bytes, bf16_to_f32, into),
        }
    }

    fn addresses(&self, index: usize) -> Range<usize> {
        let bytes = self.row(index).as_ptr_range();
        bytes.start.addr()..bytes.end.addr()
    }
}

fn convert<const SIZE: usize>(bytes: &[u8], number: impl Fn([u8; SIZE]) -> f32, into: &mut [f32]) {
    let (numbers, _) = bytes.as_chunks::<SIZE>();
    for (value, bytes) in into.iter_mut().zip(numbers) {
        *value = number(*bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_size_become_the_nearest_float() {
        let rows: [(Element, Vec<u8>); 4] = [
            (Element::F64, [1.0_f64, -0.1, 1e300].iter().flat_map(|value| value.to_le_bytes()).collect()),
            (
                Element::F32,
                [1.0_f32, -0.1, f32::INFINITY].iter().flat_map(|value| value.to_le_bytes()).collect(),
            ),
            (Element::F16, vec![0x00, 0x3c, 0x66, 0xae, 0x00, 0x7c]),
            (Element::BF16, vec![0x80, 0x3f, 0xcd, 0xbd, 0x80, 0x7f]),
        ];
        for (element, bytes) in rows {
            let source = EncodedRows::new(&bytes, 3, element).unwrap();
            let mut row = [0.0; 3];
            source.read_row(0, &mut row);
            assert_eq!((source.len(), row[0], row[2]), (1, 1.0, f32::INFINITY), "{element:?}");
            assert!((row[1] + 0.1).abs() < 3e-4, "{element:?} {row:?}");
        }
    }

    #[test]
    fn bytes_that_do_not_come_out_even_are_refused() {
        assert!(EncodedRows::new(&[0; 10], 3, Element::F16).is_err());
        assert!(EncodedRows::new(&[0; 10], 0, Element::F16).is_err());
        assert!(EncodedRows::new(&[], usize::MAX, Element::F64).is_err());
    }
}
