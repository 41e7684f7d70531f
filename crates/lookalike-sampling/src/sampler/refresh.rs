//! How the graphs come about: when they are due, from which rows, and which of their edges are walked.

use std::time::Instant;

use lookalike_base::{Progress, RowSource, Silent, Watch};
use lookalike_metrics::UNLABELLED;

use crate::dial::{Calibration, DialInput, calibrate};
use crate::error::{SamplingError, Warning};
use crate::graph::pairs::pair_sum;
use crate::graph::weights::EdgeWeights;
use crate::graph::{
    CandidateDraw, GraphOptions, Held, ProximityGraph, Traffic, knn_graph, pair_percentile, proximity_graph,
    shared_proximity_graph,
};
use crate::plan::bandwidth::bandwidth_order;
use crate::plan::clusters::cluster_order;
use crate::sampler::Sampler;
use crate::sampler::options::SamplerKind;
use crate::sampler::run_data::Avoid;
use crate::sampler::sets::{PartProgress, SetState, warning};
use crate::set::{InstanceSet, present_of};

/// Of all pairs those above this percentile are what GCBS orders instances by, as published.
const GCBS_PERCENTILE: f64 = 99.9;

/// Rows that are compared with the graph, about, where ranks read a part of them each.
const LOOKED_AT: usize = 10_000;

/// Who may be drawn together in one data set, from its embeddings as they are at a refresh.
pub(crate) struct Built {
    pub(crate) graph: ProximityGraph,
    pub(crate) order: Vec<u32>,
    pub(crate) limit: Option<f64>,
    pub(crate) calibration: Option<(u64, Calibration)>,
    pub(crate) traffic: Traffic,
}

impl Sampler {
    /// Builds the graph of each data set from the embeddings there are; with too few of them its batches are uniform until the next
    /// refresh.
    pub(crate) fn refresh(&mut self, progress: &dyn Progress) -> Result<(), SamplingError> {
        let begun = Instant::now();
        let (needed, sets) = (self.needed(), self.sets.len());
        let (mut all, mut warnings, mut built) = (Vec::new(), Vec::new(), false);
        let rows = self.store.rows()?;
        for (number, set) in self.sets.iter().enumerate() {
            let present = self.store.present.part(set.first, set.instances);
            let embedded = present.count();
            all.push(match rows {
                Some(rows) if embedded > needed => {
                    built = true;
                    let progress = PartProgress { all: progress, before: set.first as u64 };
                    self.build(number, &rows, Some(&present), &progress, &mut warnings)?
                }
                _ => {
                    let few = Warning::TooFewEmbeddings { step: self.steps, embedded, neighbors: needed };
                    warnings.push(warning((number, sets), few));
                    let graph = ProximityGraph::empty(set.instances);
                    let (limit, calibration) = (set.limit, set.calibration);
                    Built { graph, order: Vec::new(), limit, calibration, traffic: Traffic::default() }
                }
            });
        }
        self.take_built(all)?;
        self.graphless = false;
        self.builds += u64::from(built);
        self.warn(warnings);
        self.staleness = Some(self.store.staleness(self.steps));
        self.refreshed_at = Some(self.steps);
        self.build_seconds += begun.elapsed().as_secs_f64();
        Ok(())
    }

    /// The graphs of all data sets from `rows`, a row for each instance, everybody being there.
    pub(crate) fn build_all(
        &self,
        rows: &dyn RowSource,
        progress: &dyn Progress,
    ) -> Result<(Vec<Built>, Vec<Warning>), SamplingError> {
        let mut warnings = Vec::new();
        let build = |(number, set): (usize, &SetState)| {
            let progress = PartProgress { all: progress, before: set.first as u64 };
            self.build(number, rows, None, &progress, &mut warnings)
        };
        let built = self.sets.iter().enumerate().map(build).collect::<Result<_, _>>()?;
        Ok((built, warnings))
    }

    /// What data set `number` is sampled by, from the rows of all instances.
    fn build(
        &self,
        number: usize,
        rows: &dyn RowSource,
        present: Option<&InstanceSet>,
        progress: &dyn Progress,
        warnings: &mut Vec<Warning>,
    ) -> Result<Built, SamplingError> {
        let (set, place) = (&self.sets[number], (number, self.sets.len()));
        let rows = set.rows(rows);
        let watch = Watch { progress, cancellation: &self.cancellation };
        let mut advice = Vec::new();
        let built = self.build_set(set, &rows, present, watch, &mut advice).map_err(|error| match error {
            SamplingError::NotFinite { instance, column } => {
                SamplingError::NotFinite { instance: instance + set.first as u32, column }
            }
            error => set.named(place, error),
        });
        warnings.extend(advice.into_iter().map(|advice| warning(place, advice)));
        built
    }

    fn build_set(
        &self,
        set: &SetState,
        rows: &dyn RowSource,
        present: Option<&InstanceSet>,
        watch: Watch<'_>,
        warnings: &mut Vec<Warning>,
    ) -> Result<Built, SamplingError> {
        let options = &self.options;
        let (pairs, scoring) = (options.pairs, options.scoring);
        let percentile =
            |percentile| pair_percentile(rows, present, pairs, percentile, set.seed, self.builds);
        let embedded = present.map_or(set.instances, InstanceSet::count);
        let mut built = Built {
            graph: ProximityGraph::empty(set.instances),
            order: Vec::new(),
            limit: options.similarity_ceiling,
            calibration: None,
            traffic: Traffic::default(),
        };
        if let Some(share) = options.pair_percentile {
            built.limit = percentile(share)?.map(f64::from);
        }
        match options.kind {
            SamplerKind::Nearest => {
                built.graph = knn_graph(rows, present, self.needed(), pairs, scoring, watch)?;
            }
            SamplerKind::Gcbs => {
                let (_, neighbors) = options.sizes(embedded);
                built.graph = knn_graph(rows, present, neighbors.min(embedded - 1), pairs, scoring, watch)?;
            }
            SamplerKind::Clusters => {
                let size = self.data.ranks.planned_size(options.batch_size);
                built.order = cluster_order(rows, present, pairs, size, set.seed, self.builds, watch)?;
            }
            SamplerKind::Walk if options.hardness_share.is_some() => {
                self.build_by_dial(set, rows, present, watch, &mut built, warnings)?;
            }
            SamplerKind::Walk | SamplerKind::Uniform => {
                // What was not given fits itself to those who have an embedding.
                let (candidates, neighbors) = options.sizes(embedded);
                let asked = options.graph(candidates, neighbors);
                let (graph, advice) =
                    self.graph_of(set, (rows, present), &asked, watch, &mut built.traffic)?;
                built.graph = graph;
                warnings.extend(advice);
            }
        }
        if !options.kind.is_order() && options.pairs.is_none() && options.hardness_share.is_none() {
            self.check_alike(&built.graph, rows, present, warnings);
        }
        if let Some(share) = options.edge_percentile {
            built.limit = built.graph.similarity_percentile(share).map(f64::from);
        }
        let before = built.graph.edges();
        built.graph = self.walkable(set, built.graph, built.limit, rows)?;
        if before > 0 && built.graph.edges() == 0 {
            warnings.push(Warning::NoEdges { step: self.steps, edges: before });
        }
        if options.kind == SamplerKind::Gcbs {
            let threshold = percentile(GCBS_PERCENTILE)?.unwrap_or(-1.0);
            built.graph = built.graph.filtered(|_, _, similarity| similarity >= threshold)?;
            built.order = bandwidth_order(&built.graph);
            built.order.retain(|instance| present.is_none_or(|present| present.contains(*instance)));
        }
        Ok(built)
    }

    /// The proximity graph of a data set, built with others where it is shared.
    fn graph_of(
        &self,
        set: &SetState,
        (rows, present): (&dyn RowSource, Option<&InstanceSet>),
        options: &GraphOptions,
        watch: Watch<'_>,
        sent: &mut Traffic,
    ) -> Result<(ProximityGraph, Vec<Warning>), SamplingError> {
        match &self.sharing {
            Some((ranks, held)) if options.draw == CandidateDraw::Tiles => {
                let (input, draw) = ((rows, present), (set.seed, self.builds));
                let (graph, warnings, traffic) =
                    shared_proximity_graph(&**ranks, *held, input, options, draw, watch)?;
                sent.add(traffic);
                Ok((graph, warnings))
            }
            _ => proximity_graph(rows, present, options, set.seed, self.builds, watch),
        }
    }

    /// The graph by which walks come to the share of hardness that is asked for in this epoch. It is calibrated at the first refresh of
    /// each epoch.
    fn build_by_dial(
        &self,
        set: &SetState,
        rows: &dyn RowSource,
        present: Option<&InstanceSet>,
        watch: Watch<'_>,
        built: &mut Built,
        warnings: &mut Vec<Warning>,
    ) -> Result<(), SamplingError> {
        let Some(share) = self.options.hardness_share else { return Ok(()) };
        let asked = share.at(self.epoch);
        let input = self.dial(set, rows, present);
        let silent = Watch { progress: &Silent, cancellation: watch.cancellation };
        let embedded = present.map_or(set.instances, InstanceSet::count);
        // What was found for many fewer embeddings does not hold.
        let holds =
            |known: &Calibration| known.asked == asked && embedded <= known.embedded + known.embedded / 10;
        let known = set.calibration.filter(|(epoch, known)| *epoch == self.epoch && holds(known));
        if let Some((_, calibration)) = known {
            let options = self.options.graph(calibration.candidates, calibration.neighbors);
            built.graph = self.graph_of(set, (rows, present), &options, watch, &mut built.traffic)?.0;
            built.calibration = known;
            return Ok(());
        }
        let found = calibrate(&input, asked, silent)?;
        let mut build = |found: &Calibration| {
            let options = self.options.graph(found.candidates, found.spare_neighbors());
            let traffic = &mut built.traffic;
            Ok::<_, SamplingError>(self.graph_of(set, (rows, present), &options, watch, traffic)?.0)
        };
        let graph = build(&found)?;
        let (graph, calibration) = if embedded + set.instances / 10 < set.instances {
            // Most of a batch is drawn from outside the graph: whole batches say little about it.
            (graph.truncated(found.neighbors), found)
        } else {
            let (graph, first) = found.fit(graph, &input, silent)?;
            match first.corrected(found.neighbors) {
                None => (graph, first),
                Some(again) => {
                    let (second_graph, second) = again.fit(build(&again)?, &input, silent)?;
                    if second.off() < first.off() { (second_graph, second) } else { (graph, first) }
                }
            }
        };
        warnings.extend(calibration.warning(self.steps, input.batch_size));
        (built.graph, built.calibration) = (graph, Some((self.epoch, calibration)));
        Ok(())
    }

    /// Warns where neighbours are no more similar than any two instances.
    fn check_alike(
        &self,
        graph: &ProximityGraph,
        rows: &dyn RowSource,
        present: Option<&InstanceSet>,
        warnings: &mut Vec<Warning>,
    ) {
        let (_, _, similarities) = graph.parts();
        let sum: f64 = similarities.iter().map(|similarity| f64::from(*similarity)).sum();
        // Rows of which ranks read a part each are looked at here and there.
        let parted = matches!(self.sharing, Some((_, Held::Part)));
        let step = if parted { (rows.len() / LOOKED_AT).max(1) } else { 1 };
        let everybody = present_of(rows.len(), present).step_by(step).map(|instance| instance as usize);
        let uniform = pair_sum(rows, false, everybody).mean().unwrap_or_default();
        let enough = graph.edges() > 0 && graph.instances() > 2;
        if enough && sum / similarities.len() as f64 - uniform < 1e-6 {
            warnings.push(Warning::AllAlike { step: self.steps });
        }
    }

    /// What the dial of a data set depends on.
    fn dial<'a>(
        &self,
        set: &SetState,
        rows: &'a dyn RowSource,
        present: Option<&'a InstanceSet>,
    ) -> DialInput<'a> {
        let batches = self.batches_per_epoch() as u64;
        // An epoch in which no refresh is due can have one at its beginning.
        let builds = batches.div_ceil(self.options.refresh_every.min(batches.max(1))).max(1);
        let build_seconds =
            self.options.epoch_seconds.map(|seconds| seconds * self.options.budget / builds as f64);
        DialInput {
            rows,
            present,
            pairs: self.options.pairs,
            scoring: self.options.scoring,
            batch_size: self.data.ranks.planned_size(self.options.batch_size),
            coverage: self.options.coverage,
            seed: set.seed,
            build: self.builds,
            build_seconds,
        }
    }

    /// The graph without the edges that are too similar, or false.
    fn walkable(
        &self,
        set: &SetState,
        graph: ProximityGraph,
        ceiling: Option<f64>,
        rows: &dyn RowSource,
    ) -> Result<ProximityGraph, SamplingError> {
        let labels = self.avoided(Avoid::Edges).map(|labels| &labels[set.first..][..set.instances]);
        let graph = if ceiling.is_none() && labels.is_none() {
            graph
        } else {
            graph.filtered(|own, other, similarity| {
                ceiling.is_none_or(|ceiling| f64::from(similarity) <= ceiling)
                    && labels.is_none_or(|labels| {
                        labels[own as usize] != labels[other as usize] || labels[own as usize] == UNLABELLED
                    })
            })?
        };
        match self.options.similarity_to_positive {
            Some(share) if graph.edges() > 0 => graph.below_positive(rows, share),
            _ => Ok(graph),
        }
    }

    /// Samples by these from now on, one for each data set.
    pub(crate) fn take_built(&mut self, built: Vec<Built>) -> Result<(), SamplingError> {
        let temperature = self.options.temperature.filter(|_| self.options.kind == SamplerKind::Walk);
        let weights = |built: &Built| {
            temperature.map(|temperature| EdgeWeights::new(&built.graph, temperature)).transpose()
        };
        let weights = built.iter().map(weights).collect::<Result<Vec<_>, _>>()?;
        for (set, (built, weights)) in self.sets.iter_mut().zip(built.into_iter().zip(weights)) {
            set.weights = weights;
            self.traffic.add(built.traffic);
            let Built { graph, order, limit, calibration, .. } = built;
            (set.graph, set.order, set.limit, set.calibration) = (graph, order, limit, calibration);
        }
        Ok(())
    }

    /// Neighbours that each instance must get, or, where batches need no graph, one.
    fn needed(&self) -> usize {
        match self.options.kind {
            // Enough to fill a batch, that of all ranks where it is split.
            SamplerKind::Nearest => {
                self.data.ranks.planned_size(self.options.batch_size).saturating_sub(1).max(1)
            }
            SamplerKind::Walk if self.options.hardness_share.is_none() => self.options.neighbors.unwrap_or(1),
            _ => 1,
        }
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
