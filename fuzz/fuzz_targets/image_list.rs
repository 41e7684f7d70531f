//! A list of images, with commas or tabs between its columns by the first byte: none may panic, and each image has a class that there is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lookalike_base::Silent;
use lookalike_data::image::folder;
use lookalike_data::{ImageDataset, Split};
use lookalike_fuzz::with_files;

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let list = ["list.csv", "list.tsv", "list.txt"][usize::from(kind % 3)];
    let files = [("a.png", Some([0_u8].as_slice())), ("b.png", Some(&[0])), (list, Some(bytes))];
    with_files(&files, |root| {
        for split in [Split::Train, Split::Test] {
            if let Ok((set, _)) = folder::open(&root.join(list), split, false, &Silent) {
                let label =
                    |image| set.label(image).is_none_or(|label| (label as usize) < set.classes().len());
                assert!((0..set.len() as u32).all(label));
            }
        }
    });
});
