//! Agreement of partitions, assignment and k-means against scikit-learn and `SciPy`; `fixtures/clustering.py` made the numbers.
#![expect(clippy::unwrap_used, reason = "a helper of tests fails by panicking, as the tests themselves do")]

use lookalike_base::{Matrix, Seed, Watch, npy};
use lookalike_metrics::{Contingency, KmeansOptions, assignment, clustering_scores, kmeans};
use serde_json::Value;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");

fn fixture(part: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(format!("{FOLDER}/clustering.json")).unwrap();
    let mut expected: Value = serde_json::from_str(&text).unwrap();
    serde_json::from_value(expected[part].take()).unwrap()
}

fn list<T: serde::de::DeserializeOwned>(case: &Value, name: &str) -> Vec<T> {
    serde_json::from_value(case[name].clone()).unwrap()
}

#[test]
fn scores_are_those_of_scikit_learn_however_groups_are_numbered() {
    for (at, case) in fixture("partitions").iter().enumerate() {
        let (labels, clusters): (Vec<u32>, Vec<u32>) = (list(case, "labels"), list(case, "clusters"));
        let found = clustering_scores(&labels, &clusters).unwrap();
        let information = Contingency::new(&labels, &clusters).unwrap().mutual_information();
        for (name, found) in [
            ("nmi", found.nmi),
            ("nmi_geometric", found.nmi_geometric),
            ("mutual_information", information),
            ("ari", found.ari),
            ("fowlkes_mallows", found.fowlkes_mallows),
            ("accuracy", found.accuracy),
        ] {
            let expected = case[name].as_f64().unwrap();
            assert!((found - expected).abs() <= 1e-12, "partition {at}: {name} {found} is not {expected}");
        }
        // Any map that keeps groups apart, and the mark of what has no label.
        let renamed = |ids: &[u32], key: u32| ids.iter().map(|id| (id ^ key) >> 1).collect::<Vec<u32>>();
        if labels.iter().chain(&clusters).all(|id| *id < 1 << 16) {
            let doubled = |ids: &[u32]| ids.iter().map(|id| 2 * id).collect::<Vec<u32>>();
            let (labels, clusters) =
                (renamed(&doubled(&labels), 0b1_0110), renamed(&doubled(&clusters), 0b110));
            assert_eq!(clustering_scores(&labels, &clusters).unwrap(), found, "partition {at}");
        }
    }
}

#[test]
fn assignments_have_the_greatest_sum_of_gains_that_scipy_finds() {
    for (at, case) in fixture("assignments").iter().enumerate() {
        let (gains, columns): (Vec<i64>, usize) =
            (list(case, "gains"), case["columns"].as_u64().unwrap() as usize);
        let chosen = assignment(&gains, columns).unwrap();
        let mut used: Vec<usize> = chosen.iter().flatten().copied().collect();
        used.sort_unstable();
        used.dedup();
        assert_eq!(used.len(), columns.min(chosen.len()), "table {at}: a column has two rows, or a row none");
        let rows = gains.chunks_exact(columns).zip(&chosen);
        let sum: i64 = rows.filter_map(|(gains, column)| column.map(|column| gains[column])).sum();
        assert_eq!(sum, case["sum"].as_i64().unwrap(), "table {at}");
    }
}

#[test]
fn inertia_is_not_above_that_of_scikit_learn_at_equal_restarts() {
    for case in fixture("kmeans") {
        let points =
            npy::read_rows(format!("{FOLDER}/kmeans-{}.npy", case["points"].as_str().unwrap())).unwrap();
        let (clusters, theirs): (u64, Vec<f64>) =
            (case["clusters"].as_u64().unwrap(), list(&case, "inertias"));
        let ours = inertias(&points, clusters as usize);
        // Which optimum is found is chance: means are compared, to within twice the standard error of their difference.
        let ([ours, error], [theirs, their_error]) = (mean(&ours), mean(&theirs));
        println!(
            "{clusters} clusters of {}: {ours} ± {error} beside {theirs} ± {their_error}",
            case["points"]
        );
        assert!(ours <= theirs * (1.0 + 1e-6) + 2.0 * error.hypot(their_error), "{ours} {theirs}");
    }
}

/// Those of twenty seeds, each the best of ten restarts, as in the fixture.
fn inertias(points: &Matrix, clusters: usize) -> Vec<f64> {
    let fit = |seed| {
        let options = KmeansOptions { seed: Seed(seed), ..KmeansOptions::new(clusters) };
        kmeans(points.rows(), &options, Watch::default()).unwrap().inertia
    };
    (0..20).map(fit).collect()
}

/// The mean and its standard error.
fn mean(values: &[f64]) -> [f64; 2] {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
    [mean, (squares / (count - 1.0) / count).sqrt()]
}
