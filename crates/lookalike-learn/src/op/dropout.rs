//! Masks of dropout where the tensor is: a kernel on the CPU, the same function of integers by the engine elsewhere.

use lookalike_kernels::dropout::{Place, mask, threshold};

use super::clock::{Task, timed};
use super::is_on_cpu;
use crate::burn::tensor::IntDType;
use crate::engine::{Device, Int, Tensor, TensorData, from_host};

/// A mask of as many rows as `places`, of `width` values each: 0 with `probability`, else 1 / (1 − `probability`).
///
/// # Shapes
/// → `[places, width]`, not tracked.
pub(crate) fn keep_mask(places: &[Place], width: usize, probability: f32, device: &Device) -> Tensor<2> {
    let shape = [places.len(), width];
    if is_on_cpu(&Tensor::<1>::zeros([1], device)) {
        let values = timed(Task::Dropout, || mask(places, width, probability));
        return from_host(values, shape, device);
    }
    composed(places, width, probability, device)
}

/// The mask by operations on integers of 64 bits, of which the lower 32 count.
fn composed(places: &[Place], width: usize, probability: f32, device: &Device) -> Tensor<2> {
    let shape = [places.len(), width];
    let column = |value: fn(&Place) -> u32| {
        // The device's own integers may have 32 bits with a sign.
        let values: Vec<i32> = places.iter().map(|place| value(place).cast_signed()).collect();
        let column = Tensor::<2, Int>::from_data(TensorData::new(values, [places.len(), 1]), device);
        lower(column.cast(IntDType::I64)).expand(shape)
    };
    let counters: Vec<i64> = (0..width as i64).collect();
    let counters = Tensor::<2, Int>::from_data(TensorData::new(counters, [1, width]), device)
        .cast(IntDType::I64)
        .expand(shape);
    let counters = lower(column(|place| place.first) + counters);
    let once = mixed(counters.bitwise_xor(column(|place| place.key as u32)));
    let bits = mixed(once.bitwise_xor(column(|place| (place.key >> 32) as u32)));
    let kept = bits.bitwise_right_shift_scalar(8_i64).greater_equal_elem(i64::from(threshold(probability)));
    kept.float().mul_scalar(1.0 / (1.0 - probability))
}

fn lower(x: Tensor<2, Int>) -> Tensor<2, Int> {
    x.bitwise_and_scalar(0xffff_ffff_i64)
}

/// As in the kernel. A factor of 32 bits above 2³¹ stands as itself less 2³², so that no product leaves 64 bits.
fn mixed(x: Tensor<2, Int>) -> Tensor<2, Int> {
    let shifted = |x: Tensor<2, Int>, by: i64| x.clone().bitwise_xor(x.bitwise_right_shift_scalar(by));
    let x = lower(shifted(x, 16).mul_scalar(0x7feb_352d_i64));
    let x = lower(shifted(x, 15).mul_scalar(0x846c_a68b_i64 - (1 << 32)));
    shifted(x, 16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::to_host;

    #[test]
    fn the_engine_s_operations_give_the_mask_of_the_kernel() {
        let device = Device::flex();
        let keys = [0, 1, u64::MAX, 0x8000_0000_8000_0000, 0x1234_5678_9abc_def0];
        let places: Vec<Place> = keys
            .iter()
            .zip([0, 7, 1 << 31, u32::MAX, 99])
            .map(|(key, first)| Place { key: *key, first })
            .collect();
        for probability in [0.1, 0.5] {
            let ours = to_host(keep_mask(&places, 300, probability, &device));
            assert_eq!(ours, to_host(composed(&places, 300, probability, &device)));
        }
    }
}
