//! What the commands on runs share: opening a recipe or a run with its data.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lookalike_data::graph::is_path;
use lookalike_learn::LearnError;
use lookalike_learn::experiment::AnyExperiment;
use lookalike_learn::recipe::{Modality, Recipe, ValidRecipe};

use crate::failure::Failure;
use crate::progress::Terminal;

/// What every command that opens data and a device can be told.
#[derive(clap::Args, Clone)]
pub(crate) struct RunOptions {
    /// Folder that holds the data set's files
    #[arg(long, value_name = "DIR")]
    pub(crate) data_root: Option<PathBuf>,
    /// Where to compute: cpu, cuda:0, wgpu
    #[arg(long)]
    pub(crate) device: Option<String>,
    /// Set any key of the recipe, for instance train.epochs=5; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) settings: Vec<String>,
}

impl RunOptions {
    /// Reads and checks the recipe at `path`, with what was given on the command line.
    pub(crate) fn recipe(&self, path: &Path) -> Result<ValidRecipe, LearnError> {
        let mut recipe = Recipe::read(path, &self.settings)?;
        if let Some(root) = &self.data_root {
            recipe.data.root = Some(root.clone());
        }
        if recipe.modality() != Modality::Images {
            // Where graphs are looked for otherwise.
            let root = recipe.data.root.get_or_insert_with(|| PathBuf::from("."));
            let path = Path::new(&recipe.data.name);
            if is_path(&recipe.data.name) && !root.join(path).exists() && path.exists() {
                let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
                recipe.data.name = path.to_string_lossy().into_owned();
            }
        }
        // A run may be resumed from elsewhere.
        recipe.data.root = recipe.data.root.map(|root| std::path::absolute(&root).unwrap_or(root));
        if let Some(device) = &self.device {
            recipe.train.device.clone_from(device);
        }
        recipe.validate()
    }

    /// The recipe of a run folder.
    pub(crate) fn run_recipe(&self, run: &Path) -> Result<ValidRecipe, Failure> {
        let path = run.join("recipe.toml");
        if !path.exists() {
            return Err(Failure::usage(format!("{} is not a run: it has no recipe.toml", run.display())));
        }
        Ok(self.recipe(&path)?)
    }

    /// Opens the experiment of a run folder.
    pub(crate) fn open_run(&self, run: &Path) -> Result<AnyExperiment, Failure> {
        open(self.run_recipe(run)?)
    }
}

/// Opens an experiment and tells the user what is to be known about its data.
pub(crate) fn open(recipe: ValidRecipe) -> Result<AnyExperiment, Failure> {
    let (experiment, warnings) = AnyExperiment::open(recipe, Arc::new(Terminal))?;
    warn(&warnings);
    Ok(experiment)
}

/// Prints warnings to standard error.
pub(crate) fn warn(warnings: &[String]) {
    for warning in warnings {
        eprintln!("warning: {warning}");
    }
}

/// Does the same with an experiment on any kind of data.
macro_rules! with_any {
    ($any:expr, $experiment:ident => $then:expr) => {
        match $any {
            lookalike_learn::experiment::AnyExperiment::Images($experiment) => $then,
            lookalike_learn::experiment::AnyExperiment::GraphViews($experiment) => $then,
            lookalike_learn::experiment::AnyExperiment::Mvgrl($experiment) => $then,
            lookalike_learn::experiment::AnyExperiment::Nodes($experiment) => $then,
        }
    };
}
pub(crate) use with_any;
