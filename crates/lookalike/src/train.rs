//! `lookalike train`

use std::path::{Path, PathBuf};

use lookalike_base::progress::{Cancellation, ProgressDisplay, Watch};
use lookalike_learn::cost::peak_memory;
use lookalike_learn::evaluate::{Measured, STEP};
use lookalike_learn::experiment::Experiment;
use lookalike_learn::recipe::ValidRecipe;
use lookalike_learn::train::checkpoint::Checkpoints;
use lookalike_learn::train::result::{MODEL, model_is_damaged, model_step};
use lookalike_learn::train::trainer::RECIPE;
use lookalike_learn::train::{Outcome, Trainer};
use lookalike_learn::{LearnError, Registry};
use lookalike_report::{ReportOptions, Run};

use crate::beside::OtherRun;
use crate::failure::Failure;
use crate::folder::RunFolder;
use crate::output::{say, tell, write_json};
use crate::progress::Terminal;
use crate::ranks::Job;
use crate::report;
use crate::run::{RunOptions, open, warn};
use crate::seeds::{Seeds, summarize};
use crate::table::Table;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The recipe, a TOML file
    #[arg(required_unless_present = "resume", conflicts_with = "resume")]
    recipe: Option<PathBuf>,
    /// Go on with this run, from its newest whole checkpoint
    #[arg(long, value_name = "RUN")]
    resume: Option<PathBuf>,
    /// The folder of the run [default: a new one under runs/]
    #[arg(long, value_name = "RUN", conflicts_with = "resume")]
    out: Option<PathBuf>,
    /// Check the recipe, open the data, time ten steps, and print hours and memory; nothing is kept
    #[arg(long, conflicts_with_all = ["resume", "out", "seeds"])]
    check: bool,
    /// Make a run for each seed (0..4 are five) in folders of their own, and give their mean; called again, it goes on
    #[arg(long, value_name = "FIRST..LAST", conflicts_with = "resume")]
    seeds: Option<Seeds>,
    /// Show the scores of a finished run on the same data beside those of this one, for instance of the same recipe with uniform batches
    #[arg(long, value_name = "RUN", conflicts_with_all = ["check", "seeds"])]
    beside: Option<PathBuf>,
    /// Do not write a page about the run when it ends; `lookalike report` writes one at any time
    #[arg(long, conflicts_with = "check")]
    no_report: bool,
    #[command(flatten)]
    options: RunOptions,
}

/// What follows training.
#[derive(Clone, Copy)]
struct Ending<'a> {
    /// The run whose scores are shown beside.
    other: Option<&'a OtherRun>,
    /// Whether a page is written.
    report: bool,
}

/// The scores of a finished run on its own data.
const EVALUATION: &str = "evaluation.json";

/// Steps that `--check` times.
const CHECKED_STEPS: u64 = 10;

pub(crate) fn run(
    arguments: Arguments,
    registry: &Registry,
    cancellation: &Cancellation,
) -> Result<(), Failure> {
    Job::shared(|job| {
        job.knows_all()?;
        run_with(job, arguments, registry, cancellation)
    })
}

fn run_with(
    job: &Job,
    arguments: Arguments,
    registry: &Registry,
    cancellation: &Cancellation,
) -> Result<(), Failure> {
    let Arguments { recipe, resume, out, check: only_check, seeds, beside, no_report, options } = arguments;
    let report = !no_report;
    let other =
        |recipe: &ValidRecipe| beside.as_ref().map(|run| OtherRun::open(run, recipe, registry)).transpose();
    if let Some(run) = resume {
        let (_folder, run) = taken(job, || RunFolder::resume(&run))?;
        let recipe = options.run_recipe(&run, registry)?;
        let other = other(&recipe)?;
        if let Some(step) = finished_without_checkpoints(&run, &recipe, registry)? {
            return say(format_args!(
                "{} finished with step {step}, and its checkpoints are gone; nothing is left to do",
                run.display()
            ));
        }
        let experiment = open(Some(&run), recipe, registry, cancellation)?;
        return train(job, &experiment, &run, Ending { other: other.as_ref(), report }, cancellation);
    }
    let recipe = recipe.ok_or_else(|| Failure::usage("give a recipe, or --resume RUN"))?;
    if only_check {
        job.alone("--check")?;
        let recipe = options.recipe(&recipe, registry)?;
        return check(&open(None, recipe, registry, cancellation)?, cancellation);
    }
    let valid = options.recipe(&recipe, registry)?;
    let other = other(&valid)?;
    let new_folder = || out.as_deref().map_or_else(|| RunFolder::numbered(&recipe), RunFolder::begin);
    match seeds {
        None => {
            let (_folder, run) = taken(job, new_folder)?;
            let experiment = open(Some(&run), valid, registry, cancellation)?;
            train(job, &experiment, &run, Ending { other: other.as_ref(), report }, cancellation)
        }
        Some(seeds) => {
            job.alone("--seeds")?;
            let folder = out.clone().map_or_else(|| Ok(new_folder()?.keep()), Ok::<_, Failure>)?;
            train_each(job, (&recipe, &folder), (seeds, report), &options, registry, cancellation)
        }
    }
}

/// After how many steps a run finished that has a model and no checkpoint: it cannot go on, and needs not.
///
/// # Errors
/// Where it is asked to go on otherwise than it went.
fn finished_without_checkpoints(
    run: &Path,
    recipe: &ValidRecipe,
    registry: &Registry,
) -> Result<Option<u64>, Failure> {
    if Checkpoints::of_run(run).any()? {
        return Ok(None);
    }
    let Some(step) = model_step(run)? else { return Ok(None) };
    let own = RunOptions::default().run_recipe(run, registry)?;
    if own.identity()? == recipe.identity()? && own.train().max_steps == recipe.train().max_steps {
        return Ok(Some(step));
    }
    let run = run.display();
    Err(Failure::usage(format!(
        "{run} has a model and no checkpoint, so it cannot be trained further; begin another run from its weights, with --out and --set \
         encoder.weights={run}/{MODEL}"
    )))
}

/// The folder of a run, which the first rank takes, and where it is.
fn taken(
    job: &Job,
    take: impl FnOnce() -> Result<RunFolder, Failure>,
) -> Result<(Option<RunFolder>, PathBuf), Failure> {
    let folder = if job.leads() { Some(take()?) } else { None };
    let path = job.folder(folder.as_ref().map(RunFolder::path))?;
    Ok((folder, path))
}

/// A run for each seed, or what is left of it.
fn train_each(
    job: &Job,
    (recipe, folder): (&Path, &Path),
    (seeds, report): (Seeds, bool),
    options: &RunOptions,
    registry: &Registry,
    cancellation: &Cancellation,
) -> Result<(), Failure> {
    if folder.join(RECIPE).exists() {
        let folder = folder.display();
        return Err(Failure::usage(format!(
            "{folder} holds a run itself; give another folder with --out, which gets one for each seed"
        )));
    }
    let run_of = |seed: u64| folder.join(format!("seed-{seed}"));
    let open_with = |seed| {
        let recipe = options.recipe(recipe, registry)?.with_seed(seed);
        open(Some(&run_of(seed)), recipe, registry, cancellation)
    };
    // As the runs have it: with what the recipe leaves to the data.
    let first = open_with(seeds.first())?;
    if !first.evaluates_after_training() {
        return Err(Failure::usage(
            "--seeds gives the mean of evaluations, and evaluate.after_training is false",
        ));
    }
    for seed in seeds.each().filter(|seed| run_of(*seed).join(RECIPE).exists()) {
        refuse_other(&first.recipe().clone().with_seed(seed), &run_of(seed), registry)?;
    }
    let (mut opened, mut runs) = (Some(first), Vec::new());
    for seed in seeds.each() {
        let experiment = opened.take().map_or_else(|| open_with(seed), Ok)?;
        let run = run_of(seed);
        let is_there = run.join(RECIPE).exists();
        let own = if is_there { RunFolder::resume(&run)? } else { RunFolder::begin(&run)? };
        let is_scored = is_there && run.join(EVALUATION).exists() && !Checkpoints::of_run(&run).any()?;
        if !is_scored || model_step(&run)?.is_none() {
            train(job, &experiment, own.path(), Ending { other: None, report }, cancellation)?;
        }
        runs.push(run);
    }
    summarize(folder, &runs, registry)
}

/// Refuses to take `run` for one of `recipe` where it is of another, or is measured otherwise.
fn refuse_other(recipe: &ValidRecipe, run: &Path, registry: &Registry) -> Result<(), Failure> {
    let other = RunOptions::default().run_recipe(run, registry)?;
    let measured = |recipe: &ValidRecipe| recipe.settings().section("evaluate");
    if recipe.identity()? == other.identity()? && measured(recipe) == measured(&other) {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "{} is a run of another recipe; give another folder with --out",
        run.display()
    )))
}

/// Times a few steps and tells what the whole run would take.
fn check(experiment: &Experiment, cancellation: &Cancellation) -> Result<(), Failure> {
    let folder = TemporaryFolder::new()?;
    let (mut trainer, warnings) = experiment.trainer(&folder.0)?;
    warn(&warnings);
    if let Some(report) = experiment.weights_report()? {
        tell(report);
    }
    embed_first(&mut trainer, experiment, cancellation)?;
    let progress = Terminal.start(CHECKED_STEPS, "timing steps");
    let seconds = trainer.time_steps(CHECKED_STEPS, Watch { progress: &*progress, cancellation });
    progress.finish();
    let mut seconds = seconds.map_err(Failure::or_interrupted("nothing was measured"))?;
    seconds.sort_by(f64::total_cmp);
    let median = seconds.get(seconds.len() / 2).copied().unwrap_or(0.0);
    let mut table = Table::default();
    let data = experiment.data();
    table.row("data", format!("{}, {} instances", data.name(), data.instances()));
    table.row("steps", trainer.last_step().to_string());
    table.row(format!("seconds a step, median of {}", seconds.len()), format!("{median:.3}"));
    let hours = median * trainer.last_step() as f64 / 3600.0;
    let (unit, time) = if hours < 0.1 { ("minutes", 60.0 * hours) } else { ("hours", hours) };
    table.row(format!("{unit}, without rebuilds of the graph and the evaluation"), format!("{time:.2}"));
    let memory =
        peak_memory().map_or("not known here".to_owned(), |bytes| format!("{} MB", bytes / 1_000_000));
    table.row("peak memory", memory);
    say(table)
}

/// Embeds all instances before the first step, where the recipe asks for it.
fn embed_first(
    trainer: &mut Trainer,
    experiment: &Experiment,
    cancellation: &Cancellation,
) -> Result<(), Failure> {
    if !trainer.embeds_first() {
        return Ok(());
    }
    let progress = Terminal.start(experiment.data().instances() as u64, "embedding before the first step");
    let embedded = trainer.embed_first(Watch { progress: &*progress, cancellation });
    progress.finish();
    embedded.map_err(Failure::or_interrupted("no step was made"))
}

/// A folder that is removed when it is no longer needed.
struct TemporaryFolder(PathBuf);

impl TemporaryFolder {
    fn new() -> Result<Self, Failure> {
        let path = std::env::temp_dir().join(format!("lookalike-check-{}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(|source| LearnError::Io { path: path.clone(), source })?;
        Ok(Self(path))
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        // What cannot be removed is the system's to remove: it lies in its folder for such files.
        let _left = std::fs::remove_dir_all(&self.0);
    }
}

/// Whether the model of `run`, and the scores where training ends with any, are those of this step, its last.
fn results_stand(experiment: &Experiment, run: &Path, step: u64) -> bool {
    // Files of a time when these did not say their step are those of the end: going on took them away.
    let own = model_step(run).unwrap_or_else(|error| {
        warn(&[model_is_damaged(&error)]);
        None
    });
    if !own.is_some_and(|own| own == step || own == 0) {
        return false;
    }
    if !experiment.evaluates_after_training() {
        return true;
    }
    let scores = std::fs::read_to_string(run.join(EVALUATION)).unwrap_or_default();
    let scores: Option<serde_json::Value> = serde_json::from_str(&scores).ok();
    let own = scores.map(|scores| scores.get(STEP).and_then(serde_json::Value::as_u64).unwrap_or(step));
    own == Some(step)
}

fn train(
    job: &Job,
    experiment: &Experiment,
    run: &Path,
    Ending { other, report }: Ending<'_>,
    cancellation: &Cancellation,
) -> Result<(), Failure> {
    if other.is_some() && !experiment.evaluates_after_training() {
        return Err(Failure::usage("--beside shows an evaluation, and evaluate.after_training is false"));
    }
    job.agree(experiment, &[])?;
    let (mut trainer, warnings) = experiment.trainer_of(run, &job.ranks)?;
    warn(&warnings);
    let begins = trainer.step() == 0;
    let weights = if begins { experiment.weights_report()? } else { None };
    tell(format_args!(
        "{}: {} instances, {} steps of {}, run in {}",
        experiment.data().name(),
        experiment.data().instances(),
        trainer.last_step(),
        trainer.sampler().options().batch_size,
        run.display()
    ));
    if let Some(note) = experiment.data().note() {
        tell(note);
    }
    if !begins {
        tell(format_args!("going on from step {}", trainer.step()));
    }
    if trainer.begins() > 0 {
        tell(format_args!(
            "trained longer than it was to be: the schedule is laid out anew from step {} to {}",
            trainer.begins(),
            trainer.last_step()
        ));
    }
    if let Some(weights) = weights {
        tell(weights);
    }
    embed_first(&mut trainer, experiment, cancellation)?;
    let progress = Terminal.start(trainer.last_step(), "step");
    let outcome = trainer.run(Watch { progress: &*progress, cancellation });
    progress.finish();
    let go_on = format!("go on with `lookalike train --resume {}`", run.display());
    match outcome.map_err(|error| experiment.named(error))? {
        Outcome::Interrupted => {
            job.agree_on_signals()?;
            return Err(Failure::Interrupted(go_on));
        }
        Outcome::AlreadyFinished if job.says(|| results_stand(experiment, run, trainer.step()))? => {
            let (run, steps) = (run.display(), trainer.step());
            return say(format_args!("{run} has made all its {steps} steps; nothing is left to do"));
        }
        Outcome::AlreadyFinished | Outcome::Finished => {}
    }
    let (network, step) = (trainer.method.kept(), trainer.step());
    if job.leads() {
        experiment.save_model(run, &*network, step)?;
    }
    if !experiment.evaluates_after_training() {
        return say_next(experiment, run);
    }
    let best = experiment.best(run)?;
    let measured = Measured {
        network: &*network,
        settled: false,
        best: best.as_deref(),
        plan: trainer.plan(),
        own_data: true,
    };
    let evaluation = experiment
        .evaluate_of(&*job.ranks, &measured, experiment.after_training(), cancellation)
        .map_err(Failure::or_interrupted(go_on))
        .or_else(|failure| job.interrupted(failure))?
        .at_step(step)?;
    // What follows is the first one's, as long as it takes.
    if !job.part()? {
        return Ok(());
    }
    trainer.events().record_anew("evaluation", step, serde_json::to_value(&evaluation)?)?;
    write_json(&run.join(EVALUATION), &evaluation)?;
    say(other.map_or_else(|| Table::of(&evaluation), |other| other.table(&evaluation)))?;
    page(experiment, run, report, cancellation)?;
    say_next(experiment, run)
}

/// Writes the page of a run that has ended, without a map, and what TensorBoard shows. The run is whole without it: what goes wrong is a warning.
fn page(
    experiment: &Experiment,
    run: &Path,
    wanted: bool,
    cancellation: &Cancellation,
) -> Result<(), Failure> {
    if !wanted {
        return Ok(());
    }
    let options = ReportOptions { map: false, ..ReportOptions::default() };
    let written = || {
        let result = experiment.result(run)?;
        report::of_run(
            experiment,
            result,
            &[Run::open(run)?],
            &report::Written { page: &run.join(report::PAGE), board: Some(run) },
            &options,
            cancellation,
        )
    };
    match written() {
        Err(Failure::Error { error, .. }) => {
            warn(&[format!("what shows the run is not whole: {error}")]);
            Ok(())
        }
        written => written,
    }
}

fn say_next(experiment: &Experiment, run: &Path) -> Result<(), Failure> {
    let (run, exported) = (run.display(), experiment.recipe().choice().encoder.exported);
    say(format_args!(
        "next: lookalike evaluate {run}, lookalike embed {run}, lookalike export {run} {exported}"
    ))
}
