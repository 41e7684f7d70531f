//! How strongly instances are tied: a probability for each neighbour, and for each tie that it is there in one way or the other (UMAP,
//! section 3.1).

use lookalike_sampling::ProximityGraph;
use rayon::prelude::*;

use crate::near::distance;

/// Steps of the search for a scale.
const HALVINGS: usize = 64;
/// How near to its aim the search ends.
const NEAR: f64 = 1e-5;
/// A scale is no less than this share of the mean distance.
const LEAST: f64 = 1e-3;

/// The ties of all instances, each there from both of its ends.
pub(super) struct Ties {
    offsets: Vec<usize>,
    others: Vec<u32>,
    /// Beside that of the strongest tie of all.
    shares: Vec<f32>,
}

impl Ties {
    pub(super) fn of(graph: &ProximityGraph) -> Self {
        let count = graph.instances();
        let own: Vec<Vec<f32>> =
            (0..count as u32).into_par_iter().map(|own| probabilities(graph.similarities(own))).collect();
        let mut ties: Vec<(u32, u32, f32)> = Vec::with_capacity(2 * graph.edges());
        for (from, probabilities) in (0..).zip(&own) {
            for (to, probability) in graph.neighbors(from).iter().zip(probabilities) {
                ties.extend([(from, *to, *probability), (*to, from, *probability)]);
            }
        }
        ties.par_sort_unstable_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)).then(a.2.total_cmp(&b.2)));
        let (mut offsets, mut others, mut shares) = (vec![0; count + 1], Vec::new(), Vec::new());
        for same in ties.chunk_by(|a, b| (a.0, a.1) == (b.0, b.1)) {
            // There in one way or the other: a + b − ab.
            let none: f32 = same.iter().map(|tie| 1.0 - tie.2).product();
            others.push(same[0].1);
            shares.push(1.0 - none);
            offsets[same[0].0 as usize + 1] = others.len();
        }
        for place in 1..=count {
            offsets[place] = offsets[place].max(offsets[place - 1]);
        }
        let strongest = shares.iter().copied().fold(0.0, f32::max);
        if strongest > 0.0 {
            for share in &mut shares {
                *share /= strongest;
            }
        }
        Self { offsets, others, shares }
    }

    pub(super) fn of_instance(&self, own: u32) -> impl Iterator<Item = (u32, f32)> + '_ {
        let range = self.offsets[own as usize]..self.offsets[own as usize + 1];
        self.others[range.clone()].iter().copied().zip(self.shares[range].iter().copied())
    }
}

/// How likely each neighbour of an instance is one: 1 for the nearest that is not the same, and log₂ k all together.
fn probabilities(similarities: &[f32]) -> Vec<f32> {
    let distances: Vec<f64> = similarities.iter().map(|similarity| distance(*similarity)).collect();
    let nearest = distances.iter().copied().find(|distance| *distance > 0.0).unwrap_or(0.0);
    let beyond: Vec<f64> = distances.iter().map(|distance| (distance - nearest).max(0.0)).collect();
    let aim = (distances.len() as f64).log2();
    let sum = |scale: f64| beyond.iter().map(|beyond| (-beyond / scale).exp()).sum::<f64>();
    let (mut low, mut high, mut scale) = (0.0, f64::INFINITY, 1.0);
    for _ in 0..HALVINGS {
        let excess = sum(scale) - aim;
        if excess.abs() < NEAR {
            break;
        }
        if excess > 0.0 {
            high = scale;
            scale = f64::midpoint(low, high);
        } else {
            low = scale;
            scale = if high.is_finite() { f64::midpoint(low, high) } else { 2.0 * scale };
        }
    }
    let mean = distances.iter().sum::<f64>() / distances.len().max(1) as f64;
    let scale = scale.max(LEAST * mean).max(f64::MIN_POSITIVE);
    beyond.iter().map(|beyond| (-beyond / scale).exp() as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_add_up_to_the_logarithm_of_their_number() {
        let similarities: Vec<f32> = (0..15).map(|rank| 0.9 - 0.03 * rank as f32).collect();
        let found = probabilities(&similarities);
        assert!((found.iter().sum::<f32>() - 15.0_f32.log2()).abs() < 1e-3 && found[0] == 1.0, "{found:?}");
        assert!(found.windows(2).all(|pair| pair[0] > pair[1]));
        assert_eq!(probabilities(&[1.0, 1.0]), [1.0, 1.0]);
    }

    #[test]
    fn a_tie_is_there_from_both_ends_with_one_strength() {
        let graph = ProximityGraph::from_edges(&[2, 1, 0], vec![1, 2, 0], vec![0.9, 0.5, 0.9]).unwrap();
        let ties = Ties::of(&graph);
        let of = |own| ties.of_instance(own).collect::<Vec<_>>();
        assert_eq!(of(0).iter().map(|tie| tie.0).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(of(1), [(0, of(0)[0].1)]);
        assert_eq!(of(2), [(0, of(0)[1].1)]);
        assert_eq!(of(0)[0].1, 1.0);
    }
}
