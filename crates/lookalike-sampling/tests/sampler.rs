//! The sampler as a trainer drives it.

#![allow(clippy::unwrap_used, reason = "a helper of tests fails the test")]

mod common;

use common::{are_distinct, clustered, embeddings, sorted, train, with_threads};
use lookalike_base::{Array, Cancellation, Matrix, Seed, Watch};
use lookalike_sampling::{
    Avoid, BatchOrder, CandidateDraw, Coverage, GraphOptions, HardnessShare, LastBatch, Oracle,
    RestartSchedule, RunData, Sampler, SamplerKind, SamplerOptions, SamplerState, SamplingError, Scoring,
    Warning, check_agreement, proximity_graph,
};
use proptest::prelude::*;

fn options(kind: SamplerKind, coverage: Coverage) -> SamplerOptions {
    SamplerOptions {
        kind,
        coverage,
        batch_size: 12,
        candidates: Some(40),
        neighbors: Some(6),
        refresh_every: 5,
        ..SamplerOptions::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn a_restored_sampler_goes_on_as_if_it_had_never_stopped(
        seed in any::<u64>(),
        instances in 14_usize..90,
        batch_size in 1_usize..14,
        kind in prop::sample::select(vec![SamplerKind::Uniform, SamplerKind::Walk, SamplerKind::Nearest]),
        (keep, cover) in (any::<bool>(), any::<bool>()),
        refresh_every in 1_u64..12,
        (uniform_epochs, uniform_every) in (0_u64..3, prop::option::of(2_u64..4)),
        stop in 0_u64..40,
        (planned_before_saving, weighted, light, shuffle) in any::<(bool, bool, bool, bool)>(),
        uniform_fraction in prop::sample::select(vec![0.0, 0.3, 1.0]),
    ) {
        let options = SamplerOptions {
            kind,
            batch_size,
            coverage: if cover { Coverage::Cover } else { Coverage::Repeat },
            last_batch: if keep { LastBatch::Keep } else { LastBatch::Drop },
            candidates: Some(30),
            neighbors: Some(5),
            refresh_every,
            uniform_epochs,
            uniform_every: uniform_every.filter(|_| kind != SamplerKind::Uniform),
            temperature: (weighted && kind == SamplerKind::Walk).then_some(0.1),
            uniform_fraction: if kind == SamplerKind::Uniform { 0.0 } else { uniform_fraction },
            batch_order: shuffle.then_some(BatchOrder::Shuffled),
            ..SamplerOptions::default()
        };
        let (mut whole, _) = Sampler::new(instances, options.clone(), Seed(seed)).unwrap();
        let mut stopped = whole.clone();
        let expected = train(&mut whole, stop + 30);
        let mut found = train(&mut stopped, stop);
        if planned_before_saving {
            stopped.next_segment().unwrap();
        }
        let (state, arrays) = if light { stopped.light_state() } else { stopped.state() };
        let state: SamplerState = serde_json::from_str(&serde_json::to_string(&state).unwrap()).unwrap();
        let (mut resumed, _) = Sampler::restore(instances, options, Seed(seed), &state, &arrays).unwrap();
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
fn asking_again_without_progress_gives_the_same_segment() {
    let (mut sampler, _) = Sampler::new(100, options(SamplerKind::Walk, Coverage::Cover), Seed(1)).unwrap();
    train(&mut sampler, 11);
    let first = sampler.next_segment().unwrap();
    // Embeddings that come meanwhile count from the next refresh on.
    sampler.record(&[1, 2], embeddings(&[1, 2], 99).rows(), 11).unwrap();
    assert_eq!(sampler.next_segment().unwrap(), first);
    sampler.advance().unwrap();
    let rest = sampler.next_segment().unwrap();
    assert_eq!((rest.first_batch, &rest.batches[..]), (first.first_batch + 1, &first.batches[1..]));
}

#[test]
fn batches_are_the_same_for_any_number_of_threads() {
    let run = || {
        let (mut sampler, _) =
            Sampler::new(300, options(SamplerKind::Walk, Coverage::Cover), Seed(1)).unwrap();
        train(&mut sampler, 100)
    };
    let alone = with_threads(1, run);
    assert_eq!(with_threads(3, run), alone);
}

#[test]
fn the_first_epochs_are_uniform_and_gather_the_embeddings() {
    let (mut sampler, _) = Sampler::new(120, options(SamplerKind::Walk, Coverage::Repeat), Seed(1)).unwrap();
    let first = train(&mut sampler, 10);
    assert_eq!(sorted(first.concat()), (0..120).collect::<Vec<u32>>());
    let finished = sampler.report().finished.unwrap();
    assert_eq!((finished.epoch, finished.batches, finished.reach), (0, 10, 1.0));
    assert!(finished.deciles.iter().all(|origins| origins.uniform == 12 && origins.members() == 12));
    assert_eq!((sampler.report().builds, sampler.graph().edges()), (0, 0));

    train(&mut sampler, 1);
    let report = sampler.report();
    assert_eq!((report.builds, sampler.graph().edges()), (1, 120 * 6));
    let staleness = report.staleness.unwrap();
    // The batches of steps 0 to 9 were 10 to 1 steps old.
    assert_eq!((staleness.step, staleness.without_embedding), (10, 0));
    assert_eq!((staleness.mean_age, staleness.max_age), (5.5, 10));
    assert_eq!(report.current.deciles[0].uniform, 0);
}

#[test]
fn the_graph_is_rebuilt_after_as_many_batches_as_asked_for() {
    let (mut sampler, _) = Sampler::new(120, options(SamplerKind::Walk, Coverage::Repeat), Seed(1)).unwrap();
    train(&mut sampler, 10);
    let mut lengths = Vec::new();
    let mut fingerprints = std::collections::HashSet::new();
    while sampler.steps() < 40 {
        let length = sampler.next_segment().unwrap().batches.len();
        fingerprints.insert(sampler.graph().fingerprint());
        lengths.push(length);
        train(&mut sampler, length as u64);
    }
    assert_eq!(lengths, [5; 6]);
    assert_eq!((fingerprints.len(), sampler.report().builds), (6, 6));
}

#[test]
fn an_epoch_begins_anew_or_later_when_it_is_set_and_steps_go_on_counting() {
    let (mut sampler, _) = Sampler::new(120, options(SamplerKind::Walk, Coverage::Cover), Seed(1)).unwrap();
    let first = train(&mut sampler, 4);
    sampler.set_epoch(0).unwrap();
    assert_eq!((sampler.epoch(), sampler.position(), sampler.steps()), (0, 0, 4));
    assert_eq!(train(&mut sampler, 4), first, "a uniform epoch begins with the same batches");
    sampler.set_epoch(3).unwrap();
    let ahead = train(&mut sampler, 10);
    assert!(are_distinct(&ahead.concat()) && sampler.steps() == 18);
    // The graph is of step 8, when the first epoch that is not uniform began, and of five steps later.
    assert_eq!(sampler.report().builds, 2);
    sampler.set_epoch(2).unwrap();
    train(&mut sampler, 3);
    let (state, arrays) = sampler.state();
    assert_eq!(state.steps as i64 + state.skipped, 2 * 10 + 3);
    let asked = options(SamplerKind::Walk, Coverage::Cover);
    let (mut resumed, _) = Sampler::restore(120, asked, Seed(1), &state, &arrays).unwrap();
    assert_eq!(train(&mut resumed, 20), train(&mut sampler, 20));
    let error = sampler.set_epoch(u64::MAX).unwrap_err();
    assert_eq!(error, SamplingError::Epoch { epoch: u64::MAX });
}

#[test]
fn a_cancelled_refresh_changes_nothing_and_can_be_asked_for_again() {
    for kind in [SamplerKind::Walk, SamplerKind::Nearest] {
        let (mut sampler, _) = Sampler::new(120, options(kind, Coverage::Cover), Seed(1)).unwrap();
        train(&mut sampler, 10);
        let before = sampler.state();
        let raised = Cancellation::new();
        raised.cancel();
        let mut undisturbed = sampler.clone();
        sampler.set_cancellation(raised);
        assert_eq!(sampler.next_segment().unwrap_err(), SamplingError::Cancelled);
        assert_eq!(sampler.state(), before);
        sampler.set_cancellation(Cancellation::new());
        assert_eq!(train(&mut sampler, 10), train(&mut undisturbed, 10));
    }
}

#[test]
fn an_instance_without_an_embedding_waits_for_it_in_uniform_places() {
    // 125 instances in batches of 12: the uniform epoch leaves five out, who have no embedding then.
    let (mut sampler, _) = Sampler::new(125, options(SamplerKind::Walk, Coverage::Cover), Seed(1)).unwrap();
    train(&mut sampler, 11);
    assert_eq!(sampler.report().staleness.unwrap().without_embedding, 5);
    train(&mut sampler, 9);
    let finished = sampler.report().finished.unwrap();
    assert_eq!(finished.epoch, 1);
    let uniform: u64 = finished.deciles.iter().map(|origins| origins.uniform).sum();
    assert!((1..=5).contains(&uniform), "{uniform}");
    assert_eq!(finished.reach, 120.0 / 125.0);
}

#[test]
fn without_embeddings_enough_batches_stay_uniform_and_a_warning_says_so() {
    let options = SamplerOptions { uniform_epochs: 0, ..options(SamplerKind::Walk, Coverage::Cover) };
    let (mut sampler, warnings) = Sampler::new(120, options, Seed(1)).unwrap();
    assert!(warnings.is_empty());
    let first = sampler.next_segment().unwrap();
    assert!(first.origins.iter().all(|origins| origins.uniform == 12));
    assert_eq!(sampler.take_warnings(), [Warning::TooFewEmbeddings { step: 0, embedded: 0, neighbors: 6 }]);
    // Five batches later there are embeddings of 60.
    let consumed = train(&mut sampler, 6);
    assert_eq!(first.batches, consumed[..5]);
    assert!(are_distinct(&consumed.concat()));
    assert_eq!(sampler.report().graph.unwrap().members, 60);
    // They came in this epoch already, and so its batches stay uniform.
    assert_eq!(sampler.take_warnings(), [Warning::AllUsed { step: 5, embedded: 60 }]);
}

#[test]
fn more_candidates_than_others_are_lowered_with_a_warning_before_anything_runs() {
    let few = SamplerOptions { candidates: Some(500), ..options(SamplerKind::Walk, Coverage::Cover) };
    let (_, warnings) = Sampler::new(100, few, Seed(1)).unwrap();
    assert_eq!(warnings, [Warning::CandidatesLowered { asked: 500, instances: 100, used: 99 }]);
}

#[test]
fn options_out_of_range_are_refused_by_name() {
    let refused = |change: fn(&mut SamplerOptions)| {
        let mut options = options(SamplerKind::Walk, Coverage::Cover);
        change(&mut options);
        Sampler::new(100, options, Seed(1)).unwrap_err()
    };
    assert_eq!(
        refused(|options| options.batch_size = 101),
        SamplingError::BatchSize { batch_size: 101, instances: 100 }
    );
    assert_eq!(
        refused(|options| options.batch_size = 0),
        SamplingError::BatchSize { batch_size: 0, instances: 100 }
    );
    assert_eq!(
        refused(|options| options.neighbors = Some(41)),
        SamplingError::Neighbors { neighbors: 41, candidates: 40 }
    );
    assert_eq!(refused(|options| options.candidates = Some(0)), SamplingError::Zero { option: "candidates" });
    assert_eq!(refused(|options| options.refresh_every = 0), SamplingError::Zero { option: "refresh_every" });
    for (change, option) in [
        ((|options| restart(options).from = 1.0) as fn(&mut SamplerOptions), "restart.from"),
        (|options| restart(options).to = -0.1, "restart.to"),
        (|options| restart(options).to = f64::NAN, "restart.to"),
        (|options| restart(options).over_epochs = f64::INFINITY, "restart.over_epochs"),
        (|options| options.pair_percentile = Some(101.0), "pair_percentile"),
        (|options| options.budget = 0.0, "budget"),
        (|options| options.epoch_seconds = Some(-1.0), "epoch_seconds"),
        (|options| options.hardness_share = Some(HardnessShare::constant(1.1)), "hardness_share"),
        (|options| options.temperature = Some(0.0), "temperature"),
        (|options| options.uniform_fraction = 1.5, "uniform_fraction"),
    ] {
        assert!(matches!(refused(change), SamplingError::Number { option: named, .. } if named == option));
    }
    let nearest = |options: &mut SamplerOptions| {
        (options.kind, options.temperature) = (SamplerKind::Nearest, Some(0.1));
    };
    assert!(refused(nearest).to_string().starts_with("temperature does not go with kind = \"nearest\""));
    for instances in [0, 1] {
        let refused =
            Sampler::new(instances, options(SamplerKind::Uniform, Coverage::Cover), Seed(1)).unwrap_err();
        assert_eq!(refused, SamplingError::Instances { instances });
    }
}

#[test]
fn restart_probability_follows_its_schedule() {
    let schedule = RestartSchedule::default();
    for (epoch, expected) in [(0, 0.2), (1, 0.18), (5, 0.1), (7, 0.06), (8, 0.05), (1000, 0.05)] {
        assert!((schedule.at(epoch) - expected).abs() < 1e-6, "epoch {epoch}: {}", schedule.at(epoch));
    }
    assert_eq!(RestartSchedule { from: 0.2, to: 0.1, over_epochs: 0.0 }.at(0), 0.1);
    assert_eq!(RestartSchedule { from: 0.0, to: 0.5, over_epochs: 2.0 }.at(1), 0.25);
}

#[test]
fn an_unknown_option_is_refused_and_a_missing_one_is_the_paper_s() {
    let parsed: SamplerOptions =
        serde_json::from_str(r#"{ "kind": "nearest", "coverage": "cover" }"#).unwrap();
    assert_eq!((parsed.kind, parsed.coverage), (SamplerKind::Nearest, Coverage::Cover));
    assert_eq!((parsed.candidates, parsed.neighbors, parsed.refresh_every), (None, None, 100));
    let misspelt = serde_json::from_str::<SamplerOptions>(r#"{ "neighbours": 3 }"#).unwrap_err();
    assert!(misspelt.to_string().contains("unknown field `neighbours`"), "{misspelt}");
}

#[test]
fn embeddings_that_do_not_fit_are_refused_and_nothing_is_taken() {
    let (mut sampler, _) = Sampler::new(100, options(SamplerKind::Walk, Coverage::Cover), Seed(1)).unwrap();
    train(&mut sampler, 3);
    let before = sampler.state();
    let mut bad = embeddings(&[7, 8], 3);
    bad.row_mut(1)[4] = f32::NAN;
    let good = embeddings(&[7, 8], 3);
    let wide = Matrix::new(vec![1.0; 14], 7).unwrap();
    let refused = [
        (sampler.record(&[7, 8], bad.rows(), 3), SamplingError::NotFinite { instance: 8, column: 4 }),
        (sampler.record(&[7], good.rows(), 3), SamplingError::Rows { rows: 2, instances: 1 }),
        (sampler.record(&[7, 8], wide.rows(), 3), SamplingError::Columns { expected: 6, found: 7 }),
        (
            sampler.record(&[7, 100], good.rows(), 3),
            SamplingError::Instance { instance: 100, instances: 100 },
        ),
    ];
    for (found, expected) in refused {
        assert_eq!(found.unwrap_err(), expected);
    }
    assert_eq!(sampler.state(), before);
}

#[test]
fn a_state_of_another_run_is_refused_with_what_differs() {
    let asked = options(SamplerKind::Walk, Coverage::Cover);
    let (mut sampler, _) = Sampler::new(100, asked.clone(), Seed(1)).unwrap();
    train(&mut sampler, 12);
    let (state, arrays) = sampler.state();
    let refused = |instances, options: &SamplerOptions, seed| {
        Sampler::restore(instances, options.clone(), Seed(seed), &state, &arrays).unwrap_err().to_string()
    };
    assert!(refused(101, &asked, 1).contains("instances = 100, not 101"));
    assert!(refused(100, &asked, 2).contains("seed = 1, not 2"));
    let other = SamplerOptions { neighbors: Some(7), ..asked.clone() };
    assert!(refused(100, &other, 1).contains("neighbors = 6, not 7"));
    let other = SamplerOptions {
        restart: Some(RestartSchedule { to: 0.1, ..RestartSchedule::default() }),
        ..asked.clone()
    };
    assert!(refused(100, &other, 1).contains("restart.to = 0.05, not 0.1"));
    let other = SamplerOptions { temperature: Some(0.5), ..options(SamplerKind::Walk, Coverage::Cover) };
    assert!(refused(100, &other, 1).contains("temperature = none, not 0.5"));
    let other = SamplerOptions { uniform_fraction: 0.5, ..options(SamplerKind::Walk, Coverage::Cover) };
    assert!(refused(100, &other, 1).contains("uniform_fraction = 0, not 0.5"));
}

/// The batches of epoch 1, the first one with a graph, under this order.
fn batches_in(batch_order: BatchOrder) -> Vec<Vec<u32>> {
    let batch_order = Some(batch_order);
    let asked =
        SamplerOptions { batch_order, refresh_every: 7, ..options(SamplerKind::Walk, Coverage::Cover) };
    let (mut sampler, _) = Sampler::new(240, asked, Seed(3)).unwrap();
    train(&mut sampler, 40).split_off(20)
}

#[test]
fn shuffled_batches_are_those_that_were_planned_in_another_order() {
    let (planned, shuffled) = (batches_in(BatchOrder::Planned), batches_in(BatchOrder::Shuffled));
    assert!(planned != shuffled && planned.len() == 20);
    // The first segment of the epoch, whose graph and unused instances are the same.
    let segment = |batches: &[Vec<u32>]| {
        let mut segment = batches[..7].to_vec();
        segment.sort();
        segment
    };
    assert_eq!(segment(&planned), segment(&shuffled));
    let everybody = |batches: Vec<Vec<u32>>| {
        let mut all = batches.concat();
        all.sort_unstable();
        all
    };
    assert_eq!(everybody(planned), everybody(shuffled));
}

/// The restart schedule, to be changed.
fn restart(options: &mut SamplerOptions) -> &mut RestartSchedule {
    options.restart.get_or_insert_default()
}

type Change = fn(&mut SamplerOptions);

/// One change of each option, under the name that an error gives it.
const CHANGES: [(&str, Change); 23] = [
    ("kind", |options| options.kind = SamplerKind::Nearest),
    ("batch_size", |options| options.batch_size = 10),
    ("coverage", |options| options.coverage = Coverage::Repeat),
    ("candidates", |options| options.candidates = Some(41)),
    ("candidate_draw", |options| options.candidate_draw = CandidateDraw::Independent),
    ("neighbors", |options| options.neighbors = Some(7)),
    ("scoring", |options| options.scoring = Scoring::Bf16),
    ("restart.from", |options| restart(options).from = 0.3),
    ("restart.to", |options| restart(options).to = 0.1),
    ("restart.over_epochs", |options| restart(options).over_epochs = 2.0),
    ("temperature", |options| options.temperature = Some(0.5)),
    ("uniform_fraction", |options| options.uniform_fraction = 0.5),
    ("similarity_ceiling", |options| options.similarity_ceiling = Some(0.9)),
    ("edge_percentile", |options| options.edge_percentile = Some(99.0)),
    ("pair_percentile", |options| options.pair_percentile = Some(99.0)),
    ("budget", |options| options.budget = 0.5),
    ("hardness_share", |options| {
        (options.candidates, options.neighbors) = (None, None);
        options.hardness_share = Some(HardnessShare::constant(0.5));
    }),
    ("refresh_every", |options| options.refresh_every = 6),
    ("uniform_epochs", |options| options.uniform_epochs = 2),
    ("uniform_every", |options| options.uniform_every = Some(3)),
    ("last_batch", |options| options.last_batch = LastBatch::Keep),
    ("batch_order", |options| options.batch_order = Some(BatchOrder::Shuffled)),
    ("reshuffle", |options| options.reshuffle = Some(false)),
];

#[test]
fn every_option_that_differs_is_named_on_restoring_and_seen_by_other_ranks() {
    let asked = options(SamplerKind::Walk, Coverage::Cover);
    let (sampler, _) = Sampler::new(100, asked.clone(), Seed(1)).unwrap();
    let (state, arrays) = sampler.state();
    for (name, change) in CHANGES {
        let mut other = asked.clone();
        change(&mut other);
        let error = Sampler::restore(100, other.clone(), Seed(1), &state, &arrays).unwrap_err().to_string();
        assert!(error.contains(&format!("saved with {name} = ")), "{name}: {error}");
        let (elsewhere, _) = Sampler::new(100, other, Seed(1)).unwrap();
        let error = check_agreement(&[sampler.agreement(), elsewhere.agreement()]).unwrap_err().to_string();
        assert!(error.contains("options"), "{name}: {error}");
    }
}

#[test]
fn a_damaged_state_is_refused() {
    let asked = options(SamplerKind::Walk, Coverage::Cover);
    let (mut sampler, _) = Sampler::new(100, asked.clone(), Seed(1)).unwrap();
    train(&mut sampler, 12);
    let (state, arrays) = sampler.state();
    let restore = |state: &SamplerState, arrays: &lookalike_base::Arrays| {
        Sampler::restore(100, asked.clone(), Seed(1), state, arrays)
            .map(|_| ())
            .map_err(|error| error.to_string())
    };
    assert_eq!(restore(&state, &arrays), Ok(()));
    assert_eq!(arrays.len(), 8);
    for name in arrays.keys() {
        let mut missing = arrays.clone();
        missing.remove(name);
        // States of earlier versions have no trail.
        assert_eq!(restore(&state, &missing).is_err(), name != "trail", "without {name}");
        let mut mistyped = arrays.clone();
        mistyped.insert(name.clone(), Array::u8([3], vec![1, 2, 3]));
        assert!(restore(&state, &mistyped).unwrap_err().contains(name), "{name}");
    }
    let mut changed = arrays.clone();
    let similarities = arrays["graph.similarities"].as_f32().unwrap();
    let mut values = similarities.to_vec();
    values[5] += 1e-3;
    changed.insert("graph.similarities".into(), Array::f32([values.len()], values));
    assert!(restore(&state, &changed).unwrap_err().contains("fingerprint"));
    for damaged in [
        SamplerState { position: 8, ..state.clone() },
        SamplerState { steps: state.steps + 1, ..state.clone() },
        SamplerState { skipped: i64::MIN, ..state.clone() },
        SamplerState { skipped: 1, ..state.clone() },
        SamplerState { epoch: u64::MAX, ..state.clone() },
        SamplerState { segment: Some((usize::MAX, 2)), ..state.clone() },
        SamplerState { segment: Some((0, usize::MAX)), ..state.clone() },
    ] {
        assert!(restore(&damaged, &arrays).is_err(), "{damaged:?}");
    }
}

#[test]
fn uniform_sampling_checks_embeddings_but_keeps_none() {
    let (mut sampler, _) =
        Sampler::new(100, options(SamplerKind::Uniform, Coverage::Cover), Seed(1)).unwrap();
    assert!(!sampler.needs_embeddings());
    train(&mut sampler, 20);
    assert!(!sampler.state().1.contains_key("embeddings"));
    assert!(sampler.record(&[200], embeddings(&[200], 0).rows(), 0).is_err());
}

#[test]
fn an_epoch_of_walks_says_where_its_members_came_from() {
    let data = clustered(600, 12, 8, 1);
    let options = SamplerOptions {
        batch_size: 30,
        candidates: Some(200),
        neighbors: Some(10),
        uniform_epochs: 0,
        coverage: Coverage::Cover,
        ..SamplerOptions::default()
    };
    let (mut sampler, _) = Sampler::new(600, options, Seed(1)).unwrap();
    let everybody: Vec<u32> = (0..600).collect();
    sampler.record(&everybody, data.rows(), 0).unwrap();
    for _ in 0..20 {
        sampler.advance().unwrap();
    }
    let finished = sampler.report().finished.unwrap();
    assert_eq!((finished.batches, finished.reach), (20, 1.0));
    for (decile, origins) in finished.deciles.iter().enumerate() {
        assert_eq!((origins.members(), origins.starts, origins.uniform), (60, 2, 0), "decile {decile}");
    }
    assert!(finished.deciles[0].restarts <= finished.deciles[9].restarts);
    assert!(finished.deciles[0].collected > 50);
}

#[test]
fn without_reshuffling_uniform_batches_are_those_of_the_first_epoch_and_walks_are_not() {
    let plan = |kind, reshuffle| {
        let options = SamplerOptions {
            reshuffle,
            last_batch: LastBatch::Keep,
            uniform_epochs: 2,
            ..options(kind, Coverage::Cover)
        };
        let (mut sampler, _) = Sampler::new(50, options, Seed(3)).unwrap();
        let epochs: Vec<Vec<Vec<u32>>> = (0..3).map(|_| train(&mut sampler, 5)).collect();
        assert_eq!((sampler.epoch(), sampler.report().finished.unwrap().epoch), (3, 2));
        epochs
    };
    let (anew, once) = (plan(SamplerKind::Uniform, None), plan(SamplerKind::Uniform, Some(false)));
    assert_eq!(anew, plan(SamplerKind::Uniform, Some(true)));
    assert_ne!(anew[0], anew[1]);
    assert_eq!(once, [&anew[0], &anew[0], &anew[0]].map(Clone::clone));
    let walked = plan(SamplerKind::Walk, Some(false));
    assert_eq!((&walked[0], &walked[1]), (&anew[0], &anew[0]));
    assert_ne!(walked[2], anew[0]);
}

#[test]
fn every_so_many_epochs_one_is_uniform_too() {
    let options = SamplerOptions { uniform_every: Some(3), ..options(SamplerKind::Walk, Coverage::Cover) };
    let (mut sampler, _) = Sampler::new(60, options.clone(), Seed(3)).unwrap();
    for epoch in 0..7 {
        assert_eq!(sampler.is_uniform(), epoch % 3 == 0, "{epoch}");
        train(&mut sampler, 5);
        let origins = sampler.report().finished.unwrap();
        let uniform: u64 = origins.deciles.iter().map(|origins| origins.uniform).sum();
        assert_eq!(uniform == 60, epoch % 3 == 0, "{epoch}: {uniform} of 60");
    }
    for every in [0, 1] {
        let error =
            Sampler::new(60, SamplerOptions { uniform_every: Some(every), ..options.clone() }, Seed(3));
        assert!(error.unwrap_err().to_string().contains("uniform_every"));
    }
    let of_uniform = SamplerOptions { kind: SamplerKind::Uniform, ..options };
    assert!(Sampler::new(60, of_uniform, Seed(3)).unwrap_err().to_string().contains("uniform_every"));
}

#[test]
fn an_oracle_that_changes_is_heeded_from_the_next_segment_on() {
    let asked =
        SamplerOptions { uniform_epochs: 0, refresh_every: 5, ..options(SamplerKind::Walk, Coverage::Cover) };
    let (mut sampler, _) = Sampler::new(60, asked, Seed(3)).unwrap();
    let everybody: Vec<u32> = (0..60).collect();
    sampler.record(&everybody, embeddings(&everybody, 0).rows(), 0).unwrap();
    let labels: Vec<u32> = everybody.iter().map(|instance| instance % 5).collect();
    let oracle = |labels| Some(Oracle { labels, avoid: Avoid::Edges });
    assert!(sampler.set_oracle(oracle(vec![0; 59])).is_err());
    assert_eq!(sampler.data().oracle, None, "what is refused changes nothing");
    let within = |sampler: &Sampler| {
        let graph = sampler.graph();
        let same = |own: u32| {
            let of_class = |other: &&u32| labels[**other as usize] == labels[own as usize];
            graph.neighbors(own).iter().filter(of_class).count()
        };
        (0..60).map(same).sum::<usize>()
    };
    train(&mut sampler, 4);
    assert!(within(&sampler) > 0 && !sampler.is_refresh_due());
    train(&mut sampler, 1);
    assert!(sampler.is_refresh_due());
    sampler.set_oracle(oracle(labels.clone())).unwrap();
    train(&mut sampler, 1);
    assert_eq!(within(&sampler), 0);
    // A state is restored with the oracle that it was saved under, and with no other.
    let (state, arrays) = sampler.state();
    let restore = |oracle| {
        let data = RunData { oracle, ..RunData::default() };
        Sampler::restore_with_data(60, sampler.options().clone(), Seed(3), data, &state, &arrays)
    };
    assert!(restore(oracle(labels.clone())).is_ok());
    assert!(restore(None).is_err());
}

#[test]
fn a_sampler_draws_candidates_as_it_is_told() {
    let instances: Vec<u32> = (0..120).collect();
    let rows = embeddings(&instances, 0);
    for draw in [CandidateDraw::Tiles, CandidateDraw::Independent] {
        let asked = SamplerOptions {
            candidate_draw: draw,
            uniform_epochs: 0,
            ..options(SamplerKind::Walk, Coverage::Cover)
        };
        let (mut sampler, _) = Sampler::new(120, asked, Seed(1)).unwrap();
        sampler.record(&instances, rows.rows(), 0).unwrap();
        sampler.next_segment().unwrap();
        let options = GraphOptions { candidates: 40, neighbors: 6, draw, ..GraphOptions::default() };
        let present = None;
        let (expected, _) =
            proximity_graph(sampler.embeddings().unwrap(), present, &options, Seed(1), 0, Watch::default())
                .unwrap();
        assert_eq!(*sampler.graph(), expected, "{draw:?}");
    }
}

#[test]
fn independent_candidates_are_refused_where_none_are_drawn_or_rows_are_rounded() {
    let independent = CandidateDraw::Independent;
    let refused = |kind, scoring| {
        let asked = SamplerOptions { candidate_draw: independent, scoring, ..options(kind, Coverage::Cover) };
        asked.check(120).unwrap_err().to_string()
    };
    assert!(refused(SamplerKind::Nearest, Scoring::F32).starts_with("candidate_draw does not go with kind"));
    assert!(refused(SamplerKind::Uniform, Scoring::F32).starts_with("candidate_draw does not go with kind"));
    assert!(refused(SamplerKind::Walk, Scoring::Bf16).contains("candidate_draw = \"independent\""));
}

#[test]
fn a_state_of_an_older_format_is_refused_by_its_number() {
    let asked = options(SamplerKind::Walk, Coverage::Cover);
    let (sampler, _) = Sampler::new(100, asked.clone(), Seed(1)).unwrap();
    let (state, arrays) = sampler.state();
    let mut saved = serde_json::to_value(&state).unwrap();
    saved.as_object_mut().unwrap().remove("format");
    let old: SamplerState = serde_json::from_value(saved).unwrap();
    let error = Sampler::restore(100, asked, Seed(1), &old, &arrays).unwrap_err().to_string();
    assert!(error.contains("saved in format 0") && error.contains("begin the run anew"), "{error}");
}

#[test]
fn more_instances_than_can_be_numbered_are_refused_before_memory_is_taken_for_them() {
    let refused = Sampler::new(1 << 33, SamplerOptions::default(), Seed(0));
    assert!(matches!(refused, Err(SamplingError::Instances { .. })), "{refused:?}");
}

#[test]
fn a_light_state_without_its_graph_builds_one_early_from_the_embeddings_it_is_given() {
    let asked = SamplerOptions { refresh_every: 50, ..options(SamplerKind::Walk, Coverage::Cover) };
    let (mut sampler, _) = Sampler::new(100, asked.clone(), Seed(1)).unwrap();
    train(&mut sampler, 18);
    let (state, arrays) = sampler.light_state();
    assert!(!arrays.keys().any(|name| name.starts_with("graph") || name == "embeddings"));
    let mut apart = sampler.saved_embeddings().unwrap();
    apart.insert("builds".into(), Array::u64([1], vec![7]));
    let (mut resumed, _) = Sampler::restore(100, asked, Seed(1), &state, &arrays).unwrap();
    resumed.load_embeddings(&apart).unwrap();
    assert_eq!(resumed.graph().edges(), 0);
    // Two epochs of eight batches are over, and the third was planned to its end.
    assert_eq!(train(&mut resumed, 6), train(&mut sampler, 6));
    assert_eq!((resumed.report().builds, sampler.report().builds), (1, 1));
    train(&mut resumed, 1);
    assert_eq!(resumed.report().builds, 2);
    assert!(resumed.graph().edges() > 0);
}
