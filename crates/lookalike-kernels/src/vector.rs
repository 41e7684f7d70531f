//! What each level compiles for itself: loops that the compiler vectorises, and registers for tiles written by hand.

#![expect(unsafe_code, reason = "intrinsics and raw loads; each caller proves level and bounds")]
#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{
    __m256, __m512, _CMP_NLT_UQ, _mm256_cmp_ps, _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_movemask_ps,
    _mm256_set1_ps, _mm256_storeu_ps, _mm512_cmp_ps_mask, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_set1_ps,
    _mm512_storeu_ps,
};
use std::cmp::Ordering::Less;

use crate::dot::Level;

/// A loop to be compiled for each level.
pub(crate) trait Work {
    /// What it computes.
    type Output;
    /// The loop, to be marked `#[inline(always)]`. `FUSED` says whether multiplication and addition are one instruction.
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

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn run_avx2<W: Work>(work: W) -> W::Output {
    work.run::<true>()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn run_avx512<W: Work>(work: W) -> W::Output {
    work.run::<true>()
}

/// a · b + c, in one instruction where there is one.
#[inline(always)]
pub(crate) fn multiply_add<const FUSED: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FUSED { a.mul_add(b, c) } else { a * b + c }
}

/// A register of [`LANES`](Vector::LANES) values.
///
/// # Safety
/// Every function needs a processor that has the register, and is to be inlined into a function that enables it.
/// `load` and `store` touch `LANES` values from the pointer on.
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
    /// A bit for each lane, the lowest first, that is not below that of `bound`; NaN is below nothing.
    unsafe fn not_below(self, bound: Self) -> u32;
}

impl Vector for [f32; 4] {
    const LANES: usize = 4;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        [value; 4]
    }

    #[inline(always)]
    unsafe fn load(source: *const f32) -> Self {
        // SAFETY: the caller vouches for four values; no alignment is assumed.
        unsafe { source.cast::<Self>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn store(self, target: *mut f32) {
        // SAFETY: the caller vouches for four values; no alignment is assumed.
        unsafe { target.cast::<Self>().write_unaligned(self) }
    }

    #[inline(always)]
    unsafe fn multiply_add(self, factor: Self, sum: Self) -> Self {
        std::array::from_fn(|lane| self[lane] * factor[lane] + sum[lane])
    }

    #[inline(always)]
    unsafe fn not_below(self, bound: Self) -> u32 {
        (0..4)
            .map(|lane| u32::from(!matches!(self[lane].partial_cmp(&bound[lane]), Some(Less))) << lane)
            .sum()
    }
}

#[cfg(target_arch = "x86_64")]
impl Vector for __m256 {
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: the caller vouches for AVX.
        unsafe { _mm256_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn load(source: *const f32) -> Self {
        // SAFETY: the caller vouches for AVX and eight values.
        unsafe { _mm256_loadu_ps(source) }
    }

    #[inline(always)]
    unsafe fn store(self, target: *mut f32) {
        // SAFETY: the caller vouches for AVX and eight values.
        unsafe { _mm256_storeu_ps(target, self) }
    }

    #[inline(always)]
    unsafe fn multiply_add(self, factor: Self, sum: Self) -> Self {
        // SAFETY: the caller vouches for FMA.
        unsafe { _mm256_fmadd_ps(self, factor, sum) }
    }

    #[inline(always)]
    unsafe fn not_below(self, bound: Self) -> u32 {
        // SAFETY: the caller vouches for AVX.
        unsafe { _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_NLT_UQ>(self, bound)) as u32 }
    }
}

#[cfg(target_arch = "x86_64")]
impl Vector for __m512 {
    const LANES: usize = 16;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: the caller vouches for AVX-512F.
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn load(source: *const f32) -> Self {
        // SAFETY: the caller vouches for AVX-512F and sixteen values.
        unsafe { _mm512_loadu_ps(source) }
    }

    #[inline(always)]
    unsafe fn store(self, target: *mut f32) {
        // SAFETY: the caller vouches for AVX-512F and sixteen values.
        unsafe { _mm512_storeu_ps(target, self) }
    }

    #[inline(always)]
    unsafe fn multiply_add(self, factor: Self, sum: Self) -> Self {
        // SAFETY: the caller vouches for AVX-512F.
        unsafe { _mm512_fmadd_ps(self, factor, sum) }
    }

    #[inline(always)]
    unsafe fn not_below(self, bound: Self) -> u32 {
        // SAFETY: the caller vouches for AVX-512F.
        unsafe { u32::from(_mm512_cmp_ps_mask::<_CMP_NLT_UQ>(self, bound)) }
    }
}
