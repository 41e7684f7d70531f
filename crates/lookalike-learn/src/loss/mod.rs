//! Losses, one file each: the formula and its source above the function. They are functions of tensors and a [`Mask`], which know
//! neither whose rows they compare nor where the rows come from.
//!
//! Most take [`Similarities`] of queries to what they are compared with, and give one value a query: a [`QueryLoss`] goes with
//! every method that compares queries with a positive and with negatives, wherever the negatives come from. [`jensen_shannon`] alone
//! compares parts with wholes, and takes these; [`cross_entropy`] compares with nothing but takes a classifier's outputs.

pub mod alignment;
pub mod clusters;
pub mod cross_entropy;
pub mod debiased;
pub mod decoupled;
pub mod entry;
pub mod hard;
pub mod jensen_shannon;
pub mod mask;
pub mod noise_contrastive;
pub mod nt_xent;

use std::fmt::Debug;

use crate::engine::Tensor;

pub use alignment::Alignment;
pub use debiased::Debiased;
pub use decoupled::Decoupled;
pub use entry::LossEntry;
pub use hard::Hard;
pub use mask::Mask;
pub use nt_xent::InfoNce;

/// Scales every row to unit Euclidean length; a row of zeros stays zero, without a NaN in its gradient.
///
/// # Shapes
/// `[N, d]` → `[N, d]`.
pub fn normalize(rows: Tensor<2>) -> Tensor<2> {
    // ε as in PyTorch's `normalize`: the norm is bounded from below by 1e-12. The bound, squared, stands under the root,
    // whose gradient would be infinite at zero.
    let norm = rows.clone().square().sum_dim(1).clamp_min(1e-24).sqrt();
    rows / norm
}

/// log (1 + eˣ) without overflow: max(x, 0) + log (1 + e^{−|x|}).
fn softplus(x: Tensor<2>) -> Tensor<2> {
    x.clone().clamp_min(0.0) + x.abs().neg().exp().add_scalar(1.0).log()
}

/// A loss of a query, its positive and its negatives.
pub trait QueryLoss: Debug + Send + Sync {
    /// The loss of each query.
    ///
    /// # Shapes
    /// → `[Q, 1]`.
    fn each(&self, similarities: &Similarities) -> Tensor<2>;

    /// The temperature τ, 1 where there is none.
    fn temperature(&self) -> f32 {
        1.0
    }
}

/// Cosine similarities of Q queries to their positive and to M candidates for negatives.
#[derive(Debug, Clone)]
pub struct Similarities {
    /// `[Q, 1]`
    pub positive: Tensor<2>,
    /// `[Q, M]`
    pub negatives: Tensor<2>,
    /// The candidates that are no negatives of a query; `None` where all are negatives.
    pub mask: Option<Mask>,
}

impl Similarities {
    /// Those of vectors of unit length.
    ///
    /// # Shapes
    /// `query` and `positive` `[Q, d]`, `candidates` `[M, d]`.
    pub fn new(query: Tensor<2>, positive: Tensor<2>, candidates: Tensor<2>, mask: Option<Mask>) -> Self {
        let positive = (query.clone() * positive).sum_dim(1);
        Self { positive, negatives: query.matmul(candidates.transpose()), mask }
    }

    /// Several lists of candidates of the same queries, one after another.
    pub fn joined(all: &[Self]) -> Self {
        let mut masked: Vec<Vec<u32>> = Vec::new();
        let mut first = 0;
        for Self { negatives, mask, .. } in all {
            let [queries, candidates] = negatives.dims();
            masked.resize(queries, Vec::new());
            for (query, masked) in masked.iter_mut().enumerate() {
                masked.extend(mask.iter().flat_map(|mask| mask.of(query)).map(|row| row + first));
            }
            first += candidates as u32;
        }
        let negatives = all.iter().map(|similarities| similarities.negatives.clone()).collect();
        Self {
            positive: all[0].positive.clone(),
            negatives: Tensor::cat(negatives, 1),
            mask: Mask::new(masked),
        }
    }

    /// s/τ of the candidates, those that are no negatives far below all others, and how many are negatives.
    ///
    /// # Shapes
    /// → `[Q, M]` and `[Q, 1]`.
    pub fn negative_logits(&self, temperature: f32) -> (Tensor<2>, Tensor<2>) {
        let logits = self.negatives.clone().div_scalar(temperature);
        let [queries, candidates] = logits.dims();
        let device = logits.device().inner();
        let count = Tensor::full([queries, 1], candidates as f32, &device);
        let Some(mask) = &self.mask else { return (logits, count) };
        // Logits lie within ±1/τ, so a finite shift far below that takes a candidate out without an infinity, which would
        // become NaN where it meets a zero.
        (mask.lower(logits, 2.0 / temperature + 1e4), count - mask.counts(&device))
    }
}

/// exp(s/τ − m) of positives and negatives, m being the largest s/τ of the row: no exponential exceeds 1, and one is 1.
struct Exponentials {
    /// s/τ − m of the positive, `[Q, 1]`.
    logit: Tensor<2>,
    /// `[Q, 1]`
    positive: Tensor<2>,
    /// `[Q, M]`, 0 where masked.
    negatives: Tensor<2>,
    /// m, `[Q, 1]`, without gradient: it cancels.
    largest: Tensor<2>,
    /// Number of negatives, N, `[Q, 1]`.
    count: Tensor<2>,
}

impl Exponentials {
    fn new(similarities: &Similarities, temperature: f32) -> Self {
        let positive = similarities.positive.clone().div_scalar(temperature);
        let (negatives, count) = similarities.negative_logits(temperature);
        let largest = positive.clone().inner().max_pair(negatives.clone().inner().max_dim(1));
        let logit = positive - largest.clone();
        let negatives = (negatives - largest.clone()).exp();
        Self { positive: logit.clone().exp(), logit, negatives, largest, count }
    }

    /// −log (e⁺ / (e⁺ + `negatives`)).
    fn cross_entropy(&self, negatives: Tensor<2>) -> Tensor<2> {
        (self.positive.clone() + negatives).log() - self.logit.clone()
    }
}
