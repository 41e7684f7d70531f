//! Mapped rows beside those that are read, and what is not mapped.
#![expect(clippy::unwrap_used, reason = "a helper of tests fails by panicking, as the tests themselves do")]

use std::fs;
use std::path::{Path, PathBuf};

use lookalike_base::{Array, ArrayFileError, MappedRows, Matrix, RowSource, Rows, npy, tensors};
use tensors::TensorFile;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn values(source: &impl RowSource) -> Vec<f32> {
    let mut values = vec![f32::NAN; source.len() * source.columns()];
    let rows = values.chunks_mut(source.columns()).enumerate();
    rows.for_each(|(index, row)| source.read_row(index, row));
    values
}

fn refused(name: &str, bytes: &[u8]) -> ArrayFileError {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    MappedRows::open(&path).unwrap_err()
}

fn safetensors_bytes(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

#[test]
fn mapped_rows_are_those_that_are_read() {
    for name in ["rows_f4.npy", "rows_f2.npy", "version_2.npy"] {
        let (mapped, read) =
            (MappedRows::open(fixture(name)).unwrap(), npy::read_rows(fixture(name)).unwrap());
        assert_eq!((mapped.len(), mapped.columns()), (read.len(), read.columns()));
        assert_eq!(values(&mapped), read.rows().values(), "{name}");
        assert_eq!(values(&read.rows()), read.rows().values());
    }
}

#[test]
fn the_only_matrix_of_a_safetensors_file_or_the_one_named_is_mapped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("embeddings.safetensors");
    let mut file = TensorFile::default();
    // Of an odd number of bytes and before it in the file: the rows are then not aligned to their type.
    file.tensors.insert("labels".into(), Array::u8([3], vec![1, 2, 3]));
    file.tensors.insert("rows".into(), Array::f32([2, 2], vec![0.5, -1.0, 2.0, f32::INFINITY]));
    tensors::write(&path, &file).unwrap();
    for mapped in [MappedRows::open(&path).unwrap(), MappedRows::safetensors(&path, Some("rows")).unwrap()] {
        assert_eq!((values(&mapped), mapped.columns()), (vec![0.5, -1.0, 2.0, f32::INFINITY], 2));
    }
    let absent = MappedRows::safetensors(&path, Some("row")).unwrap_err().to_string();
    assert!(absent.contains("[\"labels\", \"rows\"]"), "{absent}");
    assert!(MappedRows::safetensors(&path, Some("labels")).is_err(), "bytes are no embeddings");
    file.tensors.insert("more".into(), Array::f32([1, 1], vec![0.0]));
    tensors::write(&path, &file).unwrap();
    assert!(MappedRows::open(&path).is_err(), "two matrices");
}

#[test]
fn halves_are_converted_wherever_they_lie() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("half.safetensors");
    for (kind, bytes) in [("F16", [0x00, 0x3c, 0x00, 0xc0]), ("BF16", [0x80, 0x3f, 0x00, 0xc0])] {
        let header = format!(
            r#"{{"a":{{"dtype":"U8","shape":[1],"data_offsets":[0,1]}},"m":{{"dtype":"{kind}","shape":[2,1],"data_offsets":[1,5]}}}}"#
        );
        fs::write(&path, safetensors_bytes(&header, &[&[7][..], &bytes].concat())).unwrap();
        assert_eq!(values(&MappedRows::open(&path).unwrap()), [1.0, -2.0], "{kind}");
    }
}

#[test]
fn files_that_lie_about_their_size_are_refused_before_anything_is_mapped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.npy");
    let rows = Matrix::new(vec![1.0; 12], 3).unwrap();
    npy::write_rows(&path, rows.rows()).unwrap();
    let bytes = fs::read(&path).unwrap();
    for length in [0, 7, 11, 60, bytes.len() - 1] {
        let error = refused("rows.npy", &bytes[..length]);
        assert!(
            matches!(error, ArrayFileError::Torn { .. } | ArrayFileError::Malformed { .. }),
            "{length} {error}"
        );
    }
    assert!(matches!(refused("rows.npy", &[&bytes[..], &[0]].concat()), ArrayFileError::Torn { .. }));
    let header = r#"{"m":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,16]}}"#;
    refused("rows.safetensors", &safetensors_bytes(header, &[0; 16]));
    let header = r#"{"m":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}"#;
    let cut = refused("rows.safetensors", &safetensors_bytes(header, &[0; 15]));
    assert!(matches!(cut, ArrayFileError::Torn { .. }), "{cut}");
    refused("rows.safetensors", &[]);
    refused("rows.safetensors", &u64::MAX.to_le_bytes());
}

#[test]
fn other_types_and_shapes_are_refused_with_advice() {
    for name in ["integers_i8.npy", "integers_u1.npy"] {
        let error = MappedRows::open(fixture(name)).unwrap_err();
        assert!(matches!(error, ArrayFileError::Unsupported { .. }), "{error}");
    }
    let header = r#"{"m":{"dtype":"F32","shape":[2,0],"data_offsets":[0,0]}}"#;
    assert!(matches!(
        refused("m.safetensors", &safetensors_bytes(header, &[])),
        ArrayFileError::Unsupported { .. }
    ));
    assert!(matches!(MappedRows::open("/nonexistent.npy").unwrap_err(), ArrayFileError::Io { .. }));
    let empty = Rows::new(&[], 3).unwrap();
    assert!(RowSource::is_empty(&empty) && RowSource::is_empty(&&empty));
}
