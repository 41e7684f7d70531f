//! How the batches up to the next refresh are planned: those of each data set by themselves, then one behind another in the order of the
//! epoch.

use lookalike_base::{Progress, RowSource, Watch};

use crate::error::{SamplingError, Warning};
use crate::graph::pairs::pair_sum;
use crate::plan::ceiling::{Ceiling, Limits};
use crate::plan::hardness::tally;
use crate::plan::{
    BatchOrder, BatchOrigins, Coverage, PlanInput, Segment, Strategy, batches_per_epoch, plan_segment,
};
use crate::sampler::Sampler;
use crate::sampler::options::{SamplerKind, SamplerOptions};
use crate::sampler::run_data::Avoid;
use crate::sampler::sets::{SetOrder, SetState};
use crate::walk::Transition;

impl Sampler {
    /// Batches of an epoch for each rank, by data set.
    pub(crate) fn rounds(&self) -> Vec<usize> {
        let rounds = |set: &SetState| {
            batches_per_epoch(set.instances, self.options.batch_size, self.options.last_batch)
                / self.data.ranks.count
        };
        self.sets.iter().map(rounds).collect()
    }

    /// From which data set batches are.
    pub(crate) fn set_order(&self) -> SetOrder {
        self.data.sets.as_ref().map_or(SetOrder::default(), |sets| sets.order)
    }

    /// The segment that holds the next batch; `progress` advances by each that is planned for it.
    ///
    /// `rows` are the embeddings of all instances where they were not recorded. `building` counts the instances that are compared for
    /// a graph.
    pub(crate) fn planned(
        &mut self,
        rows: Option<&dyn RowSource>,
        building: &dyn Progress,
        progress: &dyn Progress,
    ) -> Result<&Segment, SamplingError> {
        let segment = match self.segment.take() {
            Some(segment) => segment,
            None => self.plan(rows, building, progress)?,
        };
        Ok(self.segment.insert(segment))
    }

    fn plan(
        &mut self,
        rows: Option<&dyn RowSource>,
        building: &dyn Progress,
        progress: &dyn Progress,
    ) -> Result<Segment, SamplingError> {
        let segment = self.plan_segment(rows, building, progress)?;
        let members = segment.origins.iter().map(|origins| origins.above_ceiling).sum();
        if members > 0 {
            let batches = segment.batches.len();
            self.warn(vec![Warning::AboveCeiling { step: self.steps, members, batches }]);
        }
        let repeated = segment.origins.iter().map(|origins| origins.repeated).sum::<u64>();
        let places = segment.origins.iter().map(BatchOrigins::members).sum::<u64>();
        if repeated * 100 > places && self.options.coverage == Coverage::Cover {
            let batches = segment.batches.len();
            self.warn(vec![Warning::Repeated { step: self.steps, members: repeated, batches }]);
        }
        let uniform = segment.origins.iter().all(|origins| origins.uniform == origins.members());
        let mixed = self.options.uniform_fraction >= 1.0;
        if uniform && !mixed && !self.is_uniform() && self.sets.iter().any(|set| set.graph.edges() > 0) {
            let embedded = self.store.present.count();
            self.warn(vec![Warning::AllUsed { step: self.steps, embedded }]);
        }
        Ok(segment)
    }

    fn plan_segment(
        &mut self,
        rows: Option<&dyn RowSource>,
        building: &dyn Progress,
        progress: &dyn Progress,
    ) -> Result<Segment, SamplingError> {
        let (rounds, at_once) = (self.batches_per_epoch(), self.at_once());
        let (first, left) = (self.position * at_once, rounds - self.position);
        if self.is_uniform() {
            return self.plan_batches(first, left * at_once, rows, progress);
        }
        self.check_embeddings()?;
        let due = self.refreshed_at.map_or(self.steps, |at| at.saturating_add(self.options.refresh_every));
        // Without the graph that a light state left out a new one is built early.
        if due <= self.steps || self.graphless {
            self.refresh(building)?;
        }
        let refreshed_at = self.refreshed_at.unwrap_or(self.steps);
        let until_refresh = refreshed_at.saturating_add(self.options.refresh_every) - self.steps;
        let batches = usize::try_from(until_refresh).map_or(left, |until| until.min(left));
        let segment = self.plan_batches(first, batches * at_once, rows, progress)?;
        self.measure(&segment)?;
        Ok(segment)
    }

    /// Adds the hardness of a segment to that of the epoch: beside uniform batches of the same data set.
    fn measure(&mut self, segment: &Segment) -> Result<(), SamplingError> {
        let Some(rows) = self.store.rows()? else { return Ok(()) };
        let (present, pairs) = (&self.store.present, self.options.pairs.is_some());
        let sum = |members: &mut dyn Iterator<Item = usize>| {
            let known = members.filter(|member| present.contains(*member as u32));
            pair_sum(rows, pairs, known)
        };
        let total = self.batches_per_epoch() * self.at_once();
        for set in &self.sets {
            let everybody = set.first as u32..(set.first + set.instances) as u32;
            let placed = segment.batches.iter().zip(segment.first_batch..);
            let own =
                placed.filter(|(batch, _)| batch.first().is_some_and(|member| everybody.contains(member)));
            let own = own.map(|(batch, at)| (at, &batch[..]));
            tally(&mut self.current.hardness, own, total, everybody.clone(), sum);
        }
        Ok(())
    }

    /// Whether this epoch's batches are uniform.
    pub fn is_uniform(&self) -> bool {
        let SamplerOptions { kind, uniform_epochs, uniform_every, .. } = self.options;
        let in_turn = uniform_every.is_some_and(|every| self.epoch.is_multiple_of(every));
        kind == SamplerKind::Uniform || self.epoch < uniform_epochs || in_turn
    }

    /// The epoch by which random numbers are drawn.
    fn drawn_epoch(&self) -> u64 {
        if self.is_uniform() { self.options.drawn_in(self.epoch) } else { self.epoch }
    }

    /// The segment of `batches` from `first_batch` on, which must begin where `used` ends; both are multiples of the batches that
    /// ranks take at once.
    pub(crate) fn plan_batches(
        &self,
        first_batch: usize,
        batches: usize,
        rows: Option<&dyn RowSource>,
        progress: &dyn Progress,
    ) -> Result<Segment, SamplingError> {
        let at_once = self.at_once();
        let stored = self.store.rows()?;
        // Who has an embedding is known of those that were recorded.
        let rows = rows.or(stored.as_ref().map(|rows| rows as &dyn RowSource));
        let order = self.set_order().of_epoch(&self.rounds(), self.seed, self.drawn_epoch());
        let parted = order.split_at_checked(first_batch / at_once);
        let parted = parted.and_then(|(before, from)| Some((before, from.get(..batches / at_once)?)));
        let (before, during) = parted.ok_or_else(|| SamplingError::Segment {
            problem: format!(
                "{batches} batches from batch {first_batch} on leave an epoch of {}",
                order.len() * at_once
            ),
        })?;
        let of_set = |(number, set): (usize, &SetState)| {
            let count = |rounds: &[usize]| rounds.iter().filter(|of| **of == number).count() * at_once;
            let part = match count(during) {
                0 => return Ok(Vec::new().into_iter()),
                batches => self.plan_set(set, count(before), batches, rows, progress),
            };
            let part = part.map_err(|error| set.named((number, self.sets.len()), error))?;
            let mut planned: Vec<_> = part.batches.into_iter().zip(part.origins).collect();
            if self.options.batch_order == Some(BatchOrder::Shuffled) && !self.is_uniform() {
                planned = self.shuffled(set, part.first_batch, &planned);
            }
            planned.iter_mut().flat_map(|(batch, _)| batch).for_each(|member| *member += set.first as u32);
            Ok(planned.into_iter())
        };
        let mut parts =
            self.sets.iter().enumerate().map(of_set).collect::<Result<Vec<_>, SamplingError>>()?;
        let next = |set: &usize| parts[*set].by_ref().take(at_once).collect::<Vec<_>>();
        let (batches, origins) = during.iter().flat_map(next).unzip();
        Ok(Segment { epoch: self.epoch, first_batch, batches, origins })
    }

    /// Batches of one data set that were planned together from its `first_batch` on, in an order that is drawn; those that ranks take at
    /// once stay together.
    fn shuffled<T: Clone>(&self, set: &SetState, first_batch: usize, planned: &[T]) -> Vec<T> {
        let rounds: Vec<&[T]> = planned.chunks(self.at_once().max(1)).collect();
        let mut stream = set.seed.stream("order of batches", self.drawn_epoch(), first_batch as u64, 0);
        let order = stream.permutation(rounds.len() as u32);
        order.iter().flat_map(|round| rounds[*round as usize]).cloned().collect()
    }

    /// The batches of one data set from its `first_batch` on, whose members are numbered from 0.
    fn plan_set(
        &self,
        set: &SetState,
        first_batch: usize,
        batches: usize,
        rows: Option<&dyn RowSource>,
        progress: &dyn Progress,
    ) -> Result<Segment, SamplingError> {
        let strategy = match self.options.kind {
            _ if self.is_uniform() => Strategy::Uniform,
            SamplerKind::Nearest => Strategy::Nearest { graph: &set.graph },
            SamplerKind::Gcbs | SamplerKind::Clusters => Strategy::Order { order: &set.order },
            SamplerKind::Walk | SamplerKind::Uniform => {
                let found = set.calibration.map(|(_, found)| found.restart as f32);
                let restart = found.unwrap_or_else(|| self.options.restart().at(self.epoch));
                Strategy::Walk(Transition { graph: &set.graph, restart, weights: set.weights.as_ref() })
            }
        };
        let labels = self.avoided(Avoid::Members).map(|labels| &labels[set.first..][..set.instances]);
        let rows = rows.map(|rows| set.rows(rows));
        // All rows are those of somebody where they are kept elsewhere.
        let present = (self.store.columns > 0).then(|| self.store.present.part(set.first, set.instances));
        let limits = self.limits(set);
        let ceiling = match &rows {
            Some(rows) if limits != Limits::default() => {
                Some(Ceiling::new(rows, self.options.pairs, present.as_ref(), limits)?)
            }
            _ => None,
        };
        let input = PlanInput {
            instances: set.instances,
            batch_size: self.data.ranks.planned_size(self.options.batch_size),
            last_batch: self.options.last_batch,
            multiple: self.at_once(),
            coverage: self.options.coverage,
            strategy,
            uniform_fraction: self.options.uniform_fraction,
            // Its own where there are several.
            groups: set.groups.as_ref().or(self.data.groups.as_ref()),
            ceiling,
            labels,
            seed: set.seed,
            epoch: self.drawn_epoch(),
            first_batch,
            batches,
            used: &self.used.part(set.first, set.instances),
        };
        plan_segment(&input, Watch { progress, cancellation: &self.cancellation })
    }

    /// How similar instances of a data set may be that share a batch, as far as it is known.
    fn limits(&self, set: &SetState) -> Limits {
        Limits {
            similarity: self.options.similarity_ceiling.or(set.limit),
            to_positive: self.options.similarity_to_positive,
        }
    }

    /// The labels, where `what` is to be avoided by them.
    pub(crate) fn avoided(&self, what: Avoid) -> Option<&[u32]> {
        self.data.oracle.as_ref().filter(|oracle| oracle.avoid == what).map(|oracle| &oracle.labels[..])
    }
}
