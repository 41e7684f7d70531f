//! SHA-256 over everything a safetensors file says.

use std::collections::BTreeMap;

use safetensors::tensor::TensorView;

use super::TensorFile;
use crate::bytes::encode_values;
use crate::hash::Hasher;

/// The checksum of a file about to be written.
pub(super) fn of_file(file: &TensorFile) -> String {
    let mut hasher = begin(&file.metadata);
    for (name, array) in &file.tensors {
        describe(&mut hasher, name, array.values.type_name(), &array.shape);
        // Hashing never fails: the hasher always answers `Ok`.
        let _ = encode_values(&array.values, &mut hasher);
    }
    finish(hasher)
}

/// The checksum of a file that was read, without its own entry in `metadata`.
pub(super) fn of_views(
    metadata: &BTreeMap<String, String>,
    views: &BTreeMap<String, TensorView<'_>>,
) -> String {
    let mut hasher = begin(metadata);
    for (name, view) in views {
        describe(&mut hasher, name, &view.dtype().to_string(), view.shape());
        hasher.bytes(view.data());
    }
    finish(hasher)
}

fn begin(metadata: &BTreeMap<String, String>) -> Hasher {
    let mut hasher = Hasher::new();
    hasher.number(metadata.len() as u64);
    for (key, value) in metadata {
        hasher.text(key);
        hasher.text(value);
    }
    hasher
}

fn describe(hasher: &mut Hasher, name: &str, type_name: &str, shape: &[usize]) {
    hasher.text(name);
    hasher.text(type_name);
    hasher.number(shape.len() as u64);
    for extent in shape {
        hasher.number(*extent as u64);
    }
}

fn finish(hasher: Hasher) -> String {
    format!("sha256:{}", hasher.hex())
}
