use proptest::prelude::*;

use super::*;
use crate::bf16;
use crate::sizes::refusal;

const PRECISIONS: [Precision; 2] = [Precision::F32, Precision::Bf16];

fn normals(purpose: &str, count: usize) -> Vec<f32> {
    let mut stream = lookalike_base::Seed(11).stream(purpose, 0, 0, 0);
    (0..count).map(|_| stream.normal()).collect()
}

/// The transpose of `rows` rows, made by moving the values.
fn turned(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|column| (0..rows).map(move |row| values[row * columns + column])).collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// Sums of the products, and of their absolute values.
fn obvious_products(
    precision: Precision,
    [left, right]: [&[f32]; 2],
    [rows, columns, depth]: [usize; 3],
) -> Vec<[f64; 2]> {
    let factor = |value: f32| match precision {
        Precision::F32 => f64::from(value),
        Precision::Bf16 => f64::from(bf16::round(value)),
    };
    let mut sums = vec![[0.0; 2]; rows * columns];
    for (place, sum) in sums.iter_mut().enumerate() {
        let (row, column) = (place / columns, place % columns);
        for term in 0..depth {
            let product = factor(left[row * depth + term]) * factor(right[term * columns + column]);
            *sum = [sum[0] + product, sum[1] + product.abs()];
        }
    }
    sums
}

/// Checks a product of random matrices at every level, and that it is the same however they lie.
fn check(sizes: [usize; 3]) {
    let [rows, columns, depth] = sizes;
    let (left, right) = (normals("left", rows * depth), normals("right", depth * columns));
    let (left_turned, right_turned) = (turned(&left, rows, depth), turned(&right, depth, columns));
    let lefts = [
        Operand::new(&left, rows, depth),
        Operand::new(&left_turned, depth, rows).transposed(),
        Operand::new(&left, rows, depth).transposed().transposed(),
    ];
    let rights =
        [Operand::new(&right, depth, columns), Operand::new(&right_turned, columns, depth).transposed()];
    let bias = normals("bias", columns);
    for precision in PRECISIONS {
        let expected = obvious_products(precision, [&left, &right], sizes);
        for path in Path::all(precision) {
            let plain = multiply_at(path, lefts[0], rights[0], None);
            let biased = multiply_at(path, lefts[0], rights[0], Some(&bias));
            assert_eq!(plain.len(), rows * columns);
            for (place, [sum, size]) in expected.iter().enumerate() {
                let (found, bias) = (f64::from(plain[place]), f64::from(bias[place % columns]));
                assert!((found - sum).abs() <= 1e-6 * size, "{found} is not {sum} at {path:?} {sizes:?}");
                let found = f64::from(biased[place]);
                let bound = 1e-6 * (size + bias.abs());
                assert!((found - sum - bias).abs() <= bound, "{found} has no bias at {path:?} {sizes:?}");
            }
            for left in lefts {
                for right in rights {
                    assert_eq!(bits(&multiply_at(path, left, right, None)), bits(&plain), "{path:?}");
                    assert_eq!(bits(&multiply_at(path, left, right, Some(&bias))), bits(&biased), "{path:?}");
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn products_are_those_of_the_obvious_loop(
        rows in 1_usize..40, columns in 1_usize..110, depth in 1_usize..450,
    ) {
        check([rows, columns, depth]);
    }
}

#[test]
fn products_at_the_ends_of_tiles_panels_and_blocks_are_those_of_the_obvious_loop() {
    for rows in [1, 2, 3, 5, 8, 16, 17] {
        for columns in [1, 4, 12, 16, 24, 32, 33, 48, 49] {
            check([rows, columns, 5]);
        }
    }
    for depth in [1, 2, 15, 16, 31, 32, 33, DEPTH - 1, DEPTH, DEPTH + 1, 2 * DEPTH, 2 * DEPTH + 1] {
        check([17, 49, depth]);
    }
}

#[test]
fn products_of_several_chunks_are_those_of_the_obvious_loop() {
    // More words than are packed at a time, of few and of many rows.
    check([2, 3, 2 * 16 * DEPTH + 5]);
    check([711, 2, 16 * DEPTH + 1]);
    // More columns than are packed at a time.
    check([3, 530, 8200]);
}

/// A pool of so many threads.
fn pool(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}

#[test]
fn a_row_is_the_same_whatever_other_rows_there_are_and_on_any_number_of_threads() {
    let pools = [1, 2, 3].map(pool);
    for (depth, columns) in
        [(1, 50), (3, 130), (384, 1), (384, 50), (385, 49), (385, 17), (1536, 6), (1536, 48), (3072, 5)]
    {
        let (left, right) = (normals("left", 4096 * depth), normals("right", depth * columns));
        let bias = normals("bias", columns);
        let right_turned = turned(&right, columns, depth);
        let rights =
            [Operand::new(&right, columns, depth).transposed(), Operand::new(&right_turned, depth, columns)];
        for path in PRECISIONS.into_iter().flat_map(Path::all) {
            let rows = |range: std::ops::Range<usize>, right: Operand<'_>| {
                let left = &left[range.start * depth..range.end * depth];
                multiply_at(path, Operand::new(left, range.len(), depth), right, Some(&bias))
            };
            let all = pools[0].install(|| rows(0..4096, rights[0]));
            for pool in &pools[1..] {
                let again = pool.install(|| rows(0..4096, rights[0]));
                assert!(bits(&again) == bits(&all), "{path:?} {depth} {columns}");
            }
            for row in [0, 7, 1000, 4079] {
                for count in [1, 2, 17] {
                    let same = bits(&all[row * columns..(row + count) * columns]);
                    for pool in &pools {
                        for right in rights {
                            let few = pool.install(|| rows(row..row + count, right));
                            assert_eq!(bits(&few), same, "{count} at {row} at {path:?}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn without_terms_there_is_the_bias_and_without_rows_or_columns_nothing() {
    for precision in PRECISIONS {
        for path in Path::all(precision) {
            let product = |[rows, columns, depth]: [usize; 3], bias: Option<&[f32]>| {
                let (left, right) = (vec![1.0; rows * depth], vec![1.0; depth * columns]);
                let right = Operand::new(&right, depth, columns);
                multiply_at(path, Operand::new(&left, rows, depth), right, bias)
            };
            assert_eq!(product([2, 3, 0], None), [0.0; 6]);
            assert_eq!(product([2, 3, 0], Some(&[1.0, 2.0, 3.0])), [1.0, 2.0, 3.0, 1.0, 2.0, 3.0]);
            assert!(product([0, 3, 4], Some(&[1.0; 3])).is_empty());
            assert!(product([2, 0, 4], Some(&[])).is_empty());
            assert!(product([0, 0, 0], None).is_empty());
        }
    }
}

#[test]
fn what_is_not_finite_reaches_its_row_or_column_and_no_other() {
    let (rows, columns, depth) = (19, 53, 37);
    for (bad, is_kept) in [
        (f32::NAN, f32::is_nan as fn(f32) -> bool),
        (f32::INFINITY, |value| value == f32::INFINITY),
        (f32::NEG_INFINITY, |value| value == f32::NEG_INFINITY),
    ] {
        for precision in PRECISIONS {
            for path in Path::all(precision) {
                for place in [0, 18 * depth + 36, 9 * depth + 35] {
                    let (mut left, right) = (vec![1.0; rows * depth], vec![1.0; depth * columns]);
                    left[place] = bad;
                    let right = Operand::new(&right, depth, columns);
                    let product = multiply_at(path, Operand::new(&left, rows, depth), right, None);
                    for (row, values) in product.chunks_exact(columns).enumerate() {
                        let ok = |value: &f32| {
                            if row == place / depth { is_kept(*value) } else { *value == depth as f32 }
                        };
                        assert!(values.iter().all(ok), "{bad} at {place}, row {row} at {path:?}");
                    }
                }
                for place in [0, 36 * columns + 52, 20 * columns + 47] {
                    let (left, mut right) = (vec![1.0; rows * depth], vec![1.0; depth * columns]);
                    right[place] = bad;
                    let right = Operand::new(&right, depth, columns);
                    let product = multiply_at(path, Operand::new(&left, rows, depth), right, None);
                    for (at, value) in product.iter().enumerate() {
                        let is_its = at % columns == place % columns;
                        let ok = if is_its { is_kept(*value) } else { *value == depth as f32 };
                        assert!(ok, "{value} of {bad} at {at} at {path:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let values = [1.0; 6];
    let half = 1 << (usize::BITS / 2);
    let [two_by_three, three_by_two] = [Operand::new(&values, 2, 3), Operand::new(&values, 3, 2)];
    for (message, wanted) in [
        (refusal(|| Operand::new(&values, 2, 2)), "values of 2 rows of 2"),
        // The product would be counted as 0.
        (refusal(|| Operand::new(&[], half, half)), "sizes too large to count"),
        (
            refusal(|| {
                let (left, right) = (Operand::new(&[], half, 0), Operand::new(&[], 0, half));
                multiply(left, right, None, Precision::F32)
            }),
            "sizes too large to count",
        ),
        (refusal(|| multiply(two_by_three, two_by_three, None, Precision::F32)), "as many rows as"),
        (
            refusal(|| multiply(two_by_three, three_by_two, Some(&[0.0; 3]), Precision::F32)),
            "each of 2 columns",
        ),
    ] {
        assert!(message.contains(wanted), "{message} is not: {wanted}");
    }
    let product = multiply(two_by_three, two_by_three.transposed(), Some(&[0.5, 1.5]), Precision::F32);
    assert_eq!(product, [3.5, 4.5, 3.5, 4.5]);
}

#[test]
fn on_tiles_the_model_has_the_bits_of_the_processor_in_several_chunks_too() {
    let tiles = Path::all(Precision::Bf16).into_iter().filter(|path| path.tiles().is_some());
    let paths: Vec<Path> = tiles.collect();
    // Tails on each side, a block of rows and columns, more words than are packed at a time, and several tasks.
    for [rows, columns, depth] in
        [[1, 1, 1], [15, 17, 31], [33, 31, 64], [64, 96, 33], [40, 24, 2 * 4096 + 70], [300, 530, 40]]
    {
        let (left, right) = (normals("left", rows * depth), normals("right", depth * columns));
        let (left_turned, right_turned) = (turned(&left, rows, depth), turned(&right, depth, columns));
        let bias = normals("bias", columns);
        let lefts = [Operand::new(&left, rows, depth), Operand::new(&left_turned, depth, rows).transposed()];
        let rights =
            [Operand::new(&right, depth, columns), Operand::new(&right_turned, columns, depth).transposed()];
        let first = bits(&multiply_at(paths[0], lefts[0], rights[0], Some(&bias)));
        for path in &paths {
            for (left, right) in lefts.into_iter().zip(rights) {
                let found = bits(&multiply_at(*path, left, right, Some(&bias)));
                assert!(found == first, "{path:?} {rows} {columns} {depth}");
            }
        }
    }
}
