//! Trains SimCLR for 20 steps on glyphs and writes what another program needs to do the same: initial weights, the views of
//! every batch, and our losses. `benchmarks/parity/simclr.py` is that program.
//!
//! `cargo run --example parity -- FOLDER [small | resnet18]`

use std::error::Error;
use std::num::NonZero;
use std::path::Path;
use std::sync::Arc;

use lookalike_base::arrays::{Array, Arrays};
use lookalike_base::progress::Watch;
use lookalike_base::tensors::{self, TensorFile};
use lookalike_data::image::glyphs::{SEED, glyphs};
use lookalike_data::{BatchRequest, ImageBatch, ImageViews, LoaderOptions, Split};
use lookalike_learn::encoder::Encoder;
use lookalike_learn::encoder::resnet::{Architecture, ResNet, Stem};
use lookalike_learn::engine::{self, DeviceName, Precision};
use lookalike_learn::head::{Projection, ProjectionOptions};
use lookalike_learn::input::{Column, Source, of_views};
use lookalike_learn::loss::InfoNce;
use lookalike_learn::method::simclr::InBatchNegatives;
use lookalike_learn::method::{Network, SimClr};
use lookalike_learn::module::arrays_of;
use lookalike_learn::negatives::Contrast;
use lookalike_learn::train::{Drops, OptimizerOptions, Schedule, Shape, TrainOptions, Trainer};
use lookalike_sampling::{RunData, SamplerKind, SamplerOptions};

const BATCH: usize = 32;
const STEPS: u64 = 20;
const TEMPERATURE: f32 = 0.5;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let folder = Path::new(arguments.first().ok_or("give a folder to write to")?);
    let architecture = match arguments.get(1).map(String::as_str) {
        None | Some("small") => Architecture::Small,
        Some("resnet18") => Architecture::ResNet18,
        Some(other) => return Err(format!("unknown encoder {other}").into()),
    };

    let device = engine::open(DeviceName::Cpu)?;
    let encoder = ResNet::new(architecture, Stem::Cifar, &mut SEED.stream("encoder", 0, 0, 0), &device);
    let head = ProjectionOptions::default();
    let mut stream = SEED.stream("projection", 0, 0, 0);
    let head = Projection::new(encoder.dimension(), &head, &mut stream, &device);
    let contrast = Contrast::plain(InfoNce { temperature: TEMPERATURE });
    let network = Network::new(Box::new(encoder), head);
    let mut method = SimClr::new(network, contrast, InBatchNegatives::AllViews);
    write(&folder.join("initial.safetensors"), arrays_of(&mut method))?;

    let instances = BATCH * STEPS as usize;
    let dataset = Arc::new(glyphs(SEED, Split::Train, instances as u32));
    let views = lookalike_data::image::augment::AugmentOptions::default().validate()?;
    let source: Source = of_views(ImageViews::new(dataset, views, SEED, NonZero::<usize>::MIN));
    // SGD with momentum 0.9 and decay 5e-4, which biases and normalisation do not have. The rate is low because a ReLU has a kink:
    // of two million inputs a step some are within rounding of 0, and on which side of it they fall is each program's own. What
    // follows grows with the rate; at 0.06 PyTorch in f32 is 5 % away from itself in f64 after 20 steps.
    let optimizer = OptimizerOptions { learning_rate: 0.001, ..OptimizerOptions::default() };
    let options = TrainOptions {
        run: folder.join("run"),
        identity: String::new(),
        recipe: None,
        seed: SEED,
        device,
        precision: Precision::F32,
        instances,
        labels: None,
        left_out: Vec::new(),
        sampler: SamplerOptions {
            kind: SamplerKind::Uniform,
            batch_size: BATCH,
            ..SamplerOptions::default()
        },
        run_data: RunData::default(),
        embed_first: false,
        schedule: Schedule {
            base: optimizer.learning_rate,
            begins: 0,
            warmup: 5,
            total: STEPS,
            shape: Shape::Cosine,
            drops: Drops::default(),
        },
        optimizer,
        max_steps: None,
        accumulate: 1,
        chunk: None,
        checkpoint_every: STEPS,
        kept: 2,
        keep_best: false,
        log_every: 1,
        loader: LoaderOptions { threads: NonZero::<usize>::MIN, ahead: NonZero::<usize>::MIN },
        development: None,
        monitor: None,
        oracle: None,
        shards: 1,
        ranks: std::sync::Arc::new(lookalike_base::Alone),
    };
    let (mut trainer, _) = Trainer::open(Box::new(method), source.clone(), options)?;
    trainer.run(Watch::default())?;

    let mut batches = Arrays::new();
    for (step, instances) in (0..).zip(trainer.plan()) {
        let request = BatchRequest { instances: instances.clone(), epoch: 0, step };
        let views = Column::join(&source.batch(&request)?.columns)?.input;
        let views: &ImageBatch = views.get()?;
        batches.insert(format!("{step:02}"), Array::f32(views.shape, views.values.clone()));
    }
    write(&folder.join("batches.safetensors"), batches)?;
    write(&folder.join("final.safetensors"), arrays_of(&mut trainer.method))?;
    Ok(())
}

fn write(path: &Path, tensors: Arrays) -> Result<(), Box<dyn Error>> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    Ok(tensors::write(path, &TensorFile { tensors, ..TensorFile::default() })?)
}
