//! Files of texts as the fuzzer comes up with them; the first byte chooses the format. None may panic, and all columns are equally long.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lookalike_data::text::{InvalidUtf8, ReadOptions, read};
use lookalike_fuzz::with_file;

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let name = ["texts.txt", "texts.csv", "texts.tsv", "texts.jsonl", "texts.csv.gz"][usize::from(kind % 5)];
    let mut options = ReadOptions { no_header: kind & 64 != 0, ..ReadOptions::default() };
    if kind & 128 != 0 {
        options.invalid_utf8 = InvalidUtf8::Replace;
    }
    with_file(name, bytes, |path| {
        if let Ok((set, _)) = read(path, &options) {
            for row in 0..set.len() {
                assert!(set.columns.iter().all(|column| column.row(row).all(|text| !text.trim().is_empty())));
            }
        }
    });
});
