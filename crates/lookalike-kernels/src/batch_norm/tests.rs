//! The kernels against the definition in f64; gradients by the chain rule without any shortcut of the kernels.

use proptest::prelude::*;

use super::*;

/// Output, gradients of input, residual, scale and shift, mean and variance, as f64.
struct Twin {
    output: Vec<f64>,
    input: Vec<f64>,
    residual: Vec<f64>,
    scale: Vec<f64>,
    shift: Vec<f64>,
    mean: Vec<f64>,
    variance: Vec<f64>,
}

struct Case {
    sizes: Sizes,
    input: Vec<f32>,
    residual: Vec<f32>,
    gradient: Vec<f32>,
    scale: Vec<f32>,
    shift: Vec<f32>,
}

const EPSILON: f64 = 1e-5;

impl Case {
    fn new(sizes: Sizes, center: f32) -> Self {
        let normals = |purpose: &str, count: usize, center: f32| -> Vec<f32> {
            let mut stream = lookalike_base::Seed(7).stream(purpose, 0, 0, 0);
            (0..count).map(|_| center + stream.normal()).collect()
        };
        let count = sizes.images * sizes.image();
        Self {
            sizes,
            input: normals("input", count, center),
            residual: normals("residual", count, 0.0),
            gradient: normals("gradient", count, 0.1),
            scale: normals("scale", sizes.channels, 1.0),
            shift: normals("shift", sizes.channels, 0.0),
        }
    }

    /// `relu` is the kernel's output where a `ReLU` follows: next to 0, rounding decides what passes.
    fn twin(&self, with_residual: bool, relu: Option<&[f32]>) -> Twin {
        let Sizes { groups, channels, .. } = self.sizes;
        let [output, input, residual] = [(); 3].map(|()| vec![0.0; self.input.len()]);
        let [mean, variance] = [(); 2].map(|()| vec![0.0; groups * channels]);
        let [scale, shift] = [(); 2].map(|()| vec![0.0; channels]);
        let mut twin = Twin { output, input, residual, scale, shift, mean, variance };
        for (group, channel) in
            (0..groups).flat_map(|group| (0..channels).map(move |channel| (group, channel)))
        {
            self.twin_of_channel(group, channel, with_residual, relu, &mut twin);
        }
        twin
    }

    fn twin_of_channel(
        &self,
        group: usize,
        channel: usize,
        with_residual: bool,
        relu: Option<&[f32]>,
        twin: &mut Twin,
    ) {
        let Sizes { images, groups, channels, pixels } = self.sizes;
        let values = images / groups * pixels;
        let count = values as f64;
        let places: Vec<usize> = (group * values..(group + 1) * values)
            .map(|index| (index / pixels * channels + channel) * pixels + index % pixels)
            .collect();
        let x = |place: &usize| f64::from(self.input[*place]);
        let (scale, shift) = (f64::from(self.scale[channel]), f64::from(self.shift[channel]));
        let mean = places.iter().map(x).sum::<f64>() / count;
        let variance = places.iter().map(|place| (x(place) - mean).powi(2)).sum::<f64>() / count;
        let inverse = 1.0 / (variance + EPSILON).sqrt();
        let (mut variance_gradient, mut mean_gradient) = (0.0, 0.0);
        for place in &places {
            let standard = (x(place) - mean) * inverse;
            let added = if with_residual { f64::from(self.residual[*place]) } else { 0.0 };
            let value = scale * standard + shift + added;
            twin.output[*place] = if relu.is_some() { value.max(0.0) } else { value };
            let passes = relu.is_none_or(|output| output[*place] > 0.0);
            let gradient = if passes { f64::from(self.gradient[*place]) } else { 0.0 };
            twin.residual[*place] = gradient;
            twin.scale[channel] += gradient * standard;
            twin.shift[channel] += gradient;
            variance_gradient += gradient * scale * (x(place) - mean) * -0.5 * inverse.powi(3);
            mean_gradient -= gradient * scale * inverse;
        }
        for place in &places {
            twin.input[*place] = twin.residual[*place] * scale * inverse
                + variance_gradient * 2.0 * (x(place) - mean) / count
                + mean_gradient / count;
        }
        twin.mean[group * channels + channel] = mean;
        twin.variance[group * channels + channel] = variance;
    }

    fn check(&self) {
        let affine = Affine { scale: &self.scale, shift: &self.shift, epsilon: EPSILON };
        let thens = [Then::Nothing, Then::Relu, Then::AddRelu(&self.residual)];
        for (level, then) in Level::all().into_iter().flat_map(|level| thens.map(|then| (level, then))) {
            let normal = forward_at(level, &self.sizes, &self.input, &affine, then);
            let relu = (!matches!(then, Then::Nothing)).then_some(normal.output.as_slice());
            let twin = self.twin(matches!(then, Then::AddRelu(_)), relu);
            let after = match then {
                Then::Nothing => After::Nothing,
                Then::Relu => After::Relu,
                Then::AddRelu(_) => After::AddRelu(&normal.output),
            };
            let statistics = [normal.mean.as_slice(), &normal.variance];
            let gradients =
                backward_at(level, &self.sizes, &self.input, &affine, statistics, &self.gradient, after);
            // Gradients of a channel of few values nearly cancel; they are held to the size of what cancels.
            let gradient_scale = twin.residual.iter().fold(0.0, |largest: f64, g| largest.max(g.abs()));
            let sum = gradient_scale * self.sizes.count().sqrt();
            let mut comparisons = vec![
                ("output", &normal.output, &twin.output, 0.0),
                ("mean", &normal.mean, &twin.mean, 1.0),
                ("variance", &normal.variance, &twin.variance, 0.0),
                ("input gradient", &gradients.input, &twin.input, gradient_scale),
                ("scale gradient", &gradients.scale, &twin.scale, sum),
                ("shift gradient", &gradients.shift, &twin.shift, sum),
            ];
            if let Some(residual) = &gradients.residual {
                comparisons.push(("residual gradient", residual, &twin.residual, 0.0));
            }
            for (name, ours, theirs, least) in comparisons {
                let difference = difference(ours, theirs, least);
                assert!(difference <= 1e-5, "{name} at {level:?} is off by {difference:e}: {:?}", self.sizes);
            }
        }
    }
}

/// max |a − b| / max(max |b|, least)
fn difference(a: &[f32], b: &[f64], least: f64) -> f64 {
    assert_eq!(a.len(), b.len());
    let largest = b.iter().fold(least.max(1e-30), |largest, b| largest.max(b.abs()));
    a.iter().zip(b).fold(0.0, |worst: f64, (a, b)| worst.max((f64::from(*a) - b).abs())) / largest
}

proptest! {
    #[test]
    fn output_and_gradients_are_those_of_the_definition(
        images in 4_usize..150, groups in 1_usize..6, channels in 1_usize..9, pixels in 1_usize..70,
    ) {
        let images = images.next_multiple_of(groups).max(4 * groups);
        Case::new(Sizes { images, groups, channels, pixels }, 0.0).check();
    }
}

proptest! {
    #[test]
    fn rows_of_one_value_a_channel_are_no_exception(
        images in 4_usize..400, groups in 1_usize..4, channels in 1_usize..75,
    ) {
        let images = images.next_multiple_of(groups).max(4 * groups);
        Case::new(Sizes { images, groups, channels, pixels: 1 }, 0.5).check();
    }
}

#[test]
fn large_maps_are_summed_accurately() {
    Case::new(Sizes { images: 3, groups: 1, channels: 2, pixels: 12_544 }, 1.0).check();
}

#[test]
fn a_mean_far_from_zero_leaves_the_variance_exact() {
    let case = Case::new(Sizes { images: 8, groups: 1, channels: 2, pixels: 100 }, 1000.0);
    let affine = Affine { scale: &case.scale, shift: &case.shift, epsilon: EPSILON };
    let normal = forward(&case.sizes, &case.input, &affine, Then::Nothing);
    assert!(difference(&normal.variance, &case.twin(false, None).variance, 0.0) < 1e-6);
}

#[test]
fn a_group_is_normalized_as_if_it_were_alone() {
    let whole = Case::new(Sizes { images: 12, groups: 3, channels: 2, pixels: 5 }, 0.0);
    let affine = Affine { scale: &whole.scale, shift: &whole.shift, epsilon: EPSILON };
    let together = forward(&whole.sizes, &whole.input, &affine, Then::Relu);
    let one = Sizes { images: 4, groups: 1, ..whole.sizes };
    for (group, input) in whole.input.chunks(40).enumerate() {
        let alone = forward(&one, input, &affine, Then::Relu);
        assert_eq!(together.output[group * 40..][..40], alone.output);
        assert_eq!(together.mean[group * 2..][..2], alone.mean);
        assert_eq!(together.variance[group * 2..][..2], alone.variance);
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let case = Case::new(Sizes { images: 150, groups: 2, channels: 3, pixels: 33 }, 0.0);
    let affine = Affine { scale: &case.scale, shift: &case.shift, epsilon: EPSILON };
    let all = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let normal = forward(&case.sizes, &case.input, &affine, Then::Relu);
            let statistics = [normal.mean.as_slice(), &normal.variance];
            let gradients =
                backward(&case.sizes, &case.input, &affine, statistics, &case.gradient, After::Relu);
            (normal, gradients)
        })
    };
    assert!(all(1) == all(3));
}

#[test]
fn no_images_are_no_values() {
    let sizes = Sizes { images: 0, groups: 1, channels: 2, pixels: 4 };
    let affine = Affine { scale: &[1.0; 2], shift: &[0.0; 2], epsilon: EPSILON };
    assert!(forward(&sizes, &[], &affine, Then::Relu).output.is_empty());
}

#[test]
fn given_statistics_normalize_as_those_of_the_batch_do() {
    let case = Case::new(Sizes { images: 5, groups: 1, channels: 3, pixels: 7 }, 0.0);
    let affine = Affine { scale: &case.scale, shift: &case.shift, epsilon: EPSILON };
    let normal = forward(&case.sizes, &case.input, &affine, Then::AddRelu(&case.residual));
    let statistics = [normal.mean.as_slice(), &normal.variance];
    assert_eq!(
        normalize(&case.sizes, &case.input, &affine, statistics, Then::AddRelu(&case.residual)),
        normal.output
    );
}

#[test]
fn what_is_not_a_number_stays_so_behind_a_relu() {
    let mut case = Case::new(Sizes { images: 5, groups: 1, channels: 3, pixels: 40 }, 0.0);
    case.input[3] = f32::NAN;
    let affine = Affine { scale: &case.scale, shift: &case.shift, epsilon: EPSILON };
    for then in [Then::Relu, Then::AddRelu(&case.residual)] {
        let normal = forward(&case.sizes, &case.input, &affine, then);
        assert!(normal.mean[0].is_nan() && normal.mean[1].is_finite());
        assert!(normal.output[..40].iter().all(|value| value.is_nan()));
    }
}
