//! A tile: some rows in the order in which they are multiplied.

use super::scoring::{Layout, pair};
use crate::bf16;
use crate::vector::PANEL;

/// Rows in panels, `[column][row]` within each, with rows of zeros up to the last whole panel.
pub(super) struct Tile {
    /// As many lines a panel as [`Layout::lines`] says.
    pub(super) values: Vec<f32>,
    /// What its rows are called outside.
    pub(super) ids: Vec<u32>,
}

impl Tile {
    /// The tile of the rows `ids`, each of which `read` writes into a slice of `columns` values.
    ///
    /// # Errors
    /// The first row that `read` refuses.
    pub(super) fn pack(
        ids: Vec<u32>,
        columns: usize,
        layout: Layout,
        mut read: impl FnMut(u32, &mut [f32]) -> bool,
    ) -> Result<Self, u32> {
        let lines = layout.lines(columns);
        let mut values = vec![0.0; ids.len().next_multiple_of(PANEL) * lines];
        let mut row = vec![0.0; columns];
        for (ids, panel) in ids.chunks(PANEL).zip(values.chunks_mut(PANEL * lines)) {
            for (place, id) in ids.iter().enumerate() {
                if !read(*id, &mut row) {
                    return Err(*id);
                }
                spread(&row, place, layout, panel);
            }
        }
        Ok(Self { values, ids })
    }

    /// The tile of `rows`, which are called `first` and so on.
    pub(super) fn of(rows: &[f32], first: usize, columns: usize) -> Self {
        let count = rows.len() / columns;
        let mut values = vec![0.0; count.next_multiple_of(PANEL) * columns];
        for (at, row) in rows.chunks(columns).enumerate() {
            spread(row, at % PANEL, Layout::Single, &mut values[at / PANEL * PANEL * columns..]);
        }
        Self { values, ids: (first as u32..(first + count) as u32).collect() }
    }
}

/// Writes `row` at `place` of a panel.
fn spread(row: &[f32], place: usize, layout: Layout, panel: &mut [f32]) {
    let (lines, _) = panel.as_chunks_mut::<PANEL>();
    match layout {
        Layout::Single => lines.iter_mut().zip(row).for_each(|(line, value)| line[place] = *value),
        Layout::Rounded => {
            lines.iter_mut().zip(row).for_each(|(line, value)| line[place] = bf16::round(*value));
        }
        Layout::Pairs => lines.iter_mut().zip(row.chunks(2)).for_each(|(line, two)| line[place] = pair(two)),
    }
}
