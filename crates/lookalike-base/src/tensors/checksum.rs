//! SHA-256 over everything a safetensors file says.

use std::collections::BTreeMap;
use std::io;

use safetensors::tensor::TensorView;
use sha2::{Digest, Sha256};

use super::TensorFile;
use crate::bytes::encode_values;

/// The checksum of a file about to be written.
pub(super) fn of_file(file: &TensorFile) -> String {
    let mut hasher = Hasher::new(&file.metadata);
    for (name, array) in &file.tensors {
        hasher.tensor(name, array.values.type_name(), &array.shape);
        // Hashing never fails: the writer below always answers `Ok`.
        let _ = encode_values(&array.values, &mut hasher);
    }
    hasher.finish()
}

/// The checksum of a file that was read, without its own entry in `metadata`.
pub(super) fn of_views(
    metadata: &BTreeMap<String, String>,
    views: &BTreeMap<String, TensorView<'_>>,
) -> String {
    let mut hasher = Hasher::new(metadata);
    for (name, view) in views {
        hasher.tensor(name, &view.dtype().to_string(), view.shape());
        hasher.0.update(view.data());
    }
    hasher.finish()
}

/// Every text is preceded by its length and every list by its count, so that different files never hash the same input.
struct Hasher(Sha256);

impl Hasher {
    fn new(metadata: &BTreeMap<String, String>) -> Self {
        let mut hasher = Self(Sha256::new());
        hasher.number(metadata.len());
        for (key, value) in metadata {
            hasher.text(key);
            hasher.text(value);
        }
        hasher
    }

    fn tensor(&mut self, name: &str, type_name: &str, shape: &[usize]) {
        self.text(name);
        self.text(type_name);
        self.number(shape.len());
        for extent in shape {
            self.number(*extent);
        }
    }

    fn text(&mut self, text: &str) {
        self.number(text.len());
        self.0.update(text);
    }

    fn number(&mut self, number: usize) {
        self.0.update((number as u64).to_le_bytes());
    }

    fn finish(self) -> String {
        let digits: Vec<String> = self.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("sha256:{}", digits.concat())
    }
}

impl io::Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
