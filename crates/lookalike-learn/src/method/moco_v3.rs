//! MoCo v3 (Chen et al. 2021, algorithm 1, <https://arxiv.org/abs/2104.02057>): no queue; keys of both views by the momentum encoder,
//! queries of both through a predictor, each compared with the keys of the other view in its batch.
//!
//! As in algorithm 1 a direction's loss is multiplied by 2τ, and the two are added. The momentum rises to 1 along half a cosine.
//! The published projection head ends in BatchNorm without scale and shift; a head here has them, or no last BatchNorm.

use lookalike_base::arrays::Arrays;

use super::momentum_encoder::{MOMENTUM_SHAPES, Momentum, MomentumEncoder, MomentumShape};
use super::{Building, Embedder, Method, MethodEntry, Network, Outputs, Terms};
use crate::encoder::entry::LAYERS;
use crate::engine::{Device, Tensor};
use crate::error::LearnError;
use crate::head::projection::HEAD_NORMS;
use crate::head::{HeadNorm, Projection, ProjectionOptions};
use crate::input::Batch;
use crate::module::{Module, Pass, Visitor};
use crate::negatives::{Comparison, Contrast, MIXING, Observer};
use crate::options::{FRACTION, Options, Range, Value, When, length_from};
use crate::step::Step;

crate::options! {
    /// What a recipe says of MoCo v3.
    pub struct MocoV3Options {
        /// Momentum of the momentum encoder; the published program: 0.99.
        momentum: f64 = Value::Number(0.99), FRACTION;
        /// How it goes over the run. `cosine`: rises to 1, step by step, as in the published program.
        momentum_schedule: MomentumShape = Value::Text("cosine"), Range::OneOf(MOMENTUM_SHAPES);
        /// The projection head.
        projection: ProjectionOptions = Value::Table, Range::Table(ProjectionOptions::KEYS);
        /// The predictor behind it, as long as the projection. Without one the method is `moco` with `negatives.kind = "batch"`.
        predictor: PredictorOptions = Value::Table, Range::Table(PredictorOptions::KEYS);
    }
}

crate::options! {
    /// MoCo v3's predictor; its last layer is as long as the projection.
    pub struct PredictorOptions {
        /// Linear layers of the predictor; the paper: 2.
        layers: usize = Value::Integer(2), LAYERS;
        /// Width of the hidden layers; 0: the projection's length; the paper: 4096.
        width: usize = Value::Integer(4096), length_from(0);
        /// Which layers BatchNorm follows; the published program for ResNet-50: all but the last; for ViT: all.
        batch_norm: HeadNorm = Value::Text("hidden"), Range::OneOf(HEAD_NORMS);
    }
}

/// MoCo v3 in a registry.
pub const ENTRY: MethodEntry = MethodEntry {
    kind: "moco-v3",
    paper: "Chen et al. 2021",
    about: "both views through a predictor against keys of the batch by the momentum encoder",
    keys: MocoV3Options::KEYS,
    defaults: &[When::always(("loss.temperature", Value::Number(1.0)))],
    build,
    ..MethodEntry::VIEWS
};

fn build(building: &Building<'_>) -> Result<Box<dyn Method>, LearnError> {
    let MocoV3Options { momentum, momentum_schedule, predictor, .. } = building.settings.read("method")?;
    let network = building.network("encoder", "projection")?;
    let dimension = building.projected(network.encoder.dimension())?;
    let PredictorOptions { layers, width, batch_norm } = predictor;
    let form = ProjectionOptions { layers, width, dimension, batch_norm };
    let predictor = Projection::new(dimension, &form, &mut building.stream("predictor"), building.device);
    let momentum = Momentum { base: momentum, shape: momentum_schedule };
    Ok(Box::new(MocoV3::new(network, predictor, momentum, building.contrast()?)))
}

/// A network with a predictor, and its momentum encoder without.
#[derive(Clone)]
pub struct MocoV3 {
    /// Encoder and projection head.
    network: Network,
    predictor: Projection,
    key: MomentumEncoder<Network>,
    contrast: Contrast,
}

impl MocoV3 {
    /// The momentum encoder begins as a copy of `network`.
    pub fn new(network: Network, predictor: Projection, momentum: Momentum, contrast: Contrast) -> Self {
        let key = MomentumEncoder::of(&network, momentum);
        Self { network, predictor, key, contrast }
    }

    /// Encoder and projection head.
    pub fn network(&self) -> &Network {
        &self.network
    }
}

impl Module for MocoV3 {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        self.network.visit(visitor);
        visitor.module("predictor", &mut self.predictor);
    }
}

impl Method for MocoV3 {
    fn before_step(&mut self, step: &Step) {
        self.key.follow(&mut self.network, step);
    }

    fn encode(&mut self, batch: &Batch, _: &Step, pass: &mut Pass) -> Result<Outputs, LearnError> {
        let columns = batch.pair()?;
        let mut tensors = Vec::new();
        for (column, name) in columns.into_iter().zip(["query of first", "query of second"]) {
            let projection = self.network.project(column, pass)?.projection;
            tensors.push((name, self.predictor.forward(projection, pass)));
        }
        for (column, name) in columns.into_iter().zip(["key of first", "key of second"]) {
            let key = pass.without_gradient(|pass| self.key.module.project(column, pass))?;
            tensors.push((name, key.projection));
        }
        Ok(Outputs::new(batch.instances.clone(), tensors))
    }

    fn loss(
        &mut self,
        gathered: &Outputs,
        step: &Step,
        observer: &mut dyn Observer,
    ) -> Result<Terms, LearnError> {
        let scale = 2.0 * self.contrast.loss.temperature();
        let mut compare = |query, key, direction: usize| {
            let (query, key) = (gathered.get(query), gathered.get(key));
            let [comparison, _] = Comparison::across(query, key, &gathered.instances);
            let comparison = Comparison { tracked: false, ..comparison };
            self.contrast.compare(&comparison, step, MIXING[direction], observer).mul_scalar(scale)
        };
        let first = compare("query of first", "key of second", 0);
        let second = compare("query of second", "key of first", 1);
        Ok(Terms::new(vec![("first to second", first), ("second to first", second)]))
    }

    /// The keys of both views side by side.
    fn embeddings(&self, outputs: &Outputs) -> Tensor<2> {
        outputs.side_by_side(["key of first", "key of second"])
    }

    fn followers(&mut self) -> Vec<&mut dyn Module> {
        vec![&mut self.key.module]
    }

    fn kept(&self) -> Box<dyn Embedder> {
        Box::new(self.network.clone())
    }

    fn state(&mut self) -> Arrays {
        self.key.arrays()
    }

    fn restore(&mut self, state: &Arrays, device: &Device) -> Result<(), LearnError> {
        self.key.restore(state, device)
    }
}
