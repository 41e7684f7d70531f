//! The passes over all rows that sequential minimal optimisation spends its time in (Platt 1998; Fan, Chen and Lin 2005,
//! *Working Set Selection Using Second Order Information for Training Support Vector Machines*, algorithm 2).
//!
//! Which rows take part is said by *bars*, numbers that are added: 0 for a row that does, an infinity for one that does not.
//! Of equal rows the first is chosen.

use crate::dot::Level;
use crate::vector::Work;

/// Rows that are compared side by side.
const LANES: usize = 16;

/// In place of a curvature that is not positive.
const LEAST_CURVATURE: f64 = 1e-12;

/// A row and a value of it.
pub type Chosen = Option<(usize, f64)>;

/// Adds `change` · (`first` − `second`) to `slopes` and returns the row of which slope and bar have the least sum, and that sum;
/// none where all are infinite.
///
/// # Panics
/// Where lengths differ.
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

/// The row that gains most along with the one that is chosen already, v² / (Kᵢᵢ + Kⱼⱼ − 2 Kᵢⱼ) for the violation
/// v = slope − `least`, and the greatest violation of all; none where no violation is positive.
///
/// # Panics
/// Where lengths differ.
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
    let curvature = (f64::from(own) + f64::from(other)) - 2.0 * f64::from(between);
    if curvature > 0.0 { curvature } else { LEAST_CURVATURE }
}

/// The greatest value of each lane and the chunk that it came from.
struct Best {
    values: [f64; LANES],
    chunks: [u64; LANES],
}

#[expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]
impl Best {
    #[inline(always)]
    fn above(bound: f64) -> Self {
        Self { values: [bound; LANES], chunks: [u64::MAX; LANES] }
    }

    #[inline(always)]
    fn offer(&mut self, chunk: u64, values: &[f64; LANES]) {
        for ((value, best), from) in values.iter().zip(&mut self.values).zip(&mut self.chunks) {
            let better = *value > *best;
            *best = if better { *value } else { *best };
            *from = if better { chunk } else { *from };
        }
    }

    /// The first row with the greatest value, or `rest` where that is greater yet.
    #[inline(always)]
    fn first(&self, rest: Chosen) -> Chosen {
        let mut best: Chosen = None;
        for lane in (0..LANES).filter(|lane| self.chunks[*lane] != u64::MAX) {
            let (row, value) = (self.chunks[lane] as usize * LANES + lane, self.values[lane]);
            if best.is_none_or(|(first, most)| value > most || (value == most && row < first)) {
                best = Some((row, value));
            }
        }
        match (best, rest) {
            (Some((_, most)), Some((_, value))) if value > most => rest,
            (None, _) => rest,
            _ => best,
        }
    }
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
        let mut best = Best::above(f64::NEG_INFINITY);
        let (slopes, slopes_rest) = self.slopes.as_chunks_mut::<LANES>();
        let (first, first_rest) = self.first.as_chunks::<LANES>();
        let (second, second_rest) = self.second.as_chunks::<LANES>();
        let (bars, bars_rest) = self.bars.as_chunks::<LANES>();
        let rows = slopes.len() * LANES;
        for (chunk, (((slopes, first), second), bars)) in
            slopes.iter_mut().zip(first).zip(second).zip(bars).enumerate()
        {
            let mut values = [0.0; LANES];
            for lane in 0..LANES {
                slopes[lane] += self.change * (f64::from(first[lane]) - f64::from(second[lane]));
                values[lane] = -(slopes[lane] + bars[lane]);
            }
            best.offer(chunk as u64, &values);
        }
        let mut rest: Chosen = None;
        let last = slopes_rest.iter_mut().zip(first_rest).zip(second_rest).zip(bars_rest).enumerate();
        for (row, (((slope, first), second), bar)) in last {
            *slope += self.change * (f64::from(*first) - f64::from(*second));
            let value = -(*slope + bar);
            if value > rest.map_or(f64::NEG_INFINITY, |(_, most)| most) {
                rest = Some((rows + row, value));
            }
        }
        best.first(rest).map(|(row, value)| (row, -value))
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
        let (mut best, mut greatest) = (Best::above(0.0), [0.0_f64; LANES]);
        let violation = |slope: f64, bar: f64| {
            let violation = slope - least + bar;
            if violation > 0.0 { violation } else { 0.0 }
        };
        let (slope_chunks, slopes_rest) = slopes.as_chunks::<LANES>();
        let (bar_chunks, bars_rest) = bars.as_chunks::<LANES>();
        let (kernel_chunks, kernel_rest) = kernel.as_chunks::<LANES>();
        let (diagonal_chunks, diagonal_rest) = diagonal.as_chunks::<LANES>();
        let chunks = slope_chunks.iter().zip(bar_chunks).zip(kernel_chunks).zip(diagonal_chunks);
        for (chunk, (((slopes, bars), kernel), diagonal)) in chunks.enumerate() {
            let mut gains = [0.0; LANES];
            for lane in 0..LANES {
                let violation = violation(slopes[lane], bars[lane]);
                greatest[lane] = if violation > greatest[lane] { violation } else { greatest[lane] };
                gains[lane] = violation * violation / curvature(own, diagonal[lane], kernel[lane]);
            }
            best.offer(chunk as u64, &gains);
        }
        let (mut rest, mut most): (Chosen, f64) = (None, greatest.into_iter().fold(0.0, f64::max));
        let last = slopes_rest.iter().zip(bars_rest).zip(kernel_rest).zip(diagonal_rest).enumerate();
        for (row, (((slope, bar), kernel), diagonal)) in last {
            let violation = violation(*slope, *bar);
            most = most.max(violation);
            let gain = violation * violation / curvature(own, *diagonal, *kernel);
            if gain > rest.map_or(0.0, |(_, best)| best) {
                rest = Some((slope_chunks.len() * LANES + row, gain));
            }
        }
        best.first(rest).map(|(row, _)| (row, most))
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
        for count in [0, 1, 15, 16, 17, 100, 331] {
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
        for count in [0, 1, 15, 16, 17, 100, 331] {
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
