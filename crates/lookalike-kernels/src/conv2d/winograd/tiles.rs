//! Rows of tiles, and where the values of a tile lie among those of its row.

use std::ops::Range;

use super::super::arithmetic::LANES;
use super::super::layout::Planes;
use super::OUTPUTS;

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
    fn rows(&self, band: usize) -> Range<usize> {
        let start = (OUTPUTS * band) as isize + self.shift[0];
        let limit = |row: isize| row.clamp(0, self.planes.height as isize) as usize;
        limit(start)..limit(start + self.side as isize)
    }

    /// Words of a row of tiles that is laid out: sixteen zeros and its pixels.
    pub(super) fn band_words(&self) -> usize {
        (1 + self.side * self.planes.width) * LANES
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

    /// The pixels of a row of tiles, in the order in which it is laid out.
    pub(super) fn pixels(&self, band: usize) -> Range<usize> {
        let rows = self.rows(band);
        rows.start * self.planes.width..rows.end * self.planes.width
    }
}
