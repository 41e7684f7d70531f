//! How likely a walk goes to each neighbour where it prefers the similar ones.
//!
//! From a node a walk goes to neighbour j with probability exp(sⱼ/τ) / Σₖ exp(sₖ/τ), the sum over the node's
//! neighbours. The running sums are made once a graph, and a step searches among those of its node: O(log K).

use crate::error::SamplingError;
use crate::graph::ProximityGraph;

/// The softmax over the similarities of each node's edges, as running sums: 4 bytes an edge and 8 a node.
#[derive(Debug, Clone, PartialEq)]
pub struct EdgeWeights {
    offsets: Vec<usize>,
    sums: Vec<f32>,
}

impl EdgeWeights {
    /// The weights of the edges of `graph` at `temperature` τ. A low one leads to the most similar neighbour, a high one
    /// makes all alike.
    ///
    /// # Errors
    /// [`SamplingError::Number`] where τ is not above 0 and finite, [`SamplingError::Graph`] where a similarity is not finite.
    pub fn new(graph: &ProximityGraph, temperature: f64) -> Result<Self, SamplingError> {
        check_temperature(temperature)?;
        let (degrees, _, similarities) = graph.parts();
        if let Some(edge) = similarities.iter().position(|similarity| !similarity.is_finite()) {
            return Err(SamplingError::Graph {
                problem: format!("the similarity of edge {edge} is not finite"),
            });
        }
        let mut offsets = vec![0];
        let mut end = 0;
        offsets.extend(degrees.iter().map(|degree| {
            end += *degree as usize;
            end
        }));
        let mut sums = similarities.to_vec();
        accumulate(&offsets, &mut sums, (1.0 / temperature) as f32);
        Ok(Self { offsets, sums })
    }

    /// Whether they are as many as `graph` has nodes and edges.
    pub(crate) fn fit(&self, graph: &ProximityGraph) -> bool {
        self.offsets.len() == graph.instances() + 1 && self.sums.len() == graph.edges()
    }

    /// The place among the neighbours of `node` that the uniform number `unit` of [0, 1) chooses; 0 where there are none.
    pub(crate) fn pick(&self, node: u32, unit: f32) -> usize {
        let sums = &self.sums[self.offsets[node as usize]..self.offsets[node as usize + 1]];
        let Some(total) = sums.last() else { return 0 };
        let aimed = unit * total;
        // Rounding can bring `aimed` up to the total itself.
        sums.partition_point(|sum| *sum <= aimed).min(sums.len() - 1)
    }
}

/// Checks a temperature.
pub(crate) fn check_temperature(temperature: f64) -> Result<(), SamplingError> {
    // Its reciprocal must be a number of 32 bits too.
    if (temperature as f32).recip().is_finite() && temperature.is_finite() && temperature > 0.0 {
        return Ok(());
    }
    let expected = "above 0 and finite; leave it out for neighbors that are all alike";
    Err(SamplingError::Number { option: "temperature", value: temperature, expected })
}

/// Replaces similarities by the running sums of their weights, for the nodes whose edges lie between `offsets`.
fn accumulate(offsets: &[usize], values: &mut [f32], inverse: f32) {
    let nodes = offsets.len() - 1;
    if nodes > 1 && values.len() > 1 << 16 {
        let (left, right) = values.split_at_mut(offsets[nodes / 2] - offsets[0]);
        rayon::join(
            || accumulate(&offsets[..=nodes / 2], left, inverse),
            || accumulate(&offsets[nodes / 2..], right, inverse),
        );
        return;
    }
    for pair in offsets.windows(2) {
        let values = &mut values[pair[0] - offsets[0]..pair[1] - offsets[0]];
        // Less the highest, so that the largest weight is 1 and none overflows.
        let highest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mut sum = 0.0;
        for value in values {
            sum += ((*value - highest) * inverse).exp();
            *value = sum;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lookalike_base::Seed;

    #[test]
    fn neighbors_are_chosen_as_often_as_the_softmax_says() {
        let similarities = [0.9_f32, 0.7, 0.6, 0.1];
        let graph = ProximityGraph::from_edges(
            &[4, 0, 0, 1, 0],
            vec![1, 2, 3, 4, 0],
            [&similarities[..], &[0.3]].concat(),
        )
        .unwrap();
        let weights = EdgeWeights::new(&graph, 0.25).unwrap();
        let mut stream = Seed(1).stream("test", 0, 0, 0);
        let mut counts = [0_i32; 4];
        for _ in 0..100_000 {
            counts[weights.pick(0, stream.unit())] += 1;
            assert_eq!(weights.pick(3, stream.unit()), 0);
        }
        let total: f32 = similarities.iter().map(|s| (s / 0.25).exp()).sum();
        for (count, similarity) in counts.iter().zip(similarities) {
            let expected = 1e5 * (similarity / 0.25).exp() / total;
            assert!((*count as f32 - expected).abs() < 700.0, "{counts:?}: {expected} expected");
        }
        assert_eq!(weights.pick(1, 0.5), 0, "a node without neighbors");
    }

    #[test]
    fn extreme_temperatures_choose_the_first_of_the_most_similar_or_all_alike() {
        let graph = ProximityGraph::from_edges(&[3, 0, 0, 0], vec![1, 2, 3], vec![0.9, 0.5, -1.0]).unwrap();
        let cold = EdgeWeights::new(&graph, 1e-6).unwrap();
        assert!([0.0, 0.5, 0.999_999_9].iter().all(|unit| cold.pick(0, *unit) == 0));
        let hot = EdgeWeights::new(&graph, 1e6).unwrap();
        assert_eq!([0.1, 0.5, 0.9, 1.0].map(|unit| hot.pick(0, unit)), [0, 1, 2, 2]);
    }

    #[test]
    fn the_sums_of_a_graph_that_is_split_among_threads_are_those_of_each_node() {
        let mut stream = Seed(2).stream("test", 0, 0, 0);
        let degrees: Vec<u32> = (0..4000).map(|_| stream.below(60)).collect();
        let edges: u32 = degrees.iter().sum();
        let neighbors = (0..4000_u32).flat_map(|own| vec![(own + 1) % 4000; degrees[own as usize] as usize]);
        let similarities: Vec<f32> = (0..edges).map(|_| stream.unit()).collect();
        let graph = ProximityGraph::from_edges(&degrees, neighbors.collect(), similarities).unwrap();
        let weights = EdgeWeights::new(&graph, 0.5).unwrap();
        for node in 0..4000 {
            let mut expected = graph.similarities(node).to_vec();
            accumulate(&[0, expected.len()], &mut expected, 2.0);
            let range = weights.offsets[node as usize]..weights.offsets[node as usize + 1];
            assert_eq!(weights.sums[range], expected);
        }
    }

    #[test]
    fn a_temperature_that_is_no_positive_number_is_refused() {
        let graph = ProximityGraph::empty(3);
        for temperature in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e-60] {
            let error = EdgeWeights::new(&graph, temperature).unwrap_err().to_string();
            assert!(error.starts_with("temperature = "), "{error}");
        }
    }
}
