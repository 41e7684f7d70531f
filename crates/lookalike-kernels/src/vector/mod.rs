//! What each level compiles for itself: loops that the compiler vectorises, and registers for tiles written
//! by hand.

#![expect(unsafe_code, reason = "intrinsics and raw loads; each caller proves level and bounds")]
#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;

use std::cmp::Ordering::Less;

use crate::instructions::Level;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::Bf16Avx512;

/// A loop to be compiled for each level.
pub(crate) trait Work {
    /// What it computes.
    type Output;
    /// The loop, to be marked `#[inline(always)]`. `FUSED` says whether multiplication and addition are one
    /// instruction.
    fn run<const FUSED: bool>(self) -> Self::Output;
}

impl Level {
    /// Runs `work` with the instructions of this level.
    pub(crate) fn run<W: Work>(self, work: W) -> W::Output {
        match self {
            Self::Portable => work.run::<false>(),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `detect` found AVX2 and FMA.
            Self::Avx2 => unsafe { run_avx2(work) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `detect` found AVX-512F.
            Self::Avx512 => unsafe { run_avx512(work) },
        }
    }
}

/// Runs `work` with AVX2 and FMA, as [`Level::run`] does.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
pub(crate) fn run_avx2<W: Work>(work: W) -> W::Output {
    work.run::<true>()
}

/// Runs `work` with AVX-512F, as [`Level::run`] does.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
pub(crate) fn run_avx512<W: Work>(work: W) -> W::Output {
    work.run::<true>()
}

/// a · b + c, in one instruction where there is one.
#[inline(always)]
pub(crate) fn multiply_add<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// Asks for the cache line of `address`, which may be any address, ahead of its use.
#[inline(always)]
pub(crate) fn prefetch<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 has SSE, and no address is an error.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// Rows of a panel, of which a tile is made: as many as lanes of the widest vector.
pub(crate) const PANEL: usize = 16;

/// A register of [`LANES`](Vector::LANES) values.
///
/// # Safety
/// Every function needs a processor that has the register, and is to be inlined into a function that enables
/// it. `load` and `store` touch `LANES` values from the pointer on.
pub(crate) trait Vector: Copy {
    /// Values in a register.
    const LANES: usize;
    /// The same value in every lane.
    unsafe fn splat(value: f32) -> Self;
    /// Reads from any address.
    unsafe fn load(source: *const f32) -> Self;
    /// Writes to any address.
    unsafe fn store(self, target: *mut f32);
    /// `self` · `factor` + `sum`.
    unsafe fn multiply_add(self, factor: Self, sum: Self) -> Self;
    /// The lower and the upper 16 bits of each lane's 32 as bfloat16, widened.
    unsafe fn bf16_halves(self) -> (Self, Self);
    /// A bit for each lane, the lowest first, that is not below that of `bound`; NaN is below nothing.
    unsafe fn not_below(self, bound: Self) -> u32;
    /// Writes to the beginning of `keys`, 16 of which may be overwritten, the [`key`] of each lane of `mask`,
    /// whose index is in its place of `indices`, in order.
    #[inline(always)]
    unsafe fn append_keys(self, mask: u32, indices: &[u32], keys: &mut [u64]) {
        let mut values = [0.0; PANEL];
        // SAFETY: no vector is longer than a panel.
        unsafe { self.store(values.as_mut_ptr()) };
        let lanes = (0..Self::LANES).filter(|lane| mask >> lane & 1 == 1);
        for (target, lane) in keys.iter_mut().zip(lanes) {
            *target = key(values[lane], indices[lane]);
        }
    }
    /// How many of `keys` are not below `pivot`.
    #[inline(always)]
    unsafe fn count_from(keys: &[u64], pivot: u64) -> usize {
        keys.iter().map(|key| usize::from(*key >= pivot)).sum()
    }
    /// Moves those of `keys` that are not below `pivot` to the beginning, and returns how many they are.
    #[inline(always)]
    unsafe fn keep_from(keys: &mut [u64], pivot: u64) -> usize {
        keep_rest(keys, 0, 0, pivot)
    }
    /// Writes the transpose of 16 rows of 16 values, `stride` apart, to rows that are `target_stride` apart.
    #[inline(always)]
    unsafe fn transpose(source: *const f32, stride: usize, target: *mut f32, target_stride: usize) {
        for row in 0..PANEL {
            for column in 0..PANEL {
                // SAFETY: the caller guarantees 16 rows of 16 values at both pointers.
                unsafe { *target.add(column * target_stride + row) = *source.add(row * stride + column) };
            }
        }
    }
    /// Of 8 rows of 16 pairs of bfloat16, `stride` apart: writes 8 rows of 16 pairs that are `target_stride`
    /// apart. Row p has in its columns 2 · r and 2 · r + 1 the lower and the upper halves of columns 2 · p
    /// and 2 · p + 1 of row r.
    #[inline(always)]
    unsafe fn transpose_pairs(source: *const f32, stride: usize, target: *mut f32, target_stride: usize) {
        for row in 0..PANEL / 2 {
            for pair in 0..PANEL / 2 {
                // SAFETY: the caller guarantees 8 rows of 16 values at both pointers.
                unsafe {
                    let source = source.add(row * stride + 2 * pair);
                    let [one, other] = [(*source).to_bits(), (*source.add(1)).to_bits()];
                    let target = target.add(pair * target_stride + 2 * row);
                    *target = f32::from_bits(one & 0xFFFF | other << 16);
                    *target.add(1) = f32::from_bits(one >> 16 | other & 0xFFFF_0000);
                }
            }
        }
    }
}

/// Moves those of `keys` from `first` on that are not below `pivot` behind the `kept` that were moved before,
/// one by one; returns how many are kept in all.
#[inline(always)]
fn keep_rest(keys: &mut [u64], first: usize, mut kept: usize, pivot: u64) -> usize {
    for at in first..keys.len() {
        // Without a branch, which would be mispredicted half of the time.
        let key = keys[at];
        keys[kept] = key;
        kept += usize::from(key >= pivot);
    }
    kept
}

/// The sort key of an entry: larger for a larger similarity, and among equal ones for a lower index. NaN
/// comes last.
#[inline(always)]
pub(crate) fn key(similarity: f32, index: u32) -> u64 {
    // Adding 0 makes −0 and 0 the same bits.
    let bits = (similarity + 0.0).to_bits();
    // A negative number changes all its bits, any other only its sign.
    let ordered = bits ^ ((bits as i32 >> 31) as u32 | 1 << 31);
    let ordered = if similarity.is_nan() { 0 } else { ordered };
    u64::from(ordered) << 32 | u64::from(!index)
}

impl Vector for [f32; 4] {
    const LANES: usize = 4;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        [value; 4]
    }

    #[inline(always)]
    unsafe fn load(source: *const f32) -> Self {
        // SAFETY: the caller guarantees four values; no alignment is assumed.
        unsafe { source.cast::<Self>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn store(self, target: *mut f32) {
        // SAFETY: the caller guarantees four values; no alignment is assumed.
        unsafe { target.cast::<Self>().write_unaligned(self) }
    }

    #[inline(always)]
    unsafe fn multiply_add(self, factor: Self, sum: Self) -> Self {
        std::array::from_fn(|lane| self[lane] * factor[lane] + sum[lane])
    }

    #[inline(always)]
    unsafe fn bf16_halves(self) -> (Self, Self) {
        let bits = self.map(f32::to_bits);
        (bits.map(|bits| f32::from_bits(bits << 16)), bits.map(|bits| f32::from_bits(bits & 0xFFFF_0000)))
    }

    #[inline(always)]
    unsafe fn not_below(self, bound: Self) -> u32 {
        (0..4)
            .map(|lane| u32::from(!matches!(self[lane].partial_cmp(&bound[lane]), Some(Less))) << lane)
            .sum()
    }
}
