//! The transforms of a tile, of as many channels or images at once as a register has lanes.
//!
//! Along a side, `Bᵀ` takes six inputs, `G` three weights and `A` four gradients to the values at the points;
//! `Aᵀ` takes products at the points to four outputs and `Gᵀ` to three weights. In two dimensions columns are
//! transformed first, rows then.

#![expect(unsafe_code, reason = "registers read and written through pointers")]
#![expect(clippy::needless_range_loop, reason = "row and column number registers of several arrays at once")]
#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]

use super::{ELEMENTS, INPUTS};
use crate::vector::Vector;

/// The points other than 0 and ∞ are ±`P` and ±`Q`. `PP` and `QQ` are their squares.
const P: f32 = 0.75;
const Q: f32 = 1.5;
const PP: f32 = P * P;
const QQ: f32 = Q * Q;
/// What the values of weights at 0, ±`P` and ±`Q` are divided by: the product of the differences to the other
/// points.
const AT_0: f32 = PP * QQ;
const AT_P: f32 = 2.0 * PP * (PP - QQ);
const AT_Q: f32 = 2.0 * QQ * (QQ - PP);

/// A transform along a side.
pub(super) trait Transform<const FROM: usize, const TO: usize> {
    /// # Safety
    /// As that of [`Vector`].
    unsafe fn apply<V: Vector>(values: [V; FROM]) -> [V; TO];
}

/// `Bᵀ`
pub(super) struct InputTransform;
/// `G`
pub(super) struct WeightTransform;
/// `A`
pub(super) struct GradientTransform;
/// `Aᵀ`
pub(super) struct OutputTransform;
/// `Gᵀ`
pub(super) struct WeightGradientTransform;

/// `even` + `point` · `odd` and `even` − `point` · `odd`.
#[inline(always)]
unsafe fn both<V: Vector>(even: V, odd: V, point: f32) -> [V; 2] {
    // SAFETY: as the caller's.
    unsafe { [odd.multiply_add(V::splat(point), even), odd.multiply_add(V::splat(-point), even)] }
}

/// `factor` · `value`.
#[inline(always)]
unsafe fn scaled<V: Vector>(value: V, factor: f32) -> V {
    // SAFETY: as the caller's.
    unsafe { value.multiply_add(V::splat(factor), V::splat(0.0)) }
}

impl Transform<6, 6> for InputTransform {
    #[inline(always)]
    unsafe fn apply<V: Vector>(x: [V; 6]) -> [V; 6] {
        // SAFETY: as the caller's.
        unsafe {
            let [pp, qq] = [V::splat(-PP), V::splat(-QQ)];
            let [sum, product] = [V::splat(-PP - QQ), V::splat(PP * QQ)];
            let [p, minus_p] = both(x[2].multiply_add(qq, x[4]), x[1].multiply_add(qq, x[3]), P);
            let [q, minus_q] = both(x[2].multiply_add(pp, x[4]), x[1].multiply_add(pp, x[3]), Q);
            let zero = x[0].multiply_add(product, x[2].multiply_add(sum, x[4]));
            let infinity = x[1].multiply_add(product, x[3].multiply_add(sum, x[5]));
            [zero, p, minus_p, q, minus_q, infinity]
        }
    }
}

impl Transform<3, 6> for WeightTransform {
    #[inline(always)]
    unsafe fn apply<V: Vector>(x: [V; 3]) -> [V; 6] {
        // SAFETY: as the caller's.
        unsafe {
            let even_p = scaled(x[2].multiply_add(V::splat(PP), x[0]), 1.0 / AT_P);
            let even_q = scaled(x[2].multiply_add(V::splat(QQ), x[0]), 1.0 / AT_Q);
            let [p, minus_p] = both(even_p, x[1], P / AT_P);
            let [q, minus_q] = both(even_q, x[1], Q / AT_Q);
            [scaled(x[0], 1.0 / AT_0), p, minus_p, q, minus_q, x[2]]
        }
    }
}

impl Transform<4, 6> for GradientTransform {
    #[inline(always)]
    unsafe fn apply<V: Vector>(x: [V; 4]) -> [V; 6] {
        // SAFETY: as the caller's.
        unsafe {
            let [pp, qq] = [V::splat(PP), V::splat(QQ)];
            let [p, minus_p] = both(x[2].multiply_add(pp, x[0]), x[3].multiply_add(pp, x[1]), P);
            let [q, minus_q] = both(x[2].multiply_add(qq, x[0]), x[3].multiply_add(qq, x[1]), Q);
            [x[0], p, minus_p, q, minus_q, x[3]]
        }
    }
}

/// Sums and differences of the values at ±`P` and at ±`Q`.
#[inline(always)]
unsafe fn even_and_odd<V: Vector>(x: &[V; 6]) -> [V; 4] {
    // SAFETY: as the caller's.
    unsafe {
        let [even_p, odd_p] = both(x[1], x[2], 1.0);
        let [even_q, odd_q] = both(x[3], x[4], 1.0);
        [even_p, odd_p, even_q, odd_q]
    }
}

impl Transform<6, 4> for OutputTransform {
    #[inline(always)]
    unsafe fn apply<V: Vector>(x: [V; 6]) -> [V; 4] {
        // SAFETY: as the caller's.
        unsafe {
            let [even_p, odd_p, even_q, odd_q] = even_and_odd(&x);
            let one = V::splat(1.0);
            [
                even_q.multiply_add(one, even_p.multiply_add(one, x[0])),
                odd_q.multiply_add(V::splat(Q), scaled(odd_p, P)),
                even_q.multiply_add(V::splat(QQ), scaled(even_p, PP)),
                odd_q.multiply_add(V::splat(Q * QQ), odd_p.multiply_add(V::splat(P * PP), x[5])),
            ]
        }
    }
}

impl Transform<6, 3> for WeightGradientTransform {
    #[inline(always)]
    unsafe fn apply<V: Vector>(x: [V; 6]) -> [V; 3] {
        // SAFETY: as the caller's.
        unsafe {
            let [even_p, odd_p, even_q, odd_q] = even_and_odd(&x);
            let at_zero = even_p.multiply_add(V::splat(1.0 / AT_P), scaled(x[0], 1.0 / AT_0));
            let at_infinity = even_p.multiply_add(V::splat(PP / AT_P), x[5]);
            [
                even_q.multiply_add(V::splat(1.0 / AT_Q), at_zero),
                odd_q.multiply_add(V::splat(Q / AT_Q), scaled(odd_p, P / AT_P)),
                even_q.multiply_add(V::splat(QQ / AT_Q), at_infinity),
            ]
        }
    }
}

/// Transforms the tile whose values lie at `offsets` from `source` on, and writes its 36 elements `step`
/// apart.
///
/// # Safety
/// As that of [`Vector`], at `SIDE`² offsets and at 36 steps.
#[inline(always)]
pub(super) unsafe fn tile_to_elements<L: Transform<SIDE, INPUTS>, V: Vector, const SIDE: usize>(
    source: *const f32,
    offsets: *const u32,
    target: *mut f32,
    step: usize,
) {
    // SAFETY: as the caller's.
    unsafe {
        let mut transposed = [[V::splat(0.0); SIDE]; INPUTS];
        for column in 0..SIDE {
            let mut values = [V::splat(0.0); SIDE];
            for row in 0..SIDE {
                values[row] = V::load(source.add(*offsets.add(row * SIDE + column) as usize));
            }
            let values = L::apply(values);
            for row in 0..INPUTS {
                transposed[row][column] = values[row];
            }
        }
        for row in 0..INPUTS {
            let values = L::apply(transposed[row]);
            for column in 0..INPUTS {
                values[column].store(target.add((row * INPUTS + column) * step));
            }
        }
    }
}

/// Transforms the 36 elements of a tile back.
///
/// # Safety
/// As that of [`Vector`].
#[inline(always)]
pub(super) unsafe fn elements_to_tile<L: Transform<INPUTS, SIDE>, V: Vector, const SIDE: usize>(
    elements: &[V; ELEMENTS],
) -> [[V; SIDE]; SIDE] {
    // SAFETY: as the caller's.
    unsafe {
        let mut transposed = [[V::splat(0.0); INPUTS]; SIDE];
        for column in 0..INPUTS {
            let mut values = [V::splat(0.0); INPUTS];
            for row in 0..INPUTS {
                values[row] = elements[row * INPUTS + column];
            }
            let values = L::apply(values);
            for row in 0..SIDE {
                transposed[row][column] = values[row];
            }
        }
        let mut square = [[V::splat(0.0); SIDE]; SIDE];
        for row in 0..SIDE {
            square[row] = L::apply(transposed[row]);
        }
        square
    }
}
