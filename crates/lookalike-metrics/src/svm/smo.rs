//! The dual of the support vector machine with hinge loss, by sequential minimal optimisation (Platt 1998), pairs chosen by
//! second-order information (Fan, Chen and Lin 2005, *Working Set Selection Using Second Order Information for Training
//! Support Vector Machines*, section 3).
//!
//! Minimise ½ Σ αᵢ αⱼ yᵢ yⱼ Kᵢⱼ − Σ αᵢ for 0 ≤ αᵢ ≤ C and Σ yᵢ αᵢ = 0.

use lookalike_kernels::svm::{Candidates, choose, curvature, update};

/// The violation of optimality at which the search ends, as in LIBSVM.
const TOLERANCE: f64 = 1e-3;

/// A problem with two classes and its solution so far.
pub(super) struct Smo<'a> {
    /// K, row after row.
    kernel: &'a [f32],
    /// Kᵢᵢ
    diagonal: Vec<f32>,
    /// 1 or −1.
    signs: Vec<f64>,
    alphas: Vec<f64>,
    /// yᵢ times the derivative of the dual by αᵢ: Σⱼ yⱼ αⱼ Kᵢⱼ − yᵢ.
    slopes: Vec<f64>,
    /// 0 where yᵢ αᵢ can still grow, else ∞.
    grow_bars: Vec<f64>,
    /// 0 where yᵢ αᵢ can still shrink, else −∞.
    shrink_bars: Vec<f64>,
    cost: f64,
}

/// What a solution says of a row x: Σ `weights[i]` K(x, i) − `offset`, positive for the first class.
pub(super) struct Decision {
    /// yᵢ αᵢ
    pub(super) weights: Vec<f64>,
    pub(super) offset: f64,
    /// Whether the search ended because nothing was left to improve.
    pub(super) converged: bool,
}

impl<'a> Smo<'a> {
    /// The problem of telling rows that are `first` from those that are not; no row counts yet.
    pub(super) fn new(kernel: &'a [f32], first: &[bool]) -> Self {
        let n = first.len();
        let signs: Vec<f64> = first.iter().map(|first| if *first { 1.0 } else { -1.0 }).collect();
        Self {
            kernel,
            diagonal: (0..n).map(|row| kernel[row * n + row]).collect(),
            slopes: signs.iter().map(|sign| -sign).collect(),
            signs,
            alphas: vec![0.0; n],
            grow_bars: vec![0.0; n],
            shrink_bars: vec![0.0; n],
            cost: 0.0,
        }
    }

    fn row(&self, row: usize) -> &'a [f32] {
        let n = self.signs.len();
        &self.kernel[row * n..][..n]
    }

    /// Solves the problem for `cost`, C, from nothing: beginning with the solution for another cost was found to save no steps.
    pub(super) fn solve(&mut self, cost: f64) -> Decision {
        self.alphas.fill(0.0);
        self.slopes = self.signs.iter().map(|sign| -sign).collect();
        self.cost = cost;
        (0..self.signs.len()).for_each(|row| self.set_bars(row));
        let most = self.signs.len().saturating_mul(100).max(10_000_000);
        Decision {
            converged: self.search(most),
            weights: self.alphas.iter().zip(&self.signs).map(|(alpha, sign)| alpha * sign).collect(),
            offset: self.offset(),
        }
    }

    /// Whether yᵢ αᵢ can still grow.
    fn can_grow(&self, row: usize) -> bool {
        if self.signs[row] > 0.0 { self.alphas[row] < self.cost } else { self.alphas[row] > 0.0 }
    }

    /// Whether yᵢ αᵢ can still shrink.
    fn can_shrink(&self, row: usize) -> bool {
        if self.signs[row] > 0.0 { self.alphas[row] > 0.0 } else { self.alphas[row] < self.cost }
    }

    fn set_bars(&mut self, row: usize) {
        self.grow_bars[row] = if self.can_grow(row) { 0.0 } else { f64::INFINITY };
        self.shrink_bars[row] = if self.can_shrink(row) { 0.0 } else { f64::NEG_INFINITY };
    }

    /// Improves pairs until none violates optimality by more than the tolerance, or `most` times; whether it was the former.
    fn search(&mut self, most: usize) -> bool {
        if self.signs.is_empty() {
            return true;
        }
        let unchanged = self.row(0);
        let mut least = update(&mut self.slopes, 0.0, unchanged, unchanged, &self.grow_bars);
        for _ in 0..most {
            let Some((i, slope)) = least else { return true };
            let chosen = choose(&Candidates {
                slopes: &self.slopes,
                bars: &self.shrink_bars,
                kernel: self.row(i),
                diagonal: &self.diagonal,
                least: slope,
                own: self.diagonal[i],
            });
            let Some((j, _)) = chosen.filter(|(_, violation)| *violation >= TOLERANCE) else { return true };
            let change = self.improve(i, j);
            let (first, second) = (self.row(i), self.row(j));
            least = update(&mut self.slopes, change, first, second, &self.grow_bars);
        }
        false
    }

    /// Lets yᵢ αᵢ grow and yⱼ αⱼ shrink by as much, to the optimum or the nearest bound, and returns by how much.
    fn improve(&mut self, i: usize, j: usize) -> f64 {
        let curvature = curvature(self.diagonal[i], self.diagonal[j], self.row(i)[j]);
        let optimum = (self.slopes[j] - self.slopes[i]) / curvature;
        let room_i = if self.signs[i] > 0.0 { self.cost - self.alphas[i] } else { self.alphas[i] };
        let room_j = if self.signs[j] > 0.0 { self.alphas[j] } else { self.cost - self.alphas[j] };
        let change = optimum.min(room_i).min(room_j);
        // At a bound a multiplier is that bound exactly, whatever the sum rounds to.
        for (row, room, grows) in [(i, room_i, self.signs[i] > 0.0), (j, room_j, self.signs[j] < 0.0)] {
            self.alphas[row] = match (change >= room, grows) {
                (true, true) => self.cost,
                (true, false) => 0.0,
                (false, true) => self.alphas[row] + change,
                (false, false) => self.alphas[row] - change,
            };
            self.set_bars(row);
        }
        change
    }

    /// The threshold of the decision: the mean slope of the rows that no bound holds, or else the middle of what is allowed.
    fn offset(&self) -> f64 {
        let (mut sum, mut free) = (0.0, 0);
        let (mut low, mut high) = (f64::NEG_INFINITY, f64::INFINITY);
        for row in 0..self.signs.len() {
            let slope = self.slopes[row];
            match (self.can_grow(row), self.can_shrink(row)) {
                (true, true) => {
                    sum += slope;
                    free += 1;
                }
                (true, false) => high = high.min(slope),
                (false, true) => low = low.max(slope),
                (false, false) => {}
            }
        }
        if free > 0 { sum / f64::from(free) } else { f64::midpoint(low, high) }
    }
}
