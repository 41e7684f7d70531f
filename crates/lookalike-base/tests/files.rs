//! Array files as others write them, as we write them, and as accidents leave them.
#![expect(clippy::unwrap_used, reason = "a helper of tests fails by panicking, as the tests themselves do")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use lookalike_base::{Array, ArrayFileError, Matrix, npy, tensors};
use proptest::prelude::*;
use tensors::TensorFile;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn names(folder: &Path) -> Vec<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn example() -> TensorFile {
    TensorFile {
        metadata: BTreeMap::from([("epoch".into(), "3".into()), ("a \"quoted\" key".into(), "ä".into())]),
        tensors: BTreeMap::from([
            ("weight".into(), Array::f32([2, 2], vec![0.5, -1.0, f32::MIN_POSITIVE, f32::INFINITY])),
            ("labels".into(), Array::i64([3], vec![-1, 0, i64::MAX])),
            ("state".into(), Array::u64([], vec![u64::MAX])),
            ("ids".into(), Array::u32([1, 2], vec![7, u32::MAX])),
            ("flags".into(), Array::u8([3], vec![0, 1, 255])),
            ("empty".into(), Array::f32([0, 5], vec![])),
        ]),
    }
}

/// Writes `bytes` to a file of its own and reads it.
fn read_bytes<T>(bytes: &[u8], read: impl Fn(&Path) -> T) -> T {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, bytes).unwrap();
    read(&path)
}

fn safetensors_bytes(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

/// A file of version 1.
fn npy_bytes(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    [b"\x93NUMPY\x01\0", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), data].concat()
}

#[test]
fn matrices_that_numpy_wrote_are_read() {
    let expected = Matrix::new(vec![0.0, 0.25, 0.5, 0.75, 1.0, 1.25], 3).unwrap();
    for name in ["rows_f4.npy", "rows_f2.npy", "version_2.npy"] {
        assert_eq!(npy::read_rows(fixture(name)).unwrap(), expected, "{name}");
    }
}

#[test]
fn integers_of_every_size_that_numpy_wrote_are_read() {
    for kind in ["i8", "i4", "i2", "i1"] {
        let (values, shape) = npy::read_integers(fixture(&format!("integers_{kind}.npy"))).unwrap();
        assert_eq!((values, shape), (vec![0, -1, 1, -2], vec![2, 2]), "{kind}");
    }
    for kind in ["u8", "u4", "u2", "u1", "b1"] {
        let (values, shape) = npy::read_integers(fixture(&format!("integers_{kind}.npy"))).unwrap();
        assert_eq!((values, shape), (vec![0, 1, 1, 0], vec![2, 2]), "{kind}");
    }
}

#[test]
fn arrays_of_another_type_or_layout_are_refused_with_what_to_do() {
    let rows = |name: &str| npy::read_rows(fixture(name)).unwrap_err().to_string();
    assert!(rows("rows_fortran.npy").contains("numpy.ascontiguousarray"));
    assert!(rows("rows_big_endian.npy").contains("astype('<f4')"));
    assert!(rows("vector.npy").contains("shape [3]"));
    assert!(rows("records.npy").contains("save each field"));
    assert!(rows("integers_i8.npy").contains("type '<i8'"));
    let integers = |name: &str| npy::read_integers(fixture(name)).unwrap_err().to_string();
    assert!(integers("rows_f4.npy").contains("astype('<i8')"));
    assert!(integers("integers_huge.npy").contains("exceeds"));
}

#[test]
fn doubles_are_rounded() {
    let bytes = npy_bytes("<f8", "(2, 2)", &[1.0_f64, -0.1, 1e300, 1e-300].map(f64::to_le_bytes).concat());
    let rows = read_bytes(&bytes, |path| npy::read_rows(path)).unwrap();
    assert_eq!(rows.into_values(), [1.0, -0.1_f64 as f32, f32::INFINITY, 0.0]);
}

#[test]
fn identifiers_are_integers_and_none_where_they_are_missing() {
    let read = |descr: &str, bytes: &[u8]| {
        let bytes = npy_bytes(descr, "(3,)", bytes);
        read_bytes(&bytes, |path| npy::read_identifiers(path)).map_err(|error| error.to_string())
    };
    let floats = |values: [f64; 3]| values.map(f64::to_le_bytes).concat();
    let singles = |values: [f32; 3]| values.map(f32::to_le_bytes).concat();
    let integers = |values: [i64; 3]| values.map(i64::to_le_bytes).concat();
    assert_eq!(read("<i8", &integers([7, -1, 0])).unwrap(), (vec![7, -1, 0], vec![3]));
    assert_eq!(read("<f8", &floats([2.0, f64::NAN, -1.0])).unwrap().0, [2, -1, -1]);
    assert_eq!(read("<f4", &singles([2.0, f32::NAN, 0.0])).unwrap().0, [2, -1, 0]);
    assert_eq!(read("<f2", &[0x00, 0x42, 0x00, 0x7e, 0x00, 0xbc]).unwrap().0, [3, -1, -1]);
    let refused = |descr: &str, bytes: &[u8]| read(descr, bytes).unwrap_err();
    assert!(
        refused("<i8", &integers([7, -1, -2]))
            .contains("entry 2 is -2; identifiers are integers of at least 0")
    );
    assert!(refused("<f8", &floats([0.0, 0.5, 1.0])).contains("entry 1 is 0.5"));
    assert!(refused("<f8", &floats([0.0, 1.0, f64::INFINITY])).contains("entry 2 is inf"));
    assert!(refused("<f8", &floats([1e16, 1.0, 0.0])).contains("entry 0 is 1"));
    assert!(refused("<f8", &floats([-2.0, 1.0, 0.0])).contains("entry 0 is -2"));
}

#[test]
fn matrices_and_integers_come_back_as_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npy");
    let values: Vec<f32> = (0..30_000).map(|i| i as f32 * 0.1 - 7.0).collect();
    for matrix in [Matrix::new(values, 3).unwrap(), Matrix::new(vec![], 128).unwrap()] {
        npy::write_rows(&path, matrix.rows()).unwrap();
        assert_eq!(npy::read_rows(&path).unwrap(), matrix);
    }
    for (values, shape) in
        [(vec![5, -6], vec![2]), (vec![i64::MIN; 20_000], vec![100, 200]), (vec![3], vec![])]
    {
        npy::write_integers(&path, &shape, &values).unwrap();
        assert_eq!(npy::read_integers(&path).unwrap(), (values, shape));
    }
    assert_eq!(names(folder.path()), ["a.npy"]);
}

#[test]
fn an_npy_file_cut_anywhere_is_an_error() {
    let bytes = fs::read(fixture("rows_f4.npy")).unwrap();
    for length in 0..bytes.len() {
        assert!(read_bytes(&bytes[..length], |path| npy::read_rows(path)).is_err(), "{length}");
    }
    let cut = read_bytes(&bytes[..bytes.len() - 1], |path| npy::read_rows(path)).unwrap_err();
    assert!(
        matches!(cut, ArrayFileError::Torn { .. }) && cut.to_string().contains("24 bytes, but 23 follow"),
        "{cut}"
    );
}

#[test]
fn sizes_that_lie_are_refused_before_anything_is_allocated() {
    for shape in ["(1099511627776, 4)", "(9223372036854775807, 9223372036854775807)"] {
        let text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}");
        let bytes = [b"\x93NUMPY\x01\x00", &(text.len() as u16).to_le_bytes()[..], text.as_bytes()].concat();
        let error = read_bytes(&bytes, |path| npy::read_rows(path)).unwrap_err();
        assert!(matches!(error, ArrayFileError::Torn { .. }), "{error}");
    }
    let header = read_bytes(b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}", |path| npy::read_rows(path)).unwrap_err();
    assert!(header.to_string().contains("4294967295 bytes"), "{header}");

    let claims = r#"{"a":{"dtype":"F32","shape":[1099511627776],"data_offsets":[0,4398046511104]}}"#;
    let error = read_bytes(&safetensors_bytes(claims, &[0; 8]), |path| tensors::read(path)).unwrap_err();
    assert!(matches!(error, ArrayFileError::Torn { .. }), "{error}");
    let error = read_bytes(&[0xff; 64], |path| tensors::read(path)).unwrap_err();
    assert!(matches!(error, ArrayFileError::Malformed { .. }), "{error}");
}

#[test]
fn tensors_that_overlap_or_leave_gaps_are_refused() {
    for (a, b, data) in [("[0,8]", "[4,12]", 12), ("[0,8]", "[9,17]", 17), ("[8,0]", "[8,16]", 16)] {
        let header = format!(
            r#"{{"a":{{"dtype":"F32","shape":[2],"data_offsets":{a}}},"b":{{"dtype":"F32","shape":[2],"data_offsets":{b}}}}}"#
        );
        let bytes = safetensors_bytes(&header, &vec![0; data]);
        let error = read_bytes(&bytes, |path| tensors::read(path)).unwrap_err();
        assert!(matches!(error, ArrayFileError::Malformed { .. }), "{error}");
    }
}

#[test]
fn tensors_that_pytorch_wrote_are_read() {
    let file = tensors::read(fixture("torch.safetensors")).unwrap();
    assert_eq!(file.metadata, BTreeMap::from([("format".into(), "pt".into())]));
    assert_eq!(file.tensors["half"], Array::f32([2, 2], vec![0.25, -1.5, 65504.0, 2.0_f32.powi(-24)]));
    assert_eq!(file.tensors["brain"], Array::f32([2], vec![3.140_625, -0.5]));
    assert_eq!(file.tensors["single"], Array::f32([], vec![0.1]));
    assert_eq!(file.tensors["count"], Array::i64([], vec![7]));
    assert_eq!(file.tensors["bytes"], Array::u8([2], vec![1, 255]));
    let error = tensors::read(fixture("double.safetensors")).unwrap_err().to_string();
    assert!(error.contains("tensor 'double' is of type F64"), "{error}");
}

#[test]
fn tensors_come_back_as_written_and_the_same_contents_give_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
    for file in [example(), TensorFile::default()] {
        tensors::write(&first, &file).unwrap();
        tensors::write(&second, &tensors::read(&first).unwrap()).unwrap();
        assert_eq!(tensors::read(&second).unwrap(), file);
        assert_eq!(fs::read(&first).unwrap(), fs::read(&second).unwrap());
    }
}

#[test]
fn no_damage_to_a_single_byte_changes_a_tensor_unnoticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    let file = example();
    tensors::write(&path, &file).unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    for at in 0..bytes.len() {
        bytes[at] ^= 0x10;
        fs::write(&path, &bytes).unwrap();
        match tensors::read(&path) {
            Err(ArrayFileError::Torn { .. }) => {}
            Err(error) => assert!(at < header, "byte {at}: {error}"),
            Ok(damaged) => assert!(at < header && damaged.tensors == file.tensors, "byte {at}"),
        }
        bytes[at] ^= 0x10;
    }
}

#[test]
fn a_tensor_file_cut_short_is_torn() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    tensors::write(&path, &example()).unwrap();
    let bytes = fs::read(&path).unwrap();
    for length in (0..bytes.len()).step_by(7) {
        fs::write(&path, &bytes[..length]).unwrap();
        let error = tensors::read(&path).unwrap_err();
        assert!(matches!(error, ArrayFileError::Torn { .. }), "{length}: {error}");
    }
}

#[test]
fn foreign_and_missing_files_are_named() {
    let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
    for error in [
        read_bytes(png, |path| npy::read_rows(path).map(|_| ())).unwrap_err(),
        read_bytes(png, |path| tensors::read(path).map(|_| ())).unwrap_err(),
        tensors::read("missing.safetensors").map(|_| ()).unwrap_err(),
        npy::read_integers(std::env::temp_dir()).map(|_| ()).unwrap_err(),
    ] {
        let text = error.to_string();
        let named = [".npy file", ".safetensors file", "missing.safetensors", "cannot read"];
        assert!(named.iter().any(|name| text.contains(name)), "{text}");
    }
}

#[test]
fn what_cannot_be_written_leaves_the_old_file_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    tensors::write(&path, &example()).unwrap();
    let before = fs::read(&path).unwrap();
    let mut wrong = example();
    wrong.tensors.insert("short".into(), Array::f32([4], vec![1.0]));
    let error = tensors::write(&path, &wrong).unwrap_err().to_string();
    assert!(error.contains("1 values of tensor 'short'"), "{error}");
    assert!(npy::write_integers(&path, &[2], &[1]).is_err());
    let below_a_file = path.join("b.safetensors");
    assert!(matches!(tensors::write(below_a_file, &example()), Err(ArrayFileError::Io { .. })));
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(names(folder.path()), ["a.safetensors"]);
}

#[test]
fn reserved_names_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    let mut file = TensorFile::default();
    file.tensors.insert("__metadata__".into(), Array::u8([0], vec![]));
    assert!(matches!(tensors::write(&path, &file), Err(ArrayFileError::Unwritable { .. })));
    let mut file = TensorFile::default();
    file.metadata.insert("checksum".into(), String::new());
    assert!(matches!(tensors::write(&path, &file), Err(ArrayFileError::Unwritable { .. })));
}

proptest! {
    #[test]
    fn no_bytes_make_the_npy_reader_panic(header in "[{}'a-zA-Z:,() 0-9<>|]{0,80}", version in 0_u8..4, data: Vec<u8>) {
        let size = (header.len() as u16).to_le_bytes();
        let bytes = [b"\x93NUMPY", &[version, 0][..], &size, header.as_bytes(), &data].concat();
        for bytes in [&bytes, &data] {
            let _ = read_bytes(bytes, |path| (npy::read_rows(path).is_ok(), npy::read_integers(path).is_ok()));
        }
    }

    #[test]
    fn no_shape_makes_the_npy_reader_panic(shape in prop::collection::vec(0_usize..5, 0..4), data: Vec<u8>) {
        let extents: String = shape.iter().map(|extent| extent.to_string() + ",").collect();
        let text = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({extents})}}");
        let bytes = [b"\x93NUMPY\x01\x00", &(text.len() as u16).to_le_bytes()[..], text.as_bytes(), &data].concat();
        let fits = shape.iter().product::<usize>() == data.len();
        prop_assert_eq!(read_bytes(&bytes, |path| npy::read_integers(path)).is_ok(), fits);
    }

    #[test]
    fn no_bytes_make_the_tensor_reader_panic(
        dtype in prop::sample::select(vec!["F32", "F16", "F4", "U8", "BOOL", "X"]),
        shape in prop::collection::vec(any::<u32>(), 0..3),
        offsets: (u64, u64),
        data: Vec<u8>,
    ) {
        let header = format!(r#"{{"a":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{},{}]}}}}"#, offsets.0, offsets.1);
        for bytes in [safetensors_bytes(&header, &data), data] {
            let _ = read_bytes(&bytes, |path| tensors::read(path).is_ok());
        }
    }
}
