//! `lookalike sample`

use std::path::{Path, PathBuf};

use lookalike_base::progress::{Cancellation, Progress};
use lookalike_base::{MappedRows, Matrix, RowSource, Seed, npy};
use lookalike_sampling::{
    BatchOrigins, Coverage, Groups, Kind, PlanContext, RestartSchedule, RunData, Sampler, SamplerOptions,
    SamplingError, Scoring, plan_report,
};

use crate::failure::Failure;
use crate::run::warn;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// One instance a row: float32 or float16 as .npy in C order, or the only matrix of a .safetensors
    embeddings: PathBuf,
    /// Where to write the plan: int64, one batch a row, epoch after epoch
    #[arg(long, value_name = "PLAN.npy")]
    out: PathBuf,
    /// How batches are made
    #[arg(long, value_enum, default_value = "walk")]
    kind: How,
    /// Instances a batch, B
    #[arg(long, default_value_t = 256)]
    batch_size: usize,
    /// Distinct random candidates of each instance, M
    #[arg(long, default_value_t = 1000)]
    candidates: usize,
    /// Most similar of them that are kept, K
    #[arg(long, default_value_t = 100)]
    neighbors: usize,
    /// In which numbers candidates are compared
    #[arg(long, value_enum, default_value = "f32")]
    scoring: Numbers,
    /// Probability of going back to the start at each step of a walk
    #[arg(long, default_value_t = 0.1)]
    restart: f64,
    /// Go to similar neighbours with a probability in proportion to exp(similarity / T); without it to each alike
    #[arg(long, value_name = "T")]
    temperature: Option<f64>,
    /// Share of each batch that is drawn uniformly
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    uniform_fraction: f64,
    /// Leave out neighbours that are more similar than this
    #[arg(long, value_name = "SIMILARITY")]
    similarity_ceiling: Option<f64>,
    /// Leave out neighbours that are more similar than this percentage of all
    #[arg(long, value_name = "PERCENT")]
    similarity_percentile: Option<f64>,
    /// Whether an instance may come more than once an epoch
    #[arg(long, value_enum, default_value = "cover")]
    coverage: Filling,
    /// Epochs to plan, each on a graph of its own
    #[arg(long, default_value_t = 1)]
    epochs: u64,
    /// Seed of every random number
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// A class an instance, integers: the report then tells false negatives
    #[arg(long, value_name = "LABELS.npy", requires = "report")]
    labels: Option<PathBuf>,
    /// An id an instance, integers: instances with the same id never share a batch
    #[arg(long, value_name = "IDS.npy")]
    groups: Option<PathBuf>,
    /// Where to write what the plan is like, as JSON
    #[arg(long, value_name = "REPORT.json")]
    report: Option<PathBuf>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum How {
    /// Random walks with restart over the proximity graph
    Walk,
    /// An instance and its nearest neighbours
    Nearest,
    /// A random order, cut into batches
    Uniform,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Filling {
    /// At most once; all but the remainder exactly once
    Cover,
    /// As published: instances may recur, and some not come at all
    Repeat,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Numbers {
    /// The best are the best
    F32,
    /// Rounded first, the last ones again in f32: faster only where candidates are hundreds of times the neighbors
    Bf16,
}

impl Arguments {
    fn options(&self, batches_per_epoch: u64) -> SamplerOptions {
        SamplerOptions {
            kind: match self.kind {
                How::Walk => Kind::Walk,
                How::Nearest => Kind::Nearest,
                How::Uniform => Kind::Uniform,
            },
            batch_size: self.batch_size,
            coverage: match self.coverage {
                Filling::Cover => Coverage::Cover,
                Filling::Repeat => Coverage::Repeat,
            },
            candidates: self.candidates,
            neighbors: self.neighbors,
            scoring: match self.scoring {
                Numbers::F32 => Scoring::F32,
                Numbers::Bf16 => Scoring::Bf16,
            },
            restart: RestartSchedule { from: self.restart, to: self.restart, over_epochs: 0.0 },
            temperature: self.temperature,
            uniform_fraction: self.uniform_fraction,
            similarity_ceiling: self.similarity_ceiling,
            similarity_percentile: self.similarity_percentile,
            refresh_every: batches_per_epoch.max(1),
            uniform_epochs: 0,
            ..SamplerOptions::default()
        }
    }
}

pub(crate) fn run(arguments: &Arguments, cancellation: &Cancellation) -> Result<(), Failure> {
    if arguments.epochs == 0 {
        return Err(Failure::usage("--epochs must be at least 1"));
    }
    let embeddings = read(&arguments.embeddings)?;
    let instances = embeddings.len();
    let options = arguments.options((instances / arguments.batch_size.max(1)) as u64);
    let usage = |error: SamplingError| Failure::usage(error.to_string());
    options.check(instances).map_err(usage)?;
    let groups = arguments.groups.as_deref().map(|path| integers(path, instances)).transpose()?;
    // Ids are compared, not counted: their bits are as good as their values.
    let groups =
        groups.map(|ids| Groups::new(&ids.into_iter().map(i64::cast_unsigned).collect::<Vec<u64>>()));
    let labels = arguments.labels.as_deref().map(|path| classes(path, instances)).transpose()?;
    let data = RunData { groups, ..RunData::default() };
    let (mut sampler, warnings) =
        Sampler::with_data(instances, options, Seed(arguments.seed), data).map_err(usage)?;
    warn(&warnings.iter().map(ToString::to_string).collect::<Vec<String>>());
    let all: Vec<u32> = (0..instances as u32).collect();
    sampler.record(&all, embeddings.rows(), 0)?;

    let (plan, origins) = plan(&mut sampler, arguments.epochs, cancellation)?;
    warn(&sampler.take_warnings().iter().map(ToString::to_string).collect::<Vec<String>>());
    let values: Vec<i64> = plan.iter().flatten().map(|instance| i64::from(*instance)).collect();
    if let Some(path) = &arguments.report {
        let graph = (sampler.graph().edges() > 0).then(|| sampler.graph());
        let context = PlanContext { labels: labels.as_deref(), graph, origins: Some(&origins) };
        let report = plan_report(&plan, embeddings.rows(), &context, Seed(arguments.seed))?;
        let text = serde_json::to_string_pretty(&report)?;
        lookalike_base::atomic::write_atomic(path, |writer| writeln!(writer, "{text}"))
            .map_err(|source| lookalike_learn::LearnError::Io { path: path.clone(), source })?;
    }
    npy::write_integers(&arguments.out, &[plan.len(), arguments.batch_size], &values)?;
    let out = arguments.out.display();
    eprintln!("wrote {} batches of {} to {out}", plan.len(), arguments.batch_size);
    Ok(())
}

/// All batches of `epochs` epochs.
fn plan(
    sampler: &mut Sampler,
    epochs: u64,
    cancellation: &Cancellation,
) -> Result<(Vec<Vec<u32>>, Vec<BatchOrigins>), Failure> {
    let progress = Progress::new(epochs.saturating_mul(sampler.batches_per_epoch() as u64), "planning");
    let (mut plan, mut origins) = (Vec::new(), Vec::new());
    while sampler.epoch() < epochs {
        if cancellation.is_cancelled() {
            return Err(Failure::Interrupted("nothing was written".to_owned()));
        }
        let segment = sampler.next_segment()?;
        for _ in &segment.batches {
            sampler.advance()?;
        }
        progress.advance(segment.batches.len() as u64);
        plan.extend(segment.batches);
        origins.extend(segment.origins);
    }
    progress.finish();
    Ok((plan, origins))
}

/// The rows of a file, in memory.
fn read(path: &Path) -> Result<Matrix, Failure> {
    let mapped = MappedRows::open(path)?;
    let columns = mapped.columns();
    let mut values = vec![0.0; mapped.len() * columns];
    for (index, row) in values.chunks_exact_mut(columns).enumerate() {
        mapped.read_row(index, row);
    }
    Ok(Matrix::new(values, columns)?)
}

/// An integer an instance.
fn integers(path: &Path, instances: usize) -> Result<Vec<i64>, Failure> {
    let (values, shape) = npy::read_integers(path)?;
    if shape != [instances] {
        let (path, found) = (path.display(), shape);
        return Err(Failure::usage(format!(
            "{path} has shape {found:?}; expected [{instances}], one an instance"
        )));
    }
    Ok(values)
}

/// A class an instance, none negative.
fn classes(path: &Path, instances: usize) -> Result<Vec<u32>, Failure> {
    let class = |(instance, value): (usize, i64)| {
        let refuse = |_| Failure::usage(format!("{}: label {instance} is {value}, no class", path.display()));
        u32::try_from(value).map_err(refuse)
    };
    integers(path, instances)?.into_iter().enumerate().map(class).collect()
}
