//! Products of tiles of bfloat16, by instructions (AMX) or by a model of them in plain Rust.
//!
//! A tile register has sixteen rows of sixteen words, and a word is a pair of bfloat16. A product of tiles adds to
//! sums[row][column], for each of sixteen words k, the products of both halves of left[row][k] and right[k][column].
//! So the left operand has the words of a row side by side, and the right one those of a column below each other,
//! sixteen columns in a line of 64 bytes, which is how maps and packed panels have them.
//!
//! The model has the arithmetic of the instruction bit by bit, so that whatever is built on [`Tiles`] is tested on any
//! processor.

#![expect(unsafe_code, reason = "tile registers read and write through pointers, which callers prove")]
#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(test)]
mod model;

/// Rows of a tile, and words of a row.
pub(crate) const SIDE: usize = 16;
/// Words of a tile whose rows follow each other.
pub(crate) const SQUARE: usize = SIDE * SIDE;

/// Eight registers of sixteen rows of sixteen words.
///
/// # Safety
/// Functions that take a pointer read or write sixteen rows of sixteen words, `step` words apart.
pub(crate) trait Tiles {
    /// Makes all words of register `TILE` 0.
    fn clear<const TILE: usize>(&mut self);
    /// Reads register `TILE`.
    unsafe fn load<const TILE: usize>(&mut self, source: *const u32, step: usize);
    /// Writes register `TILE`, whose words are sums.
    unsafe fn store<const TILE: usize>(&mut self, target: *mut f32, step: usize);
    /// Adds the products of `LEFT` and `RIGHT` to `SUMS`.
    fn add_products<const SUMS: usize, const LEFT: usize, const RIGHT: usize>(&mut self);
}

/// A loop over tiles, to be compiled for both kinds of registers.
pub(crate) trait TileKernel {
    /// Runs it. To be marked `#[inline(always)]`.
    ///
    /// # Safety
    /// The processor has AVX-512 with BF16 if `T` are its own registers.
    unsafe fn run<T: Tiles>(self, tiles: &mut T);
}

/// Which tile registers there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TileUnit {
    /// Those of the processor.
    #[cfg(target_arch = "x86_64")]
    Amx(Permit),
    /// Those of the model.
    #[cfg(test)]
    Model,
}

/// Proves that processor and system have tiles, and instructions that round to bfloat16.
#[cfg(target_arch = "x86_64")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Permit(());

impl TileUnit {
    /// Those of this processor, if it has them and the system lets this process use them.
    pub(crate) fn detect() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        return (is_x86_feature_detected!("avx512bf16") && amx::is_permitted())
            .then_some(Self::Amx(Permit(())));
        #[cfg(not(target_arch = "x86_64"))]
        None
    }

    /// Runs `kernel` on these registers.
    pub(crate) fn run<K: TileKernel>(self, kernel: K) {
        match self {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: by the permit.
            Self::Amx(_) => unsafe { amx::run(kernel) },
            #[cfg(test)]
            Self::Model => model::run(kernel),
        }
    }
}

/// A block of `ROWS` by `COLUMNS` tiles of sums, at most two by two, which the registers hold.
///
/// Registers 0 to 3 are sums, 4 and 5 the left operand, 6 and 7 the right one.
pub(crate) struct SumBlock<'a, T, const ROWS: usize, const COLUMNS: usize>(&'a mut T);

impl<'a, T: Tiles, const ROWS: usize, const COLUMNS: usize> SumBlock<'a, T, ROWS, COLUMNS> {
    /// Sums of nothing.
    #[inline(always)]
    pub(crate) fn zeros(tiles: &'a mut T) -> Self {
        tiles.clear::<0>();
        if COLUMNS == 2 {
            tiles.clear::<1>();
        }
        if ROWS == 2 {
            tiles.clear::<2>();
            if COLUMNS == 2 {
                tiles.clear::<3>();
            }
        }
        Self(tiles)
    }

    /// The sums at `columns`, whose rows are `step` apart.
    ///
    /// # Safety
    /// There are `ROWS` · 16 rows of sixteen values at each.
    #[inline(always)]
    pub(crate) unsafe fn load(tiles: &'a mut T, columns: [*const f32; COLUMNS], step: usize) -> Self {
        let [first, last] = [columns[0].cast::<u32>(), columns[COLUMNS - 1].cast::<u32>()];
        // SAFETY: as the caller's.
        unsafe {
            tiles.load::<0>(first, step);
            if COLUMNS == 2 {
                tiles.load::<1>(last, step);
            }
            if ROWS == 2 {
                tiles.load::<2>(first.add(SIDE * step), step);
                if COLUMNS == 2 {
                    tiles.load::<3>(last.add(SIDE * step), step);
                }
            }
        }
        Self(tiles)
    }

    /// Sums each row of which is the one at `row`.
    ///
    /// # Safety
    /// There are `COLUMNS` · 16 values.
    #[inline(always)]
    pub(crate) unsafe fn repeat(tiles: &'a mut T, row: *const f32) -> Self {
        // SAFETY: as the caller's: without a step all rows are the first one.
        unsafe {
            let row = row.cast::<u32>();
            tiles.load::<0>(row, 0);
            if COLUMNS == 2 {
                tiles.load::<1>(row.add(SIDE), 0);
            }
            if ROWS == 2 {
                tiles.load::<2>(row, 0);
                if COLUMNS == 2 {
                    tiles.load::<3>(row.add(SIDE), 0);
                }
            }
        }
        Self(tiles)
    }

    /// Adds the products of sixteen words of each row and column, of tiles whose rows are `left_step` and
    /// `right_step` words apart.
    ///
    /// # Safety
    /// There is a tile at each pointer.
    #[inline(always)]
    pub(crate) unsafe fn add(
        &mut self,
        left: [*const u32; ROWS],
        left_step: usize,
        right: [*const u32; COLUMNS],
        right_step: usize,
    ) {
        let tiles = &mut *self.0;
        // SAFETY: as the caller's.
        unsafe {
            tiles.load::<4>(left[0], left_step);
            tiles.load::<6>(right[0], right_step);
            tiles.add_products::<0, 4, 6>();
            if COLUMNS == 2 {
                tiles.load::<7>(right[COLUMNS - 1], right_step);
                tiles.add_products::<1, 4, 7>();
            }
            if ROWS == 2 {
                tiles.load::<5>(left[ROWS - 1], left_step);
                tiles.add_products::<2, 5, 6>();
                if COLUMNS == 2 {
                    tiles.add_products::<3, 5, 7>();
                }
            }
        }
    }

    /// Writes the sums to `columns`, whose rows are `step` apart.
    ///
    /// # Safety
    /// There are `ROWS` · 16 rows of sixteen values at each.
    #[inline(always)]
    pub(crate) unsafe fn store(self, columns: [*mut f32; COLUMNS], step: usize) {
        let (tiles, [first, last]) = (self.0, [columns[0], columns[COLUMNS - 1]]);
        // SAFETY: as the caller's.
        unsafe {
            tiles.store::<0>(first, step);
            if COLUMNS == 2 {
                tiles.store::<1>(last, step);
            }
            if ROWS == 2 {
                tiles.store::<2>(first.add(SIDE * step), step);
                if COLUMNS == 2 {
                    tiles.store::<3>(last.add(SIDE * step), step);
                }
            }
        }
    }
}

/// Pointers to tiles that are sixteen values apart.
///
/// # Safety
/// There are as many values.
#[inline(always)]
pub(crate) unsafe fn side_by_side<const COLUMNS: usize>(first: *mut f32) -> [*mut f32; COLUMNS] {
    // SAFETY: as the caller's.
    std::array::from_fn(|column| unsafe { first.add(column * SIDE) })
}

#[cfg(test)]
mod tests;
