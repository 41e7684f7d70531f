//! MoCo (He et al. 2020, algorithm 1, <https://arxiv.org/abs/1911.05722>; v2: Chen et al. 2020, <https://arxiv.org/abs/2003.04297>).
//!
//! Queries by the encoder, keys by its momentum encoder, negatives from a queue of earlier keys. The order of a step is the
//! paper's: the momentum encoder moves, the keys are made, the loss sees the *old* queue, and the keys are enqueued last: a key is
//! never among its own negatives, not in the second direction of the symmetric form either.
//!
//! v1 has a linear head and τ = 0.07; v2 a head of two layers, τ = 0.2, blur and weaker colour jitter. On one device BatchNorm's
//! statistics are taken in groups, and those of the keys over shuffled images, see [`Network::project_shuffled`].

use lookalike_base::arrays::Arrays;

use super::momentum_encoder::{MOMENTUM_SHAPES, Momentum, MomentumEncoder, MomentumShape};
use super::{Building, Checked, Embedder, Method, MethodEntry, Network, Outputs, Terms};
use crate::encoder::Normalized;
use crate::engine::{Device, Tensor};
use crate::error::LearnError;
use crate::head::ProjectionOptions;
use crate::head::projection::WITHOUT_NORM;
use crate::input::{Batch, Column};
use crate::loss::normalize;
use crate::module::{Module, Pass, Visitor};
use crate::negatives::queue::QueueOptions;
use crate::negatives::{Comparison, Contrast, MIXING, Observer, Queue};
use crate::options::{FLAG, FRACTION, Options, Range, SOME, Value, When, require};
use crate::step::Step;

crate::options! {
    /// What a recipe says of MoCo.
    pub struct MocoOptions {
        /// Momentum of the momentum encoder; the paper: 0.999; its CIFAR-10 demonstration: 0.99.
        momentum: f64 = Value::Number(0.999), FRACTION;
        /// How it goes over the run. `cosine`: rises to 1, step by step, as in MoCo v3.
        momentum_schedule: MomentumShape = Value::Text("constant"), Range::OneOf(MOMENTUM_SHAPES);
        /// Whether both views are queries: the losses of both directions are added, and both keys enqueued, as in the CIFAR-10
        /// demonstration.
        symmetric: bool = Value::Flag(false), FLAG;
        /// Parts of a batch, or of each of its `train.shards`, with BatchNorm statistics of their own, as on so many GPUs; 1, or a divisor of B up to B/2. Running
        /// statistics move once a batch, to the mean of the parts', as in MoCo's CIFAR-10 demonstration; several GPUs under PyTorch would
        /// keep those of the first.
        batch_norm_groups: usize = Value::Integer(8), SOME;
        /// Whether images, of each shard by themselves, are shuffled before the key encoder, and put back in order afterwards. Groups without it are the leak that it closes.
        shuffle: bool = Value::Flag(true), FLAG;
        /// The projection head.
        projection: ProjectionOptions = Value::Table, Range::Table(WITHOUT_NORM);
    }
}

/// MoCo in a registry.
pub const ENTRY: MethodEntry = MethodEntry {
    kind: "moco",
    paper: "He et al. 2020, Chen et al. 2020",
    about: "view 1 against keys of earlier batches by a momentum encoder, v1 and v2",
    keys: MocoOptions::KEYS,
    negatives: &["queue", "batch"],
    defaults: &[When::always(("loss.temperature", Value::Number(0.2)))],
    check,
    check_data,
    build,
    ..MethodEntry::VIEWS
};

/// The queue that a recipe asks for.
fn queue_options(checked: &Checked<'_>) -> Result<Option<QueueOptions>, LearnError> {
    (checked.negatives() == "queue").then(|| checked.settings.read("negatives")).transpose()
}

fn check(checked: &Checked<'_>) -> Result<(), LearnError> {
    let options: MocoOptions = checked.settings.read("method")?;
    let (groups, batch) = (options.batch_norm_groups, checked.batch_size);
    let shard = batch / checked.shards.max(1);
    require(
        checked.normalized != Normalized::Parts || (groups == 1 && !options.shuffle),
        "method.batch_norm_groups",
        "must be 1 with this encoder, and method.shuffle false: its BatchNorm is over parts of instances, and groups of \
         them would cut instances",
    )?;
    require(
        groups == 1 || (shard.is_multiple_of(groups) && shard / groups >= 2),
        "method.batch_norm_groups",
        "must divide sampler.batch_size, or a shard of train.shards, into groups of at least 2 images; a single image has no variance",
    )?;
    require(
        groups > 1 || !options.shuffle,
        "method.shuffle",
        "does nothing where all images share their BatchNorm statistics; set method.batch_norm_groups above 1, or \
         method.shuffle = false",
    )?;
    let keys = batch * if options.symmetric { 2 } else { 1 };
    require(
        queue_options(checked)?.is_none_or(|queue| queue.size >= keys),
        "negatives.size",
        "must be at least sampler.batch_size, twice that where method.symmetric: a queue holds a batch's keys",
    )
}

fn check_data(checked: &Checked<'_>, instances: usize) -> Result<(), LearnError> {
    let options: MocoOptions = checked.settings.read("method")?;
    let (groups, batch) = (options.batch_norm_groups, checked.batch_size);
    let rest = instances % batch.max(1);
    let divides = rest.is_multiple_of(groups) && rest / groups >= 2;
    let reason = format!(
        "{batch} leave {rest} of {instances} instances for the last batch, which is kept, and they do not divide into \
         {groups} groups of at least 2; take another size, or sampler.last_batch = \"drop\""
    );
    require(!checked.keeps_last || groups == 1 || rest == 0 || divides, "sampler.batch_size", reason)?;
    let Some(queue) = queue_options(checked)? else { return Ok(()) };
    let keys = instances * if options.symmetric { 2 } else { 1 };
    let reason = format!(
        "{} keys are those of every one of the {instances} instances: each query would meet older keys of its own as \
         negatives; take fewer than {keys}, or set negatives.exclude_own = true",
        queue.size
    );
    require(queue.size < keys || queue.exclude_own, "negatives.size", reason)
}

fn build(building: &Building<'_>) -> Result<Box<dyn Method>, LearnError> {
    let options: MocoOptions = building.settings.read("method")?;
    let network = building.network("encoder", "projection")?;
    let mut dictionary = None;
    if building.settings.text("negatives.kind") == Some("queue") {
        let QueueOptions { size, exclude_own } = building.settings.read("negatives")?;
        let dimension = building.projected(network.encoder.dimension())?;
        let queue = Queue::new(size, dimension, &mut building.stream("queue"), building.device);
        dictionary = Some(Dictionary { queue, exclude_own });
    }
    Ok(Box::new(Moco::new(network, dictionary, building.contrast()?, options)))
}

/// A queue, and how it is compared with.
#[derive(Debug, Clone)]
pub struct Dictionary {
    /// The keys of earlier batches.
    pub queue: Queue,
    /// Whether older keys of the query's instance are left out of its negatives.
    pub exclude_own: bool,
}

/// A network, its momentum encoder, and the keys of earlier batches.
#[derive(Clone)]
pub struct Moco {
    network: Network,
    key: MomentumEncoder<Network>,
    /// Without one, negatives are the batch's other keys.
    dictionary: Option<Dictionary>,
    contrast: Contrast,
    options: MocoOptions,
}

impl Moco {
    /// The momentum encoder begins as a copy of `network`.
    pub fn new(
        network: Network,
        dictionary: Option<Dictionary>,
        contrast: Contrast,
        options: MocoOptions,
    ) -> Self {
        let momentum = Momentum { base: options.momentum, shape: options.momentum_schedule };
        let key = MomentumEncoder::of(&network, momentum);
        Self { network, key, dictionary, contrast, options }
    }

    /// The queue, where there is one.
    pub fn queue(&self) -> Option<&Queue> {
        self.dictionary.as_ref().map(|dictionary| &dictionary.queue)
    }

    /// What is trained.
    pub fn network(&mut self) -> &mut Network {
        &mut self.network
    }

    fn queries(&mut self, column: &Column, pass: &mut Pass) -> Result<Tensor<2>, LearnError> {
        Ok(normalize(self.network.project_in_groups(column, self.options.batch_norm_groups, pass)?))
    }

    fn keys(&mut self, column: &Column, step: &Step, pass: &mut Pass) -> Result<Tensor<2>, LearnError> {
        let network = &mut self.key.module;
        let MocoOptions { batch_norm_groups: groups, shuffle, .. } = self.options;
        let keys = pass.without_gradient(|pass| {
            if shuffle {
                network.project_shuffled(column, groups, |row| step.stream("shuffle", row), pass)
            } else {
                network.project_in_groups(column, groups, pass)
            }
        });
        Ok(normalize(keys?))
    }

    /// Queries of view `view` beside their keys and the old queue, or the other keys of the batch.
    fn comparison(&self, query: Tensor<2>, key: Tensor<2>, instances: &[u32], view: u32) -> Comparison {
        let Some(Dictionary { queue, exclude_own }) = &self.dictionary else {
            let [comparison, _] = Comparison::across(query, key, instances);
            return Comparison { tracked: false, ..comparison };
        };
        let candidates = (queue.keys(), queue.instance_ids());
        Comparison::with_dictionary(query, key, (instances, view), candidates, *exclude_own)
    }
}

impl Module for Moco {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        self.network.visit(visitor);
    }
}

impl Method for Moco {
    fn before_step(&mut self, step: &Step) {
        self.key.follow(&mut self.network, step);
    }

    fn encode(&mut self, batch: &Batch, step: &Step, pass: &mut Pass) -> Result<Outputs, LearnError> {
        let [first, second] = batch.pair()?;
        let mut tensors =
            vec![("query", self.queries(first, pass)?), ("key", self.keys(second, step, pass)?)];
        if self.options.symmetric {
            tensors.push(("query of second", self.queries(second, pass)?));
            tensors.push(("key of first", self.keys(first, step, pass)?));
        }
        Ok(Outputs::new(batch.instances.clone(), tensors))
    }

    fn loss(
        &mut self,
        gathered: &Outputs,
        step: &Step,
        observer: &mut dyn Observer,
    ) -> Result<Terms, LearnError> {
        let mut compare = |query, key, direction: usize| {
            let (query, key) = (gathered.get(query), gathered.get(key));
            let comparison = self.comparison(query, key, &gathered.instances, direction as u32);
            self.contrast.compare(&comparison, step, MIXING[direction], observer)
        };
        let mut terms = vec![("first to second", compare("query", "key", 0))];
        if self.options.symmetric {
            terms.push(("second to first", compare("query of second", "key of first", 1)));
        }
        Ok(Terms::new(terms))
    }

    fn after_step(&mut self, gathered: &Outputs, _: &Step) {
        let Some(Dictionary { queue, .. }) = &mut self.dictionary else { return };
        queue.enqueue(gathered.get("key"), &gathered.instances);
        if self.options.symmetric {
            queue.enqueue(gathered.get("key of first"), &gathered.instances);
        }
    }

    /// Query and key side by side.
    fn embeddings(&self, outputs: &Outputs) -> Tensor<2> {
        outputs.side_by_side(["query", "key"])
    }

    fn followers(&mut self) -> Vec<&mut dyn Module> {
        vec![&mut self.key.module]
    }

    fn kept(&self) -> Box<dyn Embedder> {
        Box::new(self.network.clone())
    }

    fn state(&mut self) -> Arrays {
        let mut arrays = self.key.arrays();
        arrays.extend(self.dictionary.iter().flat_map(|dictionary| dictionary.queue.arrays()));
        arrays
    }

    fn restore(&mut self, state: &Arrays, device: &Device) -> Result<(), LearnError> {
        self.key.restore(state, device)?;
        self.dictionary.as_mut().map_or(Ok(()), |dictionary| dictionary.queue.restore(state, device))
    }
}
