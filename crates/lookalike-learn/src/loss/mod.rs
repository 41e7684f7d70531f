//! Losses, one file each: the formula and its source above the function.

pub mod nt_xent;

use crate::engine::Tensor;

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
