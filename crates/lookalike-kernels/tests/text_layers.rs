//! The layers of a text encoder against PyTorch; `fixtures/text_layers.py` made the numbers.
#![expect(clippy::unwrap_used, reason = "a helper of tests fails by panicking, as the tests themselves do")]

use std::path::Path;

use lookalike_base::{Arrays, tensors};
use lookalike_kernels::attention::{AttentionShape, DistanceBias, attention, attention_gradient};
use lookalike_kernels::gelu::{bias_gelu, bias_gelu_gradient, column_sums};
use lookalike_kernels::layer_norm::{LayerNormInput, LayerNormScale, layer_norm, layer_norm_gradient};
use lookalike_kernels::map::Precision;

struct Fixture {
    arrays: Arrays,
    layer: &'static str,
}

impl Fixture {
    fn load(layer: &'static str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/text_layers.safetensors");
        Self { arrays: tensors::read(path).unwrap().tensors, layer }
    }

    fn get(&self, name: &str) -> &[f32] {
        self.arrays[&format!("{}.{name}", self.layer)].as_f32().unwrap()
    }

    /// Compares with a tolerance relative to the largest magnitude.
    fn check(&self, name: &str, found: &[f32]) {
        let expected = self.get(name);
        assert_eq!(found.len(), expected.len(), "{} {name}", self.layer);
        let largest = expected.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
            let error = (found - expected).abs();
            assert!(error <= 1e-5 * largest, "{} {name} at {place}: {found}, not {expected}", self.layer);
        }
    }
}

#[test]
fn attention_with_a_relative_bias_is_that_of_pytorch() {
    for (layer, offsets, heads, own, window) in [
        ("attention", &[0, 7, 8, 28, 40][..], 3, 8, None),
        ("wide", &[0, 9, 27], 2, 32, None),
        ("window", &[0, 30], 2, 16, Some(4)),
    ] {
        let fixture = Fixture::load(layer);
        let shape = AttentionShape { offsets, heads, width: heads * own, window };
        let buckets = &fixture.arrays[&format!("{layer}.buckets")].values;
        let lookalike_base::Values::I64(buckets) = buckets else { unreachable!("buckets are whole numbers") };
        let buckets: Vec<u32> = buckets.iter().map(|bucket| u32::try_from(*bucket).unwrap()).collect();
        let bias = DistanceBias { values: fixture.get("bias"), buckets: &buckets };
        let qkv = fixture.get("qkv");
        fixture.check("output", &attention(&shape, Precision::F32, qkv, Some(&bias), None));
        let gradients =
            attention_gradient(&shape, Precision::F32, qkv, Some(&bias), None, fixture.get("given"));
        fixture.check("gradient.qkv", &gradients.qkv);
        fixture.check("gradient.bias", &gradients.bias.unwrap());
    }
}

#[test]
fn gelu_behind_a_bias_is_that_of_pytorch() {
    let fixture = Fixture::load("gelu");
    let [values, bias] = ["values", "bias"].map(|name| fixture.get(name));
    fixture.check("output", &bias_gelu(values, bias));
    let gradient = bias_gelu_gradient(values, bias, fixture.get("given"));
    fixture.check("gradient.values", &gradient);
    fixture.check("gradient.bias", &column_sums(&gradient, bias.len()));
}

#[test]
fn layer_normalisation_behind_bias_and_residual_is_that_of_pytorch() {
    let fixture = Fixture::load("layer_norm");
    let input = LayerNormInput {
        values: fixture.get("values"),
        bias: Some(fixture.get("bias")),
        residual: Some(fixture.get("residual")),
        dropout: None,
    };
    let scale =
        LayerNormScale { scale: fixture.get("scale"), shift: Some(fixture.get("shift")), epsilon: 1e-5 };
    let (output, statistics) = layer_norm(&input, &scale);
    fixture.check("output", &output);
    let gradients = layer_norm_gradient(&input, &scale, &statistics, fixture.get("given"));
    fixture.check("gradient.values", &gradients.values);
    fixture.check("gradient.residual", &gradients.residual.unwrap());
    fixture.check("gradient.bias", &gradients.bias.unwrap());
    fixture.check("gradient.scale", &gradients.scale);
    fixture.check("gradient.shift", &gradients.shift);
}
