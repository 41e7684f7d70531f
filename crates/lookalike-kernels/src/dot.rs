//! The inner product, with run-time dispatch to the widest vectors of the processor.

#![expect(unsafe_code, reason = "rows read through pointers whose bounds are asserted at their entry")]
#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{__m256, __m512};

use crate::instructions::Level;
use crate::vector::{PANEL, Vector};

/// The inner product of `a` and `b`. If their lengths differ, only their common beginning counts.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let common = a.len().min(b.len());
    let [product] = products(Level::detect(), &a[..common], [&b[..common]]);
    product
}

/// The inner products of `own` with each of several rows, of which one begins every `stride` values.
///
/// # Panics
/// Where `rows` ends before the last of the `into.len()` rows does.
pub fn dots(own: &[f32], rows: &[f32], stride: usize, into: &mut [f32]) {
    const TOGETHER: usize = 8;
    let level = Level::detect();
    let row = |at: usize| &rows[at * stride..][..own.len()];
    let mut done = 0;
    for group in into.chunks_exact_mut(TOGETHER) {
        let others: [&[f32]; TOGETHER] = std::array::from_fn(|at| row(done + at));
        group.copy_from_slice(&products(level, own, others));
        done += TOGETHER;
    }
    for (at, product) in into.iter_mut().enumerate().skip(done) {
        [*product] = products(level, own, [row(at)]);
    }
}

/// The inner products of one row with each of several.
pub(crate) fn products<const N: usize>(level: Level, own: &[f32], others: [&[f32]; N]) -> [f32; N] {
    assert!(others.iter().all(|other| other.len() == own.len()), "rows are of one length");
    // SAFETY: the level was detected; all rows are as long as the first, as asserted.
    unsafe {
        match level {
            Level::Portable => products_with::<[f32; 4], N>(own, others),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => products_avx2(own, others),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => products_avx512(own, others),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn products_avx2<const N: usize>(own: &[f32], others: [&[f32]; N]) -> [f32; N] {
    // SAFETY: as the caller's.
    unsafe { products_with::<__m256, N>(own, others) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
unsafe fn products_avx512<const N: usize>(own: &[f32], others: [&[f32]; N]) -> [f32; N] {
    // SAFETY: as the caller's.
    unsafe { products_with::<__m512, N>(own, others) }
}

/// # Safety
/// As [`Vector`]; all rows are as long as `own`.
#[inline(always)]
unsafe fn products_with<V: Vector, const N: usize>(own: &[f32], others: [&[f32]; N]) -> [f32; N] {
    let whole = own.len() / V::LANES * V::LANES;
    // SAFETY: vectors are read up to the last whole one, and no vector is longer than a panel.
    unsafe {
        let mut sums = [V::splat(0.0); N];
        for begin in (0..whole).step_by(V::LANES) {
            let values = V::load(own.as_ptr().add(begin));
            for (sum, other) in sums.iter_mut().zip(others) {
                *sum = values.multiply_add(V::load(other.as_ptr().add(begin)), *sum);
            }
        }
        // No closures: those would not be compiled for these registers.
        let mut results = [0.0; N];
        for at in 0..N {
            let mut lanes = [0.0; PANEL];
            sums[at].store(lanes.as_mut_ptr());
            for place in whole..own.len() {
                lanes[place - whole] += own[place] * others[at][place];
            }
            let mut width = PANEL;
            while width > 1 {
                width /= 2;
                for lane in 0..width {
                    lanes[lane] += lanes[lane + width];
                }
            }
            results[at] = lanes[0];
        }
        results
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lookalike_base::Seed;
    use proptest::prelude::*;

    fn obvious_dot(a: &[f32], b: &[f32]) -> f64 {
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    }

    proptest! {
        #[test]
        fn the_inner_product_is_that_of_the_obvious_loop(
            pairs in prop::collection::vec((-1.0_f32..1.0, -1.0_f32..1.0), 1..200),
        ) {
            let (a, b): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
            let expected = obvious_dot(&a, &b);
            prop_assert!((f64::from(dot(&a, &b)) - expected).abs() < 1e-5);
        }
    }

    #[test]
    fn a_row_has_its_inner_product_with_each_of_many() {
        let mut stream = Seed(3).stream("test", 0, 0, 0);
        for (columns, stride, count) in [(1, 1, 1), (7, 9, 8), (16, 16, 19), (40, 100, 3)] {
            let own: Vec<f32> = (0..columns).map(|_| stream.range(-1.0, 1.0)).collect();
            let rows: Vec<f32> =
                (0..stride * (count - 1) + columns).map(|_| stream.range(-1.0, 1.0)).collect();
            let mut found = vec![0.0; count];
            dots(&own, &rows, stride, &mut found);
            for (at, found) in found.iter().enumerate() {
                assert_eq!(*found, dot(&own, &rows[at * stride..][..columns]));
            }
        }
    }

    #[test]
    fn products_are_those_of_the_obvious_loop_however_many_are_made_together() {
        let mut stream = Seed(2).stream("test", 0, 0, 0);
        for columns in [1, 15, 16, 47, 200] {
            let rows: [Vec<f32>; 5] =
                std::array::from_fn(|_| (0..columns).map(|_| stream.range(-1.0, 1.0)).collect());
            let [own, others @ ..] = &rows;
            for level in Level::all() {
                let together = products(level, own, others.each_ref().map(Vec::as_slice));
                for (other, found) in others.iter().zip(together) {
                    let expected: f64 =
                        own.iter().zip(other).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                    assert!((f64::from(found) - expected).abs() < 1e-5, "{level:?} {columns}");
                    assert_eq!(products(level, own, [other]), [found]);
                }
            }
        }
    }
}
