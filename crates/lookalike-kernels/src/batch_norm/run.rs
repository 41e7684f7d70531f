//! The loops over one channel of one image.

#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]

use std::mem::MaybeUninit;

use crate::vector::{Work, multiply_add};

/// Independent partial sums, enough to hide the latency of addition.
const LANES: usize = 32;
/// Those of small maps, which have few values for each.
const FEW: usize = 16;
/// Values of a map that is no longer small.
const MANY: usize = 64;
/// Values whose sum `f32` holds well.
const BLOCK: usize = 1024;

/// The sums of `values − origin` and of its square.
pub(super) struct Moments<'a> {
    pub(super) values: &'a [f32],
    pub(super) origin: f32,
}

impl Work for Moments<'_> {
    type Output = [f64; 2];

    #[inline(always)]
    fn run<const FUSED: bool>(self) -> [f64; 2] {
        if self.values.len() < MANY { self.sums::<FUSED, FEW>() } else { self.sums::<FUSED, LANES>() }
    }
}

impl Moments<'_> {
    #[inline(always)]
    fn sums<const FUSED: bool, const N: usize>(self) -> [f64; 2] {
        let mut totals = [0.0; 2];
        for block in self.values.chunks(BLOCK) {
            let mut sums = [[0.0; N]; 2];
            let (chunks, rest) = block.as_chunks::<N>();
            for chunk in chunks {
                for lane in 0..N {
                    let distance = chunk[lane] - self.origin;
                    sums[0][lane] += distance;
                    sums[1][lane] = multiply_add::<FUSED>(distance, distance, sums[1][lane]);
                }
            }
            for (lane, value) in rest.iter().enumerate() {
                let distance = value - self.origin;
                sums[0][lane] += distance;
                sums[1][lane] = multiply_add::<FUSED>(distance, distance, sums[1][lane]);
            }
            totals[0] += sum_of(sums[0]);
            totals[1] += sum_of(sums[1]);
        }
        totals
    }
}

#[inline(always)]
fn sum_of<const N: usize>(mut lanes: [f32; N]) -> f64 {
    let mut width = N;
    while width > 1 {
        width /= 2;
        for lane in 0..width {
            lanes[lane] += lanes[lane + width];
        }
    }
    f64::from(lanes[0])
}

/// (input − mean) · scale + shift
#[inline(always)]
pub(super) fn normalized<const FUSED: bool>(input: f32, mean: f32, scale: f32, shift: f32) -> f32 {
    multiply_add::<FUSED>(input - mean, scale, shift)
}

/// max(0, value), which unlike [`f32::max`] keeps what is not a number, so that a diverged network shows.
#[inline(always)]
pub(super) fn relu(value: f32) -> f32 {
    if value <= 0.0 { 0.0 } else { value }
}

/// The gradient before a `ReLU` that followed scale and shift.
#[inline(always)]
pub(super) fn masked<const FUSED: bool>(
    gradient: f32,
    input: f32,
    mean: f32,
    mask: Option<(f32, f32)>,
) -> f32 {
    match mask {
        Some((scale, shift)) if normalized::<FUSED>(input, mean, scale, shift) <= 0.0 => 0.0,
        _ => gradient,
    }
}

/// Writes scale, shift, residual and `ReLU` of a channel.
pub(super) struct Normalize<'a> {
    pub(super) input: &'a [f32],
    pub(super) mean: f32,
    pub(super) scale: f32,
    pub(super) shift: f32,
    pub(super) residual: Option<&'a [f32]>,
    pub(super) relu: bool,
    pub(super) out: &'a mut [MaybeUninit<f32>],
}

impl Work for Normalize<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let Self { input, mean, scale, shift, residual, relu: rectified, out } = self;
        let pairs = out.iter_mut().zip(input);
        match (residual, rectified) {
            (Some(residual), _) => {
                for ((out, input), residual) in pairs.zip(residual) {
                    out.write(relu(normalized::<FUSED>(*input, mean, scale, shift) + residual));
                }
            }
            (None, true) => {
                for (out, input) in pairs {
                    out.write(relu(normalized::<FUSED>(*input, mean, scale, shift)));
                }
            }
            (None, false) => {
                for (out, input) in pairs {
                    out.write(normalized::<FUSED>(*input, mean, scale, shift));
                }
            }
        }
    }
}

/// The sums of the gradient and of gradient · (input − mean).
pub(super) struct Covariance<'a> {
    pub(super) input: &'a [f32],
    pub(super) gradient: &'a [f32],
    pub(super) mean: f32,
    /// Scale and shift, where a `ReLU` followed.
    pub(super) mask: Option<(f32, f32)>,
}

impl Work for Covariance<'_> {
    type Output = [f64; 2];

    #[inline(always)]
    fn run<const FUSED: bool>(self) -> [f64; 2] {
        if self.input.len() < MANY { self.sums::<FUSED, FEW>() } else { self.sums::<FUSED, LANES>() }
    }
}

impl Covariance<'_> {
    #[inline(always)]
    fn sums<const FUSED: bool, const N: usize>(self) -> [f64; 2] {
        let mut totals = [0.0; 2];
        for (input, gradient) in self.input.chunks(BLOCK).zip(self.gradient.chunks(BLOCK)) {
            let mut sums = [[0.0; N]; 2];
            let (inputs, input_rest) = input.as_chunks::<N>();
            let (gradients, gradient_rest) = gradient.as_chunks::<N>();
            for (input, gradient) in inputs.iter().zip(gradients) {
                for lane in 0..N {
                    let gradient = masked::<FUSED>(gradient[lane], input[lane], self.mean, self.mask);
                    sums[0][lane] += gradient;
                    sums[1][lane] = multiply_add::<FUSED>(gradient, input[lane] - self.mean, sums[1][lane]);
                }
            }
            for (lane, (input, gradient)) in input_rest.iter().zip(gradient_rest).enumerate() {
                let gradient = masked::<FUSED>(*gradient, *input, self.mean, self.mask);
                sums[0][lane] += gradient;
                sums[1][lane] = multiply_add::<FUSED>(gradient, input - self.mean, sums[1][lane]);
            }
            totals[0] += sum_of(sums[0]);
            totals[1] += sum_of(sums[1]);
        }
        totals
    }
}

/// Writes scale · (gradient − sum − slope · (input − mean)).
pub(super) struct Combine<'a> {
    pub(super) input: &'a [f32],
    pub(super) gradient: &'a [f32],
    pub(super) mean: f32,
    pub(super) scale: f32,
    pub(super) sum: f32,
    pub(super) slope: f32,
    /// Scale and shift, where a `ReLU` followed.
    pub(super) mask: Option<(f32, f32)>,
    pub(super) out: &'a mut [MaybeUninit<f32>],
}

impl Work for Combine<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        let Self { input, gradient, mean, scale, sum, slope, mask, out } = self;
        for ((out, input), gradient) in out.iter_mut().zip(input).zip(gradient) {
            let gradient = masked::<FUSED>(*gradient, *input, mean, mask) - sum;
            out.write(scale * multiply_add::<FUSED>(input - mean, -slope, gradient));
        }
    }
}

/// Writes the gradient where the output is positive, else 0.
pub(super) struct Mask<'a> {
    pub(super) gradient: &'a [f32],
    pub(super) output: &'a [f32],
    pub(super) out: &'a mut [MaybeUninit<f32>],
}

impl Work for Mask<'_> {
    type Output = ();

    #[inline(always)]
    fn run<const FUSED: bool>(self) {
        for ((out, gradient), output) in self.out.iter_mut().zip(self.gradient).zip(self.output) {
            out.write(if *output <= 0.0 { 0.0 } else { *gradient });
        }
    }
}
