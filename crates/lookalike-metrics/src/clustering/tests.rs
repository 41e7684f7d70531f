use proptest::prelude::*;

use super::*;
use crate::UNLABELLED;

#[test]
fn everything_in_one_cluster_scores_nothing_but_the_largest_class() {
    let labels = [4, 4, 4, 4, 1, 1, 9, 9, 9, 0];
    let found = clustering_scores(&labels, &[3; 10]).unwrap();
    assert_eq!((found.nmi, found.nmi_geometric, found.ari, found.accuracy), (0.0, 0.0, 0.0, 0.4));
    assert_eq!((found.classes, found.clusters, found.instances), (4, 1, 10));
}

#[test]
fn the_same_partition_under_other_names_scores_one() {
    let found = clustering_scores(&[0, 0, 1, 2, 2, 2], &[9, 9, u32::MAX, 4, 4, 4]).unwrap();
    assert_eq!((found.nmi, found.nmi_geometric), (1.0, 1.0));
    assert_eq!((found.ari, found.accuracy, found.fowlkes_mallows), (1.0, 1.0, 1.0));
    let one_group = clustering_scores(&[5; 4], &[8; 4]).unwrap();
    assert_eq!((one_group.nmi, one_group.ari, one_group.accuracy), (1.0, 1.0, 1.0));
}

#[test]
fn the_arithmetic_and_the_geometric_mean_differ() {
    // Information ln 2 · 2/3 …, by hand: classes of 2 and 2, clusters of 2, 1 and 1.
    let found = clustering_scores(&[0, 0, 1, 1], &[0, 0, 1, 2]).unwrap();
    let (classes, clusters) = (2_f64.ln(), 1.5 * 2_f64.ln());
    assert!((found.nmi - classes / f64::midpoint(classes, clusters)).abs() < 1e-15);
    assert!((found.nmi_geometric - classes / (classes * clusters).sqrt()).abs() < 1e-15);
}

#[test]
fn clusters_beyond_the_classes_are_wrong_and_no_cluster_serves_two_classes() {
    // By majority every instance would be right.
    assert_eq!(clustering_scores(&[0, 0, 1, 1], &[0, 1, 2, 3]).unwrap().accuracy, 0.5);
    assert_eq!(clustering_scores(&[0, 0, 0, 1, 1], &[0, 0, 0, 0, 0]).unwrap().accuracy, 0.6);
    // Greedily, cluster 0 would go to class 0, and 5 instances be right.
    let labels = [[0; 9].as_slice(), &[1; 4]].concat();
    let clusters = [[0; 5].as_slice(), &[1; 4], &[0; 4]].concat();
    assert_eq!(clustering_scores(&labels, &clusters).unwrap().accuracy, 8.0 / 13.0);
}

#[test]
fn instances_without_a_label_are_left_out() {
    let labelled = clustering_scores(&[0, 1, 1, 2], &[0, 1, 0, 2]).unwrap();
    let labels = [0, UNLABELLED, 1, 1, 2, UNLABELLED];
    assert_eq!(clustering_scores(&labels, &[0, 77, 1, 0, 2, 1]).unwrap(), labelled);
}

#[test]
fn the_rand_index_of_many_instances_does_not_overflow() {
    // Products of pairs exceed 64 bits. Independent groups: what remains of the index is −1 / (pairs), about.
    let count = 1 << 19;
    let labels: Vec<u32> = (0..count).map(|at| at % 2).collect();
    let clusters: Vec<u32> = (0..count).map(|at| at / 2 % 2).collect();
    let found = clustering_scores(&labels, &clusters).unwrap();
    assert!(found.ari.abs() < 1e-5 && found.ari != 0.0, "{}", found.ari);
    assert_eq!((found.nmi, found.accuracy), (0.0, 0.5));
}

#[test]
fn what_cannot_be_scored_is_named() {
    let error =
        |labels: &[u32], clusters: &[u32]| clustering_scores(labels, clusters).unwrap_err().to_string();
    assert!(
        error(&[0, 1], &[0]).contains("there are 1 clusters, but 2 are needed, one for each of the labels")
    );
    assert!(error(&[], &[]).contains("no instance has a label"));
    assert!(error(&[UNLABELLED], &[0]).contains("no instance has a label"));
    let own: Vec<u32> = (0..5000).collect();
    assert!(error(&own, &own).contains("5000 classes × 5000 clusters are more pairs than can be assigned"));
    assert!(assignment(&[1, 2, 3], 2).unwrap_err().to_string().contains("3 gains do not form rows of 2"));
    assert!(assignment(&[], 0).is_err());
    assert!(assignment(&[i64::MIN, 0], 2).unwrap_err().to_string().contains("the greatest gain"));
    assert_eq!(assignment(&[], 3), Ok(vec![]));
}

/// The greatest sum by trying every choice.
fn tried(gains: &[i64], columns: usize, used: u32) -> i64 {
    let Some((row, rest)) = gains.split_at_checked(columns) else { return 0 };
    let own = (0..columns)
        .filter(|column| used >> column & 1 == 0)
        .map(|column| row[column] + tried(rest, columns, used | 1 << column));
    // A row may go without only where columns are short.
    let short = gains.len() / columns > columns - used.count_ones() as usize;
    let without = short.then(|| tried(rest, columns, used));
    own.chain(without).max().unwrap_or(0)
}

proptest! {
    #[test]
    fn the_assignment_is_the_best_of_all(
        gains in prop::collection::vec(-9_i64..10, 1..30), columns in 1_usize..6,
    ) {
        let rows = (gains.len() / columns).min(6);
        let gains = &gains[..rows * columns];
        let chosen = assignment(gains, columns).unwrap();
        let sum: i64 = gains
            .chunks_exact(columns)
            .zip(chosen)
            .filter_map(|(gains, column)| column.map(|column| gains[column]))
            .sum();
        prop_assert_eq!(sum, tried(gains, columns, 0));
    }

    #[test]
    fn classes_and_clusters_may_change_sides_and_names(
        pairs in prop::collection::vec((0_u32..6, 0_u32..6), 1..80), factor in 1_u32..1000,
    ) {
        let (labels, clusters): (Vec<u32>, Vec<u32>) = pairs.into_iter().unzip();
        let found = clustering_scores(&labels, &clusters).unwrap();
        let swapped = clustering_scores(&clusters, &labels).unwrap();
        let renamed: Vec<u32> = labels.iter().map(|label| (5 - label) * factor).collect();
        let scores = |found: ClusteringScores| {
            [found.nmi, found.nmi_geometric, found.ari, found.fowlkes_mallows, found.accuracy]
        };
        prop_assert_eq!(scores(swapped), scores(found));
        prop_assert_eq!(clustering_scores(&renamed, &clusters).unwrap(), found);
        prop_assert!(scores(found).iter().all(|score| (-1.0..=1.0).contains(score)));
    }
}
