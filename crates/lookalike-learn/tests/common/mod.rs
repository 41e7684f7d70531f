//! Small methods, data and run folders that several tests share.

#![allow(dead_code, unreachable_pub, reason = "each test program uses some of them")]
#![allow(clippy::unwrap_used, reason = "a helper of tests fails the test")]

use std::num::NonZero;
use std::path::{Path, PathBuf};

use lookalike_base::arrays::{Array, Arrays};
use lookalike_base::progress::{Cancellation, Watch};
use lookalike_base::tensors::TensorFile;
use lookalike_base::{Matrix, Seed};
use lookalike_data::{BatchRequest, BatchSource, DataError, LoaderOptions};
use lookalike_learn::LearnError;
use lookalike_learn::encoder::Encoder;
use lookalike_learn::engine::{self, Device, DeviceName, Precision, Tensor};
use lookalike_learn::head::{HeadNorm, Projection, ProjectionOptions};
use lookalike_learn::input::{Batch, Input, Source};
use lookalike_learn::loss::InfoNce;
use lookalike_learn::method::simclr::InBatchNegatives;
use lookalike_learn::method::{Embedder, Method, Network, Outputs, SimClr, Terms};
use lookalike_learn::module::{Module, Pass, Visitor, arrays_of, load_arrays};
use lookalike_learn::negatives::{Contrast, Observer};
use lookalike_learn::options::from_table;
use lookalike_learn::step::Step;
use lookalike_learn::train::{
    Drops, OptimizerKind, OptimizerOptions, Outcome, Schedule, Shape, TrainOptions, Trainer,
};
use lookalike_sampling::{Coverage, RestartSchedule, RunData, SamplerKind, SamplerOptions};

pub mod mlp;
pub mod tokens;

pub use mlp::{Mlp, Vectors};

pub const SEED: Seed = Seed(11);

pub fn cpu() -> Device {
    engine::open(DeviceName::Cpu).unwrap()
}

/// `count` numbers in [−1, 1), the same as `numbers` in `fixtures/make.py` draws (lowbias32 by Chris Wellons).
pub fn numbers(count: usize, key: u32) -> Vec<f32> {
    let hash = |index: u32| {
        let mut x = index.wrapping_add(key.wrapping_mul(1_000_003));
        x ^= x >> 16;
        x = x.wrapping_mul(0x7feb_352d);
        x ^= x >> 15;
        x = x.wrapping_mul(0x846c_a68b);
        x ^= x >> 16;
        (x >> 8) as f32 / 8_388_608.0 - 1.0
    };
    (0..count as u32).map(hash).collect()
}

/// Points in clusters: the first four columns say which, the others are far larger and say nothing.
#[derive(Debug, Clone)]
pub struct Points {
    pub values: Matrix,
    pub labels: Vec<u32>,
    pub classes: usize,
}

/// Columns of [`Points`]: those that tell a cluster, and those that do not.
pub const TELLING: usize = 4;
pub const NUISANCE: usize = 6;
pub const COLUMNS: usize = TELLING + NUISANCE;

pub fn points(count: usize, classes: usize, seed: u64) -> Points {
    let mut stream = Seed(0).stream("centres", 0, 0, 0);
    let centres: Vec<[f32; TELLING]> =
        (0..classes).map(|_| [(); TELLING].map(|()| stream.normal())).collect();
    let mut stream = Seed(seed).stream("points", 0, 0, 0);
    let labels: Vec<u32> = (0..count).map(|point| (point % classes) as u32).collect();
    let values = labels.iter().flat_map(|label| {
        let telling = centres[*label as usize].map(|centre| centre + 0.1 * stream.normal());
        let nuisance = [(); NUISANCE].map(|()| 3.0 * stream.normal());
        [telling.to_vec(), nuisance.to_vec()].concat()
    });
    let values = Matrix::new(values.collect(), COLUMNS).unwrap();
    Points { values, labels, classes }
}

/// Two views of every point, which differ in the nuisance and a little in the rest: both made by the data.
pub struct NoisyViews(pub Matrix);

impl BatchSource for NoisyViews {
    type Batch = Batch;

    fn batch(&self, request: &BatchRequest) -> Result<Batch, DataError> {
        let view = |view: u64| {
            let mut values = Vec::new();
            for instance in &request.instances {
                let address = 2 * u64::from(*instance) + view;
                let mut stream = SEED.stream("noise", request.epoch, request.step, address);
                let (telling, nuisance) = self.0.row(*instance as usize).split_at(TELLING);
                values.extend(telling.iter().map(|value| value + 0.05 * stream.normal()));
                values.extend(nuisance.iter().map(|_| 3.0 * stream.normal()));
            }
            vectors(values, self.0.columns())
        };
        Ok(Batch::of_views(request.instances.clone(), vec![view(0), view(1)]))
    }
}

/// Every point once: the encoder's dropout makes two views of it.
pub struct SharedPoints(pub Matrix);

impl BatchSource for SharedPoints {
    type Batch = Batch;

    fn batch(&self, request: &BatchRequest) -> Result<Batch, DataError> {
        let rows = request.instances.iter().flat_map(|instance| self.0.row(*instance as usize).to_vec());
        let input = vectors(rows.collect(), self.0.columns());
        Ok(Batch::of_views(request.instances.clone(), vec![input.clone(), input]))
    }
}

/// Rows of so many columns as an input.
pub fn vectors(values: Vec<f32>, columns: usize) -> Input {
    Input::new(Vectors(Matrix::new(values, columns).unwrap()))
}

/// A multi-layer perceptron on [`Points`] with a projection head that has BatchNorm.
pub fn perceptron(dropout: f32) -> SimClr {
    let device = cpu();
    let encoder = Mlp::new(&[COLUMNS, 32, 16], dropout, &mut SEED.stream("encoder", 0, 0, 0), &device);
    with_head(encoder, 0.2)
}

/// SimCLR on `encoder` with a projection head of 8 dimensions.
pub fn with_head(encoder: impl Encoder + 'static, temperature: f32) -> SimClr {
    let options = ProjectionOptions { layers: 2, width: 0, dimension: 8, batch_norm: HeadNorm::All };
    let mut stream = SEED.stream("projection", 0, 0, 0);
    let head = Projection::new(encoder.dimension(), &options, &mut stream, &cpu());
    simclr(Network::new(Box::new(encoder), head), temperature)
}

/// [`perceptron`] of layers of these widths, with a head that has no BatchNorm: each row is encoded by itself.
pub fn without_batch_norm(widths: &[usize], dropout: f32) -> SimClr {
    let encoder = Mlp::new(widths, dropout, &mut SEED.stream("encoder", 0, 0, 0), &cpu());
    let options = ProjectionOptions { layers: 2, width: 0, dimension: 8, batch_norm: HeadNorm::None };
    let head =
        Projection::new(encoder.dimension(), &options, &mut SEED.stream("projection", 0, 0, 0), &cpu());
    simclr(Network::new(Box::new(encoder), head), 0.2)
}

/// SimCLR with NT-Xent.
pub fn simclr(network: Network, temperature: f32) -> SimClr {
    SimClr::new(network, Contrast::plain(InfoNce { temperature }), InBatchNegatives::AllViews)
}

/// Batches of `batch_size` look-alikes: a graph for every second refresh falls into an epoch.
pub fn sampler(kind: SamplerKind, coverage: Coverage, batch_size: usize) -> SamplerOptions {
    SamplerOptions {
        kind,
        coverage,
        batch_size,
        candidates: Some(30),
        neighbors: Some(8),
        restart: Some(RestartSchedule { from: 0.2, to: 0.1, over_epochs: 2.0 }),
        refresh_every: 4,
        uniform_epochs: 1,
        ..SamplerOptions::default()
    }
}

/// Options of a run of `steps` optimiser steps by Adam at a constant rate.
pub fn options(run: &Path, instances: usize, sampler: SamplerOptions, steps: u64) -> TrainOptions {
    let optimizer =
        OptimizerOptions { kind: OptimizerKind::Adam, learning_rate: 0.01, ..OptimizerOptions::default() };
    TrainOptions {
        run: run.to_owned(),
        identity: "test".to_owned(),
        recipe: None,
        seed: SEED,
        device: cpu(),
        precision: Precision::F32,
        instances,
        labels: None,
        left_out: Vec::new(),
        sampler,
        run_data: RunData::default(),
        embed_first: false,
        schedule: Schedule {
            base: optimizer.learning_rate,
            begins: 0,
            warmup: 2,
            total: steps,
            shape: Shape::Constant,
            drops: Drops::default(),
        },
        optimizer,
        max_steps: None,
        accumulate: 1,
        chunk: None,
        checkpoint_every: 3,
        kept: 2,
        keep_best: true,
        log_every: 1,
        loader: LoaderOptions { threads: NonZero::<usize>::MIN, ahead: NonZero::new(3).unwrap() },
        development: None,
        monitor: None,
        oracle: None,
        shards: 1,
        ranks: std::sync::Arc::new(lookalike_base::Alone),
    }
}

/// Trains to the end, or to where `cancellation` is raised.
pub fn train(
    method: impl Method + 'static,
    source: Source,
    options: TrainOptions,
    cancellation: &Cancellation,
) -> Result<(Trainer, Outcome, Vec<String>), LearnError> {
    let (mut trainer, warnings) = Trainer::open(Box::new(method), source, options)?;
    let outcome = trainer.run(Watch::silent(cancellation))?;
    Ok((trainer, outcome, warnings))
}

/// A method that does something after each batch, counted from 1; for tests that look at a run from within.
pub struct Watched {
    pub method: Box<dyn Method>,
    batch: u64,
    watch: Box<dyn FnMut(u64)>,
}

impl Watched {
    pub fn new(method: impl Method + 'static, watch: impl FnMut(u64) + 'static) -> Self {
        Self::boxed(Box::new(method), watch)
    }

    pub fn boxed(method: Box<dyn Method>, watch: impl FnMut(u64) + 'static) -> Self {
        Self { method, batch: 0, watch: Box::new(watch) }
    }
}

impl Module for Watched {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        self.method.visit(visitor);
    }
}

impl Method for Watched {
    fn before_step(&mut self, step: &Step) {
        self.method.before_step(step);
    }

    fn state(&mut self) -> Arrays {
        self.method.state()
    }

    fn followers(&mut self) -> Vec<&mut dyn Module> {
        self.method.followers()
    }

    fn restore(&mut self, state: &Arrays, device: &Device) -> Result<(), LearnError> {
        self.method.restore(state, device)
    }

    fn encode(&mut self, batch: &Batch, step: &Step, pass: &mut Pass) -> Result<Outputs, LearnError> {
        self.method.encode(batch, step, pass)
    }

    fn loss(
        &mut self,
        gathered: &Outputs,
        step: &Step,
        observer: &mut dyn Observer,
    ) -> Result<Terms, LearnError> {
        self.method.loss(gathered, step, observer)
    }

    fn after_step(&mut self, outputs: &Outputs, step: &Step) {
        self.method.after_step(outputs, step);
        self.batch += 1;
        (self.watch)(self.batch);
    }

    fn assignments(&self, outputs: &Outputs) -> Option<Tensor<2>> {
        self.method.assignments(outputs)
    }

    fn embeddings(&self, outputs: &Outputs) -> Tensor<2> {
        self.method.embeddings(outputs)
    }

    fn kept(&self) -> Box<dyn Embedder> {
        self.method.kept()
    }
}

/// The default of options with some changed: `optimizer("kind = \"adam\"")`.
pub fn changed<O: lookalike_learn::options::Options>(text: &str) -> O {
    from_table(text.parse().unwrap()).unwrap()
}

/// Checkpoint files of a run, oldest first.
pub fn checkpoints(run: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(run.join("checkpoints")) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "safetensors"));
    paths.sort();
    paths
}

/// The newest checkpoint of a run, byte by byte: model, optimiser, sampler, batches and state.
pub fn newest_bytes(run: &Path) -> Vec<u8> {
    std::fs::read(checkpoints(run).last().unwrap()).unwrap()
}

/// Events of a run.
pub fn events(run: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(run.join("events.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A number of every event of `kind`.
pub fn series(run: &Path, kind: &str, field: &str) -> Vec<f64> {
    let events = events(run);
    let of_kind = events.iter().filter(|event| event["kind"] == kind);
    of_kind.map(|event| event[field].as_f64().unwrap()).collect()
}

/// Copies a run as it lies on the disk, as a crash at this moment would leave it.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

pub fn values<'a>(file: &'a TensorFile, name: &str) -> &'a [f32] {
    file.tensors.get(name).and_then(Array::as_f32).unwrap_or_else(|| panic!("the fixture lacks `{name}`"))
}

pub fn length(values: &[f32]) -> f64 {
    values.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt()
}

/// The distance of two arrays over the length of the second.
pub fn relative(ours: &[f32], theirs: &[f32]) -> f64 {
    assert_eq!(ours.len(), theirs.len());
    let difference: Vec<f32> = ours.iter().zip(theirs).map(|(a, b)| a - b).collect();
    length(&difference) / length(theirs)
}

/// A pass that trains and drops nothing out.
pub fn training() -> Pass {
    Pass { dropout: None, ..Pass::training(&Step::default()) }
}

/// Sets every tensor of `module` as `fill` in `fixtures/make.py` does: by its place among the sorted names.
pub fn fill(module: &mut dyn Module) {
    let shapes = arrays_of(module).into_iter().map(|(name, array)| (name, array.shape));
    load_arrays(module, &drawn(shapes), "", &cpu()).unwrap();
}

/// Tensors of these names, which are sorted, and shapes, as `fill` in `fixtures/make.py` draws them.
pub fn drawn(shapes: impl IntoIterator<Item = (String, Vec<usize>)>) -> Arrays {
    let arrays = shapes.into_iter().zip(0..).map(|((name, shape), key)| {
        let mut values = numbers(shape.iter().product(), key);
        let (scale, shift) = if shape.len() > 1 {
            let fan_in: usize = shape[1..].iter().product();
            (2.0_f32.powi(1 - (fan_in.ilog2() / 2) as i32), 0.0)
        } else if name.ends_with("running_var") || name.ends_with("weight") {
            (0.5, 1.0)
        } else {
            (0.25, 0.0)
        };
        for value in &mut values {
            *value = shift + scale * *value;
        }
        (name, Array::f32(shape, values))
    });
    arrays.collect()
}
