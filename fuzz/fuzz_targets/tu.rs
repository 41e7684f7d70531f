//! The files of a set of graphs in TU format: none may panic, and every graph of a set can be taken.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lookalike_fuzz::{files, graphs, with_files};

const ENDS: [&str; 7] = [
    "S_A.txt",
    "S_graph_indicator.txt",
    "S_graph_labels.txt",
    "S_node_labels.txt",
    "S_node_attributes.txt",
    "S_edge_labels.txt",
    "S_edge_attributes.txt",
];

fuzz_target!(|bytes: &[u8]| {
    let parts: [_; ENDS.len()] = files(bytes);
    // An empty part stands for a file that is not there; files of no bytes are no matter of formats.
    let named: Vec<_> =
        ENDS.into_iter().zip(parts.map(|part| part.filter(|part| !part.is_empty()))).collect();
    with_files(&named, |folder| graphs::check("S", folder));
});
