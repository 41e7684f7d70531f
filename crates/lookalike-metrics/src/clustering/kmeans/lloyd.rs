//! Lloyd's iterations from one set of seeds.
//!
//! Most rows need not be compared with all centres again (Hamerly 2010, *Making k-means even faster*): each has an upper bound on the
//! distance to its centre and a lower bound on that to any other, which change by no more than centres moved. Only rows whose bounds
//! meet are compared, as a product of matrices. Sums change by the rows that changed their cluster.

use lookalike_base::{Matrix, Watch};
use lookalike_kernels::squared_norm;
use rayon::prelude::*;

use super::points::{Points, products};
use super::{Kmeans, KmeansOptions};
use crate::error::MetricError;

/// Rows whose bounds are looked at by one task.
const BLOCK: usize = 512;
/// Columns of the sums that are changed by one task.
const STRIPE: usize = 64;
/// The cluster of a row that has none yet.
const NONE: u32 = u32::MAX;

/// One run.
pub(super) struct Lloyd<'a> {
    points: &'a Points,
    iterations: usize,
    /// Squares of centres' moves at which the run ends.
    tolerance: f64,
    centers: Centers,
    sums: Sums,
    clusters: Vec<u32>,
    bounds: Vec<Bounds>,
    /// Iterations that were made.
    made: usize,
    pub(super) inertia: f64,
}

/// Where the centres are.
struct Centers {
    values: Vec<f32>,
    columns: usize,
    /// Half the squared length of each.
    halves: Vec<f32>,
    /// The greatest of them.
    longest: f32,
    /// Half the distance of each from the nearest other.
    halfway: Vec<f32>,
    /// How far each moved.
    moves: Vec<f32>,
    /// The greatest move, the centre that made it, and the greatest of the others.
    farthest: (f32, usize, f32),
    /// What squared distances may be wrong by, as a share of squared lengths.
    error: f32,
}

/// What is known of the distances of a row.
#[derive(Clone, Copy)]
struct Bounds {
    /// At least the distance to its own centre.
    upper: f32,
    /// At most the distance to any other.
    lower: f32,
}

/// A row that changed its cluster.
struct Change {
    row: u32,
    from: u32,
    to: u32,
}

/// The sum of the rows of each cluster, in stripes of columns: `[stripes, clusters, columns of the stripe]`.
struct Sums {
    stripes: Vec<Vec<f64>>,
    counts: Vec<u64>,
}

impl<'a> Lloyd<'a> {
    pub(super) fn new(points: &'a Points, seeds: &[u32], options: &KmeansOptions) -> Self {
        let mut values = Vec::new();
        points.gather(seeds, &mut values);
        Self {
            points,
            iterations: options.iterations,
            tolerance: options.tolerance * points.variance,
            centers: Centers::new(values, points.columns()),
            sums: Sums::new(seeds.len(), points.columns()),
            clusters: vec![NONE; points.len()],
            bounds: vec![Bounds::UNKNOWN; points.len()],
            made: 0,
            inertia: f64::INFINITY,
        }
    }

    /// Iterates until nothing changes, centres hardly move, or the iterations are used up.
    pub(super) fn run(&mut self, watch: Watch<'_>) -> Result<(), MetricError> {
        let mut settled = false;
        while self.made < self.iterations && !settled {
            if watch.is_cancelled() {
                return Err(MetricError::Cancelled);
            }
            let changes = self.assign();
            self.made += 1;
            settled = changes.is_empty();
            if !settled {
                self.sums.apply(self.points, &changes);
                self.fill_empty();
                let moved = self.move_centers();
                if moved <= self.tolerance {
                    break;
                }
            }
        }
        if !settled {
            // The centres have moved since.
            self.assign();
        }
        self.inertia = self.distances().into_iter().sum();
        Ok(())
    }

    /// The result, in the units of the input.
    pub(super) fn finish(self) -> Result<Kmeans, MetricError> {
        let (points, columns) = (self.points, self.points.columns());
        let centers = self.centers.values.chunks_exact(columns).flat_map(|center| points.restore(center));
        let centers = Matrix::new(centers.collect(), columns)
            .map_err(|problem| MetricError::Values { what: "centers", problem })?;
        let inertia = points.restore_square(self.inertia);
        Ok(Kmeans { clusters: self.clusters, centers, inertia, iterations: self.made })
    }

    /// Finds the nearest centre of each row; tells the rows whose cluster changed, in order.
    fn assign(&mut self) -> Vec<Change> {
        let Self { points, centers, clusters, bounds, .. } = self;
        let (points, centers) = (&**points, &*centers);
        let blocks = clusters.par_chunks_mut(BLOCK).zip(bounds.par_chunks_mut(BLOCK)).enumerate();
        let changes = blocks.map_init(Scratch::default, |scratch, (block, (clusters, bounds))| {
            scratch.assign(points, centers, block * BLOCK, clusters, bounds)
        });
        let changes: Vec<Vec<Change>> = changes.collect();
        changes.into_iter().flatten().collect()
    }

    /// Moves centres to the means of their rows; the sum of the squares of their moves.
    fn move_centers(&mut self) -> f64 {
        let means = self.sums.means(&self.centers);
        self.centers.go_to(means)
    }

    /// Gives each cluster without rows the row that is farthest from its centre, of a cluster that has others.
    fn fill_empty(&mut self) {
        let empty = self.sums.counts.iter().enumerate().filter(|(_, count)| **count == 0);
        let empty: Vec<usize> = empty.map(|(cluster, _)| cluster).collect();
        if empty.is_empty() {
            return;
        }
        let distances = self.distances();
        let mut rows: Vec<u32> = (0..self.points.len() as u32).collect();
        rows.sort_by(|a, b| distances[*b as usize].total_cmp(&distances[*a as usize]));
        let mut rows = rows.into_iter().filter(|row| distances[*row as usize] > 0.0);
        for cluster in empty {
            let Some(row) = rows.find(|row| self.sums.counts[self.clusters[*row as usize] as usize] > 1)
            else {
                return;
            };
            let from = std::mem::replace(&mut self.clusters[row as usize], cluster as u32);
            self.bounds[row as usize] = Bounds::UNKNOWN;
            self.sums.apply(self.points, &[Change { row, from, to: cluster as u32 }]);
        }
    }

    /// Squared distances of rows from their centres, summed in 64 bits.
    fn distances(&self) -> Vec<f64> {
        let (points, centers) = (self.points, &self.centers);
        let of_row = |difference: &mut Vec<f32>, (row, cluster): (usize, &u32)| {
            let pairs = points.row(row).iter().zip(centers.row(*cluster as usize));
            difference.clear();
            difference.extend(pairs.map(|(value, center)| value - center));
            squared_norm(difference)
        };
        self.clusters.par_iter().enumerate().with_min_len(BLOCK).map_init(Vec::new, of_row).collect()
    }
}

impl Bounds {
    /// Those that say nothing.
    const UNKNOWN: Self = Self { upper: f32::INFINITY, lower: 0.0 };
}

/// What one thread keeps from block to block.
#[derive(Default)]
struct Scratch {
    rows: Vec<u32>,
    values: Vec<f32>,
}

impl Scratch {
    /// Finds the nearest centres of the rows of a block that begins with the row `first`.
    fn assign(
        &mut self,
        points: &Points,
        centers: &Centers,
        first: usize,
        clusters: &mut [u32],
        bounds: &mut [Bounds],
    ) -> Vec<Change> {
        self.rows.clear();
        for (at, (cluster, bounds)) in clusters.iter().zip(bounds.iter_mut()).enumerate() {
            if *cluster == NONE || !centers.surely_nearest(*cluster as usize, bounds) {
                self.rows.push((first + at) as u32);
            }
        }
        if self.rows.is_empty() {
            return Vec::new();
        }
        let columns = points.columns();
        let values = if self.rows.len() == clusters.len() {
            &points.values()[first * columns..][..clusters.len() * columns]
        } else {
            points.gather(&self.rows, &mut self.values);
            &self.values
        };
        let nearest = centers.nearest(values);
        let mut changes = Vec::new();
        for (row, nearest) in self.rows.iter().zip(nearest) {
            let at = *row as usize - first;
            bounds[at] = centers.bounds(points.squares[*row as usize], nearest);
            if clusters[at] != nearest.cluster {
                changes.push(Change { row: *row, from: clusters[at], to: nearest.cluster });
                clusters[at] = nearest.cluster;
            }
        }
        changes
    }
}

/// The centre with which a row has the greatest score x·c − ‖c‖² / 2, that score, and the next one.
#[derive(Clone, Copy)]
struct Nearest {
    cluster: u32,
    best: f32,
    second: f32,
}

impl Centers {
    fn new(values: Vec<f32>, columns: usize) -> Self {
        let clusters = values.len() / columns;
        // Sums of so many terms in sixteen lanes, and a few roundings besides.
        let error = f32::EPSILON * (8.0 + columns as f32 / 16.0);
        let mut centers = Self {
            values,
            columns,
            halves: Vec::new(),
            longest: 0.0,
            halfway: Vec::new(),
            moves: vec![0.0; clusters],
            farthest: (0.0, 0, 0.0),
            error,
        };
        centers.measure();
        centers
    }

    fn row(&self, cluster: usize) -> &[f32] {
        &self.values[cluster * self.columns..][..self.columns]
    }

    fn measure(&mut self) {
        self.halves =
            self.values.chunks_exact(self.columns).map(|row| (squared_norm(row) / 2.0) as f32).collect();
        self.longest = self.halves.iter().copied().fold(0.0, f32::max);
        let (products, halves) = (products(&self.values, &self.values, self.columns), &self.halves);
        let halfway = |(cluster, products): (usize, &[f32])| {
            let others = products.iter().enumerate().filter(|(other, _)| *other != cluster);
            let squares = others.map(|(other, product)| {
                2.0 * (halves[cluster] + halves[other] - product)
                    - 2.0 * self.error * (halves[cluster] + halves[other])
            });
            squares.fold(f32::INFINITY, f32::min).max(0.0).sqrt() / 2.0
        };
        self.halfway = products.chunks_exact(halves.len()).enumerate().map(halfway).collect();
    }

    /// Moves all; the sum of the squares of their moves.
    fn go_to(&mut self, values: Vec<f32>) -> f64 {
        let old = std::mem::replace(&mut self.values, values);
        let rows = self.values.chunks_exact(self.columns).zip(old.chunks_exact(self.columns));
        let squares = rows.map(|(new, old)| {
            new.iter().zip(old).map(|(new, old)| (f64::from(*new) - f64::from(*old)).powi(2)).sum::<f64>()
        });
        let squares: Vec<f64> = squares.collect();
        self.moves = squares.iter().map(|square| square.sqrt() as f32 * (1.0 + f32::EPSILON)).collect();
        self.farthest = (0.0, 0, 0.0);
        for (cluster, length) in self.moves.iter().enumerate() {
            let (first, _, second) = self.farthest;
            if *length > first {
                self.farthest = (*length, cluster, first);
            } else {
                self.farthest.2 = second.max(*length);
            }
        }
        self.measure();
        squares.iter().sum()
    }

    /// Whether a row's own centre is the nearest still, by its bounds, which change as centres moved.
    fn surely_nearest(&self, cluster: usize, bounds: &mut Bounds) -> bool {
        let (first, farthest, second) = self.farthest;
        let other = if farthest == cluster { second } else { first };
        bounds.upper = (bounds.upper + self.moves[cluster]) * (1.0 + f32::EPSILON);
        bounds.lower = (bounds.lower - other).max(0.0) * (1.0 - f32::EPSILON);
        bounds.upper <= bounds.lower.max(self.halfway[cluster])
    }

    fn bounds(&self, square: f32, nearest: Nearest) -> Bounds {
        let error = self.error * (square + 2.0 * self.longest);
        Bounds {
            upper: (square - 2.0 * nearest.best + error).max(0.0).sqrt(),
            lower: (square - 2.0 * nearest.second - error).max(0.0).sqrt(),
        }
    }

    /// The nearest centre of each of some rows; ties go to the lower cluster.
    fn nearest(&self, rows: &[f32]) -> Vec<Nearest> {
        let count = rows.len() / self.columns;
        let products = products(&self.values, rows, self.columns);
        let mut found =
            vec![Nearest { cluster: 0, best: f32::NEG_INFINITY, second: f32::NEG_INFINITY }; count];
        for (cluster, (products, half)) in products.chunks_exact(count).zip(&self.halves).enumerate() {
            for (found, product) in found.iter_mut().zip(products) {
                let score = product - half;
                if score > found.best {
                    *found = Nearest { cluster: cluster as u32, best: score, second: found.best };
                } else {
                    found.second = found.second.max(score);
                }
            }
        }
        found
    }
}

impl Sums {
    fn new(clusters: usize, columns: usize) -> Self {
        let widths = (0..columns).step_by(STRIPE).map(|first| STRIPE.min(columns - first));
        let stripes = widths.map(|width| vec![0.0; clusters * width]).collect();
        Self { stripes, counts: vec![0; clusters] }
    }

    /// Moves rows from their former clusters to their new ones, in order.
    fn apply(&mut self, points: &Points, changes: &[Change]) {
        for Change { from, to, .. } in changes {
            if *from != NONE {
                self.counts[*from as usize] -= 1;
            }
            self.counts[*to as usize] += 1;
        }
        let clusters = self.counts.len();
        self.stripes.par_iter_mut().enumerate().for_each(|(stripe, sums)| {
            let width = sums.len() / clusters;
            for Change { row, from, to } in changes {
                let values = &points.row(*row as usize)[stripe * STRIPE..][..width];
                let to = &mut sums[*to as usize * width..][..width];
                to.iter_mut().zip(values).for_each(|(sum, value)| *sum += f64::from(*value));
                if *from != NONE {
                    let from = &mut sums[*from as usize * width..][..width];
                    from.iter_mut().zip(values).for_each(|(sum, value)| *sum -= f64::from(*value));
                }
            }
        });
    }

    /// The mean of each cluster; that of one without rows stays where it is.
    fn means(&self, centers: &Centers) -> Vec<f32> {
        let mut means = centers.values.clone();
        for (cluster, (mean, count)) in means
            .chunks_exact_mut(centers.columns)
            .zip(&self.counts)
            .enumerate()
            .filter(|(_, (_, n))| **n > 0)
        {
            for (stripe, mean) in self.stripes.iter().zip(mean.chunks_mut(STRIPE)) {
                let sums = &stripe[cluster * mean.len()..];
                mean.iter_mut().zip(sums).for_each(|(mean, sum)| *mean = (sum / *count as f64) as f32);
            }
        }
        means
    }
}
