//! Seeds by greedy k-means++ (Arthur and Vassilvitskii 2007, section 4.1): of a few rows, drawn by their squared distance from the seeds
//! so far, that which leaves the least sum of such distances.
//!
//! The restarts are seeded side by side, so that one pass over the rows serves the candidates of all of them.

use lookalike_base::{Stream, Watch};
use rayon::prelude::*;

use super::KmeansOptions;
use super::points::{Points, products};
use crate::error::MetricError;

/// Distances that are held at once, about: 256 MiB.
const MOST_DISTANCES: usize = 1 << 26;

/// The rows from which each restart begins.
pub(super) fn seeds(
    points: &Points,
    options: &KmeansOptions,
    watch: Watch<'_>,
) -> Result<Vec<Vec<u32>>, MetricError> {
    let trials = 2 + (options.clusters as f64).ln() as usize;
    let together = (MOST_DISTANCES / (points.len() * trials)).max(1);
    let restarts: Vec<u64> = (0..options.restarts as u64).collect();
    let mut seeds = Vec::with_capacity(options.restarts);
    for restarts in restarts.chunks(together) {
        let stream = |restart: &u64| options.seed.stream("kmeans", *restart, 0, 0);
        let mut seedings: Vec<Seeding> =
            restarts.iter().map(|restart| Seeding::new(points, stream(restart))).collect();
        offer(points, &mut seedings);
        for _ in 1..options.clusters {
            if watch.is_cancelled() {
                return Err(MetricError::Cancelled);
            }
            seedings.par_iter_mut().for_each(|seeding| seeding.draw(trials));
            offer(points, &mut seedings);
        }
        seeds.extend(seedings.into_iter().map(|seeding| seeding.chosen));
    }
    Ok(seeds)
}

/// The seeds of one restart.
struct Seeding {
    stream: Stream,
    chosen: Vec<u32>,
    /// Of each row, the squared distance to the nearest seed.
    nearest: Vec<f32>,
    candidates: Vec<u32>,
}

/// Adds to each seeding the best of its candidates.
fn offer(points: &Points, seedings: &mut [Seeding]) {
    let mut rows = Vec::new();
    let candidates: Vec<u32> = seedings.iter().flat_map(|seeding| &seeding.candidates).copied().collect();
    points.gather(&candidates, &mut rows);
    let products = products(&rows, points.values(), points.columns());
    let of_each = products.par_chunks(products.len() / seedings.len());
    seedings.par_iter_mut().zip(of_each).for_each(|(seeding, products)| seeding.choose(points, products));
}

impl Seeding {
    fn new(points: &Points, mut stream: Stream) -> Self {
        let first = stream.below(points.len() as u32);
        let nearest = vec![f32::INFINITY; points.len()];
        Self { stream, chosen: Vec::new(), nearest, candidates: vec![first] }
    }

    /// Draws candidates by their squared distance from the seeds; uniformly where all rows coincide with seeds.
    fn draw(&mut self, trials: usize) {
        let total: f64 = self.nearest.iter().copied().map(f64::from).sum();
        // Below the total also after rounding, so that a row passes each.
        let goal = |stream: &mut Stream| (stream.unit_f64() * total).min(total.next_down());
        let mut goals: Vec<f64> = (0..trials).map(|_| goal(&mut self.stream)).collect();
        goals.sort_unstable_by(f64::total_cmp);
        self.candidates.clear();
        if total == 0.0 {
            let rows = self.nearest.len() as u32;
            self.candidates.extend((0..trials).map(|_| self.stream.below(rows)));
            return;
        }
        let (mut passed, mut goals) = (0.0, goals.into_iter().peekable());
        for (row, distance) in self.nearest.iter().enumerate() {
            passed += f64::from(*distance);
            while goals.next_if(|goal| *goal < passed).is_some() {
                self.candidates.push(row as u32);
            }
        }
    }

    /// Takes the candidate that leaves the least sum; ties go to the first.
    fn choose(&mut self, points: &Points, products: &[f32]) {
        let rows = points.len();
        let sums = self.candidates.par_iter().zip(products.par_chunks(rows)).map(|(candidate, products)| {
            let distances = distances(points, *candidate, products).zip(&self.nearest);
            distances.map(|(distance, nearest)| f64::from(distance.min(*nearest))).sum::<f64>()
        });
        let sums: Vec<f64> = sums.collect();
        let Some(best) = (0..sums.len()).min_by(|a, b| sums[*a].total_cmp(&sums[*b])) else {
            unreachable!("there is a row for each goal");
        };
        let chosen = self.candidates[best];
        let distances = distances(points, chosen, &products[best * rows..][..rows]);
        self.nearest
            .iter_mut()
            .zip(distances)
            .for_each(|(nearest, distance)| *nearest = nearest.min(distance));
        self.nearest[chosen as usize] = 0.0;
        self.chosen.push(chosen);
    }
}

/// Squared distances of all rows from one of them.
fn distances<'a>(points: &'a Points, candidate: u32, products: &'a [f32]) -> impl Iterator<Item = f32> + 'a {
    let own = points.squares[candidate as usize];
    points.squares.iter().zip(products).map(move |(square, product)| (square + own - 2.0 * product).max(0.0))
}
