//! `lookalike evaluate`

use std::path::PathBuf;

use lookalike_base::progress::Cancellation;
use lookalike_learn::Registry;
use lookalike_learn::experiment::{Experiment, MODEL};
use lookalike_learn::modality::{ArmKind, Beside, Measure, Scope};
use lookalike_learn::sentence;

use crate::failure::Failure;
use crate::output::{say, write_json};
use crate::run::{RunOptions, warn};
use crate::table::Table;
use crate::text;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A finished run, or the folder of a sentence encoder
    run: PathBuf,
    #[command(flatten)]
    data: text::ScoredOn,
    /// Leave out the linear probe
    #[arg(long)]
    no_probe: bool,
    /// What to measure beside the trained encoder
    #[arg(long, value_enum)]
    beside: Option<BesideArgument>,
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
        Ok(Scope { beside, without, fold_seeds: None })
    }
}

pub(crate) fn run(
    arguments: &Arguments,
    registry: &Registry,
    cancellation: &Cancellation,
) -> Result<(), Failure> {
    if sentence::is_folder(&arguments.run) {
        return of_folder(arguments, cancellation);
    }
    if !arguments.run.exists() {
        return Err(Failure::usage(format!("{} is not there", arguments.run.display())));
    }
    if let Some(data) = &arguments.data.data {
        return Err(Failure::usage(format!(
            "--data {data} goes with the folder of a sentence encoder, and {} is none; `lookalike export` makes one of a run on texts",
            arguments.run.display()
        )));
    }
    let experiment = arguments.options.open_run(&arguments.run, registry, cancellation)?;
    let recipe = experiment.recipe();
    let scope = arguments.scope(recipe.choice().modality.kind, recipe.measures())?;
    evaluate(arguments, &experiment, scope, cancellation)
}

fn of_folder(arguments: &Arguments, cancellation: &Cancellation) -> Result<(), Failure> {
    let Arguments { run, data, no_probe, beside, json, options } = arguments;
    let given =
        [("--no-probe", *no_probe), ("--beside", beside.is_some()), ("--set", !options.settings.is_empty())];
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
    arguments: &Arguments,
    experiment: &Experiment,
    scope: Scope,
    cancellation: &Cancellation,
) -> Result<(), Failure> {
    let (network, plan) = experiment.trained(&arguments.run)?;
    if !arguments.run.join(MODEL).exists() {
        let run = arguments.run.display();
        warn(&[format!("{run} has not finished: what is scored is its newest checkpoint")]);
    }
    let best = experiment.best(&arguments.run)?;
    let evaluation = experiment
        .evaluate_beside(&*network, best.as_deref(), &plan, scope, cancellation)
        .map_err(Failure::or_interrupted("nothing was written"))?;
    write_json(&arguments.run.join("evaluation.json"), &evaluation)?;
    if arguments.json {
        return say(serde_json::to_string(&evaluation)?);
    }
    say(Table::of(&evaluation))
}
