//! `lookalike sample`, as a user calls it, on embeddings in five clusters.

#![allow(clippy::unwrap_used, reason = "a helper of tests fails the test")]

use std::path::{Path, PathBuf};
use std::process::Command;

use lookalike_base::{Matrix, Seed, npy};

const INSTANCES: usize = 300;
const BATCH: usize = 12;

/// A folder with embeddings, and the class and the pair of each of them.
fn place() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let mut stream = Seed(3).stream("test", 0, 0, 0);
    let values = (0..INSTANCES * 6).map(|at| {
        let (row, column) = (at / 6, at % 6);
        0.3 * stream.normal() + if column == row % 5 { 1.0 } else { 0.0 }
    });
    let rows = Matrix::new(values.collect(), 6).unwrap();
    npy::write_rows(folder.path().join("rows.npy"), rows.rows()).unwrap();
    let column = |name: &str, of: fn(usize) -> usize| {
        let values: Vec<i64> = (0..INSTANCES).map(|row| of(row) as i64).collect();
        npy::write_integers(folder.path().join(name), &[INSTANCES], &values).unwrap();
    };
    column("classes.npy", |row| row % 5);
    column("pairs.npy", |row| row / 10);
    column("one.npy", |_| 7);
    column("large.npy", |row| if row < 100 { 7 } else { row });
    folder
}

/// Exit status and standard error; sizes that fit the embeddings stand where none are given.
fn sample(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let batch = BATCH.to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_lookalike"));
    command.current_dir(folder).arg("sample").args(arguments);
    for (option, value) in [("--batch-size", &batch[..]), ("--candidates", "60"), ("--neighbors", "10")] {
        if !arguments.contains(&option) {
            command.args([option, value]);
        }
    }
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

fn plan(path: PathBuf) -> Vec<Vec<i64>> {
    let (values, shape) = npy::read_integers(path).unwrap();
    assert_eq!(shape[1], BATCH);
    values.chunks(BATCH).map(<[i64]>::to_vec).collect()
}

#[test]
fn every_instance_comes_once_an_epoch_in_batches_that_are_harder_than_uniform_ones() {
    let place = place();
    let arguments = [
        "rows.npy",
        "--epochs",
        "3",
        "--out",
        "plan.npy",
        "--labels",
        "classes.npy",
        "--report",
        "report.json",
    ];
    let (status, error) = sample(place.path(), &arguments);
    assert_eq!(status, Some(0), "{error}");
    let first = plan(place.path().join("plan.npy"));
    assert_eq!(first.len(), 3 * INSTANCES / BATCH);
    for epoch in first.chunks(INSTANCES / BATCH) {
        let mut members = epoch.concat();
        members.sort_unstable();
        assert!(members.into_iter().eq(0..INSTANCES as i64));
    }
    let text = std::fs::read_to_string(place.path().join("report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(report["hardness"]["difference"].as_f64().unwrap() > 0.1, "{text}");
    assert!(report["false_negatives"]["difference"].as_f64().unwrap() > 0.1, "{text}");
    assert_eq!(report["draws"], serde_json::json!([0, 0, 0, INSTANCES]));

    let (_, _) = sample(place.path(), &["rows.npy", "--epochs", "3", "--out", "again.npy"]);
    assert_eq!(plan(place.path().join("again.npy")), first, "the same seed gives the same plan");
    let (_, _) = sample(place.path(), &["rows.npy", "--epochs", "3", "--seed", "1", "--out", "other.npy"]);
    assert_ne!(plan(place.path().join("other.npy")), first);
}

#[test]
fn instances_of_a_group_never_share_a_batch() {
    let place = place();
    for kind in ["walk", "nearest", "uniform"] {
        let arguments = ["rows.npy", "--groups", "pairs.npy", "--out", "plan.npy", "--kind", kind];
        let (status, error) = sample(place.path(), &arguments);
        assert_eq!(status, Some(0), "{kind}: {error}");
        for mut batch in plan(place.path().join("plan.npy")) {
            for instance in &mut batch {
                *instance /= 10;
            }
            batch.sort_unstable();
            batch.dedup();
            assert_eq!(batch.len(), BATCH, "{kind}");
        }
    }
}

#[test]
fn mistakes_are_named_and_nothing_is_written() {
    let place = place();
    std::fs::write(place.path().join("torn.npy"), b"\x93NUMPY\x01\0").unwrap();
    for (arguments, status, said) in [
        (&["rows.npy", "--neighbors", "61"][..], 2, "61"),
        (&["rows.npy", "--batch-size", "301"], 2, "301"),
        (&["rows.npy", "--restart", "1.5"], 2, "restart"),
        (&["rows.npy", "--epochs", "0"], 2, "--epochs"),
        (&["rows.npy", "--groups", "one.npy"], 2, "only 1 groups"),
        (&["rows.npy", "--groups", "large.npy"], 2, "group 7"),
        (&["rows.npy", "--groups", "rows.npy"], 1, "rows.npy"),
        (&["rows.npy", "--labels", "classes.npy"], 2, "--report"),
        (&["torn.npy"], 1, "torn.npy"),
        (&["absent.npy"], 1, "absent.npy"),
    ] {
        let (found, error) = sample(place.path(), &[arguments, &["--out", "plan.npy"]].concat());
        assert_eq!(found, Some(status), "{arguments:?}: {error}");
        assert!(error.contains(said), "{arguments:?}: {error}");
        assert!(!place.path().join("plan.npy").exists(), "{arguments:?}");
    }
}
