//! The search beside an obvious one that sorts all candidates.

use super::*;
use crate::stop::NEVER;
use lookalike_base::Seed;
use proptest::prelude::*;

/// Small integers, of which sums of products are exact in any order: ties are ties, and results can be
/// compared bit by bit.
fn integers(seed: u64, rows: usize, columns: usize) -> Vec<f32> {
    let mut stream = Seed(seed).stream("test", 0, 0, 0);
    (0..rows * columns).map(|_| stream.below(5) as f32 - 2.0).collect()
}

fn reader(values: &[f32], columns: usize) -> impl Fn(u32, &mut [f32]) -> bool + Sync {
    move |row, into| {
        into.copy_from_slice(&values[row as usize * columns..][..columns]);
        true
    }
}

/// How similar two rows are, one product after another.
fn obvious_similarity(similarity: Similarity, a: &[f32], b: &[f32]) -> f32 {
    let product = |a: &[f32], b: &[f32]| a.iter().zip(b).fold(0.0, |sum, (a, b)| sum + a * b);
    match similarity {
        Similarity::Product => product(a, b),
        Similarity::Crossed => {
            let half = a.len() / 2;
            product(&a[..half], &b[half..]).max(product(&a[half..], &b[..half]))
        }
    }
}

/// The `k` best of each row's candidates, all of them sorted.
fn obvious(
    similarity: Similarity,
    circulant: &Circulant,
    order: &[u32],
    values: &[f32],
    columns: usize,
    k: usize,
) -> TopK {
    let mut best = TopK::zeros(order.len(), k);
    let row = |id: u32| &values[id as usize * columns..][..columns];
    for (position, own) in order.iter().enumerate() {
        let score = |id: u32| obvious_similarity(similarity, row(*own), row(id));
        let candidates = circulant.candidates(position).into_iter().map(|other| order[other]);
        let mut scored: Vec<(u32, f32)> = candidates.map(|id| (id, score(id))).collect();
        scored.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        for (at, (id, similarity)) in scored[..k].iter().enumerate() {
            best.indices[*own as usize * k + at] = *id;
            best.similarities[*own as usize * k + at] = *similarity;
        }
    }
    best
}

fn with_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(work)
}

const SIMILARITIES: [Similarity; 2] = [Similarity::Product, Similarity::Crossed];

/// Every way to search at a level.
fn settings(level: Level, similarity: Similarity, scoring: Scoring) -> Vec<SearchSettings<'static>> {
    let formats = PanelFormat::all(scoring, level).into_iter();
    let ways = formats.flat_map(|format| [Sides::One, Sides::Both].map(|sides| (format, Some(sides))));
    ways.map(|(format, sides)| SearchSettings { level, similarity, scoring, format, sides, stop: NEVER })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn given_the_candidates_edges_are_those_of_the_obvious_search_at_every_level(
        seed in any::<u64>(),
        (rows, width) in (2_usize..700, 1_usize..40),
        (m, k) in (1_usize..700, 0_usize..60),
        similarity in prop::sample::select(&SIMILARITIES[..]),
    ) {
        let columns = width * similarity.parts();
        let (m, values) = (m.min(rows - 1), integers(seed, rows, columns));
        let (k, mut stream) = (k.min(m), Seed(seed).stream("order", 0, 0, 0));
        let order = stream.permutation(rows as u32);
        let circulant = Circulant::random(rows, m, |bound| stream.below(bound));
        let expected = obvious(similarity, &circulant, &order, &values, columns, k);
        for level in Level::all() {
            for scoring in [Scoring::F32, Scoring::Bf16] {
                for settings in settings(level, similarity, scoring) {
                    let read = reader(&values, columns);
                    let found = search(settings, &circulant, &order, columns, k, &read).unwrap();
                    if scoring == Scoring::F32 {
                        prop_assert_eq!(&found, &expected);
                    }
                    // Rounding changes no small integer, but which of equals survive it does not go by their indices.
                    prop_assert_eq!(&found.similarities, &expected.similarities);
                }
            }
        }
    }

    #[test]
    fn with_few_enough_candidates_all_survive_rounding_and_the_best_by_exact_products_are_kept(
        seed in any::<u64>(),
        (rows, width) in (2_usize..200, 1_usize..40),
        (m, k) in (1_usize..10, 1_usize..10),
        similarity in prop::sample::select(&SIMILARITIES[..]),
    ) {
        let columns = width * similarity.parts();
        let (m, mut stream) = (m.min(rows - 1), Seed(seed).stream("order", 0, 0, 0));
        // Numbers of 12 bits, of which rounding leaves 8; products are exact, and so a sum of two is the same
        // in any order.
        let exact = |value: u32| 1.0 + value as f32 / 2048.0;
        let values: Vec<f32> = (0..rows * columns)
            .map(|at| if at % width < 2 { exact(stream.below(2048)) } else { 0.0 })
            .collect();
        let (k, order) = (k.min(m), stream.permutation(rows as u32));
        let circulant = Circulant::random(rows, m, |bound| stream.below(bound));
        let expected = obvious(similarity, &circulant, &order, &values, columns, k);
        for level in Level::all() {
            for settings in settings(level, similarity, Scoring::Bf16) {
                let found =
                    search(settings, &circulant, &order, columns, k, &reader(&values, columns)).unwrap();
                prop_assert_eq!(&found, &expected);
            }
        }
    }
}

#[test]
fn rounding_loses_few_of_the_best_and_changes_no_similarity_that_is_kept() {
    let (rows, columns, k) = (3000, 63, 20);
    let mut stream = Seed(6).stream("test", 0, 0, 0);
    let values: Vec<f32> = (0..rows * columns).map(|_| stream.normal()).collect();
    let order = stream.permutation(rows as u32);
    for circulant in [Circulant::random(rows, 500, |bound| stream.below(bound)), Circulant::all(rows)] {
        for level in Level::all() {
            let search = |settings| {
                search(settings, &circulant, &order, columns, k, &reader(&values, columns)).unwrap()
            };
            let exact = search(settings(level, Similarity::Product, Scoring::F32)[0]);
            for settings in settings(level, Similarity::Product, Scoring::Bf16) {
                let (format, rounded) = (settings.format, search(settings));
                let mut missed = 0;
                for row in 0..rows {
                    let entries = |best: &TopK| -> Vec<(u32, f32)> {
                        let places = row * k..(row + 1) * k;
                        best.indices[places.clone()]
                            .iter()
                            .copied()
                            .zip(best.similarities[places].iter().copied())
                            .collect()
                    };
                    let exact = entries(&exact);
                    for (index, similarity) in entries(&rounded) {
                        match exact.iter().find(|entry| entry.0 == index) {
                            // Sums of 63 products of numbers about 1, in another order.
                            Some((_, expected)) => assert!((similarity - expected).abs() < 1e-4, "{level:?}"),
                            None => missed += 1,
                        }
                    }
                }
                // Three in a hundred thousand, or none.
                assert!(missed <= 2, "{level:?} {format:?}: {missed} of {}", rows * k);
            }
        }
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let (rows, columns, k) = (3000, 38, 20);
    let mut stream = Seed(3).stream("test", 0, 0, 0);
    let values: Vec<f32> = (0..rows * columns).map(|_| stream.normal()).collect();
    let order = stream.permutation(rows as u32);
    let some = Circulant::random(rows, 500, |bound| stream.below(bound));
    for circulant in [some, Circulant::all(rows)] {
        for scoring in [Scoring::F32, Scoring::Bf16] {
            let search = || {
                let read = || reader(&values, columns);
                let plain = circulant_top_k(&circulant, &order, columns, k, scoring, &read(), NEVER).unwrap();
                let crossed = crossed_top_k(&circulant, &order, columns, k, scoring, &read(), NEVER).unwrap();
                (plain, crossed)
            };
            let alone = with_threads(1, search);
            for threads in [2, 3, 7] {
                assert_eq!(with_threads(threads, search), alone);
            }
        }
    }
}

#[test]
fn parts_give_the_bits_of_the_whole_and_read_no_other_tiles() {
    for (rows, columns, m, k) in
        [(1301_usize, 38, 500, 20), (1000, 300, 200, 20), (2500, 5, 2300, 9), (70, 9, 69, 5)]
    {
        let mut stream = Seed(8).stream("test", 0, 0, 0);
        // Each row twice, so that some are equal.
        let half: Vec<f32> = (0..rows.div_ceil(2) * columns).map(|_| stream.normal()).collect();
        let values = [&half[..], &half].concat();
        let order = stream.permutation(rows as u32);
        let mut positions = vec![0; rows];
        order.iter().enumerate().for_each(|(position, row)| positions[*row as usize] = position);
        let whole = Circulant::random(rows, m, |bound| stream.below(bound));
        let ways = Level::all().into_iter().flat_map(|level| {
            [Scoring::F32, Scoring::Bf16].map(|scoring| settings(level, Similarity::Product, scoring))
        });
        for given in ways.flatten() {
            let expected = search(given, &whole, &order, columns, k, &reader(&values, columns)).unwrap();
            for (number, parts) in [(0, 1), (0, 2), (1, 2), (3, 5)] {
                let tiles = whole.tiles();
                let part = whole.part(number * tiles / parts..(number + 1) * tiles / parts);
                let read = part.read();
                let read_row = |row: u32, into: &mut [f32]| {
                    read.contains(&whole.place(positions[row as usize]).0)
                        && reader(&values, columns)(row, into)
                };
                let found = search(given, &part, &order, columns, k, &read_row).unwrap();
                let own = positions_of(&whole, part.searched());
                assert_eq!(found.indices.len(), own.len() * k);
                let row = |best: &TopK, row: usize| -> Vec<(u32, u32)> {
                    let places = row * k..(row + 1) * k;
                    let bits = best.similarities[places.clone()].iter().map(|value| value.to_bits());
                    best.indices[places].iter().copied().zip(bits).collect()
                };
                for (at, position) in own.enumerate() {
                    assert_eq!(row(&found, at), row(&expected, order[position] as usize));
                }
            }
        }
    }
}

#[test]
fn what_cannot_be_searched_is_refused_by_name() {
    let circulant = Circulant::all(4);
    let found = |order: &[u32], columns, k| {
        let found = [Scoring::F32, Scoring::Bf16].map(|scoring| {
            circulant_top_k(
                &circulant,
                order,
                columns,
                k,
                scoring,
                &|row: u32, _: &mut [f32]| row != 2,
                NEVER,
            )
            .unwrap_err()
        });
        assert_eq!(found[0], found[1]);
        found[0].clone()
    };
    assert_eq!(found(&[0, 1, 2, 3], 0, 1), KernelError::Shape { values: 0, columns: 0 });
    assert_eq!(found(&[0, 1, 2, 3], 2, 4), KernelError::TooFew { row: 0, k: 4, available: 3 });
    for order in [&[0, 1, 2][..], &[0, 1, 2, 4], &[0, 1, 1, 3]] {
        assert_eq!(found(order, 2, 1), KernelError::Order { rows: 4 });
    }
    assert_eq!(found(&[0, 1, 2, 3], 2, 1), KernelError::Refused { row: 2 });
    let odd =
        crossed_top_k(&circulant, &[0, 1, 2, 3], 3, 1, Scoring::F32, &|_: u32, _: &mut [f32]| true, NEVER);
    assert_eq!(odd, Err(KernelError::Halves { columns: 3 }));
}

#[test]
fn rows_that_no_memory_holds_are_refused() {
    let circulant = Circulant::all(4);
    for columns in [usize::MAX, usize::MAX / 4, isize::MAX as usize / 64 + 1] {
        for scoring in [Scoring::F32, Scoring::Bf16] {
            let found = circulant_top_k(
                &circulant,
                &[0, 1, 2, 3],
                columns,
                1,
                scoring,
                &|_: u32, _: &mut [f32]| true,
                NEVER,
            );
            assert_eq!(found, Err(KernelError::TooLarge { rows: 4, columns }));
        }
    }
}
