//! A folder of images, well formed and not.

#![expect(clippy::unwrap_used, reason = "a test may stop where a promise is broken")]

use image::{DynamicImage, GrayAlphaImage, ImageBuffer, ImageFormat, Luma, Rgb, RgbImage, Rgba, RgbaImage};
use lookalike_base::Silent;
use lookalike_data::image::folder::{Folder, FolderOptions, ImageFolder, open, open_both};
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
    for test in ["test", "testing", "val", "valid", "validation", "Test"] {
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
    let whole = said(&["test/1.png", "valid/2.png"]);
    assert!(whole.contains("its sub-folders test and valid are read as classes"), "{whole}");
    let two = said(&["train/1.png", "test/1.png", "val/1.png", "cat/2.png"]);
    assert!(two.contains("train is the train split and test the test split; ignored are cat, val"), "{two}");
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
    assert!(warnings.contains("1 .csv, 1 .me, 1 .txt"), "{warnings}");
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
    for name in ["a/notes.txt", "b.heic"] {
        let message = open(root.path(), Split::Train, false, &Silent).unwrap_err().to_string();
        assert!(message.contains("holds no images") && message.contains(root.path().to_str().unwrap()));
        put(root.path(), name, b"");
    }
    let message = open(root.path(), Split::Train, false, &Silent).unwrap_err().to_string();
    assert!(message.contains("it holds 1 .heic, 1 .txt, which are not read: convert them"), "{message}");
    let missing = root.path().join("missing");
    assert!(matches!(open(&missing, Split::Train, false, &Silent), Err(DataError::Io { .. })));
    assert!(matches!(
        open(&root.path().join("b.heic"), Split::Train, false, &Silent),
        Err(DataError::Io { .. })
    ));
}

#[test]
fn every_format_is_read_whatever_its_name_says() {
    for (format, name) in [
        (ImageFormat::Png, "a.jpg"),
        (ImageFormat::WebP, "a.png"),
        (ImageFormat::Tiff, "a.tif"),
        (ImageFormat::Tiff, "a.gif"),
        (ImageFormat::Bmp, "a.bmp"),
        (ImageFormat::Gif, "a.GIF"),
        (ImageFormat::Pnm, "a.ppm"),
        (ImageFormat::Pnm, "a.jfif"),
    ] {
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
    // What stands behind the last pixel, and can be missing.
    for (format, spare) in [
        (ImageFormat::Png, 12),
        (ImageFormat::Jpeg, 2),
        (ImageFormat::WebP, 0),
        (ImageFormat::Bmp, 0),
        // Its last byte of data may hold no more than the code that ends them.
        (ImageFormat::Gif, 3),
        (ImageFormat::Tiff, 0),
        (ImageFormat::Pnm, 0),
    ] {
        let bytes = encode(noisy.clone(), format);
        decoded("a.png", &bytes).unwrap();
        let end = bytes.len() - spare;
        for cut in (0..end).step_by(7).chain([end - 1]) {
            assert!(decoded("a.png", &bytes[..cut]).is_err(), "{format:?} of {cut}/{} bytes", bytes.len());
        }
    }
}

/// From `fixtures/progressive.py`.
const PROGRESSIVE: &[u8] = include_bytes!("fixtures/progressive.jpg");

#[test]
fn a_jpeg_that_lacks_nothing_but_its_end_marker_is_read() {
    let smooth =
        RgbImage::from_fn(64, 48, |x, y| Rgb([(40 + 2 * x) as u8, (40 + 3 * y) as u8, (60 + x + y) as u8]));
    let flat = RgbImage::from_pixel(40, 40, Rgb([9, 99, 199]));
    for jpeg in [encode(smooth, ImageFormat::Jpeg), encode(flat, ImageFormat::Jpeg), PROGRESSIVE.to_vec()] {
        let whole = decoded("a.jpg", &jpeg).unwrap();
        for missing in [1, 2] {
            assert_eq!(
                decoded("a.jpg", &jpeg[..jpeg.len() - missing]).unwrap(),
                whole,
                "{missing} bytes less"
            );
        }
    }
    // Whole scans are missing.
    let scans: Vec<usize> =
        (0..PROGRESSIVE.len() - 1).filter(|at| PROGRESSIVE[*at..][..2] == [0xff, 0xda]).collect();
    assert!(scans.len() > 3);
    for scan in &scans[1..] {
        let tables = PROGRESSIVE[..*scan].windows(2).rposition(|pair| pair == [0xff, 0xc4]).unwrap();
        assert!(refusal("a.jpg", &PROGRESSIVE[..tables.min(*scan)]).contains("cut short"));
        assert!(refusal("a.jpg", &PROGRESSIVE[..*scan]).contains("cut short"));
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
    assert!(refusal("a.png", b"\0\0\0\x18ftypheic\0\0\0\0").contains("HEIC"));
    assert!(refusal("a.jpg", b"\n<!DOCTYPE html><html>").contains("web page"));
    assert!(refusal("a.jpg", b"version https://git-lfs.github.com/spec/v1\n").contains("git lfs pull"));
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
    assert!(warnings.iter().any(|warning| warning.contains("25 of 26 files")), "counted once: {warnings:?}");
}

#[test]
fn a_folder_of_nothing_but_corrupt_files_is_an_error() {
    let root = tempfile::tempdir().unwrap();
    put(root.path(), "a/1.png", b"");
    let error = open(root.path(), Split::Train, true, &Silent).unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("none of its files can be decoded") && error.contains("the file is empty"),
        "{error}"
    );
}

/// A folder with links and a pipe under names of images beside two good files.
#[cfg(unix)]
fn folder_of_odd_entries() -> tempfile::TempDir {
    use std::os::unix::fs::symlink;
    let root = folder_of(&["train/a/1.png", "train/b/2.png", "test/a/1.png", "test/b/2.png"]);
    let train = root.path().join("train");
    symlink("/nowhere/object.png", train.join("a/gone.png")).unwrap();
    symlink("self.png", train.join("a/self.png")).unwrap();
    symlink("../a", train.join("a/round")).unwrap();
    symlink("..", train.join("whole")).unwrap();
    symlink("1.png", train.join("a/good.png")).unwrap();
    let pipe = std::process::Command::new("mkfifo").arg(train.join("b/pipe.jpg")).status().unwrap();
    assert!(pipe.success());
    root
}

#[cfg(unix)]
#[test]
fn links_that_lead_nowhere_and_pipes_are_named_and_left_out_where_that_is_asked_for() {
    let root = folder_of_odd_entries();
    let message = open(root.path(), Split::Train, false, &Silent).unwrap_err().to_string();
    for said in [
        "3 of 8 files",
        "data.skip_corrupt = true",
        "gone.png: is a link to /nowhere/object.png, which is not there",
        "self.png: is a link to self.png, which cannot be reached",
        "pipe.jpg: is a pipe",
    ] {
        assert!(message.contains(said), "{message}");
    }
    let (folder, warnings) = open(root.path(), Split::Train, true, &Silent).unwrap();
    assert_eq!((folder.len(), folder.classes().len()), (3, 2));
    assert!(warnings.iter().any(|warning| warning.contains("2 links to folders")), "{warnings:?}");
}

#[cfg(unix)]
#[test]
fn a_file_that_became_a_pipe_is_an_error_and_no_wait() {
    let root = folder_of(&["1.png", "2.png"]);
    let (folder, _) = open(root.path(), Split::Train, false, &Silent).unwrap();
    fs::remove_file(root.path().join("1.png")).unwrap();
    std::process::Command::new("mkfifo").arg(root.path().join("1.png")).status().unwrap();
    assert!(folder.image(0).unwrap_err().to_string().contains("1.png"));
    assert!(folder.image(1).is_ok());
}

/// A list beside the pictures that it may name.
fn list_of(name: &str, text: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let root = folder_of(&["cat/1.png", "cat/2.png", "dog/1.png", "3.png"]);
    let path = root.path().join(name);
    fs::write(&path, text).unwrap();
    (root, path)
}

#[test]
fn a_list_names_images_classes_and_parts() {
    let texts = [
        ("list.csv", "cat/1.png,cat,train\n3.png,,train\ndog/1.png,dog,train\ncat/2.png,cat,test\n"),
        (
            "list.csv",
            "\u{feff}Path,Label,Split\ncat/1.png,cat,Train\n3.png,,train\n\"dog/1.png\",dog,train\ncat/2.png,cat,val\n",
        ),
        (
            "list.tsv",
            "split\tclass\tfile\ntrain\tcat\tcat/1.png\ntrain\t\t3.png\ntrain\tdog\tdog/1.png\ntest\tcat\tcat/2.png\n",
        ),
        (
            "list.txt",
            "cat/1.png;cat;train\r\n3.png;;train\r\ndog/1.png;dog;train\r\ncat/2.png;cat;validation\r\n",
        ),
    ];
    for (name, text) in texts {
        let (_root, path) = list_of(name, text);
        let (train, warnings) = open(&path, Split::Train, false, &Silent).unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        assert_eq!(
            (train.classes(), labels(&train)),
            (&["cat".to_owned(), "dog".to_owned()][..], vec![Some(0), None, Some(1)])
        );
        assert!(train.image(1).is_ok() && train.name() == "list/train");
        let (test, _) = open(&path, Split::Test, false, &Silent).unwrap();
        assert_eq!(labels(&test), [Some(0)]);
    }
    let (_root, path) = list_of("list.csv", "3.png\ncat/1.png\n");
    let (set, warnings) = open(&path, Split::Test, false, &Silent).unwrap();
    assert_eq!((labels(&set), set.classes().len(), set.serves_both()), (vec![None, None], 0, true));
    assert!(warnings[0].contains("both splits are the whole list"), "{warnings:?}");
}

#[test]
fn a_line_of_a_list_that_names_no_image_is_told() {
    let message = |text: &str| {
        let (_root, path) = list_of("list.csv", text);
        open(&path, Split::Train, false, &Silent).unwrap_err().to_string()
    };
    assert!(message("path,label\n,cat\n").contains("line 2: it names no image"));
    assert!(message("3.png,a\n3.png,b\n").contains("line 2:"));
    assert!(message("3.png,a,trian\n").contains("its split is \"trian\", and should be train"));
    let gone = message("3.png,a\ngone.png,a\ncat,a\n");
    assert!(
        gone.contains("2 of 3 files")
            && gone.contains("gone.png: is not there")
            && gone.contains("cat: is a folder"),
        "{gone}"
    );
    assert!(message("").contains("holds no images"));
}

#[test]
fn a_share_is_drawn_from_each_class_and_always_the_same() {
    let names: Vec<String> =
        (0..40).map(|i| format!("{}/{i:02}.png", if i < 30 { "many" } else { "few" })).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).chain(["lone/1.png"]).collect();
    let root = folder_of(&names);
    let split = || {
        let options = FolderOptions { skip_corrupt: false, test_share: Some(0.2) };
        open_both(root.path(), &options, &Silent).unwrap()
    };
    let Folder { train, test, warnings, note, .. } = split();
    let count = |set: &ImageFolder, class| labels(set).iter().filter(|label| **label == Some(class)).count();
    assert_eq!(train.classes(), ["few", "lone", "many"]);
    assert_eq!([0, 1, 2].map(|class| (count(&train, class), count(&test, class))), [(8, 2), (1, 0), (24, 6)]);
    assert!(warnings.is_empty() && !test.serves_both(), "{warnings:?}");
    assert!(note.unwrap().contains("33 images to train on, 8 to test"));
    let again = split();
    assert_eq!(again.test.fingerprint().unwrap(), test.fingerprint().unwrap());
    assert_ne!(train.fingerprint().unwrap(), test.fingerprint().unwrap());
}

#[test]
fn a_share_of_what_has_a_part_to_test_on_is_refused() {
    let root = folder_of(&["train/a/1.png", "train/a/2.png", "test/a/1.png"]);
    let message = |share| {
        let options = FolderOptions { skip_corrupt: false, test_share: Some(share) };
        open_both(root.path(), &options, &Silent).unwrap_err().to_string()
    };
    assert!(message(0.5).starts_with("data.test_share: splits a part off"), "{}", message(0.5));
    assert!(message(1.0).contains("below 1"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn damage_never_panics(
        format in prop::sample::select(vec![
            ImageFormat::Png,
            ImageFormat::Jpeg,
            ImageFormat::WebP,
            ImageFormat::Tiff,
            ImageFormat::Bmp,
            ImageFormat::Gif,
            ImageFormat::Pnm,
        ]),
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

#[test]
fn a_chunk_that_says_it_is_longer_than_the_file_is_refused_before_anything_is_allocated_for_it() {
    let folder = tempfile::tempdir().unwrap();
    // Found by a fuzzer: an EXIF chunk of 1.3 GB in a file of a few hundred bytes.
    put(folder.path(), "a.webp", include_bytes!("fixtures/long_chunk.webp"));
    let (set, _) = open(folder.path(), Split::Train, false, &Silent).unwrap();
    let error = set.image(0).unwrap_err().to_string();
    assert!(error.contains("a.webp"), "{error}");
}
