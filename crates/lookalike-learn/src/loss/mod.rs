//! Losses, one file each: the formula and its source above the function.

pub mod nt_xent;

use burn::tensor::ElementConversion;

use crate::engine::Tensor;

/// Scales every row to unit Euclidean length; a row of zeros stays zero, without a NaN in its gradient.
///
/// # Shapes
/// `[N, d]` → `[N, d]`.
pub fn normalize(rows: Tensor<2>) -> Tensor<2> {
    // ε as in PyTorch's `normalize`: the norm is bounded from below by 1e-12. Under the root, where the gradient would be
    // infinite at zero, its square is below the smallest normal f32, so the square's bound is 1e-24.
    let norm = rows.clone().square().sum_dim(1).clamp_min(1e-24_f32.elem::<f32>()).sqrt();
    rows / norm
}
