//! The readers of safetensors on whatever the fuzzer comes up with: none may panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lookalike_base::{MappedRows, RowSource, tensors};
use lookalike_fuzz::with_file;

fuzz_target!(|bytes: &[u8]| {
    with_file("file.safetensors", bytes, |path| {
        let _ = tensors::read(path);
        if let Ok(mapped) = MappedRows::open(path)
            && let Some(last) = mapped.len().checked_sub(1)
        {
            mapped.read_row(last, &mut vec![0.0; mapped.columns()]);
        }
    });
});
