//! NT-Xent, the normalised temperature-scaled cross entropy of SimCLR (Chen et al. 2020, equation 1,
//! <https://arxiv.org/abs/2002.05709>).
//!
//! For the 2N views z of N instances, with s(i, j) = zᵢ·zⱼ / (‖zᵢ‖‖zⱼ‖) and j(i) the other view of i's instance:
//!
//! ℓ(i) = −log ( exp(s(i, j(i)) / τ) / Σ_{k ≠ i} exp(s(i, k) / τ) ), and the loss is the mean of ℓ over all 2N views.
//!
//! So it is InfoNCE whose queries are all views and whose negatives are the 2N − 2 views of other instances; put there, the
//! debiased and the hard loss are those of their papers. SimCLR's published code sums the means of the two halves, which is
//! twice this; lightly and the paper take the mean.

use super::{Loss, normalize};
use crate::engine::Tensor;
use crate::negatives::Comparison;

/// Every view of `instances` beside its other view and those of the other instances.
///
/// # Shapes
/// `first` and `second`: `[N, d]`, any scale, row i of both being `instances[i]`. 2N queries, 2N candidates.
pub fn views(first: Tensor<2>, second: Tensor<2>, instances: &[u32]) -> Comparison {
    let count = first.dims()[0];
    let query = normalize(Tensor::cat(vec![first, second], 0));
    let [first, second] = [0, count].map(|start| query.clone().narrow(0, start, count));
    let both = [instances, instances].concat();
    Comparison {
        positive: Tensor::cat(vec![second, first], 0),
        candidates: query.clone(),
        candidate_instances: both.clone().into(),
        query,
        instances: both,
        exclude_own: true,
        tracked: true,
    }
}

/// The loss of N distinct instances seen in two views each.
///
/// # Shapes
/// `first` and `second`: `[N, d]`, any scale, row i of both being the same instance; `temperature` τ > 0. Returns `[1]`.
pub fn nt_xent(first: Tensor<2>, second: Tensor<2>, temperature: f32) -> Tensor<1> {
    let instances: Vec<u32> = (0..first.dims()[0] as u32).collect();
    let comparison = views(first, second, &instances);
    Loss::InfoNce { temperature }.of(&comparison.similarities(comparison.excluded(None))).mean()
}

/// The views of each side beside those of the other alone: N queries and N candidates in either direction.
///
/// # Shapes
/// As [`views`].
pub fn across(first: Tensor<2>, second: Tensor<2>, instances: &[u32]) -> [Comparison; 2] {
    let (first, second) = (normalize(first), normalize(second));
    [(first.clone(), second.clone()), (second, first)].map(|(query, other)| Comparison {
        query,
        instances: instances.to_vec(),
        positive: other.clone(),
        candidates: other,
        candidate_instances: instances.to_vec().into(),
        exclude_own: true,
        tracked: true,
    })
}
