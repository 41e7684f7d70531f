//! Several data sets in one training: each batch is from one of them.

#![allow(clippy::unwrap_used, reason = "a helper of tests fails the test")]

mod common;

use common::{embeddings, sorted, train};
use lookalike_base::{Matrix, Seed, Silent, Watch};
use lookalike_sampling::{
    Coverage, DataSets, GraphOptions, Groups, LastBatch, RankSplit, Ranks, RunData, Sampler, SamplerKind,
    SamplerOptions, SamplerState, SamplingError, SetOrder, Warning, check_agreement, proximity_graph,
};
use proptest::prelude::*;

const BATCH: usize = 6;

fn options(kind: SamplerKind) -> SamplerOptions {
    SamplerOptions {
        kind,
        batch_size: BATCH,
        coverage: Coverage::Cover,
        candidates: Some(15),
        neighbors: Some(5),
        refresh_every: 7,
        ..SamplerOptions::default()
    }
}

fn data(sizes: &[usize], order: SetOrder) -> RunData {
    RunData { sets: Some(DataSets { sizes: sizes.to_vec(), order }), ..RunData::default() }
}

/// The set of each batch, all of whose members must be of it.
fn sets_of(batches: &[Vec<u32>], sizes: &[usize]) -> Vec<usize> {
    let set = |member: u32| {
        let ends = sizes.iter().scan(0, |end, size| {
            *end += size;
            Some(*end)
        });
        ends.take_while(|end| *end <= member as usize).count()
    };
    let of_batch = |batch: &Vec<u32>| {
        let first = set(batch[0]);
        assert!(batch.iter().all(|member| set(*member) == first), "{batch:?}");
        first
    };
    batches.iter().map(of_batch).collect()
}

#[test]
fn one_data_set_is_sampled_as_without_any() {
    for kind in [SamplerKind::Uniform, SamplerKind::Walk, SamplerKind::Nearest] {
        for order in [SetOrder::Proportional, SetOrder::RoundRobin, SetOrder::OneByOne] {
            let groups = || Some(Groups::new(&(0..100).map(|instance| instance / 3).collect::<Vec<u64>>()));
            let run = |sets| {
                let data = RunData { sets, groups: groups(), ..RunData::default() };
                let (mut sampler, _) = Sampler::with_data(100, options(kind), Seed(3), data).unwrap();
                let batches = train(&mut sampler, 50);
                (batches, sampler.state(), sampler.agreement())
            };
            let alone = run(Some(DataSets { sizes: vec![100], order }));
            assert_eq!(alone, run(None), "{kind:?} {order:?}");
        }
    }
}

#[test]
fn in_proportion_every_instance_of_every_set_comes_once_an_epoch() {
    let sizes = [30, 60, 12];
    for kind in [SamplerKind::Uniform, SamplerKind::Walk, SamplerKind::Nearest] {
        let (mut sampler, _) =
            Sampler::with_data(102, options(kind), Seed(1), data(&sizes, SetOrder::Proportional)).unwrap();
        assert_eq!(sampler.batches_per_epoch(), 17);
        let sets = data(&sizes, SetOrder::Proportional).sets.unwrap();
        assert_eq!(sets.batches_per_epoch(BATCH, LastBatch::Drop), 17);
        let mut orders = Vec::new();
        for epoch in 0..4 {
            let batches = train(&mut sampler, 17);
            let sets = sets_of(&batches, &sizes);
            let count = |set| sets.iter().filter(|of| **of == set).count();
            assert_eq!([0, 1, 2].map(count), [5, 10, 2]);
            assert_eq!(sorted(batches.concat()), (0..102).collect::<Vec<u32>>(), "{kind:?} {epoch}");
            orders.push(sets);
        }
        assert_ne!(orders[0], orders[1], "the order is drawn anew");
        assert_eq!(sampler.report().finished.unwrap().reach, 1.0);
    }
}

#[test]
fn in_turn_each_set_has_one_batch_until_the_smallest_is_used_up() {
    let sizes = [30, 60, 12];
    for kind in [SamplerKind::Uniform, SamplerKind::Walk] {
        let (mut sampler, _) =
            Sampler::with_data(102, options(kind), Seed(1), data(&sizes, SetOrder::RoundRobin)).unwrap();
        for _ in 0..4 {
            let batches = train(&mut sampler, 6);
            assert_eq!(sets_of(&batches, &sizes), [0, 1, 2, 0, 1, 2]);
            assert_eq!(sampler.position(), 0);
            let sets = data(&sizes, SetOrder::RoundRobin).sets.unwrap();
            assert_eq!(sets.batches_per_epoch(BATCH, LastBatch::Drop), 6);
            let mut members = sorted(batches.concat());
            members.dedup();
            assert_eq!(members.len(), 36, "nobody comes twice");
        }
    }
}

#[test]
fn one_by_one_all_batches_of_a_set_come_before_those_of_the_next() {
    let sizes = [30, 60, 12];
    for kind in [SamplerKind::Uniform, SamplerKind::Walk] {
        let of = data(&sizes, SetOrder::OneByOne);
        assert_eq!(of.sets.as_ref().unwrap().batches_per_epoch(BATCH, LastBatch::Drop), 17);
        let (mut sampler, _) = Sampler::with_data(102, options(kind), Seed(1), of).unwrap();
        for _ in 0..3 {
            let batches = train(&mut sampler, 17);
            assert_eq!(
                sets_of(&batches, &sizes),
                [[0; 5].to_vec(), [1; 10].to_vec(), [2; 2].to_vec()].concat()
            );
            assert_eq!(sorted(batches.concat()), (0..102).collect::<Vec<u32>>());
        }
    }
}

#[test]
fn each_set_has_a_graph_of_its_own_with_candidates_of_its_own() {
    let sizes = [40, 40];
    let asked = SamplerOptions { uniform_epochs: 0, refresh_every: 1000, ..options(SamplerKind::Walk) };
    let (mut sampler, _) =
        Sampler::with_data(80, asked, Seed(1), data(&sizes, SetOrder::Proportional)).unwrap();
    let everybody: Vec<u32> = (0..80).collect();
    // Both sets hold the same embeddings, so that only candidates and edges across could differ.
    let half = embeddings(&everybody[..40], 0).into_values();
    let rows = Matrix::new([&half[..], &half[..]].concat(), 6).unwrap();
    sampler.record(&everybody, rows.rows(), 0).unwrap();
    sampler.next_segment().unwrap();
    let graph = sampler.graph();
    let of = GraphOptions { candidates: 15, neighbors: 5, ..GraphOptions::default() };
    let first = Matrix::new(half, 6).unwrap();
    let (expected, _) = proximity_graph(first.rows(), None, &of, Seed(1), 0, Watch::default()).unwrap();
    let mut same = true;
    for own in 0..40 {
        assert_eq!(graph.neighbors(own), expected.neighbors(own));
        let other: Vec<u32> = graph.neighbors(40 + own).iter().map(|other| other - 40).collect();
        assert!(other.iter().all(|other| *other < 40));
        same &= other == expected.neighbors(own);
    }
    assert!(!same, "the second set drew the candidates of the first");
    drop(graph);
    // Rows kept elsewhere give the same graphs.
    let asked = sampler.options().clone();
    let (mut offline, _) =
        Sampler::with_data(80, asked, Seed(1), data(&sizes, SetOrder::Proportional)).unwrap();
    let progress = common::Counted::default();
    offline.rebuild_from(rows.rows(), &progress).unwrap();
    assert_eq!(offline.graph().parts().1, sampler.graph().parts().1);
    assert_eq!(progress.done(), 80);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]

    #[test]
    fn a_restored_sampler_of_several_sets_goes_on_as_if_it_had_never_stopped(
        seed in any::<u64>(),
        sizes in prop::collection::vec(14_usize..50, 1..5),
        kind in prop::sample::select(vec![SamplerKind::Uniform, SamplerKind::Walk, SamplerKind::Nearest]),
        order in prop::sample::select(vec![SetOrder::Proportional, SetOrder::RoundRobin, SetOrder::OneByOne]),
        (keep, cover, weighted) in (any::<bool>(), any::<bool>(), any::<bool>()),
        (refresh_every, uniform_epochs) in (1_u64..12, 0_u64..3),
        stop in 0_u64..40,
        (planned_before_saving, light) in (any::<bool>(), any::<bool>()),
    ) {
        let instances = sizes.iter().sum();
        let asked = SamplerOptions {
            coverage: if cover { Coverage::Cover } else { Coverage::Repeat },
            last_batch: if keep { LastBatch::Keep } else { LastBatch::Drop },
            temperature: (weighted && kind == SamplerKind::Walk).then_some(0.1),
            candidates: Some(10),
            refresh_every,
            uniform_epochs,
            ..options(kind)
        };
        let groups = Groups::new(&(0..instances as u64).map(|instance| instance / 2).collect::<Vec<u64>>());
        let data = RunData { groups: Some(groups), ..data(&sizes, order) };
        let (mut whole, _) = Sampler::with_data(instances, asked.clone(), Seed(seed), data.clone()).unwrap();
        let mut stopped = whole.clone();
        let expected = train(&mut whole, stop + 30);
        sets_of(&expected, &sizes);
        let apart = expected.iter().all(|batch| {
            let mut groups: Vec<u32> = batch.iter().map(|member| member / 2).collect();
            groups.sort_unstable();
            groups.windows(2).all(|pair| pair[0] != pair[1])
        });
        prop_assert!(apart);
        let mut found = train(&mut stopped, stop);
        if planned_before_saving {
            stopped.next_segment().unwrap();
        }
        let (state, arrays) = if light { stopped.light_state() } else { stopped.state() };
        let state: SamplerState = serde_json::from_str(&serde_json::to_string(&state).unwrap()).unwrap();
        let (mut resumed, _) =
            Sampler::restore_with_data(instances, asked, Seed(seed), data, &state, &arrays).unwrap();
        if light && let Ok(apart) = stopped.saved_embeddings() {
            resumed.load_embeddings(&apart).unwrap();
        }
        found.extend(train(&mut resumed, 30));
        prop_assert_eq!(found, expected);
        let (ended, uninterrupted) = (resumed.state(), whole.state());
        prop_assert_eq!(ended.0, uninterrupted.0);
        prop_assert_eq!(ended.1, uninterrupted.1);
    }
}

#[test]
fn a_group_is_kept_apart_within_each_set_and_may_be_in_several() {
    // Group 9 has five members in each set: one for each batch of a set, but twice as many as would fit into one set of all.
    let groups: Vec<u64> =
        (0..60).map(|instance| if instance % 30 < 5 { 9 } else { 100 + instance }).collect();
    let groups = Groups::new(&groups);
    let sets = data(&[30, 30], SetOrder::Proportional);
    let grouped = RunData { groups: Some(groups), ..sets };
    let (mut sampler, _) =
        Sampler::with_data(60, options(SamplerKind::Walk), Seed(1), grouped.clone()).unwrap();
    for batch in train(&mut sampler, 40) {
        assert!(batch.iter().filter(|member| **member % 30 < 5).count() <= 1, "{batch:?}");
    }
    let large = Groups::new(
        &(0..60).map(|instance| u64::from(instance < 36) + instance / 36 * instance).collect::<Vec<u64>>(),
    );
    let error = Sampler::with_data(
        60,
        options(SamplerKind::Walk),
        Seed(1),
        RunData { groups: Some(large), ..grouped },
    );
    let error = error.unwrap_err().to_string();
    assert!(error.starts_with("data set 0 of 2 (instances 0 to 29): "), "{error}");
}

#[test]
fn ranks_take_their_batches_of_a_step_from_one_set() {
    let sizes = [50, 26];
    for split in [RankSplit::Batches, RankSplit::Within] {
        let mut ranks: Vec<Sampler> = (0..2)
            .map(|rank| {
                let data = RunData {
                    ranks: Ranks { rank, count: 2, split },
                    ..data(&sizes, SetOrder::Proportional)
                };
                Sampler::with_data(76, options(SamplerKind::Walk), Seed(2), data).unwrap().0
            })
            .collect();
        assert_eq!(ranks[0].batches_per_epoch(), 4 + 2);
        for step in 0..24 {
            let batches: Vec<Vec<u32>> =
                ranks.iter_mut().map(|rank| rank.next_segment().unwrap().batches.swap_remove(0)).collect();
            let sets = sets_of(&batches, &sizes);
            assert_eq!(sets[0], sets[1], "{split:?} {step}");
            let all = batches.concat();
            assert!(common::are_distinct(&all));
            for rank in &mut ranks {
                rank.record(&all, embeddings(&all, step).rows(), step).unwrap();
                rank.advance().unwrap();
            }
            check_agreement(&[ranks[0].agreement(), ranks[1].agreement()]).unwrap();
        }
    }
}

#[test]
fn batches_are_as_hard_as_they_are_beside_uniform_ones_of_their_own_set() {
    // Two sets far from each other: beside uniform batches of both together any batch would seem hard.
    let sizes = [60, 60];
    let asked = SamplerOptions { uniform_epochs: 0, uniform_fraction: 1.0, ..options(SamplerKind::Walk) };
    let (mut sampler, _) =
        Sampler::with_data(120, asked, Seed(1), data(&sizes, SetOrder::Proportional)).unwrap();
    let mut stream = Seed(4).stream("test", 0, 0, 0);
    let values = (0..120 * 8).map(|at| stream.normal() * 0.5 + if at % 8 == at / 480 { 2.0 } else { 0.0 });
    let rows = Matrix::new(values.collect(), 8).unwrap();
    sampler.record(&(0..120).collect::<Vec<u32>>(), rows.rows(), 0).unwrap();
    sampler.next_segment().unwrap();
    let tallies = sampler.report().current.hardness;
    let (sum, batches) =
        tallies.iter().fold((0.0, 0), |(sum, n), tally| (sum + tally.sum, n + tally.batches));
    assert!(batches == 7 && (sum / batches as f64).abs() < 0.05, "{tallies:?}");
}

#[test]
fn a_set_that_cannot_be_sampled_is_named() {
    let refused = |sizes: &[usize], instances, options: SamplerOptions| {
        let data = data(sizes, SetOrder::Proportional);
        Sampler::with_data(instances, options, Seed(1), data).unwrap_err().to_string()
    };
    let error = refused(&[30, 4, 30], 64, options(SamplerKind::Walk));
    assert_eq!(
        error,
        "data set 1 of 3 (instances 30 to 33): batch_size = 6 is out of range: it must be at least 1 and at most the 4 \
         instances"
    );
    for (sizes, instances) in [(&[30, 30][..], 61), (&[][..], 30), (&[usize::MAX, 2][..], 1)] {
        let error = refused(sizes, instances, options(SamplerKind::Walk));
        assert!(error.starts_with("the data sets do not fit: their sizes are"), "{error}");
    }
    let error = refused(&[30, 0], 30, options(SamplerKind::Uniform));
    assert!(error.starts_with("data set 1 of 2"), "{error}");
}

#[test]
fn warnings_name_their_set() {
    let sets = data(&[40, 12], SetOrder::Proportional);
    let asked = SamplerOptions { uniform_epochs: 0, ..options(SamplerKind::Walk) };
    let (mut sampler, warnings) = Sampler::with_data(52, asked, Seed(1), sets).unwrap();
    let lowered = Warning::CandidatesLowered { asked: 15, instances: 12, used: 11 };
    assert_eq!(warnings, [Warning::DataSet { set: 1, warning: Box::new(lowered) }]);
    let some: Vec<u32> = (0..20).collect();
    sampler.record(&some, embeddings(&some, 0).rows(), 0).unwrap();
    sampler.next_segment().unwrap();
    let warnings: Vec<String> = sampler.take_warnings().iter().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 1);
    assert!(
        warnings[0].starts_with("data set 1: too few embeddings for a graph at step 0: 0 instances have one"),
        "{warnings:?}"
    );
    assert!((0..20).all(|instance| sampler.graph().contains(instance)));
}

#[test]
fn a_row_that_is_not_finite_is_named_by_its_number_among_all() {
    let (mut sampler, _) =
        Sampler::with_data(60, options(SamplerKind::Walk), Seed(1), data(&[30, 30], SetOrder::RoundRobin))
            .unwrap();
    let mut rows = embeddings(&(0..60).collect::<Vec<u32>>(), 0);
    rows.row_mut(47)[2] = f32::INFINITY;
    let error = sampler.rebuild_from(rows.rows(), &Silent).unwrap_err();
    assert_eq!(error, SamplingError::NotFinite { instance: 47, column: 2 });
}

#[test]
fn a_state_of_other_sets_is_refused_and_ranks_with_other_sets_differ() {
    let make = |sizes: &[usize], order| {
        Sampler::with_data(60, options(SamplerKind::Walk), Seed(1), data(sizes, order)).unwrap().0
    };
    let mut sampler = make(&[30, 30], SetOrder::Proportional);
    train(&mut sampler, 13);
    let (state, arrays) = sampler.state();
    for other in
        [data(&[20, 40], SetOrder::Proportional), data(&[30, 30], SetOrder::RoundRobin), RunData::default()]
    {
        let restored =
            Sampler::restore_with_data(60, options(SamplerKind::Walk), Seed(1), other, &state, &arrays);
        let error = restored.unwrap_err().to_string();
        assert!(error.contains("saved with data sets of [30, 30] instances (Proportional), not"), "{error}");
    }
    let all = [SetOrder::Proportional, SetOrder::RoundRobin].map(|order| make(&[30, 30], order).agreement());
    let error = check_agreement(&all).unwrap_err().to_string();
    assert!(error.contains("data sets"), "{error}");
}

#[test]
fn an_edge_between_sets_in_a_damaged_state_is_refused() {
    let sets = data(&[30, 30], SetOrder::Proportional);
    let (mut sampler, _) = Sampler::with_data(60, options(SamplerKind::Walk), Seed(1), sets.clone()).unwrap();
    train(&mut sampler, 13);
    let (mut state, mut arrays) = sampler.state();
    let lookalike_base::Values::U32(neighbors) = &mut arrays.get_mut("graph.neighbors").unwrap().values
    else {
        unreachable!("neighbours are u32")
    };
    neighbors[0] = 45;
    let (degrees, similarities) = (&arrays["graph.degrees"], &arrays["graph.similarities"]);
    let damaged = lookalike_sampling::ProximityGraph::from_edges(
        degrees.as_u32().unwrap(),
        arrays["graph.neighbors"].as_u32().unwrap().to_vec(),
        similarities.as_f32().unwrap().to_vec(),
    );
    state.fingerprint = damaged.unwrap().fingerprint();
    let restored = Sampler::restore_with_data(60, options(SamplerKind::Walk), Seed(1), sets, &state, &arrays);
    let error = restored.unwrap_err().to_string();
    assert!(error.contains("to 45, which is of another data set"), "{error}");
}
