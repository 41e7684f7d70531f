//! What tests of operations have in common: random leaves, and how near two results are.

use lookalike_base::Seed;

use crate::engine::{Device, Tensor, to_host};
use crate::layer::normal;

/// A leaf of normal numbers that hang on `purpose`.
pub(super) fn leaf(purpose: &str, shape: [usize; 2]) -> Tensor<2> {
    normal(shape, 1.0, &mut Seed(3).stream(purpose, 0, 0, 0), &Device::flex()).autodiff().require_grad()
}

/// The output, and the gradients of `leaves` for a gradient of the output drawn at random.
pub(super) fn gradients(output: Tensor<2>, leaves: &[&Tensor<2>]) -> Vec<Vec<f32>> {
    let weights = leaf("gradient", output.dims()).inner().autodiff();
    let mut gradients = (output.clone() * weights).sum().backward();
    let of = |leaf: &&Tensor<2>| leaf.grad_remove(&mut gradients).map(to_host).unwrap_or_default();
    let found: Vec<Vec<f32>> = leaves.iter().map(of).collect();
    std::iter::once(to_host(output)).chain(found).collect()
}

/// Checks that all values agree to 1e-5 of the largest of their tensor.
pub(super) fn is_near(ours: &[Vec<f32>], theirs: &[Vec<f32>]) {
    assert_eq!(ours.len(), theirs.len());
    for (index, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        assert_eq!(ours.len(), theirs.len(), "tensor {index}");
        assert!(!ours.is_empty(), "tensor {index} has no gradient");
        let largest = theirs.iter().fold(1.0_f32, |largest, value| largest.max(value.abs()));
        for (a, b) in ours.iter().zip(theirs) {
            assert!(
                (a - b).abs() <= 1e-5 * largest,
                "tensor {index}: {a} and {b}, the largest being {largest}"
            );
        }
    }
}
