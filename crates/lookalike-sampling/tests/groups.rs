//! What plans with groups hold: nobody meets another of the group, and a covering epoch still covers.

#![allow(clippy::unwrap_used, reason = "a helper of tests fails the test")]

mod common;

use common::{are_distinct, graph_of, random_graph, sorted};
use lookalike_base::{Seed, Watch};
use lookalike_sampling::{
    Coverage, Groups, InstanceSet, LastBatch, PlanInput, ProximityGraph, SamplingError, Strategy, Transition,
    batches_per_epoch, plan_segment,
};
use proptest::prelude::*;

/// The batches of an epoch, planned in segments of `length`.
fn epoch(input: &PlanInput<'_>, length: usize) -> Result<Vec<Vec<u32>>, SamplingError> {
    let total = batches_per_epoch(input.instances, input.batch_size, input.last_batch);
    let mut used = input.used.clone();
    let mut all = Vec::new();
    for first_batch in (0..total).step_by(length) {
        let batches = length.min(total - first_batch);
        let segment =
            plan_segment(&PlanInput { first_batch, batches, used: &used, ..*input }, Watch::default())?;
        used.extend(segment.batches.iter().flatten().copied());
        all.extend(segment.batches);
    }
    Ok(all)
}

fn input<'a>(
    graph: &'a ProximityGraph,
    none: &'a InstanceSet,
    groups: &'a Groups,
    batch_size: usize,
) -> PlanInput<'a> {
    PlanInput {
        instances: graph.instances(),
        batch_size,
        last_batch: LastBatch::Drop,
        multiple: 1,
        coverage: Coverage::Cover,
        strategy: Strategy::Walk(Transition { graph, restart: 0.1, weights: None }),
        uniform_fraction: 0.0,
        groups: Some(groups),
        ceiling: None,
        labels: None,
        seed: Seed(11),
        epoch: 0,
        first_batch: 0,
        batches: 1,
        used: none,
    }
}

/// Identifiers for `instances` in groups of at most `largest`, some of them of exactly that size.
fn identifiers(instances: usize, largest: usize, full: usize, seed: u64) -> Vec<u64> {
    let mut stream = Seed(seed).stream("groups", 0, 0, 0);
    let mut identifiers = Vec::new();
    for group in 0_u64.. {
        let size = if (group as usize) < full { largest } else { 1 + stream.below(largest as u32) as usize };
        identifiers.extend(std::iter::repeat_n(group * 7, size));
        if identifiers.len() >= instances {
            break;
        }
    }
    identifiers.truncate(instances);
    stream.shuffle(&mut identifiers);
    identifiers
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn nobody_meets_another_of_the_group_and_covering_epochs_cover(
        seed in any::<u64>(),
        instances in 2_usize..150,
        batch_size in 1_usize..30,
        most in 0_u32..12,
        full in 0_usize..40,
        length in 1_usize..9,
        (keep, cover, smaller) in (any::<bool>(), any::<bool>(), 0_usize..3),
        strategy in 0..3,
        uniform_fraction in prop::sample::select(vec![0.0, 0.3, 1.0]),
    ) {
        let batch_size = batch_size.min(instances);
        let last_batch = if keep { LastBatch::Keep } else { LastBatch::Drop };
        let total = batches_per_epoch(instances, batch_size, last_batch);
        let largest = total.saturating_sub(smaller).max(1);
        let groups = Groups::new(&identifiers(instances, largest, full, seed));
        let graph = random_graph(instances, most, seed);
        let none = InstanceSet::new(instances);
        let plain = input(&graph, &none, &groups, batch_size);
        let strategy = match strategy {
            0 => Strategy::Uniform,
            1 => Strategy::Nearest { graph: &graph },
            _ => plain.strategy,
        };
        let coverage = if cover { Coverage::Cover } else { Coverage::Repeat };
        let covers = cover || matches!(strategy, Strategy::Uniform);
        let input = PlanInput { last_batch, coverage, strategy, uniform_fraction, seed: Seed(seed), ..plain };
        let all = match epoch(&input, length) {
            Ok(all) => all,
            // The only reason why groups no larger than there are batches can be refused.
            Err(SamplingError::LargestGroups { groups, last, .. }) => {
                prop_assert!(covers && keep && groups > last && last < batch_size);
                return Ok(());
            }
            Err(SamplingError::FewGroups { groups, .. }) => {
                prop_assert!(groups < batch_size);
                return Ok(());
            }
            Err(other) => return Err(TestCaseError::fail(other.to_string())),
        };
        prop_assert_eq!(&all, &epoch(&input, length).unwrap(), "a plan is a pure function of its input");
        for (at, batch) in all.iter().enumerate() {
            prop_assert_eq!(batch.len(), batch_size.min(instances - at * batch_size));
            let met = |a: &u32| batch.iter().any(|b| a != b && groups.equal(*a, *b));
            prop_assert!(are_distinct(batch) && !batch.iter().any(met), "batch {at}: {batch:?}");
        }
        if covers {
            let members = all.concat();
            let expected = if keep { instances } else { total * batch_size };
            prop_assert!(members.len() == expected && are_distinct(&members));
        }
    }
}

#[test]
fn groups_as_large_as_the_epoch_has_batches_still_come_exactly_once() {
    // Ten batches of eight; eight groups of ten: every batch must hold one of each.
    let identifiers: Vec<u64> = (0..80).map(|instance| instance % 8).collect();
    let groups = Groups::new(&identifiers);
    let (graph, none) = (random_graph(80, 10, 3), InstanceSet::new(80));
    for length in [1, 3, 10] {
        let all = epoch(&input(&graph, &none, &groups, 8), length).unwrap();
        assert_eq!(sorted(all.concat()), (0..80).collect::<Vec<u32>>());
        for batch in all {
            let mut met: Vec<u64> = batch.iter().map(|member| identifiers[*member as usize]).collect();
            met.sort_unstable();
            assert_eq!(met, (0..8).collect::<Vec<u64>>());
        }
    }
}

#[test]
fn a_group_larger_than_the_epoch_has_batches_is_refused_by_name() {
    let identifiers: Vec<u64> =
        (0..80).map(|instance| if instance < 11 { 77 } else { 1000 + instance }).collect();
    let groups = Groups::new(&identifiers);
    let (graph, none) = (random_graph(80, 10, 3), InstanceSet::new(80));
    let covering = input(&graph, &none, &groups, 8);
    let expected = SamplingError::LargeGroup { group: 77, members: 11, batches: 10 };
    assert_eq!(plan_segment(&covering, Watch::default()).unwrap_err(), expected);
    assert_eq!(
        plan_segment(&PlanInput { strategy: Strategy::Uniform, ..covering }, Watch::default()).unwrap_err(),
        expected
    );
    let repeating = PlanInput { coverage: Coverage::Repeat, ..covering };
    assert_eq!(epoch(&repeating, 10).unwrap().len(), 10);
}

#[test]
fn in_one_group_everybody_has_a_batch_alone_or_is_refused() {
    let groups = Groups::new(&[5; 20]);
    let (graph, none) = (random_graph(20, 5, 3), InstanceSet::new(20));
    for coverage in [Coverage::Repeat, Coverage::Cover] {
        let alone = PlanInput { coverage, ..input(&graph, &none, &groups, 1) };
        assert_eq!(epoch(&alone, 7).unwrap().len(), 20);
        let two = PlanInput { coverage, ..input(&graph, &none, &groups, 2) };
        let expected = SamplingError::FewGroups { groups: 1, batch_size: 2 };
        assert_eq!(plan_segment(&two, Watch::default()).unwrap_err(), expected);
    }
}

#[test]
fn groups_and_labels_of_another_length_and_used_instances_that_leave_no_plan_are_refused() {
    let (graph, none) = (random_graph(20, 5, 3), InstanceSet::new(20));
    let short = Groups::new(&[1; 19]);
    let error = plan_segment(&input(&graph, &none, &short, 4), Watch::default()).unwrap_err().to_string();
    assert!(error.contains("19 groups do not fit 20 instances"), "{error}");
    let groups = Groups::new(&(0..20).map(|instance| instance % 4).collect::<Vec<u64>>());
    let labels = [0; 21];
    let fits = input(&graph, &none, &groups, 4);
    let error =
        plan_segment(&PlanInput { labels: Some(&labels), ..fits }, Watch::default()).unwrap_err().to_string();
    assert!(error.contains("21 labels do not fit 20 instances"), "{error}");
    // Four groups of five, the first of them untouched where only four batches are left.
    let mut used = InstanceSet::new(20);
    used.extend([1, 2, 3, 5]);
    let error = plan_segment(&PlanInput { first_batch: 1, used: &used, ..fits }, Watch::default())
        .unwrap_err()
        .to_string();
    assert!(error.contains("group 0 has 5 unused members, and 4 batches are left"), "{error}");
}

#[test]
fn with_labels_as_an_oracle_walks_collect_nobody_of_their_start_s_class() {
    let labels: Vec<u32> = (0..600).map(|instance| instance % 4).collect();
    let groups = Groups::new(&(0..600).collect::<Vec<u64>>());
    let ring: Vec<Vec<u32>> =
        (0..600_u32).map(|own| (1..30).map(|step| (own + step) % 600).collect()).collect();
    let (graph, none) = (graph_of(&ring), InstanceSet::new(600));
    let plain = PlanInput { groups: None, coverage: Coverage::Repeat, ..input(&graph, &none, &groups, 10) };
    let all = epoch(&PlanInput { labels: Some(&labels), ..plain }, 60).unwrap();
    let of = |member: u32| labels[member as usize];
    assert!(all.iter().all(|batch| batch[1..].iter().all(|member| of(*member) != of(batch[0]))));
    let all = epoch(&plain, 60).unwrap();
    assert!(all.iter().any(|batch| batch[1..].iter().any(|member| of(*member) == of(batch[0]))));
}
