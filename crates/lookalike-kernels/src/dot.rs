//! The inner product, with run-time dispatch to the widest vectors of the processor.

use crate::vector::{Work, multiply_add};

/// Independent partial sums: enough to fill four 256-bit registers and to hide the latency of addition.
const LANES: usize = 32;

/// The inner product of `a` and `b`; where they differ in length, of their common beginning.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    Level::detect().run(Dots(a, [b]))[0]
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

    /// Whether this level has products of two pairs of bfloat16 in one instruction.
    pub(crate) fn multiplies_pairs(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => is_x86_feature_detected!("avx512bf16"),
            _ => false,
        }
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
}

/// The inner products of one row with each of several, which are read side by side: a processor that waits for one of them from
/// memory waits for all at once. Each is summed in the same order however many there are.
pub(crate) struct Dots<'a, const N: usize>(pub(crate) &'a [f32], pub(crate) [&'a [f32]; N]);

impl<const N: usize> Work for Dots<'_, N> {
    type Output = [f32; N];

    #[expect(
        clippy::inline_always,
        reason = "only code inlined into a function with target features may use them"
    )]
    #[inline(always)]
    fn run<const FUSED: bool>(self) -> [f32; N] {
        let Self(own, others) = self;
        let mut sums = [[0.0; LANES]; N];
        let shortest = others.iter().fold(own.len(), |least, other| least.min(other.len()));
        let (own, others) = (&own[..shortest], others.map(|other| &other[..shortest]));
        for begin in (0..shortest / LANES * LANES).step_by(LANES) {
            for (sums, other) in sums.iter_mut().zip(others) {
                let (own, other) = (&own[begin..][..LANES], &other[begin..][..LANES]);
                for lane in 0..LANES {
                    sums[lane] = multiply_add::<FUSED>(own[lane], other[lane], sums[lane]);
                }
            }
        }
        for at in shortest / LANES * LANES..shortest {
            for (sums, other) in sums.iter_mut().zip(others) {
                sums[at % LANES] = multiply_add::<FUSED>(own[at], other[at], sums[at % LANES]);
            }
        }
        sums.map(|mut sums| {
            let mut width = LANES;
            while width > 1 {
                width /= 2;
                for lane in 0..width {
                    sums[lane] += sums[lane + width];
                }
            }
            sums[0]
        })
    }
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
                prop_assert!((f64::from(level.run(Dots(&a, [&b]))[0]) - expected).abs() < 1e-5);
            }
            prop_assert!((f64::from(dot(&a, &b)) - expected).abs() < 1e-5);
            let both = Level::detect().run(Dots(&a, [&b, &a]));
            prop_assert_eq!(both, [dot(&a, &b), dot(&a, &a)]);
        }
    }
}
