//! `lookalike export`

use std::path::PathBuf;

use lookalike_base::progress::Cancellation;
use lookalike_learn::Registry;
use lookalike_learn::experiment::export;
use lookalike_learn::train::result::{self, Stage};

use crate::embed::network;
use crate::failure::Failure;
use crate::output::tell;
use crate::results::{Kind, Sources};
use crate::run::{RunOptions, open};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A run; of one that has not finished the newest checkpoint is taken, and its data are read
    run: PathBuf,
    /// Where to write the encoder: a safetensors file; of texts a new folder
    #[arg(value_name = "MODEL.safetensors|FOLDER")]
    out: PathBuf,
    /// Of a run that has not finished: folder that holds the data set's files
    #[arg(long, value_name = "DIR")]
    data_root: Option<PathBuf>,
    /// Set a key of the run's recipe, as encoder.weights=PATH where that has moved; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
}

pub(crate) fn run(
    arguments: &Arguments,
    registry: &Registry,
    cancellation: &Cancellation,
) -> Result<(), Failure> {
    let place = RunOptions {
        data_root: arguments.data_root.clone(),
        device: None,
        settings: arguments.settings.clone(),
    };
    let recipe = place.run_recipe(&arguments.run, registry)?;
    // Of texts a new folder is written, which is refused where it is there already.
    if !arguments.out.is_dir() {
        Sources::of(&recipe).check(&[(&arguments.out, Kind::Weights)])?;
    }
    if result::stage(&arguments.run)? == Stage::Unfinished {
        // BatchNorm's statistics are estimated on the data.
        let experiment = open(Some(&arguments.run), recipe, registry, cancellation)?;
        let mut network = network(&experiment, &arguments.run)?;
        experiment.export(&mut *network, &arguments.run, &arguments.out)?;
    } else {
        export(&recipe, &arguments.run, &arguments.out)?;
    }
    tell(format_args!("wrote {}", arguments.out.display()));
    Ok(())
}
