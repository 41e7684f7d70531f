//! Suspected label errors: confident learning (Northcutt, Jiang and Chuang 2021, <https://arxiv.org/abs/1911.00068>, section 3.1) on
//! leave-one-out probabilities of neighbours.

use std::collections::BTreeMap;

use lookalike_sampling::{ProximityGraph, UNLABELLED};

use super::findings::{Finding, Issue};
use crate::near::{likeliest, votes};

/// Share of the votes that another class must have: else the nearest do not agree on any.
const AGREED: f64 = 0.5;

/// What the nearest say of the labels.
pub(super) struct Labelled {
    /// Instances whose likeliest class, among those that are as likely here as they are on average where they are given, is not the given
    /// one, and on which most of the votes agree.
    pub(super) suspected: Vec<Finding>,
    /// Share of the instances with a label for which the likeliest class is the given one; nothing without labels.
    pub(super) accuracy: Option<f64>,
}

/// Asks the nearest of each instance.
pub(super) fn asked(graph: &ProximityGraph, labels: &[u32]) -> Labelled {
    let instances = if labels.is_empty() { 0 } else { graph.instances() as u32 };
    let known: Vec<u32> = (0..instances).filter(|own| labels[*own as usize] != UNLABELLED).collect();
    let votes: Vec<BTreeMap<u32, f64>> = known.iter().map(|own| vote(graph, labels, *own)).collect();
    // How likely a class is, on average, for those that are given it.
    let mut sums: BTreeMap<u32, (f64, usize)> = BTreeMap::new();
    for (own, votes) in known.iter().zip(&votes) {
        let given = labels[*own as usize];
        let (sum, count) = sums.entry(given).or_default();
        *sum += votes.get(&given).copied().unwrap_or(0.0);
        *count += 1;
    }
    let usual = |class: u32| sums.get(&class).map_or(f64::INFINITY, |(sum, count)| sum / *count as f64);
    let (mut found, mut right) = (Vec::new(), 0);
    for (own, votes) in known.iter().zip(&votes) {
        let given = labels[*own as usize];
        right += usize::from(likeliest(votes, |_| 0.0).is_some_and(|(class, _)| class == given));
        let another = likeliest(votes, |class| usual(class).max(AGREED)).filter(|(class, _)| *class != given);
        if let Some((class, _)) = another {
            found.push(Finding {
                instance: *own,
                issue: Issue::LabelError,
                score: votes.get(&given).copied().unwrap_or(0.0),
                other: graph.neighbors(*own).iter().copied().find(|other| labels[*other as usize] == class),
                suggested: Some(class),
            });
        }
    }
    let accuracy = (!known.is_empty()).then(|| right as f64 / known.len() as f64);
    Labelled { suspected: found, accuracy }
}

/// How likely each class is by the neighbours that have one.
fn vote(graph: &ProximityGraph, labels: &[u32], own: u32) -> BTreeMap<u32, f64> {
    let classes = graph.neighbors(own).iter().map(|other| labels[*other as usize]);
    let neighbors = classes.zip(graph.similarities(own).iter().copied());
    votes(neighbors.filter(|(class, _)| *class != UNLABELLED))
}
