//! What the report of a plan says, held to plans whose answers are known.

#![allow(clippy::unwrap_used, reason = "a helper of tests fails the test")]

mod common;

use common::{Counted, clustered, graph_of};
use lookalike_base::{Cancellation, Rows, Seed, Watch};
use lookalike_sampling::{
    BatchOrigins, CandidateDraw, Coverage, GraphOptions, PlanContext, PlanReport, Sampler, SamplerKind,
    SamplerOptions, SamplingError, Scoring, knn_graph, plan_report, proximity_graph,
};

/// Two opposite groups of two.
const OPPOSITES: [f32; 8] = [1.0, 0.0, 2.0, 0.0, -1.0, 0.0, -3.0, 0.0];

#[test]
fn a_plan_by_hand_is_reported_as_counted_by_hand() {
    let rows = Rows::new(&OPPOSITES, 2).unwrap();
    let graph = graph_of(&[vec![1, 2, 3], vec![0], vec![0], vec![]]);
    let origins = [3, 4].map(|restarts| BatchOrigins { restarts, ..BatchOrigins::default() });
    let context = PlanContext {
        pairs: false,
        labels: Some(&[0, 0, 1, 1]),
        graph: Some(&graph),
        origins: Some(&origins),
        batches_per_epoch: None,
    };
    let plan = [vec![0, 1], vec![1, 2]];
    let report = plan_report(&plan, rows, &context, Seed(1), Watch::default()).unwrap();
    assert_eq!((report.instances, report.batches, report.reach), (4, 2, 0.75));
    assert_eq!((report.hardness.similarity, report.hardness.pairs), (0.0, 4));
    assert_eq!((report.anchors.plan[0], report.anchors.plan[39]), (2, 2));
    assert_eq!(report.anchors.uniform.iter().sum::<u64>(), 4);
    assert_eq!(report.false_negatives.unwrap().rate, 0.5);
    assert_eq!(report.draws, [1, 2, 1]);
    assert_eq!(report.restarts, Some([3, 0, 0, 0, 0, 4, 0, 0, 0, 0]));
    let epochs = PlanContext { batches_per_epoch: Some(1), ..context };
    let epochs = plan_report(&plan, rows, &epochs, Seed(1), Watch::default()).unwrap();
    assert_eq!(epochs.restarts, Some([7, 0, 0, 0, 0, 0, 0, 0, 0, 0]));
    let graph = report.graph.unwrap();
    assert_eq!((graph.in_degrees, graph.out_degrees), (vec![0, 2, 1], vec![1, 2, 1]));
}

#[test]
fn a_sampler_s_epoch_is_reported_and_written_as_json() {
    let data = clustered(600, 12, 8, 1);
    let options = SamplerOptions {
        kind: SamplerKind::Walk,
        batch_size: 30,
        candidates: Some(200),
        neighbors: Some(10),
        uniform_epochs: 0,
        coverage: Coverage::Cover,
        ..SamplerOptions::default()
    };
    let (mut sampler, _) = Sampler::new(600, options, Seed(1)).unwrap();
    sampler.record(&(0..600).collect::<Vec<u32>>(), data.rows(), 0).unwrap();
    let epoch = sampler.next_segment().unwrap();
    let labels: Vec<u32> = (0..600).map(|instance| instance % 12).collect();
    let graph = sampler.graph();
    let context = PlanContext {
        labels: Some(&labels),
        graph: Some(&graph),
        origins: Some(&epoch.origins),
        ..PlanContext::default()
    };
    let report = plan_report(&epoch.batches, data.rows(), &context, Seed(1), Watch::default()).unwrap();
    assert_eq!((report.draws.clone(), report.reach), (vec![0, 600], 1.0));
    assert!(report.hardness.difference > 0.05 && report.false_negatives.unwrap().difference > 0.05);
    let mean = |counts: &[u64]| {
        let sum: f64 = counts.iter().zip(0_u32..).map(|(count, bin)| *count as f64 * f64::from(bin)).sum();
        sum / 600.0 / 20.0 - 0.975
    };
    assert!((mean(&report.anchors.plan) - report.hardness.similarity).abs() < 0.03, "{report:?}");
    assert!((mean(&report.anchors.uniform) - report.hardness.uniform).abs() < 0.03, "{report:?}");
    assert_eq!(report.graph.as_ref().unwrap().in_degrees.iter().sum::<u64>(), 600);
    let json: serde_json::Value = serde_json::to_value(&report).unwrap();
    assert_eq!(json["anchors"]["plan"].as_array().unwrap().len(), 40);
    assert!(json["false_negatives"]["uniform"].as_f64().unwrap() < 0.1);
}

#[test]
fn what_does_not_fit_the_plan_is_refused() {
    let rows = Rows::new(&OPPOSITES, 2).unwrap();
    let refused = |plan: &[Vec<u32>], context: PlanContext<'_>| {
        plan_report(plan, rows, &context, Seed(1), Watch::default()).unwrap_err()
    };
    let pair = [vec![0, 1]];
    let expected = SamplingError::Length { what: "labels", found: 3, instances: 4 };
    assert_eq!(refused(&pair, PlanContext { labels: Some(&[0, 1, 1]), ..PlanContext::default() }), expected);
    let origins = [BatchOrigins::default(); 2];
    let expected = SamplingError::Length { what: "origins of batches", found: 2, instances: 1 };
    assert_eq!(refused(&pair, PlanContext { origins: Some(&origins), ..PlanContext::default() }), expected);
    let graph = graph_of(&[vec![1], vec![0]]);
    let context = PlanContext { graph: Some(&graph), ..PlanContext::default() };
    assert!(refused(&pair, context).to_string().contains("2 nodes of the graph do not fit 4"));
    let error = refused(&[vec![0, 9]], PlanContext::default()).to_string();
    assert!(error.contains("names instance 9"), "{error}");
    assert!(matches!(refused(&[vec![0]], PlanContext::default()), SamplingError::Metric(_)));
    assert!(matches!(refused(&[], PlanContext::default()), SamplingError::Metric(_)));
    let context = PlanContext { labels: Some(&[2; 4]), ..PlanContext::default() };
    assert!(refused(&pair, context).to_string().contains("all instances are of one class"));
}

#[test]
fn embeddings_without_variance_are_as_hard_as_can_be_and_no_harder_than_uniform() {
    let same = vec![0.5_f32; 40 * 3];
    let plan: Vec<Vec<u32>> = (0..10).map(|batch| (batch * 4..batch * 4 + 4).collect()).collect();
    let report =
        plan_report(&plan, Rows::new(&same, 3).unwrap(), &PlanContext::default(), Seed(1), Watch::default())
            .unwrap();
    assert!((report.hardness.similarity - 1.0).abs() < 1e-6 && report.hardness.difference.abs() < 1e-6);
    assert_eq!(report.anchors.plan.iter().sum::<u64>(), 40);
    assert_eq!(report.anchors.plan[39], report.anchors.uniform[39]);
}

#[test]
fn progress_counts_what_the_documentation_says() {
    let data = clustered(300, 5, 8, 1);
    let never = Cancellation::new();
    let counted = |work: &dyn Fn(Watch<'_>)| {
        let progress = Counted::default();
        work(Watch { progress: &progress, cancellation: &never });
        progress.done()
    };
    for draw in [CandidateDraw::Tiles, CandidateDraw::Independent] {
        let options = GraphOptions { candidates: 100, neighbors: 5, draw, ..GraphOptions::default() };
        let instances = counted(&|watch| {
            proximity_graph(data.rows(), None, &options, Seed(1), 0, watch).unwrap();
        });
        assert_eq!(instances, 300, "{draw:?}");
    }
    let instances = counted(&|watch| {
        knn_graph(data.rows(), None, 5, None, Scoring::F32, watch).unwrap();
    });
    assert_eq!(instances, 300);
    let plan: Vec<Vec<u32>> = (0..30).map(|batch| (batch * 10..batch * 10 + 10).collect()).collect();
    let batches = counted(&|watch| {
        plan_report(&plan, data.rows(), &PlanContext::default(), Seed(1), watch).unwrap();
    });
    assert_eq!(batches, PlanReport::PASSES * 30);
}

#[test]
fn a_cancelled_graph_of_independent_candidates_is_an_error() {
    let data = clustered(300, 5, 8, 1);
    let options = GraphOptions {
        candidates: 100,
        neighbors: 5,
        draw: CandidateDraw::Independent,
        ..GraphOptions::default()
    };
    let raised = Cancellation::new();
    raised.cancel();
    let graph = proximity_graph(data.rows(), None, &options, Seed(1), 0, Watch::silent(&raised));
    assert_eq!(graph.unwrap_err(), SamplingError::Cancelled);
}
