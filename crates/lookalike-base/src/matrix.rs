//! Row-major `f32` matrices: the form in which embeddings pass between the sampler, the metrics and the engine.

use thiserror::Error;

/// Why a matrix could not be made.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum MatrixError {
    /// The number of values is not rows × columns.
    #[error("{values} values cannot be laid out as rows of {columns}")]
    Shape {
        /// Number of values given.
        values: usize,
        /// Columns asked for.
        columns: usize,
    },
    /// A value is NaN or infinite.
    #[error("row {row}, column {column} is not finite")]
    NotFinite {
        /// Row of the first such value.
        row: usize,
        /// Column of the first such value.
        column: usize,
    },
}

/// A borrowed matrix, one instance a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rows<'a> {
    values: &'a [f32],
    columns: usize,
}

impl<'a> Rows<'a> {
    /// Sees `values` as rows of `columns` numbers.
    ///
    /// # Errors
    /// [`MatrixError::Shape`] where `columns` is 0 or does not divide the number of values.
    pub fn new(values: &'a [f32], columns: usize) -> Result<Self, MatrixError> {
        if columns == 0 || !values.len().is_multiple_of(columns) {
            return Err(MatrixError::Shape { values: values.len(), columns });
        }
        Ok(Self { values, columns })
    }

    /// Number of rows, N.
    pub fn len(&self) -> usize {
        self.values.len() / self.columns
    }

    /// Whether there is no row at all.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Number of columns, d.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// All values, row after row.
    pub fn values(&self) -> &'a [f32] {
        self.values
    }

    /// Row `index`.
    ///
    /// # Panics
    /// Where `index` is not below [`Rows::len`], as slices do.
    pub fn row(&self, index: usize) -> &'a [f32] {
        &self.values[index * self.columns..(index + 1) * self.columns]
    }

    /// The rows in order.
    pub fn iter(&self) -> std::slice::ChunksExact<'a, f32> {
        self.values.chunks_exact(self.columns)
    }

    /// Checks that every value is finite.
    ///
    /// # Errors
    /// [`MatrixError::NotFinite`] names the first value that is not.
    pub fn check_finite(&self) -> Result<(), MatrixError> {
        match self.values.iter().position(|value| !value.is_finite()) {
            None => Ok(()),
            Some(at) => Err(MatrixError::NotFinite { row: at / self.columns, column: at % self.columns }),
        }
    }
}

impl<'a> IntoIterator for Rows<'a> {
    type Item = &'a [f32];
    type IntoIter = std::slice::ChunksExact<'a, f32>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'a> IntoIterator for &Rows<'a> {
    type Item = &'a [f32];
    type IntoIter = std::slice::ChunksExact<'a, f32>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// An owned matrix, one instance a row.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    values: Vec<f32>,
    columns: usize,
}

impl Matrix {
    /// Takes `values` as rows of `columns` numbers.
    ///
    /// # Errors
    /// [`MatrixError::Shape`] where `columns` is 0 or does not divide the number of values.
    pub fn new(values: Vec<f32>, columns: usize) -> Result<Self, MatrixError> {
        Rows::new(&values, columns)?;
        Ok(Self { values, columns })
    }

    /// The matrix, borrowed.
    pub fn rows(&self) -> Rows<'_> {
        Rows { values: &self.values, columns: self.columns }
    }

    /// Number of rows, N.
    pub fn len(&self) -> usize {
        self.rows().len()
    }

    /// Whether there is no row at all.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Number of columns, d.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Row `index`.
    ///
    /// # Panics
    /// Where `index` is not below [`Matrix::len`], as slices do.
    pub fn row(&self, index: usize) -> &[f32] {
        self.rows().row(index)
    }

    /// Row `index`, to be changed.
    ///
    /// # Panics
    /// Where `index` is not below [`Matrix::len`], as slices do.
    pub fn row_mut(&mut self, index: usize) -> &mut [f32] {
        &mut self.values[index * self.columns..(index + 1) * self.columns]
    }

    /// Scales every row to unit Euclidean length; rows of zeros stay as they are.
    pub fn normalize_rows(&mut self) {
        for row in self.values.chunks_exact_mut(self.columns) {
            // In f64 neither the squares overflow nor does the quotient lose more than its last rounding.
            let norm = row.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
            if norm > 0.0 {
                for value in row {
                    *value = (f64::from(*value) / norm) as f32;
                }
            }
        }
    }

    /// All values, row after row.
    pub fn into_values(self) -> Vec<f32> {
        self.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_matrix_whose_rows_do_not_come_out_even_is_refused() {
        assert_eq!(Matrix::new(vec![0.0; 5], 2), Err(MatrixError::Shape { values: 5, columns: 2 }));
        assert_eq!(Matrix::new(vec![], 0), Err(MatrixError::Shape { values: 0, columns: 0 }));
    }

    #[test]
    fn the_first_value_that_is_not_finite_is_named() {
        let values = [0.0, 1.0, f32::NAN, 3.0];
        let rows = Rows::new(&values, 2).unwrap();
        assert_eq!(rows.check_finite(), Err(MatrixError::NotFinite { row: 1, column: 0 }));
    }

    #[test]
    fn normalized_rows_have_unit_length_and_zero_rows_stay_zero() {
        let mut matrix = Matrix::new(vec![3.0, 4.0, 0.0, 0.0], 2).unwrap();
        matrix.normalize_rows();
        assert_eq!(matrix.rows().values(), [0.6, 0.8, 0.0, 0.0]);
    }

    #[test]
    fn rows_of_the_largest_and_smallest_numbers_are_normalized_too() {
        let mut matrix = Matrix::new(vec![f32::MAX, f32::MAX, 1e-45, 0.0], 2).unwrap();
        matrix.normalize_rows();
        let half = std::f32::consts::FRAC_1_SQRT_2;
        assert_eq!(matrix.rows().values(), [half, half, 1.0, 0.0]);
    }
}
