//! Recipes: an experiment as a TOML file. Read by [`Recipe::parse`], checked by [`Recipe::validate`]; only a
//! [`ValidRecipe`] can run.
//!
//! What a recipe can say is nowhere listed here: the sections and keys are those of the entries of a [`Registry`].

pub mod reference;

mod validate;

use std::num::NonZero;
use std::ops::Range;
use std::path::Path;

use lookalike_base::Seed;
use lookalike_base::words::did_you_mean;
use lookalike_data::loader::LoaderOptions;
use lookalike_sampling::{SamplerKind, SamplerOptions};
use toml::de::{DeTable, DeValue};
use toml::{Table, Value as Toml};

use crate::engine::DeviceName;
use crate::error::LearnError;
use crate::modality::Measure;
use crate::negatives::Known;
use crate::options::{Problem, Settings, unknown};
use crate::registry::{Choice, Registry};
use crate::train::identity::ELSEWHERE;
use crate::train::{Drops, Heeding, OptimizerOptions, OracleSetup, Schedule};

pub use crate::sections::TrainSection;

/// A recipe as written: every key known and of a possible value, nothing else checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    settings: Settings,
}

/// A recipe that can run.
#[derive(Debug, Clone)]
pub struct ValidRecipe {
    settings: Settings,
    choice: Choice,
    measures: Vec<Measure>,
    sampler: SamplerOptions,
    optimizer: OptimizerOptions,
    train: TrainSection,
    device: DeviceName,
    /// Whether the size of a batch is the default, which fits itself to the data.
    fits_batch: bool,
    /// What fitted itself to the rest of the recipe or to the data, in words.
    notes: Vec<String>,
}

impl Recipe {
    /// Reads a recipe from `text`, after setting the keys that `overrides` name (`train.epochs=5`); without a value (`train.max_steps=`)
    /// the key is taken away.
    ///
    /// # Errors
    /// [`LearnError::Recipe`] with `place`, the line, and for an unknown key or name the nearest known one.
    pub fn parse(
        text: &str,
        place: &Path,
        overrides: &[String],
        registry: &Registry,
    ) -> Result<Self, LearnError> {
        let refuse = |reason: String| LearnError::Recipe { place: place.display().to_string(), reason };
        let mut table: Table =
            text.parse().map_err(|error: toml::de::Error| refuse(error.to_string().trim_end().to_owned()))?;
        for setting in overrides {
            set(&mut table, setting, registry)?;
        }
        let at_its_place = |Problem { path, reason }: Problem| {
            if let Some(setting) = overrides.iter().rev().find(|setting| concerns(setting, &path)) {
                let reason = format!("{path}: {reason}");
                return LearnError::Recipe { place: format!("--set {setting}"), reason };
            }
            let shown = match line_of(text, &path) {
                Some(line) => format!("line {line}: {path}: {reason}"),
                None => format!("{path}: {reason}"),
            };
            refuse(shown)
        };
        check(&table, registry).map_err(at_its_place)?;
        Ok(Self { settings: Settings(table) })
    }

    /// Reads a recipe file, as [`Recipe::parse`].
    ///
    /// # Errors
    /// [`LearnError::Io`] where the file cannot be read, and those of [`Recipe::parse`].
    pub fn read(path: &Path, overrides: &[String], registry: &Registry) -> Result<Self, LearnError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| LearnError::Io { path: path.to_owned(), source })?;
        Self::parse(&text, path, overrides, registry)
    }

    /// What it says.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Sets the key at `path`.
    pub fn set(&mut self, path: &str, value: impl Into<Toml>) {
        self.settings.set(path, value.into());
    }

    /// Sets a path at `path`, where there is one.
    pub fn set_path(&mut self, path: &str, value: Option<&Path>) {
        if let Some(value) = value {
            self.set(path, value.to_string_lossy().into_owned());
        }
    }

    /// What the recipe chooses, all else unchecked.
    ///
    /// # Errors
    /// [`LearnError::Recipe`] where a name is unknown or does not go with the method.
    pub fn choose(&self, registry: &Registry) -> Result<Choice, LearnError> {
        validate::choose(&self.settings, registry).map(|(_, choice)| choice)
    }

    /// Checks every value and combination before anything is opened or computed.
    ///
    /// # Errors
    /// [`LearnError::Recipe`] names the key, what is wrong and what would be right.
    pub fn validate(self, registry: &Registry) -> Result<ValidRecipe, LearnError> {
        validate::validate(&self.settings, registry)
    }
}

/// Checks that every key is known and has a value that one of its readers takes.
fn check(table: &Table, registry: &Registry) -> Result<(), Problem> {
    let (offers, sections) = (registry.offers(), registry.sections());
    for (section, value) in table {
        if section == "seed" {
            let holds = value.as_integer().is_some_and(|seed| seed >= 0);
            let reason = || "must be an integer, 0 to 2⁶³ − 1".to_owned();
            holds.then_some(()).ok_or_else(|| Problem { path: section.clone(), reason: reason() })?;
            continue;
        }
        if !sections.contains(&section.as_str()) {
            let hint = did_you_mean(section, sections.iter().copied().chain(["seed"]));
            let reason = format!("there is no section or key of that name{hint}");
            return Err(Problem { path: section.clone(), reason });
        }
        let Some(keys) = value.as_table() else {
            return Err(Problem { path: section.clone(), reason: "must be a section".to_owned() });
        };
        for (name, value) in keys {
            let own = || offers.iter().filter(|offer| offer.section == section && offer.key.name == name);
            if let Some(names) = registry.kinds(section).filter(|_| name == "kind") {
                check_kind(section, value, &names)?;
                continue;
            }
            let mut problem = None;
            let fits = own().any(|offer| match offer.key.check(section, value) {
                Ok(()) => true,
                Err(found) => {
                    problem.get_or_insert(found);
                    false
                }
            });
            if fits {
                continue;
            }
            let known = offers.iter().filter(|offer| offer.section == section).map(|offer| offer.key.name);
            return Err(problem.unwrap_or_else(|| unknown(section, name, known.chain(["kind"]))));
        }
    }
    Ok(())
}

fn check_kind(section: &str, value: &Toml, names: &[&'static str]) -> Result<(), Problem> {
    if value.as_str().is_some_and(|kind| names.contains(&kind)) {
        return Ok(());
    }
    let found = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let hint = did_you_mean(&found, names.iter().copied());
    let reason = format!("`{found}` is not one of {}{hint}", crate::registry::quoted(names));
    Err(Problem { path: format!("{section}.kind"), reason })
}

/// The line of `text` on which the key at `path`, or the last of it that is there, stands.
fn line_of(text: &str, path: &str) -> Option<usize> {
    fn find(table: &DeTable<'_>, keys: &[&str]) -> Option<Range<usize>> {
        let (first, rest) = keys.split_first()?;
        let (name, value) = table.iter().find(|(name, _)| name.get_ref() == first)?;
        let inner = match value.get_ref() {
            DeValue::Table(inner) => find(inner, rest),
            _ => None,
        };
        inner.or_else(|| rest.is_empty().then(|| name.span()))
    }
    let table = DeTable::parse(text).ok()?;
    let keys: Vec<&str> = path.split('.').collect();
    let span = (1..=keys.len()).rev().find_map(|length| find(table.get_ref(), &keys[..length]))?;
    Some(text[..span.start].matches('\n').count() + 1)
}

impl ValidRecipe {
    /// All it says, every default written out.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What it chooses.
    pub fn choice(&self) -> &Choice {
        &self.choice
    }

    /// What an evaluation of it measures.
    pub fn measures(&self) -> &[Measure] {
        &self.measures
    }

    /// Who shares a batch.
    pub fn sampler(&self) -> &SamplerOptions {
        &self.sampler
    }

    /// The update rule.
    pub fn optimizer(&self) -> &OptimizerOptions {
        &self.optimizer
    }

    /// How long, where, how fast.
    pub fn train(&self) -> &TrainSection {
        &self.train
    }

    /// The columns that its method reads of a batch.
    pub fn columns(&self) -> &'static [&'static str] {
        self.choice.method.columns(&self.settings)
    }

    /// The same recipe with what it leaves to the data written out.
    #[must_use]
    pub fn settled(mut self, settled: Vec<(&'static str, Toml)>) -> Self {
        for (path, value) in settled {
            self.settings.set(path, value);
        }
        self
    }

    /// The same recipe with what nobody set fitted to so many instances, and what came of that in words.
    ///
    /// # Errors
    /// [`LearnError::Recipe`] where what is fitted does not go with what was set.
    pub fn fitted(self, instances: usize) -> Result<(Self, Vec<String>), LearnError> {
        validate::fit(self, instances)
    }

    /// The same recipe from another seed.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.settings.set("seed", Toml::Integer(seed as i64));
        self
    }

    /// Whom its batches and losses take to be of one class; `None` where they do not ask.
    pub fn oracle(&self) -> Option<OracleSetup> {
        let options = self.train.oracle.clone()?;
        let heeds = |who| options.to == Heeding::All || options.to == who;
        let own = self.settings.integer("method.clusters").map(|clusters| clusters as usize);
        Some(OracleSetup {
            known: (heeds(Heeding::Negatives) && self.choice.loss.softmax).then(Known::default),
            walks: heeds(Heeding::Sampler) && self.sampler.kind != SamplerKind::Uniform,
            clusters: options.clusters.or(own).unwrap_or(0),
            options,
        })
    }

    /// Where it is to run.
    pub fn device(&self) -> DeviceName {
        self.device
    }

    /// The run's seed.
    pub fn seed(&self) -> Seed {
        Seed(self.settings.integer("seed").unwrap_or(0) as u64)
    }

    /// The recipe as TOML, every default written out.
    ///
    /// # Errors
    /// [`LearnError::Recipe`] where a value cannot be written as TOML.
    pub fn to_toml(&self) -> Result<String, LearnError> {
        toml::to_string(&self.settings.0)
            .map_err(|error| LearnError::Recipe { place: "recipe".to_owned(), reason: error.to_string() })
    }

    /// What decides the numbers of the run: the recipe without where and how fast it runs. A run may be resumed on
    /// another device or with more threads, not with another schedule. Where weights came from is in the checkpoint by then.
    ///
    /// # Errors
    /// As [`ValidRecipe::to_toml`].
    pub fn identity(&self) -> Result<String, LearnError> {
        let mut same = self.clone();
        for path in ELSEWHERE {
            same.settings.remove(path);
        }
        same.to_toml()
    }

    /// Optimiser steps an epoch of `batches` batches has, on average, and the schedule of the whole run.
    pub fn schedule(&self, batches_per_epoch: u64) -> Schedule {
        let train = &self.train;
        let steps =
            |epochs: f64| (epochs * batches_per_epoch as f64 / train.accumulate as f64).floor() as u64;
        Schedule {
            begins: 0,
            base: self.optimizer.learning_rate,
            warmup: steps(train.warmup_epochs),
            total: steps(train.epochs as f64).max(1),
            shape: train.schedule,
            drops: Drops {
                at: train.drop_at.iter().flatten().map(|epochs| steps(*epochs)).collect(),
                factor: train.drop_factor.unwrap_or(DROP),
            },
        }
    }

    /// Optimiser steps between checkpoints.
    pub fn checkpoint_every(&self, batches_per_epoch: u64) -> u64 {
        match self.train.checkpoint_every {
            0 => (batches_per_epoch / self.train.accumulate).max(1),
            every => every,
        }
    }

    /// Threads and depth of the loader.
    pub fn loader(&self) -> LoaderOptions {
        let cores = || std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
        let threads = NonZero::new(self.train.loader_threads).unwrap_or_else(cores);
        LoaderOptions { threads, ahead: NonZero::new(self.train.ahead).unwrap_or(NonZero::<usize>::MIN) }
    }

    /// Checks what needs the number of instances and whether they have labels, before a single step; `steps` are those of the
    /// schedule.
    ///
    /// # Errors
    /// [`LearnError::Recipe`], as in validation.
    pub fn check_with_data(&self, instances: usize, labelled: bool, steps: u64) -> Result<(), LearnError> {
        validate::check_with_data(self, instances, labelled, steps)
    }
}

/// What a rate is multiplied by at each drop, where a recipe does not say: as in most published schedules.
const DROP: f64 = 0.1;

/// Whether `setting` (`section.key=value`) gave what stands at `path`.
fn concerns(setting: &str, path: &str) -> bool {
    let key = setting.split('=').next().unwrap_or_default().trim();
    let within = |inner: &str, outer: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    !key.is_empty() && (within(path, key) || within(key, path))
}

/// Sets the key that `setting` (`section.key=value`) names, or takes it away where there is no value.
fn set(table: &mut Table, setting: &str, registry: &Registry) -> Result<(), LearnError> {
    let refuse =
        |reason: &str| LearnError::Recipe { place: format!("--set {setting}"), reason: reason.to_owned() };
    let (path, text) = setting.split_once('=').ok_or_else(|| refuse("write it as section.key=value"))?;
    let (path, text) = (path.trim(), text.trim());
    let mut keys: Vec<&str> = path.split('.').collect();
    let last = keys.pop().filter(|key| !key.is_empty()).ok_or_else(|| refuse("it names no key"))?;
    let mut here = table;
    for key in keys {
        let entry = here.entry(key).or_insert_with(|| Toml::Table(Table::new()));
        here = entry.as_table_mut().ok_or_else(|| refuse(&format!("`{key}` is a value, not a section")))?;
    }
    let known = |section: &str, name: &str| {
        registry.offers().iter().any(|offer| offer.section == section && offer.key.name == name)
    };
    match path.split_once('.') {
        _ if !text.is_empty() => here.insert(last.to_owned(), value_of(path, text, registry)),
        Some((section, name)) if name != last || name == "kind" || known(section, name) => here.remove(last),
        // What is not known is told with the nearest name, as it is with a value.
        _ => here.insert(last.to_owned(), Toml::String(String::new())),
    };
    Ok(())
}

/// The value that `text` is at `path`. What is no TOML is a bare string (`data.name=cifar10`), and so is what could be read as a number
/// where only a string is possible (`data.root=2024`).
fn value_of(path: &str, text: &str, registry: &Registry) -> Toml {
    let string = Toml::String(text.to_owned());
    let parsed = format!("value = {text}").parse::<Table>().ok();
    let Some(value) = parsed.and_then(|mut parsed| parsed.remove("value")) else { return string };
    let offers = registry.offers();
    let fits = |value: &Toml| {
        offers.iter().any(|offer| offer.path() == path && offer.key.check(offer.section, value).is_ok())
    };
    if !fits(&value) && fits(&string) { string } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, overrides: &[&str]) -> Result<Recipe, LearnError> {
        let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
        Recipe::parse(text, Path::new("test.toml"), &overrides, &Registry::standard())
    }

    fn valid(overrides: &[&str]) -> Result<ValidRecipe, LearnError> {
        parse(GLYPHS, overrides)?.validate(&Registry::standard())
    }

    const GLYPHS: &str = "[data]\nname = \"glyphs\"\n";

    #[test]
    fn a_misspelt_key_is_refused_with_its_line_and_the_nearest_valid_one() {
        let error = parse(&format!("{GLYPHS}[train]\nepocs = 3\n"), &[]).unwrap_err().to_string();
        assert!(error.contains("test.toml") && error.contains("line 4"), "{error}");
        assert!(error.contains("did you mean `epochs`?"), "{error}");
        let error = parse(&format!("{GLYPHS}[trian]\nepochs = 3\n"), &[]).unwrap_err().to_string();
        assert!(error.contains("line 3") && error.contains("did you mean `train`?"), "{error}");
        let error = parse(&format!("{GLYPHS}[sampler]\nrestart = {{ form = 0.1 }}\n"), &[]).unwrap_err();
        assert!(error.to_string().contains("did you mean `from`?"), "{error}");
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
            ["train.epochs=50", "data.name=cifar10", "optimizer.kind=lars", "sampler.batch_size=64"];
        let recipe = valid(&overrides).unwrap();
        assert_eq!((recipe.train().epochs, recipe.settings().text("data.name")), (50, Some("cifar10")));
        assert_eq!(recipe.optimizer().kind, crate::train::OptimizerKind::Lars);
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
            ("seed=-1", "seed"),
        ] {
            let error = valid(&[setting]).unwrap_err().to_string();
            assert!(error.contains(key), "{setting}: {error}");
        }
        let nesterov = valid(&["optimizer.kind=adam", "optimizer.nesterov=true"]);
        assert!(nesterov.unwrap_err().to_string().contains("nesterov"));
    }

    #[test]
    fn what_was_set_on_the_command_line_is_blamed_and_not_the_file() {
        for (setting, reason) in [
            ("train.epochs=many", "must be a whole number, at least 1"),
            ("train.epocs=", "did you mean `epochs`?"),
            ("sampler.restart={ form = 0.1 }", "did you mean `from`?"),
            ("method.kind=byol", "is not one of"),
            ("epochs", "write it as section.key=value"),
        ] {
            let error = parse(GLYPHS, &["seed=3", setting]).unwrap_err().to_string();
            assert!(error.starts_with(&format!("--set {setting}: ")) && error.contains(reason), "{error}");
            assert!(!error.contains("did you mean") || reason.contains("did you mean"), "{error}");
        }
    }

    #[test]
    fn where_a_string_is_wanted_a_number_is_one() {
        let recipe = parse(GLYPHS, &["data.root=2024", "data.name = 7"]).unwrap();
        let text = |path| recipe.settings().text(path);
        assert_eq!((text("data.root"), text("data.name")), (Some("2024"), Some("7")));
        assert_eq!(parse(GLYPHS, &["train.epochs=7"]).unwrap().settings().integer("train.epochs"), Some(7));
    }

    #[test]
    fn a_key_without_a_value_is_taken_away() {
        let text = format!("{GLYPHS}[train]\nmax_steps = 3\n[sampler]\nrestart = {{ from = 0.3 }}\n");
        let recipe = parse(&text, &["train.max_steps=", "sampler.restart.from="]).unwrap();
        assert_eq!(recipe.settings().value("train.max_steps"), None);
        assert_eq!(recipe.settings().value("sampler.restart.from"), None);
        let valid = recipe.validate(&Registry::standard()).unwrap();
        assert_eq!(valid.train().max_steps, None);
    }

    #[test]
    fn a_recipe_written_out_reads_back_the_same() {
        let recipe = valid(&["train.max_steps=7"]).unwrap();
        let again = parse(&recipe.to_toml().unwrap(), &[]).unwrap();
        assert_eq!(again.settings(), recipe.settings());
        let chosen = recipe.settings().text("loss.kind");
        assert_eq!(chosen, Some("nt-xent"), "what the method chooses is written out");
    }

    #[test]
    fn where_and_how_fast_a_run_goes_is_no_part_of_its_identity() {
        let identity = |overrides: &[&str]| valid(overrides).unwrap().identity().unwrap();
        assert_eq!(identity(&["train.loader_threads=3", "train.device=wgpu"]), identity(&[]));
        assert_eq!(identity(&["evaluate.knn_k=3", "data.root=x", "encoder.weights=y"]), identity(&[]));
        assert_ne!(identity(&["seed=1"]), identity(&[]));
        assert_ne!(identity(&["train.precision=bf16"]), identity(&[]));
    }

    #[test]
    fn accumulation_shortens_the_schedule_not_the_run() {
        let recipe = valid(&["train.epochs=4", "train.warmup_epochs=1.0", "train.accumulate=2"]).unwrap();
        let schedule = recipe.schedule(10);
        assert_eq!((schedule.warmup, schedule.total), (5, 20));
    }
}
