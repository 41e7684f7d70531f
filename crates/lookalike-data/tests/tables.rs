//! CIFAR and idx files made here: what is read from good ones, and what is said of bad ones.

#![expect(clippy::unwrap_used, reason = "a test may stop where a promise is broken")]

use flate2::Compression;
use flate2::write::GzEncoder;
use lookalike_base::progress::Silent;
use lookalike_data::{DataOptions, ImageDataset, Split, Verdict};
use proptest::prelude::*;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

fn open(name: &str, root: &Path, split: Split) -> Result<Arc<dyn ImageDataset>, String> {
    let options = DataOptions {
        name: name.to_owned(),
        root: Some(root.to_owned()),
        skip_corrupt: false,
        test_share: None,
    };
    lookalike_data::open(&options, split, &Silent)
        .map(|(dataset, _)| dataset)
        .map_err(|error| error.to_string())
}

fn refusal(name: &str, root: &Path, split: Split) -> String {
    open(name, root, split).err().unwrap_or_else(|| "it was opened".to_owned())
}

/// A record whose red is `red` + the place of the pixel, with green and blue one and two further.
fn record(labels: &[u8], red: u8) -> Vec<u8> {
    let plane = |first: u8| (0..1024_u32).map(move |at| first.wrapping_add(at as u8));
    labels.iter().copied().chain(plane(red)).chain(plane(red + 1)).chain(plane(red + 2)).collect()
}

fn cifar10() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("data_batch_1.bin", [record(&[3], 10), record(&[9], 20)].concat()),
        ("data_batch_2.bin", record(&[0], 30)),
        ("data_batch_3.bin", record(&[1], 40)),
        ("data_batch_4.bin", record(&[2], 50)),
        ("data_batch_5.bin", record(&[4], 60)),
        ("test_batch.bin", record(&[5], 70)),
    ]
}

fn folder_of(files: &[(&str, Vec<u8>)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn tar(folder: &str, files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, format!("{folder}/{name}"), bytes.as_slice()).unwrap();
    }
    builder.into_inner().unwrap()
}

/// A gzipped archive of one member of `len` zero bytes. The zeros are packed once and repeated as gzip
/// members.
fn bomb(member: &str, len: u64) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_path(member).unwrap();
    header.set_size(len);
    header.set_cksum();
    let zeros = gzip(&vec![0; 1 << 24]);
    let mut packed = gzip(header.as_bytes());
    (0..=len >> 24).for_each(|_| packed.extend(&zeros));
    packed
}

fn assert_is_small_cifar10(root: &Path) {
    let train = open("cifar10", root, Split::Train).unwrap();
    let labels: Vec<_> = (0..7).map(|index| train.label(index)).collect();
    assert_eq!(labels, [Some(3), Some(9), Some(0), Some(1), Some(2), Some(4), None]);
    let image = train.image(1).unwrap();
    assert_eq!((image.width, image.height, image.pixels.len()), (32, 32, 3072));
    assert_eq!(image.pixels[..6], [20, 21, 22, 21, 22, 23]);
    assert_eq!(open("cifar10", root, Split::Test).unwrap().image(0).unwrap().pixels[..3], [70, 71, 72]);
}

#[test]
fn cifar10_is_found_as_folder_parent_archive_and_beside_an_archive() {
    let flat = folder_of(&cifar10());
    assert_is_small_cifar10(flat.path());
    let parent = tempfile::tempdir().unwrap();
    fs::rename(flat.path(), parent.path().join("cifar-10-batches-bin")).unwrap();
    assert_is_small_cifar10(parent.path());
    // The members of an archive come in any order; instances keep that of the batches.
    let mut files = cifar10();
    files.reverse();
    let archive = [("cifar-10-binary.tar.gz", gzip(&tar("cifar-10-batches-bin", &files)))];
    let folder = folder_of(&archive);
    assert_is_small_cifar10(folder.path());
    assert_is_small_cifar10(&folder.path().join(archive[0].0));
}

#[test]
fn class_names_come_from_the_file_beside_the_records() {
    let mut files = cifar10();
    assert_eq!(open("cifar10", folder_of(&files).path(), Split::Test).unwrap().classes()[9], "truck");
    files.push(("batches.meta.txt", b"a\nb\nc\nd\ne\nf\ng\nh\ni\nj\n\n".to_vec()));
    assert_eq!(open("cifar10", folder_of(&files).path(), Split::Test).unwrap().classes()[9], "j");
    files[6].1 = b"a\nb\n".to_vec();
    let message = refusal("cifar10", folder_of(&files).path(), Split::Test);
    assert!(message.ends_with("batches.meta.txt, byte 0: expected 10 class names, one a line, found 2"));
    files[6].1 = b"a\n\xff".to_vec();
    let message = refusal("cifar10", folder_of(&files).path(), Split::Test);
    assert!(message.ends_with("byte 2: expected class names as UTF-8 text"), "{message}");
}

#[test]
fn cifar100_is_read_by_its_fine_labels() {
    let files = [
        ("train.bin", [record(&[19, 99], 1), record(&[0, 7], 5)].concat()),
        ("test.bin", record(&[1, 2], 9)),
    ];
    let folder = folder_of(&files);
    let train = open("cifar100", folder.path(), Split::Train).unwrap();
    assert_eq!((train.label(0), train.label(1), train.len()), (Some(99), Some(7), 2));
    assert_eq!((train.classes()[99].as_str(), train.name().as_str()), ("class 99", "cifar100/train"));
    assert_eq!(train.image(1).unwrap().pixels[..4], [5, 6, 7, 6]);
    for (labels, byte, label, last) in [([20, 0], 3074, 20, 19), ([0, 100], 3075, 100, 99)] {
        let bad = [record(&[0, 0], 1), record(&labels, 1)].concat();
        let folder = folder_of(&[("train.bin", bad)]);
        let message = refusal("cifar100", folder.path(), Split::Train);
        let expected = format!("train.bin, byte {byte}: record 1 has label {label}; expected 0 to {last}");
        assert!(message.ends_with(&expected), "{message}");
    }
}

#[test]
fn a_bad_cifar_file_is_named_with_byte_and_record() {
    let cut = [record(&[1], 1), record(&[1], 1)[..100].to_vec()].concat();
    for (bytes, expected) in [
        (Vec::new(), "byte 0: the file is empty; expected records of 3073 bytes"),
        (
            cut,
            "byte 3173: record 1 ends after 100 of 3073 bytes; the file is cut short or not in this format",
        ),
        (record(&[10], 1), "byte 0: record 0 has label 10; expected 0 to 9"),
    ] {
        let mut files = cifar10();
        files[2].1 = bytes;
        let plain = folder_of(&files);
        let packed = folder_of(&[("cifar-10-binary.tar.gz", gzip(&tar("x", &files)))]);
        for root in [plain.path(), packed.path()] {
            let message = refusal("cifar10", root, Split::Train);
            assert!(message.ends_with(&format!("data_batch_3.bin, {expected}")), "{message}");
        }
    }
}

#[test]
fn a_missing_batch_is_named() {
    let mut files = cifar10();
    files.remove(3);
    let plain = folder_of(&files);
    let packed = folder_of(&[("cifar-10-binary.tar.gz", gzip(&tar("x", &files)))]);
    for root in [plain.path(), packed.path()] {
        let message = refusal("cifar10", root, Split::Train);
        assert!(message.contains("does not hold data_batch_4.bin;"), "{message}");
    }
}

#[test]
fn an_archive_that_is_none_or_ends_early_is_refused() {
    let good = gzip(&tar("x", &cifar10()));
    for bytes in
        [Vec::new(), b"<html>not found</html>".to_vec(), good[..good.len() / 2].to_vec(), gzip(b"no archive")]
    {
        let folder = folder_of(&[("cifar-10-binary.tar.gz", bytes)]);
        let message = refusal("cifar10", folder.path(), Split::Train);
        assert!(message.contains("cannot be read further"), "{message}");
    }
}

#[test]
fn an_archive_that_unpacks_to_too_much_is_refused() {
    for (member, len, expected) in [
        ("x/test_batch.bin", (1 << 28) + 1, "more than 268435456 bytes, the limit"),
        ("x/readme.html", 1 << 30, "unpacks to more than 1073741824 bytes, the limit"),
    ] {
        let folder = folder_of(&[("cifar-10-binary.tar.gz", bomb(member, len))]);
        let message = refusal("cifar10", folder.path(), Split::Test);
        assert!(message.ends_with(expected), "{message}");
    }
}

/// An idx file with `magic`, the sizes `sizes` and the bytes `body`.
fn idx(magic: u32, sizes: &[u32], body: &[u8]) -> Vec<u8> {
    let numbers = [&[magic], sizes].concat();
    numbers.iter().flat_map(|number| number.to_be_bytes()).chain(body.iter().copied()).collect()
}

const IMAGES: u32 = 0x803;
const LABELS: u32 = 0x801;

fn mnist(images: Vec<u8>, labels: Vec<u8>) -> TempDir {
    folder_of(&[("train-images-idx3-ubyte", images), ("train-labels-idx1-ubyte", labels)])
}

fn good_images() -> Vec<u8> {
    idx(IMAGES, &[2, 1, 3], &[1, 2, 3, 4, 5, 6])
}

fn good_labels() -> Vec<u8> {
    idx(LABELS, &[2], &[9, 0])
}

#[test]
fn idx_files_are_read_plain_and_gzipped_whatever_their_name_says() {
    let (images, labels) = (gzip(&good_images()), gzip(&good_labels()));
    let packed = folder_of(&[("train-images-idx3-ubyte.gz", images), ("train-labels-idx1-ubyte.gz", labels)]);
    let misnamed = folder_of(&[
        ("train-images-idx3-ubyte.gz", good_images()),
        ("train-labels-idx1-ubyte", gzip(&good_labels())),
    ]);
    for folder in [mnist(good_images(), good_labels()), packed, misnamed] {
        let set = open("mnist", folder.path(), Split::Train).unwrap();
        assert_eq!((set.len(), set.label(0), set.label(1)), (2, Some(9), Some(0)));
        let image = set.image(1).unwrap();
        assert_eq!((image.width, image.height), (3, 1));
        assert_eq!(image.pixels[..], [4, 4, 4, 5, 5, 5, 6, 6, 6]);
    }
}

#[test]
fn idx_files_are_found_below_the_root_but_never_those_of_the_other_set() {
    let root = tempfile::tempdir().unwrap();
    for (below, name, other) in
        [("MNIST/raw", "mnist", "fashion-mnist"), ("fashion-mnist", "fashion-mnist", "cifar10")]
    {
        let folder = root.path().join(below);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("train-images-idx3-ubyte"), good_images()).unwrap();
        fs::write(folder.join("train-labels-idx1-ubyte.gz"), good_labels()).unwrap();
        assert_eq!(open(name, root.path(), Split::Train).unwrap().len(), 2);
        assert!(refusal(other, root.path(), Split::Train).contains("does not hold"));
    }
    let message = refusal("mnist", root.path(), Split::Test);
    assert!(message.contains("t10k-images-idx3-ubyte.gz or MNIST/raw/"), "{message}");
}

#[test]
fn a_bad_idx_file_is_named_with_the_byte() {
    let long = [good_images(), vec![0]].concat();
    for (images, expected) in [
        (Vec::new(), "byte 0: the file ends within its header"),
        (good_images()[..10].to_vec(), "byte 10: the file ends within its header"),
        (
            good_labels(),
            "byte 0: expected the magic number 0x00000803 (unsigned bytes, 3-dimensional), found 0x00000801",
        ),
        (
            b"<html>not found</html>".to_vec(),
            "byte 0: expected the magic number 0x00000803 (unsigned bytes, 3-dimensional), found 0x3c68746d",
        ),
        (idx(IMAGES, &[0, 1, 3], &[]), "byte 4: the header declares no images"),
        (idx(IMAGES, &[2, 0, 3], &[]), "byte 8: the header declares images of 0 rows; expected 1 to 4096"),
        (
            idx(IMAGES, &[2, 1, u32::MAX], &[0; 6]),
            "byte 12: the header declares images of 4294967295 columns",
        ),
        (
            idx(IMAGES, &[2, 1, 3], &[0; 5]),
            "byte 4: the header declares 6 bytes, but the file holds 5 after it",
        ),
        (long, "byte 4: the header declares 6 bytes, but the file holds 7 after it"),
        (
            idx(IMAGES, &[u32::MAX, 4096, 4096], &[0; 6]),
            "byte 4: the header declares 72057594021150720 bytes; the limit is 1073741824",
        ),
    ] {
        let message = refusal("mnist", mnist(images, good_labels()).path(), Split::Train);
        assert!(message.contains(&format!("train-images-idx3-ubyte, {expected}")), "{message}");
    }
    for (labels, expected) in [
        (idx(LABELS, &[3], &[0; 3]), "byte 4: the header declares 3 labels, but there are 2 images"),
        (idx(LABELS, &[2], &[0, 10]), "byte 9: instance 1 has label 10; expected 0 to 9"),
        (idx(LABELS, &[2], &[0]), "byte 4: the header declares 2 bytes, but the file holds 1 after it"),
        (
            good_images(),
            "byte 0: expected the magic number 0x00000801 (unsigned bytes, 1-dimensional), found 0x00000803",
        ),
    ] {
        let message = refusal("mnist", mnist(good_images(), labels).path(), Split::Train);
        assert!(message.contains(&format!("train-labels-idx1-ubyte, {expected}")), "{message}");
    }
}

#[test]
fn a_gzipped_idx_file_must_hold_exactly_what_its_header_claims() {
    let body: Vec<u8> = (0..60_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let whole = gzip(&idx(IMAGES, &[2, 100, 300], &body));
    let (mut garbled, end) = (whole.clone(), whole.len());
    garbled[end - 6] ^= 1;
    for (images, expected) in [
        (whole[..end / 2].to_vec(), "cannot be unpacked further"),
        (garbled, "byte 60016: the file cannot be unpacked further"),
        (whole[..6].to_vec(), "byte 0: the file cannot be unpacked further"),
        (
            gzip(&idx(IMAGES, &[2, 100, 300], &body[1..])),
            "byte 60015: the file ends after 59999 of the 60000 bytes",
        ),
        (
            gzip(&idx(IMAGES, &[2, 100, 299], &body)),
            "byte 59816: the file goes on after the 59800 bytes its header declares",
        ),
        (
            gzip(&idx(IMAGES, &[60_000, 100, 100], &[0; 6])),
            "byte 4: the header declares 600000000 bytes, but the file holds at most",
        ),
    ] {
        let message = refusal("mnist", mnist(images, good_labels()).path(), Split::Train);
        assert!(
            message.contains("train-images-idx3-ubyte, byte ") && message.contains(expected),
            "{message}"
        );
    }
}

#[test]
fn a_check_tells_files_that_were_not_published() {
    let folder = folder_of(&cifar10());
    let checks = lookalike_data::check("cifar10", Some(folder.path()), &Silent).unwrap().files;
    assert_eq!(checks.len(), 6);
    for check in &checks {
        assert!(matches!(check.verdict, Verdict::Differs { .. }), "{check:?}");
    }
    let files = [("train.bin", record(&[1, 2], 9)), ("test.bin", record(&[1, 2], 9))];
    let checks = lookalike_data::check("cifar100", Some(folder_of(&files).path()), &Silent).unwrap().files;
    assert!(checks.len() == 2 && checks.iter().all(|check| check.verdict == Verdict::Unknown));
    assert!(lookalike_data::check("mnist", Some(folder.path()), &Silent).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_never_panic_a_reader(
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
        sizes in proptest::array::uniform3(0..5_u32),
        cut in 0..6200_usize,
    ) {
        let mut records = [record(&[1], 1), record(&[2], 3)].concat();
        let at = bytes.len() * 5;
        records[at..at + bytes.len()].copy_from_slice(&bytes);
        records.truncate(cut);
        let mut archive = gzip(&tar("x", &[("test_batch.bin", records.clone())]));
        let mut plain_archive = tar("x", &[("test_batch.bin", records.clone())]);
        plain_archive[..bytes.len().min(512)].copy_from_slice(&bytes[..bytes.len().min(512)]);
        let damaged = cut % archive.len();
        archive[damaged] ^= 0x55;
        let images = idx(IMAGES, &sizes, &bytes);
        let labels = idx(LABELS, &sizes[..1], &bytes[..bytes.len().min(4)]);
        for content in [bytes.clone(), gzip(&bytes), records, archive, gzip(&plain_archive), images, labels] {
            let folder = folder_of(&[
                ("test_batch.bin", content.clone()),
                ("test.bin", content.clone()),
                ("a.tar.gz", content.clone()),
                ("t10k-images-idx3-ubyte", content.clone()),
                ("t10k-labels-idx1-ubyte", content),
            ]);
            for name in ["cifar10", "cifar100", "mnist"] {
                if let Ok(set) = open(name, folder.path(), Split::Test) {
                    prop_assert!((0..set.len() as u32).all(|index| set.image(index).is_ok()));
                }
            }
            if let Ok(set) = open("cifar10", &folder.path().join("a.tar.gz"), Split::Test) {
                prop_assert!(set.len() <= 2);
            }
        }
    }
}
