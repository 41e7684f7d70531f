//! The inner products of the rows of one tile with the rows of another.
//!
//! Tiles come as panels of [`PANEL`] rows, `[column][row]` within a panel, which serves both sides of a
//! product: a vector of rows of the right tile is read at once, and values of the left one are spread over a
//! register.

#![expect(
    unsafe_code,
    reason = "register tiles read through pointers whose bounds are asserted at their entry"
)]
#![expect(clippy::needless_range_loop, reason = "row and vector number registers of several arrays at once")]
#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{__m256, __m512};

use super::scoring::PanelFormat;
use crate::aligned::AlignedValues;
use crate::instructions::{Bf16Products, Level};
use crate::tiles::{SIDE, SQUARE, SumBlock, TileKernel, Tiles, side_by_side};
#[cfg(target_arch = "x86_64")]
use crate::vector::Bf16Avx512;
use crate::vector::{PANEL, Vector, prefetch_far};

/// Lines summed before a block is written back: two panels of that many stay near the core.
const DEPTH: usize = 512;

/// Two tiles of whole panels.
#[derive(Clone, Copy)]
pub(super) struct TilePair<'a> {
    /// As [`prepare_left`] leaves it.
    pub(super) left: &'a [f32],
    pub(super) right: &'a [f32],
    /// How their rows are stored.
    pub(super) format: PanelFormat,
    /// Lines of a panel: columns of the rows, d, or half as many.
    pub(super) lines: usize,
    /// What will be needed next, and is asked for meanwhile.
    pub(super) ahead: &'a [f32],
}

impl TilePair<'_> {
    /// Rows of the left tile and of the right one.
    fn rows(&self) -> [usize; 2] {
        [self.left, self.right].map(|values| values.len() / self.lines)
    }

    /// Asks for the part number `part` of `parts` of what will be needed next.
    #[inline(always)]
    fn ask(&self, part: usize, parts: usize) {
        let lines = self.ahead.len().div_ceil(PANEL);
        for line in lines * part / parts..lines * (part + 1) / parts {
            prefetch_far(self.ahead.as_ptr().wrapping_add(line * PANEL));
        }
    }
}

/// Makes of the panels of a tile what stands on the left of a product: with tile registers the words of a row lie
/// side by side, `[panel, lines / 16, 16 rows, 16 lines]`. In other formats both sides are alike, and nothing is
/// written.
pub(super) fn prepare_left(level: Level, panels: &[f32], format: PanelFormat, left: &mut AlignedValues) {
    let PanelFormat::Bf16Tiles(_) = format else { return };
    assert!(panels.len().is_multiple_of(SQUARE), "whole squares");
    left.resize(panels.len());
    for (square, target) in panels.chunks_exact(SQUARE).zip(left.chunks_exact_mut(SQUARE)) {
        transpose(level, square, SIDE, target);
    }
}

/// `scores[i][j]` ← row i of the left tile · row j of the right one.
///
/// # Shapes
/// Rows of `scores` are `stride` apart; there are as many rows and columns as the tiles have rows, those that fill up a
/// panel included. Each product is summed in an order that depends on nothing but the level, the format and the
/// columns.
pub(super) fn score(level: Level, pair: TilePair<'_>, scores: &mut [f32], stride: usize) {
    let panel = PANEL * pair.lines;
    let (high, wide) = (pair.left.len() / panel, pair.right.len() / panel);
    assert_eq!((high * panel, wide * panel), (pair.left.len(), pair.right.len()), "whole panels");
    assert!(wide * PANEL <= stride, "rows of scores");
    let last = (high * PANEL).saturating_sub(1) * stride + wide * PANEL;
    assert!(last <= scores.len(), "a score for each pair of rows");
    if let PanelFormat::Bf16Tiles(unit) = pair.format {
        unit.run(ScoreTiles { pair, scores, stride });
        return;
    }
    let multiplies_pairs = level == Level::detect() && Bf16Products::detect() != Bf16Products::Widened;
    assert!(pair.format != PanelFormat::Bf16Pairs || multiplies_pairs, "the level multiplies pairs");
    // SAFETY: the level was detected; the assertions above hold every pointer of the tiles inside its slice.
    unsafe {
        match level {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 if pair.format == PanelFormat::Bf16Pairs => score_avx512_bf16(pair, scores, stride),
            Level::Portable => score_with::<[f32; 4], 2, 4, 4>(pair, scores, stride),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => score_avx2(pair, scores, stride),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => score_avx512(pair, scores, stride),
        }
    }
}

/// The scores of two tiles by tile registers, whose blocks of two by two are those of two panels each.
struct ScoreTiles<'a, 'b> {
    pair: TilePair<'a>,
    scores: &'b mut [f32],
    stride: usize,
}

impl TileKernel for ScoreTiles<'_, '_> {
    #[inline(always)]
    unsafe fn run<T: Tiles>(self, tiles: &mut T) {
        let Self { pair, scores, stride } = self;
        let ([high, wide], TilePair { left, right, lines, .. }) = (pair.rows(), pair);
        assert!(lines.is_multiple_of(SIDE) && high.is_multiple_of(SIDE) && wide.is_multiple_of(SIDE));
        assert!(left.len() == high * lines && right.len() == wide * lines && wide <= stride);
        assert!(high == 0 || (high - 1) * stride + wide <= scores.len());
        let (mut part, parts) = (0, high.div_ceil(2 * SIDE) * wide.div_ceil(2 * SIDE));
        for row in (0..high).step_by(2 * SIDE) {
            for column in (0..wide).step_by(2 * SIDE) {
                pair.ask(part, parts);
                part += 1;
                // SAFETY: by the assertions there are panels of lines, and scores, for each row and column.
                unsafe {
                    let left = left.as_ptr().add(row * lines).cast();
                    let right = right.as_ptr().add(column * lines).cast();
                    let target = scores.as_mut_ptr().add(row * stride + column);
                    match [high - row > SIDE, wide - column > SIDE] {
                        [true, true] => score_block::<T, 2, 2>(tiles, lines, left, right, target, stride),
                        [true, false] => score_block::<T, 2, 1>(tiles, lines, left, right, target, stride),
                        [false, true] => score_block::<T, 1, 2>(tiles, lines, left, right, target, stride),
                        [false, false] => score_block::<T, 1, 1>(tiles, lines, left, right, target, stride),
                    }
                }
            }
        }
    }
}

/// # Safety
/// From the pointers on there are `ROWS` and `COLUMNS` panels of `lines`, and scores of as many rows and columns,
/// rows `width` apart.
#[inline(always)]
unsafe fn score_block<T: Tiles, const ROWS: usize, const COLUMNS: usize>(
    tiles: &mut T,
    lines: usize,
    left: *const u32,
    right: *const u32,
    target: *mut f32,
    width: usize,
) {
    // SAFETY: as the caller's.
    unsafe {
        let mut sums = SumBlock::<T, ROWS, COLUMNS>::zeros(tiles);
        for line in (0..lines).step_by(SIDE) {
            let place = |panel: usize| (panel * lines + line) * SIDE;
            let rows = std::array::from_fn(|panel| left.add(place(panel)));
            let columns = std::array::from_fn(|panel| right.add(place(panel)));
            sums.add(rows, SIDE, columns, SIDE);
        }
        sums.store(side_by_side(target), width);
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn score_avx2(pair: TilePair<'_>, scores: &mut [f32], stride: usize) {
    // SAFETY: as the caller's.
    unsafe { score_with::<__m256, 4, 2, 2>(pair, scores, stride) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn score_avx512(pair: TilePair<'_>, scores: &mut [f32], stride: usize) {
    // SAFETY: as the caller's.
    unsafe { score_with::<__m512, 8, 2, 1>(pair, scores, stride) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn score_avx512_bf16(pair: TilePair<'_>, scores: &mut [f32], stride: usize) {
    // SAFETY: as the caller's.
    unsafe { score_with::<Bf16Avx512, 8, 2, 1>(pair, scores, stride) }
}

/// Writes to `transposed` the transpose of `scores`, whose rows are `stride` wide: the scores of the right
/// tile's rows.
pub(super) fn transpose(level: Level, scores: &[f32], stride: usize, transposed: &mut [f32]) {
    assert!(stride.is_multiple_of(PANEL) && scores.len().is_multiple_of(stride * PANEL));
    assert_eq!(scores.len(), transposed.len());
    // SAFETY: the level was detected; both are made of whole panels, as asserted.
    unsafe {
        match level {
            Level::Portable => transpose_with::<[f32; 4]>(scores, stride, transposed),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => transpose_avx2(scores, stride, transposed),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => transpose_avx512(scores, stride, transposed),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn transpose_avx2(scores: &[f32], stride: usize, transposed: &mut [f32]) {
    // SAFETY: as the caller's.
    unsafe { transpose_with::<__m256>(scores, stride, transposed) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn transpose_avx512(scores: &[f32], stride: usize, transposed: &mut [f32]) {
    // SAFETY: as the caller's.
    unsafe { transpose_with::<__m512>(scores, stride, transposed) }
}

/// # Safety
/// As [`Vector`], and as [`transpose`] asserts.
#[inline(always)]
unsafe fn transpose_with<V: Vector>(scores: &[f32], stride: usize, transposed: &mut [f32]) {
    let rows = scores.len() / stride;
    for row in (0..rows).step_by(PANEL) {
        for column in (0..stride).step_by(PANEL) {
            // SAFETY: 16 rows from `row` on and 16 columns from `column` on are in both.
            unsafe {
                let source = scores.as_ptr().add(row * stride + column);
                V::transpose(source, stride, transposed.as_mut_ptr().add(column * rows + row), rows);
            }
        }
    }
}

/// [`score`] in register tiles of `ROWS` rows by `WIDE` vectors, and of `LAST` vectors where a single panel
/// is left.
///
/// # Safety
/// As [`Vector`], and as [`score`] asserts.
#[inline(always)]
unsafe fn score_with<V: Vector, const ROWS: usize, const WIDE: usize, const LAST: usize>(
    pair: TilePair<'_>,
    scores: &mut [f32],
    stride: usize,
) {
    let [height, width] = pair.rows();
    let tiles = (height / ROWS) * width.div_ceil(WIDE * V::LANES);
    let (mut part, parts) = (0, tiles * pair.lines.div_ceil(DEPTH));
    for begin in (0..pair.lines).step_by(DEPTH) {
        let depth = begin..pair.lines.min(begin + DEPTH);
        let mut column = 0;
        while column < width {
            let step = if column + WIDE * V::LANES <= width { WIDE } else { LAST } * V::LANES;
            for row in (0..height).step_by(ROWS) {
                pair.ask(part, parts);
                part += 1;
                // SAFETY: `row` and `column` begin tiles inside the block.
                unsafe {
                    let target = scores.as_mut_ptr().add(row * stride + column);
                    if step == WIDE * V::LANES {
                        register_tile::<V, ROWS, WIDE>(pair, row, column, depth.clone(), target, stride);
                    } else {
                        register_tile::<V, ROWS, LAST>(pair, row, column, depth.clone(), target, stride);
                    }
                }
            }
            column += step;
        }
    }
}

/// Adds the lines `depth` of the products of rows from `row` on with rows from `column` on to what is at
/// `target`, or writes them there where they are the first.
///
/// # Safety
/// As [`Vector`]; `row` + `ROWS` and `column` + `WIDE` vectors lie inside the tiles, and `row` inside one
/// panel; `target` begins `ROWS` rows of `width` scores.
#[inline(always)]
unsafe fn register_tile<V: Vector, const ROWS: usize, const WIDE: usize>(
    pair: TilePair<'_>,
    row: usize,
    column: usize,
    depth: std::ops::Range<usize>,
    target: *mut f32,
    width: usize,
) {
    // SAFETY: a row of a tile lies in panel ⌊row / PANEL⌋, each line of it a panel's width after the one
    // before.
    unsafe {
        let place = |row: usize| (row / PANEL * pair.lines + depth.start) * PANEL + row % PANEL;
        let mut left = pair.left.as_ptr().add(place(row));
        let mut right: [*const f32; WIDE] =
            std::array::from_fn(|vector| pair.right.as_ptr().add(place(column + vector * V::LANES)));
        let mut sums = [[V::splat(0.0); WIDE]; ROWS];
        if depth.start > 0 {
            for row in 0..ROWS {
                for vector in 0..WIDE {
                    sums[row][vector] = V::load(target.add(row * width + vector * V::LANES));
                }
            }
        }
        for _ in depth {
            let line = right.map(|pointer| V::load(pointer));
            for row in 0..ROWS {
                let factor = V::splat(*left.add(row));
                for vector in 0..WIDE {
                    sums[row][vector] = line[vector].multiply_add(factor, sums[row][vector]);
                }
            }
            left = left.wrapping_add(PANEL);
            right = right.map(|pointer| pointer.wrapping_add(PANEL));
        }
        for row in 0..ROWS {
            for vector in 0..WIDE {
                sums[row][vector].store(target.add(row * width + vector * V::LANES));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::scoring::Scoring;
    use super::*;
    use lookalike_base::Seed;

    #[test]
    fn a_transpose_has_rows_for_columns_at_every_level() {
        let (rows, stride) = (2 * PANEL, 3 * PANEL);
        let scores: Vec<f32> = (0..rows * stride).map(|value| value as f32).collect();
        for level in Level::all() {
            let mut transposed = vec![0.0; scores.len()];
            transpose(level, &scores, stride, &mut transposed);
            for (at, value) in transposed.into_iter().enumerate() {
                assert_eq!(value, scores[at % rows * stride + at / rows], "{level:?}");
            }
        }
    }

    /// Panels of `columns`, two a line, up to `lines`.
    fn in_pairs(values: &[f32], columns: usize, lines: usize) -> Vec<f32> {
        let panels = values.chunks(PANEL * columns);
        let words = panels.flat_map(|panel| {
            (0..lines * PANEL).map(move |at| {
                let (line, place) = (at / PANEL, at % PANEL);
                let value = |column: usize| panel.get(column * PANEL + place).copied().unwrap_or(0.0);
                f32::from_bits(crate::bf16::pair(value(2 * line), value(2 * line + 1)))
            })
        });
        words.collect()
    }

    #[test]
    fn a_block_holds_the_products_of_the_obvious_loop_at_every_level() {
        // Small integers have exact sums, rounded or not: every level must give the same bits in every
        // format.
        for (high, wide, columns) in [(1, 1, 1), (1, 2, 7), (3, 3, 33), (2, 4, 512), (2, 1, 1100)] {
            let mut stream = Seed(1).stream("test", 0, 0, columns as u64);
            let mut panels = |count: usize| -> Vec<f32> {
                (0..count * PANEL * columns).map(|_| stream.below(7) as f32 - 3.0).collect()
            };
            let (left, right) = (panels(high), panels(wide));
            let at = |values: &[f32], row: usize, column: usize| {
                values[(row / PANEL * columns + column) * PANEL + row % PANEL]
            };
            for level in Level::all() {
                let mut scores = vec![f32::NAN; high * wide * PANEL * PANEL];
                let (stride, format) = (wide * PANEL, PanelFormat::F32);
                let pair = TilePair { left: &left, right: &right, format, lines: columns, ahead: &[] };
                score(level, pair, &mut scores, stride);
                for format in PanelFormat::all(Scoring::Bf16, level) {
                    if format == PanelFormat::RoundedF32 {
                        continue;
                    }
                    let lines = format.lines(columns);
                    let [left, right] = [&left, &right].map(|values| in_pairs(values, columns, lines));
                    let mut squares = AlignedValues::default();
                    prepare_left(level, &left, format, &mut squares);
                    let left = if squares.is_empty() { &left[..] } else { &squares };
                    let mut again = vec![f32::NAN; scores.len()];
                    score(
                        level,
                        TilePair { left, right: &right, format, lines, ahead: &left[..7] },
                        &mut again,
                        stride,
                    );
                    assert_eq!(again, scores, "{level:?} {format:?} {columns}");
                }
                for (place, found) in scores.iter().enumerate() {
                    let (i, j) = (place / (wide * PANEL), place % (wide * PANEL));
                    let expected: f32 =
                        (0..columns).map(|column| at(&left, i, column) * at(&right, j, column)).sum();
                    assert_eq!(*found, expected, "{level:?} {i} {j}");
                }
            }
        }
    }
}
