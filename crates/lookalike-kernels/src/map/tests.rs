use proptest::prelude::*;

use super::*;
use crate::sizes::refusal;

fn normals(purpose: &str, count: usize) -> Vec<f32> {
    let mut stream = lookalike_base::Seed(7).stream(purpose, 0, 0, 0);
    (0..count).map(|_| stream.normal()).collect()
}

const PRECISIONS: [Precision; 2] = [Precision::F32, Precision::Bf16];

/// Values that this precision holds.
fn held(precision: Precision, values: Vec<f32>) -> Vec<f32> {
    match precision {
        Precision::F32 => values,
        Precision::Bf16 => values.into_iter().map(bf16::round).collect(),
    }
}

fn values(shape: &MapShape, precision: Precision, purpose: &str) -> Vec<f32> {
    held(precision, normals(purpose, shape.values()))
}

proptest! {
    #[test]
    fn a_packed_map_unpacks_to_the_same_images(
        images in 0_usize..40, channels in 1_usize..6, height in 1_usize..6, width in 1_usize..6,
    ) {
        let shape = MapShape { images, channels, height, width };
        for precision in PRECISIONS {
            let values = values(&shape, precision, "values");
            let map = pack(&shape, precision, &values);
            let words = channels.div_ceil(precision.channels_per_word());
            prop_assert_eq!(map.len(), images.div_ceil(16) * words * height * width * 16);
            prop_assert_eq!(&unpack(&shape, precision, &map), &values);
        }
    }

    #[test]
    fn means_and_largest_values_are_those_of_the_definition(
        images in 1_usize..20, channels in 1_usize..4, height in 2_usize..9, width in 2_usize..9,
        side in 1_usize..4, stride in 1_usize..4, padding in 0_usize..2,
    ) {
        let shape = MapShape { images, channels, height, width };
        let window = Window { side, stride, padding: padding.min(side / 2) };
        prop_assume!(side <= height.min(width) + 2 * window.padding);
        for precision in PRECISIONS {
            check(&shape, &window, precision);
        }
    }
}

fn check(shape: &MapShape, window: &Window, precision: Precision) {
    let MapShape { height, width, .. } = *shape;
    let pooled = window.pooled(shape);
    let (input, gradient) = (values(shape, precision, "input"), values(&pooled, precision, "gradient"));
    let map = pack(shape, precision, &input);

    let means = mean(shape, precision, &map);
    for (mean, channel) in means.iter().zip(input.chunks_exact(shape.pixels())) {
        let twin = channel.iter().map(|value| f64::from(*value)).sum::<f64>() / shape.pixels() as f64;
        assert!((f64::from(*mean) - twin).abs() < 1e-6, "{mean} is not {twin} of {shape:?}");
    }
    let returned = unpack(shape, precision, &mean_gradient(shape, precision, &means));
    for (pixels, mean) in returned.chunks_exact(shape.pixels()).zip(&means) {
        let expected = held(precision, vec![mean / shape.pixels() as f32])[0];
        assert!(pixels.iter().all(|pixel| *pixel == expected));
    }

    let output = max_pool(shape, window, precision, &map);
    let gradients = pack(&pooled, precision, &gradient);
    let returned =
        unpack(shape, precision, &max_pool_gradient(shape, window, precision, [&map, &output, &gradients]));
    let output = unpack(&pooled, precision, &output);
    for (index, channel) in input.chunks_exact(shape.pixels()).enumerate() {
        let mut twin = vec![0.0; shape.pixels()];
        for place in 0..pooled.pixels() {
            let (row, column) = (place / pooled.width * window.stride, place % pooled.width * window.stride);
            let mut largest: Option<usize> = None;
            for (y, x) in
                (row..row + window.side).flat_map(|y| (column..column + window.side).map(move |x| (y, x)))
            {
                let (y, x) = (y.wrapping_sub(window.padding), x.wrapping_sub(window.padding));
                let pixel = y.wrapping_mul(width).wrapping_add(x);
                if y < height && x < width && largest.is_none_or(|largest| channel[pixel] > channel[largest])
                {
                    largest = Some(pixel);
                }
            }
            let place = index * pooled.pixels() + place;
            assert_eq!(output[place], channel[largest.unwrap()], "{window:?} over {shape:?}");
            twin[largest.unwrap()] += f64::from(gradient[place]);
        }
        for (returned, twin) in returned[index * shape.pixels()..].iter().zip(twin) {
            let bound = if precision == Precision::F32 { 1e-5 } else { 0.004 * twin.abs() + 1e-5 };
            assert!((f64::from(*returned) - twin).abs() <= bound, "{returned} is not {twin}");
        }
    }
}

#[test]
fn of_equal_values_the_first_is_given_the_gradient() {
    let shape = MapShape { images: 1, channels: 1, height: 2, width: 2 };
    let window = Window { side: 2, stride: 2, padding: 0 };
    let map = pack(&shape, Precision::F32, &[1.0, 2.0, 2.0, 2.0]);
    let output = max_pool(&shape, &window, Precision::F32, &map);
    let gradient = pack(&window.pooled(&shape), Precision::F32, &[5.0]);
    let returned = max_pool_gradient(&shape, &window, Precision::F32, [&map, &output, &gradient]);
    assert_eq!(unpack(&shape, Precision::F32, &returned), [0.0, 5.0, 0.0, 0.0]);
}

#[test]
fn what_is_not_a_number_is_the_largest() {
    let shape = MapShape { images: 1, channels: 1, height: 1, width: 3 };
    let window = Window { side: 1, stride: 1, padding: 0 };
    for precision in PRECISIONS {
        let map = pack(&shape, precision, &[1.0, f32::NAN, 3.0]);
        let output = unpack(&shape, precision, &max_pool(&shape, &window, precision, &map));
        assert!(output[1].is_nan() && output[0] == 1.0 && output[2] == 3.0);
    }
}

#[test]
fn shapes_whose_products_would_wrap_around_are_refused() {
    let half = 1 << (usize::BITS / 2);
    let most = usize::MAX;
    // The values of each would be counted as 0, and so would fit an empty slice; the lanes of the last two
    // would.
    for (images, channels, height, width) in [
        (half, half, 1, 1),
        (half, 1, half, 1),
        (1, half, 1, half),
        (1, 1, half, half),
        (0, half, half, 1),
        (half, half, half, half),
        (most, 1, 1, 1),
        (1, most / 16 + 1, 1, 1),
    ] {
        let shape = MapShape { images, channels, height, width };
        let window = Window { side: 1, stride: 1, padding: 0 };
        for precision in PRECISIONS {
            for message in [
                refusal(|| pack(&shape, precision, &[])),
                refusal(|| unpack(&shape, precision, &[])),
                refusal(|| mean(&shape, precision, &[])),
                refusal(|| mean_gradient(&shape, precision, &[])),
                refusal(|| max_pool(&shape, &window, precision, &[])),
                refusal(|| max_pool_gradient(&shape, &window, precision, [&[]; 3])),
            ] {
                assert!(message.starts_with("sizes too large to count: MapShape"), "{message}");
            }
        }
    }
}

#[test]
fn maps_without_channels_or_pixels_and_windows_that_see_none_are_refused() {
    for (channels, height, width) in [(0, 1, 1), (1, 0, 1), (1, 1, 0)] {
        let shape = MapShape { images: 1, channels, height, width };
        for message in [
            refusal(|| pack(&shape, Precision::F32, &[])),
            refusal(|| unpack(&shape, Precision::F32, &[])),
            refusal(|| mean_gradient(&shape, Precision::F32, &[0.0])),
        ] {
            assert!(message.starts_with("no map has the shape"), "{message}");
        }
    }
    let shape = MapShape { images: 1, channels: 1, height: 4, width: 3 };
    let pooled = |side, stride, padding| Window { side, stride, padding }.pooled(&shape);
    assert_eq!(pooled(3, 2, 1), MapShape { height: 2, width: 2, ..shape });
    for (side, stride, padding, wanted) in [
        (6, 1, 1, "no windows"),
        (0, 1, 0, "no windows"),
        (2, 0, 1, "no windows"),
        (3, 1, 2, "in the padding alone"),
        // Twice the padding would be counted as 0.
        (3, 1, usize::MAX / 2 + 1, "in the padding alone"),
    ] {
        let message = refusal(|| pooled(side, stride, padding));
        assert!(message.contains(wanted), "{message}");
    }
}
