//! The two files of a set in the idx format, images and labels, plain or gzipped: none may panic, and each image has a label.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lookalike_data::image::idx::{Idx, open};
use lookalike_data::{ImageDataset, Split};
use lookalike_fuzz::{files, with_files};

fuzz_target!(|bytes: &[u8]| {
    let [images, labels] = files(bytes);
    with_files(&[("train-images-idx3-ubyte", images), ("train-labels-idx1-ubyte", labels)], |folder| {
        if let Ok(set) = open(Idx::Mnist, folder, Split::Train) {
            let last = set.len() as u32 - 1;
            assert!(set.image(last).is_ok() && set.label(last).is_some_and(|label| label < 10));
        }
    });
});
