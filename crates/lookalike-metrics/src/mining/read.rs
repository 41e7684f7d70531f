//! Rows of unit length from any source, and whether the inputs fit each other.

use lookalike_base::RowSource;
use lookalike_kernels::normalize;
use rayon::prelude::*;

use super::MiningInput;
use crate::error::MetricError;

/// Row `index`, of unit length.
pub(super) fn unit_row(
    what: &'static str,
    rows: &dyn RowSource,
    index: u32,
) -> Result<Vec<f32>, MetricError> {
    let mut row = vec![0.0; rows.columns()];
    read_unit_row(what, rows, index, &mut row)?;
    Ok(row)
}

/// The rows `chosen` one after another, of unit length.
pub(super) fn unit_rows(
    what: &'static str,
    rows: &dyn RowSource,
    chosen: &[u32],
) -> Result<Vec<f32>, MetricError> {
    let columns = rows.columns();
    let mut values = vec![0.0; chosen.len() * columns];
    let read: Vec<Result<(), MetricError>> = values
        .par_chunks_mut(columns)
        .zip(chosen)
        .map(|(row, index)| read_unit_row(what, rows, *index, row))
        .collect();
    read.into_iter().collect::<Result<(), _>>()?;
    Ok(values)
}

fn read_unit_row(
    what: &'static str,
    rows: &dyn RowSource,
    index: u32,
    into: &mut [f32],
) -> Result<(), MetricError> {
    rows.read_row(index as usize, into);
    if normalize(into) {
        return Ok(());
    }
    let column = into.iter().position(|value| !value.is_finite()).unwrap_or(0);
    let problem = format!("column {column} is {}; values must be finite", into[column]);
    Err(MetricError::entry(what, index as usize, problem))
}

/// Checks that all rows named exist, and that vectors are equally long.
pub(super) fn check(input: &MiningInput<'_>) -> Result<(), MetricError> {
    let (queries, documents) = (input.queries, input.documents);
    if queries.columns() != documents.columns() {
        let (first_columns, second_columns) = (queries.columns(), documents.columns());
        return Err(MetricError::Dimensions {
            first: "queries",
            first_columns,
            second: "documents",
            second_columns,
        });
    }
    if u32::try_from(queries.len().max(documents.len())).is_err() {
        return Err(MetricError::undefined("mining", "there are 2^32 rows or more"));
    }
    for (what, same, rows, of) in [
        ("equal queries", input.same_queries, queries.len(), "queries"),
        ("equal documents", input.same_documents, documents.len(), "documents"),
    ] {
        if same.len() != rows {
            return Err(MetricError::Length { what, found: same.len(), expected: rows, of });
        }
        // The first of equal ones is the first of itself.
        let is_first = |first: u32| same.get(first as usize) == Some(&first);
        if let Some(at) = same.iter().position(|first| !is_first(*first)) {
            let problem = format!("it names row {}, which is not the first of its kind", same[at]);
            return Err(MetricError::entry(what, at, problem));
        }
    }
    for (at, (query, document)) in input.relevant.iter().enumerate() {
        for (row, rows, what) in [(*query, queries.len(), "query"), (*document, documents.len(), "document")]
        {
            if row as usize >= rows {
                let problem = format!("{what} {row} is not below {rows}, how many there are");
                return Err(MetricError::entry("pair", at, problem));
            }
        }
    }
    Ok(())
}
