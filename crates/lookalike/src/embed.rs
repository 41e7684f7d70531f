//! `lookalike embed`

use std::path::PathBuf;

use lookalike_base::npy;
use lookalike_base::progress::Cancellation;
use lookalike_data::Split;
use lookalike_learn::Registry;

use crate::failure::Failure;
use crate::run::RunOptions;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A finished run
    run: PathBuf,
    /// Data set to embed, with its folder as --data-root; the run's own if not given
    #[arg(long, value_name = "NAME")]
    data: Option<String>,
    /// Which part of it; graphs have one
    #[arg(long, value_enum, default_value = "train")]
    split: DataPart,
    /// What to write
    #[arg(long, value_enum, default_value = "representation")]
    layer: Layer,
    /// Where to: float32, one row an instance, in the order of the data set
    #[arg(long, value_name = "FILE.npy")]
    out: PathBuf,
    #[command(flatten)]
    options: RunOptions,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum DataPart {
    Train,
    Test,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Layer {
    /// What the encoder gives
    Representation,
    /// What the projection head makes of it
    Projection,
}

pub(crate) fn run(
    arguments: &Arguments,
    registry: &Registry,
    cancellation: &Cancellation,
) -> Result<(), Failure> {
    let mut options = arguments.options.clone();
    options.settings.extend(arguments.data.iter().map(|name| format!("data.name={name}")));
    let experiment = options.open_run(&arguments.run, registry)?;
    let mut network = experiment.load_model(&arguments.run)?;
    let split = match arguments.split {
        DataPart::Train => Split::Train,
        DataPart::Test => Split::Test,
    };
    let embedded = experiment
        .embed(&mut *network, split, cancellation)
        .map_err(Failure::or_interrupted("nothing was written"))?;
    let rows = match arguments.layer {
        Layer::Representation => embedded.representation,
        Layer::Projection => embedded.projection,
    };
    npy::write_rows(&arguments.out, rows.rows())?;
    eprintln!("wrote {} × {} numbers to {}", rows.len(), rows.columns(), arguments.out.display());
    Ok(())
}
