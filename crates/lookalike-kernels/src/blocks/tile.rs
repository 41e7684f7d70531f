//! A tile: some rows in the order in which they are multiplied.

#![expect(
    unsafe_code,
    reason = "blocks of 16 by 16 are transposed through pointers whose bounds are asserted"
)]
#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]

use super::scoring::PanelFormat;
use crate::aligned::AlignedValues;
use crate::bf16;
use crate::instructions::Level;
use crate::vector::{PANEL, Vector, VectorWork};

/// Rows in panels, `[column][row]` within each, with rows of zeros up to the last whole panel. Rows of two halves are
/// panels of all first halves, and after them panels of all second ones.
pub(super) struct Tile {
    /// As many lines a panel as [`PanelFormat::lines`] says.
    pub(super) values: AlignedValues,
    /// The numbers of its rows, as the caller counts them.
    pub(super) ids: Vec<u32>,
}

/// How rows become the panels of a tile.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packing {
    pub(super) level: Level,
    pub(super) format: PanelFormat,
    /// Values of a row, and parts of the same length into which they fall.
    pub(super) columns: usize,
    pub(super) parts: usize,
}

impl Tile {
    /// The tile of the rows `ids`, each of which `read` writes into a slice of its values.
    ///
    /// # Errors
    /// The first row that `read` refuses.
    pub(super) fn pack(
        ids: Vec<u32>,
        packing: Packing,
        mut read: impl FnMut(u32, &mut [f32]) -> bool,
    ) -> Result<Self, u32> {
        let Packing { level, format, columns, parts } = packing;
        let (width, stride) = (columns / parts, columns.next_multiple_of(PANEL));
        let lines = format.lines(width);
        let size = ids.len().next_multiple_of(PANEL) * lines;
        let mut values = AlignedValues::zeros(parts * size);
        // Rows of a panel are read one right after the other: then the processor waits for all of them at once.
        let mut rows = AlignedValues::zeros(PANEL * stride);
        for (panel, ids) in ids.chunks(PANEL).enumerate() {
            if ids.len() < PANEL {
                rows.fill(0.0);
            }
            for (row, id) in rows.chunks_mut(stride).zip(ids) {
                if !read(*id, &mut row[..columns]) {
                    return Err(*id);
                }
            }
            for part in 0..parts {
                let first = part * size + panel * PANEL * lines;
                let target = &mut values[first..first + PANEL * lines];
                level.run_vectors(WritePanel {
                    rows: &rows,
                    stride,
                    first: part * width,
                    width,
                    format,
                    target,
                });
            }
        }
        Ok(Self { values, ids })
    }

    /// The tile of `rows`, whose numbers are `first` and the following.
    pub(super) fn of(level: Level, rows: &[f32], first: usize, columns: usize) -> Self {
        let count = rows.len() / columns;
        let ids = (first as u32..(first + count) as u32).collect();
        let packing = Packing { level, format: PanelFormat::F32, columns, parts: 1 };
        let read = |id: u32, row: &mut [f32]| {
            row.copy_from_slice(&rows[(id as usize - first) * columns..][..columns]);
            true
        };
        Self::pack(ids, packing, read).unwrap_or_else(|_| unreachable!("no row is refused"))
    }
}

/// Writes the columns of sixteen rows as lines of a panel.
struct WritePanel<'a> {
    rows: &'a [f32],
    /// From row to row.
    stride: usize,
    /// The first column, and how many they are.
    first: usize,
    width: usize,
    format: PanelFormat,
    /// Zeros.
    target: &'a mut [f32],
}

impl VectorWork for WritePanel<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector, const FUSED: bool>(self) {
        let Self { rows, stride, first, width, format, target } = self;
        let row = |index: usize| &rows[index * stride + first..][..width];
        // Values of a line of each row.
        let each = if matches!(format, PanelFormat::F32 | PanelFormat::RoundedF32) { 1 } else { 2 };
        for (block, target) in target.chunks_mut(PANEL * PANEL).enumerate() {
            let begin = block * PANEL * each;
            let here = (width.saturating_sub(begin)).min(PANEL * each);
            let mut square = [[0.0; PANEL]; PANEL];
            // Loops instead of closures, which would not be compiled for these registers.
            for (index, line) in square.iter_mut().enumerate() {
                let mut values = [0.0; 2 * PANEL];
                values[..here].copy_from_slice(&row(index)[begin.min(width)..][..here]);
                for place in 0..PANEL {
                    line[place] = match format {
                        PanelFormat::F32 => values[place],
                        PanelFormat::RoundedF32 => bf16::round(values[place]),
                        PanelFormat::Bf16Pairs | PanelFormat::Bf16Tiles(_) => {
                            f32::from_bits(bf16::pair(values[2 * place], values[2 * place + 1]))
                        }
                    };
                }
            }
            let mut turned = [[0.0; PANEL]; PANEL];
            // SAFETY: the level was detected; both are squares.
            unsafe { V::transpose(square.as_ptr().cast(), PANEL, turned.as_mut_ptr().cast(), PANEL) };
            target.copy_from_slice(&turned.as_flattened()[..target.len()]);
        }
    }
}
