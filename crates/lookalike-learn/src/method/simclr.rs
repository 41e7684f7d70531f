//! SimCLR (Chen et al. 2020, <https://arxiv.org/abs/2002.05709>): two views of every instance, one encoder, a projection
//! head, and [NT-Xent](crate::loss::nt_xent) with the rest of the batch as negatives.
//!
//! Both views go through the encoder together, as in the published program: BatchNorm's statistics are those of all 2B images. SimCSE
//! without supervision is the same method with both views made inside the encoder by dropout.

use super::{Embedder, Method, MethodEntry, Network, Outputs, Terms, parted};
use crate::engine::Tensor;
use crate::error::LearnError;
use crate::head::ProjectionOptions;
use crate::input::Batch;
use crate::module::{Module, Pass, Visitor};
use crate::negatives::{Comparison, Contrast, MIXING, Observer};
use crate::options::{Options, Range, Value, When};
use crate::step::Step;

crate::options! {
    /// What a recipe says of SimCLR.
    pub struct SimClrOptions {
        /// The projection head.
        projection: ProjectionOptions = Value::Table, Range::Table(ProjectionOptions::KEYS);
    }
}

/// SimCLR in a registry.
pub const ENTRY: MethodEntry = MethodEntry {
    kind: "simclr",
    paper: "Chen et al. 2020",
    about: "each view against its other view and all other views of the batch",
    keys: SimClrOptions::KEYS,
    losses: &["nt-xent", "debiased", "hard", "info-nce", "alignment"],
    defaults: &[When::always(("loss.temperature", Value::Number(0.5)))],
    in_batch: |checked| match in_batch(checked.loss()) {
        InBatchNegatives::AllViews => 2 * checked.batch_size.saturating_sub(1),
        _ => checked.batch_size.saturating_sub(1),
    },
    build: |building| {
        let network = building.network("encoder", "projection")?;
        let in_batch = in_batch(building.settings.text("loss.kind").unwrap_or_default());
        Ok(Box::new(SimClr::new(network, building.contrast()?, in_batch)))
    },
    ..MethodEntry::VIEWS
};

/// InfoNCE compares with the views of the other side alone, the others with all.
fn in_batch(loss: &str) -> InBatchNegatives {
    if loss == "info-nce" { InBatchNegatives::OtherViews } else { InBatchNegatives::AllViews }
}

/// Which other views of the batch are negatives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InBatchNegatives {
    /// Both of every other instance, 2B − 2: NT-Xent.
    AllViews,
    /// The other one, B − 1: each view is compared with the views of the other side, as DirectCLR's program does.
    OtherViews,
    /// The second one, B − 1, and first views alone are queries, as in [GraphCL](crate::method::graphcl)'s program.
    SecondViews,
}

impl InBatchNegatives {
    /// The terms of the loss of two views.
    pub(super) fn terms(
        self,
        contrast: &Contrast,
        outputs: &Outputs,
        step: &Step,
        observer: &mut dyn Observer,
    ) -> Terms {
        let [first, second] = ["first", "second"].map(|name| outputs.get(name));
        let instances = &outputs.instances;
        match self {
            Self::AllViews => {
                let comparison = Comparison::all_views(first, second, instances);
                Terms::single("contrast", contrast.compare(&comparison, step, MIXING[0], observer))
            }
            Self::SecondViews => {
                let [comparison, _] = Comparison::across(first, second, instances);
                Terms::single("contrast", contrast.compare(&comparison, step, MIXING[0], observer))
            }
            Self::OtherViews => both_directions(contrast, [first, second], instances, step, observer),
        }
    }
}

/// The terms of two views in either direction, each with weight ½: the first are compared with the second, and the other way round.
pub(super) fn both_directions(
    contrast: &Contrast,
    [first, second]: [Tensor<2>; 2],
    instances: &[u32],
    step: &Step,
    observer: &mut dyn Observer,
) -> Terms {
    let [one, other] = Comparison::across(first, second, instances);
    let one = contrast.compare(&one, step, MIXING[0], observer);
    let other = contrast.compare(&other, step, MIXING[1], observer);
    let terms = [("first to second", one), ("second to first", other)];
    Terms::new(terms.map(|(name, loss)| (name, loss.mul_scalar(0.5))).into())
}

/// An encoder with its projection head.
#[derive(Clone)]
pub struct SimClr {
    network: Network,
    contrast: Contrast,
    in_batch: InBatchNegatives,
}

impl SimClr {
    /// Trains `network` by any loss.
    pub fn new(network: Network, contrast: Contrast, in_batch: InBatchNegatives) -> Self {
        Self { network, contrast, in_batch }
    }
}

impl Module for SimClr {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        self.network.visit(visitor);
    }
}

impl Method for SimClr {
    fn encode(&mut self, batch: &Batch, _: &Step, pass: &mut Pass) -> Result<Outputs, LearnError> {
        let (both, counts) = batch.joined_pair()?;
        let [first, second] = parted(&self.network.project(&both, pass)?.projection, counts);
        Ok(Outputs::new(batch.instances.clone(), vec![("first", first), ("second", second)]))
    }

    fn loss(
        &mut self,
        gathered: &Outputs,
        step: &Step,
        observer: &mut dyn Observer,
    ) -> Result<Terms, LearnError> {
        Ok(self.in_batch.terms(&self.contrast, gathered, step, observer))
    }

    /// Both projections side by side, each of unit length, as BatchSampler builds its graph from: the similarity of two
    /// instances is then the mean of their views' similarities.
    fn embeddings(&self, outputs: &Outputs) -> Tensor<2> {
        outputs.side_by_side(["first", "second"])
    }

    fn kept(&self) -> Box<dyn Embedder> {
        Box::new(self.network.clone())
    }
}
