//! The training loop: one for every method and every kind of data.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lookalike_base::arrays::{Array, Arrays};
use lookalike_base::progress::{Progress, Watch};
use lookalike_base::{Matrix, Seed};
use lookalike_data::loader::{BatchRequest, BatchSource, Loader, LoaderOptions};
use lookalike_metrics::false_negative_rate;
use lookalike_sampling::{HardnessTally, Sampler, SamplerOptions, Segment};
use serde_json::{Map, Value, json};

use super::checkpoint::{Checkpoints, State};
use super::collapse::CollapseDetector;
use super::events::Events;
use super::optimizer::{NamedGradients, Optimizer, OptimizerOptions, accumulate};
use super::schedule::Schedule;
use crate::engine::{Device, Precision, Tensor};
use crate::error::LearnError;
use crate::method::{Method, Position};
use crate::module::{Module, Pass, Visitor, arrays_of, load_arrays};

/// What a run needs to know beside its method, data and sampler.
#[derive(Debug, Clone)]
pub struct TrainOptions {
    /// The folder of the run.
    pub run: PathBuf,
    /// What the run is, for instance its validated recipe as text; a checkpoint of another identity is refused.
    pub identity: String,
    /// The run's seed.
    pub seed: Seed,
    /// Where the engine computes, without gradients.
    pub device: Device,
    /// What convolutions multiply.
    pub precision: Precision,
    /// Number of instances, N.
    pub instances: usize,
    /// Their classes where known, only ever used to report false negatives.
    pub labels: Option<Vec<u32>>,
    /// Who shares a batch.
    pub sampler: SamplerOptions,
    /// The update rule.
    pub optimizer: OptimizerOptions,
    /// The learning rate, and with it the number of optimiser steps of the run.
    pub schedule: Schedule,
    /// Optimiser steps after which the run ends early, its schedule unchanged.
    pub max_steps: Option<u64>,
    /// Batches whose gradients are averaged for one optimiser step. The negatives of each batch stay its own: this
    /// saves memory, it does not enlarge the choice of negatives.
    pub accumulate: u64,
    /// Optimiser steps between checkpoints.
    pub checkpoint_every: u64,
    /// Optimiser steps between `step` events.
    pub log_every: u64,
    /// Threads and depth of the loader.
    pub loader: LoaderOptions,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All steps were made, by this call.
    Finished,
    /// All steps had been made before.
    AlreadyFinished,
    /// Cancelled, after saving a checkpoint.
    Interrupted,
}

/// A run: a method, what feeds it, and where it stands.
pub struct Trainer<M: Method> {
    /// The method, trained in place.
    pub method: M,
    source: Arc<dyn BatchSource<Batch = M::Batch>>,
    sampler: Sampler,
    optimizer: Optimizer,
    options: TrainOptions,
    events: Events,
    step: u64,
    batches: u64,
    /// The epoch's batches so far; those of the epoch before until the first of a new one.
    plan: Vec<Vec<u32>>,
    sum: NamedGradients,
    window: Window,
    /// What the diagnostics showed at the last batch that was asked for it.
    scalars: Map<String, Value>,
    watch: CollapseDetector,
}

/// What happened since the last `step` event.
#[derive(Debug)]
struct Window {
    loss: f64,
    batches: u64,
    instances: u64,
    waited: Duration,
    since: Instant,
}

impl Window {
    fn new() -> Self {
        Self { loss: 0.0, batches: 0, instances: 0, waited: Duration::ZERO, since: Instant::now() }
    }

    fn seconds(&self) -> f64 {
        self.since.elapsed().as_secs_f64().max(1e-9)
    }

    /// Share of the time that was spent waiting for the loader.
    fn waited_share(&self) -> f64 {
        self.waited.as_secs_f64() / self.seconds()
    }
}

impl<M: Method> Trainer<M> {
    /// Starts a run, or goes on from its newest whole checkpoint. The second value tells what a user should know: torn
    /// checkpoints that were passed over.
    ///
    /// # Errors
    /// [`LearnError::Checkpoint`] where a checkpoint belongs to another run, [`LearnError::Io`] where the folder cannot
    /// be written.
    pub fn open(
        mut method: M,
        source: Arc<dyn BatchSource<Batch = M::Batch>>,
        options: TrainOptions,
    ) -> Result<(Self, Vec<String>), LearnError> {
        let fail = |source| LearnError::Io { path: options.run.clone(), source };
        std::fs::create_dir_all(&options.run).map_err(fail)?;
        let mut optimizer = Optimizer::new(options.optimizer.clone());
        let (instances, seed) = (options.instances, options.seed);
        let (mut sampler, advice) = Sampler::new(instances, options.sampler.clone(), seed)?;
        let mut warnings: Vec<String> = advice.iter().map(ToString::to_string).collect();
        let (mut step, mut batches, mut plan) = (0, 0, Vec::new());
        let mut watch = CollapseDetector::default();
        let found = Checkpoints::of_run(&options.run).newest()?;
        let keep = found.as_ref().map(|(state, ..)| state.step);
        if let Some((state, arrays, problems)) = found {
            if state.identity != options.identity {
                return Err(LearnError::Checkpoint {
                    path: options.run.clone(),
                    reason: "its checkpoints were made by another recipe, of other data, or by another version of this program; give another folder with --out"
                        .to_owned(),
                });
            }
            load_arrays(&mut method, &arrays, "model.", &options.device)?;
            optimizer =
                Optimizer::restore(options.optimizer.clone(), &arrays, "optimizer.", &options.device)?;
            method.restore(&strip(&arrays, "method."), &options.device)?;
            let kept = strip(&arrays, "sampler.");
            (sampler, _) = Sampler::restore(instances, options.sampler.clone(), seed, &state.sampler, &kept)?;
            plan = read_plan(&arrays).ok_or_else(|| LearnError::Checkpoint {
                path: options.run.clone(),
                reason: "the epoch's batches are missing or damaged".to_owned(),
            })?;
            (step, batches, watch) = (state.step, state.batches, state.collapse);
            warnings.extend(problems);
        }
        // Opening cuts events: not before it is certain that the run is this one.
        let events = Events::open(&options.run, keep)?;
        let (sum, window) = (NamedGradients::new(), Window::new());
        let trainer = Self {
            method,
            source,
            sampler,
            optimizer,
            options,
            events,
            step,
            batches,
            plan,
            sum,
            window,
            scalars: Map::new(),
            watch,
        };
        Ok((trainer, warnings))
    }

    /// Optimiser steps made so far.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// The sampler, for its report.
    pub fn sampler(&self) -> &Sampler {
        &self.sampler
    }

    /// The events of the run, to add to them.
    pub fn events(&mut self) -> &mut Events {
        &mut self.events
    }

    /// Optimiser steps this run is to make.
    pub fn last_step(&self) -> u64 {
        self.options
            .max_steps
            .map_or(self.options.schedule.total, |most| most.min(self.options.schedule.total))
    }

    /// Trains to the end, or until `watch` asks it to stop; its progress counts optimiser steps.
    ///
    /// # Errors
    /// [`LearnError::NotFinite`] where the loss is NaN or infinite; whatever loader, sampler and files report.
    pub fn run(&mut self, watch: Watch<'_>) -> Result<Outcome, LearnError> {
        if self.step >= self.last_step() {
            return Ok(Outcome::AlreadyFinished);
        }
        watch.progress.set_position(self.step);
        self.window = Window::new();
        while self.step < self.last_step() {
            let epoch = self.sampler.epoch();
            let segment = self.sampler.next_segment()?;
            self.record_segment(epoch, &segment)?;
            let mut loader =
                Loader::start(self.source.clone(), self.requests(epoch, segment), self.options.loader)?;
            while self.step < self.last_step() {
                let waited = loader.waited();
                let Some(batch) = loader.next().transpose()? else { break };
                self.window.waited += loader.waited().saturating_sub(waited);
                let stepped = self.consume(&batch)?;
                if stepped && self.after_optimizer_step(watch)? {
                    return Ok(Outcome::Interrupted);
                }
            }
        }
        self.save()?;
        Ok(Outcome::Finished)
    }

    /// One batch: encode, compare, descend, remember. Returns whether the parameters moved.
    fn consume(&mut self, batch: &M::Batch) -> Result<bool, LearnError> {
        self.method.before_step(&self.position());
        let dropout = self.options.seed.stream("dropout", 0, self.batches, 0);
        let mut pass = Pass { precision: self.options.precision, ..Pass::training(dropout) };
        let outputs = self.method.encode(batch, &mut pass);
        let mut terms = self.method.loss(&outputs);
        let total = terms.total().ok_or_else(|| LearnError::Recipe {
            place: "loss".to_owned(),
            reason: "the method's loss has no term".to_owned(),
        })?;
        let loss: f32 = total.clone().inner().into_scalar();
        if !loss.is_finite() {
            return Err(self.not_finite(loss, outputs.instances));
        }
        self.scalars = std::mem::take(&mut terms.scalars);
        drop(terms);
        accumulate(&mut self.method, total.backward(), &mut self.sum);
        self.batches += 1;
        let stepped = self.batches.is_multiple_of(self.options.accumulate);
        if stepped {
            let mut gradients = std::mem::take(&mut self.sum);
            if self.options.accumulate > 1 {
                let share = 1.0 / self.options.accumulate as f64;
                let mean = |(name, sum): (String, Tensor<1>)| (name, sum.mul_scalar(share));
                gradients = gradients.into_iter().map(mean).collect();
            }
            self.optimizer.step(&mut self.method, gradients, self.options.schedule.rate(self.step));
            self.step += 1;
        }
        self.method.after_step(&outputs);
        let embeddings: Matrix = self.method.embeddings(&outputs);
        self.sampler.record(&outputs.instances, embeddings.rows(), self.sampler.steps())?;
        self.sampler.advance()?;
        self.window.loss += f64::from(loss);
        self.window.batches += 1;
        self.window.instances += outputs.instances.len() as u64;
        self.remember(outputs.instances)?;
        Ok(stepped)
    }

    /// Where the run stands before its next batch.
    fn position(&self) -> Position {
        let (before, after) = (self.batches % self.options.accumulate, self.batches + 1);
        let next = self.step + 1;
        let logged = next.is_multiple_of(self.options.log_every) || next == self.last_step();
        Position {
            seed: self.options.seed,
            batch: self.batches,
            step: self.step,
            steps: self.options.schedule.total,
            moved: before == 0,
            diagnostics: logged && after.is_multiple_of(self.options.accumulate),
        }
    }

    /// Adds a batch to the epoch's plan, and reports the epoch with its last one.
    fn remember(&mut self, instances: Vec<u32>) -> Result<(), LearnError> {
        if self.sampler.position() == 1 {
            self.plan.clear();
        }
        self.plan.push(instances);
        if self.sampler.position() > 0 {
            return Ok(());
        }
        let report = self.sampler.report();
        let hardness = report.finished.as_ref().map(|epoch| epoch.hardness.map(HardnessTally::mean));
        let labels = self.options.labels.as_deref();
        let false_negatives = labels.and_then(|labels| false_negative_rate(&self.plan, labels).ok());
        let fields = json!({
            "epoch": self.sampler.epoch() - 1,
            "hardness_by_decile": hardness,
            "false_negative_rate": false_negatives.map(|rate| rate.rate),
            "false_negative_rate_uniform": false_negatives.map(|rate| rate.uniform),
            "sampler": report,
        });
        // The step in which the epoch ends may not have been made yet where gradients are accumulated.
        self.events.record("epoch", self.step, fields)
    }

    /// The batches of the epoch so far; of the whole epoch before, until a new one has begun.
    pub fn plan(&self) -> &[Vec<u32>] {
        &self.plan
    }

    /// Events, checkpoint and cancellation at the one point where nothing is half done. Returns whether to stop.
    fn after_optimizer_step(&mut self, watch: Watch<'_>) -> Result<bool, LearnError> {
        let progress = watch.progress;
        let mean_loss = self.window.loss / self.window.batches.max(1) as f64;
        progress.advance(1);
        let waited = 100.0 * self.window.waited_share();
        let epoch = self.sampler.epoch();
        progress.message(&format!("epoch {epoch}  loss {mean_loss:.4}  waited {waited:.0} %"));
        if self.step.is_multiple_of(self.options.log_every) || self.step == self.last_step() {
            self.record_window(mean_loss)?;
            self.record_scalars(progress)?;
        }
        let cancelled = watch.is_cancelled() && self.step < self.last_step();
        if cancelled
            || (self.step.is_multiple_of(self.options.checkpoint_every) && self.step < self.last_step())
        {
            self.save()?;
        }
        Ok(cancelled)
    }

    fn requests(&self, epoch: u64, segment: Segment) -> Vec<BatchRequest> {
        let numbered = segment.batches.into_iter().zip(self.batches..);
        numbered.map(|(instances, step)| BatchRequest { instances, epoch, step }).collect()
    }

    fn record_window(&mut self, mean_loss: f64) -> Result<(), LearnError> {
        let window = std::mem::replace(&mut self.window, Window::new());
        let fields = json!({
            "loss": mean_loss,
            "learning_rate": self.options.schedule.rate(self.step - 1),
            "epoch": self.sampler.epoch(),
            "instances_per_second": window.instances as f64 / window.seconds(),
            "loader_wait_share": window.waited_share(),
        });
        self.events.record("step", self.step, fields)
    }

    /// Writes what the diagnostics showed, and what of it is a warning.
    fn record_scalars(&mut self, progress: &dyn Progress) -> Result<(), LearnError> {
        let scalars = std::mem::take(&mut self.scalars);
        if scalars.is_empty() {
            return Ok(());
        }
        let share = self.step as f64 / self.options.schedule.total as f64;
        for warning in self.watch.look(&scalars, share) {
            progress.note(&format!("warning: step {}: {warning}", self.step));
            self.events.record("warning", self.step, json!({ "message": warning }))?;
        }
        self.events.record("diagnostics", self.step, Value::Object(scalars))
    }

    fn record_segment(&mut self, epoch: u64, segment: &Segment) -> Result<(), LearnError> {
        for warning in self.sampler.take_warnings() {
            self.events.record("warning", self.step, json!({ "message": warning.to_string() }))?;
        }
        let fields = json!({
            "epoch": epoch,
            "batches": segment.batches.len(),
            "graph": self.sampler.report().graph,
            "staleness": self.sampler.report().staleness,
            "build_seconds": self.sampler.report().build_seconds,
        });
        self.events.record("plan", self.step, fields)
    }

    fn not_finite(&self, loss: f32, instances: Vec<u32>) -> LearnError {
        LearnError::NotFinite { loss, step: self.step, instances, last_good: self.last_good() }
    }

    /// Where a run can be looked at before it went wrong.
    fn last_good(&self) -> String {
        match Checkpoints::of_run(&self.options.run).newest() {
            Ok(Some((state, ..))) => format!("the last good checkpoint is that of step {}", state.step),
            _ => "there is no checkpoint yet".to_owned(),
        }
    }

    /// Saves everything from which the run goes on.
    fn save(&mut self) -> Result<(), LearnError> {
        let (sampler, sampler_arrays) = self.sampler.state();
        let state = State {
            step: self.step,
            batches: self.batches,
            total_steps: self.options.schedule.total,
            identity: self.options.identity.clone(),
            sampler,
            collapse: self.watch,
        };
        let mut arrays = Arrays::new();
        let parts = [
            ("model.", arrays_of(&mut self.method)),
            ("method.", self.method.state()),
            ("optimizer.", self.optimizer.arrays()),
            ("sampler.", sampler_arrays),
        ];
        for (prefix, part) in parts {
            arrays.extend(part.into_iter().map(|(name, array)| (format!("{prefix}{name}"), array)));
        }
        arrays.extend(plan_arrays(&self.plan));
        Checkpoints::of_run(&self.options.run).save(&state, arrays).map_err(|error| match error {
            LearnError::Checkpoint { path, reason } => {
                LearnError::Checkpoint { path, reason: format!("{reason}; {}", self.last_good()) }
            }
            other => other,
        })?;
        self.events.record("checkpoint", self.step, json!({}))
    }
}

impl<M: Method> Module for Trainer<M> {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        self.method.visit(visitor);
    }
}

/// The arrays whose names begin with `prefix`, without it.
fn strip(arrays: &Arrays, prefix: &str) -> Arrays {
    let named = |(name, array): (&String, _)| {
        name.strip_prefix(prefix).map(|name| (name.to_owned(), Clone::clone(array)))
    };
    arrays.iter().filter_map(named).collect()
}

/// Batches as arrays: all members one after another, and the length of each batch.
fn plan_arrays(plan: &[Vec<u32>]) -> Arrays {
    let members = plan.concat();
    let lengths: Vec<u32> = plan.iter().map(|batch| batch.len() as u32).collect();
    [("plan.members", members), ("plan.lengths", lengths)]
        .map(|(name, values)| (name.to_owned(), Array::u32([values.len()], values)))
        .into()
}

/// The batches that [`plan_arrays`] wrote.
pub(crate) fn read_plan(arrays: &Arrays) -> Option<Vec<Vec<u32>>> {
    let [mut members, lengths] = ["plan.members", "plan.lengths"]
        .map(|name| arrays.get(name).and_then(Array::as_u32).unwrap_or_default());
    let mut plan = Vec::with_capacity(lengths.len());
    for length in lengths {
        let (batch, rest) = members.split_at_checked(*length as usize)?;
        plan.push(batch.to_vec());
        members = rest;
    }
    members.is_empty().then_some(plan)
}
