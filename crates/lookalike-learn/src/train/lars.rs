//! LARS, layer-wise adaptive rates for large batches (You et al. 2017, <https://arxiv.org/abs/1708.03888>), in the form
//! in which MoCo v3 uses it: the gradient of a weight is scaled by η ‖w‖ / ‖g + λw‖ before momentum, the learning rate multiplies
//! what momentum gives, and biases and normalisation parameters have neither decay nor scaling. SimCLR's program has the rate
//! inside the momentum, which differs where the rate changes.

use crate::engine::Tensor;
use crate::op;

/// g + λw, scaled by the trust ratio η ‖w‖ / ‖g + λw‖; by 1 where either norm is 0.
///
/// # Shapes
/// Both flat, of one length.
pub fn adapt(weight: &Tensor<1>, gradient: Tensor<1>, decay: f64, trust: f64) -> Tensor<1> {
    op::adapt(weight.clone(), gradient, decay, trust)
}
