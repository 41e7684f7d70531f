use super::*;
use lookalike_base::{Cancellation, Rows};

/// Documents at angles of 0°, 10°, 20°, … of the first axis.
fn fan(count: usize) -> Vec<f32> {
    (0..count)
        .flat_map(|at| [(at as f32 * 10.0).to_radians().cos(), (at as f32 * 10.0).to_radians().sin()])
        .collect()
}

fn numbers(count: usize) -> Vec<u32> {
    (0..count as u32).collect()
}

fn mined(relevant: &[(u32, u32)], options: &MiningOptions) -> Result<Mined, MetricError> {
    let (queries, documents) = ([1.0, 0.0, 3.0, 0.0, 0.0, 2.0], fan(10));
    let input = MiningInput {
        queries: &Rows::new(&queries, 2).unwrap(),
        documents: &Rows::new(&documents, 2).unwrap(),
        relevant,
        same_queries: &[0, 0, 2],
        same_documents: &numbers(10),
    };
    mine(&input, options, Watch::default())
}

#[test]
fn the_nearest_that_do_not_answer_are_negatives_and_equal_queries_share_their_documents() {
    let found = mined(&[(0, 0), (1, 2), (0, 0)], &MiningOptions::default()).unwrap();
    assert_eq!((&found.queries[..], found.unanswered), (&[0][..], 1));
    assert_eq!(found.positives.list(0).0, [0, 2]);
    assert_eq!(found.negatives.list(0).0, [1, 3, 4]);
    assert!((found.negatives.list(0).1[0] - 10_f32.to_radians().cos()).abs() < 1e-6);
    assert_eq!((found.left_out.relevant, found.counts(3)), (2, [1, 0, 0]));
}

#[test]
fn the_window_counts_what_is_left_after_the_limits() {
    let margin = |margin, range_min| MiningOptions {
        absolute_margin: Some(margin),
        range_min,
        negatives: 2,
        ..MiningOptions::default()
    };
    // Document 1 has .9848 to query 0; those within .1 of it are documents 0, 2.
    assert_eq!(mined(&[(0, 1)], &margin(0.1, 0)).unwrap().negatives.list(0).0, [3, 4]);
    assert_eq!(mined(&[(0, 1)], &margin(0.1, 1)).unwrap().negatives.list(0).0, [4, 5]);
    let narrow = MiningOptions { range_max: Some(2), ..margin(0.1, 0) };
    // Of the three nearest one is the positive and two are too near.
    let found = mined(&[(0, 1)], &narrow).unwrap();
    assert_eq!((found.negatives.list(0).0, found.counts(2)), (&[][..], [0, 0, 1]));
    assert_eq!((found.left_out.relevant, found.left_out.absolute_margin), (1, 2));
}

#[test]
fn what_equals_a_relevant_document_is_no_negative_and_equal_ones_are_one() {
    let values = [1.0, 0.0, 0.9, 0.1, 1.0, -0.0, 0.9, 0.1, 0.5, 0.5];
    let rows = Rows::new(&values, 2).unwrap();
    let same = first_equal_rows(&rows, Watch::default()).unwrap();
    assert_eq!(same, [0, 1, 0, 1, 4]);
    let queries = [1.0, 0.0];
    let input = MiningInput {
        queries: &Rows::new(&queries, 2).unwrap(),
        documents: &rows,
        relevant: &[(0, 2)],
        same_queries: &[0],
        same_documents: &same,
    };
    let found = mine(&input, &MiningOptions::default(), Watch::default()).unwrap();
    assert_eq!((found.positives.list(0).0, found.negatives.list(0).0), (&[0][..], &[1, 4][..]));
    assert_eq!(found.counts(3), [0, 1, 0]);
}

#[test]
fn random_negatives_come_from_the_window_the_same_for_the_same_seed() {
    let options = |seed| MiningOptions {
        strategy: MiningStrategy::Random,
        range_min: 2,
        range_max: Some(7),
        seed: Seed(seed),
        ..MiningOptions::default()
    };
    let of = |seed| mined(&[(0, 0)], &options(seed)).unwrap().negatives;
    assert_eq!(of(0), of(0));
    let all: Vec<Vec<u32>> = (0..20).map(|seed| of(seed).list(0).0.to_vec()).collect();
    assert!(all.iter().all(|list| list.len() == 3 && list.is_sorted()), "{all:?}");
    let mut drawn: Vec<u32> = all.concat();
    drawn.sort_unstable();
    drawn.dedup();
    assert_eq!(drawn, [3, 4, 5, 6, 7]);
}

#[test]
fn blocks_and_threads_change_nothing() {
    // More documents than a piece, in a width that makes pieces small.
    let columns = PIECE_BYTES / size_of::<f32>() / 64;
    let mut stream = Seed(3).stream("test", 0, 0, 0);
    let mut rows = |count: usize| -> Vec<f32> {
        let mut values = vec![0.0; count * columns];
        values
            .chunks_mut(columns)
            .for_each(|row| row[..20].iter_mut().for_each(|value| *value = stream.normal()));
        values
    };
    let (queries, documents) = (rows(3), rows(150));
    let input = MiningInput {
        queries: &Rows::new(&queries, columns).unwrap(),
        documents: &Rows::new(&documents, columns).unwrap(),
        relevant: &[(0, 0), (1, 1), (2, 149)],
        same_queries: &numbers(3),
        same_documents: &numbers(150),
    };
    let options = MiningOptions { negatives: 100, ..MiningOptions::default() };
    let found = mine(&input, &options, Watch::default()).unwrap();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    assert_eq!(pool.install(|| mine(&input, &options, Watch::default())).unwrap(), found);
    for query in 0..3 {
        let row = |values: &[f32], at: usize| values[at * columns..][..20].to_vec();
        let own = row(&queries, query);
        let cosine = |document: &u32| {
            let other = row(&documents, *document as usize);
            let dot = |a: &[f32], b: &[f32]| {
                a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>()
            };
            dot(&own, &other) / (dot(&own, &own) * dot(&other, &other)).sqrt()
        };
        let relevant = input.relevant[query].1;
        let mut order: Vec<u32> = numbers(150).into_iter().filter(|document| *document != relevant).collect();
        order.sort_by(|a, b| cosine(b).total_cmp(&cosine(a)));
        assert_eq!(found.negatives.list(query).0, &order[..100]);
    }
}

#[test]
fn what_cannot_be_mined_is_refused_by_name() {
    let of = |options: MiningOptions| mined(&[(0, 0)], &options).unwrap_err().to_string();
    let default = MiningOptions::default;
    assert_eq!(of(MiningOptions { negatives: 0, ..default() }), "negatives is 0; it must be at least 1");
    assert_eq!(
        of(MiningOptions { range_min: 5, range_max: Some(7), ..default() }),
        "range_max is 7; it must be at least range_min + negatives"
    );
    assert_eq!(
        of(MiningOptions { max_score: Some(f32::NAN), ..default() }),
        "max_score is NaN; it must be finite"
    );
    assert_eq!(
        of(MiningOptions { max_score: Some(0.1), min_score: Some(0.2), ..default() }),
        "min_score is 0.2; it must be at most max_score"
    );
    let pair = |pairs: &[(u32, u32)]| mined(pairs, &default()).unwrap_err().to_string();
    assert_eq!(pair(&[(0, 1), (0, 10)]), "pair 1: document 10 is not below 10, how many there are");
    assert_eq!(pair(&[(3, 1)]), "pair 0: query 3 is not below 3, how many there are");
    assert_eq!(pair(&[]), "mining is undefined: no pair of a query and its document is given");

    let (queries, documents) = ([1.0, 0.0], [1.0, 0.0, f32::INFINITY, 0.0]);
    let input = MiningInput {
        queries: &Rows::new(&queries, 2).unwrap(),
        documents: &Rows::new(&documents, 2).unwrap(),
        relevant: &[(0, 0)],
        same_queries: &[0],
        same_documents: &[0, 1],
    };
    let refused = mine(&input, &default(), Watch::default()).unwrap_err().to_string();
    assert_eq!(refused, "documents 1: column 0 is inf; values must be finite");
    let narrow = MiningInput { queries: &Rows::new(&queries, 1).unwrap(), same_queries: &[0, 1], ..input };
    let refused = mine(&narrow, &default(), Watch::default()).unwrap_err().to_string();
    assert_eq!(refused, "queries have 1 dimensions, but documents have 2");
    let later = mine(&MiningInput { same_documents: &[1, 0], ..input }, &default(), Watch::default());
    assert_eq!(
        later.unwrap_err().to_string(),
        "equal documents 0: it names row 1, which is not the first of its kind"
    );
}

#[test]
fn it_can_be_stopped() {
    let cancellation = Cancellation::new();
    cancellation.cancel();
    let (queries, documents) = ([1.0, 0.0], fan(4));
    let input = MiningInput {
        queries: &Rows::new(&queries, 2).unwrap(),
        documents: &Rows::new(&documents, 2).unwrap(),
        relevant: &[(0, 0)],
        same_queries: &[0],
        same_documents: &numbers(4),
    };
    let stopped = mine(&input, &MiningOptions::default(), Watch::silent(&cancellation));
    assert_eq!(stopped, Err(MetricError::Cancelled));
    let rows = Rows::new(&documents, 2).unwrap();
    assert_eq!(first_equal_rows(&rows, Watch::silent(&cancellation)), Err(MetricError::Cancelled));
}
