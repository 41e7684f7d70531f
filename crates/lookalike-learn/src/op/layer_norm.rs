//! Layer normalisation (Ba et al. 2016, <https://arxiv.org/abs/1607.06450>), alone and with what stands before it in a transformer: a
//! bias, dropout and the residual.

use std::sync::Arc;

use crate::burn;
use crate::burn::backend::autodiff::checkpoint::base::Checkpointer;
use crate::burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use crate::burn::backend::autodiff::grads::Gradients;
use crate::burn::backend::autodiff::ops::{Backward, Ops};
use crate::burn::backend::tensor::FloatTensor;
use crate::burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use lookalike_kernels::dropout::Place;
use lookalike_kernels::layer_norm::{
    Dropped, LayerNormGradient, LayerNormInput, LayerNormScale, layer_norm, layer_norm_gradient,
};

use super::clock::{Task, timed};
use super::{Plain, is_on_cpu, keep_mask, tracked};
use crate::engine::Tensor;

/// What is dropped of the values before they are added to the residual.
#[derive(Debug, Clone)]
pub(crate) struct Mask {
    /// A place a row.
    pub(crate) places: Arc<[Place]>,
    /// With which probability.
    pub(crate) probability: f32,
}

/// Scale and shift of each column, and what is added to the variance.
pub(crate) struct Columns {
    /// `[d]`
    pub(crate) scale: Tensor<1>,
    /// `[d]`
    pub(crate) shift: Tensor<1>,
    /// What is added to the variance.
    pub(crate) epsilon: f32,
}

/// Each row with mean 0 and variance 1, scaled and shifted.
///
/// # Shapes
/// `[n, d]` → the same.
pub(crate) fn norm(values: Tensor<2>, columns: Columns) -> Tensor<2> {
    if !is_on_cpu(&values) {
        return composed(values, columns);
    }
    let Columns { scale, shift, epsilon } = columns;
    let (scale, shift) = (scale.into_dispatch(), shift.into_dispatch());
    Tensor::from_dispatch(Dispatch::norm_rows(values.into_dispatch(), scale, shift, epsilon).0)
}

/// [`norm`] of `residual` + dropout (`values` + `bias`).
///
/// # Shapes
/// `[n, d]`, `[d]`, `[n, d]` → `[n, d]`.
pub(crate) fn add_norm(
    values: Tensor<2>,
    bias: Tensor<1>,
    residual: Tensor<2>,
    dropped: Option<Mask>,
    columns: Columns,
) -> Tensor<2> {
    if !is_on_cpu(&values) {
        return composed_add(values, bias, residual, dropped, columns);
    }
    let Columns { scale, shift, epsilon } = columns;
    let (output, _) = Dispatch::add_norm_rows(
        values.into_dispatch(),
        bias.into_dispatch(),
        residual.into_dispatch(),
        scale.into_dispatch(),
        shift.into_dispatch(),
        dropped,
        epsilon,
    );
    Tensor::from_dispatch(output)
}

/// [`norm`] by the engine's own operations.
fn composed(values: Tensor<2>, Columns { scale, shift, epsilon }: Columns) -> Tensor<2> {
    let centred = values.clone() - values.mean_dim(1);
    let variance = centred.clone().powi_scalar(2).mean_dim(1);
    centred / variance.add_scalar(epsilon).sqrt() * scale.unsqueeze() + shift.unsqueeze()
}

/// [`add_norm`] by the engine's own operations.
fn composed_add(
    values: Tensor<2>,
    bias: Tensor<1>,
    residual: Tensor<2>,
    dropped: Option<Mask>,
    columns: Columns,
) -> Tensor<2> {
    let mut values = values + bias.unsqueeze();
    if let Some(Mask { places, probability }) = dropped {
        let width = values.dims()[1];
        values = values.clone() * keep_mask(&places, width, probability, &values.device().inner());
    }
    composed(residual + values, columns)
}

/// The normalisations on the CPU; the second value has mean and 1 / deviation of each row, `[n, 2]`.
#[backend_extension(Autodiff, Flex)]
pub(crate) trait LayerNormalization: Backend {
    /// See [`norm`].
    fn norm_rows(
        values: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        epsilon: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    /// See [`add_norm`].
    fn add_norm_rows(
        values: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        dropped: Option<Mask>,
        epsilon: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);
}

/// What a gradient of the normalisation needs of the forward pass.
#[derive(Debug, Clone)]
pub(crate) struct Saved<B: Backend> {
    values: FloatTensor<B>,
    bias_and_residual: Option<[FloatTensor<B>; 2]>,
    scale: FloatTensor<B>,
    statistics: FloatTensor<B>,
    dropped: Option<Mask>,
    epsilon: f32,
}

/// Gradients of values, bias, residual, scale and shift; where there was no residual, those of bias and residual are absent.
pub(crate) struct LayerNormGradients<B: Backend> {
    values: FloatTensor<B>,
    bias_and_residual: Option<[FloatTensor<B>; 2]>,
    scale: FloatTensor<B>,
    shift: FloatTensor<B>,
}

/// Its gradients.
pub(crate) trait LayerNormalizationGradients: Backend {
    /// All of them, for that of the output.
    fn layer_norm_gradients(saved: Saved<Self>, gradient: FloatTensor<Self>) -> LayerNormGradients<Self>;
}

/// The tensors of a normalisation as slices.
struct Slices {
    values: Plain,
    bias_and_residual: Option<[Plain; 2]>,
    scale: Plain,
    shift: Option<Plain>,
    dropped: Option<Mask>,
    epsilon: f32,
}

impl Slices {
    fn input(&self) -> LayerNormInput<'_> {
        let added = self.bias_and_residual.as_ref();
        LayerNormInput {
            values: self.values.values(),
            bias: added.map(|[bias, _]| bias.values()),
            residual: added.map(|[_, residual]| residual.values()),
            dropout: self
                .dropped
                .as_ref()
                .map(|Mask { places, probability }| Dropped { places, probability: *probability }),
        }
    }

    fn scale(&self) -> LayerNormScale<'_> {
        let shift = self.shift.as_ref().map(Plain::values);
        LayerNormScale { scale: self.scale.values(), shift, epsilon: self.epsilon }
    }

    fn normalized(&self) -> (FloatTensor<Flex>, FloatTensor<Flex>) {
        let (output, statistics) = timed(Task::LayerNorm, || layer_norm(&self.input(), &self.scale()));
        let rows = statistics.len();
        (self.values.like(output), Plain::from_values(statistics.into_flattened(), [rows, 2]))
    }
}

impl LayerNormalization for Flex {
    fn norm_rows(
        values: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        epsilon: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let [values, scale, shift] = [values, scale, shift].map(Plain::new);
        let (bias_and_residual, dropped) = (None, None);
        Slices { values, bias_and_residual, scale, shift: Some(shift), dropped, epsilon }.normalized()
    }

    fn add_norm_rows(
        values: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        dropped: Option<Mask>,
        epsilon: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let [values, scale, shift] = [values, scale, shift].map(Plain::new);
        let bias_and_residual = Some([bias, residual].map(Plain::new));
        Slices { values, bias_and_residual, scale, shift: Some(shift), dropped, epsilon }.normalized()
    }
}

impl LayerNormalizationGradients for Flex {
    fn layer_norm_gradients(saved: Saved<Self>, gradient: FloatTensor<Self>) -> LayerNormGradients<Self> {
        let [values, scale, statistics, gradient] =
            [saved.values, saved.scale, saved.statistics, gradient].map(Plain::new);
        let bias_and_residual = saved.bias_and_residual.map(|pair| pair.map(Plain::new));
        let (dropped, epsilon) = (saved.dropped, saved.epsilon);
        let slices = Slices { values, bias_and_residual, scale, shift: None, dropped, epsilon };
        let pairs = statistics.values().as_chunks::<2>().0;
        let LayerNormGradient { values, residual, bias, scale, shift } = timed(Task::LayerNorm, || {
            layer_norm_gradient(&slices.input(), &slices.scale(), pairs, gradient.values())
        });
        let row = |values: Vec<f32>| {
            let width = values.len();
            Plain::from_values(values, [width])
        };
        LayerNormGradients {
            values: slices.values.like(values),
            bias_and_residual: bias
                .zip(residual)
                .map(|(bias, residual)| [row(bias), slices.values.like(residual)]),
            scale: row(scale),
            shift: row(shift),
        }
    }
}

/// Of three parents, values, scale and shift; of five with bias and residual after the values.
#[derive(Debug)]
struct LayerNormBackward;

impl<B: LayerNormalizationGradients, const N: usize> Backward<B, N> for LayerNormBackward {
    type State = Saved<B>;

    fn backward(self, ops: Ops<Self::State, N>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = gradients.consume::<B>(&ops.node);
        let all = B::layer_norm_gradients(ops.state, gradient);
        let tensors = std::iter::once(all.values)
            .chain(all.bias_and_residual.into_iter().flatten())
            .chain([all.scale, all.shift]);
        for (node, gradient) in ops.parents.into_iter().zip(tensors) {
            if let Some(node) = node {
                gradients.register::<B>(node.id, gradient);
            }
        }
    }
}

impl<B, C> LayerNormalization for Autodiff<B, C>
where
    B: LayerNormalization + LayerNormalizationGradients,
    C: CheckpointStrategy,
{
    fn norm_rows(
        values: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        epsilon: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let nodes = [values.node(), scale.node(), shift.node()];
        let (values, scale) = (values.into_primitive(), scale.into_primitive());
        let (output, statistics) =
            B::norm_rows(values.clone(), scale.clone(), shift.into_primitive(), epsilon);
        let kept = FloatTensor::<Self>::new(statistics.clone());
        let saved = Saved { values, bias_and_residual: None, scale, statistics, dropped: None, epsilon };
        (tracked::<B, C, _, 3>(LayerNormBackward, nodes, saved, output), kept)
    }

    fn add_norm_rows(
        values: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        residual: FloatTensor<Self>,
        scale: FloatTensor<Self>,
        shift: FloatTensor<Self>,
        dropped: Option<Mask>,
        epsilon: f32,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let nodes = [values.node(), bias.node(), residual.node(), scale.node(), shift.node()];
        let (values, scale) = (values.into_primitive(), scale.into_primitive());
        let [bias, residual] = [bias, residual].map(FloatTensor::<Self>::into_primitive);
        let (output, statistics) = B::add_norm_rows(
            values.clone(),
            bias.clone(),
            residual.clone(),
            scale.clone(),
            shift.into_primitive(),
            dropped.clone(),
            epsilon,
        );
        let kept = FloatTensor::<Self>::new(statistics.clone());
        let bias_and_residual = Some([bias, residual]);
        let saved = Saved { values, bias_and_residual, scale, statistics, dropped, epsilon };
        (tracked::<B, C, _, 5>(LayerNormBackward, nodes, saved, output), kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::near::{gradients, is_near, leaf};

    #[test]
    fn normalisations_and_their_gradients_are_those_of_the_engine() {
        let (values, residual) = (leaf("values", [7, 20]), leaf("residual", [7, 20]));
        let [bias, scale, shift] = ["bias", "scale", "shift"].map(|purpose| leaf(purpose, [1, 20]));
        let row = |tensor: &Tensor<2>| tensor.clone().reshape([20]);
        let columns = || Columns { scale: row(&scale), shift: row(&shift), epsilon: 1e-5 };
        let leaves = [&values, &scale, &shift];
        let ours = gradients(norm(values.clone(), columns()), &leaves);
        is_near(&ours, &gradients(composed(values.clone(), columns()), &leaves));
        let leaves = [&values, &scale, &shift, &bias, &residual];
        let places: Arc<[Place]> = (0..7).map(|row| Place { key: 3 << row, first: row * 20 }).collect();
        for dropped in [None, Some(Mask { places, probability: 0.4 })] {
            let ours = add_norm(values.clone(), row(&bias), residual.clone(), dropped.clone(), columns());
            let theirs = composed_add(values.clone(), row(&bias), residual.clone(), dropped, columns());
            is_near(&gradients(ours, &leaves), &gradients(theirs, &leaves));
        }
    }
}
