//! Inner products of each query with rows of a table that are its own: entries of a memory bank drawn for it. The rows are read
//! where they lie; queries × rows × dimensions are never stored, neither here nor for the gradient.

use std::sync::Arc;

use crate::burn;
use crate::burn::backend::autodiff::checkpoint::base::Checkpointer;
use crate::burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use crate::burn::backend::autodiff::grads::Gradients;
use crate::burn::backend::autodiff::ops::{Backward, Ops};
use crate::burn::backend::tensor::FloatTensor;
use crate::burn::backend::{Autodiff, Backend, Dispatch, Flex, TensorMetadata, backend_extension};
use crate::burn::tensor::TensorData;
use rayon::prelude::*;

use super::{Plain, tracked};
use crate::engine::Tensor;

/// The products of query q with the rows `rows[q · m ..][.. m]` of `table`, any of which may recur. Gradient reaches the queries
/// alone.
///
/// # Shapes
/// `query` `[Q, d]`, `table` `[N, d]`, Q · m `rows` → `[Q, m]`.
///
/// # Panics
/// Where `rows` are no multiple of Q, or one is not below N.
pub(crate) fn row_products(query: Tensor<2>, table: Tensor<2>, rows: Vec<u32>) -> Tensor<2> {
    let (query, table) = (query.into_dispatch(), table.into_dispatch());
    Tensor::from_dispatch(Dispatch::row_products(query, table, Arc::new(rows)))
}

/// The products and their gradient on each backend.
#[backend_extension(
    Autodiff,
    Flex,
    Cube: cfg(any(feature = "cuda", feature = "wgpu")),
    Fusion: cfg(any(feature = "cuda", feature = "wgpu")),
)]
pub(crate) trait RowProducts: Backend {
    /// The products.
    #[fusion(default)]
    fn row_products(
        query: FloatTensor<Self>,
        table: FloatTensor<Self>,
        rows: Arc<Vec<u32>>,
    ) -> FloatTensor<Self> {
        let products = for_each_query::<Self>(&query, &table, &rows, |query, chosen| {
            Self::float_matmul(query, Self::float_transpose(chosen))
        });
        Self::float_cat(products, 0)
    }

    /// The gradient of the queries, for that of the products.
    #[fusion(default)]
    fn row_products_gradient(
        gradient: FloatTensor<Self>,
        table: FloatTensor<Self>,
        rows: Arc<Vec<u32>>,
    ) -> FloatTensor<Self> {
        Self::float_cat(for_each_query::<Self>(&gradient, &table, &rows, Self::float_matmul), 0)
    }
}

/// What `compute` makes of each row of `left` and the rows of `table` that are its own, one after another.
fn for_each_query<B: Backend>(
    left: &FloatTensor<B>,
    table: &FloatTensor<B>,
    rows: &[u32],
    compute: impl Fn(FloatTensor<B>, FloatTensor<B>) -> FloatTensor<B>,
) -> Vec<FloatTensor<B>> {
    let queries = left.shape()[0];
    let device = table.device();
    let of_query = |(query, rows): (usize, &[u32])| {
        let rows: Vec<i32> = rows.iter().map(|row| row.cast_signed()).collect();
        let count = rows.len();
        let rows = B::int_from_data(TensorData::new(rows, [count]), &device);
        let one = B::float_slice(left.clone(), &[(query..=query).into()]);
        compute(one, B::float_select(table.clone(), 0, rows))
    };
    rows.chunks_exact(rows.len() / queries.max(1)).enumerate().map(of_query).collect()
}

#[cfg(any(feature = "cuda", feature = "wgpu"))]
impl RowProducts for burn::backend::Cube {}

impl RowProducts for Flex {
    fn row_products(
        query: FloatTensor<Self>,
        table: FloatTensor<Self>,
        rows: Arc<Vec<u32>>,
    ) -> FloatTensor<Self> {
        let [query, table] = [query, table].map(Plain::new);
        let [queries, dimension] = query.dims();
        let drawn = rows.len() / queries;
        let mut products = vec![0.0; rows.len()];
        let of_query = |((products, rows), query): ((&mut [f32], &[u32]), &[f32])| {
            for (product, row) in products.iter_mut().zip(rows) {
                *product =
                    lookalike_kernels::dot(query, &table.values()[*row as usize * dimension..][..dimension]);
            }
        };
        let each = products.par_chunks_exact_mut(drawn).zip(rows.par_chunks_exact(drawn));
        each.zip(query.values().par_chunks_exact(dimension)).for_each(of_query);
        Plain::from_values(products, [queries, drawn])
    }

    fn row_products_gradient(
        gradient: FloatTensor<Self>,
        table: FloatTensor<Self>,
        rows: Arc<Vec<u32>>,
    ) -> FloatTensor<Self> {
        let [gradient, table] = [gradient, table].map(Plain::new);
        let [queries, drawn] = gradient.dims();
        let [_, dimension] = table.dims();
        let mut sums = vec![0.0; queries * dimension];
        let of_query = |((sum, rows), weights): ((&mut [f32], &[u32]), &[f32])| {
            for (row, weight) in rows.iter().zip(weights) {
                let vector = &table.values()[*row as usize * dimension..][..dimension];
                sum.iter_mut().zip(vector).for_each(|(sum, value)| *sum += weight * value);
            }
        };
        let each = sums.par_chunks_exact_mut(dimension).zip(rows.par_chunks_exact(drawn));
        each.zip(gradient.values().par_chunks_exact(drawn)).for_each(of_query);
        Plain::from_values(sums, [queries, dimension])
    }
}

#[derive(Debug)]
struct RowProductsBackward;

impl<B: RowProducts> Backward<B, 1> for RowProductsBackward {
    type State = (FloatTensor<B>, Arc<Vec<u32>>);

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _: &mut Checkpointer) {
        let gradient = gradients.consume::<B>(&ops.node);
        let (table, rows) = ops.state;
        if let [Some(node)] = ops.parents {
            gradients.register::<B>(node.id, B::row_products_gradient(gradient, table, rows));
        }
    }
}

impl<B: RowProducts, C: CheckpointStrategy> RowProducts for Autodiff<B, C> {
    fn row_products(
        query: FloatTensor<Self>,
        table: FloatTensor<Self>,
        rows: Arc<Vec<u32>>,
    ) -> FloatTensor<Self> {
        let node = query.node();
        let (query, table) = (query.into_primitive(), table.into_primitive());
        let products = B::row_products(query, table.clone(), rows.clone());
        tracked::<B, C, _, 1>(RowProductsBackward, [node], (table, rows), products)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Device, from_host, to_host};
    use crate::op::select_rows;

    const ROWS: [u32; 12] = [3, 0, 3, 6, 5, 5, 5, 1, 2, 4, 6, 0];

    fn values(count: usize, factor: usize) -> Vec<f32> {
        (0..count).map(|at| (at * factor % 17) as f32 / 8.0 - 1.0).collect()
    }

    fn is_near(ours: &[f32], theirs: &[f32]) {
        assert_eq!(ours.len(), theirs.len());
        assert!(ours.iter().zip(theirs).all(|(a, b)| (a - b).abs() < 1e-5), "{ours:?} {theirs:?}");
    }

    #[test]
    fn products_and_gradient_are_those_of_rows_copied_beside_each_query() {
        let device = Device::flex();
        let [query, table] = [(3, 5), (7, 11)].map(|(rows, factor)| (values(rows * 4, factor), [rows, 4]));
        let table: Tensor<2> = from_host(table.0, table.1, &device);
        let query: Tensor<2> = from_host(query.0, query.1, &device);
        let weights: Tensor<2> = from_host(values(12, 7), [3, 4], &device);
        let result = [false, true].map(|copied| {
            let query = query.clone().autodiff().require_grad();
            let products = if copied {
                let rows = select_rows(table.clone(), &ROWS).reshape([3, 4, 4]);
                rows.matmul(query.clone().reshape([3, 4, 1])).reshape([3, 4])
            } else {
                row_products(query.clone(), table.clone(), ROWS.to_vec())
            };
            let mut gradients = (products.clone() * weights.clone()).sum().backward();
            let gradient = query.grad_remove(&mut gradients).map(to_host).unwrap_or_default();
            (to_host(products), gradient)
        });
        is_near(&result[0].0, &result[1].0);
        is_near(&result[0].1, &result[1].1);
        // And so does the composition that other backends use.
        let plain = |values: Vec<f32>, shape| Plain::from_values(values, shape);
        let (query, table) = (plain(values(12, 5), [3, 4]), plain(values(28, 11), [7, 4]));
        let composed = for_each_query::<Flex>(&query, &table, &ROWS, |query, chosen| {
            use crate::burn::backend::ops::FloatTensorOps;
            Flex::float_matmul(query, Flex::float_transpose(chosen))
        });
        let composed: Vec<f32> = composed
            .into_iter()
            .filter_map(|row| row.as_slice::<f32>().map(<[f32]>::to_vec))
            .flatten()
            .collect();
        is_near(&composed, &result[1].0);
    }
}
