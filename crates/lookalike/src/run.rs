//! What the commands on runs share: opening a recipe or a run with its data.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lookalike_base::lock::owner_of;
use lookalike_base::progress::Cancellation;
use lookalike_data::graph::is_path;
use lookalike_data::image::classes::PUBLISHED;
use lookalike_learn::experiment::Experiment;
use lookalike_learn::recipe::{Recipe, ValidRecipe};
use lookalike_learn::train::trainer::RECIPE;
use lookalike_learn::{LearnError, Registry};

use crate::failure::Failure;
use crate::output::tell;
use crate::progress::Terminal;

/// What every command that opens data and a device can be told.
#[derive(clap::Args, Clone, Default)]
pub(crate) struct RunOptions {
    /// The folder that holds the data set's files
    #[arg(long, value_name = "DIR")]
    pub(crate) data_root: Option<PathBuf>,
    /// The device that computes: cpu, cuda:0, wgpu
    #[arg(long)]
    pub(crate) device: Option<String>,
    /// Set any key of the recipe, for instance train.epochs=5; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) settings: Vec<String>,
}

impl RunOptions {
    /// Reads and checks the recipe at `path`, with what was given on the command line.
    pub(crate) fn recipe(&self, path: &Path, registry: &Registry) -> Result<ValidRecipe, LearnError> {
        let mut recipe = Recipe::read(path, &self.settings, registry)?;
        recipe.set_path("data.root", self.data_root.as_deref());
        let mut root = recipe.settings().text("data.root").map(PathBuf::from);
        if recipe.choose(registry)?.modality.finds_paths {
            // Where they are looked for otherwise.
            let root = root.get_or_insert_with(|| PathBuf::from("."));
            let name = recipe.settings().text("data.name").unwrap_or_default().to_owned();
            let path = Path::new(&name);
            if is_path(&name) && !root.join(path).exists() && path.exists() {
                recipe.set_path("data.name", Some(&absolute(path)));
            }
        }
        // A run may be resumed from elsewhere.
        recipe.set_path("data.root", root.map(|root| absolute(&root)).as_deref());
        let weights = recipe.settings().text("encoder.weights").map(|path| absolute(Path::new(path)));
        recipe.set_path("encoder.weights", weights.as_deref());
        let classes = recipe.settings().text("data.classes").filter(|name| !PUBLISHED.contains(name));
        let classes = classes.map(|path| absolute(Path::new(path)));
        recipe.set_path("data.classes", classes.as_deref());
        if let Some(device) = &self.device {
            recipe.set("train.device", device.clone());
        }
        recipe.validate(registry)
    }

    /// The same on other data, where these are named: their classes and parts are their own.
    #[must_use]
    pub(crate) fn on(mut self, data: Option<&str>) -> Self {
        const OWN: [&str; 5] =
            ["data.classes=", "data.share=", "data.test_share=", "data.together=", "data.unlabelled="];
        if let Some(name) = data {
            self.settings.splice(0..0, OWN.map(str::to_owned));
            self.settings.push(format!("data.name={name}"));
        }
        self
    }

    /// The recipe of a run folder.
    pub(crate) fn run_recipe(&self, run: &Path, registry: &Registry) -> Result<ValidRecipe, Failure> {
        let path = run.join(RECIPE);
        if !path.exists() {
            return Err(no_run(run, &format!("is not a run: it has no {RECIPE}")));
        }
        Ok(self.recipe(&path, registry)?)
    }

    /// Opens the experiment of a run folder, whose recipe with these options is given.
    pub(crate) fn open_run(
        &self,
        run: &Path,
        recipe: ValidRecipe,
        registry: &Registry,
        cancellation: &Cancellation,
    ) -> Result<Experiment, Failure> {
        // Other data have other instances.
        let other =
            |setting: &String| setting.starts_with("data.") && !setting.starts_with("data.skip_corrupt");
        let others = self.data_root.is_some() || self.settings.iter().any(other);
        if !others {
            return open(Some(run), recipe, registry, cancellation);
        }
        let (experiment, warnings) =
            Experiment::open_others(run, recipe, registry, Arc::new(Terminal), cancellation)?;
        warn(&warnings);
        Ok(experiment)
    }
}

/// The refusal of a folder without a recipe: `what` it is, or who has just taken it.
pub(crate) fn no_run(run: &Path, what: &str) -> Failure {
    let shown = run.display();
    // Who has just taken a folder for a new run writes the recipe once the data are open.
    if let Some(owner) = owner_of(run) {
        return Failure::usage(format!("{shown} holds no run yet: {owner}, has just begun one there"));
    }
    Failure::usage(format!("{shown} {what}"))
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// Opens an experiment, in the folder of its run where it has one, and tells the user what is to be known about its data.
pub(crate) fn open(
    run: Option<&Path>,
    recipe: ValidRecipe,
    registry: &Registry,
    cancellation: &Cancellation,
) -> Result<Experiment, Failure> {
    let (experiment, warnings) =
        Experiment::open_in(run, recipe, registry, Arc::new(Terminal), cancellation)?;
    warn(&warnings);
    Ok(experiment)
}

/// Prints warnings to standard error.
pub(crate) fn warn(warnings: &[String]) {
    for warning in warnings {
        tell(format_args!("warning: {warning}"));
    }
}
