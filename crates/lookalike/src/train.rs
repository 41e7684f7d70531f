//! `lookalike train`

use std::path::{Path, PathBuf};

use lookalike_base::progress::{Cancellation, ProgressDisplay, Watch};
use lookalike_learn::LearnError;
use lookalike_learn::experiment::{AnyExperiment, Domain, EvaluationScope, Experiment, MODEL};
use lookalike_learn::recipe::new_run_folder;
use lookalike_learn::train::Outcome;

use crate::evaluate::after_training;
use crate::failure::Failure;
use crate::output::{say, write_json};
use crate::progress::Terminal;
use crate::run::{RunOptions, open, warn, with_any};

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
    #[command(flatten)]
    options: RunOptions,
}

/// What a finished run holds beside its checkpoints.
const RESULTS: [&str; 2] = [MODEL, "evaluation.json"];

pub(crate) fn run(arguments: Arguments, cancellation: &Cancellation) -> Result<(), Failure> {
    let (run, experiment) = match (arguments.resume, arguments.recipe) {
        (Some(run), _) => {
            let experiment = arguments.options.open_run(&run)?;
            (run, experiment)
        }
        (None, Some(recipe)) => {
            let run = arguments.out.unwrap_or_else(|| new_run_folder(&recipe));
            let experiment = start(&recipe, &run, &arguments.options)?;
            (run, experiment)
        }
        (None, None) => return Err(Failure::usage("give a recipe, or --resume RUN")),
    };
    with_any!(&experiment, experiment => train(experiment, &run, cancellation))
}

/// Opens a new run.
fn start(recipe: &Path, run: &Path, options: &RunOptions) -> Result<AnyExperiment, Failure> {
    if run.join("recipe.toml").exists() {
        let run = run.display();
        return Err(Failure::usage(format!(
            "{run} holds a run already; go on with it by --resume {run}, or give another folder with --out"
        )));
    }
    open(options.recipe(recipe)?)
}

/// Writes the recipe that the run has from now on: settings given on resuming hold the next time too.
fn write_recipe<D: Domain>(experiment: &Experiment<D>, run: &Path) -> Result<(), Failure> {
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

fn train<D: Domain>(
    experiment: &Experiment<D>,
    run: &Path,
    cancellation: &Cancellation,
) -> Result<(), Failure> {
    let (mut trainer, warnings) = experiment.trainer(run)?;
    warn(&warnings);
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
    if let Some(note) = experiment.data().note(experiment.recipe()) {
        eprintln!("{note}");
    }
    if trainer.step() > 0 {
        eprintln!("going on from step {}", trainer.step());
    }
    let progress = Terminal.start(trainer.last_step(), "training");
    let outcome = trainer.run(Watch { progress: &*progress, cancellation });
    progress.finish();
    let go_on = format!("go on with `lookalike train --resume {}`", run.display());
    match outcome? {
        Outcome::Interrupted => return Err(Failure::Interrupted(go_on)),
        Outcome::AlreadyFinished if RESULTS.iter().all(|name| run.join(name).exists()) => {
            let (run, steps) = (run.display(), trainer.step());
            return say(format_args!("{run} has made all its {steps} steps; nothing is left to do"));
        }
        Outcome::AlreadyFinished | Outcome::Finished => {}
    }
    let network = D::network(&trainer.method).clone();
    experiment.save_model(run, &network)?;
    let evaluation = experiment
        .evaluate(&network, trainer.plan(), EvaluationScope::AFTER_TRAINING, cancellation)
        .map_err(Failure::or_interrupted(go_on))?;
    let fields = serde_json::to_value(&evaluation)?;
    let step = trainer.step();
    trainer.events().record("evaluation", step, fields)?;
    write_json(&run.join("evaluation.json"), &evaluation)?;
    say(after_training(&evaluation))?;
    let run = run.display();
    say(format_args!(
        "next: lookalike evaluate {run}, lookalike embed {run}, lookalike export {run} model.safetensors"
    ))
}
