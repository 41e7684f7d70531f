//! Rows of a table by their numbers, as tokens' vectors are read: on the CPU the gradient is summed over the rows that occur alone.

use std::sync::Arc;

use crate::burn;
use crate::burn::backend::autodiff::checkpoint::base::Checkpointer;
use crate::burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use crate::burn::backend::autodiff::grads::Gradients;
use crate::burn::backend::autodiff::ops::{Backward, Ops};
use crate::burn::backend::tensor::FloatTensor;
use crate::burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use lookalike_kernels::embedding::rows_gradient;
use rayon::prelude::*;

use super::clock::{Task, timed};
use super::{Plain, is_on_cpu, select_rows, tracked};
use crate::engine::Tensor;

/// The row of `table` that each of `ids` names.
///
/// # Shapes
/// `[N, d]` → `[ids, d]`.
///
/// # Panics
/// Where a number is not below N.
pub(crate) fn lookup(table: Tensor<2>, ids: &Arc<[u32]>) -> Tensor<2> {
    if !is_on_cpu(&table) {
        return select_rows(table, ids);
    }
    Tensor::from_dispatch(Dispatch::look_up(table.into_dispatch(), Arc::clone(ids)))
}

/// Reading rows on the CPU.
#[backend_extension(Autodiff, Flex)]
pub(crate) trait Lookup: Backend {
    /// The rows.
    fn look_up(table: FloatTensor<Self>, ids: Arc<[u32]>) -> FloatTensor<Self>;
}

/// Its gradient.
pub(crate) trait LookupGradient: Backend {
    /// The gradient of a table of so many rows, for that of the rows read.
    fn look_up_gradient(gradient: FloatTensor<Self>, ids: Arc<[u32]>, rows: usize) -> FloatTensor<Self>;
}

impl Lookup for Flex {
    fn look_up(table: FloatTensor<Self>, ids: Arc<[u32]>) -> FloatTensor<Self> {
        let table = Plain::new(table);
        let [_, width] = table.dims();
        let source = table.values();
        let read = || {
            let mut values = vec![0.0; ids.len() * width];
            values
                .par_chunks_exact_mut(width.max(1))
                .zip(ids.par_iter())
                .with_min_len(64)
                .for_each(|(row, id)| row.copy_from_slice(&source[*id as usize * width..][..width]));
            values
        };
        Plain::from_values(timed(Task::Lookup, read), [ids.len(), width])
    }
}

impl LookupGradient for Flex {
    fn look_up_gradient(gradient: FloatTensor<Self>, ids: Arc<[u32]>, rows: usize) -> FloatTensor<Self> {
        let gradient = Plain::new(gradient);
        let [_, width] = gradient.dims();
        let sum = || {
            let (found, sums) = rows_gradient(&ids, gradient.values(), width);
            let mut values = vec![0.0; rows * width];
            for (id, sum) in found.iter().zip(sums.chunks_exact(width.max(1))) {
                values[*id as usize * width..][..width].copy_from_slice(sum);
            }
            values
        };
        Plain::from_values(timed(Task::Lookup, sum), [rows, width])
    }
}

#[derive(Debug)]
struct LookupBackward;

impl<B: LookupGradient> Backward<B, 1> for LookupBackward {
    type State = (Arc<[u32]>, usize);

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = gradients.consume::<B>(&ops.node);
        let (ids, rows) = ops.state;
        if let [Some(node)] = ops.parents {
            gradients.register::<B>(node.id, B::look_up_gradient(gradient, ids, rows));
        }
    }
}

impl<B: Lookup + LookupGradient, C: CheckpointStrategy> Lookup for Autodiff<B, C> {
    fn look_up(table: FloatTensor<Self>, ids: Arc<[u32]>) -> FloatTensor<Self> {
        let node = table.node();
        let table = table.into_primitive();
        let rows = table.shape()[0];
        let output = B::look_up(table, Arc::clone(&ids));
        tracked::<B, C, _, 1>(LookupBackward, [node], (ids, rows), output)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::near::{gradients, is_near, leaf};

    #[test]
    fn rows_and_the_gradient_of_their_table_are_those_of_the_engine() {
        let table = leaf("table", [6, 5]);
        let ids: Arc<[u32]> = vec![3, 0, 3, 5, 3].into();
        let ours = gradients(lookup(table.clone(), &ids), &[&table]);
        is_near(&ours, &gradients(select_rows(table.clone(), &ids), &[&table]));
    }
}
