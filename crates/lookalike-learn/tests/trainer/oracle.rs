//! Clusters that a run finds as an oracle: when they are heeded, what is told of them, and that a run goes on by the same bits.

use std::path::Path;
use std::sync::Arc;

use lookalike_base::progress::Cancellation;
use lookalike_learn::head::{ClusterHead, HeadNorm, Projection, ProjectionOptions};
use lookalike_learn::loss::InfoNce;
use lookalike_learn::method::contrastive_clustering::{CLUSTERS, Columns};
use lookalike_learn::method::{ContrastiveClustering, Network};
use lookalike_learn::negatives::{Contrast, Known};
use lookalike_learn::train::{OracleKind, OracleOptions, OracleSetup, Outcome, TrainOptions};
use lookalike_metrics::false_negative_rate;
use lookalike_sampling::{Avoid, Coverage, SamplerKind};

use crate::common::{
    COLUMNS, Mlp, NoisyViews, SEED, Watched, copy, cpu, events, newest_bytes, options, points, sampler,
    series, train,
};

const INSTANCES: usize = 60;
const CLASSES: usize = 4;
const BATCH: usize = 8;
/// 7 batches an epoch.
const STEPS: u64 = 42;

fn method(known: &Known) -> ContrastiveClustering {
    let encoder = Mlp::new(&[COLUMNS, 32, 16], 0.0, &mut SEED.stream("encoder", 0, 0, 0), &cpu());
    let form = ProjectionOptions { layers: 2, width: 0, dimension: 8, batch_norm: HeadNorm::None };
    let head = Projection::new(16, &form, &mut SEED.stream("projection", 0, 0, 0), &cpu());
    let clusters = ClusterHead::new(16, CLASSES, &mut SEED.stream(CLUSTERS, 0, 0, 0), &cpu());
    let network = Network::new(Box::new(encoder), head).with_head(CLUSTERS, clusters);
    let contrast = Contrast { oracle: Some(known.clone()), ..Contrast::plain(InfoNce { temperature: 0.2 }) };
    ContrastiveClustering::new(network, contrast, InfoNce { temperature: 1.0 }, Columns::OfAll)
}

fn source() -> Arc<NoisyViews> {
    Arc::new(NoisyViews(points(INSTANCES, CLASSES, 2).values))
}

fn set(run: &Path, kind: OracleKind, plan: SamplerKind, avoid: Avoid, known: &Known) -> TrainOptions {
    let mut set = options(run, INSTANCES, sampler(plan, Coverage::Cover, BATCH), STEPS);
    set.labels = Some(points(INSTANCES, CLASSES, 2).labels);
    set.checkpoint_every = 5;
    // Few are as sure as 0.99 after so few steps.
    let asked = OracleOptions { kind, avoid, confidence: 0.4, ..OracleOptions::default() };
    let walks = plan != SamplerKind::Uniform;
    set.oracle = Some(OracleSetup { options: asked, known: Some(known.clone()), walks, clusters: CLASSES });
    set
}

#[test]
fn a_run_with_an_oracle_goes_on_to_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    for (name, kind, plan, avoid) in [
        ("labels", OracleKind::Labels, SamplerKind::Walk, Avoid::Edges),
        ("kmeans", OracleKind::Kmeans, SamplerKind::Walk, Avoid::Edges),
        ("kmeans-members", OracleKind::Kmeans, SamplerKind::Walk, Avoid::Members),
        ("kmeans-uniform", OracleKind::Kmeans, SamplerKind::Uniform, Avoid::Members),
        ("head", OracleKind::Head, SamplerKind::Walk, Avoid::Members),
        ("head-uniform", OracleKind::Head, SamplerKind::Uniform, Avoid::Members),
    ] {
        let run = folder.path().join(name);
        let killed = |batch: u64| folder.path().join(format!("{name}-{batch}"));
        // Before it begins with step 14, amid segments and at the end of epochs.
        let moments = [6, 16, 21, 23, 28, 30, 41];
        let copies: Vec<_> = moments.iter().map(|batch| (*batch, killed(*batch))).collect();
        let from = run.clone();
        let known = Known::default();
        let watched = Watched::new(method(&known), move |batch| {
            copies.iter().filter(|(moment, _)| *moment == batch).for_each(|(_, to)| copy(&from, to));
        });
        train(watched, source(), set(&run, kind, plan, avoid, &known), &Cancellation::new()).unwrap();
        let told = events(&run).iter().filter(|event| event["kind"] == "oracle").count();
        assert!(told > 0, "{name}");
        for batch in moments {
            let (killed, known) = (killed(batch), Known::default());
            let asked = set(&killed, kind, plan, avoid, &known);
            let (_, outcome, warnings) =
                train(method(&known), source(), asked, &Cancellation::new()).unwrap();
            assert_eq!((outcome, warnings), (Outcome::Finished, Vec::new()), "{name}, {batch}");
            assert!(
                newest_bytes(&killed) == newest_bytes(&run),
                "{name}, killed after batch {batch}: other bits"
            );
        }
    }
}

#[test]
fn it_is_heeded_after_the_first_third_and_told_beside_the_labels() {
    let folder = tempfile::tempdir().unwrap();
    let known = Known::default();
    let asked = set(folder.path(), OracleKind::Labels, SamplerKind::Walk, Avoid::Edges, &known);
    let (trainer, ..) = train(method(&known), source(), asked, &Cancellation::new()).unwrap();
    assert_eq!(known.classes().len(), INSTANCES);
    let labels = points(INSTANCES, CLASSES, 2).labels;
    // No edge within a class is walked: what false negatives there are came by two edges, or at the end of the epoch.
    let rate = false_negative_rate(trainer.plan(), &labels).unwrap();
    assert!(rate.rate < rate.uniform, "{} {}", rate.rate, rate.uniform);
    let steps = series(folder.path(), "oracle", "step");
    assert!(steps[0] >= 14.0 && steps.len() > 3, "{steps:?}");
    for share in ["precision", "recall", "known"] {
        assert!(series(folder.path(), "oracle", share).iter().all(|share| *share == 1.0), "{share}");
    }
    // The loss leaves a quarter of the candidates out, and says what that costs.
    let share_by_step: Vec<(u64, f64)> = events(folder.path())
        .iter()
        .filter(|event| event["kind"] == "diagnostics")
        .filter_map(|event| Some((event["step"].as_u64()?, event["oracle_share"].as_f64()?)))
        .collect();
    assert!(
        share_by_step.iter().all(|(step, share)| *step > 14 && (0.0..1.0).contains(share)),
        "{share_by_step:?}"
    );
    assert!(share_by_step.len() as u64 >= STEPS - 21, "{}", share_by_step.len());
    let told = events(folder.path());
    let lost = told.iter().filter(|event| event["hardness_lost"].is_number());
    assert_eq!(lost.count(), share_by_step.len());
}

#[test]
fn clusters_of_embeddings_find_the_classes_of_points_that_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let known = Known::default();
    let asked = set(folder.path(), OracleKind::Kmeans, SamplerKind::Uniform, Avoid::Edges, &known);
    train(method(&known), source(), asked, &Cancellation::new()).unwrap();
    let precision = series(folder.path(), "oracle", "precision");
    // By chance it would be about a quarter.
    assert!(*precision.last().unwrap() > 0.4, "{precision:?}");
}
