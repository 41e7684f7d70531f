//! Who is compared with whom in a build of the proximity graph.

use lookalike_base::Seed;
use lookalike_kernels::Circulant;

/// The candidates of each of some members: those at the positions that the circulant gives for its own.
pub(crate) struct Candidates {
    pub(crate) circulant: Circulant,
    /// The member at each position.
    pub(crate) order: Vec<u32>,
}

impl Candidates {
    /// `amount` distinct others for each of `members`, from the streams `("candidates", build, 0, 0)`, which puts members in order, and
    /// `("offsets", build, 0, 0)`.
    pub(crate) fn draw(members: u32, amount: usize, seed: Seed, build: u64) -> Self {
        let order = seed.stream("candidates", build, 0, 0).permutation(members);
        let mut offsets = seed.stream("offsets", build, 0, 0);
        Self { circulant: Circulant::random(members as usize, amount, |bound| offsets.below(bound)), order }
    }

    /// The candidates of all members, as lists.
    #[cfg(test)]
    pub(crate) fn lists(&self) -> Vec<Vec<u32>> {
        let mut lists = vec![Vec::new(); self.order.len()];
        for (position, member) in self.order.iter().enumerate() {
            let candidates = self.circulant.candidates(position);
            lists[*member as usize] = candidates.into_iter().map(|other| self.order[other]).collect();
        }
        lists
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{GraphOptions, PairRows, proximity_graph};
    use lookalike_base::Matrix;
    use lookalike_base::Watch;

    #[test]
    fn given_the_candidates_the_graph_is_that_of_the_obvious_search() {
        // Whole tiles, tiles and a rest, nearly all others, fewer than one tile.
        for (count, amount, k) in [(1500, 1000, 50), (701, 333, 20), (130, 125, 30), (40, 7, 7)] {
            let mut stream = Seed(4).stream("test", 0, 0, count);
            let matrix = Matrix::new((0..count * 10).map(|_| stream.normal()).collect(), 10).unwrap();
            given_the_candidates(&matrix, None, amount, k);
            given_the_candidates(&matrix, Some(PairRows::Cross), amount, k);
        }
    }

    /// Compares the graph with a search that sorts all candidates.
    fn given_the_candidates(matrix: &Matrix, pairs: Option<PairRows>, amount: usize, k: usize) {
        let options = GraphOptions { candidates: amount, neighbors: k, pairs, ..GraphOptions::default() };
        let graph = proximity_graph(matrix.rows(), None, &options, Seed(5), 6, Watch::default()).unwrap().0;
        let dot = |a: &[f32], b: &[f32]| -> f64 {
            a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
        };
        let cosine = |a: &[f32], b: &[f32]| dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
        let similarity = |a: u32, b: u32| {
            let (a, b) = (matrix.row(a as usize), matrix.row(b as usize));
            match pairs {
                None => cosine(a, b),
                Some(_) => cosine(&a[..5], &b[5..]).max(cosine(&a[5..], &b[..5])),
            }
        };
        let lists = Candidates::draw(matrix.len() as u32, amount, Seed(5), 6).lists();
        for (own, list) in lists.iter().enumerate() {
            let own = own as u32;
            let mut sorted: Vec<(f64, u32)> =
                list.iter().map(|other| (similarity(own, *other), *other)).collect();
            sorted.sort_by(|a, b| b.0.total_cmp(&a.0));
            let found = graph.neighbors(own).iter().zip(graph.similarities(own));
            for (at, (other, found)) in found.enumerate() {
                assert!((f64::from(*found) - similarity(own, *other)).abs() < 1e-6);
                // In another place only where the two cannot be told apart in f32.
                let expected = sorted[at];
                assert!(*other == expected.1 || (similarity(own, *other) - expected.0).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn each_other_instance_is_a_candidate_equally_often() {
        // One short tile; several tiles of which the last is short; nearly all others.
        for (count, amount, builds) in [(12, 5, 20_000), (100, 40, 8000), (60, 57, 8000)] {
            let mut counts = vec![0_u32; (count * count) as usize];
            for build in 0..builds {
                for (own, list) in Candidates::draw(count, amount, Seed(9), build).lists().iter().enumerate()
                {
                    assert_eq!(list.len(), amount);
                    for other in list {
                        counts[own * count as usize + *other as usize] += 1;
                    }
                }
            }
            // Each pair is drawn with this chance in each build, independently of other builds.
            let chance = amount as f64 / f64::from(count - 1);
            let (expected, deviation) =
                (builds as f64 * chance, (builds as f64 * chance * (1.0 - chance)).sqrt());
            for (pair, drawn) in counts.iter().enumerate() {
                let (own, other) = (pair / count as usize, pair % count as usize);
                // Of ten thousand pairs none is expected beyond five standard deviations (two in a million are).
                let off = (f64::from(*drawn) - expected).abs();
                assert!(
                    if own == other { *drawn == 0 } else { off < 5.0 * deviation },
                    "{own} {other} {drawn}"
                );
            }
        }
    }
}
