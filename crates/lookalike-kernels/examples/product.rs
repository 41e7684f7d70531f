//! Times the matrix products of linear layers against those of the crate `gemm`:
//! `product [f32|bf16] [substring of a layer]`.
//!
//! Prints the arithmetic speed of both, from medians of rounds in which they take turns. The products are
//! those of a layer of k inputs and n outputs for m rows: its output, the gradient of its input, and the
//! gradient of its weights. `gemm` computes in f32 whatever the precision.
#![allow(clippy::print_stdout, reason = "a program for a terminal")]

mod timing;

use lookalike_kernels::map::Precision;
use lookalike_kernels::product::{Operand, multiply};
use timing::median_seconds_by_turns;

/// As in the command.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Inputs and outputs of the layers of two encoders.
const LAYERS: [[usize; 2]; 7] =
    [[384, 384], [384, 1152], [384, 1536], [1536, 384], [768, 768], [768, 3072], [3072, 768]];
const ROWS: [usize; 6] = [1, 8, 32, 256, 1024, 4096];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let word = |index: usize| words.get(index).map_or("", String::as_str);
    let precision = if word(0) == "bf16" { Precision::Bf16 } else { Precision::F32 };
    println!("{:>24} {:>9} {:>10} {:>10} {:>6}", "m x k x n", "of", "GFLOP/s", "gemm", "ratio");
    for [inputs, outputs] in LAYERS {
        for rows in ROWS {
            let name = format!("{rows} x {inputs} x {outputs}");
            if name.contains(word(1)) {
                time_layer(&name, [rows, inputs, outputs], precision);
            }
        }
    }
}

fn time_layer(name: &str, [rows, inputs, outputs]: [usize; 3], precision: Precision) {
    let numbers = |count: usize| -> Vec<f32> {
        let mut stream = lookalike_base::Seed(1).stream("numbers", 0, 0, 0);
        (0..count).map(|_| stream.normal()).collect()
    };
    let (input, weight, gradient) =
        (numbers(rows * inputs), numbers(outputs * inputs), numbers(rows * outputs));
    let input = Matrix { values: &input, rows, columns: inputs, transposed: false };
    let weight = Matrix { values: &weight, rows: outputs, columns: inputs, transposed: false };
    let gradient = Matrix { values: &gradient, rows, columns: outputs, transposed: false };
    let work = 2.0 * (rows * inputs * outputs) as f64;
    for (kind, left, right) in
        [("output", input, weight.turned()), ("dx", gradient, weight), ("dw", gradient.turned(), input)]
    {
        let ours = || multiply(left.operand(), right.operand(), None, precision);
        let [ours, theirs] = median_seconds_by_turns([&ours, &|| gemm_product(left, right)]);
        println!(
            "{name:>24} {kind:>9} {:10.1} {:10.1} {:6.2}",
            work / ours / 1e9,
            work / theirs / 1e9,
            theirs / ours
        );
    }
}

/// Values of rows as they lie, and whether they are read as columns.
#[derive(Clone, Copy)]
struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    transposed: bool,
}

impl<'a> Matrix<'a> {
    fn turned(self) -> Self {
        Self { transposed: !self.transposed, ..self }
    }

    fn operand(self) -> Operand<'a> {
        let operand = Operand::new(self.values, self.rows, self.columns);
        if self.transposed { operand.transposed() } else { operand }
    }

    /// Rows and columns as they are read.
    fn shape(self) -> [usize; 2] {
        if self.transposed { [self.columns, self.rows] } else { [self.rows, self.columns] }
    }

    /// From row to row and from column to column.
    fn strides(self) -> [isize; 2] {
        if self.transposed { [1, self.columns as isize] } else { [self.columns as isize, 1] }
    }
}

#[allow(unsafe_code, reason = "the crate of the matrix product works on pointers")]
fn gemm_product(left: Matrix<'_>, right: Matrix<'_>) -> Vec<f32> {
    let ([rows, depth], [_, columns]) = (left.shape(), right.shape());
    let ([left_row, left_column], [right_row, right_column]) = (left.strides(), right.strides());
    let mut product = vec![0.0; rows * columns];
    // SAFETY: the strides are those of the shapes, whose values there are; none of the matrices overlap.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            depth,
            product.as_mut_ptr(),
            1,
            columns as isize,
            false,
            left.values.as_ptr(),
            left_column,
            left_row,
            right.values.as_ptr(),
            right_column,
            right_row,
            0.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::Rayon(0),
        );
    }
    product
}
