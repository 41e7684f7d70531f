//! How well clusters fit classes, and k-means to make clusters of embeddings.
//!
//! The scores are those that Contrastive Clustering and its successors report (Li et al. 2021, section 4.2): normalised mutual
//! information, the adjusted Rand index, and accuracy under the best one-to-one map of clusters to classes. All of them come from the
//! contingency table, and none depends on how classes and clusters are numbered.

mod assignment;
mod contingency;
mod kmeans;
#[cfg(test)]
mod tests;

use serde::Serialize;

use crate::error::MetricError;
pub use assignment::assignment;
pub use contingency::{Cell, Contingency};
pub use kmeans::{Kmeans, KmeansOptions, kmeans};

/// How well clusters fit classes; every score is 1 where they are the same partition.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ClusteringScores {
    /// Mutual information divided by the arithmetic mean of the two entropies, from 0 to 1: what is meant by NMI today.
    pub nmi: f64,
    /// Mutual information divided by the geometric mean, which older papers report.
    pub nmi_geometric: f64,
    /// Adjusted Rand index (Hubert and Arabie 1985): 0 is expected by chance, 1 is the same partition; it may be negative.
    pub ari: f64,
    /// Fowlkes–Mallows index: the geometric mean of precision and recall over pairs, from 0 to 1.
    pub fowlkes_mallows: f64,
    /// Share of instances whose cluster is mapped to their class, under the one-to-one map that maximises it. With more clusters than
    /// classes the instances of clusters without a class are wrong.
    pub accuracy: f64,
    /// Classes that occur.
    pub classes: usize,
    /// Clusters that occur.
    pub clusters: usize,
    /// Instances with a label: those that are scored.
    pub instances: usize,
}

/// Scores `clusters` against `labels`. Ids may be any numbers; instances whose label is [`UNLABELLED`](crate::UNLABELLED) are left out.
///
/// # Shapes
/// N labels and N clusters.
///
/// # Errors
/// As [`Contingency::new`]; [`MetricError::Undefined`] where no instance has a label, or the table of classes × clusters is too large
/// for an assignment.
///
/// ```
/// use lookalike_metrics::clustering_scores;
///
/// let scores = clustering_scores(&[0, 0, 1, 1], &[7, 7, 3, 7])?;
/// assert_eq!((scores.accuracy, scores.clusters), (0.75, 2));
/// # Ok::<(), lookalike_metrics::MetricError>(())
/// ```
pub fn clustering_scores(labels: &[u32], clusters: &[u32]) -> Result<ClusteringScores, MetricError> {
    let table = Contingency::new(labels, clusters)?;
    if table.instances() == 0 {
        return Err(MetricError::undefined("agreement of clusters and classes", "no instance has a label"));
    }
    Ok(ClusteringScores {
        nmi: table.nmi(),
        nmi_geometric: table.nmi_geometric(),
        ari: table.adjusted_rand_index(),
        fowlkes_mallows: table.fowlkes_mallows(),
        accuracy: table.accuracy()?,
        classes: table.classes().len(),
        clusters: table.clusters().len(),
        instances: table.instances() as usize,
    })
}
