//! Every operation against torchvision on Pillow images, for fixed parameters: `fixtures/augment.py` made the
//! numbers.

#![expect(clippy::unwrap_used, reason = "a test may stop where its fixture is not as expected")]

use lookalike_base::tensors::{self, TensorFile};
use lookalike_data::image::augment::resize::{Axis, ResizeScratch, resize};
use lookalike_data::image::augment::{AugmentOptions, CropBox, JitterStep, Parameters, Scratch};
use lookalike_data::image::augment::{
    Augmentation, Normalization, blend, blur, grayscale, hue, normalize, solarize, split,
};
use lookalike_data::image::dataset::Image;
use std::borrow::Cow;

/// The expected tensors of one operation, each with its image and parameters.
struct Case {
    name: String,
    width: usize,
    height: usize,
    image: Vec<u8>,
    parameters: Vec<f32>,
    expected: Vec<u8>,
}

fn fixture() -> TensorFile {
    tensors::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/augment.safetensors")).unwrap()
}

fn cases(operation: &str) -> Vec<Case> {
    let file = fixture();
    let of_operation = file.tensors.iter().filter_map(|(name, expected)| {
        let [image, found, parameters] = name.splitn(3, '/').collect::<Vec<_>>()[..] else { return None };
        (found == operation).then(|| {
            let image = &file.tensors[&format!("{image}/image")];
            Case {
                name: name.clone(),
                width: image.shape[1],
                height: image.shape[0],
                image: image.as_u8().unwrap().to_vec(),
                parameters: parameters
                    .split(',')
                    .filter(|part| !part.is_empty())
                    .map(|part| part.parse().unwrap())
                    .collect(),
                expected: expected.as_u8().unwrap().to_vec(),
            }
        })
    });
    let cases: Vec<Case> = of_operation.collect();
    assert!(!cases.is_empty(), "the fixture has no {operation}");
    cases
}

impl Case {
    fn as_image(&self) -> Image<'_> {
        Image { width: self.width as u32, height: self.height as u32, pixels: Cow::Borrowed(&self.image) }
    }

    fn parameter(&self) -> f32 {
        self.parameters[0]
    }

    /// Largest difference in levels between `planes` and what was expected.
    fn difference(&self, planes: &[u8]) -> u8 {
        let pixels = planes.len() / 3;
        assert_eq!(planes.len(), self.expected.len(), "{}", self.name);
        let differences = self
            .expected
            .iter()
            .enumerate()
            .map(|(place, expected)| planes[place % 3 * pixels + place / 3].abs_diff(*expected));
        differences.max().unwrap()
    }
}

fn planes_of(interleaved: &[u8]) -> Vec<u8> {
    (0..3).flat_map(|channel| interleaved.iter().skip(channel).step_by(3).copied()).collect()
}

/// Asserts that `change` makes of every image of `operation` what torchvision did, to `tolerance` levels.
fn agrees(operation: &str, tolerance: u8, change: impl Fn(&Case, &mut [u8])) {
    for case in cases(operation) {
        let mut planes = planes_of(&case.image);
        change(&case, &mut planes);
        let difference = case.difference(&planes);
        assert!(difference <= tolerance, "{}: {difference} levels apart", case.name);
    }
}

#[test]
fn brightness_agrees_with_torchvision() {
    agrees("brightness", 0, |case, planes| blend::brightness(split(planes), case.parameter()));
}

#[test]
fn contrast_agrees_with_torchvision() {
    agrees("contrast", 0, |case, planes| blend::contrast(split(planes), case.parameter()));
}

#[test]
fn saturation_agrees_with_torchvision() {
    agrees("saturation", 0, |case, planes| blend::saturation(split(planes), case.parameter()));
}

#[test]
fn hue_agrees_with_torchvision() {
    agrees("hue", 1, |case, planes| hue::hue(split(planes), case.parameter()));
}

#[test]
fn grayscale_agrees_with_torchvision() {
    agrees("grayscale", 0, |_, planes| grayscale::grayscale(split(planes)));
}

#[test]
fn solarizing_agrees_with_torchvision() {
    agrees("solarize", 0, |case, planes| solarize::solarize(split(planes), case.parameter() as u8));
}

#[test]
fn gaussian_blur_agrees_with_torchvision() {
    agrees("blur", 1, |case, planes| {
        let kernel = case.parameter() as usize;
        blur::gaussian_blur(
            split(planes),
            case.width,
            kernel,
            case.parameters[1],
            &mut blur::BlurScratch::default(),
        );
    });
}

#[test]
fn crops_that_grow_and_shrink_agree_with_torchvision() {
    let mut scratch = ResizeScratch::default();
    for case in cases("crop") {
        let [left, top, width, height, flipped, size] = case.parameters[..] else { panic!("{}", case.name) };
        let size = size as usize;
        let across = Axis { mirrored: flipped == 1.0, ..Axis::whole(left as usize, width as usize, size) };
        let down = Axis::whole(top as usize, height as usize, size);
        let mut planes = vec![0; 3 * size * size];
        resize(&case.as_image(), &across, &down, &mut scratch, &mut planes);
        assert!(case.difference(&planes) <= 1, "{}: {} levels apart", case.name, case.difference(&planes));
    }
}

#[test]
fn the_central_square_agrees_with_torchvision() {
    let unchanged = Normalization { mean: [0.0; 3], std: [1.0; 3] };
    for case in cases("centre") {
        let size = case.parameter() as usize;
        let planes = render(&Augmentation::plain(size, unchanged), &case, &Parameters::default());
        assert!(case.difference(&planes) <= 1, "{}: {} levels apart", case.name, case.difference(&planes));
    }
}

#[test]
fn normalization_agrees_with_torchvision() {
    let file = fixture();
    let image = file.tensors["odd/image"].as_u8().unwrap();
    let mut out = vec![0.0; image.len()];
    let normalization = normalize::Normalization { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
    normalization.apply(&planes_of(image), &mut out);
    let expected = file.tensors["odd/normalize/"].as_f32().unwrap();
    let furthest = out.iter().zip(expected).map(|(ours, theirs)| (ours - theirs).abs()).fold(0.0, f32::max);
    assert!(furthest < 1e-6, "{furthest}");
}

#[test]
fn the_whole_list_agrees_with_torchvision() {
    let options =
        AugmentOptions { blur: Some(1.0), mean: Some([0.0; 3]), std: Some([1.0; 3]), ..Default::default() };
    let [augmentation, _] = options.validate().unwrap();
    let parameters = Parameters {
        crop: Some(CropBox { left: 8, top: 5, width: 41, height: 30 }),
        flip: true,
        jitter: [
            JitterStep::Contrast(1.2),
            JitterStep::Hue(-0.07),
            JitterStep::Saturation(0.7),
            JitterStep::Brightness(0.9),
        ]
        .map(Some),
        blur: Some(0.8),
        ..Parameters::default()
    };
    for case in cases("list") {
        let planes = render(&augmentation, &case, &parameters);
        assert!(case.difference(&planes) <= 2, "{}: {} levels apart", case.name, case.difference(&planes));
    }
}

/// A view in levels; `augmentation` must not normalise.
fn render(augmentation: &Augmentation, case: &Case, parameters: &Parameters) -> Vec<u8> {
    let mut out = vec![0.0; 3 * augmentation.size().pow(2)];
    augmentation.render(&case.as_image(), parameters, &mut Scratch::default(), &mut out);
    out.iter().map(|value| (value * 255.0).round() as u8).collect()
}
