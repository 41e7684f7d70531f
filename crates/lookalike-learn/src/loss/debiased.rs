//! The debiased contrastive loss (Chuang et al. 2020, equations 7 and 8, <https://arxiv.org/abs/2007.00224>): negatives that are
//! of the query's own class are subtracted in expectation, τ⁺ being their share.
//!
//! ℓ(q) = −log ( e⁺ / (e⁺ + N g) ), N g = max( (Σ e⁻ − τ⁺ N e⁺) / (1 − τ⁺), N e^{−1/τ} ), e± = exp(q·k±/τ)
//!
//! With τ⁺ = 0 it is [`info_nce`](super::info_nce).

use super::{Exponentials, Similarities};
use crate::engine::Tensor;

/// # Shapes
/// → `[Q, 1]`, the loss of each query; `temperature` τ > 0, 0 ≤ `prior` τ⁺ < 1.
pub fn debiased(similarities: &Similarities, temperature: f32, prior: f32) -> Tensor<2> {
    let exponentials = Exponentials::new(similarities, temperature);
    let sum = exponentials.negatives.clone().sum_dim(1);
    exponentials.debiased(sum, temperature, prior)
}

impl Exponentials {
    /// The loss where `sum`, `[Q, 1]`, stands for Σ e⁻.
    pub(super) fn debiased(&self, sum: Tensor<2>, temperature: f32, prior: f32) -> Tensor<2> {
        let expected = self.count.clone() * self.positive.clone().mul_scalar(prior);
        let corrected = (sum - expected).div_scalar(1.0 - prior);
        let least = self.largest.clone().neg().sub_scalar(1.0 / temperature).exp() * self.count.clone();
        self.cross_entropy(corrected.max_pair(least))
    }
}
