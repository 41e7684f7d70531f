//! 512-bit vectors: sixteen values in a register, or sixteen pairs of bfloat16.

#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]

use std::arch::x86_64::{
    __m512, __m512bh, __m512i, _CMP_GE_OQ, _CMP_LT_OQ, _CMP_NLT_UQ, _mm512_add_epi32, _mm512_and_si512,
    _mm512_andnot_si512, _mm512_castpd_ps, _mm512_castps_pd, _mm512_castps_si512, _mm512_castsi512_ps,
    _mm512_cmp_ps_mask, _mm512_dpbf16_ps, _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_mask_add_epi32,
    _mm512_mask_blend_epi32, _mm512_mask_cmp_ps_mask, _mm512_mask_storeu_epi32, _mm512_mask_storeu_ps,
    _mm512_maskz_compress_epi32, _mm512_maskz_compress_ps, _mm512_maskz_loadu_epi32, _mm512_maskz_loadu_ps,
    _mm512_or_si512, _mm512_permutex2var_ps, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setr_epi32,
    _mm512_setzero_ps, _mm512_setzero_si512, _mm512_shuffle_epi32, _mm512_shuffle_f32x4,
    _mm512_shuffle_i64x2, _mm512_slli_epi32, _mm512_srli_epi32, _mm512_storeu_ps, _mm512_storeu_si512,
    _mm512_unpackhi_epi64, _mm512_unpackhi_pd, _mm512_unpackhi_ps, _mm512_unpacklo_epi64, _mm512_unpacklo_pd,
    _mm512_unpacklo_ps,
};

use super::{PANEL, Vector};
use crate::bf16;

impl Vector for __m512 {
    const LANES: usize = 16;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: the caller guarantees AVX-512F.
        unsafe { _mm512_set1_ps(value) }
    }

    #[inline(always)]
    unsafe fn load(source: *const f32) -> Self {
        // SAFETY: the caller guarantees AVX-512F and sixteen values.
        unsafe { _mm512_loadu_ps(source) }
    }

    #[inline(always)]
    unsafe fn store(self, target: *mut f32) {
        // SAFETY: the caller guarantees AVX-512F and sixteen values.
        unsafe { _mm512_storeu_ps(target, self) }
    }

    #[inline(always)]
    unsafe fn multiply_add(self, factor: Self, sum: Self) -> Self {
        // SAFETY: the caller guarantees AVX-512F.
        unsafe { _mm512_fmadd_ps(self, factor, sum) }
    }

    #[inline(always)]
    unsafe fn bf16_halves(self) -> (Self, Self) {
        // SAFETY: the caller guarantees AVX-512F.
        unsafe {
            let bits = _mm512_castps_si512(self);
            let upper = _mm512_and_si512(bits, _mm512_set1_epi32(i32::MIN >> 15));
            (_mm512_castsi512_ps(_mm512_slli_epi32::<16>(bits)), _mm512_castsi512_ps(upper))
        }
    }

    #[inline(always)]
    unsafe fn not_below(self, bound: Self) -> u32 {
        // SAFETY: the caller guarantees AVX-512F.
        unsafe { u32::from(_mm512_cmp_ps_mask::<_CMP_NLT_UQ>(self, bound)) }
    }

    #[inline(always)]
    unsafe fn append(self, mask: u32, indices: &[u32], values: &mut [f32], kept: &mut [u32]) {
        assert!(values.len() >= 16 && kept.len() >= 16);
        assert!((32 - mask.leading_zeros()) as usize <= indices.len());
        // SAFETY: the caller guarantees AVX-512F; indices are read where `mask` has bits, which ends within
        // them, and sixteen of each written.
        unsafe {
            let mask = mask as u16;
            let indices = _mm512_maskz_loadu_epi32(mask, indices.as_ptr().cast());
            let (dense, places) = if mask == u16::MAX {
                (self, indices)
            } else {
                (_mm512_maskz_compress_ps(mask, self), _mm512_maskz_compress_epi32(mask, indices))
            };
            _mm512_storeu_ps(values.as_mut_ptr(), dense);
            _mm512_storeu_si512(kept.as_mut_ptr().cast(), places);
        }
    }

    #[inline(always)]
    unsafe fn keep_from(values: &mut [f32], indices: &mut [u32], pivot: f32) -> usize {
        assert_eq!(values.len(), indices.len());
        let (length, mut kept) = (values.len(), 0);
        let (values, indices) = (values.as_mut_ptr(), indices.as_mut_ptr().cast::<i32>());
        for at in (0..length).step_by(16) {
            // SAFETY: the caller guarantees AVX-512F; only entries that there are, are read and written, and as
            // no more are kept than were read, none is overwritten before it is read.
            unsafe {
                let here = ((1_u32 << (length - at).min(16)) - 1) as u16;
                let entries = _mm512_maskz_loadu_ps(here, values.add(at));
                let numbers = _mm512_maskz_loadu_epi32(here, indices.add(at));
                let above = _mm512_mask_cmp_ps_mask::<_CMP_GE_OQ>(here, entries, _mm512_set1_ps(pivot));
                let count = above.count_ones();
                let written = ((1_u32 << count) - 1) as u16;
                let dense = _mm512_maskz_compress_ps(above, entries);
                _mm512_mask_storeu_ps(values.add(kept), written, dense);
                let dense = _mm512_maskz_compress_epi32(above, numbers);
                _mm512_mask_storeu_epi32(indices.add(kept), written, dense);
                kept += count as usize;
            }
        }
        kept
    }

    #[inline(always)]
    unsafe fn pairs(values: &[f32; 2 * PANEL]) -> [u32; PANEL] {
        // SAFETY: the caller guarantees AVX-512F; both halves have sixteen values, and words are 512 bits.
        unsafe {
            let first = _mm512_loadu_ps(values.as_ptr());
            let second = _mm512_loadu_ps(values.as_ptr().add(PANEL));
            let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
            let odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
            let low = _mm512_permutex2var_ps(first, even, second);
            let high = _mm512_permutex2var_ps(first, odd, second);
            let low = std::mem::transmute::<__m512, [f32; PANEL]>(low);
            let high = std::mem::transmute::<__m512, [f32; PANEL]>(high);
            let mut words = [0; PANEL];
            for word in 0..PANEL {
                words[word] = bf16::pair(low[word], high[word]);
            }
            words
        }
    }

    #[inline(always)]
    unsafe fn count_above(own: &[f32; PANEL], others: &[f32]) -> [u32; PANEL] {
        // SAFETY: the caller guarantees AVX-512F; both arrays are 512 bits.
        unsafe {
            let own = _mm512_loadu_ps(own.as_ptr());
            let one = _mm512_set1_epi32(1);
            // Two sums, as each addition waits for the one before.
            let mut sums = [_mm512_setzero_si512(); 2];
            let (pairs, rest) = others.as_chunks::<2>();
            for pair in pairs {
                for half in 0..2 {
                    let above = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(own, _mm512_set1_ps(pair[half]));
                    sums[half] = _mm512_mask_add_epi32(sums[half], above, sums[half], one);
                }
            }
            for other in rest {
                let above = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(own, _mm512_set1_ps(*other));
                sums[0] = _mm512_mask_add_epi32(sums[0], above, sums[0], one);
            }
            std::mem::transmute::<__m512i, [u32; PANEL]>(_mm512_add_epi32(sums[0], sums[1]))
        }
    }

    #[inline(always)]
    unsafe fn transpose(source: *const f32, stride: usize, target: *mut f32, target_stride: usize) {
        // SAFETY: the caller guarantees AVX-512F and for 16 rows of 16 values at both pointers.
        unsafe {
            // Loops instead of closures: those would not be compiled for these registers. `rows[4 · i + j]`
            // holds, for each four columns in turn, the values of rows 4 · i to 4 · i + 3 in the `j`-th of
            // them.
            let mut rows = [_mm512_setzero_ps(); PANEL];
            for four in (0..PANEL).step_by(4) {
                let place = source.add(four * stride);
                let [a, b] = [_mm512_loadu_ps(place), _mm512_loadu_ps(place.add(stride))];
                let [c, d] = [_mm512_loadu_ps(place.add(2 * stride)), _mm512_loadu_ps(place.add(3 * stride))];
                let [ab, cd] = [_mm512_unpacklo_ps(a, b), _mm512_unpacklo_ps(c, d)];
                let [ab, cd] = [_mm512_castps_pd(ab), _mm512_castps_pd(cd)];
                rows[four] = _mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd));
                rows[four + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd));
                let [ab, cd] = [_mm512_unpackhi_ps(a, b), _mm512_unpackhi_ps(c, d)];
                let [ab, cd] = [_mm512_castps_pd(ab), _mm512_castps_pd(cd)];
                rows[four + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(ab, cd));
                rows[four + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(ab, cd));
            }
            for column in 0..4 {
                let [a, b, c, d] = [rows[column], rows[column + 4], rows[column + 8], rows[column + 12]];
                let [even_ab, odd_ab] =
                    [_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0xDD>(a, b)];
                let [even_cd, odd_cd] =
                    [_mm512_shuffle_f32x4::<0x88>(c, d), _mm512_shuffle_f32x4::<0xDD>(c, d)];
                let target = target.add(column * target_stride);
                _mm512_storeu_ps(target, _mm512_shuffle_f32x4::<0x88>(even_ab, even_cd));
                _mm512_storeu_ps(target.add(4 * target_stride), _mm512_shuffle_f32x4::<0x88>(odd_ab, odd_cd));
                _mm512_storeu_ps(
                    target.add(8 * target_stride),
                    _mm512_shuffle_f32x4::<0xDD>(even_ab, even_cd),
                );
                _mm512_storeu_ps(
                    target.add(12 * target_stride),
                    _mm512_shuffle_f32x4::<0xDD>(odd_ab, odd_cd),
                );
            }
        }
    }

    #[inline(always)]
    unsafe fn transpose_pairs(source: *const f32, stride: usize, target: *mut f32, target_stride: usize) {
        // SAFETY: the caller guarantees AVX-512F and for 8 rows of 16 values at both pointers.
        unsafe {
            let upper = _mm512_set1_epi32(i32::MIN >> 15);
            // Each 64 bits hold two images of two channels, and shall hold two channels of two images.
            let mut rows = [_mm512_setzero_si512(); PANEL / 2];
            for (row, target) in rows.iter_mut().enumerate() {
                let words = _mm512_castps_si512(_mm512_loadu_ps(source.add(row * stride)));
                let turned = _mm512_shuffle_epi32::<0b10_11_00_01>(words);
                let low = _mm512_or_si512(_mm512_andnot_si512(upper, words), _mm512_slli_epi32::<16>(turned));
                let high = _mm512_or_si512(_mm512_and_si512(upper, words), _mm512_srli_epi32::<16>(turned));
                *target = _mm512_mask_blend_epi32(0xAAAA, low, high);
            }
            // Eight rows of eight such become columns.
            let mut twos = [_mm512_setzero_si512(); PANEL / 2];
            for pair in 0..4 {
                twos[2 * pair] = _mm512_unpacklo_epi64(rows[2 * pair], rows[2 * pair + 1]);
                twos[2 * pair + 1] = _mm512_unpackhi_epi64(rows[2 * pair], rows[2 * pair + 1]);
            }
            for odd in 0..2 {
                let [a, b, c, d] = [twos[odd], twos[odd + 2], twos[odd + 4], twos[odd + 6]];
                let even_ab = _mm512_shuffle_i64x2::<0x88>(a, b);
                let odd_ab = _mm512_shuffle_i64x2::<0xDD>(a, b);
                let even_cd = _mm512_shuffle_i64x2::<0x88>(c, d);
                let odd_cd = _mm512_shuffle_i64x2::<0xDD>(c, d);
                for (row, [ab, cd], late) in [
                    (odd, [even_ab, even_cd], false),
                    (odd + 2, [odd_ab, odd_cd], false),
                    (odd + 4, [even_ab, even_cd], true),
                    (odd + 6, [odd_ab, odd_cd], true),
                ] {
                    let values = if late {
                        _mm512_shuffle_i64x2::<0xDD>(ab, cd)
                    } else {
                        _mm512_shuffle_i64x2::<0x88>(ab, cd)
                    };
                    _mm512_storeu_si512(target.add(row * target_stride).cast(), values);
                }
            }
        }
    }
}

/// Sixteen pairs of bfloat16 in the bits of as many `f32`, which sums of their products are.
#[derive(Clone, Copy)]
pub(crate) struct Bf16Avx512(__m512);

impl Vector for Bf16Avx512 {
    const LANES: usize = 16;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        // SAFETY: the caller guarantees AVX-512F.
        Self(unsafe { _mm512_set1_ps(value) })
    }

    #[inline(always)]
    unsafe fn load(source: *const f32) -> Self {
        // SAFETY: the caller guarantees AVX-512F and sixteen values.
        Self(unsafe { _mm512_loadu_ps(source) })
    }

    #[inline(always)]
    unsafe fn store(self, target: *mut f32) {
        // SAFETY: the caller guarantees AVX-512F and sixteen values.
        unsafe { _mm512_storeu_ps(target, self.0) }
    }

    #[inline(always)]
    unsafe fn multiply_add(self, factor: Self, sum: Self) -> Self {
        // SAFETY: the caller guarantees AVX512-BF16; both types are 512 bits without meaning of their own.
        unsafe {
            let pairs = std::mem::transmute::<[__m512; 2], [__m512bh; 2]>([self.0, factor.0]);
            Self(_mm512_dpbf16_ps(sum.0, pairs[0], pairs[1]))
        }
    }

    #[inline(always)]
    unsafe fn bf16_halves(self) -> (Self, Self) {
        // SAFETY: the caller guarantees AVX-512F.
        let (low, high) = unsafe { self.0.bf16_halves() };
        (Self(low), Self(high))
    }

    #[inline(always)]
    unsafe fn not_below(self, bound: Self) -> u32 {
        // SAFETY: the caller guarantees AVX-512F.
        unsafe { self.0.not_below(bound.0) }
    }
}
