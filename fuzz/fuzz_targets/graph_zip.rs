//! A zip archive of graphs: none may panic, and every graph of a set can be taken.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lookalike_fuzz::{graphs, with_files};

fuzz_target!(|bytes: &[u8]| {
    with_files(&[("S.zip", Some(bytes))], |folder| graphs::check("S", folder));
});
