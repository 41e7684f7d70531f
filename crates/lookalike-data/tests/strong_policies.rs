//! What policies draw, and what is easily got wrong about their operations.

#![expect(clippy::unwrap_used, reason = "a test may stop where its options are refused")]

use lookalike_base::{Seed, Stream};
use lookalike_data::Image;
use lookalike_data::image::augment::affine::{Interpolation, Sampling};
use lookalike_data::image::augment::strong::policies::{CIFAR10, IMAGENET, SVHN};
use lookalike_data::image::augment::strong::{Kind, Operation, Operations, Policy, Space, StrongScratch};
use lookalike_data::image::augment::{
    AugmentOptions, CropBox, Parameters, Preset, Scratch, StrongName, split,
};
use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::RangeInclusive;

const DRAWS: u64 = 50_000;

fn stream(instance: u64) -> Stream {
    Seed(5).stream("augment", 0, 0, instance)
}

/// How often a policy draws each outcome for views of 32 pixels.
fn outcomes(policy: Policy) -> HashMap<String, f64> {
    let mut counts = HashMap::new();
    for instance in 0..DRAWS {
        *counts.entry(written(policy.draw(32, &mut stream(instance)))).or_insert(0.0) += 1.0;
    }
    counts
}

fn written(operations: Operations) -> String {
    format!("{operations:?}")
}

fn list(operations: &[Option<Operation>]) -> Operations {
    let mut all = Operations::default();
    all[..operations.len()].copy_from_slice(operations);
    all
}

/// Asserts that outcomes come as often as `expected` has it (Pearson's χ², one seed in ten thousand fails), and no others.
fn agrees(found: &HashMap<String, f64>, expected: &HashMap<String, f64>) {
    let total: f64 = expected.values().sum();
    assert!((total - 1.0).abs() < 1e-6, "{total}");
    assert!(found.keys().all(|outcome| expected.contains_key(outcome)));
    let terms = expected.iter().map(|(outcome, share)| {
        let expected = share * DRAWS as f64;
        (found.get(outcome).unwrap_or(&0.0) - expected).powi(2) / expected
    });
    let (freedom, chi_square) = ((expected.len() - 1) as f64, terms.sum::<f64>());
    // Wilson and Hilferty 1931.
    let limit = freedom * (1.0 - 2.0 / (9.0 * freedom) + 3.719 * (2.0 / (9.0 * freedom)).sqrt()).powi(3);
    assert!(chi_square < limit, "{chi_square} at {freedom} degrees of freedom, more than {limit}");
}

/// What one of the fourteen operations comes to: bins equally likely, signs fair.
fn of_fourteen(space: &Space, bins: &RangeInclusive<usize>) -> Vec<(Option<Operation>, f64)> {
    let mut all = Vec::new();
    for kind in Kind::DRAWN {
        let bins: Vec<usize> = if kind.has_magnitude() { bins.clone().collect() } else { vec![0] };
        let signs: &[bool] = if kind.is_signed() { &[false, true] } else { &[false] };
        let share = 1.0 / (14 * bins.len() * signs.len()) as f64;
        for bin in bins {
            all.extend(signs.iter().map(|negative| (space.operation(kind, bin, *negative, 32), share)));
        }
    }
    all
}

#[test]
fn randaugment_draws_fourteen_operations_and_signs_alike_with_replacement() {
    let policy = Policy::RandAugment { operations: 2, magnitude: 9 };
    let one = of_fourteen(&Space::RAND_AUGMENT, &(9..=9));
    let mut expected = HashMap::new();
    for (first, share) in &one {
        for (second, other) in &one {
            *expected.entry(written(list(&[*first, *second]))).or_insert(0.0) += share * other;
        }
    }
    agrees(&outcomes(policy), &expected);
}

#[test]
fn trivialaugment_draws_one_operation_at_any_magnitude() {
    let mut expected = HashMap::new();
    for (operation, share) in of_fourteen(&Space::TRIVIAL_AUGMENT, &(0..=30)) {
        *expected.entry(written(list(&[operation]))).or_insert(0.0) += share;
    }
    agrees(&outcomes(Policy::TrivialAugment), &expected);
}

#[test]
fn autoaugment_draws_one_pair_and_each_operation_by_its_probability_and_a_fair_sign() {
    for policy in [&IMAGENET, &CIFAR10, &SVHN] {
        let mut expected = HashMap::new();
        for pair in policy {
            let sides = pair.map(|step| {
                let probability = f64::from(step.probability);
                let at = |negative| Space::AUTO_AUGMENT.operation(step.kind, step.bin, negative, 32);
                [(None, 1.0 - probability), (at(false), probability / 2.0), (at(true), probability / 2.0)]
            });
            for (first, share) in sides[0] {
                for (second, other) in sides[1] {
                    if share * other > 0.0 {
                        let outcome = written(list(&[first, second]));
                        *expected.entry(outcome).or_insert(0.0) += share * other / 25.0;
                    }
                }
            }
        }
        agrees(&outcomes(Policy::AutoAugment(policy)), &expected);
    }
}

#[test]
fn randaugment_gives_as_many_operations_as_asked() {
    for operations in 1..=8 {
        let policy = Policy::RandAugment { operations, magnitude: 30 };
        let most =
            (0..200).map(|instance| policy.draw(32, &mut stream(instance)).iter().flatten().count()).max();
        assert_eq!(most, Some(operations));
    }
}

fn drawn(options: &AugmentOptions) -> Vec<Parameters> {
    let [augmentation, _] = options.validate().unwrap();
    (0..10_000).map(|instance| augmentation.draw(40, 40, &mut stream(instance))).collect()
}

fn always_jittered() -> AugmentOptions {
    AugmentOptions {
        jitter_probability: Some(1.0),
        grayscale: Some(0.5),
        blur: Some(0.5),
        blur_kernel: Some(3),
        solarize: Some(0.5),
        ..Preset::SimclrCifar.options()
    }
}

#[test]
fn a_policy_replaces_jitter_grayscale_blur_and_solarise_and_is_not_stacked_on_them() {
    let options = AugmentOptions {
        strong: Some(StrongName::AutoaugmentImagenet),
        strong_probability: Some(0.3),
        ..always_jittered()
    };
    let views = drawn(&options);
    let (weak, strong): (Vec<&Parameters>, Vec<&Parameters>) =
        views.iter().partition(|view| view.jitter[0].is_some());
    let share = strong.len() as f64 / views.len() as f64;
    assert!((share - 0.3).abs() < 0.02, "{share}");
    assert!(weak.iter().all(|view| view.strong == Operations::default()));
    let nothing = Parameters::default();
    for view in &strong {
        let left = (view.jitter, view.grayscale, view.blur, view.solarize);
        assert_eq!(left, (nothing.jitter, nothing.grayscale, nothing.blur, nothing.solarize));
    }
    // Crop and flip stay.
    assert!(strong.iter().all(|view| view.crop.is_some()) && strong.iter().any(|view| view.flip));
    assert!(strong.iter().any(|view| view.strong[0].is_some() && view.strong[1].is_some()));
}

#[test]
fn a_policy_that_is_off_draws_nothing() {
    let off = AugmentOptions {
        strong: Some(StrongName::Trivialaugment),
        strong_probability: Some(0.0),
        ..always_jittered()
    };
    assert_eq!(drawn(&off), drawn(&always_jittered()));
}

#[test]
fn one_seed_draws_what_it_drew_before_there_were_policies() {
    let [augmentation, _] = always_jittered().validate().unwrap();
    let views: Vec<String> = (0..2)
        .map(|instance| {
            let Parameters { crop, flip, jitter, grayscale, blur, solarize, .. } =
                augmentation.draw(40, 40, &mut stream(instance));
            format!("{crop:?} {flip} {jitter:?} {grayscale} {blur:?} {solarize}")
        })
        .collect();
    assert_eq!(views, BEFORE);
}

const BEFORE: [&str; 2] = [
    "Some(CropBox { left: 6, top: 0, width: 34, height: 29 }) false [Some(Contrast(1.2450309)), Some(Hue(0.05992049)), Some(Brightness(0.8826848)), Some(Saturation(1.0103853))] false Some(0.7567671) true",
    "Some(CropBox { left: 23, top: 9, width: 17, height: 16 }) false [Some(Brightness(0.8470031)), Some(Hue(-0.060271204)), Some(Saturation(0.65881807)), Some(Contrast(1.2945498))] true None true",
];

/// A picture of one plane, thrice.
fn gray(width: usize, height: usize) -> Vec<u8> {
    let level = |place: usize| (place % width * 7 + place / width * 5 + 3) as u8;
    (0..width * height).map(level).collect::<Vec<u8>>().repeat(3)
}

fn after(planes: &[u8], width: usize, operation: Operation, sampling: Sampling) -> Vec<u8> {
    let mut planes = planes.to_vec();
    operation.apply(split(&mut planes), width, sampling, &mut StrongScratch::default());
    planes
}

#[test]
fn a_view_gets_its_operations_after_crop_and_flip_and_the_fill_that_the_recipe_says() {
    let sampling = Sampling { interpolation: Interpolation::Bilinear, fill: [200, 10, 90] };
    let options = AugmentOptions {
        size: Some(24),
        strong: Some(StrongName::Trivialaugment),
        strong_interpolation: Some(sampling.interpolation),
        strong_fill: Some(sampling.fill),
        mean: Some([0.0; 3]),
        std: Some([1.0; 3]),
        ..AugmentOptions::default()
    };
    let [augmentation, _] = options.validate().unwrap();
    let pixels = gray(40, 40).iter().map(|level| level.wrapping_mul(3)).collect::<Vec<u8>>();
    let image = Image { width: 40, height: 40, pixels: Cow::Owned(pixels) };
    let levels = |parameters: &Parameters| -> Vec<u8> {
        let mut out = vec![0.0; 3 * 24 * 24];
        augmentation.render(&image, parameters, &mut Scratch::default(), &mut out);
        out.iter().map(|value| (value * 255.0).round() as u8).collect()
    };
    let crop = CropBox { left: 3, top: 5, width: 31, height: 22 };
    let shown = Parameters { crop: Some(crop), flip: true, ..Parameters::default() };
    let operations = [Operation::Rotate(30.0), Operation::Invert];
    let found = levels(&Parameters { strong: list(&operations.map(Some)), ..shown });
    let expected = operations.iter().fold(levels(&shown), |planes, step| after(&planes, 24, *step, sampling));
    assert_eq!(found, expected);
    // The corner that the rotation brings in, inverted.
    assert_eq!([0, 1, 2].map(|plane| found[plane * 576]), [55, 245, 165]);
}

#[test]
fn gray_images_stay_gray_and_colour_does_nothing_to_them() {
    let image = gray(32, 32);
    let sampling = Sampling { interpolation: Interpolation::Bilinear, fill: [9; 3] };
    for space in [Space::AUTO_AUGMENT, Space::TRIVIAL_AUGMENT] {
        for kind in Kind::DRAWN.into_iter().chain([Kind::Invert]) {
            for (bin, negative) in (0..space.bins()).flat_map(|bin| [(bin, false), (bin, true)]) {
                let Some(operation) = space.operation(kind, bin, negative, 32) else { continue };
                let found = after(&image, 32, operation, sampling);
                let [red, green, blue] = [0, 1, 2].map(|plane| &found[plane * 1024..][..1024]);
                assert!(red == green && green == blue, "{operation:?}");
                assert!(kind != Kind::Color || found == image, "{operation:?}");
            }
        }
    }
}

#[test]
fn nearest_pixels_are_the_default_and_bring_no_new_level() {
    let image = gray(31, 31);
    assert_eq!(Sampling::default(), Sampling { interpolation: Interpolation::Nearest, fill: [0; 3] });
    for operation in [Operation::ShearX(0.3), Operation::ShearY(-0.2), Operation::Rotate(17.0)] {
        let found = after(&image, 31, operation, Sampling::default());
        assert!(found.iter().all(|level| *level == 0 || image.contains(level)), "{operation:?}");
    }
}

#[test]
fn a_shear_leaves_the_first_row_or_column_where_it_is() {
    let image = gray(32, 32);
    for slope in [0.99, 0.3, -0.3] {
        assert_eq!(after(&image, 32, Operation::ShearX(slope), Sampling::default())[..32], image[..32]);
        let found = after(&image, 32, Operation::ShearY(slope), Sampling::default());
        assert!((0..32).all(|row| found[row * 32] == image[row * 32]));
    }
}

#[test]
fn translations_drop_the_fraction_on_either_side() {
    // 150 / 331 of 32 pixels are 14.5.
    let at = |negative| Space::AUTO_AUGMENT.operation(Kind::TranslateX, 9, negative, 32);
    assert_eq!([at(false), at(true)], [Some(Operation::TranslateX(14)), Some(Operation::TranslateX(-14))]);
    let image = gray(32, 32);
    let right = after(&image, 32, Operation::TranslateX(14), Sampling::default());
    assert_eq!((&right[..14], &right[14..32]), (&[0; 14][..], &image[..18]));
    let up = after(&image, 32, Operation::TranslateY(-14), Sampling::default());
    assert_eq!((&up[..18 * 32], &up[18 * 32..1024]), (&image[14 * 32..1024], &[0; 14 * 32][..]));
}

#[test]
fn a_translation_beyond_the_image_leaves_nothing_but_the_fill() {
    let image = gray(8, 8);
    let sampling = Sampling { interpolation: Interpolation::Nearest, fill: [1, 2, 3] };
    for operation in [Operation::TranslateX(9), Operation::TranslateX(-8), Operation::TranslateY(32)] {
        assert_eq!(after(&image, 8, operation, sampling), [[1; 64], [2; 64], [3; 64]].concat());
    }
}

#[test]
fn posterize_keeps_eight_bits_at_first_and_four_at_last() {
    let bits = |bin| Space::AUTO_AUGMENT.magnitude(Kind::Posterize, bin, 32);
    assert_eq!([0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map(bits), [8.0, 8.0, 7.0, 7.0, 6.0, 6.0, 5.0, 5.0, 4.0, 4.0]);
    assert_eq!(
        after(&[0xff, 0x1f, 0x10], 1, Operation::Posterize(4), Sampling::default()),
        [0xf0, 0x10, 0x10]
    );
}

#[test]
fn solarize_inverts_from_its_threshold_up_and_white_even_at_the_least_magnitude() {
    assert_eq!(Space::AUTO_AUGMENT.operation(Kind::Solarize, 0, false, 32), Some(Operation::Solarize(255)));
    let image = [254, 255, 100];
    assert_eq!(after(&image, 1, Operation::Solarize(255), Sampling::default()), [254, 0, 100]);
    // At 226.67 level 226 stays, 227 is inverted.
    let operation = Space::AUTO_AUGMENT.operation(Kind::Solarize, 1, false, 32).unwrap();
    assert_eq!(after(&[226, 227, 0], 1, operation, Sampling::default()), [226, 28, 0]);
}

#[test]
fn a_sign_may_darken_and_wash_out() {
    for kind in [Kind::Brightness, Kind::Color, Kind::Contrast, Kind::Sharpness] {
        let operation = |negative| Space::AUTO_AUGMENT.operation(kind, 9, negative, 32);
        let (Some(more), Some(less)) = (operation(false), operation(true)) else { panic!("{kind:?}") };
        let factor = |operation| match operation {
            Operation::Brightness(factor)
            | Operation::Color(factor)
            | Operation::Contrast(factor)
            | Operation::Sharpness(factor) => factor,
            other => panic!("{other:?}"),
        };
        assert_eq!([factor(more), factor(less)], [1.0 + 0.9, 1.0 - 0.9]);
    }
}

#[test]
fn equalize_counts_in_steps_that_leave_the_greatest_level_out() {
    // 510 + 4 values: a step is (514 − 4) / 255 = 2, half a step comes first, and a level's own values count for the next.
    let plane = [vec![10; 255], vec![20; 255], vec![30; 4]].concat();
    let found = after(&plane.repeat(3), 1, Operation::Equalize, Sampling::default());
    assert_eq!([found[0], found[255], found[510]], [0, 128, 255]);
    // Fewer than 255 values below the greatest level: nothing is changed.
    let few = [vec![10; 254], vec![20; 300]].concat().repeat(3);
    assert_eq!(after(&few, 1, Operation::Equalize, Sampling::default()), few);
}
