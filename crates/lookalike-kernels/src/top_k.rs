//! The most similar rows of a matrix.

use crate::blocks::{Circulant, PiecewiseSearch, Scoring, circulant_top_k, database_top_k};
use crate::error::{KernelError, rows_of};
use crate::stop::Stop;

/// The best entries of each row.
#[derive(Debug, Clone, PartialEq)]
pub struct TopK {
    /// Entries kept a row.
    pub k: usize,
    /// Row after row, `k` indices, the most similar first.
    pub indices: Vec<u32>,
    /// Their similarities, in the same places.
    pub similarities: Vec<f32>,
}

impl TopK {
    pub(crate) fn zeros(rows: usize, k: usize) -> Self {
        Self { k, indices: vec![0; rows * k], similarities: vec![0.0; rows * k] }
    }
}

/// For each query the `k` rows of the database with the largest inner products, most similar first; ties go
/// to the lower index, and products that are NaN come last.
///
/// With `exclude_self` query i and row i of the database are the same instance and never paired. The products
/// are made block by block as matrix multiplications; the whole queries × database matrix never exists.
/// Beside its result it needs a copy of the database. If `queries` is `database`, with `exclude_self`, each
/// product is made once for both of its rows, and each row needs room for 2·`k` entries. `stop` is asked now
/// and then; [`NEVER`](crate::NEVER) lets the search run to its end.
///
/// # Shapes
/// `queries` Q×`columns` and `database` N×`columns`, row-major; the result has Q rows of `k`.
///
/// # Errors
/// [`KernelError::Shape`] if values do not form rows, [`KernelError::TooFew`] if N, less one with
/// `exclude_self`, is below `k`, [`KernelError::TooManyRows`] from 2³² rows on, [`KernelError::Cancelled`] if
/// `stop` said yes.
pub fn top_k(
    queries: &[f32],
    database: &[f32],
    columns: usize,
    k: usize,
    exclude_self: bool,
    stop: Stop<'_>,
) -> Result<TopK, KernelError> {
    let (query_rows, rows) = (rows_of(queries, columns)?, rows_of(database, columns)?);
    let available = rows.saturating_sub(usize::from(exclude_self));
    if query_rows > 0 && k > available {
        return Err(KernelError::TooFew { row: 0, k, available });
    }
    if exclude_self && std::ptr::eq(queries, database) && rows > 0 {
        let order: Vec<u32> = (0..rows as u32).collect();
        let read = |row: u32, values: &mut [f32]| {
            values.copy_from_slice(&database[row as usize * columns..][..columns]);
            true
        };
        return circulant_top_k(&Circulant::all(rows), &order, columns, k, Scoring::F32, &read, stop);
    }
    let mut best = TopK::zeros(query_rows, k);
    if query_rows > 0 && k > 0 {
        database_top_k(queries, database, columns, exclude_self, &mut best, stop);
    }
    if stop() { Err(KernelError::Cancelled) } else { Ok(best) }
}

/// [`top_k`] over a database that comes in pieces, so that it need not fit into memory: the same result as over all of it at once.
///
/// Beside a piece and a copy of it, the search needs a copy of the queries, and room for 2·k + 32 entries of each.
pub struct PiecewiseTopK {
    search: PiecewiseSearch,
    columns: usize,
    k: usize,
    queries: usize,
    offered: usize,
}

impl PiecewiseTopK {
    /// A search for the `k` rows with the largest inner products of each query, which has seen none yet.
    ///
    /// # Shapes
    /// `queries` Q×`columns`, row-major.
    ///
    /// # Errors
    /// [`KernelError::Shape`] if values do not form rows, [`KernelError::TooManyRows`] from 2³² rows on.
    pub fn new(queries: &[f32], columns: usize, k: usize) -> Result<Self, KernelError> {
        let rows = rows_of(queries, columns)?;
        Ok(Self { search: PiecewiseSearch::new(queries, columns, k), columns, k, queries: rows, offered: 0 })
    }

    /// Compares the queries with the next rows of the database; they are numbered as they come. `stop` is asked now and then.
    ///
    /// # Errors
    /// As [`PiecewiseTopK::new`]; [`KernelError::Cancelled`] if `stop` said yes, after which the search has no result.
    pub fn offer(&mut self, rows: &[f32], stop: Stop<'_>) -> Result<(), KernelError> {
        let count = self.offered + rows_of(rows, self.columns)?;
        if u32::try_from(count).is_err() {
            return Err(KernelError::TooManyRows { rows: count });
        }
        if self.k > 0 {
            self.search.offer(rows, self.offered, stop);
        }
        self.offered = count;
        if stop() { Err(KernelError::Cancelled) } else { Ok(()) }
    }

    /// The best of all rows that came: most similar first; ties go to the lower number, and products that are NaN come last.
    ///
    /// # Errors
    /// [`KernelError::TooFew`] if fewer than k rows came.
    pub fn finish(self) -> Result<TopK, KernelError> {
        if self.queries > 0 && self.k > self.offered {
            return Err(KernelError::TooFew { row: 0, k: self.k, available: self.offered });
        }
        if self.k == 0 {
            return Ok(TopK::zeros(self.queries, 0));
        }
        Ok(self.search.finish())
    }
}
