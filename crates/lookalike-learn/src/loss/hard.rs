//! The hard negatives' loss (Robinson et al. 2021, equation 4 and algorithm in appendix, <https://arxiv.org/abs/2010.04592>): the
//! debiased loss in which a negative weighs in proportion to exp(β q·k⁻/τ), as if harder ones had been drawn more often.
//!
//! ℓ(q) as in [`debiased`](super::debiased), Σ e⁻ being replaced by Σ w e⁻ / mean(w), w = (e⁻)^β
//!
//! The weights carry gradient, as in the published program, whose β is that of (e⁻)^β. With β = 0 it is
//! [`debiased`](super::debiased).

use std::sync::Arc;

use super::entry::LossEntry;
use super::{Exponentials, QueryLoss, Similarities};
use crate::engine::Tensor;
use crate::options::{FRACTION, NOT_NEGATIVE, Options, POSITIVE, Value};

crate::options! {
    /// The hard negatives' loss with its constants.
    pub struct Hard {
        /// τ. SimCLR: 0.5 on CIFAR-10, 0.1 on ImageNet; MoCo v1: 0.07, v2: 0.2.
        temperature: f32 = Value::Number(0.1), POSITIVE;
        /// τ⁺, the assumed share of negatives of the query's class; Chuang et al.: 0.1 for ten classes.
        prior: f32 = Value::Number(0.1), FRACTION;
        /// β; Robinson et al.: 1 for STL-10. 0 makes `hard` `debiased`.
        concentration: f32 = Value::Number(1.0), NOT_NEGATIVE;
    }
}

impl Copy for Hard {}

/// The hard negatives' loss in a registry.
pub const ENTRY: LossEntry = LossEntry {
    kind: "hard",
    about: "HCL (Robinson et al. 2021)",
    keys: Hard::KEYS,
    softmax: true,
    build: Some(|settings| Ok(Arc::new(settings.read::<Hard>("loss")?))),
    ..LossEntry::OTHER
};

impl QueryLoss for Hard {
    fn each(&self, similarities: &Similarities) -> Tensor<2> {
        hard(similarities, self.temperature, self.prior, self.concentration)
    }

    fn temperature(&self) -> f32 {
        self.temperature
    }
}

/// # Shapes
/// → `[Q, 1]`, the loss of each query; `temperature` τ > 0, 0 ≤ `prior` τ⁺ < 1, `concentration` β ≥ 0.
pub fn hard(similarities: &Similarities, temperature: f32, prior: f32, concentration: f32) -> Tensor<2> {
    let exponentials = Exponentials::new(similarities, temperature);
    // Scaled by the largest, which cancels in w / mean(w), so that no weight exceeds 1 and one is 1.
    let mut logits = similarities.negatives.clone().mul_scalar(concentration / temperature);
    if let Some(mask) = &similarities.mask {
        logits = mask.lower(logits, 1e4 + 2.0 * concentration / temperature);
    }
    let largest = logits.clone().inner().max_dim(1);
    let weights = (logits - largest).exp();
    // Of a query without any negative all e⁻ are 0, and so is its sum.
    let total = weights.clone().sum_dim(1);
    let sum = (weights * exponentials.negatives.clone()).sum_dim(1) * exponentials.count.clone() / total;
    exponentials.debiased(sum, temperature, prior)
}
