//! Reading and choosing rows of a tensor.

use crate::burn::backend::{BackendTensor, DispatchTensorKind};

use crate::engine::{Int, Tensor, TensorData, to_host};

/// Calls `read` with the row-major values of `tensor`, which stays as it is. On the CPU they are borrowed, however large;
/// from elsewhere they are copied.
pub(crate) fn with_values<const D: usize, R>(tensor: &Tensor<D>, read: impl FnOnce(&[f32]) -> R) -> R {
    let inner = tensor.clone().inner();
    if let DispatchTensorKind::Flex(BackendTensor::Float(values)) = inner.clone().into_dispatch().kind
        && let Some(values) = values.as_slice::<f32>()
    {
        return read(values);
    }
    read(&to_host(inner))
}

/// Whether `tensor` lies in the memory that the processor reads.
pub(crate) fn is_on_cpu<const D: usize>(tensor: &Tensor<D>) -> bool {
    matches!(tensor.clone().inner().into_dispatch().kind, DispatchTensorKind::Flex(_))
}

/// The rows of `tensor` that `rows` names, any of which may recur.
///
/// # Shapes
/// `[N, d]` → `[rows, d]`.
pub(crate) fn select_rows(tensor: Tensor<2>, rows: &[u32]) -> Tensor<2> {
    let indices: Vec<i64> = rows.iter().map(|row| i64::from(*row)).collect();
    let device = tensor.device().inner();
    tensor.select(0, Tensor::<1, Int>::from_data(TensorData::new(indices, [rows.len()]), &device))
}
