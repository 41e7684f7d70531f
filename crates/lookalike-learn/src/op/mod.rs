//! The kernels as differentiable operations of the engine, on the CPU; elsewhere the engine's own. And the optimisers'
//! update, which needs no gradient.
//!
//! Each operation is a trait over the engine's backends whose default bodies are compositions of the engine's own
//! operations. The CPU's backend replaces them by `lookalike_kernels`, the gradient-tracking one adds the backward pass.

mod adam;
mod assign;
mod attention;
mod batch_norm;
pub(crate) mod clock;
mod conv2d;
mod descent;
mod dropout;
mod gelu;
mod layer_norm;
mod lookup;
mod map;
mod product;
mod read_out;
mod row_products;
mod rows;
mod sparse;
mod squares;

use crate::burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use crate::burn::backend::autodiff::ops::{Backward, NodeGuard, OpsKind};
use crate::burn::backend::flex::FlexTensor;
use crate::burn::backend::ops::FloatTensorOps;
use crate::burn::backend::tensor::FloatTensor;
use crate::burn::backend::{Autodiff, Backend, Flex, TensorMetadata};
use crate::burn::tensor::{FloatDType, TensorData};

pub(crate) use adam::{AdamUpdate, adam};
pub(crate) use assign::assign_rows;
pub(crate) use attention::{Attending, Distances, attention};
pub(crate) use batch_norm::{
    Affine, Batch, BatchStatistics, Epilogue, batch_norm, batch_norm_fixed, equal_groups,
};
pub(crate) use conv2d::conv2d;
pub(crate) use descent::{Update, adapt, descend};
pub(crate) use dropout::keep_mask;
pub(crate) use gelu::bias_gelu;
pub(crate) use layer_norm::{Columns, Mask, add_norm, norm};
pub(crate) use lookup::lookup;
pub use map::FeatureMap;
pub(crate) use product::linear;
pub(crate) use read_out::{maximum, pool, spread};
pub(crate) use row_products::row_products;
pub(crate) use rows::{is_on_cpu, select_rows, with_values};
pub(crate) use sparse::{SparseMatrix, aggregate};
pub(crate) use squares::squares;

/// A tensor of the CPU whose values lie in memory as a row-major slice of `f32`.
struct Plain(FlexTensor);

impl Plain {
    fn new(tensor: FloatTensor<Flex>) -> Self {
        Self(Flex::float_cast(tensor, FloatDType::F32).to_contiguous())
    }

    fn values(&self) -> &[f32] {
        self.0.as_slice().unwrap_or_else(|| unreachable!("made contiguous when this was built"))
    }

    /// Sizes of the first dimensions; those that the tensor lacks are 1.
    fn dims<const D: usize>(&self) -> [usize; D] {
        let shape = self.0.shape();
        std::array::from_fn(|dimension| if dimension < shape.num_dims() { shape[dimension] } else { 1 })
    }

    fn from_values<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> FloatTensor<Flex> {
        FlexTensor::from_data(TensorData::new(values, shape))
    }

    /// A tensor of the same shape.
    fn like(&self, values: Vec<f32>) -> FloatTensor<Flex> {
        FlexTensor::from_data(TensorData::new(values, self.0.shape()))
    }
}

/// `output` as what `backward` has the gradient of, for which `state` is kept where any of the parents is tracked.
fn tracked<B, C, R, const N: usize>(
    backward: R,
    parents: [NodeGuard; N],
    state: R::State,
    output: FloatTensor<B>,
) -> FloatTensor<Autodiff<B, C>>
where
    B: Backend,
    C: CheckpointStrategy,
    R: Backward<B, N>,
{
    match backward.prepare::<C>(parents).compute_bound().stateful() {
        OpsKind::Tracked(prepared) => prepared.finish(state, output),
        OpsKind::UnTracked(prepared) => prepared.finish(output),
    }
}

#[cfg(test)]
mod near;
#[cfg(test)]
mod tests;
