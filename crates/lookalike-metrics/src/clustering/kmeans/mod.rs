//! k-means: Lloyd's iterations (1982) from seeds by greedy k-means++ (Arthur and Vassilvitskii 2007).
//!
//! Options mean what they mean in scikit-learn. Rows are compared in 32 bits after their mean was taken off; sums are in 64 bits and in
//! an order of their own. So neither does the result depend on the number of threads, nor precision on where the origin lies.

mod assign;
mod lloyd;
mod points;
mod seeding;
#[cfg(test)]
mod tests;

use lookalike_base::{Matrix, Rows, Seed, Watch};

use crate::check;
use crate::error::MetricError;
use lloyd::Lloyd;
use points::Points;

const SCORE: &str = "k-means";

/// How rows are clustered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct KmeansOptions {
    /// Clusters k, at least 1; with one all rows are in it, and its centre is their mean.
    pub clusters: usize,
    /// Runs from different seeds, of which that of least inertia counts; by default 10.
    pub restarts: usize,
    /// Iterations of a run, at most; by default 300.
    pub iterations: usize,
    /// A run ends once the centres move, in sum of squares, by no more than this share of the mean variance of a column; by default 10⁻⁴.
    pub tolerance: f64,
    /// Draws the seeds.
    pub seed: Seed,
}

impl KmeansOptions {
    /// The defaults, for `clusters` clusters.
    pub fn new(clusters: usize) -> Self {
        Self { clusters, restarts: 10, iterations: 300, tolerance: 1e-4, seed: Seed(0) }
    }

    fn check(&self, rows: usize) -> Result<(), MetricError> {
        let counts = [
            ("the number of clusters", self.clusters),
            ("the number of restarts", self.restarts),
            ("the number of iterations", self.iterations),
        ];
        for (option, value) in counts {
            if value == 0 {
                return Err(MetricError::option(option, &value, "at least 1"));
            }
        }
        if !(self.tolerance.is_finite() && self.tolerance >= 0.0) {
            return Err(MetricError::option("the tolerance", &self.tolerance, "0 or a number above it"));
        }
        if self.clusters > rows {
            let reason = format!("{} clusters need as many instances, but there are {rows}", self.clusters);
            return Err(MetricError::undefined(SCORE, reason));
        }
        if u32::try_from(rows).is_err() {
            let reason = format!("there are {rows} instances; at most {} can be clustered", u32::MAX);
            return Err(MetricError::undefined(SCORE, reason));
        }
        Ok(())
    }
}

/// What k-means found.
#[derive(Debug, Clone, PartialEq)]
pub struct Kmeans {
    /// The cluster of each row: that of the nearest centre.
    pub clusters: Vec<u32>,
    /// The centre of each cluster, k×d.
    pub centers: Matrix,
    /// Sum of squared distances of rows to their centres.
    pub inertia: f64,
    /// Iterations of the run that counts.
    pub iterations: usize,
}

/// Clusters rows by k-means. Rows may be of any length; where directions count, normalise them first.
///
/// A cluster that loses all its rows gets the row that is farthest from its centre. Only where rows coincide can a cluster stay empty.
/// Beside its input it needs a copy of it. The progress of `watch` counts restarts; between iterations the work hears that it shall stop.
///
/// # Shapes
/// `points` N×d; N clusters.
///
/// # Errors
/// [`MetricError::Option`] where an option admits no clustering, [`MetricError::Undefined`] where there are more clusters than rows,
/// [`MetricError::Values`] where a value is not finite, and [`MetricError::Cancelled`] where `watch` stopped the work.
pub fn kmeans(points: Rows<'_>, options: &KmeansOptions, watch: Watch<'_>) -> Result<Kmeans, MetricError> {
    options.check(points.len())?;
    check::finite("points", points)?;
    let points = Points::new(points);
    let mut best: Option<Lloyd<'_>> = None;
    for seeds in seeding::seeds(&points, options, watch)? {
        let mut run = Lloyd::new(&points, &seeds, options);
        run.run(watch)?;
        watch.progress.advance(1);
        if best.as_ref().is_none_or(|best| run.inertia < best.inertia) {
            best = Some(run);
        }
    }
    let Some(best) = best else {
        unreachable!("there is at least one restart");
    };
    best.finish()
}
