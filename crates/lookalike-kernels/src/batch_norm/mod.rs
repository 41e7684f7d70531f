//! Batch normalisation (Ioffe and Szegedy 2015, <https://arxiv.org/abs/1502.03167>, Algorithms 1 and 2), with
//! the `ReLU` and the residual sum that follow it in a residual network fused into its passes: for [`maps`],
//! and for [`rows`] as behind a linear layer.
//!
//! Sums run over blocks in `f32` and from block to block in `f64`. Work is split by the shape alone: results
//! do not depend on the number of threads.

#![expect(
    clippy::inline_always,
    reason = "only code inlined into a function with target features may use them"
)]

pub mod maps;
pub mod rows;

use std::fmt::Debug;

use crate::sizes::product;
use crate::vector::multiply_add;

/// Learned scale and shift, one a channel, and what is added to the variance.
#[derive(Debug, Clone, Copy)]
pub struct Affine<'a> {
    /// γ
    pub scale: &'a [f32],
    /// β
    pub shift: &'a [f32],
    /// ε
    pub epsilon: f64,
}

/// What is computed after the normalisation, in the same pass over memory.
#[derive(Debug, Clone, Copy)]
pub enum Epilogue<'a, T> {
    /// Nothing.
    Nothing,
    /// max(0, ·)
    Relu,
    /// max(0, · + residual), the residual being as large as the input.
    AddRelu(&'a [T]),
}

/// The epilogue of a forward pass, with what its gradient needs.
#[derive(Debug, Clone, Copy)]
pub enum EpilogueSaved<'a, T> {
    /// Nothing.
    Nothing,
    /// A `ReLU`.
    Relu,
    /// Residual and `ReLU`, with their output.
    AddRelu(&'a [T]),
}

/// Mean and biased variance of each channel, `[G, C]` each, and where they come from.
#[derive(Debug, Clone, Copy)]
pub enum StatisticsSource<'a> {
    /// The statistics of the batch: gradients pass through them to the input.
    Batch([&'a [f32]; 2]),
    /// Given statistics: constants to the gradients.
    Given([&'a [f32]; 2]),
}

impl<'a> StatisticsSource<'a> {
    /// Both, and whether they were given.
    fn parts(self) -> ([&'a [f32]; 2], bool) {
        match self {
            Self::Batch(values) => (values, false),
            Self::Given(values) => (values, true),
        }
    }
}

/// What a normalisation computes.
#[derive(Debug, Clone, PartialEq)]
pub struct Normalized<T> {
    /// As large as the input.
    pub output: Vec<T>,
    /// Mean of each channel, `[G, C]`.
    pub mean: Vec<f32>,
    /// Biased variance of each channel, `[G, C]`.
    pub variance: Vec<f32>,
}

/// The gradients of a normalisation.
#[derive(Debug, Clone, PartialEq)]
pub struct Gradients<T> {
    /// Of the input.
    pub input: Vec<T>,
    /// Of the residual, if there was one.
    pub residual: Option<Vec<T>>,
    /// Of γ.
    pub scale: Vec<f32>,
    /// Of β.
    pub shift: Vec<f32>,
}

/// Panics if the groups do not divide images or rows, or if scale, shift and statistics do not fit the
/// channels, in `shape`.
fn check(
    shape: &impl Debug,
    [images, groups, channels]: [usize; 3],
    affine: &Affine<'_>,
    statistics: &[&[f32]],
) {
    assert!(groups > 0 && images.is_multiple_of(groups), "images do not split into groups in {shape:?}");
    for channel in [affine.scale, affine.shift] {
        assert_eq!(channel.len(), channels, "one value a channel in {shape:?}");
    }
    let count = product([groups, channels], shape);
    for statistic in statistics {
        assert_eq!(statistic.len(), count, "one value a group and channel in {shape:?}");
    }
}

/// Two sums of a channel of a group: of distances to some value and of their squares, or of gradients and of
/// their products with distances to the mean.
type Sums = [f64; 2];

/// Mean and biased variance of `count` values whose sums of distances to `origin` and of their squares are
/// given.
#[inline(always)]
fn moments([first, second]: Sums, origin: f32, count: f64) -> [f32; 2] {
    let distance = first / count;
    let variance = (second / count - distance * distance).max(0.0);
    [(f64::from(origin) + distance) as f32, variance as f32]
}

/// 1 / √(variance + ε)
#[inline(always)]
fn inverse_deviation(variance: f32, epsilon: f64) -> f32 {
    (1.0 / (f64::from(variance) + epsilon).sqrt()) as f32
}

/// What the statistics take from the gradient of each value: a constant, and a factor of its distance to the
/// mean.
#[inline(always)]
fn losses([sum, product]: Sums, deviation: f32, count: f64) -> [f32; 2] {
    [(sum / count) as f32, (product / count * f64::from(deviation).powi(2)) as f32]
}

/// (input − mean) · scale + shift
#[inline(always)]
fn normalized<const FUSED: bool>(input: f32, mean: f32, scale: f32, shift: f32) -> f32 {
    multiply_add::<FUSED>(input - mean, scale, shift)
}

/// max(0, value). Unlike [`f32::max`] it keeps NaN, so that a diverged network shows.
#[inline(always)]
fn relu(value: f32) -> f32 {
    if value <= 0.0 { 0.0 } else { value }
}

#[cfg(test)]
mod tests;
