//! Operands as the register tiles read them: panels, in which the words of some rows of the left operand or
//! columns of the right one lie side by side. What lies beyond an operand is 0.

#![expect(unsafe_code, reason = "registers; each caller proves the level")]
#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]

use std::ops::Range;

use super::TOGETHER;
use super::scratch::PackedLine;
use crate::conv2d::arithmetic::{Arithmetic, Kernel};
use crate::map::{LANES, Line};
use crate::vector::{Vector, prefetch};

/// Words by which strewn values are asked for early: the processor does not foresee such long steps.
const ROWS_AHEAD: usize = 8;

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

/// Packs panels of sixteen factors, one after another.
pub(super) struct PackPanels<'a> {
    pub(super) factors: Factors<'a>,
    /// The first of them.
    pub(super) first: usize,
    pub(super) words: Range<usize>,
    /// `[panels, words, 16]`
    pub(super) panels: &'a mut [PackedLine],
}

impl Kernel for PackPanels<'_> {
    #[inline(always)]
    unsafe fn run<A: Arithmetic>(self) {
        let groups = self.panels.len() / self.words.len();
        let steps = Steps { word: 1, group: self.words.len() };
        // SAFETY: as the caller's.
        unsafe { pack::<A>(&self.factors, self.first, self.words, groups, steps, self.panels) };
    }
}

/// Packs sixteen factors after another, each as squares of sixteen words of all of them, as tiles read them.
pub(super) struct PackSquares<'a> {
    pub(super) factors: Factors<'a>,
    /// The first of them.
    pub(super) first: usize,
    /// A multiple of sixteen, from such a multiple on.
    pub(super) words: Range<usize>,
    /// `[panels, words / 16, 16 factors]`
    pub(super) panels: &'a mut [PackedLine],
}

impl Kernel for PackSquares<'_> {
    #[inline(always)]
    unsafe fn run<A: Arithmetic>(self) {
        let Self { factors, first, words, panels } = self;
        let deep = words.len();
        assert!(deep.is_multiple_of(LANES) && panels.len().is_multiple_of(deep), "whole squares");
        // Where values are strewn, longer stretches of them follow each other.
        for (group, panels) in panels.chunks_mut(TOGETHER * deep).enumerate() {
            for start in words.clone().step_by(LANES) {
                for (panel, lines) in panels.chunks_exact_mut(deep).enumerate() {
                    let first = first + (group * TOGETHER + panel) * LANES;
                    let target = &mut lines[start - words.start..][..LANES];
                    // SAFETY: as the caller's; both squares have sixteen rows of sixteen words.
                    unsafe {
                        if factors.contiguous {
                            let square = square::<A>(&factors, first, start);
                            target.iter_mut().zip(square).for_each(|(line, words)| *line = PackedLine(words));
                        } else {
                            let mut square = [[0; LANES]; LANES];
                            for (word, line) in square.iter_mut().enumerate() {
                                *line = word_of_each::<A>(&factors, first, start + word);
                            }
                            let target = target.as_mut_ptr().cast();
                            A::Register::transpose(square.as_ptr().cast(), LANES, target, LANES);
                        }
                    }
                }
            }
        }
    }
}

/// Lines from a word to the next, and from sixteen factors to the next.
#[derive(Debug, Clone, Copy)]
pub(super) struct Steps {
    pub(super) word: usize,
    pub(super) group: usize,
}

/// Packs the words `words` of `groups` times sixteen factors from `first` on.
///
/// # Safety
/// The processor has the registers of `A`.
#[inline(always)]
pub(super) unsafe fn pack<A: Arithmetic>(
    factors: &Factors<'_>,
    first: usize,
    words: Range<usize>,
    groups: usize,
    steps: Steps,
    lines: &mut [PackedLine],
) {
    if words.is_empty() || groups == 0 {
        return;
    }
    let last = (words.len() - 1) * steps.word + (groups - 1) * steps.group;
    assert!(last < lines.len(), "lines for packed words");
    let target = lines.as_mut_ptr();
    // SAFETY: as the caller's; by the assertion there is a line for each word of each group.
    unsafe {
        if factors.contiguous {
            for group in 0..groups {
                let target = target.add(group * steps.group);
                pack_contiguous::<A>(factors, first + group * LANES, words.clone(), steps.word, target);
            }
        } else {
            for word in words.clone() {
                let target = target.add((word - words.start) * steps.word);
                pack_strewn::<A>(factors, first, word, groups, steps.group, target);
            }
        }
    }
}

/// Packs the words `words` of sixteen factors from `first` on, whose values follow each other, to lines that
/// are `step` apart.
///
/// # Safety
/// The processor has the registers of `A`, and there is a line for each word.
#[inline(always)]
unsafe fn pack_contiguous<A: Arithmetic>(
    factors: &Factors<'_>,
    first: usize,
    words: Range<usize>,
    step: usize,
    target: *mut PackedLine,
) {
    let Factors { values, count, depth, .. } = *factors;
    for start in words.clone().step_by(LANES) {
        let here = LANES.min(words.end - start);
        // SAFETY: as the caller's. Both squares hold sixteen rows of sixteen words, and sixteen lines are
        // written where there are as many words.
        unsafe {
            let target = target.add((start - words.start) * step);
            if here < LANES {
                let (square, mut turned) = (square::<A>(factors, first, start), [[0; LANES]; LANES]);
                let lines = turned.as_mut_ptr().cast();
                A::Register::transpose(square.as_ptr().cast(), LANES, lines, LANES);
                for (place, line) in turned.into_iter().enumerate().take(here) {
                    target.add(place * step).write(PackedLine(line));
                }
            } else if A::PAIRS || first + LANES > count {
                let square = square::<A>(factors, first, start);
                A::Register::transpose(square.as_ptr().cast(), LANES, target.cast(), step * LANES);
            } else {
                let rows = &values[first * depth + start..];
                assert!(rows.len() >= (LANES - 1) * depth + LANES);
                A::Register::transpose(rows.as_ptr(), depth, target.cast(), step * LANES);
            }
        }
    }
}

/// Packs the word `word` of `groups` times sixteen factors from `first` on, whose values are strewn, to lines
/// that are `step` apart.
///
/// # Safety
/// The processor has the registers of `A`, and there is a line for each group.
#[inline(always)]
unsafe fn pack_strewn<A: Arithmetic>(
    factors: &Factors<'_>,
    first: usize,
    word: usize,
    groups: usize,
    step: usize,
    target: *mut PackedLine,
) {
    let each = if A::PAIRS { 2 } else { 1 };
    let whole_word = (word + 1) * each <= factors.depth;
    let whole = if whole_word { groups.min(factors.count.saturating_sub(first) / LANES) } else { 0 };
    let begin = word * each * factors.count + first;
    assert!(whole == 0 || begin + (each - 1) * factors.count + whole * LANES <= factors.values.len());
    for group in 0..groups {
        // SAFETY: as the caller's; by the assertion the values of whole groups are there.
        unsafe {
            let line = if group < whole {
                let source = factors.values.as_ptr().add(begin + group * LANES);
                for half in 0..each {
                    prefetch(source.wrapping_add((ROWS_AHEAD * each + half) * factors.count));
                }
                let low = source.cast::<[f32; LANES]>().read_unaligned();
                let high = source.add((each - 1) * factors.count).cast::<[f32; LANES]>().read_unaligned();
                A::pack_line(&[low, high])
            } else {
                word_of_each::<A>(factors, first + group * LANES, word)
            };
            target.add(group * step).write(PackedLine(line));
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
