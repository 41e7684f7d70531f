//! The kernels against the definition in f64; gradients by the chain rule without any shortcut of the
//! kernels.

mod refusals;

use proptest::prelude::*;

use super::*;
use crate::bf16;
use crate::instructions::Level;
use crate::map::{self, Precision};

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

/// Images, groups, channels, and pixels of a channel of an image.
#[derive(Debug, Clone, Copy)]
struct CaseShape {
    images: usize,
    groups: usize,
    channels: usize,
    pixels: usize,
}

impl CaseShape {
    fn image(&self) -> usize {
        self.channels * self.pixels
    }

    fn count(&self) -> f64 {
        (self.images / self.groups * self.pixels) as f64
    }

    fn maps(&self, precision: Precision) -> maps::MapNormShape {
        let Self { images, channels, pixels, .. } = *self;
        maps::MapNormShape {
            map: map::MapShape { images, channels, height: 1, width: pixels },
            groups: self.groups,
            precision,
        }
    }

    fn rows(&self) -> rows::RowNormShape {
        assert_eq!(self.pixels, 1);
        rows::RowNormShape { rows: self.images, groups: self.groups, channels: self.channels }
    }
}

/// Output and gradients as values `[N, C, …]`, of maps or rows.
type Results = (Normalized<f32>, Gradients<f32>);

struct Case {
    shape: CaseShape,
    input: Vec<f32>,
    residual: Vec<f32>,
    gradient: Vec<f32>,
    scale: Vec<f32>,
    shift: Vec<f32>,
}

const EPSILON: f64 = 1e-5;

impl Case {
    fn new(shape: CaseShape, center: f32) -> Self {
        let normals = |purpose: &str, count: usize, center: f32| -> Vec<f32> {
            let mut stream = lookalike_base::Seed(7).stream(purpose, 0, 0, 0);
            (0..count).map(|_| center + stream.normal()).collect()
        };
        let count = shape.images * shape.image();
        Self {
            shape,
            input: normals("input", count, center),
            residual: normals("residual", count, 0.0),
            gradient: normals("gradient", count, 0.1),
            scale: normals("scale", shape.channels, 1.0),
            shift: normals("shift", shape.channels, 0.0),
        }
    }

    /// `relu` is the kernel's output where a `ReLU` follows: next to 0, rounding decides what passes.
    fn twin(&self, with_residual: bool, relu: Option<&[f32]>) -> Twin {
        let CaseShape { groups, channels, .. } = self.shape;
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
        let CaseShape { images, groups, channels, pixels } = self.shape;
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

    fn affine(&self) -> Affine<'_> {
        Affine { scale: &self.scale, shift: &self.shift, epsilon: EPSILON }
    }

    /// The same with values that this precision holds.
    fn rounded(&self, precision: Precision) -> Self {
        let round = |values: &[f32]| match precision {
            Precision::F32 => values.to_vec(),
            Precision::Bf16 => values.iter().copied().map(bf16::round).collect(),
        };
        Self {
            shape: self.shape,
            input: round(&self.input),
            residual: round(&self.residual),
            gradient: round(&self.gradient),
            scale: self.scale.clone(),
            shift: self.shift.clone(),
        }
    }

    fn of_maps(&self, level: Level, precision: Precision, kind: EpilogueKind) -> Results {
        let shape = self.shape.maps(precision);
        let [input, residual, gradient] = [&self.input, &self.residual, &self.gradient]
            .map(|values| map::pack(&shape.map, precision, values));
        let epilogue = kind.epilogue(&residual);
        let normal = maps::forward_at(level, &shape, &input, &self.affine(), epilogue);
        let statistics = [normal.mean.as_slice(), &normal.variance];
        let saved = kind.saved(&normal.output);
        let gradients = maps::backward_at(
            level,
            &shape,
            &input,
            &self.affine(),
            StatisticsSource::Batch(statistics),
            &gradient,
            saved,
        );
        let given = maps::normalize(&shape, &input, &self.affine(), statistics, epilogue);
        if self.shape.groups == 1 && level == Level::detect() {
            assert!(given == normal.output, "given statistics do not normalise as those of the batch");
        }
        // Nothing may hide where there is no image.
        for result in [&normal.output, &gradients.input].into_iter().chain(&gradients.residual) {
            assert!(&map::pack(&shape.map, precision, &map::unpack(&shape.map, precision, result)) == result);
        }
        let take = |map: &[u32]| map::unpack(&shape.map, precision, map);
        (
            Normalized { output: take(&normal.output), mean: normal.mean, variance: normal.variance },
            Gradients {
                input: take(&gradients.input),
                residual: gradients.residual.as_deref().map(take),
                scale: gradients.scale,
                shift: gradients.shift,
            },
        )
    }

    fn of_rows(&self, level: Level, kind: EpilogueKind) -> Results {
        let shape = self.shape.rows();
        let normal =
            rows::forward_at(level, &shape, &self.input, &self.affine(), kind.epilogue(&self.residual));
        let statistics = [normal.mean.as_slice(), &normal.variance];
        let saved = kind.saved(&normal.output);
        let gradients = rows::backward_at(
            level,
            &shape,
            &self.input,
            &self.affine(),
            StatisticsSource::Batch(statistics),
            &self.gradient,
            saved,
        );
        (normal, gradients)
    }

    /// Maps of either precision, and rows where these are.
    fn check(&self) {
        for (level, kind) in Level::all().into_iter().flat_map(|level| KINDS.map(|kind| (level, kind))) {
            for precision in [Precision::F32, Precision::Bf16] {
                let case = self.rounded(precision);
                case.compare(case.of_maps(level, precision, kind), kind, precision, &format!("{level:?}"));
            }
            if self.shape.pixels == 1 {
                self.compare(self.of_rows(level, kind), kind, Precision::F32, &format!("rows, {level:?}"));
            }
        }
    }

    fn compare(&self, (normal, gradients): Results, kind: EpilogueKind, precision: Precision, at: &str) {
        let relu = (kind != EpilogueKind::Nothing).then_some(normal.output.as_slice());
        let twin = self.twin(kind == EpilogueKind::AddRelu, relu);
        // Gradients of a channel of few values nearly cancel; they are held to the size of what cancels.
        let gradient_scale = twin.residual.iter().fold(0.0, |largest: f64, g| largest.max(g.abs()));
        let sum = gradient_scale * self.shape.count().sqrt();
        let whole = Precision::F32;
        let mut comparisons = vec![
            ("output", &normal.output, &twin.output, 0.0, precision),
            ("mean", &normal.mean, &twin.mean, 1.0, whole),
            ("variance", &normal.variance, &twin.variance, 0.0, whole),
            ("input gradient", &gradients.input, &twin.input, gradient_scale, precision),
            ("scale gradient", &gradients.scale, &twin.scale, sum, whole),
            ("shift gradient", &gradients.shift, &twin.shift, sum, whole),
        ];
        if let Some(residual) = &gradients.residual {
            comparisons.push(("residual gradient", residual, &twin.residual, 0.0, precision));
        }
        for (name, ours, theirs, least, precision) in comparisons {
            let difference = difference(ours, theirs, least, precision);
            let shape = self.shape;
            assert!(difference <= 1e-5, "{name} at {at} is off by {difference:e}: {precision:?}, {shape:?}");
        }
    }
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq)]
enum EpilogueKind {
    Nothing,
    Relu,
    AddRelu,
}

const KINDS: [EpilogueKind; 3] = [EpilogueKind::Nothing, EpilogueKind::Relu, EpilogueKind::AddRelu];

impl EpilogueKind {
    fn epilogue<T>(self, residual: &[T]) -> Epilogue<'_, T> {
        match self {
            Self::Nothing => Epilogue::Nothing,
            Self::Relu => Epilogue::Relu,
            Self::AddRelu => Epilogue::AddRelu(residual),
        }
    }

    fn saved<T>(self, output: &[T]) -> EpilogueSaved<'_, T> {
        match self {
            Self::Nothing => EpilogueSaved::Nothing,
            Self::Relu => EpilogueSaved::Relu,
            Self::AddRelu => EpilogueSaved::AddRelu(output),
        }
    }
}

/// By how much of max(max |b|, least) a is off b: where results are rounded, off what is rounded to a.
fn difference(a: &[f32], b: &[f64], least: f64, precision: Precision) -> f64 {
    assert_eq!(a.len(), b.len());
    let largest = b.iter().fold(least.max(1e-30), |largest, b| largest.max(b.abs()));
    let off = |(a, b): (&f32, &f64)| {
        let rounding = match precision {
            Precision::F32 => 0.0,
            Precision::Bf16 => bf16::half_step(*a),
        };
        ((f64::from(*a) - b).abs() - rounding).max(0.0)
    };
    a.iter().zip(b).map(off).fold(0.0, f64::max) / largest
}

proptest! {
    #[test]
    fn output_and_gradients_are_those_of_the_definition(
        images in 4_usize..150, groups in 1_usize..6, channels in 1_usize..9, pixels in 1_usize..70,
    ) {
        let images = images.next_multiple_of(groups).max(4 * groups);
        Case::new(CaseShape { images, groups, channels, pixels }, 0.0).check();
    }
}

proptest! {
    #[test]
    fn rows_of_one_value_a_channel_are_no_exception(
        images in 4_usize..400, groups in 1_usize..4, channels in 1_usize..75,
    ) {
        let images = images.next_multiple_of(groups).max(4 * groups);
        Case::new(CaseShape { images, groups, channels, pixels: 1 }, 0.5).check();
    }
}

#[test]
fn large_maps_are_summed_accurately() {
    Case::new(CaseShape { images: 3, groups: 1, channels: 2, pixels: 12_544 }, 1.0).check();
}

#[test]
fn a_mean_far_from_zero_leaves_the_variance_exact() {
    let case = Case::new(CaseShape { images: 8, groups: 1, channels: 2, pixels: 100 }, 1000.0);
    let (normal, _) = case.of_maps(Level::detect(), Precision::F32, EpilogueKind::Nothing);
    let variance = case.twin(false, None).variance;
    assert!(difference(&normal.variance, &variance, 0.0, Precision::F32) < 1e-6);
}

#[test]
fn a_group_is_normalized_as_if_it_were_alone() {
    for (images, pixels) in [(12, 5), (48, 5), (12, 1)] {
        let whole = Case::new(CaseShape { images, groups: 3, channels: 2, pixels }, 0.0);
        let one = CaseShape { images: images / 3, groups: 1, ..whole.shape };
        let count = one.images * one.image();
        let level = Level::detect();
        for group in 0..3 {
            let alone = Case { shape: one, ..whole.part(group * count..(group + 1) * count) };
            let mut pairs = vec![];
            for (precision, bound) in [(Precision::F32, 1e-5), (Precision::Bf16, 1.0 / 256.0)] {
                let both = [&whole, &alone].map(|case| case.of_maps(level, precision, EpilogueKind::Relu).0);
                pairs.push((both, bound));
            }
            if pixels == 1 {
                pairs.push(([&whole, &alone].map(|case| case.of_rows(level, EpilogueKind::Relu).0), 1e-5));
            }
            for ([together, alone], bound) in pairs {
                let statistics = group * 2..group * 2 + 2;
                let close = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-6 * (1.0 + b.abs());
                assert!(together.mean[statistics.clone()].iter().zip(&alone.mean).all(close));
                assert!(together.variance[statistics].iter().zip(&alone.variance).all(close));
                let outputs = together.output[group * count..].iter().zip(&alone.output);
                assert!(outputs.into_iter().all(|(a, b)| (a - b).abs() <= bound * (1.0 + b.abs())));
            }
        }
    }
}

impl Case {
    /// The same affine map of some of the values.
    fn part(&self, range: std::ops::Range<usize>) -> Self {
        let [input, residual, gradient] =
            [&self.input, &self.residual, &self.gradient].map(|values| values[range.clone()].to_vec());
        let (scale, shift) = (self.scale.clone(), self.shift.clone());
        Self { shape: self.shape, input, residual, gradient, scale, shift }
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let maps = Case::new(CaseShape { images: 150, groups: 2, channels: 3, pixels: 33 }, 0.0);
    let rows = Case::new(CaseShape { images: 900, groups: 2, channels: 30, pixels: 1 }, 0.0);
    let all = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let level = Level::detect();
            let precisions = [Precision::F32, Precision::Bf16];
            let maps = precisions.map(|precision| maps.of_maps(level, precision, EpilogueKind::Relu));
            (maps, rows.of_rows(level, EpilogueKind::Relu))
        })
    };
    assert!(all(1) == all(3));
}

#[test]
fn no_images_are_no_values() {
    let case = Case::new(CaseShape { images: 0, groups: 1, channels: 2, pixels: 1 }, 0.0);
    assert!(case.of_maps(Level::detect(), Precision::F32, EpilogueKind::Relu).0.output.is_empty());
    assert!(case.of_rows(Level::detect(), EpilogueKind::Relu).0.output.is_empty());
}

#[test]
fn given_statistics_normalize_rows_as_those_of_the_batch_do() {
    let case = Case::new(CaseShape { images: 5, groups: 1, channels: 3, pixels: 1 }, 0.0);
    let (shape, epilogue) = (case.shape.rows(), Epilogue::AddRelu(case.residual.as_slice()));
    let normal = rows::forward(&shape, &case.input, &case.affine(), epilogue);
    let statistics = [normal.mean.as_slice(), &normal.variance];
    assert_eq!(rows::normalize(&shape, &case.input, &case.affine(), statistics, epilogue), normal.output);
}

#[test]
fn given_statistics_are_constants_to_the_gradients() {
    for (images, pixels) in [(21, 6), (21, 1)] {
        let case = Case::new(CaseShape { images, groups: 1, channels: 3, pixels }, 0.5);
        let statistics: [&[f32]; 2] = [&[0.3, -0.2, 0.1], &[0.5, 1.5, 2.5]];
        let given = StatisticsSource::Given(statistics);
        for (precision, bound) in [(Precision::F32, 1e-5), (Precision::Bf16, 1.0 / 256.0)] {
            let case = case.rounded(precision);
            let shape = case.shape.maps(precision);
            let [input, gradient] =
                [&case.input, &case.gradient].map(|values| map::pack(&shape.map, precision, values));
            let ours =
                maps::backward(&shape, &input, &case.affine(), given, &gradient, EpilogueSaved::Nothing);
            let mut all = vec![(map::unpack(&shape.map, precision, &ours.input), ours.scale, ours.shift)];
            if pixels == 1 && precision == Precision::F32 {
                let (shape, affine) = (case.shape.rows(), case.affine());
                let ours = rows::backward(
                    &shape,
                    &case.input,
                    &affine,
                    given,
                    &case.gradient,
                    EpilogueSaved::Nothing,
                );
                all.push((ours.input, ours.scale, ours.shift));
            }
            for (input, scale, shift) in all {
                let (mut of_scale, mut of_shift) = ([0.0; 3], [0.0; 3]);
                for (place, ours) in input.iter().enumerate() {
                    let channel = place / pixels % 3;
                    let deviation = (f64::from(statistics[1][channel]) + EPSILON).sqrt();
                    let gradient = f64::from(case.gradient[place]);
                    let twin = gradient * f64::from(case.scale[channel]) / deviation;
                    assert!(
                        (f64::from(*ours) - twin).abs() <= bound * (1.0 + twin.abs()),
                        "{ours} is not {twin}"
                    );
                    let distance = f64::from(case.input[place]) - f64::from(statistics[0][channel]);
                    of_scale[channel] += gradient * distance / deviation;
                    of_shift[channel] += gradient;
                }
                for (ours, twin) in scale.iter().chain(&shift).zip(of_scale.iter().chain(&of_shift)) {
                    assert!(
                        (f64::from(*ours) - twin).abs() <= 1e-5 * (1.0 + twin.abs()),
                        "{ours} is not {twin}"
                    );
                }
            }
        }
    }
}

#[test]
fn what_is_not_a_number_stays_so_behind_a_relu() {
    for pixels in [40, 1] {
        let mut case = Case::new(CaseShape { images: 5, groups: 1, channels: 3, pixels }, 0.0);
        case.input[0] = f32::NAN;
        for kind in [EpilogueKind::Relu, EpilogueKind::AddRelu] {
            let mut results = vec![];
            for precision in [Precision::F32, Precision::Bf16] {
                results.push(case.of_maps(Level::detect(), precision, kind).0);
            }
            if pixels == 1 {
                results.push(case.of_rows(Level::detect(), kind).0);
            }
            for normal in results {
                assert!(normal.mean[0].is_nan() && normal.mean[1].is_finite());
                assert!(normal.output[..pixels].iter().all(|value| value.is_nan()));
            }
        }
    }
}
