//! Batch plans: who shares which batch of an epoch.
//!
//! A plan is made in segments, the batches between two refreshes of the graph. A segment is a pure function of
//! [`PlanInput`]: whoever computes it, whenever, gets the same batches. Batch b draws from the stream
//! `("batch", epoch, b, 0)` and costs time in proportion to the steps of its walks, not to the number of instances.
//!
//! A batch begins with a start, drawn uniformly from those the epoch has not used, and collects from there. Where that
//! is exhausted before the batch is full it starts anew, from another unused instance. Instances outside the graph cannot be
//! reached: each batch takes as many unused ones of them, uniformly drawn, as is their share among all unused
//! (rounded up or down at random, so that the mean is exact). Under [`Coverage::Cover`] only unused instances are
//! collected, though walks pass through the others.

use lookalike_base::{Seed, Stream};

use crate::error::SamplingError;
use crate::graph::ProximityGraph;
use crate::options::{Coverage, LastBatch, check_instances};
use crate::set::{InstanceSet, Pool};
use crate::walk::walk;

/// How the members of a batch are found.
#[derive(Debug, Clone, Copy)]
pub enum Method<'a> {
    /// A random order of all instances, cut into batches; coverage and used instances play no part.
    Uniform,
    /// A random walk over `graph`, going back to its start with probability `restart` at each step.
    Walk {
        /// The proximity graph.
        graph: &'a ProximityGraph,
        /// Restart probability.
        restart: f32,
    },
    /// A start and its neighbours in `graph`, the nearest first.
    Nearest {
        /// The kNN graph, with at least B − 1 neighbours if batches are to be of one piece.
        graph: &'a ProximityGraph,
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
    /// How the members of a batch are found.
    pub method: Method<'a>,
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

/// How the members of a batch came into it; the five counts add up to the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct BatchOrigins {
    /// First starts.
    pub starts: u64,
    /// Collected from the first start.
    pub collected: u64,
    /// Fresh starts, because the ones before were exhausted.
    pub restarts: u64,
    /// Collected from fresh starts.
    pub collected_after_restart: u64,
    /// Drawn uniformly: all members of a uniform batch, and those outside the graph.
    pub uniform: u64,
}

impl BatchOrigins {
    /// Members in all.
    pub fn members(&self) -> u64 {
        self.starts + self.collected + self.restarts + self.collected_after_restart + self.uniform
    }
}

impl std::ops::AddAssign for BatchOrigins {
    fn add_assign(&mut self, other: Self) {
        self.starts += other.starts;
        self.collected += other.collected;
        self.restarts += other.restarts;
        self.collected_after_restart += other.collected_after_restart;
        self.uniform += other.uniform;
    }
}

/// Batches an epoch: ⌊N/B⌋, or ⌈N/B⌉ where the last one is kept.
pub fn batches_per_epoch(instances: usize, batch_size: usize, last_batch: LastBatch) -> usize {
    match last_batch {
        LastBatch::Drop => instances / batch_size.max(1),
        LastBatch::Keep => instances.div_ceil(batch_size.max(1)),
    }
}

/// Plans a segment.
///
/// # Errors
/// [`SamplingError::BatchSize`] where a batch is empty or does not fit, [`SamplingError::Segment`] where the graph or the used
/// instances are of another data set, the segment leaves its epoch, or too few unused instances are left for it.
pub fn plan_segment(input: &PlanInput<'_>) -> Result<Segment, SamplingError> {
    input.check()?;
    let (batches, origins) = match input.method {
        Method::Uniform => uniform(input),
        Method::Walk { graph, .. } | Method::Nearest { graph } => {
            let mut planner = Planner::new(input, graph)?;
            (input.first_batch..input.first_batch + input.batches).map(|batch| planner.batch(batch)).unzip()
        }
    };
    Ok(Segment { epoch: input.epoch, first_batch: input.first_batch, batches, origins })
}

impl PlanInput<'_> {
    fn check(&self) -> Result<(), SamplingError> {
        check_instances(self.instances)?;
        if !(1..=self.instances).contains(&self.batch_size) {
            return Err(SamplingError::BatchSize { batch_size: self.batch_size, instances: self.instances });
        }
        let invalid = |problem| Err(SamplingError::Segment { problem });
        if let Method::Walk { graph, .. } | Method::Nearest { graph } = self.method
            && graph.instances() != self.instances
        {
            return invalid(format!("the graph has {} instances, not {}", graph.instances(), self.instances));
        }
        if self.used.instances() != self.instances {
            let found = self.used.instances();
            return invalid(format!("used instances are of {found}, not of {}", self.instances));
        }
        let total = batches_per_epoch(self.instances, self.batch_size, self.last_batch);
        if self.first_batch.checked_add(self.batches).is_none_or(|end| end > total) {
            let (first, count) = (self.first_batch, self.batches);
            return invalid(format!("{count} batches from batch {first} on leave an epoch of {total}"));
        }
        Ok(())
    }

    /// Members of `batch`: B, or what is left for the last one.
    fn size(&self, batch: usize) -> usize {
        self.batch_size.min(self.instances - batch * self.batch_size)
    }

    /// Those who are left out of this epoch, where each instance may come but once.
    fn remainder(&self) -> InstanceSet {
        let mut left_out = InstanceSet::new(self.instances);
        if self.coverage == Coverage::Cover && self.last_batch == LastBatch::Drop {
            let count = self.instances % self.batch_size;
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

/// Makes one batch after another from what they leave unused.
struct Planner<'a> {
    input: &'a PlanInput<'a>,
    /// Unused instances in the graph.
    placed: Pool,
    /// Unused instances outside the graph.
    unplaced: Pool,
    /// The batch that each instance was in last, counted from 1; 0 for none of this segment.
    member_of: Vec<u32>,
}

impl<'a> Planner<'a> {
    fn new(input: &'a PlanInput<'a>, graph: &ProximityGraph) -> Result<Self, SamplingError> {
        let left_out = input.remainder();
        let count = input.instances as u32;
        let unused = || (0..count).filter(|i| !input.used.contains(*i) && !left_out.contains(*i));
        let placed = Pool::new(count, unused().filter(|instance| graph.contains(*instance)));
        let unplaced = Pool::new(count, unused().filter(|instance| !graph.contains(*instance)));
        let needed: usize = (0..input.batches).map(|batch| input.size(input.first_batch + batch)).sum();
        let available = placed.len() + unplaced.len();
        // Repeating batches use up at most as many as covering ones: if there are enough here, they always find a start.
        if needed > available {
            let problem = format!("it needs {needed} instances, and {available} are unused");
            return Err(SamplingError::Segment { problem });
        }
        Ok(Self { input, placed, unplaced, member_of: vec![0; input.instances] })
    }

    fn batch(&mut self, batch: usize) -> (Vec<u32>, BatchOrigins) {
        let mut stream = self.input.seed.stream("batch", self.input.epoch, batch as u64, 0);
        let size = self.input.size(batch);
        let mut open = OpenBatch {
            mark: (batch - self.input.first_batch) as u32 + 1,
            members: Vec::with_capacity(size),
            origins: BatchOrigins::default(),
        };
        let uniform = self.uniform_share(size, &mut stream);
        while open.members.len() < size - uniform {
            let Some(start) = self.placed.draw(&mut stream) else { break };
            self.collect(start, size - uniform, &mut open, &mut stream);
        }
        while open.members.len() < size {
            let Some(drawn) = self.unplaced.draw(&mut stream).or_else(|| self.placed.draw(&mut stream))
            else {
                break;
            };
            self.join(drawn, &mut open);
            open.origins.uniform += 1;
        }
        (open.members, open.origins)
    }

    /// How many of the `size` members are drawn from outside the graph.
    fn uniform_share(&self, size: usize, stream: &mut Stream) -> usize {
        let (unplaced, placed) = (self.unplaced.len(), self.placed.len());
        if unplaced == 0 {
            return 0;
        }
        let share = size as f64 * unplaced as f64 / (unplaced + placed) as f64;
        ((share + stream.unit_f64()) as usize).min(unplaced).min(size)
    }

    /// Adds `start`, and what is found from there, until the batch has `size` members.
    fn collect(&mut self, start: u32, size: usize, open: &mut OpenBatch, stream: &mut Stream) {
        let first = open.members.is_empty();
        self.join(start, open);
        let before = open.members.len();
        match self.input.method {
            Method::Walk { graph, restart } => {
                let wanted = size - before;
                walk(graph, start, restart, wanted, stream, |node| self.offer(node, open));
            }
            Method::Nearest { graph } => {
                for neighbor in graph.neighbors(start) {
                    if open.members.len() == size {
                        break;
                    }
                    self.offer(*neighbor, open);
                }
            }
            Method::Uniform => {}
        }
        let collected = (open.members.len() - before) as u64;
        if first {
            open.origins.starts += 1;
            open.origins.collected += collected;
        } else {
            open.origins.restarts += 1;
            open.origins.collected_after_restart += collected;
        }
    }

    /// Adds `instance` if it may be in this batch; whether it did.
    fn offer(&mut self, instance: u32, open: &mut OpenBatch) -> bool {
        let unused = self.placed.remove(instance) || self.unplaced.remove(instance);
        let accepted = match self.input.coverage {
            Coverage::Repeat => self.member_of[instance as usize] != open.mark,
            Coverage::Cover => unused,
        };
        if accepted {
            self.join(instance, open);
        }
        accepted
    }

    /// Adds `instance`, which no pool holds any more.
    fn join(&mut self, instance: u32, open: &mut OpenBatch) {
        self.member_of[instance as usize] = open.mark;
        open.members.push(instance);
    }
}

/// A batch in the making.
struct OpenBatch {
    /// What [`Planner::member_of`] holds for its members.
    mark: u32,
    members: Vec<u32>,
    origins: BatchOrigins,
}
