//! GCBS: batches from an order in which neighbours stand close together.
//!
//! Global Contrastive Batch Sampling (Sachidananda, Yang and Zhu, ICML 2023, section 4) keeps the pairs whose similarity is above a
//! quantile of all, 0.999 in the paper, orders the instances so that the sparse matrix of those pairs has a small bandwidth, by the
//! algorithm of Cuthill and `McKee` (1969), and cuts the order into batches. Negatives of one batch then stand for a bound on the loss over
//! all. The order costs O(E log K) for E edges; what it costs besides is the graph.

use crate::graph::ProximityGraph;

/// The members of the graph, each once, in reverse Cuthill–`McKee` order: breadth first from a node of the least degree, the neighbours of
/// each node by degree, component after component, and the whole turned round. Edges count in both directions; those without an edge
/// come last, in ascending order.
pub fn bandwidth_order(graph: &ProximityGraph) -> Vec<u32> {
    let adjacency = Adjacency::of(graph);
    let mut by_degree: Vec<u32> = (0..graph.instances() as u32).collect();
    by_degree.sort_by_key(|node| adjacency.degree(*node));
    let mut seen = vec![false; graph.instances()];
    let (mut order, mut alone) = (Vec::with_capacity(graph.instances()), Vec::new());
    let mut next = Vec::new();
    for root in by_degree {
        if adjacency.degree(root) == 0 {
            alone.push(root);
        }
        if seen[root as usize] || adjacency.degree(root) == 0 {
            continue;
        }
        seen[root as usize] = true;
        let mut read = order.len();
        order.push(root);
        while let Some(node) = order.get(read).copied() {
            read += 1;
            next.extend(adjacency.neighbors(node).iter().copied().filter(|other| !seen[*other as usize]));
            next.sort_unstable_by_key(|other| (adjacency.degree(*other), *other));
            next.dedup();
            for other in next.drain(..) {
                seen[other as usize] = true;
                order.push(other);
            }
        }
    }
    order.reverse();
    order.extend(alone);
    order
}

/// The graph with each edge in both directions.
struct Adjacency {
    offsets: Vec<usize>,
    others: Vec<u32>,
}

impl Adjacency {
    fn of(graph: &ProximityGraph) -> Self {
        let count = graph.instances();
        let mut offsets = vec![0_usize; count + 1];
        for own in 0..count as u32 {
            for other in graph.neighbors(own) {
                offsets[own as usize + 1] += 1;
                offsets[*other as usize + 1] += 1;
            }
        }
        for node in 0..count {
            offsets[node + 1] += offsets[node];
        }
        let mut places = offsets.clone();
        let mut others = vec![0; offsets[count]];
        for own in 0..count as u32 {
            for other in graph.neighbors(own) {
                for (from, to) in [(own, *other), (*other, own)] {
                    others[places[from as usize]] = to;
                    places[from as usize] += 1;
                }
            }
        }
        Self { offsets, others }
    }

    /// Edges at `node`; one in both directions counts twice.
    fn degree(&self, node: u32) -> usize {
        self.offsets[node as usize + 1] - self.offsets[node as usize]
    }

    fn neighbors(&self, node: u32) -> &[u32] {
        &self.others[self.offsets[node as usize]..self.offsets[node as usize + 1]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lookalike_base::Seed;

    fn graph(lists: &[Vec<u32>]) -> ProximityGraph {
        let degrees: Vec<u32> = lists.iter().map(|list| list.len() as u32).collect();
        let edges = lists.concat();
        let similarities = vec![0.5; edges.len()];
        ProximityGraph::from_edges(&degrees, edges, similarities).unwrap()
    }

    #[test]
    fn a_shuffled_chain_is_put_in_order_and_those_without_an_edge_come_last() {
        let count = 200_u32;
        let names = Seed(3).stream("test", 0, 0, 0).permutation(count);
        let mut lists = vec![Vec::new(); count as usize];
        // A chain of 150, the rest alone.
        for pair in names[..150].windows(2) {
            lists[pair[0] as usize].push(pair[1]);
        }
        let order = bandwidth_order(&graph(&lists));
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..count).collect::<Vec<u32>>(), "each comes once");
        let forward: Vec<u32> = names[..150].to_vec();
        let backward: Vec<u32> = forward.iter().rev().copied().collect();
        assert!(order[..150] == forward || order[..150] == backward);
        let mut alone = names[150..].to_vec();
        alone.sort_unstable();
        assert_eq!(order[150..], alone);
    }

    #[test]
    fn the_bandwidth_of_a_random_geometric_graph_becomes_a_fraction() {
        let mut stream = Seed(5).stream("test", 0, 0, 0);
        let places: Vec<f32> = (0..500).map(|_| stream.unit()).collect();
        let near = |a: usize, b: usize| a != b && (places[a] - places[b]).abs() < 0.01;
        let lists: Vec<Vec<u32>> =
            (0..500).map(|a| (0..500).filter(|b| near(a, *b)).map(|b| b as u32).collect()).collect();
        let order = bandwidth_order(&graph(&lists));
        let mut place = vec![0_i64; 500];
        order.iter().zip(0..).for_each(|(node, at)| place[*node as usize] = at);
        let widest = |place: &dyn Fn(usize) -> i64| {
            let edges =
                lists.iter().enumerate().flat_map(|(a, list)| list.iter().map(move |b| (a, *b as usize)));
            edges.map(|(a, b)| (place(a) - place(b)).abs()).max().unwrap()
        };
        let (before, after) = (widest(&|node| node as i64), widest(&|node| place[node]));
        assert!(after * 10 < before, "{before} {after}");
    }
}
