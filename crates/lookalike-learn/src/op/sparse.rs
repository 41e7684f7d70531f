//! The product of a sparse and a dense matrix: what a layer of a graph network does to the features of its nodes.

use std::sync::{Arc, OnceLock};

use crate::burn;
use crate::burn::backend::autodiff::checkpoint::base::Checkpointer;
use crate::burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use crate::burn::backend::autodiff::grads::Gradients;
use crate::burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use crate::burn::backend::tensor::{FloatTensor, IntTensor};
use crate::burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use crate::burn::tensor::{FloatDType, IndexingUpdateOp, Shape, TensorData};
use lookalike_kernels::sparse::{self, Csr};

use super::Plain;
use crate::engine::Tensor;

/// A sparse matrix and its transpose, which is made when a gradient first asks for it: the adjacency that a graph network
/// passes its messages along, normalised or not, or sparse features.
#[derive(Debug)]
pub(crate) struct SparseMatrix {
    matrix: Csr,
    transpose: OnceLock<Csr>,
}

impl SparseMatrix {
    /// Shares `matrix` among any number of layers.
    pub(crate) fn new(matrix: Csr) -> Arc<Self> {
        Arc::new(Self { matrix, transpose: OnceLock::new() })
    }

    fn side(&self, side: Side) -> &Csr {
        match side {
            Side::Itself => &self.matrix,
            Side::Transpose => self.transpose.get_or_init(|| self.matrix.transpose()),
        }
    }
}

/// Which of a matrix and its transpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Itself,
    Transpose,
}

/// (A + `own` · I) · `dense`; `own` other than 0 needs a square A.
///
/// # Shapes
/// A `[n, m]`, `dense` `[m, d]` → `[n, d]`.
pub(crate) fn aggregate(matrix: &Arc<SparseMatrix>, own: f32, dense: Tensor<2>) -> Tensor<2> {
    let product = Dispatch::aggregate(dense.into_dispatch(), Arc::clone(matrix), own, Side::Itself);
    Tensor::from_dispatch(product)
}

/// The product on each backend.
#[backend_extension(
    Autodiff,
    Flex,
    Cube: cfg(any(feature = "cuda", feature = "wgpu")),
    Fusion: cfg(any(feature = "cuda", feature = "wgpu")),
)]
pub(crate) trait SparseProduct: Backend {
    /// The matrix or its transpose, plus `own` times the identity, times `dense`.
    #[fusion(default)]
    fn aggregate(
        dense: FloatTensor<Self>,
        matrix: Arc<SparseMatrix>,
        own: f32,
        side: Side,
    ) -> FloatTensor<Self> {
        composed::<Self>(dense, matrix.side(side), own)
    }
}

#[cfg(any(feature = "cuda", feature = "wgpu"))]
impl SparseProduct for burn::backend::Cube {}

/// Numbers as a tensor of indices on the device of `like`, of 32 bits, which every adapter has.
pub(super) fn indices<B: Backend>(
    numbers: impl IntoIterator<Item = u32>,
    like: &FloatTensor<B>,
) -> IntTensor<B> {
    let numbers: Vec<i32> = numbers.into_iter().map(u32::cast_signed).collect();
    let shape = [numbers.len()];
    B::int_from_data(TensorData::new(numbers, shape), &like.device())
}

/// Adds each of `rows` to the row of zeros `[count, d]` that `targets` names.
pub(super) fn added<B: Backend>(rows: FloatTensor<B>, targets: IntTensor<B>, count: usize) -> FloatTensor<B> {
    let shape = Shape::new([count, rows.shape()[1]]);
    let zeros = B::float_zeros(shape, &rows.device(), FloatDType::F32);
    B::float_select_assign(zeros, 0, targets, rows, IndexingUpdateOp::Add)
}

/// The product by the engine's own operations: the rows that entries name are chosen, scaled and added up.
fn composed<B: Backend>(dense: FloatTensor<B>, matrix: &Csr, own: f32) -> FloatTensor<B> {
    let from = indices::<B>(matrix.columns().iter().copied(), &dense);
    let to = (0..matrix.len() as u32).flat_map(|row| matrix.row(row as usize).iter().map(move |_| row));
    let to = indices::<B>(to, &dense);
    let mut rows = B::float_select(dense.clone(), 0, from);
    if let Some(values) = matrix.values() {
        let values = TensorData::new(values.to_vec(), [values.len(), 1]);
        rows = B::float_mul(rows, B::float_from_data(values, &dense.device()));
    }
    let sums = added::<B>(rows, to, matrix.len());
    if own == 0.0 { sums } else { B::float_add(sums, B::float_mul_scalar(dense, own.into())) }
}

impl SparseProduct for Flex {
    fn aggregate(
        dense: FloatTensor<Self>,
        matrix: Arc<SparseMatrix>,
        own: f32,
        side: Side,
    ) -> FloatTensor<Self> {
        let dense = Plain::new(dense);
        let [_, columns] = dense.dims();
        let matrix = matrix.side(side);
        let product = if own == 0.0 {
            sparse::product(matrix, dense.values(), columns)
        } else {
            sparse::aggregate(matrix, own, dense.values(), columns)
        };
        Plain::from_values(product, [matrix.len(), columns])
    }
}

#[derive(Debug)]
struct AggregateBackward;

impl<B: SparseProduct> Backward<B, 1> for AggregateBackward {
    /// The matrix, what was added to its diagonal, and which side the gradient is multiplied by.
    type State = (Arc<SparseMatrix>, f32, Side);

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let [node] = ops.parents;
        let gradient = gradients.consume::<B>(&ops.node);
        let (matrix, own, side) = ops.state;
        if let Some(node) = node {
            gradients.register::<B>(node.id, B::aggregate(gradient, matrix, own, side));
        }
    }
}

impl<B: SparseProduct, C: CheckpointStrategy> SparseProduct for Autodiff<B, C> {
    fn aggregate(
        dense: FloatTensor<Self>,
        matrix: Arc<SparseMatrix>,
        own: f32,
        side: Side,
    ) -> FloatTensor<Self> {
        let other = match side {
            Side::Itself => Side::Transpose,
            Side::Transpose => Side::Itself,
        };
        match AggregateBackward.prepare::<C>([dense.node()]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => {
                let state = (Arc::clone(&matrix), own, other);
                prepared.finish(state, B::aggregate(dense.into_primitive(), matrix, own, side))
            }
            OpsKind::UnTracked(prepared) => {
                prepared.finish(B::aggregate(dense.into_primitive(), matrix, own, side))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use lookalike_base::{Seed, Stream};

    use super::*;
    use crate::engine::{Device, to_host};
    use crate::layer::normal;

    fn matrix(rows: usize, width: usize, stream: &mut Stream) -> Csr {
        let rows = (0..rows).map(|_| {
            let chosen: Vec<u32> = (0..width as u32).filter(|_| stream.chance(0.2)).collect();
            chosen.into_iter().map(|column| (column, stream.normal())).collect::<Vec<_>>()
        });
        Csr::from_rows(rows.collect::<Vec<_>>(), width).unwrap()
    }

    fn dense_twin(matrix: &Csr, own: f32) -> Tensor<2> {
        let mut values = vec![0.0; matrix.len() * matrix.width()];
        for row in 0..matrix.len() {
            for (column, value) in matrix.row_entries(row) {
                values[row * matrix.width() + column as usize] = value;
            }
            if own != 0.0 {
                values[row * matrix.width() + row] += own;
            }
        }
        crate::engine::from_host(values, [matrix.len(), matrix.width()], &Device::flex())
    }

    fn assert_close(ours: &[f32], theirs: &[f32]) {
        assert_eq!(ours.len(), theirs.len());
        for (ours, theirs) in ours.iter().zip(theirs) {
            assert!((ours - theirs).abs() <= 1e-5 * theirs.abs().max(1.0), "{ours} and {theirs}");
        }
    }

    #[test]
    fn product_and_gradient_are_those_of_the_dense_matrix_and_so_are_the_engine_s_own_operations() {
        let stream = &mut Seed(1).stream("sparse", 0, 0, 0);
        for (rows, width, own, valued) in [(30, 20, 0.0, true), (25, 25, 1.0, true), (25, 25, 1.5, false)] {
            let matrix = matrix(rows, width, stream);
            let matrix = if valued { matrix } else { matrix.without_values() };
            let dense: Tensor<2> = normal([width, 33], 1.0, stream, &Device::flex());
            let weights: Tensor<2> = normal([rows, 33], 1.0, stream, &Device::flex());
            let twin = dense_twin(&matrix, own);
            let results = |product: &dyn Fn(Tensor<2>) -> Tensor<2>, dense: &Tensor<2>| {
                let leaf = dense.clone().autodiff().require_grad();
                let output = product(leaf.clone());
                let mut gradients = (output.clone() * weights.clone().autodiff()).sum().backward();
                [to_host(output), to_host(leaf.grad_remove(&mut gradients).unwrap())]
            };
            let sparse = SparseMatrix::new(matrix.clone());
            let ours = results(&|dense| aggregate(&sparse, own, dense), &dense);
            let theirs = results(&|dense| twin.clone().autodiff().matmul(dense), &dense);
            ours.iter().zip(&theirs).for_each(|(ours, theirs)| assert_close(ours, theirs));

            let plain = Plain::from_values(to_host(dense), [width, 33]);
            let engine = composed::<Flex>(plain, &matrix, own);
            assert_close(Plain::new(engine).values(), &theirs[0]);
            let plain = Plain::from_values(to_host(weights.clone()), [rows, 33]);
            let engine = composed::<Flex>(plain, &matrix.transpose(), own);
            assert_close(Plain::new(engine).values(), &theirs[1]);
        }
    }

    #[test]
    fn gradients_are_the_differences_of_the_product() {
        let stream = &mut Seed(2).stream("sparse", 0, 0, 0);
        let sparse = SparseMatrix::new(matrix(9, 9, stream));
        let values: Vec<f32> = (0..18).map(|_| stream.normal()).collect();
        let tensor = |values: &[f32]| crate::engine::from_host(values.to_vec(), [9, 2], &Device::flex());
        // A quadratic function, whose central difference is exact but for rounding.
        let of = |values: &[f32]| aggregate(&sparse, 1.0, tensor(values)).square().sum();
        let leaf: Tensor<2> = tensor(&values).autodiff().require_grad();
        let mut gradients = aggregate(&sparse, 1.0, leaf.clone()).square().sum().backward();
        let gradient = to_host(leaf.grad_remove(&mut gradients).unwrap());
        for place in 0..18 {
            let moved = |by: f32| {
                let mut moved = values.clone();
                moved[place] += by;
                of(&moved).into_scalar::<f32>()
            };
            let difference = (moved(0.5) - moved(-0.5)) / 1.0;
            assert!((difference - gradient[place]).abs() < 1e-3, "{difference} and {}", gradient[place]);
        }
    }
}
