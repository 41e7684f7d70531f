//! A bias and the exact GELU, in one pass over memory.

use crate::burn;
use crate::burn::backend::autodiff::checkpoint::base::Checkpointer;
use crate::burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use crate::burn::backend::autodiff::grads::Gradients;
use crate::burn::backend::autodiff::ops::{Backward, Ops};
use crate::burn::backend::tensor::FloatTensor;
use crate::burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use crate::burn::tensor::activation::gelu;
use lookalike_kernels::gelu as kernel;

use super::clock::{Task, timed};
use super::product::ProductGradients;
use super::{Plain, is_on_cpu, tracked};
use crate::engine::Tensor;

/// x · Φ(x) of x = `values` + `bias` (Hendrycks and Gimpel 2016, <https://arxiv.org/abs/1606.08415>).
///
/// # Shapes
/// `[n, d]`, `[d]` → `[n, d]`.
pub(crate) fn bias_gelu(values: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
    if !is_on_cpu(&values) {
        return gelu(values + bias.unsqueeze());
    }
    Tensor::from_dispatch(Dispatch::bias_gelu(values.into_dispatch(), bias.into_dispatch()))
}

/// The function on the CPU.
#[backend_extension(Autodiff, Flex)]
pub(crate) trait BiasGelu: Backend {
    /// The output.
    fn bias_gelu(values: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// Its gradient.
pub(crate) trait BiasGeluGradient: Backend {
    /// The gradient of the values, for that of the output.
    fn bias_gelu_gradient(
        values: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> FloatTensor<Self>;
}

impl BiasGelu for Flex {
    fn bias_gelu(values: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
        let [values, bias] = [values, bias].map(Plain::new);
        values.like(timed(Task::Gelu, || kernel::bias_gelu(values.values(), bias.values())))
    }
}

impl BiasGeluGradient for Flex {
    fn bias_gelu_gradient(
        values: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let [values, bias, gradient] = [values, bias, gradient].map(Plain::new);
        values.like(timed(Task::Gelu, || {
            kernel::bias_gelu_gradient(values.values(), bias.values(), gradient.values())
        }))
    }
}

#[derive(Debug)]
struct BiasGeluBackward;

impl<B: BiasGeluGradient + ProductGradients> Backward<B, 2> for BiasGeluBackward {
    type State = (FloatTensor<B>, FloatTensor<B>);

    fn backward(self, ops: Ops<Self::State, 2>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let [values_node, bias_node] = ops.parents;
        let (values, bias) = ops.state;
        let gradient = B::bias_gelu_gradient(values, bias, gradients.consume::<B>(&ops.node));
        if let Some(node) = bias_node {
            gradients.register::<B>(node.id, B::sum_of_rows(gradient.clone()));
        }
        if let Some(node) = values_node {
            gradients.register::<B>(node.id, gradient);
        }
    }
}

impl<B: BiasGelu + BiasGeluGradient + ProductGradients, C: CheckpointStrategy> BiasGelu for Autodiff<B, C> {
    fn bias_gelu(values: FloatTensor<Self>, bias: FloatTensor<Self>) -> FloatTensor<Self> {
        let nodes = [values.node(), bias.node()];
        let (values, bias) = (values.into_primitive(), bias.into_primitive());
        let output = B::bias_gelu(values.clone(), bias.clone());
        tracked::<B, C, _, 2>(BiasGeluBackward, nodes, (values, bias), output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::near::{gradients, is_near, leaf};

    #[test]
    fn the_function_and_its_gradients_are_those_of_the_engine() {
        let (values, bias) = (leaf("values", [9, 33]), leaf("bias", [1, 33]));
        let row = || bias.clone().reshape([33]);
        let leaves = [&values, &bias];
        let ours = gradients(bias_gelu(values.clone(), row()), &leaves);
        is_near(&ours, &gradients(gelu(values.clone() + bias.clone()), &leaves));
    }
}
