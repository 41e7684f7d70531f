//! Alignment alone (Wang and Isola 2020, equation 1 with α = 2, <https://arxiv.org/abs/2005.10242>): ℓ(q) = ‖q − k⁺‖² = 2 − 2 q·k⁺.
//!
//! There are no negatives, so the constant encoder is a minimum: without a predictor and a momentum encoder training collapses
//! to one point. It is here to show that.

use super::Similarities;
use crate::engine::Tensor;

/// # Shapes
/// → `[Q, 1]`, the loss of each query, whose negatives count for nothing.
pub fn alignment(similarities: &Similarities) -> Tensor<2> {
    similarities.positive.clone().mul_scalar(-2.0).add_scalar(2.0)
}
