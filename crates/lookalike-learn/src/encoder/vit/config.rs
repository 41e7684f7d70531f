//! The sizes of Vision Transformers, and those on offer.

use serde::{Deserialize, Serialize};

use super::Positions;
use crate::error::LearnError;
use crate::options::require;

/// Most patches of an image: far above any published, far below what exhausts memory.
const MOST_PATCHES: usize = 1 << 16;

/// What an image's vector is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Representation {
    /// The class token's.
    Token,
    /// The mean of the patches'.
    Mean,
}

/// The sizes of a Vision Transformer, and how it reads images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VitConfig {
    /// Side of the images, in pixels.
    pub image: usize,
    /// Side of a patch, in pixels, which divides that of the images.
    pub patch: usize,
    /// Length of a token's vector, d.
    pub width: usize,
    /// Blocks.
    pub layers: usize,
    /// Attention heads, which divide d.
    pub heads: usize,
    /// Length of the inner layer of the feed-forward part.
    pub inner: usize,
    /// What tells tokens where their patches are.
    pub positions: Positions,
    /// Whether the projection of patches stays as it was drawn.
    pub stop_gradient: bool,
    /// What an image's vector is.
    pub representation: Representation,
}

impl VitConfig {
    /// Patches along a side.
    pub fn grid(&self) -> usize {
        self.image / self.patch
    }

    /// Tokens of an image.
    pub fn tokens(&self) -> usize {
        self.grid().pow(2) + 1
    }

    /// Checks that the sizes fit each other.
    ///
    /// # Errors
    /// [`LearnError::Recipe`] names the key of what does not fit.
    pub fn check(&self) -> Result<(), LearnError> {
        let Self { image, patch, width, heads, .. } = *self;
        require(
            heads > 0 && width.is_multiple_of(heads),
            "encoder.heads",
            format!("must divide encoder.width: {heads} attention heads do not divide vectors of {width}"),
        )?;
        require(
            patch > 0 && image > 0 && image.is_multiple_of(patch),
            "encoder.patch",
            format!("must divide augment.size: patches of {patch} pixels do not fill views of {image}"),
        )?;
        require(
            self.grid().pow(2) <= MOST_PATCHES,
            "encoder.patch",
            format!(
                "makes {} patches of a view of {image} pixels, more than {MOST_PATCHES}",
                self.grid().pow(2)
            ),
        )?;
        require(
            self.positions != Positions::SinCos || width.is_multiple_of(4),
            "encoder.width",
            "must be a multiple of 4 with encoder.position_embedding = \"sincos\": sine and cosine of row and column",
        )
    }
}

/// The networks on offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Architecture {
    /// ViT-S/16: patches of 16 pixels, 12 blocks, 384 wide; 12 heads as in MoCo v3, where timm and DeiT have 6.
    #[serde(rename = "vit-small")]
    Small,
    /// Patches of 4 pixels, 6 blocks, 96 wide, 3 heads: for images of 32 pixels on CPUs.
    #[serde(rename = "vit-tiny")]
    Tiny,
}

impl Architecture {
    /// Its sizes for images of `image` pixels, with fixed positions as in MoCo v3.
    pub fn config(self, image: usize) -> VitConfig {
        let (patch, width, layers, heads) = match self {
            Self::Small => (16, 384, 12, 12),
            Self::Tiny => (4, 96, 6, 3),
        };
        VitConfig {
            image,
            patch,
            width,
            layers,
            heads,
            inner: 4 * width,
            positions: Positions::SinCos,
            stop_gradient: false,
            representation: Representation::Token,
        }
    }
}
