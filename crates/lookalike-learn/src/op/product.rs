//! Products with a weight matrix whose rows do not hang on each other: each sum runs over the inputs in one order for any number of rows,
//! so that a text's vector is the same bits alone and in any batch.

use crate::burn;
use crate::burn::backend::autodiff::checkpoint::base::Checkpointer;
use crate::burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use crate::burn::backend::autodiff::grads::Gradients;
use crate::burn::backend::autodiff::ops::{Backward, Ops};
use crate::burn::backend::tensor::FloatTensor;
use crate::burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use lookalike_kernels::gelu::column_sums;
use lookalike_kernels::product::{Operand, multiply};

use super::clock::{Task, timed};
use super::{Plain, is_on_cpu, tracked};
use crate::engine::{Precision, Tensor};

/// `input` · `weight`ᵀ, and a `bias` added to each row where there is one.
///
/// # Shapes
/// `[n, in]`, `[out, in]`, `[out]` → `[n, out]`.
pub(crate) fn linear(
    input: Tensor<2>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    precision: Precision,
) -> Tensor<2> {
    if !is_on_cpu(&input) {
        let product = input.matmul(weight.transpose());
        return match bias {
            Some(bias) => product + bias.unsqueeze(),
            None => product,
        };
    }
    let (input, weight) = (input.into_dispatch(), weight.into_dispatch());
    Tensor::from_dispatch(match bias {
        Some(bias) => Dispatch::product_and_bias(input, weight, bias.into_dispatch(), precision),
        None => Dispatch::product(input, weight, precision),
    })
}

/// The product on the CPU.
#[backend_extension(Autodiff, Flex)]
pub(crate) trait Product: Backend {
    /// `input` · `weight`ᵀ.
    fn product(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        precision: Precision,
    ) -> FloatTensor<Self>;

    /// `input` · `weight`ᵀ + `bias`.
    fn product_and_bias(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        precision: Precision,
    ) -> FloatTensor<Self>;
}

/// Its gradients.
pub(crate) trait ProductGradients: Backend {
    /// The gradient of the input, for that of the output.
    fn linear_input_gradient(
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        precision: Precision,
    ) -> FloatTensor<Self>;

    /// The gradient of the weight.
    fn linear_weight_gradient(
        input: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        precision: Precision,
    ) -> FloatTensor<Self>;

    /// The gradient of a bias: the sum of the rows.
    fn sum_of_rows(gradient: FloatTensor<Self>) -> FloatTensor<Self>;
}

/// The matrix of a tensor.
fn operand(tensor: &Plain) -> Operand<'_> {
    let [rows, columns] = tensor.dims();
    Operand::new(tensor.values(), rows, columns)
}

/// `input` · `weight`ᵀ, and the bias added where there is one.
fn by_rows(
    input: FloatTensor<Flex>,
    weight: FloatTensor<Flex>,
    bias: Option<FloatTensor<Flex>>,
    precision: Precision,
) -> FloatTensor<Flex> {
    let [input, weight] = [input, weight].map(Plain::new);
    let bias = bias.map(Plain::new);
    let shape = [input.dims::<1>()[0], weight.dims::<1>()[0]];
    let right = operand(&weight).transposed();
    multiplied(operand(&input), right, bias.as_ref().map(Plain::values), shape, precision)
}

fn multiplied(
    left: Operand<'_>,
    right: Operand<'_>,
    bias: Option<&[f32]>,
    shape: [usize; 2],
    precision: Precision,
) -> FloatTensor<Flex> {
    Plain::from_values(timed(Task::Product, || multiply(left, right, bias, precision)), shape)
}

impl Product for Flex {
    fn product(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        precision: Precision,
    ) -> FloatTensor<Self> {
        by_rows(input, weight, None, precision)
    }

    fn product_and_bias(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        precision: Precision,
    ) -> FloatTensor<Self> {
        by_rows(input, weight, Some(bias), precision)
    }
}

impl ProductGradients for Flex {
    fn linear_input_gradient(
        weight: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        precision: Precision,
    ) -> FloatTensor<Self> {
        let [weight, gradient] = [weight, gradient].map(Plain::new);
        let shape = [gradient.dims::<1>()[0], weight.dims::<2>()[1]];
        multiplied(operand(&gradient), operand(&weight), None, shape, precision)
    }

    fn linear_weight_gradient(
        input: FloatTensor<Self>,
        gradient: FloatTensor<Self>,
        precision: Precision,
    ) -> FloatTensor<Self> {
        let [input, gradient] = [input, gradient].map(Plain::new);
        let shape = [gradient.dims::<2>()[1], input.dims::<2>()[1]];
        multiplied(operand(&gradient).transposed(), operand(&input), None, shape, precision)
    }

    fn sum_of_rows(gradient: FloatTensor<Self>) -> FloatTensor<Self> {
        let gradient = Plain::new(gradient);
        let [_, columns] = gradient.dims();
        Plain::from_values(column_sums(gradient.values(), columns), [columns])
    }
}

/// N parents: input and weight, and the bias where N is 3.
#[derive(Debug)]
struct LinearBackward;

impl<B: ProductGradients, const N: usize> Backward<B, N> for LinearBackward {
    type State = (FloatTensor<B>, FloatTensor<B>, Precision);

    fn backward(self, ops: Ops<Self::State, N>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = gradients.consume::<B>(&ops.node);
        let (input, weight, precision) = ops.state;
        if let Some(node) = &ops.parents[0] {
            let value = B::linear_input_gradient(weight, gradient.clone(), precision);
            gradients.register::<B>(node.id, value);
        }
        if let Some(node) = &ops.parents[1] {
            let value = B::linear_weight_gradient(input, gradient.clone(), precision);
            gradients.register::<B>(node.id, value);
        }
        if let Some(Some(node)) = ops.parents.get(2) {
            gradients.register::<B>(node.id, B::sum_of_rows(gradient));
        }
    }
}

impl<B: Product + ProductGradients, C: CheckpointStrategy> Product for Autodiff<B, C> {
    fn product(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        precision: Precision,
    ) -> FloatTensor<Self> {
        let nodes = [input.node(), weight.node()];
        let (input, weight) = (input.into_primitive(), weight.into_primitive());
        let output = B::product(input.clone(), weight.clone(), precision);
        tracked::<B, C, _, 2>(LinearBackward, nodes, (input, weight, precision), output)
    }

    fn product_and_bias(
        input: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        precision: Precision,
    ) -> FloatTensor<Self> {
        let nodes = [input.node(), weight.node(), bias.node()];
        let (input, weight) = (input.into_primitive(), weight.into_primitive());
        let output = B::product_and_bias(input.clone(), weight.clone(), bias.into_primitive(), precision);
        tracked::<B, C, _, 3>(LinearBackward, nodes, (input, weight, precision), output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::to_host;
    use crate::op::near::{gradients, is_near, leaf};

    #[test]
    fn products_and_their_gradients_are_those_of_the_engine() {
        let (input, weight, bias) =
            (leaf("input", [13, 40]), leaf("weight", [25, 40]), leaf("bias", [1, 25]));
        let leaves = [&input, &weight, &bias];
        let row = || bias.clone().reshape([25]);
        let product = || input.clone().matmul(weight.clone().transpose());
        let ours = linear(input.clone(), weight.clone(), Some(row()), Precision::F32);
        is_near(&gradients(ours, &leaves), &gradients(product() + bias.clone(), &leaves));
        let ours = linear(input.clone(), weight.clone(), None, Precision::F32);
        is_near(&gradients(ours, &leaves[..2]), &gradients(product(), &leaves[..2]));
    }

    #[test]
    fn a_row_is_the_same_bits_alone_and_among_others() {
        for width in [24, 384, 1536] {
            let (input, weight) = (leaf("input", [300, width]).inner(), leaf("weight", [40, width]).inner());
            let of = |input: Tensor<2>| to_host(linear(input, weight.clone(), None, Precision::F32));
            let whole = of(input.clone());
            for (first, count) in [(0, 1), (7, 1), (299, 1), (3, 2), (100, 17)] {
                let part = of(input.clone().narrow(0, first, count));
                assert_eq!(
                    part,
                    whole[first * 40..][..count * 40],
                    "{count} rows of {width} from {first} on"
                );
            }
        }
    }
}
