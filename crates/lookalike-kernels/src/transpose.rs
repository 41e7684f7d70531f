//! Transposes of sixteen rows of sixteen words by the registers of AVX2.

#![cfg(target_arch = "x86_64")]
#![expect(unsafe_code, reason = "intrinsics and raw loads; each caller proves level and bounds")]
#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]

use std::arch::x86_64::{
    __m256, _mm_loadu_ps, _mm256_castpd_ps, _mm256_castps_pd, _mm256_castps128_ps256, _mm256_insertf128_ps,
    _mm256_storeu_ps, _mm256_unpackhi_pd, _mm256_unpackhi_ps, _mm256_unpacklo_pd, _mm256_unpacklo_ps,
};

/// Writes the transpose of 16 rows of 16 values, `stride` apart, to rows that are `target_stride` apart.
///
/// # Safety
/// The processor has AVX2, and there are 16 rows of 16 values at both pointers.
#[inline(always)]
pub(crate) unsafe fn transpose_16(source: *const f32, stride: usize, target: *mut f32, target_stride: usize) {
    for (row, column) in [(0, 0), (0, 8), (8, 0), (8, 8)] {
        // SAFETY: the quarters of both squares lie in them.
        unsafe {
            let source = source.add(row * stride + column);
            transpose_8(source, stride, target.add(column * target_stride + row), target_stride);
        }
    }
}

/// As [`transpose_16`], of eight rows of eight.
#[inline(always)]
unsafe fn transpose_8(source: *const f32, stride: usize, target: *mut f32, target_stride: usize) {
    // SAFETY: as the caller's; rows and columns below eight are touched.
    unsafe {
        // Rows i and i + 4 side by side, of the left four columns and of the right.
        let halves = |row: usize, column: usize| -> __m256 {
            let place = source.add(row * stride + column);
            let low = _mm256_castps128_ps256(_mm_loadu_ps(place));
            _mm256_insertf128_ps::<1>(low, _mm_loadu_ps(place.add(4 * stride)))
        };
        for column in [0, 4] {
            let rows = [halves(0, column), halves(1, column), halves(2, column), halves(3, column)];
            let [low, high] = [
                [_mm256_unpacklo_ps(rows[0], rows[1]), _mm256_unpacklo_ps(rows[2], rows[3])],
                [_mm256_unpackhi_ps(rows[0], rows[1]), _mm256_unpackhi_ps(rows[2], rows[3])],
            ]
            .map(|pair| [_mm256_castps_pd(pair[0]), _mm256_castps_pd(pair[1])]);
            let columns = [
                _mm256_unpacklo_pd(low[0], low[1]),
                _mm256_unpackhi_pd(low[0], low[1]),
                _mm256_unpacklo_pd(high[0], high[1]),
                _mm256_unpackhi_pd(high[0], high[1]),
            ];
            for (index, values) in columns.into_iter().enumerate() {
                _mm256_storeu_ps(target.add((column + index) * target_stride), _mm256_castpd_ps(values));
            }
        }
    }
}
