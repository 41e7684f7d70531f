//! A run that collapses says so while it runs.

use serde::{Deserialize, Serialize};

use super::diagnostics::{Scalar, Scalars};

/// Below this share of 1/√d the embeddings' deviation counts as complete collapse.
const DEVIATION: f64 = 0.1;
/// Below this share of the rank that there could be, the embeddings count as dimensionally collapsed.
const RANK: f64 = 0.1;
/// Below this share of the clusters that there could be, a cluster head counts as collapsed: 1 being the least.
const CLUSTERS: f64 = 0.25;
/// Share of the run that passes before anything is said: an untrained encoder's embeddings are close together too.
const SPARED: f64 = 0.05;

/// The same of a cluster head, which is long undecided.
const SPARED_CLUSTERS: f64 = 0.2;

/// Tells collapse once, when it is seen first; part of a checkpoint, so that a resumed run does not tell it again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollapseDetector {
    /// Whether complete collapse has been told.
    complete: bool,
    /// Whether dimensional collapse has been told.
    dimensional: bool,
    /// Whether the collapse of a cluster head has been told.
    #[serde(default)]
    clusters: bool,
}

impl CollapseDetector {
    /// Warnings that `scalars` of a `diagnostics` event give cause for, `share` of the run having been made.
    pub(super) fn look(&mut self, scalars: &Scalars, share: f64) -> Vec<String> {
        let figure = |name: &str| scalars.get(name).and_then(Scalar::value);
        let mut warnings = Vec::new();
        if share < SPARED {
            return warnings;
        }
        if let Some(deviation) = figure("deviation").filter(|deviation| *deviation < DEVIATION)
            && !std::mem::replace(&mut self.complete, true)
        {
            warnings.push(format!(
                "the embeddings collapse to one point: their deviation a dimension is {deviation:.3} of 1/√d, which is what \
                 vectors all over the sphere have"
            ));
        }
        if let (Some(rank), Some(rows), Some(dimension)) =
            (figure("effective_rank"), figure("rows"), figure("dimension"))
            && rank < RANK * dimension.min(rows - 1.0)
            && !std::mem::replace(&mut self.dimensional, true)
        {
            warnings.push(format!(
                "the embeddings collapse to few dimensions: their effective rank is {rank:.1} of {dimension:.0}"
            ));
        }
        if let (Some(used), Some(clusters)) = (figure("clusters_in_use"), figure("clusters"))
            && share >= SPARED_CLUSTERS
            && used < 1.0 + CLUSTERS * (clusters - 1.0)
            && !std::mem::replace(&mut self.clusters, true)
        {
            warnings.push(format!(
                "the cluster head collapses: what it assigns is as little spread as {used:.1} of {clusters:.0} clusters of one size"
            ));
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scalars(deviation: f64, rank: f64) -> Scalars {
        Scalars::from([
            ("deviation", Scalar::Number(deviation)),
            ("effective_rank", Scalar::Number(rank)),
            ("rows", Scalar::Count(64)),
            ("dimension", Scalar::Count(32)),
        ])
    }

    #[test]
    fn collapse_is_told_once_with_the_figure_and_not_at_the_start() {
        let mut watch = CollapseDetector::default();
        assert!(watch.look(&scalars(0.01, 1.0), 0.01).is_empty());
        assert!(watch.look(&scalars(0.9, 20.0), 0.5).is_empty());
        let told = watch.look(&scalars(0.01, 20.0), 0.5);
        assert!(told.len() == 1 && told[0].contains("0.010"), "{told:?}");
        let told = watch.look(&scalars(0.01, 1.5), 0.6);
        assert!(told.len() == 1 && told[0].contains("1.5 of 32"), "{told:?}");
        assert!(watch.look(&scalars(0.01, 1.5), 0.7).is_empty());
    }

    #[test]
    fn a_cluster_head_that_uses_few_of_its_clusters_is_told_once() {
        let used = |used, clusters| {
            let numbers = [("clusters_in_use", used), ("clusters", clusters)];
            Scalars::from(numbers.map(|(name, number)| (name, Scalar::Number(number))))
        };
        let mut watch = CollapseDetector::default();
        // Two clusters of unlike size, and ten of which some are small, are as they should be.
        assert!(watch.look(&used(1.6, 2.0), 0.5).is_empty());
        assert!(watch.look(&used(5.0, 10.0), 0.5).is_empty());
        assert!(watch.look(&used(1.1, 10.0), 0.1).is_empty());
        let told = watch.look(&used(1.1, 10.0), 0.5);
        assert!(told.len() == 1 && told[0].contains("1.1 of 10 clusters"), "{told:?}");
        assert!(watch.look(&used(1.0, 10.0), 0.6).is_empty());
    }
}
