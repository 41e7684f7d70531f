//! Hard negatives beside those of sentence-transformers; `fixtures/mining.py` made them.

use lookalike_base::{MappedRows, Watch};
use lookalike_metrics::{Mined, MiningInput, MiningOptions, mine};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Fixture {
    pairs: Vec<(u32, u32)>,
    same_queries: Vec<u32>,
    same_documents: Vec<u32>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    options: Value,
    /// Rows that have a negative, of which `rows` are the first: a query, a positive, and negatives.
    count: usize,
    rows: Vec<Vec<u32>>,
    /// Of the first rows: the cosine of the positive, and of the negatives.
    scores: Vec<Vec<f32>>,
    /// Rows that have as many negatives as were asked for.
    complete: usize,
}

fn options(of: &Value) -> MiningOptions {
    let count = |name: &str| of[name].as_u64().map(|value| value as usize);
    let number = |name: &str| of[name].as_f64().map(|value| value as f32);
    MiningOptions {
        negatives: count("num_negatives").unwrap_or(3),
        range_min: count("range_min").unwrap_or(0),
        range_max: count("range_max"),
        max_score: number("max_score"),
        min_score: number("min_score"),
        absolute_margin: number("absolute_margin"),
        relative_margin: number("relative_margin"),
        ..MiningOptions::default()
    }
}

/// A row for each query and positive, as far as there are negatives, and the scores of its documents.
fn rows(mined: &Mined) -> Vec<(Vec<u32>, Vec<f32>)> {
    let mut rows = Vec::new();
    for (at, query) in mined.queries.iter().enumerate() {
        let (documents, scores) = mined.negatives.list(at);
        let (positives, own) = mined.positives.list(at);
        for (positive, score) in positives.iter().zip(own).filter(|_| !documents.is_empty()) {
            let row = [&[*query, *positive][..], documents].concat();
            rows.push((row, [&[*score][..], scores].concat()));
        }
    }
    rows
}

#[test]
fn negatives_are_those_of_sentence_transformers() {
    let fixture: Fixture = serde_json::from_str(include_str!("fixtures/mining.json")).unwrap();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
    let input = MiningInput {
        queries: &MappedRows::open(format!("{folder}/mining-queries.npy")).unwrap(),
        documents: &MappedRows::open(format!("{folder}/mining-documents.npy")).unwrap(),
        relevant: &fixture.pairs,
        same_queries: &fixture.same_queries,
        same_documents: &fixture.same_documents,
    };
    assert_eq!(fixture.cases.len(), 11);
    for case in &fixture.cases {
        let options = options(&case.options);
        let found = rows(&mine(&input, &options, Watch::default()).unwrap());
        let complete = found.iter().filter(|(row, _)| row.len() == options.negatives + 2).count();
        assert_eq!((found.len(), complete), (case.count, case.complete), "{:?}", case.options);
        for (at, (expected, (row, _))) in case.rows.iter().zip(&found).enumerate() {
            assert_eq!(row, expected, "row {at} of {:?}", case.options);
        }
        for (expected, (row, scores)) in case.scores.iter().zip(&found) {
            let near = expected.iter().zip(scores).all(|(expected, score)| (expected - score).abs() < 2e-6);
            assert!(near && expected.len() == scores.len(), "{row:?}: {scores:?}, not {expected:?}");
        }
    }
}
