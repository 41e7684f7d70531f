//! Every operation of strong augmentation, at every magnitude, against torchvision on Pillow images: equal to the bit.
//! `fixtures/strong.py` made the numbers.

#![expect(clippy::unwrap_used, reason = "a test may stop where its fixture is not as expected")]

use flate2::Crc;
use lookalike_data::image::augment::affine::{Interpolation, Sampling};
use lookalike_data::image::augment::split;
use lookalike_data::image::augment::strong::policies::{CIFAR10, IMAGENET, SVHN};
use lookalike_data::image::augment::strong::{Kind, Operation, Space, StrongScratch};
use serde_json::Value;

#[path = "common/real_data.rs"]
mod real_data;

const KINDS: [(&str, Kind); 15] = [
    ("Identity", Kind::Identity),
    ("ShearX", Kind::ShearX),
    ("ShearY", Kind::ShearY),
    ("TranslateX", Kind::TranslateX),
    ("TranslateY", Kind::TranslateY),
    ("Rotate", Kind::Rotate),
    ("Brightness", Kind::Brightness),
    ("Color", Kind::Color),
    ("Contrast", Kind::Contrast),
    ("Sharpness", Kind::Sharpness),
    ("Posterize", Kind::Posterize),
    ("Solarize", Kind::Solarize),
    ("AutoContrast", Kind::AutoContrast),
    ("Equalize", Kind::Equalize),
    ("Invert", Kind::Invert),
];

fn kind(name: &str) -> Kind {
    KINDS.iter().find(|(known, _)| *known == name).unwrap().1
}

/// The magnitudes that the fixture names so, and how pixels are found.
fn space(name: &str) -> (Space, Sampling) {
    let fill = [124, 116, 104];
    match name {
        "autoaugment" => (Space::AUTO_AUGMENT, Sampling::default()),
        "randaugment" => (Space::RAND_AUGMENT, Sampling::default()),
        "trivialaugment" => (Space::TRIVIAL_AUGMENT, Sampling::default()),
        "nearest" => (Space::TRIVIAL_AUGMENT, Sampling { interpolation: Interpolation::Nearest, fill }),
        _ => (Space::TRIVIAL_AUGMENT, Sampling { interpolation: Interpolation::Bilinear, fill }),
    }
}

fn fixture() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/strong.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn entries(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().unwrap().iter().map(|(name, value)| (name.as_str(), value))
}

/// An image as three planes.
#[derive(Clone)]
struct Picture {
    width: usize,
    planes: Vec<u8>,
}

/// Width and height of `37x23` or `32`.
fn size(text: &str) -> (usize, usize) {
    let (width, height) = text.split_once('x').unwrap_or((text, text));
    (width.parse().unwrap(), height.parse().unwrap())
}

/// The picture that `fixtures/strong.py` makes by the same formula.
fn picture(name: &str) -> Picture {
    let (formula, text) = name.split_once('-').unwrap();
    let (width, height) = size(text);
    let mut planes = vec![0; 3 * width * height];
    let mut state = 1_u32;
    for place in 0..planes.len() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let (pixel, channel) = (place / 3, place % 3);
        let (x, y, noise) = (pixel % width, pixel / width, (state >> 24) as usize);
        let scene = || {
            if height / 2 <= y && x < width / 4 {
                5
            } else if (height / 4..height / 2).contains(&y) && (width / 3..2 * width / 3).contains(&x) {
                [250, 20, 40][channel]
            } else {
                [x * 200 / width, y * 200 / height, (x + y) % 50 * 4][channel] + noise / 8
            }
        };
        let level = match formula {
            "scene" | "gray" => scene(),
            "noise" => noise,
            "dim" => 100 + noise / 8,
            "flat" => 77,
            _ => {
                if noise < 90 {
                    30
                } else {
                    200
                }
            }
        };
        planes[channel * width * height + pixel] = level as u8;
    }
    if formula == "gray" {
        planes.truncate(width * height);
        planes = planes.repeat(3);
    }
    Picture { width, planes }
}

impl Picture {
    fn height(&self) -> usize {
        self.planes.len() / 3 / self.width
    }

    fn after(&self, operation: Option<Operation>, sampling: Sampling) -> Self {
        let mut changed = self.clone();
        if let Some(operation) = operation {
            operation.apply(split(&mut changed.planes), self.width, sampling, &mut StrongScratch::default());
        }
        changed
    }

    /// Adds the bytes, pixel by pixel, to a checksum.
    fn add(&self, channels: usize, crc: &mut Crc) {
        let pixels = self.planes.len() / 3;
        let mut bytes = vec![0; channels * pixels];
        for (channel, plane) in self.planes.chunks_exact(pixels).take(channels).enumerate() {
            bytes
                .iter_mut()
                .skip(channel)
                .step_by(channels)
                .zip(plane)
                .for_each(|(byte, level)| *byte = *level);
        }
        crc.update(&bytes);
    }

    /// Adds what a magnitude makes of the picture, with either sign where there is one.
    fn add_both_signs(
        &self,
        at: (Kind, usize),
        channels: usize,
        (space, sampling): (Space, Sampling),
        crc: &mut Crc,
    ) {
        let (kind, bin) = at;
        let side = if kind == Kind::TranslateY { self.height() } else { self.width };
        for negative in [false, true] {
            if !negative || kind.is_signed() {
                self.after(space.operation(kind, bin, negative, side), sampling).add(channels, crc);
            }
        }
    }
}

fn checksum(add: impl FnOnce(&mut Crc)) -> u64 {
    let mut crc = Crc::new();
    add(&mut crc);
    crc.sum().into()
}

#[test]
fn both_sides_make_the_same_pictures() {
    for (name, crc) in entries(&fixture()["pictures"]) {
        let channels = if name.starts_with("gray") { 1 } else { 3 };
        assert_eq!(checksum(|crc| picture(name).add(channels, crc)), crc.as_u64().unwrap(), "{name}");
    }
}

#[test]
fn magnitudes_are_those_of_torchvision() {
    for (side, spaces) in entries(&fixture()["magnitudes"]) {
        let (width, height) = size(side);
        for (name, table) in entries(spaces) {
            let (space, _) = space(name);
            for (operation, magnitudes) in entries(table) {
                let kind = kind(operation);
                let side = if kind == Kind::TranslateY { height } else { width };
                let magnitudes = magnitudes.as_array().unwrap();
                assert_eq!(
                    magnitudes.len(),
                    if kind.has_magnitude() { space.bins() } else { 1 },
                    "{name} {operation}"
                );
                for (bin, magnitude) in magnitudes.iter().enumerate() {
                    let ours = space.magnitude(kind, bin, side);
                    assert_eq!(
                        f64::from(ours),
                        magnitude.as_f64().unwrap(),
                        "{name} {operation} {bin}, side {side}"
                    );
                }
            }
        }
    }
}

#[test]
fn every_operation_at_every_magnitude_equals_torchvision() {
    let mut wrong = Vec::new();
    for (name, spaces) in entries(&fixture()["crcs"]) {
        let (picture, channels) = (picture(name), if name.starts_with("gray") { 1 } else { 3 });
        for (space_name, table) in entries(spaces) {
            for (operation, crcs) in entries(table) {
                for (bin, expected) in crcs.as_array().unwrap().iter().enumerate() {
                    let at = (kind(operation), bin);
                    let found = checksum(|crc| picture.add_both_signs(at, channels, space(space_name), crc));
                    if found != expected.as_u64().unwrap() {
                        wrong.push(format!("{name} {space_name} {operation} {bin}"));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} differ: {wrong:?}", wrong.len());
}

#[test]
fn policies_are_those_of_torchvision_and_their_operations_follow_one_another() {
    let picture = picture("scene-32");
    let fixture = fixture();
    for (name, policy) in [("imagenet", IMAGENET), ("cifar10", CIFAR10), ("svhn", SVHN)] {
        let theirs = fixture["policies"][name].as_array().unwrap();
        assert_eq!(theirs.len(), policy.len());
        for (number, (theirs, ours)) in theirs.iter().zip(policy).enumerate() {
            let mut result = picture.clone();
            for (theirs, ours) in theirs["steps"].as_array().unwrap().iter().zip(ours) {
                let what = format!("{name} {number}: {ours:?}");
                assert_eq!(kind(theirs[0].as_str().unwrap()), ours.kind, "{what}");
                assert_eq!(theirs[1].as_f64().unwrap() as f32, ours.probability, "{what}");
                assert_eq!(theirs[2].as_u64().is_some(), ours.kind.has_magnitude(), "{what}");
                assert_eq!(theirs[2].as_u64().unwrap_or(0), ours.bin as u64, "{what}");
                let operation = Space::AUTO_AUGMENT.operation(ours.kind, ours.bin, false, 32);
                result = result.after(operation, Sampling::default());
            }
            let found = checksum(|crc| result.add(3, crc));
            assert_eq!(found, theirs["crc"].as_u64().unwrap(), "{name} {number}");
        }
    }
}

#[test]
fn photographs_come_out_as_torchvisions() {
    let Some(root) = real_data::folder("cifar-10-batches-bin/test_batch.bin") else { return };
    let records = std::fs::read(root.join("cifar-10-batches-bin/test_batch.bin")).unwrap();
    for entry in fixture()["real"].as_array().unwrap() {
        let number = |key: &str| entry[key].as_u64().unwrap() as usize;
        let (index, times) = (number("index"), number("times"));
        let small = &records[index * 3073 + 1..][..3072];
        let width = 32 * times;
        let place = |place: usize| {
            let (plane, row, column) = (place / width / width, place / width % width, place % width);
            small[plane * 1024 + row / times * 32 + column / times]
        };
        let picture = Picture { width, planes: (0..3 * width * width).map(place).collect() };
        for (operation, expected) in entries(&entry["crcs"]) {
            let kind = kind(operation);
            let bins: &[usize] = if kind.has_magnitude() { &[3, 9, 17, 30] } else { &[0] };
            let found = checksum(|crc| {
                for bin in bins {
                    picture.add_both_signs((kind, *bin), 3, space("randaugment"), crc);
                }
            });
            assert_eq!(found, expected.as_u64().unwrap(), "image {index}, {width} pixels, {operation}");
        }
    }
}
