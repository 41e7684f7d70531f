//! Once a kernel has run, it allocates its results and little more.
#![allow(unsafe_code, clippy::unwrap_used, reason = "an allocator that counts; tests may panic")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use lookalike_kernels::batch_norm::{Affine, Epilogue, EpilogueSaved, StatisticsSource, maps};
use lookalike_kernels::conv2d::{self, ConvShape};
use lookalike_kernels::map::{MapShape, Precision, Window, max_pool, max_pool_gradient};
use lookalike_kernels::product::{Operand, multiply};

struct Counting;

static BYTES: AtomicUsize = AtomicUsize::new(0);
/// Of them, those that were not given back.
static HELD: AtomicUsize = AtomicUsize::new(0);

// SAFETY: passes everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        HELD.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What a kernel may allocate beside its results: lists of tasks, means and variances.
const LITTLE: usize = 16 * 1024;

/// Counting is of the whole process, so the tests of this file take turns.
static TURN: Mutex<()> = Mutex::new(());

/// Checks that the third run of `work`, on one thread, allocates no more than `results` bytes and a little.
fn check<T: Send>(name: &str, results: usize, work: impl Fn() -> T + Sync) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| {
        drop((work(), work()));
        let before = BYTES.load(Ordering::Relaxed);
        drop(work());
        let bytes = BYTES.load(Ordering::Relaxed) - before;
        assert!(bytes >= results, "{name} has no result of {results} bytes");
        assert!(bytes <= results + LITTLE, "{name} allocates {bytes} bytes for a result of {results}");
    });
}

#[test]
fn convolutions_allocate_their_results() {
    let _turn = TURN.lock().unwrap();
    for (inputs, outputs, side, kernel, stride) in
        [(3, 64, 32, 7, 2), (64, 64, 16, 3, 1), (64, 128, 16, 3, 2), (64, 128, 16, 1, 1), (64, 128, 16, 1, 2)]
    {
        let padding = kernel / 2;
        let shape =
            ConvShape { images: 20, inputs, outputs, height: side, width: side, kernel, stride, padding };
        let weight = vec![1.0; outputs * inputs * kernel * kernel];
        for precision in [Precision::F32, Precision::Bf16] {
            let [input, gradient] = [shape.input(), shape.output()].map(|map| vec![0; map.words(precision)]);
            check(&format!("the output of {shape:?}"), 4 * gradient.len(), || {
                conv2d::forward(&shape, precision, &input, &weight, None)
            });
            check(&format!("the input gradient of {shape:?}"), 4 * input.len(), || {
                conv2d::input_gradient(&shape, precision, &weight, &gradient, Some(&input))
            });
            check(&format!("the weight gradient of {shape:?}"), 4 * weight.len(), || {
                conv2d::weight_gradient(&shape, precision, &input, &gradient)
            });
        }
    }
}

#[test]
fn a_large_call_leaves_little_to_the_threads_behind_it() {
    /// What a thread may keep for calls and tasks of convolutions and of products, and little more.
    const BOUND: usize = (16 + 48 + 2 * 16 + 1) << 20;
    let _turn = TURN.lock().unwrap();
    let call = |inputs: usize, outputs: usize, side: usize| {
        let shape = ConvShape {
            images: 64,
            inputs,
            outputs,
            height: side,
            width: side,
            kernel: 3,
            stride: 1,
            padding: 1,
        };
        let weight = vec![1.0; outputs * inputs * 9];
        for precision in [Precision::F32, Precision::Bf16] {
            let [input, gradient] = [shape.input(), shape.output()].map(|map| vec![0; map.words(precision)]);
            drop(conv2d::forward(&shape, precision, &input, &weight, None));
            drop(conv2d::weight_gradient(&shape, precision, &input, &gradient));
        }
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| {
        call(16, 16, 8);
        let before = HELD.load(Ordering::Relaxed);
        let all = BYTES.load(Ordering::Relaxed);
        // In f32 the transformed weights alone are 81 MiB.
        call(768, 768, 8);
        assert!(BYTES.load(Ordering::Relaxed) - all > BOUND, "a large call");
        call(16, 16, 8);
        let held = HELD.load(Ordering::Relaxed) - before;
        assert!(held <= BOUND, "{held} bytes are held");
    });
}

#[test]
fn batch_normalisation_allocates_its_results() {
    let _turn = TURN.lock().unwrap();
    let map = MapShape { images: 64, channels: 64, height: 8, width: 8 };
    let (scale, shift) = (vec![1.0; 64], vec![0.0; 64]);
    let affine = Affine { scale: &scale, shift: &shift, epsilon: 1e-5 };
    for precision in [Precision::F32, Precision::Bf16] {
        let shape = maps::MapNormShape { map, groups: 2, precision };
        let values = vec![0; map.words(precision)];
        check("the output", 4 * values.len(), || {
            maps::forward(&shape, &values, &affine, Epilogue::AddRelu(&values))
        });
        let normal = maps::forward(&shape, &values, &affine, Epilogue::AddRelu(&values));
        let statistics = [normal.mean.as_slice(), &normal.variance];
        check("the gradients", 2 * 4 * values.len(), || {
            maps::backward(
                &shape,
                &values,
                &affine,
                StatisticsSource::Batch(statistics),
                &values,
                EpilogueSaved::AddRelu(&normal.output),
            )
        });
    }
}

#[test]
fn pooling_allocates_its_results() {
    let _turn = TURN.lock().unwrap();
    let shape = MapShape { images: 20, channels: 64, height: 16, width: 16 };
    let window = Window { side: 3, stride: 2, padding: 1 };
    for precision in [Precision::F32, Precision::Bf16] {
        let map = vec![0; shape.words(precision)];
        let output = max_pool(&shape, &window, precision, &map);
        check("the largest values", 4 * output.len(), || max_pool(&shape, &window, precision, &map));
        check("their gradient", 4 * map.len(), || {
            max_pool_gradient(&shape, &window, precision, [&map, &output, &output])
        });
    }
}

#[test]
fn products_allocate_their_results() {
    let _turn = TURN.lock().unwrap();
    let (rows, columns, depth) = (1000, 150, 400);
    let (left, right) = (vec![1.0; rows * depth], vec![1.0; depth * columns]);
    let (left, right) = (Operand::new(&left, rows, depth), Operand::new(&right, depth, columns));
    for precision in [Precision::F32, Precision::Bf16] {
        check("a product", 4 * rows * columns, || multiply(left, right, None, precision));
        let turned = || multiply(right.transposed(), left.transposed(), Some(&[1.0; 1000]), precision);
        check("a product of transposes", 4 * rows * columns, turned);
    }
}
