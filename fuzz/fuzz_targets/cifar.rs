//! A set of CIFAR: records and names of classes, or a tar archive of them. The first byte says which, and of CIFAR-10 or CIFAR-100. The
//! archive is gzipped here, so that no checksum stands between the fuzzer and its members. None may panic, and each label has a name.
#![no_main]

use flate2::Compression;
use flate2::write::GzEncoder;
use libfuzzer_sys::fuzz_target;
use lookalike_data::image::cifar::{Cifar, open};
use lookalike_data::{ImageDataset, Split};
use lookalike_fuzz::{files, with_files};
use std::io::Write;
use std::path::Path;

fn check(which: Cifar, root: &Path) {
    if let Ok(set) = open(which, root, Split::Test) {
        let last = set.len() as u32 - 1;
        assert!(set.image(last).is_ok());
        assert!(set.label(last).is_some_and(|label| (label as usize) < set.classes().len()));
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let (which, records, names) = match kind & 1 {
        0 => (Cifar::Ten, "test_batch.bin", "batches.meta.txt"),
        _ => (Cifar::Hundred, "test.bin", "fine_label_names.txt"),
    };
    if kind & 2 == 0 {
        let [first, second] = files(bytes);
        return with_files(&[(records, first), (names, second)], |folder| check(which, folder));
    }
    let mut archive = GzEncoder::new(Vec::new(), Compression::none());
    archive.write_all(bytes).expect("memory");
    let archive = archive.finish().expect("memory");
    with_files(&[("archive.tar.gz", Some(&archive))], |folder| check(which, &folder.join("archive.tar.gz")));
});
