//! Retrieval scored as `trec_eval` does, on which BEIR and MTEB rest.
//!
//! Documents and queries are numbers; a document's id decides ties alone. Of each query the 1,000 best hits count
//! ([`KEPT`]), by score, of equal scores the greater id first, compared byte by byte (`trec_eval`'s `form_res_rels.c`).
//! Queries without relevant documents are left out of the means and counted. Queries with relevant documents but
//! without hits score 0 and are part of the means, as with `trec_eval -c`.
//!
//! `pytrec_eval` differs in two cases: it gives a query that has judgements but none above grade 0 zeros instead of
//! leaving it out, and leaves out a query that is absent from the run.

mod measures;
mod search;

use std::collections::HashMap;

use rayon::prelude::*;
use serde::Serialize;

use crate::error::MetricError;
pub use measures::{average_precision, ndcg, precision, recall, reciprocal_rank};
pub use search::search;

/// Hits of a query that are scored; the others are as if not found.
pub const KEPT: usize = 1000;

/// Which documents are relevant to which query, and how much.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgements {
    /// Of each query the relevant documents with their grades above 0, by document.
    relevant: Vec<Vec<(u32, u32)>>,
    documents: usize,
}

impl Judgements {
    /// Takes triples (query, document, grade) in any order. Grade 0 says what silence says too: not relevant.
    ///
    /// # Shapes
    /// Queries are numbers below `queries`, documents below `documents`.
    ///
    /// # Errors
    /// [`MetricError::Entry`] where a triple names a query or a document that does not exist, or a pair that another
    /// triple has judged already.
    pub fn new(
        queries: usize,
        documents: usize,
        judgements: impl IntoIterator<Item = (u32, u32, u32)>,
    ) -> Result<Self, MetricError> {
        let mut judged: Vec<HashMap<u32, u32>> = vec![HashMap::new(); queries];
        for (at, (query, document, grade)) in judgements.into_iter().enumerate() {
            let error = |problem| Err(MetricError::entry("judgement", at, problem));
            if document as usize >= documents {
                return error(format!("document {document} is not below {documents}, how many there are"));
            }
            let Some(judged) = judged.get_mut(query as usize) else {
                return error(format!("query {query} is not below {queries}, how many there are"));
            };
            if judged.insert(document, grade).is_some() {
                return error(format!("document {document} has a grade for query {query} already"));
            }
        }
        let relevant = |judged: HashMap<u32, u32>| {
            let mut relevant: Vec<(u32, u32)> = judged.into_iter().filter(|(_, grade)| *grade > 0).collect();
            relevant.sort_unstable();
            relevant
        };
        Ok(Self { relevant: judged.into_iter().map(relevant).collect(), documents })
    }

    /// Number of queries.
    pub fn queries(&self) -> usize {
        self.relevant.len()
    }

    /// Number of documents.
    pub fn documents(&self) -> usize {
        self.documents
    }

    /// The relevant documents of `query` with their grades, by document; none for a query that does not exist.
    pub fn relevant(&self, query: u32) -> &[(u32, u32)] {
        self.relevant.get(query as usize).map_or(&[], Vec::as_slice)
    }
}

/// What a search found for one query: documents with scores, in any order. A greater score is better.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ranking {
    /// Documents by number, each once, with finite scores.
    pub hits: Vec<(u32, f32)>,
}

impl From<Vec<(u32, f32)>> for Ranking {
    fn from(hits: Vec<(u32, f32)>) -> Self {
        Self { hits }
    }
}

impl Ranking {
    /// Without the document whose id is `id`, of documents with `ids`. BEIR drops the hit that has the query's own id
    /// before it scores; `ArguAna` and `Quora`, whose queries are documents too, depend on that.
    #[must_use]
    pub fn without(mut self, id: &str, ids: &[String]) -> Self {
        self.hits.retain(|(document, _)| ids.get(*document as usize).is_none_or(|found| found != id));
        self
    }

    /// The documents as they are scored: best first, equal scores by descending id, [`KEPT`] at most. Documents
    /// without an id come last among equals, by number.
    pub fn ordered(&self, ids: &[String]) -> Vec<u32> {
        let id = |document: u32| ids.get(document as usize);
        let mut hits = self.hits.clone();
        hits.sort_unstable_by(|first, second| {
            // Adding 0 makes −0 and 0 one score.
            let by_score = (second.1 + 0.0).total_cmp(&(first.1 + 0.0));
            by_score.then_with(|| id(second.0).cmp(&id(first.0))).then(first.0.cmp(&second.0))
        });
        hits.into_iter().take(KEPT).map(|(document, _)| document).collect()
    }

    /// Checks the hits of query `at`: `documents` exist.
    fn check(&self, at: usize, documents: usize) -> Result<(), MetricError> {
        let error = |problem| Err(MetricError::entry("ranking", at, problem));
        if let Some((document, _)) = self.hits.iter().find(|(document, _)| *document as usize >= documents) {
            return error(format!("document {document} is not below {documents}, how many there are"));
        }
        if let Some((document, score)) = self.hits.iter().find(|(_, score)| !score.is_finite()) {
            return error(format!("the score of document {document} is {score}; it must be finite"));
        }
        let mut named: Vec<u32> = self.hits.iter().map(|(document, _)| *document).collect();
        named.sort_unstable();
        match named.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => error(format!("document {} is named twice", pair[0])),
            None => Ok(()),
        }
    }
}

/// Scores of one query that has relevant documents, each from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct QueryScores {
    /// [`ndcg`] of the first hit.
    pub ndcg_at_1: f64,
    /// [`ndcg`] of 10 hits.
    pub ndcg_at_10: f64,
    /// [`ndcg`] of 100 hits.
    pub ndcg_at_100: f64,
    /// [`average_precision`] of all kept hits.
    pub map: f64,
    /// [`average_precision`] of 10 hits, divided by all relevant documents.
    pub map_at_10: f64,
    /// [`reciprocal_rank`] within 10 hits.
    pub mrr_at_10: f64,
    /// [`recall`] of 10 hits.
    pub recall_at_10: f64,
    /// [`recall`] of 100 hits.
    pub recall_at_100: f64,
    /// [`precision`] of the first hit: whether it is relevant. Also called accuracy.
    pub precision_at_1: f64,
}

impl QueryScores {
    /// The scores of a query whose hits, best first, have these grades; `relevant` are the grades of all relevant ones.
    fn of(grades: &[u32], relevant: &[u32]) -> Self {
        let all = relevant.len();
        Self {
            ndcg_at_1: ndcg(grades, relevant, 1),
            ndcg_at_10: ndcg(grades, relevant, 10),
            ndcg_at_100: ndcg(grades, relevant, 100),
            map: average_precision(grades, all, KEPT),
            map_at_10: average_precision(grades, all, 10),
            mrr_at_10: reciprocal_rank(grades, 10),
            recall_at_10: recall(grades, all, 10),
            recall_at_100: recall(grades, all, 100),
            precision_at_1: precision(grades, 1),
        }
    }
}

/// Means over the queries that have relevant documents, each from 0 to 1. The fields are those of [`QueryScores`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RetrievalScores {
    /// Queries with relevant documents, over which the means are taken.
    pub queries: usize,
    /// Queries without relevant documents, which are left out.
    pub unjudged: usize,
    /// Mean [`ndcg`] of the first hit.
    pub ndcg_at_1: f64,
    /// Mean [`ndcg`] of 10 hits.
    pub ndcg_at_10: f64,
    /// Mean [`ndcg`] of 100 hits.
    pub ndcg_at_100: f64,
    /// Mean [`average_precision`] of all kept hits.
    pub map: f64,
    /// Mean [`average_precision`] of 10 hits, divided by all relevant documents.
    pub map_at_10: f64,
    /// Mean [`reciprocal_rank`] within 10 hits.
    pub mrr_at_10: f64,
    /// Mean [`recall`] of 10 hits.
    pub recall_at_10: f64,
    /// Mean [`recall`] of 100 hits.
    pub recall_at_100: f64,
    /// Mean [`precision`] of the first hit: the share of queries whose first hit is relevant. Also called accuracy.
    pub precision_at_1: f64,
}

impl RetrievalScores {
    /// The scores that are reported, under the names that the field gives them.
    pub fn named(&self) -> [(&'static str, f64); 7] {
        [
            ("ndcg@1", self.ndcg_at_1),
            ("ndcg@10", self.ndcg_at_10),
            ("ndcg@100", self.ndcg_at_100),
            ("mrr@10", self.mrr_at_10),
            ("map", self.map),
            ("recall@10", self.recall_at_10),
            ("recall@100", self.recall_at_100),
        ]
    }
}

impl RetrievalScores {
    /// The means of what [`evaluate_each`] gave.
    ///
    /// # Errors
    /// [`MetricError::Undefined`] where no query has scores.
    pub fn mean(scores: &[Option<QueryScores>]) -> Result<Self, MetricError> {
        let queries = scores.iter().flatten().count();
        if queries == 0 {
            return Err(MetricError::undefined("a mean over queries", "no query has relevant documents"));
        }
        let mean =
            |score: fn(&QueryScores) -> f64| scores.iter().flatten().map(score).sum::<f64>() / queries as f64;
        Ok(Self {
            queries,
            unjudged: scores.len() - queries,
            ndcg_at_1: mean(|scores| scores.ndcg_at_1),
            ndcg_at_10: mean(|scores| scores.ndcg_at_10),
            ndcg_at_100: mean(|scores| scores.ndcg_at_100),
            map: mean(|scores| scores.map),
            map_at_10: mean(|scores| scores.map_at_10),
            mrr_at_10: mean(|scores| scores.mrr_at_10),
            recall_at_10: mean(|scores| scores.recall_at_10),
            recall_at_100: mean(|scores| scores.recall_at_100),
            precision_at_1: mean(|scores| scores.precision_at_1),
        })
    }
}

/// Scores of each query, for means, intervals and paired comparisons; `None` for one without relevant documents.
///
/// # Shapes
/// One ranking for each of the queries of `judgements`, and one of the distinct `ids` for each of its documents.
///
/// # Errors
/// [`MetricError::Length`] where the numbers of rankings or ids differ from those; [`MetricError::Entry`] where an id
/// comes twice, or a ranking names a document that does not exist, names one twice or has a score that is not finite.
pub fn evaluate_each(
    rankings: &[Ranking],
    judgements: &Judgements,
    ids: &[String],
) -> Result<Vec<Option<QueryScores>>, MetricError> {
    if rankings.len() != judgements.queries() {
        let (found, expected) = (rankings.len(), judgements.queries());
        return Err(MetricError::Length { what: "rankings", found, expected, of: "queries" });
    }
    check_ids(ids, judgements.documents())?;
    let queries = rankings.par_iter().zip(&judgements.relevant).enumerate();
    let scores = queries.map(|(at, (ranking, relevant))| {
        ranking.check(at, judgements.documents())?;
        if relevant.is_empty() {
            return Ok(None);
        }
        let grade = |document| relevant.binary_search_by_key(&document, |(document, _)| *document);
        let hits = ranking.ordered(ids).into_iter();
        let grades: Vec<u32> = hits.map(|document| grade(document).map_or(0, |at| relevant[at].1)).collect();
        let relevant: Vec<u32> = relevant.iter().map(|(_, grade)| *grade).collect();
        Ok(Some(QueryScores::of(&grades, &relevant)))
    });
    // Collected one by one first, the error is that of the first query that has one, whatever the threads do.
    scores.collect::<Vec<_>>().into_iter().collect()
}

/// Mean scores over the queries. [`Ranking::without`] leaves out hits by BEIR's rule, before.
///
/// # Shapes
/// As of [`evaluate_each`].
///
/// # Errors
/// [`MetricError::Undefined`] where no query has relevant documents; otherwise as [`evaluate_each`].
pub fn evaluate(
    rankings: &[Ranking],
    judgements: &Judgements,
    ids: &[String],
) -> Result<RetrievalScores, MetricError> {
    RetrievalScores::mean(&evaluate_each(rankings, judgements, ids)?)
}

/// Checks that there is one id a document, and that no two are equal.
fn check_ids(ids: &[String], documents: usize) -> Result<(), MetricError> {
    if ids.len() != documents {
        return Err(MetricError::Length {
            what: "ids",
            found: ids.len(),
            expected: documents,
            of: "documents",
        });
    }
    let mut first = HashMap::with_capacity(ids.len());
    for (at, id) in ids.iter().enumerate() {
        if let Some(before) = first.insert(id.as_str(), at) {
            return Err(MetricError::entry("id", at, format!("{id} is that of document {before} already")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
