//! The training loop: one for every method and every kind of data.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use lookalike_base::arrays::Arrays;
use lookalike_base::progress::{Cancellation, Progress, Silent, Watch};
use lookalike_base::ranks::Ranks;
use lookalike_base::{Matrix, Rows, Seed};
use lookalike_data::loader::{BatchRequest, Loader, LoaderOptions};
use lookalike_metrics::false_negative_rate;
use lookalike_sampling::{HardnessTally, Held, RunData, Sampler, SamplerOptions, SamplingError, Segment};
use serde_json::json;

use super::checkpoint::{Checkpoints, FORMAT, State, machine};
use super::collapse::CollapseDetector;
use super::development::{self, Best, Development, Judged};
use super::diagnostics::{Diagnostics, Scalars};
use super::events::Events;
use super::gradient_cache::{self, Chunk};
use super::left_out::{self, LeftOut};
use super::optimizer::{NamedGradients, Optimizer, OptimizerOptions, accumulate, global_norm};
use super::oracle::{Oracle, OracleSetup};
use super::place::{Place, plan_arrays};
use super::ranks::{agree, check_shards, in_turn};
use super::schedule::Schedule;
use super::shards::{self, Shards};
use super::told::Told;
use super::window::Window;
use crate::engine::{Device, Gradients, Precision, Tensor, to_host};
use crate::error::{CURES, LearnError};
use crate::input::{Batch, Source};
use crate::method::{Method, Outputs, Terms};
use crate::module::{Module, Pass, Visitor, arrays_of, for_each_tensor, has_buffers};
use crate::negatives::{Observer, Unobserved};
use crate::op::squares;
use crate::options::{refuse, require};
use crate::step::Step;

/// The file of a run that holds its recipe.
pub const RECIPE: &str = "recipe.toml";

/// What a run needs to know beside its method, data and sampler.
#[derive(Debug)]
pub struct TrainOptions {
    /// The folder of the run.
    pub run: PathBuf,
    /// What the run is, for instance its validated recipe as text; a checkpoint of another identity is refused.
    pub identity: String,
    /// The recipe in full, which the folder is to hold as `recipe.toml` from now on; absent where the run has none.
    pub recipe: Option<String>,
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
    /// Instances that cannot be read any more, in the order of their numbers: they come into no batch.
    pub left_out: Vec<LeftOut>,
    /// Who shares a batch.
    pub sampler: SamplerOptions,
    /// Who must never share one, and of which data set each batch is.
    pub run_data: RunData,
    /// Whether all instances are embedded before the first step, so that the first graph and the method know them, see
    /// [`Trainer::embed_first`].
    pub embed_first: bool,
    /// The update rule.
    pub optimizer: OptimizerOptions,
    /// The learning rate, and with it the number of optimiser steps of the run.
    pub schedule: Schedule,
    /// Optimiser steps after which the run ends early, its schedule unchanged.
    pub max_steps: Option<u64>,
    /// Batches whose gradients are averaged for one optimiser step. The negatives of each batch stay its own: this
    /// saves memory, it does not enlarge the choice of negatives.
    pub accumulate: u64,
    /// What is encoded at a time (gradient caching, Gao et al. 2021); all of a batch where absent.
    pub chunk: Option<Chunk>,
    /// Optimiser steps between checkpoints.
    pub checkpoint_every: u64,
    /// How many checkpoints are kept, the newest ones.
    pub kept: usize,
    /// Whether the tensors of the best step that was judged are kept.
    pub keep_best: bool,
    /// Optimiser steps between `step` events.
    pub log_every: u64,
    /// Threads and depth of the loader.
    pub loader: LoaderOptions,
    /// How the run is judged while it trains, where it is.
    pub development: Option<Development>,
    /// How it is watched, which decides nothing, where it is.
    pub monitor: Option<Development>,
    /// Whom batches and losses take to be of one class, where they do.
    pub oracle: Option<OracleSetup>,
    /// Parts of a batch that are encoded by themselves, V; a power of two.
    pub shards: usize,
    /// Who shares them, a power of two of ranks, at most V.
    pub ranks: Arc<dyn Ranks>,
}

impl TrainOptions {
    /// How a batch is divided.
    fn shards(&self) -> Shards<'_> {
        Shards { count: self.shards, ranks: &*self.ranks, device: &self.device }
    }

    /// What breaks long work off between two steps: with several ranks nothing, for one that did so would leave the others waiting.
    fn breaks_off(&self, watch: Watch<'_>) -> Cancellation {
        if self.ranks.size() == 1 { watch.cancellation.clone() } else { Cancellation::default() }
    }

    /// Whether this rank writes what the run keeps.
    fn writes(&self) -> bool {
        self.ranks.rank() == 0
    }
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
pub struct Trainer {
    /// The method, trained in place.
    pub method: Box<dyn Method>,
    source: Source,
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
    /// Whether all instances were embedded before the first step.
    embedded: bool,
    /// What the diagnostics showed at the last batch that was asked for it.
    scalars: Scalars,
    watch: CollapseDetector,
    judged: Judged,
    /// What a line about the run tells beside its loss.
    told: Told,
    /// The tensors of the best step that was judged; none where there is none.
    best: Arrays,
    oracle: Option<Oracle>,
    /// The instances of the batches that are loaded, of all their shards, in their order.
    ahead: VecDeque<Vec<u32>>,
}

/// What compares the outputs of a batch.
pub(super) struct Comparing<'a> {
    pub(super) step: &'a Step,
    pub(super) observer: &'a mut dyn Observer,
}

/// The sum of the terms, and its value.
///
/// # Errors
/// [`LearnError::NotFinite`], to which the trainer adds where the last good checkpoint is.
pub(super) fn finite(terms: &Terms, step: &Step) -> Result<(Tensor<1>, f32), LearnError> {
    let total = terms.total().ok_or_else(|| refuse("loss", "the method's loss has no term"))?;
    let loss: f32 = total.clone().inner().into_scalar();
    if loss.is_finite() {
        return Ok((total, loss));
    }
    Err(not_finite("the loss".to_owned(), f64::from(loss), step.step, &step.instances))
}

/// The error, to which the trainer adds where the last good checkpoint is.
fn not_finite(what: String, value: f64, step: u64, instances: &[u32]) -> LearnError {
    let (instances, names, last_good) = (instances.to_vec(), Vec::new(), String::new());
    LearnError::NotFinite { what, value, step, instances, names, last_good }
}

/// The norm of all gradients together.
///
/// # Errors
/// [`LearnError::NotFinite`] names the first parameter whose gradient is not, or is so long that its square, which Adam keeps, is not.
fn finite_norm(gradients: &NamedGradients, step: &Step) -> Result<f64, LearnError> {
    let holds = |length: f64| length < f64::from(f32::MAX).sqrt();
    let norm = global_norm(gradients);
    if holds(norm) {
        return Ok(norm);
    }
    let length = |gradient: &Tensor<1>| squares([gradient].into_iter()).sqrt();
    let bad = gradients.iter().map(|(name, gradient)| (name, length(gradient)));
    let bad = bad.into_iter().find(|(_, length)| !holds(*length));
    let (name, value) =
        bad.map_or((String::from("all parameters"), norm), |(name, value)| (format!("`{name}`"), value));
    Err(not_finite(format!("the length of the gradient of {name}"), value, step.step, &step.instances))
}

/// The gradients of a loss.
///
/// # Errors
/// [`LearnError::Recipe`] where nothing that learns has a part in it.
pub(super) fn gradients(loss: &Tensor<1>) -> Result<Gradients, LearnError> {
    require(loss.is_tracked(), "method", "nothing that learns has a part in the loss")?;
    Ok(loss.backward())
}

/// Whether any tensor learns.
fn learns(method: &mut dyn Method) -> bool {
    let mut any = false;
    for_each_tensor(method, &mut |_, _, tensor| any |= tensor.learns());
    any
}

impl Trainer {
    /// Starts a run, or goes on from its newest whole checkpoint. The second value tells what a user should know: torn
    /// checkpoints that were passed over.
    ///
    /// # Errors
    /// [`LearnError::Checkpoint`] where a checkpoint belongs to another run, [`LearnError::Io`] where the folder cannot
    /// be written, [`LearnError::Recipe`] where chunks are asked for and BatchNorm would see them.
    pub fn open(
        mut method: Box<dyn Method>,
        source: Source,
        mut options: TrainOptions,
    ) -> Result<(Self, Vec<String>), LearnError> {
        if let Some(chunk) = options.chunk {
            let (key, batch_norm) = (chunk.key(), has_buffers(&mut method));
            let reason = format!(
                "encodes a batch in parts, and BatchNorm of this network takes its statistics over a whole batch; leave {key} out, or \
                 take a network without BatchNorm"
            );
            require(!batch_norm, key, reason)?;
            chunk.check(&source, options.instances)?;
        }
        require(learns(&mut *method), "train.freeze", "leaves nothing to learn")?;
        left_out::check(&options.left_out, options.instances, options.sampler.batch_size)?;
        check_shards(&options, has_buffers(&mut method))?;
        let fail = |source| LearnError::Io { path: options.run.clone(), source };
        std::fs::create_dir_all(&options.run).map_err(fail)?;
        let found = Checkpoints::of_run(&options.run).newest()?;
        let keep = found.as_ref().map(|(state, ..)| state.step);
        let (place, longer) = match found {
            None => (Place::start(&options)?, false),
            Some(found) => Place::restore(&mut method, &mut options, found)?,
        };
        let Place { mut sampler, optimizer, step, batches, plan, watch, judged, best, oracle, mut warnings } =
            place;
        sampler.share_graphs(Arc::clone(&options.ranks), Held::All);
        // Nothing in the folder is touched before it is certain that the run is this one, and all have read where it stands.
        let stands = format!("step {step} after {batches} batches, judged at {}", judged.last);
        agree(&options, &mut *method, &stands)?;
        if let Some(recipe) = options.recipe.as_ref().filter(|_| options.writes()) {
            let path = options.run.join(RECIPE);
            lookalike_base::atomic::write_atomic(&path, |writer| writer.write_all(recipe.as_bytes()))
                .map_err(|source| LearnError::Io { path, source })?;
        }
        let mut events = if options.writes() { Events::open(&options.run, keep)? } else { Events::silent() };
        if options.writes() {
            Checkpoints::of_run(&options.run).prune(step, options.kept)?;
            development::keep(&options.run, &best)?;
        }
        if longer {
            let Schedule { begins, total, .. } = options.schedule;
            events.record("schedule", step, json!({ "begins": begins, "steps": total }))?;
        }
        if !options.left_out.is_empty() {
            let told = left_out::told(&options.left_out);
            events.record("warning", step, json!({ "message": told }))?;
            warnings.push(told);
        }
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
            embedded: false,
            scalars: Scalars::new(),
            watch,
            judged,
            told: Told::default(),
            best,
            oracle,
            ahead: VecDeque::new(),
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

    /// The step from which on the run is trained longer than it was to be at first; 0 for other runs.
    pub fn begins(&self) -> u64 {
        self.options.schedule.begins
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

    /// Whether [`Trainer::embed_first`] is still to be done.
    pub fn embeds_first(&self) -> bool {
        self.options.embed_first && self.batches == 0 && !self.embedded
    }

    /// Embeds all instances by the method as it is, without dropout, for the sampler's first graph and for the method itself. Its progress
    /// counts instances. [`Trainer::run`] does it where it was not done before; nothing happens where the recipe does not ask for it or
    /// training has begun.
    ///
    /// # Errors
    /// Whatever loader and method report, and [`LearnError::Cancelled`].
    pub fn embed_first(&mut self, watch: Watch<'_>) -> Result<(), LearnError> {
        if !self.embeds_first() {
            return Ok(());
        }
        let order: Vec<u32> = (0..self.options.instances as u32).collect();
        let ranks = Arc::clone(&self.options.ranks);
        let (rank, size) = (ranks.rank(), ranks.size());
        let chunks: Vec<&[u32]> = order.chunks(self.options.sampler.batch_size).collect();
        // In turn, so that each has as many; what a chunk gives hangs on its own instances alone.
        let own = chunks.iter().skip(rank).step_by(size);
        let requests = own.map(|part| BatchRequest { instances: part.to_vec(), epoch: 0, step: 0 });
        let mut loader = Loader::start(Arc::clone(&self.source), requests.collect(), self.options.loader)?;
        let mut embedded = Vec::new();
        while let Some(batch) = loader.next().transpose()? {
            if size == 1 && watch.is_cancelled() {
                return Err(LearnError::Cancelled);
            }
            let step = self.next_step(0, batch.instances.clone());
            let mut pass = Pass { precision: self.options.precision, ..Pass::evaluation() };
            let outputs = self.method.encode(&batch, &step, &mut pass)?;
            let embeddings = self.method.embeddings(&outputs);
            embedded.extend(to_host(embeddings));
            watch.progress.advance((batch.instances.len() * size) as u64);
        }
        let lengths: Vec<usize> = chunks.iter().map(|chunk| chunk.len()).collect();
        let values = in_turn(&*ranks, embedded, &lengths)?;
        let columns = values.len() / order.len().max(1);
        let steps = self.sampler.steps();
        let mut rest = &values[..];
        for chunk in &chunks {
            let (rows, others) = rest.split_at(chunk.len() * columns);
            self.sampler.record(chunk, Rows::new(rows, columns)?, steps)?;
            rest = others;
        }
        self.method.refreshed(Rows::new(&values, columns)?);
        self.embedded = true;
        Ok(())
    }

    /// Trains to the end, or until `watch` asks it to stop; its progress counts optimiser steps.
    ///
    /// # Errors
    /// [`LearnError::NotFinite`] where the loss is NaN or infinite; whatever loader, sampler and files report.
    pub fn run(&mut self, watch: Watch<'_>) -> Result<Outcome, LearnError> {
        if self.step >= self.last_step() && !self.is_unjudged() {
            return Ok(Outcome::AlreadyFinished);
        }
        self.embed_first(Watch { cancellation: watch.cancellation, ..Watch::default() })?;
        watch.progress.set_position(self.step);
        let machine = machine(self.options.precision, self.options.sampler.scoring);
        let program = concat!("lookalike ", env!("CARGO_PKG_VERSION"));
        self.events.record("machine", self.step, json!({ "computes": machine, "program": program }))?;
        self.window = Window::new();
        // What an interruption left to do.
        if self.judge(watch)? {
            return Ok(Outcome::Interrupted);
        }
        while self.step < self.last_step() {
            let epoch = self.sampler.epoch();
            let mut loader = match self.segment(epoch, watch) {
                Err(LearnError::Cancelled) => {
                    self.save()?;
                    return Ok(Outcome::Interrupted);
                }
                loader => loader?,
            };
            while self.step < self.last_step() {
                let waited = loader.waited();
                let Some(batches) = self.next_shards(&mut loader)? else { break };
                self.window.add_wait(loader.waited().saturating_sub(waited));
                let stepped = self.consume(&batches, epoch)?;
                if stepped && self.after_optimizer_step(watch)? {
                    return Ok(Outcome::Interrupted);
                }
            }
        }
        self.save()?;
        Ok(Outcome::Finished)
    }

    /// Makes `steps` optimiser steps, fewer where the run ends before, and gives the seconds that each took. Nothing is saved.
    ///
    /// # Errors
    /// As [`Trainer::run`], and [`LearnError::Cancelled`].
    pub fn time_steps(&mut self, steps: u64, watch: Watch<'_>) -> Result<Vec<f64>, LearnError> {
        self.embed_first(Watch { cancellation: watch.cancellation, ..Watch::default() })?;
        let last = self.last_step().min(self.step + steps);
        let mut seconds = Vec::new();
        let mut begun = Instant::now();
        while self.step < last {
            let epoch = self.sampler.epoch();
            let silent = Watch { progress: &Silent, cancellation: watch.cancellation };
            let mut loader = self.segment(epoch, silent)?;
            while self.step < last {
                if watch.is_cancelled() {
                    return Err(LearnError::Cancelled);
                }
                let Some(batches) = self.next_shards(&mut loader)? else { break };
                if self.consume(&batches, epoch)? {
                    seconds.push(begun.elapsed().as_secs_f64());
                    watch.progress.advance(1);
                    begun = Instant::now();
                }
            }
        }
        Ok(seconds)
    }

    /// This rank's shards of the next batch; `None` behind the last one of `loader`.
    fn next_shards(&self, loader: &mut Loader<Batch>) -> Result<Option<Vec<Batch>>, LearnError> {
        let shards = self.options.shards / self.options.ranks.size();
        let batches = (0..shards).map_while(|_| loader.next()).collect::<Result<Vec<Batch>, _>>()?;
        Ok((batches.len() == shards).then_some(batches))
    }

    /// Plans the batches up to the next refresh, and begins to load them.
    fn segment(&mut self, epoch: u64, watch: Watch<'_>) -> Result<Loader<Batch>, LearnError> {
        let progress = watch.progress;
        let before = self.sampler.report();
        // The rest of a segment amid which the run was stopped was told when that was planned.
        let is_told = self.sampler.is_planned();
        self.refresh_oracle(epoch, watch)?;
        let segment = self.sampler.next_segment()?;
        let after = self.sampler.report();
        if let Some(rows) = self.sampler.embeddings().filter(|_| after.builds > before.builds) {
            self.method.refreshed(rows);
        }
        // Once for the first graph, and again where the dial came to something else.
        let is_new = before.builds == 0 && after.builds > 0 || after.calibrations != before.calibrations;
        if let Some(line) = self.sampler.in_one_line().filter(|_| is_new) {
            progress.note(&format!("epoch {epoch}: {line}"));
        }
        if !is_told {
            self.record_segment(epoch, &segment, progress)?;
        }
        let requests = self.requests(epoch, segment);
        Ok(Loader::start(Arc::clone(&self.source), requests, self.options.loader)?)
    }

    /// Looks for the oracle's classes anew where a graph is due, or an epoch begins.
    fn refresh_oracle(&mut self, epoch: u64, watch: Watch<'_>) -> Result<(), LearnError> {
        let cancellation = self.options.breaks_off(watch);
        let due = self.sampler.is_refresh_due() || self.sampler.position() == 0;
        let step = self.next_step(epoch, Vec::new());
        let Some(oracle) = self.oracle.as_mut().filter(|_| due && !self.sampler.is_planned()) else {
            return Ok(());
        };
        let begins = !oracle.has_begun();
        let seed = Seed(step.seed.stream("oracle", epoch, step.batch, 0).bits());
        let labels = self.options.labels.as_deref();
        let silent = Watch { progress: &Silent, cancellation: &cancellation };
        let told = oracle.refresh(step.share(), labels, self.sampler.embeddings(), seed, silent)?;
        let Some(told) = told else { return Ok(()) };
        if let Some(oracle) = oracle.of_walks() {
            self.sampler.set_oracle(Some(oracle))?;
        }
        if begins {
            watch.progress.note(&format!("epoch {epoch}: {}", told.line()));
        }
        if let Some(warning) = told.warning().filter(|_| begins) {
            watch.progress.note(&format!("warning: {warning}"));
            self.events.record("warning", self.step, json!({ "message": warning }))?;
        }
        self.events.record("oracle", self.step, json!(told))
    }

    /// One batch, of which these are the shards of this rank: encode, gather, compare, descend, remember. Returns whether the parameters moved.
    fn consume(&mut self, batches: &[Batch], epoch: u64) -> Result<bool, LearnError> {
        let instances = self.ahead.pop_front().unwrap_or_default();
        let step = self.next_step(epoch, instances);
        self.method.before_step(&step);
        let (outputs, loss) = self.learn(batches, &step).map_err(|error| self.with_last_good(error))?;
        self.batches += 1;
        let stepped = self.batches.is_multiple_of(self.options.accumulate);
        if stepped {
            let gradients = self.mean_gradients();
            let norm = finite_norm(&gradients, &step).map_err(|error| self.with_last_good(error))?;
            let rate = self.options.schedule.rate(self.step);
            self.window.add_step(self.optimizer.step_by(&mut self.method, gradients, norm, rate));
            self.step += 1;
            self.options.ranks.step_made();
        }
        self.method.after_step(&outputs, &step);
        if self.sampler.needs_embeddings() {
            let embeddings = self.method.embeddings(&outputs);
            let columns = embeddings.dims()[1];
            let rows = Matrix::new(to_host(embeddings), columns)?;
            self.sampler.record(&outputs.instances, rows.rows(), self.sampler.steps()).map_err(|error| {
                match error {
                    SamplingError::NotFinite { instance, .. } => {
                        let what = "an embedding".to_owned();
                        self.with_last_good(not_finite(what, f64::NAN, step.step, &[instance]))
                    }
                    error => error.into(),
                }
            })?;
        }
        self.show_oracle(&outputs)?;
        self.sampler.advance()?;
        self.window.add_batch(loss, step.instances.len());
        self.remember(step.instances)?;
        Ok(stepped)
    }

    /// Shows the oracle what was made of a batch.
    fn show_oracle(&mut self, outputs: &Outputs) -> Result<(), LearnError> {
        let Some(oracle) = &mut self.oracle else { return Ok(()) };
        oracle.look(&*self.method, outputs);
        if oracle.needs_rows() && !self.sampler.needs_embeddings() {
            let embeddings = self.method.embeddings(outputs);
            let columns = embeddings.dims()[1];
            oracle.record(&outputs.instances, Rows::new(&to_host(embeddings), columns)?)?;
        }
        Ok(())
    }

    /// Encodes and compares a batch, of which these are the shards of this rank, and adds its gradients to the sum. Returns the outputs of all
    /// shards and the loss.
    fn learn(&mut self, batches: &[Batch], step: &Step) -> Result<(Outputs, f32), LearnError> {
        let mut pass = Pass { precision: self.options.precision, ..Pass::training(step) };
        let mut diagnostics = Diagnostics::new(self.options.labels.as_deref());
        let watched = self.is_watched();
        let observer: &mut dyn Observer = if watched { &mut diagnostics } else { &mut Unobserved };
        let mut comparing = Comparing { step, observer };
        let (method, sum) = (&mut *self.method, &mut self.sum);
        let learned = match (self.options.chunk, batches) {
            (Some(chunk), [batch]) => {
                gradient_cache::learn(method, batch, chunk, &mut pass, &mut comparing, sum)?
            }
            (None, [batch]) if self.options.shards == 1 => {
                learn(method, batch, &mut pass, &mut comparing, sum)?
            }
            _ => shards::learn(method, batches, self.options.shards(), &mut pass, &mut comparing, sum)?,
        };
        if watched {
            self.scalars = diagnostics.into_scalars();
        }
        Ok(learned)
    }

    /// The mean of the gradients of the batches of a step.
    fn mean_gradients(&mut self) -> NamedGradients {
        let gradients = std::mem::take(&mut self.sum);
        if self.options.accumulate == 1 {
            return gradients;
        }
        let share = 1.0 / self.options.accumulate as f64;
        gradients.into_iter().map(|(name, sum)| (name, sum.mul_scalar(share))).collect()
    }

    /// Where the run stands before its next batch, which is of `instances`.
    fn next_step(&self, epoch: u64, instances: Vec<u32>) -> Step {
        Step {
            seed: self.options.seed,
            epoch,
            step: self.step,
            steps: self.options.schedule.total,
            begins: self.options.schedule.begins,
            batch: self.batches,
            moved: self.batches.is_multiple_of(self.options.accumulate),
            uniform: self.sampler.is_uniform(),
            instances,
        }
    }

    /// Whether what the next batch compares will be recorded.
    fn is_watched(&self) -> bool {
        let next = self.step + 1;
        let logged = next.is_multiple_of(self.options.log_every) || next == self.last_step();
        logged && (self.batches + 1).is_multiple_of(self.options.accumulate)
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
        let mean_loss = self.window.mean_loss();
        progress.advance(1);
        let (epoch, waited) = (self.sampler.epoch(), self.window.waited_share());
        progress.message(&self.told.line(epoch, mean_loss, waited));
        if self.step.is_multiple_of(self.options.log_every) || self.step == self.last_step() {
            self.record_window()?;
            self.record_scalars(progress)?;
        }
        self.look(watch)?;
        if self.judge(watch)? {
            return Ok(true);
        }
        let cancelled = self.options.ranks.any(watch.is_cancelled())? && self.step < self.last_step();
        if cancelled
            || (self.step.is_multiple_of(self.options.checkpoint_every) && self.step < self.last_step())
        {
            self.save()?;
        }
        Ok(cancelled)
    }

    /// What is to be loaded: this rank's shards of each batch, one behind another.
    fn requests(&mut self, epoch: u64, segment: Segment) -> Vec<BatchRequest> {
        let TrainOptions { left_out, instances, seed, .. } = &self.options;
        let (mut requests, mut ahead) = (Vec::new(), VecDeque::new());
        for (mut batch, step) in segment.batches.into_iter().zip(self.batches..) {
            left_out::replace(&mut batch, left_out, *instances, (*seed, epoch, step));
            let own = self.options.shards().own(&batch);
            requests.extend(own.into_iter().map(|instances| BatchRequest { instances, epoch, step }));
            ahead.push_back(batch);
        }
        self.ahead = ahead;
        requests
    }

    fn record_window(&mut self) -> Result<(), LearnError> {
        let mut fields = std::mem::replace(&mut self.window, Window::new()).fields();
        fields.insert("learning_rate".to_owned(), json!(self.options.schedule.rate(self.step - 1)));
        fields.insert("epoch".to_owned(), json!(self.sampler.epoch()));
        self.events.record("step", self.step, fields.into())
    }

    /// Looks how the run goes where that is due. It decides nothing: where it is interrupted it is left out, and where it fails a warning says why.
    fn look(&mut self, watch: Watch<'_>) -> Result<(), LearnError> {
        let (step, last) = (self.step, self.last_step());
        let cancellation = self.options.breaks_off(watch);
        let Some(monitor) = self.options.monitor.as_mut().filter(|own| own.is_due(step, last)) else {
            return Ok(());
        };
        let begun = Instant::now();
        let score = (monitor.judge)(&mut *self.method.kept(), &cancellation);
        let name = monitor.name.clone();
        self.window.leave_out(begun.elapsed());
        match score {
            Ok(score) => {
                self.told.score = Some(("knn", score));
                watch.progress.note(&format!("step {step}: {name} {score:.4}"));
                self.events.record("monitor", step, json!({ "name": name, "score": score }))
            }
            Err(LearnError::Cancelled) => Ok(()),
            Err(error) => {
                let message = format!("{name} is not known: {error}");
                watch.progress.note(&format!("warning: step {step}: {message}"));
                self.events.record("warning", step, json!({ "message": message }))
            }
        }
    }

    /// Whether the step that was made is to be judged and has not been.
    fn is_unjudged(&self) -> bool {
        let development = self.options.development.as_ref();
        let due = development.is_some_and(|development| development.is_due(self.step, self.last_step()));
        due && self.judged.last < self.step
    }

    /// Judges the step that was made where it is due. Returns whether to stop: it was cancelled, and the run saved.
    fn judge(&mut self, watch: Watch<'_>) -> Result<bool, LearnError> {
        if !self.is_unjudged() {
            return Ok(false);
        }
        let cancellation = self.options.breaks_off(watch);
        let Some(development) = &mut self.options.development else { return Ok(false) };
        let (begun, mut kept) = (Instant::now(), self.method.kept());
        let score = match (development.judge)(&mut *kept, &cancellation) {
            Err(LearnError::Cancelled) => {
                self.save()?;
                return Ok(true);
            }
            score => score?,
        };
        let name = development.name.clone();
        if !score.is_finite() {
            return Err(LearnError::Evaluation(format!(
                "{name} of step {} is {score}, no number",
                self.step
            )));
        }
        self.told.score = Some(("dev", score));
        let best = self.judged.take(score, self.step);
        if best.step == self.step && self.options.keep_best {
            self.best = arrays_of(&mut kept);
            if self.options.writes() {
                development::keep(&self.options.run, &self.best)?;
            }
        }
        self.window.leave_out(begun.elapsed());
        watch.progress.note(&format!(
            "step {}: {name} {score:.4}, best {:.4} at step {}",
            self.step, best.score, best.step
        ));
        let fields = json!({ "name": name, "score": score, "best": best.score, "best_step": best.step });
        self.events.record("development", self.step, fields)?;
        Ok(false)
    }

    /// The best step that was judged so far.
    pub fn best(&self) -> Option<Best> {
        self.judged.best
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
        self.events.record("diagnostics", self.step, json!(scalars))
    }

    fn record_segment(
        &mut self,
        epoch: u64,
        segment: &Segment,
        progress: &dyn Progress,
    ) -> Result<(), LearnError> {
        for warning in self.sampler.take_warnings() {
            progress.note(&format!("warning: step {}: {warning}", self.step));
            self.events.record("warning", self.step, json!({ "message": warning.to_string() }))?;
        }
        let report = self.sampler.report();
        let tallies = report.current.hardness.iter();
        let (sum, batches) =
            tallies.fold((0.0, 0), |(sum, batches), tally| (sum + tally.sum, batches + tally.batches));
        self.told.hardness = (HardnessTally { sum, batches }).mean();
        let fields = json!({
            "epoch": epoch,
            "batches": segment.batches.len(),
            "graph": report.graph,
            "calibrations": report.calibrations,
            "staleness": report.staleness,
            "build_seconds": report.build_seconds,
        });
        self.events.record("plan", self.step, fields)
    }

    /// The error, and of a number that is not finite where the run can be looked at before it went wrong.
    fn with_last_good(&self, error: LearnError) -> LearnError {
        match error {
            LearnError::NotFinite { what, value, step, instances, names, .. } => {
                LearnError::NotFinite { what, value, step, instances, names, last_good: self.last_good() }
            }
            error => error,
        }
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
        if self.options.writes() {
            self.write()?;
        }
        Ok(self.options.ranks.barrier()?)
    }

    fn write(&mut self) -> Result<(), LearnError> {
        let (sampler, sampler_arrays) = self.sampler.state();
        let state = State {
            format: FORMAT,
            step: self.step,
            batches: self.batches,
            total_steps: self.options.schedule.total,
            begins: self.options.schedule.begins,
            identity: self.options.identity.clone(),
            sampler,
            collapse: self.watch,
            machine: machine(self.options.precision, self.options.sampler.scoring),
            judged: self.judged,
        };
        let mut arrays = Arrays::new();
        let parts = [
            ("model.", arrays_of(&mut self.method)),
            ("method.", self.method.state()),
            ("optimizer.", self.optimizer.arrays()),
            ("sampler.", sampler_arrays),
            ("best.", self.best.clone()),
            ("oracle.", self.oracle.as_ref().map(Oracle::arrays).unwrap_or_default()),
        ];
        for (prefix, part) in parts {
            arrays.extend(part.into_iter().map(|(name, array)| (format!("{prefix}{name}"), array)));
        }
        arrays.extend(plan_arrays(&self.plan));
        Checkpoints::of_run(&self.options.run).save(&state, arrays, self.options.kept).map_err(|error| {
            match error {
                LearnError::Checkpoint { path, reason } => LearnError::Checkpoint {
                    path,
                    reason: format!("{reason}; {}. {CURES}", self.last_good()),
                },
                other => other,
            }
        })?;
        self.events.record("checkpoint", self.step, json!({}))
    }
}

impl Module for Trainer {
    fn visit(&mut self, visitor: &mut Visitor<'_>) {
        self.method.visit(visitor);
    }
}

/// Encodes and compares a whole batch, and adds its gradients to `sum`.
fn learn(
    method: &mut dyn Method,
    batch: &Batch,
    pass: &mut Pass,
    comparing: &mut Comparing<'_>,
    sum: &mut NamedGradients,
) -> Result<(Outputs, f32), LearnError> {
    let outputs = method.encode(batch, comparing.step, pass)?;
    let terms = method.loss(&outputs, comparing.step, comparing.observer)?;
    let (total, loss) = finite(&terms, comparing.step)?;
    drop(terms);
    accumulate(method, gradients(&total)?, sum);
    Ok((outputs, loss))
}
