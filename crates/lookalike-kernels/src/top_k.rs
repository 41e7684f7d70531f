//! The most similar rows of a matrix: of all its rows, or of given candidates.

use gemm::Parallelism;
use rayon::prelude::*;

use crate::dot::Level;
use crate::error::{KernelError, rows_of};
use crate::select::Selection;

/// Queries scored together. With `DATABASE_BLOCK` it makes a block of similarities that stays in a core's cache.
const QUERY_BLOCK: usize = 128;
/// Rows of the database scored together.
const DATABASE_BLOCK: usize = 1024;

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
    fn zeros(rows: usize, k: usize) -> Self {
        Self { k, indices: vec![0; rows * k], similarities: vec![0.0; rows * k] }
    }
}

/// For each query the `k` rows of the database with the largest inner products, most similar first; ties go to the
/// lower index, and products that are NaN come last.
///
/// With `exclude_self` query i and row i of the database are the same instance and never paired. The products are
/// made block by block as matrix multiplications; the whole queries × database matrix never exists.
///
/// # Shapes
/// `queries` Q×`columns` and `database` N×`columns`, row-major; the result has Q rows of `k`.
///
/// # Errors
/// [`KernelError::Shape`] where values do not form rows, [`KernelError::TooFew`] where N, less one with
/// `exclude_self`, is below `k`, [`KernelError::TooManyRows`] from 2³² rows on.
pub fn top_k(
    queries: &[f32],
    database: &[f32],
    columns: usize,
    k: usize,
    exclude_self: bool,
) -> Result<TopK, KernelError> {
    let (query_rows, rows) = (rows_of(queries, columns)?, rows_of(database, columns)?);
    let available = rows.saturating_sub(usize::from(exclude_self));
    if query_rows > 0 && k > available {
        return Err(KernelError::TooFew { row: 0, k, available });
    }
    let mut best = TopK::zeros(query_rows, k);
    if k > 0 {
        best.indices
            .par_chunks_mut(QUERY_BLOCK * k)
            .zip(best.similarities.par_chunks_mut(QUERY_BLOCK * k))
            .zip(queries.par_chunks(QUERY_BLOCK * columns))
            .enumerate()
            .for_each(|(block, ((indices, similarities), queries))| {
                let first = exclude_self.then_some(block * QUERY_BLOCK);
                block_top_k(queries, database, columns, k, first, indices, similarities);
            });
    }
    Ok(best)
}

/// [`top_k`] for one block of queries. With `first` the queries are the rows of the database from there on.
fn block_top_k(
    queries: &[f32],
    database: &[f32],
    columns: usize,
    k: usize,
    first: Option<usize>,
    indices: &mut [u32],
    similarities: &mut [f32],
) {
    let query_rows = queries.len() / columns;
    let mut selections: Vec<Selection> = (0..query_rows).map(|_| Selection::new(k)).collect();
    let mut products = vec![0.0; query_rows * DATABASE_BLOCK];
    for (block, rows) in database.chunks(DATABASE_BLOCK * columns).enumerate() {
        let (start, width) = (block * DATABASE_BLOCK, rows.len() / columns);
        let products = &mut products[..query_rows * width];
        multiply(queries, rows, columns, products);
        for (query, (selection, products)) in selections.iter_mut().zip(products.chunks(width)).enumerate() {
            // Where the query itself is among these rows they are offered in two parts, without it.
            let own = first.map_or(width, |first| (first + query).wrapping_sub(start)).min(width);
            selection.offer(&products[..own], |at| (start + at) as u32);
            if own < width {
                selection.offer(&products[own + 1..], |at| (start + own + 1 + at) as u32);
            }
        }
    }
    for (selection, (indices, similarities)) in
        selections.iter_mut().zip(indices.chunks_mut(k).zip(similarities.chunks_mut(k)))
    {
        selection.finish(indices, similarities);
    }
}

/// `products` ← `left` · `right`ᵀ, on this thread alone.
///
/// # Shapes
/// `left` a×`columns`, `right` b×`columns`, `products` a×b, row-major.
#[expect(unsafe_code, reason = "gemm takes pointers and strides")]
fn multiply(left: &[f32], right: &[f32], columns: usize, products: &mut [f32]) {
    let (height, width) = (left.len() / columns, right.len() / columns);
    assert_eq!(products.len(), height * width, "the products of {height} rows with {width} rows");
    // SAFETY: the strides address `height` × `columns` values of `left`, `columns` × `width` of `right` (its
    // transpose) and `height` × `width` of `products`, which are exactly their lengths; `products` is borrowed mutably.
    unsafe {
        gemm::gemm(
            height,
            width,
            columns,
            products.as_mut_ptr(),
            1,
            width as isize,
            false,
            left.as_ptr(),
            1,
            columns as isize,
            right.as_ptr(),
            columns as isize,
            1,
            0.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// For each row the `k` of its candidates with the largest inner products, most similar first; ties go to the lower
/// index, and products that are NaN come last.
///
/// `candidates` writes the candidates of a row into the empty list it is given; they should be distinct. It is asked
/// once a row, from many threads in no order, so that the lists of all rows never exist together.
///
/// # Shapes
/// `rows` N×`columns`, row-major; the result has N rows of `k`.
///
/// # Errors
/// [`KernelError::Shape`] where values do not form rows, [`KernelError::TooFew`] where a row has fewer than `k`
/// candidates, [`KernelError::Candidate`] where one is not a row; of several such rows the first is named.
pub fn candidates_top_k(
    rows: &[f32],
    columns: usize,
    k: usize,
    candidates: impl Fn(usize, &mut Vec<u32>) + Sync,
) -> Result<TopK, KernelError> {
    let count = rows_of(rows, columns)?;
    let mut best = TopK::zeros(count, k);
    if k == 0 {
        return Ok(best);
    }
    let level = Level::detect();
    let first_error = best
        .indices
        .par_chunks_mut(k)
        .zip(best.similarities.par_chunks_mut(k))
        .enumerate()
        .map_init(
            || (Selection::new(k), Vec::new(), Vec::new()),
            |(selection, chosen, products), (row, (indices, similarities))| {
                chosen.clear();
                candidates(row, chosen);
                check_candidates(row, chosen, k, count)?;
                products.resize(chosen.len(), 0.0);
                level.similarities(&rows[row * columns..][..columns], rows, chosen, products);
                selection.offer(products, |at| chosen[at]);
                selection.finish(indices, similarities);
                Ok(())
            },
        )
        .find_map_first(Result::err);
    first_error.map_or(Ok(best), Err)
}

fn check_candidates(row: usize, candidates: &[u32], k: usize, rows: usize) -> Result<(), KernelError> {
    if candidates.len() < k {
        return Err(KernelError::TooFew { row, k, available: candidates.len() });
    }
    match candidates.iter().find(|candidate| **candidate as usize >= rows) {
        None => Ok(()),
        Some(&candidate) => Err(KernelError::Candidate { row, candidate, rows }),
    }
}
