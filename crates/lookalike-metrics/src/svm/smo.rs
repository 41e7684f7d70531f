//! The dual of the support vector machine with hinge loss, by sequential minimal optimisation (Platt 1998) with shrinking
//! (Joachims 1998, *Making Large-Scale SVM Learning Practical*, section 4).
//!
//! Minimise ½ Σ αᵢ αⱼ yᵢ yⱼ Kᵢⱼ − Σ αᵢ for 0 ≤ αᵢ ≤ C and Σ yᵢ αᵢ = 0.
//!
//! Most multipliers come to a bound early and stay there. Rows that are held at one and cannot be chosen for now are set aside:
//! what is left is a smaller problem, whose kernel is copied together. When that is solved the slopes of all rows are brought
//! up to date, and the search ends where the whole problem is solved too.

use super::active_set::{ActiveSet, Reached};

/// Steps between two looks at who can be set aside, at most.
const PERIOD: usize = 1000;

/// A problem with two classes and its solution so far.
pub(super) struct Smo<'a> {
    whole: ActiveSet<'a>,
    /// Steps between two looks at who can be set aside; tests set it to never look.
    pub(super) period: usize,
    /// Times that rows were set aside, for tests.
    pub(super) parts: usize,
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
        let signs = first.iter().map(|first| if *first { 1.0 } else { -1.0 }).collect();
        let whole = ActiveSet::new(kernel, signs);
        let period = PERIOD.min(whole.len());
        Self { whole, period, parts: 0 }
    }

    /// Solves the problem for `cost`, C, from nothing: beginning with the solution for another cost was found to save no steps.
    pub(super) fn solve(&mut self, cost: f64) -> Decision {
        self.whole.begin(cost);
        let most = self.whole.len().saturating_mul(100).max(10_000_000);
        let converged = self.search(most);
        Decision { converged, weights: self.whole.weights(), offset: self.whole.offset() }
    }

    /// Improves pairs until none violates optimality by more than the tolerance, or `most` times; whether it was the former.
    fn search(&mut self, mut most: usize) -> bool {
        while most > 0 {
            let steps = self.period.min(most);
            most -= steps;
            let Reached::Bounds { least, greatest } = self.whole.search(steps) else { return true };
            if let Some(part) = self.whole.part(least, greatest) {
                self.search_part(part, &mut most);
            }
        }
        false
    }

    /// Solves a part of the problem, and smaller ones of it, in at most as many steps as are left; then all rows are told of it.
    fn search_part(&mut self, mut part: ActiveSet<'static>, most: &mut usize) {
        let mut alphas = self.whole.alphas().to_vec();
        self.parts += 1;
        while *most > 0 {
            let steps = self.period.min(part.len()).min(*most);
            *most -= steps;
            match part.search(steps) {
                Reached::Optimum => break,
                Reached::Bounds { least, greatest } => {
                    if let Some(smaller) = part.part(least, greatest) {
                        part.write(&mut alphas);
                        part = smaller;
                        self.parts += 1;
                    }
                }
            }
        }
        part.write(&mut alphas);
        self.whole.catch_up(&alphas);
    }
}
