//! The projection head of SimCLR (Chen et al. 2020, §4.2, <https://arxiv.org/abs/2002.05709>).

use crate::burn::tensor::activation::relu;
use lookalike_base::Stream;
use serde::{Deserialize, Serialize};

use crate::engine::{Device, Tensor};
use crate::layer::{BatchNorm, Linear};
use crate::module::{Module, Pass, Visitor};
use crate::options::{Key, Options, Range, Value, length_from};

/// Which linear layers of a head BatchNorm follows; such layers have no bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeadNorm {
    /// All, the last included, as in SimCLR's published code. The last one centres the projections of each batch, so that
    /// they cannot be compared with those of another batch: a hindrance to a graph built from them.
    #[default]
    All,
    /// All but the last, as in BatchSampler's published program.
    Hidden,
    /// None, as in MoCo v2.
    None,
}

crate::options! {
    /// What the head looks like.
    pub struct ProjectionOptions {
        /// Linear layers of the projection head. 0: no head, 1: linear, as in MoCo v1; SimCLR's text has 2, its published program 3.
        layers: usize = Value::Integer(2), Range::Integer { least: 0, most: 64 };
        /// Width of the hidden layers; 0: the encoder's own, as in SimCLR's paper.
        width: usize = Value::Integer(0), length_from(0);
        /// Length of what the loss compares; SimCLR's paper: 128.
        dimension: usize = Value::Integer(128), length_from(1);
        /// Which layers BatchNorm follows; such layers have no bias. `all`: the last one too, as in SimCLR's published program; it centres
        /// the projections of every batch, so for batches of look-alikes and for a queue take `hidden`, as BatchSampler's program does, or
        /// `none`, as MoCo v2.
        batch_norm: HeadNorm = Value::Text("all"), Range::OneOf(HEAD_NORMS);
    }
}

/// What `batch_norm` of a head can be.
pub const HEAD_NORMS: &[&str] = &["all", "hidden", "none"];

/// The keys of a head whose default is to have no BatchNorm.
pub const WITHOUT_NORM: &[Key] = &with_defaults(Value::Integer(128), Value::Text("none"));

/// The keys of a head with these defaults of its length and BatchNorm.
pub const fn with_defaults(dimension: Value, batch_norm: Value) -> [Key; 4] {
    let keys = ProjectionOptions::KEYS;
    let mut keys = [keys[0], keys[1], keys[2], keys[3]];
    keys[2].default = dimension;
    keys[3].default = batch_norm;
    keys
}

/// Linear layers with `ReLU` between them, and BatchNorm where it was asked for.
#[derive(Debug, Clone)]
pub struct Projection {
    layers: Vec<(Linear, Option<BatchNorm>)>,
}

impl Projection {
    /// A head on vectors of length `inputs`.
    pub fn new(inputs: usize, options: &ProjectionOptions, stream: &mut Stream, device: &Device) -> Self {
        Self::of(inputs, options, device, |widths, bias| Linear::new(widths, bias, stream, device))
    }

    /// [`new`](Self::new) with the weights of [`Linear::xavier`], as GraphCL draws them.
    pub fn xavier(inputs: usize, options: &ProjectionOptions, stream: &mut Stream, device: &Device) -> Self {
        Self::of(inputs, options, device, |widths, bias| {
            if bias {
                Linear::xavier(widths, stream, device)
            } else {
                Linear::xavier_without_bias(widths, stream, device)
            }
        })
    }

    fn of(
        inputs: usize,
        options: &ProjectionOptions,
        device: &Device,
        mut linear: impl FnMut([usize; 2], bool) -> Linear,
    ) -> Self {
        let hidden = if options.width == 0 { inputs } else { options.width };
        let mut from = inputs;
        let layers = (1..=options.layers).map(|layer| {
            let to = if layer == options.layers { options.dimension } else { hidden };
            let normalized = match options.batch_norm {
                HeadNorm::All => true,
                HeadNorm::Hidden => layer < options.layers,
                HeadNorm::None => false,
            };
            let linear = linear([from, to], !normalized);
            from = to;
            (linear, normalized.then(|| BatchNorm::new(to, device)))
        });
        Self { layers: layers.collect() }
    }

    /// # Shapes
    /// `[N, inputs]` → `[N, dimension]`, not normalised.
    pub fn forward(&mut self, input: Tensor<2>, pass: &Pass) -> Tensor<2> {
        let last = self.layers.len().saturating_sub(1);
        self.layers.iter_mut().enumerate().fold(input, |hidden, (index, (linear, normalization))| {
            let hidden = linear.forward(hidden, pass);
            match normalization {
                Some(normalization) if index < last => normalization.forward_relu(hidden, pass),
                Some(normalization) => normalization.forward(hidden, pass),
                None if index < last => relu(hidden),
                None => hidden,
            }
        })
    }
}

impl Module for Projection {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        for (index, (linear, normalization)) in self.layers.iter_mut().enumerate() {
            visitor.module(&format!("linear{}", index + 1), linear);
            if let Some(normalization) = normalization {
                visitor.module(&format!("bn{}", index + 1), normalization);
            }
        }
    }
}
