//! Near duplicates: instances that are nearly the same, and false negatives of each other whatever their labels say.

use lookalike_base::{RowSource, Watch};
use lookalike_kernels::Scoring;

use crate::error::SamplingError;
use crate::graph::{PairRows, ProximityGraph, knn_graph};
use crate::plan::groups::Groups;

/// Two instances are tied where each is among this many nearest of the other: chains tie larger groups.
const NEIGHBORS: usize = 16;

/// Rows are equal where rounding can be all that keeps their similarity from 1.
const EQUAL: f32 = 1e-6;

impl Groups {
    /// Two near duplicates are no farther apart than this share of the median distance to the nearest neighbour, where nothing else is said.
    pub const DUPLICATE_FACTOR: f64 = 0.5;

    /// [Near duplicates](Groups::near_duplicates) by the nearest of all.
    ///
    /// # Errors
    /// As [`knn_graph`].
    pub fn of_near_duplicates(
        rows: impl RowSource,
        pairs: Option<PairRows>,
        scoring: Scoring,
        factor: f64,
        watch: Watch<'_>,
    ) -> Result<Self, SamplingError> {
        let neighbors = NEIGHBORS.min(rows.len().saturating_sub(1)).max(1);
        let graph = knn_graph(rows, None, neighbors, pairs, scoring, watch)?;
        Ok(Self::near_duplicates(&graph, factor))
    }

    /// Groups of near duplicates, found in a graph of nearest neighbours: two instances belong together where each is a neighbour of the
    /// other, or they are equal, and their distance is at most `factor` times the median distance of an instance to its nearest neighbour, or where a chain of such
    /// pairs ties them. Everybody else is a group alone.
    ///
    /// Distances are those of unit vectors, √(2 − 2s). What counts as near is so measured by the data: where everybody has a neighbour
    /// as near, nobody is a duplicate.
    ///
    /// # Shapes
    /// `graph` of [`knn_graph`](crate::knn_graph); a few neighbours are enough, since chains tie larger groups.
    pub fn near_duplicates(graph: &ProximityGraph, factor: f64) -> Self {
        let count = graph.instances() as u32;
        let nearest = |own: u32| graph.similarities(own).first().map(|similarity| distance(*similarity));
        let mut distances: Vec<f64> = (0..count).filter_map(nearest).collect();
        let mut sets = DisjointSets::new(count);
        if !distances.is_empty() {
            let middle = distances.len() / 2;
            let (_, median, _) = distances.select_nth_unstable_by(middle, f64::total_cmp);
            let limit = factor * *median;
            for own in 0..count {
                for (other, similarity) in graph.neighbors(own).iter().zip(graph.similarities(own)) {
                    if distance(*similarity) > limit {
                        break;
                    }
                    // Equal rows name only the first of them as their neighbours.
                    let equal = *similarity > 1.0 - EQUAL;
                    if equal || *other > own && graph.neighbors(*other).contains(&own) {
                        sets.join(own, *other);
                    }
                }
            }
        }
        Self::new(&(0..count).map(|instance| u64::from(sets.root(instance))).collect::<Vec<u64>>())
    }
}

/// The distance of two unit vectors of this similarity.
fn distance(similarity: f32) -> f64 {
    (2.0 - 2.0 * f64::from(similarity)).max(0.0).sqrt()
}

/// Which instances are tied, directly or through others (Tarjan's union–find, by halving paths).
struct DisjointSets {
    parents: Vec<u32>,
}

impl DisjointSets {
    fn new(count: u32) -> Self {
        Self { parents: (0..count).collect() }
    }

    fn root(&mut self, mut instance: u32) -> u32 {
        while self.parents[instance as usize] != instance {
            let above = self.parents[instance as usize];
            self.parents[instance as usize] = self.parents[above as usize];
            instance = above;
        }
        instance
    }

    fn join(&mut self, a: u32, b: u32) {
        let (a, b) = (self.root(a), self.root(b));
        // The lower one stays, so that a group is called by its first instance.
        self.parents[a.max(b) as usize] = a.min(b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lookalike_base::{Matrix, Seed};

    fn near_duplicates(rows: &Matrix, factor: f64) -> Groups {
        let graph = knn_graph(rows.rows(), None, 5, None, Scoring::F32, Watch::default()).unwrap();
        Groups::near_duplicates(&graph, factor)
    }

    #[test]
    fn planted_copies_are_found_and_nobody_else() {
        let mut stream = Seed(4).stream("test", 0, 0, 0);
        let mut rows = Matrix::new((0..600 * 16).map(|_| stream.normal()).collect(), 16).unwrap();
        // 100 twins, and a chain of four.
        for twin in 0..100 {
            let copy: Vec<f32> = rows.row(twin).iter().map(|value| value + 0.01 * stream.normal()).collect();
            rows.row_mut(500 + twin).copy_from_slice(&copy);
        }
        for link in 201..204 {
            let copy: Vec<f32> =
                rows.row(link - 1).iter().map(|value| value + 0.02 * stream.normal()).collect();
            rows.row_mut(link).copy_from_slice(&copy);
        }
        let groups = near_duplicates(&rows, 0.5);
        assert_eq!(groups.count(), 600 - 100 - 3);
        assert!((0..100).all(|twin| groups.equal(twin, 500 + twin)));
        assert!((201..204).all(|link| groups.equal(200, link)));
    }

    #[test]
    fn more_equal_rows_than_an_instance_has_neighbors_are_one_group() {
        let mut stream = Seed(6).stream("test", 0, 0, 0);
        let mut rows = Matrix::new((0..500 * 16).map(|_| stream.normal()).collect(), 16).unwrap();
        let copy = rows.row(3).to_vec();
        (400..500).for_each(|instance| rows.row_mut(instance).copy_from_slice(&copy));
        let groups = near_duplicates(&rows, 0.5);
        assert_eq!(groups.count(), 400);
        assert!((400..500).all(|instance| groups.equal(3, instance)));
    }

    #[test]
    fn where_everybody_is_as_near_to_somebody_nobody_is_a_duplicate_but_for_equal_rows() {
        let mut stream = Seed(5).stream("test", 0, 0, 0);
        let mut rows = Matrix::new((0..400 * 8).map(|_| stream.normal()).collect(), 8).unwrap();
        assert_eq!(near_duplicates(&rows, 0.05).count(), 400);
        // Every row twice: the median distance is that of rounding, and no further pair is as near.
        for twin in 0..200 {
            let copy = rows.row(twin).to_vec();
            rows.row_mut(200 + twin).copy_from_slice(&copy);
        }
        let groups = near_duplicates(&rows, 1.0);
        let together = |a: u32| (a + 1..400).filter(|b| groups.equal(a, *b)).collect::<Vec<u32>>();
        assert!((0..400).all(|a| together(a).iter().all(|b| *b == a + 200)));
        // Half of the nearest pairs are no farther than their median.
        assert!(groups.count() <= 300, "{}", groups.count());
    }
}
