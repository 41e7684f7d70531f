//! Where rows come from: a matrix in memory, or a file that is mapped.

use std::ops::Range;

use crate::matrix::Rows;

/// Rows of `f32` that can be read in any order, from many threads at once.
pub trait RowSource: Sync {
    /// Number of rows, N.
    fn len(&self) -> usize;

    /// Number of columns, d.
    fn columns(&self) -> usize;

    /// Writes row `index` to `into`, which holds [`RowSource::columns`] values.
    ///
    /// # Panics
    /// Where `index` is not below [`RowSource::len`] or `into` has another length.
    fn read_row(&self, index: usize, into: &mut [f32]);

    /// The addresses of memory that [`RowSource::read_row`] will read, so that it can be asked for early; none where they
    /// are not known.
    fn addresses(&self, _index: usize) -> Range<usize> {
        0..0
    }

    /// Whether there is no row at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl RowSource for Rows<'_> {
    fn len(&self) -> usize {
        Rows::len(self)
    }

    fn columns(&self) -> usize {
        Rows::columns(self)
    }

    fn read_row(&self, index: usize, into: &mut [f32]) {
        into.copy_from_slice(self.row(index));
    }

    fn addresses(&self, index: usize) -> Range<usize> {
        let values = self.row(index).as_ptr_range();
        values.start.addr()..values.end.addr()
    }
}

impl<S: RowSource + ?Sized> RowSource for &S {
    fn len(&self) -> usize {
        (**self).len()
    }

    fn columns(&self) -> usize {
        (**self).columns()
    }

    fn read_row(&self, index: usize, into: &mut [f32]) {
        (**self).read_row(index, into);
    }

    fn addresses(&self, index: usize) -> Range<usize> {
        (**self).addresses(index)
    }
}
