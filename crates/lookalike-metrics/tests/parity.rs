//! Every score against PyTorch, NumPy, `SciPy` and scikit-learn; `fixtures/make.py` made the numbers.
#![expect(clippy::unwrap_used, reason = "a helper of tests fails by panicking, as the tests themselves do")]

use std::path::Path;

use lookalike_base::{Arrays, Rows, Watch, tensors};
use lookalike_metrics::{
    Centering, KnnOptions, UniformityOptions, alignment, collapse, false_negative_rate, hardness,
    knn_accuracy, knn_classify, paired, rank_me, spectrum, uniformity,
};
use serde_json::Value;

const DIMENSIONS: usize = 12;

struct Fixture {
    inputs: Arrays,
    expected: Value,
}

impl Fixture {
    fn load() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        let inputs = tensors::read(folder.join("inputs.safetensors")).unwrap().tensors;
        let expected = std::fs::read_to_string(folder.join("expected.json")).unwrap();
        Self { inputs, expected: serde_json::from_str(&expected).unwrap() }
    }

    fn rows(&self, name: &str) -> Rows<'_> {
        Rows::new(self.inputs[name].as_f32().unwrap(), DIMENSIONS).unwrap()
    }

    fn integers(&self, name: &str) -> &[u32] {
        self.inputs[name].as_u32().unwrap()
    }

    fn number(&self, pointer: &str) -> f64 {
        self.expected.pointer(pointer).unwrap().as_f64().unwrap()
    }

    fn numbers(&self, pointer: &str) -> Vec<f64> {
        let values = self.expected.pointer(pointer).unwrap().as_array().unwrap();
        values.iter().map(|value| value.as_f64().unwrap()).collect()
    }
}

#[track_caller]
fn assert_close(found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= tolerance * expected.abs().max(1.0), "{found} is not {expected}");
    }
}

#[test]
fn neighbors_vote_as_in_pytorch_and_scikit_learn() {
    let fixture = Fixture::load();
    let options = KnnOptions {
        k: fixture.number("/knn/k") as usize,
        temperature: fixture.number("/knn/temperature") as f32,
    };
    let (train, test) = (fixture.rows("train"), fixture.rows("test"));
    let (labels, test_labels) = (fixture.integers("train_labels"), fixture.integers("test_labels"));
    let predicted = knn_classify(train, labels, test, 4, &options).unwrap();
    let expected: Vec<u32> = fixture.numbers("/knn/predictions").iter().map(|class| *class as u32).collect();
    assert_eq!(predicted.labels, expected);
    let accuracy = knn_accuracy(train, labels, test, test_labels, 4, &options).unwrap();
    assert_eq!((accuracy.accuracy, accuracy.k_lowered), (fixture.number("/knn/accuracy"), false));
}

#[test]
fn alignment_and_uniformity_are_those_of_their_authors_formulas() {
    let fixture = Fixture::load();
    let found = alignment(fixture.rows("train"), fixture.rows("second")).unwrap();
    assert_close(&[found], &[fixture.number("/alignment")], 1e-7);
    let found = uniformity(fixture.rows("train"), &UniformityOptions::default()).unwrap();
    assert_close(&[found.value], &[fixture.number("/uniformity")], 1e-6);
}

#[test]
fn spectra_and_ranks_are_numpy_s() {
    let fixture = Fixture::load();
    for (name, centering) in [("centered", Centering::Centered), ("uncentered", Centering::Uncentered)] {
        let found = spectrum(fixture.rows("train"), centering).unwrap();
        assert_close(&found.singular_values, &fixture.numbers(&format!("/{name}/singular_values")), 1e-10);
        let rank = found.effective_rank().unwrap();
        assert_close(&[rank], &[fixture.number(&format!("/{name}/effective_rank"))], 1e-10);
    }
    assert_close(&[rank_me(fixture.rows("train")).unwrap()], &[fixture.number("/rank_me")], 1e-10);
}

#[test]
fn deviations_of_normalized_embeddings_are_pytorch_s() {
    let fixture = Fixture::load();
    let found = collapse(fixture.rows("train")).unwrap();
    assert_close(&found.deviations, &fixture.numbers("/deviations"), 1e-7);
}

#[test]
fn hardness_and_false_negatives_are_those_counted_pair_by_pair() {
    let fixture = Fixture::load();
    let plan: Vec<&[u32]> = fixture.integers("plan").chunks(16).collect();
    let found = hardness(&plan, fixture.rows("train"), Watch::default()).unwrap();
    let expected = ["/hardness/plan", "/hardness/uniform"].map(|pointer| fixture.number(pointer));
    assert_close(&[found.similarity, found.uniform], &expected, 1e-7);
    let found = false_negative_rate(&plan, fixture.integers("train_labels")).unwrap();
    let expected =
        ["/false_negatives/plan", "/false_negatives/uniform"].map(|pointer| fixture.number(pointer));
    assert_close(&[found.rate, found.uniform], &expected, 1e-12);
}

#[test]
fn the_interval_of_paired_differences_is_scipy_s() {
    let fixture = Fixture::load();
    let found = paired(&fixture.numbers("/paired/baseline"), &fixture.numbers("/paired/treatment")).unwrap();
    let expected = ["/paired/mean", "/paired/low", "/paired/high"].map(|pointer| fixture.number(pointer));
    assert_close(&[found.mean, found.low, found.high], &expected, 1e-9);
}
