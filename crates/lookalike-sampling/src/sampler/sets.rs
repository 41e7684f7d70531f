//! Several data sets in one training: their instances lie one behind another, and each batch is from one of them.
//!
//! Each set has a graph of its own, groups of its own and random numbers of its own; what is shared is the epoch, its order of sets, and
//! the clock by which all graphs are rebuilt together. A single set is the same as none.

use std::ops::Range;

use lookalike_base::{Progress, RowSource, Seed};
use serde::{Deserialize, Serialize};

use crate::dial::Calibration;
use crate::error::{SamplingError, Warning};
use crate::graph::ProximityGraph;
use crate::graph::weights::EdgeWeights;
use crate::plan::groups::Groups;
use crate::plan::{LastBatch, batches_per_epoch};

/// The data sets that instances belong to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSets {
    /// Instances of each, in the order in which they are numbered: those of the first from 0 on.
    pub sizes: Vec<usize>,
    /// From which of them the batches of an epoch are.
    pub order: SetOrder,
}

/// From which data set the next batch is.
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SetOrder {
    /// An epoch has all batches of all sets, in an order drawn anew each epoch.
    #[default]
    Proportional,
    /// One batch of each set in turn, until the smallest one is used up: S times as many as that has.
    RoundRobin,
    /// All batches of the first set, then all of the next.
    OneByOne,
}

/// One of the data sets.
#[derive(Debug, Clone)]
pub(crate) struct SetState {
    /// Its first instance.
    pub(crate) first: usize,
    pub(crate) instances: usize,
    /// What its random numbers are drawn by.
    pub(crate) seed: Seed,
    /// Its part of the groups, where it is not alone.
    pub(crate) groups: Option<Groups>,
    /// Over its own instances; without an edge as long as none could be built.
    pub(crate) graph: ProximityGraph,
    /// Of the graph's edges, where walks prefer the similar.
    pub(crate) weights: Option<EdgeWeights>,
    /// What batches are cut from, of kinds that cut them.
    pub(crate) order: Vec<u32>,
    /// The similarity above which two of its instances share no batch, where a ceiling is asked for and known.
    pub(crate) limit: Option<f64>,
    /// What the dial came to, and in which epoch.
    pub(crate) calibration: Option<(u64, Calibration)>,
}

impl DataSets {
    /// Batches an epoch, of `batch_size` each.
    pub fn batches_per_epoch(&self, batch_size: usize, last_batch: LastBatch) -> usize {
        let rounds = |size: &usize| batches_per_epoch(*size, batch_size, last_batch);
        self.order.rounds(&self.sizes.iter().map(rounds).collect::<Vec<usize>>())
    }

    /// The sets of a sampler with this seed over `instances`. One set, or none, is all of them and draws by the seed itself.
    ///
    /// # Errors
    /// [`SamplingError::DataSets`] where sizes do not add up to `instances`.
    pub(crate) fn states(
        sets: Option<&Self>,
        instances: usize,
        seed: Seed,
        groups: Option<&Groups>,
    ) -> Result<Vec<SetState>, SamplingError> {
        let all = [instances];
        let sizes = sets.map_or(&all[..], |sets| &sets.sizes);
        let total = sizes.iter().try_fold(0_usize, |sum, size| sum.checked_add(*size));
        if sizes.is_empty() || total != Some(instances) {
            let problem = format!("their sizes are {sizes:?}, which do not add up to {instances} instances");
            return Err(SamplingError::DataSets { problem });
        }
        let mut first = 0;
        let state = |(number, size): (usize, &usize)| {
            let begin = first;
            first += size;
            SetState {
                first: begin,
                instances: *size,
                // The first set's is that of the run, so that one set alone is sampled as without sets.
                seed: if number == 0 {
                    seed
                } else {
                    Seed(seed.stream("data set", number as u64, 0, 0).bits())
                },
                groups: groups.filter(|_| sizes.len() > 1).map(|groups| groups.part(begin, *size)),
                graph: ProximityGraph::empty(*size),
                weights: None,
                order: Vec::new(),
                limit: None,
                calibration: None,
            }
        };
        Ok(sizes.iter().enumerate().map(state).collect())
    }
}

impl SetOrder {
    /// The set of each round of an epoch, where set s has `rounds[s]`; `seed` and `epoch` draw the order.
    pub(crate) fn of_epoch(self, rounds: &[usize], seed: Seed, epoch: u64) -> Vec<usize> {
        let sets = rounds.len();
        if sets == 1 {
            return vec![0; rounds[0]];
        }
        match self {
            Self::RoundRobin => (0..self.rounds(rounds)).map(|round| round % sets).collect(),
            Self::OneByOne => (0..sets).flat_map(|set| std::iter::repeat_n(set, rounds[set])).collect(),
            Self::Proportional => {
                let mut order: Vec<usize> =
                    (0..sets).flat_map(|set| std::iter::repeat_n(set, rounds[set])).collect();
                seed.stream("order of sets", epoch, 0, 0).shuffle(&mut order);
                order
            }
        }
    }

    /// Rounds of an epoch, where set s has `rounds[s]`.
    pub(crate) fn rounds(self, rounds: &[usize]) -> usize {
        match self {
            Self::RoundRobin => rounds.iter().min().map_or(0, |least| least * rounds.len()),
            Self::Proportional | Self::OneByOne => rounds.iter().sum(),
        }
    }
}

impl SetState {
    /// An error about this set, which is number `set` of `sets`, by its name.
    pub(crate) fn named(&self, (set, sets): (usize, usize), error: SamplingError) -> SamplingError {
        if sets == 1 || error == SamplingError::Cancelled {
            return error;
        }
        let (first, last) = (self.first, self.first + self.instances.max(1) - 1);
        SamplingError::DataSet { set, sets, first, last, error: Box::new(error) }
    }

    /// The rows of its instances.
    pub(crate) fn rows<'a>(&self, all: &'a dyn RowSource) -> Stretch<'a> {
        Stretch { rows: all, first: self.first, count: self.instances }
    }
}

/// The graph over the instances of all sets.
pub(crate) fn joined(sets: &[SetState]) -> Result<ProximityGraph, SamplingError> {
    let (mut degrees, mut neighbors, mut similarities) = (Vec::new(), Vec::new(), Vec::new());
    for set in sets {
        let (of_set, others, values) = set.graph.parts();
        degrees.extend(of_set);
        neighbors.extend(others.iter().map(|other| other + set.first as u32));
        similarities.extend_from_slice(values);
    }
    ProximityGraph::from_edges(&degrees, neighbors, similarities)
}

/// The part of `graph` that is the graph of `set`.
///
/// # Errors
/// [`SamplingError::State`] where an edge leads out of the set.
pub(crate) fn part(graph: &ProximityGraph, set: &SetState) -> Result<ProximityGraph, SamplingError> {
    let (mut degrees, mut neighbors, mut similarities) = (Vec::new(), Vec::new(), Vec::new());
    for own in set.first as u32..(set.first + set.instances) as u32 {
        degrees.push(graph.neighbors(own).len() as u32);
        for other in graph.neighbors(own) {
            let inside =
                other.checked_sub(set.first as u32).filter(|local| (*local as usize) < set.instances);
            let leads_out =
                || format!("its graph ties instance {own} to {other}, which is of another data set");
            neighbors.push(inside.ok_or_else(|| SamplingError::State { problem: leads_out() })?);
        }
        similarities.extend_from_slice(graph.similarities(own));
    }
    ProximityGraph::from_edges(&degrees, neighbors, similarities)
}

/// Some rows that lie one behind another, numbered from 0.
pub(crate) struct Stretch<'a> {
    rows: &'a dyn RowSource,
    first: usize,
    count: usize,
}

impl RowSource for Stretch<'_> {
    fn len(&self) -> usize {
        self.count
    }

    fn columns(&self) -> usize {
        self.rows.columns()
    }

    fn read_row(&self, index: usize, into: &mut [f32]) {
        self.rows.read_row(self.first + index, into);
    }

    fn addresses(&self, index: usize) -> Range<usize> {
        self.rows.addresses(self.first + index)
    }
}

/// The progress of a part of some work, which begins after `before` steps of it.
pub(crate) struct PartProgress<'a> {
    pub(crate) all: &'a dyn Progress,
    pub(crate) before: u64,
}

impl Progress for PartProgress<'_> {
    fn advance(&self, n: u64) {
        self.all.advance(n);
    }

    fn set_position(&self, n: u64) {
        self.all.set_position(self.before + n);
    }

    fn message(&self, text: &str) {
        self.all.message(text);
    }

    fn note(&self, text: &str) {
        self.all.note(text);
    }

    fn finish(&self) {}
}

/// A warning about set number `set` of `sets`.
pub(crate) fn warning((set, sets): (usize, usize), warning: Warning) -> Warning {
    if sets == 1 { warning } else { Warning::DataSet { set, warning: Box::new(warning) } }
}
