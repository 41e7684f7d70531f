//! A tile: some rows in the order in which they are multiplied.

use super::scoring::{PanelFormat, pair};
use crate::aligned::AlignedValues;
use crate::bf16;
use crate::vector::PANEL;

/// Rows in panels, `[column][row]` within each, with rows of zeros up to the last whole panel. Rows of two halves are
/// panels of all first halves, and after them panels of all second ones.
pub(super) struct Tile {
    /// As many lines a panel as [`PanelFormat::lines`] says.
    pub(super) values: AlignedValues,
    /// The numbers of its rows, as the caller counts them.
    pub(super) ids: Vec<u32>,
}

impl Tile {
    /// The tile of the rows `ids`, each of which `read` writes into a slice of `columns` values; these fall into
    /// `parts` of the same length.
    ///
    /// # Errors
    /// The first row that `read` refuses.
    pub(super) fn pack(
        ids: Vec<u32>,
        parts: usize,
        columns: usize,
        format: PanelFormat,
        mut read: impl FnMut(u32, &mut [f32]) -> bool,
    ) -> Result<Self, u32> {
        let width = columns / parts;
        let lines = format.lines(width);
        let size = ids.len().next_multiple_of(PANEL) * lines;
        let mut values = AlignedValues::zeros(parts * size);
        let mut row = vec![0.0; columns];
        for (at, id) in ids.iter().enumerate() {
            if !read(*id, &mut row) {
                return Err(*id);
            }
            for (part, panels) in row.chunks_exact(width).zip(values.chunks_exact_mut(size)) {
                let begin = at / PANEL * PANEL * lines;
                write_row(part, at % PANEL, format, &mut panels[begin..begin + PANEL * lines]);
            }
        }
        Ok(Self { values, ids })
    }

    /// The panels of the first halves, and those of the second ones.
    pub(super) fn halves(&self) -> (&[f32], &[f32]) {
        self.values.split_at(self.values.len() / 2)
    }

    /// The tile of `rows`, whose numbers are `first` and the following.
    pub(super) fn of(rows: &[f32], first: usize, columns: usize) -> Self {
        let count = rows.len() / columns;
        let mut values = AlignedValues::zeros(count.next_multiple_of(PANEL) * columns);
        for (at, row) in rows.chunks(columns).enumerate() {
            write_row(row, at % PANEL, PanelFormat::F32, &mut values[at / PANEL * PANEL * columns..]);
        }
        Self { values, ids: (first as u32..(first + count) as u32).collect() }
    }
}

/// Writes `row` at `place` of a panel.
fn write_row(row: &[f32], place: usize, format: PanelFormat, panel: &mut [f32]) {
    let (lines, _) = panel.as_chunks_mut::<PANEL>();
    match format {
        PanelFormat::F32 => lines.iter_mut().zip(row).for_each(|(line, value)| line[place] = *value),
        PanelFormat::RoundedF32 => {
            lines.iter_mut().zip(row).for_each(|(line, value)| line[place] = bf16::round(*value));
        }
        PanelFormat::Bf16Pairs | PanelFormat::Bf16Tiles(_) => {
            lines.iter_mut().zip(row.chunks(2)).for_each(|(line, two)| line[place] = pair(two));
        }
    }
}
