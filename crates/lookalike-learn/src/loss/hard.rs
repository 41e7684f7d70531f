//! The hard negatives' loss (Robinson et al. 2021, equation 4 and algorithm in appendix, <https://arxiv.org/abs/2010.04592>): the
//! debiased loss in which a negative weighs in proportion to exp(β q·k⁻/τ), as if harder ones had been drawn more often.
//!
//! ℓ(q) as in [`debiased`](super::debiased), Σ e⁻ being replaced by Σ w e⁻ / mean(w), w = (e⁻)^β
//!
//! The weights carry gradient, as in the published program, whose β is that of (e⁻)^β. With β = 0 it is
//! [`debiased`](super::debiased).

use super::{Exponentials, Similarities};
use crate::engine::Tensor;

/// # Shapes
/// → `[Q, 1]`, the loss of each query; `temperature` τ > 0, 0 ≤ `prior` τ⁺ < 1, `concentration` β ≥ 0.
pub fn hard(similarities: &Similarities, temperature: f32, prior: f32, concentration: f32) -> Tensor<2> {
    let exponentials = Exponentials::new(similarities, temperature);
    // Scaled by the largest, which cancels in w / mean(w), so that no weight exceeds 1 and one is 1.
    let mut logits = similarities.negatives.clone().mul_scalar(concentration / temperature);
    if let Some(excluded) = &similarities.excluded {
        logits = excluded.lower(logits, 1e4 + 2.0 * concentration / temperature);
    }
    let largest = logits.clone().inner().max_dim(1);
    let weights = (logits - largest).exp();
    // Of a query without any negative all e⁻ are 0, and so is its sum.
    let total = weights.clone().sum_dim(1);
    let sum = (weights * exponentials.negatives.clone()).sum_dim(1) * exponentials.count.clone() / total;
    exponentials.debiased(sum, temperature, prior)
}
