//! The dual of the support vector machine with hinge loss, by sequential minimal optimisation (Platt 1998), pairs chosen by
//! second-order information (Fan, Chen and Lin 2005, *Working Set Selection Using Second Order Information for Training
//! Support Vector Machines*, section 3).
//!
//! Minimise ½ Σ αᵢ αⱼ yᵢ yⱼ Kᵢⱼ − Σ αᵢ for 0 ≤ αᵢ ≤ C and Σ yᵢ αᵢ = 0.

/// The violation of optimality at which the search ends, as in LIBSVM.
const TOLERANCE: f64 = 1e-3;

/// In place of a curvature that is not positive.
const LEAST_CURVATURE: f64 = 1e-12;

/// A problem with two classes and its solution so far.
pub(super) struct Smo<'a> {
    /// K, row after row.
    kernel: &'a [f32],
    /// 1 or −1.
    signs: Vec<f64>,
    alphas: Vec<f64>,
    /// yᵢ times the derivative of the dual by αᵢ: Σⱼ yⱼ αⱼ Kᵢⱼ − yᵢ.
    slopes: Vec<f64>,
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
        let signs: Vec<f64> = first.iter().map(|first| if *first { 1.0 } else { -1.0 }).collect();
        let slopes = signs.iter().map(|sign| -sign).collect();
        Self { kernel, alphas: vec![0.0; signs.len()], signs, slopes, cost: 0.0 }
    }

    fn row(&self, row: usize) -> &'a [f32] {
        let n = self.signs.len();
        &self.kernel[row * n..][..n]
    }

    /// Solves the problem for `cost`, C. It is begun from the solution for the last cost, if there was one, scaled to the new
    /// bound: what is bounded mostly stays so.
    pub(super) fn solve(&mut self, cost: f64) -> Decision {
        if self.cost > 0.0 {
            let ratio = cost / self.cost;
            let bound = self.cost;
            for alpha in &mut self.alphas {
                *alpha = if *alpha >= bound { cost } else { (*alpha * ratio).min(cost) };
            }
            for (slope, sign) in self.slopes.iter_mut().zip(&self.signs) {
                *slope = (*slope + sign) * ratio - sign;
            }
        }
        self.cost = cost;
        let most = self.signs.len().saturating_mul(100).max(10_000_000);
        let converged = (0..most).any(|_| !self.step());
        Decision {
            weights: self.alphas.iter().zip(&self.signs).map(|(alpha, sign)| alpha * sign).collect(),
            offset: self.offset(),
            converged,
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

    /// Improves the pair of rows that promises most; false where none violates optimality by more than the tolerance.
    fn step(&mut self) -> bool {
        let n = self.signs.len();
        let (mut i, mut least) = (n, f64::INFINITY);
        for row in 0..n {
            if self.slopes[row] < least && self.can_grow(row) {
                (i, least) = (row, self.slopes[row]);
            }
        }
        if i == n {
            return false;
        }
        let kernel_i = self.row(i);
        let (mut j, mut best, mut greatest) = (n, 0.0, f64::NEG_INFINITY);
        for row in 0..n {
            let violation = self.slopes[row] - least;
            if violation > 0.0 && self.can_shrink(row) {
                greatest = violation.max(greatest);
                let gain = violation * violation / self.curvature(i, row, kernel_i);
                if gain > best {
                    (j, best) = (row, gain);
                }
            }
        }
        if j == n || greatest < TOLERANCE {
            return false;
        }
        self.improve(i, j);
        true
    }

    /// Kᵢᵢ + Kⱼⱼ − 2 Kᵢⱼ: the second derivative of the dual along the pair.
    fn curvature(&self, i: usize, j: usize, kernel_i: &[f32]) -> f64 {
        let n = self.signs.len();
        let diagonal = f64::from(kernel_i[i]) + f64::from(self.kernel[j * n + j]);
        let curvature = diagonal - 2.0 * f64::from(kernel_i[j]);
        if curvature > 0.0 { curvature } else { LEAST_CURVATURE }
    }

    /// Lets yᵢ αᵢ grow and yⱼ αⱼ shrink by as much, to the optimum or the nearest bound.
    fn improve(&mut self, i: usize, j: usize) {
        let (kernel_i, kernel_j) = (self.row(i), self.row(j));
        let optimum = (self.slopes[j] - self.slopes[i]) / self.curvature(i, j, kernel_i);
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
        }
        for ((slope, i), j) in self.slopes.iter_mut().zip(kernel_i).zip(kernel_j) {
            *slope += change * (f64::from(*i) - f64::from(*j));
        }
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
