//! Vision Transformers in a registry.

use lookalike_base::Stream;
use lookalike_base::arrays::{Array, Arrays};
use lookalike_data::image::augment::AugmentOptions;

use super::{Positions, Representation, Vit, VitConfig};
use crate::encoder::Encoder;
use crate::encoder::entry::{EncoderEntry, Exporting, LAYERS, Normalized, WIDTH};
use crate::engine::Device;
use crate::error::LearnError;
use crate::options::{FLAG, Key, Options, Range, Settings, Value, refuse};

crate::options! {
    /// What a recipe says of a Vision Transformer.
    pub struct VitOptions {
        /// Side of a patch in pixels, which divides that of a view (`augment.size`).
        patch: usize = Value::Integer(16), Range::Integer { least: 1, most: 512 };
        /// Blocks.
        layers: usize = Value::Integer(12), LAYERS;
        /// Length of a token's vector, and of the representation.
        width: usize = Value::Integer(384), WIDTH;
        /// Attention heads, which divide the width. ViT-S has 12 in MoCo v3, and 6 in timm and DeiT.
        heads: usize = Value::Integer(12), WIDTH;
        /// Length of the inner layer of the feed-forward part; in the paper four times the width.
        inner: Option<usize> = Value::Absent("4 · `width`"), Range::Integer { least: 1, most: 65_536 };
        /// What tells tokens where their patches are. `sincos`: sines and cosines of row and column, which stay, as in MoCo v3; `learned`: a
        /// vector a token that learns, as in torchvision and timm.
        position_embedding: Positions = Value::Text("sincos"), Range::OneOf(&["learned", "sincos"]);
        /// Whether the projection of patches stays as it was drawn, against instability in training (Chen et al. 2021, section 4;
        /// `--stop-grad-conv1` of MoCo v3's program).
        stop_gradient: bool = Value::Flag(false), FLAG;
        /// The vector of an image: that of the class token, `token`, as in MoCo v3, torchvision and timm, or the `mean` of its patches'.
        representation: Representation = Value::Text("token"), Range::OneOf(&["token", "mean"]);
    }
}

/// The keys with the defaults of the network for CPUs.
const TINY_KEYS: &[Key] = &{
    let keys = VitOptions::KEYS;
    let mut keys = [keys[0], keys[1], keys[2], keys[3], keys[4], keys[5], keys[6], keys[7]];
    keys[0].default = Value::Integer(4);
    keys[1].default = Value::Integer(6);
    keys[2].default = Value::Integer(96);
    keys[3].default = Value::Integer(3);
    keys
};

/// ViT-S/16 of MoCo v3.
pub const SMALL: EncoderEntry = EncoderEntry {
    kind: "vit-small",
    about: "a Vision Transformer, ViT-S/16 as in MoCo v3",
    keys: VitOptions::KEYS,
    modalities: &["image"],
    methods: &[],
    rounds: true,
    normalized: Normalized::Nothing,
    dimension: |settings| config(settings).map(|config| config.width),
    build: |settings, _, stream, device| build(settings, stream, device),
    exported: "model.safetensors",
    export,
};

/// The network for images of 32 pixels on CPUs.
pub const TINY: EncoderEntry = EncoderEntry {
    kind: "vit-tiny",
    about: "a Vision Transformer of 0.7 million parameters for images of 32 pixels, for CPUs",
    keys: TINY_KEYS,
    ..SMALL
};

/// The sizes that a recipe asks for, on views as large as it makes them.
fn config(settings: &Settings) -> Result<VitConfig, LearnError> {
    let views: AugmentOptions = settings.parse("augment")?.unwrap_or_default();
    let [view, _] = views.validate().map_err(|error| refuse("augment", error.to_string()))?;
    let options: VitOptions = settings.read("encoder")?;
    let VitOptions { patch, layers, width, heads, inner, stop_gradient, representation, .. } = options;
    let config = VitConfig {
        image: view.size(),
        patch,
        width,
        layers,
        heads,
        inner: inner.unwrap_or(4 * width),
        positions: options.position_embedding,
        stop_gradient,
        representation,
    };
    config.check()?;
    Ok(config)
}

fn build(settings: &Settings, stream: &mut Stream, device: &Device) -> Result<Box<dyn Encoder>, LearnError> {
    Ok(Box::new(Vit::new(config(settings)?, stream, device)?))
}

fn export(exporting: Exporting<'_>) -> Result<(), LearnError> {
    let VitOptions { width, .. } = exporting.settings.read("encoder")?;
    exporting.write(|exported| add_classifier(exported, width))
}

/// What timm's `load_state_dict(strict=True)` asks for and training does not have: a classifier `head` of 1000 classes, all zeros.
fn add_classifier(exported: &mut Arrays, width: usize) {
    exported.insert("head.weight".to_owned(), Array::f32([1000, width], vec![0.0; 1000 * width]));
    exported.insert("head.bias".to_owned(), Array::f32([1000], vec![0.0; 1000]));
}
