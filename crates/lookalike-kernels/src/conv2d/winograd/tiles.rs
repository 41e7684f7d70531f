//! Rows of tiles, and where the values of a tile lie among those of its row.

#![expect(unsafe_code, reason = "transposed blocks")]
#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]

use std::ops::Range;

use super::super::arithmetic::{Arithmetic, LANES};
use super::super::layout::{BLOCK, Planes, Source, soon};
use super::OUTPUTS;
use crate::bf16;

/// Maps that are laid out side by side.
#[derive(Debug, Clone, Copy)]
pub(super) struct Maps {
    /// Where the first begins.
    pub(super) start: usize,
    /// From one to the next.
    pub(super) stride: usize,
    /// At most sixteen.
    pub(super) count: usize,
    /// From these to those that are laid out after them.
    pub(super) next: usize,
}

/// Tiles over a map, each of which reads a square of a source.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tiles {
    /// Rows and columns of tiles.
    pub(super) count: [usize; 2],
    /// Pixel of the source that the first one reads first.
    shift: [isize; 2],
    /// Pixels that a tile reads along a side.
    side: usize,
    planes: Planes,
}

impl Tiles {
    pub(super) fn new(map: [usize; 2], shift: [isize; 2], side: usize, planes: Planes) -> Self {
        Self { count: map.map(|side| side.div_ceil(OUTPUTS)), shift, side, planes }
    }

    /// Rows of the source that a row of tiles reads.
    pub(super) fn rows(&self, band: usize) -> Range<usize> {
        let start = (OUTPUTS * band) as isize + self.shift[0];
        let limit = |row: isize| row.clamp(0, self.planes.height as isize) as usize;
        limit(start)..limit(start + self.side as isize)
    }

    /// Words of a row of tiles that is laid out: sixteen zeros and its pixels.
    pub(super) fn band_words(&self) -> usize {
        (1 + (self.side * self.planes.width).next_multiple_of(BLOCK)) * LANES
    }

    /// Appends, for each tile of a row of them, where its values lie in the laid-out row; beside the image are zeros.
    pub(super) fn list(&self, band: usize, offsets: &mut Vec<u32>) {
        let rows = self.rows(band);
        for tile in 0..self.count[1] {
            for row in (0..self.side).map(|row| (OUTPUTS * band + row) as isize + self.shift[0]) {
                for column in (0..self.side).map(|column| (OUTPUTS * tile + column) as isize + self.shift[1])
                {
                    let inside = (rows.start as isize..rows.end as isize).contains(&row)
                        && (0..self.planes.width as isize).contains(&column);
                    let pixel = (row - rows.start as isize) * self.planes.width as isize + column;
                    offsets.push(if inside { ((1 + pixel) * LANES as isize) as u32 } else { 0 });
                }
            }
        }
    }

    /// Lays `rows` of the maps out as `[zeros and pixels, 16]`, `rounded` to bfloat16 or not.
    ///
    /// # Safety
    /// The processor has the registers of `A`.
    #[inline(always)]
    pub(super) unsafe fn lay<A: Arithmetic>(
        &self,
        values: &[f32],
        rounded: bool,
        rows: &Range<usize>,
        maps: Maps,
        words: &mut [u32],
    ) {
        words[..LANES].fill(0);
        let Maps { stride, count, next, .. } = maps;
        let start = maps.start + rows.start * self.planes.width;
        let pixels = rows.len() * self.planes.width;
        for pixel in (0..pixels).step_by(BLOCK) {
            // Where the values go on after the last row, whole blocks are faster, and nobody reads what is too much.
            let left = values.len() - (start + pixel + stride * count.saturating_sub(1)).min(values.len());
            let source = Source {
                values,
                partner: None,
                start: start + pixel,
                stride,
                rows: count,
                columns: left.min(BLOCK),
                soon: soon(start, pixel, pixels, start + next),
            };
            // SAFETY: as the caller's.
            unsafe { source.transpose::<A>(&mut words[(1 + pixel) * LANES..], LANES) };
        }
        if rounded {
            words[LANES..(1 + pixels) * LANES].iter_mut().for_each(|word| *word = bf16::bits(*word));
        }
    }
}
