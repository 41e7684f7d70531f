//! Planetoid's files: a small graph by `fixtures/planetoid.py`, what is said of broken ones, and Cora where it is at hand.

#![expect(clippy::unwrap_used, reason = "a test may stop where a promise is broken")]

use lookalike_base::Seed;
use lookalike_base::Watch;
use lookalike_data::graph::{DiffusionOptions, NodeGraph, NodeSet, Subgraphs, planetoid};
use lookalike_data::{BatchRequest, BatchSource};
use lookalike_kernels::sparse::Csr;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

#[path = "common/real_data.rs"]
mod real_data;

const PARTS: [&str; 8] = ["x", "y", "tx", "ty", "allx", "ally", "graph", "test.index"];

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/planetoid")
}

/// A copy of the small graph's files.
fn copy() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for part in PARTS.into_iter().filter(|part| *part != "x") {
        let file = format!("ind.tiny.{part}");
        fs::copy(fixture().join(&file), folder.path().join(file)).unwrap();
    }
    folder
}

fn refusal(folder: &TempDir) -> String {
    planetoid::open("tiny", folder.path())
        .map_or_else(|error| error.to_string(), |_| "it was opened".to_owned())
}

#[test]
fn a_graph_is_put_together_from_its_files() {
    let (set, warnings) = planetoid::open("tiny", &fixture()).unwrap();
    assert_eq!((set.edges.len(), set.features.len(), set.features.columns(), set.classes), (526, 526, 5, 3));
    // A ring, and an edge from 3 to 100 that is listed one way; 3 to 4 is listed twice, 3 to 3 is none.
    assert_eq!(set.edges.entries(), 2 * 526 + 2);
    assert_eq!(set.edges.row(3), [2, 4, 100]);
    assert_eq!(warnings.len(), 4, "{warnings:?}");
    assert!(warnings[3].contains("2 nodes without a class"));
    let sum: f32 = set.features.rows().values()[..520 * 5].iter().sum();
    assert!((sum - 395.852_57).abs() < 1e-2);
    assert!((set.features.row(7)[3] - 0.111_168_26).abs() < 1e-7);
    assert_eq!(
        (set.features.row(525), set.features.row(521)),
        (&[0.0, 1.0, 2.0, 0.0, 1.0][..], &[0.0, 1.0, 2.0, 0.0, 1.0][..])
    );
    assert_eq!(
        (set.features.row(520), set.features.row(522)),
        (&[2.0, 0.0, 1.0, 2.0, 0.0][..], &[0.0; 5][..])
    );
    let labels = [2, 0, 1, 2, 2, 1, 0, 2, 1, 2, 2, 1].map(Some);
    assert_eq!(
        (&set.labels[..12], &set.labels[520..]),
        (&labels[..], &[Some(1), Some(1), None, Some(2), None, Some(0)][..])
    );
    assert_eq!((set.train.len(), set.validation[0], set.validation.len()), (20, 20, 500));
    assert_eq!(set.test, [520, 521, 523, 525]);
}

#[test]
fn a_missing_file_is_named() {
    for part in PARTS.into_iter().filter(|part| *part != "x") {
        let folder = copy();
        fs::remove_file(folder.path().join(format!("ind.tiny.{part}"))).unwrap();
        assert!(refusal(&folder).contains(&format!("ind.tiny.{part}")), "{}", refusal(&folder));
    }
}

#[test]
fn files_of_different_graphs_do_not_go_together() {
    for (from, to, wanted) in [
        ("ally", "ty", "ind.tiny.ty, byte 0: the file should hold one row for each row of tx"),
        ("ty", "ally", "ind.tiny.ally, byte 0: the file should hold one row for each row of allx"),
        ("ally", "y", "ind.tiny.y, byte 0: the file should hold no more rows"),
        ("ally", "allx", "ind.tiny.allx, byte 0: the pickle is not a `csr_matrix` of SciPy"),
        ("allx", "ally", "ind.tiny.ally, byte 0: the pickle is not a NumPy array"),
        ("ty", "graph", "ind.tiny.graph, byte 0: the pickle is not a dictionary"),
    ] {
        let folder = copy();
        fs::copy(fixture().join(format!("ind.tiny.{from}")), folder.path().join(format!("ind.tiny.{to}")))
            .unwrap();
        assert!(refusal(&folder).contains(wanted), "{}", refusal(&folder));
    }
    let folder = copy();
    for (text, wanted) in [
        ("520\n521\n523\n", "byte 0: the file should hold one node for each row of tx"),
        ("520\n521\n523\n99999999\n", "exceed the limit of 268435456 values"),
        (
            "520\n521\n523\n9999999\n",
            "ind.tiny.graph, byte 0: the file lists 526 nodes, but the other files 10000000",
        ),
        ("520\n519\n", "ind.tiny.test.index, line 2: node 519 is one of the 520 that allx describes"),
        ("521\n520\n521\n", "ind.tiny.test.index, line 3: node 521 is listed twice"),
        (
            "520\n-1\n",
            "ind.tiny.test.index, line 2: expected the number of a node alone on the line, found \"-1\"",
        ),
    ] {
        fs::write(folder.path().join("ind.tiny.test.index"), text).unwrap();
        let message = refusal(&folder);
        assert!(message.contains(wanted), "{message}");
    }
}

#[test]
fn no_change_of_a_byte_makes_the_reader_panic_and_most_cut_files_are_refused() {
    for part in ["ty", "tx", "graph"] {
        let path = format!("ind.tiny.{part}");
        let whole = fs::read(fixture().join(&path)).unwrap();
        let folder = copy();
        for at in (0..whole.len()).step_by(if part == "graph" { 97 } else { 1 }) {
            for change in [0x01, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] ^= change;
                fs::write(folder.path().join(&path), &bytes).unwrap();
                let _ = refusal(&folder);
            }
            fs::write(folder.path().join(&path), &whole[..at]).unwrap();
            assert_ne!(refusal(&folder), "it was opened", "{part} cut at {at}");
        }
    }
}

#[test]
fn an_error_does_not_print_the_long_string_it_is_about() {
    let folder = copy();
    let path = folder.path().join("ind.tiny.graph");
    let mut graph = fs::read(&path).unwrap();
    // The first key of the dictionary, `K\x00`, becomes a string of a million bytes.
    let key = graph.windows(2).position(|bytes| bytes == b"K\0").unwrap();
    let string = [&b"X"[..], &1_000_000_u32.to_le_bytes(), &b"x".repeat(1_000_000)].concat();
    graph.splice(key..key + 2, string);
    fs::write(path, graph).unwrap();
    let message = refusal(&folder);
    assert!(
        message.ends_with("expected one of the 526 nodes, found a string of 1000000 bytes"),
        "{message:.200}"
    );
}

#[test]
fn a_pickle_that_calls_something_is_data_like_any_other() {
    let folder = copy();
    fs::write(folder.path().join("ind.tiny.graph"), b"\x80\x02cposix\nsystem\nU\x08echo bad\x85R.").unwrap();
    assert!(refusal(&folder).contains("the pickle is not a dictionary"), "{}", refusal(&folder));
    fs::write(folder.path().join("ind.tiny.graph"), b"\x80\x02Vtext\n.").unwrap();
    assert!(refusal(&folder).contains("byte 2: the pickle instruction 0x56 is not supported"));
}

fn cora() -> Option<NodeSet> {
    let root = real_data::folder("planetoid/ind.cora.graph")?;
    Some(planetoid::open("cora", &root).unwrap().0)
}

#[test]
fn cora_has_the_published_nodes_edges_and_split() {
    let Some(set) = cora() else { return };
    assert_eq!((set.edges.len(), set.edges.entries()), (2708, 2 * 5278));
    assert_eq!((set.features.columns(), set.classes), (1433, 7));
    assert_eq!((set.train.len(), set.validation.len(), set.test.len()), (140, 500, 1000));
    let mut counts = [0; 7];
    for label in &set.labels {
        counts[label.unwrap() as usize] += 1;
    }
    assert_eq!(counts, [351, 217, 418, 818, 426, 298, 180]);
    let ones = set.features.rows().values().iter().filter(|value| **value == 1.0).count();
    let zeros = set.features.rows().values().iter().filter(|value| **value == 0.0).count();
    assert_eq!((ones, ones + zeros), (49_216, 2708 * 1433));
}

#[test]
fn a_sub_graph_has_the_entries_of_the_whole_and_its_corruption_the_rows_of_other_nodes() {
    let (set, _) = planetoid::open("tiny", &fixture()).unwrap();
    let graph = Arc::new(NodeGraph::of(&set, &DiffusionOptions::default(), Watch::default()).unwrap());
    let row = |features: &Csr, row: usize| features.row_entries(row).collect::<Vec<_>>();
    for node in 0..graph.nodes() {
        let sum: f32 = row(&graph.features, node).iter().map(|(_, value)| value).sum();
        assert!((sum - 1.0).abs() < 1e-5 || row(&graph.features, node).is_empty(), "{node}: {sum}");
    }
    let source = Subgraphs::new(graph.clone(), Seed(3));
    let request = |step| BatchRequest { instances: vec![100, 3, 4, 520, 2], epoch: 1, step };
    let batch = source.batch(&request(7)).unwrap();
    assert_eq!(batch, source.batch(&request(7)).unwrap());
    // 3 is a neighbour of 2, 4 and 100, and of itself.
    assert_eq!(batch.normalized.row(1), [0, 1, 2, 4]);
    let between = |matrix: &Csr, from: usize, to: u32| {
        matrix.row_entries(from).find(|(column, _)| *column == to).map(|(_, value)| value)
    };
    assert_eq!(between(&batch.normalized, 1, 0), between(&graph.normalized, 3, 100));
    assert_eq!(between(&batch.diffusion, 0, 2), between(&graph.diffusion, 100, 4));
    let mut places: Vec<_> = (0..5).map(|place| row(&batch.features, place)).collect();
    let mut corrupted: Vec<_> = (0..5).map(|place| row(&batch.corrupted, place)).collect();
    assert_eq!(places[1], row(&graph.features, 3));
    let others = (0..40).filter(|step| source.batch(&request(*step)).unwrap().corrupted != batch.corrupted);
    assert!(others.count() > 20);
    let order = |rows: &mut Vec<Vec<(u32, f32)>>| rows.sort_by(|a, b| a.partial_cmp(b).unwrap());
    order(&mut places);
    order(&mut corrupted);
    assert_eq!(places, corrupted);
    let missing = BatchRequest { instances: vec![526], epoch: 0, step: 0 };
    assert!(source.batch(&missing).unwrap_err().to_string().contains("526"));
}

#[test]
fn what_is_in_a_graph_decides_its_fingerprint() {
    let (set, _) = planetoid::open("tiny", &fixture()).unwrap();
    let named = NodeSet { name: "other".to_owned(), ..set.clone() };
    assert_eq!(named.fingerprint(), set.fingerprint());
    let mut labels = set.labels.clone();
    labels.swap(0, 1);
    let test = set.test[1..].to_vec();
    let changed = [NodeSet { labels, ..set.clone() }, NodeSet { test, ..set.clone() }];
    assert!(changed.iter().all(|changed| changed.fingerprint() != set.fingerprint()));
}
