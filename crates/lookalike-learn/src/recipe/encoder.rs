//! The section `[encoder]`: the network that is kept, and with it what kind of data a recipe is about.

use serde::{Deserialize, Serialize};

use super::combinations;
use super::{MethodKind, Recipe};
use crate::encoder::ReadOut;
use crate::encoder::gin::GinOptions;
use crate::encoder::resnet::{Architecture, Stem};
use crate::method::mvgrl::MvgrlOptions;

/// The encoders on offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EncoderKind {
    /// See [`Architecture::Small`].
    Small,
    /// See [`Architecture::ResNet18`].
    ResNet18,
    /// See [`Architecture::ResNet34`].
    ResNet34,
    /// See [`Architecture::ResNet50`].
    ResNet50,
    /// A graph isomorphism network, see [`crate::encoder::gin`].
    Gin,
    /// Two graph convolutional networks, one a view, see [`crate::method::mvgrl`] and [`crate::method::mvgrl_nodes`].
    Gcn,
}

/// What an encoder reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Modality {
    /// Images: a part to learn from and one to measure on.
    Images,
    /// Graphs: one set, which is learned from and cross-validated.
    Graphs,
    /// The nodes of one graph: all are learned from, some are measured on.
    Nodes,
}

impl EncoderKind {
    /// The residual network, where it is one.
    pub fn architecture(self) -> Option<Architecture> {
        match self {
            Self::Small => Some(Architecture::Small),
            Self::ResNet18 => Some(Architecture::ResNet18),
            Self::ResNet34 => Some(Architecture::ResNet34),
            Self::ResNet50 => Some(Architecture::ResNet50),
            Self::Gin | Self::Gcn => None,
        }
    }
}

/// The `[encoder]` section. What is absent is the method's choice, or the paper's.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EncoderOptions {
    /// The network; the method's own if absent.
    pub kind: Option<EncoderKind>,
    /// What stands before the first block, of networks for images; `cifar` if absent.
    pub stem: Option<Stem>,
    /// Message passing layers, of networks for graphs. GraphCL: 3. MVGRL: chosen from 2, 8 and 12; on nodes 1.
    pub layers: Option<usize>,
    /// Their width. GraphCL: 32, MVGRL: 512.
    pub width: Option<usize>,
    /// How nodes become a graph, of `gin`. GraphCL: the sum.
    pub read_out: Option<ReadOut>,
}

impl EncoderOptions {
    /// What stands before the first block of a network for images.
    pub fn stem(&self) -> Stem {
        self.stem.unwrap_or(Stem::Cifar)
    }

    /// The options of `gin`.
    pub fn gin(&self) -> GinOptions {
        let own = GinOptions::default();
        GinOptions {
            layers: self.layers.unwrap_or(own.layers),
            width: self.width.unwrap_or(own.width),
            read_out: self.read_out.unwrap_or(own.read_out),
        }
    }
}

impl Recipe {
    /// The encoder, the method's own where the recipe says nothing.
    pub fn encoder(&self) -> EncoderKind {
        self.encoder.kind.unwrap_or(combinations::of(self.method.kind).encoders[0])
    }

    /// What the recipe is about.
    pub fn modality(&self) -> Modality {
        match (self.encoder(), self.method.kind) {
            (_, MethodKind::MvgrlNodes) => Modality::Nodes,
            (EncoderKind::Gin | EncoderKind::Gcn, _) => Modality::Graphs,
            _ => Modality::Images,
        }
    }

    /// The options of MVGRL.
    pub fn mvgrl(&self) -> MvgrlOptions {
        let own = match self.method.kind {
            MethodKind::MvgrlNodes => MvgrlOptions { layers: 1, ..MvgrlOptions::default() },
            _ => MvgrlOptions::default(),
        };
        MvgrlOptions {
            layers: self.encoder.layers.unwrap_or(own.layers),
            width: self.encoder.width.unwrap_or(own.width),
            variant: self.variant(),
        }
    }

    /// Length of the representation.
    pub fn dimension(&self) -> usize {
        let kind = self.encoder();
        match kind.architecture() {
            Some(architecture) => architecture.dimension(),
            None if kind == EncoderKind::Gin => {
                let GinOptions { layers, width, .. } = self.encoder.gin();
                layers.saturating_mul(width)
            }
            None => self.mvgrl().width,
        }
    }

    /// Writes out what the recipe leaves to the method.
    pub(super) fn fill_in_encoder(&mut self) {
        let kind = self.encoder();
        let gin = self.encoder.gin();
        let mvgrl = self.mvgrl();
        let encoder = &mut self.encoder;
        encoder.kind = Some(kind);
        match kind {
            EncoderKind::Gin => {
                encoder.layers = Some(gin.layers);
                encoder.width = Some(gin.width);
                encoder.read_out = Some(gin.read_out);
            }
            EncoderKind::Gcn => {
                encoder.layers = Some(mvgrl.layers);
                encoder.width = Some(mvgrl.width);
            }
            _ => encoder.stem = Some(encoder.stem()),
        }
    }
}
