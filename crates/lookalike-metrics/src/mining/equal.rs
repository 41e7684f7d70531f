//! Rows that hold the same.

use std::collections::HashMap;

use lookalike_base::hash::Hasher;
use lookalike_base::{RowSource, Watch};
use rayon::prelude::*;

use crate::error::MetricError;

/// For each row the first that holds the same values, itself where none before does.
///
/// Rows are compared by the first 64 bits of their SHA-256, which memory holds for each.
///
/// # Errors
/// [`MetricError::Cancelled`] where `watch` stopped the work, which is not counted.
pub fn first_equal_rows(rows: &dyn RowSource, watch: Watch<'_>) -> Result<Vec<u32>, MetricError> {
    let hash = |row: &mut Vec<f32>, index: usize| {
        if watch.is_cancelled() {
            return 0;
        }
        rows.read_row(index, row);
        let mut hasher = Hasher::new();
        // Adding 0 makes −0 and 0 one value.
        hasher.numbers(row.iter().map(|value| (value + 0.0).to_le_bytes()));
        hasher.short()
    };
    let hashes: Vec<u64> =
        (0..rows.len()).into_par_iter().map_init(|| vec![0.0; rows.columns()], hash).collect();
    if watch.is_cancelled() {
        return Err(MetricError::Cancelled);
    }
    let mut first = HashMap::with_capacity(hashes.len());
    Ok((0..).zip(hashes).map(|(row, hash)| *first.entry(hash).or_insert(row)).collect())
}
