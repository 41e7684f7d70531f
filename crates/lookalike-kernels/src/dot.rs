//! The inner product, with run-time dispatch to the widest vectors of the processor.

/// Independent partial sums: enough to fill four 256-bit registers and to hide the latency of addition.
const LANES: usize = 32;
/// How many rows ahead of its use a row is asked for.
const AHEAD: usize = 4;
/// Values in a line of the cache.
#[cfg(target_arch = "x86_64")]
const FLOATS_A_LINE: usize = 16;

/// The inner product of `a` and `b`; where they differ in length, of their common beginning.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut similarity = [0.0];
    Level::detect().similarities(a, b, &[0], &mut similarity);
    similarity[0]
}

/// What the processor offers. Detected once a call, so that the inner loops hold no branch on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// Whatever the target guarantees.
    Portable,
    /// 256-bit vectors with fused multiply-add.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// 512-bit vectors with fused multiply-add.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Level {
    /// The best level that this processor has.
    pub(crate) fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") {
                return Self::Avx512;
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                return Self::Avx2;
            }
        }
        Self::Portable
    }

    /// Every level that this processor has.
    #[cfg(test)]
    pub(crate) fn all() -> Vec<Self> {
        #[cfg(target_arch = "x86_64")]
        {
            let has_avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            let has_avx512 = is_x86_feature_detected!("avx512f");
            let wide = [(Self::Avx2, has_avx2), (Self::Avx512, has_avx512)];
            let wide = wide.into_iter().filter(|(_, has)| *has).map(|(level, _)| level);
            std::iter::once(Self::Portable).chain(wide).collect()
        }
        #[cfg(not(target_arch = "x86_64"))]
        vec![Self::Portable]
    }

    /// Writes to `similarities` the inner products of `query` with those rows of `rows` that `chosen` names; rows are
    /// as wide as the query.
    #[cfg_attr(
        target_arch = "x86_64",
        expect(
            unsafe_code,
            reason = "a level other than portable is only made by detect, where the processor has it"
        )
    )]
    pub(crate) fn similarities(self, query: &[f32], rows: &[f32], chosen: &[u32], similarities: &mut [f32]) {
        match self {
            Self::Portable => similarities_with::<false>(query, rows, chosen, similarities),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `detect` found AVX2 and FMA.
            Self::Avx2 => unsafe { similarities_avx2(query, rows, chosen, similarities) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `detect` found AVX-512F.
            Self::Avx512 => unsafe { similarities_avx512(query, rows, chosen, similarities) },
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn similarities_avx2(query: &[f32], rows: &[f32], chosen: &[u32], similarities: &mut [f32]) {
    similarities_with::<true>(query, rows, chosen, similarities);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn similarities_avx512(query: &[f32], rows: &[f32], chosen: &[u32], similarities: &mut [f32]) {
    similarities_with::<true>(query, rows, chosen, similarities);
}

/// Asks for the first `columns` values to be brought near: rows chosen at random are nowhere a prefetcher looks.
#[cfg_attr(target_arch = "x86_64", expect(unsafe_code, reason = "a prefetch takes a pointer"))]
#[expect(clippy::inline_always, reason = "it is a few instructions in the innermost loop but one")]
#[inline(always)]
fn prefetch(values: &[f32], columns: usize) {
    #[cfg(target_arch = "x86_64")]
    for line in values.get(..columns).unwrap_or_default().chunks(FLOATS_A_LINE) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: x86-64 has SSE, and a prefetch of whatever address has no effect but on time.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (values, columns);
}

/// The loop that each level compiles for itself.
#[expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]
#[inline(always)]
fn similarities_with<const FUSED: bool>(
    query: &[f32],
    rows: &[f32],
    chosen: &[u32],
    similarities: &mut [f32],
) {
    let columns = query.len();
    for (at, (similarity, row)) in similarities.iter_mut().zip(chosen).enumerate() {
        if let Some(ahead) = chosen.get(at + AHEAD) {
            prefetch(rows.get(*ahead as usize * columns..).unwrap_or_default(), columns);
        }
        *similarity = dot_with::<FUSED>(query, &rows[*row as usize * columns..][..columns]);
    }
}

#[expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]
#[inline(always)]
fn dot_with<const FUSED: bool>(a: &[f32], b: &[f32]) -> f32 {
    let multiply_add = |a: f32, b: f32, sum: f32| if FUSED { a.mul_add(b, sum) } else { a * b + sum };
    let mut sums = [0.0; LANES];
    let (a_chunks, a_rest) = a.as_chunks::<LANES>();
    let (b_chunks, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for lane in 0..LANES {
            sums[lane] = multiply_add(a[lane], b[lane], sums[lane]);
        }
    }
    for (sum, (a, b)) in sums.iter_mut().zip(a_rest.iter().zip(b_rest)) {
        *sum = multiply_add(*a, *b, *sum);
    }
    let mut width = LANES;
    while width > 1 {
        width /= 2;
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
    }
    sums[0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn obvious_dot(a: &[f32], b: &[f32]) -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    }

    proptest! {
        #[test]
        fn the_inner_product_is_that_of_the_obvious_loop_at_every_level(
            pairs in prop::collection::vec((-1.0_f32..1.0, -1.0_f32..1.0), 1..200),
        ) {
            let (a, b): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
            let expected = obvious_dot(&a, &b);
            for level in Level::all() {
                let mut similarity = [0.0];
                level.similarities(&a, &b, &[0], &mut similarity);
                prop_assert!((f64::from(similarity[0]) - expected).abs() < 1e-5);
            }
            prop_assert!((f64::from(dot(&a, &b)) - expected).abs() < 1e-5);
        }
    }
}
