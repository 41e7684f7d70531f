//! Saving a sampler at any moment, and going on from there as if it had never stopped.
//!
//! Saved are the position, the embeddings, the graph, and which instances the epoch had used before the running
//! segment; its batches are planned again, and come out the same.

use lookalike_base::{Array, Arrays, Rows, Seed, Silent};
use serde::{Deserialize, Serialize};

use crate::dial::Calibration;
use crate::error::{SamplingError, Warning};
use crate::graph::{ProximityGraph, Traffic, check_row};
use crate::plan::groups::Groups;
use crate::sampler::Sampler;
use crate::sampler::light::{LeftOut, Trail, insert_batches};
use crate::sampler::options::SamplerOptions;
use crate::sampler::refresh::Built;
use crate::sampler::report::{EpochReport, Staleness};
use crate::sampler::run_data::{Avoid, Oracle, RankSplit, RunData};
use crate::sampler::sets::{DataSets, SetState, part};
use crate::set::InstanceSet;

/// The format of saved states. From 1 on fingerprints are SHA-256, from 2 on options can be absent.
pub(crate) const FORMAT: u32 = 2;

/// Where a sampler was; its large arrays are saved beside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SamplerState {
    /// Version of what is saved; 0 in states that do not say it.
    #[serde(default)]
    pub format: u32,
    /// Instances of the data set, N.
    pub instances: usize,
    /// The options it was made with.
    pub options: SamplerOptions,
    /// The run's seed.
    pub seed: u64,
    /// A number for the groups, where there are any.
    #[serde(default)]
    pub groups: Option<u64>,
    /// A number for an oracle's labels and what it avoids, where there is one.
    #[serde(default)]
    pub oracle: Option<(u64, Avoid)>,
    /// How many ranks share the batches.
    #[serde(default = "one")]
    pub ranks: usize,
    /// How they do.
    #[serde(default)]
    pub split: RankSplit,
    /// The data sets, where there are several.
    #[serde(default)]
    pub sets: Option<DataSets>,
    /// The epoch of the next batch, from 0.
    pub epoch: u64,
    /// Batches consumed of it.
    pub position: usize,
    /// Batches consumed in all.
    pub steps: u64,
    /// Batches passed over by [`Sampler::set_epoch`], less those consumed twice.
    #[serde(default)]
    pub skipped: i64,
    /// The step of the last refresh.
    pub refreshed_at: Option<u64>,
    /// Graphs built.
    pub builds: u64,
    /// [`ProximityGraph::fingerprint`] of the graph in use, that of all data sets; 0 in a light state.
    pub fingerprint: u64,
    /// Of a [light](Sampler::light_state) state the embeddings that it leaves out.
    #[serde(default)]
    pub light: Option<LeftOut>,
    /// First batch and number of batches of the running segment, if one is planned.
    pub segment: Option<(usize, usize)>,
    /// Of each data set the similarity above which instances share no batch.
    #[serde(default)]
    pub limits: Vec<Option<f64>>,
    /// Of each data set what the dial came to, and in which epoch.
    #[serde(default)]
    pub calibrations: Vec<Option<(u64, Calibration)>>,
    /// The running epoch.
    pub current: EpochReport,
    /// The epoch before.
    pub finished: Option<EpochReport>,
    /// The embeddings at the last refresh.
    pub staleness: Option<Staleness>,
}

fn one() -> usize {
    1
}

impl Sampler {
    /// All that [`Sampler::restore`] needs: a small state and the large arrays.
    ///
    /// # Shapes
    /// `used` and `present` ⌈N/64⌉ words of 64 instances; after the first record `embeddings` N×d and `stamps` N; with a graph of E
    /// edges `graph.degrees` N, `graph.neighbors` and `graph.similarities` E; `order` up to N where batches are cut from one; with a ceiling
    /// what a [light state](Sampler::light_state) has of the running segment.
    ///
    /// Of a sampler that waits for the embeddings of a light state it is another light state.
    pub fn state(&self) -> (SamplerState, Arrays) {
        if self.awaited.is_some() {
            return self.light_state();
        }
        let state = self.named_state(self.graph().fingerprint());
        let mut arrays = self.large_arrays();
        // A ceiling is kept by embeddings that may have changed since: what was planned by them cannot be planned again.
        if let Some(segment) = self.segment.as_ref().filter(|_| self.options.has_ceiling()) {
            insert_batches(&mut arrays, &segment.batches, &segment.origins);
        }
        arrays.insert("used".into(), Array::u64([self.used.words().len()], self.used.words().to_vec()));
        (state, arrays)
    }

    /// All but the arrays, with the graph's fingerprint.
    pub(crate) fn named_state(&self, fingerprint: u64) -> SamplerState {
        SamplerState {
            format: FORMAT,
            instances: self.instances,
            options: self.options.clone(),
            seed: self.seed.0,
            groups: self.data.groups.as_ref().map(Groups::fingerprint),
            oracle: self.data.oracle.as_ref().map(Oracle::fingerprint),
            ranks: self.data.ranks.count,
            split: self.data.ranks.split,
            sets: self.data.several_sets().cloned(),
            epoch: self.epoch,
            position: self.position,
            steps: self.steps,
            skipped: self.skipped,
            refreshed_at: self.refreshed_at,
            builds: self.builds,
            fingerprint,
            light: None,
            segment: self.segment.as_ref().map(|segment| (segment.first_batch, segment.batches.len())),
            limits: self.sets.iter().map(|set| set.limit).collect(),
            calibrations: self.sets.iter().map(|set| set.calibration).collect(),
            current: self.current.clone(),
            finished: self.finished.clone(),
            staleness: self.staleness,
        }
    }

    /// Embeddings and graph.
    pub(crate) fn large_arrays(&self) -> Arrays {
        let (graph, present) = (self.graph(), &self.store.present);
        let mut arrays = Arrays::new();
        arrays.insert("present".into(), Array::u64([present.words().len()], present.words().to_vec()));
        arrays.insert("trail".into(), self.store.trail.array());
        if self.options.kind.is_order() {
            let own = |set: &SetState| {
                set.order.iter().map(|instance| instance + set.first as u32).collect::<Vec<u32>>()
            };
            let order = self.sets.iter().flat_map(own).collect::<Vec<u32>>();
            arrays.insert("order".into(), Array::u32([order.len()], order));
        }
        if self.store.columns > 0 {
            let shape = [self.instances, self.store.columns];
            arrays.insert("embeddings".into(), Array::f32(shape, self.store.values.clone()));
            arrays.insert("stamps".into(), Array::u64([self.instances], self.store.stamps.clone()));
        }
        let edges = graph.edges();
        if edges > 0 {
            let (degrees, neighbors, similarities) = graph.parts();
            arrays.insert("graph.degrees".into(), Array::u32([self.instances], degrees));
            arrays.insert("graph.neighbors".into(), Array::u32([edges], neighbors.to_vec()));
            arrays.insert("graph.similarities".into(), Array::f32([edges], similarities.to_vec()));
        }
        arrays
    }

    /// The sampler that [`Sampler::state`] was taken of, with what [`Sampler::new`] warns of.
    ///
    /// # Errors
    /// What [`Sampler::new`] refuses, and [`SamplingError::State`] where the state is of another data set, seed or set of
    /// options, or where an array is missing, of another shape, or damaged.
    pub fn restore(
        instances: usize,
        options: SamplerOptions,
        seed: Seed,
        state: &SamplerState,
        arrays: &Arrays,
    ) -> Result<(Self, Vec<Warning>), SamplingError> {
        Self::restore_with_data(instances, options, seed, RunData::default(), state, arrays)
    }

    /// As [`Sampler::restore`], of one that was made by [`Sampler::with_data`]. All ranks can go on from the state of
    /// any one of them.
    ///
    /// # Errors
    /// As [`Sampler::restore`], and [`SamplingError::State`] where groups, labels, data sets or the number of ranks are others.
    pub fn restore_with_data(
        instances: usize,
        options: SamplerOptions,
        seed: Seed,
        data: RunData,
        state: &SamplerState,
        arrays: &Arrays,
    ) -> Result<(Self, Vec<Warning>), SamplingError> {
        check_same_run(instances, &options, seed, state)?;
        check_same_data(&data, state)?;
        let (mut sampler, warnings) = Self::with_data(instances, options, seed, data)?;
        sampler.restore_limits(state)?;
        sampler.awaited = state.light.filter(|left_out| left_out.embedded > 0);
        if state.light.is_some() {
            sampler.graphless = state.builds > 0;
        } else {
            sampler.restore_embeddings(arrays)?;
            sampler.restore_graphs(restore_graph(instances, state.fingerprint, arrays)?, arrays)?;
        }
        sampler.used = set(arrays, "used", instances)?;
        sampler.epoch = state.epoch;
        sampler.position = state.position;
        sampler.steps = state.steps;
        sampler.skipped = state.skipped;
        sampler.refreshed_at = state.refreshed_at;
        sampler.builds = state.builds;
        sampler.current = state.current.clone();
        sampler.finished.clone_from(&state.finished);
        sampler.staleness = state.staleness;
        sampler.restore_segment(state.segment, arrays)?;
        Ok((sampler, warnings))
    }

    /// Takes the ceilings of all data sets, and what the dial came to.
    fn restore_limits(&mut self, state: &SamplerState) -> Result<(), SamplingError> {
        let sets = self.sets.len();
        if state.limits.len() != sets || state.calibrations.len() != sets {
            let problem = format!("it has limits and calibrations for other than {sets} data sets");
            return Err(SamplingError::State { problem });
        }
        for (set, (limit, calibration)) in
            self.sets.iter_mut().zip(state.limits.iter().zip(&state.calibrations))
        {
            (set.limit, set.calibration) = (*limit, *calibration);
        }
        Ok(())
    }

    /// Takes the graphs and orders of all data sets.
    pub(crate) fn restore_graphs(
        &mut self,
        graph: ProximityGraph,
        arrays: &Arrays,
    ) -> Result<(), SamplingError> {
        let graphs = match &self.sets[..] {
            [_] => vec![graph],
            sets => sets.iter().map(|set| part(&graph, set)).collect::<Result<_, _>>()?,
        };
        let order =
            if self.options.kind.is_order() { members(arrays, "order", self.instances)? } else { Vec::new() };
        let built = graphs.into_iter().enumerate().map(|(number, graph)| {
            let set = &self.sets[number];
            let own = set.first as u32..(set.first + set.instances) as u32;
            let order =
                order.iter().filter(|instance| own.contains(instance)).map(|member| member - own.start);
            let (order, limit, calibration) = (order.collect(), set.limit, set.calibration);
            Built { graph, order, limit, calibration, traffic: Traffic::default() }
        });
        let built = built.collect();
        self.take_built(built)
    }

    pub(crate) fn restore_embeddings(&mut self, arrays: &Arrays) -> Result<(), SamplingError> {
        self.store.trail = Trail::of(arrays)?;
        self.store.present = set(arrays, "present", self.instances)?;
        let Some(array) = arrays.get("embeddings") else {
            return if self.store.present.count() == 0 { Ok(()) } else { Err(missing("embeddings")) };
        };
        let (rows, columns) = match *array.shape {
            [rows, columns] if rows == self.instances && columns > 0 && array.is_consistent() => {
                (rows, columns)
            }
            _ => return Err(misshapen("embeddings", &array.shape, &format!("{} rows", self.instances))),
        };
        self.store.check_columns(columns)?;
        let values = array.as_f32().ok_or_else(|| mistyped("embeddings", array, "F32"))?;
        for (instance, row) in Rows::new(values, columns)?.iter().enumerate() {
            check_row(row, instance as u32)?;
        }
        let stamps = array_of(arrays, "stamps", rows)?;
        self.store.stamps = stamps.as_u64().ok_or_else(|| mistyped("stamps", stamps, "U64"))?.to_vec();
        self.store.values = values.to_vec();
        self.store.columns = columns;
        Ok(())
    }

    /// Plans the running segment again, or takes the one that a light state holds.
    fn restore_segment(
        &mut self,
        segment: Option<(usize, usize)>,
        arrays: &Arrays,
    ) -> Result<(), SamplingError> {
        let invalid = |problem| Err(SamplingError::State { problem });
        let (position, total) = (self.position, self.batches_per_epoch());
        if position >= total {
            return invalid(format!("its position {position} is outside an epoch of {total} batches"));
        }
        let before = self.epoch.checked_mul(total as u64);
        let counted = self.steps.checked_add_signed(self.skipped);
        if before.and_then(|before| before.checked_add(position as u64)) != counted || counted.is_none() {
            let (epoch, steps) = (self.epoch, self.steps);
            return invalid(format!("{steps} batches do not lead to batch {position} of epoch {epoch}"));
        }
        if let Some((first, count)) = segment {
            let at_once = self.at_once();
            let next = position * at_once;
            if next < first || next - first >= count || first % at_once != 0 || count % at_once != 0 {
                return invalid(format!(
                    "its batch {next} is outside its {count} batches from batch {first} on"
                ));
            }
            self.segment = Some(if arrays.contains_key("segment.sizes") {
                self.saved_segment(first, count, arrays)?
            } else {
                self.plan_batches(first, count, None, &Silent)?
            });
        }
        Ok(())
    }
}

/// The array `name` of instances.
fn members(arrays: &Arrays, name: &str, instances: usize) -> Result<Vec<u32>, SamplingError> {
    let array = arrays.get(name).ok_or_else(|| missing(name))?;
    let values = array.as_u32().ok_or_else(|| mistyped(name, array, "U32"))?;
    if *array.shape != [values.len()] {
        return Err(misshapen(name, &array.shape, &format!("a vector of {}", values.len())));
    }
    match values.iter().find(|instance| **instance as usize >= instances) {
        None => Ok(values.to_vec()),
        Some(instance) => {
            let problem = format!("its array {name} names instance {instance} of {instances}");
            Err(SamplingError::State { problem })
        }
    }
}

fn check_same_run(
    instances: usize,
    options: &SamplerOptions,
    seed: Seed,
    state: &SamplerState,
) -> Result<(), SamplingError> {
    let differs = |what: &str, saved: &str, asked: &str| {
        Err(SamplingError::State { problem: format!("it was saved with {what} = {saved}, not {asked}") })
    };
    if state.format != FORMAT {
        let problem = format!(
            "it was saved in format {}, and this version reads format {FORMAT}; begin the run anew",
            state.format
        );
        return Err(SamplingError::State { problem });
    }
    if state.instances != instances {
        return differs("instances", &state.instances.to_string(), &instances.to_string());
    }
    if state.seed != seed.0 {
        return differs("seed", &state.seed.to_string(), &seed.0.to_string());
    }
    match state.options.difference(options) {
        Some((option, saved, asked)) => differs(option, &saved, &asked),
        None => Ok(()),
    }
}

fn check_same_data(data: &RunData, state: &SamplerState) -> Result<(), SamplingError> {
    let differs = |problem: String| Err(SamplingError::State { problem });
    if data.groups.as_ref().map(Groups::fingerprint) != state.groups {
        return differs("it was saved with other groups, or one of the two is without any".to_owned());
    }
    if data.oracle.as_ref().map(Oracle::fingerprint) != state.oracle {
        return differs("it was saved with another oracle, or one of the two is without any".to_owned());
    }
    if data.several_sets() != state.sets.as_ref() {
        let words = |sets: Option<&DataSets>| match sets {
            None => "one data set".to_owned(),
            Some(DataSets { sizes, order }) => format!("data sets of {sizes:?} instances ({order:?})"),
        };
        let (saved, asked) = (words(state.sets.as_ref()), words(data.several_sets()));
        return differs(format!("it was saved with {saved}, not {asked}"));
    }
    let (count, split) = (data.ranks.count, data.ranks.split);
    if (count, split) != (state.ranks, state.split) {
        let (saved, how) = (state.ranks, state.split);
        return differs(format!(
            "it was saved by {saved} ranks that share {how:?}, not {count} that share {split:?}"
        ));
    }
    Ok(())
}

/// The graph that arrays hold; an empty one where they hold none.
pub(crate) fn graph_of(instances: usize, arrays: &Arrays) -> Result<ProximityGraph, SamplingError> {
    Ok(match arrays.get("graph.neighbors") {
        None => ProximityGraph::empty(instances),
        Some(array) => {
            let neighbors = array.as_u32().ok_or_else(|| mistyped("graph.neighbors", array, "U32"))?;
            let degrees = array_of(arrays, "graph.degrees", instances)?;
            let degrees = degrees.as_u32().ok_or_else(|| mistyped("graph.degrees", degrees, "U32"))?;
            let similarities = array_of(arrays, "graph.similarities", neighbors.len())?;
            let similarities =
                similarities.as_f32().ok_or_else(|| mistyped("graph.similarities", similarities, "F32"))?;
            ProximityGraph::from_edges(degrees, neighbors.to_vec(), similarities.to_vec())?
        }
    })
}

fn restore_graph(
    instances: usize,
    fingerprint: u64,
    arrays: &Arrays,
) -> Result<ProximityGraph, SamplingError> {
    let graph = graph_of(instances, arrays)?;
    let found = graph.fingerprint();
    if found != fingerprint {
        let problem = format!("its graph has fingerprint {found:016x} where {fingerprint:016x} was saved");
        return Err(SamplingError::State { problem });
    }
    Ok(graph)
}

fn set(arrays: &Arrays, name: &str, instances: usize) -> Result<InstanceSet, SamplingError> {
    let array = array_of(arrays, name, instances.div_ceil(64))?;
    let words = array.as_u64().ok_or_else(|| mistyped(name, array, "U64"))?;
    let expected = format!("bits for {instances} instances and none beyond");
    InstanceSet::from_words(words.to_vec(), instances).ok_or_else(|| misshapen(name, &array.shape, &expected))
}

/// The array `name`, which must be a vector of `length`.
pub(crate) fn array_of<'a>(
    arrays: &'a Arrays,
    name: &str,
    length: usize,
) -> Result<&'a Array, SamplingError> {
    let array = arrays.get(name).ok_or_else(|| missing(name))?;
    if *array.shape == [length] && array.is_consistent() {
        return Ok(array);
    }
    Err(misshapen(name, &array.shape, &format!("a vector of {length}")))
}

pub(crate) fn missing(name: &str) -> SamplingError {
    SamplingError::State { problem: format!("its array {name} is missing") }
}

fn misshapen(name: &str, shape: &[usize], expected: &str) -> SamplingError {
    SamplingError::State { problem: format!("its array {name} of shape {shape:?} should be {expected}") }
}

pub(crate) fn mistyped(name: &str, array: &Array, expected: &str) -> SamplingError {
    let found = array.values.type_name();
    SamplingError::State { problem: format!("its array {name} holds {found}, not {expected}") }
}
