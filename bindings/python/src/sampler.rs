//! The sampler behind `LookalikeBatchSampler`.

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, TryLockError};
use std::time::Duration;

use lookalike_base::{Cancellation, Seed};
use lookalike_sampling::{
    Agreement, Avoid, Groups, Oracle, RankSplit, Ranks, RunData, Sampler, SamplerOptions, SamplerState,
    check_agreement as all_agree,
};
use numpy::{PyArray1, PyArrayDyn, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::arrays::{from_dict, instances, matrix, rows, to_dict, value_error};
use crate::graph::PyGraph;
use crate::work::{run, run_shown};

/// Batches, handed out one by one.
#[pyclass(frozen, name = "Sampler", module = "lookalike._lookalike")]
pub(crate) struct PySampler {
    inner: Mutex<Inner>,
    /// The process that locked it last.
    process: AtomicU32,
    /// The [thread](this_thread) that has it locked; 0 for none.
    thread: AtomicUsize,
    instances: usize,
}

/// The sampler as long as nobody else uses it.
struct Held<'a> {
    inner: MutexGuard<'a, Inner>,
    thread: &'a AtomicUsize,
}

impl Deref for Held<'_> {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.inner
    }
}

impl DerefMut for Held<'_> {
    fn deref_mut(&mut self) -> &mut Inner {
        &mut self.inner
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // Before the lock is released, so that whoever finds a thread here finds the one that holds it.
        self.thread.store(0, Ordering::Relaxed);
    }
}

/// A number of this thread that no other has while it lives; never 0.
fn this_thread() -> usize {
    thread_local!(static PLACE: u8 = const { 0 });
    PLACE.with(|place| std::ptr::from_ref(place).addr())
}

struct Inner {
    sampler: Sampler,
    /// What is left of the segment that the sampler has planned.
    planned: VecDeque<Vec<u32>>,
    /// What was handed out since it was last forgotten.
    handed: Vec<Vec<u32>>,
    warnings: Vec<String>,
    /// What the newest graph led to, until it was told.
    news: Option<String>,
}

type Batches<'py> = (Bound<'py, PyArray1<i64>>, Bound<'py, PyArray1<i64>>);
type State<'py> = (String, Bound<'py, PyDict>);

#[pymethods]
impl PySampler {
    #[new]
    #[pyo3(signature = (instances, options, seed, groups, oracle, avoid, rank, num_replicas, split))]
    #[expect(clippy::too_many_arguments, reason = "called by keyword from one place")]
    fn new(
        instances: usize,
        options: &str,
        seed: u64,
        groups: Option<PyReadonlyArray1<'_, i64>>,
        oracle: Option<PyReadonlyArray1<'_, i64>>,
        avoid: &str,
        rank: usize,
        num_replicas: usize,
        split: &str,
    ) -> PyResult<Self> {
        let options: SamplerOptions = serde_json::from_str(options).map_err(value_error)?;
        let groups = groups.map(|ids| self::groups(&ids)).transpose()?;
        let avoid: Avoid = word("avoid", avoid)?;
        let oracle =
            oracle.map(|labels| classes(&labels).map(|labels| Oracle { labels, avoid })).transpose()?;
        let split: RankSplit = word("split", split)?;
        let ranks = Ranks { rank, count: num_replicas, split };
        let data = RunData { groups, oracle, ranks, ..RunData::default() };
        let made = Sampler::with_data(instances, options, Seed(seed), data).map_err(value_error)?;
        let inner = Inner::new(made);
        let process = AtomicU32::new(std::process::id());
        Ok(Self { inner: Mutex::new(inner), process, thread: AtomicUsize::new(0), instances })
    }

    #[getter]
    fn batches_per_epoch(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.lock(py)?.sampler.batches_per_epoch())
    }

    #[getter]
    fn epoch(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.lock(py)?.sampler.epoch())
    }

    #[getter]
    fn position(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.lock(py)?.sampler.position())
    }

    #[getter]
    fn steps(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.lock(py)?.sampler.steps())
    }

    fn set_epoch(&self, py: Python<'_>, epoch: u64) -> PyResult<()> {
        let mut inner = self.lock(py)?;
        inner.sampler.set_epoch(epoch).map_err(value_error)?;
        if inner.sampler.position() == 0 {
            inner.planned.clear();
        }
        Ok(())
    }

    /// The next batch of `epoch`; none where the sampler is past its end.
    fn next_batch<'py>(&self, py: Python<'py>, epoch: u64) -> PyResult<Option<Bound<'py, PyList>>> {
        let mut inner = self.lock(py)?;
        if inner.sampler.epoch() != epoch {
            return Ok(None);
        }
        if inner.planned.is_empty() {
            inner.plan(py)?;
        }
        inner.sampler.advance().map_err(value_error)?;
        let Some(batch) = inner.planned.pop_front() else { return Ok(None) };
        let list = PyList::new(py, &batch)?;
        inner.handed.push(batch);
        Ok(Some(list))
    }

    /// How many batches were handed out since [`PySampler::forget`].
    #[getter]
    fn handed(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.lock(py)?.handed.len())
    }

    /// These without the first `skip`: their members one after another, and the size of each.
    fn handed_from<'py>(&self, py: Python<'py>, skip: usize) -> PyResult<Batches<'py>> {
        let inner = self.lock(py)?;
        let batches = inner.handed.get(skip..).unwrap_or_default();
        let members = batches.iter().flatten().map(|member| i64::from(*member)).collect();
        let sizes = batches.iter().map(|batch| batch.len() as i64).collect();
        Ok((PyArray1::from_vec(py, members), PyArray1::from_vec(py, sizes)))
    }

    fn forget(&self, py: Python<'_>) -> PyResult<()> {
        self.lock(py)?.handed.clear();
        Ok(())
    }

    fn record(
        &self,
        py: Python<'_>,
        indices: PyReadonlyArray1<'_, i64>,
        embeddings: PyReadonlyArray2<'_, f32>,
    ) -> PyResult<()> {
        let indices = instances("indices", &indices, self.instances)?;
        let embeddings = rows(&embeddings)?;
        let mut inner = self.lock(py)?;
        let sampler = &mut inner.sampler;
        let step = sampler.steps();
        py.detach(|| sampler.record(&indices, embeddings, step)).map_err(value_error)
    }

    fn state<'py>(&self, py: Python<'py>, light: bool) -> PyResult<State<'py>> {
        let inner = self.lock(py)?;
        let sampler = &inner.sampler;
        let (state, arrays) = py.detach(|| if light { sampler.light_state() } else { sampler.state() });
        Ok((serde_json::to_string(&state).map_err(value_error)?, to_dict(py, arrays)?))
    }

    fn restore(&self, py: Python<'_>, state: &str, arrays: &Bound<'_, PyDict>) -> PyResult<()> {
        let state: SamplerState = serde_json::from_str(state).map_err(value_error)?;
        let arrays = from_dict(arrays)?;
        let mut inner = self.lock(py)?;
        let sampler = &inner.sampler;
        let restored = run(py, |_| {
            let (options, seed, data) = (sampler.options().clone(), sampler.seed(), sampler.data().clone());
            Sampler::restore_with_data(self.instances, options, seed, data, &state, &arrays)
        })?;
        *inner = Inner::new(restored.map_err(value_error)?);
        Ok(())
    }

    fn saved_embeddings<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let inner = self.lock(py)?;
        let sampler = &inner.sampler;
        to_dict(py, py.detach(|| sampler.saved_embeddings()).map_err(value_error)?)
    }

    fn load_embeddings(&self, py: Python<'_>, arrays: &Bound<'_, PyDict>) -> PyResult<()> {
        let arrays = from_dict(arrays)?;
        let mut inner = self.lock(py)?;
        let sampler = &mut inner.sampler;
        py.detach(|| sampler.load_embeddings(&arrays)).map_err(value_error)
    }

    fn report(&self, py: Python<'_>) -> PyResult<String> {
        serde_json::to_string(&self.lock(py)?.sampler.report()).map_err(value_error)
    }

    fn take_warnings(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        Ok(std::mem::take(&mut self.lock(py)?.warnings))
    }

    /// What the newest graph led to, once.
    fn take_news(&self, py: Python<'_>) -> PyResult<Option<String>> {
        Ok(self.lock(py)?.news.take())
    }

    fn graph(&self, py: Python<'_>) -> PyResult<Option<PyGraph>> {
        let inner = self.lock(py)?;
        let graph = inner.sampler.graph();
        Ok((graph.edges() > 0).then(|| PyGraph(graph.into_owned())))
    }

    fn embeddings<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyArrayDyn<f32>>>> {
        let inner = self.lock(py)?;
        let array = |rows: lookalike_base::Rows<'_>| {
            let values = PyArray1::from_slice(py, rows.values());
            numpy::PyArrayMethods::reshape(&values, vec![rows.len(), rows.columns()])
        };
        inner.sampler.embeddings().map(array).transpose()
    }

    fn agreement(&self, py: Python<'_>) -> PyResult<String> {
        let inner = self.lock(py)?;
        let sampler = &inner.sampler;
        let agreement = py.detach(|| sampler.agreement());
        serde_json::to_string(&agreement).map_err(value_error)
    }
}

impl PySampler {
    /// The sampler, once no other thread uses it. Ctrl-C ends the wait. Where it would never end, an error does: in a process
    /// that was forked while another thread used the sampler, and in a signal handler that interrupted its own thread at that.
    fn lock(&self, py: Python<'_>) -> PyResult<Held<'_>> {
        loop {
            match self.inner.try_lock() {
                Ok(inner) => {
                    self.process.store(std::process::id(), Ordering::Relaxed);
                    self.thread.store(this_thread(), Ordering::Relaxed);
                    return Ok(Held { inner, thread: &self.thread });
                }
                Err(TryLockError::Poisoned(_)) => {
                    return Err(PyRuntimeError::new_err(
                        "the sampler was left in the middle of a change by a panic",
                    ));
                }
                Err(TryLockError::WouldBlock)
                    if self.process.load(Ordering::Relaxed) != std::process::id() =>
                {
                    return Err(PyRuntimeError::new_err(
                        "this process was forked while another thread used the sampler; make a new one here",
                    ));
                }
                Err(TryLockError::WouldBlock) if self.thread.load(Ordering::Relaxed) == this_thread() => {
                    return Err(PyRuntimeError::new_err(
                        "this thread is using the sampler already: a signal handler asked it in the middle of its work",
                    ));
                }
                Err(TryLockError::WouldBlock) => {
                    py.detach(|| std::thread::sleep(Duration::from_micros(200)));
                    py.check_signals()?;
                }
            }
        }
    }
}

impl Inner {
    fn new((sampler, warnings): (Sampler, Vec<lookalike_sampling::Warning>)) -> Self {
        let warnings = warnings.iter().map(ToString::to_string).collect();
        Self { sampler, planned: VecDeque::new(), handed: Vec::new(), warnings, news: None }
    }

    /// Plans up to the next refresh, after building the graph anew where that is due.
    fn plan(&mut self, py: Python<'_>) -> PyResult<()> {
        let sampler = &mut self.sampler;
        let builds = sampler.report().builds;
        let total = sampler.instances() as u64;
        let segment = run_shown(py, "graph", total, |watch| {
            sampler.set_cancellation(watch.cancellation.clone());
            let segment = sampler.next_segment_shown(watch.progress);
            sampler.set_cancellation(Cancellation::new());
            segment
        })?;
        self.planned = segment.map_err(value_error)?.batches.into();
        self.warnings.extend(self.sampler.take_warnings().iter().map(ToString::to_string));
        let report = self.sampler.report();
        if report.builds > builds {
            self.news = self.sampler.in_one_line();
        }
        Ok(())
    }
}

/// Checks that all ranks plan the same batches; each agreement is that of one rank, by rank.
#[pyfunction]
pub(crate) fn check_agreement(agreements: Vec<String>) -> PyResult<()> {
    let parsed: Result<Vec<Agreement>, _> =
        agreements.iter().map(|text| serde_json::from_str(text)).collect();
    all_agree(&parsed.map_err(value_error)?).map_err(value_error)
}

/// The groups of instances with these identifiers, of which −1 means none.
pub(crate) fn groups(identifiers: &PyReadonlyArray1<'_, i64>) -> PyResult<Groups> {
    Ok(Groups::with_none(identifiers.as_slice().map_err(value_error)?))
}

/// Classes, which were numbered from 0; 2³² − 1 is the label of those without.
pub(crate) fn classes(labels: &PyReadonlyArray1<'_, i64>) -> PyResult<Vec<u32>> {
    labels
        .as_slice()
        .map_err(value_error)?
        .iter()
        .map(|label| u32::try_from(*label).map_err(value_error))
        .collect()
}

/// One of the words that an option can be.
pub(crate) fn word<T: serde::de::DeserializeOwned>(option: &str, word: &str) -> PyResult<T> {
    let refused = |error| value_error(format!("{option} = {word:?}: {error}"));
    serde_json::from_value(serde_json::Value::String(word.to_owned())).map_err(refused)
}

/// How the members of each batch came into it: batches × (starts, collected, restarts, collected after them,
/// uniform; of those repeated, above the ceiling).
pub(crate) fn origins<'py>(
    py: Python<'py>,
    origins: &[lookalike_sampling::BatchOrigins],
) -> PyResult<Bound<'py, PyArrayDyn<i64>>> {
    let counts = origins.iter().flat_map(|of| {
        let counts = [of.starts, of.collected, of.restarts, of.collected_after_restart, of.uniform];
        counts.into_iter().chain([of.repeated, of.above_ceiling]).map(u64::cast_signed)
    });
    matrix(py, counts, [origins.len(), 7])
}
