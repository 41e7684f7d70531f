//! How good embeddings are, and how hard batches: functions on arrays that answer in JSON.

use lookalike_base::{RowSource, Rows, Seed, Watch};
use lookalike_metrics::detection::{Detections, GroundTruth};
use lookalike_metrics::segmentation::Confusion;
use lookalike_metrics::spectrum::Centering;
use lookalike_metrics::{Kmeans, KmeansOptions, KnnOptions, MetricError, ProbeOptions, UniformityOptions};
use numpy::{PyArray1, PyArrayDyn, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;

use crate::arrays::{batches, rows, value_error};
use crate::sampler::classes;
use crate::source::Embeddings;
use crate::work::{run, run_shown};

/// Test rows that are classified between two looks at signals.
const BLOCK: usize = 4096;

fn json<T: serde::Serialize>(value: &T) -> PyResult<String> {
    serde_json::to_string(value).map_err(value_error)
}

#[pyfunction]
pub(crate) fn knn_classify(
    py: Python<'_>,
    train: PyReadonlyArray2<'_, f32>,
    train_labels: PyReadonlyArray1<'_, i64>,
    test: PyReadonlyArray2<'_, f32>,
    k: usize,
    temperature: f32,
) -> PyResult<(Vec<u32>, usize)> {
    let (train, test, labels) = (rows(&train)?, rows(&test)?, classes(&train_labels)?);
    let options = KnnOptions { k, temperature };
    let count = labels.iter().max().map_or(0, |label| *label as usize + 1);
    let mut found = (Vec::new(), k.min(train.len()));
    // Each row's class depends on that row alone, so blocks change nothing but when Ctrl-C is heard.
    for block in test.values().chunks(BLOCK * test.columns()) {
        let block = Rows::new(block, test.columns()).map_err(value_error)?;
        let predicted = run(py, |_| lookalike_metrics::knn_classify(train, &labels, block, count, &options))?;
        found.0.extend(predicted.map_err(value_error)?.labels);
    }
    Ok(found)
}

#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "called by keyword from one place")]
pub(crate) fn linear_probe(
    py: Python<'_>,
    train: PyReadonlyArray2<'_, f32>,
    train_labels: PyReadonlyArray1<'_, i64>,
    test: PyReadonlyArray2<'_, f32>,
    test_labels: PyReadonlyArray1<'_, i64>,
    count: usize,
    rates: Vec<f32>,
    epochs: usize,
    batch_size: usize,
    held_out: f64,
    labels_per_class: Option<usize>,
    seed: u64,
) -> PyResult<String> {
    let (train, test) = (rows(&train)?, rows(&test)?);
    let (train_labels, test_labels) = (classes(&train_labels)?, classes(&test_labels)?);
    let options = ProbeOptions { rates, epochs, batch_size, held_out, labels_per_class, seed: Seed(seed) };
    let probe = run(py, |flag| {
        let (left, right) = ((train, &train_labels[..]), (test, &test_labels[..]));
        lookalike_metrics::linear_probe(
            left.0,
            left.1,
            right.0,
            right.1,
            count,
            &options,
            Watch::silent(flag),
        )
    })?;
    json(&probe.map_err(value_error)?)
}

#[pyfunction]
pub(crate) fn clustering_scores(
    py: Python<'_>,
    labels: PyReadonlyArray1<'_, i64>,
    clusters: PyReadonlyArray1<'_, i64>,
) -> PyResult<String> {
    let (labels, clusters) = (classes(&labels)?, classes(&clusters)?);
    json(&run(py, |_| lookalike_metrics::clustering_scores(&labels, &clusters))?.map_err(value_error)?)
}

/// The corners of boxes, four a row.
fn boxes(array: &PyReadonlyArray2<'_, f64>) -> PyResult<Vec<[f64; 4]>> {
    let values = array.as_slice().map_err(value_error)?.as_chunks().0;
    Ok(values.to_vec())
}

#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "called by keyword from one place")]
pub(crate) fn voc_average_precision(
    py: Python<'_>,
    images: usize,
    truth_images: PyReadonlyArray1<'_, i64>,
    truth_classes: PyReadonlyArray1<'_, i64>,
    truth_boxes: PyReadonlyArray2<'_, f64>,
    difficult: Vec<bool>,
    found_images: PyReadonlyArray1<'_, i64>,
    found_classes: PyReadonlyArray1<'_, i64>,
    found_scores: Vec<f64>,
    found_boxes: PyReadonlyArray2<'_, f64>,
) -> PyResult<String> {
    let (truth_images, truth_classes) = (classes(&truth_images)?, classes(&truth_classes)?);
    let (found_images, found_classes) = (classes(&found_images)?, classes(&found_classes)?);
    let (truth_boxes, found_boxes) = (boxes(&truth_boxes)?, boxes(&found_boxes)?);
    let score = || {
        let truth = GroundTruth {
            images: &truth_images,
            classes: &truth_classes,
            boxes: &truth_boxes,
            difficult: &difficult,
        };
        let found = Detections {
            images: &found_images,
            classes: &found_classes,
            scores: &found_scores,
            boxes: &found_boxes,
        };
        lookalike_metrics::voc_average_precision(truth, found, images)
    };
    json(&run(py, |_| score())?.map_err(value_error)?)
}

#[pyfunction]
pub(crate) fn segmentation_scores(
    py: Python<'_>,
    truth: Vec<PyReadonlyArray1<'_, u8>>,
    predicted: Vec<PyReadonlyArray1<'_, u8>>,
    classes: usize,
) -> PyResult<String> {
    let slices = |arrays: &[PyReadonlyArray1<'_, u8>]| -> PyResult<Vec<Vec<u8>>> {
        arrays.iter().map(|array| Ok(array.as_slice().map_err(value_error)?.to_vec())).collect()
    };
    let (truth, predicted) = (slices(&truth)?, slices(&predicted)?);
    let score = || {
        let mut confusion = Confusion::new(classes)?;
        for (at, (truth, predicted)) in truth.iter().zip(&predicted).enumerate() {
            let of_image =
                |error: MetricError| MetricError::Entry { what: "image", at, problem: error.to_string() };
            confusion.add(truth, predicted).map_err(of_image)?;
        }
        confusion.scores()
    };
    json(&run(py, |_| score())?.map_err(value_error)?)
}

/// Clusters, centres, inertia and iterations.
type Clustering<'py> = (Bound<'py, PyArray1<i64>>, Bound<'py, PyArrayDyn<f32>>, f64, usize);

#[pyfunction]
pub(crate) fn kmeans<'py>(
    py: Python<'py>,
    points: PyReadonlyArray2<'_, f32>,
    clusters: usize,
    restarts: usize,
    iterations: usize,
    tolerance: f64,
    seed: u64,
) -> PyResult<Clustering<'py>> {
    let rows = rows(&points)?;
    let options = KmeansOptions { clusters, restarts, iterations, tolerance, seed: Seed(seed) };
    let cluster = |watch: Watch<'_>| lookalike_metrics::kmeans(rows, &options, watch);
    let found = run_shown(py, "clustering", restarts as u64, cluster)?.map_err(value_error)?;
    let Kmeans { clusters, centers, inertia, iterations } = found;
    let shape = vec![centers.len(), centers.columns()];
    let clusters = PyArray1::from_vec(py, clusters.into_iter().map(i64::from).collect());
    Ok((clusters, PyArray1::from_vec(py, centers.into_values()).reshape(shape)?, inertia, iterations))
}

#[pyfunction]
pub(crate) fn alignment(
    py: Python<'_>,
    first: PyReadonlyArray2<'_, f32>,
    second: PyReadonlyArray2<'_, f32>,
) -> PyResult<f64> {
    let (first, second) = (rows(&first)?, rows(&second)?);
    run(py, |_| lookalike_metrics::alignment(first, second))?.map_err(value_error)
}

#[pyfunction]
pub(crate) fn uniformity(
    py: Python<'_>,
    embeddings: PyReadonlyArray2<'_, f32>,
    t: f64,
    most_rows: usize,
    seed: u64,
) -> PyResult<String> {
    let rows = rows(&embeddings)?;
    let options = UniformityOptions { t, most_rows, seed: Seed(seed) };
    json(&run(py, |_| lookalike_metrics::uniformity(rows, &options))?.map_err(value_error)?)
}

fn centering(centered: bool) -> Centering {
    if centered { Centering::Centered } else { Centering::Uncentered }
}

#[pyfunction]
pub(crate) fn spectrum(
    py: Python<'_>,
    embeddings: PyReadonlyArray2<'_, f32>,
    centered: bool,
) -> PyResult<Vec<f64>> {
    let rows = rows(&embeddings)?;
    Ok(run(py, |_| lookalike_metrics::spectrum(rows, centering(centered)))?
        .map_err(value_error)?
        .singular_values)
}

#[pyfunction]
pub(crate) fn effective_rank(
    py: Python<'_>,
    embeddings: PyReadonlyArray2<'_, f32>,
    centered: bool,
) -> PyResult<f64> {
    let rows = rows(&embeddings)?;
    run(py, |_| lookalike_metrics::spectrum(rows, centering(centered))?.effective_rank())?
        .map_err(value_error)
}

#[pyfunction]
pub(crate) fn rank_me(py: Python<'_>, embeddings: PyReadonlyArray2<'_, f32>) -> PyResult<f64> {
    let rows = rows(&embeddings)?;
    run(py, |_| lookalike_metrics::rank_me(rows))?.map_err(value_error)
}

#[pyfunction]
pub(crate) fn collapse(py: Python<'_>, embeddings: PyReadonlyArray2<'_, f32>) -> PyResult<String> {
    let rows = rows(&embeddings)?;
    json(&run(py, |_| lookalike_metrics::collapse(rows))?.map_err(value_error)?)
}

#[pyfunction]
pub(crate) fn hardness(
    py: Python<'_>,
    members: PyReadonlyArray1<'_, i64>,
    sizes: PyReadonlyArray1<'_, i64>,
    embeddings: Embeddings<'_>,
    pairs: bool,
) -> PyResult<String> {
    let rows = embeddings.source()?;
    let plan = batches(&members, &sizes, rows.len())?;
    let measured = |watch: Watch<'_>| {
        if pairs {
            lookalike_metrics::pair_hardness(&plan, &rows, watch)
        } else {
            lookalike_metrics::hardness(&plan, &rows, watch)
        }
    };
    json(&run_shown(py, "measuring batches", plan.len() as u64, measured)?.map_err(value_error)?)
}

#[pyfunction]
pub(crate) fn false_negative_rate(
    py: Python<'_>,
    members: PyReadonlyArray1<'_, i64>,
    sizes: PyReadonlyArray1<'_, i64>,
    labels: PyReadonlyArray1<'_, i64>,
) -> PyResult<String> {
    let labels = classes(&labels)?;
    let plan = batches(&members, &sizes, labels.len())?;
    json(&run(py, |_| lookalike_metrics::false_negative_rate(&plan, &labels))?.map_err(value_error)?)
}

#[pyfunction]
pub(crate) fn paired(baseline: Vec<f64>, treatment: Vec<f64>) -> PyResult<String> {
    json(&lookalike_metrics::paired(&baseline, &treatment).map_err(value_error)?)
}
