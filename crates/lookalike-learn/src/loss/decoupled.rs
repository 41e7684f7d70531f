//! The decoupled contrastive loss (Yeh et al. 2022, equation 6, <https://arxiv.org/abs/2110.06848>): InfoNCE whose denominator
//! leaves the positive out. It is also what GraphCL's published code computes (`loss_cal` in `unsupervised_TU`) and the
//! GraphCL paper writes (You et al. 2020, equation 3, where n′ ≠ n).
//!
//! ℓ(q) = −log ( exp(q·k⁺/τ) / Σ_{k⁻} exp(q·k⁻/τ) ), and 0 for a query without negatives.

use std::sync::Arc;

use super::entry::{LossEntry, TemperatureOptions};
use super::{QueryLoss, Similarities};
use crate::engine::Tensor;
use crate::options::Options;

/// The decoupled loss in a registry.
pub const ENTRY: LossEntry = LossEntry {
    kind: "decoupled",
    about: "InfoNCE without the positive in the denominator (GraphCL's code)",
    keys: TemperatureOptions::KEYS,
    softmax: true,
    build: Some(|settings| {
        let TemperatureOptions { temperature } = settings.read("loss")?;
        Ok(Arc::new(Decoupled { temperature }))
    }),
    ..LossEntry::OTHER
};

/// The decoupled loss at a temperature.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decoupled {
    /// τ > 0.
    pub temperature: f32,
}

impl QueryLoss for Decoupled {
    fn each(&self, similarities: &Similarities) -> Tensor<2> {
        decoupled(similarities, self.temperature)
    }

    fn temperature(&self) -> f32 {
        self.temperature
    }
}

/// # Shapes
/// → `[Q, 1]`, the loss of each query; `temperature` τ > 0.
pub fn decoupled(similarities: &Similarities, temperature: f32) -> Tensor<2> {
    let (logits, count) = similarities.negative_logits(temperature);
    let largest = logits.clone().inner().max_dim(1);
    let sum = (logits - largest.clone()).exp().sum_dim(1);
    let loss = sum.log() + largest - similarities.positive.clone().div_scalar(temperature);
    let any = count.greater_elem(0.0).float();
    loss * any
}
