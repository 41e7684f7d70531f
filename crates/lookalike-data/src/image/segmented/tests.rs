use std::fs;

use super::*;

/// A PNG file of that type and depth.
fn write_png(path: &Path, size: [u32; 2], color: png::ColorType, depth: png::BitDepth, data: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut encoder = png::Encoder::new(fs::File::create(path).unwrap(), size[0], size[1]);
    encoder.set_color(color);
    encoder.set_depth(depth);
    if color == png::ColorType::Indexed {
        encoder.set_palette((0..=255).flat_map(|value: u8| [255 - value, 7, value]).collect::<Vec<u8>>());
    }
    encoder.write_header().unwrap().write_image_data(data).unwrap();
}

fn gray(path: &Path, size: [u32; 2], data: &[u8]) {
    write_png(path, size, png::ColorType::Grayscale, png::BitDepth::Eight, data);
}

/// A folder of two images of 4×2 pixels and their masks.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for part in ["train", "val"] {
        gray(&folder.path().join(format!("set/images/{part}/a.png")), [4, 2], &[9; 8]);
        gray(&folder.path().join(format!("set/masks/{part}/a.png")), [4, 2], &[0, 1, 2, 255, 0, 0, 0, 2]);
    }
    fs::write(folder.path().join("set/classes.txt"), "background\ncat\ndog\n").unwrap();
    folder
}

fn read(folder: &Path) -> Result<Vec<u8>, String> {
    let told = |error| match error {
        DataError::Decode { path, source } => format!("{}: {source}", path.display()),
        error => error.to_string(),
    };
    let read = SegmentedSet::open("set", folder).and_then(|set| set.read(Split::Train, 0)).map_err(told)?;
    assert_eq!((read.image.width, read.image.height, read.image.pixels[0]), (4, 2, 9));
    Ok(read.truth)
}

#[test]
fn values_and_places_in_a_palette_are_classes() {
    let folder = folder();
    let mask = folder.path().join("set/masks/train/a.png");
    let truth = [0, 1, 2, 255, 0, 0, 0, 2];
    assert_eq!(read(folder.path()).unwrap(), truth);
    write_png(&mask, [4, 2], png::ColorType::Indexed, png::BitDepth::Eight, &truth);
    assert_eq!(read(folder.path()).unwrap(), truth);
    // Two bits a value.
    write_png(&mask, [4, 2], png::ColorType::Grayscale, png::BitDepth::Two, &[0b0001_1000, 0b0000_0010]);
    assert_eq!(read(folder.path()).unwrap(), [0, 1, 2, 0, 0, 0, 0, 2]);
    let wide: Vec<u8> = truth.iter().flat_map(|value| [0, *value]).collect();
    write_png(&mask, [4, 2], png::ColorType::Grayscale, png::BitDepth::Sixteen, &wide);
    assert_eq!(read(folder.path()).unwrap(), truth);
    let set = SegmentedSet::open("set", folder.path()).unwrap();
    assert_eq!((set.len(Split::Train), set.len(Split::Test), set.name()), (1, 1, "set"));
    assert_eq!(set.classes(), ["background", "cat", "dog"]);
    // Named by a path, and called as a known set is.
    fs::rename(folder.path().join("set"), folder.path().join("nuclei")).unwrap();
    for (name, root) in [("nuclei", folder.path()), ("../nuclei/", &folder.path().join("nuclei"))] {
        let set = SegmentedSet::open(name, root).unwrap();
        assert_eq!((set.name(), set.classes().len()), ("nuclei", 3));
    }
    fs::remove_file(folder.path().join("nuclei/classes.txt")).unwrap();
    let error = SegmentedSet::open("nuclei", folder.path()).unwrap_err().to_string();
    assert!(error.contains("nuclei/instances"), "{error}");
}

#[test]
fn colours_are_the_classes_that_the_list_gives_them() {
    let folder = folder();
    let mask = folder.path().join("set/masks/train/a.png");
    let colors = [[0, 0, 0], [128, 64, 128], [224, 224, 192], [255, 255, 255]];
    let data: Vec<u8> = colors.iter().chain(&colors).flatten().copied().collect();
    write_png(&mask, [4, 2], png::ColorType::Rgb, png::BitDepth::Eight, &data);
    assert!(read(folder.path()).unwrap_err().contains("the mask has colours; classes.txt must say"));
    let list = folder.path().join("set/classes.txt");
    fs::write(&list, "0 0 0 background\n128 64 128 road\n").unwrap();
    assert_eq!(read(folder.path()).unwrap(), [0, 1, 255, 255, 0, 1, 255, 255]);
    fs::write(&list, "0 0 0 background\n128 64 129 road\n").unwrap();
    let error = read(folder.path()).unwrap_err();
    assert!(error.contains("row 0, column 1 has the colour [128, 64, 128]"), "{error}");
}

#[test]
fn what_is_wrong_is_named() {
    let change = |change: &dyn Fn(&Path), words: &[&str]| {
        let folder = folder();
        change(&folder.path().join("set"));
        let error = read(folder.path()).unwrap_err();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    };
    let mask = |set: &Path| set.join("masks/train/a.png");
    change(
        &|set| gray(&mask(set), [4, 2], &[0, 1, 2, 3, 0, 0, 0, 2]),
        &["a.png", "row 0, column 3 has the value 3"],
    );
    change(&|set| gray(&mask(set), [2, 4], &[0; 8]), &["the mask is 2 × 4 pixels", "is 4 × 2"]);
    change(&|set| fs::remove_file(mask(set)).unwrap(), &["images/train/a.png has no mask", "masks/train"]);
    change(&|set| gray(&set.join("masks/val/b.png"), [1, 1], &[0]), &["masks/val/b.png has no image"]);
    change(&|set| fs::remove_dir_all(set.join("images/val")).unwrap(), &["`test` or `val` was looked for"]);
    change(
        &|set| fs::remove_file(set.join("images/train/a.png")).unwrap(),
        &["images/train holds no images"],
    );
    change(
        &|set| fs::remove_file(set.join("classes.txt")).unwrap(),
        &["names of the classes", "classes.txt"],
    );
    change(&|set| fs::write(mask(set), &fs::read(mask(set)).unwrap()[..40]).unwrap(), &["masks/train/a.png"]);
    change(
        &|set| gray(&set.join("images/train/a.jpg"), [4, 2], &[0; 8]),
        &["the same name but for its ending"],
    );
    change(
        &|set| write_png(&mask(set), [4, 2], png::ColorType::GrayscaleAlpha, png::BitDepth::Eight, &[0; 16]),
        &["alpha channel"],
    );
    let error = SegmentedSet::open("nucle", Path::new("nowhere")).unwrap_err().to_string();
    assert!(error.contains("evaluate.segmentation") && error.contains("did you mean `nuclei`"), "{error}");
}
