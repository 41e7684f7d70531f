//! Vision Transformers in a registry.

use lookalike_base::Stream;
use lookalike_base::arrays::{Array, Arrays};
use lookalike_data::image::augment::AugmentOptions;
use serde_json::{Map, Value as Json, json};

use super::{Positions, Representation, Vit, VitConfig};
use crate::encoder::entry::{EncoderEntry, Exporting, LAYERS, Normalized, WIDTH};
use crate::encoder::export::{Described, timm};
use crate::encoder::{Encoder, Program};
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
    suits,
    export: |exporting| export(&SMALL_OF_TIMM, exporting),
};

/// The network for images of 32 pixels on CPUs.
pub const TINY: EncoderEntry = EncoderEntry {
    kind: "vit-tiny",
    about: "a Vision Transformer of 0.7 million parameters for images of 32 pixels, for CPUs",
    keys: TINY_KEYS,
    export: |exporting| export(&TINY_OF_TIMM, exporting),
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

/// What timm means by a name: patches of 16 pixels of images of 224, 12 blocks, an inner layer of four times the width.
struct OfTimm {
    name: &'static str,
    width: usize,
    heads: usize,
}

const SMALL_OF_TIMM: OfTimm = OfTimm { name: "vit_small_patch16_224", width: 384, heads: 6 };
const TINY_OF_TIMM: OfTimm = OfTimm { name: "vit_tiny_patch16_224", width: 192, heads: 3 };

/// timm alone has their like, and opens any sizes.
fn suits(_: &Settings, program: Program) -> Result<(), LearnError> {
    match program {
        Program::Timm => Ok(()),
        Program::Torchvision => Err(program.refuse(
            "its Vision Transformers are larger, and their tensors have other names; --for timm writes a folder that timm opens, and without \
             --for a file has timm's names",
        )),
        Program::Detectron2 => Err(program.refuse(
            "MoCo's protocol has residual networks, resnet18, resnet34 or resnet50; --for timm writes a folder that timm opens",
        )),
    }
}

/// Writes the encoder for timm, or else as a file under timm's names.
fn export(of_timm: &OfTimm, exporting: Exporting<'_>) -> Result<(), LearnError> {
    let config = config(exporting.settings)?;
    let own = [("patch", config.patch), ("heads", config.heads)];
    let described = Described::of(&exporting, own.map(|(name, value)| (name, value.to_string())))?;
    let Exporting { mut tensors, path, program, .. } = exporting;
    if program.is_none() {
        add_classifier(&mut tensors, config.width);
        return described.write(tensors, path);
    }
    let network = timm::Network {
        architecture: of_timm.name,
        arguments: arguments(of_timm, &config),
        features: config.width,
        pool: if config.representation == Representation::Token { "token" } else { "avg" },
        ends: ["patch_embed.proj", "head"],
        map: None,
        note: match config.positions {
            Positions::SinCos => {
                "Its positions, `pos_embed`, are sines and cosines that stayed fixed in training; timm trains them with the rest unless \
                 `encoder.pos_embed.requires_grad = False`."
            }
            Positions::Learned => "Its positions were learned, for images of that size.",
        },
    };
    timm::write(&network, &described, tensors, path)
}

/// In what a network differs from what timm means by the name.
fn arguments(of_timm: &OfTimm, config: &VitConfig) -> Map<String, Json> {
    let mut ratio = config.inner as f64 / config.width as f64;
    if (ratio * config.width as f64) as usize != config.inner {
        // timm rounds the product down.
        ratio = (config.inner as f64 + 0.5) / config.width as f64;
    }
    let differing = [
        ("img_size", config.image, 224),
        ("patch_size", config.patch, 16),
        ("embed_dim", config.width, of_timm.width),
        ("depth", config.layers, 12),
        ("num_heads", config.heads, of_timm.heads),
    ];
    let differing = differing.into_iter().filter(|(_, own, theirs)| own != theirs);
    let mut all: Map<String, Json> =
        differing.map(|(name, own, _)| (name.to_owned(), Json::from(own))).collect();
    if config.inner != 4 * config.width {
        all.insert("mlp_ratio".to_owned(), json!(ratio));
    }
    if config.representation == Representation::Mean {
        all.insert("global_pool".to_owned(), json!("avg"));
        // Otherwise timm normalises after the mean instead of before.
        all.insert("fc_norm".to_owned(), json!(false));
    }
    all
}

/// What timm's `load_state_dict(strict=True)` asks for and training does not have: a classifier `head` of 1000 classes, all zeros.
fn add_classifier(exported: &mut Arrays, width: usize) {
    exported.insert("head.weight".to_owned(), Array::f32([1000, width], vec![0.0; 1000 * width]));
    exported.insert("head.bias".to_owned(), Array::f32([1000], vec![0.0; 1000]));
}
