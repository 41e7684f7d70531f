//! The debiased contrastive loss (Chuang et al. 2020, equations 7 and 8, <https://arxiv.org/abs/2007.00224>): negatives that are
//! of the query's own class are subtracted in expectation, τ⁺ being their share.
//!
//! ℓ(q) = −log ( e⁺ / (e⁺ + N g) ), N g = max( (Σ e⁻ − τ⁺ N e⁺) / (1 − τ⁺), N e^{−1/τ} ), e± = exp(q·k±/τ)
//!
//! With τ⁺ = 0 it is [`info_nce`](super::nt_xent::info_nce).

use std::sync::Arc;

use super::entry::LossEntry;
use super::{Exponentials, QueryLoss, Similarities};
use crate::engine::Tensor;
use crate::options::{FRACTION, Options, POSITIVE, Value};

crate::options! {
    /// The debiased loss with its constants.
    pub struct Debiased {
        /// τ. SimCLR: 0.5 on CIFAR-10, 0.1 on ImageNet; MoCo v1: 0.07, v2: 0.2.
        temperature: f32 = Value::Number(0.1), POSITIVE;
        /// τ⁺, the assumed share of negatives of the query's class; Chuang et al.: 0.1 for ten classes. 0 makes `debiased` `info-nce`, under
        /// `simclr`, where all other views are negatives, `nt-xent`.
        prior: f32 = Value::Number(0.1), FRACTION;
    }
}

impl Copy for Debiased {}

/// The debiased loss in a registry.
pub const ENTRY: LossEntry = LossEntry {
    kind: "debiased",
    about: "DCL (Chuang et al. 2020)",
    keys: Debiased::KEYS,
    softmax: true,
    build: Some(|settings| Ok(Arc::new(settings.read::<Debiased>("loss")?))),
    ..LossEntry::OTHER
};

impl QueryLoss for Debiased {
    fn each(&self, similarities: &Similarities) -> Tensor<2> {
        debiased(similarities, self.temperature, self.prior)
    }

    fn temperature(&self) -> f32 {
        self.temperature
    }
}

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
