//! The readers of `.npy` on whatever the fuzzer comes up with: none may panic, and reading and mapping must agree.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lookalike_base::{MappedRows, RowSource, npy};
use lookalike_fuzz::with_file;

fuzz_target!(|bytes: &[u8]| {
    with_file("file.npy", bytes, |path| {
        let (read, mapped) = (npy::read_rows(path), MappedRows::open(path));
        assert_eq!(read.is_ok(), mapped.is_ok());
        if let (Ok(read), Ok(mapped)) = (read, mapped) {
            let mut row = vec![0.0; mapped.columns().min(1 << 20)];
            for index in 0..mapped.len() {
                mapped.read_row(index, &mut row);
                assert!(row.iter().zip(read.row(index)).all(|(a, b)| a.to_bits() == b.to_bits()));
            }
        }
        let _ = npy::read_integers(path);
    });
});
