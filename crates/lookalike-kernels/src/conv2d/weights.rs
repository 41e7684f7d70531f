//! From weights `[O, C, K, K]` to rows of sixteen outputs, and from such rows to weight gradients.

#![expect(unsafe_code, reason = "blocks of 16 by 16 are transposed through pointers")]
#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]

use std::ops::Range;

use super::arithmetic::LANES;
use super::layout::BLOCK;
use crate::vector::Vector;

/// Weights, whose taps lie side by side, seen from the channels that a correlation sums and the outputs it
/// makes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weights<'a> {
    pub(super) values: &'a [f32],
    /// From an output to the next.
    pub(super) output: usize,
    /// From a channel to the next.
    pub(super) channel: usize,
    /// Height and width of the kernel, K.
    pub(super) kernel: usize,
}

impl Weights<'_> {
    /// Taps of a channel, K².
    pub(super) fn taps(&self) -> usize {
        self.kernel * self.kernel
    }

    /// Rows that [`pack`](Self::pack) needs for some channels: it writes whole blocks, also after the last
    /// channel.
    pub(super) fn rows(&self, channels: usize) -> usize {
        channels * self.taps() + BLOCK
    }

    /// Packs the taps of some channels and sixteen outputs as `[channels, K², 16]`. Values of outputs that do
    /// not exist, and rows after the last, are unspecified.
    ///
    /// # Safety
    /// The processor has the registers of `V`.
    #[inline(always)]
    pub(super) unsafe fn pack<V: Vector>(
        &self,
        output: usize,
        channels: Range<usize>,
        rows: &mut [[f32; LANES]],
    ) {
        let taps = self.taps();
        assert!(rows.len() >= self.rows(channels.len()));
        let start = output * self.output + channels.start * self.channel;
        // Taps of all channels follow each other, or those of one.
        let (runs, run) =
            if self.channel == taps { (1, channels.len() * taps) } else { (channels.len(), taps) };
        for index in 0..runs {
            let (start, rows) = (start + index * self.channel, &mut rows[index * run..]);
            // The weights are such a row already.
            if (run, self.output) == (1, 1) {
                let rest = &self.values[start..];
                let count = rest.len().min(LANES);
                rows[0][..count].copy_from_slice(&rest[..count]);
                continue;
            }
            for column in (0..run).step_by(BLOCK) {
                let rows = &mut rows[column..][..BLOCK];
                // SAFETY: as the caller's.
                unsafe { transpose_padded::<V>(self.values, start + column, self.output, rows) };
            }
        }
    }
}

/// The transpose of sixteen rows of sixteen values that are `stride` apart; beyond the end of `values` are
/// zeros.
///
/// # Safety
/// The processor has the registers of `V`.
#[inline(always)]
unsafe fn transpose_padded<V: Vector>(
    values: &[f32],
    start: usize,
    stride: usize,
    target: &mut [[f32; LANES]],
) {
    assert_eq!(target.len(), BLOCK);
    let target = target.as_mut_ptr().cast();
    if start + (BLOCK - 1) * stride + BLOCK <= values.len() {
        // SAFETY: all values lie in the slice, and the target is a block.
        unsafe { V::transpose(values.as_ptr().add(start), stride, target, LANES) };
        return;
    }
    let mut block = [[0.0; BLOCK]; BLOCK];
    for (row, words) in block.iter_mut().enumerate() {
        let rest = values.get(start + row * stride..).unwrap_or_default();
        let count = rest.len().min(BLOCK);
        words[..count].copy_from_slice(&rest[..count]);
    }
    // SAFETY: both are blocks.
    unsafe { V::transpose(block.as_ptr().cast(), BLOCK, target, LANES) };
}

/// Transposes `[columns, 16]` to at most sixteen rows of `stride` values, from column `first` on.
///
/// # Safety
/// The processor has the registers of `V`.
#[inline(always)]
pub(super) unsafe fn unpack_columns<V: Vector>(
    columns: &[[f32; LANES]],
    first: usize,
    stride: usize,
    target: &mut [f32],
) {
    let rows = target.len() / stride;
    assert!(first + columns.len() <= stride && rows <= BLOCK);
    let blocks = columns.as_chunks::<BLOCK>().0;
    let whole = if rows == BLOCK { blocks.len() } else { 0 };
    for (index, block) in blocks[..whole].iter().enumerate() {
        // SAFETY: sixteen rows of the target hold sixteen columns from this one on, by the assertion.
        unsafe {
            let target = target.as_mut_ptr().add(first + index * BLOCK);
            V::transpose(block.as_ptr().cast(), LANES, target, stride);
        }
    }
    for (column, values) in columns.iter().enumerate().skip(whole * BLOCK) {
        for (row, value) in values.iter().enumerate().take(rows) {
            target[row * stride + first + column] = *value;
        }
    }
}
