//! `lookalike sample`, as a user calls it, on embeddings in five clusters.

#![allow(clippy::unwrap_used, reason = "a helper of tests fails the test")]

use std::path::{Path, PathBuf};
use std::process::Command;

use lookalike_base::{Array, Matrix, Rows, Seed, npy, tensors};

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
    // What the dial and other kinds of batches do without.
    let walks = !["nearest", "uniform", "gcbs", "clusters", "--hardness-share"]
        .iter()
        .any(|kind| arguments.contains(kind));
    for (option, value) in [("--batch-size", &batch[..]), ("--candidates", "60"), ("--neighbors", "10")] {
        if !arguments.contains(&option) && (walks || option == "--batch-size") {
            command.args([option, value]);
        }
    }
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// A `.npy` file of version 1 with this header and these bytes.
fn npy_file(path: &Path, header: &str, data: &[u8]) {
    let size = (header.len() as u16).to_le_bytes();
    std::fs::write(path, [b"\x93NUMPY\x01\0", &size[..], header.as_bytes(), data].concat()).unwrap();
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
        (&["rows.npy", "--hardness-share", "1.5"], 2, "hardness_share = 1.5"),
        (
            &["rows.npy", "--hardness-share", "0.5", "--neighbors", "9"],
            2,
            "neighbors does not go with hardness_share",
        ),
        (
            &["rows.npy", "--kind", "nearest", "--hardness-share", "0.5"],
            2,
            "--hardness-share does not go with --kind nearest",
        ),
        (
            &["rows.npy", "--kind", "gcbs", "--coverage", "repeat"],
            2,
            "--coverage does not go with --kind gcbs",
        ),
        (
            &["rows.npy", "--kind", "clusters", "--edge-percentile", "90"],
            2,
            "edge_percentile does not go with",
        ),
        (
            &["rows.npy", "--similarity-ceiling", "0.9", "--pair-percentile", "90"],
            2,
            "does not go with pair_percentile",
        ),
        (&["rows.npy", "--budget", "0.1"], 2, "--epoch-seconds"),
        (&["rows.npy", "--oracle", "edges"], 2, "--labels"),
        (&["rows.npy", "--num-replicas", "0"], 2, "--num-replicas"),
        (&["rows.npy", "--num-replicas", "26"], 2, "26"),
        (&["rows.npy", "--temperature", "0"], 2, "temperature"),
        (&["rows.npy", "--uniform-fraction", "1.5"], 2, "uniform_fraction"),
        (
            &["rows.npy", "--kind", "uniform", "--candidates", "60"],
            2,
            "--candidates does not go with --kind uniform",
        ),
        (&["rows.npy", "--kind", "uniform", "--coverage", "repeat"], 2, "--coverage"),
        (&["rows.npy", "--kind", "uniform", "--labels", "classes.npy", "--oracle", "edges"], 2, "--oracle"),
        (&["rows.npy", "--kind", "nearest", "--restart", "0.1"], 2, "--restart"),
        (&["rows.npy", "--kind", "nearest", "--temperature", "0.1"], 2, "--temperature"),
        (
            &["rows.npy", "--labels", "one.npy", "--report", "report.json"],
            2,
            "one.npy: all instances are of one class",
        ),
        (&["rows.npy", "--report", "absent/report.json"], 2, "its folder does not exist"),
        (&["torn.npy"], 1, "torn.npy"),
        (&["absent.npy"], 1, "absent.npy"),
    ] {
        let (found, error) = sample(place.path(), &[arguments, &["--out", "plan.npy"]].concat());
        assert_eq!(found, Some(status), "{arguments:?}: {error}");
        assert!(error.contains(said), "{arguments:?}: {error}");
        assert!(!place.path().join("plan.npy").exists(), "{arguments:?}");
    }
}

#[test]
fn batches_of_the_nearest_are_planned_anew_each_epoch_on_one_graph() {
    let place = place();
    let arguments = ["rows.npy", "--kind", "nearest", "--epochs", "2", "--out", "plan.npy"];
    let (status, error) = sample(place.path(), &arguments);
    assert_eq!(status, Some(0), "{error}");
    let both = plan(place.path().join("plan.npy"));
    let (first, second) = both.split_at(INSTANCES / BATCH);
    assert_ne!(first, second);
    let in_class = |batch: &Vec<i64>| batch.iter().filter(|member| **member % 5 == batch[0] % 5).count();
    for epoch in [first, second] {
        // Starts come in a random order, and with them their neighbours, of the same cluster; at the end few are left.
        let same: usize = epoch[..10].iter().map(in_class).sum();
        assert!(same > 10 * BATCH * 6 / 10, "{same} of {}", 10 * BATCH);
    }
}

#[test]
fn every_replica_gets_as_many_batches_and_together_they_cover() {
    let place = place();
    for split in ["batches", "within"] {
        let arguments = ["rows.npy", "--out", "plan.npy", "--num-replicas", "4", "--split", split];
        let (status, error) = sample(place.path(), &arguments);
        assert_eq!(status, Some(0), "{split}: {error}");
        // 300 instances make 25 batches of 12, of which four replicas get six each.
        let (mut values, shape) = npy::read_integers(place.path().join("plan.npy")).unwrap();
        assert_eq!(shape, [6, 4, BATCH], "{split}");
        values.sort_unstable();
        values.dedup();
        assert_eq!(values.len(), 6 * 4 * BATCH, "{split}");
    }
}

#[test]
fn with_labels_as_an_oracle_no_batch_collects_its_start_s_class() {
    let place = place();
    let arguments = ["--out", "plan.npy", "--report", "report.json", "--labels", "classes.npy"];
    let false_negatives = |more: &[&str]| {
        let (status, error) = sample(place.path(), &[&["rows.npy"], &arguments[..], more].concat());
        assert_eq!(status, Some(0), "{error}");
        let text = std::fs::read_to_string(place.path().join("report.json")).unwrap();
        let report: serde_json::Value = serde_json::from_str(&text).unwrap();
        report["false_negatives"]["rate"].as_f64().unwrap()
    };
    let without = false_negatives(&[]);
    for against in ["edges", "members"] {
        let with = false_negatives(&["--oracle", against]);
        assert!(with < without - 0.1, "{against}: {with}, without {without}");
    }
}

#[test]
fn embeddings_of_another_type_layout_or_length_are_refused_by_name() {
    let place = place();
    let header = |descr: &str, order: &str, shape: &str| {
        format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}")
    };
    for (name, descr, order, shape, data, said) in [
        ("whole.npy", "<i8", "False", "(300, 6)", 300 * 6 * 8, "astype('<f4')"),
        ("fortran.npy", "<f4", "True", "(300, 6)", 300 * 6 * 4, "ascontiguousarray"),
        ("swapped.npy", ">f4", "False", "(300, 6)", 300 * 6 * 4, "big-endian"),
        ("lying.npy", "<f4", "False", "(1099511627776, 6)", 64, "needs 26388279066624 bytes, but 64 follow"),
        ("vector.npy", "<f4", "False", "(1800,)", 7200, "shape [1800]"),
        ("one.npy", "<f4", "False", "(1, 6)", 24, "at least 2"),
        ("none.npy", "<f4", "False", "(0, 6)", 0, "at least 2"),
    ] {
        npy_file(&place.path().join(name), &header(descr, order, shape), &vec![0; data]);
        let (status, error) = sample(place.path(), &[name, "--out", "plan.npy"]);
        assert!(matches!(status, Some(1 | 2)) && error.contains(said), "{name}: {status:?} {error}");
        assert!(!place.path().join("plan.npy").exists(), "{name}");
    }
}

#[test]
fn labels_and_groups_of_another_length_are_refused_with_both_lengths() {
    let place = place();
    npy::write_integers(place.path().join("short.npy"), &[299], &[1; 299]).unwrap();
    for option in [&["--groups", "short.npy"][..], &["--labels", "short.npy", "--oracle", "edges"]] {
        let (status, error) = sample(place.path(), &[&["rows.npy", "--out", "plan.npy"], option].concat());
        assert_eq!(status, Some(2), "{error}");
        assert!(error.contains("short.npy has shape [299]; expected [300]"), "{error}");
    }
}

#[test]
fn rows_that_are_not_finite_are_named_and_rows_of_zeros_warned_of() {
    let place = place();
    let whole = npy::read_rows(place.path().join("rows.npy")).unwrap();
    for (value, kind) in [(f32::NAN, "walk"), (f32::NEG_INFINITY, "uniform"), (f32::INFINITY, "nearest")] {
        let mut broken = whole.clone();
        broken.row_mut(123)[4] = value;
        npy::write_rows(place.path().join("broken.npy"), broken.rows()).unwrap();
        let (status, error) = sample(place.path(), &["broken.npy", "--out", "plan.npy", "--kind", kind]);
        assert_eq!(status, Some(1), "{error}");
        assert!(error.contains(&format!("instance 123 holds {value} in column 4")), "{error}");
    }
    let mut zeros = whole;
    zeros.row_mut(7).fill(0.0);
    zeros.row_mut(250).fill(0.0);
    npy::write_rows(place.path().join("zeros.npy"), zeros.rows()).unwrap();
    let (status, error) = sample(place.path(), &["zeros.npy", "--out", "plan.npy"]);
    assert_eq!(status, Some(0), "{error}");
    assert!(error.contains("2 embeddings are all zeros, the first that of instance 7"), "{error}");
    let members = plan(place.path().join("plan.npy")).concat();
    assert!(members.contains(&7) && members.contains(&250));
}

#[test]
fn pairs_are_read_side_by_side_or_from_two_files_and_planned_the_same() {
    let place = place();
    let queries = npy::read_rows(place.path().join("rows.npy")).unwrap();
    let mut stream = Seed(4).stream("test", 0, 0, 0);
    let answers: Vec<f32> =
        queries.rows().values().iter().map(|value| value + 0.3 * stream.normal()).collect();
    let documents = Matrix::new(answers, 6).unwrap();
    let both: Vec<f32> =
        queries.rows().iter().zip(documents.rows().iter()).flat_map(|(q, d)| [q, d].concat()).collect();
    npy::write_rows(place.path().join("documents.npy"), documents.rows()).unwrap();
    npy::write_rows(place.path().join("both.npy"), Matrix::new(both, 12).unwrap().rows()).unwrap();
    for (pairs, kind) in [("mean", "walk"), ("cross", "walk"), ("cross", "nearest"), ("mean", "uniform")] {
        let arguments = ["--pairs", pairs, "--kind", kind, "--out", "plan.npy", "--report", "report.json"];
        let planned = |files: &[&str], more: &[&str]| {
            let (status, error) = sample(place.path(), &[files, &arguments, more].concat());
            assert_eq!(status, Some(0), "{pairs} {kind}: {error}");
            let text = std::fs::read_to_string(place.path().join("report.json")).unwrap();
            let report: serde_json::Value = serde_json::from_str(&text).unwrap();
            (plan(place.path().join("plan.npy")), report["hardness"].clone())
        };
        let two = planned(&["rows.npy", "--documents", "documents.npy"], &[]);
        assert_eq!(planned(&["both.npy"], &[]), two, "{pairs} {kind}");
        let harder = two.1["difference"].as_f64().unwrap();
        assert!(
            if kind == "uniform" { harder.abs() < 0.05 } else { harder > 0.1 },
            "{pairs} {kind}: {harder}"
        );
        if kind != "uniform" {
            let fewer = planned(&["both.npy"], &["--similarity-to-positive", "0.7"]);
            assert_ne!(fewer.0, two.0, "{pairs} {kind}");
        }
    }
    npy::write_rows(place.path().join("odd.npy"), Matrix::new(vec![0.5; 300 * 5], 5).unwrap().rows())
        .unwrap();
    for (arguments, said) in [
        (&["odd.npy", "--pairs", "mean"][..], "odd.npy has 5 columns"),
        (&["rows.npy", "--pairs", "mean", "--documents", "odd.npy"], "odd.npy has shape (300, 5)"),
        (&["rows.npy", "--documents", "documents.npy"], "--pairs"),
        (&["rows.npy", "--similarity-to-positive", "0.9"], "--pairs"),
        (&["both.npy", "--pairs", "mean", "--similarity-to-positive", "1.5"], "similarity_to_positive = 1.5"),
        (
            &["both.npy", "--pairs", "mean", "--kind", "uniform", "--similarity-to-positive", "0.9"],
            "--similarity-to-positive does not go with --kind uniform",
        ),
        (
            &["rows.npy", "--pairs", "mean", "--documents", "documents.npy", "--out", "documents.npy"],
            "it is one of the inputs",
        ),
    ] {
        let out: &[&str] = if arguments.contains(&"--out") { &[] } else { &["--out", "none.npy"] };
        let (status, error) = sample(place.path(), &[arguments, out].concat());
        assert_eq!(status, Some(2), "{arguments:?}: {error}");
        assert!(error.contains(said), "{arguments:?}: {error}");
        assert!(!place.path().join("none.npy").exists());
    }
}

#[test]
fn more_candidates_than_others_are_lowered_and_said_so() {
    let place = place();
    let arguments = ["rows.npy", "--out", "plan.npy", "--candidates", "1000"];
    let (status, error) = sample(place.path(), &arguments);
    assert_eq!(status, Some(0), "{error}");
    assert!(error.contains("warning:") && error.contains("299"), "{error}");
}

#[test]
fn embeddings_in_halves_in_doubles_in_safetensors_and_in_shards_are_read() {
    let place = place();
    npy_file(
        &place.path().join("half.npy"),
        "{'descr': '<f2', 'fortran_order': False, 'shape': (300, 2), }",
        &(0..1200).map(|at: u32| if at % 2 == 1 { 0x3c } else { (at / 7) as u8 }).collect::<Vec<u8>>(),
    );
    let rows = npy::read_rows(place.path().join("rows.npy")).unwrap();
    let mut file = tensors::TensorFile::default();
    file.tensors.insert("rows".into(), Array::f32([INSTANCES, 6], rows.rows().values().to_vec()));
    tensors::write(place.path().join("rows.safetensors"), &file).unwrap();
    file.tensors.insert("more".into(), Array::f32([1, 1], vec![1.0]));
    tensors::write(place.path().join("two.safetensors"), &file).unwrap();
    npy_file(
        &place.path().join("double.npy"),
        "{'descr': '<f8', 'fortran_order': False, 'shape': (300, 6), }",
        &rows.rows().values().iter().flat_map(|value| f64::from(*value).to_le_bytes()).collect::<Vec<u8>>(),
    );
    std::fs::create_dir(place.path().join("shards")).unwrap();
    for (name, part) in
        [("e-9.npy", &rows.rows().values()[..600]), ("e-10.npy", &rows.rows().values()[600..])]
    {
        npy::write_rows(place.path().join("shards").join(name), Rows::new(part, 6).unwrap()).unwrap();
    }
    let (status, error) = sample(place.path(), &["rows.npy", "--out", "plan.npy"]);
    assert_eq!(status, Some(0), "{error}");
    let expected = plan(place.path().join("plan.npy"));
    for name in ["rows.safetensors", "two.safetensors:rows", "double.npy", "shards"] {
        let (status, error) = sample(place.path(), &[name, "--out", "plan.npy"]);
        assert_eq!(status, Some(0), "{name}: {error}");
        assert_eq!(error.contains("holds float64"), name == "double.npy", "{error}");
        assert_eq!(plan(place.path().join("plan.npy")), expected, "{name}");
    }
    let (status, error) = sample(place.path(), &["half.npy", "--out", "plan.npy"]);
    assert_eq!(status, Some(0), "{error}");
    let (_, error) = sample(place.path(), &["two.safetensors", "--out", "plan.npy"]);
    assert!(
        error.contains("more (F32 [1, 1]), rows (F32 [300, 6]); name the one matrix that is meant"),
        "{error}"
    );
}

#[test]
fn who_has_no_label_and_no_group_is_of_none() {
    let place = place();
    npy::write_integers(place.path().join("none.npy"), &[INSTANCES], &[-1; INSTANCES]).unwrap();
    let some: Vec<i64> = (0..INSTANCES as i64).map(|at| if at % 3 == 0 { -1 } else { at % 3 }).collect();
    npy::write_integers(place.path().join("some.npy"), &[INSTANCES], &some).unwrap();
    let arguments = [
        "rows.npy",
        "--out",
        "plan.npy",
        "--groups",
        "none.npy",
        "--labels",
        "some.npy",
        "--report",
        "report.json",
    ];
    let (status, error) = sample(place.path(), &arguments);
    assert_eq!(status, Some(0), "{error}");
    assert!(error.contains("100 of 300 instances have no label"), "{error}");
    let report: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(place.path().join("report.json")).unwrap()).unwrap();
    assert_eq!(report["false_negatives"]["unlabelled"], 100);
    let (status, error) =
        sample(place.path(), &["rows.npy", "--out", "p.npy", "--labels", "none.npy", "--report", "r.json"]);
    assert!(status == Some(2) && error.contains("of one class"), "{error}");
    let below: Vec<i64> = (0..INSTANCES as i64).map(|at| if at == 7 { -2 } else { at }).collect();
    npy::write_integers(place.path().join("below.npy"), &[INSTANCES], &below).unwrap();
    let (_, error) = sample(place.path(), &["rows.npy", "--out", "p.npy", "--groups", "below.npy"]);
    assert!(error.contains("below.npy: entry 7 is -2"), "{error}");
}

#[test]
fn nothing_that_is_read_is_written_over_and_no_file_twice() {
    let place = place();
    let before = std::fs::read(place.path().join("rows.npy")).unwrap();
    std::fs::hard_link(place.path().join("rows.npy"), place.path().join("linked.npy")).unwrap();
    std::fs::create_dir(place.path().join("shards")).unwrap();
    std::fs::copy(place.path().join("rows.npy"), place.path().join("shards/rows.npy")).unwrap();
    for (arguments, said) in [
        (&["rows.npy", "--out", "rows.npy"][..], "it is one of the inputs"),
        (&["rows.npy", "--out", "./rows.npy"], "it is one of the inputs"),
        (&["rows.npy", "--groups", "pairs.npy", "--out", "pairs.npy"], "it is one of the inputs"),
        (&["rows.npy", "--out", "linked.npy"], "it is one of the inputs"),
        (&["linked.npy", "--out", "rows.npy"], "it is one of the inputs"),
        (&["shards", "--out", "shards/plan.npy"], "it lies in the folder that is read"),
        (&["rows.npy", "--out", "plan.npy", "--report", "plan.npy"], "another result"),
        (&["rows.npy", "--out", "missing/plan.npy"], "its folder does not exist"),
        (&["rows.npy", "--out", "."], "it is a folder"),
    ] {
        let (status, error) = sample(place.path(), arguments);
        assert_eq!(status, Some(2), "{arguments:?}: {error}");
        assert!(error.contains(said), "{arguments:?}: {error}");
    }
    assert_eq!(std::fs::read(place.path().join("rows.npy")).unwrap(), before);
    assert!(!place.path().join("plan.npy").exists());
}

#[test]
fn the_dial_is_followed_and_one_line_says_so() {
    let place = place();
    let arguments = [
        "rows.npy",
        "--hardness-share",
        "0.5",
        "--labels",
        "classes.npy",
        "--epochs",
        "2",
        "--out",
        "plan.npy",
    ];
    let (status, error) = sample(place.path(), &arguments);
    assert_eq!(status, Some(0), "{error}");
    let share = error.split("a share of ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    assert!((share.parse::<f64>().unwrap() - 0.5).abs() < 0.1, "{error}");
    for part in
        ["more similar than uniform ones", "false negatives", "found: M = ", "--hardness-share changes it"]
    {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert_eq!(plan(place.path().join("plan.npy")).len(), 50);
}

#[test]
fn near_duplicates_and_those_above_a_ceiling_never_share_a_batch() {
    let place = place();
    let mut rows = npy::read_rows(place.path().join("rows.npy")).unwrap();
    for twin in 0..40 {
        let copy: Vec<f32> = rows.row(twin).iter().map(|value| value * 1.001 + 1e-4).collect();
        rows.row_mut(260 + twin).copy_from_slice(&copy);
    }
    npy::write_rows(place.path().join("twins.npy"), rows.rows()).unwrap();
    for extra in [["--groups", "near-duplicates"], ["--similarity-ceiling", "0.99999"]] {
        for kind in ["walk", "nearest", "gcbs", "clusters"] {
            let arguments = ["twins.npy", "--kind", kind, "--out", "plan.npy", extra[0], extra[1]];
            let (status, error) = sample(place.path(), &arguments);
            assert_eq!(status, Some(0), "{extra:?} {kind}: {error}");
            for batch in plan(place.path().join("plan.npy")) {
                let met = batch.iter().any(|member| *member < 40 && batch.contains(&(member + 260)));
                assert!(!met, "{extra:?} {kind}: {batch:?}");
            }
        }
    }
}

#[test]
fn all_kinds_of_batches_are_compared() {
    let place = place();
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lookalike"));
        let output = command.current_dir(place.path()).arg("compare-plans").args(arguments).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (status, table, error) =
        run(&["rows.npy", "--batch-size", "12", "--labels", "classes.npy", "--report", "compared.json"]);
    assert_eq!(status, Some(0), "{error}");
    for name in ["uniform", "walk ", "nearest", "gcbs", "clusters", "walk, hardness_share 0.5"] {
        assert!(table.lines().any(|line| line.starts_with(name)), "{name}: {table}");
    }
    let text = std::fs::read_to_string(place.path().join("compared.json")).unwrap();
    let rows: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    let nearest = rows.iter().find(|row| row["name"] == "nearest").unwrap();
    assert_eq!((&nearest["share"], &nearest["reach"]), (&serde_json::json!(1.0), &serde_json::json!(1.0)));
    for (arguments, said) in [
        (&["rows.npy", "--batch-size", "301"][..], "batch_size = 301"),
        (&["rows.npy", "--batch-size", "12", "--report", "rows.npy"], "rows.npy"),
        (&["rows.npy", "--batch-size", "12", "--labels", "one.npy"], "all instances are of one class"),
    ] {
        let (status, _, error) = run(arguments);
        assert_ne!(status, Some(0));
        assert!(error.contains(said), "{arguments:?}: {error}");
    }
}
