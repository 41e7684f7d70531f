//! The support vector machine with a Gaussian kernel, exp(−γ ‖a − b‖²), as scikit-learn's `SVC` has it by default: hinge
//! loss, γ = 1 / (dimensions · variance of all values of the fitted rows), one classifier for each pair of classes, the class
//! with most votes and among equals the lowest.

use lookalike_base::Rows;
use rayon::prelude::*;

use super::smo::{Decision, Smo};
use super::{Fit, SvmSolver};
use crate::gram;

/// Rows of a block of distances.
const BLOCK: usize = 128;

/// Embeddings with all their squared distances, of which every fold takes its part.
pub(super) struct Rbf<'a> {
    rows: Rows<'a>,
    /// N×N
    distances: Vec<f32>,
}

impl<'a> Rbf<'a> {
    pub(super) fn new(rows: Rows<'a>) -> Self {
        let (n, d) = (rows.len(), rows.columns());
        let mut distances = vec![0.0; n * n];
        distances.par_chunks_mut(BLOCK * n).enumerate().for_each(|(block, out)| {
            let first = block * BLOCK;
            let own: Vec<f64> = wide(&rows.values()[first * d..][..out.len() / n * d]);
            let squares = |values: &[f64]| -> Vec<f64> {
                values.chunks_exact(d).map(|row| row.iter().map(|value| value * value).sum()).collect()
            };
            let own_squares = squares(&own);
            for start in (0..n).step_by(BLOCK) {
                let others = wide(&rows.values()[start * d..(start + BLOCK).min(n) * d]);
                let other_squares = squares(&others);
                let width = other_squares.len();
                let mut products = vec![0.0; own_squares.len() * width];
                gram::rows_by_rows(&own, &others, d, &mut products);
                for (row, products) in products.chunks_exact(width).enumerate() {
                    let out = &mut out[row * n + start..][..width];
                    for ((out, product), square) in out.iter_mut().zip(products).zip(&other_squares) {
                        *out = (own_squares[row] + square - 2.0 * product).clamp(0.0, f64::from(f32::MAX))
                            as f32;
                    }
                }
            }
            // Of a row to itself exactly, whatever the products round to.
            (0..out.len() / n).for_each(|row| out[row * n + first + row] = 0.0);
        });
        Self { rows, distances }
    }

    pub(super) fn gamma(&self, train: &[u32]) -> f64 {
        let count = (train.len() * self.rows.columns()) as f64;
        let values =
            || train.iter().flat_map(|row| self.rows.row(*row as usize)).map(|value| f64::from(*value));
        let mean = values().sum::<f64>() / count;
        let variance = values().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
        // As in scikit-learn, where rows are all alike.
        if variance > 0.0 { 1.0 / (self.rows.columns() as f64 * variance) } else { 1.0 }
    }

    /// The kernel between each of `rows` and each of `columns`.
    pub(super) fn kernel(&self, gamma: f64, rows: &[u32], columns: &[u32]) -> Vec<f32> {
        let n = self.rows.len();
        let mut kernel = Vec::with_capacity(rows.len() * columns.len());
        for row in rows {
            let distances = &self.distances[*row as usize * n..][..n];
            let values = columns.iter().map(|column| f64::from(distances[*column as usize]));
            kernel.extend(values.map(|distance| (-gamma * distance).exp() as f32));
        }
        kernel
    }
}

impl SvmSolver for Rbf<'_> {
    fn predict(&self, fit: &Fit<'_>, costs: &[f64]) -> Vec<(Vec<u32>, bool)> {
        let gamma = self.gamma(fit.train);
        let mut votes = vec![vec![0_u32; fit.test.len() * fit.classes]; costs.len()];
        let mut converged = vec![true; costs.len()];
        for (first, second) in fit.pairs() {
            let train = fit.train_of(&[first, second]);
            let is_first: Vec<bool> = train.iter().map(|row| fit.label(*row) == first).collect();
            let kernel = self.kernel(gamma, &train, &train);
            let test = self.kernel(gamma, fit.test, &train);
            let mut smo = Smo::new(&kernel, &is_first);
            for (place, cost) in costs.iter().enumerate() {
                let decision = smo.solve(*cost);
                converged[place] &= decision.converged;
                for (row, kernel) in test.chunks_exact(train.len()).enumerate() {
                    let class = if decision.is_first(kernel) { first } else { second };
                    votes[place][row * fit.classes + class as usize] += 1;
                }
            }
        }
        let elected = |votes: &[u32]| {
            let most = votes.iter().copied().max().unwrap_or(0);
            votes.iter().position(|count| *count == most).unwrap_or(0) as u32
        };
        let predictions = votes.iter().map(|votes| votes.chunks_exact(fit.classes).map(elected).collect());
        predictions.zip(converged).collect()
    }
}

impl Decision {
    fn is_first(&self, kernel: &[f32]) -> bool {
        let pairs = self.weights.iter().zip(kernel);
        pairs.map(|(weight, kernel)| weight * f64::from(*kernel)).sum::<f64>() > self.offset
    }
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|value| f64::from(*value)).collect()
}
