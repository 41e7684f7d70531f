//! An axis: where numbers lie on it, and which of them are written beside it.

use crate::html::number;

/// An axis from one number to another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    pub(super) low: f64,
    high: f64,
    /// Whether equal lengths are equal factors.
    log: bool,
}

impl Axis {
    /// The axis that holds these numbers; a little more than that where it need not begin with 0.
    pub(super) fn of(values: impl Iterator<Item = f64>, log: bool, from_zero: bool) -> Self {
        let known = values.filter(|value| value.is_finite() && (!log || *value > 0.0));
        let (mut low, mut high) = known
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        if low > high {
            (low, high) = if log { (1.0, 10.0) } else { (0.0, 1.0) };
        }
        if from_zero && !log {
            (low, high) = (low.min(0.0), high.max(0.0));
        }
        if low == high {
            (low, high) = if log {
                (low / 2.0, high * 2.0)
            } else {
                (low - 0.5 * low.abs().max(1e-6), high + 0.5 * high.abs().max(1e-6))
            };
        }
        if !log && !from_zero {
            let room = 0.04 * (high - low);
            (low, high) = (low - room, high + room);
        }
        Self { low, high, log }
    }

    /// Exactly from one number to another.
    pub(super) fn exactly(low: f64, high: f64) -> Self {
        let high = if high > low { high } else { low + 1.0 };
        Self { low, high, log: false }
    }

    /// How far along it a number lies, from 0 to 1.
    pub(super) fn share(&self, value: f64) -> f64 {
        let share = if self.log {
            (value.max(f64::MIN_POSITIVE) / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        share.clamp(0.0, 1.0)
    }

    /// Round numbers along it.
    pub(super) fn ticks(&self) -> Vec<f64> {
        if self.log {
            let (first, last) = (self.low.log10().floor() as i32, self.high.log10().ceil() as i32);
            let every = ((last - first) / 6).max(1) as usize;
            let powers = (first..=last).step_by(every).map(|power| 10.0_f64.powi(power));
            let within: Vec<f64> = powers.filter(|tick| (self.low..=self.high).contains(tick)).collect();
            return if within.len() > 1 { within } else { vec![self.low, self.high] };
        }
        let step = round_step((self.high - self.low) / 5.0);
        let first = (self.low / step).ceil() as i64;
        let last = (self.high / step).floor() as i64;
        (first..=last).map(|tick| tick as f64 * step).collect()
    }

    /// A tick as it is written.
    pub(super) fn label(&self, tick: f64) -> String {
        // What is left of a sum of steps beside 0 is no number to show.
        let tick = if tick.abs() < 1e-9 * (self.high - self.low) { 0.0 } else { tick };
        number(tick)
    }
}

/// The next of 1, 2, 5 times a power of ten that is not less.
fn round_step(least: f64) -> f64 {
    let power = 10.0_f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| *step >= least * (1.0 - 1e-9))
        .unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_lie_within() {
        let axis = Axis::of([0.13, 0.97].into_iter(), false, true);
        assert_eq!(
            axis.ticks().into_iter().map(|tick| axis.label(tick)).collect::<Vec<_>>(),
            ["0", "0.2", "0.4", "0.6", "0.8"]
        );
        let axis = Axis::of([1e-3, 5e2].into_iter(), true, false);
        assert_eq!(axis.ticks().len(), 6);
        assert!((axis.share(1e-3) - 0.0).abs() < 1e-12 && (axis.share(5e2) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn no_numbers_and_one_number_have_an_axis_too() {
        for values in [vec![], vec![f64::NAN], vec![3.0, 3.0], vec![0.0], vec![-1e-9]] {
            for log in [false, true] {
                let axis = Axis::of(values.iter().copied(), log, false);
                assert!(axis.low < axis.high && !axis.ticks().is_empty(), "{values:?} {axis:?}");
                assert!(axis.share(3.0).is_finite());
            }
        }
    }
}
