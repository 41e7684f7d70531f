//! A citation graph in Planetoid's files, one of which is the fuzzer's: the first byte chooses it, the others are a good graph's. None may
//! panic, and what a graph says of its nodes is about nodes that it has.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lookalike_data::graph::planetoid::open;
use lookalike_fuzz::{graphs, with_files};

macro_rules! good {
    ($($end:literal),*) => {
        [$((
            concat!("ind.tiny.", $end),
            include_bytes!(concat!("../../crates/lookalike-data/tests/fixtures/planetoid/ind.tiny.", $end)).as_slice(),
        )),*]
    };
}

const GOOD: [(&str, &[u8]); 7] = good!["allx", "ally", "tx", "ty", "y", "graph", "test.index"];

fuzz_target!(|bytes: &[u8]| {
    let Some((chosen, bytes)) = bytes.split_first() else { return };
    let mut files = GOOD.map(|(name, good)| (name, Some(good)));
    files[usize::from(*chosen) % GOOD.len()].1 = Some(bytes);
    with_files(&files, |folder| {
        if let Ok((set, _)) = open("tiny", folder) {
            graphs::check_nodes(&set);
        }
    });
});
