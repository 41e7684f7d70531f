//! The optimal one-to-one assignment of rows to columns.

use crate::error::MetricError;

/// The column of each row under the one-to-one assignment whose gains have the greatest sum. Where there are more rows than columns
/// some rows have none; where there are more columns than rows some columns are left.
///
/// Rows (of the shorter side) are added one by one, each along the shortest augmenting path (Jonker and Volgenant 1987), for
/// O(n² · m) steps with n ≤ m.
///
/// # Shapes
/// `gains` rows × `columns`, row-major; one entry a row.
///
/// # Errors
/// [`MetricError::Entry`] where gains do not form rows; [`MetricError::Option`] where sums of gains would exceed 64 bits.
pub fn assignment(gains: &[i64], columns: usize) -> Result<Vec<Option<usize>>, MetricError> {
    if columns == 0 || !gains.len().is_multiple_of(columns) {
        let problem = format!("{} gains do not form rows of {columns} columns", gains.len());
        return Err(MetricError::entry("table", 0, problem));
    }
    let rows = gains.len() / columns;
    let greatest = gains.iter().map(|gain| gain.unsigned_abs()).max().unwrap_or(0);
    // Potentials and path lengths stay within a few times the greatest gain, times the longest path.
    let steps = 4 * (rows.min(columns) as u64 + 1);
    if greatest.checked_mul(steps).is_none_or(|sum| sum > i64::MAX as u64) {
        return Err(MetricError::option("the greatest gain", &greatest, "small enough for sums in 64 bits"));
    }
    if rows <= columns {
        return Ok(assign(rows, columns, |row, column| gains[row * columns + column])
            .into_iter()
            .map(Some)
            .collect());
    }
    let mut chosen = vec![None; rows];
    let row_of = assign(columns, rows, |column, row| gains[row * columns + column]);
    for (column, row) in row_of.into_iter().enumerate() {
        chosen[row] = Some(column);
    }
    Ok(chosen)
}

/// The column of each of `rows` rows, of which there are at most as many as columns.
fn assign(rows: usize, columns: usize, gain: impl Fn(usize, usize) -> i64) -> Vec<usize> {
    let mut search =
        Search { row_prices: vec![0; rows], column_prices: vec![0; columns], row_of: vec![None; columns] };
    for row in 0..rows {
        search.add(row, &gain);
    }
    let mut column_of = vec![0; rows];
    for (column, row) in search.row_of.iter().enumerate() {
        if let Some(row) = row {
            column_of[*row] = column;
        }
    }
    column_of
}

/// A partial assignment of least cost, and the prices that prove it: no cost is below the sum of its row's and its column's price.
struct Search {
    row_prices: Vec<i64>,
    column_prices: Vec<i64>,
    row_of: Vec<Option<usize>>,
}

/// Paths from the row that is added to columns.
struct Paths {
    /// Length of the shortest found so far.
    lengths: Vec<i64>,
    /// The row before the column on that path.
    before: Vec<usize>,
    /// Whether there is none shorter.
    done: Vec<bool>,
}

impl Search {
    /// Adds `row` along the shortest path to a column that is free. Costs are gains with the other sign.
    fn add(&mut self, row: usize, gain: &impl Fn(usize, usize) -> i64) {
        let columns = self.row_of.len();
        let mut paths = Paths {
            lengths: vec![i64::MAX; columns],
            before: vec![row; columns],
            done: vec![false; columns],
        };
        let (mut last, mut length) = (row, 0);
        let free = loop {
            let mut nearest: Option<usize> = None;
            for column in (0..columns).filter(|column| !paths.done[*column]) {
                let reduced = -gain(last, column) - self.row_prices[last] - self.column_prices[column];
                if length + reduced < paths.lengths[column] {
                    (paths.lengths[column], paths.before[column]) = (length + reduced, last);
                }
                if nearest.is_none_or(|nearest| paths.lengths[column] < paths.lengths[nearest]) {
                    nearest = Some(column);
                }
            }
            let Some(column) = nearest else {
                unreachable!("there are as many columns as rows, so that one is free");
            };
            (paths.done[column], length) = (true, paths.lengths[column]);
            match self.row_of[column] {
                Some(next) => last = next,
                None => break column,
            }
        };
        self.reprice(row, length, &paths);
        self.augment(free, &paths);
    }

    fn reprice(&mut self, row: usize, length: i64, paths: &Paths) {
        self.row_prices[row] += length;
        for column in (0..self.row_of.len()).filter(|column| paths.done[*column]) {
            let slack = length - paths.lengths[column];
            self.column_prices[column] -= slack;
            if let Some(row) = self.row_of[column] {
                self.row_prices[row] += slack;
            }
        }
    }

    /// Shifts the rows along the path by a column each, back to the row that had none.
    fn augment(&mut self, free: usize, paths: &Paths) {
        let mut column = free;
        loop {
            let before = paths.before[column];
            let left = self.row_of.iter().position(|found| *found == Some(before));
            self.row_of[column] = Some(before);
            let Some(left) = left else { break };
            column = left;
        }
    }
}
