//! How the graphs come about: when they are due, from which rows, and which of their edges are walked.

use std::time::Instant;

use lookalike_base::{Progress, RowSource, Silent, Watch};

use crate::error::{SamplingError, Warning};
use crate::graph::weights::EdgeWeights;
use crate::graph::{ProximityGraph, knn_graph, proximity_graph};
use crate::sampler::Sampler;
use crate::sampler::options::SamplerKind;
use crate::sampler::run_data::Avoid;
use crate::sampler::sets::{PartProgress, SetState, warning};
use crate::set::InstanceSet;

impl Sampler {
    /// Builds the graph of each data set from the embeddings there are; with too few of them its batches are uniform until the next
    /// refresh.
    pub(crate) fn refresh(&mut self) -> Result<(), SamplingError> {
        let begun = Instant::now();
        let (neighbors, sets) = (self.neighbors(), self.sets.len());
        let (mut graphs, mut warnings, mut built) = (Vec::new(), Vec::new(), false);
        let rows = self.store.rows()?;
        for (number, set) in self.sets.iter().enumerate() {
            let present = self.store.present.part(set.first, set.instances);
            let embedded = present.count();
            graphs.push(match rows {
                Some(rows) if embedded > neighbors => {
                    built = true;
                    self.build(number, &rows, Some(&present), &Silent, &mut warnings)?
                }
                _ => {
                    let few = Warning::TooFewEmbeddings { step: self.steps, embedded, neighbors };
                    warnings.push(warning((number, sets), few));
                    ProximityGraph::empty(set.instances)
                }
            });
        }
        self.take_graphs(graphs)?;
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
    ) -> Result<(Vec<ProximityGraph>, Vec<Warning>), SamplingError> {
        let mut warnings = Vec::new();
        let build = |(number, set): (usize, &SetState)| {
            let progress = PartProgress { all: progress, before: set.first as u64 };
            self.build(number, rows, None, &progress, &mut warnings)
        };
        let graphs = self.sets.iter().enumerate().map(build).collect::<Result<_, _>>()?;
        Ok((graphs, warnings))
    }

    /// The graph of data set `number` from the rows of all instances, with the edges that are walked.
    fn build(
        &self,
        number: usize,
        rows: &dyn RowSource,
        present: Option<&InstanceSet>,
        progress: &dyn Progress,
        warnings: &mut Vec<Warning>,
    ) -> Result<ProximityGraph, SamplingError> {
        let (set, place) = (&self.sets[number], (number, self.sets.len()));
        let (rows, neighbors) = (set.rows(rows), self.neighbors());
        let watch = Watch { progress, cancellation: &self.cancellation };
        let built = if self.options.kind == SamplerKind::Nearest {
            let graph = knn_graph(&rows, present, neighbors, self.options.pairs, self.options.scoring, watch);
            graph.map(|graph| (graph, Vec::new()))
        } else {
            proximity_graph(&rows, present, &self.options.graph(neighbors), set.seed, self.builds, watch)
        };
        let (graph, advice) = built.map_err(|error| match error {
            SamplingError::NotFinite { instance, column } => {
                SamplingError::NotFinite { instance: instance + set.first as u32, column }
            }
            error => set.named(place, error),
        })?;
        warnings.extend(advice.into_iter().map(|advice| warning(place, advice)));
        self.walkable(set, graph, &rows)
    }

    /// The graph without the edges that are too similar, or false.
    fn walkable(
        &self,
        set: &SetState,
        graph: ProximityGraph,
        rows: &dyn RowSource,
    ) -> Result<ProximityGraph, SamplingError> {
        let percentile =
            self.options.similarity_percentile.and_then(|share| graph.similarity_percentile(share));
        let ceiling = percentile.map(f64::from).or(self.options.similarity_ceiling);
        let labels = self.avoided(Avoid::Edges).map(|labels| &labels[set.first..][..set.instances]);
        let graph = if ceiling.is_none() && labels.is_none() {
            graph
        } else {
            graph.filtered(|own, other, similarity| {
                ceiling.is_none_or(|ceiling| f64::from(similarity) <= ceiling)
                    && labels.is_none_or(|labels| labels[own as usize] != labels[other as usize])
            })?
        };
        match self.options.similarity_to_positive {
            None => Ok(graph),
            Some(share) => graph.below_positive(rows, share),
        }
    }

    /// Walks on these graphs, one for each data set, from now on.
    pub(crate) fn take_graphs(&mut self, graphs: Vec<ProximityGraph>) -> Result<(), SamplingError> {
        let temperature = self.options.temperature.filter(|_| self.options.kind == SamplerKind::Walk);
        let weights = |graph| temperature.map(|temperature| EdgeWeights::new(graph, temperature)).transpose();
        let weights = graphs.iter().map(weights).collect::<Result<Vec<_>, _>>()?;
        for (set, (graph, weights)) in self.sets.iter_mut().zip(graphs.into_iter().zip(weights)) {
            (set.graph, set.weights) = (graph, weights);
        }
        Ok(())
    }

    /// Neighbours that each instance in a graph gets.
    fn neighbors(&self) -> usize {
        match self.options.kind {
            // Enough to fill a batch, that of all ranks where it is split.
            SamplerKind::Nearest => {
                self.data.ranks.planned_size(self.options.batch_size).saturating_sub(1).max(1)
            }
            SamplerKind::Walk | SamplerKind::Uniform => self.options.neighbors,
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
