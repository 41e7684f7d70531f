//! A graph of one's own in a folder: its edges, as an array or as lines by the first byte, features, labels and nodes to train on. None may
//! panic, and what a graph says of its nodes is about nodes that it has.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lookalike_data::graph::open_nodes;
use lookalike_fuzz::{files, graphs, with_files};

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let [edges, features, labels, train] = files(bytes);
    let (array, lines) = if kind & 1 == 0 { (edges, None) } else { (None, edges) };
    let named = [
        ("g/edges.npy", array),
        ("g/edges.csv", lines),
        ("g/features.npy", features),
        ("g/labels.npy", labels),
        ("g/train.npy", train),
    ];
    with_files(&named, |folder| {
        if let Ok((set, _)) = open_nodes("g", folder) {
            graphs::check_nodes(&set);
        }
    });
});
