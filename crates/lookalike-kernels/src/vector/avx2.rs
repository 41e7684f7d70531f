//! 256-bit vectors: eight values in a register.

#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]

use std::arch::x86_64::{
    __m256, _CMP_NLT_UQ, _CMP_ORD_Q, _mm_cvtsi64_si128, _mm256_add_ps, _mm256_and_si256, _mm256_castps_si256,
    _mm256_castsi256_pd, _mm256_castsi256_ps, _mm256_cmp_ps, _mm256_cmpgt_epi64, _mm256_cvtepu8_epi32,
    _mm256_fmadd_ps, _mm256_loadu_ps, _mm256_loadu_si256, _mm256_maskload_epi32, _mm256_movemask_pd,
    _mm256_movemask_ps, _mm256_or_si256, _mm256_permute2x128_si256, _mm256_permutevar8x32_epi32,
    _mm256_set1_epi32, _mm256_set1_epi64x, _mm256_set1_ps, _mm256_setr_epi32, _mm256_setzero_ps,
    _mm256_slli_epi32, _mm256_sllv_epi32, _mm256_srai_epi32, _mm256_storeu_ps, _mm256_storeu_si256,
    _mm256_unpackhi_epi32, _mm256_unpacklo_epi32, _mm256_xor_si256,
};

use super::{Vector, keep_rest};
use crate::transpose::transpose_16;

/// For each set of four lanes that of the eight halves of its members.
const TWICE: [u8; 16] = {
    let mut sets = [0; 16];
    let mut set = 0;
    while set < 16 {
        let mut lane = 0;
        while lane < 4 {
            sets[set] |= ((set as u8 >> lane & 1) * 3) << (2 * lane);
            lane += 1;
        }
        set += 1;
    }
    sets
};

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
    unsafe fn append_keys(self, mask: u32, indices: &[u32], keys: &mut [u64]) {
        assert!(keys.len() >= 8 && mask < 256 && (32 - mask.leading_zeros()) as usize <= indices.len());
        // SAFETY: the caller guarantees AVX2; indices are read where `mask` has bits, which ends within them,
        // and eight keys written.
        unsafe {
            let places = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(PLACES[mask as usize].cast_signed()));
            // As in `key`, eight at a time.
            let values = _mm256_add_ps(self, _mm256_setzero_ps());
            let bits = _mm256_castps_si256(values);
            let flipped = _mm256_or_si256(_mm256_srai_epi32::<31>(bits), _mm256_set1_epi32(i32::MIN));
            let numbers = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_ORD_Q>(values, values));
            let ordered = _mm256_and_si256(_mm256_xor_si256(bits, flipped), numbers);
            // A lane's bit moved to its sign says whether its index is read.
            let read = _mm256_sllv_epi32(
                _mm256_set1_epi32(mask.cast_signed()),
                _mm256_setr_epi32(31, 30, 29, 28, 27, 26, 25, 24),
            );
            let indices = _mm256_maskload_epi32(indices.as_ptr().cast(), read);
            let ordered = _mm256_permutevar8x32_epi32(ordered, places);
            let indices =
                _mm256_permutevar8x32_epi32(_mm256_xor_si256(indices, _mm256_set1_epi32(-1)), places);
            // Pairs of lanes 0, 1, 4, 5 and of 2, 3, 6, 7.
            let (even, odd) =
                (_mm256_unpacklo_epi32(indices, ordered), _mm256_unpackhi_epi32(indices, ordered));
            _mm256_storeu_si256(keys.as_mut_ptr().cast(), _mm256_permute2x128_si256::<0x20>(even, odd));
            _mm256_storeu_si256(
                keys.as_mut_ptr().add(4).cast(),
                _mm256_permute2x128_si256::<0x31>(even, odd),
            );
        }
    }

    #[inline(always)]
    unsafe fn keep_from(keys: &mut [u64], pivot: u64) -> usize {
        let mut kept = 0;
        let whole = keys.len() / 4 * 4;
        // Vectors are compared as signed numbers: with the highest bit of both changed that is the order of
        // unsigned ones.
        let sign = 1 << 63;
        for at in (0..whole).step_by(4) {
            // SAFETY: the caller guarantees AVX2; only keys that there are, are read, and as no more are kept
            // than were read, the four that are written were read before.
            unsafe {
                let values = _mm256_loadu_si256(keys.as_ptr().add(at).cast());
                let signed = |values| _mm256_xor_si256(values, _mm256_set1_epi64x(sign));
                let below =
                    _mm256_cmpgt_epi64(signed(_mm256_set1_epi64x(pivot.cast_signed())), signed(values));
                let above = !_mm256_movemask_pd(_mm256_castsi256_pd(below)).cast_unsigned() & 15;
                // Each key is two lanes of 32 bits.
                let lanes = TWICE[above as usize];
                let places = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(PLACES[lanes as usize].cast_signed()));
                let dense = _mm256_permutevar8x32_epi32(values, places);
                _mm256_storeu_si256(keys.as_mut_ptr().add(kept).cast(), dense);
                kept += above.count_ones() as usize;
            }
        }
        keep_rest(keys, whole, kept, pivot)
    }

    #[inline(always)]
    unsafe fn transpose(source: *const f32, stride: usize, target: *mut f32, target_stride: usize) {
        // SAFETY: as the caller's.
        unsafe { transpose_16(source, stride, target, target_stride) }
    }
}
