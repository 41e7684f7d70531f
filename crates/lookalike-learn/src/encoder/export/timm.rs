//! A folder that timm opens (<https://huggingface.co/docs/timm/models>, its format of the hub): `config.json`, `model.safetensors` and a
//! model card. `timm.create_model("local-dir:FOLDER", pretrained=True)` gives the encoder without a classifier.

use std::fs;
use std::path::Path;

use lookalike_base::arrays::Arrays;
use lookalike_base::atomic::new_folder;
use serde_json::{Map, Value, json};

use super::Described;
use crate::error::LearnError;

/// A network of timm's.
pub(in super::super) struct Network {
    /// Its name in timm.
    pub(in super::super) architecture: &'static str,
    /// Arguments in which it differs from what timm means by the name.
    pub(in super::super) arguments: Map<String, Value>,
    /// Length of its vectors.
    pub(in super::super) features: usize,
    /// How a vector is made of a map or of tokens.
    pub(in super::super) pool: &'static str,
    /// The layers that timm finds by their names: what reads the images, and what classifies.
    pub(in super::super) ends: [&'static str; 2],
    /// Rows and columns of the last map, of networks that take images of any size.
    pub(in super::super) map: Option<usize>,
    /// What a user must know of it.
    pub(in super::super) note: &'static str,
}

/// Writes the new folder `path`.
///
/// # Errors
/// [`LearnError::Io`] where something is there already, and where a file cannot be written: nothing is left then.
pub(in super::super) fn write(
    network: &Network,
    described: &Described,
    tensors: Arrays,
    path: &Path,
) -> Result<(), LearnError> {
    let about = |path: &Path, source| LearnError::Io { path: path.to_owned(), source };
    new_folder(path, about, |folder| {
        let write = |name: &str, text: String| {
            fs::write(folder.join(name), text).map_err(|error| about(&path.join(name), error))
        };
        write("config.json", format!("{:#}\n", config(network, described)))?;
        write("README.md", card(network, described))?;
        described.write(tensors, &folder.join("model.safetensors"))
    })
}

fn config(network: &Network, described: &Described) -> Value {
    let Network { architecture, features, pool, ends: [first, classifier], map, .. } = *network;
    let [mean, std] = described.channels(1.0);
    let side = described.size;
    json!({
        "architecture": architecture,
        "num_classes": 0,
        "num_features": features,
        "global_pool": pool,
        "model_args": network.arguments,
        "pretrained_cfg": {
            "input_size": [3, side, side],
            "fixed_input_size": map.is_none(),
            "pool_size": map.map(|side| [side, side]),
            "interpolation": "bilinear",
            // The shorter side is resized to that of a view, and the middle is taken.
            "crop_pct": 1.0,
            "crop_mode": "center",
            "mean": mean,
            "std": std,
            "num_classes": 0,
            "first_conv": first,
            "classifier": classifier,
        },
    })
}

fn card(network: &Network, described: &Described) -> String {
    let Network { architecture, features, note, .. } = network;
    let Described { metadata, size, data, .. } = described;
    let rows: Vec<String> = metadata.iter().map(|(name, value)| format!("| {name} | {value} |\n")).collect();
    let rows = rows.concat();
    format!(
        "---\nlibrary_name: timm\npipeline_tag: image-feature-extraction\ntags:\n- image-feature-extraction\n- timm\n- lookalike\n---\n\n\
         # An encoder of images\n\n\
         timm's `{architecture}` gives an image a vector of {features} numbers. Lookalike trained it on {data}, on views of {size} × {size} \
         pixels. It has no classifier. Nothing is claimed about how well it does on other data.\n\n\
         ```python\nimport timm\n\n\
         encoder = timm.create_model(\"local-dir:path of this folder\", pretrained=True).eval()\n\
         transform = timm.data.create_transform(**timm.data.resolve_model_data_config(encoder))\n\
         # With a classifier to be trained:\n\
         model = timm.create_model(\"local-dir:path of this folder\", pretrained=True, num_classes=10)\n```\n\n\
         {note}\n\n| | |\n|---|---|\n{rows}\n\
         `recipe` is the SHA-256 hash of the recipe that trained it, without where and how fast it ran; `step` counts optimiser steps.\n"
    )
}
