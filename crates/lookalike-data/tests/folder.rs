//! A folder of images, well formed and not.

#![expect(clippy::unwrap_used, reason = "a test may stop where a promise is broken")]

use image::{DynamicImage, GrayAlphaImage, ImageBuffer, ImageFormat, Luma, Rgb, RgbImage, Rgba, RgbaImage};
use lookalike_base::Silent;
use lookalike_data::image::folder::{ImageFolder, open};
use lookalike_data::{DataError, ImageDataset, Split};
use proptest::prelude::*;
use std::fs;
use std::io::Cursor;
use std::path::Path;

/// 3 by 2 pixels, the left column red, the rest blue.
fn picture() -> RgbImage {
    RgbImage::from_fn(3, 2, |x, _| if x == 0 { Rgb([250, 0, 0]) } else { Rgb([0, 0, 250]) })
}

fn encode(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn put(root: &Path, name: &str, bytes: &[u8]) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// A folder with a picture under each name.
fn folder_of(names: &[&str]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let bytes = encode(picture(), ImageFormat::Png);
    for name in names {
        put(root.path(), name, &bytes);
    }
    root
}

fn labels(folder: &ImageFolder) -> Vec<Option<u32>> {
    (0..folder.len() as u32).map(|index| folder.label(index)).collect()
}

/// The only image of a folder that holds these bytes.
fn decoded(name: &str, bytes: &[u8]) -> Result<(u32, u32, Vec<u8>), DataError> {
    let root = tempfile::tempdir().unwrap();
    put(root.path(), name, bytes);
    let (folder, _) = open(root.path(), Split::Train, false, &Silent).unwrap();
    folder.image(0).map(|image| (image.width, image.height, image.pixels.into_owned()))
}

fn refusal(name: &str, bytes: &[u8]) -> String {
    let error = decoded(name, bytes).unwrap_err();
    let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    assert!(error.to_string().contains(name), "{error}");
    format!("{error}: {source}")
}

#[test]
fn a_fingerprint_tells_names_sizes_and_classes_and_not_the_place() {
    let names = ["train/a/1.png", "train/b/2.png", "test/a/3.png"];
    let of = |root: &Path| open(root, Split::Train, false, &Silent).unwrap().0.fingerprint().unwrap();
    let (one, same) = (folder_of(&names), folder_of(&names));
    assert_eq!(of(one.path()), of(same.path()));
    let renamed = folder_of(&["train/a/1.png", "train/b/4.png", "test/a/3.png"]);
    let relabelled = folder_of(&["train/a/1.png", "train/c/2.png", "test/a/3.png"]);
    let more = folder_of(&[&names[..], &["train/b/3.png"]].concat());
    let resized = folder_of(&names);
    put(resized.path(), names[1], &encode(RgbImage::new(40, 40), ImageFormat::Png));
    for other in [renamed, relabelled, more, resized] {
        assert_ne!(of(other.path()), of(one.path()));
    }
}

#[test]
fn sub_folders_are_classes_in_the_order_of_their_names() {
    let root = folder_of(&["dog/2.png", "dog/1.PNG", "cat/deep/er/9.png", "cat/1.png"]);
    let (folder, warnings) = open(root.path(), Split::Train, false, &Silent).unwrap();
    assert_eq!(folder.classes(), ["cat", "dog"]);
    assert_eq!(labels(&folder), [Some(0), Some(0), Some(1), Some(1)]);
    assert_eq!(folder.label(4), None);
    assert!(warnings[0].contains("both splits are the whole folder"), "{warnings:?}");
    assert!(matches!(folder.image(4), Err(DataError::Index { .. })));
    assert!(folder.name().ends_with("/train"));
}

#[test]
fn images_directly_in_the_folder_have_no_labels() {
    let root = folder_of(&["2.png", "1.png"]);
    let (folder, _) = open(root.path(), Split::Test, false, &Silent).unwrap();
    assert!(folder.classes().is_empty());
    assert_eq!(labels(&folder), [None, None]);
    assert_eq!(folder.image(0).unwrap().pixels.as_ref(), picture().as_raw());
}

#[test]
fn train_and_test_are_two_splits_of_the_same_classes() {
    for test in ["test", "val", "valid"] {
        let dog = format!("{test}/dog/1.png");
        let root = folder_of(&["train/cat/1.png", "train/dog/1.png", "train/eel/1.png", &dog]);
        let (folder, warnings) = open(root.path(), Split::Test, false, &Silent).unwrap();
        assert_eq!(folder.classes(), ["cat", "dog", "eel"]);
        assert_eq!(labels(&folder), [Some(1)]);
        assert!(warnings.is_empty(), "{warnings:?}");
        assert_eq!(open(root.path(), Split::Train, false, &Silent).unwrap().0.len(), 3);
    }
}

#[test]
fn a_class_that_only_the_test_split_has_is_a_class_of_both() {
    let root = folder_of(&["train/b/1.png", "test/a/1.png", "test/b/1.png"]);
    let (train, _) = open(root.path(), Split::Train, false, &Silent).unwrap();
    assert_eq!((train.classes(), labels(&train)), (&["a".to_owned(), "b".to_owned()][..], vec![Some(1)]));
}

#[test]
fn an_unlabelled_test_split_stays_so() {
    let root = folder_of(&["train/b/1.png", "test/1.png"]);
    let (test, _) = open(root.path(), Split::Test, false, &Silent).unwrap();
    assert!(test.classes().is_empty());
    assert_eq!(labels(&test), [None]);
}

#[test]
fn a_missing_or_doubtful_split_is_said() {
    let said =
        |names: &[&str]| open(folder_of(names).path(), Split::Test, false, &Silent).unwrap().1.join("; ");
    assert!(said(&["train/1.png"]).contains("both splits are train"));
    assert!(said(&["test/1.png"]).contains("val and valid are read as classes"));
    let two = said(&["train/1.png", "test/1.png", "val/1.png"]);
    assert!(two.contains("test is the test split") && two.contains("val is ignored"), "{two}");
}

#[test]
fn what_is_passed_over_is_counted() {
    let root = folder_of(&["a/1.png", "b/1.png", "stray.png"]);
    put(root.path(), "a/notes.txt", b"");
    put(root.path(), "read.me", b"");
    put(root.path(), "none/list.csv", b"");
    put(root.path(), ".hidden/1.png", b"");
    let (folder, warnings) = open(root.path(), Split::Train, false, &Silent).unwrap();
    let warnings = warnings.join("; ");
    assert_eq!(folder.classes(), ["a", "b"]);
    assert!(warnings.contains("3 files in"), "{warnings}");
    assert!(warnings.contains("1 images directly in"), "{warnings}");
    assert!(warnings.contains("without images, which are no classes: none"), "{warnings}");
}

#[cfg(unix)]
#[test]
fn a_link_that_leads_back_does_not_lead_astray() {
    let root = folder_of(&["a/1.png"]);
    std::os::unix::fs::symlink(root.path(), root.path().join("a/back")).unwrap();
    let (folder, warnings) = open(root.path(), Split::Train, false, &Silent).unwrap();
    assert_eq!(folder.len(), 1);
    assert!(warnings.iter().any(|warning| warning.contains("1 links to folders")), "{warnings:?}");
}

#[test]
fn a_folder_without_images_is_an_error_that_names_it() {
    let root = tempfile::tempdir().unwrap();
    for name in ["a/notes.txt", "b.gif"] {
        let message = open(root.path(), Split::Train, false, &Silent).unwrap_err().to_string();
        assert!(message.contains("holds no images") && message.contains(root.path().to_str().unwrap()));
        put(root.path(), name, b"");
    }
    let missing = root.path().join("missing");
    assert!(matches!(open(&missing, Split::Train, false, &Silent), Err(DataError::Io { .. })));
    assert!(matches!(
        open(&root.path().join("b.gif"), Split::Train, false, &Silent),
        Err(DataError::Io { .. })
    ));
}

#[test]
fn every_format_is_read_whatever_its_name_says() {
    for (format, name) in [(ImageFormat::Png, "a.jpg"), (ImageFormat::WebP, "a.png")] {
        let image = decoded(name, &encode(picture(), format)).unwrap();
        assert_eq!(image, (3, 2, picture().into_raw()), "{format:?}");
    }
    let flat = RgbImage::from_pixel(16, 8, Rgb([200, 100, 50]));
    let (width, height, pixels) = decoded("a.webp", &encode(flat.clone(), ImageFormat::Jpeg)).unwrap();
    assert_eq!((width, height), (16, 8));
    assert!(pixels.iter().zip(flat.as_raw()).all(|(a, b)| a.abs_diff(*b) <= 3));
}

#[test]
fn gray_alpha_and_sixteen_bits_become_rgb() {
    let gray = GrayAlphaImage::from_pixel(1, 1, image::LumaA([7, 3]));
    assert_eq!(decoded("a.png", &encode(gray, ImageFormat::Png)).unwrap().2, [7, 7, 7]);
    let clear = RgbaImage::from_pixel(1, 1, Rgba([9, 8, 7, 0]));
    assert_eq!(decoded("a.png", &encode(clear, ImageFormat::Png)).unwrap().2, [9, 8, 7]);
    let deep: ImageBuffer<Luma<u16>, Vec<u16>> = ImageBuffer::from_pixel(1, 1, Luma([257 * 100]));
    assert_eq!(decoded("a.png", &encode(deep, ImageFormat::Png)).unwrap().2, [100, 100, 100]);
}

/// A JPEG with an EXIF segment that says nothing but the orientation.
fn oriented(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let mut exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
    let length = (exif.len() as u16 + 2).to_be_bytes();
    [&jpeg[..2], &[0xff, 0xe1], &length, &exif, &jpeg[2..]].concat()
}

#[test]
fn the_camera_s_orientation_is_applied() {
    let wide = RgbImage::from_fn(32, 16, |x, _| if x < 16 { Rgb([250, 250, 250]) } else { Rgb([5, 5, 5]) });
    let jpeg = encode(wide, ImageFormat::Jpeg);
    let (width, height, pixels) = decoded("a.jpg", &oriented(&jpeg, 6)).unwrap();
    // A quarter turn clockwise: what was left is on top.
    assert_eq!((width, height), (16, 32));
    assert!(pixels[0] > 200 && pixels[16 * 3 - 1] > 200 && pixels[16 * 31 * 3] < 50);
    assert_eq!(decoded("a.jpg", &oriented(&jpeg, 1)).unwrap().0, 32);
}

#[test]
fn a_file_cut_short_is_refused_wherever_it_was_cut() {
    let noisy =
        RgbImage::from_fn(40, 40, |x, y| Rgb([(x * 77 + y * 31) as u8, (x * y) as u8, (x ^ y) as u8]));
    for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP] {
        let bytes = encode(noisy.clone(), format);
        decoded("a.png", &bytes).unwrap();
        let end = if format == ImageFormat::Png { bytes.len() - 12 } else { bytes.len() };
        for cut in (0..end).step_by(7).chain([end - 1]) {
            assert!(decoded("a.png", &bytes[..cut]).is_err(), "{format:?} of {cut}/{} bytes", bytes.len());
        }
    }
}

#[test]
fn a_jpeg_whose_preview_is_whole_but_not_itself_is_refused() {
    let jpeg = encode(RgbImage::from_pixel(64, 64, Rgb([1, 99, 200])), ImageFormat::Jpeg);
    let length = (jpeg.len() as u16 + 2).to_be_bytes();
    let cut = &jpeg[2..jpeg.len() - 9];
    let with_preview = [&jpeg[..2], &[0xff, 0xe5], &length, &jpeg, cut].concat();
    assert!(refusal("a.jpg", &with_preview).contains("cut short"));
}

#[test]
fn what_is_no_image_is_told_by_how_it_begins() {
    assert!(refusal("a.png", b"").contains("the file is empty"));
    assert!(refusal("a.png", b"hello, world").contains("[68, 65, 6c"));
    assert!(refusal("a.png", b"BM000000").contains("a.png"));
}

#[test]
fn a_size_that_lies_is_refused_before_anything_is_allocated() {
    let mut png = encode(picture(), ImageFormat::Png);
    png[16..24].copy_from_slice(&[0, 1, 0, 0, 0, 1, 0, 0]);
    let crc = crc32(&png[12..29]);
    png[29..33].copy_from_slice(&crc.to_be_bytes());
    let message = refusal("a.png", &png);
    assert!(message.to_lowercase().contains("limit") || message.contains("exceed"), "{message}");
    png[16..24].copy_from_slice(&[0, 0, 0x70, 0, 0, 0, 0x70, 0]);
    let crc = crc32(&png[12..29]);
    png[29..33].copy_from_slice(&crc.to_be_bytes());
    refusal("a.png", &png);
}

/// The checksum of a PNG chunk (PNG specification, annex D).
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ if sum & 1 == 1 { 0xedb8_8320 } else { 0 })
    })
}

#[test]
fn a_corrupt_file_among_good_ones_is_an_error_only_when_it_is_read() {
    let root = folder_of(&["a/1.png", "a/3.png", "b/1.png"]);
    put(root.path(), "a/2.jpg", &encode(picture(), ImageFormat::Jpeg)[..200]);
    let (folder, _) = open(root.path(), Split::Train, false, &Silent).unwrap();
    assert_eq!(folder.len(), 4);
    assert!(folder.image(1).unwrap_err().to_string().contains("2.jpg"));
    assert!([0, 2, 3].iter().all(|index| folder.image(*index).is_ok()));
}

#[test]
fn corrupt_files_are_left_out_and_named_where_that_is_asked_for() {
    let root = folder_of(&["a/1.png", "a/3.png", "b/1.png"]);
    put(root.path(), "a/2.jpg", &encode(picture(), ImageFormat::Jpeg)[..200]);
    put(root.path(), "b/0.webp", b"");
    let (folder, warnings) = open(root.path(), Split::Train, true, &Silent).unwrap();
    assert_eq!(labels(&folder), [Some(0), Some(0), Some(1)]);
    assert!((0..3).all(|index| folder.image(index).is_ok()));
    let warnings = warnings.join("; ");
    assert!(warnings.contains("2 of 5 files"), "{warnings}");
    assert!(warnings.contains("2.jpg") && warnings.contains("0.webp: the file is empty"), "{warnings}");
}

#[test]
fn many_corrupt_files_are_counted_rather_than_all_named() {
    let root = folder_of(&["good.png"]);
    (0..25).for_each(|i| put(root.path(), &format!("{i}.png"), b""));
    let (folder, warnings) = open(root.path(), Split::Train, true, &Silent).unwrap();
    assert_eq!((folder.len(), folder.label(0)), (1, None));
    assert!(warnings.last().unwrap().contains("5 more"), "{warnings:?}");
}

#[test]
fn a_folder_of_nothing_but_corrupt_files_is_an_error() {
    let root = tempfile::tempdir().unwrap();
    put(root.path(), "a/1.png", b"");
    let error = open(root.path(), Split::Train, true, &Silent).unwrap_err();
    assert!(error.to_string().contains("none of its 1 files can be decoded"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn damage_never_panics(
        format in prop::sample::select(vec![ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP]),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = encode(picture(), format);
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Ok((width, height, pixels)) = decoded("a.png", &bytes) {
            prop_assert_eq!(pixels.len(), width as usize * height as usize * 3);
        }
    }
}
