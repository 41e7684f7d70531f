//! Names of the tensors of Vision Transformers: ours are timm's, which are MoCo v3's; torchvision's are read too.

use lookalike_base::arrays::Arrays;

pub(super) const CLASS_TOKEN: &str = "cls_token";
pub(super) const POSITIONS: &str = "pos_embed";
pub(super) const PATCHES: &str = "patch_embed.proj";

/// torchvision's name of the weights by which its files are told.
const TORCHVISION: &str = "conv_proj.weight";

/// torchvision's names outside the blocks, and ours.
const OUTER: [(&str, &str); 6] = [
    ("class_token", CLASS_TOKEN),
    ("encoder.pos_embedding", POSITIONS),
    (TORCHVISION, "patch_embed.proj.weight"),
    ("conv_proj.bias", "patch_embed.proj.bias"),
    ("encoder.ln.weight", "norm.weight"),
    ("encoder.ln.bias", "norm.bias"),
];

/// How torchvision begins names within a block, and how ours begin. Its first files called the layers of the MLP `linear_1` and `linear_2`.
const INNER: [(&str, &str); 8] = [
    ("ln_1.", "norm1."),
    ("self_attention.in_proj_", "attn.qkv."),
    ("self_attention.out_proj.", "attn.proj."),
    ("ln_2.", "norm2."),
    ("mlp.0.", "mlp.fc1."),
    ("mlp.3.", "mlp.fc2."),
    ("mlp.linear_1.", "mlp.fc1."),
    ("mlp.linear_2.", "mlp.fc2."),
];

/// The tensors of a file under our names; those that have none keep theirs.
pub(super) fn own(arrays: Arrays) -> Arrays {
    if !arrays.contains_key(TORCHVISION) {
        return arrays;
    }
    arrays.into_iter().map(|(name, array)| (own_name(&name).unwrap_or(name), array)).collect()
}

fn own_name(name: &str) -> Option<String> {
    if let Some((_, ours)) = OUTER.iter().find(|(theirs, _)| *theirs == name) {
        return Some((*ours).to_owned());
    }
    let (block, rest) = name.strip_prefix("encoder.layers.encoder_layer_")?.split_once('.')?;
    let (rest, begin) = INNER.iter().find_map(|(theirs, ours)| Some((rest.strip_prefix(theirs)?, *ours)))?;
    Some(format!("blocks.{block}.{begin}{rest}"))
}
