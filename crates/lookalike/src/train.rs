//! `lookalike train`

use std::path::{Path, PathBuf};

use lookalike_base::progress::{Cancellation, ProgressDisplay, Watch};
use lookalike_learn::cost::peak_memory;
use lookalike_learn::experiment::{Experiment, MODEL};
use lookalike_learn::recipe::{ValidRecipe, new_run_folder};
use lookalike_learn::train::{Outcome, Trainer};
use lookalike_learn::{LearnError, Registry};

use crate::beside::OtherRun;
use crate::failure::Failure;
use crate::output::{say, write_json};
use crate::progress::Terminal;
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
    /// Folder of the run; a new one under runs/ if not given
    #[arg(long, value_name = "RUN", conflicts_with = "resume")]
    out: Option<PathBuf>,
    /// Check the recipe, open the data, time ten steps, and print hours and memory; nothing is kept
    #[arg(long, conflicts_with_all = ["resume", "out", "seeds"])]
    check: bool,
    /// A run for each seed, 0..4 being five, in folders of the run's own, and their mean; called again, it goes on
    #[arg(long, value_name = "FIRST..LAST", conflicts_with = "resume")]
    seeds: Option<Seeds>,
    /// A finished run on the same data, whose scores are shown beside those of this one: the same recipe with uniform batches, say
    #[arg(long, value_name = "RUN", conflicts_with_all = ["check", "seeds"])]
    beside: Option<PathBuf>,
    #[command(flatten)]
    options: RunOptions,
}

/// What a finished run holds beside its checkpoints.
const RESULTS: [&str; 2] = [MODEL, "evaluation.json"];

/// Steps that `--check` times.
const CHECKED_STEPS: u64 = 10;

pub(crate) fn run(
    arguments: Arguments,
    registry: &Registry,
    cancellation: &Cancellation,
) -> Result<(), Failure> {
    let Arguments { recipe, resume, out, check: only_check, seeds, beside, options } = arguments;
    let other =
        |recipe: &ValidRecipe| beside.as_ref().map(|run| OtherRun::open(run, recipe, registry)).transpose();
    if let Some(run) = resume {
        let recipe = options.run_recipe(&run, registry)?;
        let other = other(&recipe)?;
        return train(&open(recipe, registry)?, &run, other.as_ref(), cancellation);
    }
    let recipe = recipe.ok_or_else(|| Failure::usage("give a recipe, or --resume RUN"))?;
    if only_check {
        return check(&open(options.recipe(&recipe, registry)?, registry)?, cancellation);
    }
    let run = out.unwrap_or_else(|| new_run_folder(&recipe));
    if let Some(seeds) = seeds {
        return train_each(&recipe, &run, seeds, &options, registry, cancellation);
    }
    if run.join("recipe.toml").exists() {
        let run = run.display();
        return Err(Failure::usage(format!(
            "{run} holds a run already; go on with it by --resume {run}, or give another folder with --out"
        )));
    }
    let recipe = options.recipe(&recipe, registry)?;
    let other = other(&recipe)?;
    train(&open(recipe, registry)?, &run, other.as_ref(), cancellation)
}

/// A run for each seed, or what is left of it.
fn train_each(
    recipe: &Path,
    folder: &Path,
    seeds: Seeds,
    options: &RunOptions,
    registry: &Registry,
    cancellation: &Cancellation,
) -> Result<(), Failure> {
    if folder.join("recipe.toml").exists() {
        let folder = folder.display();
        return Err(Failure::usage(format!(
            "{folder} holds a run itself; give another folder with --out, which gets one for each seed"
        )));
    }
    let open_with = |seed| open(options.recipe(recipe, registry)?.with_seed(seed), registry);
    let run_of = |seed: u64| folder.join(format!("seed-{seed}"));
    // As the runs have it: with what the recipe leaves to the data.
    let first = open_with(seeds.first())?;
    if !first.evaluates_after_training() {
        return Err(Failure::usage(
            "--seeds gives the mean of evaluations, and evaluate.after_training is false",
        ));
    }
    for seed in seeds.each().filter(|seed| run_of(*seed).join("recipe.toml").exists()) {
        refuse_other(&first.recipe().clone().with_seed(seed), &run_of(seed), registry)?;
    }
    let (mut opened, mut runs) = (Some(first), Vec::new());
    for seed in seeds.each() {
        let experiment = opened.take().map_or_else(|| open_with(seed), Ok)?;
        let run = run_of(seed);
        train(&experiment, &run, None, cancellation)?;
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
        eprintln!("{report}");
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

/// Writes the recipe that the run has from now on: settings given on resuming hold the next time too.
fn write_recipe(experiment: &Experiment, run: &Path) -> Result<(), Failure> {
    let (path, text) = (run.join("recipe.toml"), experiment.recipe().to_toml()?);
    lookalike_base::atomic::write_atomic(&path, |writer| writer.write_all(text.as_bytes()))
        .map_err(|source| LearnError::Io { path, source })?;
    Ok(())
}

/// Removes the results of a run that is going on, so that nobody takes them for those of its end.
fn remove_results(run: &Path) -> Result<(), Failure> {
    for path in RESULTS.map(|name| run.join(name)) {
        match std::fs::remove_file(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(LearnError::Io { path, source }.into());
            }
            _ => {}
        }
    }
    Ok(())
}

fn train(
    experiment: &Experiment,
    run: &Path,
    other: Option<&OtherRun>,
    cancellation: &Cancellation,
) -> Result<(), Failure> {
    if other.is_some() && !experiment.evaluates_after_training() {
        return Err(Failure::usage("--beside shows an evaluation, and evaluate.after_training is false"));
    }
    let (mut trainer, warnings) = experiment.trainer(run)?;
    warn(&warnings);
    let begins = trainer.step() == 0;
    let report = if begins { experiment.weights_report()? } else { None };
    // Not before it is certain that the recipe fits data and run.
    write_recipe(experiment, run)?;
    if trainer.step() < trainer.last_step() {
        remove_results(run)?;
    }
    eprintln!(
        "{}: {} instances, {} steps of {}, run in {}",
        experiment.data().name(),
        experiment.data().instances(),
        trainer.last_step(),
        trainer.sampler().options().batch_size,
        run.display()
    );
    if let Some(note) = experiment.data().note() {
        eprintln!("{note}");
    }
    if !begins {
        eprintln!("going on from step {}", trainer.step());
    }
    if let Some(report) = report {
        eprintln!("{report}");
    }
    embed_first(&mut trainer, experiment, cancellation)?;
    let progress = Terminal.start(trainer.last_step(), "training");
    let outcome = trainer.run(Watch { progress: &*progress, cancellation });
    progress.finish();
    let go_on = format!("go on with `lookalike train --resume {}`", run.display());
    match outcome? {
        Outcome::Interrupted => return Err(Failure::Interrupted(go_on)),
        Outcome::AlreadyFinished if results(experiment).iter().all(|name| run.join(name).exists()) => {
            let (run, steps) = (run.display(), trainer.step());
            return say(format_args!("{run} has made all its {steps} steps; nothing is left to do"));
        }
        Outcome::AlreadyFinished | Outcome::Finished => {}
    }
    let network = trainer.method.kept();
    experiment.save_model(run, &*network)?;
    if !experiment.evaluates_after_training() {
        return say_next(experiment, run);
    }
    let scope = experiment.after_training();
    let best = experiment.best(run)?;
    let evaluation = experiment
        .evaluate_beside(&*network, best.as_deref(), trainer.plan(), scope, cancellation)
        .map_err(Failure::or_interrupted(go_on))?;
    let fields = serde_json::to_value(&evaluation)?;
    let step = trainer.step();
    trainer.events().record("evaluation", step, fields)?;
    write_json(&run.join("evaluation.json"), &evaluation)?;
    say(other.map_or_else(|| Table::of(&evaluation), |other| other.table(&evaluation)))?;
    say_next(experiment, run)
}

/// What a finished run of the recipe holds beside its checkpoints.
fn results(experiment: &Experiment) -> &'static [&'static str] {
    if experiment.evaluates_after_training() { &RESULTS } else { &RESULTS[..1] }
}

fn say_next(experiment: &Experiment, run: &Path) -> Result<(), Failure> {
    let (run, exported) = (run.display(), experiment.recipe().choice().encoder.exported);
    say(format_args!(
        "next: lookalike evaluate {run}, lookalike embed {run}, lookalike export {run} {exported}"
    ))
}
