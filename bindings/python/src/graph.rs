//! Graphs, walks and plans as functions on arrays.

use lookalike_base::{Cancellation, Matrix, RowSource, Seed, Watch};
use lookalike_kernels::KernelError;
use lookalike_sampling::walk::walk;
use lookalike_sampling::{
    self as sampling, BatchOrigins, Coverage, EdgeWeights, GraphOptions, InstanceSet, LastBatch, PlanContext,
    PlanInput, PlanReport, ProximityGraph, SamplingError, Strategy, Transition,
};
use numpy::{PyArray1, PyArrayDyn, PyArrayMethods, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;

use crate::arrays::{batches, instances, matrix, rows, value_error};
use crate::sampler::{classes, groups as groups_of, origins as origins_of, word};
use crate::source::Embeddings;
use crate::work::{run, run_shown};

/// A proximity graph, which never changes.
#[pyclass(frozen, name = "Graph", module = "lookalike._lookalike")]
pub(crate) struct PyGraph(pub(crate) ProximityGraph);

type Edges<'py> = (Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<f32>>);
type Neighbors<'py> = (Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<f32>>);
type Best<'py> = (Bound<'py, PyArrayDyn<i64>>, Bound<'py, PyArrayDyn<f32>>);
pub(crate) type Planned<'py> = (Bound<'py, PyArrayDyn<i64>>, Bound<'py, PyArrayDyn<i64>>);

#[pymethods]
impl PyGraph {
    #[new]
    fn new(
        degrees: PyReadonlyArray1<'_, i64>,
        neighbors: PyReadonlyArray1<'_, i64>,
        similarities: PyReadonlyArray1<'_, f32>,
    ) -> PyResult<Self> {
        let degrees =
            classes(&degrees).map_err(|_| value_error("a degree is below 0 or too large for 32 bits"))?;
        let neighbors = instances("neighbors", &neighbors, degrees.len())?;
        let similarities = similarities.as_slice().map_err(value_error)?.to_vec();
        ProximityGraph::from_edges(&degrees, neighbors, similarities).map(Self).map_err(value_error)
    }

    #[getter]
    fn instances(&self) -> usize {
        self.0.instances()
    }

    #[getter]
    fn edges(&self) -> usize {
        self.0.edges()
    }

    #[getter]
    fn fingerprint(&self, py: Python<'_>) -> u64 {
        py.detach(|| self.0.fingerprint())
    }

    fn arrays<'py>(&self, py: Python<'py>) -> Edges<'py> {
        let (degrees, neighbors, similarities) = self.0.parts();
        (widened(py, &degrees), widened(py, neighbors), PyArray1::from_slice(py, similarities))
    }

    fn neighbors<'py>(&self, py: Python<'py>, instance: i64) -> PyResult<Neighbors<'py>> {
        let count = self.0.instances();
        let found = u32::try_from(instance).ok().filter(|instance| (*instance as usize) < count);
        let instance = found
            .ok_or_else(|| value_error(format!("instance {instance} is none of the {count} instances")))?;
        let (neighbors, similarities) = (self.0.neighbors(instance), self.0.similarities(instance));
        Ok((widened(py, neighbors), PyArray1::from_slice(py, similarities)))
    }

    fn statistics(&self, py: Python<'_>) -> PyResult<String> {
        serde_json::to_string(&py.detach(|| self.0.statistics())).map_err(value_error)
    }

    fn similarity_percentile(&self, py: Python<'_>, percentile: f64) -> PyResult<Option<f32>> {
        if !(percentile > 0.0 && percentile <= 100.0) {
            return Err(value_error(format!(
                "percentile = {percentile} is out of range: above 0 and at most 100"
            )));
        }
        Ok(py.detach(|| self.0.similarity_percentile(percentile)))
    }

    fn below(&self, py: Python<'_>, ceiling: f64) -> PyResult<Self> {
        py.detach(|| self.0.filtered(|_, _, similarity| f64::from(similarity) <= ceiling))
            .map(Self)
            .map_err(value_error)
    }

    fn below_positive(&self, py: Python<'_>, embeddings: Embeddings<'_>, share: f64) -> PyResult<Self> {
        if !(share > 0.0 && share <= 1.0) {
            return Err(value_error(format!("share = {share} is out of range: above 0 and at most 1")));
        }
        let rows = embeddings.source()?;
        run(py, |_| self.0.below_positive(&rows, share))?.map(Self).map_err(value_error)
    }
}

#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "called by keyword from one place")]
pub(crate) fn proximity_graph(
    py: Python<'_>,
    embeddings: Embeddings<'_>,
    candidates: usize,
    neighbors: usize,
    pairs: Option<&str>,
    scoring: &str,
    seed: u64,
    build: u64,
) -> PyResult<(PyGraph, Vec<String>)> {
    let rows = embeddings.source()?;
    let (pairs, scoring) = (pairs.map(|pairs| word("pairs", pairs)).transpose()?, word("scoring", scoring)?);
    let options = GraphOptions { candidates, neighbors, pairs, scoring, ..GraphOptions::default() };
    let built = run_shown(py, "graph", rows.len() as u64, |watch| {
        sampling::proximity_graph(&rows, None, &options, Seed(seed), build, watch)
    })?;
    let (graph, warnings) = built.map_err(value_error)?;
    Ok((PyGraph(graph), warnings.iter().map(ToString::to_string).collect()))
}

#[pyfunction]
pub(crate) fn knn_graph(
    py: Python<'_>,
    embeddings: Embeddings<'_>,
    neighbors: usize,
    pairs: Option<&str>,
    scoring: &str,
) -> PyResult<PyGraph> {
    let (rows, scoring) = (embeddings.source()?, word("scoring", scoring)?);
    let pairs = pairs.map(|pairs| word("pairs", pairs)).transpose()?;
    let built = run_shown(py, "graph of the nearest", rows.len() as u64, |watch| {
        sampling::knn_graph(&rows, None, neighbors, pairs, scoring, watch)
    })?;
    built.map(PyGraph).map_err(value_error)
}

#[pyfunction]
pub(crate) fn top_k<'py>(
    py: Python<'py>,
    queries: PyReadonlyArray2<'_, f32>,
    database: PyReadonlyArray2<'_, f32>,
    k: usize,
    normalize: bool,
) -> PyResult<Best<'py>> {
    let (queries, database) = (rows(&queries)?, rows(&database)?);
    if queries.columns() != database.columns() {
        let (q, d) = ((queries.len(), queries.columns()), (database.len(), database.columns()));
        return Err(value_error(format!(
            "queries of shape {q:?} and database of shape {d:?} differ in columns"
        )));
    }
    for (name, rows) in [("queries", queries), ("database", database)] {
        rows.check_finite().map_err(|problem| value_error(format!("{name}: {problem}")))?;
    }
    let unit = |rows: lookalike_base::Rows<'_>| {
        let mut matrix = Matrix::new(rows.values().to_vec(), rows.columns())?;
        matrix.normalize_rows();
        Ok::<_, SamplingError>(matrix)
    };
    let search = |flag: &Cancellation| -> Result<_, SamplingError> {
        let scaled = if normalize { Some((unit(queries)?, unit(database)?)) } else { None };
        let (left, right) = scaled.as_ref().map_or((queries, database), |(q, d)| (q.rows(), d.rows()));
        let stop = || flag.is_cancelled();
        Ok(lookalike_kernels::top_k(left.values(), right.values(), left.columns(), k, false, &stop)?)
    };
    let best = run(py, search)?.map_err(|error| match error {
        SamplingError::Kernel(KernelError::TooFew { available, .. }) => {
            value_error(format!("k = {k} is out of range: the database has {available} rows"))
        }
        error => value_error(error),
    })?;
    let shape = [queries.len(), k];
    let similarities = PyArray1::from_vec(py, best.similarities).reshape(shape.to_vec())?;
    Ok((matrix(py, best.indices.into_iter().map(i64::from), shape)?, similarities))
}

#[pyfunction]
pub(crate) fn random_walks<'py>(
    py: Python<'py>,
    graph: &PyGraph,
    starts: PyReadonlyArray1<'_, i64>,
    steps: usize,
    restart: f32,
    temperature: Option<f64>,
    seed: u64,
) -> PyResult<Bound<'py, PyArrayDyn<i64>>> {
    let graph = &graph.0;
    let starts = instances("starts", &starts, graph.instances())?;
    let mut nodes = Vec::new();
    let reserved = starts.len().checked_mul(steps).map(|count| nodes.try_reserve_exact(count));
    if !matches!(reserved, Some(Ok(()))) {
        let walks = starts.len();
        return Err(value_error(format!("{walks} walks of {steps} steps do not fit into memory")));
    }
    let walks = |flag: &Cancellation| -> Result<Vec<i64>, SamplingError> {
        let weights = temperature.map(|temperature| EdgeWeights::new(graph, temperature)).transpose()?;
        let transition = Transition { graph, restart, weights: weights.as_ref() };
        for (number, start) in starts.iter().enumerate() {
            let mut stream = Seed(seed).stream("random walk", 0, 0, number as u64);
            walk(&transition, *start, steps, &mut stream, |node| {
                nodes.push(i64::from(node));
                // Looked at once in a while: most walks are short, but one may be as long as memory is.
                !(nodes.len().is_multiple_of(1024) && flag.is_cancelled())
            });
            if flag.is_cancelled() {
                return Err(SamplingError::Cancelled);
            }
        }
        Ok(nodes)
    };
    let nodes = run(py, walks)?.map_err(value_error)?;
    matrix(py, nodes, [starts.len(), steps])
}

#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "called by keyword from one place")]
pub(crate) fn plan<'py>(
    py: Python<'py>,
    graph: Option<&PyGraph>,
    count: usize,
    kind: &str,
    batch_size: usize,
    coverage: &str,
    restart: f32,
    temperature: Option<f64>,
    uniform_fraction: f64,
    groups: Option<PyReadonlyArray1<'_, i64>>,
    labels: Option<PyReadonlyArray1<'_, i64>>,
    epoch: u64,
    seed: u64,
) -> PyResult<Planned<'py>> {
    let coverage: Coverage = word("coverage", coverage)?;
    let groups = groups.map(|ids| groups_of(&ids)).transpose()?;
    let labels = labels.map(|labels| classes(&labels)).transpose()?;
    let planned = (count / batch_size.max(1)) as u64;
    let work = |watch: Watch<'_>| {
        let graph = graph.map(|graph| &graph.0);
        let weights = graph.zip(temperature).map(|(graph, temperature)| EdgeWeights::new(graph, temperature));
        let weights = weights.transpose()?;
        let order = graph.filter(|_| kind == "gcbs").map(sampling::bandwidth_order).unwrap_or_default();
        let strategy = match (kind, graph) {
            ("gcbs", Some(_)) => Strategy::Order { order: &order },
            ("walk", Some(graph)) => Strategy::Walk(Transition { graph, restart, weights: weights.as_ref() }),
            ("nearest", Some(graph)) => Strategy::Nearest { graph },
            _ => Strategy::Uniform,
        };
        let batches = count / batch_size.max(1);
        let used = InstanceSet::new(count);
        let input = PlanInput {
            instances: count,
            batch_size,
            last_batch: LastBatch::Drop,
            coverage,
            multiple: 1,
            strategy,
            uniform_fraction,
            groups: groups.as_ref(),
            ceiling: None,
            labels: labels.as_deref(),
            seed: Seed(seed),
            epoch,
            first_batch: 0,
            batches,
            used: &used,
        };
        sampling::plan_segment(&input, watch)
    };
    let segment =
        run_shown(py, "batches", planned, work)?.map_err(|error: SamplingError| value_error(error))?;
    let members = segment.batches.iter().flatten().map(|member| i64::from(*member));
    let batches = matrix(py, members, [segment.batches.len(), batch_size])?;
    Ok((batches, origins_of(py, &segment.origins)?))
}

#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "called by keyword from one place")]
pub(crate) fn plan_report(
    py: Python<'_>,
    members: PyReadonlyArray1<'_, i64>,
    sizes: PyReadonlyArray1<'_, i64>,
    embeddings: Embeddings<'_>,
    pairs: bool,
    labels: Option<PyReadonlyArray1<'_, i64>>,
    graph: Option<&PyGraph>,
    origins: Option<PyReadonlyArray2<'_, i64>>,
    seed: u64,
) -> PyResult<String> {
    let rows = embeddings.source()?;
    let plan = batches(&members, &sizes, rows.len())?;
    let labels = labels.map(|labels| classes(&labels)).transpose()?;
    let origins = origins.map(|counts| read_origins(&counts)).transpose()?;
    let context = PlanContext {
        pairs,
        labels: labels.as_deref(),
        graph: graph.map(|graph| &graph.0),
        origins: origins.as_deref(),
        batches_per_epoch: None,
    };
    let passes = PlanReport::PASSES * plan.len() as u64;
    let report = run_shown(py, "measuring batches", passes, |watch| {
        sampling::plan_report(&plan, &rows, &context, Seed(seed), watch)
    })?;
    serde_json::to_string(&report.map_err(value_error)?).map_err(value_error)
}

fn read_origins(counts: &PyReadonlyArray2<'_, i64>) -> PyResult<Vec<BatchOrigins>> {
    let counts = counts.as_slice().map_err(value_error)?.as_chunks::<7>().0;
    let origins = counts.iter().map(|counts| {
        let [starts, collected, restarts, collected_after_restart, uniform, repeated, above_ceiling] =
            counts.map(i64::cast_unsigned);
        BatchOrigins {
            starts,
            collected,
            restarts,
            collected_after_restart,
            uniform,
            repeated,
            above_ceiling,
        }
    });
    Ok(origins.collect())
}

fn widened<'py>(py: Python<'py>, values: &[u32]) -> Bound<'py, PyArray1<i64>> {
    PyArray1::from_vec(py, values.iter().map(|value| i64::from(*value)).collect())
}
