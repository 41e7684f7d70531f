//! Residual networks (He et al. 2016, <https://arxiv.org/abs/1512.03385>), with torchvision's names and initialisation.

use lookalike_base::Stream;
use lookalike_base::arrays::{Array, Arrays};
use lookalike_data::ImageBatch;
use serde::{Deserialize, Serialize};

use super::entry::{EncoderEntry, Exporting, Normalized, add_counters};
use super::export::detectron2::{self, Depth};
use super::export::{Described, timm};
use super::{Encoder, Features, Program};
use crate::engine::{Device, Tensor, from_host};
use crate::error::LearnError;
use crate::input::Input;
use crate::layer::{BatchNorm, Conv2d, FeatureMap};
use crate::module::{Module, Pass, Visitor};
use crate::options::{Options, Range, Settings, Value, refuse};

crate::options! {
    /// What a recipe says of residual networks.
    pub struct ResNetOptions {
        /// What stands before the first block. `cifar`: 3×3 convolution with stride 1, no pooling; `imagenet`: 7×7 with stride 2 and max pooling.
        stem: Stem = Value::Text("cifar"), Range::OneOf(&["cifar", "imagenet"]);
    }
}

/// A residual network of torchvision's in a registry.
const RESNET: EncoderEntry = EncoderEntry {
    kind: "",
    about: "as in torchvision",
    keys: ResNetOptions::KEYS,
    modalities: &["image"],
    methods: &[],
    rounds: true,
    normalized: Normalized::Instances,
    dimension: |_| Ok(512),
    build: |settings, _, stream, device| build(Architecture::ResNet18, settings, stream, device),
    exported: "model.safetensors",
    suits,
    export: |exporting| export(Architecture::ResNet18, exporting),
};

/// ResNet-18.
pub const RESNET18: EncoderEntry = EncoderEntry { kind: "resnet18", ..RESNET };

/// ResNet-34.
pub const RESNET34: EncoderEntry = EncoderEntry {
    kind: "resnet34",
    build: |settings, _, stream, device| build(Architecture::ResNet34, settings, stream, device),
    export: |exporting| export(Architecture::ResNet34, exporting),
    ..RESNET
};

/// ResNet-50.
pub const RESNET50: EncoderEntry = EncoderEntry {
    kind: "resnet50",
    dimension: |_| Ok(2048),
    build: |settings, _, stream, device| build(Architecture::ResNet50, settings, stream, device),
    export: |exporting| export(Architecture::ResNet50, exporting),
    ..RESNET
};

/// The small network.
pub const SMALL: EncoderEntry = EncoderEntry {
    kind: "small",
    about: "blocks of 16, 32 and 64 channels, for CPUs",
    dimension: |_| Ok(64),
    build: |settings, _, stream, device| build(Architecture::Small, settings, stream, device),
    suits: |settings, program| program.has_no_such(settings),
    export: |exporting| export(Architecture::Small, exporting),
    ..RESNET
};

fn build(
    architecture: Architecture,
    settings: &Settings,
    stream: &mut Stream,
    device: &Device,
) -> Result<Box<dyn Encoder>, LearnError> {
    let ResNetOptions { stem } = settings.read("encoder")?;
    Ok(Box::new(ResNet::new(architecture, stem, stream, device)))
}

/// Other programs have the stem for large images alone.
fn suits(settings: &Settings, program: Program) -> Result<(), LearnError> {
    let ResNetOptions { stem } = settings.read("encoder")?;
    if stem == Stem::ImageNet {
        return Ok(());
    }
    Err(program.refuse(format_args!(
        "its networks begin with a 7×7 convolution of stride 2 and a pooling, and this encoder, with encoder.stem = \"cifar\", with a 3×3 \
         convolution alone. Its maps are four times as wide and high on the same images, 16 times the work, and its first weights fit no \
         other stem. Train with encoder.stem = \"imagenet\", or leave --for out and replace conv1 and maxpool before loading"
    )))
}

/// Writes the encoder for the program that is asked for, or else under torchvision's names.
fn export(architecture: Architecture, exporting: Exporting<'_>) -> Result<(), LearnError> {
    let ResNetOptions { stem } = exporting.settings.read("encoder")?;
    let described = Described::of(&exporting, [("stem", stem.name().to_owned())])?;
    let Exporting { mut tensors, path, program, .. } = exporting;
    add_counters(&mut tensors);
    // Of one that other programs do not have, neither name nor depth.
    let Some((name, depth, dimension)) = architecture.published() else {
        return described.write(tensors, path);
    };
    match program {
        None | Some(Program::Torchvision) => {
            add_classifier(&mut tensors, dimension);
            described.write(tensors, path)
        }
        Some(Program::Detectron2) => detectron2::write(Depth(depth), &described, &tensors, path),
        Some(Program::Timm) => {
            let network = timm::Network {
                architecture: name,
                arguments: serde_json::Map::new(),
                features: dimension,
                pool: "avg",
                ends: ["conv1", "fc"],
                map: Some(described.size.div_ceil(32)),
                note: "BatchNorm's statistics were estimated anew after training, on images without augmentation.",
            };
            timm::write(&network, &described, tensors, path)
        }
    }
}

/// What torchvision's `load_state_dict(strict=True)` asks for and training does not have beside the counters of BatchNorm: a classifier `fc` of
/// 1000 classes, all zeros.
fn add_classifier(exported: &mut Arrays, dimension: usize) {
    exported.insert("fc.weight".to_owned(), Array::f32([1000, dimension], vec![0.0; 1000 * dimension]));
    exported.insert("fc.bias".to_owned(), Array::f32([1000], vec![0.0; 1000]));
}

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
    /// The name by which other programs have it, its layers and the length of its vectors.
    fn published(self) -> Option<(&'static str, usize, usize)> {
        match self {
            Self::Small => None,
            Self::ResNet18 => Some(("resnet18", 18, 512)),
            Self::ResNet34 => Some(("resnet34", 34, 512)),
            Self::ResNet50 => Some(("resnet50", 50, 2048)),
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

impl Stem {
    /// Its name in recipes.
    fn name(self) -> &'static str {
        match self {
            Self::Cifar => "cifar",
            Self::ImageNet => "imagenet",
        }
    }

    /// Rows of the first convolution's kernel.
    fn kernel(self) -> usize {
        match self {
            Self::Cifar => 3,
            Self::ImageNet => 7,
        }
    }
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
        let stride = if stem == Stem::Cifar { 1 } else { 2 };
        let conv1 = Conv2d::new([3, first], stem.kernel(), stride, stream, device);
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

    /// The mean over the last feature map, and where the pass asks for them the maps after each stage.
    ///
    /// # Shapes
    /// `[N, 3, H, W]` → `[N, dimension]`.
    pub fn features(&mut self, images: Tensor<4>, pass: &Pass) -> Features {
        let map = FeatureMap::pack(images, pass.precision);
        let mut map = self.bn1.forward_relu(self.conv1.forward(map, pass), pass);
        if self.stem == Stem::ImageNet {
            map = map.max_pool(3, 2, 1);
        }
        let mut maps = Vec::new();
        for stage in &mut self.stages {
            for block in stage {
                map = block.forward(map, pass);
            }
            if pass.maps {
                // The engine adds the gradients of all readers of the images, whichever reach the loss; the next block splits the map.
                let images = map.unpack();
                map = FeatureMap::pack(images.clone(), pass.precision);
                maps.push(images);
            }
        }
        Features { maps, ..Features::of(map.mean()) }
    }
}

impl ResNet {
    /// Whether the tensor `name` is of a block that this network has not.
    fn lacks(&self, name: &str) -> bool {
        let mut parts = name.split('.');
        let stage = parts.next().and_then(|stage| stage.strip_prefix("layer")?.parse::<usize>().ok());
        let block = parts.next().and_then(|block| block.parse::<usize>().ok());
        let Some((stage, block)) = stage.zip(block) else { return false };
        let own = stage.checked_sub(1).and_then(|stage| self.stages.get(stage));
        own.is_none_or(|blocks| block >= blocks.len())
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
    /// # Errors
    /// [`LearnError::Input`] for others than images.
    fn forward(&mut self, input: &Input, pass: &mut Pass) -> Result<Features, LearnError> {
        let input: &ImageBatch = input.get()?;
        let images = from_host(input.values.clone(), input.shape, &self.device);
        Ok(self.features(images, pass))
    }

    fn dimension(&self) -> usize {
        self.dimension
    }

    fn stages(&self) -> usize {
        self.stages.len()
    }

    /// The file's, whose stem must be its own, and whose blocks it must all have.
    ///
    /// # Errors
    /// [`LearnError::Recipe`] where the first convolution is that of the other stem; [`LearnError::Weights`] where the file is of a deeper
    /// network, of which a part would be taken.
    fn adopt(&self, arrays: Arrays) -> Result<Arrays, LearnError> {
        let kernel = |arrays: &Arrays| arrays.get("conv1.weight")?.shape.get(2).copied();
        let other = if self.stem == Stem::Cifar { Stem::ImageNet } else { Stem::Cifar };
        if kernel(&arrays) == Some(other.kernel()) {
            let reason = format!(
                "its first convolution is {0}×{0}, that of the stem `{1}`, and encoder.stem is `{2}`; set encoder.stem = \"{1}\", or take \
                 weights with the other stem",
                other.kernel(),
                other.name(),
                self.stem.name()
            );
            return Err(refuse("encoder.weights", reason));
        }
        match arrays.keys().find(|name| self.lacks(name)) {
            None => Ok(arrays),
            Some(name) => {
                let reason = "this encoder has no such block: the file is of another architecture".to_owned();
                Err(LearnError::Weights { name: name.clone(), reason })
            }
        }
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
    use crate::step::Step;
    use crate::train::optimizer::{NamedGradients, accumulate};

    const IMAGES: usize = 18;

    /// The small network, some images, and a pass that trains.
    fn prepared(stem: Stem, precision: Precision) -> (ResNet, Tensor<4>, Pass) {
        let device = Device::flex();
        let stream = |purpose| Seed(5).stream(purpose, 0, 0, 0);
        let network = ResNet::new(Architecture::Small, stem, &mut stream("network"), &device);
        let images = normal([IMAGES, 3, 20, 20], 1.0, &mut stream("images"), &device);
        (network, images, Pass { precision, ..Pass::training(&Step::default()) })
    }

    /// The sum of a tensor's values, each weighted at random.
    fn weighted<const D: usize>(tensor: &Tensor<D>, purpose: &str) -> Tensor<1> {
        let mut stream = Seed(5).stream(purpose, 0, 0, 0);
        let weights: Tensor<D> = normal(tensor.dims(), 1.0, &mut stream, &Device::flex());
        (tensor.clone() * weights.autodiff()).sum()
    }

    /// The length of the difference of two lists over that of the second.
    fn off(ours: &[f32], theirs: &[f32]) -> f32 {
        assert_eq!(ours.len(), theirs.len());
        let length =
            |values: &mut dyn Iterator<Item = f32>| values.map(|value| value * value).sum::<f32>().sqrt();
        let difference = length(&mut ours.iter().zip(theirs).map(|(a, b)| a - b));
        difference / length(&mut theirs.iter().copied())
    }

    /// Representations of a batch, and the gradients of their weighted sum by name.
    fn representations_and_gradients(stem: Stem, precision: Precision) -> (Vec<f32>, NamedGradients) {
        let (mut network, images, pass) = prepared(stem, precision);
        let features = network.features(images, &pass).vector;
        let mut gradients = NamedGradients::new();
        accumulate(&mut network, weighted(&features, "weights").backward(), &mut gradients);
        (to_host(features), gradients)
    }

    // How far gradients of a whole network are off says little, as rounding is amplified from layer to layer: those of each
    // operation are compared in the tests of `op`.
    #[test]
    fn in_bf16_representations_are_those_of_f32_but_for_rounding() {
        for stem in [Stem::Cifar, Stem::ImageNet] {
            let (ours, our_gradients) = representations_and_gradients(stem, Precision::Bf16);
            let (theirs, their_gradients) = representations_and_gradients(stem, Precision::F32);
            assert!(off(&ours, &theirs) < 0.02, "representations are off by {}", off(&ours, &theirs));
            assert_eq!(our_gradients.len(), their_gradients.len());
            for (name, theirs) in their_gradients {
                let ours = to_host(our_gradients[&name].clone());
                assert!(ours.iter().all(|value| value.is_finite()), "{name}");
                assert!(off(&ours, &to_host(theirs)) > 0.0, "nothing was rounded on the way to {name}");
            }
        }
    }

    #[test]
    fn a_pass_that_asks_for_maps_gives_one_a_stage_and_the_same_vectors() {
        let stages = [(Stem::Cifar, [20, 10, 5]), (Stem::ImageNet, [5, 3, 2])];
        for (stem, sides) in stages {
            for precision in [Precision::F32, Precision::Bf16] {
                let (mut network, images, pass) = prepared(stem, precision);
                let plain = network.clone().features(images.clone(), &pass);
                assert!(plain.maps.is_empty());
                let with = network.features(images, &Pass { maps: true, ..pass });
                assert_eq!(to_host(with.vector.clone()), to_host(plain.vector), "{stem:?}, {precision:?}");
                let shapes: Vec<[usize; 4]> = with.maps.iter().map(Tensor::dims).collect();
                let expected = [16, 32, 64].into_iter().zip(sides);
                let expected: Vec<[usize; 4]> =
                    expected.map(|(channels, side)| [IMAGES, channels, side, side]).collect();
                assert_eq!(shapes, expected, "{stem:?}");
                // The vector is the mean of the last.
                let pixels = sides[2] * sides[2];
                let means = with.maps[2].clone().reshape([IMAGES, 64, pixels]).mean_dim(2);
                assert!(off(&to_host(means), &to_host(with.vector)) < 1e-6, "{stem:?}, {precision:?}");
            }
        }
    }

    /// The gradients of a loss of what a pass with or without maps gives.
    fn gradients(stem: Stem, maps: bool, loss: impl Fn(&Features) -> Tensor<1>) -> NamedGradients {
        let (mut network, images, pass) = prepared(stem, Precision::F32);
        let features = network.features(images, &Pass { maps, ..pass });
        let mut gradients = NamedGradients::new();
        accumulate(&mut network, loss(&features).backward(), &mut gradients);
        gradients
    }

    #[test]
    fn gradients_of_vector_and_maps_add_whichever_of_them_the_loss_reads() {
        const PURPOSES: [&str; 3] = ["first map", "second map", "third map"];
        let of_vector = |features: &Features| weighted(&features.vector, "vector");
        let of_map = |features: &Features, stage: usize| weighted(&features.maps[stage], PURPOSES[stage]);
        for stem in [Stem::Cifar, Stem::ImageNet] {
            let vector = gradients(stem, false, of_vector);
            let ignored = gradients(stem, true, of_vector);
            assert_eq!(vector.len(), ignored.len());
            for (name, theirs) in &vector {
                let off = off(&to_host(ignored[name].clone()), &to_host(theirs.clone()));
                assert!(off < 1e-5, "{name} is off by {off} where the maps are not read");
            }
            let maps = [0, 1, 2].map(|stage| gradients(stem, true, |features| of_map(features, stage)));
            assert!(maps[0].len() < maps[1].len() && maps[1].len() < maps[2].len());
            let all = gradients(stem, true, |features| {
                (0..3).map(|stage| of_map(features, stage)).fold(of_vector(features), |sum, map| sum + map)
            });
            assert_eq!(all.len(), vector.len());
            for (name, ours) in all {
                let parts = maps.iter().filter_map(|map| map.get(&name)).cloned();
                let sum = parts.fold(vector[&name].clone(), |sum, part| sum + part);
                let off = off(&to_host(ours), &to_host(sum));
                assert!(off < 1e-5, "{name} is off by {off}");
            }
        }
    }
}
