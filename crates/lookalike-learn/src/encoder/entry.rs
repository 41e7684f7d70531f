//! What a registry knows of an encoder.

use std::path::Path;

use lookalike_base::Stream;
use lookalike_base::arrays::{Array, Arrays};
use lookalike_base::tensors::{self, TensorFile};

use super::{Encoder, Program};
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
    /// Whether it multiplies at `train.precision`, as convolutions and transformers do.
    pub rounds: bool,
    /// What its BatchNorm takes its statistics over.
    pub normalized: Normalized,
    /// Length of its vectors.
    pub dimension: fn(&Settings) -> Result<usize, LearnError>,
    /// The encoder with weights from a stream, on instances or parts that so many values describe.
    pub build: BuildEncoder,
    /// How what is exported may be called: a file, or `FOLDER`.
    pub exported: &'static str,
    /// Whether it can be written for a program, see [`Program::has_no_such`] of one that cannot be written for any.
    pub suits: fn(&Settings, Program) -> Result<(), LearnError>,
    /// Writes the encoder of a run as others read it.
    pub export: fn(Exporting<'_>) -> Result<(), LearnError>,
}

/// What the encoder of a finished run is written from, and where to.
pub struct Exporting<'a> {
    /// All that the recipe says.
    pub settings: &'a Settings,
    /// The encoder's tensors, under its own names.
    pub tensors: Arrays,
    /// The run.
    pub run: &'a Path,
    /// What is to be written.
    pub path: &'a Path,
    /// The program it is written for, one of those that the entry suits; the encoder's own form where there is none.
    pub program: Option<Program>,
    /// Optimiser steps after which it is as it is.
    pub step: u64,
    /// A hash of what decides the numbers of the run.
    pub recipe: String,
}

impl Exporting<'_> {
    /// Writes a safetensors file, with what `complete` adds because frameworks ask for it.
    ///
    /// # Errors
    /// [`LearnError::ArrayFile`] where the file cannot be written.
    pub fn write(self, complete: impl FnOnce(&mut Arrays)) -> Result<(), LearnError> {
        let mut file = TensorFile { tensors: self.tensors, ..TensorFile::default() };
        complete(&mut file.tensors);
        Ok(tensors::write(self.path, &file)?)
    }
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
