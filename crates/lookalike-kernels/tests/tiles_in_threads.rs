//! Threads that were started before anything asked the system for tiles of bfloat16, in a process of their own.

use std::sync::Barrier;

use lookalike_kernels::map::Precision;
use lookalike_kernels::product::{Operand, multiply};

#[test]
fn threads_that_were_there_before_compute_as_all_others() {
    let (started, asked) = (Barrier::new(4), Barrier::new(4));
    let product = || {
        let values: Vec<f32> = (0..64 * 64).map(|place| (place % 13) as f32 - 6.0).collect();
        let operand = Operand::new(&values, 64, 64);
        multiply(operand, operand.transposed(), None, Precision::Bf16)
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    started.wait();
                    asked.wait();
                    product()
                })
            })
            .collect();
        started.wait();
        let first = product();
        asked.wait();
        // Small whole numbers are not rounded.
        let expected = multiply_exactly();
        assert_eq!(first, expected);
        for thread in threads {
            assert_eq!(thread.join().ok(), Some(expected.clone()));
        }
    });
}

fn multiply_exactly() -> Vec<f32> {
    let values: Vec<f32> = (0..64 * 64).map(|place| (place % 13) as f32 - 6.0).collect();
    let operand = Operand::new(&values, 64, 64);
    multiply(operand, operand.transposed(), None, Precision::F32)
}
