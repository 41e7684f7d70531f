//! NT-Xent, the normalised temperature-scaled cross entropy of SimCLR (Chen et al. 2020, equation 1,
//! <https://arxiv.org/abs/2002.05709>).
//!
//! For the 2N views z of N instances, with s(i, j) = zᵢ·zⱼ / (‖zᵢ‖‖zⱼ‖) and j(i) the other view of i's instance:
//!
//! ℓ(i) = −log ( exp(s(i, j(i)) / τ) / Σ_{k ≠ i} exp(s(i, k) / τ) ), and the loss is the mean of ℓ over all 2N views.
//!
//! SimCLR's published code sums the means of the two halves, which is twice this; lightly and the paper take the mean.

use burn::tensor::activation::log_softmax;

use super::normalize;
use crate::engine::{Tensor, from_host};

/// The loss of N instances seen in two views each.
///
/// # Shapes
/// `first` and `second`: `[N, d]`, any scale, row i of both being the same instance; `temperature` τ > 0. Returns `[1]`.
pub fn nt_xent(first: Tensor<2>, second: Tensor<2>, temperature: f32) -> Tensor<1> {
    let instances = first.dims()[0];
    let views = 2 * instances;
    let embeddings = normalize(Tensor::cat(vec![first, second], 0));
    let logits = embeddings.clone().matmul(embeddings.transpose()).div_scalar(temperature);

    // A view is not its own negative. Logits lie within ±1/τ, so a finite shift far below that removes the diagonal
    // without an infinity, which would become NaN where it meets a zero of the positives' mask.
    let mut own = vec![0.0; views * views];
    let mut positive = vec![0.0; views * views];
    for view in 0..views {
        own[view * views + view] = -(2.0 / temperature + 1e4);
        positive[view * views + (view + instances) % views] = 1.0;
    }
    let device = logits.device().inner();
    let [own, positive] = [own, positive].map(|values| from_host(values, [views; 2], &device));
    let log_probabilities = log_softmax(logits + own, 1);
    (log_probabilities * positive).sum().div_scalar(-(views as f32))
}
