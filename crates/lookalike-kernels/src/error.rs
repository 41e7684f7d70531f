//! Why a kernel refuses its input.

use thiserror::Error;

/// Input that a kernel cannot work on.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum KernelError {
    /// The values do not form rows of the given width.
    #[error("{values} values do not form rows of {columns}")]
    Shape {
        /// Number of values given.
        values: usize,
        /// Columns asked for.
        columns: usize,
    },
    /// Rows of two halves have an odd number of values.
    #[error("rows of {columns} values do not fall into two halves")]
    Halves {
        /// Values of a row.
        columns: usize,
    },
    /// More best entries were asked for than a row has entries.
    #[error("cannot keep the {k} best of {available} entries for row {row}")]
    TooFew {
        /// The first row with too few entries.
        row: usize,
        /// Entries asked for.
        k: usize,
        /// Entries there are.
        available: usize,
    },
    /// The order of the rows leaves out some rows or names others twice.
    #[error("the order of the rows is not a permutation of the numbers from 0 to {rows}, exclusive")]
    Order {
        /// Number of rows.
        rows: usize,
    },
    /// The caller refused to read a row.
    #[error("row {row} cannot be used")]
    Refused {
        /// A row that was refused, not always the first of several.
        row: usize,
    },
    /// Offsets, columns and values do not form a sparse matrix.
    #[error("row {row} of the sparse matrix: {problem}")]
    Sparse {
        /// The first wrong row.
        row: usize,
        /// What is wrong.
        problem: String,
    },
    /// The variable `LOOKALIKE_ISA` does not name instructions of this processor.
    #[error("LOOKALIKE_ISA is \"{wanted}\": this processor can be held to {available}")]
    Isa {
        /// What the variable says.
        wanted: String,
        /// The names that it may have.
        available: String,
    },
    /// The work was stopped before it was done.
    #[error("the work was cancelled")]
    Cancelled,
    /// The rows have more values than memory can hold.
    #[error("{rows} rows of {columns} values are more than memory can hold")]
    TooLarge {
        /// Rows of the matrix.
        rows: usize,
        /// Columns of the matrix.
        columns: usize,
    },
    /// Rows are numbered in 32 bits.
    #[error("{rows} rows are more than 32 bits can number")]
    TooManyRows {
        /// Rows of the matrix.
        rows: usize,
    },
}

/// The number of rows in `values`.
pub(crate) fn rows_of(values: &[f32], columns: usize) -> Result<usize, KernelError> {
    if columns == 0 || !values.len().is_multiple_of(columns) {
        return Err(KernelError::Shape { values: values.len(), columns });
    }
    let rows = values.len() / columns;
    if u32::try_from(rows).is_err() {
        return Err(KernelError::TooManyRows { rows });
    }
    Ok(rows)
}
