//! InfoNCE (van den Oord et al. 2018, equation 4, <https://arxiv.org/abs/1807.03748>; in the form of MoCo, He et al. 2020,
//! equation 1, <https://arxiv.org/abs/1911.05722>).
//!
//! ℓ(q) = −log ( exp(q·k⁺/τ) / (exp(q·k⁺/τ) + Σ_{k⁻} exp(q·k⁻/τ)) )

use super::{Exponentials, Similarities};
use crate::engine::Tensor;

/// # Shapes
/// → `[Q, 1]`, the loss of each query; `temperature` τ > 0.
pub fn info_nce(similarities: &Similarities, temperature: f32) -> Tensor<2> {
    let exponentials = Exponentials::new(similarities, temperature);
    let negatives = exponentials.negatives.clone().sum_dim(1);
    exponentials.cross_entropy(negatives)
}
