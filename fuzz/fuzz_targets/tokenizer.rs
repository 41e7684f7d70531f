//! A `tokenizer.json` and, behind a zero byte, a text, as the fuzzer comes up with them: neither may panic or hang.
//!
//! Panics within the crate `tokenizers` are caught by the reader and become errors, so they do not count; any other ends the program.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lookalike_data::text::Tokenizer;
use lookalike_fuzz::pass_over_panics_in;

fuzz_target!(init: pass_over_panics_in(&["/tokenizers-"]), |bytes: &[u8]| {
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let [json, text] = [(); 2].map(|()| String::from_utf8_lossy(parts.next().unwrap_or_default()));
    if let Ok(tokenizer) = Tokenizer::from_json(&json) {
        let cut = tokenizer.encode(&text, Some(8), true);
        let whole = tokenizer.encode(&text, None, true);
        assert!(cut.is_err() || cut.is_ok_and(|ids| ids.len() <= 8));
        assert!(whole.is_err() || whole.is_ok_and(|ids| ids.iter().all(|id| (*id as usize) < tokenizer.vocabulary())));
    }
});
