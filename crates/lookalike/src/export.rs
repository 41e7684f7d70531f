//! `lookalike export`

use std::path::PathBuf;

use lookalike_learn::Registry;
use lookalike_learn::experiment::{MODEL, export};

use crate::failure::Failure;
use crate::output::check_outputs;
use crate::run::RunOptions;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A finished run
    run: PathBuf,
    /// Where to write the encoder: a safetensors file; of texts a new folder
    #[arg(value_name = "MODEL.safetensors|FOLDER")]
    out: PathBuf,
    /// Set a key of the run's recipe, as encoder.weights=PATH where that has moved; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments, registry: &Registry) -> Result<(), Failure> {
    let of_run = [MODEL, "recipe.toml", "evaluation.json"].map(|name| arguments.run.join(name));
    // Of texts a new folder is written, which is refused where it is there already.
    if !arguments.out.is_dir() {
        check_outputs(&of_run.each_ref().map(PathBuf::as_path), &[&arguments.out])?;
    }
    let place = RunOptions { data_root: None, device: None, settings: arguments.settings.clone() };
    export(&place.run_recipe(&arguments.run, registry)?, &arguments.run, &arguments.out)?;
    eprintln!("wrote {}", arguments.out.display());
    Ok(())
}
