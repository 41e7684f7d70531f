//! The readers on the published sets of graphs, in the folder that `LOOKALIKE_DATA` names.

#![expect(clippy::unwrap_used, reason = "a test may stop where a promise is broken")]

use lookalike_base::Watch;
use lookalike_data::graph::{
    self, Diffusion, DiffusionOptions, Diffusions, FeatureRule, Features, GraphSet, Variant,
};

#[path = "common/real_data.rs"]
mod real_data;

fn open(name: &str) -> Option<(GraphSet, Vec<String>)> {
    let root = real_data::folder(&format!("tu/{name}"))?;
    Some(graph::open(name, &root).unwrap())
}

fn counts(set: &GraphSet) -> Vec<usize> {
    let mut counts = vec![0; set.classes().len()];
    for label in set.labels().unwrap() {
        counts[*label as usize] += 1;
    }
    counts
}

/// Graphs, nodes, edges in both directions.
fn sizes(set: &GraphSet) -> [usize; 3] {
    [set.len(), set.nodes(), set.edges()]
}

#[test]
fn mutag_has_the_published_numbers() {
    let Some((set, warnings)) = open("MUTAG") else { return };
    assert_eq!((sizes(&set), counts(&set), warnings.len()), ([188, 3371, 7442], vec![63, 125], 0));
    assert_eq!(set.node_labels().unwrap().names.len(), 7);
    assert_eq!(Features::new(&FeatureRule::graphcl(&set), &set).unwrap().columns(), 7);
}

#[test]
fn proteins_has_the_published_numbers() {
    let Some((set, _)) = open("PROTEINS") else { return };
    assert_eq!((sizes(&set), counts(&set)), ([1113, 43_471, 162_088], vec![663, 450]));
    assert_eq!((set.node_labels().unwrap().names.len(), set.attributes().unwrap().columns()), (3, 1));
}

#[test]
fn nci1_has_the_published_numbers() {
    let Some((set, _)) = open("NCI1") else { return };
    assert_eq!((set.len(), set.nodes(), counts(&set)), (4110, 122_747, vec![2053, 2057]));
    assert_eq!(set.node_labels().unwrap().names.len(), 37);
}

#[test]
fn imdb_binary_lists_every_edge_twice() {
    let Some((set, warnings)) = open("IMDB-BINARY") else { return };
    assert_eq!((sizes(&set), counts(&set)), ([1000, 19_773, 193_062], vec![500, 500]));
    let said = "IMDB-BINARY lists 386124 edges, 193062 of them more than once; each counts once";
    assert_eq!(warnings, [said]);
    assert!(set.node_labels().is_none() && set.attributes().is_none());
    assert_eq!(FeatureRule::graphcl(&set).parts, [graph::Feature::Constant]);
}

#[test]
fn collab_in_gin_s_format_has_the_published_numbers() {
    let Some((set, warnings)) = open("COLLAB") else { return };
    assert_eq!((set.len(), set.nodes(), counts(&set)), (5000, 372_474, vec![2600, 775, 1625]));
    assert_eq!(set.edges(), 24_574_995 - 2837);
    assert!(
        warnings.iter().any(|warning| warning.contains("2837 edges from a node to itself")),
        "{warnings:?}"
    );
}

#[test]
fn diffusions_of_mutag_keep_nearly_all_of_the_mass() {
    let Some((set, _)) = open("MUTAG") else { return };
    for kind in [Diffusion::Ppr { alpha: 0.2 }, Diffusion::Heat { time: 5.0 }] {
        let options = DiffusionOptions { kind, epsilon: 1e-4, variant: Variant::Paper };
        let found = Diffusions::of(&set, &options, Watch::default()).unwrap();
        assert_eq!((found.matrices.len(), found.truncated), (188, 0));
        assert!(found.lost < 1e-3 && found.max_lost < 1e-2, "{} {}", found.lost, found.max_lost);
    }
}
