//! What can be seen of a comparison while a run goes on: how hard the negatives are, how many of them are false, and whether
//! the queries are about to collapse.
//!
//! Everything is measured on the batch at hand and on what the loss compares (projections of unit length).

use lookalike_base::Rows;
use lookalike_metrics::{Centering, MetricError, UniformityOptions};
use serde_json::{Map, Value, json};

use super::{Comparison, mixing::Draw, oracle};
use crate::engine::to_host;
use crate::loss::Similarities;

/// Queries of a batch whose negatives are sorted: enough for a mean.
const SORTED: usize = 64;

/// What the instruments look at.
pub(super) struct Seen<'a> {
    pub(super) comparison: &'a Comparison,
    /// Without mixtures.
    pub(super) plain: &'a Similarities,
    /// With mixtures.
    pub(super) similarities: &'a Similarities,
    pub(super) draw: Option<&'a Draw>,
    pub(super) labels: Option<&'a [u32]>,
    pub(super) temperature: f32,
}

/// All figures under their names in the `instruments` event.
pub(super) fn figures(seen: &Seen<'_>) -> Map<String, Value> {
    let table = Table::new(seen.plain);
    let mut figures = Map::new();
    let mut set = |name: &str, value: Value| figures.insert(name.to_owned(), value);
    set("negatives", json!(table.mean(|query| table.allowed(query).count() as f64)));
    set("proxy_accuracy", json!(table.proxy_accuracy()));
    if let Some(draw) = seen.draw {
        set("proxy_accuracy_mixed", json!(Table::new(seen.similarities).proxy_accuracy()));
        set("mixtures", json!(draw.mixtures));
    }
    set("positive_similarity", json!(table.mean(|query| f64::from(table.positive[query]))));
    ranks(seen, &table, &mut set);
    if let Some(labels) = seen.labels {
        false_negatives(seen, &table, labels, &mut set);
    }
    geometry(seen.comparison, &mut set);
    figures
}

/// Similarities on the host.
struct Table {
    positive: Vec<f32>,
    negatives: Vec<f32>,
    excluded: Option<Vec<f32>>,
    columns: usize,
}

impl Table {
    fn new(similarities: &Similarities) -> Self {
        Self {
            positive: to_host(similarities.positive.clone()),
            negatives: to_host(similarities.negatives.clone()),
            excluded: similarities.excluded.clone().map(to_host),
            columns: similarities.negatives.dims()[1],
        }
    }

    /// Index and similarity of the query's negatives.
    fn allowed(&self, query: usize) -> impl Iterator<Item = (usize, f32)> {
        let range = query * self.columns..(query + 1) * self.columns;
        let excluded = self.excluded.as_ref().map(|flags| &flags[range.clone()]);
        let values = self.negatives[range].iter().copied().enumerate();
        values.filter(move |(index, _)| excluded.is_none_or(|flags| flags[*index] == 0.0))
    }

    fn mean(&self, value: impl Fn(usize) -> f64) -> f64 {
        let count = self.positive.len();
        (0..count).map(value).sum::<f64>() / count as f64
    }

    /// Share of queries that are nearer to their positive than to any negative.
    fn proxy_accuracy(&self) -> f64 {
        self.mean(|query| {
            let hardest = self.allowed(query).map(|(_, value)| value).fold(f32::NEG_INFINITY, f32::max);
            f64::from(u8::from(self.positive[query] > hardest))
        })
    }
}

/// The similarity of the negatives of rank 1, 2, 4, …, and how few of them carry half the negatives' weight in the loss.
fn ranks(seen: &Seen<'_>, table: &Table, set: &mut impl FnMut(&str, Value) -> Option<Value>) {
    let queries = table.positive.len().min(SORTED);
    let sorted: Vec<Vec<f32>> = (0..queries)
        .map(|query| {
            let mut values: Vec<f32> = table.allowed(query).map(|(_, value)| value).collect();
            values.sort_unstable_by(|a, b| b.total_cmp(a));
            values
        })
        .filter(|values| !values.is_empty())
        .collect();
    let Some(least) = sorted.iter().map(Vec::len).min() else { return };
    let by_rank: Vec<Value> = std::iter::successors(Some(1_usize), |rank| Some(2 * rank))
        .take_while(|rank| *rank <= least)
        .map(|rank| {
            let sum: f64 = sorted.iter().map(|values| f64::from(values[rank - 1])).sum();
            json!([rank, sum / sorted.len() as f64])
        })
        .collect();
    let half = sorted.iter().map(|values| {
        let weight = |value: f32| f64::from((value - values[0]) / seen.temperature).exp();
        let total: f64 = values.iter().map(|value| weight(*value)).sum();
        let mut sum = 0.0;
        let within = values.iter().take_while(|value| {
            let before = sum;
            sum += weight(**value);
            before < 0.5 * total
        });
        within.count() as f64
    });
    set("negatives_for_half", json!(half.sum::<f64>() / sorted.len() as f64));
    set("similarity_by_rank", Value::Array(by_rank));
}

/// Share of the query's own class among its negatives, among the hardest of them, and among the parents of its mixtures.
fn false_negatives(
    seen: &Seen<'_>,
    table: &Table,
    labels: &[u32],
    set: &mut impl FnMut(&str, Value) -> Option<Value>,
) {
    let Comparison { instances, candidate_instances, .. } = seen.comparison;
    let is_false = |query: usize, candidate: usize| {
        oracle::same_class(labels, instances[query], candidate_instances[candidate])
    };
    let mut share = |name: &str, candidates: &dyn Fn(usize) -> Vec<usize>| {
        let (mut found, mut all) = (0_usize, 0_usize);
        for query in 0..instances.len() {
            let candidates = candidates(query);
            all += candidates.len();
            found += candidates.into_iter().filter(|candidate| is_false(query, *candidate)).count();
        }
        if all > 0 {
            set(name, json!(found as f64 / all as f64));
        }
    };
    share("false_negatives", &|query| table.allowed(query).map(|(index, _)| index).collect());
    let Some(draw) = seen.draw else {
        share("false_negatives_hardest", &|query| {
            let mut values: Vec<(usize, f32)> = table.allowed(query).collect();
            values.sort_unstable_by(|a, b| b.1.total_cmp(&a.1));
            values.truncate(values.len().div_ceil(10));
            values.into_iter().map(|(index, _)| index).collect()
        });
        return;
    };
    share("false_negatives_hardest", &|query| {
        draw.queries[query].hardest.iter().map(|index| *index as usize).collect()
    });
    share("false_negatives_parents", &|query| {
        let mixtures = draw.queries[query].mixtures.iter();
        mixtures
            .flat_map(|mixture| [Some(mixture.candidate), mixture.partner])
            .flatten()
            .map(|index| index as usize)
            .collect()
    });
}

/// Alignment, uniformity, deviation and effective rank of the queries; what they do not determine is left out.
fn geometry(comparison: &Comparison, set: &mut impl FnMut(&str, Value) -> Option<Value>) {
    let columns = comparison.query.dims()[1];
    let [query, positive] = [&comparison.query, &comparison.positive].map(|rows| to_host(rows.clone()));
    let (Ok(query), Ok(positive)) = (Rows::new(&query, columns), Rows::new(&positive, columns)) else {
        return;
    };
    let mut score = |name: &str, value: Result<f64, MetricError>| {
        if let Ok(value) = value {
            set(name, json!(value));
        }
    };
    let uniformity = lookalike_metrics::uniformity(query, &UniformityOptions::default());
    let spectrum = lookalike_metrics::spectrum(query, Centering::Centered);
    let collapse = lookalike_metrics::collapse(query);
    score("alignment", lookalike_metrics::alignment(query, positive));
    score("uniformity", uniformity.map(|uniformity| uniformity.value));
    score("deviation", collapse.map(|collapse| collapse.mean / collapse.spread));
    score("effective_rank", spectrum.and_then(|spectrum| spectrum.effective_rank()));
    set("rows", json!(query.len()));
    set("dimension", json!(columns));
}
