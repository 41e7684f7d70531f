//! Steps of sequential minimal optimisation on a set of rows, pairs chosen by second-order information (Fan, Chen and Lin 2005,
//! *Working Set Selection Using Second Order Information for Training Support Vector Machines*, section 3).

use std::borrow::Cow;

use lookalike_kernels::svm::{Candidates, Chosen, choose, curvature, update};

/// The violation of optimality at which the search ends, as in LIBSVM.
const TOLERANCE: f64 = 1e-3;

/// Some rows of a problem, or all, and the solution so far; the multipliers of all others stand still.
#[derive(Clone)]
pub(super) struct ActiveSet<'a> {
    /// K between these rows, row after row.
    kernel: Cow<'a, [f32]>,
    /// Kᵢᵢ
    diagonal: Vec<f32>,
    /// Which rows of the whole problem they are, ascending.
    places: Vec<u32>,
    /// 1 or −1.
    signs: Vec<f64>,
    alphas: Vec<f64>,
    /// yᵢ times the derivative of the dual by αᵢ: Σⱼ yⱼ αⱼ Kᵢⱼ − yᵢ over all rows j of the problem.
    slopes: Vec<f64>,
    /// 0 where yᵢ αᵢ can still grow, else ∞.
    grow_bars: Vec<f64>,
    /// 0 where yᵢ αᵢ can still shrink, else −∞.
    shrink_bars: Vec<f64>,
    cost: f64,
}

/// How far a search came.
pub(super) enum Reached {
    /// No pair violates optimality by more than the tolerance.
    Optimum,
    /// Not so far.
    Bounds {
        /// The least slope of rows whose yᵢ αᵢ can grow.
        least: f64,
        /// The greatest of rows whose yᵢ αᵢ can shrink.
        greatest: f64,
    },
}

impl<'a> ActiveSet<'a> {
    /// All rows of a problem; none counts yet.
    pub(super) fn new(kernel: &'a [f32], signs: Vec<f64>) -> Self {
        let n = signs.len();
        Self {
            diagonal: (0..n).map(|row| kernel[row * n + row]).collect(),
            kernel: Cow::Borrowed(kernel),
            places: (0..n as u32).collect(),
            slopes: signs.iter().map(|sign| -sign).collect(),
            signs,
            alphas: vec![0.0; n],
            grow_bars: vec![0.0; n],
            shrink_bars: vec![0.0; n],
            cost: 0.0,
        }
    }

    /// Begins anew with `cost`, C.
    pub(super) fn begin(&mut self, cost: f64) {
        self.alphas.fill(0.0);
        self.slopes = self.signs.iter().map(|sign| -sign).collect();
        self.cost = cost;
        (0..self.len()).for_each(|row| self.set_bars(row));
    }

    /// Number of rows.
    pub(super) fn len(&self) -> usize {
        self.signs.len()
    }

    pub(super) fn alphas(&self) -> &[f64] {
        &self.alphas
    }

    /// yᵢ αᵢ
    pub(super) fn weights(&self) -> Vec<f64> {
        self.alphas.iter().zip(&self.signs).map(|(alpha, sign)| alpha * sign).collect()
    }

    /// Writes the multipliers of these rows among those of all.
    pub(super) fn write(&self, alphas: &mut [f64]) {
        self.places.iter().zip(&self.alphas).for_each(|(place, alpha)| alphas[*place as usize] = *alpha);
    }

    fn row(&self, row: usize) -> &[f32] {
        let n = self.len();
        &self.kernel[row * n..][..n]
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

    /// Adds `change` · (K of row `first` − K of row `second`) to the slopes; the row whose slope is least of those that can grow.
    fn update(&mut self, change: f64, first: usize, second: usize) -> Chosen {
        let n = self.len();
        let [first, second] = [first, second].map(|row| &self.kernel[row * n..][..n]);
        update(&mut self.slopes, change, first, second, &self.grow_bars)
    }

    /// Improves pairs until none violates optimality by more than the tolerance, or `steps` times.
    pub(super) fn search(&mut self, steps: usize) -> Reached {
        if self.signs.is_empty() {
            return Reached::Optimum;
        }
        let mut first = self.update(0.0, 0, 0);
        let mut reached = Reached::Optimum;
        for _ in 0..steps {
            let Some((i, least)) = first else { return Reached::Optimum };
            let chosen = choose(&Candidates {
                slopes: &self.slopes,
                bars: &self.shrink_bars,
                kernel: self.row(i),
                diagonal: &self.diagonal,
                least,
                own: self.diagonal[i],
            });
            let Some((j, violation)) = chosen.filter(|(_, violation)| *violation >= TOLERANCE) else {
                return Reached::Optimum;
            };
            reached = Reached::Bounds { least, greatest: least + violation };
            let change = self.improve(i, j);
            first = self.update(change, i, j);
        }
        reached
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

    /// These rows without those that a bound holds and that make no violating pair with any other, given the least slope of rows
    /// that can grow and the greatest of rows that can shrink; none where that would leave more than three quarters of them.
    pub(super) fn part(&self, least: f64, greatest: f64) -> Option<ActiveSet<'static>> {
        let stays = |row: &usize| match (self.can_grow(*row), self.can_shrink(*row)) {
            (true, false) => self.slopes[*row] <= greatest,
            (false, true) => self.slopes[*row] >= least,
            _ => true,
        };
        let kept: Vec<usize> = (0..self.len()).filter(stays).collect();
        (4 * kept.len() <= 3 * self.len()).then(|| self.of(&kept))
    }

    /// The rows that `kept` names, ascending.
    fn of(&self, kept: &[usize]) -> ActiveSet<'static> {
        fn chosen<T: Copy>(values: &[T], kept: &[usize]) -> Vec<T> {
            kept.iter().map(|row| values[*row]).collect()
        }
        let mut kernel = Vec::with_capacity(kept.len() * kept.len());
        for row in kept {
            let values = self.row(*row);
            kernel.extend(kept.iter().map(|column| values[*column]));
        }
        ActiveSet {
            kernel: Cow::Owned(kernel),
            diagonal: chosen(&self.diagonal, kept),
            places: chosen(&self.places, kept),
            signs: chosen(&self.signs, kept),
            alphas: chosen(&self.alphas, kept),
            slopes: chosen(&self.slopes, kept),
            grow_bars: chosen(&self.grow_bars, kept),
            shrink_bars: chosen(&self.shrink_bars, kept),
            cost: self.cost,
        }
    }

    /// Takes over the multipliers that a search on some of these rows, the whole problem, came to.
    pub(super) fn catch_up(&mut self, alphas: &[f64]) {
        let n = self.len();
        let nothing = vec![0.0; n];
        for (row, alpha) in alphas.iter().enumerate() {
            let change = self.signs[row] * (alpha - self.alphas[row]);
            if change != 0.0 {
                let own = &self.kernel[row * n..][..n];
                update(&mut self.slopes, change, own, &nothing, &self.grow_bars);
                self.alphas[row] = *alpha;
                self.set_bars(row);
            }
        }
    }

    /// The threshold of the decision: the mean slope of the rows that no bound holds, or else the middle of what is allowed.
    pub(super) fn offset(&self) -> f64 {
        let (mut sum, mut free) = (0.0, 0);
        let (mut low, mut high) = (f64::NEG_INFINITY, f64::INFINITY);
        for row in 0..self.len() {
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
