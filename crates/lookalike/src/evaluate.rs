//! `lookalike evaluate`

use std::path::{Path, PathBuf};

use lookalike_base::hash::Hasher;
use lookalike_base::progress::Cancellation;
use lookalike_learn::Registry;
use lookalike_learn::experiment::Experiment;
use lookalike_learn::modality::{ArmKind, Beside, Measure, Scope};
use lookalike_learn::sentence;
use lookalike_learn::train::result::{RunResult, Stage};
use lookalike_learn::train::trainer::RECIPE;

use crate::failure::Failure;
use crate::output::{check_writable, is_same, say, write_json};
use crate::ranks::Job;
use crate::results::{Kind, Sources};
use crate::run::{RunOptions, no_run, warn};
use crate::table::Table;
use crate::text;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A run, or the folder of a sentence encoder
    run: PathBuf,
    #[command(flatten)]
    data: text::ScoredOn,
    /// Leave out the linear probe
    #[arg(long)]
    no_probe: bool,
    /// What else to measure, to compare with the trained encoder
    #[arg(long, value_enum)]
    beside: Option<BesideArgument>,
    /// Where to write the scores as JSON [default: evaluation.json in the folder of the run; scores on other data or of an unfinished run get
    /// a name of their own]
    #[arg(long, value_name = "FILE.json")]
    out: Option<PathBuf>,
    /// Print one line of JSON instead of a table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    options: RunOptions,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum BesideArgument {
    /// The encoder before training, and rows that need no encoder: pixels; label histograms, numbers of nodes and edges; features
    All,
    /// The encoder before training
    Untrained,
    /// Nothing
    Nothing,
}

impl Arguments {
    /// What to measure of a run whose modality has these measures.
    fn scope(&self, modality: &str, measures: &[Measure]) -> Result<Scope, Failure> {
        let without: &[&str] = if self.no_probe { &["linear"] } else { &[] };
        if self.no_probe && measures.iter().all(|measure| measure.score != "linear") {
            return Err(Failure::usage(format!(
                "--no-probe leaves out the linear probe, and runs on the modality `{modality}` have none"
            )));
        }
        let beside = match self.beside {
            None | Some(BesideArgument::All) => Beside::All,
            Some(BesideArgument::Untrained) => Beside::Untrained,
            Some(BesideArgument::Nothing) => Beside::Nothing,
        };
        let asked = match self.beside {
            Some(BesideArgument::All) => &[ArmKind::Raw, ArmKind::Untrained][..],
            Some(BesideArgument::Untrained) => &[ArmKind::Untrained],
            _ => &[],
        };
        let measured = |kind: &ArmKind| {
            let mut left = measures.iter().filter(|measure| !without.contains(&measure.score));
            left.any(|measure| measure.arms.contains(kind))
        };
        if !asked.is_empty() && !asked.iter().any(measured) {
            let how = if self.no_probe {
                "leave out --no-probe".to_owned()
            } else {
                format!("runs on the modality `{modality}` have none")
            };
            return Err(Failure::usage(format!(
                "--beside all and --beside untrained need a score that is measured beside the trained encoder: {how}"
            )));
        }
        Ok(Scope { beside, without, ..Scope::FULL })
    }
}

pub(crate) fn run(
    arguments: &Arguments,
    registry: &Registry,
    cancellation: &Cancellation,
) -> Result<(), Failure> {
    Job::shared(|job| run_with(job, arguments, registry, cancellation))
}

fn run_with(
    job: &Job,
    arguments: &Arguments,
    registry: &Registry,
    cancellation: &Cancellation,
) -> Result<(), Failure> {
    if sentence::is_folder(&arguments.run) {
        job.alone("a folder of a sentence encoder")?;
        return of_folder(arguments, cancellation);
    }
    if !arguments.run.exists() {
        return Err(Failure::usage(format!("{} does not exist", arguments.run.display())));
    }
    if !arguments.run.join(RECIPE).exists() {
        let what = format!("is neither a run, for it has no {RECIPE}, nor the folder of a sentence encoder");
        return Err(no_run(&arguments.run, &what));
    }
    if let Some(option) = arguments.data.of_folders_alone() {
        return Err(Failure::usage(format!(
            "{option} goes with the folder of a sentence encoder, and {} is none; `lookalike export` makes one of a run on texts",
            arguments.run.display()
        )));
    }
    let options = arguments.options.clone().on(arguments.data.data.as_deref());
    let recipe = options.run_recipe(&arguments.run, registry)?;
    let experiment = options.open_run(&arguments.run, recipe, registry, cancellation)?;
    let recipe = experiment.recipe();
    let scope = arguments.scope(recipe.choice().modality.kind, recipe.measures())?;
    evaluate(job, arguments, &experiment, scope, cancellation)
}

fn of_folder(arguments: &Arguments, cancellation: &Cancellation) -> Result<(), Failure> {
    let Arguments { run, data, no_probe, beside, out, json, options } = arguments;
    let given = [
        ("--no-probe", *no_probe),
        ("--beside", beside.is_some()),
        ("--out", out.is_some()),
        ("--set", !options.settings.is_empty()),
    ];
    if let Some((option, _)) = given.iter().find(|(_, given)| *given) {
        return Err(Failure::usage(format!(
            "{option} goes with a run, and {} is the folder of a sentence encoder",
            run.display()
        )));
    }
    let device = options.device.as_deref().unwrap_or("cpu");
    text::evaluate(run, data, options.data_root.as_deref(), device, *json, cancellation)
}

fn evaluate(
    job: &Job,
    arguments: &Arguments,
    experiment: &Experiment,
    scope: Scope,
    cancellation: &Cancellation,
) -> Result<(), Failure> {
    let run = &arguments.run;
    let result = experiment.result(run)?;
    warn(&result.problems);
    let own = run.join(file_name(experiment, &result)?);
    let file = arguments.out.as_ref().filter(|out| !is_same(out, &own)).unwrap_or(&own).clone();
    job.agree(experiment, &[("reads another model", format!("{:?} {}", result.stage, result.step))])?;
    if !job.leads() {
        // The first one writes.
    } else if file == own {
        check_writable(&file)?;
    } else {
        Sources::of(experiment.recipe()).check(&[(&file, Kind::Scores)])?;
    }
    warn_of_stage(run, &result, &file);
    if !result.own_data {
        warn(&[format!(
            "{} are not the data that {} learned from: rows about its own batches are left out",
            experiment.data().name(),
            run.display()
        )]);
    }
    let best = experiment.best(run)?;
    let evaluation = experiment
        .evaluate_of(&*job.ranks, &result.measured(best.as_deref()), scope, cancellation)
        .map_err(Failure::or_interrupted("nothing was written"))
        .or_else(|failure| job.interrupted(failure))?
        .at_step(result.step)?;
    if !job.part()? {
        return Ok(());
    }
    write_json(&file, &evaluation)?;
    if arguments.json {
        return say(serde_json::to_string(&evaluation)?);
    }
    say(Table::of(&evaluation))
}

/// Tells what a run lacks that has not finished, or whose checkpoints are gone.
fn warn_of_stage(run: &Path, result: &RunResult, file: &Path) {
    let (run, file) = (run.display(), file.display());
    match result.stage {
        Stage::Finished => {}
        Stage::Unfinished => warn(&[format!(
            "{run} has not finished: its newest checkpoint, of step {}, is scored, and the scores go to {file}",
            result.step
        )]),
        Stage::ModelAlone => warn(&[format!(
            "the checkpoints of {run} are gone: rows about its batches and about the BatchNorm statistics of training are left out"
        )]),
    }
}

/// Where the scores go: those of other data and of unfinished runs have files of their own.
fn file_name(experiment: &Experiment, result: &RunResult) -> Result<String, Failure> {
    let mut name = "evaluation".to_owned();
    if !result.own_data {
        let data = experiment.data();
        let mut hasher = Hasher::new();
        hasher.text(&data.fingerprint()?);
        let words: Vec<String> =
            data.name().split(|c: char| !c.is_ascii_alphanumeric()).map(str::to_lowercase).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).filter(|word| !word.is_empty()).collect();
        name = format!("{name}-{}-{:08x}", words.join("-"), hasher.short() >> 32);
    }
    if result.stage == Stage::Unfinished {
        name = format!("{name}-step-{}", result.step);
    }
    Ok(name + ".json")
}
