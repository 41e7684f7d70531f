//! A toy method: SimCLR on projections from which the mean of earlier ones is taken away, which is kept beside the network.

use lookalike_base::arrays::{Array, Arrays};
use lookalike_learn::LearnError;
use lookalike_learn::engine::{Device, Tensor, from_host, to_host};
use lookalike_learn::head::ProjectionOptions;
use lookalike_learn::input::{Batch, Column};
use lookalike_learn::method::{Building, Checked, Embedder, Method, MethodEntry, Network, Outputs, Terms};
use lookalike_learn::module::{Module, Pass, Visitor};
use lookalike_learn::negatives::{Comparison, Contrast, Observer};
use lookalike_learn::options::{FRACTION, Options, Range, Value, When, require};
use lookalike_learn::step::Step;

lookalike_learn::options! {
    /// What a recipe says of the method.
    pub struct CentredOptions {
        /// What the centre keeps of itself.
        inertia: f64 = Value::Number(0.9), FRACTION;
        /// The projection head.
        projection: ProjectionOptions = Value::Table, Range::Table(ProjectionOptions::KEYS);
    }
}

pub const CENTRED: MethodEntry = MethodEntry {
    kind: "centred",
    paper: "nobody, this year",
    about: "SimCLR around the mean of earlier projections",
    keys: CentredOptions::KEYS,
    modalities: &["vectors"],
    losses: &["triplet", "nt-xent"],
    defaults: &[
        When::always(("loss.temperature", Value::Number(0.25))),
        When::always(("method.projection", Value::Table)),
    ],
    in_batch: |checked| 2 * checked.batch_size.saturating_sub(1),
    check: |checked: &Checked<'_>| {
        let CentredOptions { projection, .. } = checked.settings.read("method")?;
        require(projection.dimension > 1, "method.projection.dimension", "must be at least 2 around a centre")
    },
    build: |building| Ok(Box::new(Centred::new(building)?)),
    ..MethodEntry::VIEWS
};

/// A network, and the mean of what it gave before.
struct Centred {
    network: Network,
    contrast: Contrast,
    inertia: f64,
    /// `[1, d]`
    centre: Tensor<2>,
}

impl Centred {
    fn new(building: &Building<'_>) -> Result<Self, LearnError> {
        let CentredOptions { inertia, .. } = building.settings.read("method")?;
        let network = building.network("encoder", "projection")?;
        let dimension = building.projected(network.encoder.dimension())?;
        let centre = Tensor::zeros([1, dimension], building.device);
        Ok(Self { network, contrast: building.contrast()?, inertia, centre })
    }
}

impl Module for Centred {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        self.network.visit(visitor);
    }
}

impl Method for Centred {
    fn encode(&mut self, batch: &Batch, _: &Step, pass: &mut Pass) -> Result<Outputs, LearnError> {
        let [first, second] = batch.pair()?;
        let count = first.rows.len();
        let both = self.network.project(&Column::join(&[first.clone(), second.clone()])?, pass)?.projection;
        let views = [("first", 0), ("second", count)];
        let views = views.map(|(name, start)| (name, both.clone().narrow(0, start, count)));
        Ok(Outputs::new(batch.instances.clone(), views.into()))
    }

    fn loss(
        &mut self,
        gathered: &Outputs,
        step: &Step,
        observer: &mut dyn Observer,
    ) -> Result<Terms, LearnError> {
        let [first, second] = ["first", "second"].map(|name| gathered.get(name) - self.centre.clone());
        let comparison = Comparison::all_views(first, second, &gathered.instances);
        Ok(Terms::single("contrast", self.contrast.compare(&comparison, step, "mixing", observer)))
    }

    fn after_step(&mut self, gathered: &Outputs, _: &Step) {
        let both = Tensor::cat(vec![gathered.get("first").inner(), gathered.get("second").inner()], 0);
        let kept = self.centre.clone().mul_scalar(self.inertia);
        self.centre = kept + both.mean_dim(0).mul_scalar(1.0 - self.inertia);
    }

    fn embeddings(&self, outputs: &Outputs) -> Tensor<2> {
        outputs.side_by_side(["first", "second"])
    }

    fn kept(&self) -> Box<dyn Embedder> {
        Box::new(self.network.clone())
    }

    fn state(&mut self) -> Arrays {
        let values = to_host(self.centre.clone());
        [("centre".to_owned(), Array::f32([1, values.len()], values))].into()
    }

    fn restore(&mut self, state: &Arrays, device: &Device) -> Result<(), LearnError> {
        let values = state.get("centre").and_then(Array::as_f32).ok_or_else(|| LearnError::Weights {
            name: "centre".to_owned(),
            reason: "it is missing".to_owned(),
        })?;
        self.centre = from_host(values.to_vec(), self.centre.dims(), device);
        Ok(())
    }
}
