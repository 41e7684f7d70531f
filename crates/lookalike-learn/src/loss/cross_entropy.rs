//! Cross-entropy over classes, which supervised training minimises:
//!
//! `ℓ(i) = −log ( exp(zᵢ[yᵢ]) / Σⱼ exp(zᵢ[j]) )`, z being a classifier's outputs and yᵢ the class of i.

use super::entry::LossEntry;
use crate::engine::Tensor;
use crate::op;

/// Cross-entropy in a registry.
pub const ENTRY: LossEntry =
    LossEntry { kind: "cross-entropy", about: "classes by their labels", ..LossEntry::OTHER };

/// # Shapes
/// `logits`: `[N, C]`, one class below C a row in `classes` → `[N, 1]`, the loss of each row.
pub fn cross_entropy(logits: Tensor<2>, classes: &[u32]) -> Tensor<2> {
    op::cross_entropy(logits, classes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Device, from_host, to_host};

    #[test]
    fn logits_of_any_size_give_the_value_by_hand() {
        let device = Device::flex();
        let logits = vec![0.0, 1.0, 2.0, 20_000.0, 0.0, 19_999.0];
        let found = to_host(cross_entropy(from_host(logits, [2, 3], &device), &[2, 1]));
        // −2 + log (1 + e + e²), and what is 20,000 below the largest, which no f32's exponential holds.
        let first = (1.0_f32 + 1.0_f32.exp() + 2.0_f32.exp()).ln() - 2.0;
        let second = 20_000.0 + (1.0 + (-1.0_f32).exp()).ln();
        assert!((found[0] - first).abs() < 1e-6 && (found[1] - second).abs() < 1e-2, "{found:?}");
    }
}
