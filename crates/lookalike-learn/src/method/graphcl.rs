//! GraphCL (You et al. 2020, *Graph Contrastive Learning with Augmentations*, <https://arxiv.org/abs/2010.13902>, section 3.2
//! and algorithm in appendix): SimCLR on graphs, and what sets its published code apart
//! (`unsupervised_TU` of Shen-Lab/GraphCL).
//!
//! | variant | views | queries | default loss |
//! |---|---|---|---|
//! | `original` | the graph as it is, and one augmentation of it | the first alone | [decoupled](crate::loss::decoupled): ℓ(n) = −log ( exp(s(n, n)/τ) / Σ_{n′ ≠ n} exp(s(n, n′)/τ) ) |
//! | `paper` | two augmentations | both | NT-Xent, see [`nt_xent`](crate::loss::nt_xent) |
//!
//! s(n, n′) is the cosine similarity of the projection of graph n's first view to that of n′'s second. In both variants each
//! view goes through BatchNorm by itself, as in the published code. The paper's equation 3 leaves the positive out of the denominator too
//! while its text speaks of NT-Xent; any loss can be taken in either variant.

use lookalike_data::graph::Variant;

use super::network::Network;
use super::simclr::{InBatchNegatives, SimClr};
use crate::encoder::Encoder;
use crate::head::{Head, HeadNorm, Projection, ProjectionOptions};
use crate::loss::Loss;
use crate::negatives::ContrastiveLoss;

/// The published head on representations of length `dimension`: two linear layers as wide as that, no BatchNorm. Its weights are
/// those of [`Projection::xavier`].
pub fn projection_options(dimension: usize) -> ProjectionOptions {
    ProjectionOptions { layers: 2, width: dimension, dimension, batch_norm: HeadNorm::None }
}

/// The loss of `variant` at `temperature` τ > 0 (published: 0.2).
pub fn default_loss(variant: Variant, temperature: f32) -> Loss {
    match variant {
        Variant::Original => Loss::Decoupled { temperature },
        Variant::Paper => Loss::InfoNce { temperature },
    }
}

/// Trains `encoder` through `projection` by `contrast` as `variant` compares views.
pub fn graphcl<E: Encoder>(
    encoder: E,
    projection: Projection,
    contrast: ContrastiveLoss,
    variant: Variant,
) -> SimClr<E> {
    let in_batch = match variant {
        Variant::Original => InBatchNegatives::SecondViews,
        Variant::Paper => InBatchNegatives::AllViews,
    };
    let network = Network { encoder, head: Head::Projection(projection) };
    SimClr::with(network, contrast, in_batch).normalized_apart()
}
