//! Functions of one number without branches, so that loops over them are vectorised.

#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]

use crate::vector::multiply_add;

/// Below this, eˣ is no normal number.
const LOWEST: f32 = -87.336_54;

/// The polynomial whose coefficients, the highest first, are `coefficients`.
#[inline(always)]
fn polynomial<const FUSED: bool, const N: usize>(x: f32, coefficients: [f32; N]) -> f32 {
    let mut sum = coefficients[0];
    for coefficient in &coefficients[1..] {
        sum = multiply_add::<FUSED>(sum, x, *coefficient);
    }
    sum
}

/// eˣ for x ≤ 0, within 1.5 units of the last place; 0 where it is no normal number. NaN stays NaN.
#[inline(always)]
pub(crate) fn exp_negative<const FUSED: bool>(x: f32) -> f32 {
    /// Adding it rounds to a whole number, which the lowest bits of the sum hold.
    const ROUND: f32 = 12_582_912.0;
    /// ln 2 as a number of few bits and the rest.
    const LN_2: [f32; 2] = [0.693_145_75, 1.428_606_8e-6];
    let kept = if x < LOWEST { LOWEST } else { x };
    let shifted = multiply_add::<FUSED>(kept, std::f32::consts::LOG2_E, ROUND);
    let whole = shifted - ROUND;
    let rest = multiply_add::<FUSED>(whole, -LN_2[0], kept);
    let rest = multiply_add::<FUSED>(whole, -LN_2[1], rest);
    // (e^r − 1 − r) / r², interpolated in the Chebyshev nodes of ± ln 2 / 2.
    let high =
        polynomial::<FUSED, 5>(rest, [0.001_392_617_6, 0.008_363_173, 0.041_666_556, 0.166_665_78, 0.5]);
    let power = multiply_add::<FUSED>(rest * rest, high, rest) + 1.0;
    let scale = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0_f32.to_bits()));
    if x < LOWEST { 0.0 } else { power * scale }
}

/// The normal distribution at one number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Normal {
    /// The probability Φ(x) of what is below x. Far below, it keeps its relative accuracy, as erf would not.
    pub(crate) below: f32,
    /// exp(−x² / 2), which is √(2π) times the density.
    pub(crate) bell: f32,
}

/// Beyond this distance from 0, [`Normal`] is at its limits.
pub(crate) const FAR: f32 = 14.0;

/// Φ(−t) · exp(t² / 2) · (t + 4) is a polynomial in (t − 4) / (t + 4), after Shepherd and Laframboise, Chebyshev
/// approximation of (1 + 2x) exp(x²) erfc x in 0 ≤ x < ∞, Mathematics of Computation 36 (1981). It is
/// interpolated in the Chebyshev nodes of t from 0 to 14, with a relative error of 3 · 10⁻⁸.
#[inline(always)]
pub(crate) fn normal<const FUSED: bool>(x: f32) -> Normal {
    let size = x.abs();
    let t = if size > FAR { FAR } else { size };
    let inverse = 1.0 / (t + 4.0);
    let tail = polynomial::<FUSED, 10>(
        (t - 4.0) * inverse,
        [
            -0.000_120_184_41,
            0.000_201_261_73,
            0.001_572_317_9,
            -0.003_526_183_8,
            -0.007_529_251,
            0.060_406_69,
            -0.186_522_68,
            0.387_136_7,
            -0.607_896_6,
            0.755_285_14,
        ],
    );
    let bell = exp_negative::<FUSED>(t * t * -0.5);
    let tail = tail * inverse * bell;
    Normal { below: if x > 0.0 { 1.0 - tail } else { tail }, bell }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole_range(check: impl Fn(f32)) {
        for step in 0..200_000 {
            check(step as f32 * -5e-4);
        }
    }

    #[test]
    fn the_exponential_is_that_of_the_standard_library() {
        whole_range(|x| {
            let expected = f64::from(x).exp();
            for found in [exp_negative::<true>(x), exp_negative::<false>(x)] {
                if x < LOWEST {
                    assert_eq!(found, 0.0);
                } else {
                    let error = (f64::from(found) - expected).abs() / expected;
                    assert!(error < 2.0 * f64::from(f32::EPSILON), "{x}: {found}, not {expected}");
                }
            }
        });
        assert_eq!([0.0, -0.0, f32::NEG_INFINITY, f32::MIN].map(exp_negative::<false>), [1.0, 1.0, 0.0, 0.0]);
        assert!(exp_negative::<false>(f32::NAN).is_nan() && exp_negative::<true>(-f32::NAN).is_nan());
    }
}
