//! `lookalike sample`

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lookalike_base::{Cancellation, ProgressDisplay, RowSource, Seed, Silent, Watch, npy};
use lookalike_learn::engine::Precision;
use lookalike_learn::train::checkpoint::machine;
use lookalike_metrics::{false_negative_rate, hardness, pair_hardness};
use lookalike_sampling::{
    Avoid, BatchOrder, BatchOrigins, CandidateDraw, Coverage, DialInput, Groups, HardnessShare, Held, Oracle,
    PairRows, PlanContext, PlanReport, RankSplit, Ranks, RestartSchedule, RunData, Sampler, SamplerKind,
    SamplerOptions, SamplingError, Scoring, Traffic, hardness_scale, plan_report,
};
use serde::Serialize;

use crate::embeddings::{Embeddings, classes, integers, interrupted};
use crate::failure::Failure;
use crate::output::{check_outputs, tell, write_json};
use crate::progress::Terminal;
use crate::ranks::{self, Job};
use crate::run::warn;

/// What `--groups` can be beside a file.
const NEAR_DUPLICATES: &str = "near-duplicates";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The embeddings, one instance per row, of any floating-point type: a .npy in C order, a .safetensors (`FILE:NAME` where it holds several
    /// matrices), or a folder of such files, read one after another. For pairs a row holds the query and then the document
    embeddings: PathBuf,
    /// Where to write the plan: int64, one batch per row, epoch after epoch; steps × replicas × B for several replicas
    #[arg(long, value_name = "PLAN.npy")]
    out: PathBuf,
    /// How to make batches
    #[arg(long, value_enum, default_value = "walk")]
    kind: SamplerKind,
    /// Instances per batch, B
    #[arg(long, default_value_t = 256)]
    batch_size: usize,
    /// How hard the batches of walks shall be, from 0 (as uniform ones) to 1 (as those of nearest neighbours). The command then finds M, K and
    /// the restart probability on the embeddings
    #[arg(long, value_name = "SHARE")]
    hardness_share: Option<f64>,
    /// With --hardness-share: the seconds that an epoch of training takes; graphs may take --budget of them
    #[arg(long, value_name = "SECONDS", requires = "hardness_share")]
    epoch_seconds: Option<f64>,
    /// The share of an epoch's time that its graphs may take [default: 0.1]
    #[arg(long, value_name = "SHARE", requires = "epoch_seconds")]
    budget: Option<f64>,
    /// Distinct random candidates for each instance, M [default: 1000, or all others]
    #[arg(long)]
    candidates: Option<usize>,
    /// How to draw the candidates of different instances [default: tiles]
    #[arg(long, value_enum)]
    candidate_draw: Option<CandidateDraw>,
    /// The most similar candidates to keep, K [default: 100, or all candidates]
    #[arg(long)]
    neighbors: Option<usize>,
    /// The numbers in which candidates are compared [default: f32]
    #[arg(long, value_enum)]
    scoring: Option<Scoring>,
    /// How to compare instances that are pairs of a query and a document, whose vectors lie side by side in a row
    #[arg(long, value_enum)]
    pairs: Option<PairRows>,
    /// The vectors of the documents, where EMBEDDINGS holds those of the queries alone
    #[arg(long, value_name = "DOCUMENTS", requires = "pairs")]
    documents: Option<PathBuf>,
    /// The probability of going back to the start at each step of a walk [default: as published, from 0.2 to 0.05 over 7.5 epochs]
    #[arg(long)]
    restart: Option<f64>,
    /// Choose neighbours in proportion to exp(similarity / T) [default: all neighbours alike]
    #[arg(long, value_name = "T")]
    temperature: Option<f64>,
    /// The share of each batch to draw uniformly [default: 0]
    #[arg(long, value_name = "SHARE")]
    uniform_fraction: Option<f64>,
    /// Keep instances apart that are more similar than this
    #[arg(long, value_name = "SIMILARITY")]
    similarity_ceiling: Option<f64>,
    /// Keep instances apart that are more similar than this percentage of all pairs of instances
    #[arg(long, value_name = "PERCENT")]
    pair_percentile: Option<f64>,
    /// Keep instances apart that are more similar than this percentage of the graph's edges
    #[arg(long, value_name = "PERCENT")]
    edge_percentile: Option<f64>,
    /// With --pairs: keep a query apart from documents whose similarity to it exceeds this share of its own document's
    #[arg(long, value_name = "SHARE", requires = "pairs")]
    similarity_to_positive: Option<f64>,
    /// Whether an instance may come more than once per epoch [default: cover]
    #[arg(long, value_enum)]
    coverage: Option<Coverage>,
    /// The order of batches: hard ones first (planned), or random (shuffled) [default: planned]
    #[arg(long, value_enum)]
    batch_order: Option<BatchOrder>,
    /// Epochs to plan; each has a graph of its own
    #[arg(long, default_value_t = 1)]
    epochs: u64,
    /// The seed of every random number
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Replicas of a distributed run that share the batches, W; each gets as many
    #[arg(long, default_value_t = 1, value_name = "W")]
    num_replicas: usize,
    /// How replicas share batches
    #[arg(long, value_enum, default_value = "batches")]
    split: RankSplit,
    /// A class per instance, -1 for none, to report false negatives or for --oracle. From a table, as `lookalike embed` writes one beside
    /// embeddings, the column `label`, or FILE.csv:COLUMN
    #[arg(long, value_name = "LABELS.npy|TABLE.csv")]
    labels: Option<PathBuf>,
    /// What walks avoid by --labels, for analysis: it shows what knowing all false negatives would be worth
    #[arg(long, value_enum, requires = "labels")]
    oracle: Option<Avoid>,
    /// An integer per instance: instances with the same one never share a batch; −1 for none. Or the word near-duplicates, which finds
    /// them
    #[arg(long, value_name = "IDS.npy")]
    groups: Option<PathBuf>,
    /// Where to write a report about the plan, as JSON
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
            ("--hardness-share", self.hardness_share.is_some()),
        ];
        let of_graphs = [
            ("--scoring", self.scoring.is_some()),
            ("--uniform-fraction", self.uniform_fraction.is_some()),
            ("--similarity-ceiling", self.similarity_ceiling.is_some()),
            ("--pair-percentile", self.pair_percentile.is_some()),
            ("--edge-percentile", self.edge_percentile.is_some()),
            ("--similarity-to-positive", self.similarity_to_positive.is_some()),
            ("--coverage", self.coverage.is_some()),
            ("--batch-order", self.batch_order.is_some()),
            ("--oracle", self.oracle.is_some()),
        ];
        let covers = [
            ("--coverage", self.coverage == Some(Coverage::Repeat)),
            ("--oracle", self.oracle == Some(Avoid::Members)),
        ];
        let (kind, unread, reason) = match self.kind {
            SamplerKind::Walk => return Ok(()),
            SamplerKind::Nearest => {
                ("nearest", &[][..], "it ties each instance to the nearest of all, and walks nowhere")
            }
            SamplerKind::Gcbs => ("gcbs", &covers[..], "it cuts an order of all instances into batches"),
            SamplerKind::Clusters => ("clusters", &covers[..], "its batches are clusters"),
            SamplerKind::Uniform => ("uniform", &of_graphs[..], "it has no graph"),
        };
        let neighbors = self.kind == SamplerKind::Gcbs;
        let mut given =
            of_walks.iter().filter(|(option, _)| !(neighbors && *option == "--neighbors")).chain(unread);
        match given.find(|(_, given)| *given) {
            None => Ok(()),
            Some((option, _)) => {
                Err(Failure::usage(format!("{option} does not go with --kind {kind}: {reason}")))
            }
        }
    }

    fn options(&self, batches_per_epoch: u64) -> SamplerOptions {
        let defaults = SamplerOptions::default();
        SamplerOptions {
            kind: self.kind,
            batch_size: self.batch_size,
            coverage: self.coverage.unwrap_or_default(),
            batch_order: self.batch_order,
            hardness_share: self.hardness_share.map(HardnessShare::constant),
            budget: self.budget.unwrap_or(defaults.budget),
            epoch_seconds: self.epoch_seconds,
            candidates: self.candidates,
            neighbors: self.neighbors,
            scoring: self.scoring.unwrap_or_default(),
            candidate_draw: self.candidate_draw.unwrap_or_default(),
            pairs: self.pairs,
            restart: self.restart.map(|restart| RestartSchedule {
                from: restart,
                to: restart,
                over_epochs: 0.0,
            }),
            temperature: self.temperature,
            uniform_fraction: self.uniform_fraction.unwrap_or(0.0),
            similarity_ceiling: self.similarity_ceiling,
            pair_percentile: self.pair_percentile,
            edge_percentile: self.edge_percentile,
            similarity_to_positive: self.similarity_to_positive,
            refresh_every: match self.kind {
                // The nearest of all are the same in every epoch.
                SamplerKind::Nearest | SamplerKind::Gcbs => u64::MAX,
                SamplerKind::Walk | SamplerKind::Clusters | SamplerKind::Uniform => batches_per_epoch.max(1),
            },
            uniform_epochs: 0,
            ..defaults
        }
    }
}

pub(crate) fn run(arguments: &Arguments, cancellation: &Cancellation) -> Result<(), Failure> {
    Job::shared(|job| run_with(job, arguments, cancellation))
}

fn run_with(job: &Job, arguments: &Arguments, cancellation: &Cancellation) -> Result<(), Failure> {
    if arguments.epochs == 0 {
        return Err(Failure::usage("--epochs must be at least 1"));
    }
    if arguments.num_replicas == 0 {
        return Err(Failure::usage("--num-replicas must be at least 1"));
    }
    arguments.check()?;
    let Arguments { embeddings, documents, labels, groups, out, report, .. } = arguments;
    let groups = groups.as_ref().filter(|path| path.as_os_str() != NEAR_DUPLICATES);
    let inputs: Vec<&Path> = [Some(embeddings), documents.as_ref(), labels.as_ref(), groups]
        .into_iter()
        .flatten()
        .map(PathBuf::as_path)
        .collect();
    let outputs: Vec<&Path> =
        [Some(out), report.as_ref()].into_iter().flatten().map(PathBuf::as_path).collect();
    if job.leads() {
        check_outputs(&inputs, &outputs)?;
    }
    let embeddings = Embeddings::open(embeddings, documents.as_deref(), arguments.pairs)?;
    let instances = embeddings.len();
    let steps = instances / arguments.batch_size.max(1) / arguments.num_replicas;
    let options = arguments.options(steps as u64);
    let usage = |error: SamplingError| Failure::usage(error.to_string());
    options.check(instances).map_err(usage)?;
    let labels = arguments.labels.as_deref().map(|path| classes(path, instances)).transpose()?;
    if arguments.epoch_seconds.is_some() {
        job.alone("--epoch-seconds")?;
    }
    if arguments.groups.as_ref().is_some_and(|groups| groups.as_os_str() == NEAR_DUPLICATES) {
        job.alone("--groups near-duplicates")?;
    }
    let instructions: Vec<_> = std::env::args_os().skip(1).collect();
    job.agree_on(&[
        ("has other instructions", format!("{instructions:?}")),
        ("reads other embeddings", embeddings.identity()),
        (ranks::PROCESSOR, machine(Precision::F32, arguments.scoring.unwrap_or_default())),
    ])?;
    embeddings.check(&*job.ranks, cancellation)?;
    let data = arguments.data(&embeddings, labels.as_deref(), cancellation)?;
    let (mut sampler, warnings) =
        Sampler::with_data(instances, options, Seed(arguments.seed), data).map_err(usage)?;
    warn(&warnings.iter().map(ToString::to_string).collect::<Vec<String>>());

    sampler.share_graphs(Arc::clone(&job.ranks), Held::Part);
    let (plan, origins) = plan(&mut sampler, &embeddings, arguments.epochs, cancellation)
        .or_else(|failure| job.interrupted(failure))?;
    let traffic = traffic(job, &sampler)?;
    // What follows is the first one's, as long as it takes.
    if !job.part()? {
        return Ok(());
    }
    warn(&sampler.take_warnings().iter().map(ToString::to_string).collect::<Vec<String>>());
    arguments.write(&plan)?;
    let said = arguments.in_one_line(&plan, &sampler, &embeddings, labels.as_deref(), cancellation);
    tell(format_args!(
        "{}",
        said.map_err(|error| interrupted(error, "the plan was written, nothing else was"))?
    ));
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
        write_json(path, &Written { report: &report, ranks: &traffic })?;
    }
    Ok(())
}

/// The report as it is written.
#[derive(Serialize)]
struct Written<'a> {
    #[serde(flatten)]
    report: &'a PlanReport,
    /// What each of several ranks received and held for the graphs.
    #[serde(skip_serializing_if = "<[Traffic]>::is_empty")]
    ranks: &'a [Traffic],
}

/// Tells how long the graphs took, and gives what each of several ranks received and held for them.
fn traffic(job: &Job, sampler: &Sampler) -> Result<Vec<Traffic>, Failure> {
    let report = sampler.report();
    let (graphs, seconds) = (if report.builds == 1 { "graph" } else { "graphs" }, report.build_seconds);
    if sampler.traffic() == Traffic::default() {
        if report.builds > 0 {
            tell(format_args!("built the {graphs} in {seconds:.1} s"));
        }
        return Ok(Vec::new());
    }
    let all = job.ranks.all_gather(&serde_json::to_vec(&sampler.traffic())?)?;
    let all: Vec<Traffic> =
        all.iter().map(|bytes| serde_json::from_slice(bytes)).collect::<Result<_, _>>()?;
    let most = |of: fn(&Traffic) -> u64| all.iter().map(of).max().unwrap_or(0) as f64 / 1e6;
    tell(format_args!(
        "{} ranks built the {graphs} in {seconds:.1} s; the most of a rank, in MB: {:.1} of rows and {:.1} of its halo received and {:.1} held at once, {:.1} of edges received",
        all.len(),
        most(|own| own.permuted),
        most(|own| own.halo),
        most(|own| own.held),
        most(|own| own.edges)
    ));
    Ok(all)
}

impl Arguments {
    /// What the sampler is told about the data and the replicas.
    fn data(
        &self,
        embeddings: &Embeddings<'_>,
        labels: Option<&[u32]>,
        cancellation: &Cancellation,
    ) -> Result<RunData, Failure> {
        let instances = embeddings.len();
        let groups = match self.groups.as_deref() {
            Some(name) if name.as_os_str() == NEAR_DUPLICATES => {
                let progress = Terminal.start(instances as u64, "near duplicates");
                let watch = Watch { progress: &*progress, cancellation };
                let groups = Groups::of_near_duplicates(
                    embeddings,
                    self.pairs,
                    self.scoring.unwrap_or_default(),
                    Groups::DUPLICATE_FACTOR,
                    watch,
                )
                .map_err(|error| interrupted(error, "nothing was written"))?;
                progress.finish();
                tell(format_args!(
                    "{} of {instances} instances are left, near duplicates counted once",
                    groups.count()
                ));
                Some(groups)
            }
            Some(path) => Some(Groups::with_none(&integers(path, instances)?)),
            None => None,
        };
        let oracle = self.oracle.zip(labels).map(|(avoid, labels)| Oracle { labels: labels.to_vec(), avoid });
        let ranks = Ranks { rank: 0, count: self.num_replicas, split: self.split };
        Ok(RunData { groups, oracle, ranks, ..RunData::default() })
    }

    /// How hard the plan is, how false, and what would change that.
    fn in_one_line(
        &self,
        plan: &[Vec<u32>],
        sampler: &Sampler,
        embeddings: &Embeddings<'_>,
        labels: Option<&[u32]>,
        cancellation: &Cancellation,
    ) -> Result<String, SamplingError> {
        // What all replicas share is one batch.
        let parts = if self.split == RankSplit::Within { self.num_replicas } else { 1 };
        let batch_size = self.batch_size * parts;
        if batch_size < 2 {
            return Ok("batches of one have no negatives".to_owned());
        }
        let watch = Watch { progress: &Silent, cancellation };
        let measured = match self.pairs {
            None => hardness(plan, embeddings, watch)?,
            Some(_) => pair_hardness(plan, embeddings, watch)?,
        };
        let found = sampler.report().calibrations[0];
        let scale = if let Some(found) = found {
            found.nearest - found.uniform
        } else {
            let input = DialInput {
                rows: embeddings,
                present: None,
                pairs: self.pairs,
                scoring: self.scoring.unwrap_or_default(),
                batch_size,
                coverage: sampler.options().coverage,
                seed: Seed(self.seed),
                build: 0,
                build_seconds: None,
            };
            let scale = hardness_scale(&input, watch)?;
            scale.nearest - scale.uniform
        };
        let mut parts =
            vec![format!("batches are {:.4} more similar than uniform ones", measured.difference)];
        if scale > 0.0 {
            let share = measured.difference / scale;
            parts.push(format!("a share of {share:.2} of what nearest neighbours have"));
        }
        if let Some(labels) = labels {
            let found = false_negative_rate(plan, labels)?;
            let (rate, uniform) = (100.0 * found.rate, 100.0 * found.uniform);
            parts.push(format!("false negatives {rate:.2} % (uniform {uniform:.2} %)"));
        }
        match (self.kind, found) {
            (SamplerKind::Walk, Some(found)) => parts.push(format!(
                "found: M = {}, K = {}, restart {}; --hardness-share changes it",
                found.candidates, found.neighbors, found.restart
            )),
            (SamplerKind::Walk, None) => parts.push(
                "more candidates or fewer neighbors make them harder, and --hardness-share sets it"
                    .to_owned(),
            ),
            _ => {}
        }
        let line = parts.join("; ");
        Ok(line)
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
        tell(format_args!("wrote {batches} batches of {size}{shared} to {}", self.out.display()));
        Ok(())
    }
}

/// All batches of `epochs` epochs, those of all replicas. Of several ranks all plan the same.
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
        if epoch == 1 || matches!(sampler.options().kind, SamplerKind::Walk | SamplerKind::Clusters) {
            let progress = Terminal.start(embeddings.len() as u64, &format!("graph {epoch} of {epochs}"));
            sampler.rebuild_from(embeddings, &*progress).map_err(nothing)?;
            progress.finish();
        }
        let batches = steps * sampler.data().ranks.planned_at_once();
        let progress = Terminal.start(batches as u64, &format!("epoch {epoch} of {epochs}"));
        let segment = sampler.next_segment_of_all(Some(embeddings), &*progress).map_err(nothing)?;
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
