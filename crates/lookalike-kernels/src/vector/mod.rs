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

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{__m256, __m512};
use std::cmp::Ordering::Less;
use std::marker::PhantomData;

use crate::bf16;
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

/// Work to be compiled for the registers of each level.
pub(crate) trait VectorWork {
    /// What it computes.
    type Output;
    /// The work, to be marked `#[inline(always)]`. `FUSED` is as in [`Work`].
    fn run<V: Vector, const FUSED: bool>(self) -> Self::Output;
}

struct With<V, W>(W, PhantomData<V>);

impl<V: Vector, W: VectorWork> Work for With<V, W> {
    type Output = W::Output;

    #[inline(always)]
    fn run<const FUSED: bool>(self) -> W::Output {
        self.0.run::<V, FUSED>()
    }
}

impl Level {
    /// Runs `work` with the registers of this level.
    pub(crate) fn run_vectors<W: VectorWork>(self, work: W) -> W::Output {
        match self {
            Self::Portable => With::<[f32; 4], _>(work, PhantomData).run::<false>(),
            // Not by `Level::run`, which would compile the work with these registers for every level.
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `detect` found AVX2 and FMA.
            Self::Avx2 => unsafe { run_avx2(With::<__m256, _>(work, PhantomData)) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `detect` found AVX-512F.
            Self::Avx512 => unsafe { run_avx512(With::<__m512, _>(work, PhantomData)) },
        }
    }
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

/// Asks for the cache line of `address`, which may be any address, for the second cache: it is not needed soon.
#[inline(always)]
pub(crate) fn prefetch_far<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 has SSE, and no address is an error.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T1 }>(address.cast());
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
    /// Writes the lanes of `mask`, in order, to the beginning of `values`, and the numbers in their places of
    /// `indices` to that of `kept`. As many as a panel has may be overwritten of both.
    #[inline(always)]
    unsafe fn append(self, mask: u32, indices: &[u32], values: &mut [f32], kept: &mut [u32]) {
        let mut lanes = [0.0; PANEL];
        // SAFETY: no vector is longer than a panel.
        unsafe { self.store(lanes.as_mut_ptr()) };
        let chosen = (0..Self::LANES).filter(|lane| mask >> lane & 1 == 1);
        for ((value, index), lane) in values.iter_mut().zip(kept).zip(chosen) {
            (*value, *index) = (lanes[lane], indices[lane]);
        }
    }
    /// Moves those of `values` that are at least `pivot` to the beginning, and their numbers in `indices` too, and
    /// returns how many they are. NaN is not.
    #[inline(always)]
    unsafe fn keep_from(values: &mut [f32], indices: &mut [u32], pivot: f32) -> usize {
        keep_rest(values, indices, 0, 0, pivot)
    }
    /// The words of 32 values in their order: pairs of bfloat16, the first in the lower half.
    #[inline(always)]
    unsafe fn pairs(values: &[f32; 2 * PANEL]) -> [u32; PANEL] {
        let mut words = [0; PANEL];
        for word in 0..PANEL {
            words[word] = bf16::pair(values[2 * word], values[2 * word + 1]);
        }
        words
    }
    /// For each of `own` how many of `others` are above it.
    #[inline(always)]
    unsafe fn count_above(own: &[f32; PANEL], others: &[f32]) -> [u32; PANEL] {
        let mut above = [0; PANEL];
        for other in others {
            for lane in 0..PANEL {
                above[lane] += u32::from(*other > own[lane]);
            }
        }
        above
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

/// Moves those of `values` from `first` on that are at least `pivot`, and their numbers, behind the `kept` that were
/// moved before, one by one; returns how many are kept in all.
#[inline(always)]
fn keep_rest(values: &mut [f32], indices: &mut [u32], first: usize, mut kept: usize, pivot: f32) -> usize {
    for at in first..values.len() {
        // Without a branch, which would be mispredicted half of the time.
        (values[kept], indices[kept]) = (values[at], indices[at]);
        kept += usize::from(values[kept] >= pivot);
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
