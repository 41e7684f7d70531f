//! An experiment: a valid recipe with its data and device open. One type for every modality and method.

use std::path::Path;
use std::sync::Arc;

use lookalike_base::arrays::Arrays;
use lookalike_base::hash::Hasher;
use lookalike_base::progress::{Cancellation, ProgressDisplay};
use lookalike_base::{Alone, Ranks, tensors};
use lookalike_data::Split;
use lookalike_sampling::{Groups, RunData, Sampler, SamplingError, UNLABELLED};

use crate::encoder::Program;
use crate::encoder::entry::Exporting;
use crate::engine::{self, Device};
use crate::error::LearnError;
use crate::evaluate::embed::Embedding;
use crate::evaluate::{Embedded, Evaluating, Evaluation, Measured, ScoreEntry, monitor};
use crate::method::entry::Shapes;
use crate::method::{Building, Embedder, Method};
use crate::modality::{Labels, Modality, Opening, Scope};
use crate::module::{Module, arrays_of, load_arrays};
use crate::negatives::Known;
use crate::options::{from_table, refuse};
use crate::recipe::ValidRecipe;
use crate::registry::{Choice, Registry};
use crate::sections::Keep;
use crate::train::checkpoint::{Checkpoints, KEPT};
use crate::train::development::{BEST, Development};
use crate::train::ranks::agree_on_networks;
use crate::train::result::{self, Found, RunResult};
use crate::train::trainer::{TrainOptions, Trainer};
use crate::train::{Chunk, LeftOut, find, freeze, read_plan};
use crate::weights::Start;

/// What embeddings of a run's rows are called, and their classes.
pub struct RowNames {
    /// The name of each row, as its file's; empty where rows have none.
    pub names: Vec<String>,
    /// The classes of the rows; empty where there are none.
    pub labels: Labels,
    /// The names of the classes; empty where they have none.
    pub classes: Vec<String>,
}

/// A recipe with its data and device open.
pub struct Experiment {
    recipe: ValidRecipe,
    device: Device,
    modality: Box<dyn Modality>,
    scores: Vec<ScoreEntry>,
    display: Arc<dyn ProgressDisplay>,
}

impl Experiment {
    /// Opens device and data; the second value tells what a user should know about the data. `display` shows the progress of
    /// long work, here and in the experiment.
    ///
    /// # Errors
    /// [`LearnError::Device`] and [`LearnError::Data`].
    pub fn open(
        recipe: ValidRecipe,
        registry: &Registry,
        display: Arc<dyn ProgressDisplay>,
    ) -> Result<(Self, Vec<String>), LearnError> {
        Self::open_in(None, recipe, registry, display, &Cancellation::new())
    }

    /// [`Experiment::open`] in the folder of a run, where it has one, until `cancellation` asks it to stop. What the folder keeps
    /// of the data is not made again, and instances that cannot be read any more keep their numbers.
    ///
    /// # Errors
    /// As [`Experiment::open`], and [`LearnError::Cancelled`].
    pub fn open_in(
        run: Option<&Path>,
        recipe: ValidRecipe,
        registry: &Registry,
        display: Arc<dyn ProgressDisplay>,
        cancellation: &Cancellation,
    ) -> Result<(Self, Vec<String>), LearnError> {
        Self::open_with((run, run), recipe, registry, display, cancellation)
    }

    /// [`Experiment::open`] of other data for the encoder of `run`: nothing that its folder keeps of its own data is used, but what its
    /// encoder takes data apart by is, as its vocabulary.
    ///
    /// # Errors
    /// As [`Experiment::open_in`].
    pub fn open_others(
        run: &Path,
        recipe: ValidRecipe,
        registry: &Registry,
        display: Arc<dyn ProgressDisplay>,
        cancellation: &Cancellation,
    ) -> Result<(Self, Vec<String>), LearnError> {
        Self::open_with((None, Some(run)), recipe, registry, display, cancellation)
    }

    fn open_with(
        (run, encoder_of): (Option<&Path>, Option<&Path>),
        recipe: ValidRecipe,
        registry: &Registry,
        display: Arc<dyn ProgressDisplay>,
        cancellation: &Cancellation,
    ) -> Result<(Self, Vec<String>), LearnError> {
        let device = engine::open(recipe.device())?;
        let (modality, mut warnings) = (recipe.choice().modality.open)(&Opening {
            settings: recipe.settings(),
            columns: recipe.columns(),
            display: &*display,
            cancellation,
            run,
            encoder_of,
            seed: recipe.seed(),
            loader: recipe.loader(),
        })?;
        let (recipe, fitted) = recipe.settled(modality.settled()).fitted(modality.instances())?;
        warnings.extend(fitted);
        let scores = registry.scores.clone();
        Ok((Self { recipe, device, modality, scores, display }, warnings))
    }

    /// The recipe.
    pub fn recipe(&self) -> &ValidRecipe {
        &self.recipe
    }

    /// The data.
    pub fn data(&self) -> &dyn Modality {
        &*self.modality
    }

    /// Whether training ends with an evaluation.
    pub fn evaluates_after_training(&self) -> bool {
        self.recipe.settings().is_set("evaluate.after_training")
    }

    /// What is measured when training ends.
    pub fn after_training(&self) -> Scope {
        let Choice { modality, method, .. } = self.recipe.choice();
        Scope { also: Some(method.scores), ..self.modality.after_training(modality.after_training) }
    }

    /// Calls `build` with what a method is built from.
    fn build<R>(
        &self,
        (weights, shape): (Option<&Start>, Option<Shapes<'_>>),
        known: Option<Known>,
        build: impl FnOnce(&Building<'_>) -> Result<R, LearnError>,
    ) -> Result<R, LearnError> {
        let (recipe, choice) = (&self.recipe, self.recipe.choice());
        let settings = recipe.settings();
        let make = |purpose: &'static str| {
            let mut stream = recipe.seed().stream(purpose, 0, 0, 0);
            let inputs = self.modality.inputs();
            let mut encoder = (choice.encoder.build)(settings, inputs, &mut stream, &self.device)?;
            if let Some(weights) = weights {
                weights.load_encoder(&mut *encoder, &self.device)?;
            }
            Ok(encoder)
        };
        let Labels { labels, classes } = self.modality.labels(Split::Train);
        let instances = self.modality.instances();
        build(&Building {
            classes,
            settings,
            encoder: &make,
            weights,
            shape,
            loss: choice.loss.build.map(|build| build(settings)).transpose()?,
            instances,
            labels: (labels.len() == instances).then(|| Arc::new(labels)),
            known,
            relevance: self.modality.relevance(),
            inputs: self.modality.inputs(),
            seed: recipe.seed(),
            device: &self.device,
        })
    }

    /// The method before its first step; the same weights for the same seed.
    ///
    /// # Errors
    /// [`LearnError::Recipe`] where the data do not have what the method needs, [`LearnError::Weights`] where its weights do not fit.
    pub fn method(&self) -> Result<Box<dyn Method>, LearnError> {
        self.method_from(self.start().as_ref(), None)
    }

    /// What `encoder.weights` names.
    fn start(&self) -> Option<Start> {
        self.recipe.settings().text("encoder.weights").map(|path| Start::new(Path::new(path)))
    }

    fn method_from(
        &self,
        weights: Option<&Start>,
        known: Option<Known>,
    ) -> Result<Box<dyn Method>, LearnError> {
        let mut method = self.build((weights, None), known, self.recipe.choice().method.build)?;
        self.freeze(&mut *method, self.recipe.choice().method.learns)?;
        let rates = self.recipe.optimizer().rates.iter().flatten().map(|(layer, _)| layer);
        find(&mut *method, rates).map_err(|reason| refuse("optimizer.rates", reason))?;
        Ok(method)
    }

    /// The network before its first step, without queue, bank and whatever else a method keeps.
    ///
    /// # Errors
    /// As [`Experiment::method`].
    pub fn untrained(&self) -> Result<Box<dyn Embedder>, LearnError> {
        let start = self.start();
        if let Some(start) = start.as_ref().filter(|start| !start.path().exists()) {
            let reason = format!(
                "{} no longer exists, and the encoder before training began with it; say where it is with --set \
                 encoder.weights=PATH, or leave that encoder out with --beside nothing",
                start.path().display()
            );
            return Err(refuse("encoder.weights", reason));
        }
        let method = self.recipe.choice().method;
        let mut network = self.build((start.as_ref(), None), None, method.kept)?;
        self.freeze(&mut network, method.learns)?;
        Ok(network)
    }

    /// What became of `encoder.weights`, in words; `None` where the recipe names none.
    ///
    /// # Errors
    /// As [`Experiment::method`].
    pub fn weights_report(&self) -> Result<Option<String>, LearnError> {
        let Some(start) = self.start() else { return Ok(None) };
        self.build((Some(&start), None), None, self.recipe.choice().method.kept)?;
        Ok(start.into_report().map(|report| report.to_string()))
    }

    /// Freezes the layers that `train.freeze` names, after one of `prefixes`.
    fn freeze(&self, module: &mut dyn Module, prefixes: &[&str]) -> Result<(), LearnError> {
        let layers = self.recipe.train().freeze.as_deref().unwrap_or_default();
        freeze(module, prefixes, layers).map_err(|reason| refuse("train.freeze", reason))
    }

    /// A network that is kept, with these tensors behind `prefix`. What was frozen is so still: its BatchNorm keeps its statistics.
    fn kept(&self, arrays: &Arrays, prefix: &str) -> Result<Box<dyn Embedder>, LearnError> {
        let method = self.recipe.choice().method;
        let shape = |name: &str| arrays.get(&format!("{prefix}{name}")).map(|array| array.shape.clone());
        let mut network = self.build((None, Some(&shape)), None, method.kept)?;
        load_arrays(&mut network, arrays, prefix, &self.device)?;
        self.freeze(&mut network, method.learns)?;
        Ok(network)
    }

    /// A trainer in the folder `run`, at its newest checkpoint where there is one.
    ///
    /// # Errors
    /// As [`Trainer::open`], and [`LearnError::Device`] where the device does not multiply at the recipe's precision.
    pub fn trainer(&self, run: &Path) -> Result<(Trainer, Vec<String>), LearnError> {
        self.trainer_of(run, &(Arc::new(Alone) as Arc<dyn Ranks>))
    }

    /// As [`Experiment::trainer`], of one rank of several that share the run.
    ///
    /// # Errors
    /// As [`Experiment::trainer`], and [`LearnError::Ranks`].
    pub fn trainer_of(
        &self,
        run: &Path,
        ranks: &Arc<dyn Ranks>,
    ) -> Result<(Trainer, Vec<String>), LearnError> {
        let (recipe, train) = (&self.recipe, self.recipe.train());
        engine::check_precision(recipe.device(), &self.device, train.precision)?;
        if train.shards.is_some_and(|shards| shards > 1) && recipe.choice().modality.embedded_at_once {
            let reason = "divides batches of instances that are encoded apart, and these are nodes of one graph; leave it out";
            return Err(refuse("train.shards", reason));
        }
        let instances = self.modality.instances();
        let sampler = recipe.sampler();
        let run_data = RunData { groups: self.groups(), sets: self.modality.sets(), ..RunData::default() };
        let (planned, _) = Sampler::with_data(instances, sampler.clone(), recipe.seed(), run_data.clone())
            .map_err(|error| self.about_groups(error))?;
        let batches = planned.batches_per_epoch() as u64;
        if train.accumulate > train.epochs.saturating_mul(batches) {
            let epochs = train.epochs;
            let reason = format!(
                "must be at most the {batches} batches of each of the run's {epochs} epochs together"
            );
            return Err(refuse("train.accumulate", reason));
        }
        let schedule = recipe.schedule(batches);
        let labels = self.modality.labels(Split::Train).labels;
        let labels = (labels.len() == instances).then_some(labels);
        let labelled = labels.as_ref().is_some_and(|labels| !labels.contains(&UNLABELLED));
        recipe.check_with_data(instances, labelled, schedule.total)?;
        let options = TrainOptions {
            run: run.to_owned(),
            identity: format!(
                "{}\n[data-set]\nfingerprint = \"{}\"\n",
                recipe.identity()?,
                self.modality.fingerprint()?
            ),
            recipe: Some(recipe.to_toml()?),
            seed: recipe.seed(),
            device: self.device.clone(),
            precision: train.precision,
            instances,
            labels,
            left_out: self.left_out(),
            sampler: sampler.clone(),
            run_data,
            embed_first: train.embed_first,
            optimizer: recipe.optimizer().clone(),
            schedule,
            max_steps: train.max_steps,
            accumulate: train.accumulate,
            chunk: train.chunk.map(Chunk::Instances).or(train.chunk_tokens.map(Chunk::Tokens)),
            checkpoint_every: recipe.checkpoint_every(batches),
            kept: train.keep.map_or(KEPT, Keep::checkpoints),
            keep_best: train.keep.is_none_or(|keep| keep == Keep::Best),
            log_every: train.log_every,
            loader: self.modality.loader(recipe.loader()),
            development: self.development()?,
            monitor: self.monitor(batches, train.accumulate)?,
            oracle: recipe.oracle(),
            shards: train.shards.unwrap_or(1),
            ranks: Arc::clone(ranks),
        };
        // A checkpoint replaces all weights.
        let start = if Checkpoints::of_run(run).any()? { None } else { self.start() };
        let source = self.modality.batches(recipe.columns(), Split::Train, recipe.seed())?;
        let known = options.oracle.as_ref().and_then(|oracle| oracle.known.clone());
        let opened = Trainer::open(self.method_from(start.as_ref(), known)?, source, options)?;
        if ranks.rank() == 0 {
            self.modality.keep(run)?;
        }
        Ok(opened)
    }

    /// The instances to learn from that cannot be read any more.
    fn left_out(&self) -> Vec<LeftOut> {
        let name = |instance: &u32| self.modality.instance_name(Split::Train, *instance);
        let left_out = self.modality.left_out(Split::Train).iter();
        left_out.map(|instance| (*instance, name(instance).unwrap_or_else(|| instance.to_string()))).collect()
    }

    /// The error, with the names that the data have for the instances it is about.
    pub fn named(&self, error: LearnError) -> LearnError {
        match error {
            LearnError::NotFinite { what, value, step, instances, last_good, .. } => {
                let name = |instance: &u32| self.modality.instance_name(Split::Train, *instance);
                let names = instances.iter().map_while(name).collect();
                LearnError::NotFinite { what, value, step, instances, names, last_good }
            }
            error => error,
        }
    }

    /// What the rows of a part are called.
    pub fn row_names(&self, split: Split) -> RowNames {
        let labels = self.modality.labels(split);
        let name = |instance| self.modality.instance_name(split, instance);
        let names = (0..u32::MAX).map_while(name).collect();
        RowNames { names, labels, classes: self.modality.class_names() }
    }

    /// How a run is scored while it trains.
    ///
    /// # Errors
    /// [`LearnError::Recipe`] where there is nothing to score it on, or nobody asks for what there is.
    fn development(&self) -> Result<Option<Development>, LearnError> {
        let (every, task) = (self.recipe.train().evaluate_every, self.modality.development());
        let (every, task) = match (every, task) {
            (None, None) => return Ok(None),
            (Some(_), None) => {
                let reason = "needs something to score the encoder on: of texts text.development names a set, of images data.development \
                              cuts a part off";
                return Err(refuse("train.evaluate_every", reason));
            }
            (None, Some(_)) => {
                return Err(refuse(
                    "train.evaluate_every",
                    "must say how often the development part (text.development, data.development) judges the run",
                ));
            }
            (Some(every), Some(task)) => (every, task.clone()),
        };
        let name = task.name.clone();
        Ok(Some(Development { every, name, judge: monitor::judge_of(task, &self.embedding()?) }))
    }

    /// How a run is watched whose epochs have so many batches, of which so many are one optimiser step.
    ///
    /// # Errors
    /// As [`monitor::task`].
    fn monitor(&self, batches: u64, accumulate: u64) -> Result<Option<Development>, LearnError> {
        let embedding = self.embedding()?;
        let Some(epochs) = embedding.options.every else { return Ok(None) };
        let task = monitor::task(&embedding)?;
        let (every, name) = ((epochs.saturating_mul(batches) / accumulate.max(1)).max(1), task.name.clone());
        Ok(Some(Development { every, name, judge: monitor::judge_of(task, &embedding) }))
    }

    /// The groups of instances that must not share a batch.
    fn groups(&self) -> Option<Groups> {
        let groups = self.modality.groups()?;
        let ids: Vec<u64> = groups.rows.iter().map(|row| u64::from(*row)).collect();
        Some(Groups::new(&ids))
    }

    /// What the sampler refuses, a group by its name.
    fn about_groups(&self, error: SamplingError) -> LearnError {
        match (error, self.modality.groups()) {
            (SamplingError::DataSet { error, .. }, Some(_))
                if matches!(*error, SamplingError::LargeGroup { .. }) =>
            {
                self.about_groups(*error)
            }
            (SamplingError::LargeGroup { group, members, batches }, Some(groups)) => {
                let reason = format!(
                    "groups rows by `{}`, and `{}` has {members} of them, more than the {batches} batches of an epoch, no two of which it \
                     may share; take smaller batches or another column",
                    groups.column, groups.names[group as usize]
                );
                refuse("text.group", reason)
            }
            (error, _) => refuse("sampler", error.to_string()),
        }
    }

    fn embedding(&self) -> Result<Embedding<'_>, LearnError> {
        self.embedding_of(&Alone)
    }

    fn embedding_of<'a>(&'a self, ranks: &'a dyn Ranks) -> Result<Embedding<'a>, LearnError> {
        let choice = self.recipe.choice();
        Ok(Embedding {
            modality: &*self.modality,
            columns: choice.method.plain,
            at_once: choice.modality.embedded_at_once,
            // What nobody reads of these is at its default.
            options: from_table(self.recipe.settings().section("evaluate"))
                .map_err(|error| refuse("evaluate", error.message()))?,
            seed: self.recipe.seed(),
            loader: self.recipe.loader(),
            ranks,
        })
    }

    /// Embeds a whole part of the data in evaluation mode.
    ///
    /// # Errors
    /// Whatever the data report, and [`LearnError::Cancelled`].
    pub fn embed(
        &self,
        network: &mut dyn Embedder,
        split: Split,
        cancellation: &Cancellation,
    ) -> Result<Embedded, LearnError> {
        self.embed_of(&Alone, network, split, cancellation)
    }

    /// As [`Experiment::embed`], of one rank of several that share the work and call this at once; each gets all rows.
    ///
    /// # Errors
    /// As [`Experiment::embed`], and [`LearnError::Ranks`].
    pub fn embed_of(
        &self,
        ranks: &dyn Ranks,
        network: &mut dyn Embedder,
        split: Split,
        cancellation: &Cancellation,
    ) -> Result<Embedded, LearnError> {
        agree_on_networks(ranks, || vec![Some(arrays_of(network))])?;
        let part = self.modality.part(split, self.recipe.choice().method.plain)?;
        self.embedding_of(ranks)?.embed(network, &part, &*self.display, cancellation)
    }

    /// Measures what a run has come to, on its own data or others.
    ///
    /// # Errors
    /// Whatever data and metrics report, and [`LearnError::Cancelled`].
    pub fn evaluate(
        &self,
        measured: &Measured<'_>,
        scope: Scope,
        cancellation: &Cancellation,
    ) -> Result<Evaluation, LearnError> {
        self.evaluate_of(&Alone, measured, scope, cancellation)
    }

    /// As [`Experiment::evaluate`], of one rank of several that share the embedding and call this at once; each comes to all scores.
    ///
    /// # Errors
    /// As [`Experiment::evaluate`], and [`LearnError::Ranks`].
    pub fn evaluate_of(
        &self,
        ranks: &dyn Ranks,
        measured: &Measured<'_>,
        scope: Scope,
        cancellation: &Cancellation,
    ) -> Result<Evaluation, LearnError> {
        let arrays = |network| arrays_of(&mut dyn_clone::clone_box::<dyn Embedder>(network));
        agree_on_networks(ranks, || vec![Some(arrays(measured.network)), measured.best.map(arrays)])?;
        let choice = self.recipe.choice();
        let evaluating = Evaluating {
            modality: &*self.modality,
            measures: self.recipe.measures(),
            scores: &self.scores,
            columns: choice.method.plain,
            view_columns: &["view 1", "view 2"],
            settings: self.recipe.settings(),
            embedding: self.embedding_of(ranks)?,
            display: &*self.display,
            cancellation,
            seed: self.recipe.seed(),
            scope,
        };
        evaluating.run(measured, &|| self.untrained())
    }

    /// The network at the step that the development part found best; `None` where nothing was scored while `run` trained.
    ///
    /// # Errors
    /// [`LearnError::Weights`] where the file is of another network, and [`LearnError::ArrayFile`].
    pub fn best(&self, run: &Path) -> Result<Option<Box<dyn Embedder>>, LearnError> {
        let path = run.join(BEST);
        if !path.exists() {
            return Ok(None);
        }
        Ok(Some(self.kept(&tensors::read(&path)?.tensors, "")?))
    }

    /// Writes `network`, as it is after `step` optimiser steps, as the result of the run: with statistics estimated anew, under
    /// `model.safetensors`.
    ///
    /// # Errors
    /// [`LearnError::ArrayFile`] where the file cannot be written.
    pub fn save_model(
        &self,
        run: &Path,
        network: &(dyn Embedder + 'static),
        step: u64,
    ) -> Result<(), LearnError> {
        let mut estimated = self.embedding()?.with_estimated_statistics(network)?;
        result::write(run, arrays_of(&mut estimated), step, &self.modality.fingerprint()?)
    }

    /// What `run` has come to.
    ///
    /// # Errors
    /// [`LearnError::Checkpoint`] where there is nothing yet, or it is damaged; [`LearnError::Weights`] where it is of another network.
    pub fn result(&self, run: &Path) -> Result<RunResult, LearnError> {
        let Found { checkpoint, model, stage, step, data, problems } = result::find(run)?;
        let trained = checkpoint.as_ref().map(|arrays| self.kept(arrays, "model.")).transpose()?;
        let plan = checkpoint.as_ref().map_or(Some(Vec::new()), read_plan).ok_or_else(|| {
            let reason = "the epoch's batches are missing or damaged".to_owned();
            LearnError::Checkpoint { path: run.to_owned(), reason }
        })?;
        let model = model.as_ref().map(|arrays| self.kept(arrays, "")).transpose()?;
        let own_data = match &data {
            Some(data) => *data == self.modality.fingerprint()?,
            None => true,
        };
        Ok(RunResult { trained, model, plan, stage, step, own_data, problems })
    }

    /// The network of a run that is used: its model, or while there is none that of its newest checkpoint, with BatchNorm's statistics
    /// estimated anew where these are the run's own data.
    ///
    /// # Errors
    /// Whatever the data report.
    pub fn network(&self, result: RunResult) -> Result<Box<dyn Embedder>, LearnError> {
        match (result.model, result.trained) {
            (None, Some(trained)) if result.own_data => {
                self.embedding()?.with_estimated_statistics(&*trained)
            }
            (None, Some(trained)) => Ok(trained),
            (model, _) => model.ok_or_else(|| LearnError::Evaluation("the run has no network".to_owned())),
        }
    }

    /// Writes the encoder of a run as others read it, see [`export`]. `network` is the run's after `step` optimiser steps.
    ///
    /// # Errors
    /// As [`export`].
    pub fn export(
        &self,
        (network, step): (&mut dyn Embedder, u64),
        run: &Path,
        path: &Path,
        program: Option<Program>,
    ) -> Result<(), LearnError> {
        write_encoder(&self.recipe, (arrays_of(network), step), run, path, program)
    }
}

/// Writes the encoder of a finished run as others read it: under PyTorch's names and layouts, those of torchvision for its networks, with
/// what `load_state_dict(strict=True)` asks for beside them; an encoder of texts as a folder that sentence-transformers opens. For a
/// `program` it is written as that program opens it. It reads `model.safetensors` alone, not the data.
///
/// # Errors
/// As [`check_export`]; [`LearnError::Checkpoint`] where the run has no model; [`LearnError::ArrayFile`], [`LearnError::Io`], or of a
/// folder of texts [`LearnError::SentenceEncoder`], where it cannot be written.
pub fn export(
    recipe: &ValidRecipe,
    run: &Path,
    path: &Path,
    program: Option<Program>,
) -> Result<(), LearnError> {
    check_export(recipe, program)?;
    write_encoder(recipe, result::read_model(run)?, run, path, program)
}

/// Checks that the encoder of a recipe can be written for `program`.
///
/// # Errors
/// [`LearnError::Recipe`] with the reason, and what to do.
pub fn check_export(recipe: &ValidRecipe, program: Option<Program>) -> Result<(), LearnError> {
    program.map_or(Ok(()), |program| (recipe.choice().encoder.suits)(recipe.settings(), program))
}

fn write_encoder(
    recipe: &ValidRecipe,
    (kept, step): (Arrays, u64),
    run: &Path,
    path: &Path,
    program: Option<Program>,
) -> Result<(), LearnError> {
    check_export(recipe, program)?;
    let choice = recipe.choice();
    let named = kept.into_iter().filter_map(|(name, array)| {
        name.strip_prefix(choice.method.exports).map(|name| (name.to_owned(), array))
    });
    let (settings, tensors) = (recipe.settings(), named.collect());
    let mut hasher = Hasher::new();
    hasher.text(&recipe.identity()?);
    let recipe = format!("sha256:{}", hasher.hex());
    (choice.encoder.export)(Exporting { settings, tensors, run, path, program, step, recipe })
}
