//! A step on images of noise: forward pass, cross-entropy, backward pass and SGD.

use std::time::{Duration, Instant};

use crate::burn::tensor::activation::log_softmax;
use lookalike_base::progress::Cancellation;
use lookalike_base::{Seed, Stream};
use serde::Serialize;

use super::{Measured, measure, peak_memory, require_some, synced};
use crate::encoder::resnet::{self, ResNet, Stem};
use crate::encoder::vit::{self, Vit};
use crate::encoder::{Encoder, Features};
use crate::engine::{self, Device, DeviceName, Precision, Tensor};
use crate::error::LearnError;
use crate::layer::{Linear, normal};
use crate::module::{Module, Pass, Visitor, parameter_count};
use crate::op::clock::Task;
use crate::options::require;
use crate::step::Step;
use crate::train::optimizer::{NamedGradients, accumulate};
use crate::train::{Optimizer, OptimizerOptions};

/// Outputs of the layer behind the encoder, whose cross-entropy with random classes is the loss.
pub const CLASSES: usize = 128;

/// Whose step is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum StepEncoder {
    /// A residual network.
    ResNet {
        /// Which one.
        encoder: resnet::Architecture,
        /// What stands before its first block.
        stem: Stem,
    },
    /// A Vision Transformer.
    Vit {
        /// Which one.
        encoder: vit::Architecture,
    },
}

/// Which step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepOptions {
    /// The encoder.
    #[serde(flatten)]
    pub encoder: StepEncoder,
    /// Height and width of the images, in pixels.
    pub image_size: usize,
    /// Images of a step.
    pub batch: usize,
    /// What convolutions and linear layers multiply.
    pub precision: Precision,
    /// Where.
    #[serde(serialize_with = "as_text")]
    pub device: DeviceName,
    /// Steps that are timed.
    pub steps: usize,
    /// Steps before them.
    pub warm_up: usize,
}

pub(super) fn as_text<S: serde::Serializer>(name: &DeviceName, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(name)
}

/// What the steps took.
#[derive(Debug, Clone, Serialize)]
pub struct StepCost {
    /// Median over the steps.
    pub images_per_second: f64,
    /// Of the slowest step.
    pub slowest: f64,
    /// Of the fastest step.
    pub fastest: f64,
    /// Seconds of each step.
    pub seconds: Vec<f64>,
    /// Trained values.
    pub parameters: usize,
    /// Where the time of all steps went; `None` where the work runs behind the program's back, as on a GPU.
    pub shares: Option<Shares>,
    /// Most memory the process had, in bytes; `None` where the system does not say.
    pub peak_memory: Option<u64>,
}

/// Shares of the time of the steps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Shares {
    /// Of a residual network.
    ResNet(ResNetShares),
    /// Of a Vision Transformer.
    Vit(VitShares),
}

/// Shares of the time of a residual network's steps; all but the first three are parts of these.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ResNetShares {
    /// Convolution and its gradients.
    pub convolution: f64,
    /// Batch normalisation and its gradients, with the `ReLU` and the sum of a residual block.
    pub normalization: f64,
    /// Everything else.
    pub rest: f64,
    /// Of the convolution: forward.
    pub convolution_forward: f64,
    /// Of the convolution: input gradients.
    pub convolution_input_gradient: f64,
    /// Of the convolution: weight gradients.
    pub convolution_weight_gradient: f64,
    /// Of the rest: update of the weights.
    pub optimizer: f64,
}

/// Shares of the time of a Vision Transformer's steps, gradients included; the last one is a part of the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct VitShares {
    /// Products of linear layers.
    pub product: f64,
    /// Attention.
    pub attention: f64,
    /// Bias and GELU.
    pub gelu: f64,
    /// Layer normalisation.
    pub layer_norm: f64,
    /// Putting class tokens, patches and positions together.
    pub lookup: f64,
    /// Everything else.
    pub rest: f64,
    /// Of the rest: update of the weights.
    pub optimizer: f64,
}

/// A network whose steps are timed.
enum Network {
    ResNet(Box<ResNet>),
    Vit(Box<Vit>),
}

impl Network {
    fn new(options: &StepOptions, stream: &mut Stream, device: &Device) -> Result<Self, LearnError> {
        Ok(match options.encoder {
            StepEncoder::ResNet { encoder, stem } => {
                Self::ResNet(Box::new(ResNet::new(encoder, stem, stream, device)))
            }
            StepEncoder::Vit { encoder } => {
                let config = encoder.config(options.image_size);
                require(
                    config.image.is_multiple_of(config.patch),
                    "--image-size",
                    format!("must be a multiple of {}, the side of a patch", config.patch),
                )?;
                Self::Vit(Box::new(Vit::new(config, stream, device)?))
            }
        })
    }

    fn dimension(&self) -> usize {
        match self {
            Self::ResNet(network) => network.dimension(),
            Self::Vit(network) => network.dimension(),
        }
    }

    fn features(&mut self, images: Tensor<4>, pass: &Pass) -> Result<Features, LearnError> {
        match self {
            Self::ResNet(network) => Ok(network.features(images, pass)),
            Self::Vit(network) => network.features(images, pass),
        }
    }
}

impl Module for Network {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        match self {
            Self::ResNet(network) => network.visit(visitor),
            Self::Vit(network) => network.visit(visitor),
        }
    }
}

/// An encoder and the layer of which the loss is taken.
struct Classifier {
    encoder: Network,
    fc: Linear,
}

impl Module for Classifier {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        visitor.module("encoder", &mut self.encoder);
        visitor.module("fc", &mut self.fc);
    }
}

/// Times the steps that `options` describe.
///
/// # Errors
/// [`LearnError::Device`] where the device is not there or does not multiply at that precision, and
/// [`LearnError::Recipe`] where there is nothing to compute; and [`LearnError::Cancelled`].
pub fn step(options: &StepOptions, cancellation: &Cancellation) -> Result<StepCost, LearnError> {
    require_some(&[
        (options.image_size, "--image-size"),
        (options.batch, "--batch"),
        (options.steps, "--steps"),
    ])?;
    let device = engine::open(options.device)?;
    engine::check_precision(options.device, &device, options.precision)?;
    let mut bench = Bench::new(options, &device)?;
    let measured = measure([options.warm_up, options.steps], cancellation, || {
        let updating = bench.step()?;
        synced(&device, options.device)?;
        Ok([updating])
    })?;
    let [median, slowest, fastest] = measured.rates(options.batch);
    Ok(StepCost {
        images_per_second: median,
        slowest,
        fastest,
        parameters: parameter_count(&mut bench.classifier),
        shares: (options.device == DeviceName::Cpu).then(|| shares(options.encoder, &measured)),
        seconds: measured.seconds,
        peak_memory: peak_memory(),
    })
}

/// A classifier and its batch.
struct Bench {
    classifier: Classifier,
    optimizer: Optimizer,
    images: Tensor<4>,
    /// 1 where a row's class is, else 0.
    classes: Tensor<2>,
    precision: Precision,
}

impl Bench {
    fn new(options: &StepOptions, device: &Device) -> Result<Self, LearnError> {
        let stream = |purpose| Seed(0).stream(purpose, 0, 0, 0);
        let encoder = Network::new(options, &mut stream("encoder"), device)?;
        let fc = Linear::new([encoder.dimension(), CLASSES], true, &mut stream("fc"), device);
        let (batch, size) = (options.batch, options.image_size);
        let mut classes = vec![0.0; batch * CLASSES];
        for row in 0..batch {
            classes[row * CLASSES + row * 37 % CLASSES] = 1.0;
        }
        Ok(Self {
            classifier: Classifier { encoder, fc },
            // Momentum 0.9 and weight decay 5e-4; a small rate, at which noise does not diverge.
            optimizer: Optimizer::new(OptimizerOptions {
                learning_rate: 0.01,
                ..OptimizerOptions::default()
            }),
            images: normal([batch, 3, size, size], 1.0, &mut stream("images"), device),
            classes: engine::from_host(classes, [batch, CLASSES], device),
            precision: options.precision,
        })
    }

    /// Makes a step, and gives the time of the update.
    fn step(&mut self) -> Result<Duration, LearnError> {
        let pass = Pass { precision: self.precision, ..Pass::training(&Step::default()) };
        let features = self.classifier.encoder.features(self.images.clone(), &pass)?.vector;
        let scores = log_softmax(self.classifier.fc.forward(features, &pass), 1);
        let loss = (scores * self.classes.clone()).sum_dim(1).mean().neg();
        let mut gradients = NamedGradients::new();
        accumulate(&mut self.classifier, loss.backward(), &mut gradients);
        let begun = Instant::now();
        self.optimizer.step(&mut self.classifier, gradients, 0.01);
        Ok(begun.elapsed())
    }
}

fn shares(encoder: StepEncoder, measured: &Measured<1>) -> Shares {
    let of = |task: Task| measured.share(task);
    let [optimizer] = measured.apart;
    match encoder {
        StepEncoder::ResNet { .. } => {
            let convolution = of(Task::Convolution) + of(Task::InputGradient) + of(Task::WeightGradient);
            let normalization = of(Task::Normalization) + of(Task::NormalizationGradient);
            Shares::ResNet(ResNetShares {
                convolution,
                normalization,
                rest: 1.0 - convolution - normalization,
                convolution_forward: of(Task::Convolution),
                convolution_input_gradient: of(Task::InputGradient),
                convolution_weight_gradient: of(Task::WeightGradient),
                optimizer,
            })
        }
        StepEncoder::Vit { .. } => {
            let [product, attention, gelu, layer_norm, lookup] =
                [Task::Product, Task::Attention, Task::Gelu, Task::LayerNorm, Task::Lookup].map(of);
            let rest = 1.0 - product - attention - gelu - layer_norm - lookup;
            Shares::Vit(VitShares { product, attention, gelu, layer_norm, lookup, rest, optimizer })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: StepOptions = StepOptions {
        encoder: StepEncoder::ResNet { encoder: resnet::Architecture::Small, stem: Stem::Cifar },
        image_size: 8,
        batch: 4,
        precision: Precision::F32,
        device: DeviceName::Cpu,
        steps: 3,
        warm_up: 1,
    };
    const TINY: StepOptions =
        StepOptions { encoder: StepEncoder::Vit { encoder: vit::Architecture::Tiny }, ..SMALL };

    #[test]
    fn a_step_moves_the_weights_and_its_shares_make_a_whole() {
        for options in [SMALL, TINY] {
            let cost = step(&options, &Cancellation::new()).unwrap();
            assert_eq!(cost.seconds.len(), 3);
            assert!(cost.slowest <= cost.images_per_second && cost.images_per_second <= cost.fastest);
            let shares = match cost.shares.unwrap() {
                Shares::ResNet(ResNetShares { convolution, normalization, rest, .. }) => {
                    vec![convolution, normalization, rest]
                }
                Shares::Vit(VitShares { product, attention, gelu, layer_norm, lookup, rest, .. }) => {
                    vec![product, attention, gelu, layer_norm, lookup, rest]
                }
            };
            assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{shares:?}");
            assert!(shares.iter().all(|share| *share > 0.0), "{shares:?}");

            let mut bench = Bench::new(&options, &Device::flex()).unwrap();
            let before = crate::module::arrays_of(&mut bench.classifier);
            bench.step().unwrap();
            for (name, array) in crate::module::arrays_of(&mut bench.classifier) {
                // MoCo v3's positions are fixed.
                let moved = array.as_f32() != before[&name].as_f32();
                assert_eq!(moved, name != "encoder.pos_embed", "{name}");
            }
        }
    }

    #[test]
    fn nothing_to_compute_and_patches_that_do_not_fill_an_image_are_refused() {
        for (options, said) in [
            (StepOptions { batch: 0, ..SMALL }, "--batch"),
            (StepOptions { image_size: 10, ..TINY }, "--image-size: must be a multiple of 4"),
        ] {
            let error = step(&options, &Cancellation::new()).unwrap_err();
            assert!(error.to_string().contains(said), "{error}");
        }
    }
}
