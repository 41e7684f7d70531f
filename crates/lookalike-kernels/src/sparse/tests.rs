use super::product::product_at;
use super::segment::{NO_ROW, Scale, maximum, maximum_backward, total, total_backward};
use super::*;
use crate::instructions::Level;
use crate::sizes::refusal;
use lookalike_base::{Seed, Stream};
use proptest::prelude::*;

/// A matrix with about `density` of its entries, of which some rows have none.
fn sparse(rows: usize, width: usize, density: f32, valued: bool, stream: &mut Stream) -> Csr {
    let mut row = |_| {
        let density = if stream.chance(0.2) { 0.0 } else { density };
        let chosen: Vec<u32> = (0..width as u32).filter(|_| stream.chance(density)).collect();
        chosen.into_iter().map(|column| (column, stream.normal())).collect::<Vec<_>>()
    };
    let matrix = Csr::from_rows((0..rows).map(&mut row).collect::<Vec<_>>(), width).unwrap();
    if valued { matrix } else { matrix.without_values() }
}

fn normals(count: usize, stream: &mut Stream) -> Vec<f32> {
    (0..count).map(|_| stream.normal()).collect()
}

/// The product by its definition.
fn obvious_product(matrix: &Csr, dense: &[f32], columns: usize) -> Vec<f64> {
    let mut out = vec![0.0; matrix.len() * columns];
    for row in 0..matrix.len() {
        for (entry, value) in matrix.row_entries(row) {
            for column in 0..columns {
                let term = f64::from(value) * f64::from(dense[entry as usize * columns + column]);
                out[row * columns + column] += term;
            }
        }
    }
    out
}

fn inner(a: impl IntoIterator<Item = f64>, b: &[f32]) -> f64 {
    a.into_iter().zip(b).map(|(a, b)| a * f64::from(*b)).sum()
}

fn assert_close(found: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((f64::from(*found) - expected).abs() <= tolerance, "{at}: {found} is not {expected}");
    }
}

#[test]
fn products_are_those_of_the_definition_at_every_level_and_width() {
    let mut stream = Seed(1).stream("test", 0, 0, 0);
    for columns in [1, 3, 16, 17, 64, 96, 131] {
        for valued in [false, true] {
            let matrix = sparse(70, 50, 0.15, valued, &mut stream);
            let dense = normals(50 * columns, &mut stream);
            let expected = obvious_product(&matrix, &dense, columns);
            for level in Level::all() {
                assert_close(&product_at(level, &matrix, 0.0, &dense, columns), &expected, 1e-5);
            }
        }
    }
}

#[test]
fn the_transpose_gives_the_gradient_of_the_dense_matrix() {
    let mut stream = Seed(2).stream("test", 0, 0, 0);
    let matrix = sparse(40, 60, 0.2, true, &mut stream);
    let (dense, gradient) = (normals(60 * 5, &mut stream), normals(40 * 5, &mut stream));
    // ⟨A x, g⟩ = ⟨x, Aᵀ g⟩ for all x and g.
    let forward = inner(obvious_product(&matrix, &dense, 5), &gradient);
    let backward = inner(obvious_product(&matrix.transpose(), &gradient, 5), &dense);
    assert!((forward - backward).abs() < 1e-9, "{forward} {backward}");
    assert_eq!(matrix.transpose().transpose(), matrix);
    let found = product(&matrix.transpose(), &gradient, 5);
    assert_close(&found, &obvious_product(&matrix.transpose(), &gradient, 5), 1e-5);
}

#[test]
fn a_node_s_own_row_counts_as_an_entry_of_the_diagonal_does() {
    let mut stream = Seed(5).stream("test", 0, 0, 0);
    for (columns, valued) in [(5, true), (32, false), (37, false)] {
        let matrix = sparse(40, 40, 0.1, valued, &mut stream);
        let dense = normals(40 * columns, &mut stream);
        let mut expected = obvious_product(&matrix, &dense, columns);
        expected.iter_mut().zip(&dense).for_each(|(sum, own)| *sum += 1.5 * f64::from(*own));
        for level in Level::all() {
            assert_close(&product_at(level, &matrix, 1.5, &dense, columns), &expected, 1e-5);
        }
        assert_eq!(aggregate(&matrix, 0.0, &dense, columns), product(&matrix, &dense, columns));
    }
}

#[test]
fn a_product_has_the_same_bits_on_any_number_of_threads() {
    let mut stream = Seed(3).stream("test", 0, 0, 0);
    let matrix = sparse(3000, 400, 0.05, true, &mut stream);
    let dense = normals(400 * 32, &mut stream);
    let pools = [1, 3].map(|threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap());
    let [one, three] = pools.map(|pool| pool.install(|| product(&matrix, &dense, 32)));
    assert_eq!(one, three);
}

#[test]
fn matrices_without_rows_or_entries_are_no_exception() {
    let nothing = Csr::new(vec![0], vec![], None, 0).unwrap();
    assert_eq!(product(&nothing, &[], 4), [0.0; 0]);
    let empty = Csr::new(vec![0, 0, 0], vec![], None, 1).unwrap();
    assert_eq!(product(&empty, &[1.0, 2.0], 2), [0.0; 4]);
    assert_eq!(empty.transpose().len(), 1);
}

#[test]
fn blocks_multiply_as_each_alone() {
    let mut stream = Seed(4).stream("test", 0, 0, 0);
    let blocks = [sparse(5, 7, 0.5, true, &mut stream), Csr::new(vec![0], vec![], None, 0).unwrap()];
    let blocks = [blocks[0].clone(), blocks[1].clone(), sparse(4, 4, 0.5, false, &mut stream)];
    let whole = Csr::block_diagonal(&blocks).unwrap();
    assert_eq!((whole.len(), whole.width()), (9, 11));
    let dense = normals(11 * 3, &mut stream);
    let apart = [product(&blocks[0], &dense[..21], 3), product(&blocks[2], &dense[21..], 3)].concat();
    assert_eq!(product(&whole, &dense, 3), apart);
    let plain = Csr::block_diagonal([&blocks[2], &blocks[2]]).unwrap();
    assert_eq!(plain.values(), None);
}

#[test]
fn blocks_are_chosen_from_a_diagonal_as_they_were_put_there() {
    let mut stream = Seed(6).stream("test", 0, 0, 0);
    let blocks: Vec<Csr> = [3, 0, 5].map(|size| sparse(size, size, 0.6, true, &mut stream)).into();
    let whole = Csr::block_diagonal(&blocks).unwrap();
    let chosen = whole.diagonal_blocks([3..8, 3..3, 0..3, 3..8]);
    assert_eq!(chosen, Csr::block_diagonal([&blocks[2], &blocks[1], &blocks[0], &blocks[2]]).unwrap());
    assert_eq!(whole.diagonal_blocks([]).len(), 0);
}

#[test]
fn what_is_no_matrix_is_refused_with_its_row() {
    let message = |offsets: &[usize], columns: &[u32], values: Option<Vec<f32>>| {
        Csr::new(offsets.to_vec(), columns.to_vec(), values, 3).unwrap_err().to_string()
    };
    for (offsets, columns, wanted) in [
        (&[][..], &[][..], "row 0"),
        (&[1, 2], &[0, 1], "begin at 0"),
        (&[0, 2, 1], &[0, 1], "row 1"),
        (&[0, 3], &[0, 1], "row 0"),
        (&[0, 1], &[0, 1], "end at 1 of 2"),
        (&[0, 0, 2], &[1, 1], "row 1 of the sparse matrix: column 1 is followed by 1"),
        (&[0, 2], &[2, 1], "column 2 is followed by 1"),
        (&[0, 0, 1], &[3], "row 1 of the sparse matrix: column 3 is not below 3"),
    ] {
        let text = message(offsets, columns, None);
        assert!(text.contains(wanted), "{text} should hold {wanted}");
    }
    assert!(message(&[0, 1], &[0], Some(vec![])).contains("0 values for 1 columns"));
    let width = u32::MAX as usize + 1;
    assert!(Csr::new(vec![0], vec![], None, width).is_ok());
    let wide = Csr::new(vec![0], vec![], None, width + 1).unwrap_err().to_string();
    assert!(wide.contains("4294967297 columns are more than 32 bits can number"), "{wide}");
}

proptest! {
    #[test]
    fn read_outs_and_their_gradients_are_those_of_the_definition(
        sizes in prop::collection::vec(0_usize..6, 1..12),
        columns in 1_usize..20,
        seed in 0_u64..1000,
    ) {
        let mut stream = Seed(seed).stream("test", 0, 0, 0);
        let mut offsets = vec![0];
        for size in &sizes {
            offsets.push(offsets.last().unwrap() + size);
        }
        let rows = normals(offsets[sizes.len()] * columns, &mut stream);
        let gradient = normals(sizes.len() * columns, &mut stream);
        let value = |row: usize, column: usize| f64::from(rows[row * columns + column]);
        for (segment, size) in sizes.iter().enumerate() {
            let own = offsets[segment]..offsets[segment + 1];
            for column in 0..columns {
                let at = segment * columns + column;
                let sum: f64 = own.clone().map(|row| value(row, column)).sum();
                for (scale, divisor) in [(Scale::Sum, 1.0), (Scale::Mean, (*size).max(1) as f64)] {
                    let found = total(scale, &offsets, &rows, columns)[at];
                    prop_assert!((f64::from(found) - sum / divisor).abs() < 1e-5);
                    let backward = total_backward(scale, &offsets, &gradient, columns);
                    for row in own.clone() {
                        let expected = f64::from(gradient[at]) / divisor;
                        prop_assert!((f64::from(backward[row * columns + column]) - expected).abs() < 1e-6);
                    }
                }
                let (maxima, from) = maximum(&offsets, &rows, columns);
                let backward = maximum_backward(&offsets, &from, &gradient, columns);
                let best = own.clone().map(|row| value(row, column)).fold(f64::NEG_INFINITY, f64::max);
                if own.is_empty() {
                    prop_assert_eq!((maxima[at], from[at]), (0.0, NO_ROW));
                } else {
                    prop_assert_eq!(f64::from(maxima[at]), best);
                    prop_assert!(own.contains(&(from[at] as usize)));
                }
                for row in own.clone() {
                    let expected = if from[at] as usize == row { gradient[at] } else { 0.0 };
                    prop_assert_eq!(backward[row * columns + column], expected);
                }
            }
        }
    }
}

#[test]
fn of_equal_maxima_the_first_row_is_named() {
    let (maxima, from) = maximum(&[0, 3], &[1.0, 5.0, 2.0, 5.0, 2.0, 4.0], 2);
    assert_eq!((maxima, from), (vec![2.0, 5.0], vec![1, 0]));
}

#[test]
fn chosen_rows_and_the_sub_graph_of_nodes_hold_the_entries_of_the_whole() {
    let mut stream = Seed(7).stream("test", 0, 0, 0);
    for valued in [false, true] {
        let matrix = sparse(40, 40, 0.2, valued, &mut stream);
        let entry = |matrix: &Csr, row: usize, column: usize| {
            matrix.row_entries(row).find(|(to, _)| *to as usize == column).map(|(_, value)| value)
        };
        let nodes = &stream.permutation(40)[..25];
        let (rows, graph) = (matrix.chosen(nodes), matrix.induced(nodes));
        assert_eq!((rows.len(), rows.width(), graph.len(), graph.width()), (25, 40, 25, 25));
        for (place, node) in nodes.iter().enumerate() {
            for column in 0..40 {
                assert_eq!(entry(&rows, place, column), entry(&matrix, *node as usize, column));
            }
            for (other, to) in nodes.iter().enumerate() {
                assert_eq!(entry(&graph, place, other), entry(&matrix, *node as usize, *to as usize));
            }
        }
        let again = Csr::new(graph.offsets().to_vec(), graph.columns().to_vec(), None, 25);
        assert!(again.is_ok(), "columns rise: {again:?}");
    }
}

#[test]
fn products_of_sizes_that_would_wrap_around_are_refused() {
    let half = usize::MAX / 2 + 1;
    // Two rows of so many columns would be counted as none.
    let matrix = Csr::new(vec![0, 1, 2], vec![0, 1], None, 2).unwrap();
    let tall = Csr::new(vec![0, 1, 1], vec![0], None, 1).unwrap();
    let dense = [1.0];
    for message in [
        refusal(|| product(&matrix, &[], half)),
        refusal(|| aggregate(&matrix, 1.0, &[], half)),
        // One row of the dense matrix is counted rightly; the result would not be.
        refusal(|| product(&tall, &dense, half)),
        refusal(|| total(Scale::Sum, &[0, 2], &[], half)),
        refusal(|| total(Scale::Sum, &[0, 0, 0], &[], half)),
        refusal(|| total_backward(Scale::Sum, &[0, 2], &[], half)),
        refusal(|| maximum(&[0, 2], &[], half)),
        refusal(|| maximum_backward(&[0, 1, 2], &[], &[], half)),
    ] {
        assert!(
            message.contains("sizes too large to count: 2 rows of 9223372036854775808 values"),
            "{message}"
        );
    }
}

#[test]
fn columns_that_32_bits_cannot_number_are_refused() {
    let wide = Csr::new(vec![0], vec![], None, u32::MAX as usize).unwrap();
    assert_eq!(Csr::block_diagonal([&wide]).unwrap().width(), u32::MAX as usize);
    let rows = 2 * (u32::MAX as usize);
    assert_eq!(Csr::block_diagonal([&wide, &wide]), Err(crate::KernelError::TooManyRows { rows }));
}
