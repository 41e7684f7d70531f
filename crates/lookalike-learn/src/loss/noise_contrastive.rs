//! Noise-contrastive estimation for instance discrimination (Wu et al. 2018, section 3.2, equations 4 to 7,
//! <https://arxiv.org/abs/1805.01978>): each of the query's own entry and m drawn ones is told from noise by itself.
//!
//! P(i|q) = exp(q·vᵢ/τ) / Z, h = P / (P + m/n), ℓ(q) = −log h(own) − Σ log (1 − h(drawn)), n being the number of entries.
//!
//! Z is a constant, n times the mean of exp(q·v/τ) over the first batch. The proximal term of section 3.3 is left out, as it is
//! in the published program.

use super::entry::LossEntry;
use super::{Similarities, softplus};
use crate::engine::{Tensor, to_host};
use crate::options::{Options, POSITIVE, Value, vectors_from};

crate::options! {
    /// What a recipe says of noise-contrastive estimation.
    pub struct NoiseOptions {
        /// τ; the paper: 0.07.
        temperature: f32 = Value::Number(0.07), POSITIVE;
        /// m, entries drawn for each query, uniformly with replacement; the paper: 4096.
        noise: usize = Value::Integer(4096), vectors_from(1);
    }
}

/// Noise-contrastive estimation in a registry.
pub const ENTRY: LossEntry = LossEntry {
    kind: "noise-contrastive",
    about: "each entry is told from noise by itself (Wu et al. 2018)",
    keys: NoiseOptions::KEYS,
    ..LossEntry::OTHER
};

/// log Z as the first batch shows it: log (n · mean of exp(s/τ)) over positives and negatives alike.
pub fn log_normalizer(similarities: &Similarities, temperature: f32, entries: usize) -> f64 {
    let both = [similarities.positive.clone(), similarities.negatives.clone()].map(to_host);
    let logits: Vec<f64> = both.iter().flatten().map(|value| f64::from(value / temperature)).collect();
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mean = logits.iter().map(|logit| (logit - largest).exp()).sum::<f64>() / logits.len() as f64;
    largest + mean.ln() + (entries as f64).ln()
}

/// # Shapes
/// → `[Q, 1]`, the loss of each query; `temperature` τ > 0, `log_normalizer` log Z, `entries` n; m is the number of
/// negatives, all of which count.
pub fn noise_contrastive(
    similarities: &Similarities,
    temperature: f32,
    log_normalizer: f64,
    entries: usize,
) -> Tensor<2> {
    let drawn = similarities.negatives.dims()[1];
    // h is the logistic function of log P − log (m/n).
    let shift = log_normalizer + (drawn as f64 / entries as f64).ln();
    let logit = |similarity: &Tensor<2>| similarity.clone().div_scalar(temperature).sub_scalar(shift);
    let own = softplus(logit(&similarities.positive).neg());
    own + softplus(logit(&similarities.negatives)).sum_dim(1)
}
