//! Nobody shares a batch with somebody who is more similar than the ceiling.

#![allow(clippy::unwrap_used, reason = "a helper of tests fails the test")]

use std::collections::HashSet;

use lookalike_base::{Matrix, Seed, Silent};
use lookalike_sampling::{
    Coverage, Groups, RunData, Sampler, SamplerKind, SamplerOptions, SamplerState, Segment, Warning,
};

const N: usize = 2000;
const TWINS: u32 = 200;
const B: usize = 64;

/// Ten classes; the last 200 rows are nearly those of the first 200.
fn twins() -> Matrix {
    let mut stream = Seed(3).stream("twins", 0, 0, 0);
    let centres: Vec<Vec<f32>> = (0..10).map(|_| (0..24).map(|_| stream.normal()).collect()).collect();
    let mut values: Vec<f32> = Vec::new();
    for instance in 0..N {
        values.extend(centres[instance % 10].iter().map(|value| value + 0.9 * stream.normal()));
    }
    let mut rows = Matrix::new(values, 24).unwrap();
    for twin in 0..TWINS as usize {
        let copy: Vec<f32> = rows.row(twin).iter().map(|value| value + 0.02 * stream.normal()).collect();
        rows.row_mut(N - TWINS as usize + twin).copy_from_slice(&copy);
    }
    rows
}

fn options() -> SamplerOptions {
    SamplerOptions {
        batch_size: B,
        candidates: Some(N - 1),
        neighbors: Some(40),
        uniform_epochs: 0,
        refresh_every: 1000,
        ..SamplerOptions::default()
    }
}

fn epoch(rows: &Matrix, options: &SamplerOptions, data: RunData) -> (Segment, Sampler) {
    let (mut sampler, _) = Sampler::with_data(N, options.clone(), Seed(1), data).unwrap();
    sampler.record(&(0..N as u32).collect::<Vec<u32>>(), rows.rows(), 0).unwrap();
    (sampler.next_segment().unwrap(), sampler)
}

/// The most similar two members of a batch.
fn highest(rows: &Matrix, batches: &[Vec<u32>]) -> f64 {
    let cosine = |a: u32, b: u32| {
        let dot = |x: &[f32], y: &[f32]| -> f64 { x.iter().zip(y).map(|(x, y)| f64::from(x * y)).sum() };
        let (a, b) = (rows.row(a as usize), rows.row(b as usize));
        dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
    };
    let pairs = batches.iter().flat_map(|batch| {
        batch.iter().enumerate().flat_map(move |(at, a)| batch[at + 1..].iter().map(move |b| cosine(*a, *b)))
    });
    pairs.fold(-1.0, f64::max)
}

/// The share of twins that share a batch.
fn met(batches: &[Vec<u32>]) -> f64 {
    let together = |twin: u32| {
        batches.iter().any(|batch| batch.contains(&twin) && batch.contains(&(twin + N as u32 - TWINS)))
    };
    (0..TWINS).filter(|twin| together(*twin)).count() as f64 / f64::from(TWINS)
}

/// Mean similarity within batches, less that of all pairs.
fn hardness(sampler: &Sampler) -> f64 {
    let tenths = sampler.report().current.hardness;
    tenths.iter().filter_map(|tenth| tenth.mean()).sum::<f64>() / 10.0
}

#[test]
fn twins_meet_no_more_and_batches_of_all_kinds_stay_hard() {
    let rows = twins();
    for kind in [SamplerKind::Walk, SamplerKind::Nearest, SamplerKind::Gcbs, SamplerKind::Clusters] {
        let walk = kind == SamplerKind::Walk;
        let free = SamplerOptions {
            kind,
            candidates: walk.then_some(N - 1),
            neighbors: (walk || kind == SamplerKind::Gcbs).then_some(40),
            ..options()
        };
        let (without, before) = epoch(&rows, &free, RunData::default());
        let (with, after) =
            epoch(&rows, &SamplerOptions { similarity_ceiling: Some(0.95), ..free }, RunData::default());
        assert!(met(&without.batches) > 0.3, "{kind:?} {}", met(&without.batches));
        assert_eq!(met(&with.batches), 0.0, "{kind:?}");
        assert!(highest(&rows, &with.batches) <= 0.95 + 1e-6, "{kind:?}");
        assert!(
            hardness(&after) > 0.8 * hardness(&before),
            "{kind:?} {} {}",
            hardness(&after),
            hardness(&before)
        );
        assert!(with.batches.iter().all(|batch| batch.iter().collect::<HashSet<_>>().len() == B));
        // Hardly anybody comes twice: only where nobody who is left may come in.
        let repeated: u64 = with.origins.iter().map(|origins| origins.repeated).sum();
        assert!(repeated < N as u64 / 50, "{kind:?} {repeated}");
        let distinct: HashSet<u32> = with.batches.concat().into_iter().collect();
        assert_eq!(distinct.len() as u64, (N / B * B) as u64 - repeated, "{kind:?}");
        assert_eq!(with.origins.iter().map(|origins| origins.above_ceiling).sum::<u64>(), 0);
    }
}

#[test]
fn percentiles_of_all_pairs_and_of_edges_are_ceilings_of_members_too() {
    let rows = twins();
    let (found, sampler) =
        epoch(&rows, &SamplerOptions { pair_percentile: Some(99.0), ..options() }, RunData::default());
    let limit = sampler.state().0.limits[0].unwrap();
    assert!(highest(&rows, &found.batches) <= limit + 1e-6);
    let (found, sampler) =
        epoch(&rows, &SamplerOptions { edge_percentile: Some(90.0), ..options() }, RunData::default());
    let edges = sampler.state().0.limits[0].unwrap();
    assert!(highest(&rows, &found.batches) <= edges + 1e-6);
    // Neighbours are the most similar of all pairs.
    assert!(edges > limit);
}

#[test]
fn a_ceiling_goes_with_groups_and_repeated_instances_and_a_uniform_share() {
    let rows = twins();
    let ids: Vec<u64> = (0..N as u64).map(|instance| instance / 3).collect();
    for coverage in [Coverage::Cover, Coverage::Repeat] {
        let asked =
            SamplerOptions { coverage, similarity_ceiling: Some(0.8), uniform_fraction: 0.25, ..options() };
        let data = RunData { groups: Some(Groups::new(&ids)), ..RunData::default() };
        let (found, _) = epoch(&rows, &asked, data);
        assert!(highest(&rows, &found.batches) <= 0.8 + 1e-6, "{coverage:?}");
        for batch in &found.batches {
            let groups: HashSet<u64> = batch.iter().map(|member| ids[*member as usize]).collect();
            assert_eq!(groups.len(), B, "{coverage:?}");
        }
    }
}

#[test]
fn a_ceiling_that_nobody_can_keep_is_exceeded_with_a_count_and_a_warning() {
    // All rows alike: nobody is below the ceiling with anybody.
    let rows = Matrix::new(vec![1.0; N * 24], 24).unwrap();
    let asked = SamplerOptions { similarity_ceiling: Some(0.5), ..options() };
    let (found, mut sampler) = epoch(&rows, &asked, RunData::default());
    assert_eq!(found.batches.concat().into_iter().collect::<HashSet<u32>>().len(), N / B * B);
    let above: u64 = found.origins.iter().map(|origins| origins.above_ceiling).sum();
    assert_eq!(above as usize, N / B * (B - 1), "all but the first of each batch");
    let warnings = sampler.take_warnings();
    assert!(warnings.iter().any(|warning| matches!(warning, Warning::NoEdges { .. })), "{warnings:?}");
    assert!(warnings.contains(&Warning::AboveCeiling { step: 0, members: above, batches: N / B }));
}

#[test]
fn a_state_amid_a_segment_goes_on_with_the_batches_that_were_planned() {
    let rows = twins();
    let asked = SamplerOptions { similarity_ceiling: Some(0.9), ..options() };
    let (_, mut sampler) = epoch(&rows, &asked, RunData::default());
    for _ in 0..5 {
        sampler.advance().unwrap();
    }
    // What is recorded now decides about later segments, not about this one.
    let mut stream = Seed(9).stream("new", 0, 0, 0);
    let others = Matrix::new((0..N * 24).map(|_| stream.normal()).collect(), 24).unwrap();
    sampler.record(&(0..N as u32).collect::<Vec<u32>>(), others.rows(), 5).unwrap();
    let (state, arrays) = sampler.state();
    let text = serde_json::to_string(&state).unwrap();
    let state: SamplerState = serde_json::from_str(&text).unwrap();
    let (mut again, _) = Sampler::restore(N, asked.clone(), Seed(1), &state, &arrays).unwrap();
    assert_eq!(again.next_segment().unwrap(), sampler.next_segment().unwrap());
    let mut damaged = arrays.clone();
    damaged.get_mut("segment.members").unwrap().shape = vec![3];
    assert!(Sampler::restore(N, asked, Seed(1), &state, &damaged).is_err());
}

#[test]
fn rows_kept_elsewhere_keep_a_ceiling_too() {
    let rows = twins();
    let asked = SamplerOptions { similarity_ceiling: Some(0.9), ..options() };
    let (mut sampler, _) = Sampler::new(N, asked, Seed(1)).unwrap();
    sampler.rebuild_from(rows.rows(), &Silent).unwrap();
    let found = sampler.next_segment_of_all(Some(&rows.rows()), &Silent).unwrap();
    assert!(highest(&rows, &found.batches) <= 0.9 + 1e-6);
    assert_eq!(met(&found.batches), 0.0);
}
