//! Partitions that a graph has of itself, without k and without labels: connected components and communities. As clusters they are
//! baselines beside k-means; as a guess at who is of one class they cost nothing once there is a graph (Zheng et al. 2021, *Weakly
//! Supervised Contrastive Learning*, take the components of the graph of nearest neighbours, `truncated(1)`).
//!
//! Here an edge ties both of its ends, whichever way it goes, and once, however often it is there.

use lookalike_base::Seed;

use super::ProximityGraph;

impl ProximityGraph {
    /// The graph of the edges that are there both ways.
    #[must_use]
    pub fn mutual(&self) -> Self {
        let mut incoming = vec![Vec::new(); self.instances()];
        for own in 0..self.instances() as u32 {
            // By ascending instance, so that each list is sorted.
            for other in self.neighbors(own) {
                incoming[*other as usize].push(own);
            }
        }
        let (mut offsets, mut neighbors, mut similarities) = (vec![0], Vec::new(), Vec::new());
        for own in 0..self.instances() as u32 {
            let edges = self.neighbors(own).iter().zip(self.similarities(own));
            for (other, similarity) in edges {
                if incoming[own as usize].binary_search(other).is_ok() {
                    neighbors.push(*other);
                    similarities.push(*similarity);
                }
            }
            offsets.push(neighbors.len());
        }
        Self::of_parts(offsets, neighbors, similarities)
    }
}

/// The connected component of each instance. Components are numbered from 0 in the order of their lowest instances; an instance without
/// an edge is one by itself.
///
/// ```
/// use lookalike_sampling::{ProximityGraph, connected_components};
///
/// let graph = ProximityGraph::from_edges(&[1, 0, 0, 1], vec![2, 0], vec![0.9, 0.8])?;
/// assert_eq!(connected_components(&graph), [0, 1, 0, 0]);
/// assert_eq!(connected_components(&graph.mutual()), [0, 1, 2, 3]);
/// # Ok::<(), lookalike_sampling::SamplingError>(())
/// ```
pub fn connected_components(graph: &ProximityGraph) -> Vec<u32> {
    // Each instance points to another of its component that is lower, and the lowest to itself.
    let mut lower: Vec<u32> = (0..graph.instances() as u32).collect();
    for own in 0..graph.instances() as u32 {
        for other in graph.neighbors(own) {
            let (a, b) = (lowest(&mut lower, own), lowest(&mut lower, *other));
            lower[a.max(b) as usize] = a.min(b);
        }
    }
    let roots: Vec<u32> = (0..graph.instances() as u32).map(|own| lowest(&mut lower, own)).collect();
    renumbered(&roots).0
}

/// The lowest instance that is known to be in the component; ways to it are halved as they are gone.
fn lowest(lower: &mut [u32], mut own: u32) -> u32 {
    while lower[own as usize] != own {
        lower[own as usize] = lower[lower[own as usize] as usize];
        own = lower[own as usize];
    }
    own
}

/// The community of each instance, by Louvain's method (Blondel et al. 2008): a partition of high modularity, at resolution 1 and with
/// ties of equal weight.
///
/// Communities are numbered from 0 in the order of their lowest instances; an instance without an edge is one by itself. The result is
/// a function of graph and seed, which draws the order in which instances are looked at. Gains are compared in integers.
pub fn communities(graph: &ProximityGraph, seed: Seed) -> Vec<u32> {
    let mut level = Level::of(graph);
    let mut found: Vec<u32> = (0..graph.instances() as u32).collect();
    for depth in 0.. {
        let order = seed.stream("communities", depth, 0, 0).permutation(level.len() as u32);
        let (joined, count) = renumbered(&level.local_optimum(&order));
        for community in &mut found {
            *community = joined[*community as usize];
        }
        if count == level.len() {
            break;
        }
        level = level.merged(&joined, count);
    }
    renumbered(&found).0
}

/// Numbers groups from 0 in the order in which they come, and counts them.
fn renumbered(groups: &[u32]) -> (Vec<u32>, usize) {
    let mut numbers = vec![u32::MAX; groups.len()];
    let mut count = 0;
    let number = |group: &u32| {
        let number = &mut numbers[*group as usize];
        if *number == u32::MAX {
            *number = count;
            count += 1;
        }
        *number
    };
    let found = groups.iter().map(number).collect();
    (found, count as usize)
}

/// A graph of groups of instances: ties between them with their weights, and those within.
struct Level {
    offsets: Vec<usize>,
    /// Both ways.
    ties: Vec<(u32, u64)>,
    /// Of each group, the ends of all ties that it has, those within included.
    degrees: Vec<u64>,
    /// The ends of all ties.
    total: u64,
}

impl Level {
    /// Each instance is a group of its own.
    fn of(graph: &ProximityGraph) -> Self {
        let mut others = vec![Vec::new(); graph.instances()];
        for own in 0..graph.instances() as u32 {
            for other in graph.neighbors(own) {
                others[own as usize].push(*other);
                others[*other as usize].push(own);
            }
        }
        let (mut offsets, mut ties, mut degrees) = (vec![0], Vec::new(), Vec::new());
        for mut others in others {
            others.sort_unstable();
            others.dedup();
            degrees.push(others.len() as u64);
            ties.extend(others.into_iter().map(|other| (other, 1)));
            offsets.push(ties.len());
        }
        let total = degrees.iter().sum();
        Self { offsets, ties, degrees, total }
    }

    fn len(&self) -> usize {
        self.degrees.len()
    }

    fn ties(&self, group: u32) -> &[(u32, u64)] {
        &self.ties[self.offsets[group as usize]..self.offsets[group as usize + 1]]
    }

    /// Moves one group after another to the community in which modularity gains most, until no move gains anything.
    fn local_optimum(&self, order: &[u32]) -> Vec<u32> {
        let mut community: Vec<u32> = (0..self.len() as u32).collect();
        let mut sizes = self.degrees.clone();
        let (mut weights, mut near) = (vec![0_u64; self.len()], Vec::new());
        let mut moved = true;
        while moved {
            moved = false;
            for group in order {
                let own = community[*group as usize];
                for (other, weight) in self.ties(*group) {
                    let other = community[*other as usize];
                    if weights[other as usize] == 0 {
                        near.push(other);
                    }
                    weights[other as usize] += weight;
                }
                let degree = self.degrees[*group as usize];
                sizes[own as usize] -= degree;
                let gain = |community: u32| {
                    let tied = i128::from(weights[community as usize]) * i128::from(self.total);
                    tied - i128::from(degree) * i128::from(sizes[community as usize])
                };
                // Staying is best unless another is better.
                let best = near
                    .iter()
                    .fold(own, |best, other| if gain(*other) > gain(best) { *other } else { best });
                sizes[best as usize] += degree;
                community[*group as usize] = best;
                moved |= best != own;
                for community in near.drain(..) {
                    weights[community as usize] = 0;
                }
            }
        }
        community
    }

    /// The graph whose groups are the communities of this one.
    fn merged(&self, community: &[u32], count: usize) -> Self {
        let mut members = vec![Vec::new(); count];
        for (group, community) in community.iter().enumerate() {
            members[*community as usize].push(group as u32);
        }
        let (mut offsets, mut ties, mut degrees) = (vec![0], Vec::new(), Vec::new());
        let (mut weights, mut near) = (vec![0_u64; count], Vec::new());
        for (own, members) in members.iter().enumerate() {
            for (other, weight) in members.iter().flat_map(|group| self.ties(*group)) {
                let other = community[*other as usize];
                if weights[other as usize] == 0 {
                    near.push(other);
                }
                weights[other as usize] += weight;
            }
            degrees.push(members.iter().map(|group| self.degrees[*group as usize]).sum());
            for other in near.drain(..) {
                let weight = std::mem::take(&mut weights[other as usize]);
                if other as usize != own {
                    ties.push((other, weight));
                }
            }
            offsets.push(ties.len());
        }
        Self { offsets, ties, degrees, total: self.total }
    }
}
