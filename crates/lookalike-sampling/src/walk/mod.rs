//! The random walk with restart of BatchSampler.
//!
//! At each step the walk moves from where it is, or with the restart probability from its start, to a random
//! neighbour: uniformly drawn as published, or by [`EdgeWeights`]. A high probability keeps the batch close around its
//! start; a low one lets it wander off, and lowers the share of false negatives with the hardness.
//!
//! A step on a large graph is a cache miss, and the next step waits for it. But where a walk leads depends on nothing that
//! is collected, so `Walks` takes the walks of coming batches along: their misses pass at the same time. A walk that
//! was begun too early, from a start that somebody collected meanwhile, is thrown away; the result is that of one
//! walk after another.

use std::collections::VecDeque;

use lookalike_base::{Seed, Stream};

use crate::graph::ProximityGraph;
use crate::graph::weights::EdgeWeights;
use crate::set::Pool;

/// A walk stops after this many consecutive steps without a new instance.
///
/// This bounds every walk: on an island smaller than the batch, in a neighbourhood that the epoch has used up, or with
/// a restart probability close to 1. Smaller values give up neighbourhoods that are half used (with 20, covering
/// batches of CIFAR-10 pixels are near chance from the middle of the epoch on). Larger values cost time in proportion.
pub const MAX_IDLE_STEPS: usize = 100;

/// In a covering epoch a walk scans all neighbours of its current node after this many consecutive steps without a new
/// instance, and collects the unused ones, the most similar first.
///
/// Late in such an epoch few of the visited instances are unused. A step then waits for memory and finds one of them with
/// a small chance. A scan waits once, finds all of them, and finds them where the walk is. Without it, walks would go far
/// for members that have little in common: with it the last five tenths of a covering epoch are harder as well as
/// cheaper (`benchmarks/walks`). While half of all instances are unused a scan happens once in 256 steps, so the first
/// tenths hardly differ. Smaller values make batches of nearest neighbours.
pub const SCAN_AFTER: usize = 8;

/// A batch walks at most this many steps for each member that it is to collect.
///
/// Where it needs more, hardly anybody is left where walks lead, as at the end of a covering epoch. Then a look at all
/// neighbours of a fresh start costs no more than one step and finds the most similar of those that are left.
pub const MAX_STEPS_PER_MEMBER: usize = 10;

/// At most this many walks are advanced at the same time.
const CONCURRENT_WALKS: usize = 16;

/// Steps that all of them take ahead of their use.
const STEPS_AHEAD: usize = 32;

/// A search for an instance that fits into a batch gives up after this many refusals.
pub(crate) const MAX_REFUSALS: usize = 32;

/// The transition rule of a walk.
#[derive(Debug, Clone, Copy)]
pub struct Transition<'a> {
    /// The graph whose edges it follows.
    pub graph: &'a ProximityGraph,
    /// The probability that a step is one from the start, not from where the walk is.
    pub restart: f32,
    /// How likely each neighbour is; all alike where there are none.
    pub weights: Option<&'a EdgeWeights>,
}

impl<'a> Transition<'a> {
    /// The neighbours among which a step from `at` chooses, and the place of its choice. There is none at a dead end.
    ///
    /// The low half of `word` decides about the restart, the high half about the neighbour (each of K is likely to
    /// within 2⁻³²).
    fn choose(&self, start: u32, at: u32, word: u64) -> (&'a [u32], usize) {
        let restarts = f64::from(word as u32) < f64::from(self.restart) * 4_294_967_296.0;
        let from = if restarts { start } else { at };
        let neighbors = self.graph.neighbors(from);
        let choice = word >> 32;
        let place = match self.weights {
            None => ((choice * neighbors.len() as u64) >> 32) as usize,
            Some(weights) => weights.pick(from, choice as f32 * (1.0 / 4_294_967_296.0)),
        };
        (neighbors, place)
    }
}

/// Walks from `start` and offers every node it comes to, until `take` has accepted `wanted` of them or the walk is
/// exhausted ([`MAX_IDLE_STEPS`]); returns how many were accepted. The start itself is not offered first. From a node without
/// neighbours a step leads to the start.
///
/// # Panics
/// Where `start` is not an instance of the graph, or the weights are those of another graph.
pub fn walk(
    transition: &Transition<'_>,
    start: u32,
    wanted: usize,
    stream: &mut Stream,
    mut take: impl FnMut(u32) -> bool,
) -> usize {
    let (mut at, mut taken, mut idle) = (start, 0, 0);
    while taken < wanted && idle < MAX_IDLE_STEPS {
        let (neighbors, place) = transition.choose(start, at, stream.bits());
        at = neighbors.get(place).copied().unwrap_or(start);
        if take(at) {
            taken += 1;
            idle = 0;
        } else {
            idle += 1;
        }
    }
    taken
}

/// The walks of a segment, one after another, the coming ones walked ahead.
///
/// Walk number u of a segment draws its start from the stream `("start", epoch, first batch, u)` and its steps from
/// `("walk", epoch, first batch, u)`: neither depends on who was collected before, but for which starts are left.
pub(crate) struct Walks<'a> {
    transition: Option<Transition<'a>>,
    seed: Seed,
    epoch: u64,
    first_batch: u64,
    /// Walks begun.
    begun: u64,
    /// Steps of the current walk, and of the one before it.
    taken: [usize; 2],
    /// The current walk and those that come after it.
    queue: VecDeque<Walk>,
}

/// One walk, as far as it was walked.
struct Walk {
    number: u64,
    starts: Stream,
    start: Option<u32>,
    /// The pool's number of lists when the start was drawn.
    lists: u32,
    steps: Stream,
    at: u32,
    words: [u64; STEPS_AHEAD],
    path: Vec<u32>,
    /// How much of the path was handed out.
    read: usize,
}

impl<'a> Walks<'a> {
    /// Walks by `transition`, or only starts where there are none.
    pub(crate) fn new(
        transition: Option<Transition<'a>>,
        seed: Seed,
        epoch: u64,
        first_batch: usize,
    ) -> Self {
        Self {
            transition,
            seed,
            epoch,
            first_batch: first_batch as u64,
            begun: 0,
            taken: [0; 2],
            queue: VecDeque::new(),
        }
    }

    /// Ends the current walk and begins the next one: returns its start, uniformly drawn from those of `pool` that
    /// fit. `None` where the pool is empty, or where so many did not fit that none may.
    ///
    /// `ahead` says how many walks are sure to come, this one included.
    pub(crate) fn begin(&mut self, pool: &Pool, ahead: usize, fits: impl Fn(u32) -> bool) -> Option<u32> {
        self.queue.pop_front();
        self.taken = [0, self.taken[0]];
        let walks = if self.transition.is_some() { ahead.clamp(1, CONCURRENT_WALKS) } else { 1 };
        while self.queue.len() < walks {
            let walk = self.new_walk(self.begun, pool);
            self.begun += 1;
            self.queue.push_back(walk);
        }
        let (seed, epoch, first) = (self.seed, self.epoch, self.first_batch);
        let stale = self.queue.front().filter(|walk| walk.lists != pool.lists()).map(|walk| walk.number);
        if let Some(number) = stale {
            let walk = self.new_walk(number, pool);
            self.queue[0] = walk;
        }
        let walk = self.queue.front_mut()?;
        let mut refusals = 0;
        while refusals < MAX_REFUSALS {
            let start = walk.start?;
            if pool.contains(start) {
                if fits(start) {
                    return Some(start);
                }
                refusals += 1;
            }
            let next = pool.draw(&mut walk.starts);
            walk.restart(next, seed.stream("walk", epoch, first, walk.number));
        }
        None
    }

    /// The next node of the current walk; none without a walk.
    pub(crate) fn step(&mut self) -> Option<u32> {
        if self.queue.front().is_some_and(|walk| walk.read == walk.path.len()) {
            self.walk_ahead();
        }
        let walk = self.queue.front_mut()?;
        let node = walk.path.get(walk.read).copied();
        walk.read += 1;
        self.taken[0] += 1;
        node
    }

    /// Walk number `number`, at its start.
    fn new_walk(&self, number: u64, pool: &Pool) -> Walk {
        let address = |purpose| self.seed.stream(purpose, self.epoch, self.first_batch, number);
        let (steps, mut starts) = (address("walk"), address("start"));
        let start = pool.draw(&mut starts);
        let (at, lists) = (start.unwrap_or_default(), pool.lists());
        Walk { number, starts, start, lists, steps, at, words: [0; STEPS_AHEAD], path: Vec::new(), read: 0 }
    }

    /// Lets walks under way take their next steps, all their first ones, then all their second ones, and so on. Those
    /// ahead of the current one wait where they are twice as long as it, or the one before it, has been: more of them is
    /// hardly ever needed.
    fn walk_ahead(&mut self) {
        let Some(transition) = self.transition else { return };
        let enough = 2 * self.taken[0].max(self.taken[1]);
        let mut going: Vec<&mut Walk> = Vec::with_capacity(CONCURRENT_WALKS);
        for (ahead, walk) in self.queue.iter_mut().enumerate() {
            if ahead == 0 || walk.path.len() < enough {
                walk.path.drain(..walk.read);
                walk.read = 0;
                walk.words.fill_with(|| walk.steps.bits());
                going.push(walk);
            }
        }
        for step in 0..STEPS_AHEAD {
            let mut choices: [(&[u32], usize); CONCURRENT_WALKS] = [(&[], 0); CONCURRENT_WALKS];
            for (choice, walk) in choices.iter_mut().zip(&going) {
                let start = walk.start.unwrap_or(walk.at);
                *choice = transition.choose(start, walk.at, walk.words[step]);
            }
            for ((neighbors, place), walk) in choices.iter().zip(&mut going) {
                walk.at = neighbors.get(*place).copied().or(walk.start).unwrap_or(walk.at);
                walk.path.push(walk.at);
            }
        }
    }
}

impl Walk {
    /// Forgets what was walked and begins at `start`, with the steps of `stream`.
    fn restart(&mut self, start: Option<u32>, stream: Stream) {
        self.start = start;
        self.at = start.unwrap_or_default();
        self.steps = stream;
        self.path.clear();
        self.read = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::set::InstanceSet;

    /// A graph of dead ends, islands and hubs.
    fn graph(instances: u32, seed: u64) -> ProximityGraph {
        let mut stream = Seed(seed).stream("graph", 0, 0, 0);
        let lists: Vec<Vec<u32>> = (0..instances)
            .map(|own| {
                let degree = stream.below(6);
                (0..degree).map(|_| stream.below(instances)).filter(|other| *other != own).collect()
            })
            .collect();
        let degrees: Vec<u32> = lists.iter().map(|list| list.len() as u32).collect();
        let similarities = (0..lists.concat().len()).map(|_| stream.unit()).collect();
        ProximityGraph::from_edges(&degrees, lists.concat(), similarities).unwrap()
    }

    #[test]
    fn walks_that_are_taken_along_are_those_walked_one_after_another() {
        for seed in 0..40_u64 {
            let graph = graph(300, seed);
            let weights = EdgeWeights::new(&graph, 0.2).unwrap();
            let restart = [0.0, 0.02, 0.2, 0.9][seed as usize % 4];
            let transition =
                Transition { graph: &graph, restart, weights: (seed % 3 == 0).then_some(&weights) };
            let mut everybody = InstanceSet::new(300);
            everybody.extend(0..300);
            let mut pool = Pool::new(everybody);
            let mut walks = Walks::new(Some(transition), Seed(seed), 2, 30);
            let mut order = Seed(seed).stream("order", 0, 0, 0);
            for number in 0..60 {
                let address = |purpose| Seed(seed).stream(purpose, 2, 30, number);
                let expected = pool.draw(&mut address("start"));
                let start = walks.begin(&pool, 1 + order.below(20) as usize, |_| true);
                assert_eq!(start, expected);
                let Some(start) = start else { break };
                pool.remove(start);
                let wanted = order.below(400) as usize;
                let mut taken = 0;
                // Who accepts everybody never makes a walk idle.
                walk(&transition, start, wanted, &mut address("walk"), |node| {
                    assert_eq!(walks.step(), Some(node), "step {taken} of walk {number}");
                    pool.remove(node);
                    taken += 1;
                    true
                });
                assert_eq!(taken, wanted);
            }
        }
    }
}
