//! CLINC150: one JSON object of parts, each a list of texts with their classes.

use super::collector::{Cell, Collector, Row};
use super::lines;
use super::text_set::TextSet;
use crate::error::DataError;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

/// Most bytes after unpacking; the published file has 2,500,000.
const MAX_BYTES: u64 = 1 << 28;

/// Reads one part: `train`, `val`, `test`, or those out of scope.
pub(super) fn read(path: &Path, part: &str) -> Result<(TextSet, Vec<String>), DataError> {
    let mut bytes = Vec::new();
    lines::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(DataError::io("read", path))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(DataError::text_file(
            path,
            format!("it unpacks to more than {MAX_BYTES} bytes, the limit"),
        ));
    }
    let mut parts: BTreeMap<String, Vec<(String, String)>> =
        serde_json::from_slice(&bytes).map_err(|error| {
            DataError::text_file(path, format!("it is no object of lists of texts and classes: {error}"))
        })?;
    let Some(rows) = parts.remove(part) else {
        let there = parts.into_keys().collect::<Vec<_>>().join(", ");
        return Err(DataError::text_file(path, format!("it has no part `{part}`, but {there}")));
    };
    let mut collector = Collector::new(path, &["text".to_owned()], "row");
    for (number, (text, class)) in rows.into_iter().enumerate() {
        collector.row(
            number as u64 + 1,
            Row { cells: vec![Cell::One(text)], label: Some(class), ..Row::default() },
        )?;
    }
    Ok(collector.finish("clinc150".to_owned(), None))
}
