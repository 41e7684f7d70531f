//! Vision Transformers (Dosovitskiy et al. 2021, <https://arxiv.org/abs/2010.11929>), with timm's names and the initial weights of MoCo v3
//! (Chen et al. 2021, <https://arxiv.org/abs/2104.02057>).
//!
//! An image is a sequence of tokens, a class token and its patches, and the sequences of a batch are packed one after another as
//! texts are. A block normalises before it computes: h ← h + attention (norm₁ h), then h ← h + MLP (norm₂ h). A normalisation
//! follows the last block. Nothing is dropped out.

mod config;
pub mod entry;
mod names;
mod positions;

use std::sync::Arc;

use lookalike_base::Stream;
use lookalike_base::arrays::Arrays;
use lookalike_data::ImageBatch;

pub use config::{Architecture, Representation, VitConfig};
pub use positions::Positions;

use super::pooling::{first, without_first};
use super::{Encoder, Features, Parts, Pooling};
use crate::engine::{Device, Tensor, from_host};
use crate::error::LearnError;
use crate::input::Input;
use crate::layer::{LayerNorm, Linear, normal, uniform};
use crate::module::{AnyTensor, Module, Parameter, Pass, Role, Visitor};
use crate::op::{Attending, attention, linear, lookup};

/// What layer normalisation adds to the variance.
const EPSILON: f32 = 1e-6;

/// A Vision Transformer without its classifier.
#[derive(Debug, Clone)]
pub struct Vit {
    config: VitConfig,
    /// `[1, 1, d]`
    class_token: Parameter<3>,
    /// `[1, tokens, d]`, that of the class token first.
    positions: Parameter<3>,
    patches: PatchProjection,
    blocks: Vec<Block>,
    norm: LayerNorm,
    device: Device,
}

/// A linear layer of the pixels of a patch, in the form of a convolution whose stride is as long as its kernel.
#[derive(Debug, Clone)]
struct PatchProjection {
    /// `[d, 3, patch, patch]`
    weight: Parameter<4>,
    /// `[d]`
    bias: Parameter<1>,
}

#[derive(Debug, Clone)]
struct Block {
    attention_norm: LayerNorm,
    /// Query, key and value of a token side by side.
    qkv: Linear,
    projection: Linear,
    mlp_norm: LayerNorm,
    inner: Linear,
    output: Linear,
}

impl Vit {
    /// Weights as MoCo v3's program draws them: all matrices, that of patches and those of query, key and value each by itself, uniform in
    /// ±√(6 / (in + out)) (Glorot and Bengio 2010), biases 0, the class token normal with deviation 1e-6. Learned positions are normal with
    /// deviation 0.02, as torchvision's.
    ///
    /// # Errors
    /// As [`VitConfig::check`].
    pub fn new(config: VitConfig, stream: &mut Stream, device: &Device) -> Result<Self, LearnError> {
        config.check()?;
        let &VitConfig { patch, width, layers, inner, .. } = &config;
        let pixels = 3 * patch * patch;
        let bound = |inputs: usize, outputs: usize| (6.0 / (inputs + outputs) as f32).sqrt();
        let weight = uniform([width, 3, patch, patch], bound(pixels, width), stream, device);
        let mut patches = PatchProjection {
            weight: Parameter::new(weight),
            bias: Parameter::new(Tensor::zeros([width], device)),
        };
        if config.stop_gradient {
            patches.weight.freeze();
            patches.bias.freeze();
        }
        let class_token = Parameter::new(normal([1, 1, width], 1e-6, stream, device));
        let shape = [1, config.tokens(), width];
        let positions = match config.positions {
            Positions::Learned => Parameter::new(normal(shape, 0.02, stream, device)),
            Positions::SinCos => {
                let table = positions::sin_cos(config.grid(), width);
                let mut fixed = Parameter::new(from_host(table, shape, device));
                fixed.freeze();
                fixed
            }
        };
        let norm = || LayerNorm::new(width, EPSILON, device);
        let blocks = (0..layers).map(|_| Block {
            attention_norm: norm(),
            qkv: Linear::of(uniform([3 * width, width], bound(width, width), stream, device), device),
            projection: Linear::xavier([width, width], stream, device),
            mlp_norm: norm(),
            inner: Linear::xavier([width, inner], stream, device),
            output: Linear::xavier([inner, width], stream, device),
        });
        let blocks = blocks.collect();
        let norm = norm();
        Ok(Self { config, class_token, positions, patches, blocks, norm, device: device.clone() })
    }

    /// Its sizes.
    pub fn config(&self) -> &VitConfig {
        &self.config
    }

    /// The representation, and the vectors of all tokens, that of the class token first.
    ///
    /// # Shapes
    /// `[N, 3, S, S]` of the configured side S → `[N, d]`.
    ///
    /// # Errors
    /// [`LearnError::Input`] for images of another shape.
    pub fn features(&self, images: Tensor<4>, pass: &Pass) -> Result<Features, LearnError> {
        let VitConfig { image: side, heads, representation, .. } = self.config;
        let [count, channels, height, width] = images.dims();
        if [channels, height, width] != [3, side, side] {
            return Err(LearnError::Input(format!(
                "images are {channels} × {height} × {width}, and the encoder's positions are those of 3 × {side} × {side}"
            )));
        }
        let tokens = self.config.tokens();
        let offsets: Arc<[usize]> = (0..=count).map(|image| image * tokens).collect();
        let mut hidden = self.embed(images, pass);
        for block in &self.blocks {
            hidden = block.forward(hidden, &offsets, heads, pass);
        }
        let parts = Parts { values: self.norm.forward(hidden, pass), offsets };
        let vector = match representation {
            Representation::Token => first(&parts)?,
            Representation::Mean => Pooling::Mean.forward(without_first(parts.clone(), &vec![1; count])),
        };
        Ok(Features { parts: Some(parts), ..Features::of(vector) })
    }

    /// The tokens before the first block.
    ///
    /// # Shapes
    /// `[N, 3, S, S]` → `[N · tokens, d]`.
    fn embed(&self, images: Tensor<4>, pass: &Pass) -> Tensor<2> {
        let (count, width) = (images.dims()[0], self.config.width);
        let (tokens, patches) = (self.config.tokens(), self.config.tokens() - 1);
        let projected = self.patches.forward(images, self.config.patch, pass);
        let class_token = self.class_token.read(pass).reshape([1, width]);
        let rows = Tensor::cat(vec![class_token, projected], 0);
        let of_image = |image: usize| {
            std::iter::once(0).chain((1 + image * patches..=(image + 1) * patches).map(|row| row as u32))
        };
        let order: Arc<[u32]> = (0..count).flat_map(of_image).collect();
        let places: Arc<[u32]> = (0..count).flat_map(|_| 0..tokens as u32).collect();
        let positions = self.positions.read(pass).reshape([tokens, width]);
        lookup(rows, &order) + lookup(positions, &places)
    }
}

impl PatchProjection {
    /// # Shapes
    /// `[N, 3, H, W]` → `[N · patches, d]`, row by row of an image.
    fn forward(&self, images: Tensor<4>, patch: usize, pass: &Pass) -> Tensor<2> {
        let [count, channels, height, width] = images.dims();
        let [down, across] = [height / patch, width / patch];
        let pixels = channels * patch * patch;
        let patches = images
            .reshape([count, channels, down, patch, across, patch])
            .permute([0, 2, 4, 1, 3, 5])
            .reshape([count * down * across, pixels]);
        let weight = self.weight.read(pass);
        let outputs = weight.dims()[0];
        linear(patches, weight.reshape([outputs, pixels]), Some(self.bias.read(pass)), pass.precision)
    }
}

impl Block {
    fn forward(&self, hidden: Tensor<2>, offsets: &Arc<[usize]>, heads: usize, pass: &Pass) -> Tensor<2> {
        let qkv = self.qkv.forward_rows(self.attention_norm.forward(hidden.clone(), pass), pass);
        let context = attention(
            qkv,
            None,
            Attending { offsets: Arc::clone(offsets), heads, precision: pass.precision, dropped: None },
        );
        let hidden = hidden + self.projection.forward_rows(context, pass);
        let inner = self.inner.forward_gelu(self.mlp_norm.forward(hidden.clone(), pass), pass);
        hidden + self.output.forward_rows(inner, pass)
    }
}

impl Module for Vit {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        // As in timm, neither decays.
        visitor.tensor(names::CLASS_TOKEN, Role::Bias, &mut self.class_token);
        visitor.tensor(names::POSITIONS, Role::Bias, &mut self.positions);
        visitor.module(names::PATCHES, &mut self.patches);
        for (index, block) in self.blocks.iter_mut().enumerate() {
            visitor.module(&format!("blocks.{index}"), block);
        }
        visitor.module("norm", &mut self.norm);
    }
}

impl Module for PatchProjection {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visitor.tensor("weight", Role::Weight, &mut self.weight);
        visitor.tensor("bias", Role::Bias, &mut self.bias);
    }
}

impl Module for Block {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visitor.module("norm1", &mut self.attention_norm);
        visitor.module("attn.qkv", &mut self.qkv);
        visitor.module("attn.proj", &mut self.projection);
        visitor.module("norm2", &mut self.mlp_norm);
        visitor.module("mlp.fc1", &mut self.inner);
        visitor.module("mlp.fc2", &mut self.output);
    }
}

impl Encoder for Vit {
    /// # Errors
    /// [`LearnError::Input`] for others than images, and for images of another size.
    fn forward(&mut self, input: &Input, pass: &mut Pass) -> Result<Features, LearnError> {
        let input: &ImageBatch = input.get()?;
        let images = from_host(input.values.clone(), input.shape, &self.device);
        self.features(images, pass)
    }

    fn dimension(&self) -> usize {
        self.config.width
    }

    /// Of torchvision's names timm's, and positions of another grid resampled as timm does. Fixed positions are its own.
    ///
    /// # Errors
    /// [`LearnError::Weights`] where positions are fixed here, and those of the file are others.
    fn adopt(&self, arrays: Arrays) -> Result<Arrays, LearnError> {
        let mut arrays = names::own(arrays);
        if let Some(table) = arrays.get(names::POSITIONS)
            && let Some(adopted) = positions::adopt(table, &self.config)?
        {
            arrays.insert(names::POSITIONS.to_owned(), adopted);
        }
        Ok(arrays)
    }
}

#[cfg(test)]
mod tests {
    use lookalike_base::Seed;

    use super::*;
    use crate::engine::{Precision, to_host};
    use crate::module::{arrays_of, for_each_tensor, parameter_count};
    use crate::step::Step;
    use crate::train::optimizer::{NamedGradients, accumulate};

    fn config() -> VitConfig {
        VitConfig { width: 24, layers: 2, heads: 3, inner: 96, ..Architecture::Tiny.config(12) }
    }

    fn network(config: VitConfig) -> Vit {
        Vit::new(config, &mut Seed(5).stream("network", 0, 0, 0), &Device::flex()).unwrap()
    }

    fn images(count: usize, side: usize) -> Tensor<4> {
        normal([count, 3, side, side], 1.0, &mut Seed(5).stream("images", 0, 0, 0), &Device::flex())
    }

    /// Representations of seven images, and the gradients of a function of them by name.
    fn represented(config: VitConfig, precision: Precision) -> (Vec<f32>, NamedGradients) {
        let mut network = network(config);
        let pass = Pass { precision, ..Pass::training(&Step::default()) };
        let vector = network.features(images(7, 12), &pass).unwrap().vector;
        let mut gradients = NamedGradients::new();
        accumulate(&mut network, vector.clone().powi_scalar(3).sum().backward(), &mut gradients);
        (to_host(vector), gradients)
    }

    #[test]
    fn networks_have_the_number_of_parameters_of_the_published_ones() {
        // Of ViT-S/16 without its classifier, timm counts 21,665,664, those of its positions included.
        let mut small = network(Architecture::Small.config(224));
        assert_eq!(parameter_count(&mut small), 21_665_664);
        assert_eq!(parameter_count(&mut network(Architecture::Tiny.config(32))), 682_272);
    }

    #[test]
    fn weights_begin_as_in_moco_v3() {
        let mut vit = network(VitConfig { width: 96, ..Architecture::Tiny.config(32) });
        for (name, array) in arrays_of(&mut vit) {
            let values = array.as_f32().unwrap();
            let most = values.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
            let bound = |sum: usize| (6.0 / sum as f32).sqrt();
            let expected = match name.as_str() {
                name if name.ends_with("bias") => 0.0,
                "cls_token" => {
                    assert!(most > 1e-7 && most < 1e-5, "{most}");
                    continue;
                }
                "pos_embed" | "norm.weight" => 1.0,
                name if name.contains(".norm") => 1.0,
                "patch_embed.proj.weight" => bound(48 + 96),
                name if name.contains("mlp") => bound(96 + 384),
                _ => bound(96 + 96),
            };
            assert!(
                most <= expected * 1.000_001 && most >= 0.99 * expected,
                "{name}: {most}, not {expected}"
            );
        }
    }

    #[test]
    fn an_image_s_vector_is_the_same_bits_alone_and_in_any_batch() {
        let vit = network(config());
        let of = |images| to_host(vit.features(images, &Pass::evaluation()).unwrap().vector);
        let whole = of(images(7, 12));
        for (first, count) in [(0, 1), (3, 1), (5, 2)] {
            let part = of(images(7, 12).narrow(0, first, count));
            assert_eq!(part, whole[first * 24..][..count * 24], "{count} images from {first} on");
        }
    }

    #[test]
    fn what_is_frozen_has_no_gradient_and_all_else_has() {
        for (positions, stop_gradient) in [(Positions::Learned, false), (Positions::SinCos, true)] {
            let config = VitConfig { positions, stop_gradient, ..config() };
            let (_, gradients) = represented(config.clone(), Precision::F32);
            let mut network = network(config);
            for_each_tensor(&mut network, &mut |name, _, tensor| {
                let frozen = (name == "pos_embed" && positions == Positions::SinCos)
                    || (name.starts_with("patch_embed") && stop_gradient);
                assert_eq!(tensor.learns(), !frozen, "{name}");
                let gradient = gradients.get(name).map(|gradient| to_host(gradient.clone()));
                let moves = gradient.is_some_and(|values| values.iter().any(|value| *value != 0.0));
                assert_eq!(moves, !frozen, "{name}");
            });
        }
    }

    #[test]
    fn the_mean_is_over_the_patches_without_the_class_token() {
        let mean = network(VitConfig { representation: Representation::Mean, ..config() });
        let Features { vector, parts, .. } = mean.features(images(2, 12), &Pass::evaluation()).unwrap();
        let (vector, tokens) = (to_host(vector), to_host(parts.unwrap().values));
        for (image, vector) in vector.chunks_exact(24).enumerate() {
            for (column, found) in vector.iter().enumerate() {
                let sum: f32 = (1..10).map(|token| tokens[(10 * image + token) * 24 + column]).sum();
                assert!((found - sum / 9.0).abs() < 1e-5, "{found} {sum}");
            }
        }
    }

    #[test]
    fn in_bf16_representations_are_those_of_f32_but_for_rounding() {
        let (ours, our_gradients) = represented(config(), Precision::Bf16);
        let (theirs, their_gradients) = represented(config(), Precision::F32);
        let off = |ours: &[f32], theirs: &[f32]| {
            let length = |values: &mut dyn Iterator<Item = f32>| values.map(|v| v * v).sum::<f32>().sqrt();
            let difference = length(&mut ours.iter().zip(theirs).map(|(a, b)| a - b));
            difference / length(&mut theirs.iter().copied())
        };
        assert!(off(&ours, &theirs) > 0.0 && off(&ours, &theirs) < 0.02, "{}", off(&ours, &theirs));
        assert_eq!(our_gradients.len(), their_gradients.len());
        for (name, theirs) in their_gradients {
            let off = off(&to_host(our_gradients[&name].clone()), &to_host(theirs));
            assert!(off > 0.0 && off < 0.1, "{name}: {off}");
        }
    }

    #[test]
    fn sizes_that_do_not_fit_and_images_of_another_size_are_refused_with_the_key() {
        let base = config();
        for (wrong, said) in [
            (VitConfig { heads: 5, ..base.clone() }, "encoder.heads: must divide encoder.width"),
            (VitConfig { image: 14, ..base.clone() }, "encoder.patch: must divide augment.size"),
            (VitConfig { image: 2, ..base.clone() }, "do not fill views of 2"),
            (VitConfig { image: 1024, patch: 1, ..base.clone() }, "more than 65536"),
            (VitConfig { width: 30, ..base.clone() }, "encoder.width: must be a multiple of 4"),
        ] {
            let error = wrong.check().unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        let learned = VitConfig { width: 30, positions: Positions::Learned, ..base.clone() };
        assert!(learned.check().is_ok());
        let error = network(base).features(images(1, 16), &Pass::evaluation()).unwrap_err().to_string();
        assert!(error.contains("3 × 16 × 16") && error.contains("3 × 12 × 12"), "{error}");
    }
}
