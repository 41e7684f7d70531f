//! Alignment alone (Wang and Isola 2020, equation 1 with α = 2, <https://arxiv.org/abs/2005.10242>): ℓ(q) = ‖q − k⁺‖² = 2 − 2 q·k⁺.
//!
//! There are no negatives, so the constant encoder is a minimum: without a predictor and a momentum encoder training collapses
//! to one point. It is here to show that.

use std::sync::Arc;

use super::entry::LossEntry;
use super::{QueryLoss, Similarities};
use crate::engine::Tensor;

/// Alignment in a registry.
pub const ENTRY: LossEntry = LossEntry {
    kind: "alignment",
    about: "positives alone, which shows collapse",
    build: Some(|_| Ok(Arc::new(Alignment))),
    ..LossEntry::OTHER
};

/// Alignment as a loss of queries.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Alignment;

impl QueryLoss for Alignment {
    fn each(&self, similarities: &Similarities) -> Tensor<2> {
        alignment(similarities)
    }
}

/// # Shapes
/// → `[Q, 1]`, the loss of each query, whose negatives count for nothing.
pub fn alignment(similarities: &Similarities) -> Tensor<2> {
    similarities.positive.clone().mul_scalar(-2.0).add_scalar(2.0)
}
