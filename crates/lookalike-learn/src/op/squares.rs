//! The sum of the squares of tensors, which needs no gradient.

use rayon::prelude::*;

use super::{is_on_cpu, with_values};
use crate::engine::{Tensor, to_host};

/// The sum of the squares of all values of `tensors`. On the CPU in an order that no number of threads changes; elsewhere one number is waited for.
///
/// # Shapes
/// `[n]` each.
pub(crate) fn squares<'a>(tensors: impl Iterator<Item = &'a Tensor<1>>) -> f64 {
    let (here, there): (Vec<_>, Vec<_>) = tensors.partition(|tensor| is_on_cpu(*tensor));
    let own: f64 = here.into_iter().map(|tensor| with_values(tensor, of_values)).sum();
    let others: Vec<Tensor<1>> =
        there.into_iter().map(|tensor| tensor.clone().inner().square().sum()).collect();
    if others.is_empty() {
        return own;
    }
    own + to_host(Tensor::cat(others, 0)).into_iter().map(f64::from).sum::<f64>()
}

/// The sum of the squares of `values`.
fn of_values(values: &[f32]) -> f64 {
    /// Values that one task sums.
    const TASK: usize = 1 << 16;
    let parts: Vec<f64> = values.par_chunks(TASK).map(of_task).collect();
    parts.into_iter().sum()
}

/// Sixteen sums side by side, so that no addition waits for the one before it.
fn of_task(values: &[f32]) -> f64 {
    const SUMS: usize = 16;
    let rows = values.chunks_exact(SUMS);
    let rest: f64 = rows.remainder().iter().map(|value| f64::from(*value).powi(2)).sum();
    let mut sums = [0.0; SUMS];
    for row in rows {
        for (sum, value) in sums.iter_mut().zip(row) {
            *sum += f64::from(*value) * f64::from(*value);
        }
    }
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Device, from_host};

    #[test]
    fn all_values_are_summed_in_one_order_on_any_number_of_threads() {
        let values = |count: usize| (0..count).map(|at| (at % 101) as f32 / 50.0 - 1.0).collect::<Vec<f32>>();
        let tensors: Vec<Tensor<1>> =
            [0, 5, 300_017].map(|count| from_host(values(count), [count], &Device::flex())).into();
        let sum = || squares(tensors.iter());
        let exact: f64 =
            [0, 5, 300_017].into_iter().flat_map(values).map(|value| f64::from(value).powi(2)).sum();
        assert!((sum() - exact).abs() < 1e-9 * exact, "{} is not {exact}", sum());
        for threads in [1, 2, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert_eq!(pool.install(sum).to_bits(), sum().to_bits());
        }
    }
}
