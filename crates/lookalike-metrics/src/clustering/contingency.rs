//! The table of how many instances of each class are in each cluster, and the scores that are functions of it.

use super::assignment::assignment;
use crate::error::MetricError;
use crate::hardness::UNLABELLED;

/// Cells of a dense table, at most: 128 MiB.
const MOST_CELLS: usize = 1 << 24;

/// How many instances of a class are in a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// Place of the class in [`Contingency::classes`].
    pub class: usize,
    /// Place of the cluster in [`Contingency::clusters`].
    pub cluster: usize,
    /// Instances in both, at least 1.
    pub count: u64,
}

/// A group of instances: a class or a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Group {
    id: u32,
    count: u64,
}

/// How many instances of each class are in each cluster. Only cells that are not 0 are kept, at most one an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contingency {
    classes: Vec<u32>,
    class_sizes: Vec<u64>,
    clusters: Vec<u32>,
    cluster_sizes: Vec<u64>,
    cells: Vec<Cell>,
    instances: u64,
}

impl Contingency {
    /// Counts the instances of each class in each cluster. Ids may be any numbers; instances whose label is
    /// [`UNLABELLED`] are left out.
    ///
    /// # Shapes
    /// N labels and N clusters.
    ///
    /// # Errors
    /// [`MetricError::Length`] where there is not one cluster a label, [`MetricError::Undefined`] from 2³² instances on.
    pub fn new(labels: &[u32], clusters: &[u32]) -> Result<Self, MetricError> {
        if labels.len() != clusters.len() {
            let (found, expected) = (clusters.len(), labels.len());
            return Err(MetricError::Length { what: "clusters", found, expected, of: "labels" });
        }
        if u32::try_from(labels.len()).is_err() {
            let reason = format!("there are {} instances; at most {} can be counted", labels.len(), u32::MAX);
            return Err(MetricError::undefined("agreement of clusters and classes", reason));
        }
        let labelled = labels.iter().zip(clusters).filter(|(label, _)| **label != UNLABELLED);
        let mut pairs: Vec<(u32, u32)> = labelled.map(|(label, cluster)| (*label, *cluster)).collect();
        pairs.sort_unstable();
        let classes = groups(pairs.iter().map(|pair| pair.0).collect());
        let clusters = groups(pairs.iter().map(|pair| pair.1).collect());
        let cells = pairs.chunk_by(PartialEq::eq).map(|run| Cell {
            class: place(&classes, run[0].0),
            cluster: place(&clusters, run[0].1),
            count: run.len() as u64,
        });
        Ok(Self {
            cells: cells.collect(),
            classes: classes.iter().map(|group| group.id).collect(),
            class_sizes: classes.iter().map(|group| group.count).collect(),
            clusters: clusters.iter().map(|group| group.id).collect(),
            cluster_sizes: clusters.iter().map(|group| group.count).collect(),
            instances: pairs.len() as u64,
        })
    }

    /// The classes that occur, ascending.
    pub fn classes(&self) -> &[u32] {
        &self.classes
    }

    /// Instances of each class.
    pub fn class_sizes(&self) -> &[u64] {
        &self.class_sizes
    }

    /// The clusters that occur, ascending.
    pub fn clusters(&self) -> &[u32] {
        &self.clusters
    }

    /// Instances of each cluster.
    pub fn cluster_sizes(&self) -> &[u64] {
        &self.cluster_sizes
    }

    /// The cells that are not 0, class by class, in each cluster by cluster.
    pub fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// Instances with a label.
    pub fn instances(&self) -> u64 {
        self.instances
    }

    /// Mutual information of class and cluster, in nats.
    pub fn mutual_information(&self) -> f64 {
        let instances = self.instances as f64;
        let term = |cell: &Cell| {
            let (class, cluster) = (self.class_sizes[cell.class], self.cluster_sizes[cell.cluster]);
            // As many as chance would put there tell nothing, not even a rounding error.
            if u128::from(cell.count) * u128::from(self.instances) == u128::from(class) * u128::from(cluster)
            {
                return 0.0;
            }
            let (count, expected) = (cell.count as f64, class as f64 * cluster as f64);
            count / instances * ((count.ln() - instances.ln()) + (2.0 * instances.ln() - expected.ln()))
        };
        // What rounding leaves of information that is not there is none.
        let information = sum(self.cells.iter().map(term).collect());
        if information <= f64::EPSILON { 0.0 } else { information }
    }

    /// Mutual information divided by the arithmetic mean of the entropies: scikit-learn's `normalized_mutual_info_score`. 1 where there
    /// is one class and one cluster, 0 where class and cluster tell nothing about each other.
    pub fn nmi(&self) -> f64 {
        self.normalized(f64::midpoint)
    }

    /// Mutual information divided by the geometric mean of the entropies, as scikit-learn had it before 0.22.
    pub fn nmi_geometric(&self) -> f64 {
        self.normalized(|classes, clusters| (classes * clusters).sqrt())
    }

    fn normalized(&self, mean: impl Fn(f64, f64) -> f64) -> f64 {
        if self.classes.len() <= 1 && self.clusters.len() <= 1 {
            return 1.0;
        }
        let information = self.mutual_information();
        if information == 0.0 {
            return 0.0;
        }
        let [classes, clusters] =
            [&self.class_sizes, &self.cluster_sizes].map(|sizes| entropy(sizes, self.instances));
        // Rounding may leave a little more than there is.
        (information / mean(classes, clusters)).min(1.0)
    }

    /// The adjusted Rand index (Hubert and Arabie 1985). Pairs are counted in 128 bits: their products exceed 64 from some hundred
    /// thousand instances on.
    pub fn adjusted_rand_index(&self) -> f64 {
        let Pairs { both, class_only, cluster_only, neither } = self.pairs();
        if class_only == 0 && cluster_only == 0 {
            return 1.0;
        }
        let excess = 2 * (both * neither - class_only * cluster_only);
        let range =
            (both + class_only) * (class_only + neither) + (both + cluster_only) * (cluster_only + neither);
        excess as f64 / range as f64
    }

    /// The geometric mean of precision and recall over pairs of instances (Fowlkes and Mallows 1983); 0 where no pair shares both class
    /// and cluster.
    pub fn fowlkes_mallows(&self) -> f64 {
        let Pairs { both, class_only, cluster_only, .. } = self.pairs();
        if both == 0 {
            return 0.0;
        }
        let both = both as f64;
        (both / (both + class_only as f64)).sqrt() * (both / (both + cluster_only as f64)).sqrt()
    }

    fn pairs(&self) -> Pairs {
        let count = |sizes: &mut dyn Iterator<Item = u64>| -> i128 {
            sizes.map(i128::from).map(|size| size * (size - 1) / 2).sum()
        };
        let both = count(&mut self.cells.iter().map(|cell| cell.count));
        let class_only = count(&mut self.class_sizes.iter().copied()) - both;
        let cluster_only = count(&mut self.cluster_sizes.iter().copied()) - both;
        let neither = count(&mut std::iter::once(self.instances)) - both - class_only - cluster_only;
        Pairs { both, class_only, cluster_only, neither }
    }

    /// Share of instances whose cluster is mapped to their class, under the one-to-one map of clusters to classes that maximises it.
    ///
    /// # Errors
    /// [`MetricError::Undefined`] where no instance has a label, or there are more than 2²⁴ pairs of a class and a cluster.
    pub fn accuracy(&self) -> Result<f64, MetricError> {
        const SCORE: &str = "clustering accuracy";
        if self.instances == 0 {
            return Err(MetricError::undefined(SCORE, "no instance has a label"));
        }
        let (classes, clusters) = (self.classes.len(), self.clusters.len());
        if classes.checked_mul(clusters).is_none_or(|cells| cells > MOST_CELLS) {
            let reason = format!(
                "{classes} classes × {clusters} clusters are more pairs than can be assigned, {MOST_CELLS}"
            );
            return Err(MetricError::undefined(SCORE, reason));
        }
        let mut counts = vec![0; classes * clusters];
        for cell in &self.cells {
            counts[cell.class * clusters + cell.cluster] = cell.count as i64;
        }
        let chosen = assignment(&counts, clusters)?;
        let right: i64 = counts
            .chunks_exact(clusters)
            .zip(&chosen)
            .filter_map(|(counts, cluster)| cluster.map(|cluster| counts[cluster]))
            .sum();
        Ok(right as f64 / self.instances as f64)
    }
}

/// Unordered pairs of instances, by what the two share.
struct Pairs {
    both: i128,
    class_only: i128,
    cluster_only: i128,
    neither: i128,
}

/// The groups that occur, by ascending id.
fn groups(mut ids: Vec<u32>) -> Vec<Group> {
    ids.sort_unstable();
    ids.chunk_by(PartialEq::eq).map(|run| Group { id: run[0], count: run.len() as u64 }).collect()
}

fn place(groups: &[Group], id: u32) -> usize {
    groups.partition_point(|group| group.id < id)
}

/// The entropy of a partition, in nats.
fn entropy(sizes: &[u64], instances: u64) -> f64 {
    let instances = instances as f64;
    let term = |size: &u64| {
        let size = *size as f64;
        -(size / instances) * (size.ln() - instances.ln())
    };
    sum(sizes.iter().map(term).collect())
}

/// The sum of terms in an order of their own, so that it does not depend on how groups are numbered.
fn sum(mut terms: Vec<f64>) -> f64 {
    terms.sort_unstable_by(f64::total_cmp);
    terms.into_iter().sum()
}
