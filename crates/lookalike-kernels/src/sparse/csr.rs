//! Sparse matrices by compressed rows (CSR).

use std::ops::Range;

use crate::error::KernelError;

/// A sparse matrix of `f32`: for each row the columns of its entries, ascending, and their values, or 1 each
/// where there are none. A graph's edges are such a matrix, and so are those of a batch of graphs, block
/// after block.
#[derive(Debug, Clone, PartialEq)]
pub struct Csr {
    offsets: Vec<usize>,
    columns: Vec<u32>,
    values: Option<Vec<f32>>,
    width: usize,
}

impl Csr {
    /// Takes a matrix of `offsets.len()` − 1 rows and `width` columns, whose row r has the entries
    /// `offsets[r]` to `offsets[r + 1]`, less one.
    ///
    /// # Errors
    /// [`KernelError::Sparse`] where offsets do not begin with 0, fall, or end elsewhere than the entries do;
    /// where the columns of a row do not rise or are not below `width`; where there are not as many values as
    /// columns; where `width` is above 2³².
    pub fn new(
        offsets: Vec<usize>,
        columns: Vec<u32>,
        values: Option<Vec<f32>>,
        width: usize,
    ) -> Result<Self, KernelError> {
        let wrong = |row: usize, problem: String| KernelError::Sparse { row, problem };
        if u32::try_from(width.saturating_sub(1)).is_err() {
            return Err(wrong(0, format!("{width} columns are more than 32 bits can number")));
        }
        if offsets.first() != Some(&0) {
            return Err(wrong(0, "its entries do not begin at 0".to_owned()));
        }
        for (row, pair) in offsets.windows(2).enumerate() {
            let entries = columns.get(pair[0]..pair[1]).ok_or_else(|| {
                wrong(row, format!("its entries {} to {} are not among {}", pair[0], pair[1], columns.len()))
            })?;
            if let Some([column, next, ..]) = entries.windows(2).find(|pair| pair[0] >= pair[1]) {
                return Err(wrong(row, format!("column {column} is followed by {next}")));
            }
            if let Some(last) = entries.last().filter(|last| **last as usize >= width) {
                return Err(wrong(row, format!("column {last} is not below {width}")));
            }
        }
        let rows = offsets.len() - 1;
        if offsets[rows] != columns.len() {
            let problem = format!("entries end at {} of {}", offsets[rows], columns.len());
            return Err(wrong(rows.saturating_sub(1), problem));
        }
        if let Some(values) = values.as_ref().filter(|values| values.len() != columns.len()) {
            return Err(wrong(0, format!("there are {} values for {} columns", values.len(), columns.len())));
        }
        Ok(Self { offsets, columns, values, width })
    }

    /// The matrix of `width` columns that `rows` gives row after row, each as columns with their values. A
    /// row is sorted; of entries in the same column the first is kept.
    ///
    /// # Errors
    /// [`KernelError::Sparse`] where a column is not below `width`.
    pub fn from_rows<R: IntoIterator<Item = (u32, f32)>>(
        rows: impl IntoIterator<Item = R>,
        width: usize,
    ) -> Result<Self, KernelError> {
        let (mut offsets, mut columns, mut values) = (vec![0], Vec::new(), Vec::new());
        let mut entries = Vec::new();
        for row in rows {
            entries.clear();
            entries.extend(row);
            entries.sort_by_key(|(column, _)| *column);
            entries.dedup_by_key(|(column, _)| *column);
            columns.extend(entries.iter().map(|(column, _)| *column));
            values.extend(entries.iter().map(|(_, value)| *value));
            offsets.push(columns.len());
        }
        Self::new(offsets, columns, Some(values), width)
    }

    /// The matrix with `blocks` along its diagonal and nothing elsewhere: a batch of graphs as one.
    ///
    /// # Errors
    /// [`KernelError::TooManyRows`] where columns are more than 32 bits can number.
    pub fn block_diagonal<'a>(blocks: impl IntoIterator<Item = &'a Self>) -> Result<Self, KernelError> {
        let blocks: Vec<&Self> = blocks.into_iter().collect();
        let entries = blocks.iter().map(|block| block.entries()).sum();
        let (mut offsets, mut columns, mut width) = (vec![0], Vec::with_capacity(entries), 0);
        let valued = blocks.iter().any(|block| block.values.is_some());
        let mut values = valued.then(|| Vec::with_capacity(entries));
        for block in blocks {
            let (first, shift) = (columns.len(), width as u32);
            width = usize::saturating_add(width, block.width);
            if u32::try_from(width).is_err() {
                return Err(KernelError::TooManyRows { rows: width });
            }
            offsets.extend(block.offsets[1..].iter().map(|end| first + end));
            columns.extend(block.columns.iter().map(|column| column + shift));
            match (&mut values, &block.values) {
                (Some(values), Some(own)) => values.extend_from_slice(own),
                (Some(values), None) => values.resize(columns.len(), 1.0),
                (None, _) => {}
            }
        }
        Ok(Self { offsets, columns, values, width })
    }

    /// The blocks that stand in the rows and columns `blocks` of a square matrix, along the diagonal of a new
    /// one in that order: graphs chosen from a batch.
    ///
    /// # Panics
    /// If a block ends after the last row or has entries outside its own columns, or if 32 bits cannot number
    /// the new rows.
    #[must_use]
    pub fn diagonal_blocks(&self, blocks: impl IntoIterator<Item = Range<usize>>) -> Self {
        let (mut offsets, mut columns, mut width) = (vec![0], Vec::new(), 0);
        let mut values = self.values.as_ref().map(|_| Vec::new());
        for block in blocks {
            let entries = self.offsets[block.start]..self.offsets[block.end];
            let shift = |column: &u32| {
                assert!(block.contains(&(*column as usize)), "blocks have entries of their own columns");
                (*column as usize - block.start + width) as u32
            };
            let first = columns.len();
            columns.extend(self.columns[entries.clone()].iter().map(shift));
            if let (Some(values), Some(own)) = (&mut values, &self.values) {
                values.extend_from_slice(&own[entries.clone()]);
            }
            let ends = &self.offsets[block.start + 1..=block.end];
            offsets.extend(ends.iter().map(|end| end - entries.start + first));
            width += block.len();
            assert!(u32::try_from(width).is_ok(), "rows are numbered in 32 bits");
        }
        Self { offsets, columns, values, width }
    }

    /// The rows that `rows` names, in that order.
    ///
    /// # Panics
    /// If there is no such row.
    #[must_use]
    pub fn chosen(&self, rows: &[u32]) -> Self {
        let (mut offsets, mut columns) = (vec![0], Vec::new());
        let mut values = self.values.as_ref().map(|_| Vec::new());
        for row in rows {
            let entries = self.offsets[*row as usize]..self.offsets[*row as usize + 1];
            columns.extend_from_slice(&self.columns[entries.clone()]);
            if let (Some(values), Some(own)) = (&mut values, &self.values) {
                values.extend_from_slice(&own[entries]);
            }
            offsets.push(columns.len());
        }
        Self { offsets, columns, values, width: self.width }
    }

    /// The rows and columns of a square matrix that `nodes` names, each once, in that order: the sub-graph of
    /// these nodes.
    ///
    /// # Panics
    /// If the matrix is not square or there is no such row.
    #[must_use]
    pub fn induced(&self, nodes: &[u32]) -> Self {
        assert_eq!(self.len(), self.width, "a graph has as many columns as rows");
        let mut places = vec![u32::MAX; self.width];
        nodes.iter().zip(0..).for_each(|(node, place)| places[*node as usize] = place);
        let (mut offsets, mut columns) = (vec![0], Vec::new());
        let mut values = self.values.as_ref().map(|_| Vec::new());
        let mut entries = Vec::new();
        for node in nodes {
            let among = self.row_entries(*node as usize).map(|(to, value)| (places[to as usize], value));
            entries.clear();
            entries.extend(among.filter(|(place, _)| *place != u32::MAX));
            entries.sort_unstable_by_key(|(place, _)| *place);
            columns.extend(entries.iter().map(|(place, _)| *place));
            if let Some(values) = &mut values {
                values.extend(entries.iter().map(|(_, value)| *value));
            }
            offsets.push(columns.len());
        }
        Self { offsets, columns, values, width: nodes.len() }
    }

    /// The same entries, each of value 1.
    #[must_use]
    pub fn without_values(self) -> Self {
        Self { values: None, ..self }
    }

    /// The same entries with other values, in the order of [`Csr::columns`].
    ///
    /// # Errors
    /// [`KernelError::Sparse`] where there are not as many values as entries.
    pub fn with_values(self, values: Vec<f32>) -> Result<Self, KernelError> {
        if values.len() != self.columns.len() {
            let problem = format!("there are {} values for {} columns", values.len(), self.columns.len());
            return Err(KernelError::Sparse { row: 0, problem });
        }
        Ok(Self { values: Some(values), ..self })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Number of entries.
    pub fn entries(&self) -> usize {
        self.columns.len()
    }

    /// Where each row's entries begin, and behind the last where they end.
    pub fn offsets(&self) -> &[usize] {
        &self.offsets
    }

    /// The columns of all entries, row after row.
    pub fn columns(&self) -> &[u32] {
        &self.columns
    }

    /// The values of all entries; none where each is 1.
    pub fn values(&self) -> Option<&[f32]> {
        self.values.as_deref()
    }

    /// The columns of the entries of `row`, ascending.
    ///
    /// # Panics
    /// If `row` is not below [`Csr::len`], as slices do.
    pub fn row(&self, row: usize) -> &[u32] {
        &self.columns[self.offsets[row]..self.offsets[row + 1]]
    }

    /// The entries of `row`: columns and values.
    ///
    /// # Panics
    /// If `row` is not below [`Csr::len`], as slices do.
    pub fn row_entries(&self, row: usize) -> impl Iterator<Item = (u32, f32)> + '_ {
        let range = self.offsets[row]..self.offsets[row + 1];
        range.map(|at| (self.columns[at], self.values.as_ref().map_or(1.0, |values| values[at])))
    }

    /// The transpose: entry (c, r) for each (r, c).
    ///
    /// # Panics
    /// If there are more than 2³² rows, whose numbers would be its columns.
    #[must_use]
    pub fn transpose(&self) -> Self {
        assert!(u32::try_from(self.len()).is_ok(), "rows are numbered in 32 bits");
        let mut offsets = vec![0; self.width + 1];
        for column in &self.columns {
            offsets[*column as usize + 1] += 1;
        }
        (0..self.width).for_each(|row| offsets[row + 1] += offsets[row]);
        let mut next = offsets.clone();
        let mut columns = vec![0; self.entries()];
        let mut values = self.values.as_ref().map(|_| vec![0.0; self.entries()]);
        for row in 0..self.len() {
            for at in self.offsets[row]..self.offsets[row + 1] {
                let place = &mut next[self.columns[at] as usize];
                columns[*place] = row as u32;
                if let (Some(values), Some(own)) = (&mut values, &self.values) {
                    values[*place] = own[at];
                }
                *place += 1;
            }
        }
        Self { offsets, columns, values, width: self.len() }
    }
}
