//! `lookalike export`

use std::path::{Path, PathBuf};

use lookalike_base::progress::Cancellation;
use lookalike_learn::Registry;
use lookalike_learn::encoder::Program;
use lookalike_learn::experiment::{check_export, export};
use lookalike_learn::recipe::ValidRecipe;
use lookalike_learn::train::result::{self, Stage};

use crate::embed::network;
use crate::failure::Failure;
use crate::output::tell;
use crate::results::{Kind, Sources};
use crate::run::{RunOptions, open, warn};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// A run; of one that has not finished the newest checkpoint is taken, and its data are read
    run: PathBuf,
    /// Where to write the encoder: a safetensors file; for timm, and of texts, a new folder; for detectron2 a file that ends in .pkl,
    /// beside which two .yaml files are written
    #[arg(value_name = "MODEL.safetensors|FOLDER|MODEL.pkl")]
    out: PathBuf,
    /// For an image encoder: the program that will open it [default: torchvision, and timm for Vision Transformers]
    #[arg(long = "for", value_enum, value_name = "PROGRAM")]
    program: Option<ProgramName>,
    /// For a run that has not finished: the folder that holds the data set's files
    #[arg(long, value_name = "DIR")]
    data_root: Option<PathBuf>,
    /// Set a key of the run's recipe, as encoder.weights=PATH where that has moved; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum ProgramName {
    /// A safetensors file that its networks load as it is
    Torchvision,
    /// A folder that it opens as local-dir:FOLDER
    Timm,
    /// Renamed tensors in a pickle, and configurations of MoCo's protocol on VOC and COCO
    Detectron2,
}

impl From<ProgramName> for Program {
    fn from(name: ProgramName) -> Self {
        match name {
            ProgramName::Torchvision => Self::Torchvision,
            ProgramName::Timm => Self::Timm,
            ProgramName::Detectron2 => Self::Detectron2,
        }
    }
}

pub(crate) fn run(
    arguments: &Arguments,
    registry: &Registry,
    cancellation: &Cancellation,
) -> Result<(), Failure> {
    let Arguments { run, out, program, .. } = arguments;
    let program = program.map(Program::from);
    let place = RunOptions {
        data_root: arguments.data_root.clone(),
        device: None,
        settings: arguments.settings.clone(),
    };
    let recipe = place.run_recipe(run, registry)?;
    check_export(&recipe, program)?;
    let written = check_place(&recipe, out, program)?;
    if program.is_none() && recipe.settings().text("encoder.stem") == Some("cifar") {
        warn(&["the stem is `cifar`, and that of torchvision, timm and detectron2 is `imagenet`: its conv1 and maxpool must be replaced \
                before these weights are loaded into another program, and its maps are four times as wide and high"
            .to_owned()]);
    }
    if result::stage(run)? == Stage::Unfinished {
        // BatchNorm's statistics are estimated on the data.
        let experiment = open(Some(run), recipe, registry, cancellation)?;
        let (mut network, step) = network(&experiment, run)?;
        experiment.export((&mut *network, step), run, out, program)?;
    } else {
        export(&recipe, run, out, program)?;
    }
    let written: Vec<String> = written.iter().map(|path| path.display().to_string()).collect();
    tell(format_args!("wrote {}", written.join(", ")));
    Ok(())
}

/// Checks that the encoder can be written at `out` and nothing is lost by it, and says which files that are.
fn check_place(recipe: &ValidRecipe, out: &Path, program: Option<Program>) -> Result<Vec<PathBuf>, Failure> {
    let files = program.map_or_else(|| Ok(vec![out.to_owned()]), |program| program.files(out))?;
    let kinds: &[Kind] = match program {
        Some(Program::Detectron2) => &[Kind::Pickle, Kind::Configuration, Kind::Configuration],
        // A new folder is made.
        Some(Program::Timm) if out.exists() => {
            let problem = "it is there already, and a new folder is made for timm";
            return Err(Failure::usage(format!("{} cannot be written: {problem}", out.display())));
        }
        _ => &[Kind::Weights],
    };
    // Of texts a new folder is written, which is refused where it is there already.
    if !out.is_dir() || program.is_some() {
        let outputs: Vec<(&Path, Kind)> =
            files.iter().map(PathBuf::as_path).zip(kinds.iter().copied()).collect();
        Sources::of(recipe).check(&outputs)?;
    }
    Ok(files)
}
