//! The two register tiles of a convolution, and the loops around them.

#![expect(
    unsafe_code,
    reason = "register tiles read through pointers whose bounds are asserted at their entry"
)]
#![expect(clippy::needless_range_loop, reason = "row and vector number registers of several arrays at once")]
#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{__m256, __m512};

use crate::dot::Level;
use crate::vector::Vector;

/// Terms summed before a tile is written back: weights and source of that many stay in the first-level cache.
const BLOCK: usize = 256;

/// `out[m][n] = Σ_k weights[k][m] · source[offsets[k] + n]`
pub(super) struct Correlation<'a> {
    /// `[⌈M / rows⌉, K, rows]`, rows that do not exist being 0.
    pub(super) weights: &'a [f32],
    /// `[K]`
    pub(super) offsets: &'a [usize],
    /// Readable up to the last offset plus `length`.
    pub(super) source: &'a [f32],
    /// N, a multiple of the tile's columns.
    pub(super) length: usize,
}

/// `sums[k][m] += Σ_n source[offsets[k] + n] · gradient[n][m]`
pub(super) struct Contraction<'a> {
    /// `[⌈M / columns⌉, N, columns]`, columns that do not exist being 0.
    pub(super) gradient: &'a [f32],
    /// `[K]`, K a multiple of the tile's rows.
    pub(super) offsets: &'a [usize],
    /// Readable up to the last offset plus `length`.
    pub(super) source: &'a [f32],
    /// N.
    pub(super) length: usize,
}

/// Rows and columns of a register tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tile {
    pub(super) rows: usize,
    pub(super) columns: usize,
}

// Accumulators, one row of the other operand and a broadcast fill the 16 or 32 registers; at least eight accumulators
// hide the latency of the fused multiply-add on two ports.
impl Level {
    /// The tile of [`correlate`].
    pub(super) fn correlation_tile(self) -> Tile {
        match self {
            Self::Portable => Tile { rows: 4, columns: 8 },
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => Tile { rows: 4, columns: 24 },
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => Tile { rows: 8, columns: 48 },
        }
    }

    /// The tile of [`contract`] for `outputs` output channels.
    pub(super) fn contraction_tile(self, outputs: usize) -> Tile {
        match self {
            Self::Portable => Tile { rows: 4, columns: 8 },
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => Tile { rows: 6, columns: 16 },
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => Tile { rows: 12, columns: if outputs <= 16 { 16 } else { 32 } },
        }
    }
}

/// Computes `work` into `out`, `[⌈M / rows⌉ · rows, N]`.
pub(super) fn correlate(level: Level, work: &Correlation<'_>, out: &mut [f32]) {
    let tile = level.correlation_tile();
    let terms = work.offsets.len();
    let last = work.offsets.iter().max().copied().unwrap_or(0);
    assert!(work.length.is_multiple_of(tile.columns) && last + work.length <= work.source.len());
    assert!(terms > 0 && work.weights.len().is_multiple_of(terms * tile.rows));
    assert_eq!(out.len(), work.weights.len() / terms * work.length);
    // SAFETY: the level was detected; the assertions above hold every pointer of the tiles inside its slice.
    unsafe {
        match level {
            Level::Portable => correlate_with::<[f32; 4], 4, 2>(work, out),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => correlate_avx2(work, out),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => correlate_avx512(work, out),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn correlate_avx2(work: &Correlation<'_>, out: &mut [f32]) {
    // SAFETY: as the caller's.
    unsafe { correlate_with::<__m256, 4, 3>(work, out) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn correlate_avx512(work: &Correlation<'_>, out: &mut [f32]) {
    // SAFETY: as the caller's.
    unsafe { correlate_with::<__m512, 8, 3>(work, out) }
}

/// # Safety
/// The processor has `V`, and the assertions of [`correlate`] hold.
#[inline(always)]
unsafe fn correlate_with<V: Vector, const ROWS: usize, const VECTORS: usize>(
    work: &Correlation<'_>,
    out: &mut [f32],
) {
    let terms = work.offsets.len();
    for start in (0..terms).step_by(BLOCK) {
        let offsets = &work.offsets[start..terms.min(start + BLOCK)];
        let panels = work.weights.chunks_exact(terms * ROWS).zip(out.chunks_exact_mut(ROWS * work.length));
        for (weights, out) in panels {
            let weights = &weights[start * ROWS..][..offsets.len() * ROWS];
            for column in (0..work.length).step_by(VECTORS * V::LANES) {
                // SAFETY: `column` plus the tile's columns is at most `length`.
                unsafe {
                    let target = out.as_mut_ptr().add(column);
                    let source = work.source.as_ptr().add(column);
                    let mut sums = [[V::splat(0.0); VECTORS]; ROWS];
                    if start > 0 {
                        for row in 0..ROWS {
                            for vector in 0..VECTORS {
                                sums[row][vector] =
                                    V::load(target.add(row * work.length + vector * V::LANES));
                            }
                        }
                    }
                    for (weights, offset) in weights.as_chunks::<ROWS>().0.iter().zip(offsets) {
                        let mut values = [V::splat(0.0); VECTORS];
                        for (vector, value) in values.iter_mut().enumerate() {
                            *value = V::load(source.add(offset + vector * V::LANES));
                        }
                        for row in 0..ROWS {
                            for vector in 0..VECTORS {
                                sums[row][vector] =
                                    V::splat(weights[row]).multiply_add(values[vector], sums[row][vector]);
                            }
                        }
                    }
                    for row in 0..ROWS {
                        for vector in 0..VECTORS {
                            sums[row][vector].store(target.add(row * work.length + vector * V::LANES));
                        }
                    }
                }
            }
        }
    }
}

/// Computes `work` on top of `sums`, `[K, ⌈M / columns⌉ · columns]`.
pub(super) fn contract(level: Level, tile: Tile, work: &Contraction<'_>, sums: &mut [f32]) {
    let (terms, last) = (work.offsets.len(), work.offsets.iter().max().copied().unwrap_or(0));
    assert!(terms.is_multiple_of(tile.rows) && last + work.length <= work.source.len());
    assert!(work.length > 0 && work.gradient.len().is_multiple_of(work.length * tile.columns));
    assert_eq!(sums.len(), terms * (work.gradient.len() / work.length));
    // SAFETY: the level was detected; the assertions above hold every pointer of the tiles inside its slice.
    unsafe {
        match level {
            Level::Portable => contract_with::<[f32; 4], 4, 2>(work, sums),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => contract_avx2(work, sums),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 if tile.columns == 16 => contract_avx512::<1>(work, sums),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => contract_avx512::<2>(work, sums),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn contract_avx2(work: &Contraction<'_>, sums: &mut [f32]) {
    // SAFETY: as the caller's.
    unsafe { contract_with::<__m256, 6, 2>(work, sums) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn contract_avx512<const VECTORS: usize>(work: &Contraction<'_>, sums: &mut [f32]) {
    // SAFETY: as the caller's.
    unsafe { contract_with::<__m512, 12, VECTORS>(work, sums) }
}

/// # Safety
/// The processor has `V`, and the assertions of [`contract`] hold for a tile of `ROWS` by `VECTORS` registers.
#[inline(always)]
unsafe fn contract_with<V: Vector, const ROWS: usize, const VECTORS: usize>(
    work: &Contraction<'_>,
    out: &mut [f32],
) {
    let columns = VECTORS * V::LANES;
    let panels = work.gradient.len() / (work.length * columns);
    for (offsets, out) in
        work.offsets.as_chunks::<ROWS>().0.iter().zip(out.chunks_exact_mut(ROWS * panels * columns))
    {
        for (panel, gradient) in work.gradient.chunks_exact(work.length * columns).enumerate() {
            // SAFETY: every offset plus `length` lies in the source, a panel's columns in each of the `ROWS` rows of out.
            unsafe {
                let target = out.as_mut_ptr().add(panel * columns);
                let source = offsets.map(|offset| work.source.as_ptr().add(offset));
                let mut sums = [[V::splat(0.0); VECTORS]; ROWS];
                for row in 0..ROWS {
                    for vector in 0..VECTORS {
                        sums[row][vector] = V::load(target.add(row * panels * columns + vector * V::LANES));
                    }
                }
                for (position, gradient) in gradient.chunks_exact(columns).enumerate() {
                    let mut values = [V::splat(0.0); VECTORS];
                    for (vector, value) in values.iter_mut().enumerate() {
                        *value = V::load(gradient.as_ptr().add(vector * V::LANES));
                    }
                    for row in 0..ROWS {
                        for vector in 0..VECTORS {
                            sums[row][vector] = V::splat(*source[row].add(position))
                                .multiply_add(values[vector], sums[row][vector]);
                        }
                    }
                }
                for row in 0..ROWS {
                    for vector in 0..VECTORS {
                        sums[row][vector].store(target.add(row * panels * columns + vector * V::LANES));
                    }
                }
            }
        }
    }
}
