//! What mixing costs: steps of MoCo v2 with and without it in turn, ResNet-18 with the CIFAR stem, 32 px, batches of 256, a queue of
//! 16,384 keys, and mixing of (1024, 1024, 128).
//!
//! `cargo run --release --example mixing_speed -- [STEPS] [small]` prints seconds a step, and of those the comparison with its gradient.

use std::error::Error;
use std::io::Write;
use std::time::Instant;

use lookalike_base::Seed;
use lookalike_data::ImageBatch;
use lookalike_learn::encoder::Encoder;
use lookalike_learn::encoder::resnet::{Architecture, ResNet, Stem};
use lookalike_learn::engine::{self, DeviceName, from_host};
use lookalike_learn::head::{HeadNorm, Projection, ProjectionOptions};
use lookalike_learn::input::{Batch, Input};
use lookalike_learn::loss::{InfoNce, normalize};
use lookalike_learn::method::moco::{Dictionary, MocoOptions};
use lookalike_learn::method::{Method, Moco, Network};
use lookalike_learn::module::{Parameter, Pass};
use lookalike_learn::negatives::{Comparison, Contrast, MIXING, MixingOptions, Queue, Unobserved};
use lookalike_learn::step::Step;
use lookalike_learn::train::optimizer::{NamedGradients, accumulate};
use lookalike_learn::train::{Optimizer, OptimizerOptions};

const SEED: Seed = Seed(0);
const BATCH: usize = 256;
const QUEUE: usize = 16_384;
const DIMENSION: usize = 128;

fn contrast(mixing: bool) -> Contrast {
    let options = MixingOptions { warm_up: 0.0, ..MixingOptions::default() };
    Contrast { mixing: mixing.then_some(options), ..Contrast::plain(InfoNce { temperature: 0.2 }) }
}

/// Seconds that a comparison and its gradient take.
fn compare(mixing: bool, step: u64) -> Result<f64, Box<dyn Error>> {
    let device = engine::open(DeviceName::Cpu)?;
    let units = |count: usize, purpose: &str| {
        let mut stream = SEED.stream(purpose, 0, step, 0);
        let values = (0..count * DIMENSION).map(|_| stream.normal()).collect();
        normalize(from_host(values, [count, DIMENSION], &device))
    };
    let query = Parameter::new(units(BATCH, "query"));
    let step = Step { batch: step, ..Step::default() };
    let instances: Vec<u32> = (0..BATCH as u32).collect();
    let query = query.read(&Pass::training(&step));
    let candidates = (units(QUEUE, "queue"), (BATCH as u32..(BATCH + QUEUE) as u32).collect());
    let comparison =
        Comparison::with_dictionary(query, units(BATCH, "key"), (&instances, 0), candidates, false);
    let start = Instant::now();
    drop(contrast(mixing).compare(&comparison, &step, MIXING[0], &mut Unobserved).backward());
    Ok(start.elapsed().as_secs_f64())
}

fn method(mixing: bool, architecture: Architecture) -> Result<Moco, Box<dyn Error>> {
    let device = engine::open(DeviceName::Cpu)?;
    let encoder = ResNet::new(architecture, Stem::Cifar, &mut SEED.stream("encoder", 0, 0, 0), &device);
    let form = ProjectionOptions { layers: 2, width: 0, dimension: DIMENSION, batch_norm: HeadNorm::None };
    let mut stream = SEED.stream("projection", 0, 0, 0);
    let head = Projection::new(encoder.dimension(), &form, &mut stream, &device);
    let queue = Queue::new(QUEUE, DIMENSION, &mut SEED.stream("queue", 0, 0, 0), &device);
    let dictionary = Dictionary { queue, exclude_own: false };
    let network = Network::new(Box::new(encoder), head);
    Ok(Moco::new(network, Some(dictionary), contrast(mixing), MocoOptions::default()))
}

/// Seconds of a whole step: momentum encoder, keys, queries, loss, gradients, SGD, queue.
fn step(method: &mut Moco, optimizer: &mut Optimizer, step: u64) -> Result<f64, Box<dyn Error>> {
    let mut stream = SEED.stream("images", 0, step, 0);
    let views = [(); 2].map(|()| {
        let values = (0..BATCH * 3 * 32 * 32).map(|_| stream.normal()).collect();
        Input::new(ImageBatch { values, shape: [BATCH, 3, 32, 32] })
    });
    let instances: Vec<u32> = (0..BATCH as u32).collect();
    let batch = Batch::of_views(instances.clone(), views.into());
    let step = Step { batch: step, step, steps: 1000, instances, ..Step::default() };
    let start = Instant::now();
    method.before_step(&step);
    let outputs = method.encode(&batch, &step, &mut Pass::training(&step))?;
    if let Some(loss) = method.loss(&outputs, &step, &mut Unobserved)?.total() {
        let mut gradients = NamedGradients::new();
        accumulate(method, loss.backward(), &mut gradients);
        optimizer.step(method, gradients, 0.03);
    }
    method.after_step(&outputs, &step);
    Ok(start.elapsed().as_secs_f64())
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let steps: u64 = arguments.first().map_or(Ok(3), |steps| steps.parse())?;
    let architecture = match arguments.get(1).map(String::as_str) {
        Some("small") => Architecture::Small,
        _ => Architecture::ResNet18,
    };
    let mut out = std::io::stdout().lock();
    let mut seconds = [Vec::new(), Vec::new()];
    for index in 0..10 {
        for mixing in [false, true] {
            seconds[usize::from(mixing)].push(compare(mixing, index)?);
        }
    }
    let [plain, mixed] = seconds.map(median);
    writeln!(
        out,
        "comparison and its gradient: {plain:.4} s, with mixing {mixed:.4} s, {:+.4} s",
        mixed - plain
    )?;
    let mut methods = [method(false, architecture)?, method(true, architecture)?];
    let mut optimizers = [(); 2].map(|()| Optimizer::new(OptimizerOptions::default()));
    let mut seconds = [Vec::new(), Vec::new()];
    // The first step of each touches memory for the first time and is not counted.
    for index in 0..=steps {
        for mixing in [0, 1] {
            let taken = step(&mut methods[mixing], &mut optimizers[mixing], index)?;
            if index > 0 {
                seconds[mixing].push(taken);
            }
        }
    }
    let [plain, mixed] = seconds.map(median);
    let share = 100.0 * (mixed / plain - 1.0);
    writeln!(out, "step: {plain:.3} s, with mixing {mixed:.3} s, {share:+.1} %")?;
    Ok(())
}

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}
