//! A file of an image folder, in whatever format: none may panic, and an image has the pixels that it says.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lookalike_base::Silent;
use lookalike_data::image::folder;
use lookalike_data::{ImageDataset, Split};
use lookalike_fuzz::with_file;

fuzz_target!(|bytes: &[u8]| {
    with_file("image.png", bytes, |path| {
        let root = path.parent().expect("a folder");
        let (set, _) = folder::open(root, Split::Train, false, &Silent).expect("a folder of one file");
        assert_eq!(set.len(), 1);
        if let Ok(image) = set.image(0) {
            assert!(image.width > 0 && image.height > 0);
            assert_eq!(image.pixels.len(), 3 * image.width as usize * image.height as usize);
        }
    });
});
