//! Operands as the register tiles read them: panels, in which the words of some rows of the left operand or
//! columns of the right one lie side by side. What lies beyond an operand is 0.

#![expect(unsafe_code, reason = "registers; each caller proves the level")]
#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]

use std::ops::Range;

use super::scratch::PackedLine;
use crate::conv2d::arithmetic::{Arithmetic, Kernel};
use crate::map::{LANES, Line};
use crate::vector::Vector;

/// Rows of the left operand, or columns of the right one, each of which takes part in a product as a whole.
#[derive(Debug, Clone, Copy)]
pub(super) struct Factors<'a> {
    pub(super) values: &'a [f32],
    /// How many there are.
    pub(super) count: usize,
    /// Values of each.
    pub(super) depth: usize,
    /// Whether the values of each follow each other. Otherwise the first of all come first, then the second.
    pub(super) contiguous: bool,
}

/// Packs a panel of sixteen factors.
pub(super) struct PackPanel<'a> {
    pub(super) factors: Factors<'a>,
    /// The first of them.
    pub(super) first: usize,
    pub(super) words: Range<usize>,
    /// `[words, 16]`
    pub(super) panel: &'a mut [PackedLine],
}

impl Kernel for PackPanel<'_> {
    #[inline(always)]
    unsafe fn run<A: Arithmetic>(self) {
        // SAFETY: as the caller's.
        unsafe { pack::<A, 1>(&self.factors, self.first, self.words, self.panel) };
    }
}

/// Packs the words `words` of `GROUPS` times sixteen factors from `first` on to a panel
/// `[words, GROUPS, 16]`.
///
/// # Safety
/// The processor has the registers of `A`.
#[inline(always)]
pub(super) unsafe fn pack<A: Arithmetic, const GROUPS: usize>(
    factors: &Factors<'_>,
    first: usize,
    words: Range<usize>,
    panel: &mut [PackedLine],
) {
    assert_eq!(panel.len(), words.len() * GROUPS, "lines of a panel");
    if !factors.contiguous {
        for (word, lines) in words.zip(panel.chunks_exact_mut(GROUPS)) {
            for (group, line) in lines.iter_mut().enumerate() {
                // SAFETY: as the caller's.
                line.0 = unsafe { word_of_each::<A>(factors, first + group * LANES, word) };
            }
        }
        return;
    }
    for group in 0..GROUPS {
        let first = first + group * LANES;
        for start in words.clone().step_by(LANES) {
            let count = LANES.min(words.end - start);
            let lines = &mut panel[(start - words.start) * GROUPS..][..count * GROUPS];
            // SAFETY: as the caller's; both squares hold sixteen rows of sixteen words.
            unsafe {
                if count == LANES && !A::PAIRS && first + LANES <= factors.count {
                    let rows = &factors.values[first * factors.depth + start..];
                    assert!(rows.len() >= (LANES - 1) * factors.depth + LANES);
                    let target = lines.as_mut_ptr().add(group).cast();
                    A::Register::transpose(rows.as_ptr(), factors.depth, target, GROUPS * LANES);
                } else if count == LANES {
                    let square = square::<A>(factors, first, start);
                    let target = lines.as_mut_ptr().add(group).cast();
                    A::Register::transpose(square.as_ptr().cast(), LANES, target, GROUPS * LANES);
                } else {
                    let (square, mut turned) = (square::<A>(factors, first, start), [[0; LANES]; LANES]);
                    A::Register::transpose(square.as_ptr().cast(), LANES, turned.as_mut_ptr().cast(), LANES);
                    for (line, words) in lines.chunks_exact_mut(GROUPS).zip(turned) {
                        line[group].0 = words;
                    }
                }
            }
        }
    }
}

/// The word `word` of sixteen factors from `first` on, whose values are strewn.
///
/// # Safety
/// The processor has the registers of `A`.
#[inline(always)]
unsafe fn word_of_each<A: Arithmetic>(factors: &Factors<'_>, first: usize, word: usize) -> Line {
    let mut values = [[0.0; LANES]; 2];
    let here = factors.count.saturating_sub(first).min(LANES);
    let halves = if A::PAIRS { 2 } else { 1 };
    for (half, values) in values.iter_mut().enumerate().take(halves) {
        let at = word * halves + half;
        if at < factors.depth && here > 0 {
            let source = &factors.values[at * factors.count + first..][..here];
            match source.first_chunk() {
                Some(whole) => *values = *whole,
                None => values[..here].copy_from_slice(source),
            }
        }
    }
    // SAFETY: as the caller's.
    unsafe { A::pack_line(&values) }
}

/// Sixteen words from `start` on of each of sixteen factors from `first` on, whose values follow each other.
///
/// # Safety
/// The processor has the registers of `A`.
#[inline(always)]
unsafe fn square<A: Arithmetic>(factors: &Factors<'_>, first: usize, start: usize) -> [Line; LANES] {
    let mut square = [[0; LANES]; LANES];
    let each = if A::PAIRS { 2 } else { 1 };
    let here = factors.count.saturating_sub(first).min(LANES);
    let (begin, end) = (start * each, factors.depth.min((start + LANES) * each));
    for (row, line) in square.iter_mut().enumerate().take(here) {
        let source = &factors.values[(first + row) * factors.depth..][begin..end];
        let mut values = [0.0; 2 * LANES];
        match source.first_chunk() {
            Some(whole) if A::PAIRS => values = *whole,
            _ => values[..source.len()].copy_from_slice(source),
        }
        // SAFETY: as the caller's.
        *line = unsafe { A::pack_row(&values) };
    }
    square
}
