//! The kernels against the definition in f64; its gradients against differences.

mod refusals;
mod twin;

use proptest::prelude::*;

use super::*;
use crate::dropout;
use crate::tiles::TileUnit;
use twin::Twin;

/// Operands of a call.
struct Case {
    offsets: Vec<usize>,
    heads: usize,
    width: usize,
    window: Option<usize>,
    qkv: Vec<f32>,
    bias: Option<(Vec<f32>, Vec<u32>)>,
    dropped: Option<Vec<u64>>,
    gradient: Vec<f32>,
}

const PROBABILITY: f32 = 0.2;

impl Case {
    /// The lowest bits of `has` say whether there are a bias, dropout and a window.
    fn new(lengths: &[usize], heads: usize, own: usize, has: u8, seed: u64) -> Self {
        let normals = |purpose: &str, count: usize| -> Vec<f32> {
            let mut stream = lookalike_base::Seed(seed).stream(purpose, 0, 0, 0);
            (0..count).map(|_| stream.normal()).collect()
        };
        let mut offsets = vec![0];
        offsets.extend(lengths.iter().scan(0, |tokens, length| {
            *tokens += length;
            Some(*tokens)
        }));
        let width = heads * own;
        let tokens: usize = lengths.iter().sum();
        let longest = lengths.iter().copied().max().unwrap_or(1).max(1) + 3;
        // More distant tokens share a bucket.
        let buckets = (0..2 * longest - 1).map(|place| (place.abs_diff(longest - 1).min(5) * 2) as u32);
        let buckets =
            buckets.enumerate().map(|(place, bucket)| bucket + u32::from(place >= longest)).collect();
        Self {
            offsets,
            heads,
            width,
            window: (has & 4 > 0).then_some(seed as usize % 40),
            qkv: normals("qkv", tokens * 3 * width),
            bias: (has & 1 > 0).then(|| (normals("bias", 12 * heads), buckets)),
            dropped: (has & 2 > 0).then(|| (0..lengths.len() as u64).map(|text| text << 34 | seed).collect()),
            gradient: normals("gradient", tokens * width),
        }
    }

    fn shape(&self) -> AttentionShape<'_> {
        let Self { heads, width, window, .. } = *self;
        AttentionShape { offsets: &self.offsets, heads, width, window }
    }

    /// The results and the gradients.
    fn run(&self, level: Level) -> (Vec<f32>, AttentionGradient) {
        self.run_with((level, Products::F32))
    }

    fn run_with(&self, with: (Level, Products)) -> (Vec<f32>, AttentionGradient) {
        let bias = self.bias.as_ref().map(|(values, buckets)| DistanceBias { values, buckets });
        let dropout =
            self.dropped.as_ref().map(|keys| DroppedProbabilities { keys, probability: PROBABILITY });
        let shape = self.shape();
        (
            attention_at(with, &shape, &self.qkv, bias.as_ref(), dropout.as_ref()),
            attention_gradient_at(with, &shape, &self.qkv, bias.as_ref(), dropout.as_ref(), &self.gradient),
        )
    }

    /// Only one of the texts.
    fn alone(&self, text: usize) -> Self {
        let own = self.offsets[text]..self.offsets[text + 1];
        let rows = |values: &[f32], width: usize| values[own.start * width..own.end * width].to_vec();
        Self {
            offsets: vec![0, own.len()],
            qkv: rows(&self.qkv, 3 * self.width),
            gradient: rows(&self.gradient, self.width),
            bias: self.bias.clone(),
            dropped: self.dropped.as_ref().map(|keys| vec![keys[text]]),
            ..*self
        }
    }
}

fn close(name: &str, found: &[f32], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{name}");
    let largest = expected.iter().fold(1e-3_f64, |largest, value| largest.max(value.abs()));
    for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
        let error = (f64::from(*found) - expected).abs();
        assert!(error <= 1e-5 * largest, "{name} at {place}: {found}, not {expected}");
    }
}

fn check(case: &Case) {
    let twin = Twin::new(case);
    let expected = twin.output();
    let (of_qkv, of_bias) = twin.gradients();
    for level in Level::all() {
        let (output, gradients) = case.run(level);
        close("output", &output, &expected);
        close("gradient", &gradients.qkv, &of_qkv);
        assert_eq!(gradients.bias.is_some(), case.bias.is_some());
        close("gradient of the bias", &gradients.bias.unwrap_or_default(), &of_bias);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn outputs_and_gradients_are_those_of_the_definition(
        lengths in prop::collection::vec(0_usize..50, 0..4),
        heads in 1_usize..4,
        own in prop::sample::select(vec![1_usize, 3, 8, 16, 24, 32, 40, 64]),
        has in 0_u8..8,
        seed in 0_u64..1000,
    ) {
        check(&Case::new(&lengths, heads, own, has, seed));
    }
}

#[test]
fn long_texts_are_those_of_the_definition() {
    // Several blocks of queries, and several tasks.
    check(&Case::new(&[5, 530], 1, 32, 3, 7));
    check(&Case::new(&[600], 1, 16, 7, 33));
    check(&Case::new(&[700], 1, 8, 4, 0));
}

#[test]
fn gradients_of_the_definition_are_its_differences() {
    let case = Case::new(&[4, 0, 6], 2, 3, 3, 1);
    let twin = Twin::new(&case);
    let (of_qkv, of_bias) = twin.gradients();
    for (part, expected) in [of_qkv, of_bias].iter().enumerate() {
        for (place, expected) in expected.iter().enumerate() {
            let difference = twin.difference(part, place);
            assert!((difference - expected).abs() < 1e-7, "{part} {place}: {difference}, not {expected}");
        }
    }
}

#[test]
fn rounded_factors_move_results_by_their_rounding_alone() {
    for (lengths, own, has) in [(&[64, 0, 90][..], 32, 7), (&[70, 3], 24, 0), (&[197], 64, 2), (&[65], 3, 3)]
    {
        let case = Case::new(lengths, 2, own, has, 5);
        let (exact, exact_gradients) = case.run(Level::detect());
        let by_model = case.run_with((Level::detect(), Products::Tiles(TileUnit::Model)));
        // Beside the largest value: of one rounding, 2⁻⁹, there are a few in each sum, and they average out.
        let far = |found: &[f32], expected: &[f32]| {
            let largest = expected.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
            let errors = found.iter().zip(expected).map(|(found, expected)| (found - expected).abs());
            errors.fold(0.0_f32, f32::max) / largest
        };
        for level in Level::all() {
            for products in Products::all().into_iter().filter(|products| *products != Products::F32) {
                let (output, gradients) = case.run_with((level, products));
                let name = format!("{lengths:?} at {level:?} by {products:?}");
                for (found, exact, by_model) in
                    [(&output, &exact, &by_model.0), (&gradients.qkv, &exact_gradients.qkv, &by_model.1.qkv)]
                {
                    assert!(found != exact, "{name}: nothing was rounded");
                    assert!(far(found, exact) < 0.015, "{name}: {}", far(found, exact));
                    // What lies between the products has the bits of its level.
                    if level == Level::detect() {
                        assert!(found == by_model, "{name} differs from the model");
                    }
                }
            }
        }
    }
}

#[test]
fn short_texts_are_not_rounded() {
    let case = Case::new(&[63, 1, 20], 2, 32, 7, 5);
    for products in Products::all() {
        assert_eq!(case.run_with((Level::detect(), products)), case.run(Level::detect()), "{products:?}");
    }
}

#[test]
fn a_text_of_one_token_gets_its_value() {
    for level in Level::all() {
        let case = Case::new(&[1, 0, 1], 2, 16, 1, 3);
        let (output, _) = case.run(level);
        let values: Vec<f32> =
            case.qkv.chunks(3 * case.width).flat_map(|row| &row[2 * case.width..]).copied().collect();
        assert_eq!(output, values);
    }
}

#[test]
fn a_window_as_wide_as_the_text_changes_nothing() {
    let case = Case::new(&[70, 3], 2, 32, 3, 3);
    for window in [69, 70, 1000, usize::MAX] {
        let windowed = Case { window: Some(window), ..Case::new(&[70, 3], 2, 32, 3, 3) };
        assert_eq!(windowed.run(Level::detect()), case.run(Level::detect()), "{window}");
    }
}

#[test]
fn probabilities_are_dropped_as_the_mask_says() {
    // Values that are the numbers of keys' columns show each probability.
    let tokens = 8;
    let mut case = Case::new(&[2, tokens], 2, tokens, 2, 5);
    for (token, row) in case.qkv.chunks_mut(3 * case.width).enumerate() {
        for (column, value) in row[2 * case.width..].iter_mut().enumerate() {
            *value = f32::from(u8::from(token >= 2 && column % tokens == token - 2));
        }
    }
    let (output, _) = case.run(Level::detect());
    let (whole, _) = Case { dropped: None, ..case.alone(1) }.run(Level::detect());
    let key = case.dropped.as_ref().unwrap()[1];
    let place = dropout::Place { key, first: 0 };
    // All scores of the text in one row, head after head and query after query.
    let mask = dropout::mask(&[place], 2 * tokens * tokens, PROBABILITY);
    let mut dropped = 0;
    for query in 0..tokens {
        for head in 0..2 {
            for key in 0..tokens {
                let place = query * case.width + head * tokens + key;
                let expected = whole[place] * mask[(head * tokens + query) * tokens + key];
                assert!((output[2 * case.width + place] - expected).abs() < 1e-6);
                dropped += usize::from(expected == 0.0);
            }
        }
    }
    assert!(dropped > 10);
}

#[test]
fn results_have_the_same_bits_alone_and_on_any_number_of_threads() {
    let each = [3, 7].into_iter().flat_map(|has| Products::all().into_iter().map(move |with| (has, with)));
    for (has, products) in each {
        let with = (Level::detect(), products);
        let case = Case::new(&[12, 100, 0, 33, 570, 1, 64], 3, 32, has, 22);
        let whole = case.run_with(with);
        for threads in [1, 2, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            assert_eq!(pool.install(|| case.run_with(with)), whole, "{threads} threads, {products:?}");
        }
        for text in 0..7 {
            let (output, gradients) = case.alone(text).run_with(with);
            let own = case.offsets[text] * case.width..case.offsets[text + 1] * case.width;
            assert_eq!(output, whole.0[own.clone()]);
            assert_eq!(gradients.qkv, whole.1.qkv[3 * own.start..3 * own.end]);
        }
    }
}

#[test]
fn a_value_that_is_no_number_spoils_its_text_alone() {
    for products in Products::all() {
        let with = (Level::detect(), products);
        let mut case = Case::new(&[5, 70, 7, 66], 2, 32, 1, 3);
        let clean = case.run_with(with);
        let own = 5 * case.width..75 * case.width;
        case.qkv[3 * own.start..3 * own.end].fill(f32::NAN);
        let (output, gradients) = case.run_with(with);
        assert!(output[own.clone()].iter().all(|value| value.is_nan()));
        for outside in [0..own.start, own.end..148 * case.width] {
            assert_eq!(output[outside.clone()], clean.0[outside.clone()]);
            let outside = 3 * outside.start..3 * outside.end;
            assert_eq!(gradients.qkv[outside.clone()], clean.1.qkv[outside]);
        }
    }
}

#[test]
fn large_scores_overflow_nothing() {
    let mut case = Case::new(&[40], 1, 32, 0, 3);
    case.qkv.iter_mut().for_each(|value| *value *= 1e4);
    let (output, gradients) = case.run(Level::detect());
    assert!(output.iter().chain(&gradients.qkv).all(|value| value.is_finite()));
}
