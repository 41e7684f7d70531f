//! Read-outs: one row for each segment of rows, as a graph's vector of those of its nodes.
//!
//! Segments are given like the rows of a [`Csr`](super::Csr): segment s has the rows `offsets[s]` to
//! `offsets[s + 1]`, less one. Each segment is the work of one thread.

use rayon::prelude::*;

use crate::sizes::row_values;

/// Stands for the row of the maximum in a segment without rows.
pub const NO_ROW: u32 = u32::MAX;

/// Which sum over a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// The sum.
    Sum,
    /// The sum, divided by the number of rows.
    Mean,
}

impl Scale {
    fn of(self, rows: usize) -> f32 {
        match self {
            Self::Sum => 1.0,
            Self::Mean => 1.0 / rows.max(1) as f32,
        }
    }
}

/// The sum or the mean of the rows of each segment; zeros for a segment without rows.
///
/// # Shapes
/// `rows` holds rows of `columns` values; the result has a row a segment.
///
/// # Panics
/// If `offsets` do not rise from 0 to the number of rows, or `columns` is 0.
pub fn total(scale: Scale, offsets: &[usize], rows: &[f32], columns: usize) -> Vec<f32> {
    let [values, results] = check(offsets, columns);
    assert_eq!(rows.len(), values, "segments end where the rows do");
    let mut out = vec![0.0; results];
    out.par_chunks_exact_mut(columns).zip(offsets.par_windows(2)).for_each(|(out, ends)| {
        let segment = &rows[ends[0] * columns..ends[1] * columns];
        for row in segment.chunks_exact(columns) {
            out.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        }
        let scale = scale.of(ends[1] - ends[0]);
        for sum in out {
            *sum *= scale;
        }
    });
    out
}

/// The gradient of the rows, given that of what [`total`] returned: each row gets its segment's, divided as
/// the sum was.
///
/// # Panics
/// If `offsets` do not rise from 0, `gradient` has not a row a segment, or `columns` is 0.
pub fn total_backward(scale: Scale, offsets: &[usize], gradient: &[f32], columns: usize) -> Vec<f32> {
    let [values, results] = check(offsets, columns);
    assert_eq!(gradient.len(), results, "a gradient for each segment");
    let mut out = vec![0.0; values];
    by_segment(&mut out, offsets, columns).into_par_iter().enumerate().for_each(|(segment, out)| {
        let scale = scale.of(out.len() / columns);
        let gradient = &gradient[segment * columns..][..columns];
        for row in out.chunks_exact_mut(columns) {
            row.iter_mut().zip(gradient).for_each(|(out, gradient)| *out = gradient * scale);
        }
    });
    out
}

/// The maximum of each column over the rows of each segment, and the first row that has it; zeros and
/// [`NO_ROW`] for a segment without rows. A NaN is never a maximum, except where the first row has it.
///
/// # Shapes
/// `rows` holds rows of `columns` values; both results have a row a segment.
///
/// # Panics
/// If `offsets` do not rise from 0 to the number of rows, `columns` is 0, or there are more than 2³² rows.
pub fn maximum(offsets: &[usize], rows: &[f32], columns: usize) -> (Vec<f32>, Vec<u32>) {
    let [values, results] = check(offsets, columns);
    assert_eq!(rows.len(), values, "segments end where the rows do");
    assert!(u32::try_from(rows.len() / columns).is_ok(), "rows are numbered in 32 bits");
    let (mut out, mut from) = (vec![0.0; results], vec![NO_ROW; results]);
    let parts =
        (out.par_chunks_exact_mut(columns), from.par_chunks_exact_mut(columns), offsets.par_windows(2));
    parts.into_par_iter().for_each(|(out, from, ends)| {
        for row in ends[0]..ends[1] {
            for (column, value) in rows[row * columns..][..columns].iter().enumerate() {
                if from[column] == NO_ROW || *value > out[column] {
                    (out[column], from[column]) = (*value, row as u32);
                }
            }
        }
    });
    (out, from)
}

/// The gradient of the rows, given that of the maxima and the rows they came from: the first row that has a
/// maximum gets all of it.
///
/// # Panics
/// If `offsets` do not rise from 0, `gradient` or `from` has not a row a segment, `columns` is 0, or a row
/// that a maximum came from is not of its segment.
pub fn maximum_backward(offsets: &[usize], from: &[u32], gradient: &[f32], columns: usize) -> Vec<f32> {
    let [values, results] = check(offsets, columns);
    assert_eq!([from.len(), gradient.len()], [results; 2], "a gradient for each segment");
    let mut out = vec![0.0; values];
    by_segment(&mut out, offsets, columns).into_par_iter().enumerate().for_each(|(segment, out)| {
        let own = segment * columns..(segment + 1) * columns;
        for (column, (row, gradient)) in from[own.clone()].iter().zip(&gradient[own]).enumerate() {
            if *row != NO_ROW {
                out[(*row as usize - offsets[segment]) * columns + column] = *gradient;
            }
        }
    });
    out
}

/// The rows of each segment, to be written.
fn by_segment<'a>(mut rows: &'a mut [f32], offsets: &[usize], columns: usize) -> Vec<&'a mut [f32]> {
    let split = |ends: &[usize]| {
        let (segment, rest) = std::mem::take(&mut rows).split_at_mut((ends[1] - ends[0]) * columns);
        rows = rest;
        segment
    };
    offsets.windows(2).map(split).collect()
}

/// Values of all rows and of the results, one row a segment.
///
/// # Panics
/// If `offsets` do not rise from 0, `columns` is 0, or either cannot be counted.
fn check(offsets: &[usize], columns: usize) -> [usize; 2] {
    assert!(columns > 0, "rows have at least one column");
    let rising = offsets.first() == Some(&0) && offsets.windows(2).all(|ends| ends[0] <= ends[1]);
    assert!(rising, "segments begin at row 0 and follow each other");
    let rows = offsets.last().copied().unwrap_or(0);
    [rows, offsets.len() - 1].map(|rows| row_values(rows, columns))
}
