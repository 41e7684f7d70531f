//! The linear support vector machine as scikit-learn's `LinearSVC` has it by default: squared hinge loss, a bias that is
//! regularised like the other weights, one classifier for each class against the rest, or a single one for two.
//!
//! ½ ‖w‖² + C Σ max(0, 1 − yᵢ wᵀxᵢ)² has one minimum, which Newton's method finds exactly (Keerthi and `DeCoste` 2005,
//! *A Modified Finite Newton Method for Fast Solution of Large Scale Linear SVMs*). LIBLINEAR's coordinate descent comes near
//! to it, and with its limit of passes not always.

use faer::linalg::solvers::{Llt, Solve};
use faer::{Mat, MatRef, Side};
use lookalike_base::Rows;

use super::{Fit, SvmSolver};

/// The norm of the gradient, as a share of that at zero, at which the search ends; scikit-learn's is 10⁻⁴.
const TOLERANCE: f64 = 1e-7;

/// Newton steps of one classifier. Few tens are usual.
const MOST_STEPS: usize = 200;

/// Embeddings with a column of ones.
pub(super) struct Linear {
    values: Vec<f64>,
    columns: usize,
}

impl Linear {
    pub(super) fn new(rows: Rows<'_>) -> Self {
        let columns = rows.columns() + 1;
        let values = rows.iter().flat_map(|row| row.iter().map(|value| f64::from(*value)).chain([1.0]));
        Self { values: values.collect(), columns }
    }

    pub(super) fn row(&self, row: u32) -> &[f64] {
        &self.values[row as usize * self.columns..][..self.columns]
    }
}

impl SvmSolver for Linear {
    fn predict(&self, fit: &Fit<'_>, costs: &[f64]) -> Vec<(Vec<u32>, bool)> {
        let present = fit.present();
        let rows: Vec<f64> = fit.train.iter().flat_map(|row| self.row(*row)).copied().collect();
        // For two classes the classifier of the second says all.
        let targets = if present.len() == 2 { &present[1..] } else { &present };
        let mut scores = vec![vec![0.0; fit.test.len() * targets.len()]; costs.len()];
        let mut converged = vec![true; costs.len()];
        for (target, class) in targets.iter().enumerate() {
            let signs = fit.train.iter().map(|row| if fit.label(*row) == *class { 1.0 } else { -1.0 });
            let mut newton = Newton::new(&rows, signs.collect(), self.columns);
            for (place, cost) in costs.iter().enumerate() {
                converged[place] &= newton.solve(*cost);
                for (row, test) in fit.test.iter().enumerate() {
                    scores[place][row * targets.len() + target] = dot(&newton.weights, self.row(*test));
                }
            }
        }
        let decide = |scores: &[f64]| match scores {
            [score] => present[usize::from(*score > 0.0)],
            scores => {
                let best = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                present[scores.iter().position(|score| *score == best).unwrap_or(0)]
            }
        };
        let predictions =
            scores.iter().map(|scores| scores.chunks_exact(targets.len()).map(decide).collect());
        predictions.zip(converged).collect()
    }
}

/// One classifier and its weights so far.
pub(super) struct Newton<'a> {
    rows: &'a [f64],
    signs: Vec<f64>,
    columns: usize,
    pub(super) weights: Vec<f64>,
}

impl<'a> Newton<'a> {
    pub(super) fn new(rows: &'a [f64], signs: Vec<f64>, columns: usize) -> Self {
        Self { rows, signs, columns, weights: vec![0.0; columns] }
    }

    /// Finds the weights for `cost`, C, from those for the last one on; whether it ended because nothing was left to improve.
    pub(super) fn solve(&mut self, cost: f64) -> bool {
        let start = norm(&self.gradient(cost, &vec![0.0; self.columns]).0);
        for _ in 0..MOST_STEPS {
            let (gradient, active) = self.gradient(cost, &self.weights);
            if norm(&gradient) <= TOLERANCE * start {
                return true;
            }
            let Some(step) = self.newton_step(cost, &gradient, &active) else { return false };
            if !self.walk(cost, &gradient, &step) {
                // Rounding hides what is left.
                return norm(&gradient) <= 1e-4 * start;
            }
        }
        false
    }

    fn margins<'b>(&'b self, weights: &'b [f64]) -> impl Iterator<Item = f64> + 'b {
        let rows = self.rows.chunks_exact(self.columns).zip(&self.signs);
        rows.map(|(row, sign)| 1.0 - sign * dot(weights, row))
    }

    fn objective(&self, cost: f64, weights: &[f64]) -> f64 {
        0.5 * dot(weights, weights)
            + cost * self.margins(weights).map(|margin| margin.max(0.0).powi(2)).sum::<f64>()
    }

    /// The gradient, and the rows within the margin.
    fn gradient(&self, cost: f64, weights: &[f64]) -> (Vec<f64>, Vec<usize>) {
        let (mut gradient, mut active) = (weights.to_vec(), Vec::new());
        for (row, margin) in self.margins(weights).enumerate().filter(|(_, margin)| *margin > 0.0) {
            active.push(row);
            let factor = -2.0 * cost * margin * self.signs[row];
            let values = &self.rows[row * self.columns..][..self.columns];
            gradient.iter_mut().zip(values).for_each(|(sum, value)| *sum += factor * value);
        }
        (gradient, active)
    }

    /// (I + 2C XᵀX)⁻¹ · gradient, X being the rows within the margin; where they are fewer than the dimensions, by the
    /// inverse on their side: (I + 2C XᵀX)⁻¹ = I − Xᵀ (I / 2C + X Xᵀ)⁻¹ X.
    fn newton_step(&self, cost: f64, gradient: &[f64], active: &[usize]) -> Option<Vec<f64>> {
        let d = self.columns;
        let rows: Vec<f64> = active.iter().flat_map(|row| &self.rows[row * d..][..d]).copied().collect();
        let rows = MatRef::from_row_major_slice(&rows, active.len(), d);
        let gradient = MatRef::from_column_major_slice(gradient, d, 1);
        let wide = active.len() >= d;
        let (factor, shift) = if wide { (2.0 * cost, 1.0) } else { (1.0, 0.5 / cost) };
        let products = if wide { rows.transpose() * rows } else { rows * rows.transpose() };
        let side = products.nrows();
        let system =
            Mat::from_fn(side, side, |i, j| factor * products[(i, j)] + if i == j { shift } else { 0.0 });
        let solver = Llt::new(system.as_ref(), Side::Lower).ok()?;
        let step = if wide {
            solver.solve(gradient)
        } else {
            gradient - rows.transpose() * solver.solve(rows * gradient)
        };
        Some((0..d).map(|at| step[(at, 0)]).collect())
    }

    /// Goes back along `step` as far as the objective falls enough (Armijo); false where it does not.
    fn walk(&mut self, cost: f64, gradient: &[f64], step: &[f64]) -> bool {
        let (before, slope) = (self.objective(cost, &self.weights), dot(gradient, step));
        let mut length = 1.0;
        for _ in 0..40 {
            let weights: Vec<f64> =
                self.weights.iter().zip(step).map(|(weight, step)| weight - length * step).collect();
            if self.objective(cost, &weights) <= before - 1e-4 * length * slope {
                self.weights = weights;
                return true;
            }
            length *= 0.5;
        }
        false
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn norm(values: &[f64]) -> f64 {
    dot(values, values).sqrt()
}
