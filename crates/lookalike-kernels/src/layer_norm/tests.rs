//! The kernels against the definition in f64, and its gradients against differences.

use proptest::prelude::*;

use super::*;
use crate::dropout;
use crate::sizes::refusal;

const EPSILON: f32 = 1e-5;

struct Case {
    columns: usize,
    values: Vec<f32>,
    bias: Vec<f32>,
    residual: Vec<f32>,
    places: Vec<Place>,
    scale: Vec<f32>,
    shift: Vec<f32>,
    gradient: Vec<f32>,
    /// Which of bias, residual, dropout and shift there are.
    has: [bool; 4],
}

impl Case {
    fn new(rows: usize, columns: usize, has: u8, seed: u64) -> Self {
        let normals = |purpose: &str, count: usize| -> Vec<f32> {
            let mut stream = lookalike_base::Seed(seed).stream(purpose, 0, 0, 0);
            (0..count).map(|_| stream.normal()).collect()
        };
        Self {
            columns,
            values: normals("values", rows * columns),
            bias: normals("bias", columns),
            residual: normals("residual", rows * columns),
            places: (0..rows).map(|row| Place { key: (row as u64) << 33 | seed, first: 3 }).collect(),
            scale: normals("scale", columns),
            shift: normals("shift", columns),
            gradient: normals("gradient", rows * columns),
            has: [1, 2, 4, 8].map(|bit| has & bit > 0),
        }
    }

    fn input(&self) -> LayerNormInput<'_> {
        LayerNormInput {
            values: &self.values,
            bias: self.has[0].then_some(&self.bias),
            residual: self.has[1].then_some(&self.residual),
            dropout: self.has[2].then_some(Dropped { places: &self.places, probability: 0.3 }),
        }
    }

    fn scale(&self) -> LayerNormScale<'_> {
        let shift = self.has[3].then_some(self.shift.as_slice());
        LayerNormScale { scale: &self.scale, shift, epsilon: EPSILON }
    }

    /// Only one of the rows.
    fn alone(&self, row: usize) -> Self {
        let own = |values: &[f32]| values[row * self.columns..][..self.columns].to_vec();
        Self {
            values: own(&self.values),
            residual: own(&self.residual),
            gradient: own(&self.gradient),
            places: vec![self.places[row]],
            bias: self.bias.clone(),
            scale: self.scale.clone(),
            shift: self.shift.clone(),
            ..*self
        }
    }

    fn twin(&self) -> Twin {
        let widen = |values: &[f32]| -> Vec<f64> { values.iter().map(|value| f64::from(*value)).collect() };
        let [bias, residual, dropout, shift] = self.has;
        let mask = if dropout {
            dropout::mask(&self.places, self.columns, 0.3)
        } else {
            vec![1.0; self.values.len()]
        };
        let or_zeros = |has: bool, values: &[f32]| if has { widen(values) } else { vec![0.0; values.len()] };
        Twin {
            parts: [
                widen(&self.values),
                or_zeros(residual, &self.residual),
                or_zeros(bias, &self.bias),
                widen(&self.scale),
                or_zeros(shift, &self.shift),
            ],
            mask: widen(&mask),
        }
    }
}

/// The operands in f64: values, residual, bias, scale and shift.
#[derive(Clone)]
struct Twin {
    parts: [Vec<f64>; 5],
    mask: Vec<f64>,
}

impl Twin {
    fn output(&self) -> Vec<f64> {
        let [values, residual, bias, scale, shift] = &self.parts;
        let columns = scale.len();
        let z = |row: usize, column: usize| {
            let place = row * columns + column;
            residual[place] + self.mask[place] * (values[place] + bias[column])
        };
        (0..values.len() / columns)
            .flat_map(|row| {
                let mean = (0..columns).map(|column| z(row, column)).sum::<f64>() / columns as f64;
                let squares: f64 = (0..columns).map(|column| (z(row, column) - mean).powi(2)).sum();
                let sigma = (squares / columns as f64 + f64::from(EPSILON)).sqrt();
                (0..columns)
                    .map(move |column| (z(row, column) - mean) / sigma * scale[column] + shift[column])
            })
            .collect()
    }

    /// The sum of the output times `gradient`, as it changes with one number.
    fn difference(&self, part: usize, place: usize, gradient: &[f32]) -> f64 {
        const STEP: f64 = 1e-5;
        let loss = |step: f64| -> f64 {
            let mut twin = self.clone();
            twin.parts[part][place] += step;
            twin.output().iter().zip(gradient).map(|(output, gradient)| output * f64::from(*gradient)).sum()
        };
        (loss(STEP) - loss(-STEP)) / (2.0 * STEP)
    }
}

fn close(name: &str, found: f32, expected: f64, size: f64) {
    assert!((f64::from(found) - expected).abs() <= 1e-5 * size.max(1.0), "{name}: {found}, not {expected}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn outputs_and_gradients_are_those_of_the_definition(
        rows in 0_usize..5, columns in 2_usize..80, has in 0_u8..16, seed in 0_u64..1000,
    ) {
        let case = Case::new(rows, columns, has, seed);
        let twin = case.twin();
        let expected = twin.output();
        for level in Level::all() {
            let (found, statistics) = layer_norm_at(level, &case.input(), &case.scale());
            for (found, expected) in found.iter().zip(&expected) {
                close("output", *found, *expected, expected.abs());
            }
            let gradients =
                layer_norm_gradient_at(level, &case.input(), &case.scale(), &statistics, &case.gradient);
            prop_assert_eq!([gradients.bias.is_some(), gradients.residual.is_some()], [case.has[0], case.has[1]]);
            let (residual, bias) = (gradients.residual.unwrap_or_default(), gradients.bias.unwrap_or_default());
            let parts = [gradients.values, residual, bias, gradients.scale, gradients.shift];
            for (part, found) in parts.iter().enumerate() {
                let largest = found.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
                // Not all of the places, as each costs two outputs.
                for place in (seed as usize % 3..found.len()).step_by(5) {
                    let expected = twin.difference(part, place, &case.gradient);
                    close(&format!("gradient {part}"), found[place], expected, f64::from(largest));
                }
            }
        }
    }
}

#[test]
fn rows_far_from_zero_and_rows_without_variance_stay_accurate() {
    for (center, spread) in [(1e4, 1.0), (1e4, 0.02), (-3e6, 100.0), (1e-3, 1e-4), (5.0, 0.0)] {
        let mut case = Case::new(20, 384, 0, 9);
        case.values.iter_mut().for_each(|value| *value = center + spread * *value);
        let twin = case.twin();
        for level in Level::all() {
            let (found, statistics) = layer_norm_at(level, &case.input(), &case.scale());
            for (found, expected) in found.iter().zip(twin.output()) {
                close("output", *found, expected, expected.abs());
            }
            let gradients =
                layer_norm_gradient_at(level, &case.input(), &case.scale(), &statistics, &case.gradient);
            // By the definition, without the step of a difference.
            for (row, inverse) in statistics.iter().map(|statistics| f64::from(statistics[1])).enumerate() {
                let own = row * 384..(row + 1) * 384;
                let z = twin.parts[0][own.clone()].to_vec();
                let mean = z.iter().sum::<f64>() / 384.0;
                let z: Vec<f64> = z.iter().map(|z| (z - mean) * inverse).collect();
                let scaled: Vec<f64> = case.gradient[own.clone()]
                    .iter()
                    .zip(&case.scale)
                    .map(|(gradient, scale)| f64::from(*gradient) * f64::from(*scale))
                    .collect();
                let sum = scaled.iter().sum::<f64>() / 384.0;
                let product = scaled.iter().zip(&z).map(|(scaled, z)| scaled * z).sum::<f64>() / 384.0;
                for ((found, z), scaled) in gradients.values[own].iter().zip(&z).zip(&scaled) {
                    let expected = (scaled - sum - product * z) * inverse;
                    close("gradient", *found, expected, 10.0 * inverse);
                }
            }
        }
    }
}

#[test]
fn what_is_dropped_is_what_the_mask_says() {
    let case = Case::new(7, 100, 4, 3);
    let mask = dropout::mask(&case.places, 100, 0.3);
    let dropped: Vec<f32> = case.values.iter().zip(&mask).map(|(value, mask)| value * mask).collect();
    let without = LayerNormInput { values: &dropped, dropout: None, ..case.input() };
    let (output, statistics) = layer_norm(&case.input(), &case.scale());
    assert_eq!(layer_norm(&without, &case.scale()), (output, statistics.clone()));
    let gradient = layer_norm_gradient(&case.input(), &case.scale(), &statistics, &case.gradient).values;
    let whole = layer_norm_gradient(&without, &case.scale(), &statistics, &case.gradient).values;
    let expected: Vec<f32> = whole.iter().zip(&mask).map(|(value, mask)| value * mask).collect();
    assert_eq!(gradient, expected);
    assert!(mask.contains(&0.0));
}

#[test]
fn results_have_the_same_bits_alone_and_on_any_number_of_threads() {
    let case = Case::new(300, 70, 15, 1);
    let work = || {
        let (output, statistics) = layer_norm(&case.input(), &case.scale());
        let gradients = layer_norm_gradient(&case.input(), &case.scale(), &statistics, &case.gradient);
        (output, statistics, gradients)
    };
    let whole = work();
    for threads in [1, 2, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert_eq!(pool.install(work), whole, "{threads} threads");
    }
    for row in [0, 131, 299] {
        let own = row * 70..(row + 1) * 70;
        let alone = case.alone(row);
        let (output, statistics) = layer_norm(&alone.input(), &alone.scale());
        assert_eq!((output.as_slice(), statistics[0]), (&whole.0[own.clone()], whole.1[row]));
        let gradients = layer_norm_gradient(&alone.input(), &alone.scale(), &statistics, &alone.gradient);
        assert_eq!(gradients.values, whole.2.values[own.clone()]);
        assert_eq!(gradients.residual.unwrap(), whole.2.residual.as_ref().unwrap()[own]);
    }
}

#[test]
fn a_value_that_is_no_number_spoils_its_row_alone() {
    let mut case = Case::new(3, 40, 15, 1);
    case.values[41] = f32::NAN;
    case.residual[41] = f32::NAN;
    let (output, _) = layer_norm(&case.input(), &case.scale());
    for (row, values) in output.chunks(40).enumerate() {
        assert!(values.iter().all(|value| value.is_nan() == (row == 1)));
    }
}

#[test]
fn operands_that_do_not_fit_are_refused() {
    let case = Case::new(3, 4, 15, 1);
    let (input, scale) = (case.input(), case.scale());
    let empty = LayerNormScale { scale: &[], ..scale };
    assert!(refusal(|| layer_norm(&input, &empty)).contains("at least one column"));
    for (message, wrong) in [
        ("rows of 4", LayerNormInput { values: &case.values[1..], ..input }),
        ("each column", LayerNormInput { bias: Some(&[1.0; 3]), ..input }),
        ("a residual", LayerNormInput { residual: Some(&[1.0; 8]), ..input }),
        ("a place", LayerNormInput { dropout: Some(Dropped { places: &[], probability: 0.1 }), ..input }),
        (
            "a probability",
            LayerNormInput { dropout: Some(Dropped { places: &case.places, probability: 1.0 }), ..input },
        ),
    ] {
        let found = refusal(|| layer_norm(&wrong, &scale));
        assert!(found.contains(message), "{found}");
    }
    assert!(refusal(|| layer_norm_gradient(&input, &scale, &[], &case.gradient)).contains("statistics"));
    assert!(refusal(|| layer_norm_gradient(&input, &scale, &[[0.0; 2]; 3], &[])).contains("a gradient"));
}
