//! `lookalike sample`

use std::path::{Path, PathBuf};

use lookalike_base::progress::{Cancellation, Progress};
use lookalike_base::{MappedRows, RowSource, Seed, npy};
use lookalike_sampling::{
    Avoid, BatchOrigins, Coverage, Groups, Kind, Oracle, PlanContext, Ranks, RestartSchedule, RunData,
    Sampler, SamplerOptions, SamplingError, Scoring, Split, plan_report,
};

use crate::failure::Failure;
use crate::output::write_json;
use crate::run::warn;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// One instance a row: float32 or float16 as .npy in C order, or the only matrix of a .safetensors
    embeddings: PathBuf,
    /// Where to write the plan: int64, one batch a row, epoch after epoch; for several replicas steps × replicas × B
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
    /// Replicas of a distributed run that share the batches, W: each gets as many
    #[arg(long, default_value_t = 1, value_name = "W")]
    num_replicas: usize,
    /// How replicas share batches
    #[arg(long, value_enum, default_value = "batches")]
    split: Sharing,
    /// A class an instance, integers: for the false negatives of the report, or for --oracle
    #[arg(long, value_name = "LABELS.npy")]
    labels: Option<PathBuf>,
    /// What to keep walks from by --labels: what would be if false negatives were known, for analysis
    #[arg(long, value_enum, requires = "labels")]
    oracle: Option<Against>,
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

#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
enum Sharing {
    /// Each batch of B is one replica's
    Batches,
    /// Each batch of B·W is cut into a part for each replica, for losses that gather
    Within,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Against {
    /// Neighbours of the same class are not walked to
    Edges,
    /// Instances of the start's class are not collected, though walked through
    Members,
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
    if arguments.num_replicas == 0 {
        return Err(Failure::usage("--num-replicas must be at least 1"));
    }
    if arguments.labels.is_some() && arguments.report.is_none() && arguments.oracle.is_none() {
        return Err(Failure::usage(
            "--labels are for --report REPORT.json or --oracle, and neither is given",
        ));
    }
    let embeddings = MappedRows::open(&arguments.embeddings)?;
    let instances = embeddings.len();
    let steps = instances / arguments.batch_size.max(1) / arguments.num_replicas;
    let options = arguments.options(steps as u64);
    let usage = |error: SamplingError| Failure::usage(error.to_string());
    options.check(instances).map_err(usage)?;
    let labels = arguments.labels.as_deref().map(|path| classes(path, instances)).transpose()?;
    let data = arguments.data(instances, labels.as_deref())?;
    let (mut sampler, warnings) =
        Sampler::with_data(instances, options, Seed(arguments.seed), data).map_err(usage)?;
    warn(&warnings.iter().map(ToString::to_string).collect::<Vec<String>>());
    check(&embeddings, &arguments.embeddings)?;

    let (plan, origins) = plan(&mut sampler, &embeddings, arguments.epochs, cancellation)?;
    warn(&sampler.take_warnings().iter().map(ToString::to_string).collect::<Vec<String>>());
    arguments.write(&plan)?;
    if let Some(path) = &arguments.report {
        let graph = (sampler.graph().edges() > 0).then(|| sampler.graph());
        let context = PlanContext { labels: labels.as_deref(), graph, origins: Some(&origins) };
        write_json(path, &plan_report(&plan, &embeddings, &context, Seed(arguments.seed))?)?;
    }
    Ok(())
}

impl Arguments {
    /// What the sampler is told about the data and the replicas.
    fn data(&self, instances: usize, labels: Option<&[u32]>) -> Result<RunData, Failure> {
        let groups = self.groups.as_deref().map(|path| integers(path, instances)).transpose()?;
        // Ids are compared, not counted: their bits are as good as their values.
        let groups =
            groups.map(|ids| Groups::new(&ids.into_iter().map(i64::cast_unsigned).collect::<Vec<u64>>()));
        let oracle = self.oracle.zip(labels).map(|(against, labels)| Oracle {
            labels: labels.to_vec(),
            avoid: match against {
                Against::Edges => Avoid::Edges,
                Against::Members => Avoid::Members,
            },
        });
        let split = match self.split {
            Sharing::Batches => Split::Batches,
            Sharing::Within => Split::Within,
        };
        Ok(RunData { groups, oracle, ranks: Ranks { rank: 0, count: self.num_replicas, split } })
    }

    /// Writes the plan: a row a batch, or for several replicas steps × replicas × B.
    fn write(&self, plan: &[Vec<u32>]) -> Result<(), Failure> {
        let (size, replicas) = (self.batch_size, self.num_replicas);
        let mut values: Vec<i64> = Vec::with_capacity(plan.iter().map(Vec::len).sum());
        for batch in plan {
            // Of a batch that all share, replica r gets the members at its places r, r + W, r + 2W, ….
            let parts = if self.split == Sharing::Within { replicas } else { 1 };
            for part in 0..parts {
                values.extend(batch.iter().skip(part).step_by(parts).map(|instance| i64::from(*instance)));
            }
        }
        let batches = values.len() / size;
        let shape =
            if replicas == 1 { vec![batches, size] } else { vec![batches / replicas, replicas, size] };
        npy::write_integers(&self.out, &shape, &values)?;
        let shared = if replicas == 1 { String::new() } else { format!(" for {replicas} replicas") };
        eprintln!("wrote {batches} batches of {size}{shared} to {}", self.out.display());
        Ok(())
    }
}

/// All batches of `epochs` epochs, those of all replicas.
fn plan(
    sampler: &mut Sampler,
    embeddings: &MappedRows,
    epochs: u64,
    cancellation: &Cancellation,
) -> Result<(Vec<Vec<u32>>, Vec<BatchOrigins>), Failure> {
    let steps = sampler.batches_per_epoch();
    let progress = Progress::new(epochs.saturating_mul(steps as u64), "planning");
    let (mut plan, mut origins) = (Vec::new(), Vec::new());
    sampler.set_cancellation(cancellation.clone());
    let interrupted = |error| match error {
        SamplingError::Cancelled => Failure::Interrupted("nothing was written".to_owned()),
        error => error.into(),
    };
    while sampler.epoch() < epochs {
        sampler.rebuild_from(embeddings).map_err(interrupted)?;
        let segment = sampler.next_segment_of_all().map_err(interrupted)?;
        // A refresh is due once an epoch, so this is all of it.
        for _ in 0..steps {
            sampler.advance()?;
        }
        progress.advance(steps as u64);
        plan.extend(segment.batches);
        origins.extend(segment.origins);
    }
    progress.finish();
    Ok((plan, origins))
}

/// Checks that all values are finite, and warns of rows of zeros.
fn check(embeddings: &MappedRows, path: &Path) -> Result<(), Failure> {
    let mut row = vec![0.0; embeddings.columns()];
    let mut zeros = (0_usize, 0);
    for instance in 0..embeddings.len() {
        embeddings.read_row(instance, &mut row);
        if let Some(column) = row.iter().position(|value| !value.is_finite()) {
            let (path, value) = (path.display(), row[column]);
            let text =
                format!("{path}: the embedding of instance {instance} holds {value} in column {column}");
            return Err(anyhow::Error::msg(text).into());
        }
        if row.iter().all(|value| *value == 0.0) {
            zeros = (zeros.0 + 1, if zeros.0 == 0 { instance } else { zeros.1 });
        }
    }
    if let (count @ 1.., first) = zeros {
        warn(&[format!(
            "{count} embeddings are all zeros, the first that of instance {first}: they are similar to nobody"
        )]);
    }
    Ok(())
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
