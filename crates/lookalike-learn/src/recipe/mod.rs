//! Recipes: an experiment as a TOML file. Read by [`Recipe::parse`], checked by [`Recipe::validate`]; only a
//! [`ValidRecipe`] can run.

pub mod combinations;
pub mod encoder;
pub mod graphs;
pub mod learning;
pub mod readers;

use std::num::NonZero;
use std::path::{Path, PathBuf};

use lookalike_base::Seed;
use lookalike_data::graph::FeatureRule;
use lookalike_data::image::augment::AugmentOptions;
use lookalike_data::{DataOptions, loader::LoaderOptions};
use lookalike_sampling::SamplerOptions;
use serde::{Deserialize, Serialize};

use crate::engine::{DeviceName, Precision};
use crate::error::LearnError;
use crate::evaluate::EvaluateOptions;
use crate::train::{OptimizerKind, OptimizerOptions, Schedule, Shape};

pub use encoder::{EncoderKind, EncoderOptions, Modality};
pub use graphs::GraphsSection;
pub use learning::{
    Learning, LossKind, LossOptions, MethodKind, MethodOptions, NegativesKind, NegativesOptions,
    PredictorOptions, ProjectionSection,
};

/// A recipe as written: every key known and of the right type, nothing else checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The seed from which every random number of the run derives.
    #[serde(default)]
    pub seed: u64,
    /// Which images or graphs.
    pub data: DataOptions,
    /// How views are made of images.
    #[serde(default)]
    pub augment: AugmentOptions,
    /// How graphs are described and views made of them.
    #[serde(default, skip_serializing_if = "GraphsSection::is_empty")]
    pub graphs: GraphsSection,
    /// The network that is kept.
    #[serde(default)]
    pub encoder: EncoderOptions,
    /// What is learned from.
    #[serde(default)]
    pub method: MethodOptions,
    /// What it is contrasted with.
    #[serde(default)]
    pub negatives: NegativesOptions,
    /// What is minimised.
    #[serde(default)]
    pub loss: LossOptions,
    /// Who shares a batch.
    #[serde(default)]
    pub sampler: SamplerOptions,
    /// The update rule.
    #[serde(default)]
    pub optimizer: OptimizerOptions,
    /// How long, where, how fast.
    #[serde(default)]
    pub train: TrainSection,
    /// What is measured at the end.
    #[serde(default)]
    pub evaluate: EvaluateOptions,
}

/// The `[train]` section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainSection {
    /// Epochs by which the schedule is laid out.
    pub epochs: u64,
    /// Optimiser steps after which the run ends early; the schedule stays that of `epochs`.
    pub max_steps: Option<u64>,
    /// Epochs of linear warm-up.
    pub warmup_epochs: f64,
    /// What follows the warm-up.
    pub schedule: Shape,
    /// Batches averaged for one optimiser step; each batch keeps its own negatives.
    pub accumulate: u64,
    /// Optimiser steps between checkpoints; 0: one an epoch.
    pub checkpoint_every: u64,
    /// Optimiser steps between `step` events.
    pub log_every: u64,
    /// `cpu`, `cuda:0`, `wgpu`.
    pub device: String,
    /// What convolutions multiply in training; evaluation is always in `f32`.
    pub precision: Precision,
    /// Threads that make views; 0: one a core.
    pub loader_threads: usize,
    /// Batches that are kept ready at most.
    pub ahead: usize,
}

impl Default for TrainSection {
    fn default() -> Self {
        Self {
            epochs: 200,
            max_steps: None,
            warmup_epochs: 10.0,
            schedule: Shape::Cosine,
            accumulate: 1,
            checkpoint_every: 0,
            log_every: 10,
            device: "cpu".to_owned(),
            precision: Precision::F32,
            loader_threads: 0,
            ahead: 4,
        }
    }
}

/// A recipe that can run.
#[derive(Debug, Clone)]
pub struct ValidRecipe {
    recipe: Recipe,
    device: DeviceName,
}

impl Recipe {
    /// Reads a recipe from `text`, after setting the keys that `overrides` name (`train.epochs=5`).
    ///
    /// # Errors
    /// [`LearnError::Recipe`] with `place`, the line, and for an unknown key the nearest known one.
    pub fn parse(text: &str, place: &Path, overrides: &[String]) -> Result<Self, LearnError> {
        let refuse = |reason: String| LearnError::Recipe { place: place.display().to_string(), reason };
        // Read once as written, so that an error shows the user's own line.
        let plain: Result<Self, _> = toml::from_str(text);
        if overrides.is_empty() {
            return plain.map_err(|error| refuse(explain(&error)));
        }
        let mut table: toml::Table = text.parse().map_err(|error| refuse(explain(&error)))?;
        for setting in overrides {
            set(&mut table, setting)?;
        }
        table.try_into().map_err(|error: toml::de::Error| match &plain {
            Err(written) if written.message() == error.message() => refuse(explain(written)),
            _ => refuse(explain(&error)),
        })
    }

    /// Reads a recipe file, as [`Recipe::parse`].
    ///
    /// # Errors
    /// [`LearnError::Io`] where the file cannot be read, and those of [`Recipe::parse`].
    pub fn read(path: &Path, overrides: &[String]) -> Result<Self, LearnError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| LearnError::Io { path: path.to_owned(), source })?;
        Self::parse(&text, path, overrides)
    }

    /// Checks every value and combination before anything is opened or computed.
    ///
    /// # Errors
    /// [`LearnError::Recipe`] names the key, what is wrong and what would be right.
    pub fn validate(mut self) -> Result<ValidRecipe, LearnError> {
        let require = |holds: bool, key: &str, reason: &str| {
            let refusal = || LearnError::Recipe { place: key.to_owned(), reason: reason.to_owned() };
            holds.then_some(()).ok_or_else(refusal)
        };
        let (train, optimizer) = (&self.train, &self.optimizer);
        let within = |value: f64, low: f64, high: f64| (low..=high).contains(&value);
        require(train.epochs > 0, "train.epochs", "must be at least 1")?;
        require(train.max_steps != Some(0), "train.max_steps", "must be at least 1, or absent")?;
        require(
            within(train.warmup_epochs, 0.0, train.epochs as f64),
            "train.warmup_epochs",
            "must lie between 0 and train.epochs",
        )?;
        require(train.accumulate > 0, "train.accumulate", "must be at least 1")?;
        require(train.log_every > 0, "train.log_every", "must be at least 1")?;
        require(train.ahead > 0, "train.ahead", "must be at least 1")?;
        require(
            optimizer.learning_rate > 0.0 && optimizer.learning_rate.is_finite(),
            "optimizer.learning_rate",
            "must be above 0",
        )?;
        require(
            (0.0..1.0).contains(&optimizer.momentum),
            "optimizer.momentum",
            "must be at least 0 and below 1",
        )?;
        require(
            optimizer.weight_decay >= 0.0 && optimizer.weight_decay.is_finite(),
            "optimizer.weight_decay",
            "must not be negative",
        )?;
        require(
            optimizer.betas.iter().all(|beta| (0.0..1.0).contains(beta)),
            "optimizer.betas",
            "must be at least 0 and below 1",
        )?;
        require(
            optimizer.epsilon > 0.0 && optimizer.epsilon.is_finite(),
            "optimizer.epsilon",
            "must be above 0",
        )?;
        require(optimizer.trust > 0.0 && optimizer.trust.is_finite(), "optimizer.trust", "must be above 0")?;
        require(
            !optimizer.nesterov || optimizer.kind == OptimizerKind::Sgd,
            "optimizer.nesterov",
            "is a form of `sgd`; the other kinds have none",
        )?;
        let projection = &self.method.projection;
        require(
            projection.layers == 0 || projection.dimension != Some(0),
            "method.projection.dimension",
            "must be at least 1",
        )?;
        self.augment
            .validate()
            .map_err(|error| LearnError::Recipe { place: "augment".to_owned(), reason: error.to_string() })?;
        self.evaluate.validate()?;
        let device = train.device.parse()?;
        self.validate_learning()?;
        self.validate_graphs()?;
        Ok(ValidRecipe { recipe: self, device })
    }
}

impl ValidRecipe {
    /// The recipe that was found valid.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// The same recipe with the description of nodes that it leaves to the data written out.
    #[must_use]
    pub fn with_features(mut self, features: &FeatureRule) -> Self {
        self.recipe.graphs.features = Some(features.clone());
        self
    }

    /// Where it is to run.
    pub fn device(&self) -> DeviceName {
        self.device
    }

    /// The run's seed.
    pub fn seed(&self) -> Seed {
        Seed(self.recipe.seed)
    }

    /// The recipe as TOML, every default written out.
    ///
    /// # Errors
    /// [`LearnError::Recipe`] where a value cannot be written as TOML, such as a seed above 2⁶³.
    pub fn to_toml(&self) -> Result<String, LearnError> {
        toml::to_string(&self.recipe)
            .map_err(|error| LearnError::Recipe { place: "recipe".to_owned(), reason: error.to_string() })
    }

    /// What decides the numbers of the run: the recipe without where and how fast it runs. A run may be resumed on
    /// another device or with more threads, not with another schedule.
    ///
    /// # Errors
    /// As [`ValidRecipe::to_toml`].
    pub fn identity(&self) -> Result<String, LearnError> {
        let mut same = self.clone();
        let (train, defaults) = (&mut same.recipe.train, TrainSection::default());
        train.device = defaults.device;
        train.max_steps = defaults.max_steps;
        train.loader_threads = defaults.loader_threads;
        train.ahead = defaults.ahead;
        train.checkpoint_every = defaults.checkpoint_every;
        train.log_every = defaults.log_every;
        same.recipe.data.root = None;
        same.recipe.evaluate = EvaluateOptions::default();
        same.to_toml()
    }

    /// Optimiser steps an epoch of `batches` batches has, on average, and the schedule of the whole run.
    pub fn schedule(&self, batches_per_epoch: u64) -> Schedule {
        let train = &self.recipe.train;
        let steps =
            |epochs: f64| (epochs * batches_per_epoch as f64 / train.accumulate as f64).floor() as u64;
        Schedule {
            base: self.recipe.optimizer.learning_rate,
            warmup: steps(train.warmup_epochs),
            total: steps(train.epochs as f64).max(1),
            shape: train.schedule,
        }
    }

    /// Optimiser steps between checkpoints.
    pub fn checkpoint_every(&self, batches_per_epoch: u64) -> u64 {
        match self.recipe.train.checkpoint_every {
            0 => (batches_per_epoch / self.recipe.train.accumulate).max(1),
            every => every,
        }
    }

    /// Threads and depth of the loader.
    pub fn loader(&self) -> LoaderOptions {
        let cores = || std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
        let train = &self.recipe.train;
        let threads = NonZero::new(train.loader_threads).unwrap_or_else(cores);
        LoaderOptions { threads, ahead: NonZero::new(train.ahead).unwrap_or(NonZero::<usize>::MIN) }
    }
}

/// Sets the key that `setting` (`section.key=value`) names.
fn set(table: &mut toml::Table, setting: &str) -> Result<(), LearnError> {
    let refuse =
        |reason: &str| LearnError::Recipe { place: format!("--set {setting}"), reason: reason.to_owned() };
    let (path, value) = setting.split_once('=').ok_or_else(|| refuse("write it as section.key=value"))?;
    // A value that is no TOML is a bare string: `--set data.name=cifar10`.
    let value = format!("value = {value}")
        .parse::<toml::Table>()
        .ok()
        .and_then(|mut parsed| parsed.remove("value"))
        .unwrap_or_else(|| toml::Value::String(value.to_owned()));
    let mut keys: Vec<&str> = path.trim().split('.').collect();
    let last = keys.pop().filter(|key| !key.is_empty()).ok_or_else(|| refuse("it names no key"))?;
    let mut here = table;
    for key in keys {
        let entry = here.entry(key).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        here = entry.as_table_mut().ok_or_else(|| refuse(&format!("`{key}` is a value, not a section")))?;
    }
    here.insert(last.to_owned(), value);
    Ok(())
}

/// The reader's message, with the nearest valid name where one was misspelt.
fn explain(error: &toml::de::Error) -> String {
    let text = error.to_string();
    let message = error.message();
    let mut quoted = message.split('`').skip(1).step_by(2);
    let nearest = quoted.next().filter(|_| message.starts_with("unknown")).and_then(|wrong| {
        quoted.max_by(|a, b| strsim::jaro_winkler(wrong, a).total_cmp(&strsim::jaro_winkler(wrong, b)))
    });
    match nearest {
        Some(nearest) => format!("{}\nhint: did you mean `{nearest}`?", text.trim_end()),
        None => text.trim_end().to_owned(),
    }
}

/// The path under `runs/` for a run of the recipe at `path`: its name and a number that is not taken.
pub fn new_run_folder(path: &Path) -> PathBuf {
    let name = path.file_stem().map_or_else(|| "run".into(), std::ffi::OsStr::to_string_lossy);
    let numbered = |number: u32| Path::new("runs").join(format!("{name}-{number:03}"));
    (1..u32::MAX).map(numbered).find(|folder| !folder.exists()).unwrap_or_else(|| numbered(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, overrides: &[&str]) -> Result<Recipe, LearnError> {
        let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
        Recipe::parse(text, Path::new("test.toml"), &overrides)
    }

    const GLYPHS: &str = "[data]\nname = \"glyphs\"\n";

    #[test]
    fn a_misspelt_key_is_refused_with_its_line_and_the_nearest_valid_one() {
        let error = parse(&format!("{GLYPHS}[train]\nepocs = 3\n"), &[]).unwrap_err().to_string();
        assert!(error.contains("test.toml") && error.contains("line 4"), "{error}");
        assert!(error.contains("did you mean `epochs`?"), "{error}");
    }

    #[test]
    fn a_misspelt_value_is_refused_with_the_nearest_valid_one() {
        let error = parse(&format!("{GLYPHS}[encoder]\nkind = \"resnet81\"\n"), &[]).unwrap_err().to_string();
        assert!(error.contains("did you mean `resnet18`?"), "{error}");
        let error = parse(GLYPHS, &["train.precision=bf61"]).unwrap_err().to_string();
        assert!(error.contains("did you mean `bf16`?"), "{error}");
    }

    #[test]
    fn overrides_set_numbers_strings_and_new_sections() {
        let overrides =
            ["train.epochs=5", "data.name=cifar10", "optimizer.kind=lars", "sampler.batch_size=64"];
        let recipe = parse(GLYPHS, &overrides).unwrap();
        assert_eq!((recipe.train.epochs, recipe.data.name.as_str()), (5, "cifar10"));
        assert_eq!(recipe.optimizer.kind, OptimizerKind::Lars);
        assert!(
            parse(GLYPHS, &["train.epocs=5"]).unwrap_err().to_string().contains("did you mean `epochs`?")
        );
        assert!(parse(GLYPHS, &["train.epochs"]).is_err());
        assert!(parse(GLYPHS, &["data.name.x=1"]).is_err());
    }

    #[test]
    fn impossible_values_are_refused_by_key() {
        for (setting, key) in [
            ("loss.temperature=0.0", "loss.temperature"),
            ("train.warmup_epochs=1e9", "train.warmup_epochs"),
            ("train.accumulate=0", "train.accumulate"),
            ("optimizer.momentum=1.0", "optimizer.momentum"),
            ("train.device=tpu", "tpu"),
        ] {
            let error = parse(GLYPHS, &[setting]).unwrap().validate().unwrap_err().to_string();
            assert!(error.contains(key), "{setting}: {error}");
        }
        let nesterov = parse(GLYPHS, &["optimizer.kind=adam", "optimizer.nesterov=true"]).unwrap();
        assert!(nesterov.validate().unwrap_err().to_string().contains("nesterov"));
    }

    #[test]
    fn a_recipe_written_out_reads_back_the_same() {
        let recipe = parse(GLYPHS, &["train.max_steps=7"]).unwrap();
        let valid = recipe.validate().unwrap();
        assert_eq!(parse(&valid.to_toml().unwrap(), &[]).unwrap(), *valid.recipe());
        assert_eq!(
            valid.recipe().loss.kind,
            Some(LossKind::NtXent),
            "what the method chooses is written out"
        );
    }

    #[test]
    fn where_and_how_fast_a_run_goes_is_no_part_of_its_identity() {
        let identity =
            |overrides: &[&str]| parse(GLYPHS, overrides).unwrap().validate().unwrap().identity().unwrap();
        assert_eq!(identity(&["train.loader_threads=3", "train.device=wgpu"]), identity(&[]));
        assert_ne!(identity(&["seed=1"]), identity(&[]));
        assert_ne!(identity(&["train.precision=bf16"]), identity(&[]));
    }

    #[test]
    fn accumulation_shortens_the_schedule_not_the_run() {
        let recipe =
            parse(GLYPHS, &["train.epochs=4", "train.warmup_epochs=1.0", "train.accumulate=2"]).unwrap();
        let schedule = recipe.validate().unwrap().schedule(10);
        assert_eq!((schedule.warmup, schedule.total), (5, 20));
    }
}
