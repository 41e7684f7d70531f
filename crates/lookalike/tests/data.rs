//! `lookalike data`, as a user calls it.

#![allow(clippy::unwrap_used, reason = "a helper of tests fails the test")]

use std::fs;
use std::path::Path;
use std::process::Command;

/// Exit status, standard output and standard error of `lookalike data` with these arguments.
fn data(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_lookalike")).arg("data").args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn put(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// The head of a PNG of one pixel, which cannot be decoded without the rest.
const HALF_A_PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01";

/// A WebP of one pixel.
const WEBP: &[u8] = b"RIFF\x1a\0\0\0WEBPVP8L\x0d\0\0\0\x2f\0\0\0\x10\x07\x10\x11\x11\x88\x88\xfe\x07\0";

#[test]
fn the_list_names_every_set_and_what_it_needs() {
    let (status, out, _) = data(&["list"]);
    assert_eq!(status, Some(0));
    let rows: Vec<_> = out.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let images = ["glyphs", "cifar10", "cifar100", "mnist", "fashion-mnist", "folder"];
    let texts = lookalike_data::text::list().iter().map(|set| set.name);
    assert_eq!(rows, images.into_iter().chain(texts).chain(["NAME"]).collect::<Vec<_>>());
    assert!(out.contains("no files needed") && out.contains("your own files"), "{out}");
}

#[test]
fn a_misspelt_name_and_a_missing_root_are_mistakes_of_usage() {
    for (arguments, said) in [
        (&["get", "cifar11"][..], "cifar10"),
        (&["get", "cifar10"], "--data-root"),
        (&["check", "mnist"], "--data-root"),
        (&["get", "folder", "--data-root", "."], "your own images"),
    ] {
        let (status, _, error) = data(arguments);
        assert_eq!(status, Some(2), "{error}");
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn a_set_that_is_drawn_has_nothing_to_fetch() {
    let (status, out, _) = data(&["get", "glyphs"]);
    assert_eq!((status, out.as_str()), (Some(0), "glyphs needs no files\n"));
}

#[test]
fn a_check_counts_what_is_there_and_names_what_is_damaged() {
    let root = tempfile::tempdir().unwrap();
    put(&root.path().join("a/good.webp"), WEBP);
    put(&root.path().join("b/good.webp"), WEBP);
    put(&root.path().join("b/bad.png"), HALF_A_PNG);
    let (status, out, error) = data(&["check", "folder", "--data-root", root.path().to_str().unwrap()]);
    assert_eq!(status, Some(0), "{error}");
    assert!(error.contains("bad.png"), "{error}");
    assert!(out.contains("2 classes"), "{out}");
}

#[test]
fn a_check_of_a_set_of_graphs_tells_what_it_holds() {
    let root = tempfile::tempdir().unwrap();
    put(&root.path().join("X_A.txt"), b"1, 2\n2, 1\n3, 4\n4, 3\n");
    put(&root.path().join("X_graph_indicator.txt"), b"1\n1\n2\n2\n");
    put(&root.path().join("X_graph_labels.txt"), b"-1\n1\n");
    let root = root.path().to_str().unwrap();
    let (status, out, error) = data(&["check", "X", "--data-root", root]);
    assert_eq!(status, Some(0), "{error}");
    let out = out.split_whitespace().collect::<Vec<_>>().join(" ");
    for row in ["graphs", "nodes a graph, mean 2.0", "class -1", "features for mvgrl degree: 2 columns"] {
        assert!(out.contains(row), "{out}");
    }
    let (status, _, error) = data(&["check", "Y", "--data-root", root]);
    assert_eq!(status, Some(1));
    assert!(error.contains("Y_A.txt") && error.contains("ind.y.graph"), "{error}");
}

#[test]
fn a_check_of_a_graph_with_classes_of_nodes_tells_what_it_holds() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../lookalike-data/tests/fixtures/planetoid");
    let (status, out, error) = data(&["check", "tiny", "--data-root", root]);
    assert_eq!(status, Some(0), "{error}");
    assert!(error.contains("2 nodes without a class"), "{error}");
    let out = out.split_whitespace().collect::<Vec<_>>().join(" ");
    for row in ["nodes of one graph 526", "edges 527", "nodes to train on 20", "nodes to test 4"] {
        assert!(out.contains(row), "{out}");
    }
}

#[test]
fn a_check_of_nothing_is_an_error() {
    let root = tempfile::tempdir().unwrap();
    let (status, _, error) = data(&["check", "cifar10", "--data-root", root.path().to_str().unwrap()]);
    assert_eq!(status, Some(1));
    assert!(error.contains("lookalike data get cifar10"), "{error}");
}

#[test]
fn an_address_that_is_none_fails_without_leaving_a_file_under_its_name() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().to_str().unwrap();
    let (status, _, error) = data(&["get", "mnist", "--data-root", folder, "--mirror", "nonsense"]);
    assert_eq!(status, Some(1));
    assert!(error.contains("cannot fetch nonsense/train-images-idx3-ubyte.gz"), "{error}");
    assert!(!root.path().join("train-images-idx3-ubyte.gz").exists());
}
