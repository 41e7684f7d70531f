//! GraphCL (You et al. 2020, *Graph Contrastive Learning with Augmentations*, <https://arxiv.org/abs/2010.13902>, section 3.2
//! and algorithm in appendix): SimCLR on graphs, and what sets its published code apart
//! (`unsupervised_TU` of Shen-Lab/GraphCL).
//!
//! | variant | views | queries | default loss |
//! |---|---|---|---|
//! | `original` | the graph as it is, and one augmentation of it | the first alone | [decoupled](crate::loss::decoupled): ℓ(n) = −log ( exp(s(n, n)/τ) / Σ_{n′ ≠ n} exp(s(n, n′)/τ) ) |
//! | `paper` | two augmentations | both | NT-Xent, see [`nt_xent`](crate::loss::nt_xent) |
//!
//! s(n, n′) is the cosine similarity of the projection of graph n's first view to that of n′'s second. In both variants each
//! view goes through BatchNorm by itself, as in the published code. The paper's equation 3 leaves the positive out of the denominator too
//! while its text speaks of NT-Xent; any loss can be taken in either variant.

use lookalike_data::graph::Variant;

use super::simclr::InBatchNegatives;
use super::{Building, Embedder, Method, MethodEntry, Network, Outputs, Terms};
use crate::engine::{Device, Tensor};
use crate::error::LearnError;
use crate::head::projection::with_defaults;
use crate::head::{HeadNorm, Projection, ProjectionOptions};
use crate::input::Batch;
use crate::module::{Module, Pass, Visitor};
use crate::negatives::{Contrast, Observer};
use crate::options::{Key, Options, Range, Value, When};
use crate::step::Step;
use lookalike_base::Stream;

/// The head of the published code.
const HEAD: &[Key] = &with_defaults(Value::Absent("the length of the representation"), Value::Text("none"));

/// What a variant can be.
pub const VARIANTS: &[&str] = &["paper", "original"];

crate::options! {
    /// What a recipe says of GraphCL.
    pub struct GraphClOptions {
        /// Whom to follow where paper and published code differ, [in what](graphs.md#whom-to-follow).
        variant: Variant = Value::Text("paper"), Range::OneOf(VARIANTS);
        /// The projection head.
        projection: HeadOptions = Value::Table, Range::Table(HEAD);
    }
}

/// [`ProjectionOptions`] whose length is that of the representation where it is absent.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadOptions {
    layers: usize,
    width: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    dimension: Option<usize>,
    batch_norm: HeadNorm,
}

/// GraphCL in a registry.
pub const ENTRY: MethodEntry = MethodEntry {
    kind: "graphcl",
    paper: "You et al. 2020",
    about: "SimCLR on graphs, each view by itself through BatchNorm",
    keys: GraphClOptions::KEYS,
    modalities: &["graph"],
    encoders: &["gin"],
    losses: &["nt-xent", "decoupled", "debiased", "hard"],
    // The published code contrasts the graph itself with one view.
    columns: &[
        When::is("method.variant", "original", &["plain", "view 2"]),
        When::always(&["view 1", "view 2"]),
    ],
    defaults: &[
        When::always(("loss.temperature", Value::Number(0.2))),
        When::is("method.variant", "original", ("loss.kind", Value::Text("decoupled"))),
        // Its loader never draws batches again.
        When::is("method.variant", "original", ("sampler.reshuffle", Value::Flag(false))),
    ],
    in_batch: |checked| match checked.settings.text("method.variant") {
        Some("original") => checked.batch_size.saturating_sub(1),
        _ => 2 * checked.batch_size.saturating_sub(1),
    },
    build: |building| {
        let GraphClOptions { variant, .. } = building.settings.read("method")?;
        Ok(Box::new(GraphCl::new(network(building)?, building.contrast()?, variant)))
    },
    kept: |building| Ok(Box::new(network(building)?)),
    ..MethodEntry::VIEWS
};

fn network(building: &Building<'_>) -> Result<Network, LearnError> {
    let GraphClOptions { projection: form, .. } = building.settings.read("method")?;
    let encoder = (building.encoder)("encoder")?;
    let form = ProjectionOptions {
        layers: form.layers,
        width: form.width,
        dimension: form.dimension.unwrap_or(encoder.dimension()),
        batch_norm: form.batch_norm,
    };
    let mut stream = building.stream("projection");
    let head = Projection::xavier(encoder.dimension(), &form, &mut stream, building.device);
    Ok(Network::new(encoder, head))
}

/// The published head on representations of length `dimension`: two linear layers as wide as that, no BatchNorm. Its weights are
/// those of [`Projection::xavier`].
pub fn published_head(dimension: usize, stream: &mut Stream, device: &Device) -> Projection {
    let form = ProjectionOptions { layers: 2, width: dimension, dimension, batch_norm: HeadNorm::None };
    Projection::xavier(dimension, &form, stream, device)
}

/// An encoder of graphs with its projection head.
#[derive(Clone)]
pub struct GraphCl {
    network: Network,
    contrast: Contrast,
    in_batch: InBatchNegatives,
}

impl GraphCl {
    /// Trains `network` by `contrast` as `variant` compares views.
    pub fn new(network: Network, contrast: Contrast, variant: Variant) -> Self {
        let in_batch = match variant {
            Variant::Original => InBatchNegatives::SecondViews,
            Variant::Paper => InBatchNegatives::AllViews,
        };
        Self { network, contrast, in_batch }
    }
}

impl Module for GraphCl {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        self.network.visit(visitor);
    }
}

impl Method for GraphCl {
    fn encode(&mut self, batch: &Batch, _: &Step, pass: &mut Pass) -> Result<Outputs, LearnError> {
        let [first, second] = batch.pair()?;
        let first = self.network.project(first, pass)?.projection;
        let second = self.network.project(second, pass)?.projection;
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

    /// Both projections side by side, each of unit length.
    fn embeddings(&self, outputs: &Outputs) -> Tensor<2> {
        outputs.side_by_side(["first", "second"])
    }

    fn kept(&self) -> Box<dyn Embedder> {
        Box::new(self.network.clone())
    }
}
