//! How one batch after another is made from what those before it leave unused.

use lookalike_base::Stream;

use crate::error::SamplingError;
use crate::graph::ProximityGraph;
use crate::options::Coverage;
use crate::plan::{BatchOrigins, Method, PlanInput};
use crate::set::{InstanceSet, Pool};
use crate::walk::{Moves, PATIENCE, STEPS_A_MEMBER, Walkers};

/// The state between two batches of a segment.
pub(crate) struct Planner<'a> {
    input: &'a PlanInput<'a>,
    walkers: Walkers<'a>,
    unused: Unused,
    /// The members of the batch in the making.
    inside: InstanceSet,
}

/// Instances that the epoch has not used and does not leave out.
struct Unused {
    /// Those in the graph.
    placed: Pool,
    /// Those outside the graph.
    unplaced: Pool,
}

/// A batch in the making.
struct OpenBatch {
    members: Vec<u32>,
    origins: BatchOrigins,
    /// Batches from this one to the end of the segment.
    left: usize,
    /// Steps walked for it.
    steps: usize,
}

impl Unused {
    fn new(input: &PlanInput<'_>, graph: &ProximityGraph) -> Self {
        let left_out = input.remainder();
        let (mut placed, mut unplaced) = (Vec::new(), Vec::new());
        let words = input.used.words().iter().zip(left_out.words());
        for (at, (used, left_out)) in words.enumerate() {
            let first = at * 64;
            let count = (input.instances - first).min(64);
            let unused = !(used | left_out) & (!0 >> (64 - count));
            let in_graph =
                (0..count).fold(0, |bits, bit| bits | u64::from(graph.contains((first + bit) as u32)) << bit);
            placed.push(unused & in_graph);
            unplaced.push(unused & !in_graph);
        }
        let pool = |words| Pool::new(InstanceSet::of_words(words, input.instances));
        Self { placed: pool(placed), unplaced: pool(unplaced) }
    }

    fn len(&self) -> usize {
        self.placed.len() + self.unplaced.len()
    }

    /// Removes `instance`; whether it was there.
    fn remove(&mut self, instance: u32) -> bool {
        self.placed.remove(instance) || self.unplaced.remove(instance)
    }

    /// Removes and returns a uniformly random one.
    fn draw(&mut self, stream: &mut Stream) -> Option<u32> {
        let count = self.len() as u32;
        let placed = count > 0 && (stream.below(count) as usize) < self.placed.len();
        if placed { self.placed.draw(stream) } else { self.unplaced.draw(stream) }
    }
}

impl<'a> Planner<'a> {
    pub(crate) fn new(input: &'a PlanInput<'a>, graph: &ProximityGraph) -> Result<Self, SamplingError> {
        let unused = Unused::new(input, graph);
        let needed: usize = (0..input.batches).map(|batch| input.size(input.first_batch + batch)).sum();
        let available = unused.len();
        // Repeating batches use up at most as many as covering ones: if there are enough here, they always find a start.
        if needed > available {
            let problem = format!("it needs {needed} instances, and {available} are unused");
            return Err(SamplingError::Segment { problem });
        }
        let moves = match input.method {
            Method::Walk(moves) => Some(moves),
            Method::Nearest { .. } | Method::Uniform => None,
        };
        let walkers = Walkers::new(moves, input.seed, input.epoch, input.first_batch);
        Ok(Self { input, walkers, unused, inside: InstanceSet::new(input.instances) })
    }

    /// Batch `batch` of the epoch, after all those of the segment before it.
    pub(crate) fn batch(&mut self, batch: usize) -> (Vec<u32>, BatchOrigins) {
        let mut stream = self.input.seed.stream("batch", self.input.epoch, batch as u64, 0);
        let size = self.input.size(batch);
        let mut open = OpenBatch {
            members: Vec::with_capacity(size),
            origins: BatchOrigins::default(),
            left: self.input.first_batch + self.input.batches - batch,
            steps: 0,
        };
        let mixed = round(size as f64 * self.input.uniform_fraction, &mut stream);
        let outside = self.share_outside(size - mixed, &mut stream);
        self.walk_batch(size - mixed - outside, &mut stream, &mut open);
        while open.members.len() < size - mixed {
            let Some(drawn) = self.unused.unplaced.draw(&mut stream) else { break };
            self.join_uniform(drawn, &mut open);
        }
        while open.members.len() < size {
            let Some(drawn) = self.unused.draw(&mut stream) else { break };
            self.join_uniform(drawn, &mut open);
        }
        for member in &open.members {
            self.inside.remove(*member);
        }
        (open.members, open.origins)
    }

    /// How many of `size` members are drawn from outside the graph.
    fn share_outside(&self, size: usize, stream: &mut Stream) -> usize {
        let (unplaced, unused) = (self.unused.unplaced.len(), self.unused.len());
        if unplaced == 0 {
            return 0;
        }
        round(size as f64 * unplaced as f64 / unused as f64, stream).min(unplaced).min(size)
    }

    /// Collects from one start after another until the batch has `size` members, or no start is left.
    fn walk_batch(&mut self, size: usize, stream: &mut Stream, open: &mut OpenBatch) {
        let budget = STEPS_A_MEMBER * size;
        while open.members.len() < size {
            let walks = matches!(self.input.method, Method::Walk(_)) && open.steps < budget;
            let start = if walks {
                self.walkers.begin(&self.unused.placed, open.left, |_| true)
            } else {
                self.unused.placed.draw(stream)
            };
            let Some(start) = start else { break };
            self.unused.remove(start);
            self.join(start, open);
            let before = open.members.len();
            if walks {
                self.walk(size, budget, open);
            } else {
                self.take_neighbors(start, size, open);
            }
            open.origins.count(before, open.members.len());
        }
    }

    /// Collects along the current walk until the batch has `size` members or the walk is exhausted.
    fn walk(&mut self, size: usize, budget: usize, open: &mut OpenBatch) {
        let mut idle = 0;
        while open.members.len() < size && idle < PATIENCE && open.steps < budget {
            let Some(node) = self.walkers.step() else { break };
            open.steps += 1;
            idle = if self.offer(node, open) { 0 } else { idle + 1 };
        }
    }

    /// Collects the neighbours of `start`, the most similar first, until the batch has `size` members.
    fn take_neighbors(&mut self, start: u32, size: usize, open: &mut OpenBatch) {
        let (Method::Walk(Moves { graph, .. }) | Method::Nearest { graph }) = self.input.method else {
            return;
        };
        for neighbor in graph.neighbors(start) {
            if open.members.len() == size {
                break;
            }
            self.offer(*neighbor, open);
        }
    }

    /// Adds `instance` if it may be in this batch; whether it did.
    fn offer(&mut self, instance: u32, open: &mut OpenBatch) -> bool {
        let unused = self.unused.remove(instance);
        let accepted = match self.input.coverage {
            Coverage::Repeat => !self.inside.contains(instance),
            Coverage::Cover => unused,
        };
        if accepted {
            self.join(instance, open);
        }
        accepted
    }

    /// Adds `instance`, which is not among the unused any more.
    fn join(&mut self, instance: u32, open: &mut OpenBatch) {
        self.inside.insert(instance);
        open.members.push(instance);
    }

    fn join_uniform(&mut self, instance: u32, open: &mut OpenBatch) {
        self.join(instance, open);
        open.origins.uniform += 1;
    }
}

/// One of the two integers beside `share`, whose mean is `share`; draws nothing for 0.
fn round(share: f64, stream: &mut Stream) -> usize {
    if share > 0.0 { (share + stream.unit_f64()) as usize } else { 0 }
}
