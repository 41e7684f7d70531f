//! Instances that are pairs of a query and a document: how they are recorded, compared, kept apart and measured.

#![allow(clippy::unwrap_used, reason = "a helper of tests fails the test")]

mod common;

use common::with_threads;
use lookalike_base::{Matrix, Seed, Silent, Watch};
use lookalike_kernels::normalize;
use lookalike_sampling::{
    CandidateDraw, Coverage, GraphOptions, HardnessTally, PairRows, PlanContext, ProximityGraph, RunData,
    Sampler, SamplerKind, SamplerOptions, SamplingError, Scoring, check_agreement, knn_graph, plan_report,
    proximity_graph,
};

const HALF: usize = 7;

/// Queries and documents side by side, of various lengths: pair i is about topic i mod 6.
fn pairs(count: usize, seed: u64) -> Matrix {
    let mut stream = Seed(seed).stream("pairs", 0, 0, 0);
    let values = (0..count * 2 * HALF).map(|at| {
        let (row, column) = (at / (2 * HALF), at % HALF);
        (1.0 + (row % 3) as f32) * (0.4 * stream.normal() + if column == row % 6 { 1.0 } else { 0.0 })
    });
    Matrix::new(values.collect(), 2 * HALF).unwrap()
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

/// The cosine of a query and a document.
fn cosine(rows: &Matrix, query: u32, document: u32) -> f64 {
    let (query, document) = (&rows.row(query as usize)[..HALF], &rows.row(document as usize)[HALF..]);
    let norms = (dot(query, query) * dot(document, document)).sqrt();
    if norms > 0.0 { dot(query, document) / norms } else { 0.0 }
}

fn crossed(rows: &Matrix, a: u32, b: u32) -> f64 {
    cosine(rows, a, b).max(cosine(rows, b, a))
}

fn options(pairs: PairRows) -> SamplerOptions {
    SamplerOptions {
        batch_size: 10,
        candidates: Some(60),
        neighbors: Some(8),
        coverage: Coverage::Cover,
        uniform_epochs: 0,
        pairs: Some(pairs),
        ..SamplerOptions::default()
    }
}

/// A sampler over `rows`, all of them recorded, and its first segment.
fn recorded(rows: &Matrix, options: SamplerOptions) -> (Sampler, Vec<Vec<u32>>) {
    let (mut sampler, _) = Sampler::new(rows.len(), options, Seed(1)).unwrap();
    let everybody: Vec<u32> = (0..rows.len() as u32).collect();
    sampler.record(&everybody, rows.rows(), 0).unwrap();
    let batches = sampler.next_segment().unwrap().batches;
    (sampler, batches)
}

fn edges(graph: &ProximityGraph) -> Vec<(u32, u32, f32)> {
    let of = |own| graph.neighbors(own).iter().zip(graph.similarities(own)).map(move |(n, s)| (own, *n, *s));
    (0..graph.instances() as u32).flat_map(of).collect()
}

#[test]
fn by_their_means_pairs_are_compared_as_rows_of_half_the_width() {
    let rows = pairs(300, 1);
    let mut means = Vec::new();
    for row in rows.rows() {
        let (mut query, mut document) = (row[..HALF].to_vec(), row[HALF..].to_vec());
        normalize(&mut query);
        normalize(&mut document);
        means.extend(query.iter().zip(&document).map(|(q, d)| 0.5 * (q + d)));
    }
    let means = Matrix::new(means, HALF).unwrap();
    for draw in [CandidateDraw::Tiles, CandidateDraw::Independent] {
        let plain = GraphOptions { candidates: 100, neighbors: 9, draw, ..GraphOptions::default() };
        let mean = GraphOptions { pairs: Some(PairRows::Mean), ..plain };
        let graph = |rows: &Matrix, options| {
            proximity_graph(rows.rows(), None, options, Seed(1), 2, Watch::default()).unwrap().0
        };
        assert_eq!(graph(&rows, &mean), graph(&means, &plain), "{draw:?}");
    }
    let nearest = |rows: &Matrix, pairs| {
        knn_graph(rows.rows(), None, 9, pairs, Scoring::F32, Watch::default()).unwrap()
    };
    assert_eq!(nearest(&rows, Some(PairRows::Mean)), nearest(&means, None));
}

#[test]
fn across_them_the_nearest_pairs_are_those_of_the_obvious_search_in_every_number_format() {
    let mut rows = pairs(300, 2);
    rows.row_mut(5)[..HALF].fill(0.0);
    rows.row_mut(9).fill(0.0);
    for scoring in [Scoring::F32, Scoring::Bf16] {
        let graph =
            knn_graph(rows.rows(), None, 12, Some(PairRows::Cross), scoring, Watch::default()).unwrap();
        let mut missed = 0;
        for own in 0..300 {
            let mut expected: Vec<f64> =
                (0..300).filter(|other| *other != own).map(|other| crossed(&rows, own, other)).collect();
            expected.sort_by(|a, b| b.total_cmp(a));
            for (at, (other, similarity)) in
                graph.neighbors(own).iter().zip(graph.similarities(own)).enumerate()
            {
                assert!((f64::from(*similarity) - crossed(&rows, own, *other)).abs() < 1e-6);
                missed += usize::from((f64::from(*similarity) - expected[at]).abs() > 1e-6);
            }
        }
        assert!(if scoring == Scoring::F32 { missed == 0 } else { missed < 4 }, "{scoring:?}: {missed}");
    }
    let everybody = GraphOptions {
        candidates: 299,
        neighbors: 12,
        pairs: Some(PairRows::Cross),
        draw: CandidateDraw::Independent,
        ..GraphOptions::default()
    };
    let (independent, _) =
        proximity_graph(rows.rows(), None, &everybody, Seed(1), 0, Watch::default()).unwrap();
    for own in 0..300 {
        for (at, other) in independent.neighbors(own).iter().enumerate() {
            let similarity = f64::from(independent.similarities(own)[at]);
            assert!((similarity - crossed(&rows, own, *other)).abs() < 1e-6);
        }
    }
    assert_eq!(
        with_threads(3, || knn_graph(
            rows.rows(),
            None,
            12,
            Some(PairRows::Cross),
            Scoring::F32,
            Watch::default()
        )),
        knn_graph(rows.rows(), None, 12, Some(PairRows::Cross), Scoring::F32, Watch::default())
    );
}

#[test]
fn each_half_is_scaled_on_recording_and_one_of_zeros_stays() {
    let mut rows = pairs(60, 3);
    rows.row_mut(4)[HALF..].fill(0.0);
    let (sampler, _) = recorded(&rows, options(PairRows::Mean));
    for (instance, row) in sampler.embeddings().unwrap().iter().enumerate() {
        for (half, given) in row.chunks(HALF).zip(rows.row(instance).chunks(HALF)) {
            let norm = dot(given, given).sqrt();
            let scale = if norm > 0.0 { norm.recip() } else { 0.0 };
            for (found, given) in half.iter().zip(given) {
                assert!((f64::from(*found) - f64::from(*given) * scale).abs() < 1e-7, "{instance}");
            }
        }
    }
}

#[test]
fn recorded_pairs_and_pairs_kept_elsewhere_give_the_same_graph() {
    let rows = pairs(120, 4);
    for mode in [PairRows::Mean, PairRows::Cross] {
        for kind in [SamplerKind::Walk, SamplerKind::Nearest] {
            let asked = SamplerOptions { kind, similarity_to_positive: Some(0.9), ..options(mode) };
            let (sampler, batches) = recorded(&rows, asked.clone());
            let (mut offline, _) = Sampler::new(120, asked, Seed(1)).unwrap();
            offline.rebuild_from(rows.rows(), &Silent).unwrap();
            let ends =
                |edges: Vec<(u32, u32, f32)>| edges.into_iter().map(|(a, b, _)| (a, b)).collect::<Vec<_>>();
            assert_eq!(ends(edges(&sampler.graph())), ends(edges(&offline.graph())), "{mode:?} {kind:?}");
            let again = offline.next_segment_of_all(Some(&rows.rows()), &Silent).unwrap();
            assert_eq!(again.batches, batches);
        }
    }
}

#[test]
fn no_edge_leads_to_whose_document_answers_a_query_nearly_as_well_as_its_own() {
    let rows = pairs(200, 5);
    for mode in [PairRows::Mean, PairRows::Cross] {
        let all = recorded(&rows, options(mode)).0;
        let with = |share, ceiling| {
            let asked = SamplerOptions {
                similarity_to_positive: Some(share),
                similarity_ceiling: ceiling,
                ..options(mode)
            };
            let (mut sampler, _) = recorded(&rows, asked);
            (edges(&sampler.graph()), sampler.next_segment().unwrap())
        };
        let (found, segment) = with(0.9, None);
        assert!(!found.is_empty() && found.len() < all.graph().edges(), "{mode:?}");
        let excess = |a: u32, b: u32| cosine(&rows, a, b) - 0.9 * cosine(&rows, a, a);
        for edge in edges(&all.graph()) {
            let excess = excess(edge.0, edge.1).max(excess(edge.1, edge.0));
            assert!(excess.abs() < 1e-6 || found.contains(&edge) == (excess < 0.0), "{mode:?} {edge:?}");
        }
        // Beside a ceiling an edge must pass both.
        let median = all.graph().similarity_percentile(50.0).map(f64::from);
        let (both, _) = with(0.9, median);
        let expected: Vec<_> =
            found.iter().copied().filter(|edge| f64::from(edge.2) <= median.unwrap()).collect();
        assert_eq!(both, expected);
        // No two members of a batch break the rule either, whether or not an edge tied them, but for those that are counted.
        for (batch, origins) in segment.batches.iter().zip(&segment.origins) {
            let breaks = |a: &u32| batch.iter().any(|b| a != b && excess(*a, *b) > 1e-6);
            assert!(origins.above_ceiling > 0 || !batch.iter().any(breaks), "{mode:?}");
        }
        assert!(segment.origins.iter().any(|origins| origins.above_ceiling == 0));
    }
}

#[test]
fn an_epoch_is_as_hard_as_its_queries_are_similar_to_the_documents_of_others() {
    let rows = pairs(120, 6);
    let mean = |members: &[u32]| {
        let others = |a: u32| members.iter().filter(move |b| **b != a).map(move |b| (a, *b));
        let all: Vec<f64> =
            members.iter().flat_map(|a| others(*a)).map(|(a, b)| cosine(&rows, a, b)).collect();
        all.iter().sum::<f64>() / all.len() as f64
    };
    let everybody: Vec<u32> = (0..120).collect();
    for mode in [PairRows::Mean, PairRows::Cross] {
        let (sampler, batches) = recorded(&rows, options(mode));
        let similarity = batches.iter().map(|batch| mean(batch)).sum::<f64>() / batches.len() as f64;
        let expected = similarity - mean(&everybody);
        let tallies = sampler.report().current.hardness;
        let total = |of: fn(&HardnessTally) -> f64| tallies.iter().map(of).sum::<f64>();
        let found = total(|tally| tally.sum) / total(|tally| tally.batches as f64);
        assert!((found - expected).abs() < 1e-6 && expected > 0.05, "{mode:?}: {found}, not {expected}");

        let context = PlanContext { pairs: true, ..PlanContext::default() };
        let report = plan_report(&batches, rows.rows(), &context, Seed(1), Watch::default()).unwrap();
        assert!((report.hardness.similarity - similarity).abs() < 1e-9, "{report:?}");
        assert!((report.hardness.uniform - mean(&everybody)).abs() < 1e-9, "{report:?}");
        let mut bins = vec![0; report.anchors.plan.len()];
        for batch in &batches {
            for anchor in batch {
                let others = batch.iter().filter(|other| *other != anchor);
                let mean = others.map(|other| cosine(&rows, *anchor, *other)).sum::<f64>() / 9.0;
                bins[((mean + 1.0) * 20.0) as usize] += 1;
            }
        }
        assert_eq!(report.anchors.plan, bins);
    }
}

#[test]
fn rows_without_two_halves_are_refused_wherever_they_come_in() {
    let odd = Matrix::new(vec![0.5; 30 * 5], 5).unwrap();
    let everybody: Vec<u32> = (0..30).collect();
    let expected = SamplingError::OddColumns { columns: 5 };
    assert!(expected.to_string().contains("5 columns"));
    for mode in [PairRows::Mean, PairRows::Cross] {
        let asked = SamplerOptions { candidates: Some(20), ..options(mode) };
        let (mut sampler, _) = Sampler::new(30, asked, Seed(1)).unwrap();
        assert_eq!(sampler.record(&everybody, odd.rows(), 0).unwrap_err(), expected);
        assert_eq!(sampler.rebuild_from(odd.rows(), &Silent).unwrap_err(), expected);
        let graph = knn_graph(odd.rows(), None, 3, Some(mode), Scoring::F32, Watch::default());
        assert_eq!(graph.unwrap_err(), expected);
    }
    let context = PlanContext { pairs: true, ..PlanContext::default() };
    let report = plan_report(&[vec![0, 1]], odd.rows(), &context, Seed(1), Watch::default());
    assert_eq!(report.unwrap_err(), expected);
}

#[test]
fn a_value_that_is_not_finite_is_named_by_its_instance_and_column_in_either_half() {
    for mode in [PairRows::Mean, PairRows::Cross] {
        for draw in [CandidateDraw::Tiles, CandidateDraw::Independent] {
            let mut rows = pairs(40, 7);
            rows.row_mut(21)[HALF + 3] = f32::NAN;
            let asked = GraphOptions {
                candidates: 20,
                neighbors: 5,
                pairs: Some(mode),
                draw,
                ..GraphOptions::default()
            };
            let error = proximity_graph(rows.rows(), None, &asked, Seed(1), 0, Watch::default()).unwrap_err();
            assert_eq!(
                error,
                SamplingError::NotFinite { instance: 21, column: HALF + 3 },
                "{mode:?} {draw:?}"
            );
        }
    }
}

#[test]
fn options_of_pairs_that_do_not_fit_are_refused_by_name() {
    let refused = |change: fn(&mut SamplerOptions)| {
        let mut asked = options(PairRows::Mean);
        change(&mut asked);
        asked.check(100).unwrap_err().to_string()
    };
    for wrong in [0.0, -0.5, 1.01, f64::NAN] {
        let asked = SamplerOptions { similarity_to_positive: Some(wrong), ..options(PairRows::Cross) };
        let error = asked.check(100).unwrap_err().to_string();
        assert!(
            error.contains("similarity_to_positive = ") && error.contains("above 0 and at most 1"),
            "{error}"
        );
    }
    let error = refused(|asked| (asked.pairs, asked.similarity_to_positive) = (None, Some(0.95)));
    assert!(
        error.starts_with("similarity_to_positive does not go with") && error.contains("pairs"),
        "{error}"
    );
    let error = refused(|asked| {
        (asked.kind, asked.similarity_to_positive) = (SamplerKind::Uniform, Some(0.95));
    });
    assert!(error.starts_with("similarity_to_positive does not go with kind = \"uniform\""), "{error}");
    // A recipe of pairs becomes its baseline by its kind alone.
    let uniform = SamplerOptions { kind: SamplerKind::Uniform, ..options(PairRows::Cross) };
    assert_eq!(uniform.check(100), Ok(Vec::new()));
}

#[test]
fn a_state_goes_on_only_with_the_same_pairs_and_ranks_agree_only_then() {
    let rows = pairs(100, 8);
    let sampler = |asked| recorded(&rows, asked).0;
    let mean = sampler(options(PairRows::Mean));
    let (state, arrays) = mean.state();
    let restored = |asked| Sampler::restore(100, asked, Seed(1), &state, &arrays);
    let (mut again, _) = restored(options(PairRows::Mean)).unwrap();
    assert_eq!(again.next_segment(), mean.clone().next_segment());
    assert_eq!(again.embeddings(), mean.embeddings());
    let error = restored(options(PairRows::Cross)).unwrap_err().to_string();
    assert!(error.contains("pairs = Some(Mean), not Some(Cross)"), "{error}");
    let share = SamplerOptions { similarity_to_positive: Some(0.95), ..options(PairRows::Mean) };
    let error = restored(share.clone()).unwrap_err().to_string();
    assert!(error.contains("similarity_to_positive = none, not 0.95"), "{error}");

    let agreement = |asked: &SamplerOptions| {
        Sampler::with_data(100, asked.clone(), Seed(1), RunData::default()).unwrap().0.agreement()
    };
    let all = [options(PairRows::Mean), options(PairRows::Cross), share].map(|asked| agreement(&asked));
    for other in [1, 2] {
        let error = check_agreement(&[all[0], all[other]]).unwrap_err().to_string();
        assert!(error.contains("options"), "{error}");
    }
}
