//! Mapped rows beside those that are read, and what is not mapped.
#![expect(clippy::unwrap_used, reason = "a helper of tests fails by panicking, as the tests themselves do")]

use std::fs;
use std::path::{Path, PathBuf};

use lookalike_base::{Array, ArrayFileError, FileRows, MappedRows, Matrix, RowSource, Rows, npy, tensors};
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
    for name in ["rows_f4.npy", "rows_f2.npy", "rows_f8.npy", "version_2.npy"] {
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
    assert!(absent.contains("no tensor 'row'; it holds labels (U8 [3]), rows (F32 [2, 2])"), "{absent}");
    assert!(MappedRows::safetensors(&path, Some("labels")).is_err(), "bytes are no embeddings");
    file.tensors.insert("more".into(), Array::f32([1, 1], vec![0.0]));
    tensors::write(&path, &file).unwrap();
    let two = MappedRows::open(&path).unwrap_err().to_string();
    assert!(two.contains("more (F32 [1, 1]), rows (F32 [2, 2]); name the one matrix that is meant"), "{two}");
    let named = MappedRows::open(format!("{}:rows", path.display())).unwrap();
    assert_eq!(values(&named), [0.5, -1.0, 2.0, f32::INFINITY]);
    assert!(MappedRows::open(format!("{}:", path.display())).is_err(), "no name");
}

#[test]
fn halves_and_doubles_are_converted_wherever_they_lie() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("half.safetensors");
    let double = [1.0_f64, -2.0].map(f64::to_le_bytes).concat();
    for (kind, bytes) in
        [("F16", &[0x00, 0x3c, 0x00, 0xc0][..]), ("BF16", &[0x80, 0x3f, 0x00, 0xc0]), ("F64", &double)]
    {
        let end = 1 + bytes.len();
        let header = format!(
            r#"{{"a":{{"dtype":"U8","shape":[1],"data_offsets":[0,1]}},"m":{{"dtype":"{kind}","shape":[2,1],"data_offsets":[1,{end}]}}}}"#
        );
        fs::write(&path, safetensors_bytes(&header, &[&[7][..], bytes].concat())).unwrap();
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

/// A shard of `rows`, each of which holds `value` and one more for each column.
fn shard(folder: &Path, name: &str, value: f32, rows: usize, columns: usize) {
    let row = |_| (0..columns).map(|column| value + column as f32);
    let matrix = Matrix::new((0..rows).flat_map(row).collect(), columns).unwrap();
    if Path::new(name).extension().is_some_and(|end| end == "npy") {
        return npy::write_rows(folder.join(name), matrix.rows()).unwrap();
    }
    let mut file = TensorFile::default();
    file.tensors.insert("rows".into(), Array::f32([rows, columns], matrix.into_values()));
    file.tensors.insert("more".into(), Array::f32([1, 1], vec![0.0]));
    tensors::write(folder.join(name), &file).unwrap();
}

#[test]
fn the_shards_of_a_folder_are_one_matrix_in_the_order_of_their_numbers() {
    let folder = tempfile::tempdir().unwrap();
    for (name, value, rows) in [("e-10.npy", 30.0, 1), ("e-9.npy", 20.0, 3), ("e-1.npy", 10.0, 2)] {
        shard(folder.path(), name, value, rows, 2);
    }
    for other in ["README.md", ".e-2.npy", "index.json"] {
        fs::write(folder.path().join(other), "not a shard").unwrap();
    }
    let rows = FileRows::open(folder.path()).unwrap();
    assert_eq!((rows.len(), rows.columns(), rows.rounds()), (6, 2, false));
    assert_eq!(values(&rows), [10.0, 11.0, 10.0, 11.0, 20.0, 21.0, 20.0, 21.0, 20.0, 21.0, 30.0, 31.0]);
    let reversed = ["e-10.npy", "e-1.npy"].map(|name| folder.path().join(name));
    assert_eq!(values(&FileRows::of(&reversed).unwrap()), [30.0, 31.0, 10.0, 11.0, 10.0, 11.0]);
    assert_eq!(FileRows::open(folder.path().join("e-9.npy")).unwrap().len(), 3);
}

#[test]
fn a_tensor_of_every_shard_is_named_once() {
    let folder = tempfile::tempdir().unwrap();
    for (name, value) in [("a.safetensors", 1.0), ("b.safetensors", 2.0)] {
        shard(folder.path(), name, value, 1, 2);
    }
    assert!(FileRows::open(folder.path()).is_err(), "which of two");
    let rows = FileRows::open(format!("{}:rows", folder.path().display())).unwrap();
    assert_eq!(values(&rows), [1.0, 2.0, 2.0, 3.0]);
}

#[test]
fn shards_that_are_no_matrix_together_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let refused = || FileRows::open(folder.path()).unwrap_err().to_string();
    assert!(refused().contains("holds no .npy and no .safetensors file"));
    shard(folder.path(), "e-1.npy", 0.0, 2, 3);
    shard(folder.path(), "e-2.npy", 0.0, 0, 3);
    assert!(refused().contains("e-2.npy: it has no rows"), "{}", refused());
    shard(folder.path(), "e-2.npy", 0.0, 2, 4);
    let wide = refused();
    assert!(wide.contains("e-2.npy: it has 4 columns, and ") && wide.contains("e-1.npy has 3"), "{wide}");
    let whole = fs::read(folder.path().join("e-1.npy")).unwrap();
    fs::write(folder.path().join("e-2.npy"), &whole[..whole.len() - 1]).unwrap();
    assert!(refused().contains("e-2.npy is torn"), "{}", refused());
    fs::write(folder.path().join("e-2.npy"), "PAR1").unwrap();
    assert!(refused().contains("e-2.npy: it is a Parquet file"), "{}", refused());
    let absent = FileRows::open(folder.path().join("absent")).unwrap_err();
    assert!(matches!(absent, ArrayFileError::Io { .. }), "{absent}");
}

#[test]
fn more_rows_than_can_be_numbered_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("e.npy");
    let header = format!("{{'descr': '<f2', 'fortran_order': False, 'shape': ({}, 1), }}", 1_u64 << 32);
    let start = [b"\x93NUMPY\x01\0", &(header.len() as u16).to_le_bytes()[..], header.as_bytes()].concat();
    fs::write(&path, &start).unwrap();
    // A hole, which takes no room on the disk.
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(start.len() as u64 + (1 << 33)).unwrap();
    let error = FileRows::open(&path).unwrap_err().to_string();
    assert!(error.contains("there are 4294967296 rows; fewer than 2^32 can be numbered"), "{error}");
}
