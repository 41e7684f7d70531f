//! `lookalike sample`

use std::ops::Range;
use std::path::{Path, PathBuf};

use lookalike_base::{Cancellation, FileRows, ProgressDisplay, RowSource, Seed, Watch, npy};
use lookalike_sampling::{
    Avoid, BatchOrigins, CandidateDraw, Coverage, Groups, Oracle, PairRows, PlanContext, PlanReport,
    RankSplit, Ranks, RestartSchedule, RunData, Sampler, SamplerKind, SamplerOptions, SamplingError, Scoring,
    UNLABELLED, plan_report,
};

use crate::failure::Failure;
use crate::output::{check_outputs, write_json};
use crate::progress::Terminal;
use crate::run::warn;

/// Embeddings that are checked between two looks at the progress.
const CHECKED_AT_ONCE: usize = 4096;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// One instance a row, of any floating-point type: a .npy in C order, a .safetensors (FILE:NAME where it holds several matrices), or a
    /// folder of such files, one behind another; of pairs query and document side by side
    embeddings: PathBuf,
    /// Where to write the plan: int64, one batch a row, epoch after epoch; for several replicas steps × replicas × B
    #[arg(long, value_name = "PLAN.npy")]
    out: PathBuf,
    /// How batches are made
    #[arg(long, value_enum, default_value = "walk")]
    kind: SamplerKind,
    /// Instances a batch, B
    #[arg(long, default_value_t = 256)]
    batch_size: usize,
    /// Distinct random candidates of each instance, M [default: 1000]
    #[arg(long)]
    candidates: Option<usize>,
    /// How the candidates of different instances are drawn [default: tiles]
    #[arg(long, value_enum)]
    candidate_draw: Option<CandidateDraw>,
    /// Most similar of them that are kept, K [default: 100]
    #[arg(long)]
    neighbors: Option<usize>,
    /// In which numbers candidates are compared [default: f32]
    #[arg(long, value_enum)]
    scoring: Option<Scoring>,
    /// How instances are compared that are pairs of a query and a document, whose vectors lie side by side in a row
    #[arg(long, value_enum)]
    pairs: Option<PairRows>,
    /// The vectors of the documents of pairs, where EMBEDDINGS are those of the queries alone
    #[arg(long, value_name = "DOCUMENTS", requires = "pairs")]
    documents: Option<PathBuf>,
    /// Probability of going back to the start at each step of a walk [default: 0.1]
    #[arg(long)]
    restart: Option<f64>,
    /// Go to similar neighbours with a probability in proportion to exp(similarity / T); without it to each alike
    #[arg(long, value_name = "T")]
    temperature: Option<f64>,
    /// Share of each batch that is drawn uniformly [default: 0]
    #[arg(long, value_name = "SHARE")]
    uniform_fraction: Option<f64>,
    /// Leave out neighbours that are more similar than this
    #[arg(long, value_name = "SIMILARITY")]
    similarity_ceiling: Option<f64>,
    /// Leave out neighbours that are more similar than this percentage of all
    #[arg(long, value_name = "PERCENT")]
    similarity_percentile: Option<f64>,
    /// Leave out neighbours whose document is closer to a query than this share of its similarity to its own, or the other way round; for --pairs
    #[arg(long, value_name = "SHARE", requires = "pairs")]
    similarity_to_positive: Option<f64>,
    /// Whether an instance may come more than once an epoch [default: cover]
    #[arg(long, value_enum)]
    coverage: Option<Coverage>,
    /// Epochs to plan; walks go over another graph in each
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
    split: RankSplit,
    /// A class an instance, integers, -1 for those without one: for the false negatives of the report, or for --oracle
    #[arg(long, value_name = "LABELS.npy")]
    labels: Option<PathBuf>,
    /// What to keep walks from by --labels: what would be if false negatives were known, for analysis
    #[arg(long, value_enum, requires = "labels")]
    oracle: Option<Avoid>,
    /// An id an instance, integers, -1 for those without one: instances with the same id never share a batch
    #[arg(long, value_name = "IDS.npy")]
    groups: Option<PathBuf>,
    /// Where to write what the plan is like, as JSON
    #[arg(long, value_name = "REPORT.json")]
    report: Option<PathBuf>,
}

impl Arguments {
    /// Refuses what the kind of batches does not read, as if it had been given for nothing.
    fn check(&self) -> Result<(), Failure> {
        let of_walks = [
            ("--candidates", self.candidates.is_some()),
            ("--candidate-draw", self.candidate_draw.is_some()),
            ("--neighbors", self.neighbors.is_some()),
            ("--restart", self.restart.is_some()),
            ("--temperature", self.temperature.is_some()),
        ];
        let of_graphs = [
            ("--scoring", self.scoring.is_some()),
            ("--uniform-fraction", self.uniform_fraction.is_some()),
            ("--similarity-ceiling", self.similarity_ceiling.is_some()),
            ("--similarity-percentile", self.similarity_percentile.is_some()),
            ("--similarity-to-positive", self.similarity_to_positive.is_some()),
            ("--coverage", self.coverage.is_some()),
            ("--oracle", self.oracle.is_some()),
        ];
        let (kind, unread, reason) = match self.kind {
            SamplerKind::Walk => return Ok(()),
            SamplerKind::Nearest => {
                ("nearest", &[][..], "it ties each instance to the nearest of all, and walks nowhere")
            }
            SamplerKind::Uniform => ("uniform", &of_graphs[..], "it has no graph"),
        };
        match of_walks.iter().chain(unread).find(|(_, given)| *given) {
            None => Ok(()),
            Some((option, _)) => {
                Err(Failure::usage(format!("{option} does not go with --kind {kind}: {reason}")))
            }
        }
    }

    fn options(&self, batches_per_epoch: u64) -> SamplerOptions {
        let restart = self.restart.unwrap_or(0.1);
        SamplerOptions {
            kind: self.kind,
            batch_size: self.batch_size,
            coverage: self.coverage.unwrap_or(Coverage::Cover),
            candidates: self.candidates.unwrap_or(1000),
            neighbors: self.neighbors.unwrap_or(100),
            scoring: self.scoring.unwrap_or_default(),
            candidate_draw: self.candidate_draw.unwrap_or_default(),
            pairs: self.pairs,
            restart: Some(RestartSchedule { from: restart, to: restart, over_epochs: 0.0 }),
            temperature: self.temperature,
            uniform_fraction: self.uniform_fraction.unwrap_or(0.0),
            similarity_ceiling: self.similarity_ceiling,
            similarity_percentile: self.similarity_percentile,
            similarity_to_positive: self.similarity_to_positive,
            refresh_every: match self.kind {
                // The nearest of all are the same in every epoch.
                SamplerKind::Nearest => u64::MAX,
                SamplerKind::Walk | SamplerKind::Uniform => batches_per_epoch.max(1),
            },
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
    arguments.check()?;
    let Arguments { embeddings, documents, labels, groups, out, report, .. } = arguments;
    let inputs: Vec<&Path> = [Some(embeddings), documents.as_ref(), labels.as_ref(), groups.as_ref()]
        .into_iter()
        .flatten()
        .map(PathBuf::as_path)
        .collect();
    let outputs: Vec<&Path> =
        [Some(out), report.as_ref()].into_iter().flatten().map(PathBuf::as_path).collect();
    check_outputs(&inputs, &outputs)?;
    let embeddings = arguments.rows()?;
    let instances = embeddings.len();
    let steps = instances / arguments.batch_size.max(1) / arguments.num_replicas;
    let options = arguments.options(steps as u64);
    let usage = |error: SamplingError| Failure::usage(error.to_string());
    options.check(instances).map_err(usage)?;
    let labels = arguments.labels.as_deref().map(|path| classes(path, instances)).transpose()?;
    if let (Some(labels), Some(path)) = (&labels, &arguments.labels)
        && one_class(labels)
    {
        let path = path.display();
        return Err(Failure::usage(format!(
            "{path}: all instances are of one class, so no negative can be true"
        )));
    }
    let data = arguments.data(instances, labels.as_deref())?;
    let (mut sampler, warnings) =
        Sampler::with_data(instances, options, Seed(arguments.seed), data).map_err(usage)?;
    warn(&warnings.iter().map(ToString::to_string).collect::<Vec<String>>());
    embeddings.check(cancellation)?;

    let (plan, origins) = plan(&mut sampler, &embeddings, arguments.epochs, cancellation)?;
    warn(&sampler.take_warnings().iter().map(ToString::to_string).collect::<Vec<String>>());
    arguments.write(&plan)?;
    if let Some(path) = &arguments.report {
        let graph = sampler.graph();
        let context = PlanContext {
            pairs: arguments.pairs.is_some(),
            labels: labels.as_deref(),
            graph: (graph.edges() > 0).then_some(&*graph),
            origins: Some(&origins),
            batches_per_epoch: Some(plan.len() / arguments.epochs as usize),
        };
        let progress = Terminal.start(PlanReport::PASSES * plan.len() as u64, "measuring");
        let watch = Watch { progress: &*progress, cancellation };
        let report = plan_report(&plan, &embeddings, &context, Seed(arguments.seed), watch);
        let report =
            report.map_err(|error| interrupted(error, "the plan was written, its report was not"))?;
        progress.finish();
        write_json(path, &report)?;
    }
    Ok(())
}

/// The embeddings of the instances: one file, or two with queries and documents, whose rows are read side by side.
struct Embeddings<'a> {
    files: Vec<(FileRows, &'a Path)>,
}

impl RowSource for Embeddings<'_> {
    fn len(&self) -> usize {
        self.files[0].0.len()
    }

    fn columns(&self) -> usize {
        self.files.iter().map(|(rows, _)| rows.columns()).sum()
    }

    fn read_row(&self, index: usize, mut into: &mut [f32]) {
        for (rows, _) in &self.files {
            let (part, rest) = into.split_at_mut(rows.columns());
            rows.read_row(index, part);
            into = rest;
        }
    }

    /// Those of the row in the first file.
    fn addresses(&self, index: usize) -> Range<usize> {
        self.files[0].0.addresses(index)
    }
}

impl Embeddings<'_> {
    /// Checks that all values are finite, and warns of rows of zeros.
    fn check(&self, cancellation: &Cancellation) -> Result<(), Failure> {
        self.files.iter().try_for_each(|(rows, path)| check(rows, path, cancellation))
    }
}

impl Arguments {
    /// Opens the embeddings, and checks that those of pairs have two halves of one width.
    fn rows(&self) -> Result<Embeddings<'_>, Failure> {
        let paths = std::iter::once(&self.embeddings).chain(&self.documents);
        let mut files = Vec::new();
        for path in paths {
            let rows = FileRows::open(path)?;
            if rows.rounds() {
                warn(&[format!("{} holds float64, which is rounded to float32", path.display())]);
            }
            files.push((rows, path.as_path()));
        }
        let shape = |(rows, _): &(FileRows, &Path)| (rows.len(), rows.columns());
        if let [queries, documents] = &files[..]
            && shape(queries) != shape(documents)
        {
            let (query_shape, document_shape) = (shape(queries), shape(documents));
            return Err(Failure::usage(format!(
                "{} has shape {document_shape:?}, {} {query_shape:?}: a document belongs to each query, of the same width",
                documents.1.display(),
                queries.1.display()
            )));
        }
        let embeddings = Embeddings { files };
        if self.pairs.is_some() && !embeddings.columns().is_multiple_of(2) {
            let (path, columns) = (self.embeddings.display(), embeddings.columns());
            return Err(Failure::usage(format!(
                "{path} has {columns} columns; those of pairs must be even in number, the query's half and then the document's, or \
                 the documents be given by --documents"
            )));
        }
        Ok(embeddings)
    }

    /// What the sampler is told about the data and the replicas.
    fn data(&self, instances: usize, labels: Option<&[u32]>) -> Result<RunData, Failure> {
        let groups = self.groups.as_deref().map(|path| integers(path, instances)).transpose()?;
        let groups = groups.map(|ids| Groups::with_none(&ids));
        let oracle = self.oracle.zip(labels).map(|(avoid, labels)| Oracle { labels: labels.to_vec(), avoid });
        let ranks = Ranks { rank: 0, count: self.num_replicas, split: self.split };
        Ok(RunData { groups, oracle, ranks, ..RunData::default() })
    }

    /// Writes the plan: a row a batch, or for several replicas steps × replicas × B.
    fn write(&self, plan: &[Vec<u32>]) -> Result<(), Failure> {
        let (size, replicas) = (self.batch_size, self.num_replicas);
        let mut values: Vec<i64> = Vec::with_capacity(plan.iter().map(Vec::len).sum());
        for batch in plan {
            // Of a batch that all share, replica r gets the members at its places r, r + W, r + 2W, ….
            let parts = if self.split == RankSplit::Within { replicas } else { 1 };
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
    embeddings: &Embeddings<'_>,
    epochs: u64,
    cancellation: &Cancellation,
) -> Result<(Vec<Vec<u32>>, Vec<BatchOrigins>), Failure> {
    let steps = sampler.batches_per_epoch();
    let (mut plan, mut origins) = (Vec::new(), Vec::new());
    sampler.set_cancellation(cancellation.clone());
    let nothing = |error| interrupted(error, "nothing was written");
    for epoch in 1..=epochs {
        if epoch == 1 || sampler.options().kind == SamplerKind::Walk {
            let progress = Terminal.start(embeddings.len() as u64, &format!("graph {epoch} of {epochs}"));
            sampler.rebuild_from(embeddings, &*progress).map_err(nothing)?;
            progress.finish();
        }
        let batches = steps * sampler.data().ranks.planned_at_once();
        let progress = Terminal.start(batches as u64, &format!("epoch {epoch} of {epochs}"));
        let segment = sampler.next_segment_of_all(&*progress).map_err(nothing)?;
        progress.finish();
        // No refresh is due before the end of the epoch, so this is all of it.
        for _ in 0..steps {
            sampler.advance()?;
        }
        plan.extend(segment.batches);
        origins.extend(segment.origins);
    }
    Ok((plan, origins))
}

/// Why sampling ended; `left` says what there is after an interrupt.
fn interrupted(error: SamplingError, left: &str) -> Failure {
    match error {
        SamplingError::Cancelled => Failure::Interrupted(left.to_owned()),
        error => error.into(),
    }
}

/// Checks that all values are finite, and warns of rows of zeros.
fn check(embeddings: &FileRows, path: &Path, cancellation: &Cancellation) -> Result<(), Failure> {
    let progress = Terminal.start(embeddings.len() as u64, "checking");
    let mut row = vec![0.0; embeddings.columns()];
    let mut zeros = (0_usize, 0);
    for instance in 0..embeddings.len() {
        if instance % CHECKED_AT_ONCE == 0 {
            progress.set_position(instance as u64);
            if cancellation.is_cancelled() {
                return Err(interrupted(SamplingError::Cancelled, "nothing was written"));
            }
        }
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
    progress.set_position(embeddings.len() as u64);
    progress.finish();
    if let (count @ 1.., first) = zeros {
        warn(&[format!(
            "{count} embeddings are all zeros, the first that of instance {first}: they are similar to nobody"
        )]);
    }
    Ok(())
}

/// An integer an instance, at least 0; −1 for those that have none.
fn integers(path: &Path, instances: usize) -> Result<Vec<i64>, Failure> {
    let (values, shape) = npy::read_identifiers(path)?;
    if shape != [instances] {
        let (path, found) = (path.display(), shape);
        return Err(Failure::usage(format!(
            "{path} has shape {found:?}; expected [{instances}], one an instance"
        )));
    }
    Ok(values)
}

/// A class an instance.
fn classes(path: &Path, instances: usize) -> Result<Vec<u32>, Failure> {
    let class = |(instance, value): (usize, i64)| match u32::try_from(value) {
        _ if value == -1 => Ok(UNLABELLED),
        Ok(class) if class != UNLABELLED => Ok(class),
        _ => Err(Failure::usage(format!("{}: label {instance} is {value}, no class", path.display()))),
    };
    let classes: Vec<u32> =
        integers(path, instances)?.into_iter().enumerate().map(class).collect::<Result<_, _>>()?;
    let without = classes.iter().filter(|class| **class == UNLABELLED).count();
    if without > 0 {
        warn(&[format!(
            "{without} of {instances} instances have no label: no pair with one of them counts among false negatives"
        )]);
    }
    Ok(classes)
}

/// Whether those that have a label all have the same one.
fn one_class(labels: &[u32]) -> bool {
    let mut known = labels.iter().filter(|label| **label != UNLABELLED);
    known.next().is_none_or(|first| known.all(|label| label == first))
}
