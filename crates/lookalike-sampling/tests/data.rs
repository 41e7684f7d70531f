//! Samplers with groups, an oracle, ceilings and several ranks.

#![allow(clippy::unwrap_used, reason = "a helper of tests fails the test")]

mod common;

use common::{are_distinct, clustered, sorted};
use lookalike_base::{Matrix, Seed, Silent, Watch};
use lookalike_sampling::{
    Avoid, Coverage, GraphOptions, Groups, LastBatch, Oracle, RankSplit, Ranks, RunData, Sampler,
    SamplerKind, SamplerOptions, SamplerState, SamplingError, check_agreement, proximity_graph,
};
use proptest::prelude::*;

fn options(kind: SamplerKind, coverage: Coverage) -> SamplerOptions {
    SamplerOptions {
        kind,
        coverage,
        batch_size: 6,
        candidates: Some(40),
        neighbors: Some(6),
        refresh_every: 4,
        ..SamplerOptions::default()
    }
}

/// The embeddings of everybody after `step`.
fn everything(instances: usize, step: u64) -> (Vec<u32>, Matrix) {
    ((0..instances as u32).collect(), clustered(instances, 7, 5, step % 3))
}

/// Consumes a batch of each rank, as ranks do that gather their embeddings; returns the batches by rank.
fn step_together(ranks: &mut [Sampler], instances: usize) -> Vec<Vec<u32>> {
    let batches: Vec<Vec<u32>> =
        ranks.iter_mut().map(|sampler| sampler.next_segment().unwrap().batches.remove(0)).collect();
    let all: Vec<_> = ranks.iter().map(Sampler::agreement).collect();
    check_agreement(&all).unwrap();
    for sampler in ranks {
        let (everybody, rows) = everything(instances, sampler.steps());
        sampler.record(&everybody, rows.rows(), sampler.steps()).unwrap();
        sampler.advance().unwrap();
    }
    batches
}

fn samplers(instances: usize, options: &SamplerOptions, data: &RunData) -> Vec<Sampler> {
    (0..data.ranks.count)
        .map(|rank| {
            let data = RunData { ranks: Ranks { rank, ..data.ranks }, ..data.clone() };
            Sampler::with_data(instances, options.clone(), Seed(3), data).unwrap().0
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]

    #[test]
    fn ranks_get_equally_many_batches_that_hold_what_one_plan_holds(
        instances in 60_usize..130,
        count in 1_usize..5,
        kind in prop::sample::select(vec![SamplerKind::Uniform, SamplerKind::Walk, SamplerKind::Nearest]),
        (within, cover, grouped) in (any::<bool>(), any::<bool>(), any::<bool>()),
        stop in 0_usize..12,
    ) {
        let coverage = if cover { Coverage::Cover } else { Coverage::Repeat };
        let options = options(kind, coverage);
        let split = if within { RankSplit::Within } else { RankSplit::Batches };
        // Pairs of twins.
        let groups = Groups::new(&(0..instances as u64).map(|instance| instance / 2).collect::<Vec<_>>());
        let ranks = Ranks { rank: 0, count, split };
        let data = RunData { groups: grouped.then(|| groups.clone()), ranks, ..RunData::default() };
        let mut ranks = samplers(instances, &options, &data);
        let rounds = instances / 6 / count;
        prop_assert!(rounds > 0 && ranks.iter().all(|sampler| sampler.batches_per_epoch() == rounds));
        for epoch in 0..3 {
            let mut seen = Vec::new();
            for round in 0..rounds {
                if epoch * rounds + round == stop {
                    // Each rank goes on from what the last one saved in the middle of the epoch.
                    let (state, arrays) = ranks[count - 1].state();
                    prop_assert!(ranks.iter().all(|sampler| sampler.state().0 == state));
                    let text = serde_json::to_string(&state).unwrap();
                    let state: SamplerState = serde_json::from_str(&text).unwrap();
                    for (rank, sampler) in ranks.iter_mut().enumerate() {
                        let data = RunData { ranks: Ranks { rank, ..data.ranks }, ..data.clone() };
                        let restored = Sampler::restore_with_data(
                            instances, options.clone(), Seed(3), data, &state, &arrays,
                        ).unwrap().0;
                        let mut uninterrupted = sampler.clone();
                        *sampler = restored;
                        prop_assert_eq!(sampler.next_segment().unwrap(), uninterrupted.next_segment().unwrap());
                    }
                }
                let batches = step_together(&mut ranks, instances);
                prop_assert!(batches.iter().all(|batch| batch.len() == 6 && are_distinct(batch)));
                let together: Vec<Vec<u32>> = if within { vec![batches.concat()] } else { batches };
                for batch in &together {
                    prop_assert!(are_distinct(batch));
                    let met = |a: &u32| batch.iter().any(|b| a != b && groups.equal(*a, *b));
                    prop_assert!(!grouped || !batch.iter().any(met), "{batch:?}");
                }
                seen.extend(together.concat());
            }
            if cover || epoch == 0 {
                prop_assert!(seen.len() == rounds * count * 6 && are_distinct(&seen));
            }
            let report = ranks[0].report().finished.unwrap();
            prop_assert_eq!(report.batches, if within { rounds } else { rounds * count });
        }
    }
}

#[test]
fn the_ranks_of_a_split_by_batches_get_the_batches_of_one_plan_in_turn() {
    let options = SamplerOptions { uniform_epochs: 0, ..options(SamplerKind::Walk, Coverage::Cover) };
    let plan = |split, count| {
        let data = RunData { ranks: Ranks { rank: 0, count, split }, ..RunData::default() };
        let mut ranks = samplers(96, &options, &data);
        for sampler in &mut ranks {
            let (everybody, rows) = everything(96, 0);
            sampler.record(&everybody, rows.rows(), 0).unwrap();
        }
        ranks.iter_mut().map(|sampler| sampler.next_segment().unwrap().batches).collect::<Vec<_>>()
    };
    // Four batches until the refresh for each of four ranks: all sixteen of the epoch.
    let (by_batches, within) = (plan(RankSplit::Batches, 4), plan(RankSplit::Within, 4));
    assert!(by_batches.iter().chain(&within).all(|batches| batches.len() == 4));
    for parts in [by_batches, within] {
        assert_eq!(sorted(parts.concat().concat()), (0..96).collect::<Vec<u32>>());
    }
}

#[test]
fn what_all_ranks_get_together_is_what_each_gets_a_part_of() {
    let options = SamplerOptions { uniform_epochs: 0, ..options(SamplerKind::Walk, Coverage::Cover) };
    for split in [RankSplit::Batches, RankSplit::Within] {
        let data = RunData { ranks: Ranks { rank: 0, count: 4, split }, ..RunData::default() };
        let mut ranks = samplers(96, &options, &data);
        for sampler in &mut ranks {
            sampler.rebuild_from(everything(96, 0).1.rows(), &Silent).unwrap();
            sampler.next_segment().unwrap();
            sampler.advance().unwrap();
        }
        let together = ranks[3].next_segment_of_all(None, &Silent).unwrap();
        let parts: Vec<_> = ranks.iter_mut().map(|sampler| sampler.next_segment().unwrap().batches).collect();
        assert_eq!(parts.concat().len(), 12);
        for (rank, part) in parts.iter().enumerate() {
            for (step, batch) in part.iter().enumerate() {
                let expected = match split {
                    RankSplit::Batches => together.batches[step * 4 + rank].clone(),
                    RankSplit::Within => {
                        together.batches[step].iter().copied().skip(rank).step_by(4).collect()
                    }
                };
                assert_eq!(*batch, expected, "{split:?} rank {rank} step {step}");
            }
        }
    }
}

#[test]
fn a_graph_from_rows_kept_elsewhere_is_that_of_the_rows_and_the_epoch_goes_on_covering() {
    let options = SamplerOptions {
        uniform_epochs: 0,
        refresh_every: 1000,
        ..options(SamplerKind::Walk, Coverage::Cover)
    };
    let graph = GraphOptions { candidates: 40, neighbors: 6, ..GraphOptions::default() };
    let (mut sampler, _) = Sampler::new(96, options, Seed(1)).unwrap();
    let mut seen = Vec::new();
    for step in 0..16 {
        let (_, rows) = everything(96, step);
        if step % 5 == 0 {
            sampler.rebuild_from(rows.rows(), &Silent).unwrap();
            let expected =
                proximity_graph(rows.rows(), None, &graph, Seed(1), step / 5, Watch::default()).unwrap().0;
            assert_eq!(*sampler.graph(), expected);
        }
        seen.extend(sampler.next_segment().unwrap().batches.swap_remove(0));
        sampler.advance().unwrap();
    }
    assert_eq!(sorted(seen), (0..96).collect::<Vec<u32>>());
    let (everybody, rows) = everything(96, 0);
    assert!(matches!(
        sampler.rebuild_from(everything(95, 0).1.rows(), &Silent),
        Err(SamplingError::Rows { .. })
    ));
    sampler.record(&everybody, rows.rows(), 0).unwrap();
    assert!(matches!(sampler.rebuild_from(rows.rows(), &Silent), Err(SamplingError::Combination { .. })));
}

#[test]
fn ranks_with_other_graphs_are_an_error() {
    let data =
        RunData { ranks: Ranks { rank: 0, count: 2, split: RankSplit::Batches }, ..RunData::default() };
    let options = SamplerOptions { uniform_epochs: 0, ..options(SamplerKind::Walk, Coverage::Cover) };
    let mut ranks = samplers(96, &options, &data);
    for (sampler, step) in ranks.iter_mut().zip(0..) {
        let (everybody, rows) = everything(96, step);
        sampler.record(&everybody, rows.rows(), 0).unwrap();
        sampler.next_segment().unwrap();
    }
    let all: Vec<_> = ranks.iter().map(Sampler::agreement).collect();
    let error = check_agreement(&all).unwrap_err().to_string();
    assert!(error.contains("rank 1 differs from rank 0 in the graph's fingerprint"), "{error}");
    assert_eq!(check_agreement(&[all[0], all[0]]), Ok(()));
    ranks[1].advance().unwrap();
    let error = check_agreement(&[all[0], ranks[1].agreement()]).unwrap_err().to_string();
    assert!(error.contains("in the number of batches consumed"), "{error}");
}

#[test]
fn ranks_that_cannot_share_are_refused() {
    let refused = |options: SamplerOptions, rank, count| {
        let data = RunData { ranks: Ranks { rank, count, split: RankSplit::Batches }, ..RunData::default() };
        Sampler::with_data(60, options, Seed(1), data).unwrap_err().to_string()
    };
    let plain = options(SamplerKind::Uniform, Coverage::Cover);
    assert!(refused(plain.clone(), 2, 2).contains("there is no rank 2 among 2"));
    assert!(refused(plain.clone(), 0, 0).contains("there is no rank 0 among 0"));
    assert!(refused(plain.clone(), 0, 11).contains("do not give each of 11 ranks a batch"));
    let keep = SamplerOptions { last_batch: LastBatch::Keep, ..plain };
    assert!(refused(keep, 0, 2).contains("last_batch = \"keep\" does not go with several ranks"));
}

#[test]
fn groups_and_labels_that_cannot_hold_are_refused_before_anything_runs() {
    let refused = |options: &SamplerOptions, data: RunData| {
        Sampler::with_data(60, options.clone(), Seed(1), data).unwrap_err()
    };
    let groups = |of: fn(u64) -> u64| {
        let groups = Groups::new(&(0..60).map(of).collect::<Vec<u64>>());
        RunData { groups: Some(groups), ..RunData::default() }
    };
    let cover = options(SamplerKind::Walk, Coverage::Cover);
    let large = |instance| if instance < 11 { 5 } else { 100 + instance };
    let expected = SamplingError::LargeGroup { group: 5, members: 11, batches: 10 };
    assert_eq!(refused(&cover, groups(large)), expected);
    // Its first epoch is uniform, and so covers.
    let repeat = SamplerOptions { coverage: Coverage::Repeat, ..cover.clone() };
    assert_eq!(refused(&repeat, groups(large)), expected);
    let repeat = SamplerOptions { uniform_epochs: 0, ..repeat };
    assert!(Sampler::with_data(60, repeat.clone(), Seed(1), groups(large)).is_ok());
    let expected = SamplingError::FewGroups { groups: 1, batch_size: 6 };
    assert_eq!(refused(&repeat, groups(|_| 9)), expected);
    let short = RunData { groups: Some(Groups::new(&[1, 2])), ..RunData::default() };
    assert_eq!(refused(&cover, short), SamplingError::Length { what: "groups", found: 2, instances: 60 });
    let oracle = Some(Oracle { labels: vec![0; 61], avoid: Avoid::Edges });
    let long = RunData { oracle, ..RunData::default() };
    assert_eq!(refused(&cover, long), SamplingError::Length { what: "labels", found: 61, instances: 60 });
}

#[test]
fn edges_above_the_ceiling_and_within_a_class_are_not_in_the_graph() {
    let (everybody, rows) = everything(90, 0);
    let graph = |change: fn(&mut SamplerOptions), data: RunData| {
        let mut options = SamplerOptions { uniform_epochs: 0, ..options(SamplerKind::Walk, Coverage::Cover) };
        change(&mut options);
        let mut sampler = Sampler::with_data(90, options, Seed(1), data).unwrap().0;
        sampler.record(&everybody, rows.rows(), 0).unwrap();
        sampler.next_segment().unwrap();
        sampler.graph().into_owned()
    };
    let plain = graph(|_| (), RunData::default());
    let highest = |graph: &lookalike_sampling::ProximityGraph| {
        (0..90).flat_map(|own| graph.similarities(own).to_vec()).fold(-1.0, f32::max)
    };
    assert!(highest(&plain) > 0.9 && plain.edges() == 540);
    let below = graph(|options| options.similarity_ceiling = Some(0.8), RunData::default());
    assert!(highest(&below) <= 0.8 && below.edges() > 0);
    let fewer = graph(|options| options.edge_percentile = Some(75.0), RunData::default());
    assert_eq!(fewer.edges(), 405);
    assert!(highest(&fewer) < highest(&plain));
    let nothing = graph(|options| options.similarity_ceiling = Some(-1.0), RunData::default());
    assert_eq!(nothing.edges(), 0);
    let labels: Vec<u32> = (0..90).map(|instance| instance % 7).collect();
    let oracle = Some(Oracle { labels, avoid: Avoid::Edges });
    let others = graph(|_| (), RunData { oracle, ..RunData::default() });
    assert!(others.edges() > 0 && others.edges() < 540);
    assert!((0..90).all(|own| others.neighbors(own).iter().all(|other| other % 7 != own % 7)));
}

#[test]
fn ceilings_out_of_range_are_refused_by_name() {
    let refused = |change: fn(&mut SamplerOptions)| {
        let mut options = options(SamplerKind::Walk, Coverage::Cover);
        change(&mut options);
        Sampler::new(100, options, Seed(1)).unwrap_err().to_string()
    };
    for (change, start) in [
        ((|o| o.similarity_ceiling = Some(1.5)) as fn(&mut SamplerOptions), "similarity_ceiling = 1.5"),
        (|o| o.similarity_ceiling = Some(f64::NAN), "similarity_ceiling = NaN"),
        (|o| o.edge_percentile = Some(0.0), "edge_percentile = 0"),
        (|o| o.edge_percentile = Some(101.0), "edge_percentile = 101"),
        (
            |o| (o.similarity_ceiling, o.edge_percentile) = (Some(0.9), Some(90.0)),
            "similarity_ceiling does not go with edge_percentile",
        ),
    ] {
        let error = refused(change);
        assert!(error.starts_with(start), "{error}");
    }
}

#[test]
fn a_state_of_other_groups_labels_ranks_or_ceilings_is_refused() {
    let asked = options(SamplerKind::Walk, Coverage::Cover);
    let groups = |of: fn(u64) -> u64| Some(Groups::new(&(0..60).map(of).collect::<Vec<u64>>()));
    let data = RunData { groups: groups(|instance| instance / 2), ..RunData::default() };
    let (mut sampler, _) = Sampler::with_data(60, asked.clone(), Seed(1), data.clone()).unwrap();
    sampler.next_segment().unwrap();
    let (state, arrays) = sampler.state();
    let restore = |options: &SamplerOptions, data: RunData| {
        Sampler::restore_with_data(60, options.clone(), Seed(1), data, &state, &arrays)
            .map(|_| ())
            .map_err(|error| error.to_string())
    };
    assert_eq!(restore(&asked, data.clone()), Ok(()));
    let oracle = Some(Oracle { labels: vec![0; 60], avoid: Avoid::Members });
    let ranks = Ranks { rank: 0, count: 2, split: RankSplit::Within };
    for (other, what) in [
        (RunData::default(), "other groups"),
        (RunData { groups: groups(|instance| instance / 3), ..RunData::default() }, "other groups"),
        (RunData { oracle, ..data.clone() }, "another oracle"),
        (RunData { ranks, ..data.clone() }, "saved by 1 ranks"),
    ] {
        let error = restore(&asked, other).unwrap_err();
        assert!(error.contains(what), "{error}");
    }
    let other = SamplerOptions { edge_percentile: Some(90.0), ..asked.clone() };
    assert!(restore(&other, data.clone()).unwrap_err().contains("edge_percentile = none, not 90"));
    let other = SamplerOptions { similarity_ceiling: Some(0.5), ..asked };
    assert!(restore(&other, data).unwrap_err().contains("similarity_ceiling = none, not 0.5"));
}
