//! The sections `[method]`, `[negatives]` and `[loss]`: what is encoded, what it is contrasted with, and by which loss.

use lookalike_data::graph::Variant;
use serde::{Deserialize, Serialize};

use super::Recipe;
use super::combinations::{self, Combination};
use super::readers::reads;
use crate::error::LearnError;
use crate::head::{HeadNorm, ProjectionOptions};
use crate::loss::Loss;
use crate::method::graphcl;
use crate::negatives::MixingOptions;
use crate::train::momentum_encoder::{Momentum, MomentumShape};

/// The methods on offer, see [`crate::method`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MethodKind {
    /// SimCLR.
    #[serde(rename = "simclr")]
    SimClr,
    /// DirectCLR.
    DirectClr,
    /// Two encoders, both trained.
    EndToEnd,
    /// A memory bank.
    InstanceDiscrimination,
    /// MoCo, v1 and v2.
    #[serde(rename = "moco")]
    Moco,
    /// MoCo v3.
    #[serde(rename = "moco-v3")]
    MocoV3,
    /// GraphCL.
    #[serde(rename = "graphcl")]
    GraphCl,
    /// MVGRL, of whole graphs.
    Mvgrl,
    /// MVGRL, of the nodes of one graph.
    MvgrlNodes,
    /// No contrast, but a classifier by labels.
    Supervised,
}

/// The `[method]` section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MethodOptions {
    /// The method.
    pub kind: MethodKind,
    /// Whom to follow, of GraphCL and MVGRL; the paper if absent.
    pub variant: Option<Variant>,
    /// Its projection head.
    pub projection: ProjectionSection,
    /// The predictor behind it, of MoCo v3.
    pub predictor: PredictorOptions,
    /// Momentum of the momentum encoder; the method's own if absent. MoCo: 0.999; its CIFAR-10 demonstration and MoCo v3: 0.99.
    pub momentum: Option<f64>,
    /// How it goes over the run; the method's own if absent.
    pub momentum_schedule: Option<MomentumShape>,
    /// Whether both views are queries, of MoCo; the others are always or never so.
    pub symmetric: bool,
    /// Parts of a batch with BatchNorm statistics of their own, of MoCo. The published program: one a GPU, 8.
    pub batch_norm_groups: usize,
    /// Whether images are shuffled before the key encoder, of MoCo.
    pub shuffle: bool,
    /// d₀, the coordinates of the representation that the loss sees, of DirectCLR. The paper: 360 of 2048.
    pub coordinates: usize,
}

impl Default for MethodOptions {
    fn default() -> Self {
        Self {
            kind: MethodKind::SimClr,
            variant: None,
            projection: ProjectionSection::default(),
            predictor: PredictorOptions::default(),
            momentum: None,
            momentum_schedule: None,
            symmetric: false,
            batch_norm_groups: 8,
            shuffle: true,
            coordinates: 360,
        }
    }
}

/// The `method.projection` table: [`ProjectionOptions`] in which the method has a choice of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProjectionSection {
    /// Number of linear layers.
    pub layers: usize,
    /// Width of the hidden layers; 0 takes the encoder's own.
    pub width: usize,
    /// Length of the projected vector; the method's own if absent.
    pub dimension: Option<usize>,
    /// Which layers BatchNorm follows; the method's own if absent.
    pub batch_norm: Option<HeadNorm>,
}

impl Default for ProjectionSection {
    fn default() -> Self {
        let ProjectionOptions { layers, width, .. } = ProjectionOptions::default();
        Self { layers, width, dimension: None, batch_norm: None }
    }
}

impl MethodOptions {
    /// The momentum over the run. Where the recipe does not say, 0.999 throughout as MoCo's paper, or as MoCo v3's program from
    /// 0.99 along a cosine.
    pub fn momentum(&self) -> Momentum {
        let (base, shape) = match self.kind {
            MethodKind::MocoV3 => (0.99, MomentumShape::Cosine),
            _ => (0.999, MomentumShape::Constant),
        };
        Momentum { base: self.momentum.unwrap_or(base), shape: self.momentum_schedule.unwrap_or(shape) }
    }
}

/// MoCo v3's predictor; its last layer is as long as the projection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PredictorOptions {
    /// Number of linear layers. The paper: 2.
    pub layers: usize,
    /// Width of the hidden layers; 0 takes the projection's length. The paper: 4096.
    pub width: usize,
    /// Which layers BatchNorm follows. The published program for ResNet-50: all but the last.
    pub batch_norm: HeadNorm,
}

impl Default for PredictorOptions {
    fn default() -> Self {
        Self { layers: 2, width: 4096, batch_norm: HeadNorm::Hidden }
    }
}

/// Where negatives come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NegativesKind {
    /// The rest of the batch.
    Batch,
    /// Keys of earlier batches, see [`crate::negatives::queue`].
    Queue,
    /// One vector an instance, see [`crate::negatives::memory_bank`].
    Bank,
    /// Nowhere: nothing is contrasted.
    #[serde(rename = "none")]
    Absent,
}

/// The `[negatives]` section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NegativesOptions {
    /// Where they come from; the method's own if absent.
    pub kind: Option<NegativesKind>,
    /// K, keys in the queue. MoCo: 65,536; its CIFAR-10 demonstration: 4096.
    pub size: usize,
    /// Whether older keys of the query's instance in the queue are left out; the paper's are not. The own entry of a bank and
    /// the own views of a batch always are.
    pub exclude_own: bool,
    /// The share of itself that an entry of the bank keeps at an update. Wu et al.: 0.5.
    pub bank_momentum: f32,
    /// Whether negatives of the query's own class are left out: needs labels, and is no method but an upper bound.
    pub oracle: bool,
    /// Harder negatives mixed from those there are (MoCHi); absent: none.
    pub mixing: Option<MixingOptions>,
}

impl Default for NegativesOptions {
    fn default() -> Self {
        Self { kind: None, size: 65_536, exclude_own: false, bank_momentum: 0.5, oracle: false, mixing: None }
    }
}

/// The losses on offer, see [`crate::loss`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LossKind {
    /// NT-Xent.
    NtXent,
    /// InfoNCE.
    #[serde(rename = "info-nce")]
    InfoNce,
    /// The debiased contrastive loss, DCL.
    Debiased,
    /// The hard negatives' loss, HCL.
    Hard,
    /// InfoNCE without the positive in the denominator, as GraphCL's published code has it.
    Decoupled,
    /// Noise-contrastive estimation.
    NoiseContrastive,
    /// The Jensen-Shannon estimate of mutual information between nodes of one view and graphs of the other, of MVGRL.
    JensenShannon,
    /// Positives alone, to show collapse.
    Alignment,
    /// Classes by their labels, of supervised training.
    CrossEntropy,
}

/// The `[loss]` section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LossOptions {
    /// The loss; the method's own if absent.
    pub kind: Option<LossKind>,
    /// Temperature τ; the method's own if absent.
    pub temperature: Option<f32>,
    /// τ⁺ of `debiased` and `hard`: the assumed share of negatives of the query's class. Chuang et al.: 0.1 for ten classes.
    pub prior: f32,
    /// β of `hard`. Robinson et al.: 1 for STL-10.
    pub concentration: f32,
    /// m of `noise-contrastive`, entries drawn for each query. Wu et al.: 4096.
    pub noise: usize,
}

impl Default for LossOptions {
    fn default() -> Self {
        Self { kind: None, temperature: None, prior: 0.1, concentration: 1.0, noise: 4096 }
    }
}

/// What the three sections say together, every default filled in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Learning {
    /// The method.
    pub method: MethodKind,
    /// Where negatives come from.
    pub negatives: NegativesKind,
    /// The loss.
    pub loss: LossKind,
    /// τ.
    pub temperature: f32,
}

impl Recipe {
    /// What `[method]`, `[negatives]` and `[loss]` say together, with the method's own choices where they say nothing.
    pub fn learning(&self) -> Learning {
        let Combination { negatives, losses, temperature, .. } = combinations::of(self.method.kind);
        Learning {
            method: self.method.kind,
            negatives: self.negatives.kind.unwrap_or(negatives[0]),
            loss: self.loss.kind.unwrap_or(match (self.method.kind, self.variant()) {
                // Where the published code's own is another one than the paper's.
                (MethodKind::GraphCl, Variant::Original) => LossKind::Decoupled,
                _ => losses[0],
            }),
            temperature: self.loss.temperature.unwrap_or(*temperature),
        }
    }

    /// The loss of a query; `None` for noise-contrastive estimation, Jensen-Shannon and cross-entropy, which compare otherwise.
    pub fn query_loss(&self) -> Option<Loss> {
        let Learning { loss, temperature, .. } = self.learning();
        let LossOptions { prior, concentration, .. } = self.loss;
        match loss {
            LossKind::NtXent | LossKind::InfoNce => Some(Loss::InfoNce { temperature }),
            LossKind::Debiased => Some(Loss::Debiased { temperature, prior }),
            LossKind::Hard => Some(Loss::Hard { temperature, prior, concentration }),
            LossKind::Decoupled => Some(Loss::Decoupled { temperature }),
            LossKind::Alignment => Some(Loss::Alignment),
            LossKind::NoiseContrastive | LossKind::JensenShannon | LossKind::CrossEntropy => None,
        }
    }

    /// The projection head. Where the recipe does not say, BatchNorm follows all layers as in SimCLR's and MoCo v3's published programs, or
    /// none as in those of MoCo, instance discrimination and GraphCL, whose head is also as wide as the representation.
    pub fn projection(&self) -> ProjectionOptions {
        let ProjectionSection { layers, width, dimension, batch_norm } = self.method.projection;
        let own = match self.method.kind {
            MethodKind::GraphCl => graphcl::projection_options(self.dimension()),
            MethodKind::SimClr | MethodKind::MocoV3 => ProjectionOptions::default(),
            _ => ProjectionOptions { batch_norm: HeadNorm::None, ..ProjectionOptions::default() },
        };
        ProjectionOptions {
            layers,
            width,
            dimension: dimension.unwrap_or(own.dimension),
            batch_norm: batch_norm.unwrap_or(own.batch_norm),
        }
    }

    /// Length of what the loss compares.
    pub fn projected(&self) -> usize {
        let ProjectionOptions { layers, dimension, .. } = self.projection();
        match (self.method.kind, layers) {
            (MethodKind::DirectClr, _) => self.method.coordinates,
            (MethodKind::Supervised, _) | (_, 0) => self.dimension(),
            _ => dimension,
        }
    }

    /// Fills in what the method chooses, and checks what needs no data.
    pub(super) fn validate_learning(&mut self) -> Result<(), LearnError> {
        combinations::check(self)?;
        let Learning { negatives, loss, temperature, .. } = self.learning();
        self.negatives.kind = Some(negatives);
        self.loss.kind = Some(loss);
        self.fill_in_encoder();
        // What nobody reads stays absent.
        if reads(self, "loss.temperature") {
            self.loss.temperature = Some(temperature);
        }
        if reads(self, "method.momentum") {
            let momentum = self.method.momentum();
            self.method.momentum = Some(momentum.base);
            self.method.momentum_schedule = Some(momentum.shape);
        }
        if reads(self, "method.projection") {
            let own = self.projection();
            self.method.projection.dimension = Some(own.dimension);
            self.method.projection.batch_norm = Some(own.batch_norm);
        }
        Ok(())
    }
}
