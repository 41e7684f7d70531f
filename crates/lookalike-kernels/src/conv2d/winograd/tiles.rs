//! The grid of tiles over a map, and where the values of a tile lie among those of its row of tiles.

use std::ops::Range;

use super::super::arithmetic::LANES;
use super::OUTPUTS;
use crate::map::MapShape;

/// The tiles over a map. Each of them reads a square of the source.
#[derive(Debug, Clone, Copy)]
pub(super) struct TileGrid {
    /// Rows and columns of tiles.
    pub(super) count: [usize; 2],
    /// Pixel of the source that the first one reads first.
    shift: [isize; 2],
    /// Pixels that a tile reads along a side.
    side: usize,
    source: MapShape,
}

impl TileGrid {
    pub(super) fn new(map: [usize; 2], shift: [isize; 2], side: usize, source: MapShape) -> Self {
        Self { count: map.map(|side| side.div_ceil(OUTPUTS)), shift, side, source }
    }

    /// Rows of the source that a row of tiles reads.
    fn rows(&self, band: usize) -> Range<usize> {
        let start = (OUTPUTS * band) as isize + self.shift[0];
        let limit = |row: isize| row.clamp(0, self.source.height as isize) as usize;
        limit(start)..limit(start + self.side as isize)
    }

    /// Words of a packed row of tiles: sixteen zeros and its pixels.
    pub(super) fn band_words(&self) -> usize {
        (1 + self.side * self.source.width) * LANES
    }

    /// Appends, for each tile of a row of them, where its values lie in the packed row. Pixels outside the
    /// image lie at the zeros.
    pub(super) fn list(&self, band: usize, offsets: &mut Vec<u32>) {
        let rows = self.rows(band);
        for tile in 0..self.count[1] {
            for row in (0..self.side).map(|row| (OUTPUTS * band + row) as isize + self.shift[0]) {
                for column in (0..self.side).map(|column| (OUTPUTS * tile + column) as isize + self.shift[1])
                {
                    let inside = (rows.start as isize..rows.end as isize).contains(&row)
                        && (0..self.source.width as isize).contains(&column);
                    let pixel = (row - rows.start as isize) * self.source.width as isize + column;
                    offsets.push(if inside { ((1 + pixel) * LANES as isize) as u32 } else { 0 });
                }
            }
        }
    }

    /// The pixels of a row of tiles, in the order in which they are packed.
    pub(super) fn pixels(&self, band: usize) -> Range<usize> {
        let rows = self.rows(band);
        rows.start * self.source.width..rows.end * self.source.width
    }
}
