//! Products of small matrices whose values are rounded to bfloat16, by tile registers or by vectors.

#![expect(unsafe_code, reason = "squares are transposed through pointers; the level was detected")]
#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]

use super::product::{Left, Right, Size, product};
use crate::bf16;
use crate::instructions::Bf16Products;
use crate::map::Precision;
use crate::product::{PackedLine, Rectangle, RowsOutput};
use crate::tiles::{SIDE, TileUnit};
use crate::vector::Vector;

/// How the factors of products are held, and what multiplies them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Products {
    /// `f32`, by vectors.
    F32,
    /// Rounded to bfloat16, and multiplied as `f32`.
    Rounded,
    /// Rounded to bfloat16, in tiles.
    Tiles(TileUnit),
}

impl Products {
    pub(super) fn detect(precision: Precision) -> Self {
        match (precision, Bf16Products::detect()) {
            (Precision::F32, _) => Self::F32,
            (Precision::Bf16, Bf16Products::Tiles) => Self::Tiles(TileUnit::of_processor()),
            (Precision::Bf16, _) => Self::Rounded,
        }
    }

    #[cfg(test)]
    pub(super) fn all() -> Vec<Self> {
        let mut all = vec![Self::F32, Self::Rounded, Self::Tiles(TileUnit::Model)];
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
                Self::Rounded => {
                    let (left, right) = room.round(size, left, right);
                    product::<V, FUSED, ADD>(size, left, right, out, stride);
                }
                Self::Tiles(unit) => room.by_tiles::<V, ADD>(unit, size, left, right, out, stride),
            }
        }
    }
}

/// Room for rounded factors.
#[derive(Default)]
pub(super) struct Rounded {
    values: [Vec<f32>; 2],
    squares: Vec<PackedLine>,
    panels: Vec<PackedLine>,
}

impl Rounded {
    /// Both matrices rounded, without gaps between their rows.
    #[inline(always)]
    fn round(&mut self, size: Size, left: Left<'_>, right: Right<'_>) -> (Left<'_>, Right<'_>) {
        let Size { rows, columns, steps } = size;
        let [lefts, rights] = &mut self.values;
        lefts.clear();
        for row in 0..rows {
            let values = left.values[row * left.row..].iter().step_by(left.step).take(steps);
            lefts.extend(values.map(|value| bf16::round(*value)));
        }
        rights.clear();
        for step in 0..steps {
            let values = &right.values[step * right.stride..][..columns];
            rights.extend(values.iter().map(|value| bf16::round(*value)));
        }
        (Left { values: lefts, row: steps, step: 1 }, Right { values: rights, stride: columns })
    }

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
        let Size { rows, columns, steps } = size;
        if rows == 0 || columns == 0 {
            return;
        }
        let deep = steps.div_ceil(2).next_multiple_of(SIDE);
        let [squares, panels] =
            [(&mut self.squares, rows), (&mut self.panels, columns)].map(|(lines, count)| {
                let length = count.div_ceil(SIDE) * deep;
                if lines.len() < length {
                    lines.resize(length, PackedLine::default());
                }
                &mut lines[..length]
            });
        // SAFETY: as the caller's.
        unsafe { pack_left::<V>(size, left, deep, squares) };
        pack_right(size, right, deep, panels);
        unit.run(Rectangle {
            left: squares,
            right: panels,
            deep,
            rows: 0..rows,
            columns: 0..columns,
            first: !ADD,
            bias: None,
            output: RowsOutput::of_rows(out, [rows, columns], stride),
        });
    }
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
                    let mut values = [0.0; 2 * SIDE];
                    if row < here && there > 0 {
                        let from = (panel * SIDE + row) * left.row + first;
                        values[..there].copy_from_slice(&left.values[from..from + there]);
                    }
                    for word in 0..SIDE {
                        line.0[word] = bf16::pair(values[2 * word], values[2 * word + 1]);
                    }
                }
                continue;
            }
            // The values of a column lie side by side: sixteen of them are a line of one word, and lines are turned.
            assert_eq!(left.row, 1, "rows or columns that lie side by side");
            let mut lines = [[0; SIDE]; SIDE];
            for (word, line) in lines.iter_mut().enumerate() {
                let mut halves = [[0.0; SIDE]; 2];
                for (half, values) in halves.iter_mut().enumerate() {
                    let step = first + 2 * word + half;
                    if step < steps {
                        let from = step * left.step + panel * SIDE;
                        values[..here].copy_from_slice(&left.values[from..from + here]);
                    }
                }
                for place in 0..SIDE {
                    line[place] = bf16::pair(halves[0][place], halves[1][place]);
                }
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
            let mut halves = [[0.0; SIDE]; 2];
            for (half, values) in halves.iter_mut().enumerate() {
                let step = 2 * word + half;
                if step < steps {
                    let from = step * right.stride + panel * SIDE;
                    values[..here].copy_from_slice(&right.values[from..from + here]);
                }
            }
            for place in 0..SIDE {
                line.0[place] = bf16::pair(halves[0][place], halves[1][place]);
            }
        }
    }
}
