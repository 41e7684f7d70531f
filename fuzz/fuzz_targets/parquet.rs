//! A Parquet file of texts as the fuzzer comes up with it: it may not panic, and all columns are equally long.
//!
//! Panics within the crate `parquet` are caught by the reader and become errors, so they do not count; any other ends the program.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lookalike_data::text::{ReadOptions, read};
use lookalike_fuzz::{pass_over_panics_in, with_file};

fuzz_target!(init: pass_over_panics_in(&["/parquet-", "/thrift-", "/bytes-"]), |bytes: &[u8]| {
    with_file("texts.parquet", bytes, |path| {
        if let Ok((set, _)) = read(path, &ReadOptions::default()) {
            for row in 0..set.len() {
                assert!(set.columns.iter().all(|column| column.row(row).all(|text| !text.trim().is_empty())));
            }
        }
    });
});
