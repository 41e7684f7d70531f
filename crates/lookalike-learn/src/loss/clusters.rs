//! The losses of Contrastive Clustering on the columns of assignments (Li et al. 2021, section 3.3, <https://arxiv.org/abs/2009.09687>).
//!
//! Of N instances in two views with the probabilities Yᵃ and Yᵇ of C clusters, `[N, C]`:
//!
//! - a cluster is a column; it is contrasted with its column in the other view and all other columns of both (equations 5 and 6): NT-Xent
//!   of Yᵃᵀ and Yᵇᵀ, so [`Comparison::of_units`](crate::negatives::Comparison::of_units) with InfoNCE;
//! - so that not all instances go to one cluster the entropy of the mean assignment is made large: [`entropy_gap`] of either view is added.
//!   The paper subtracts H(Y); its program adds ln C − H(Y), which differs by a constant.
//!
//! The published program takes the logarithm of a mean that can be 0, and its loss becomes NaN once a cluster is empty; here 0 · ln 0 is 0.

use crate::engine::Tensor;

/// Means below this are taken to be it within the logarithm.
const LEAST: f32 = 1e-12;

/// ln C − H(p) ≥ 0, with the entropy H of the mean assignment p = Σᵢ Yᵢ / N: 0 where all clusters are equally large, ln C where there is
/// one.
///
/// # Shapes
/// `[N, C]`, rows that sum to 1 → `[1]`.
pub fn entropy_gap(assignments: Tensor<2>) -> Tensor<1> {
    let clusters = assignments.dims()[1];
    let means = assignments.mean_dim(0);
    let negative = (means.clone() * means.clamp_min(LEAST).log()).sum();
    negative.add_scalar((clusters as f32).ln())
}
