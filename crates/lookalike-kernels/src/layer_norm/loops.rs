//! The loops over rows, each of which stays in the nearest cache.

#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]

use std::hint::black_box;
use std::mem::MaybeUninit;

use super::{LayerNormInput, LayerNormScale};
use crate::dropout::{Place, bits, threshold};
use crate::vector::{Work, multiply_add};

/// Partial sums of a row.
const LANES: usize = 32;

/// The mask of some rows.
#[derive(Clone, Copy)]
pub(super) struct Mask<'a> {
    places: &'a [Place],
    threshold: u32,
    scale: f32,
}

impl<'a> Mask<'a> {
    pub(super) fn new(places: &'a [Place], probability: f32) -> Self {
        Self { places, threshold: threshold(probability), scale: 1.0 / (1.0 - probability) }
    }

    /// Multiplies a row by its mask.
    #[inline(always)]
    fn apply(&self, row: usize, values: &mut [f32]) {
        let place = self.places[row];
        for (index, value) in values.iter_mut().enumerate() {
            let kept = bits(place.key, place.first.wrapping_add(index as u32)) >> 8 >= self.threshold;
            *value *= if kept { self.scale } else { 0.0 };
        }
    }
}

/// Sums over two rows side by side, of the `N` values that `terms` makes of a value of each.
#[inline(always)]
fn sums<const N: usize>(
    one: &[f32],
    other: &[f32],
    terms: impl Fn(f32, f32, [f32; N]) -> [f32; N],
) -> [f32; N] {
    let mut lanes = [[0.0; LANES]; N];
    let (chunks, rest) = one.as_chunks::<LANES>();
    let (other_chunks, other_rest) = other.as_chunks::<LANES>();
    for (one, other) in chunks.iter().zip(other_chunks) {
        for lane in 0..LANES {
            let next = terms(one[lane], other[lane], std::array::from_fn(|sum| lanes[sum][lane]));
            for sum in 0..N {
                lanes[sum][lane] = next[sum];
            }
        }
    }
    for (lane, (one, other)) in rest.iter().zip(other_rest).enumerate() {
        let next = terms(*one, *other, std::array::from_fn(|sum| lanes[sum][lane]));
        for sum in 0..N {
            lanes[sum][lane] = next[sum];
        }
    }
    // Opaque, or the loop before would be compiled for the halves of halves, and not for whole registers.
    black_box(lanes).map(|mut lanes| {
        let mut width = LANES;
        while width > 1 {
            width /= 2;
            for lane in 0..width {
                lanes[lane] += lanes[lane + width];
            }
        }
        lanes[0]
    })
}

/// Writes residual + dropout(values + bias) of a row to where it may stand, and returns it.
#[inline(always)]
fn compose<'a>(
    input: &LayerNormInput<'_>,
    mask: Option<Mask<'_>>,
    row: usize,
    out: &'a mut [MaybeUninit<f32>],
) -> &'a mut [f32] {
    let columns = out.len();
    let z = out.write_copy_of_slice(&input.values[row * columns..][..columns]);
    if let Some(bias) = input.bias {
        z.iter_mut().zip(bias).for_each(|(z, bias)| *z += bias);
    }
    if let Some(mask) = mask {
        mask.apply(row, z);
    }
    if let Some(residual) = input.residual {
        z.iter_mut().zip(&residual[row * columns..]).for_each(|(z, residual)| *z += residual);
    }
    z
}

/// Writes the normalised rows and their statistics.
pub(super) struct Forward<'a> {
    pub(super) input: LayerNormInput<'a>,
    pub(super) mask: Option<Mask<'a>>,
    pub(super) scale: &'a LayerNormScale<'a>,
    pub(super) out: &'a mut [MaybeUninit<f32>],
    pub(super) statistics: &'a mut [[f32; 2]],
}

impl Work for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let scale = self.scale.scale;
        let columns = scale.len();
        let count = columns as f32;
        for (row, (out, statistics)) in self.out.chunks_exact_mut(columns).zip(self.statistics).enumerate() {
            let z = compose(&self.input, self.mask, row, out);
            // Relative to a value of the row, so that a large mean does not swallow what varies. The mean may
            // still be off by its last place, which the variance and the rows take into account.
            let origin = z[0];
            let [sum] = sums(z, z, |z, _, [sum]| [sum + (z - origin)]);
            let mean = origin + sum / count;
            let [sum, squares] = sums(z, z, |z, _, [sum, squares]| {
                let distance = z - mean;
                [sum + distance, multiply_add::<FUSED>(distance, distance, squares)]
            });
            let off = sum / count;
            let variance = f64::from(squares) / f64::from(count) - f64::from(off) * f64::from(off);
            let inverse = 1.0 / (variance.max(0.0) + f64::from(self.scale.epsilon)).sqrt();
            // A variance that is no number must not become ε.
            let inverse = if variance.is_nan() { f32::NAN } else { inverse as f32 };
            *statistics = [mean, inverse];
            for (z, scale) in z.iter_mut().zip(scale) {
                *z = (*z - mean - off) * inverse * scale;
            }
            if let Some(shift) = self.scale.shift {
                z.iter_mut().zip(shift).for_each(|(z, shift)| *z += shift);
            }
        }
    }
}

/// Writes the gradients of some rows and adds those of the columns to their sums.
pub(super) struct Backward<'a> {
    pub(super) input: LayerNormInput<'a>,
    pub(super) mask: Option<Mask<'a>>,
    pub(super) scale: &'a [f32],
    pub(super) statistics: &'a [[f32; 2]],
    pub(super) gradient: &'a [f32],
    pub(super) values: &'a mut [MaybeUninit<f32>],
    pub(super) residual: Option<&'a mut [MaybeUninit<f32>]>,
    /// Of scale, shift and bias.
    pub(super) sums: [&'a mut [f32]; 3],
}

impl Work for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let columns = self.scale.len();
        let count = columns as f32;
        let [scales, shifts, biases] = self.sums;
        let mut residuals = self.residual.map(|residual| residual.chunks_exact_mut(columns));
        let mut scaled = vec![0.0; columns];
        let rows = self.values.chunks_exact_mut(columns).zip(self.gradient.chunks_exact(columns));
        for (row, ((values, gradient), [mean, inverse])) in rows.zip(self.statistics).enumerate() {
            // The normalised row, until the gradient of the row takes its place.
            let z = compose(&self.input, self.mask, row, values);
            let [sum] = sums(z, z, |z, _, [sum]| [sum + (z - mean)]);
            let off = sum / count;
            for z in &mut *z {
                *z = (*z - mean - off) * inverse;
            }

            let columns = scales.iter_mut().zip(shifts.iter_mut()).zip(self.scale).zip(scaled.iter_mut());
            for ((((scales, shifts), scale), scaled), (gradient, z)) in
                columns.zip(gradient.iter().zip(z.iter()))
            {
                *scales = multiply_add::<FUSED>(*gradient, *z, *scales);
                *shifts += gradient;
                *scaled = gradient * scale;
            }
            let [sum, product] = sums(&scaled, z, |scaled, z, [sum, product]| {
                [sum + scaled, multiply_add::<FUSED>(scaled, z, product)]
            });
            let (sum, product) = (sum / count, product / count);
            for (z, scaled) in z.iter_mut().zip(&scaled) {
                *z = multiply_add::<FUSED>(*z, -product, scaled - sum) * inverse;
            }
            if let Some(residual) = residuals.as_mut().and_then(Iterator::next) {
                residual.write_copy_of_slice(z);
            }
            if let Some(mask) = self.mask {
                mask.apply(row, z);
            }
            if self.input.bias.is_some() {
                biases.iter_mut().zip(z.iter()).for_each(|(bias, value)| *bias += value);
            }
        }
    }
}
