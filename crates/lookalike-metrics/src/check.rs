//! What every score asks of its input.

use lookalike_base::{Matrix, Rows};

use crate::error::MetricError;

/// Checks that all values are finite; `what` names the matrix.
pub(crate) fn finite(what: &'static str, rows: Rows<'_>) -> Result<(), MetricError> {
    rows.check_finite().map_err(|problem| MetricError::Values { what, problem })
}

/// A copy with rows of unit length, of finite values only. Rows of zeros, which have no direction, stay zeros.
pub(crate) fn normalized(what: &'static str, rows: Rows<'_>) -> Result<Matrix, MetricError> {
    finite(what, rows)?;
    let mut matrix = Matrix::new(rows.values().to_vec(), rows.columns())
        .map_err(|problem| MetricError::Values { what, problem })?;
    matrix.normalize_rows();
    Ok(matrix)
}

/// Checks that both matrices have the same number of columns.
pub(crate) fn same_dimensions(
    first: &'static str,
    a: Rows<'_>,
    second: &'static str,
    b: Rows<'_>,
) -> Result<(), MetricError> {
    if a.columns() != b.columns() {
        let (first_columns, second_columns) = (a.columns(), b.columns());
        return Err(MetricError::Dimensions { first, first_columns, second, second_columns });
    }
    Ok(())
}

/// Checks that there is one label a row, each below `classes`. `what` names the rows, in the singular for labels.
pub(crate) fn labels(
    what: &'static str,
    rows: usize,
    labels: &[u32],
    classes: usize,
) -> Result<(), MetricError> {
    if labels.len() != rows {
        return Err(MetricError::Length { what: "labels", found: labels.len(), expected: rows, of: what });
    }
    match labels.iter().position(|label| *label as usize >= classes) {
        None => Ok(()),
        Some(row) => Err(MetricError::Label { what, row, label: labels[row], classes }),
    }
}

/// Checks that a classification score has something to tell apart: rows, labels, and two classes among them.
///
/// # Errors
/// [`MetricError::Undefined`] says which of them there is not.
pub fn classifiable(
    score: &'static str,
    train_labels: &[u32],
    test_labels: &[u32],
) -> Result<(), MetricError> {
    for (what, labels) in [("train", train_labels), ("test", test_labels)] {
        if labels.is_empty() {
            return Err(MetricError::undefined(score, format!("there are no {what} labels")));
        }
    }
    if one_class(train_labels) {
        return Err(MetricError::undefined(score, "all train rows are of one class"));
    }
    Ok(())
}

/// Whether all labels are the same.
pub(crate) fn one_class(labels: &[u32]) -> bool {
    labels.windows(2).all(|pair| pair[0] == pair[1])
}

/// Share of `predicted` that equals `labels`.
#[cfg(feature = "linear-algebra")]
pub(crate) fn share_equal(predicted: &[u32], labels: &[u32]) -> f64 {
    let equal = predicted.iter().zip(labels).filter(|(predicted, label)| predicted == label).count();
    equal as f64 / labels.len() as f64
}

/// Checks how a probe is to be trained.
pub(crate) fn training(
    rates: &[f32],
    epochs: usize,
    batch_size: usize,
    held_out: f64,
) -> Result<(), MetricError> {
    if rates.is_empty() {
        return Err(MetricError::option("the list of learning rates", &"empty", "at least one rate"));
    }
    if let Some(rate) = rates.iter().find(|rate| !(rate.is_finite() && **rate > 0.0)) {
        return Err(MetricError::option("a learning rate", &rate, "a number above 0"));
    }
    for (option, value) in [("the number of epochs", epochs), ("the batch size", batch_size)] {
        if value == 0 {
            return Err(MetricError::option(option, &value, "at least 1"));
        }
    }
    if !(held_out > 0.0 && held_out < 1.0) {
        return Err(MetricError::option("the held-out share", &held_out, "between 0 and 1"));
    }
    Ok(())
}

/// Whether `rate` is the least or the greatest of several.
pub(crate) fn at_edge(rate: f32, rates: &[f32]) -> bool {
    let least = rates.iter().copied().fold(f32::INFINITY, f32::min);
    let greatest = rates.iter().copied().fold(0.0, f32::max);
    least < greatest && (rate == least || rate == greatest)
}
