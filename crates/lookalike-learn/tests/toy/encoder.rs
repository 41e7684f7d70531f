//! A toy encoder: a perceptron.

use lookalike_learn::encoder::{EncoderEntry, Normalized};
use lookalike_learn::options::{FRACTION, Options, SOME, Value};

use crate::common::Mlp;

lookalike_learn::options! {
    /// What a recipe says of a perceptron.
    pub struct MlpOptions {
        /// Width of the hidden layer.
        width: usize = Value::Integer(32), SOME;
        /// Length of the representation.
        length: usize = Value::Integer(16), SOME;
        /// Share of the hidden values that is dropped.
        dropout: f32 = Value::Number(0.0), FRACTION;
    }
}

pub const MLP: EncoderEntry = EncoderEntry {
    kind: "mlp",
    about: "a perceptron",
    keys: MlpOptions::KEYS,
    modalities: &["vectors"],
    methods: &[],
    rounds: false,
    normalized: Normalized::Nothing,
    dimension: |settings| settings.read("encoder").map(|MlpOptions { length, .. }| length),
    build: |settings, inputs, stream, device| {
        let MlpOptions { width, length, dropout } = settings.read("encoder")?;
        Ok(Box::new(Mlp::new(&[inputs, width, length], dropout, stream, device)))
    },
    exported: "model.safetensors",
    suits: |settings, program| program.has_no_such(settings),
    export: |exporting| exporting.write(|_| {}),
};
