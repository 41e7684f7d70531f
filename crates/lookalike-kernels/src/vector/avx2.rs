//! 256-bit vectors: eight values in a register.

#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]

use std::arch::x86_64::{
    __m256, _CMP_GE_OQ, _CMP_NLT_UQ, _mm_cvtsi64_si128, _mm256_and_si256, _mm256_castps_si256,
    _mm256_castsi256_ps, _mm256_cmp_ps, _mm256_cvtepu8_epi32, _mm256_fmadd_ps, _mm256_loadu_ps,
    _mm256_loadu_si256, _mm256_maskload_epi32, _mm256_movemask_ps, _mm256_permutevar8x32_epi32,
    _mm256_permutevar8x32_ps, _mm256_set1_epi32, _mm256_set1_ps, _mm256_setr_epi32, _mm256_slli_epi32,
    _mm256_sllv_epi32, _mm256_storeu_ps, _mm256_storeu_si256,
};

use super::{Vector, keep_rest};
use crate::transpose::transpose_16;

/// For each set of eight lanes the numbers of its members, the lowest first and in the lowest byte.
static PLACES: [u64; 256] = {
    let mut places = [0; 256];
    let mut set = 0;
    while set < 256 {
        let (mut lane, mut found) = (0, 0);
        while lane < 8 {
            if set >> lane & 1 == 1 {
                places[set] |= (lane as u64) << (8 * found);
                found += 1;
            }
            lane += 1;
        }
        set += 1;
    }
    places
};

impl Vector for __m256 {
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: the caller guarantees AVX.
        unsafe { _mm256_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn load(source: *const f32) -> Self {
        // SAFETY: the caller guarantees AVX and eight values.
        unsafe { _mm256_loadu_ps(source) }
    }

    #[inline(always)]
    unsafe fn store(self, target: *mut f32) {
        // SAFETY: the caller guarantees AVX and eight values.
        unsafe { _mm256_storeu_ps(target, self) }
    }

    #[inline(always)]
    unsafe fn multiply_add(self, factor: Self, sum: Self) -> Self {
        // SAFETY: the caller guarantees FMA.
        unsafe { _mm256_fmadd_ps(self, factor, sum) }
    }

    #[inline(always)]
    unsafe fn bf16_halves(self) -> (Self, Self) {
        // SAFETY: the caller guarantees AVX2.
        unsafe {
            let bits = _mm256_castps_si256(self);
            let upper = _mm256_and_si256(bits, _mm256_set1_epi32(i32::MIN >> 15));
            (_mm256_castsi256_ps(_mm256_slli_epi32::<16>(bits)), _mm256_castsi256_ps(upper))
        }
    }

    #[inline(always)]
    unsafe fn not_below(self, bound: Self) -> u32 {
        // SAFETY: the caller guarantees AVX.
        unsafe { _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_NLT_UQ>(self, bound)) as u32 }
    }

    #[inline(always)]
    unsafe fn append(self, mask: u32, indices: &[u32], values: &mut [f32], kept: &mut [u32]) {
        assert!(values.len() >= 8 && kept.len() >= 8 && mask < 256);
        assert!((32 - mask.leading_zeros()) as usize <= indices.len());
        // SAFETY: the caller guarantees AVX2; indices are read where `mask` has bits, which ends within them,
        // and eight of each written.
        unsafe {
            let places = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(PLACES[mask as usize].cast_signed()));
            // A lane's bit moved to its sign says whether its index is read.
            let read = _mm256_sllv_epi32(
                _mm256_set1_epi32(mask.cast_signed()),
                _mm256_setr_epi32(31, 30, 29, 28, 27, 26, 25, 24),
            );
            let indices = _mm256_maskload_epi32(indices.as_ptr().cast(), read);
            _mm256_storeu_ps(values.as_mut_ptr(), _mm256_permutevar8x32_ps(self, places));
            _mm256_storeu_si256(kept.as_mut_ptr().cast(), _mm256_permutevar8x32_epi32(indices, places));
        }
    }

    #[inline(always)]
    unsafe fn keep_from(values: &mut [f32], indices: &mut [u32], pivot: f32) -> usize {
        assert_eq!(values.len(), indices.len());
        let (whole, mut kept) = (values.len() / 8 * 8, 0);
        for at in (0..whole).step_by(8) {
            // SAFETY: the caller guarantees AVX2; only entries that there are, are read, and as no more are kept
            // than were read, the eight that are written were read before.
            unsafe {
                let entries = _mm256_loadu_ps(values.as_ptr().add(at));
                let numbers = _mm256_loadu_si256(indices.as_ptr().add(at).cast());
                let above = _mm256_cmp_ps::<_CMP_GE_OQ>(entries, _mm256_set1_ps(pivot));
                let above = _mm256_movemask_ps(above).cast_unsigned();
                let places = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(PLACES[above as usize].cast_signed()));
                _mm256_storeu_ps(values.as_mut_ptr().add(kept), _mm256_permutevar8x32_ps(entries, places));
                let dense = _mm256_permutevar8x32_epi32(numbers, places);
                _mm256_storeu_si256(indices.as_mut_ptr().add(kept).cast(), dense);
                kept += above.count_ones() as usize;
            }
        }
        keep_rest(values, indices, whole, kept, pivot)
    }

    #[inline(always)]
    unsafe fn transpose(source: *const f32, stride: usize, target: *mut f32, target_stride: usize) {
        // SAFETY: as the caller's.
        unsafe { transpose_16(source, stride, target, target_stride) }
    }
}
