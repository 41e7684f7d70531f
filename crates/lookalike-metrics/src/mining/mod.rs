//! Hard negatives: documents that are similar to a query and do not answer it.
//!
//! Which of the similar documents are taken is said by a window of ranks and by limits on their similarity, absolute or beside that of
//! the positive (NV-Retriever, de Souza P. Moreira et al. 2024, <https://arxiv.org/abs/2407.15831>, section 3). The rules are those of
//! `mine_hard_negatives` of sentence-transformers 6.2, and so are the results on the same vectors. It stands beside
//! [`retrieval`](crate::retrieval), because mining is exact search with the relevant documents left out instead of counted.

mod choose;
mod equal;
mod read;

use std::collections::HashSet;

use lookalike_base::{RowSource, Seed, Watch};
use lookalike_kernels::{KernelError, PiecewiseTopK, TopK, dot};
use rayon::prelude::*;
use serde::Serialize;

use crate::error::MetricError;
use choose::Limits;
pub use equal::first_equal_rows;
use read::{check, unit_row, unit_rows};

/// Bytes that the best of the queries of a block may take while they are searched.
const BEST_BYTES: usize = 1 << 28;
/// Most queries of a block, which the documents are read for once.
const MOST_QUERIES: usize = 1 << 16;
/// Bytes of a piece of documents.
const PIECE_BYTES: usize = 1 << 24;

/// Which of the documents that may be negatives are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MiningStrategy {
    /// The most similar ones.
    #[default]
    Top,
    /// Some at random.
    Random,
}

/// How hard negatives are mined. The defaults are those of sentence-transformers.
#[derive(Debug, Clone, PartialEq)]
pub struct MiningOptions {
    /// Negatives a query, as far as there are so many. Default 3.
    pub negatives: usize,
    /// So many of the most similar documents that would do are passed over. Default 0.
    pub range_min: usize,
    /// At most so many documents of a query would do. By default [`MiningOptions::range_min`] + [`MiningOptions::negatives`] + the most
    /// positives that a query has; ten times the negatives where a margin or [`MiningOptions::max_score`] may leave some out.
    pub range_max: Option<usize>,
    /// No negative has a greater cosine.
    pub max_score: Option<f32>,
    /// No negative has a lower cosine.
    pub min_score: Option<f32>,
    /// A negative's cosine is at least so much below that of the positive, of several the least similar one.
    pub absolute_margin: Option<f32>,
    /// The same as a share of the positive's cosine: with .05 a negative has at most 95 % of it.
    pub relative_margin: Option<f32>,
    /// Which of those that would do are taken.
    pub strategy: MiningStrategy,
    /// Where [`MiningStrategy::Random`] takes its numbers from.
    pub seed: Seed,
}

impl Default for MiningOptions {
    fn default() -> Self {
        Self {
            negatives: 3,
            range_min: 0,
            range_max: None,
            max_score: None,
            min_score: None,
            absolute_margin: None,
            relative_margin: None,
            strategy: MiningStrategy::Top,
            seed: Seed(0),
        }
    }
}

impl MiningOptions {
    /// Checks that something can be mined.
    ///
    /// # Errors
    /// [`MetricError::Option`] names the option.
    pub fn check(&self) -> Result<(), MetricError> {
        if self.negatives == 0 {
            return Err(MetricError::option("negatives", &0, "at least 1"));
        }
        if let Some(range_max) = self.range_max
            && range_max.checked_sub(self.range_min).is_none_or(|window| window < self.negatives)
        {
            return Err(MetricError::option("range_max", &range_max, "at least range_min + negatives"));
        }
        for (option, value) in [
            ("max_score", self.max_score),
            ("min_score", self.min_score),
            ("absolute_margin", self.absolute_margin),
            ("relative_margin", self.relative_margin),
        ] {
            if let Some(value) = value.filter(|value| !value.is_finite()) {
                return Err(MetricError::option(option, &value, "finite"));
            }
        }
        match (self.min_score, self.max_score) {
            (Some(least), Some(most)) if least > most => {
                Err(MetricError::option("min_score", &least, "at most max_score"))
            }
            _ => Ok(()),
        }
    }

    /// The end of the window, where a query has at most `positives` positives.
    fn window_end(&self, positives: usize) -> usize {
        let limited =
            self.absolute_margin.is_some() || self.relative_margin.is_some() || self.max_score.is_some();
        let factor = if limited { 10 } else { 1 };
        self.range_max.unwrap_or_else(|| {
            self.range_min.saturating_add(self.negatives.saturating_mul(factor)).saturating_add(positives)
        })
    }
}

/// What negatives are mined from.
#[derive(Clone, Copy)]
pub struct MiningInput<'a> {
    /// A vector a query, of any length but zero.
    pub queries: &'a dyn RowSource,
    /// A vector a document.
    pub documents: &'a dyn RowSource,
    /// Pairs of a query and a document that answers it, by their rows.
    pub relevant: &'a [(u32, u32)],
    /// For each query the first that is the same, itself where none before is; equal queries own the documents of all of them.
    pub same_queries: &'a [u32],
    /// For each document the first that is the same. What equals a relevant document is relevant, and of equal ones one is a negative.
    pub same_documents: &'a [u32],
}

impl std::fmt::Debug for MiningInput<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sizes = (self.queries.len(), self.documents.len(), self.relevant.len());
        formatter.debug_tuple("MiningInput").field(&sizes).finish()
    }
}

/// Documents of queries with their similarities: a list a query.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Hits {
    /// Where each list begins, and last the length of all.
    offsets: Vec<usize>,
    /// The documents.
    documents: Vec<u32>,
    /// Their cosines with the query.
    similarities: Vec<f32>,
}

impl Hits {
    fn of(lists: impl Iterator<Item = Vec<(u32, f32)>>) -> Self {
        let mut hits = Self { offsets: vec![0], ..Self::default() };
        for list in lists {
            hits.push(list);
        }
        hits
    }

    fn push(&mut self, list: Vec<(u32, f32)>) {
        for (document, similarity) in list {
            self.documents.push(document);
            self.similarities.push(similarity);
        }
        self.offsets.push(self.documents.len());
    }

    /// Documents of list `index`, and their similarities.
    ///
    /// # Panics
    /// If there is no such list.
    pub fn list(&self, index: usize) -> (&[u32], &[f32]) {
        let range = self.offsets[index]..self.offsets[index + 1];
        (&self.documents[range.clone()], &self.similarities[range])
    }

    /// Documents of all lists together.
    pub fn len(&self) -> usize {
        self.documents.len()
    }

    /// Whether all lists are empty.
    pub fn is_empty(&self) -> bool {
        self.documents.is_empty()
    }

    /// Mean of all similarities; `None` without any.
    pub fn mean(&self) -> Option<f64> {
        let sum: f64 = self.similarities.iter().map(|similarity| f64::from(*similarity)).sum();
        (!self.is_empty()).then(|| sum / self.len() as f64)
    }
}

/// How many of the documents that were near enough to a query were left out, by the first rule that did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct LeftOut {
    /// They answer the query.
    pub relevant: u64,
    /// By the absolute margin.
    pub absolute_margin: u64,
    /// By the relative margin.
    pub relative_margin: u64,
    /// More similar than the greatest score.
    pub max_score: u64,
    /// Less similar than the lowest score.
    pub min_score: u64,
}

impl LeftOut {
    fn add(&mut self, other: Self) {
        self.relevant += other.relevant;
        self.absolute_margin += other.absolute_margin;
        self.relative_margin += other.relative_margin;
        self.max_score += other.max_score;
        self.min_score += other.min_score;
    }
}

/// What was mined, for each different query that has a relevant document, in the order of the rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Mined {
    /// The queries' rows, the first of equal ones.
    pub queries: Vec<u32>,
    /// Their relevant documents, the first of equal ones, in the order of the pairs.
    pub positives: Hits,
    /// Their negatives, the most similar first; fewer than were asked for, or none, where no more would do.
    pub negatives: Hits,
    /// Queries without a relevant document, which are left out.
    pub unanswered: usize,
    /// What became of the documents near the queries.
    pub left_out: LeftOut,
}

impl Mined {
    /// How many queries have `wanted` negatives, how many fewer, and how many none.
    pub fn counts(&self, wanted: usize) -> [usize; 3] {
        let mut counts = [0; 3];
        for query in 0..self.queries.len() {
            let found = self.negatives.list(query).0.len();
            counts[if found >= wanted { 0 } else { 1 + usize::from(found == 0) }] += 1;
        }
        counts
    }
}

/// Mines hard negatives, by cosine.
///
/// Of each query the K most similar documents are looked at, K being the end of the window of ranks and the most positives that any query
/// has. Those that answer it, and those beyond a limit, are left out. Of the rest the window's first are passed over, and negatives are
/// taken from what then lies within it. With [`MiningStrategy::Top`] the result is that of sentence-transformers, except where two
/// documents are equally similar as `f32`: the earlier comes first here.
///
/// All queries are compared with all documents. Memory holds the vectors of a block of queries with 2·K + 32 entries each, and a piece of
/// the documents at a time, a few hundred MiB in all, beside the result; documents are read once a block. The work counts queries.
///
/// # Errors
/// [`MetricError::Undefined`] without a pair; [`MetricError::Entry`] where a pair names a row that does not exist; other variants where
/// the inputs do not fit each other, an option is out of range or a value is not finite; [`MetricError::Cancelled`].
pub fn mine(
    input: &MiningInput<'_>,
    options: &MiningOptions,
    watch: Watch<'_>,
) -> Result<Mined, MetricError> {
    options.check()?;
    check(input)?;
    let owners = Owners::of(input);
    if owners.queries.is_empty() {
        return Err(MetricError::undefined("mining", "no pair of a query and its document is given"));
    }
    let positives = positives(input, &owners)?;
    let mut mined = Mined {
        positives,
        negatives: Hits { offsets: vec![0], ..Hits::default() },
        unanswered: owners.unanswered,
        left_out: LeftOut::default(),
        queries: owners.queries.clone(),
    };
    let documents: Vec<u32> =
        (0..).zip(input.same_documents).filter(|(at, first)| at == *first).map(|(at, _)| at).collect();
    let end = options.window_end(owners.most);
    let k = end.saturating_add(owners.most).min(documents.len());
    let room = (BEST_BYTES / ((2 * k + 32) * size_of::<u64>())).clamp(64, MOST_QUERIES) / 64 * 64;
    let blocks = owners.queries.chunks(room).enumerate();
    let search = Search { input, documents: &documents, k, watch };
    for (number, block) in blocks {
        let best = search.best(block, number * room)?;
        let choose = |at: usize| {
            let (query, range) = (number * room + at, at * k..(at + 1) * k);
            let near = best.indices[range.clone()].iter().map(|place| documents[*place as usize]);
            let near = near.zip(best.similarities[range].iter().copied());
            let (relevant, scores) = mined.positives.list(query);
            let mut relevant = relevant.to_vec();
            relevant.sort_unstable();
            let limits = Limits {
                options,
                end,
                relevant,
                positive: scores.iter().copied().fold(f32::INFINITY, f32::min),
            };
            limits.choose(near, block[at])
        };
        let chosen: Vec<_> = (0..block.len()).into_par_iter().map(choose).collect();
        for (list, left_out) in chosen {
            mined.negatives.push(list);
            mined.left_out.add(left_out);
        }
    }
    Ok(mined)
}

/// The different queries that have documents, and which.
struct Owners {
    queries: Vec<u32>,
    documents: Vec<Vec<u32>>,
    unanswered: usize,
    /// Most pairs of a query, one that comes twice being counted twice, as sentence-transformers does.
    most: usize,
}

impl Owners {
    fn of(input: &MiningInput<'_>) -> Self {
        let mut documents: Vec<(usize, Vec<u32>)> = vec![(0, Vec::new()); input.queries.len()];
        let mut seen = HashSet::with_capacity(input.relevant.len());
        for (query, document) in input.relevant {
            let query = input.same_queries[*query as usize];
            let document = input.same_documents[*document as usize];
            let (pairs, own) = &mut documents[query as usize];
            *pairs += 1;
            if seen.insert((query, document)) {
                own.push(document);
            }
        }
        let most = documents.iter().map(|(pairs, _)| *pairs).max().unwrap_or(0);
        let different = (0..).zip(input.same_queries).filter(|(at, first)| at == *first).count();
        let answered = (0..).zip(documents).filter(|(_, (pairs, _))| *pairs > 0);
        let (queries, documents): (Vec<u32>, Vec<Vec<u32>>) =
            answered.map(|(query, (_, documents))| (query, documents)).unzip();
        Self { unanswered: different - queries.len(), queries, documents, most }
    }
}

/// The relevant documents with their cosines.
fn positives(input: &MiningInput<'_>, owners: &Owners) -> Result<Hits, MetricError> {
    let pairs: Vec<(&u32, &Vec<u32>)> = owners.queries.iter().zip(&owners.documents).collect();
    let scored = |(query, documents): &(&u32, &Vec<u32>)| {
        let query = unit_row("queries", input.queries, **query)?;
        let score = |document: &u32| {
            Ok((*document, dot(&query, &unit_row("documents", input.documents, *document)?)))
        };
        documents.iter().map(score).collect::<Result<Vec<_>, MetricError>>()
    };
    let lists: Vec<_> = pairs.par_iter().map(scored).collect();
    Ok(Hits::of(lists.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter()))
}

/// The exact search of blocks of queries.
struct Search<'a> {
    input: &'a MiningInput<'a>,
    /// The different documents.
    documents: &'a [u32],
    k: usize,
    watch: Watch<'a>,
}

impl Search<'_> {
    /// The best documents of `queries`, before which `done` others were searched.
    fn best(&self, queries: &[u32], done: usize) -> Result<TopK, MetricError> {
        let columns = self.input.documents.columns();
        let stop = || self.watch.is_cancelled();
        let rows = unit_rows("queries", self.input.queries, queries)?;
        let mut search = PiecewiseTopK::new(&rows, columns, self.k)?;
        drop(rows);
        let size = (PIECE_BYTES / (columns * size_of::<f32>())).max(64);
        for (number, piece) in self.documents.chunks(size).enumerate() {
            let rows = unit_rows("documents", self.input.documents, piece)?;
            match search.offer(&rows, &stop) {
                Err(KernelError::Cancelled) => return Err(MetricError::Cancelled),
                offered => offered?,
            }
            let seen = number * size + piece.len();
            self.watch.progress.set_position((done + queries.len() * seen / self.documents.len()) as u64);
        }
        Ok(search.finish()?)
    }
}

#[cfg(test)]
mod tests;
