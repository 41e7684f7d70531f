//! Products of small matrices, by vectors or, rounded to bfloat16, by tile registers.

#![expect(unsafe_code, reason = "squares are transposed through pointers; the level was detected")]
#![expect(clippy::needless_range_loop, reason = "halves and places number several arrays at once")]
#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]

use super::blocks::Keys;
use super::product::{Left, Right, Size, product};
use crate::bf16;
use crate::instructions::Bf16Products;
use crate::map::Precision;
use crate::product::{PackedLine, Rectangle, RowsOutput};
use crate::tiles::{SIDE, TileUnit};
use crate::vector::Vector;

/// Tokens of a text whose products are worth the rounding of their factors.
pub(super) const LONG: usize = 64;

/// How the factors of products are held, and what multiplies them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Products {
    /// `f32`, by vectors.
    F32,
    /// Rounded to bfloat16, in tiles.
    Tiles(TileUnit),
}

impl Products {
    pub(super) fn detect(precision: Precision) -> Self {
        match (precision, Bf16Products::detect()) {
            (Precision::Bf16, Bf16Products::Tiles(unit)) => Self::Tiles(unit),
            // Vectors of bfloat16 would not make up for the rounding.
            _ => Self::F32,
        }
    }

    /// Those of a text of so many tokens. Products of a short text cost less than to round their factors, and stay
    /// `f32`.
    pub(super) fn of_text(self, tokens: usize) -> Self {
        if tokens < LONG { Self::F32 } else { self }
    }

    #[cfg(test)]
    pub(super) fn all() -> Vec<Self> {
        let mut all = vec![Self::F32, Self::Tiles(TileUnit::Model)];
        if !all.contains(&Self::detect(Precision::Bf16)) {
            all.push(Self::detect(Precision::Bf16));
        }
        all
    }

    /// As [`product`], with factors in this format.
    ///
    /// # Safety
    /// As [`Vector`].
    #[inline(always)]
    pub(super) unsafe fn product<V: Vector, const FUSED: bool, const ADD: bool>(
        self,
        room: &mut Rounded,
        size: Size,
        left: Left<'_>,
        right: Right<'_>,
        out: &mut [f32],
        stride: usize,
    ) {
        // SAFETY: as the caller's.
        unsafe {
            match self {
                Self::F32 => product::<V, FUSED, ADD>(size, left, right, out, stride),
                Self::Tiles(unit) => room.by_tiles::<V, ADD>(unit, size, left, right, out, stride),
            }
        }
    }

    /// Writes the products of the rows of `left` with some keys, which lie in panels, to rows of `out` that are `stride`
    /// apart.
    ///
    /// # Safety
    /// As [`Vector`].
    #[inline(always)]
    pub(super) unsafe fn with_keys<V: Vector, const FUSED: bool>(
        self,
        room: &mut Rounded,
        left: Left<'_>,
        [rows, own]: [usize; 2],
        (panels, keys): (&[f32], &Keys),
        out: &mut [f32],
        stride: usize,
    ) {
        let panel = |begin: usize, width: usize| Right { values: &panels[begin * own..], stride: width };
        let Self::Tiles(unit) = self else {
            for (begin, width) in keys.panels::<V>() {
                let size = Size { rows, columns: width, steps: own };
                let out = &mut out[begin - keys.begin..];
                // SAFETY: as the caller's.
                unsafe {
                    self.product::<V, FUSED, false>(room, size, left, panel(begin, width), out, stride);
                }
            }
            return;
        };
        let size = Size { rows, columns: keys.scores(), steps: own };
        let deep = deep(own);
        let [squares, lines] = room.lines(size, deep);
        // SAFETY: as the caller's.
        unsafe { pack_left::<V>(size, left, deep, squares) };
        for (begin, width) in keys.panels::<V>() {
            let lines = &mut lines[(begin - keys.begin) / SIDE * deep..][..width / SIDE * deep];
            pack_right(Size { columns: width, ..size }, panel(begin, width), deep, lines);
        }
        multiply::<false>(unit, size, [squares, lines], out, stride);
    }
}

/// Words of a row of `steps` values, up to a whole tile.
fn deep(steps: usize) -> usize {
    steps.div_ceil(2).next_multiple_of(SIDE)
}

/// Writes the product of packed matrices, or adds it to what is there.
fn multiply<const ADD: bool>(
    unit: TileUnit,
    Size { rows, columns, steps }: Size,
    [left, right]: [&[PackedLine]; 2],
    out: &mut [f32],
    stride: usize,
) {
    // SAFETY: it is used here alone; what is added to was written, as it is a slice.
    let output = unsafe { RowsOutput::of_rows(out, [rows, columns], stride) };
    unit.run(Rectangle {
        left,
        right,
        deep: deep(steps),
        rows: 0..rows,
        columns: 0..columns,
        first: !ADD,
        bias: None,
        output,
    });
}

/// Room for rounded factors.
#[derive(Default)]
pub(super) struct Rounded {
    squares: Vec<PackedLine>,
    panels: Vec<PackedLine>,
}

impl Rounded {
    /// The product by tile registers.
    ///
    /// # Safety
    /// As [`Vector`].
    #[inline(always)]
    unsafe fn by_tiles<V: Vector, const ADD: bool>(
        &mut self,
        unit: TileUnit,
        size: Size,
        left: Left<'_>,
        right: Right<'_>,
        out: &mut [f32],
        stride: usize,
    ) {
        if size.rows == 0 || size.columns == 0 {
            return;
        }
        let deep = deep(size.steps);
        let [squares, panels] = self.lines(size, deep);
        // SAFETY: as the caller's.
        unsafe { pack_left::<V>(size, left, deep, squares) };
        pack_right(size, right, deep, panels);
        multiply::<ADD>(unit, size, [squares, panels], out, stride);
    }

    /// Room for the packed left and right matrix.
    fn lines(&mut self, Size { rows, columns, .. }: Size, deep: usize) -> [&mut [PackedLine]; 2] {
        [(&mut self.squares, rows), (&mut self.panels, columns)].map(|(lines, count)| {
            let length = count.div_ceil(SIDE) * deep;
            if lines.len() < length {
                lines.resize(length, PackedLine::default());
            }
            &mut lines[..length]
        })
    }
}

/// The first `count` of `values`, and zeros.
#[inline(always)]
fn taken<const N: usize>(values: &[f32], count: usize) -> [f32; N] {
    // Without a call to copy them, as there mostly are all.
    if let (true, Some(all)) = (count == N, values.first_chunk()) {
        return *all;
    }
    let mut taken = [0.0; N];
    for (taken, value) in taken.iter_mut().zip(&values[..count]) {
        *taken = *value;
    }
    taken
}

/// The words of sixteen columns, of which `here` exist, of two rows from `step` on, of which there are `steps`.
#[inline(always)]
fn pairs_of<'a>(row: impl Fn(usize) -> &'a [f32], here: usize, step: usize, steps: usize) -> [u32; SIDE] {
    let mut halves = [[0.0; SIDE]; 2];
    for half in 0..2 {
        if step + half < steps {
            halves[half] = taken(row(step + half), here);
        }
    }
    let mut words = [0; SIDE];
    for place in 0..SIDE {
        words[place] = bf16::pair(halves[0][place], halves[1][place]);
    }
    words
}

/// Packs the left matrix as `[⌈rows / 16⌉, words / 16, 16 rows, 16 words]`, 0 where there is none.
///
/// # Safety
/// As [`Vector`].
#[inline(always)]
unsafe fn pack_left<V: Vector>(size: Size, left: Left<'_>, deep: usize, squares: &mut [PackedLine]) {
    let Size { rows, steps, .. } = size;
    for (panel, squares) in squares.chunks_exact_mut(deep).enumerate() {
        let here = (rows - panel * SIDE).min(SIDE);
        for (block, square) in squares.chunks_exact_mut(SIDE).enumerate() {
            let first = 2 * block * SIDE;
            let there = steps.saturating_sub(first).min(2 * SIDE);
            if left.step == 1 {
                for (row, line) in square.iter_mut().enumerate() {
                    let there = if row < here { there } else { 0 };
                    let from = if there > 0 { (panel * SIDE + row) * left.row + first } else { 0 };
                    // SAFETY: as the caller's.
                    line.0 = unsafe { V::pairs(&taken(&left.values[from..], there)) };
                }
                continue;
            }
            // The values of a column lie side by side: sixteen of them are a line of one word, and lines are turned.
            assert_eq!(left.row, 1, "rows or columns that lie side by side");
            let mut lines = [[0; SIDE]; SIDE];
            for (word, line) in lines.iter_mut().enumerate() {
                let step = first + 2 * word;
                let from = |step: usize| &left.values[step * left.step + panel * SIDE..];
                *line = pairs_of(from, here, step, steps);
            }
            // SAFETY: both are squares of sixteen by sixteen words; the caller guarantees the registers.
            unsafe { V::transpose(lines.as_ptr().cast(), SIDE, square.as_mut_ptr().cast(), SIDE) };
        }
    }
}

/// Packs the right matrix as `[⌈columns / 16⌉, words, 16 columns]`, 0 where there is none.
#[inline(always)]
fn pack_right(size: Size, right: Right<'_>, deep: usize, panels: &mut [PackedLine]) {
    let Size { columns, steps, .. } = size;
    for (panel, lines) in panels.chunks_exact_mut(deep).enumerate() {
        let here = (columns - panel * SIDE).min(SIDE);
        for (word, line) in lines.iter_mut().enumerate() {
            let from = |step: usize| &right.values[step * right.stride + panel * SIDE..];
            line.0 = pairs_of(from, here, 2 * word, steps);
        }
    }
}
