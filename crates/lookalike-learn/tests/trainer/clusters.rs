//! Contrastive Clustering in batches of look-alikes as pure as can be: all of one class.

use std::sync::Arc;

use lookalike_base::Matrix;
use lookalike_base::progress::Cancellation;
use lookalike_learn::engine::to_host;
use lookalike_learn::head::{ClusterHead, HeadNorm, Projection, ProjectionOptions};
use lookalike_learn::input::Batch;
use lookalike_learn::loss::InfoNce;
use lookalike_learn::method::contrastive_clustering::{CLUSTERS, Columns};
use lookalike_learn::method::{ContrastiveClustering, Embedder, Network};
use lookalike_learn::module::Pass;
use lookalike_learn::negatives::Contrast;
use lookalike_metrics::clustering_scores;
use lookalike_sampling::{Coverage, DataSets, SamplerKind, SetOrder};

use crate::common::{COLUMNS, Mlp, NoisyViews, Points, SEED, cpu, options, points, sampler, train, vectors};

const CLASSES: usize = 4;
const OF_CLASS: usize = 64;
const BATCH: usize = 32;

/// Points class by class.
fn sorted() -> Points {
    let all = points(CLASSES * OF_CLASS, CLASSES, 2);
    let mut order: Vec<usize> = (0..all.labels.len()).collect();
    order.sort_by_key(|point| all.labels[*point]);
    let values = order.iter().flat_map(|point| all.values.row(*point).to_vec()).collect();
    let labels = order.iter().map(|point| all.labels[*point]).collect();
    Points { values: Matrix::new(values, COLUMNS).unwrap(), labels, classes: CLASSES }
}

fn method(columns: Columns) -> ContrastiveClustering {
    let encoder = Mlp::new(&[COLUMNS, 32, 16], 0.0, &mut SEED.stream("encoder", 0, 0, 0), &cpu());
    let form = ProjectionOptions { layers: 2, width: 0, dimension: 8, batch_norm: HeadNorm::None };
    let head = Projection::new(16, &form, &mut SEED.stream("projection", 0, 0, 0), &cpu());
    let clusters = ClusterHead::new(16, CLASSES, &mut SEED.stream(CLUSTERS, 0, 0, 0), &cpu());
    let network = Network::new(Box::new(encoder), head).with_head(CLUSTERS, clusters);
    let contrast = Contrast::plain(InfoNce { temperature: 0.5 });
    ContrastiveClustering::new(network, contrast, InfoNce { temperature: 1.0 }, columns)
}

/// The accuracy of the head after a run, in uniform batches or in such of one class, of which every so many epochs are uniform.
fn accuracy(pure: bool, columns: Columns) -> f64 {
    let (folder, data) = (tempfile::tempdir().unwrap(), sorted());
    let mut set =
        options(folder.path(), data.labels.len(), sampler(SamplerKind::Uniform, Coverage::Cover, BATCH), 640);
    set.checkpoint_every = 1000;
    set.log_every = 1000;
    if pure {
        set.run_data.sets = Some(DataSets { sizes: vec![OF_CLASS; CLASSES], order: SetOrder::Proportional });
    }
    let source = Arc::new(NoisyViews(data.values.clone()));
    let (trainer, ..) = train(method(columns), source, set, &Cancellation::new()).unwrap();
    let mut kept: Box<dyn Embedder> = trainer.method.kept();
    let all = Batch::of_views(
        (0..data.labels.len() as u32).collect(),
        vec![vectors(data.values.rows().values().to_vec(), COLUMNS)],
    );
    let rows = kept.embed(&all, &mut Pass::evaluation()).unwrap().representation;
    let rows = Matrix::new(to_host(rows), 16).unwrap();
    let assigned = kept.told(CLUSTERS, &rows).unwrap().unwrap();
    let likeliest = |row: &[f32]| {
        (0..CLASSES as u32).max_by(|a, b| row[*a as usize].total_cmp(&row[*b as usize])).unwrap()
    };
    let found: Vec<u32> = assigned.rows().iter().map(likeliest).collect();
    clustering_scores(&data.labels, &found).unwrap().accuracy
}

#[test]
fn columns_contrasted_in_batches_of_one_class_split_it_over_all_clusters() {
    let uniform = accuracy(false, Columns::OfAll);
    let pure = accuracy(true, Columns::OfAll);
    assert!(uniform > 0.9 && pure < uniform - 0.3, "uniform {uniform}, of one class {pure}");
}
