//! The product of a sparse and a dense matrix.

use std::mem::MaybeUninit;
use std::ops::Range;

use rayon::prelude::*;

use super::Csr;
use crate::instructions::Level;
use crate::output::init_vec;
use crate::sizes::row_values;
use crate::vector::{Work, multiply_add};

/// Values of a row that are summed in registers at a time.
const PANEL: usize = 64;

/// Entries and values that make a task worth handing to a thread.
const TASK: usize = 1 << 14;

/// `matrix` · `dense`: how a layer of a graph network passes messages between its nodes. The gradient of
/// `dense` is the product of the transpose and the gradient of the result: [`Csr::transpose`], or the matrix
/// itself where it is symmetric.
///
/// # Shapes
/// `dense` holds [`Csr::width`] rows of `columns` values; the result has [`Csr::len`] such rows.
///
/// # Panics
/// If `dense` has another length, or `columns` is 0.
pub fn product(matrix: &Csr, dense: &[f32], columns: usize) -> Vec<f32> {
    product_at(Level::detect(), matrix, 0.0, dense, columns)
}

/// (`matrix` + `own` · I) · `dense` for a square matrix: how a layer of a graph isomorphism network adds up
/// each node's own row and those of its neighbours, in one pass. The gradient of `dense` is the same of the
/// transpose.
///
/// # Shapes
/// As [`product`], with as many rows as columns.
///
/// # Panics
/// If the matrix is not square, and as [`product`].
pub fn aggregate(matrix: &Csr, own: f32, dense: &[f32], columns: usize) -> Vec<f32> {
    assert_eq!(matrix.len(), matrix.width(), "only a square matrix has a diagonal");
    product_at(Level::detect(), matrix, own, dense, columns)
}

#[expect(unsafe_code, reason = "the product is not cleared before it is written")]
pub(super) fn product_at(level: Level, matrix: &Csr, own: f32, dense: &[f32], columns: usize) -> Vec<f32> {
    assert!(columns > 0, "rows have at least one column");
    let [values, results] = [matrix.width(), matrix.len()].map(|rows| row_values(rows, columns));
    assert_eq!(dense.len(), values, "as many rows as the sparse matrix has columns");
    let write = |mut out: &mut [MaybeUninit<f32>]| {
        let mut parts = Vec::new();
        for rows in tasks(matrix.offsets(), columns) {
            let (part, rest) = std::mem::take(&mut out).split_at_mut(rows.len() * columns);
            parts.push((rows, part));
            out = rest;
        }
        parts
            .into_par_iter()
            .for_each(|(rows, out)| level.run(Product { matrix, own, dense, columns, rows, out }));
    };
    // SAFETY: the tasks' rows follow each other and cover all, and `Product` writes each of its rows whole.
    unsafe { init_vec(results, write) }
}

/// Divides the rows into ranges of about equal work. They depend on the matrix alone.
fn tasks(offsets: &[usize], columns: usize) -> Vec<Range<usize>> {
    let rows = offsets.len() - 1;
    let (mut tasks, mut first) = (Vec::new(), 0);
    for row in 1..=rows {
        let work = (offsets[row] - offsets[first] + row - first).saturating_mul(columns);
        if work >= TASK || row == rows {
            tasks.push(first..row);
            first = row;
        }
    }
    tasks
}

/// The rows `rows` of the product.
struct Product<'a> {
    matrix: &'a Csr,
    /// What is added to the diagonal of a square matrix.
    own: f32,
    dense: &'a [f32],
    columns: usize,
    rows: Range<usize>,
    out: &'a mut [MaybeUninit<f32>],
}

impl Work for Product<'_> {
    type Output = ();

    #[expect(
        clippy::inline_always,
        reason = "only code inlined into a function with target features may use them"
    )]
    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        for (row, out) in self.rows.zip(self.out.chunks_exact_mut(self.columns)) {
            let range = self.matrix.offsets()[row]..self.matrix.offsets()[row + 1];
            let entries = &self.matrix.columns()[range.clone()];
            let values = self.matrix.values().map(|values| &values[range]);
            let own = (self.own != 0.0).then_some((row as u32, self.own));
            let row = Row { entries, values, own };
            let (panels, rest) = out.as_chunks_mut::<PANEL>();
            let mut first = 0;
            for panel in panels {
                sum::<FUSED, PANEL>(&row, self.dense, self.columns, first, panel);
                first += PANEL;
            }
            let (panels, rest) = rest.as_chunks_mut::<16>();
            for panel in panels {
                sum::<FUSED, 16>(&row, self.dense, self.columns, first, panel);
                first += 16;
            }
            for panel in rest.as_chunks_mut::<1>().0 {
                sum::<FUSED, 1>(&row, self.dense, self.columns, first, panel);
                first += 1;
            }
        }
    }
}

/// A row of the sparse matrix: columns and values of its entries, and what is added to its diagonal.
struct Row<'a> {
    entries: &'a [u32],
    values: Option<&'a [f32]>,
    own: Option<(u32, f32)>,
}

/// `N` values of a row of the product, from column `first` on.
#[expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]
#[inline(always)]
fn sum<const FUSED: bool, const N: usize>(
    row: &Row<'_>,
    dense: &[f32],
    columns: usize,
    first: usize,
    out: &mut [MaybeUninit<f32>; N],
) {
    let mut sums = [0.0; N];
    let panel = |entry: u32| &dense[entry as usize * columns + first..][..N];
    if let Some((node, own)) = row.own {
        let panel = panel(node);
        for lane in 0..N {
            sums[lane] = own * panel[lane];
        }
    }
    match row.values {
        None => {
            for entry in row.entries {
                let panel = panel(*entry);
                for lane in 0..N {
                    sums[lane] += panel[lane];
                }
            }
        }
        Some(values) => {
            for (entry, value) in row.entries.iter().zip(values) {
                let panel = panel(*entry);
                for lane in 0..N {
                    sums[lane] = multiply_add::<FUSED>(*value, panel[lane], sums[lane]);
                }
            }
        }
    }
    for (out, sum) in out.iter_mut().zip(sums) {
        out.write(sum);
    }
}
