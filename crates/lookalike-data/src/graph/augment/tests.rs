use super::*;
use lookalike_base::Seed;
use lookalike_kernels::sparse::Csr;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// The graph of these undirected edges; features are the node's number and its square.
fn graph(nodes: usize, edges: &[(u32, u32)]) -> Graph {
    let mut rows = vec![Vec::new(); nodes];
    for (from, to) in edges {
        rows[*from as usize].push((*to, 1.0));
        rows[*to as usize].push((*from, 1.0));
    }
    let edges = Csr::from_rows(rows, nodes).unwrap().without_values();
    Graph {
        edges,
        features: (0..nodes).flat_map(|node| [node as f32, (node * node) as f32]).collect(),
        columns: 2,
    }
}

/// A ring of `nodes` with a chord from each third node across.
fn ring(nodes: u32) -> Graph {
    let ring = (0..nodes).map(|node| (node, (node + 1) % nodes));
    let chords = (0..nodes / 2).step_by(3).map(|node| (node, node + nodes / 2));
    graph(nodes as usize, &ring.chain(chords).collect::<Vec<_>>())
}

fn stream(instance: u64) -> Stream {
    Seed(1).stream("augment", 0, 0, instance)
}

fn view(kind: GraphAugmentKind, variant: Variant, graph: &Graph, instance: u64) -> Graph {
    let augment = GraphAugmentOptions::published(kind, variant).validate().unwrap();
    augment.apply(graph, &mut stream(instance)).unwrap()
}

/// Edges by the numbers that nodes had before: their first feature.
fn edges(graph: &Graph) -> BTreeSet<(u32, u32)> {
    let number = |node: usize| graph.features[2 * node] as u32;
    let row = |node: usize| graph.edges.row(node).iter().map(move |to| (number(node), number(*to as usize)));
    (0..graph.nodes()).flat_map(row).collect()
}

fn is_undirected(graph: &Graph) -> bool {
    graph.edges == graph.edges.transpose()
}

const KINDS: [GraphAugmentKind; 8] = [
    GraphAugmentKind::Nothing,
    GraphAugmentKind::DropNodes,
    GraphAugmentKind::PerturbEdges,
    GraphAugmentKind::MaskAttributes,
    GraphAugmentKind::Subgraph,
    GraphAugmentKind::Random2,
    GraphAugmentKind::Random3,
    GraphAugmentKind::Random4,
];

#[test]
fn a_view_is_a_function_of_its_stream() {
    for kind in KINDS {
        for variant in [Variant::Paper, Variant::Original] {
            let graph = ring(40);
            assert_eq!(view(kind, variant, &graph, 3), view(kind, variant, &graph, 3));
            let others: Vec<Graph> = (4..12).map(|other| view(kind, variant, &graph, other)).collect();
            let all_same = others.iter().all(|other| *other == view(kind, variant, &graph, 3));
            assert_eq!(all_same, kind == GraphAugmentKind::Nothing, "{kind:?}");
        }
    }
}

#[test]
fn a_tenth_of_the_nodes_is_dropped_with_their_edges() {
    let graph = ring(40);
    let found = view(GraphAugmentKind::DropNodes, Variant::Paper, &graph, 0);
    assert_eq!(found.nodes(), 36);
    let kept: BTreeSet<u32> = found.features.chunks(2).map(|row| row[0] as u32).collect();
    let expected = edges(&graph).into_iter().filter(|(from, to)| kept.contains(from) && kept.contains(to));
    assert_eq!(edges(&found), expected.collect());
    assert!(found.features.chunks(2).all(|row| row[1] == row[0] * row[0]));
}

#[test]
fn as_many_edges_are_added_as_deleted_and_none_twice() {
    let graph = ring(40);
    let before = edges(&graph);
    for instance in 0..20 {
        let found = view(GraphAugmentKind::PerturbEdges, Variant::Paper, &graph, instance);
        let after = edges(&found);
        assert!(is_undirected(&found) && after.iter().all(|(from, to)| from != to));
        // 47 edges, of which 4 are deleted; both directions count.
        assert_eq!((before.len(), after.len(), before.difference(&after).count()), (94, 94, 8));
    }
}

#[test]
fn a_graph_with_every_edge_has_none_to_add_and_one_with_nearly_every_gets_the_rest() {
    let all: Vec<(u32, u32)> = (0..12).flat_map(|from| (from + 1..12).map(move |to| (from, to))).collect();
    let full = graph(12, &all);
    assert_eq!(view(GraphAugmentKind::PerturbEdges, Variant::Paper, &full, 0).edges.entries(), 2 * (66 - 6));
    let nearly = graph(12, &all[2..]);
    let found = view(GraphAugmentKind::PerturbEdges, Variant::Paper, &nearly, 0);
    assert_eq!(found.edges.entries(), 2 * (64 - 6 + 2));
    assert!(edges(&found).contains(&(0, 1)) && edges(&found).contains(&(0, 2)));
}

#[test]
fn masked_nodes_get_noise_around_a_half_and_the_others_stay() {
    let graph = ring(1000);
    let found = view(GraphAugmentKind::MaskAttributes, Variant::Paper, &graph, 0);
    assert_eq!(found.edges, graph.edges);
    let pairs = found.features.chunks(2).zip(graph.features.chunks(2));
    let masked: Vec<f32> = pairs.filter(|(a, b)| a != b).flat_map(|(a, _)| a.to_vec()).collect();
    assert_eq!(masked.len(), 200);
    let mean = masked.iter().sum::<f32>() / 200.0;
    let deviation = (masked.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / 200.0).sqrt();
    assert!((mean - 0.5).abs() < 0.15 && (deviation - 0.5).abs() < 0.1, "{mean} {deviation}");
}

#[test]
fn a_walk_keeps_a_connected_fifth() {
    for instance in 0..20 {
        let found = view(GraphAugmentKind::Subgraph, Variant::Paper, &ring(60), instance);
        assert_eq!(found.nodes(), 12);
        let mut reached = BTreeSet::from([0]);
        for _ in 0..12 {
            let next: Vec<u32> =
                reached.iter().flat_map(|node| found.edges.row(*node as usize)).copied().collect();
            reached.extend(next);
        }
        assert_eq!(reached.len(), 12);
    }
}

#[test]
fn a_walk_that_can_reach_no_more_ends_with_what_it_met() {
    let islands = graph(30, &[(0, 1), (2, 3)]);
    for instance in 0..30 {
        let found = view(GraphAugmentKind::Subgraph, Variant::Paper, &islands, instance);
        assert!((1..=2).contains(&found.nodes()));
    }
}

#[test]
fn the_published_code_s_loops_leave_out_the_last_node_with_an_edge() {
    let found = plain(graph(5, &[(0, 1), (1, 3)]), Variant::Original).unwrap();
    let loops: Vec<usize> = (0..5).filter(|node| found.edges.row(*node).contains(&(*node as u32))).collect();
    assert_eq!(loops, [0, 1, 2]);
    let unchanged = graph(5, &[(0, 1)]);
    assert_eq!(plain(unchanged.clone(), Variant::Paper).unwrap(), unchanged);
}

#[test]
fn the_published_code_deletes_directions_of_edges_and_adds_none() {
    let graph = ring(40);
    let before = edges(&plain(graph.clone(), Variant::Original).unwrap());
    let found = view(GraphAugmentKind::PerturbEdges, Variant::Original, &graph, 0);
    // 94 directions and 39 loops.
    assert_eq!((before.len(), edges(&found).len()), (133, 120));
    assert!(edges(&found).is_subset(&before) && !is_undirected(&found));
}

#[test]
fn the_published_code_s_subgraph_is_a_star() {
    let graph = ring(60);
    for instance in 0..20 {
        let found = view(GraphAugmentKind::Subgraph, Variant::Original, &graph, instance);
        // A node of the ring has three neighbours at most.
        assert!(found.nodes() <= 4, "{}", found.nodes());
        assert!(edges(&found).iter().all(|(from, to)| from != to));
        let center = (0..found.nodes()).find(|node| found.edges.row(*node).len() == found.nodes() - 1);
        assert!(center.is_some() || found.nodes() == 0);
    }
}

#[test]
fn the_published_code_drops_nodes_without_edges_too() {
    let found = view(GraphAugmentKind::DropNodes, Variant::Original, &graph(30, &[(0, 1), (1, 2)]), 0);
    // Nodes 3 to 29 have neither edge nor loop.
    assert!(found.nodes() <= 3);
    assert!(edges(&found).iter().all(|(from, to)| from != to));
}

#[test]
fn each_of_a_random_choice_occurs() {
    let graph = ring(60);
    let kinds: BTreeSet<(usize, bool)> = (0..60)
        .map(|instance| view(GraphAugmentKind::Random4, Variant::Paper, &graph, instance))
        .map(|view| (view.nodes(), view.edges == graph.edges))
        .collect();
    assert_eq!(kinds, BTreeSet::from([(54, false), (12, false), (60, false), (60, true)]));
}

/// Nodes and edges of views are as many, on average over 20,000, as the published code's;
/// `tests/fixtures/graph_views.py` counted those.
#[test]
fn views_of_the_published_code_have_its_sizes() {
    const VIEWS: u32 = 20_000;
    let star = graph(15, &(1..15).map(|node| (0, node)).collect::<Vec<_>>());
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/graph_views.npy");
    let expected = lookalike_base::npy::read_rows(path).unwrap();
    let kinds = [GraphAugmentKind::DropNodes, GraphAugmentKind::PerturbEdges, GraphAugmentKind::Subgraph];
    let cases = [ring(20), star].into_iter().flat_map(|graph| kinds.map(|kind| (graph.clone(), kind)));
    for (at, (graph, kind)) in cases.enumerate() {
        let views = (0..VIEWS).map(|instance| view(kind, Variant::Original, &graph, u64::from(instance)));
        let sums = views.fold([0.0; 2], |[nodes, edges], view| {
            [nodes + view.nodes() as f64, edges + view.edges.entries() as f64]
        });
        for (sum, expected) in sums.into_iter().zip(expected.row(at).chunks(2)) {
            let (mean, variance) = (f64::from(expected[0]), f64::from(expected[1]));
            // Four standard errors of the difference of two means.
            let tolerance = 4.0 * (2.0 * variance / f64::from(VIEWS)).sqrt() + 1e-5;
            let found = sum / f64::from(VIEWS);
            assert!(
                (found - mean).abs() < tolerance,
                "{kind:?}, case {at}: {found} is not {mean} ± {tolerance}"
            );
        }
    }
}

#[test]
fn impossible_amounts_are_refused_by_their_key() {
    let options = GraphAugmentOptions::published(GraphAugmentKind::Random4, Variant::Paper);
    for (options, key) in [
        (
            GraphAugmentOptions { drop_ratio: 1.0, ..options.clone() },
            "graphs.augment.drop_ratio: 1 should be",
        ),
        (GraphAugmentOptions { edge_ratio: -0.1, ..options.clone() }, "graphs.augment.edge_ratio: -0.1"),
        (
            GraphAugmentOptions { kind: GraphAugmentKind::Random2, edge_ratio: 0.2, ..options.clone() },
            "graphs.augment.edge_ratio: 0.2 should be left out",
        ),
        (GraphAugmentOptions { mask_ratio: f64::NAN, ..options.clone() }, "graphs.augment.mask_ratio: NaN"),
        (GraphAugmentOptions { subgraph_ratio: 0.0, ..options.clone() }, "graphs.augment.subgraph_ratio: 0"),
    ] {
        let message = options.validate().unwrap_err().to_string();
        assert!(message.starts_with(key), "{message}");
    }
}

proptest! {
    #[test]
    fn any_graph_has_views(
        nodes in 1_usize..25,
        pairs in prop::collection::vec((0_u32..25, 0_u32..25), 0..40),
        instance in 0_u64..1000,
        kind in prop::sample::select(KINDS.to_vec()),
    ) {
        let pairs: Vec<(u32, u32)> = pairs.into_iter().filter(|(a, b)| a < b && (*b as usize) < nodes).collect();
        let graph = graph(nodes, &pairs);
        for variant in [Variant::Paper, Variant::Original] {
            let view = view(kind, variant, &graph, instance);
            prop_assert!(view.nodes() <= nodes && view.features.len() == 2 * view.nodes());
            if variant == Variant::Paper {
                prop_assert!(view.nodes() > 0 && is_undirected(&view));
            }
        }
    }
}
