//! Seconds of an epoch of GraphCL on a set in TU format: views, steps of Adam, no evaluation.
//!
//! `cargo run --release -p lookalike-learn --example graph_step -- NCI1 DIR [EPOCHS] [paper|original]`

#![expect(clippy::print_stdout, reason = "a benchmark prints its result")]

use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use lookalike_base::Seed;
use lookalike_data::graph::{
    self, DescribedGraphs, FeatureRule, Features, GraphAugmentKind, GraphAugmentOptions, GraphViews, Variant,
};
use lookalike_data::loader::{BatchRequest, Loader, LoaderOptions};
use lookalike_learn::encoder::Encoder;
use lookalike_learn::encoder::gin::{Gin, GinOptions};
use lookalike_learn::engine::{self, DeviceName};
use lookalike_learn::input::{Batch, Source, of_views};
use lookalike_learn::loss::{Decoupled, InfoNce};
use lookalike_learn::method::graphcl::{GraphCl, published_head};
use lookalike_learn::method::{Method, Network};
use lookalike_learn::module::Pass;
use lookalike_learn::negatives::{Contrast, Unobserved};
use lookalike_learn::step::Step;
use lookalike_learn::train::optimizer::{NamedGradients, accumulate};
use lookalike_learn::train::{Optimizer, OptimizerKind, OptimizerOptions};

const BATCH: usize = 128;
const RATE: f64 = 0.01;
const SEED: Seed = Seed(0);

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().ok_or("give the name of a set and its folder")?;
    let root = arguments.next().ok_or("give the folder of the set")?;
    let epochs: u64 = arguments.next().map_or(Ok(10), |epochs| epochs.parse())?;
    let variant = match arguments.next().as_deref() {
        None | Some("original") => Variant::Original,
        Some("paper") => Variant::Paper,
        Some(other) => return Err(format!("`{other}` is neither `paper` nor `original`").into()),
    };
    let (set, _) = graph::open(&name, Path::new(&root))?;
    let set = Arc::new(set);
    let features = Features::new(&FeatureRule::graphcl(&set), &set)?;
    let columns = features.columns();
    let augment = |kind| GraphAugmentOptions::published(kind, variant).validate();
    let first = match variant {
        Variant::Original => GraphAugmentKind::Nothing,
        Variant::Paper => GraphAugmentKind::Random2,
    };
    let views = [augment(first)?, augment(GraphAugmentKind::Random2)?];
    let graphs = DescribedGraphs::new(Arc::clone(&set), features);
    let source: Source = of_views(GraphViews::new(graphs, views, SEED));

    let device = engine::open(DeviceName::Cpu)?;
    let stream = |purpose| SEED.stream(purpose, 0, 0, 0);
    let encoder = Gin::new(columns, &GinOptions::default(), &mut stream("encoder"), &device);
    let head = published_head(encoder.dimension(), &mut stream("projection"), &device);
    let contrast = match variant {
        Variant::Original => Contrast::plain(Decoupled { temperature: 0.2 }),
        Variant::Paper => Contrast::plain(InfoNce { temperature: 0.2 }),
    };
    let mut method = GraphCl::new(Network::new(Box::new(encoder), head), contrast, variant);
    let adam = OptimizerOptions {
        kind: OptimizerKind::Adam,
        learning_rate: RATE,
        weight_decay: 0.0,
        ..OptimizerOptions::default()
    };
    let mut optimizer = Optimizer::new(adam);

    let options = LoaderOptions { threads: NonZero::<usize>::MIN, ahead: NonZero::new(4).ok_or("four")? };
    let batches = set.len().div_ceil(BATCH) as u64;
    let mut seconds = Vec::new();
    for epoch in 0..=epochs {
        let begun = Instant::now();
        let order = SEED.stream("order", epoch, 0, 0).permutation(set.len() as u32);
        let requests = order.chunks(BATCH).zip(epoch * batches..);
        let requests = requests
            .map(|(instances, step)| BatchRequest { instances: instances.to_vec(), epoch, step })
            .collect();
        let mut loader = Loader::start(Arc::clone(&source), requests, options)?;
        let (mut loss, mut steps) = (0.0, 0);
        while let Some(batch) = loader.next().transpose()? {
            loss += step(&mut method, &mut optimizer, &batch)?;
            steps += 1;
        }
        let elapsed = begun.elapsed().as_secs_f64();
        let (mean, waited) = (loss / steps as f32, loader.waited().as_secs_f64());
        println!("epoch {epoch}: {elapsed:.4} s, waited {waited:.4} s for views, loss {mean:.4}");
        // The first one also fetches memory from the system.
        if epoch > 0 {
            seconds.push(elapsed);
        }
    }
    seconds.sort_by(f64::total_cmp);
    let median = seconds.get(seconds.len() / 2).copied().unwrap_or(f64::NAN);
    let peak = lookalike_learn::cost::peak_memory().map_or(f64::NAN, |bytes| bytes as f64 / 1e6);
    println!("lookalike {name}: median {median:.4} s an epoch, peak {peak:.0} MB");
    Ok(())
}

/// One step, as the trainer makes it; returns the loss.
fn step(method: &mut dyn Method, optimizer: &mut Optimizer, batch: &Batch) -> Result<f32, Failure> {
    let step = Step::default();
    let mut pass = Pass { dropout: None, ..Pass::training(&step) };
    let outputs = method.encode(batch, &step, &mut pass)?;
    let loss = method.loss(&outputs, &step, &mut Unobserved)?;
    let Some(loss) = loss.total() else { return Ok(f32::NAN) };
    let value = loss.clone().inner().into_scalar();
    let mut gradients = NamedGradients::new();
    accumulate(method, loss.backward(), &mut gradients);
    optimizer.step(method, gradients, RATE);
    method.after_step(&outputs, &step);
    method.embeddings(&outputs);
    Ok(value)
}
