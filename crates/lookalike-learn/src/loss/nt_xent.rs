//! InfoNCE, and NT-Xent, which is InfoNCE over all views of a batch.
//!
//! InfoNCE (van den Oord et al. 2018, equation 4, <https://arxiv.org/abs/1807.03748>; in the form of MoCo, He et al. 2020,
//! equation 1, <https://arxiv.org/abs/1911.05722>), of a query q with its positive k⁺ and negatives k⁻:
//!
//! ℓ(q) = −log ( exp(q·k⁺/τ) / (exp(q·k⁺/τ) + Σ_{k⁻} exp(q·k⁻/τ)) )
//!
//! NT-Xent, the normalised temperature-scaled cross entropy of SimCLR (Chen et al. 2020, equation 1,
//! <https://arxiv.org/abs/2002.05709>), of the 2N views z of N instances, with s(i, j) = zᵢ·zⱼ / (‖zᵢ‖‖zⱼ‖) and j(i) the other view
//! of i's instance:
//!
//! ℓ(i) = −log ( exp(s(i, j(i)) / τ) / Σ_{k ≠ i} exp(s(i, k) / τ) ), and the loss is the mean of ℓ over all 2N views.
//!
//! Its queries are all views and its negatives the 2N − 2 views of other instances. SimCLR's published code sums the means of the two
//! halves, which is twice this; lightly and the paper take the mean.

use std::sync::Arc;

use super::entry::{LossEntry, TemperatureOptions};
use super::{Mask, QueryLoss, Similarities, normalize};
use crate::engine::Tensor;
use crate::options::Options;

/// NT-Xent in a registry.
pub const NT_XENT: LossEntry = LossEntry {
    kind: "nt-xent",
    about: "every view against all other views of the batch (SimCLR, equation 1); the published program's value is twice this",
    ..INFO_NCE
};

/// InfoNCE in a registry.
pub const INFO_NCE: LossEntry = LossEntry {
    kind: "info-nce",
    about: "a query against its negatives; under `simclr` against views of the other side alone",
    keys: TemperatureOptions::KEYS,
    softmax: true,
    methods: &[],
    build: Some(|settings| {
        let TemperatureOptions { temperature } = settings.read("loss")?;
        Ok(Arc::new(InfoNce { temperature }))
    }),
};

/// InfoNCE at a temperature.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InfoNce {
    /// τ > 0.
    pub temperature: f32,
}

impl QueryLoss for InfoNce {
    fn each(&self, similarities: &Similarities) -> Tensor<2> {
        info_nce(similarities, self.temperature)
    }

    fn temperature(&self) -> f32 {
        self.temperature
    }
}

/// # Shapes
/// → `[Q, 1]`, the loss of each query; `temperature` τ > 0.
pub fn info_nce(similarities: &Similarities, temperature: f32) -> Tensor<2> {
    let positive = similarities.positive.clone().div_scalar(temperature);
    let mut negatives = similarities.negatives.clone().div_scalar(temperature);
    if let Some(mask) = &similarities.mask {
        // Logits lie within ±1/τ: this takes a candidate out, and is finite.
        negatives = mask.lower(negatives, 2.0 / temperature + 1e4);
    }
    // The largest logit is a constant: it cancels, and no exponential exceeds 1.
    let largest = positive.clone().inner().max_pair(negatives.clone().inner().max_dim(1));
    let positive = positive - largest.clone();
    let sum = (negatives - largest).exp().sum_dim(1);
    (positive.clone().exp() + sum).log() - positive
}

/// The loss of N instances seen in two views each.
///
/// # Shapes
/// `first` and `second`: `[N, d]`, any scale, row i of both being the same instance; `temperature` τ > 0. Returns `[1]`.
pub fn nt_xent(first: Tensor<2>, second: Tensor<2>, temperature: f32) -> Tensor<1> {
    let [views, others] = all_views(first, second);
    let mask = own_views(views.dims()[0] / 2);
    info_nce(&Similarities::new(views.clone(), others, views, mask), temperature).mean()
}

/// All views of unit length, and the other view of each.
///
/// # Shapes
/// `[N, d]` each, any scale → `[2N, d]` each.
pub fn all_views(first: Tensor<2>, second: Tensor<2>) -> [Tensor<2>; 2] {
    let count = first.dims()[0];
    let views = normalize(Tensor::cat(vec![first, second], 0));
    let [first, second] = [0, count].map(|start| views.clone().narrow(0, start, count));
    [views, Tensor::cat(vec![second, first], 0)]
}

/// Of all views of N instances none is compared with itself, nor with its other view as a negative.
pub fn own_views(instances: usize) -> Option<Mask> {
    let count = instances as u32;
    Mask::new((0..2 * count).map(|view| vec![view % count, view % count + count]).collect())
}

/// Of N candidates of N queries, each query's own is none of its negatives.
pub fn own_row(instances: usize) -> Option<Mask> {
    Mask::new((0..instances as u32).map(|row| vec![row]).collect())
}
