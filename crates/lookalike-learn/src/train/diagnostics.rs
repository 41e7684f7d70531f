//! What can be seen of a comparison while a run goes on: how hard the negatives are, how many of them are false, and whether
//! the queries are about to collapse.
//!
//! Everything is measured on the batch at hand and on what the loss compares (projections of unit length).

use std::collections::{BTreeMap, HashSet};

use lookalike_base::Rows;
use lookalike_metrics::{Centering, MetricError, UniformityOptions};
use serde::Serialize;

use crate::engine::{Tensor, to_host};
use crate::loss::{Mask, Similarities};
use crate::negatives::mixing::Draw;
use crate::negatives::{Compared, Observer, Owners, oracle};
use crate::op::select_rows;

/// Queries of a batch whose negatives are ranked: enough for a mean.
const MEASURED: usize = 64;

/// A scalar of the `diagnostics` event.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Scalar {
    /// A number.
    Number(f64),
    /// A count.
    Count(usize),
    /// Numbers by rank.
    ByRank(Vec<(usize, f64)>),
}

impl Scalar {
    /// The number or count.
    pub fn value(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Count(count) => Some(*count as f64),
            Self::ByRank(_) => None,
        }
    }
}

/// Scalars under their names.
pub type Scalars = BTreeMap<&'static str, Scalar>;

/// Watches the first comparison of a batch.
#[derive(Debug, Default)]
pub struct Diagnostics<'a> {
    labels: Option<&'a [u32]>,
    seen: bool,
    scalars: Scalars,
}

impl<'a> Diagnostics<'a> {
    /// With `labels` false negatives are counted too.
    pub fn new(labels: Option<&'a [u32]>) -> Self {
        Self { labels, ..Self::default() }
    }

    /// What was seen.
    pub fn into_scalars(self) -> Scalars {
        self.scalars
    }
}

impl Observer for Diagnostics<'_> {
    fn compared(&mut self, compared: &Compared<'_>) {
        if std::mem::replace(&mut self.seen, true) {
            return;
        }
        let table = Table::new(compared.plain);
        let mut set = |name, value| {
            self.scalars.insert(name, value);
        };
        set("negatives", Scalar::Number(table.mean(|query| table.count(query) as f64)));
        set("proxy_accuracy", Scalar::Number(table.proxy_accuracy()));
        if let Some(draw) = compared.draw {
            set("proxy_accuracy_mixed", Scalar::Number(Table::new(compared.similarities).proxy_accuracy()));
            set("mixtures", Scalar::Count(draw.mixtures));
        }
        set("positive_similarity", Scalar::Number(table.mean(|query| f64::from(table.positive[query]))));
        ranks(compared.temperature, &table, &mut set);
        if let (Some(labels), Some(owners)) = (self.labels, compared.owners) {
            FalseNegatives { labels, owners, table: &table }.measure(compared.draw, &mut set);
        }
        geometry(compared, &mut set);
    }

    fn number(&mut self, name: &'static str, value: &dyn Fn() -> f64) {
        self.scalars.insert(name, Scalar::Number(value()));
    }
}

/// Takes a scalar under its name.
type Set<'a> = dyn FnMut(&'static str, Scalar) + 'a;

/// Similarities on the host.
struct Table<'a> {
    positive: Vec<f32>,
    negatives: Vec<f32>,
    mask: Option<&'a Mask>,
    columns: usize,
}

impl<'a> Table<'a> {
    fn new(similarities: &'a Similarities) -> Self {
        Self {
            positive: to_host(similarities.positive.clone()),
            negatives: to_host(similarities.negatives.clone()),
            mask: similarities.mask.as_ref(),
            columns: similarities.negatives.dims()[1],
        }
    }

    fn masked(&self, query: usize) -> &[u32] {
        self.mask.map_or(&[], |mask| mask.of(query))
    }

    /// Number of the query's negatives.
    fn count(&self, query: usize) -> usize {
        self.columns - self.masked(query).len()
    }

    /// Index and similarity of the query's negatives.
    fn allowed(&self, query: usize) -> impl Iterator<Item = (usize, f32)> {
        let row = &self.negatives[query * self.columns..(query + 1) * self.columns];
        let mut masked = self.masked(query).iter().peekable();
        let values = row.iter().copied().enumerate();
        values.filter(move |(index, _)| masked.next_if(|other| **other as usize == *index).is_none())
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
fn ranks(temperature: f32, table: &Table<'_>, set: &mut Set<'_>) {
    let queries: Vec<usize> =
        (0..table.positive.len().min(MEASURED)).filter(|query| table.count(*query) > 0).collect();
    let Some(least) = queries.iter().map(|query| table.count(*query)).min() else { return };
    let ranks: Vec<usize> =
        std::iter::successors(Some(1), |rank| Some(2 * rank)).take_while(|rank| *rank <= least).collect();
    let (mut sums, mut half) = (vec![0.0; ranks.len()], 0.0);
    for query in &queries {
        let mut values: Vec<f32> = table.allowed(*query).map(|(_, value)| value).collect();
        half += carrying_half(&mut values, temperature) as f64;
        for (sum, value) in sums.iter_mut().zip(at_ranks(&mut values, &ranks)) {
            *sum += f64::from(value);
        }
    }
    let mean = |sum: f64| sum / queries.len() as f64;
    let by_rank = ranks.iter().zip(sums).map(|(rank, sum)| (*rank, mean(sum))).collect();
    set("negatives_for_half", Scalar::Number(mean(half)));
    set("similarity_by_rank", Scalar::ByRank(by_rank));
}

/// The values of the given ascending ranks, 1 being that of the largest; nothing is sorted.
fn at_ranks(values: &mut [f32], ranks: &[usize]) -> Vec<f32> {
    let mut end = values.len();
    let mut found: Vec<f32> = ranks
        .iter()
        .rev()
        .map(|rank| {
            let (_, value, _) = values[..end].select_nth_unstable_by(rank - 1, |a, b| b.total_cmp(a));
            end = rank - 1;
            *value
        })
        .collect();
    found.reverse();
    found
}

/// How many of the largest similarities together have half of the sum of exp(similarity/τ). The halves are halved, not sorted.
fn carrying_half(values: &mut [f32], temperature: f32) -> usize {
    let largest = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weight = |values: &[f32]| -> f64 {
        values.iter().map(|value| f64::from((value - largest) / temperature).exp()).sum()
    };
    let half = 0.5 * weight(values);
    let (mut counted, mut sum, mut rest) = (0, 0.0, values);
    while rest.len() > 1 {
        let middle = rest.len() / 2;
        rest.select_nth_unstable_by(middle, |a, b| b.total_cmp(a));
        let (larger, smaller) = rest.split_at_mut(middle);
        let with = sum + weight(larger);
        if with >= half {
            rest = larger;
        } else {
            (counted, sum, rest) = (counted + middle, with, smaller);
        }
    }
    counted + rest.len()
}

/// Shows a query's candidates one by one.
type Show<'a> = &'a dyn Fn(usize, &mut dyn FnMut(usize));

/// Shares of the query's own class.
struct FalseNegatives<'a> {
    labels: &'a [u32],
    owners: Owners<'a>,
    table: &'a Table<'a>,
}

impl FalseNegatives<'_> {
    /// Among a query's negatives, among the hardest of them, and among the parents of its mixtures.
    fn measure(&self, draw: Option<&Draw>, set: &mut Set<'_>) {
        let mut share = |name, show: Show<'_>| {
            if let Some(share) = self.share(show) {
                set(name, Scalar::Number(share));
            }
        };
        share("false_negatives", &|query, see| self.table.allowed(query).for_each(|(index, _)| see(index)));
        let Some(draw) = draw else {
            share("false_negatives_hardest", &|query, see| {
                self.hardest(query).into_iter().for_each(&mut *see);
            });
            return;
        };
        share("false_negatives_hardest", &|query, see| {
            draw.queries[query].hardest.iter().for_each(|index| see(*index as usize));
        });
        share("false_negatives_parents", &|query, see| {
            let mixtures = draw.queries[query].mixtures.iter();
            let parents = mixtures.flat_map(|mixture| [Some(mixture.candidate), mixture.partner]);
            parents.flatten().for_each(|index| see(index as usize));
        });
    }

    /// The share of those that `show` shows and whose class is known, as the query's is; `None` where there is none.
    fn share(&self, show: Show<'_>) -> Option<f64> {
        let (mut found, mut all) = (0_usize, 0_usize);
        for (query, own) in self.owners.queries.iter().enumerate() {
            show(query, &mut |candidate| {
                let other = (self.owners.candidate)(query, candidate);
                if oracle::has_class(self.labels, *own) && oracle::has_class(self.labels, other) {
                    all += 1;
                    found += usize::from(oracle::same_class(self.labels, *own, other));
                }
            });
        }
        (all > 0).then(|| found as f64 / all as f64)
    }

    /// The hardest tenth of a query's negatives.
    fn hardest(&self, query: usize) -> Vec<usize> {
        let mut values: Vec<(usize, f32)> = self.table.allowed(query).collect();
        let tenth = values.len().div_ceil(10);
        if tenth < values.len() {
            values.select_nth_unstable_by(tenth, |a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        }
        values[..tenth].iter().map(|(index, _)| *index).collect()
    }
}

/// Alignment, uniformity, deviation and effective rank of the queries; what they do not determine is left out.
fn geometry(compared: &Compared<'_>, set: &mut Set<'_>) {
    let [rows, columns] = compared.query.dims();
    let first = match compared.owners {
        Some(owners) => first_of_each(owners.queries),
        None => (0..rows as u32).collect(),
    };
    let [query, positive] = [compared.query, compared.positive]
        .map(|rows: &Tensor<2>| to_host(select_rows(rows.clone().inner(), &first)));
    let (Ok(query), Ok(positive)) = (Rows::new(&query, columns), Rows::new(&positive, columns)) else {
        return;
    };
    let mut score = |name, value: Result<f64, MetricError>| {
        if let Ok(value) = value {
            set(name, Scalar::Number(value));
        }
    };
    let uniformity = lookalike_metrics::uniformity(query, &UniformityOptions::default());
    let spectrum = lookalike_metrics::spectrum(query, Centering::Centered);
    let collapse = lookalike_metrics::collapse(query);
    score("alignment", lookalike_metrics::alignment(query, positive));
    score("uniformity", uniformity.map(|uniformity| uniformity.value));
    score("deviation", collapse.map(|collapse| collapse.mean / collapse.spread));
    score("effective_rank", spectrum.and_then(|spectrum| spectrum.effective_rank()));
    set("rows", Scalar::Count(query.len()));
    set("dimension", Scalar::Count(columns));
}

/// The first row of each instance: where both views are queries, two that are near each other by design would pass for a spread
/// of its own.
fn first_of_each(instances: &[u32]) -> Vec<u32> {
    let mut seen = HashSet::new();
    let first = instances.iter().enumerate().filter(|(_, instance)| seen.insert(**instance));
    first.map(|(row, _)| row as u32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use lookalike_base::Seed;

    /// The obvious twin: everything sorted.
    fn by_sorting(values: &[f32], temperature: f32, ranks: &[usize]) -> (usize, Vec<f32>) {
        let mut sorted = values.to_vec();
        sorted.sort_by(|a, b| b.total_cmp(a));
        let weights: Vec<f64> =
            sorted.iter().map(|value| f64::from((value - sorted[0]) / temperature).exp()).collect();
        let total: f64 = weights.iter().sum();
        let mut sum = 0.0;
        let reaches = weights.iter().position(|weight| {
            sum += weight;
            sum >= 0.5 * total
        });
        (reaches.unwrap() + 1, ranks.iter().map(|rank| sorted[rank - 1]).collect())
    }

    #[test]
    fn ranks_and_the_half_are_those_of_sorted_similarities() {
        for (count, temperature) in
            [(1_usize, 0.1), (2, 0.1), (7, 5.0), (100, 0.05), (1000, 0.5), (1000, 50.0)]
        {
            let mut stream = Seed(3).stream("similarities", 0, count as u64, 0);
            let mut values: Vec<f32> = (0..count).map(|_| 0.3 * stream.normal()).collect();
            let ranks: Vec<usize> = [1, 2, 4, 64, 512].into_iter().filter(|rank| *rank <= count).collect();
            let (half, at) = by_sorting(&values, temperature, &ranks);
            assert_eq!(carrying_half(&mut values, temperature), half, "{count} at {temperature}");
            assert_eq!(at_ranks(&mut values, &ranks), at);
        }
    }
}
