//! Hard negatives of queries among documents.

use lookalike_base::{RowSource, Seed};
use lookalike_metrics::mining::{self, MiningInput, MiningOptions, MiningStrategy, first_equal_rows};
use numpy::{PyArray1, PyArrayDyn, PyArrayMethods, PyReadonlyArray1};
use pyo3::prelude::*;

use crate::arrays::{matrix, value_error};
use crate::sampler::classes;
use crate::source::Embeddings;
use crate::work::run_shown;

/// Queries, positives, similarities of positives; negatives, their similarities; queries with all, fewer and no negatives.
type Found<'py> = (
    Bound<'py, PyArray1<i64>>,
    Bound<'py, PyArray1<i64>>,
    Bound<'py, PyArray1<f32>>,
    Bound<'py, PyArrayDyn<i64>>,
    Bound<'py, PyArrayDyn<f32>>,
    String,
);

#[pyfunction]
#[expect(clippy::too_many_arguments, reason = "called by keyword from one place")]
pub(crate) fn mine<'py>(
    py: Python<'py>,
    queries: Embeddings<'_>,
    documents: Embeddings<'_>,
    relevant_queries: PyReadonlyArray1<'_, i64>,
    relevant_documents: PyReadonlyArray1<'_, i64>,
    negatives: usize,
    range_min: usize,
    range_max: Option<usize>,
    max_score: Option<f32>,
    min_score: Option<f32>,
    absolute_margin: Option<f32>,
    relative_margin: Option<f32>,
    random: bool,
    seed: u64,
) -> PyResult<Found<'py>> {
    let (queries, documents) = (queries.source()?, documents.source()?);
    let own = |array| {
        classes(array).map_err(|_| value_error("a row of relevant is below 0 or too large for 32 bits"))
    };
    let relevant: Vec<(u32, u32)> =
        own(&relevant_queries)?.into_iter().zip(own(&relevant_documents)?).collect();
    let strategy = if random { MiningStrategy::Random } else { MiningStrategy::Top };
    let options = MiningOptions {
        negatives,
        range_min,
        range_max,
        max_score,
        min_score,
        absolute_margin,
        relative_margin,
        strategy,
        seed: Seed(seed),
    };
    let mined = run_shown(py, "mining", queries.len() as u64, |watch| {
        let (same_queries, same_documents) =
            (first_equal_rows(&queries, watch)?, first_equal_rows(&documents, watch)?);
        let input = MiningInput {
            queries: &queries,
            documents: &documents,
            relevant: &relevant,
            same_queries: &same_queries,
            same_documents: &same_documents,
        };
        mining::mine(&input, &options, watch)
    })?;
    let mined = mined.map_err(value_error)?;

    let (mut of, mut positives, mut own, mut all, mut scores) = (vec![], vec![], vec![], vec![], vec![]);
    for (at, query) in mined.queries.iter().enumerate() {
        let (found, similarities) = mined.negatives.list(at);
        let missing = negatives - found.len();
        let (documents, cosines) = mined.positives.list(at);
        for (document, cosine) in documents.iter().zip(cosines) {
            of.push(i64::from(*query));
            positives.push(i64::from(*document));
            own.push(*cosine);
            all.extend(
                found.iter().map(|document| i64::from(*document)).chain(std::iter::repeat_n(-1, missing)),
            );
            scores.extend(similarities.iter().copied().chain(std::iter::repeat_n(f32::NAN, missing)));
        }
    }
    let shape = [of.len(), negatives];
    let scores = PyArray1::from_vec(py, scores).reshape(shape.to_vec())?;
    let left_out = serde_json::to_string(&mined.left_out).map_err(value_error)?;
    Ok((
        PyArray1::from_vec(py, of),
        PyArray1::from_vec(py, positives),
        PyArray1::from_vec(py, own),
        matrix(py, all, shape)?,
        scores,
        left_out,
    ))
}
