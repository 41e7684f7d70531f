//! Components and communities against `SciPy` and networkx; `fixtures/partitions.py` made the numbers.
#![expect(clippy::unwrap_used, reason = "a helper of tests fails by panicking, as the tests themselves do")]

use lookalike_base::Seed;
use lookalike_sampling::{ProximityGraph, communities, connected_components};
use proptest::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    components: Vec<Components>,
    communities: Vec<Tied>,
}

#[derive(Deserialize)]
struct Components {
    neighbors: Vec<Vec<u32>>,
    weak: Vec<u32>,
    mutual: Vec<u32>,
}

#[derive(Deserialize)]
struct Tied {
    neighbors: Vec<Vec<u32>>,
    communities: Vec<u32>,
    modularity: f64,
}

fn fixture() -> Fixture {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/partitions.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn graph(neighbors: &[Vec<u32>]) -> ProximityGraph {
    let degrees: Vec<u32> = neighbors.iter().map(|others| others.len() as u32).collect();
    let edges = neighbors.concat();
    let similarities = vec![0.5; edges.len()];
    ProximityGraph::from_edges(&degrees, edges, similarities).unwrap()
}

/// Groups numbered in the order in which they come.
fn in_order(groups: &[u32]) -> Vec<u32> {
    let mut seen: Vec<u32> = Vec::new();
    let number = |group: &u32| {
        let place = seen.iter().position(|other| other == group);
        place.unwrap_or_else(|| {
            seen.push(*group);
            seen.len() - 1
        }) as u32
    };
    groups.iter().map(number).collect()
}

/// Newman's modularity, pair by pair.
fn modularity(neighbors: &[Vec<u32>], groups: &[u32]) -> f64 {
    let is_tied = |a: usize, b: usize| {
        a != b && (neighbors[a].contains(&(b as u32)) || neighbors[b].contains(&(a as u32)))
    };
    let count = neighbors.len();
    let degree = |a: usize| (0..count).filter(|b| is_tied(a, *b)).count() as f64;
    let degrees: Vec<f64> = (0..count).map(degree).collect();
    let ends: f64 = degrees.iter().sum();
    let mut sum = 0.0;
    for a in 0..count {
        for b in (0..count).filter(|b| groups[a] == groups[*b]) {
            sum += f64::from(u8::from(is_tied(a, b))) - degrees[a] * degrees[b] / ends;
        }
    }
    sum / ends
}

#[test]
fn components_are_those_of_scipy_of_all_edges_and_of_those_both_ways() {
    for case in fixture().components {
        let graph = graph(&case.neighbors);
        assert_eq!(connected_components(&graph), in_order(&case.weak));
        assert_eq!(connected_components(&graph.mutual()), in_order(&case.mutual));
    }
}

#[test]
fn communities_have_the_modularity_of_networkx() {
    for case in fixture().communities {
        let theirs = modularity(&case.neighbors, &case.communities);
        assert!((theirs - case.modularity).abs() < 1e-12, "{theirs} is not {}", case.modularity);
        for seed in 0..5 {
            let found = communities(&graph(&case.neighbors), Seed(seed));
            assert_eq!(found, in_order(&found));
            let ours = modularity(&case.neighbors, &found);
            assert!(ours >= case.modularity - 0.02, "{ours} is below {}", case.modularity);
            assert_eq!(communities(&graph(&case.neighbors), Seed(seed)), found);
        }
    }
}

#[test]
fn cliques_in_a_ring_are_communities_whatever_the_seed() {
    // Ten cliques of six, each tied to the next by one edge.
    let neighbors: Vec<Vec<u32>> = (0..60_u32)
        .map(|own| {
            let clique = (own / 6 * 6..own / 6 * 6 + 6).filter(|other| *other > own);
            let next = (own % 6 == 0).then_some((own + 7) % 60);
            clique.chain(next).collect()
        })
        .collect();
    let expected: Vec<u32> = (0..60).map(|own| own / 6).collect();
    for seed in 0..20 {
        assert_eq!(communities(&graph(&neighbors), Seed(seed)), expected);
    }
    assert!(connected_components(&graph(&neighbors)).iter().all(|component| *component == 0));
}

#[test]
fn an_instance_without_an_edge_is_alone_and_an_empty_graph_has_no_parts() {
    let islands = ProximityGraph::empty(4);
    assert_eq!(connected_components(&islands), [0, 1, 2, 3]);
    assert_eq!(communities(&islands, Seed(0)), [0, 1, 2, 3]);
    let nothing = ProximityGraph::empty(0);
    assert!(connected_components(&nothing).is_empty() && communities(&nothing, Seed(0)).is_empty());
}

#[test]
fn nearest_neighbors_alone_join_who_follows_whom() {
    // The first neighbour of each: 0 ↔ 1, 2 → 0, and 3 ↔ 4.
    let graph = graph(&[vec![1, 3], vec![0, 4], vec![0, 3], vec![4, 0], vec![3, 1]]);
    assert_eq!(connected_components(&graph), [0; 5]);
    assert_eq!(connected_components(&graph.truncated(1)), [0, 0, 0, 1, 1]);
    assert_eq!(connected_components(&graph.truncated(1).mutual()), [0, 0, 1, 2, 2]);
}

proptest! {
    #[test]
    fn communities_never_reach_over_components(edges in prop::collection::vec((0_u32..30, 0_u32..30), 0..50)) {
        let mut neighbors = vec![Vec::new(); 30];
        for (own, other) in edges.into_iter().filter(|(own, other)| own != other) {
            neighbors[own as usize].push(other);
        }
        let graph = graph(&neighbors);
        let (components, found) = (connected_components(&graph), communities(&graph, Seed(1)));
        for a in 0..30 {
            for b in (0..30).filter(|b| found[*b] == found[a]) {
                prop_assert_eq!(components[a], components[b]);
            }
            for b in &neighbors[a] {
                prop_assert_eq!(components[a], components[*b as usize]);
            }
        }
    }
}
