//! The proxy task of contrastive learning (Kalantidis et al. 2020, section 3.1, <https://arxiv.org/abs/2010.01028>): how often a query
//! is nearer to its key than to any negative. The harder the negatives, the lower; on its own it says nothing about how
//! good the embeddings are.

use lookalike_base::{Matrix, Rows, Watch};
use rayon::prelude::*;
use serde::Serialize;

use crate::check;
use crate::error::MetricError;

/// What queries are told from.
#[derive(Debug, Clone, Copy)]
pub enum ProxyNegatives<'a> {
    /// The keys of the other queries.
    OtherKeys,
    /// These rows, the same for every query.
    Rows(Rows<'a>),
}

/// Gives the largest similarity of a query's synthetic negatives, from the query's number and its similarities to all negatives; −∞
/// stands for its own key and for no synthetic negative at all.
pub type Synthetic<'a> = &'a (dyn Fn(usize, &[f32]) -> f32 + Sync);

/// Share of queries that are nearer to their key than to any negative.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ProxyAccuracy {
    /// Of the negatives as they are.
    pub plain: f64,
    /// With synthetic negatives beside them; `None` where there are none.
    pub mixed: Option<f64>,
}

/// Measures the proxy task by cosine similarity. A query as near to a negative as to its key counts as mistaken.
///
/// Every query is compared with every negative: Q · K products of length d. Where that is too many, a sample of the queries with their
/// keys is a task of its own, and an easier one where the other keys are the negatives.
///
/// The progress of `watch` counts the queries; the work ends soon after `watch` asks it to stop.
///
/// # Shapes
/// `query` and `key`: Q×d, row i of both being the same instance; negatives K×d.
///
/// # Errors
/// [`MetricError::Undefined`] without queries or negatives, [`MetricError::Dimensions`] and [`MetricError::Length`] where rows do not
/// fit, [`MetricError::Values`] where a value is not finite; and [`MetricError::Cancelled`] where `watch` stopped the work.
pub fn proxy_accuracy(
    query: Rows<'_>,
    key: Rows<'_>,
    negatives: ProxyNegatives<'_>,
    synthetic: Option<Synthetic<'_>>,
    watch: Watch<'_>,
) -> Result<ProxyAccuracy, MetricError> {
    check::same_dimensions("queries", query, "keys", key)?;
    if key.len() != query.len() {
        let (found, expected) = (key.len(), query.len());
        return Err(MetricError::Length { what: "keys", found, expected, of: "query" });
    }
    let (query, key) = (check::normalized("queries", query)?, check::normalized("keys", key)?);
    let (others, own) = match negatives {
        ProxyNegatives::OtherKeys => (None, true),
        ProxyNegatives::Rows(rows) => {
            check::same_dimensions("queries", query.rows(), "negatives", rows)?;
            (Some(check::normalized("negatives", rows)?), false)
        }
    };
    let pool: &Matrix = others.as_ref().unwrap_or(&key);
    if query.is_empty() || pool.len() <= usize::from(own) {
        return Err(MetricError::undefined("the proxy task's accuracy", "it needs queries and negatives"));
    }
    let dot = lookalike_kernels::dot;
    let of_query = |index: usize| {
        if watch.is_cancelled() {
            return [0; 2];
        }
        watch.progress.advance(1);
        let row = query.row(index);
        let positive = dot(row, key.row(index));
        let mut similarities: Vec<f32> = pool.rows().iter().map(|other| dot(row, other)).collect();
        if own {
            similarities[index] = f32::NEG_INFINITY;
        }
        let hardest = similarities.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let made = synthetic.map_or(f32::NEG_INFINITY, |synthetic| synthetic(index, &similarities));
        [positive > hardest, positive > hardest.max(made)].map(usize::from)
    };
    let sum = |a: [usize; 2], b: [usize; 2]| [a[0] + b[0], a[1] + b[1]];
    let counts = (0..query.len()).into_par_iter().map(of_query).reduce(|| [0; 2], sum);
    if watch.is_cancelled() {
        return Err(MetricError::Cancelled);
    }
    let [plain, mixed] = counts.map(|count| count as f64 / query.len() as f64);
    Ok(ProxyAccuracy { plain, mixed: synthetic.map(|_| mixed) })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use lookalike_base::Cancellation;

    use super::*;

    fn rows(values: &[f32]) -> Rows<'_> {
        Rows::new(values, 2).unwrap()
    }

    /// Four queries on the circle; the keys of the first two are near, those of the others nearer to a neighbour's.
    const QUERIES: [f32; 8] = [1.0, 0.0, 0.0, 2.0, -1.0, 0.0, 0.0, -3.0];
    const KEYS: [f32; 8] = [2.0, 0.1, 0.1, 1.0, 0.0, -1.0, -1.0, 0.0];

    #[test]
    fn queries_nearer_to_another_s_key_than_to_their_own_are_mistaken() {
        let accuracy =
            proxy_accuracy(rows(&QUERIES), rows(&KEYS), ProxyNegatives::OtherKeys, None, Watch::default())
                .unwrap();
        assert_eq!(accuracy, ProxyAccuracy { plain: 0.5, mixed: None });
    }

    #[test]
    fn given_negatives_stand_for_all_and_a_tie_is_a_mistake() {
        let negatives = [0.5, 0.5];
        let given = ProxyNegatives::Rows(rows(&negatives));
        // The first two keys are nearer than the diagonal; those of the others are at right angles, the diagonal is behind.
        assert_eq!(
            proxy_accuracy(rows(&QUERIES), rows(&KEYS), given, None, Watch::default()).unwrap().plain,
            1.0
        );
        let ties = proxy_accuracy(
            rows(&QUERIES),
            rows(&KEYS),
            ProxyNegatives::Rows(rows(&KEYS)),
            None,
            Watch::default(),
        )
        .unwrap();
        assert_eq!(ties.plain, 0.0, "each key is among the negatives");
    }

    #[test]
    fn synthetic_negatives_can_only_lower_it_and_are_told_all_similarities_but_the_own() {
        let near = |query: usize, similarities: &[f32]| {
            assert_eq!((similarities.len(), similarities[query]), (4, f32::NEG_INFINITY));
            if query == 0 { 1.0 } else { f32::NEG_INFINITY }
        };
        let accuracy = proxy_accuracy(
            rows(&QUERIES),
            rows(&KEYS),
            ProxyNegatives::OtherKeys,
            Some(&near),
            Watch::default(),
        )
        .unwrap();
        assert_eq!(accuracy, ProxyAccuracy { plain: 0.5, mixed: Some(0.25) });
    }

    #[test]
    fn who_asks_it_to_stop_gets_no_number_and_no_query_is_looked_at_after_that() {
        let cancellation = Cancellation::new();
        let seen = AtomicUsize::new(0);
        let stop = |_: usize, _: &[f32]| {
            seen.fetch_add(1, Ordering::Relaxed);
            cancellation.cancel();
            f32::NEG_INFINITY
        };
        let values = vec![1.0; 2 * 10_000];
        let watch = Watch::silent(&cancellation);
        let result =
            proxy_accuracy(rows(&values), rows(&values), ProxyNegatives::OtherKeys, Some(&stop), watch);
        assert!(matches!(result, Err(MetricError::Cancelled)));
        // Each thread may have been at one query.
        assert!(seen.load(Ordering::Relaxed) <= rayon::current_num_threads());
    }

    #[test]
    fn what_does_not_fit_or_is_not_there_is_an_error() {
        let one = proxy_accuracy(
            rows(&QUERIES[..2]),
            rows(&KEYS[..2]),
            ProxyNegatives::OtherKeys,
            None,
            Watch::default(),
        );
        assert!(matches!(one, Err(MetricError::Undefined { .. })));
        let fewer = proxy_accuracy(
            rows(&QUERIES),
            rows(&KEYS[..6]),
            ProxyNegatives::OtherKeys,
            None,
            Watch::default(),
        );
        assert!(matches!(fewer, Err(MetricError::Length { .. })));
        let wide = Rows::new(&KEYS, 4).unwrap();
        let other =
            proxy_accuracy(rows(&QUERIES), rows(&KEYS), ProxyNegatives::Rows(wide), None, Watch::default());
        assert!(matches!(other, Err(MetricError::Dimensions { .. })));
        let nan = [f32::NAN; 8];
        assert!(matches!(
            proxy_accuracy(rows(&nan), rows(&KEYS), ProxyNegatives::OtherKeys, None, Watch::default()),
            Err(MetricError::Values { .. })
        ));
    }
}
