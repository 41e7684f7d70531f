//! The sampler that a trainer drives: plans batches, takes embeddings, rebuilds the graph, saves and goes on.

mod agreement;
mod hardness_share;
pub(crate) mod light;
mod offline;
pub(crate) mod options;
mod planning;
mod refresh;
pub(crate) mod report;
pub(crate) mod run_data;
pub(crate) mod sets;
mod state;
mod store;

pub use agreement::{Agreement, check_agreement};
pub use hardness_share::HardnessShare;
pub use light::LeftOut;
pub use options::{RestartSchedule, SamplerKind, SamplerOptions};
pub use report::{EpochReport, SamplerReport, Staleness};
pub use run_data::{Avoid, Oracle, RankSplit, Ranks, RunData};
pub use sets::{DataSets, SetOrder};
pub use state::SamplerState;

use std::borrow::Cow;
use std::sync::Arc;

use lookalike_base::{Cancellation, Progress, Rows, Seed, Silent};

use crate::error::{SamplingError, Warning};
use crate::graph::{Held, ProximityGraph, Traffic};
use crate::plan::Segment;
use crate::sampler::sets::{SetState, joined};
use crate::sampler::store::EmbeddingStore;
use crate::set::{InstanceSet, check_instances};

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
    /// At least one; each has a graph.
    pub(crate) sets: Vec<SetState>,
    /// The step of the last refresh, whether or not there were embeddings enough for a graph.
    pub(crate) refreshed_at: Option<u64>,
    pub(crate) builds: u64,
    pub(crate) build_seconds: f64,
    /// Instances in the epoch's batches before the segment.
    pub(crate) used: InstanceSet,
    /// The embeddings that a light state named and that are not there yet.
    pub(crate) awaited: Option<light::LeftOut>,
    /// Whether a light state left out the graph in use.
    pub(crate) graphless: bool,
    /// The segment that holds the next batch, once it is planned.
    pub(crate) segment: Option<Segment>,
    pub(crate) current: EpochReport,
    pub(crate) finished: Option<EpochReport>,
    pub(crate) staleness: Option<Staleness>,
    pub(crate) warnings: Vec<Warning>,
    pub(crate) cancellation: Cancellation,
    /// With whom graphs are built, and which rows this rank reads.
    pub(crate) sharing: Option<(Arc<dyn lookalike_base::Ranks>, Held)>,
    pub(crate) traffic: Traffic,
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

    /// As [`Sampler::new`], with groups, an oracle, several data sets, or several ranks.
    ///
    /// Of several data sets each batch is from one, and all ranks take theirs from the same one at a time; graphs and groups do not reach beyond a set. An
    /// epoch's hardness is that of each batch beside uniform batches of its own set.
    ///
    /// Of several ranks each gets its own part of every segment, and records the embeddings of all. Steps and positions
    /// count the batches of one rank; the report is that of all.
    ///
    /// # Errors
    /// As [`Sampler::new`]; [`SamplingError::Length`] for groups or labels that are not one an instance,
    /// [`SamplingError::FewGroups`], [`SamplingError::LargeGroup`] and [`SamplingError::LargestGroups`] for groups that cannot be
    /// kept apart, [`SamplingError::Ranks`] for ranks that cannot share the batches, [`SamplingError::DataSets`] for sizes that do not
    /// add up, and [`SamplingError::DataSet`] with any of these about one of several sets.
    pub fn with_data(
        instances: usize,
        options: SamplerOptions,
        seed: Seed,
        data: RunData,
    ) -> Result<(Self, Vec<Warning>), SamplingError> {
        // Before memory is taken for them; few are refused by the name of their set.
        check_instances(instances.max(2))?;
        let sets = DataSets::states(data.sets.as_ref(), instances, seed, data.checked_groups(instances)?)?;
        let mut warnings = Vec::new();
        for (number, set) in sets.iter().enumerate() {
            let place = (number, sets.len());
            let checked = options.check(set.instances).and_then(|advice| {
                data.check(set.instances, set.groups.as_ref().or(data.groups.as_ref()), &options)?;
                Ok(advice)
            });
            let advice = checked.map_err(|error| set.named(place, error))?;
            warnings.extend(advice.into_iter().map(|advice| sets::warning(place, advice)));
        }
        data.check_oracle(instances, &options)?;
        let pairs = options.pairs.is_some();
        let sampler = Self {
            instances,
            options,
            seed,
            data,
            epoch: 0,
            position: 0,
            steps: 0,
            skipped: 0,
            store: EmbeddingStore::new(instances, pairs),
            sets,
            refreshed_at: None,
            builds: 0,
            build_seconds: 0.0,
            used: InstanceSet::new(instances),
            awaited: None,
            graphless: false,
            segment: None,
            current: EpochReport::default(),
            finished: None,
            staleness: None,
            warnings: Vec::new(),
            cancellation: Cancellation::new(),
            sharing: None,
            traffic: Traffic::default(),
        };
        Ok((sampler, warnings))
    }

    /// Batches an epoch: ⌊N/B⌋, or ⌈N/B⌉ where the last one is kept; ⌊⌊N/B⌋/W⌋ for each of W ranks. Of several data sets what
    /// their [order](SetOrder) makes of these numbers.
    pub fn batches_per_epoch(&self) -> usize {
        self.set_order().rounds(&self.rounds())
    }

    /// Batches planned for one of each rank.
    pub(crate) fn at_once(&self) -> usize {
        self.data.ranks.planned_at_once()
    }

    /// Instances of the data set, N.
    pub fn instances(&self) -> usize {
        self.instances
    }

    /// Groups, oracle, data sets and ranks.
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

    /// Whether the segment of the next batch is planned already: some of its batches were consumed, or it was asked for.
    pub fn is_planned(&self) -> bool {
        self.segment.is_some()
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

    /// Builds proximity graphs together with `ranks` from now on, all of which must ask for the same at the same moments; graphs have the same bits as
    /// without. Those of independent candidates, of nearest neighbours and of clusters each rank builds by itself.
    pub fn share_graphs(&mut self, ranks: Arc<dyn lookalike_base::Ranks>, held: Held) {
        self.sharing = (ranks.size() > 1).then_some((ranks, held));
    }

    /// What was sent between ranks for the graphs so far, and the most that was held for one of them.
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// Whether the next segment begins with a new graph.
    pub fn is_refresh_due(&self) -> bool {
        let due =
            self.refreshed_at.is_none_or(|at| at.saturating_add(self.options.refresh_every) <= self.steps);
        !self.is_uniform() && self.segment.is_none() && (due || self.graphless)
    }

    /// Avoids by `oracle` from the next segment on, and in the next graph; `None` for nothing. A state that was saved under an oracle is
    /// restored with it.
    ///
    /// # Errors
    /// [`SamplingError::Length`] for labels that are not one an instance, [`SamplingError::Combination`] where batches are uniform.
    pub fn set_oracle(&mut self, oracle: Option<Oracle>) -> Result<(), SamplingError> {
        let before = std::mem::replace(&mut self.data.oracle, oracle);
        let checked = self.data.check_oracle(self.instances, &self.options);
        if checked.is_err() {
            self.data.oracle = before;
        }
        checked
    }

    /// The run's seed.
    pub fn seed(&self) -> Seed {
        self.seed
    }

    /// The options it was made with.
    pub fn options(&self) -> &SamplerOptions {
        &self.options
    }

    /// The graph in use, without the edges that are not walked; without any before the first refresh. That of several data sets
    /// is put together from theirs.
    pub fn graph(&self) -> Cow<'_, ProximityGraph> {
        match &self.sets[..] {
            [set] => Cow::Borrowed(&set.graph),
            sets => Cow::Owned(joined(sets).unwrap_or_else(|_| unreachable!("edges stay within their sets"))),
        }
    }

    /// The newest embedding recorded of each instance, of unit length, of pairs each half; zeros for those without one. `None` before any
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
    /// [`proximity_graph`](crate::proximity_graph), [`knn_graph`](crate::knn_graph) and [`plan_segment`](crate::plan_segment) refuse;
    /// none of it can come about from recorded embeddings and checked options.
    pub fn next_segment(&mut self) -> Result<Segment, SamplingError> {
        self.next_segment_shown(&Silent)
    }

    /// As [`Sampler::next_segment`]; `progress` counts the instances that are compared where a graph is due.
    ///
    /// # Errors
    /// As [`Sampler::next_segment`].
    pub fn next_segment_shown(&mut self, progress: &dyn Progress) -> Result<Segment, SamplingError> {
        let (position, at_once, ranks) = (self.position, self.at_once(), self.data.ranks);
        let segment = self.planned(None, progress, &Silent)?;
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
    /// `embeddings` n×d, a row for each of the n `instances`; d must never change. Of pairs n×2d, query and document side by side, each
    /// of which is scaled by itself.
    ///
    /// # Errors
    /// [`SamplingError::Rows`], [`SamplingError::Columns`] or [`SamplingError::OddColumns`] for other shapes, [`SamplingError::Instance`] for a number out
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
        let segment = self.planned(None, &Silent, &Silent)?;
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
        let graph = self.graph();
        SamplerReport {
            current: EpochReport { reach: self.reach(), ..self.current.clone() },
            finished: self.finished.clone(),
            staleness: self.staleness,
            graph: (graph.edges() > 0).then(|| graph.statistics()),
            calibrations: self.sets.iter().map(|set| set.calibration.map(|(_, found)| found)).collect(),
            builds: self.builds,
            build_seconds: self.build_seconds,
        }
    }

    /// In one line how much harder than uniform ones the batches of the running epoch are, and what would change that; `None` where nothing
    /// was measured.
    pub fn in_one_line(&self) -> Option<String> {
        let tenths = self.current.hardness;
        let (sum, batches) =
            tenths.iter().fold((0.0, 0), |(sum, batches), tenth| (sum + tenth.sum, batches + tenth.batches));
        let hardness = (batches > 0).then(|| sum / batches as f64)?;
        let advice = match (&self.options.kind, &self.sets[..]) {
            (SamplerKind::Walk, [SetState { calibration: Some((_, found)), .. }])
                if found.nearest > found.uniform =>
            {
                let share = hardness / (found.nearest - found.uniform);
                let (candidates, neighbors, restart) = (found.candidates, found.neighbors, found.restart);
                format!(
                    ", a share of {share:.2} of what nearest neighbors have, by M = {candidates}, K = {neighbors}, restart {restart}; \
                     hardness_share changes it"
                )
            }
            (SamplerKind::Walk, _) if self.options.hardness_share.is_some() => {
                "; hardness_share changes it".to_owned()
            }
            (SamplerKind::Walk, _) => {
                "; more candidates or fewer neighbors make them harder, and hardness_share sets how hard they are"
                    .to_owned()
            }
            _ => String::new(),
        };
        let line = format!("batches are {hardness:.3} more similar than uniform ones{advice}");
        Some(line)
    }

    /// What was put right since the last call and should be told to the user.
    pub fn take_warnings(&mut self) -> Vec<Warning> {
        std::mem::take(&mut self.warnings)
    }
}
