//! Cross-entropy of rows of logits with a class each. On the CPU no table beside the logits and their gradient is made.

use std::sync::Arc;

use crate::burn;
use crate::burn::backend::autodiff::checkpoint::base::Checkpointer;
use crate::burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use crate::burn::backend::autodiff::grads::Gradients;
use crate::burn::backend::autodiff::ops::{Backward, Ops};
use crate::burn::backend::tensor::FloatTensor;
use crate::burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use lookalike_kernels::cross_entropy as kernel;

use super::{Plain, is_on_cpu, tracked};
use crate::engine::{Int, Tensor, TensorData};

/// log Σⱼ exp(zⱼ) − z of the class, of each row.
///
/// # Shapes
/// `logits` `[n, C]`, n classes below C → `[n, 1]`.
pub(crate) fn cross_entropy(logits: Tensor<2>, classes: &[u32]) -> Tensor<2> {
    if !is_on_cpu(&logits) {
        return composed(logits, classes);
    }
    Tensor::from_dispatch(Dispatch::cross_entropy(logits.into_dispatch(), classes.into()))
}

fn composed(logits: Tensor<2>, classes: &[u32]) -> Tensor<2> {
    let own: Vec<i64> = classes.iter().map(|class| i64::from(*class)).collect();
    let device = logits.device().inner();
    let own = Tensor::<2, Int>::from_data(TensorData::new(own, [classes.len(), 1]), &device);
    // The largest is a constant: it cancels, and no exponential exceeds 1.
    let logits = logits.clone() - logits.inner().max_dim(1);
    logits.clone().exp().sum_dim(1).log() - logits.gather(1, own)
}

/// The function on the CPU.
#[backend_extension(Autodiff, Flex)]
pub(crate) trait CrossEntropy: Backend {
    /// The cross-entropy of each row.
    fn cross_entropy(logits: FloatTensor<Self>, classes: Arc<[u32]>) -> FloatTensor<Self>;
}

/// The largest logit of each row, and the sum of exponentials less it.
type Sums = Vec<[f32; 2]>;

/// Its parts, which the gradient needs.
pub(crate) trait CrossEntropyGradient: Backend {
    /// The cross-entropy of each row, and the sums.
    fn with_sums(logits: FloatTensor<Self>, classes: &[u32]) -> (FloatTensor<Self>, Sums);

    /// The gradient of the logits, for that of the output.
    fn logits_gradient(
        logits: FloatTensor<Self>,
        classes: &[u32],
        sums: &Sums,
        gradient: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

impl CrossEntropy for Flex {
    fn cross_entropy(logits: FloatTensor<Self>, classes: Arc<[u32]>) -> FloatTensor<Self> {
        Self::with_sums(logits, &classes).0
    }
}

impl CrossEntropyGradient for Flex {
    fn with_sums(logits: FloatTensor<Self>, classes: &[u32]) -> (FloatTensor<Self>, Sums) {
        let logits = Plain::new(logits);
        let [_, columns] = logits.dims();
        let (losses, sums) = kernel::cross_entropy(logits.values(), columns, classes);
        (Plain::from_values(losses, [classes.len(), 1]), sums)
    }

    fn logits_gradient(
        logits: FloatTensor<Self>,
        classes: &[u32],
        sums: &Sums,
        gradient: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let [logits, gradient] = [logits, gradient].map(Plain::new);
        let [_, columns] = logits.dims();
        let values =
            kernel::cross_entropy_gradient(logits.values(), columns, classes, sums, gradient.values());
        logits.like(values)
    }
}

#[derive(Debug)]
struct CrossEntropyBackward;

impl<B: CrossEntropyGradient> Backward<B, 1> for CrossEntropyBackward {
    type State = (FloatTensor<B>, Arc<[u32]>, Sums);

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = gradients.consume::<B>(&ops.node);
        let (logits, classes, sums) = ops.state;
        if let [Some(node)] = ops.parents {
            gradients.register::<B>(node.id, B::logits_gradient(logits, &classes, &sums, gradient));
        }
    }
}

impl<B: CrossEntropy + CrossEntropyGradient, C: CheckpointStrategy> CrossEntropy for Autodiff<B, C> {
    fn cross_entropy(logits: FloatTensor<Self>, classes: Arc<[u32]>) -> FloatTensor<Self> {
        let node = logits.node();
        let logits = logits.into_primitive();
        let (losses, sums) = B::with_sums(logits.clone(), &classes);
        tracked::<B, C, _, 1>(CrossEntropyBackward, [node], (logits, classes, sums), losses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::near::{gradients, is_near, leaf};

    #[test]
    fn losses_and_the_gradient_of_logits_are_those_of_the_engine() {
        let logits = leaf("logits", [7, 45]);
        let classes = [0, 44, 3, 3, 16, 17, 31];
        let ours = gradients(cross_entropy(logits.clone(), &classes), &[&logits]);
        is_near(&ours, &gradients(composed(logits.clone(), &classes), &[&logits]));
    }
}
