//! The distributions that parameters are drawn from, against those that torchvision states.

#![expect(clippy::unwrap_used, reason = "a test may stop where its options are refused")]

use lookalike_base::{Seed, Stream};
use lookalike_data::image::augment::{
    AugmentOptions, Augmentation, CropBox, JitterStep, Parameters, Preset, RandomResizedCrop,
};
use std::collections::HashMap;

const DRAWS: u64 = 20_000;

fn stream(instance: u64) -> Stream {
    Seed(11).stream("augment", 0, 0, instance)
}

fn augmentation(options: &AugmentOptions) -> Augmentation {
    let [first, _] = options.validate().unwrap();
    first
}

fn drawn(options: &AugmentOptions, side: u32) -> Vec<Parameters> {
    let augmentation = augmentation(options);
    (0..DRAWS).map(|instance| augmentation.draw(side, side, &mut stream(instance))).collect()
}

fn share(of: impl Iterator<Item = bool>) -> f64 {
    of.filter(|is| *is).count() as f64 / DRAWS as f64
}

/// Largest distance between the empirical distribution of `values` and the uniform one from `low` to `high`
/// (Kolmogorov and Smirnov); 1.95 / √n is exceeded once in a thousand seeds.
fn is_uniform(mut values: Vec<f64>, low: f64, high: f64) -> bool {
    values.sort_by(f64::total_cmp);
    let count = values.len() as f64;
    let distance =
        |(rank, value): (usize, &f64)| ((value - low) / (high - low) - (rank as f64 + 0.5) / count).abs();
    let furthest = values.iter().enumerate().map(distance).fold(0.0, f64::max);
    values[0] >= low && values[values.len() - 1] <= high && furthest < 1.95 / count.sqrt()
}

#[test]
fn operations_take_place_with_their_probabilities() {
    let options = AugmentOptions { solarize: Some(0.1), ..Preset::MocoV2.options() };
    let all = drawn(&options, 256);
    let near = |found: f64, wanted: f64| assert!((found - wanted).abs() < 0.015, "{found} is not {wanted}");
    near(share(all.iter().map(|p| p.flip)), 0.5);
    near(share(all.iter().map(|p| p.jitter[0].is_some())), 0.8);
    near(share(all.iter().map(|p| p.grayscale)), 0.2);
    near(share(all.iter().map(|p| p.blur.is_some())), 0.5);
    near(share(all.iter().map(|p| p.solarize)), 0.1);
    near(share(all.iter().map(|p| p.flip && p.blur.is_some())), 0.25);
}

#[test]
fn areas_of_crops_that_always_fit_are_uniform() {
    // In a large square every rectangle up to 0.7 of the area fits whatever its ratio (0.7 · 4/3 < 1): no
    // redraws.
    let crop = RandomResizedCrop { scale: [0.08, 0.7], ratio: [3.0 / 4.0, 4.0 / 3.0] };
    let side = 100_000_u32;
    let crops: Vec<CropBox> =
        (0..DRAWS).map(|instance| crop.draw(side, side, &mut stream(instance))).collect();
    let area = |c: &CropBox| f64::from(c.width) * f64::from(c.height) / f64::from(side).powi(2);
    let log_ratio = |c: &CropBox| (f64::from(c.width) / f64::from(c.height)).ln();
    let margin = 1e-4;
    assert!(is_uniform(crops.iter().map(area).collect(), 0.08 - margin, 0.7 + margin));
    let widest = (4.0_f64 / 3.0).ln() + margin;
    assert!(is_uniform(crops.iter().map(log_ratio).collect(), -widest, widest));
    let place = |c: &CropBox| f64::from(c.left) / f64::from(side - c.width);
    assert!(is_uniform(crops.iter().map(place).collect(), 0.0, 1.0));
}

#[test]
fn the_mean_area_of_a_crop_is_that_of_torchvision() {
    // Means over 200,000 draws of torchvision's RandomResizedCrop.get_params (fixtures/crop_means.py); large
    // areas are redrawn more often than small ones, so it is less than the middle of the range.
    for (preset, width, height, mean) in MEAN_AREAS {
        let crop = RandomResizedCrop { scale: preset, ratio: [3.0 / 4.0, 4.0 / 3.0] };
        let area = |instance| {
            let found = crop.draw(width, height, &mut stream(instance));
            f64::from(found.width * found.height) / f64::from(width * height)
        };
        let found = (0..DRAWS).map(area).sum::<f64>() / DRAWS as f64;
        assert!((found - mean).abs() < 0.007, "{width} × {height}, {preset:?}: {found} is not {mean}");
    }
}

/// Scale, width, height, mean area.
const MEAN_AREAS: [([f64; 2], u32, u32, f64); 4] = [
    ([0.08, 1.0], 32, 32, 0.4904),
    ([0.2, 1.0], 256, 256, 0.5400),
    ([0.08, 1.0], 500, 375, 0.4333),
    ([0.5, 1.0], 90, 300, 0.4000),
];

#[test]
fn every_crop_lies_inside_the_image() {
    let crop = RandomResizedCrop { scale: [0.08, 1.0], ratio: [3.0 / 4.0, 4.0 / 3.0] };
    for (width, height) in [(32, 32), (5, 500), (500, 5), (1, 1), (3, 2)] {
        for instance in 0..500 {
            let c = crop.draw(width, height, &mut stream(instance));
            assert!(c.width > 0 && c.height > 0, "{c:?}");
            assert!(c.left + c.width <= width && c.top + c.height <= height, "{c:?} in {width} × {height}");
        }
    }
}

#[test]
fn an_image_too_narrow_for_any_ratio_is_cropped_at_its_centre() {
    let crop = RandomResizedCrop { scale: [0.9, 1.0], ratio: [3.0 / 4.0, 4.0 / 3.0] };
    let narrow = CropBox { left: 0, top: 33, width: 100, height: 133 };
    assert_eq!(crop.draw(100, 200, &mut stream(0)), narrow);
    let wide = CropBox { left: 33, top: 0, width: 133, height: 100 };
    assert_eq!(crop.draw(200, 100, &mut stream(0)), wide);
}

#[test]
fn all_orders_of_the_jitter_are_equally_likely() {
    let options = AugmentOptions { jitter_probability: Some(1.0), ..Preset::SimclrCifar.options() };
    let mut orders = HashMap::new();
    for parameters in drawn(&options, 32) {
        let order = parameters.jitter.map(|step| match step.unwrap() {
            JitterStep::Brightness(_) => 'b',
            JitterStep::Contrast(_) => 'c',
            JitterStep::Saturation(_) => 's',
            JitterStep::Hue(_) => 'h',
        });
        *orders.entry(order).or_insert(0_u32) += 1;
    }
    assert_eq!(orders.len(), 24);
    let expected = DRAWS as f64 / 24.0;
    let chi_square: f64 =
        orders.values().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum();
    // 23 degrees of freedom: exceeded once in a thousand seeds.
    assert!(chi_square < 49.7, "{chi_square}");
}

#[test]
fn amounts_of_the_jitter_are_uniform_and_never_negative() {
    let options = AugmentOptions {
        jitter: Some([0.4, 1.5, 0.8, 0.2]),
        jitter_probability: Some(1.0),
        ..Preset::Simclr.options()
    };
    let mut amounts: HashMap<char, Vec<f64>> = HashMap::new();
    for step in drawn(&options, 32).iter().flat_map(|parameters| parameters.jitter) {
        let (name, amount) = match step.unwrap() {
            JitterStep::Brightness(factor) => ('b', factor),
            JitterStep::Contrast(factor) => ('c', factor),
            JitterStep::Saturation(factor) => ('s', factor),
            JitterStep::Hue(turn) => ('h', turn),
        };
        amounts.entry(name).or_default().push(f64::from(amount));
    }
    for (name, low, high) in [('b', 0.6, 1.4), ('c', 0.0, 2.5), ('s', 0.2, 1.8), ('h', -0.2, 0.2)] {
        assert!(is_uniform(amounts[&name].clone(), low - 1e-6, high + 1e-6), "{name}");
    }
}

#[test]
fn deviations_of_the_blur_are_uniform() {
    let options = AugmentOptions { blur: Some(1.0), ..Preset::MocoV2.options() };
    let sigmas = drawn(&options, 256).iter().map(|parameters| f64::from(parameters.blur.unwrap())).collect();
    assert!(is_uniform(sigmas, 0.1 - 1e-6, 2.0 + 1e-6));
}

#[test]
fn a_change_of_strength_zero_does_not_take_place() {
    let options = AugmentOptions { jitter: Some([0.4, 0.0, 0.4, 0.0]), ..Preset::SimclrCifar.options() };
    for step in drawn(&options, 32).iter().flat_map(|parameters| parameters.jitter).flatten() {
        assert!(matches!(step, JitterStep::Brightness(_) | JitterStep::Saturation(_)), "{step:?}");
    }
}
