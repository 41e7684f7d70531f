//! What every plan holds, whatever the graph.

#![allow(clippy::unwrap_used, reason = "a helper of tests fails the test")]

mod common;

use common::{are_distinct, clustered, graph_of, random_graph, sorted};
use lookalike_base::{Seed, Watch};
use lookalike_sampling::{
    BatchOrigins, Coverage, EdgeWeights, GraphOptions, InstanceSet, LastBatch, PlanInput, ProximityGraph,
    SamplingError, Scoring, Segment, Strategy, Transition, batches_per_epoch, decile_hardness, knn_graph,
    plan_segment, proximity_graph,
};
use proptest::prelude::*;

/// A whole epoch, planned in segments of `length` batches.
fn epoch(input: &PlanInput<'_>, length: usize) -> Vec<Segment> {
    let total = batches_per_epoch(input.instances, input.batch_size, input.last_batch);
    let mut used = input.used.clone();
    let mut segments = Vec::new();
    for first_batch in (0..total).step_by(length) {
        let batches = length.min(total - first_batch);
        let segment =
            plan_segment(&PlanInput { first_batch, batches, used: &used, ..*input }, Watch::default())
                .unwrap();
        used.extend(segment.batches.iter().flatten().copied());
        segments.push(segment);
    }
    segments
}

fn batches(segments: &[Segment]) -> Vec<Vec<u32>> {
    segments.iter().flat_map(|segment| segment.batches.clone()).collect()
}

fn input<'a>(
    graph: &'a ProximityGraph,
    used: &'a InstanceSet,
    batch_size: usize,
    coverage: Coverage,
) -> PlanInput<'a> {
    PlanInput {
        instances: graph.instances(),
        batch_size,
        last_batch: LastBatch::Drop,
        multiple: 1,
        coverage,
        strategy: Strategy::Walk(Transition { graph, restart: 0.1, weights: None }),
        uniform_fraction: 0.0,
        groups: None,
        ceiling: None,
        labels: None,
        seed: Seed(11),
        epoch: 0,
        first_batch: 0,
        batches: 0,
        used,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_plan_ends_and_keeps_its_promises(
        seed in any::<u64>(),
        instances in 2_usize..120,
        batch_size in 1_usize..40,
        most in 0_u32..12,
        restart in 0.0_f32..0.999,
        length in 1_usize..9,
        (keep, cover, nearest) in (any::<bool>(), any::<bool>(), any::<bool>()),
    ) {
        let graph = random_graph(instances, most, seed);
        let none = InstanceSet::new(instances);
        let batch_size = batch_size.min(instances);
        let coverage = if cover { Coverage::Cover } else { Coverage::Repeat };
        let input = PlanInput {
            last_batch: if keep { LastBatch::Keep } else { LastBatch::Drop },
            strategy: if nearest { Strategy::Nearest { graph: &graph } } else { Strategy::Walk(Transition { graph: &graph, restart, weights: None }) },
            seed: Seed(seed),
            epoch: seed % 5,
            ..input(&graph, &none, batch_size, coverage)
        };
        let segments = epoch(&input, length);
        prop_assert_eq!(&segments, &epoch(&input, length), "a plan is a pure function of its input");

        let all = batches(&segments);
        prop_assert_eq!(all.len(), batches_per_epoch(instances, batch_size, input.last_batch));
        let mut seen = InstanceSet::new(instances);
        for (at, batch) in all.iter().enumerate() {
            prop_assert_eq!(batch.len(), batch_size.min(instances - at * batch_size));
            prop_assert!(are_distinct(batch) && batch.iter().all(|member| (*member as usize) < instances));
            prop_assert!(!seen.contains(batch[0]), "the start is new to the epoch");
            seen.extend(batch.iter().copied());
        }
        if cover {
            let expected = if keep { instances } else { instances - instances % batch_size };
            prop_assert_eq!(seen.count(), expected);
            prop_assert_eq!(all.iter().map(Vec::len).sum::<usize>(), expected);
        }
        for (batch, origins) in all.iter().zip(segments.iter().flat_map(|segment| &segment.origins)) {
            prop_assert_eq!(origins.members() as usize, batch.len());
        }
    }
}

#[test]
fn a_walk_ends_on_a_graph_of_islands() {
    // Forty pairs, each tied to one another only; batches of 16 must start anew seven times.
    let lists: Vec<Vec<u32>> = (0..80_u32).map(|own| vec![own ^ 1]).collect();
    let (graph, none) = (graph_of(&lists), InstanceSet::new(80));
    for coverage in [Coverage::Repeat, Coverage::Cover] {
        let segments = epoch(&input(&graph, &none, 16, coverage), 5);
        assert_eq!(batches(&segments).len(), 5);
        let first = segments[0].origins[0];
        let expected = BatchOrigins {
            starts: 1,
            collected: 1,
            restarts: 7,
            collected_after_restart: 7,
            ..BatchOrigins::default()
        };
        assert_eq!(first, expected);
    }
}

#[test]
fn a_walk_ends_where_it_restarts_nearly_always_and_where_it_leads_into_dead_ends() {
    let dead_ends: Vec<Vec<u32>> =
        (0..40_u32).map(|own| if own < 20 { vec![own + 20] } else { vec![] }).collect();
    let (graph, none) = (graph_of(&dead_ends), InstanceSet::new(40));
    for restart in [0.0, 0.999_999] {
        let strategy = Strategy::Walk(Transition { graph: &graph, restart, weights: None });
        let segments = epoch(&PlanInput { strategy, ..input(&graph, &none, 8, Coverage::Cover) }, 5);
        assert_eq!(sorted(batches(&segments).concat()), (0..40).collect::<Vec<u32>>());
    }
}

#[test]
fn a_covering_walk_that_meets_nobody_new_collects_who_is_left_around_it() {
    // Everybody is everybody's neighbour, and all but four are used: a step finds one of them with a chance of 3 in 99.
    let everybody: Vec<u32> = (0..100).collect();
    let others = |own: &u32| everybody.iter().copied().filter(|other| other != own).collect();
    let graph = graph_of(&everybody.iter().map(others).collect::<Vec<Vec<u32>>>());
    let mut used = InstanceSet::new(100);
    used.extend(everybody.iter().copied().filter(|instance| instance % 25 != 1));
    for seed in 0..30 {
        let last = input(&graph, &used, 4, Coverage::Cover);
        let input = PlanInput { first_batch: 24, batches: 1, seed: Seed(seed), ..last };
        let segment = plan_segment(&input, Watch::default()).unwrap();
        assert_eq!(sorted(segment.batches[0].clone()), [1, 26, 51, 76]);
        let origins = segment.origins[0];
        assert_eq!((origins.starts, origins.collected, origins.restarts), (1, 3, 0), "seed {seed}");
    }
}

#[test]
fn cover_uses_each_instance_exactly_once_but_the_remainder() {
    let graph = random_graph(1003, 10, 1);
    let none = InstanceSet::new(1003);
    let members = batches(&epoch(&input(&graph, &none, 50, Coverage::Cover), 7)).concat();
    assert_eq!(members.len(), 1000);
    assert!(are_distinct(&members));
}

#[test]
fn the_remainder_is_drawn_anew_every_epoch() {
    let graph = random_graph(103, 10, 1);
    let none = InstanceSet::new(103);
    let mut left_out = [0; 103];
    for number in 0..400 {
        let planned = epoch(&PlanInput { epoch: number, ..input(&graph, &none, 20, Coverage::Cover) }, 5);
        let used = sorted(batches(&planned).concat());
        let absent = (0..103_u32).filter(|instance| used.binary_search(instance).is_err());
        absent.for_each(|instance| left_out[instance as usize] += 1);
    }
    // 400 × 3/103 = 11.65 expected each, standard deviation 3.4: nobody is always left out, nobody never.
    assert_eq!(left_out.iter().sum::<i32>(), 1200);
    assert!(left_out.iter().all(|count| (1..=26).contains(count)), "{left_out:?}");
}

#[test]
fn repeat_batches_have_distinct_members_that_come_again_in_other_batches() {
    let embeddings = clustered(600, 10, 8, 2);
    let graph = proximity_graph(
        embeddings.rows(),
        None,
        &GraphOptions { candidates: 200, neighbors: 10, ..GraphOptions::default() },
        Seed(2),
        0,
        Watch::default(),
    )
    .unwrap()
    .0;
    let none = InstanceSet::new(600);
    let all = batches(&epoch(&input(&graph, &none, 30, Coverage::Repeat), 20));
    assert!(all.iter().all(|batch| are_distinct(batch)));
    assert!(!are_distinct(&all.concat()));
}

#[test]
fn a_kept_last_batch_is_smaller_and_nobody_is_left_out() {
    let graph = random_graph(53, 10, 4);
    let none = InstanceSet::new(53);
    let input = PlanInput { last_batch: LastBatch::Keep, ..input(&graph, &none, 10, Coverage::Cover) };
    for strategy in [input.strategy, Strategy::Uniform, Strategy::Nearest { graph: &graph }] {
        let all = batches(&epoch(&PlanInput { strategy, ..input }, 2));
        assert_eq!(all.iter().map(Vec::len).collect::<Vec<_>>(), [10, 10, 10, 10, 10, 3]);
        assert_eq!(sorted(all.concat()), (0..53).collect::<Vec<u32>>());
    }
}

#[test]
fn uniform_batches_are_a_permutation_in_whatever_segments_they_are_planned() {
    let graph = ProximityGraph::empty(100);
    let none = InstanceSet::new(100);
    let input = PlanInput { strategy: Strategy::Uniform, ..input(&graph, &none, 9, Coverage::Cover) };
    let all = batches(&epoch(&input, 11));
    assert!(are_distinct(&all.concat()));
    assert_eq!(all, batches(&epoch(&input, 4)));
    assert_ne!(all, batches(&epoch(&PlanInput { epoch: 1, ..input }, 11)));
    assert_ne!(all, batches(&epoch(&PlanInput { seed: Seed(12), ..input }, 11)));
}

#[test]
fn a_nearest_batch_is_its_start_and_the_start_s_nearest_neighbors() {
    let embeddings = clustered(90, 6, 5, 3);
    let graph = knn_graph(embeddings.rows(), None, 9, None, Scoring::F32, Watch::default()).unwrap();
    let none = InstanceSet::new(90);
    let strategy = Strategy::Nearest { graph: &graph };
    for batch in batches(&epoch(&PlanInput { strategy, ..input(&graph, &none, 10, Coverage::Repeat) }, 9)) {
        assert_eq!(&batch[1..], graph.neighbors(batch[0]));
    }
}

#[test]
fn walk_batches_are_harder_than_uniform_ones_and_softer_than_nearest_ones() {
    let embeddings = clustered(4000, 40, 16, 5);
    let (rows, none) = (embeddings.rows(), InstanceSet::new(4000));
    let options = GraphOptions { candidates: 600, neighbors: 10, ..GraphOptions::default() };
    let graph = proximity_graph(rows, None, &options, Seed(1), 0, Watch::default()).unwrap().0;
    let exact = knn_graph(rows, None, 49, None, Scoring::F32, Watch::default()).unwrap();
    for coverage in [Coverage::Repeat, Coverage::Cover] {
        let walk = input(&graph, &none, 50, coverage);
        let hardness = |strategy| {
            let planned = batches(&epoch(&PlanInput { strategy, ..walk }, 80));
            decile_hardness(&planned, rows).unwrap().map(Option::unwrap)
        };
        let uniform = hardness(Strategy::Uniform);
        let (walked, nearest) = (hardness(walk.strategy), hardness(Strategy::Nearest { graph: &exact }));
        for decile in 0..5 {
            assert!(uniform[decile].abs() < 0.02, "{uniform:?}");
            assert!(walked[decile] > 0.1, "{walked:?}");
        }
        // Covering batches of nearest ones soon find their neighborhoods used up; only repeating ones stay of one piece.
        let mean = |deciles: [f64; 10]| deciles.iter().sum::<f64>() / 10.0;
        assert!(coverage == Coverage::Cover || mean(nearest) > mean(walked) + 0.05, "{nearest:?} {walked:?}");
    }
}

#[test]
fn a_higher_restart_probability_keeps_batches_closer_together() {
    let embeddings = clustered(3000, 60, 16, 6);
    let options = GraphOptions { candidates: 300, neighbors: 10, ..GraphOptions::default() };
    let graph = proximity_graph(embeddings.rows(), None, &options, Seed(1), 0, Watch::default()).unwrap().0;
    let none = InstanceSet::new(3000);
    let mean = |restart| {
        let strategy = Strategy::Walk(Transition { graph: &graph, restart, weights: None });
        let planned = epoch(&PlanInput { strategy, ..input(&graph, &none, 30, Coverage::Repeat) }, 100);
        let deciles = decile_hardness(&batches(&planned), embeddings.rows()).unwrap();
        deciles.into_iter().flatten().sum::<f64>() / 10.0
    };
    let (low, high) = (mean(0.05), mean(0.6));
    assert!(high > low + 0.01, "{low} {high}");
}

#[test]
fn instances_outside_the_graph_are_mixed_into_every_batch_by_their_share() {
    // The first 400 of 1000 are in a ring of the next ten, the others nowhere.
    let lists: Vec<Vec<u32>> = (0..1000_u32)
        .map(|own| if own < 400 { (1..11).map(|step| (own + step) % 400).collect() } else { vec![] })
        .collect();
    let (graph, none) = (graph_of(&lists), InstanceSet::new(1000));
    for segment in epoch(&input(&graph, &none, 50, Coverage::Cover), 20) {
        for (batch, origins) in segment.batches.iter().zip(&segment.origins) {
            let outside = batch.iter().filter(|member| **member >= 400).count() as u64;
            assert!(outside == origins.uniform && (28..=32).contains(&outside), "{outside} of 50");
        }
    }
    let repeat = batches(&epoch(&input(&graph, &none, 50, Coverage::Repeat), 20));
    let outside = repeat.concat().iter().filter(|member| **member >= 400).count();
    assert!((450..=600).contains(&outside), "{outside} of 1000");
}

#[test]
fn without_any_embedding_batches_are_uniform_and_cover() {
    let (graph, none) = (ProximityGraph::empty(100), InstanceSet::new(100));
    for segment in epoch(&input(&graph, &none, 10, Coverage::Cover), 10) {
        assert!(segment.origins.iter().all(|origins| origins.uniform == 10));
        assert_eq!(sorted(segment.batches.concat()), (0..100).collect::<Vec<u32>>());
    }
}

#[test]
fn a_segment_that_does_not_fit_its_epoch_is_refused() {
    let graph = random_graph(100, 5, 1);
    let (none, mut many) = (InstanceSet::new(100), InstanceSet::new(100));
    many.extend(0..85);
    let fits = PlanInput { batches: 2, ..input(&graph, &none, 10, Coverage::Cover) };
    assert!(plan_segment(&fits, Watch::default()).is_ok());
    let refused = |input: PlanInput<'_>| plan_segment(&input, Watch::default()).unwrap_err().to_string();
    let other = ProximityGraph::empty(99);
    let strategy = Strategy::Nearest { graph: &other };
    assert!(refused(PlanInput { strategy, ..fits }).contains("99 instances, not 100"));
    assert!(refused(PlanInput { first_batch: 9, ..fits }).contains("leave an epoch of 10"));
    assert!(refused(PlanInput { first_batch: usize::MAX, ..fits }).contains("leave an epoch of 10"));
    assert!(refused(PlanInput { used: &many, ..fits }).contains("needs 20 instances, and 15 are unused"));
    for batch_size in [0, 101] {
        let refused = plan_segment(&PlanInput { batch_size, ..fits }, Watch::default()).unwrap_err();
        assert_eq!(refused, SamplingError::BatchSize { batch_size, instances: 100 });
    }
}

#[test]
fn a_mix_draws_its_share_of_every_batch_uniformly_and_walks_the_rest() {
    let embeddings = clustered(3000, 60, 16, 6);
    let options = GraphOptions { candidates: 300, neighbors: 10, ..GraphOptions::default() };
    let graph = proximity_graph(embeddings.rows(), None, &options, Seed(1), 0, Watch::default()).unwrap().0;
    let none = InstanceSet::new(3000);
    for coverage in [Coverage::Repeat, Coverage::Cover] {
        let mut hardness = Vec::new();
        for uniform_fraction in [0.0, 0.25, 0.55, 1.0] {
            let planned = epoch(&PlanInput { uniform_fraction, ..input(&graph, &none, 30, coverage) }, 100);
            let origins = planned.iter().flat_map(|segment| &segment.origins);
            let share = 30.0 * uniform_fraction;
            let drawn: Vec<u64> = origins.map(|origins| origins.uniform).collect();
            assert!(drawn.iter().all(|drawn| (*drawn as f64 - share).abs() < 1.0), "{share}: {drawn:?}");
            let mean = drawn.iter().sum::<u64>() as f64 / 100.0;
            assert!((mean - share).abs() < 0.2, "{share}: {mean}");
            let deciles = decile_hardness(&batches(&planned), embeddings.rows()).unwrap();
            hardness.push(deciles[..5].iter().flatten().sum::<f64>() / 5.0);
        }
        assert!(hardness.windows(2).all(|pair| pair[0] > pair[1] + 0.01), "{hardness:?}");
        assert!(hardness[3].abs() < 0.01, "{hardness:?}");
    }
}

#[test]
fn walks_that_prefer_the_similar_are_harder_the_lower_their_temperature() {
    let embeddings = clustered(3000, 20, 16, 6);
    let options = GraphOptions { candidates: 1000, neighbors: 100, ..GraphOptions::default() };
    let graph = proximity_graph(embeddings.rows(), None, &options, Seed(1), 0, Watch::default()).unwrap().0;
    let none = InstanceSet::new(3000);
    let hardness = |temperature: Option<f64>| {
        let weights = temperature.map(|temperature| EdgeWeights::new(&graph, temperature).unwrap());
        let strategy = Strategy::Walk(Transition { graph: &graph, restart: 0.1, weights: weights.as_ref() });
        let planned = epoch(&PlanInput { strategy, ..input(&graph, &none, 30, Coverage::Repeat) }, 100);
        let deciles = decile_hardness(&batches(&planned), embeddings.rows()).unwrap();
        deciles.into_iter().flatten().sum::<f64>() / 10.0
    };
    let (cold, warm, hot, unweighted) =
        (hardness(Some(0.05)), hardness(Some(0.3)), hardness(Some(1e4)), hardness(None));
    assert!(cold > warm + 0.01 && warm > unweighted + 0.01, "{cold} {warm} {unweighted}");
    assert!((hot - unweighted).abs() < 0.02, "{hot} {unweighted}");
}

#[test]
fn a_mix_that_is_no_share_and_weights_of_another_graph_are_refused() {
    let (graph, other) = (random_graph(100, 5, 1), random_graph(100, 5, 2));
    let none = InstanceSet::new(100);
    let fits = PlanInput { batches: 2, ..input(&graph, &none, 10, Coverage::Cover) };
    for uniform_fraction in [-0.1, 1.1, f64::NAN] {
        let error =
            plan_segment(&PlanInput { uniform_fraction, ..fits }, Watch::default()).unwrap_err().to_string();
        assert!(error.starts_with("uniform_fraction = "), "{error}");
    }
    let weights = EdgeWeights::new(&other, 0.1).unwrap();
    let strategy = Strategy::Walk(Transition { graph: &graph, restart: 0.1, weights: Some(&weights) });
    let error = plan_segment(&PlanInput { strategy, ..fits }, Watch::default()).unwrap_err().to_string();
    assert!(error.contains("weights are those of another graph"), "{error}");
}
