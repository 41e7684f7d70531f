//! Batches of views and of diffusions, through the loader.

#![expect(clippy::unwrap_used, reason = "a test may stop where a promise is broken")]

use lookalike_base::{Seed, Watch};
use lookalike_data::graph::{
    self, DescribedGraphs, DiffusedGraphs, Diffusion, DiffusionOptions, Diffusions, FeatureRule, Features,
    GraphAugmentKind, GraphAugmentOptions, GraphAugmentation, GraphBatch, GraphSet, GraphViews, PlainGraphs,
    Variant,
};
use lookalike_data::{BatchRequest, BatchSource, Loader, LoaderOptions};
use std::fmt::Write;
use std::num::NonZeroUsize;
use std::sync::Arc;

/// Rings of 20, 21, 22 and 23 nodes with labels from 0 to 2.
fn rings() -> Arc<GraphSet> {
    let mut text = "4\n".to_owned();
    for nodes in 20..24 {
        writeln!(text, "{nodes} {}", nodes % 2).unwrap();
        for node in 0..nodes {
            writeln!(text, "{} 2 {} {}", node % 3, (node + 1) % nodes, (node + nodes - 1) % nodes).unwrap();
        }
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rings.txt"), text).unwrap();
    Arc::new(graph::open("rings", folder.path()).unwrap().0)
}

fn described() -> DescribedGraphs {
    let set = rings();
    let features = Features::new(&FeatureRule::graphcl(&set), &set).unwrap();
    DescribedGraphs::new(set, features)
}

fn augment(kind: GraphAugmentKind, variant: Variant) -> GraphAugmentation {
    GraphAugmentOptions::published(kind, variant).validate().unwrap()
}

fn request(instances: &[u32], epoch: u64) -> BatchRequest {
    BatchRequest { instances: instances.to_vec(), epoch, step: epoch }
}

fn stacked(source: &GraphViews, instances: &[u32], epoch: u64) -> GraphBatch {
    let batch = source.batch(&request(instances, epoch)).unwrap();
    assert_eq!(batch.instances, instances);
    match &batch.views[..] {
        [first, second] => GraphBatch::joined(&[first, second]).unwrap(),
        views => unreachable!("{} views", views.len()),
    }
}

/// The graph in `place` of a batch, as edges among its own nodes and features.
fn part(batch: &GraphBatch, place: usize) -> (Vec<Vec<usize>>, Vec<f32>) {
    let own = batch.offsets[place]..batch.offsets[place + 1];
    let row = |node: usize| batch.edges.row(node).iter().map(|to| *to as usize - own.start).collect();
    let features = batch.features[own.start * batch.columns..own.end * batch.columns].to_vec();
    (own.clone().map(row).collect(), features)
}

#[test]
fn first_views_come_before_second_ones_and_depend_on_nothing_but_their_address() {
    let views = [GraphAugmentKind::Nothing, GraphAugmentKind::Random4];
    let source = GraphViews::new(described(), views.map(|kind| augment(kind, Variant::Paper)), Seed(3));
    let plain = PlainGraphs::new(described(), Variant::Paper).batch(&request(&[2, 0], 0)).unwrap();
    let both = stacked(&source, &[2, 0], 1);
    assert_eq!((both.len(), plain.len()), (4, 2));
    for place in 0..2 {
        assert_eq!(part(&both, place), part(&plain, place));
        assert_ne!(part(&both, 2 + place), part(&plain, place));
    }
    // Another company, another place.
    let alone = stacked(&source, &[0], 1);
    assert_eq!(part(&alone, 1), part(&both, 3));
    assert_ne!(stacked(&source, &[0], 2), alone);
    let other = GraphViews::new(described(), views.map(|kind| augment(kind, Variant::Paper)), Seed(4));
    assert_ne!(stacked(&other, &[0], 1), alone);
}

#[test]
fn the_published_variant_contrasts_a_graph_with_loops_with_a_view_without() {
    let views = [GraphAugmentKind::Nothing, GraphAugmentKind::Random2];
    let source = GraphViews::new(described(), views.map(|kind| augment(kind, Variant::Original)), Seed(3));
    let both = stacked(&source, &[0, 1, 2, 3], 0);
    let loops = |place: usize| {
        let (edges, _) = part(&both, place);
        edges.iter().enumerate().filter(|(node, to)| to.contains(node)).count()
    };
    assert_eq!([0, 1, 2, 3].map(loops), [19, 20, 21, 22]);
    assert_eq!([4, 5, 6, 7].map(loops), [0; 4]);
    let plain = PlainGraphs::new(described(), Variant::Original).batch(&request(&[1], 0)).unwrap();
    assert_eq!(part(&plain, 0), part(&both, 1));
}

#[test]
fn the_loader_gives_the_same_batches_whatever_its_threads() {
    let kinds = [GraphAugmentKind::Random3; 2].map(|kind| augment(kind, Variant::Paper));
    let batches = |threads: usize| {
        let threads = NonZeroUsize::new(threads).unwrap();
        let source = Arc::new(GraphViews::new(described(), kinds.clone(), Seed(1)));
        let requests = (0..12).map(|epoch| request(&[0, 3, 1], epoch)).collect();
        let mut loader = Loader::start(source, requests, LoaderOptions { threads, ahead: threads }).unwrap();
        std::iter::from_fn(|| loader.next().map(Result::unwrap)).collect::<Vec<_>>()
    };
    let one = batches(1);
    assert_eq!((one.len(), batches(3)), (12, one));
}

#[test]
fn diffusions_follow_their_graphs_into_a_batch() {
    let set = rings();
    let options =
        DiffusionOptions { kind: Diffusion::Ppr { alpha: 0.2 }, epsilon: 1e-4, variant: Variant::Paper };
    let diffusions = Arc::new(Diffusions::of(&set, &options, Watch::default()).unwrap());
    let batch = DiffusedGraphs::new(described(), Arc::clone(&diffusions))
        .unwrap()
        .batch(&request(&[3, 1], 0))
        .unwrap();
    assert_eq!((batch.instances, batch.graphs.nodes(), batch.diffusion.len()), (vec![3, 1], 44, 44));
    for (first, graph) in [(0, 3), (23, 1)] {
        let own: Vec<(u32, f32)> = diffusions.matrices[graph].row_entries(5).collect();
        let shifted = batch.diffusion.row_entries(first + 5).map(|(to, value)| (to - first as u32, value));
        assert_eq!(shifted.collect::<Vec<_>>(), own);
    }
    // In a ring each node has two neighbours and itself: all weights are a third.
    let thirds: Vec<(u32, f32)> = batch.normalized.row_entries(30).collect();
    assert_eq!(thirds.iter().map(|(to, _)| *to).collect::<Vec<_>>(), [29, 30, 31]);
    assert!(thirds.iter().all(|(_, value)| (value - 1.0 / 3.0).abs() < 1e-6));
    let fewer = Diffusions { matrices: diffusions.matrices[..3].to_vec(), ..(*diffusions).clone() };
    let message = DiffusedGraphs::new(described(), Arc::new(fewer)).unwrap_err().to_string();
    assert_eq!(message, "3 diffusions for 4 graphs; expected one a graph");
}
