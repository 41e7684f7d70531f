//! Residual networks (He et al. 2016, <https://arxiv.org/abs/1512.03385>), with torchvision's names and initialisation.

use lookalike_base::Stream;
use lookalike_data::ImageBatch;
use serde::{Deserialize, Serialize};

use super::Encoder;
use crate::engine::{Device, Tensor, from_host};
use crate::layer::{BatchNorm, Conv2d, FeatureMap};
use crate::module::{Module, Pass, Visitor};

/// The networks on offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// Three basic blocks of 16, 32 and 64 channels: minutes on a CPU instead of days.
    Small,
    /// 18 layers: basic blocks (2, 2, 2, 2).
    ResNet18,
    /// 34 layers: basic blocks (3, 4, 6, 3).
    ResNet34,
    /// 50 layers: bottleneck blocks (3, 4, 6, 3).
    ResNet50,
}

impl Architecture {
    /// Length of the representation.
    pub fn dimension(self) -> usize {
        match self {
            Self::Small => 64,
            Self::ResNet18 | Self::ResNet34 => 512,
            Self::ResNet50 => 2048,
        }
    }
}

/// What stands before the first block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stem {
    /// 3×3 convolution with stride 1, no pooling: for images of 32 px.
    Cifar,
    /// 7×7 convolution with stride 2 and 3×3 max pooling with stride 2: for images of 224 px.
    ImageNet,
}

/// A residual network without its classifier.
#[derive(Debug, Clone)]
pub struct ResNet {
    stem: Stem,
    conv1: Conv2d,
    bn1: BatchNorm,
    stages: Vec<Vec<Block>>,
    dimension: usize,
    device: Device,
}

impl ResNet {
    /// Draws the weights of `architecture` from `stream`.
    pub fn new(architecture: Architecture, stem: Stem, stream: &mut Stream, device: &Device) -> Self {
        let (depths, first, bottleneck): (&[usize], usize, bool) = match architecture {
            Architecture::Small => (&[1, 1, 1], 16, false),
            Architecture::ResNet18 => (&[2, 2, 2, 2], 64, false),
            Architecture::ResNet34 => (&[3, 4, 6, 3], 64, false),
            Architecture::ResNet50 => (&[3, 4, 6, 3], 64, true),
        };
        let (kernel, stride) = match stem {
            Stem::Cifar => (3, 1),
            Stem::ImageNet => (7, 2),
        };
        let conv1 = Conv2d::new([3, first], kernel, stride, stream, device);
        let mut channels = first;
        let mut stages = Vec::new();
        for (stage, depth) in depths.iter().enumerate() {
            let width = first << stage;
            let blocks = (0..*depth).map(|index| {
                let stride = if stage > 0 && index == 0 { 2 } else { 1 };
                let block = Block::new(channels, width, stride, bottleneck, stream, device);
                channels = block.outputs;
                block
            });
            stages.push(blocks.collect());
        }
        let bn1 = BatchNorm::new(first, device);
        Self { stem, conv1, bn1, stages, dimension: channels, device: device.clone() }
    }

    /// # Shapes
    /// `[N, 3, H, W]` → `[N, dimension]`, the mean over the last feature map.
    pub fn features(&mut self, images: Tensor<4>, pass: &Pass) -> Tensor<2> {
        let map = FeatureMap::pack(images, pass.precision);
        let mut map = self.bn1.forward_relu(self.conv1.forward(map, pass), pass);
        if self.stem == Stem::ImageNet {
            map = map.max_pool(3, 2, 1);
        }
        for block in self.stages.iter_mut().flatten() {
            map = block.forward(map, pass);
        }
        map.mean()
    }
}

impl Module for ResNet {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visitor.module("conv1", &mut self.conv1);
        visitor.module("bn1", &mut self.bn1);
        for (stage, blocks) in self.stages.iter_mut().enumerate() {
            for (index, block) in blocks.iter_mut().enumerate() {
                visitor.module(&format!("layer{}.{index}", stage + 1), block);
            }
        }
    }
}

impl Encoder for ResNet {
    type Input = ImageBatch;

    fn forward(&mut self, input: &ImageBatch, pass: &mut Pass) -> Tensor<2> {
        let images = from_host(input.values.clone(), input.shape, &self.device);
        self.features(images, pass)
    }

    fn dimension(&self) -> usize {
        self.dimension
    }
}

/// A basic block (two 3×3 convolutions) or a bottleneck block (1×1, 3×3 with the stride, 1×1 to four times the width).
#[derive(Debug, Clone)]
struct Block {
    convolutions: Vec<(Conv2d, BatchNorm)>,
    downsample: Option<Downsample>,
    outputs: usize,
}

/// The shortcut where shape changes: a 1×1 convolution and its normalisation, named `0` and `1`.
#[derive(Debug, Clone)]
struct Downsample(Conv2d, BatchNorm);

impl Block {
    fn new(
        inputs: usize,
        width: usize,
        stride: usize,
        bottleneck: bool,
        stream: &mut Stream,
        device: &Device,
    ) -> Self {
        let outputs = if bottleneck { 4 * width } else { width };
        let plan: &[(usize, usize, usize, usize)] = if bottleneck {
            &[(inputs, width, 1, 1), (width, width, 3, stride), (width, outputs, 1, 1)]
        } else {
            &[(inputs, width, 3, stride), (width, width, 3, 1)]
        };
        let convolutions = plan
            .iter()
            .map(|(from, to, kernel, stride)| {
                (Conv2d::new([*from, *to], *kernel, *stride, stream, device), BatchNorm::new(*to, device))
            })
            .collect();
        let downsample = (stride != 1 || inputs != outputs).then(|| {
            Downsample(
                Conv2d::new([inputs, outputs], 1, stride, stream, device),
                BatchNorm::new(outputs, device),
            )
        });
        Self { convolutions, downsample, outputs }
    }

    fn forward(&mut self, input: FeatureMap, pass: &Pass) -> FeatureMap {
        let [input, shortcut] = input.split();
        let shortcut = match &mut self.downsample {
            Some(Downsample(convolution, normalization)) => {
                normalization.forward(convolution.forward(shortcut, pass), pass)
            }
            None => shortcut,
        };
        let last = self.convolutions.len() - 1;
        let mut map = input;
        for (convolution, normalization) in &mut self.convolutions[..last] {
            map = normalization.forward_relu(convolution.forward(map, pass), pass);
        }
        let (convolution, normalization) = &mut self.convolutions[last];
        normalization.forward_add_relu(convolution.forward(map, pass), shortcut, pass)
    }
}

impl Module for Block {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        for (index, (convolution, normalization)) in self.convolutions.iter_mut().enumerate() {
            visitor.module(&format!("conv{}", index + 1), convolution);
            visitor.module(&format!("bn{}", index + 1), normalization);
        }
        if let Some(downsample) = &mut self.downsample {
            visitor.module("downsample", downsample);
        }
    }
}

impl Module for Downsample {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visitor.module("0", &mut self.0);
        visitor.module("1", &mut self.1);
    }
}

#[cfg(test)]
mod tests {
    use lookalike_base::Seed;

    use super::*;
    use crate::engine::{Precision, to_host};
    use crate::layer::normal;
    use crate::train::optimizer::{NamedGradients, accumulate};

    /// Representations of a batch, and the gradients of their weighted sum by name.
    fn representations_and_gradients(stem: Stem, precision: Precision) -> (Vec<f32>, NamedGradients) {
        let device = Device::flex();
        let stream = |purpose| Seed(5).stream(purpose, 0, 0, 0);
        let mut network = ResNet::new(Architecture::Small, stem, &mut stream("network"), &device);
        let images = normal([18, 3, 20, 20], 1.0, &mut stream("images"), &device);
        let pass = Pass { precision, ..Pass::training(stream("dropout")) };
        let features = network.features(images, &pass);
        let weights: Tensor<2> = normal(features.dims(), 1.0, &mut stream("weights"), &device);
        let mut gradients = NamedGradients::new();
        accumulate(&mut network, (features.clone() * weights.autodiff()).sum().backward(), &mut gradients);
        (to_host(features), gradients)
    }

    #[test]
    fn in_bf16_representations_and_gradients_are_those_of_f32_but_for_rounding() {
        let off = |ours: &[f32], theirs: &[f32]| {
            let norm =
                |values: &mut dyn Iterator<Item = f32>| values.map(|value| value * value).sum::<f32>().sqrt();
            let difference = norm(&mut ours.iter().zip(theirs).map(|(a, b)| a - b));
            difference / norm(&mut theirs.iter().copied())
        };
        for stem in [Stem::Cifar, Stem::ImageNet] {
            let (ours, our_gradients) = representations_and_gradients(stem, Precision::Bf16);
            let (theirs, their_gradients) = representations_and_gradients(stem, Precision::F32);
            assert!(off(&ours, &theirs) < 0.02, "representations are off by {}", off(&ours, &theirs));
            assert_eq!(our_gradients.len(), their_gradients.len());
            for (name, theirs) in their_gradients {
                let off = off(&to_host(our_gradients[&name].clone()), &to_host(theirs));
                // Under PyTorch's autocast those of such a network are off by up to 0.18.
                assert!(off < 0.3, "{name} is off by {off}");
                assert!(off > 0.0, "nothing was rounded on the way to {name}");
            }
        }
    }
}
