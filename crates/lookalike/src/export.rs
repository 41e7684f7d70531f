//! `lookalike export`

use std::path::PathBuf;

use lookalike_learn::Registry;
use lookalike_learn::experiment::export;

use crate::failure::Failure;
use crate::run::RunOptions;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A finished run
    run: PathBuf,
    /// Where to write the encoder
    #[arg(value_name = "MODEL.safetensors")]
    out: PathBuf,
}

pub(crate) fn run(arguments: &Arguments, registry: &Registry) -> Result<(), Failure> {
    let place = RunOptions { data_root: None, device: None, settings: Vec::new() };
    export(&place.run_recipe(&arguments.run, registry)?, &arguments.run, &arguments.out)?;
    eprintln!("wrote {}", arguments.out.display());
    Ok(())
}
