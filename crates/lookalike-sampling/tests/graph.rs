//! The graphs beside obvious ones, and what they refuse.

mod common;

use common::{clustered, sorted, with_threads};
use lookalike_base::{MappedRows, Matrix, Seed, Watch, npy};
use lookalike_sampling::{
    CandidateDraw, GraphOptions, InstanceSet, ProximityGraph, SamplingError, Scoring, Warning, knn_graph,
    proximity_graph,
};

fn options(candidates: usize, neighbors: usize) -> GraphOptions {
    GraphOptions { candidates, neighbors, ..GraphOptions::default() }
}

/// All pairs, sorted.
fn obvious_knn(embeddings: &Matrix, members: &[u32], neighbors: usize) -> Vec<Vec<u32>> {
    let mut unit = embeddings.clone();
    unit.normalize_rows();
    let similarity = |a: u32, b: u32| -> f64 {
        let (a, b) = (unit.row(a as usize), unit.row(b as usize));
        a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    let nearest = |own: u32| {
        let mut others: Vec<u32> = members.iter().copied().filter(|other| *other != own).collect();
        others.sort_by(|a, b| similarity(own, *b).total_cmp(&similarity(own, *a)));
        others.truncate(neighbors);
        others
    };
    members.iter().map(|own| nearest(*own)).collect()
}

#[test]
fn the_knn_graph_holds_the_nearest_of_all() {
    let embeddings = clustered(150, 7, 5, 1);
    let everybody: Vec<u32> = (0..150).collect();
    let graph = knn_graph(embeddings.rows(), None, 12, None, Scoring::F32, Watch::default()).unwrap();
    for (own, expected) in obvious_knn(&embeddings, &everybody, 12).iter().enumerate() {
        assert_eq!(graph.neighbors(own as u32), expected);
        assert!(graph.similarities(own as u32).is_sorted_by(|a, b| a >= b));
    }
}

#[test]
fn with_all_others_as_candidates_the_proximity_graph_is_the_knn_graph() {
    let embeddings = clustered(120, 5, 6, 2);
    let (graph, warnings) =
        proximity_graph(embeddings.rows(), None, &options(119, 9), Seed(3), 0, Watch::default()).unwrap();
    let exact = knn_graph(embeddings.rows(), None, 9, None, Scoring::F32, Watch::default()).unwrap();
    assert!(warnings.is_empty());
    for own in 0..120 {
        assert_eq!(graph.neighbors(own), exact.neighbors(own));
    }
}

#[test]
fn fewer_candidates_give_less_similar_neighbors() {
    let embeddings = clustered(600, 20, 16, 3);
    let mean = |candidates| {
        let graph =
            proximity_graph(embeddings.rows(), None, &options(candidates, 20), Seed(3), 0, Watch::default())
                .unwrap()
                .0;
        graph.statistics().mean_similarity.unwrap()
    };
    let (few, some, all) = (mean(20), mean(100), mean(599));
    assert!(few + 0.1 < some && some + 0.1 < all, "{few} {some} {all}");
}

#[test]
fn each_other_instance_is_kept_equally_often_where_all_are_alike() {
    // Keeping all candidates of every build shows who was drawn.
    let (count, draws, builds) = (9_u32, 3, 4000);
    let embeddings = clustered(count as usize, 2, 3, 4);
    let mut counts = vec![[0_i32; 9]; 9];
    for build in 0..builds {
        let built = proximity_graph(
            embeddings.rows(),
            None,
            &options(draws, draws),
            Seed(5),
            build,
            Watch::default(),
        )
        .unwrap();
        for own in 0..count {
            for other in built.0.neighbors(own) {
                counts[own as usize][*other as usize] += 1;
            }
        }
    }
    // 4000 × 3/8 expected, standard deviation 31.
    for (own, counts) in counts.iter().enumerate() {
        for (other, count) in counts.iter().enumerate() {
            assert!(
                if own == other { *count == 0 } else { (count - 1500).abs() < 160 },
                "{own} {other} {count}"
            );
        }
    }
}

#[test]
fn independent_draws_keep_the_most_similar_of_distinct_others() {
    let embeddings = clustered(150, 8, 6, 2);
    let mut present = InstanceSet::new(150);
    present.extend((0..150).filter(|instance| instance % 4 != 1));
    let build = |candidates, build| {
        let options = GraphOptions { draw: CandidateDraw::Independent, ..options(candidates, 12) };
        proximity_graph(embeddings.rows(), Some(&present), &options, Seed(3), build, Watch::default())
            .unwrap()
            .0
    };
    let all = build(present.count() - 1, 0);
    let members: Vec<u32> = (0..150).filter(|instance| present.contains(*instance)).collect();
    for (own, expected) in members.iter().zip(obvious_knn(&embeddings, &members, 12)) {
        assert_eq!(all.neighbors(*own), expected);
    }
    let few = build(12, 1);
    assert!(members.iter().all(|own| {
        let mut others = sorted(few.neighbors(*own).iter().copied());
        others.dedup();
        others.len() == 12 && others.iter().all(|other| other != own && present.contains(*other))
    }));
    assert_ne!(build(12, 2), few);
}

#[test]
fn rounded_scoring_finds_nearly_all_neighbors_and_their_exact_similarities() {
    let embeddings = clustered(2000, 20, 48, 9);
    for candidates in [400, 1999] {
        let build = |scoring| {
            let options = GraphOptions { scoring, ..options(candidates, 25) };
            proximity_graph(embeddings.rows(), None, &options, Seed(1), 0, Watch::default()).unwrap().0
        };
        let (exact, rounded) = (build(Scoring::F32), build(Scoring::Bf16));
        let mut found = 0;
        for own in 0..2000 {
            for (other, similarity) in rounded.neighbors(own).iter().zip(rounded.similarities(own)) {
                if let Some(place) = exact.neighbors(own).iter().position(|neighbor| neighbor == other) {
                    found += 1;
                    assert!((exact.similarities(own)[place] - similarity).abs() < 1e-6);
                }
            }
        }
        assert!(found >= 2000 * 25 - 5, "{found}");
        if candidates == 1999 {
            assert_eq!(
                knn_graph(embeddings.rows(), None, 25, None, Scoring::Bf16, Watch::default())
                    .unwrap()
                    .edges(),
                exact.edges()
            );
        }
    }
}

#[test]
fn similarities_and_in_degrees_are_distributed_as_with_independent_draws() {
    let quantiles = |mut values: Vec<f32>| {
        values.sort_unstable_by(f32::total_cmp);
        [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99]
            .map(|share| values[((values.len() - 1) as f64 * share) as usize])
    };
    let (instances, neighbors) = (4000, 30);
    let similarities = |graph: &ProximityGraph| quantiles(graph.parts().2.to_vec());
    let in_degrees = |graph: &ProximityGraph| {
        let mut counts = vec![0.0_f32; instances];
        graph.parts().1.iter().for_each(|other| counts[*other as usize] += 1.0);
        quantiles(counts)
    };
    // Points in few clusters, and points all over the sphere.
    for (clusters, columns) in [(10, 16), (4000, 24)] {
        let embeddings = clustered(instances, clusters, columns, 7);
        let tiles =
            proximity_graph(embeddings.rows(), None, &options(300, neighbors), Seed(1), 0, Watch::default())
                .unwrap()
                .0;
        let drawn = proximity_graph(
            embeddings.rows(),
            None,
            &GraphOptions { draw: CandidateDraw::Independent, ..options(300, neighbors) },
            Seed(2),
            0,
            Watch::default(),
        )
        .unwrap()
        .0;
        for (found, expected) in similarities(&tiles).into_iter().zip(similarities(&drawn)) {
            assert!((found - expected).abs() < 0.01, "similarity {found}, {expected} with independent draws");
        }
        for (found, expected) in in_degrees(&tiles).into_iter().zip(in_degrees(&drawn)) {
            let bound = 2.0 + 0.1 * expected;
            assert!(
                (found - expected).abs() <= bound,
                "in-degree {found}, {expected} with independent draws"
            );
        }
    }
}

#[test]
fn a_mapped_file_has_the_graph_of_its_rows() {
    let (folder, embeddings) = (tempfile::tempdir().unwrap(), clustered(500, 10, 12, 3));
    let path = folder.path().join("embeddings.npy");
    npy::write_rows(&path, embeddings.rows()).unwrap();
    let mapped = MappedRows::open(&path).unwrap();
    let mut present = InstanceSet::new(500);
    present.extend((0..500).filter(|instance| instance % 7 != 0));
    for present in [None, Some(&present)] {
        let read =
            proximity_graph(embeddings.rows(), present, &options(100, 10), Seed(1), 4, Watch::default())
                .unwrap();
        assert_eq!(
            proximity_graph(&mapped, present, &options(100, 10), Seed(1), 4, Watch::default()).unwrap(),
            read
        );
        let exact = knn_graph(embeddings.rows(), present, 10, None, Scoring::F32, Watch::default()).unwrap();
        assert_eq!(knn_graph(&mapped, present, 10, None, Scoring::F32, Watch::default()).unwrap(), exact);
    }
}

#[test]
fn only_those_with_an_embedding_are_in_the_graph() {
    let mut embeddings = clustered(80, 4, 5, 6);
    let members: Vec<u32> = (0..80).filter(|instance| instance % 3 != 1).collect();
    // The other rows are not even read.
    (0..80).filter(|at| at % 3 == 1).for_each(|at| embeddings.row_mut(at).fill(f32::NAN));
    let mut present = InstanceSet::new(80);
    present.extend(members.iter().copied());
    let exact =
        knn_graph(embeddings.rows(), Some(&present), 6, None, Scoring::F32, Watch::default()).unwrap();
    let (drawn, _) =
        proximity_graph(embeddings.rows(), Some(&present), &options(20, 6), Seed(1), 0, Watch::default())
            .unwrap();
    for (own, expected) in members.iter().zip(obvious_knn(&embeddings, &members, 6)) {
        assert_eq!(exact.neighbors(*own), expected);
        assert!(drawn.neighbors(*own).iter().all(|other| present.contains(*other) && other != own));
    }
    for graph in [exact, drawn] {
        assert!((0..80).filter(|at| at % 3 == 1).all(|at| !graph.contains(at)));
        assert_eq!(graph.statistics().members, members.len());
    }
}

#[test]
fn candidates_are_lowered_to_n_minus_1_with_a_warning() {
    let embeddings = clustered(50, 4, 4, 1);
    let (graph, warnings) =
        proximity_graph(embeddings.rows(), None, &options(50, 10), Seed(0), 0, Watch::default()).unwrap();
    assert_eq!(warnings, [Warning::CandidatesLowered { asked: 50, instances: 50, used: 49 }]);
    assert_eq!(graph.edges(), 500);
    assert_eq!(
        warnings[0].to_string(),
        "candidates lowered from 50 to 49: each of 50 instances has only 49 others"
    );
}

#[test]
fn k_above_m_is_refused() {
    let embeddings = clustered(50, 4, 4, 1);
    let refused = |candidates, neighbors| {
        proximity_graph(
            embeddings.rows(),
            None,
            &options(candidates, neighbors),
            Seed(0),
            0,
            Watch::default(),
        )
        .unwrap_err()
    };
    assert_eq!(refused(10, 11), SamplingError::Neighbors { neighbors: 11, candidates: 10 });
    // Checked after M was lowered.
    assert_eq!(refused(1000, 50), SamplingError::Neighbors { neighbors: 50, candidates: 49 });
    assert_eq!(refused(10, 0), SamplingError::Zero { option: "neighbors" });
    assert_eq!(
        knn_graph(embeddings.rows(), None, 50, None, Scoring::F32, Watch::default()).unwrap_err(),
        SamplingError::Neighbors { neighbors: 50, candidates: 49 }
    );
}

#[test]
fn a_row_that_is_not_finite_is_named() {
    let mut embeddings = clustered(20, 2, 4, 1);
    embeddings.row_mut(13)[2] = f32::INFINITY;
    embeddings.row_mut(17)[0] = f32::NAN;
    let expected = SamplingError::NotFinite { instance: 13, column: 2 };
    assert_eq!(
        proximity_graph(embeddings.rows(), None, &options(5, 2), Seed(0), 0, Watch::default()).unwrap_err(),
        expected
    );
    assert_eq!(
        knn_graph(embeddings.rows(), None, 2, None, Scoring::F32, Watch::default()).unwrap_err(),
        expected
    );
}

#[test]
fn a_row_of_zeros_is_similar_to_nobody() {
    let mut embeddings = clustered(20, 1, 4, 1);
    embeddings.row_mut(7).fill(0.0);
    let graph = knn_graph(embeddings.rows(), None, 19, None, Scoring::F32, Watch::default()).unwrap();
    assert_eq!(graph.similarities(7), [0.0; 19]);
    assert_eq!(sorted(graph.neighbors(7).iter().copied()).len(), 19);
}

#[test]
fn fewer_than_two_instances_make_no_graph() {
    let one = Matrix::new(vec![1.0, 2.0], 2).unwrap();
    assert_eq!(
        knn_graph(one.rows(), None, 1, None, Scoring::F32, Watch::default()).unwrap_err(),
        SamplingError::Instances { instances: 1 }
    );
    let embeddings = clustered(20, 2, 4, 1);
    let nobody = InstanceSet::new(20);
    assert_eq!(
        knn_graph(embeddings.rows(), Some(&nobody), 1, None, Scoring::F32, Watch::default()).unwrap_err(),
        SamplingError::Instances { instances: 0 }
    );
    let others = InstanceSet::new(21);
    assert_eq!(
        knn_graph(embeddings.rows(), Some(&others), 1, None, Scoring::F32, Watch::default()).unwrap_err(),
        SamplingError::Rows { rows: 20, instances: 21 }
    );
}

#[test]
fn a_graph_is_the_same_for_any_number_of_threads_and_another_for_another_build_or_seed() {
    let embeddings = clustered(700, 10, 24, 8);
    let build = |seed, build| {
        proximity_graph(embeddings.rows(), None, &options(100, 15), Seed(seed), build, Watch::default())
            .unwrap()
            .0
    };
    let alone = with_threads(1, || build(1, 0));
    for threads in [2, 5] {
        let graph = with_threads(threads, || build(1, 0));
        assert_eq!(graph.fingerprint(), alone.fingerprint());
        assert_eq!(graph, alone);
    }
    let others = [build(1, 1).fingerprint(), build(2, 0).fingerprint()];
    assert!(others[0] != alone.fingerprint() && others[1] != alone.fingerprint() && others[0] != others[1]);
}

#[test]
fn the_fingerprint_changes_with_every_part_of_the_graph() {
    let graph = |degrees: &[u32], neighbors: &[u32], similarities: &[f32]| {
        ProximityGraph::from_edges(degrees, neighbors.to_vec(), similarities.to_vec()).unwrap().fingerprint()
    };
    let all = [
        graph(&[2, 1, 0], &[1, 2, 0], &[0.5, 0.25, 0.5]),
        graph(&[2, 0, 1], &[1, 2, 0], &[0.5, 0.25, 0.5]),
        graph(&[2, 1, 0], &[2, 1, 0], &[0.5, 0.25, 0.5]),
        graph(&[2, 1, 0], &[1, 2, 0], &[0.5, 0.5, 0.5]),
        graph(&[2, 1, 0, 0], &[1, 2, 0], &[0.5, 0.25, 0.5]),
    ];
    assert_eq!(std::collections::HashSet::from(all).len(), all.len());
}

#[test]
fn edges_that_make_no_graph_are_refused() {
    let refused = |degrees: &[u32], neighbors: &[u32], similarities: &[f32]| {
        let graph = ProximityGraph::from_edges(degrees, neighbors.to_vec(), similarities.to_vec());
        matches!(graph, Err(SamplingError::Graph { .. }))
    };
    assert!(refused(&[1, 1], &[1], &[0.5]), "an edge is missing");
    assert!(refused(&[1, 0], &[1], &[]), "a similarity is missing");
    assert!(refused(&[1, 0], &[2], &[0.5]), "a neighbor out of range");
    assert!(refused(&[1, 0], &[0], &[0.5]), "its own neighbor");
    assert!(refused(&[u32::MAX; 3], &[1], &[0.5]), "degrees that lie");
}

#[test]
fn statistics_count_who_is_whose_neighbor() {
    let graph = common::graph_of(&[vec![1, 2], vec![2], vec![1], vec![2]]);
    let statistics = graph.statistics();
    assert_eq!((statistics.members, statistics.edges), (4, 5));
    // In-degrees 0, 2, 3, 0.
    assert_eq!(statistics.in_degree, [0, 0, 2, 2, 3, 3]);
    assert_eq!(statistics.mean_similarity, Some(0.5));
    assert_eq!(ProximityGraph::empty(4).statistics().mean_similarity, None);
}
