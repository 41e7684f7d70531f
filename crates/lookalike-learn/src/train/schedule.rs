//! The learning rate over a run: a linear warm-up, then a constant, half a cosine (Loshchilov and Hutter 2017) or a
//! line to 0.

use serde::{Deserialize, Serialize};

/// What follows the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// The base rate.
    Constant,
    /// From the base rate to 0 along half a cosine, step by step.
    Cosine,
    /// From the base rate along a line that reaches 0 when the run has ended, step by step, as behind the warm-up of transformers'
    /// `get_linear_schedule_with_warmup`.
    Linear,
}

/// A learning rate for each optimiser step of a run of known length.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Schedule {
    /// The rate at the end of the warm-up.
    pub base: f64,
    /// Steps made before it begins: those of a run that was finished and is trained longer, else 0.
    pub begins: u64,
    /// Steps of warm-up; the first step already moves, by base / warm-up.
    pub warmup: u64,
    /// Steps of the whole run, with those made before.
    pub total: u64,
    /// What follows the warm-up.
    pub shape: Shape,
}

impl Schedule {
    /// The same schedule laid out anew over the steps from `begins` on.
    #[must_use]
    pub fn from_step(self, begins: u64) -> Self {
        Self { begins, ..self }
    }

    /// The rate of optimiser step `step`, counted from 0.
    pub fn rate(&self, step: u64) -> f64 {
        let made = step.saturating_sub(self.begins);
        if made < self.warmup {
            return self.base * (made + 1) as f64 / self.warmup as f64;
        }
        let span = self.total.saturating_sub(self.begins + self.warmup).max(1) as f64;
        match self.shape {
            Shape::Constant => self.base,
            Shape::Cosine => {
                let share = (made - self.warmup) as f64 / span;
                self.base * 0.5 * (1.0 + (std::f64::consts::PI * share.min(1.0)).cos())
            }
            Shape::Linear => self.base * self.total.saturating_sub(step) as f64 / span,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_rises_linearly_and_falls_along_half_a_cosine() {
        let schedule = Schedule { base: 1.0, begins: 0, warmup: 4, total: 12, shape: Shape::Cosine };
        let rates: Vec<f64> = (0..12).map(|step| schedule.rate(step)).collect();
        assert_eq!(rates[..5], [0.25, 0.5, 0.75, 1.0, 1.0]);
        assert!((rates[8] - 0.5).abs() < 1e-12);
        assert!(rates[4..].windows(2).all(|pair| pair[1] < pair[0]) && rates[11] > 0.0);
    }

    #[test]
    fn laid_anew_the_rates_are_those_of_a_run_of_the_added_steps() {
        for shape in [Shape::Constant, Shape::Cosine, Shape::Linear] {
            let added = Schedule { base: 1.0, begins: 0, warmup: 3, total: 9, shape };
            let longer = Schedule { total: 12 + 9, ..added }.from_step(12);
            for step in 0..9 {
                assert!((longer.rate(12 + step) - added.rate(step)).abs() < 1e-12, "{shape:?}, step {step}");
            }
        }
    }
}
