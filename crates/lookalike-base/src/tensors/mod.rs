//! Named tensors in a safetensors file (<https://github.com/huggingface/safetensors>), with a checksum.
//!
//! [`write()`] stores under the metadata key `checksum` a SHA-256 of all other metadata and of every tensor's name, type,
//! shape and bytes; [`read`] verifies it where it is present. The format itself has no checksum, and a file whose last
//! pages never reached the disk can have the right length: without one such a checkpoint would load as zeros. SHA-256
//! rather than a shorter code because processors compute it at the speed of a disk and it needs no argument about
//! what slips through.

mod checksum;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensorError, SafeTensors, TensorView};
use serde_json::{Map, Value, json};

use crate::arrays::{Array, Arrays, Values};
use crate::atomic::write_atomic;
use crate::bytes::{bf16_to_f32, decode, encode_values, f16_to_f32};
use crate::error::ArrayFileError;
use crate::foreign;

/// The metadata key of the checksum; not to be used for anything else.
const CHECKSUM: &str = "checksum";

/// The header's key for metadata, hence no name for a tensor.
const METADATA: &str = "__metadata__";

/// The longest header that readers of the format accept.
const LONGEST_HEADER: usize = 100_000_000;

/// What a safetensors file holds. The checksum is not part of `metadata`: it is added on writing and taken on reading.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TensorFile {
    /// Free text under names.
    pub metadata: BTreeMap<String, String>,
    /// The tensors. On reading, `F16` and `BF16` become `F32`, which holds them exactly.
    pub tensors: Arrays,
}

/// Reads a file and verifies its checksum, where it has one.
///
/// # Errors
/// [`ArrayFileError::Torn`] where the file is shorter or longer than its header says or the checksum disagrees; other
/// variants where it cannot be read, is malformed, or holds a tensor of a type not read here.
pub fn read(path: impl AsRef<Path>) -> Result<TensorFile, ArrayFileError> {
    let path = path.as_ref();
    let bytes = fs::read(path).map_err(ArrayFileError::read(path))?;
    let file = parse(path, &bytes)?;
    let (_, header) =
        SafeTensors::read_metadata(&bytes).map_err(|error| refusal(path, bytes.len(), &error))?;
    let mut metadata: BTreeMap<String, String> = header.metadata().iter().flatten().map(owned).collect();
    let views: BTreeMap<String, TensorView<'_>> = file.tensors().into_iter().collect();
    if let Some(stored) = metadata.remove(CHECKSUM) {
        let found = checksum::of_views(&metadata, &views);
        if stored != found {
            return Err(ArrayFileError::torn(
                path,
                format!("its checksum is {found}, but {stored} was stored"),
            ));
        }
    }
    let tensors = views.into_iter().map(|(name, view)| Ok((name.clone(), array(path, &name, &view)?)));
    Ok(TensorFile { metadata, tensors: tensors.collect::<Result<_, ArrayFileError>>()? })
}

/// Writes a file with its checksum, atomically. The same contents always give the same bytes.
///
/// # Errors
/// [`ArrayFileError::Unwritable`] where a shape does not fit its values or a reserved name is used;
/// [`ArrayFileError::Io`] where the file cannot be written; what stood there before is then untouched.
pub fn write(path: impl AsRef<Path>, file: &TensorFile) -> Result<(), ArrayFileError> {
    let path = path.as_ref();
    check(file).map_err(|problem| ArrayFileError::unwritable(path, problem))?;
    // Wider types first, as the format's own writer does: every tensor is then aligned to its type.
    let mut order: Vec<(&String, &Array)> = file.tensors.iter().collect();
    order.sort_by_key(|(_, array)| std::cmp::Reverse(element_size(&array.values)));
    let header = header(file, &order);
    if header.len() > LONGEST_HEADER {
        return Err(ArrayFileError::unwritable(path, "names and metadata exceed the format's 100 MB header"));
    }
    write_atomic(path, |writer| {
        writer.write_all(&(header.len() as u64).to_le_bytes())?;
        writer.write_all(&header)?;
        order.iter().try_for_each(|(_, array)| encode_values(&array.values, writer))
    })
    .map_err(ArrayFileError::write(path))
}

fn owned((key, value): (&String, &String)) -> (String, String) {
    (key.clone(), value.clone())
}

fn check(file: &TensorFile) -> Result<(), String> {
    if file.metadata.contains_key(CHECKSUM) {
        return Err(format!("the metadata key '{CHECKSUM}' is kept for the checksum"));
    }
    for (name, array) in &file.tensors {
        if name == METADATA {
            return Err(format!("a tensor cannot be called '{METADATA}'"));
        }
        if !array.is_consistent() {
            let count = array.values.len();
            return Err(format!(
                "the {count} values of tensor '{name}' do not fill its shape {:?}",
                array.shape
            ));
        }
    }
    Ok(())
}

fn element_size(values: &Values) -> usize {
    match values {
        Values::I64(_) | Values::U64(_) => 8,
        Values::F32(_) | Values::U32(_) => 4,
        Values::U8(_) => 1,
    }
}

/// The JSON header, padded with spaces so that the data begin at a multiple of 8 bytes.
fn header(file: &TensorFile, order: &[(&String, &Array)]) -> Vec<u8> {
    let mut metadata = file.metadata.clone();
    metadata.insert(CHECKSUM.into(), checksum::of_file(file));
    let mut entries = Map::new();
    entries.insert(METADATA.into(), json!(metadata));
    let mut offset = 0;
    for (name, array) in order {
        let end = offset + array.values.len() * element_size(&array.values);
        let entry =
            json!({"dtype": array.values.type_name(), "shape": array.shape, "data_offsets": [offset, end]});
        entries.insert((*name).clone(), entry);
        offset = end;
    }
    let mut text = Value::Object(entries).to_string().into_bytes();
    text.resize(text.len().next_multiple_of(8), b' ');
    text
}

fn array(path: &Path, name: &str, view: &TensorView<'_>) -> Result<Array, ArrayFileError> {
    let bytes = view.data();
    let values = match view.dtype() {
        Dtype::F32 => Values::F32(decode(bytes, f32::from_le_bytes)),
        Dtype::F16 => Values::F32(decode(bytes, f16_to_f32)),
        Dtype::BF16 => Values::F32(decode(bytes, bf16_to_f32)),
        Dtype::I64 => Values::I64(decode(bytes, i64::from_le_bytes)),
        Dtype::U64 => Values::U64(decode(bytes, u64::from_le_bytes)),
        Dtype::U32 => Values::U32(decode(bytes, u32::from_le_bytes)),
        Dtype::U8 => Values::U8(bytes.to_vec()),
        other => {
            let found = format!("tensor '{name}' is of type {other}");
            return Err(ArrayFileError::unsupported(
                path,
                found,
                "F32, F16, BF16, I64, U64, U32 and U8 are read",
            ));
        }
    };
    Ok(Array { shape: view.shape().to_vec(), values })
}

/// Parses a file whose bytes are `bytes`.
pub(crate) fn parse<'a>(path: &Path, bytes: &'a [u8]) -> Result<SafeTensors<'a>, ArrayFileError> {
    check_ends(path, bytes)?;
    // Where a header's object begins it is a safetensors file, however broken.
    let other = || if bytes.get(8) == Some(&b'{') { None } else { foreign::refusal(path, bytes) };
    SafeTensors::deserialize(bytes)
        .map_err(|error| other().unwrap_or_else(|| refusal(path, bytes.len(), &error)))
}

/// Checks that no tensor ends beyond the file. The format's own reader adds up what the header says before it compares
/// that with the file, which overflows where a tensor ends near 2⁶⁴. Everything else is left to it.
fn check_ends(path: &Path, bytes: &[u8]) -> Result<(), ArrayFileError> {
    let Some((size, rest)) = bytes.split_first_chunk::<8>() else { return Ok(()) };
    let size = u64::from_le_bytes(*size) as usize;
    let Some(header) = rest.get(..size).filter(|_| size <= LONGEST_HEADER) else { return Ok(()) };
    let Ok(entries) = serde_json::from_slice::<BTreeMap<String, Value>>(header) else { return Ok(()) };
    let data = rest.len() - size;
    for (name, entry) in entries {
        if let Some(end) = entry["data_offsets"][1].as_u64().filter(|end| *end > data as u64) {
            let problem = format!("tensor '{name}' ends at byte {end} of the data, which has {data}");
            return Err(ArrayFileError::torn(path, problem));
        }
    }
    Ok(())
}

/// A file that has not the length its header promises is torn; everything else was never a good one.
fn refusal(path: &Path, length: usize, error: &SafeTensorError) -> ArrayFileError {
    match error {
        SafeTensorError::HeaderTooSmall | SafeTensorError::InvalidHeaderLength => {
            ArrayFileError::torn(path, format!("it ends at byte {length}, within its header"))
        }
        SafeTensorError::MetadataIncompleteBuffer => ArrayFileError::torn(
            path,
            format!("its {length} bytes are not the number that its header promises"),
        ),
        other => ArrayFileError::Malformed {
            path: path.to_owned(),
            format: ".safetensors",
            problem: other.to_string(),
        },
    }
}
