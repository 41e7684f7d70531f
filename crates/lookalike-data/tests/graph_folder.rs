//! One's own graph of nodes: a folder of edges and NumPy arrays.

#![expect(clippy::unwrap_used, reason = "a test may stop where a promise is broken")]

use lookalike_base::{Matrix, npy};
use lookalike_data::graph::{self, NodeSet};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

const EDGES: &str = "from,to\n0,1\n1,2\n2,0\n3,4\n";

/// A folder `own` with five nodes, a triangle and a pair; `train` and `test` as a mask and as numbers.
fn folder() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    let own = root.path().join("own");
    fs::create_dir(&own).unwrap();
    fs::write(own.join("edges.csv"), EDGES).unwrap();
    let features = Matrix::new((0..15).map(|value| value as f32 - 7.0).collect(), 3).unwrap();
    npy::write_rows(own.join("features.npy"), features.rows()).unwrap();
    integers(&own, "labels", &[5], &[1, 0, -1, 3, 1]);
    integers(&own, "train", &[5], &[1, 0, 0, 0, 1]);
    integers(&own, "validation", &[0], &[]);
    integers(&own, "test", &[2], &[3, 1]);
    root
}

fn integers(folder: &Path, name: &str, shape: &[usize], values: &[i64]) {
    npy::write_integers(folder.join(format!("{name}.npy")), shape, values).unwrap();
}

fn open(root: &TempDir) -> Result<(NodeSet, Vec<String>), String> {
    graph::open_nodes("own", root.path()).map_err(|error| error.to_string())
}

#[track_caller]
fn assert_refused(wanted: &str, change: impl Fn(&Path)) {
    let root = folder();
    change(&root.path().join("own"));
    let message = open(&root).map_or_else(|message| message, |_| "it was opened".to_owned());
    assert!(message.contains(wanted), "{message}\nshould hold\n{wanted}");
}

#[test]
fn a_graph_is_put_together_from_its_arrays() {
    let root = folder();
    let (set, warnings) = open(&root).unwrap();
    assert_eq!((set.name.as_str(), set.edges.len(), set.edges.entries(), set.classes), ("own", 5, 8, 4));
    assert_eq!((set.edges.row(0), set.edges.row(4)), (&[1, 2][..], &[3][..]));
    assert_eq!(set.labels, [Some(1), Some(0), None, Some(3), Some(1)]);
    assert_eq!((&set.train[..], &set.validation[..], &set.test[..]), (&[0, 4][..], &[][..], &[1, 3][..]));
    assert_eq!(set.features.row(4), [5.0, 6.0, 7.0]);
    assert_eq!(warnings, ["own lists 4 edges in one direction only; each counts in both"]);
    let path = root.path().join("own");
    let by_path = graph::open_nodes(path.to_str().unwrap(), Path::new("/nowhere")).unwrap().0;
    assert_eq!(by_path, set);
}

#[test]
fn edges_may_be_an_array_of_either_shape_or_lines_of_either_kind() {
    let root = folder();
    let own = root.path().join("own");
    let set = open(&root).unwrap().0;
    for text in ["0 1\n1\t2\n2 0\n3  4\n", "\u{feff}0,1,\r\n1.0, 2\r\n2, 0\r\n3, 4\r\n"] {
        fs::write(own.join("edges.csv"), text).unwrap();
        assert_eq!(open(&root).unwrap().0, set, "{text:?}");
    }
    fs::rename(own.join("edges.csv"), own.join("edges.txt")).unwrap();
    assert_eq!(open(&root).unwrap().0, set);
    for (shape, values) in [([4, 2], [0, 1, 1, 2, 2, 0, 3, 4]), ([2, 4], [0, 1, 2, 3, 1, 2, 0, 4])] {
        integers(&own, "edges", &shape, &values);
        assert_eq!(open(&root).unwrap().0, set, "{shape:?}");
    }
    integers(&own, "edges", &[2, 2], &[0, 1, 3, 4]);
    assert_eq!(open(&root).unwrap().0.edges.row(3), [4]);
}

#[test]
fn labels_and_parts_may_be_absent() {
    let root = folder();
    for part in ["labels", "train", "validation", "test"] {
        fs::remove_file(root.path().join(format!("own/{part}.npy"))).unwrap();
    }
    let (set, _) = open(&root).unwrap();
    assert_eq!((set.labels, set.classes), (vec![None; 5], 0));
    assert!(set.train.is_empty() && set.test.is_empty());
}

#[test]
fn what_is_not_about_these_nodes_is_refused_with_its_place() {
    let exist = "does not exist; features.npy has 5 nodes, numbered from 0 to 4";
    assert_refused(&format!("edges.csv, line 3: node 5 {exist}"), |own| {
        fs::write(own.join("edges.csv"), "0,1\n1,2\n5,0\n").unwrap();
    });
    for line in ["0,1,2", "0", "0,x", "0,1.5", "0;1"] {
        assert_refused("edges.csv, line 2: expected an edge as two nodes, `from, to`, found", |own| {
            fs::write(own.join("edges.csv"), format!("0,1\n{line}\n")).unwrap();
        });
    }
    assert_refused("edges.csv, line 1: expected an edge as two nodes", |own| {
        fs::write(own.join("edges.csv"), "from,1\n").unwrap();
    });
    assert_refused(&format!("edges.npy: edge 1, counted from 0: node -1 {exist}"), |own| {
        integers(own, "edges", &[2, 2], &[0, 1, -1, 2]);
    });
    assert_refused("edges.npy: the array has the shape [3, 3]; edges are an array E×2 or 2×E", |own| {
        integers(own, "edges", &[3, 3], &[0; 9]);
    });
    assert_refused("labels.npy: the array has the shape [4]; features.npy has 5 nodes", |own| {
        integers(own, "labels", &[4], &[0; 4]);
    });
    assert_refused("labels.npy: node 2 is of class 65536; classes are numbered from 0, below 65536", |own| {
        integers(own, "labels", &[5], &[0, 0, 65_536, 0, 0]);
    });
    assert_refused("labels.npy: entry 1 is -2", |own| integers(own, "labels", &[5], &[0, -2, 0, 0, 0]));
    assert_refused(&format!("test.npy: node 5 {exist}"), |own| integers(own, "test", &[1], &[5]));
    assert_refused("test.npy: node 3 is listed twice", |own| integers(own, "test", &[2], &[3, 3]));
    assert_refused("test.npy: node 4 is one to train on too", |own| integers(own, "test", &[1], &[4]));
    assert_refused("test.npy: the array has the shape [1, 2]", |own| integers(own, "test", &[1, 2], &[1, 3]));
}

#[test]
fn missing_damaged_and_empty_arrays_are_named() {
    assert_refused(
        "holds no graphs of own; looked for ind.own.graph, own/edges.npy|edges.csv|edges.txt, own/features.npy",
        |own| {
            fs::remove_file(own.join("features.npy")).unwrap();
        },
    );
    assert_refused("looked for ind.own.graph", |own| fs::remove_file(own.join("edges.csv")).unwrap());
    assert_refused("features.npy", |own| fs::write(own.join("features.npy"), b"no array").unwrap());
    assert_refused("features.npy: 0 nodes; expected 1 to", |own| {
        npy::write_rows(own.join("features.npy"), Matrix::new(Vec::new(), 3).unwrap().rows()).unwrap();
    });
    assert_refused("features.npy: node 1 has the feature NaN; features are finite numbers", |own| {
        let mut values = vec![0.0; 15];
        values[4] = f32::NAN;
        npy::write_rows(own.join("features.npy"), Matrix::new(values, 3).unwrap().rows()).unwrap();
    });
}
