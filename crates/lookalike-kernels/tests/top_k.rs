//! The fast searches beside ones that sort everything.

#![allow(clippy::unwrap_used, reason = "a helper of tests fails the test")]

use std::sync::atomic::{AtomicUsize, Ordering};

use lookalike_base::Seed;
use lookalike_kernels::{KernelError, NEVER, PiecewiseTopK, TopK, top_k};
use proptest::prelude::*;

/// Small integers, of which sums of products are exact in any order: ties are ties, and results can be
/// compared bit by bit.
fn integers(seed: u64, rows: usize, columns: usize) -> Vec<f32> {
    let mut stream = Seed(seed).stream("test", 0, 0, 0);
    (0..rows * columns).map(|_| stream.below(5) as f32 - 2.0).collect()
}

fn obvious_top_k(
    queries: &[f32],
    database: &[f32],
    columns: usize,
    k: usize,
    candidates: impl Fn(usize) -> Vec<u32>,
) -> TopK {
    let mut best = TopK { k, indices: Vec::new(), similarities: Vec::new() };
    for (row, query) in queries.chunks(columns).enumerate() {
        let mut scored: Vec<(u32, f32)> = candidates(row)
            .into_iter()
            .map(|index| {
                let other = &database[index as usize * columns..][..columns];
                (index, query.iter().zip(other).fold(0.0, |sum, (a, b)| sum + a * b))
            })
            .collect();
        scored.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        best.indices.extend(scored[..k].iter().map(|entry| entry.0));
        best.similarities.extend(scored[..k].iter().map(|entry| entry.1));
    }
    best
}

fn with_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_best_rows_are_those_of_the_obvious_search(
        seed in any::<u64>(),
        (queries, rows) in (0_usize..300, 2_usize..60),
        (columns, k) in (1_usize..20, 0_usize..50),
    ) {
        let (query_values, values) = (integers(seed, queries, columns), integers(seed ^ 1, rows, columns));
        let k = k.min(rows);
        let all = |_| (0..rows as u32).collect();
        let found = top_k(&query_values, &values, columns, k, false, NEVER).unwrap();
        prop_assert_eq!(&found, &obvious_top_k(&query_values, &values, columns, k, all));

        let mut search = PiecewiseTopK::new(&query_values, columns, k).unwrap();
        for piece in values.chunks(columns * (1 + seed as usize % rows)) {
            search.offer(piece, NEVER).unwrap();
        }
        prop_assert_eq!(search.finish().unwrap(), found);
    }

    #[test]
    fn no_row_is_its_own_neighbor(
        seed in any::<u64>(), rows in 2_usize..300, columns in 1_usize..6, k in 1_usize..20,
    ) {
        let values = integers(seed, rows, columns);
        let k = k.min(rows - 1);
        let others = |row| (0..rows as u32).filter(|other| *other as usize != row).collect();
        let found = top_k(&values, &values, columns, k, true, NEVER).unwrap();
        prop_assert_eq!(found, obvious_top_k(&values, &values, columns, k, others));
    }
}

#[test]
fn several_blocks_of_the_database_give_the_best_of_all() {
    let (rows, columns, k) = (2500, 4, 30);
    let values = integers(5, rows, columns);
    let others = |row| (0..rows as u32).filter(|other| *other as usize != row).collect();
    let found = top_k(&values[..200 * columns], &values, columns, k, true, NEVER).unwrap();
    assert_eq!(found, obvious_top_k(&values[..200 * columns], &values, columns, k, others));
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let (rows, columns) = (1500, 37);
    let mut stream = Seed(3).stream("test", 0, 0, 0);
    let values: Vec<f32> = (0..rows * columns).map(|_| stream.normal()).collect();
    let search = || {
        (
            top_k(&values, &values, columns, 10, true, NEVER).unwrap(),
            top_k(&values[37..], &values, columns, 10, false, NEVER).unwrap(),
        )
    };
    let alone = with_threads(1, search);
    for threads in [2, 3, 7] {
        assert_eq!(with_threads(threads, search), alone);
    }
}

#[test]
fn sizes_that_do_not_fit_are_refused_by_name() {
    let values = [1.0_f32; 6];
    assert_eq!(
        top_k(&values[..5], &values, 2, 1, false, NEVER),
        Err(KernelError::Shape { values: 5, columns: 2 })
    );
    assert_eq!(
        top_k(&values, &values, 0, 1, false, NEVER),
        Err(KernelError::Shape { values: 6, columns: 0 })
    );
    assert_eq!(
        top_k(&values, &values, 2, 3, true, NEVER),
        Err(KernelError::TooFew { row: 0, k: 3, available: 2 })
    );
}

#[test]
fn no_queries_have_no_neighbors_however_many_are_asked_for() {
    for k in [0, 1, usize::MAX / 2, usize::MAX] {
        let found = top_k(&[], &[1.0, 2.0], 1, k, false, NEVER).unwrap();
        assert_eq!(found, TopK { k, indices: vec![], similarities: vec![] });
    }
}

#[test]
fn a_search_that_is_asked_to_stop_ends_without_a_result() {
    let values = integers(3, 1000, 4);
    for exclude_self in [true, false] {
        let asked = AtomicUsize::new(0);
        let stop = || asked.fetch_add(1, Ordering::Relaxed) > 2;
        let found = top_k(&values, &values, 4, 5, exclude_self, &stop);
        assert_eq!(found, Err(KernelError::Cancelled));
    }
}
