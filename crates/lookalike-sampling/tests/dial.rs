//! One dial for hardness: batches come to the share that is asked for.

#![allow(clippy::unwrap_used, reason = "a helper of tests fails the test")]

use lookalike_base::{Matrix, Seed, Silent, Watch};
use lookalike_kernels::Scoring;
use lookalike_sampling::{
    Coverage, DialInput, HardnessShare, PairRows, RankSplit, Ranks, RestartSchedule, RunData, Sampler,
    SamplerKind, SamplerOptions, Warning, calibrate, hardness_scale,
};

/// Instances of classes whose members are nearer to each other, in no order.
fn classes(count: usize, classes: usize, columns: usize) -> Matrix {
    let mut stream = Seed(7).stream("classes", 0, 0, 0);
    let centres: Vec<Vec<f32>> =
        (0..classes).map(|_| (0..columns).map(|_| stream.normal()).collect()).collect();
    let values = (0..count).flat_map(|instance| centres[instance % classes].clone()).collect::<Vec<f32>>();
    Matrix::new(values.into_iter().map(|value| value + stream.normal()).collect(), columns).unwrap()
}

fn input<'a>(rows: &'a lookalike_base::Rows<'a>, batch_size: usize) -> DialInput<'a> {
    DialInput {
        rows,
        present: None,
        pairs: None,
        scoring: Scoring::F32,
        batch_size,
        coverage: Coverage::Cover,
        seed: Seed(1),
        build: 0,
        build_seconds: None,
    }
}

fn dialled(share: f64, batch_size: usize) -> SamplerOptions {
    SamplerOptions {
        batch_size,
        hardness_share: Some(HardnessShare::constant(share)),
        uniform_epochs: 0,
        refresh_every: 10_000,
        ..SamplerOptions::default()
    }
}

/// The hardness of an epoch above uniform.
fn hardness(rows: &Matrix, options: SamplerOptions) -> (f64, Sampler) {
    let count = rows.len();
    let (mut sampler, _) = Sampler::new(count, options, Seed(2)).unwrap();
    sampler.record(&(0..count as u32).collect::<Vec<u32>>(), rows.rows(), 0).unwrap();
    sampler.next_segment().unwrap();
    let tenths = sampler.report().current.hardness;
    let (sum, batches) =
        tenths.iter().fold((0.0, 0), |(sum, batches), tenth| (sum + tenth.sum, batches + tenth.batches));
    (sum / batches as f64, sampler)
}

#[test]
fn batches_come_to_the_share_of_hardness_that_is_asked_for() {
    // Drawn whole, and drawn in part.
    for (rows, batch_size) in [(classes(3000, 30, 16), 50), (classes(20_000, 100, 16), 100)] {
        let nearest =
            SamplerOptions { kind: SamplerKind::Nearest, hardness_share: None, ..dialled(0.0, batch_size) };
        let (hardest, _) = hardness(&rows, nearest);
        for share in [0.0, 0.25, 0.5, 0.75, 1.0] {
            let (found, sampler) = hardness(&rows, dialled(share, batch_size));
            assert!((found / hardest - share).abs() < 0.08, "{} {share} {}", rows.len(), found / hardest);
            let calibration = sampler.report().calibrations[0].unwrap();
            assert!((calibration.share - share).abs() < 0.06, "{calibration:?}");
            assert_eq!(calibration.asked, share);
            let graph = sampler.graph();
            assert_eq!(graph.neighbors(0).len(), calibration.neighbors);
        }
    }
}

#[test]
fn the_scale_of_a_whole_data_set_is_exact() {
    let rows = classes(2000, 20, 12);
    let scale = hardness_scale(&input(&rows.rows(), 40), Watch::default()).unwrap();
    let nearest = SamplerOptions { kind: SamplerKind::Nearest, hardness_share: None, ..dialled(0.0, 40) };
    let (hardest, _) = hardness(&rows, nearest);
    // One of the plans of nearest batches that there can be.
    assert!((scale.nearest - scale.uniform - hardest).abs() < 0.02 * hardest);
}

#[test]
fn the_same_seed_finds_the_same_and_another_epoch_follows_its_schedule() {
    let rows = classes(2500, 25, 12);
    let found = |share| calibrate(&input(&rows.rows(), 50), share, Watch::default()).unwrap();
    assert_eq!(found(0.5), found(0.5));
    assert!(found(0.2).candidates < found(0.5).candidates && found(0.5).candidates < found(0.8).candidates);

    let rising = HardnessShare { from: 0.2, to: 0.6, over_epochs: 2.0 };
    let options = SamplerOptions { hardness_share: Some(rising), refresh_every: 50, ..dialled(0.0, 50) };
    let (mut sampler, _) = Sampler::new(2500, options.clone(), Seed(2)).unwrap();
    sampler.record(&(0..2500).collect::<Vec<u32>>(), rows.rows(), 0).unwrap();
    let mut asked = Vec::new();
    for step in 0..150 {
        sampler.next_segment().unwrap();
        asked.push(sampler.report().calibrations[0].unwrap().asked);
        if step == 70 {
            let (state, arrays) = sampler.state();
            let text = serde_json::to_string(&state).unwrap();
            let state = serde_json::from_str(&text).unwrap();
            let (mut again, _) = Sampler::restore(2500, options.clone(), Seed(2), &state, &arrays).unwrap();
            assert_eq!(again.report().calibrations, sampler.report().calibrations);
            assert_eq!(again.next_segment(), sampler.next_segment());
        }
        sampler.advance().unwrap();
    }
    assert_eq!([asked[0], asked[49], asked[50], asked[100], asked[149]], [0.2, 0.2, 0.4, 0.6, 0.6]);
}

#[test]
fn a_budget_limits_the_candidates_and_what_it_allows_is_said() {
    let rows = classes(4000, 100, 16);
    let free = calibrate(&input(&rows.rows(), 64), 0.9, Watch::default()).unwrap();
    let all = rows.rows();
    let tight = DialInput { build_seconds: Some(1e-7), ..input(&all, 64) };
    let found = calibrate(&tight, 0.9, Watch::default()).unwrap();
    let allowed = found.most_candidates.unwrap();
    assert!(found.candidates <= allowed.max(found.neighbors) && found.candidates < free.candidates);
    assert!(found.is_missed() && !free.is_missed());

    let options = SamplerOptions { epoch_seconds: Some(1e-6), ..dialled(0.9, 64) };
    let (mut sampler, _) = Sampler::new(4000, options, Seed(1)).unwrap();
    sampler.rebuild_from(rows.rows(), &Silent).unwrap();
    let warnings: Vec<String> = sampler.take_warnings().iter().map(ToString::to_string).collect();
    let said = |part: &str| warnings.iter().any(|warning| warning.contains(part));
    assert!(
        said("hardness_share = 0.9 is not met") && said("the most that the budget allows"),
        "{warnings:?}"
    );
}

#[test]
fn embeddings_that_are_all_alike_are_said_to_be() {
    let rows = Matrix::new(vec![0.5; 300 * 4], 4).unwrap();
    let (mut sampler, _) = Sampler::new(300, dialled(0.5, 10), Seed(1)).unwrap();
    sampler.rebuild_from(rows.rows(), &Silent).unwrap();
    assert_eq!(sampler.take_warnings(), [Warning::AllAlike { step: 0 }]);
    assert_eq!(sampler.next_segment().unwrap().batches.len(), 30);
}

#[test]
fn pairs_are_measured_by_queries_and_the_documents_of_others() {
    let queries = classes(1500, 30, 8);
    let mut stream = Seed(1).stream("documents", 0, 0, 0);
    let values = queries.rows().iter().flat_map(|query| {
        let noise: Vec<f32> = query.iter().map(|value| value + 0.5 * stream.normal()).collect();
        query.iter().copied().chain(noise).collect::<Vec<f32>>()
    });
    let rows = Matrix::new(values.collect(), 16).unwrap();
    for pairs in [PairRows::Mean, PairRows::Cross] {
        let with = |options| SamplerOptions { pairs: Some(pairs), ..options };
        let nearest = SamplerOptions { kind: SamplerKind::Nearest, hardness_share: None, ..dialled(0.0, 30) };
        let (hardest, _) = hardness(&rows, with(nearest));
        let (found, _) = hardness(&rows, with(dialled(0.5, 30)));
        assert!((found / hardest - 0.5).abs() < 0.08, "{pairs:?} {}", found / hardest);
    }
}

#[test]
fn what_the_dial_finds_itself_is_refused_beside_it() {
    let refused = |change: fn(&mut SamplerOptions)| {
        let mut options = dialled(0.5, 10);
        change(&mut options);
        options.check(1000).unwrap_err().to_string()
    };
    assert!(
        refused(|options| options.candidates = Some(50))
            .contains("candidates does not go with hardness_share")
    );
    assert!(
        refused(|options| options.neighbors = Some(50)).contains("neighbors does not go with hardness_share")
    );
    assert!(
        refused(|options| options.restart = Some(RestartSchedule::default()))
            .contains("restart does not go with")
    );
    assert!(refused(|options| options.temperature = Some(0.1)).contains("temperature does not go with"));
    assert!(refused(|options| options.uniform_fraction = 0.5).contains("uniform_fraction does not go with"));
    // An arm of another kind differs in its kind alone.
    let nearest = SamplerOptions { kind: SamplerKind::Nearest, ..dialled(0.5, 10) };
    assert!(nearest.check(1000).is_ok());
}

#[test]
fn a_graph_of_those_who_came_already_is_said_to_change_nothing() {
    let rows = classes(2000, 20, 12);
    let options = SamplerOptions { refresh_every: 10, ..dialled(0.5, 20) };
    let (mut sampler, _) = Sampler::new(2000, options, Seed(1)).unwrap();
    for step in 0..11 {
        let batch = sampler.next_segment().unwrap().batches.swap_remove(0);
        let values = batch.iter().flat_map(|member| rows.row(*member as usize)).copied().collect();
        sampler.record(&batch, Matrix::new(values, 12).unwrap().rows(), step).unwrap();
        sampler.advance().unwrap();
    }
    let warnings = sampler.take_warnings();
    assert!(warnings.contains(&Warning::AllUsed { step: 10, embedded: 200 }), "{warnings:?}");
}

#[test]
fn many_small_classes_are_met_too_though_a_sample_tears_them_apart() {
    // Classes of 15 in batches of 32, of which a sample has 6 in batches of 13.
    let rows = classes(20_000, 1333, 32);
    let nearest = SamplerOptions { kind: SamplerKind::Nearest, hardness_share: None, ..dialled(0.0, 32) };
    let (hardest, _) = hardness(&rows, nearest);
    for share in [0.2, 0.5] {
        let (found, _) = hardness(&rows, dialled(share, 32));
        assert!((found / hardest - share).abs() < 0.1, "{share} {}", found / hardest);
    }
}

#[test]
fn small_batches_are_met_and_where_there_is_one_batch_it_is_said() {
    let rows = classes(3000, 300, 16);
    for size in [2, 3] {
        let nearest =
            SamplerOptions { kind: SamplerKind::Nearest, hardness_share: None, ..dialled(0.0, size) };
        let (hardest, _) = hardness(&rows, nearest);
        let (found, _) = hardness(&rows, dialled(0.5, size));
        assert!((found / hardest - 0.5).abs() < 0.1, "{size} {}", found / hardest);
    }
    let few = classes(60, 3, 16);
    let (_, mut sampler) = hardness(&few, dialled(0.5, 40));
    let warnings = sampler.take_warnings();
    assert!(warnings.contains(&Warning::OneBatch { embedded: 60, batch_size: 40 }), "{warnings:?}");
}

#[test]
fn ranks_do_not_limit_their_candidates_by_their_own_speed() {
    let options = SamplerOptions { epoch_seconds: Some(5.0), ..dialled(0.5, 10) };
    let ranks = Ranks { rank: 0, count: 2, split: RankSplit::Batches };
    let data = RunData { ranks, ..RunData::default() };
    let error = Sampler::with_data(1000, options, Seed(1), data).unwrap_err().to_string();
    assert!(error.contains("epoch_seconds does not go with several ranks"), "{error}");
}

#[test]
fn graphs_of_rows_that_are_all_alike_are_said_to_be_without_a_dial_too() {
    let rows = Matrix::new(vec![1.0; 200 * 4], 4).unwrap();
    for kind in [SamplerKind::Walk, SamplerKind::Nearest] {
        let options = SamplerOptions { kind, hardness_share: None, ..dialled(0.5, 10) };
        let (mut sampler, _) = Sampler::new(200, options, Seed(1)).unwrap();
        sampler.rebuild_from(rows.rows(), &Silent).unwrap();
        assert_eq!(sampler.take_warnings(), [Warning::AllAlike { step: 0 }], "{kind:?}");
    }
}
