//! The loops: channels lie in the lanes.

#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]

use std::mem::MaybeUninit;

use super::super::{Sums, normalized, relu};
use crate::vector::{Work, multiply_add};

/// The gradient before the `ReLU` after scale and shift, if there is one.
#[inline(always)]
fn masked<const FUSED: bool>(gradient: f32, input: f32, mean: f32, mask: Option<(f32, f32)>) -> f32 {
    match mask {
        Some((scale, shift)) if normalized::<FUSED>(input, mean, scale, shift) <= 0.0 => 0.0,
        _ => gradient,
    }
}

/// Rows whose sum `f32` holds well.
const BLOCK: usize = 64;

/// A loop over rows whose sums of some channels stay in registers.
trait Panels {
    /// The `N` channels from `first` on.
    fn panel<const FUSED: bool, const N: usize>(&mut self, first: usize);
}

/// All `channels`, as many at a time as there are registers for.
#[inline(always)]
fn in_panels<const FUSED: bool>(channels: usize, of: &mut impl Panels) {
    let mut first = 0;
    while first + 32 <= channels {
        of.panel::<FUSED, 32>(first);
        first += 32;
    }
    while first + 8 <= channels {
        of.panel::<FUSED, 8>(first);
        first += 8;
    }
    while first < channels {
        of.panel::<FUSED, 1>(first);
        first += 1;
    }
}

/// Adds to the totals of each channel the sums of `values − origin` and of its square.
pub(super) struct RowMoments<'a> {
    pub(super) values: &'a [f32],
    /// One a channel.
    pub(super) origins: &'a [f32],
    /// One a channel.
    pub(super) totals: &'a mut [Sums],
}

impl Work for RowMoments<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(mut self) {
        in_panels::<FUSED>(self.origins.len(), &mut self);
    }
}

impl Panels for RowMoments<'_> {
    #[inline(always)]
    fn panel<const FUSED: bool, const N: usize>(&mut self, first: usize) {
        let channels = self.origins.len();
        let origins = &self.origins[first..][..N];
        for block in self.values.chunks(BLOCK * channels) {
            let (mut sums, mut squares) = ([0.0; N], [0.0; N]);
            for row in block.chunks_exact(channels) {
                let row = &row[first..][..N];
                for lane in 0..N {
                    let distance = row[lane] - origins[lane];
                    sums[lane] += distance;
                    squares[lane] = multiply_add::<FUSED>(distance, distance, squares[lane]);
                }
            }
            add(&mut self.totals[first..][..N], sums, squares);
        }
    }
}

#[inline(always)]
fn add<const N: usize>(totals: &mut [Sums], one: [f32; N], other: [f32; N]) {
    for (total, (one, other)) in totals.iter_mut().zip(one.into_iter().zip(other)) {
        total[0] += f64::from(one);
        total[1] += f64::from(other);
    }
}

/// Adds to the totals of each channel the sums of the gradient and of gradient · (input − mean).
pub(super) struct RowCovariance<'a> {
    pub(super) input: &'a [f32],
    pub(super) gradient: &'a [f32],
    /// One a channel.
    pub(super) mean: &'a [f32],
    /// Scales and shifts, where a `ReLU` followed.
    pub(super) mask: Option<[&'a [f32]; 2]>,
    /// One a channel.
    pub(super) totals: &'a mut [Sums],
}

impl Work for RowCovariance<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(mut self) {
        in_panels::<FUSED>(self.mean.len(), &mut self);
    }
}

impl Panels for RowCovariance<'_> {
    #[inline(always)]
    fn panel<const FUSED: bool, const N: usize>(&mut self, first: usize) {
        let channels = self.mean.len();
        let mean = &self.mean[first..][..N];
        let mask = self.mask.map(|of_channels| of_channels.map(|values| &values[first..][..N]));
        let blocks = self.input.chunks(BLOCK * channels).zip(self.gradient.chunks(BLOCK * channels));
        for (input, gradient) in blocks {
            let (mut sums, mut products) = ([0.0; N], [0.0; N]);
            for (input, gradient) in input.chunks_exact(channels).zip(gradient.chunks_exact(channels)) {
                let (input, gradient) = (&input[first..][..N], &gradient[first..][..N]);
                for lane in 0..N {
                    let mask = mask.map(|[scale, shift]| (scale[lane], shift[lane]));
                    let gradient = masked::<FUSED>(gradient[lane], input[lane], mean[lane], mask);
                    sums[lane] += gradient;
                    products[lane] =
                        multiply_add::<FUSED>(gradient, input[lane] - mean[lane], products[lane]);
                }
            }
            add(&mut self.totals[first..][..N], sums, products);
        }
    }
}

/// Writes the scaled and shifted rows, with residual and `ReLU`.
pub(super) struct NormalizeRows<'a> {
    pub(super) input: &'a [f32],
    /// One a channel, as are scale and shift.
    pub(super) mean: &'a [f32],
    pub(super) scale: &'a [f32],
    pub(super) shift: &'a [f32],
    pub(super) residual: Option<&'a [f32]>,
    pub(super) relu: bool,
    pub(super) out: &'a mut [MaybeUninit<f32>],
}

impl Work for NormalizeRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let channels = self.mean.len();
        let (mean, scale, shift) = (self.mean, &self.scale[..channels], &self.shift[..channels]);
        let rows = self.out.chunks_exact_mut(channels).zip(self.input.chunks_exact(channels));
        for (row, (out, input)) in rows.enumerate() {
            let value = |channel: usize| {
                normalized::<FUSED>(input[channel], mean[channel], scale[channel], shift[channel])
            };
            match self.residual.map(|residual| &residual[row * channels..][..channels]) {
                Some(residual) => {
                    for (channel, (out, residual)) in out.iter_mut().zip(residual).enumerate() {
                        out.write(relu(value(channel) + residual));
                    }
                }
                None if self.relu => {
                    for (channel, out) in out.iter_mut().enumerate() {
                        out.write(relu(value(channel)));
                    }
                }
                None => {
                    for (channel, out) in out.iter_mut().enumerate() {
                        out.write(value(channel));
                    }
                }
            }
        }
    }
}

/// Writes scale · (gradient − sum − slope · (input − mean)).
pub(super) struct CombineRows<'a> {
    pub(super) input: &'a [f32],
    pub(super) gradient: &'a [f32],
    /// One a channel, as are scale, and sum and slope.
    pub(super) mean: &'a [f32],
    pub(super) scale: &'a [f32],
    pub(super) combine: &'a [[f32; 2]],
    /// Scales and shifts, where a `ReLU` followed.
    pub(super) mask: Option<[&'a [f32]; 2]>,
    pub(super) out: &'a mut [MaybeUninit<f32>],
}

impl Work for CombineRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let channels = self.mean.len();
        let (mean, scale, combine) = (self.mean, &self.scale[..channels], &self.combine[..channels]);
        let rows = self.out.chunks_exact_mut(channels).zip(self.input.chunks_exact(channels));
        for ((out, input), gradient) in rows.zip(self.gradient.chunks_exact(channels)) {
            for channel in 0..channels {
                let mask = self.mask.map(|[scale, shift]| (scale[channel], shift[channel]));
                let [sum, slope] = combine[channel];
                let distance = input[channel] - mean[channel];
                let gradient = masked::<FUSED>(gradient[channel], input[channel], mean[channel], mask) - sum;
                out[channel].write(scale[channel] * multiply_add::<FUSED>(distance, -slope, gradient));
            }
        }
    }
}

/// Writes the gradient where the output is positive, else 0.
pub(super) struct MaskRows<'a> {
    pub(super) gradient: &'a [f32],
    pub(super) output: &'a [f32],
    pub(super) out: &'a mut [MaybeUninit<f32>],
}

impl Work for MaskRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        for ((out, gradient), output) in self.out.iter_mut().zip(self.gradient).zip(self.output) {
            out.write(if *output <= 0.0 { 0.0 } else { *gradient });
        }
    }
}
