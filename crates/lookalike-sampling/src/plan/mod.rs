//! Batch plans: who shares which batch of an epoch.
//!
//! A plan is made in segments, the batches between two refreshes of the graph. A segment is a pure function of
//! [`PlanInput`]: whoever computes it, whenever, gets the same batches. A batch costs time in proportion to the steps of
//! its walks, not to the number of instances, and a segment one look at each instance's bits besides.
//!
//! A batch begins with a start, drawn uniformly from those the epoch has not used, and collects from there. Where that
//! is exhausted before the batch is full it starts anew, from another unused instance; and once it has walked
//! [`MAX_STEPS_PER_MEMBER`](crate::walk::MAX_STEPS_PER_MEMBER) in vain, it takes the neighbours of such fresh starts. Under [`Coverage::Cover`]
//! only unused instances are collected, though walks pass through the others, and a walk that has met none for
//! [`SCAN_AFTER`](crate::walk::SCAN_AFTER) steps collects those around it. Of a mix, `uniform_fraction` of
//! each batch is drawn uniformly from all unused instances. Instances outside the graph cannot be
//! reached: the rest of each batch takes as many unused ones of them, uniformly drawn, as is their share among all unused.
//! Both numbers are rounded up or down at random, so that their means are exact.
//!
//! Where batches are cut from an [order](Strategy::Order), a batch is one of its stretches of B; stretches come in random order. Whoever may not
//! come in is passed over, and the next of the order comes instead.
//!
//! With [`Groups`] nobody comes into a batch that holds another of the group. Where each is to come once, places are
//! reserved in time for the largest groups, so that none is left over. The rare places for which walks and
//! uniform draws found nobody who may come in are filled from the groups that are outside, and count as uniform.
//!
//! With a [`Ceiling`] nobody comes into a batch that holds somebody who is too similar. It comes before coverage: a place for which
//! no unused instance is found below the ceiling goes to a used one. Where none is found below it at all, the place goes to an unused one.
//! Both are counted ([`BatchOrigins`]).

pub(crate) mod bandwidth;
pub(crate) mod ceiling;
pub(crate) mod clusters;
pub(crate) mod group_schedule;
pub(crate) mod groups;
pub mod hardness;
pub(crate) mod planner;
pub(crate) mod report;

use lookalike_base::{Seed, Watch};
use serde::{Deserialize, Serialize};

use crate::error::SamplingError;
use crate::graph::ProximityGraph;
use crate::plan::ceiling::Ceiling;
use crate::plan::groups::Groups;
use crate::plan::planner::Planner;
use crate::set::{InstanceSet, check_instances};
use crate::walk::Transition;

/// Whether an instance may come more than once an epoch.
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Coverage {
    /// As published: a batch's members are distinct and its start is new to the epoch, but the others can have been in
    /// other batches of the epoch, and some instances may not come at all.
    Repeat,
    /// Each instance comes at most once an epoch, and all but the remainder exactly once.
    #[default]
    Cover,
}

/// What happens to the N mod B instances that do not fill a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LastBatch {
    /// An epoch has ⌊N/B⌋ batches; who is left out is drawn anew every epoch.
    #[default]
    Drop,
    /// An epoch has ⌈N/B⌉ batches, the last one smaller.
    Keep,
}

/// In which order the batches come that are planned together, those up to the next refresh.
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchOrder {
    /// As they were planned: under [`Coverage::Cover`] walks and the nearest have the hard ones first, for the instances that are left to the
    /// end are far from each other.
    #[default]
    #[cfg_attr(
        feature = "clap",
        value(help = "As they were planned: walks that cover have the hard ones first")
    )]
    Planned,
    /// Drawn anew, so that a falling learning rate meets hard and easy ones alike.
    #[cfg_attr(feature = "clap", value(help = "Drawn"))]
    Shuffled,
}

/// How the members of a batch are found.
#[derive(Debug, Clone, Copy)]
pub enum Strategy<'a> {
    /// A random order of all instances, cut into batches; coverage and used instances play no part.
    Uniform,
    /// Random walks.
    Walk(Transition<'a>),
    /// A start and its neighbours in `graph`, the nearest first.
    Nearest {
        /// The kNN graph, with at least B − 1 neighbours if batches are to be of one piece.
        graph: &'a ProximityGraph,
    },
    /// Stretches of B of an order; whoever is not in it is drawn uniformly. Each instance comes at most once, whatever the coverage.
    Order {
        /// Different instances.
        order: &'a [u32],
    },
}

/// All that a plan segment depends on.
#[derive(Debug, Clone, Copy)]
pub struct PlanInput<'a> {
    /// Instances, N.
    pub instances: usize,
    /// Instances a batch, B.
    pub batch_size: usize,
    /// What happens to the N mod B instances that do not fill a batch.
    pub last_batch: LastBatch,
    /// Whether an instance may come more than once an epoch.
    pub coverage: Coverage,
    /// The epoch's number of batches is lowered to a multiple of this: the ranks that take them in turn. At least 1.
    pub multiple: usize,
    /// How the members of a batch are found.
    pub strategy: Strategy<'a>,
    /// The share of each batch that is drawn uniformly instead, 0 to 1.
    pub uniform_fraction: f64,
    /// Who must not share a batch.
    pub groups: Option<&'a Groups>,
    /// Who is too similar to share a batch.
    pub ceiling: Option<Ceiling<'a>>,
    /// Labels by which a walk collects nobody of its start's class: an oracle against false negatives, for analysis.
    pub labels: Option<&'a [u32]>,
    /// The run's seed.
    pub seed: Seed,
    /// The epoch, from 0.
    pub epoch: u64,
    /// First batch of the segment within the epoch.
    pub first_batch: usize,
    /// Batches of the segment.
    pub batches: usize,
    /// Instances in the epoch's batches before the segment.
    pub used: &'a InstanceSet,
}

/// Some batches of an epoch.
#[derive(Debug, Clone, PartialEq)]
pub struct Segment {
    /// The epoch, from 0.
    pub epoch: u64,
    /// Place of the first of these batches within the epoch.
    pub first_batch: usize,
    /// The batches, each in the order in which its members were collected.
    pub batches: Vec<Vec<u32>>,
    /// Where the members of each batch came from.
    pub origins: Vec<BatchOrigins>,
}

/// How the members of a batch came into it: the first five counts add up to the batch, the others are among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BatchOrigins {
    /// First starts.
    pub starts: u64,
    /// Collected from the first start.
    pub collected: u64,
    /// Fresh starts, because the ones before were exhausted.
    pub restarts: u64,
    /// Collected from fresh starts.
    pub collected_after_restart: u64,
    /// Drawn uniformly: all members of a uniform batch, the uniform ones of a mix, and those outside the graph.
    pub uniform: u64,
    /// Drawn uniformly from those the epoch had used, since nobody else was found below the ceiling.
    pub repeated: u64,
    /// Drawn uniformly although too similar to a member, since nobody was found below the ceiling.
    pub above_ceiling: u64,
}

impl BatchOrigins {
    /// Members in all.
    pub fn members(&self) -> u64 {
        self.starts + self.collected + self.restarts + self.collected_after_restart + self.uniform
    }
}

impl BatchOrigins {
    /// Counts a start, by which a batch of `before` members, the start included, grew to `after`.
    pub(crate) fn count(&mut self, before: usize, after: usize) {
        let collected = (after - before) as u64;
        if before == 1 {
            self.starts += 1;
            self.collected += collected;
        } else {
            self.restarts += 1;
            self.collected_after_restart += collected;
        }
    }
}

impl std::ops::AddAssign for BatchOrigins {
    fn add_assign(&mut self, other: Self) {
        self.starts += other.starts;
        self.collected += other.collected;
        self.restarts += other.restarts;
        self.collected_after_restart += other.collected_after_restart;
        self.uniform += other.uniform;
        self.repeated += other.repeated;
        self.above_ceiling += other.above_ceiling;
    }
}

/// Batches an epoch: ⌊N/B⌋, or ⌈N/B⌉ where the last one is kept.
pub fn batches_per_epoch(instances: usize, batch_size: usize, last_batch: LastBatch) -> usize {
    match last_batch {
        LastBatch::Drop => instances / batch_size.max(1),
        LastBatch::Keep => instances.div_ceil(batch_size.max(1)),
    }
}

/// The greatest multiple of `ranks` that is not above `batches`.
pub(crate) fn shared_batches(batches: usize, ranks: usize) -> usize {
    batches - batches % ranks.max(1)
}

/// Plans a segment.
///
/// The progress of `watch` counts the batches that were planned; the work ends soon after `watch` asks it to stop.
///
/// # Errors
/// [`SamplingError::BatchSize`] where a batch is empty or does not fit, [`SamplingError::Segment`] where the graph or the used
/// instances are of another data set, the segment leaves its epoch, or too few unused instances are left for it;
/// and [`SamplingError::Cancelled`] where `watch` stopped the work.
pub fn plan_segment(input: &PlanInput<'_>, watch: Watch<'_>) -> Result<Segment, SamplingError> {
    input.check()?;
    let (batches, origins) = match input.strategy {
        Strategy::Uniform if input.groups.is_none() && input.ceiling.is_none() => {
            let batches = uniform(input);
            watch.progress.advance(input.batches as u64);
            batches
        }
        _ => {
            let mut planner = Planner::new(input)?;
            let (mut batches, mut origins) = (Vec::new(), Vec::new());
            for batch in input.first_batch..input.first_batch + input.batches {
                if watch.is_cancelled() {
                    return Err(SamplingError::Cancelled);
                }
                let (members, from) = planner.batch(batch);
                batches.push(members);
                origins.push(from);
                watch.progress.advance(1);
            }
            (batches, origins)
        }
    };
    Ok(Segment { epoch: input.epoch, first_batch: input.first_batch, batches, origins })
}

impl<'a> PlanInput<'a> {
    fn check(&self) -> Result<(), SamplingError> {
        check_instances(self.instances)?;
        if !(1..=self.instances).contains(&self.batch_size) {
            return Err(SamplingError::BatchSize { batch_size: self.batch_size, instances: self.instances });
        }
        let invalid = |problem| Err(SamplingError::Segment { problem });
        if self.multiple > 1 && self.last_batch == LastBatch::Keep {
            let (option, with) = ("last_batch = \"keep\"", "several ranks");
            let reason = "each rank must get as many batches of the same size";
            return Err(SamplingError::Combination { option, with, reason });
        }
        check_uniform_fraction(self.uniform_fraction)?;
        if let Some(groups) = self.groups {
            let total = self.total();
            groups.check(
                self.instances,
                self.batch_size,
                self.covers().then(|| (total, self.last_size())),
            )?;
        }
        if let Some(labels) = self.labels
            && labels.len() != self.instances
        {
            let (found, instances) = (labels.len(), self.instances);
            return Err(SamplingError::Length { what: "labels", found, instances });
        }
        if let Some(ceiling) = &self.ceiling
            && ceiling.instances() != self.instances
        {
            return Err(SamplingError::Rows { rows: ceiling.instances(), instances: self.instances });
        }
        self.check_order()?;
        if let Some(graph) = self.graph()
            && graph.instances() != self.instances
        {
            return invalid(format!("the graph has {} instances, not {}", graph.instances(), self.instances));
        }
        if let Strategy::Walk(Transition { graph, weights: Some(weights), .. }) = self.strategy
            && !weights.fit(graph)
        {
            return invalid("the weights are those of another graph".to_owned());
        }
        if self.used.instances() != self.instances {
            let found = self.used.instances();
            return invalid(format!("used instances are of {found}, not of {}", self.instances));
        }
        let total = self.total();
        if self.first_batch.checked_add(self.batches).is_none_or(|end| end > total) {
            let (first, count) = (self.first_batch, self.batches);
            return invalid(format!("{count} batches from batch {first} on leave an epoch of {total}"));
        }
        Ok(())
    }

    /// Checks that an order names each instance at most once, and none that there is not.
    fn check_order(&self) -> Result<(), SamplingError> {
        let Strategy::Order { order } = self.strategy else { return Ok(()) };
        let mut seen = InstanceSet::new(self.instances);
        for &instance in order {
            if instance as usize >= self.instances {
                return Err(SamplingError::Instance { instance, instances: self.instances });
            }
            if seen.contains(instance) {
                let problem = format!("the order names instance {instance} twice");
                return Err(SamplingError::Segment { problem });
            }
            seen.insert(instance);
        }
        Ok(())
    }

    /// Batches of the epoch.
    pub(crate) fn total(&self) -> usize {
        shared_batches(batches_per_epoch(self.instances, self.batch_size, self.last_batch), self.multiple)
    }

    /// Members of the last batch.
    pub(crate) fn last_size(&self) -> usize {
        self.size(self.total().saturating_sub(1))
    }

    /// Whether each instance may come but once.
    pub(crate) fn covers(&self) -> bool {
        self.coverage == Coverage::Cover
            || matches!(self.strategy, Strategy::Uniform | Strategy::Order { .. })
    }

    /// The graph, where there is one.
    pub(crate) fn graph(&self) -> Option<&'a ProximityGraph> {
        match self.strategy {
            Strategy::Walk(Transition { graph, .. }) | Strategy::Nearest { graph } => Some(graph),
            Strategy::Uniform | Strategy::Order { .. } => None,
        }
    }

    /// Whom batches can be built around: those in the graph, or in the order.
    pub(crate) fn placeable(&self) -> InstanceSet {
        let mut set = InstanceSet::new(self.instances);
        match self.strategy {
            Strategy::Order { order } => set.extend(order.iter().copied()),
            _ => {
                if let Some(graph) = self.graph() {
                    set.extend((0..self.instances as u32).filter(|instance| graph.contains(*instance)));
                }
            }
        }
        set
    }

    /// Members of `batch`: B, or what is left for the last one.
    pub(crate) fn size(&self, batch: usize) -> usize {
        self.batch_size.min(self.instances - batch * self.batch_size)
    }

    /// Those who are left out of this epoch, where each instance may come but once.
    pub(crate) fn remainder(&self) -> InstanceSet {
        let mut left_out = InstanceSet::new(self.instances);
        if self.covers() && self.last_batch == LastBatch::Drop {
            let count = self.instances - self.total() * self.batch_size;
            let mut stream = self.seed.stream("remainder", self.epoch, 0, 0);
            left_out.extend(stream.distinct(count as u32, self.instances as u32));
        }
        left_out
    }
}

fn uniform(input: &PlanInput<'_>) -> (Vec<Vec<u32>>, Vec<BatchOrigins>) {
    let order = input.seed.stream("uniform", input.epoch, 0, 0).permutation(input.instances as u32);
    let batches = order.chunks(input.batch_size).skip(input.first_batch).take(input.batches);
    batches
        .map(|batch| {
            (batch.to_vec(), BatchOrigins { uniform: batch.len() as u64, ..BatchOrigins::default() })
        })
        .unzip()
}

/// Checks the share of each batch that is drawn uniformly.
pub(crate) fn check_uniform_fraction(value: f64) -> Result<(), SamplingError> {
    if (0.0..=1.0).contains(&value) {
        return Ok(());
    }
    Err(SamplingError::Number { option: "uniform_fraction", value, expected: "at least 0 and at most 1" })
}

/// The tenth of an epoch of `total` batches that holds `batch`.
pub(crate) fn decile(batch: usize, total: usize) -> usize {
    (batch * 10 / total.max(1)).min(9)
}
