//! What a registry knows of an encoder.

use lookalike_base::Stream;
use lookalike_base::arrays::{Array, Arrays};

use super::Encoder;
use crate::engine::Device;
use crate::error::LearnError;
use crate::options::{Key, Range, Settings};

/// An encoder as a registry holds it.
#[derive(Debug, Clone, Copy)]
pub struct EncoderEntry {
    /// Its name in recipes, `encoder.kind`.
    pub kind: &'static str,
    /// What it is, in a few words.
    pub about: &'static str,
    /// Its keys in the section `[encoder]`.
    pub keys: &'static [Key],
    /// The modalities it reads.
    pub modalities: &'static [&'static str],
    /// The methods that train it; empty for all that do not choose their encoders.
    pub methods: &'static [&'static str],
    /// Whether it has convolutions, which `bf16` is about.
    pub convolutions: bool,
    /// What its BatchNorm takes its statistics over.
    pub normalized: Normalized,
    /// Length of its vectors.
    pub dimension: fn(&Settings) -> Result<usize, LearnError>,
    /// The encoder with weights from a stream, on instances or parts that so many values describe.
    pub build: BuildEncoder,
    /// Adds to the exported tensors what frameworks ask for beside them.
    pub complete_export: fn(&mut Arrays),
}

/// Makes an encoder by the settings, on instances or parts that so many values describe, with weights from the stream.
pub type BuildEncoder = fn(&Settings, usize, &mut Stream, &Device) -> Result<Box<dyn Encoder>, LearnError>;

/// What BatchNorm of an encoder takes its statistics over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Normalized {
    /// It has none.
    Nothing,
    /// The instances of a batch.
    Instances,
    /// Their parts, as the nodes of graphs.
    Parts,
}

/// Most layers and greatest width of a network for graphs: far above any published, far below what exhausts memory.
pub const LAYERS: Range = Range::Integer { least: 1, most: 64 };
/// See [`LAYERS`].
pub const WIDTH: Range = Range::Integer { least: 1, most: 8192 };

/// The counters `num_batches_tracked` that PyTorch's BatchNorm has.
pub(super) fn add_counters(exported: &mut Arrays) {
    let layers = exported.keys().filter_map(|name| name.strip_suffix("running_var"));
    let counters: Vec<String> = layers.map(|layer| format!("{layer}num_batches_tracked")).collect();
    exported.extend(counters.into_iter().map(|name| (name, Array::i64([], vec![0]))));
}
