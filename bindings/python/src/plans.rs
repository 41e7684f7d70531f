//! Plans made from embeddings, kinds of them side by side, and near duplicates.

use lookalike_base::{RowSource, Seed, Silent};
use lookalike_sampling::{
    self as sampling, Avoid, ComparisonOptions, Groups, Oracle, PlanComparison, RunData, Sampler,
    SamplerOptions, Scoring,
};
use numpy::{PyArray1, PyReadonlyArray1};
use pyo3::prelude::*;

use crate::arrays::{matrix, value_error};
use crate::graph::Planned;
use crate::sampler::{classes, groups as groups_of, origins as origins_of, word};
use crate::source::Embeddings;
use crate::work::run_shown;

/// An epoch of batches from embeddings: batches, origins, what was put right, and what the dial came to, as JSON.
#[pyfunction]
pub(crate) fn plan_embeddings<'py>(
    py: Python<'py>,
    embeddings: Embeddings<'_>,
    options: &str,
    groups: Option<PyReadonlyArray1<'_, i64>>,
    labels: Option<PyReadonlyArray1<'_, i64>>,
    epoch: u64,
    seed: u64,
) -> PyResult<(Planned<'py>, Vec<String>, String)> {
    let rows = embeddings.source()?;
    let options: SamplerOptions = serde_json::from_str(options).map_err(value_error)?;
    let size = options.batch_size;
    let groups = groups.map(|ids| groups_of(&ids)).transpose()?;
    let oracle = labels.map(|labels| classes(&labels)).transpose()?;
    let oracle = oracle.map(|labels| Oracle { labels, avoid: Avoid::Members });
    let data = RunData { groups, oracle, ..RunData::default() };
    let (mut sampler, mut warnings) =
        Sampler::with_data(rows.len(), options, Seed(seed), data).map_err(value_error)?;
    sampler.set_epoch(epoch).map_err(value_error)?;
    let work = run_shown(py, "planning", rows.len() as u64, |watch| {
        sampler.set_cancellation(watch.cancellation.clone());
        sampler.rebuild_from(&rows, watch.progress)?;
        sampler.next_segment_of_all(Some(&rows), &Silent)
    })?;
    let segment = work.map_err(value_error)?;
    warnings.extend(sampler.take_warnings());
    let members = segment.batches.iter().flatten().map(|member| i64::from(*member));
    let batches = matrix(py, members, [segment.batches.len(), size])?;
    let said = warnings.iter().map(ToString::to_string).collect();
    let found = serde_json::to_string(&sampler.report().calibrations[0]).map_err(value_error)?;
    Ok(((batches, origins_of(py, &segment.origins)?), said, found))
}

/// All kinds of batches on the same embeddings, as JSON.
#[pyfunction]
pub(crate) fn compare_plans(
    py: Python<'_>,
    embeddings: Embeddings<'_>,
    batch_size: usize,
    pairs: Option<&str>,
    scoring: &str,
    labels: Option<PyReadonlyArray1<'_, i64>>,
    seed: u64,
) -> PyResult<String> {
    let rows = embeddings.source()?;
    let labels = labels.map(|labels| classes(&labels)).transpose()?;
    let options = ComparisonOptions {
        batch_size,
        pairs: pairs.map(|pairs| word("pairs", pairs)).transpose()?,
        scoring: word("scoring", scoring)?,
        seed: Seed(seed),
    };
    let found = run_shown(py, "comparing plans", PlanComparison::MOST, |watch| {
        sampling::compare_plans(&rows, labels.as_deref(), options, watch)
    })?;
    serde_json::to_string(&found.map_err(value_error)?).map_err(value_error)
}

/// For each instance the number of its group of near duplicates.
#[pyfunction]
pub(crate) fn near_duplicates<'py>(
    py: Python<'py>,
    embeddings: Embeddings<'_>,
    pairs: Option<&str>,
    factor: f64,
) -> PyResult<Bound<'py, PyArray1<i64>>> {
    let rows = embeddings.source()?;
    let pairs = pairs.map(|pairs| word("pairs", pairs)).transpose()?;
    let groups = run_shown(py, "near duplicates", rows.len() as u64, |watch| {
        Groups::of_near_duplicates(&rows, pairs, Scoring::F32, factor, watch)
    })?;
    let groups = groups.map_err(value_error)?;
    Ok(PyArray1::from_vec(py, groups.first_members().into_iter().map(i64::from).collect()))
}
