//! The sampler that a trainer drives: plans batches, takes embeddings, rebuilds the graph, saves and goes on.

mod agreement;
mod offline;
pub(crate) mod options;
pub(crate) mod report;
pub(crate) mod run_data;
mod state;
mod store;

pub use agreement::{Agreement, check_agreement};
pub use options::{RestartSchedule, SamplerKind, SamplerOptions};
pub use report::{EpochReport, SamplerReport, Staleness};
pub use run_data::{Avoid, Oracle, RankSplit, Ranks, RunData};
pub use state::SamplerState;

use std::time::Instant;

use lookalike_base::{Cancellation, Progress, RowSource, Rows, Seed, Silent, Watch};

use crate::error::{SamplingError, Warning};
use crate::graph::weights::EdgeWeights;
use crate::graph::{ProximityGraph, knn_graph, proximity_graph};
use crate::plan::hardness::tally;
use crate::plan::{PlanInput, Segment, Strategy, batches_per_epoch, plan_segment};
use crate::sampler::store::EmbeddingStore;
use crate::set::InstanceSet;
use crate::walk::Transition;

/// Hands out the batches of one epoch after another, in segments between two refreshes of its graph.
///
/// A trainer asks for the [next segment](Sampler::next_segment), and for each of its batches trains, gives the
/// embeddings that came about [back](Sampler::record) and [advances](Sampler::advance). Which batches come depends on
/// nothing but the options, the seed, and what was recorded before each refresh. A refresh is due where the first
/// epoch that is not uniform begins, and from then on whenever `refresh_every` batches were consumed since the last one.
/// It happens when the first segment after that is asked for.
#[derive(Debug, Clone)]
pub struct Sampler {
    pub(crate) instances: usize,
    pub(crate) options: SamplerOptions,
    pub(crate) seed: Seed,
    pub(crate) data: RunData,
    pub(crate) epoch: u64,
    /// Batches consumed of this epoch.
    pub(crate) position: usize,
    /// Batches consumed in all.
    pub(crate) steps: u64,
    /// Batches of the epochs before and of this one up to the position that were not consumed, less those consumed twice.
    pub(crate) skipped: i64,
    pub(crate) store: EmbeddingStore,
    /// Without an edge as long as none could be built.
    pub(crate) graph: ProximityGraph,
    /// Of its edges, where walks prefer the similar.
    pub(crate) weights: Option<EdgeWeights>,
    /// The step of the last refresh, whether or not there were embeddings enough for a graph.
    pub(crate) refreshed_at: Option<u64>,
    pub(crate) builds: u64,
    pub(crate) build_seconds: f64,
    /// Instances in the epoch's batches before the segment.
    pub(crate) used: InstanceSet,
    /// The segment that holds the next batch, once it is planned.
    pub(crate) segment: Option<Segment>,
    pub(crate) current: EpochReport,
    pub(crate) finished: Option<EpochReport>,
    pub(crate) staleness: Option<Staleness>,
    pub(crate) warnings: Vec<Warning>,
    pub(crate) cancellation: Cancellation,
}

impl Sampler {
    /// A sampler at the beginning of epoch 0 for a data set of `instances`; what had to be put right is returned.
    ///
    /// # Errors
    /// Names the option that is out of range, see [`SamplerOptions::check`].
    pub fn new(
        instances: usize,
        options: SamplerOptions,
        seed: Seed,
    ) -> Result<(Self, Vec<Warning>), SamplingError> {
        Self::with_data(instances, options, seed, RunData::default())
    }

    /// As [`Sampler::new`], with groups, an oracle, or several ranks.
    ///
    /// Of several ranks each gets its own part of every segment, and records the embeddings of all. Steps and positions
    /// count the batches of one rank; the report is that of all.
    ///
    /// # Errors
    /// As [`Sampler::new`]; [`SamplingError::Length`] for groups or labels that are not one an instance,
    /// [`SamplingError::FewGroups`], [`SamplingError::LargeGroup`] and [`SamplingError::LargestGroups`] for groups that cannot be
    /// kept apart, and [`SamplingError::Ranks`] for ranks that cannot share the batches.
    pub fn with_data(
        instances: usize,
        options: SamplerOptions,
        seed: Seed,
        data: RunData,
    ) -> Result<(Self, Vec<Warning>), SamplingError> {
        let warnings = options.check(instances)?;
        data.check(instances, &options)?;
        let sampler = Self {
            instances,
            options,
            seed,
            data,
            epoch: 0,
            position: 0,
            steps: 0,
            skipped: 0,
            store: EmbeddingStore::new(instances),
            graph: ProximityGraph::empty(instances),
            weights: None,
            refreshed_at: None,
            builds: 0,
            build_seconds: 0.0,
            used: InstanceSet::new(instances),
            segment: None,
            current: EpochReport::default(),
            finished: None,
            staleness: None,
            warnings: Vec::new(),
            cancellation: Cancellation::new(),
        };
        Ok((sampler, warnings))
    }

    /// Batches an epoch: ⌊N/B⌋, or ⌈N/B⌉ where the last one is kept; ⌊⌊N/B⌋/W⌋ for each of W ranks.
    pub fn batches_per_epoch(&self) -> usize {
        let batches = batches_per_epoch(self.instances, self.options.batch_size, self.options.last_batch);
        batches / self.data.ranks.count
    }

    /// Batches planned for one of each rank.
    pub(crate) fn at_once(&self) -> usize {
        self.data.ranks.planned_at_once()
    }

    /// Groups, oracle and ranks.
    pub fn data(&self) -> &RunData {
        &self.data
    }

    /// The epoch of the next batch, from 0.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Batches consumed of this epoch.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Batches consumed in all: the clock by which refreshes come and embeddings age.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Goes to the beginning of `epoch`, whatever is left of the current one; nothing happens where it is there already.
    ///
    /// Steps go on counting what was consumed, so that the graph and its next refresh stay as they are.
    ///
    /// # Errors
    /// [`SamplingError::Epoch`] for an epoch that no counter of batches can reach.
    pub fn set_epoch(&mut self, epoch: u64) -> Result<(), SamplingError> {
        if (epoch, 0) == (self.epoch, self.position) {
            return Ok(());
        }
        let passed = epoch.checked_mul(self.batches_per_epoch() as u64);
        let passed =
            passed.and_then(|passed| i64::try_from(passed).ok()).ok_or(SamplingError::Epoch { epoch })?;
        self.skipped = passed - self.steps as i64;
        self.epoch = epoch;
        self.position = 0;
        self.used.clear();
        self.segment = None;
        self.current = EpochReport { epoch, ..EpochReport::default() };
        Ok(())
    }

    /// Work that takes long, in [`Sampler::next_segment`], ends soon after this is raised; another one stands for the next time.
    pub fn set_cancellation(&mut self, cancellation: Cancellation) {
        self.cancellation = cancellation;
    }

    /// The run's seed.
    pub fn seed(&self) -> Seed {
        self.seed
    }

    /// The options it was made with.
    pub fn options(&self) -> &SamplerOptions {
        &self.options
    }

    /// The graph in use, without the edges that are not walked; without any before the first refresh.
    pub fn graph(&self) -> &ProximityGraph {
        &self.graph
    }

    /// The newest embedding recorded of each instance, of unit length; zeros for those without one. `None` before any
    /// was recorded, and where they are not kept because batches are uniform.
    pub fn embeddings(&self) -> Option<Rows<'_>> {
        Rows::new(&self.store.values, self.store.columns).ok().filter(|rows| !rows.is_empty())
    }

    /// Whether embeddings that are recorded will ever be used.
    pub fn needs_embeddings(&self) -> bool {
        self.options.kind != SamplerKind::Uniform
    }

    /// The batches from the current position to the next refresh or the end of the epoch; the graph is rebuilt first
    /// where that is due. Asked again without progress it gives the same; never empty. Of several ranks it
    /// gives the part of this one; the origins of a batch that all share are those of the whole.
    ///
    /// # Errors
    /// [`SamplingError::Cancelled`] where [`Sampler::set_cancellation`] was used; it can be asked again then. Besides that, what
    /// [`proximity_graph`], [`knn_graph`] and [`plan_segment`] refuse;
    /// none of it can come about from recorded embeddings and checked options.
    pub fn next_segment(&mut self) -> Result<Segment, SamplingError> {
        let (position, at_once, ranks) = (self.position, self.at_once(), self.data.ranks);
        let segment = self.planned(&Silent)?;
        let consumed = position * at_once - segment.first_batch;
        // Batch b is of rank b mod W, or of all.
        let own = segment
            .batches
            .iter()
            .zip(&segment.origins)
            .skip(consumed)
            .skip(ranks.rank % at_once)
            .step_by(at_once);
        let part = |batch: &Vec<u32>| match ranks.split {
            RankSplit::Batches => batch.clone(),
            RankSplit::Within => batch.iter().copied().skip(ranks.rank).step_by(ranks.count).collect(),
        };
        let (batches, origins) = own.map(|(batch, origins)| (part(batch), *origins)).unzip();
        Ok(Segment { epoch: segment.epoch, first_batch: position, batches, origins })
    }

    /// Takes embeddings that training produced at `step`, which is counted as [`Sampler::steps`] is.
    ///
    /// They are scaled to unit length and replace older ones of the same instances; they are used from the next
    /// refresh on. Uniform sampling only checks them. On an error nothing is taken.
    ///
    /// # Shapes
    /// `embeddings` n×d, a row for each of the n `instances`; d must never change.
    ///
    /// # Errors
    /// [`SamplingError::Rows`] or [`SamplingError::Columns`] for other shapes, [`SamplingError::Instance`] for a number out
    /// of range, [`SamplingError::NotFinite`] names an instance whose embedding holds NaN or an infinity.
    pub fn record(
        &mut self,
        instances: &[u32],
        embeddings: Rows<'_>,
        step: u64,
    ) -> Result<(), SamplingError> {
        let squared_norms = self.store.check(instances, embeddings)?;
        if self.needs_embeddings() {
            self.store.take(instances, embeddings, &squared_norms, step);
        }
        Ok(())
    }

    /// Says that the next batch was consumed.
    ///
    /// # Errors
    /// As [`Sampler::next_segment`], where that was not asked for before.
    pub fn advance(&mut self) -> Result<(), SamplingError> {
        let (at_once, rounds) = (self.at_once(), self.batches_per_epoch());
        let first = self.position * at_once;
        let segment = self.planned(&Silent)?;
        let consumed = first - segment.first_batch;
        let origins = segment.origins[consumed..consumed + at_once].to_vec();
        let last = consumed + at_once == segment.batches.len();
        for (origins, batch) in origins.into_iter().zip(first..) {
            self.current.count(origins, batch, rounds * at_once);
        }
        self.position += 1;
        self.steps += 1;
        if last && let Some(segment) = self.segment.take() {
            self.used.extend(segment.batches.into_iter().flatten());
        }
        if self.position == rounds {
            self.end_epoch();
        }
        Ok(())
    }

    fn end_epoch(&mut self) {
        self.current.reach = self.reach();
        self.epoch += 1;
        self.position = 0;
        self.used.clear();
        let next = EpochReport { epoch: self.epoch, ..EpochReport::default() };
        self.finished = Some(std::mem::replace(&mut self.current, next));
    }

    /// Share of the instances in the epoch's batches so far.
    fn reach(&self) -> f64 {
        let mut seen = self.used.clone();
        if let Some(segment) = &self.segment {
            let consumed = self.position * self.at_once() - segment.first_batch;
            seen.extend(segment.batches[..consumed].iter().flatten().copied());
        }
        seen.count() as f64 / self.instances as f64
    }

    /// The sampler in few numbers.
    pub fn report(&self) -> SamplerReport {
        SamplerReport {
            current: EpochReport { reach: self.reach(), ..self.current.clone() },
            finished: self.finished.clone(),
            staleness: self.staleness,
            graph: (self.graph.edges() > 0).then(|| self.graph.statistics()),
            builds: self.builds,
            build_seconds: self.build_seconds,
        }
    }

    /// What was put right since the last call and should be told to the user.
    pub fn take_warnings(&mut self) -> Vec<Warning> {
        std::mem::take(&mut self.warnings)
    }

    /// The segment that holds the next batch; `progress` advances by each that is planned for it.
    pub(crate) fn planned(&mut self, progress: &dyn Progress) -> Result<&Segment, SamplingError> {
        let segment = match self.segment.take() {
            Some(segment) => segment,
            None => self.plan(progress)?,
        };
        Ok(self.segment.insert(segment))
    }

    fn plan(&mut self, progress: &dyn Progress) -> Result<Segment, SamplingError> {
        let (rounds, at_once) = (self.batches_per_epoch(), self.at_once());
        let (first, left) = (self.position * at_once, rounds - self.position);
        if self.is_uniform() {
            return self.plan_batches(first, left * at_once, progress);
        }
        let due = self.refreshed_at.map_or(self.steps, |at| at.saturating_add(self.options.refresh_every));
        if due <= self.steps {
            self.refresh()?;
        }
        let refreshed_at = self.refreshed_at.unwrap_or(self.steps);
        let until_refresh = refreshed_at.saturating_add(self.options.refresh_every) - self.steps;
        let batches = usize::try_from(until_refresh).map_or(left, |until| until.min(left));
        let segment = self.plan_batches(first, batches * at_once, progress)?;
        if let Some(rows) = self.store.rows()? {
            let (place, tallies) = ((first, rounds * at_once), &mut self.current.hardness);
            tally(tallies, &segment.batches, place, rows, |instance| self.store.present.contains(instance));
        }
        Ok(segment)
    }

    /// Whether this epoch's batches are uniform.
    fn is_uniform(&self) -> bool {
        self.options.kind == SamplerKind::Uniform || self.epoch < self.options.uniform_epochs
    }

    /// The segment of `batches` from `first_batch` on, which must begin where `used` ends.
    pub(crate) fn plan_batches(
        &self,
        first_batch: usize,
        batches: usize,
        progress: &dyn Progress,
    ) -> Result<Segment, SamplingError> {
        let strategy = match self.options.kind {
            _ if self.is_uniform() => Strategy::Uniform,
            SamplerKind::Nearest => Strategy::Nearest { graph: &self.graph },
            SamplerKind::Walk | SamplerKind::Uniform => {
                let restart = self.options.restart.at(self.epoch);
                Strategy::Walk(Transition { graph: &self.graph, restart, weights: self.weights.as_ref() })
            }
        };
        let input = PlanInput {
            instances: self.instances,
            batch_size: self.data.ranks.planned_size(self.options.batch_size),
            last_batch: self.options.last_batch,
            multiple: self.at_once(),
            coverage: self.options.coverage,
            strategy,
            uniform_fraction: self.options.uniform_fraction,
            groups: self.data.groups.as_ref(),
            labels: self.avoided(Avoid::Members),
            seed: self.seed,
            epoch: if self.is_uniform() { self.options.drawn_in(self.epoch) } else { self.epoch },
            first_batch,
            batches,
            used: &self.used,
        };
        let watch = Watch { progress, cancellation: &self.cancellation };
        Ok(Segment { epoch: self.epoch, ..plan_segment(&input, watch)? })
    }

    /// Builds the graph from the embeddings there are; with too few of them batches are uniform until the next refresh.
    fn refresh(&mut self) -> Result<(), SamplingError> {
        let begun = Instant::now();
        let (embedded, neighbors) = (self.store.present.count(), self.neighbors());
        match self.store.rows()? {
            Some(rows) if embedded > neighbors => {
                let (graph, warnings) = self.build(rows, neighbors, &Silent)?;
                let graph = self.walkable(graph)?;
                self.take_graph(graph)?;
                self.builds += 1;
                self.warn(warnings);
            }
            _ => {
                self.take_graph(ProximityGraph::empty(self.instances))?;
                self.warn(vec![Warning::TooFewEmbeddings { step: self.steps, embedded, neighbors }]);
            }
        }
        self.staleness = Some(self.store.staleness(self.steps));
        self.refreshed_at = Some(self.steps);
        self.build_seconds += begun.elapsed().as_secs_f64();
        Ok(())
    }

    /// The labels, where `what` is to be avoided by them.
    fn avoided(&self, what: Avoid) -> Option<&[u32]> {
        self.data.oracle.as_ref().filter(|oracle| oracle.avoid == what).map(|oracle| &oracle.labels[..])
    }

    /// The graph without the edges that are too similar, or false.
    pub(crate) fn walkable(&self, graph: ProximityGraph) -> Result<ProximityGraph, SamplingError> {
        let percentile =
            self.options.similarity_percentile.and_then(|share| graph.similarity_percentile(share));
        let ceiling = percentile.map(f64::from).or(self.options.similarity_ceiling);
        let labels = self.avoided(Avoid::Edges);
        if ceiling.is_none() && labels.is_none() {
            return Ok(graph);
        }
        graph.filtered(|own, other, similarity| {
            ceiling.is_none_or(|ceiling| f64::from(similarity) <= ceiling)
                && labels.is_none_or(|labels| labels[own as usize] != labels[other as usize])
        })
    }

    /// Walks on `graph` from now on.
    pub(crate) fn take_graph(&mut self, graph: ProximityGraph) -> Result<(), SamplingError> {
        let temperature = self.options.temperature.filter(|_| self.options.kind == SamplerKind::Walk);
        self.weights = temperature.map(|temperature| EdgeWeights::new(&graph, temperature)).transpose()?;
        self.graph = graph;
        Ok(())
    }

    /// Neighbours that each instance in the graph gets.
    pub(crate) fn neighbors(&self) -> usize {
        match self.options.kind {
            // Enough to fill a batch, that of all ranks where it is split.
            SamplerKind::Nearest => {
                self.data.ranks.planned_size(self.options.batch_size).saturating_sub(1).max(1)
            }
            SamplerKind::Walk | SamplerKind::Uniform => self.options.neighbors,
        }
    }

    pub(crate) fn build(
        &self,
        rows: impl RowSource,
        neighbors: usize,
        progress: &dyn Progress,
    ) -> Result<(ProximityGraph, Vec<Warning>), SamplingError> {
        let watch = Watch { progress, cancellation: &self.cancellation };
        // Rows from elsewhere are there for everybody.
        let present = (self.store.columns > 0).then_some(&self.store.present);
        if self.options.kind == SamplerKind::Nearest {
            let graph = knn_graph(rows, present, neighbors, self.options.scoring, watch)?;
            return Ok((graph, Vec::new()));
        }
        proximity_graph(rows, present, &self.options.graph(neighbors), self.seed, self.builds, watch)
    }

    /// Keeps `warnings` for the caller, but not one that waits already.
    pub(crate) fn warn(&mut self, warnings: Vec<Warning>) {
        for warning in warnings {
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
    }
}
