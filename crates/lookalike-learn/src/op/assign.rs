//! Rows of a table replaced in one go, which needs no gradient.

use crate::burn;
use crate::burn::backend::tensor::FloatTensor;
use crate::burn::backend::{Backend, Dispatch, Flex, backend_extension};
use crate::burn::tensor::IndexingUpdateOp;

use super::Plain;
use super::descent::whole;
use super::sparse::indices;
use crate::engine::Tensor;

/// `table` with its rows `rows` replaced by those of `new`, in their order; the memory is that of `table` where nobody else holds it.
///
/// # Shapes
/// `[N, d]` and `[rows, d]` → `[N, d]`, not tracked.
pub(crate) fn assign_rows(table: Tensor<2>, rows: Vec<u32>, new: Tensor<2>) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::assign_rows(table.into_dispatch(), new.into_dispatch(), rows))
}

/// The replacement on each backend.
#[backend_extension(
    Flex,
    Cube: cfg(any(feature = "cuda", feature = "wgpu")),
    Fusion: cfg(any(feature = "cuda", feature = "wgpu")),
)]
pub(crate) trait AssignRows: Backend {
    /// The new table.
    #[fusion(default)]
    fn assign_rows(table: FloatTensor<Self>, new: FloatTensor<Self>, rows: Vec<u32>) -> FloatTensor<Self> {
        composed::<Self>(table, new, &rows)
    }
}

#[cfg(any(feature = "cuda", feature = "wgpu"))]
impl AssignRows for burn::backend::Cube {}

/// The replacement by one scatter.
fn composed<B: Backend>(table: FloatTensor<B>, new: FloatTensor<B>, rows: &[u32]) -> FloatTensor<B> {
    let targets = indices::<B>(rows.iter().copied(), &table);
    B::float_select_assign(table, 0, targets, new, IndexingUpdateOp::Assign)
}

impl AssignRows for Flex {
    fn assign_rows(table: FloatTensor<Self>, new: FloatTensor<Self>, rows: Vec<u32>) -> FloatTensor<Self> {
        let new = Plain::new(new);
        let [_, width] = new.dims();
        let mut table = whole(table);
        let values = table.storage_mut::<f32>();
        for (row, new) in rows.iter().zip(new.values().chunks_exact(width.max(1))) {
            values[*row as usize * width..][..width].copy_from_slice(new);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_those_of_the_engine_s_scatter_and_what_others_hold_stays() {
        let values = |count: usize| (0..count).map(|at| (at * 7 % 31) as f32).collect::<Vec<f32>>();
        let table = Plain::from_values(values(20), [10, 2]);
        let new = Plain::from_values(vec![-1.0, -2.0, -3.0, -4.0], [2, 2]);
        let ours = Flex::assign_rows(table.clone(), new.clone(), vec![7, 3]);
        let theirs = composed::<Flex>(table.clone(), new, &[7, 3]);
        assert_eq!(ours.as_slice::<f32>(), theirs.as_slice::<f32>());
        assert_eq!(table.as_slice::<f32>(), Some(&values(20)[..]));
        assert_eq!(ours.as_slice::<f32>().map(|values| values[6..8].to_vec()), Some(vec![-3.0, -4.0]));
    }
}
