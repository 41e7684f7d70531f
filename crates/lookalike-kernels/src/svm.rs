//! The passes over all rows that sequential minimal optimisation spends its time in (Platt 1998; Fan, Chen
//! and Lin 2005, *Working Set Selection Using Second Order Information for Training Support Vector Machines*,
//! algorithm 2).
//!
//! Rows are excluded by *bars*, numbers that are added to theirs: 0 for a row that takes part, an infinity
//! for one that does not. Among equal rows the first is chosen.

use crate::instructions::Level;
use crate::vector::Work;

/// Rows that are compared side by side.
const LANES: usize = 8;

/// Rows of a block. Only the best value of each block is kept at first; the row is looked up in the best
/// block.
const BLOCK: usize = 64;

/// Replaces a curvature that is not positive. Kernels in `f32` give no positive one that is smaller.
const LEAST_CURVATURE: f64 = 1e-12;

/// A row and a value of it.
pub type Chosen = Option<(usize, f64)>;

/// Adds `change` · (`first` − `second`) to `slopes` and returns the row of which slope and bar have the least
/// sum, and that sum; none where all are infinite.
///
/// # Panics
/// If lengths differ.
pub fn update(slopes: &mut [f64], change: f64, first: &[f32], second: &[f32], bars: &[f64]) -> Chosen {
    update_at(Level::detect(), slopes, change, first, second, bars)
}

fn update_at(
    level: Level,
    slopes: &mut [f64],
    change: f64,
    first: &[f32],
    second: &[f32],
    bars: &[f64],
) -> Chosen {
    assert_eq!([first.len(), second.len(), bars.len()], [slopes.len(); 3], "as many of each as slopes");
    level.run(Update { slopes, change, first, second, bars })
}

/// What [`choose`] compares.
#[derive(Debug, Clone, Copy)]
pub struct Candidates<'a> {
    /// The slopes of all rows.
    pub slopes: &'a [f64],
    /// 0, or −∞ for a row that cannot be chosen.
    pub bars: &'a [f64],
    /// The kernel between the row that is chosen already and all rows.
    pub kernel: &'a [f32],
    /// The kernel of each row with itself.
    pub diagonal: &'a [f32],
    /// The slope of the row that is chosen already.
    pub least: f64,
    /// The kernel of that row with itself.
    pub own: f32,
}

/// The row that gains most along with the one that is chosen already, v² / (Kᵢᵢ + Kⱼⱼ − 2 Kᵢⱼ) for the
/// violation v = slope − `least`, and the greatest violation of all; none where no violation is positive.
///
/// # Panics
/// If lengths differ.
pub fn choose(candidates: &Candidates<'_>) -> Chosen {
    choose_at(Level::detect(), candidates)
}

fn choose_at(level: Level, candidates: &Candidates<'_>) -> Chosen {
    let Candidates { slopes, bars, kernel, diagonal, .. } = candidates;
    assert_eq!([bars.len(), kernel.len(), diagonal.len()], [slopes.len(); 3], "as many of each as slopes");
    level.run(Choose(*candidates))
}

/// The second derivative of the dual along a pair of rows.
#[inline]
pub fn curvature(own: f32, other: f32, between: f32) -> f64 {
    greater((f64::from(own) + f64::from(other)) - 2.0 * f64::from(between), LEAST_CURVATURE)
}

/// The greater; `best` where they are equal or cannot be compared.
#[inline]
fn greater(value: f64, best: f64) -> f64 {
    if value > best { value } else { best }
}

/// The greatest of `values`, or `bound`.
#[expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]
#[inline(always)]
fn greatest(values: &[f64], bound: f64) -> f64 {
    let mut lanes = [bound; LANES];
    let (chunks, rest) = values.as_chunks::<LANES>();
    for values in chunks {
        for lane in 0..LANES {
            lanes[lane] = greater(values[lane], lanes[lane]);
        }
    }
    lanes.iter().chain(rest).fold(bound, |best, value| greater(*value, best))
}

struct Update<'a> {
    slopes: &'a mut [f64],
    change: f64,
    first: &'a [f32],
    second: &'a [f32],
    bars: &'a [f64],
}

impl Work for Update<'_> {
    type Output = Chosen;

    #[expect(
        clippy::inline_always,
        reason = "only code inlined into a function with target features may use them"
    )]
    #[inline(always)]
    fn run<const FUSED: bool>(self) -> Chosen {
        let Self { slopes, change, first, second, bars } = self;
        let (mut best, mut start, mut values) = (f64::NEG_INFINITY, 0, [0.0; BLOCK]);
        let blocks = slopes.chunks_mut(BLOCK).zip(first.chunks(BLOCK)).zip(second.chunks(BLOCK));
        for (block, (((slopes, first), second), bars)) in blocks.zip(bars.chunks(BLOCK)).enumerate() {
            for ((slope, first), second) in slopes.iter_mut().zip(first).zip(second) {
                *slope += change * (f64::from(*first) - f64::from(*second));
            }
            let values = &mut values[..slopes.len()];
            for ((value, slope), bar) in values.iter_mut().zip(slopes.iter()).zip(bars) {
                *value = -(*slope + bar);
            }
            let value = greatest(values, f64::NEG_INFINITY);
            if value > best {
                (best, start) = (value, block * BLOCK);
            }
        }
        let rows = slopes[start..].iter().zip(&bars[start..]);
        let row = rows.map(|(slope, bar)| -(slope + bar)).position(|value| value == best);
        row.filter(|_| best > f64::NEG_INFINITY).map(|row| (start + row, -best))
    }
}

struct Choose<'a>(Candidates<'a>);

impl Work for Choose<'_> {
    type Output = Chosen;

    #[expect(
        clippy::inline_always,
        reason = "only code inlined into a function with target features may use them"
    )]
    #[inline(always)]
    fn run<const FUSED: bool>(self) -> Chosen {
        let Self(Candidates { slopes, bars, kernel, diagonal, least, own }) = self;
        let violation = |slope: f64, bar: f64| greater(slope - least + bar, 0.0);
        let gain =
            |violation: f64, other: f32, between: f32| violation * violation / curvature(own, other, between);
        let (mut best, mut start, mut most) = (0.0, 0, 0.0);
        let [mut violations, mut gains] = [[0.0; BLOCK]; 2];
        let blocks = slopes.chunks(BLOCK).zip(bars.chunks(BLOCK)).zip(kernel.chunks(BLOCK));
        for (block, (((slopes, bars), kernel), diagonal)) in blocks.zip(diagonal.chunks(BLOCK)).enumerate() {
            let (violations, gains) = (&mut violations[..slopes.len()], &mut gains[..slopes.len()]);
            for ((value, slope), bar) in violations.iter_mut().zip(slopes).zip(bars) {
                *value = violation(*slope, *bar);
            }
            for (((value, violation), between), other) in
                gains.iter_mut().zip(violations.iter()).zip(kernel).zip(diagonal)
            {
                *value = gain(*violation, *other, *between);
            }
            most = greater(greatest(violations, 0.0), most);
            let value = greatest(gains, 0.0);
            if value > best {
                (best, start) = (value, block * BLOCK);
            }
        }
        let row = (start..slopes.len())
            .find(|row| gain(violation(slopes[*row], bars[*row]), diagonal[*row], kernel[*row]) == best);
        row.filter(|_| best > 0.0).map(|row| (row, most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lookalike_base::Seed;

    /// Numbers from −1 to 1, of which some are equal.
    fn numbers(count: usize, purpose: u64) -> Vec<f64> {
        let mut stream = Seed(purpose).stream("test", 0, 0, 0);
        (0..count).map(|_| f64::from(stream.below(41)) / 20.0 - 1.0).collect()
    }

    fn bars(count: usize, bar: f64) -> Vec<f64> {
        let mut stream = Seed(9).stream("test", 0, 0, 0);
        (0..count).map(|_| if stream.chance(0.3) { bar } else { 0.0 }).collect()
    }

    fn narrow(values: Vec<f64>) -> Vec<f32> {
        values.into_iter().map(|value| value as f32).collect()
    }

    #[test]
    fn an_update_is_that_of_the_obvious_loop_at_every_level() {
        for count in [0, 1, 7, 8, 9, 100, 256, 331, 777] {
            let (first, second) = (narrow(numbers(count, 1)), narrow(numbers(count, 2)));
            let bars = bars(count, f64::INFINITY);
            let mut expected = numbers(count, 3);
            for row in 0..count {
                expected[row] += 0.5 * (f64::from(first[row]) - f64::from(second[row]));
            }
            let mut least: Chosen = None;
            for row in (0..count).filter(|row| bars[*row] == 0.0) {
                if least.is_none_or(|(_, slope)| expected[row] < slope) {
                    least = Some((row, expected[row]));
                }
            }
            for level in Level::all() {
                let mut slopes = numbers(count, 3);
                assert_eq!(
                    update_at(level, &mut slopes, 0.5, &first, &second, &bars),
                    least,
                    "{count} {level:?}"
                );
                assert_eq!(slopes, expected);
            }
        }
    }

    #[test]
    fn a_choice_is_that_of_the_obvious_loop_at_every_level() {
        for count in [0, 1, 7, 8, 9, 100, 256, 331, 777] {
            let (slopes, kernel) = (numbers(count, 4), narrow(numbers(count, 5)));
            let (bars, diagonal) = (bars(count, f64::NEG_INFINITY), vec![1.0; count]);
            let candidates = Candidates {
                slopes: &slopes,
                bars: &bars,
                kernel: &kernel,
                diagonal: &diagonal,
                least: -0.5,
                own: 1.0,
            };
            let (mut chosen, mut best, mut most) = (None, 0.0, 0.0_f64);
            for row in (0..count).filter(|row| bars[*row] == 0.0 && slopes[*row] > -0.5) {
                let violation = slopes[row] + 0.5;
                most = most.max(violation);
                let gain = violation * violation / curvature(1.0, 1.0, kernel[row]);
                if gain > best {
                    (chosen, best) = (Some(row), gain);
                }
            }
            for level in Level::all() {
                assert_eq!(choose_at(level, &candidates), chosen.map(|row| (row, most)), "{count} {level:?}");
            }
        }
    }

    #[test]
    fn where_all_rows_are_barred_none_is_chosen() {
        assert_eq!(update(&mut [1.0; 20], 0.0, &[0.0; 20], &[0.0; 20], &[f64::INFINITY; 20]), None);
        let (slopes, zeros) = ([1.0; 20], [0.0; 20]);
        let bars = [f64::NEG_INFINITY; 20];
        let candidates = Candidates {
            slopes: &slopes,
            bars: &bars,
            kernel: &zeros,
            diagonal: &zeros,
            least: 0.0,
            own: 1.0,
        };
        assert_eq!(choose(&candidates), None);
    }
}
