//! Edges that are not walked: those above a similarity ceiling, and those that an oracle knows to be false.
//!
//! Instances that are too similar are likely the same thing, and false negatives of each other. The edges are taken out
//! of the graph when it is built, so that all that reads it agrees. An instance that loses all its edges is
//! outside the graph, and its places in batches are filled uniformly.

use crate::error::SamplingError;
use crate::graph::ProximityGraph;

impl ProximityGraph {
    /// The graph with only those edges that `keep` accepts, given an instance, its neighbour and their similarity.
    ///
    /// # Errors
    /// None of a graph that was built; see [`ProximityGraph::from_edges`].
    pub fn filtered(&self, keep: impl Fn(u32, u32, f32) -> bool) -> Result<Self, SamplingError> {
        let mut degrees = Vec::with_capacity(self.instances());
        let (mut neighbors, mut similarities) = (Vec::new(), Vec::new());
        for own in 0..self.instances() as u32 {
            let before = neighbors.len();
            for (other, similarity) in self.neighbors(own).iter().zip(self.similarities(own)) {
                if keep(own, *other, *similarity) {
                    neighbors.push(*other);
                    similarities.push(*similarity);
                }
            }
            degrees.push((neighbors.len() - before) as u32);
        }
        Self::from_edges(&degrees, neighbors, similarities)
    }

    /// The smallest similarity that at least `percentile` percent of the edges do not exceed; `None` without an edge.
    ///
    /// Exact, in two passes over the edges and 1 MB.
    pub fn similarity_percentile(&self, percentile: f64) -> Option<f32> {
        let (_, _, similarities) = self.parts();
        let rank = (percentile / 100.0 * similarities.len() as f64).ceil().max(1.0) as usize;
        let rank = rank.min(similarities.len()).checked_sub(1)?;
        let (high, rank) = counted(similarities.iter().map(|value| ordered(*value) >> 16), rank);
        let lows = similarities.iter().map(|value| ordered(*value)).filter(|key| key >> 16 == high);
        let (low, _) = counted(lows.map(|key| key & 0xffff), rank);
        let key = high << 16 | low;
        Some(f32::from_bits(if key >> 31 == 1 { key & 0x7fff_ffff } else { !key }))
    }
}

/// The bits of `value`, in an order that is that of the values.
fn ordered(value: f32) -> u32 {
    let bits = value.to_bits();
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

/// Which of the `keys` below 2¹⁶ has `rank` among them, and its rank among those that equal it.
fn counted(keys: impl Iterator<Item = u32>, mut rank: usize) -> (u32, usize) {
    let mut counts = vec![0_usize; 1 << 16];
    keys.for_each(|key| counts[key as usize] += 1);
    for (key, count) in counts.iter().enumerate() {
        if rank < *count {
            return (key as u32, rank);
        }
        rank -= count;
    }
    (0xffff, rank)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lookalike_base::Seed;

    #[test]
    fn a_percentile_is_that_of_the_sorted_similarities() {
        let mut stream = Seed(1).stream("test", 0, 0, 0);
        for edges in [1_usize, 2, 7, 100, 1001] {
            let similarities: Vec<f32> = (0..edges).map(|_| stream.range(-1.0, 1.0)).collect();
            let graph =
                ProximityGraph::from_edges(&[edges as u32, 0], vec![1; edges], similarities.clone()).unwrap();
            let mut sorted = similarities;
            sorted.sort_by(f32::total_cmp);
            for percentile in [0.1, 1.0, 33.0, 50.0, 95.0, 99.9, 100.0] {
                let rank = (percentile / 100.0 * edges as f64).ceil() as usize;
                assert_eq!(graph.similarity_percentile(percentile), Some(sorted[rank.max(1) - 1]));
            }
        }
        assert_eq!(ProximityGraph::empty(3).similarity_percentile(50.0), None);
    }

    #[test]
    fn a_filtered_graph_has_the_edges_that_are_kept_in_their_order() {
        let graph =
            ProximityGraph::from_edges(&[3, 0, 1, 1], vec![1, 2, 3, 0, 0], vec![0.9, 0.5, 0.1, 0.5, 0.95])
                .unwrap();
        let kept = graph.filtered(|_, _, similarity| similarity <= 0.5).unwrap();
        assert_eq!((kept.neighbors(0), kept.similarities(0)), (&[2, 3][..], &[0.5, 0.1][..]));
        assert!(!kept.contains(1) && kept.contains(2) && !kept.contains(3));
        assert_eq!(graph.filtered(|_, _, _| true).unwrap(), graph);
    }
}
