//! The learning rate over a run: a linear warm-up, then a constant, half a cosine (Loshchilov and Hutter 2017), a line to 0, or a constant
//! that drops.

use std::sync::Arc;

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
    /// The base rate, multiplied by a factor at each drop, as PyTorch's `MultiStepLR`.
    Steps,
}

/// Where a rate drops, and by how much.
#[derive(Debug, Clone, PartialEq)]
pub struct Drops {
    /// The optimiser steps from which on it is lower, in rising order.
    pub at: Arc<[u64]>,
    /// What it is multiplied by at each.
    pub factor: f64,
}

impl Default for Drops {
    fn default() -> Self {
        Self { at: Arc::new([]), factor: 1.0 }
    }
}

/// A learning rate for each optimiser step of a run of known length.
#[derive(Debug, Clone, PartialEq)]
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
    /// The drops of [`Shape::Steps`].
    pub drops: Drops,
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
            Shape::Steps => {
                let drops = self.drops.at.iter().filter(|drop| **drop <= made).count();
                self.base * self.drops.factor.powi(drops as i32)
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
        let schedule = Schedule {
            base: 1.0,
            begins: 0,
            warmup: 4,
            total: 12,
            shape: Shape::Cosine,
            drops: Drops::default(),
        };
        let rates: Vec<f64> = (0..12).map(|step| schedule.rate(step)).collect();
        assert_eq!(rates[..5], [0.25, 0.5, 0.75, 1.0, 1.0]);
        assert!((rates[8] - 0.5).abs() < 1e-12);
        assert!(rates[4..].windows(2).all(|pair| pair[1] < pair[0]) && rates[11] > 0.0);
    }

    /// As PyTorch: `MultiStepLR(optimizer, [30, 40, 50], 0.2)` of a rate of 10.
    #[test]
    fn the_rate_of_steps_drops_when_an_epoch_begins() {
        let drops = Drops { at: Arc::new([60, 80, 100]), factor: 0.2 };
        let schedule = Schedule { base: 10.0, begins: 0, warmup: 0, total: 120, shape: Shape::Steps, drops };
        for (step, rate) in [(0, 10.0), (59, 10.0), (60, 2.0), (79, 2.0), (80, 0.4), (100, 0.08), (119, 0.08)]
        {
            assert!((schedule.rate(step) - rate).abs() < 1e-12, "step {step}");
        }
    }

    #[test]
    fn laid_anew_the_rates_are_those_of_a_run_of_the_added_steps() {
        for shape in [Shape::Constant, Shape::Cosine, Shape::Linear, Shape::Steps] {
            let drops = Drops { at: Arc::new([4, 6]), factor: 0.5 };
            let added = Schedule { base: 1.0, begins: 0, warmup: 3, total: 9, shape, drops };
            let longer = Schedule { total: 12 + 9, ..added.clone() }.from_step(12);
            for step in 0..9 {
                assert!((longer.rate(12 + step) - added.rate(step)).abs() < 1e-12, "{shape:?}, step {step}");
            }
        }
    }
}
