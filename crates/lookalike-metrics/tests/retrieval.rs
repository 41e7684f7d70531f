//! Retrieval scores against `pytrec_eval`, correlations against `SciPy`; `fixtures/retrieval.py` made the numbers.
#![expect(clippy::unwrap_used, reason = "a helper of tests fails by panicking, as the tests themselves do")]

use lookalike_metrics::retrieval::{evaluate, evaluate_each};
use lookalike_metrics::{Judgements, Ranking, pearson, spearman};
use serde::de::DeserializeOwned;
use serde_json::Value;

fn fixture() -> Value {
    serde_json::from_str(include_str!("fixtures/retrieval.json")).unwrap()
}

fn read<T: DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap()
}

/// Checks that each number of `expected` is that of the same name in `found`.
#[track_caller]
fn assert_scores(found: &impl serde::Serialize, expected: &Value, of: &str) {
    let found = serde_json::to_value(found).unwrap();
    for (name, expected) in expected.as_object().unwrap() {
        let (found, expected) = (found[name].as_f64().unwrap(), expected.as_f64().unwrap());
        assert!((found - expected).abs() < 1e-12, "{name} of {of} is {found}, not {expected}");
    }
}

#[test]
fn scores_are_those_of_trec_eval() {
    let fixture = fixture();
    let ids: Vec<String> = read(&fixture["ids"]);
    let hits: Vec<Vec<(u32, f32)>> = read(&fixture["rankings"]);
    let triples: Vec<(u32, u32, u32)> = read(&fixture["judgements"]);
    let expected: Vec<Option<Value>> = read(&fixture["expected"]);
    let rankings: Vec<Ranking> = hits.into_iter().map(Ranking::from).collect();
    let judgements = Judgements::new(rankings.len(), ids.len(), triples).unwrap();

    let each = evaluate_each(&rankings, &judgements, &ids).unwrap();
    assert_eq!(each.len(), expected.len());
    for (query, (found, expected)) in each.iter().zip(&expected).enumerate() {
        assert_eq!(found.is_some(), expected.is_some(), "query {query}");
        if let (Some(found), Some(expected)) = (found, expected) {
            assert_eq!(expected.as_object().unwrap().len(), 9);
            assert_scores(found, expected, &format!("query {query}"));
        }
    }
    let scores = evaluate(&rankings, &judgements, &ids).unwrap();
    assert_scores(&scores, &fixture["means"], "all");
    let unjudged = expected.iter().filter(|scores| scores.is_none()).count();
    assert_eq!((scores.queries, scores.unjudged), (expected.len() - unjudged, unjudged));
}

#[test]
fn correlations_are_scipy_s() {
    for case in fixture()["correlations"].as_array().unwrap() {
        let (a, b): (Vec<f32>, Vec<f32>) = (read(&case["a"]), read(&case["b"]));
        for (found, name) in [(spearman(&a, &b), "spearman"), (pearson(&a, &b), "pearson")] {
            let (found, expected) = (found.unwrap(), case[name].as_f64().unwrap());
            assert!(
                (found - expected).abs() < 1e-12,
                "{name} of {} pairs is {found}, not {expected}",
                a.len()
            );
        }
    }
}
