//! The classifier's parameters against PyTorch and scikit-learn; `tests/fixtures/make.py` made the numbers.

use std::path::Path;

use lookalike_base::tensors::{self, TensorFile};
use lookalike_base::{Cancellation, Watch};
use serde_json::Value;

use super::*;

const DIMENSIONS: usize = 12;

fn load() -> (TensorFile, Value) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let expected = std::fs::read_to_string(folder.join("expected.json")).unwrap();
    (tensors::read(folder.join("inputs.safetensors")).unwrap(), serde_json::from_str(&expected).unwrap())
}

fn rows<'a>(inputs: &'a TensorFile, name: &str) -> Rows<'a> {
    Rows::new(inputs.tensors[name].as_f32().unwrap(), DIMENSIONS).unwrap()
}

fn fit(inputs: &TensorFile, schedule: Schedule) -> (Classifier, Matrix) {
    let train = rows(inputs, "train");
    let features = Standardizer::of(&[train]).apply(train).unwrap();
    let labels = inputs.tensors["train_labels"].as_u32().unwrap();
    let all: Vec<u32> = (0..labels.len() as u32).collect();
    let classifier = Classifier::fit(features.rows(), labels, 4, &all, schedule, Seed(0), || true);
    (classifier, features)
}

/// The greatest difference between `found` and the array at `pointer`.
fn difference(found: &[f32], expected: &Value, pointer: &str) -> f64 {
    let expected = expected.pointer(pointer).unwrap().as_array().unwrap();
    assert_eq!(found.len(), expected.len());
    let pairs = found.iter().zip(expected);
    pairs.map(|(found, expected)| (f64::from(*found) - expected.as_f64().unwrap()).abs()).fold(0.0, f64::max)
}

#[test]
fn thirty_steps_over_all_rows_end_where_pytorch_s_do() {
    let (inputs, expected) = load();
    let (classifier, _) = fit(&inputs, Schedule { rate: 0.3, epochs: 30, batch_size: 240 });
    assert!(difference(&classifier.weights, &expected, "/steps/weights") < 1e-5);
    assert!(difference(&classifier.bias, &expected, "/steps/bias") < 1e-5);
    let (train, test) = (rows(&inputs, "train"), rows(&inputs, "test"));
    let test = Standardizer::of(&[train]).apply(test).unwrap();
    let (_, loss) = classifier.score(test.rows(), inputs.tensors["test_labels"].as_u32().unwrap());
    assert!((loss - expected["steps"]["test_loss"].as_f64().unwrap()).abs() < 1e-5, "{loss}");
}

#[test]
fn mini_batches_come_close_to_scikit_learn_s_optimum() {
    let (inputs, expected) = load();
    let (classifier, features) = fit(&inputs, Schedule { rate: 0.1, epochs: 1500, batch_size: 32 });
    let (_, loss) = classifier.score(features.rows(), inputs.tensors["train_labels"].as_u32().unwrap());
    let optimum = expected["optimum"]["train_loss"].as_f64().unwrap();
    assert!(loss > optimum - 1e-6 && loss < optimum + 1e-3, "{loss} {optimum}");
}

#[test]
fn the_probe_scores_about_what_scikit_learn_s_optimum_scores() {
    let (inputs, expected) = load();
    let labels = |name: &str| inputs.tensors[name].as_u32().unwrap();
    let (train, test) = (rows(&inputs, "train"), rows(&inputs, "test"));
    let (options, flag) = (ProbeOptions::default(), Cancellation::new());
    let probe = linear_probe(
        train,
        labels("train_labels"),
        test,
        labels("test_labels"),
        4,
        &options,
        Watch::silent(&flag),
    )
    .unwrap();
    let accuracy = expected["optimum"]["accuracy"].as_f64().unwrap();
    assert!((probe.accuracy - accuracy).abs() < 0.06, "{probe:?} {accuracy}");
}
