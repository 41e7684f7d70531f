//! How one batch after another is made from what those before it leave unused.

use lookalike_base::Stream;
use lookalike_metrics::UNLABELLED;

use crate::error::SamplingError;
use crate::plan::ceiling::CeilingBatch;
use crate::plan::group_schedule::GroupSchedule;
use crate::plan::groups::Groups;
use crate::plan::{BatchOrigins, Coverage, PlanInput, Strategy};
use crate::set::{InstanceSet, Pool};
use crate::walk::{MAX_IDLE_STEPS, MAX_REFUSALS, MAX_STEPS_PER_MEMBER, SCAN_AFTER, Transition, Walks};

/// The state between two batches of a segment.
pub(crate) struct Planner<'a> {
    input: &'a PlanInput<'a>,
    walks: Walks<'a>,
    unused: Unused,
    /// The members of the batch in the making.
    inside: InstanceSet,
    schedule: Option<GroupSchedule<'a>>,
    ceiling: Option<CeilingBatch<'a>>,
    line: Line,
}

/// The order that batches are cut from: those of it who were unused when the segment began.
#[derive(Default)]
struct Line {
    order: Vec<u32>,
    /// Where the batches of the segment begin, the next one last.
    begins: Vec<usize>,
}

/// Where nobody unused is found below the ceiling, this many of all are tried.
const MAX_TRIES: usize = 1024;

/// Instances that the epoch has not used and does not leave out.
struct Unused {
    /// Those in the graph.
    in_graph: Pool,
    /// Those outside the graph.
    outside: Pool,
}

/// A batch in the making.
struct OpenBatch {
    members: Vec<u32>,
    /// Members it will have.
    size: usize,
    /// The label that walks do not collect.
    avoided: Option<u32>,
    origins: BatchOrigins,
    /// Batches from this one to the end of the segment.
    left: usize,
    /// Steps walked for it.
    steps: usize,
}

impl Unused {
    fn new(input: &PlanInput<'_>) -> Self {
        let (left_out, placeable) = (input.remainder(), input.placeable());
        let (mut in_graph, mut outside) = (Vec::new(), Vec::new());
        let words = input.used.words().iter().zip(left_out.words()).zip(placeable.words());
        for (at, ((used, left_out), placeable)) in words.enumerate() {
            let count = (input.instances - at * 64).min(64);
            let unused = !(used | left_out) & (!0 >> (64 - count));
            in_graph.push(unused & placeable);
            outside.push(unused & !placeable);
        }
        let pool = |words| Pool::new(InstanceSet::of_words(words, input.instances));
        Self { in_graph: pool(in_graph), outside: pool(outside) }
    }

    fn len(&self) -> usize {
        self.in_graph.len() + self.outside.len()
    }

    fn members(&self) -> impl Iterator<Item = u32> {
        self.in_graph.members().chain(self.outside.members())
    }

    fn contains(&self, instance: u32) -> bool {
        self.in_graph.contains(instance) || self.outside.contains(instance)
    }

    /// Removes `instance`; whether it was there.
    fn remove(&mut self, instance: u32) -> bool {
        self.in_graph.remove(instance) || self.outside.remove(instance)
    }

    /// A uniformly random one.
    fn draw(&self, stream: &mut Stream) -> Option<u32> {
        let count = self.len() as u32;
        let in_graph = count > 0 && (stream.below(count) as usize) < self.in_graph.len();
        if in_graph { self.in_graph.draw(stream) } else { self.outside.draw(stream) }
    }
}

impl<'a> Planner<'a> {
    pub(crate) fn new(input: &'a PlanInput<'a>) -> Result<Self, SamplingError> {
        let unused = Unused::new(input);
        let needed: usize = (0..input.batches).map(|batch| input.size(input.first_batch + batch)).sum();
        let available = unused.len();
        // Repeating batches use up at most as many as covering ones: if there are enough here, they always find a start.
        if needed > available {
            let problem = format!("it needs {needed} instances, and {available} are unused");
            return Err(SamplingError::Segment { problem });
        }
        let transition = match input.strategy {
            Strategy::Walk(transition) => Some(transition),
            Strategy::Nearest { .. } | Strategy::Uniform | Strategy::Order { .. } => None,
        };
        let walks = Walks::new(transition, input.seed, input.epoch, input.first_batch);
        let schedule = input.groups.map(|groups| schedule(groups, input, &unused)).transpose()?;
        let ceiling = input.ceiling.map(CeilingBatch::new);
        let line = Line::new(input, &unused);
        Ok(Self { input, walks, unused, inside: InstanceSet::new(input.instances), schedule, ceiling, line })
    }

    /// Batch `batch` of the epoch, after all those of the segment before it.
    pub(crate) fn batch(&mut self, batch: usize) -> (Vec<u32>, BatchOrigins) {
        let mut stream = self.input.seed.stream("batch", self.input.epoch, batch as u64, 0);
        let size = self.input.size(batch);
        let mut open = OpenBatch {
            members: Vec::with_capacity(size),
            size,
            avoided: None,
            origins: BatchOrigins::default(),
            left: self.input.first_batch + self.input.batches - batch,
            steps: 0,
        };
        if let Some(schedule) = &mut self.schedule {
            schedule.begin(self.input.total() - batch);
        }
        if let Some(ceiling) = &mut self.ceiling {
            ceiling.begin();
        }
        let mixed = round(size as f64 * self.input.uniform_fraction, &mut stream);
        let outside = self.share_outside(size - mixed, &mut stream);
        let begin = self.line.begins.pop();
        match self.input.strategy {
            Strategy::Order { .. } => self.take_stretch(begin, size - mixed - outside, &mut open),
            _ => self.walk_batch(size - mixed - outside, &mut stream, &mut open),
        }
        while open.members.len() < size - mixed {
            let Some(drawn) = self.draw(&open, &mut stream, |unused, stream| unused.outside.draw(stream))
            else {
                break;
            };
            self.join_uniform(drawn, &mut open);
        }
        while open.members.len() < size {
            let Some(drawn) = self.draw(&open, &mut stream, Unused::draw) else { break };
            self.join_uniform(drawn, &mut open);
        }
        self.fill(&mut open, &mut stream);
        for member in &open.members {
            self.inside.remove(*member);
        }
        (open.members, open.origins)
    }

    /// Fills the places for which chance found nobody who may come in.
    fn fill(&mut self, open: &mut OpenBatch, stream: &mut Stream) {
        while self.ceiling.is_some() && open.members.len() < open.size {
            let Some((drawn, repeated)) = self.below_ceiling(open, stream) else { break };
            self.join_uniform(drawn, open);
            open.origins.repeated += u64::from(repeated);
        }
        while open.members.len() < open.size {
            let drawn = match &self.schedule {
                None => self.unused.draw(stream),
                Some(schedule) => {
                    let is_unused = |instance| self.unused.contains(instance);
                    let free = open.size - open.members.len() > schedule.reserved();
                    if free {
                        schedule.draw(is_unused, stream)
                    } else {
                        schedule.draw_reserved(is_unused, stream)
                    }
                }
            };
            let Some(drawn) = drawn else { break };
            let above = self.ceiling.as_ref().is_some_and(|ceiling| !ceiling.admits(drawn));
            open.origins.above_ceiling += u64::from(above);
            self.join_uniform(drawn, open);
        }
    }

    /// Somebody who may come in, and whether the epoch used it before: of those unused, where they are few, then of all. `None` where none
    /// was found in many tries.
    fn below_ceiling(&self, open: &OpenBatch, stream: &mut Stream) -> Option<(u32, bool)> {
        if self.unused.len() <= MAX_TRIES {
            let mut unused: Vec<u32> = self.unused.members().collect();
            stream.shuffle(&mut unused);
            if let Some(found) = unused.into_iter().find(|instance| self.fits(*instance, open)) {
                return Some((found, false));
            }
        }
        for _ in 0..MAX_TRIES {
            let Some(drawn) = self.unused.draw(stream) else { break };
            if self.fits(drawn, open) {
                return Some((drawn, false));
            }
        }
        let drawn = (0..MAX_TRIES).map(|_| stream.below(self.input.instances as u32));
        let mut free = drawn.filter(|instance| !self.inside.contains(*instance));
        let found = free.find(|instance| self.fits(*instance, open))?;
        Some((found, !self.unused.contains(found)))
    }

    /// A random one of those that `draw` draws from, who may come in; `None` where a few were drawn in vain.
    fn draw(
        &self,
        open: &OpenBatch,
        stream: &mut Stream,
        draw: impl Fn(&Unused, &mut Stream) -> Option<u32>,
    ) -> Option<u32> {
        for _ in 0..MAX_REFUSALS {
            let drawn = draw(&self.unused, stream)?;
            if self.fits(drawn, open) {
                return Some(drawn);
            }
        }
        None
    }

    /// Whether the groups in the batch leave a place for `instance`, and nobody there is too similar.
    fn fits(&self, instance: u32, open: &OpenBatch) -> bool {
        let room = open.size - open.members.len();
        self.schedule.as_ref().is_none_or(|schedule| schedule.fits(instance, room))
            && self.ceiling.as_ref().is_none_or(|ceiling| ceiling.admits(instance))
    }

    /// How many of `size` members are drawn from outside the graph.
    fn share_outside(&self, size: usize, stream: &mut Stream) -> usize {
        let (outside, unused) = (self.unused.outside.len(), self.unused.len());
        if outside == 0 {
            return 0;
        }
        round(size as f64 * outside as f64 / unused as f64, stream).min(outside).min(size)
    }

    /// Collects from one start after another until the batch has `size` members, or no start is left.
    fn walk_batch(&mut self, size: usize, stream: &mut Stream, open: &mut OpenBatch) {
        let budget = MAX_STEPS_PER_MEMBER * size;
        while open.members.len() < size {
            let may_walk = matches!(self.input.strategy, Strategy::Walk(_)) && open.steps < budget;
            let start = if may_walk {
                let (schedule, room) = (self.schedule.as_ref(), open.size - open.members.len());
                let ceiling = self.ceiling.as_ref();
                let fits = |start| {
                    schedule.is_none_or(|schedule| schedule.fits(start, room))
                        && ceiling.is_none_or(|ceiling| ceiling.admits(start))
                };
                self.walks.begin(&self.unused.in_graph, open.left, fits)
            } else {
                self.draw(open, stream, |unused, stream| unused.in_graph.draw(stream))
            };
            let Some(start) = start else { break };
            self.join(start, open);
            open.avoided =
                self.input.labels.map(|labels| labels[start as usize]).filter(|label| *label != UNLABELLED);
            let before = open.members.len();
            if may_walk {
                self.walk(size, budget, open);
            } else {
                self.take_neighbors(start, size, open);
            }
            open.origins.count(before, open.members.len());
        }
    }

    /// Collects from place `begin` of the order on, until the batch has `size` members or nobody is left.
    fn take_stretch(&mut self, begin: Option<usize>, size: usize, open: &mut OpenBatch) {
        let Some(begin) = begin else { return };
        let before = open.members.len();
        let order = std::mem::take(&mut self.line.order);
        let (first, from) = order.split_at(begin);
        for instance in from.iter().chain(first) {
            if open.members.len() == size {
                break;
            }
            self.offer(*instance, open);
        }
        self.line.order = order;
        if open.members.len() > before {
            open.origins.count(before + 1, open.members.len());
        }
    }

    /// Collects along the current walk until the batch has `size` members or the walk is exhausted.
    fn walk(&mut self, size: usize, budget: usize, open: &mut OpenBatch) {
        let scans = self.input.coverage == Coverage::Cover;
        // Steps in a row since the last member or scan, and since the last member.
        let (mut idle, mut vain) = (0, 0);
        while open.members.len() < size && vain < MAX_IDLE_STEPS && open.steps < budget {
            let Some(node) = self.walks.step() else { break };
            let before = open.members.len();
            open.steps += 1;
            idle += 1;
            vain += 1;
            if !self.offer(node, open) && scans && idle == SCAN_AFTER {
                self.take_neighbors(node, size, open);
                open.steps += SCAN_AFTER;
                vain += SCAN_AFTER;
                idle = 0;
            }
            if open.members.len() > before {
                (idle, vain) = (0, 0);
            }
        }
    }

    /// Collects the neighbours of `start`, the most similar first, until the batch has `size` members.
    fn take_neighbors(&mut self, start: u32, size: usize, open: &mut OpenBatch) {
        let (Strategy::Walk(Transition { graph, .. }) | Strategy::Nearest { graph }) = self.input.strategy
        else {
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
        let free = if self.input.covers() {
            self.unused.contains(instance)
        } else {
            !self.inside.contains(instance)
        };
        let avoided = || {
            let label = self.input.labels.map(|labels| labels[instance as usize]);
            label.is_some() && label == open.avoided
        };
        let accepted = free && !avoided() && self.fits(instance, open);
        if accepted {
            self.join(instance, open);
        }
        accepted
    }

    /// Adds `instance`.
    fn join(&mut self, instance: u32, open: &mut OpenBatch) {
        let unused = self.unused.remove(instance);
        if let Some(schedule) = &mut self.schedule {
            schedule.join(instance, unused);
        }
        if let Some(ceiling) = &mut self.ceiling {
            ceiling.join(instance);
        }
        self.inside.insert(instance);
        open.members.push(instance);
    }

    fn join_uniform(&mut self, instance: u32, open: &mut OpenBatch) {
        self.join(instance, open);
        open.origins.uniform += 1;
    }
}

impl Line {
    /// The stretches of `input`'s segment, in random order.
    fn new(input: &PlanInput<'_>, unused: &Unused) -> Self {
        let Strategy::Order { order } = input.strategy else { return Self::default() };
        let order: Vec<u32> = order.iter().copied().filter(|instance| unused.contains(*instance)).collect();
        let stretches = (order.len() / input.batch_size).max(1);
        let mut stream = input.seed.stream("stretches", input.epoch, input.first_batch as u64, 0);
        let mut begins: Vec<usize> = (0..stretches).map(|stretch| stretch * input.batch_size).collect();
        stream.shuffle(&mut begins);
        // Where instances outside the order share the batches there are more of those than stretches: they begin anywhere.
        while !order.is_empty() && begins.len() < input.batches {
            begins.insert(0, stream.below(order.len() as u32) as usize);
        }
        begins.truncate(input.batches.max(1));
        if order.is_empty() { Self::default() } else { Self { order, begins } }
    }
}

/// The groups over what is left of the epoch.
fn schedule<'a>(
    groups: &'a Groups,
    input: &PlanInput<'_>,
    unused: &Unused,
) -> Result<GroupSchedule<'a>, SamplingError> {
    let everybody = (0..input.instances as u32).filter(|instance| unused.contains(*instance));
    // A ceiling comes before coverage: then nobody has a place that is reserved.
    if !input.covers() || input.ceiling.is_some() {
        return GroupSchedule::new(groups, everybody, None);
    }
    let left: usize = (input.first_batch..input.total()).map(|batch| input.size(batch)).sum();
    if unused.len() != left {
        let problem = format!("{} instances are unused, where the epoch's batches need {left}", unused.len());
        return Err(SamplingError::Segment { problem });
    }
    GroupSchedule::new(groups, everybody, Some((input.total() - input.first_batch, input.last_size())))
}

/// One of the two integers beside `share`, whose mean is `share`; draws nothing for 0.
fn round(share: f64, stream: &mut Stream) -> usize {
    if share > 0.0 { (share + stream.unit_f64()) as usize } else { 0 }
}
