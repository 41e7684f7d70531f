//! What a sentence encoder is worth: similarity of pairs, retrieval, and linear classification of its vectors.

use std::collections::HashMap;

use lookalike_base::progress::{Cancellation, ProgressDisplay};
use lookalike_base::{Matrix, Seed, Watch};
use lookalike_data::text::{Retrieval, Sts};
use lookalike_metrics::retrieval::{self, KEPT};
use lookalike_metrics::{
    Bm25, Bm25Options, Judgements, ProbeOptions, QueryScores, Ranking, RetrievalScores, linear_probe,
    spearman, stratified_folds,
};
use rayon::prelude::*;

use super::{EncodeOptions, SentenceEncoder};
use crate::error::LearnError;

/// A sentence encoder that is scored, and how.
pub struct Scoring<'a> {
    /// The encoder.
    pub encoder: &'a mut SentenceEncoder,
    /// How texts are encoded; queries and documents have prompts of their own, see [`Scoring::retrieval`].
    pub options: EncodeOptions,
    /// Shows the progress of long work.
    pub display: &'a dyn ProgressDisplay,
    /// Asks it to stop.
    pub cancellation: &'a Cancellation,
    /// How many texts so far had as many tokens as texts may have.
    pub full: usize,
}

/// Scores of the encoder and of BM25 on the same data.
#[derive(Debug, Clone, Copy)]
pub struct RetrievalResult {
    /// Of the encoder's cosine.
    pub encoder: RetrievalScores,
    /// Of BM25.
    pub bm25: RetrievalScores,
}

/// Texts with a class each, some of which are to learn from.
#[derive(Debug, Clone)]
pub struct Classification<'a> {
    /// One text an instance, or two that are compared.
    pub texts: Vec<Vec<&'a str>>,
    /// The classes.
    pub labels: Vec<u32>,
    /// Number of classes.
    pub classes: usize,
    /// The first of so many learn, the others test; where absent, ten folds do both.
    pub train: Option<usize>,
}

/// Folds of a task that has no part to test on, as `SentEval` has them.
const FOLDS: usize = 10;

impl Scoring<'_> {
    fn encode<S: AsRef<str> + Sync>(
        &mut self,
        texts: &[S],
        prompt: Option<&str>,
    ) -> Result<Matrix, LearnError> {
        let progress = self.display.start(texts.len() as u64, "encoding");
        let watch = Watch { progress: &*progress, cancellation: self.cancellation };
        let prompt = prompt.map(str::to_owned).or_else(|| self.options.prompt.clone());
        let options = EncodeOptions { prompt, ..self.options.clone() };
        let encoded = self.encoder.encode(texts, &options, watch);
        progress.finish();
        let encoded = encoded?;
        self.full += encoded.full;
        Ok(encoded.rows)
    }

    /// Vectors of texts, each different text being encoded once; and the row of each.
    fn distinct<'t>(
        &mut self,
        texts: impl Iterator<Item = &'t str>,
    ) -> Result<(Matrix, Vec<u32>), LearnError> {
        let (mut rows, mut kept) = (HashMap::new(), Vec::new());
        let places = texts.map(|text| {
            *rows.entry(text).or_insert_with(|| {
                kept.push(text);
                kept.len() as u32 - 1
            })
        });
        let places = places.collect();
        Ok((self.encode(&kept, None)?, places))
    }

    /// Spearman's rank correlation of the cosine of each pair with its score, over all pairs together: `SentEval`'s "all" (Reimers et al.
    /// 2016; Gao et al. 2021, <https://arxiv.org/abs/2104.08821>, appendix B).
    ///
    /// # Errors
    /// As encoding; [`LearnError::Metrics`] where it is undefined: all cosines or all scores are equal.
    pub fn similarity(&mut self, Sts { pairs, scores, .. }: &Sts) -> Result<f64, LearnError> {
        let texts = pairs.iter().flat_map(|(first, second)| [first.as_str(), second.as_str()]);
        let (vectors, places) = self.distinct(texts)?;
        let row = |place: &u32| vectors.rows().row(*place as usize);
        similarity(places.chunks_exact(2).map(|pair| [row(&pair[0]), row(&pair[1])]), scores)
    }

    /// Vectors of the queries and of the documents, behind the prompts that the folder has for them.
    ///
    /// # Errors
    /// As encoding.
    pub fn vectors(&mut self, data: &Retrieval) -> Result<[Matrix; 2], LearnError> {
        let [query, document] = self.encoder.folder.pair_prompts().map(|prompt| prompt.map(str::to_owned));
        let queries = self.encode(&data.queries.texts.to_vec(), query.as_deref())?;
        let documents = self.encode(&data.documents.texts.to_vec(), document.as_deref())?;
        Ok([queries, documents])
    }

    /// Ranks all documents for each query by cosine and by BM25, the hit that has the query's own id left out as BEIR does.
    ///
    /// # Errors
    /// As encoding, and whatever the metrics report.
    pub fn retrieval(&mut self, data: &Retrieval) -> Result<RetrievalResult, LearnError> {
        let [queries, documents] = self.vectors(data)?;
        let encoder = search(data, [&queries, &documents], self.cancellation)?;
        Ok(RetrievalResult { encoder, bm25: search_by_words(data, self.display, self.cancellation)? })
    }

    /// Accuracy of a linear probe on the vectors, from 0 to 1; of two texts on the differences and products of their vectors
    /// (`SentEval`, Conneau and Kiela 2018, <https://arxiv.org/abs/1803.05449>).
    ///
    /// The classifier is [`linear_probe()`], whose learning rate is chosen on a fifth of the rows to learn from, where `SentEval` chooses
    /// the weight decay of a logistic regression.
    ///
    /// # Errors
    /// As encoding, and whatever the probe reports.
    pub fn classification(&mut self, data: &Classification<'_>, seed: Seed) -> Result<f64, LearnError> {
        let (vectors, places) = self.distinct(data.texts.iter().flatten().copied())?;
        let mut next = places.into_iter();
        let mut values = Vec::new();
        for texts in &data.texts {
            let rows: Vec<&[f32]> =
                next.by_ref().take(texts.len()).map(|row| vectors.rows().row(row as usize)).collect();
            match rows.as_slice() {
                [one] => values.extend_from_slice(one),
                [first, second, ..] => {
                    values.extend(first.iter().zip(*second).map(|(a, b)| (a - b).abs()));
                    values.extend(first.iter().zip(*second).map(|(a, b)| a * b));
                }
                [] => {}
            }
        }
        let columns = values.len() / data.texts.len().max(1);
        let features = Matrix::new(values, columns)?;
        let folds = if let Some(train) = data.train {
            vec![(0..data.labels.len()).map(|row| u32::from(row >= train)).collect::<Vec<u32>>()]
        } else {
            let folds = stratified_folds(&data.labels, data.classes, FOLDS, Some(seed))?;
            (0..FOLDS as u32).map(|fold| folds.iter().map(|own| u32::from(*own == fold)).collect()).collect()
        };
        let options = ProbeOptions { seed, epochs: 20, ..ProbeOptions::default() };
        let progress = self.display.start(options.total_epochs() * folds.len() as u64, "linear probe");
        let watch = Watch { progress: &*progress, cancellation: self.cancellation };
        let (mut right, mut tested) = (0.0, 0);
        for tests in &folds {
            let part = |wanted: u32| -> Result<(Matrix, Vec<u32>), LearnError> {
                let rows: Vec<usize> = (0..tests.len()).filter(|row| tests[*row] == wanted).collect();
                let values = rows.iter().flat_map(|row| features.rows().row(*row)).copied().collect();
                let labels = rows.iter().map(|row| data.labels[*row]).collect();
                Ok((Matrix::new(values, features.columns())?, labels))
            };
            let ((train, train_labels), (test, test_labels)) = (part(0)?, part(1)?);
            let (train, test) = (train.rows(), test.rows());
            let probe =
                linear_probe(train, &train_labels, test, &test_labels, data.classes, &options, watch)?;
            right += probe.accuracy * test_labels.len() as f64;
            tested += test_labels.len();
        }
        progress.finish();
        Ok(right / f64::from(tested.max(1) as u32))
    }
}

/// Spearman's rank correlation of the cosines of pairs of vectors with their scores.
///
/// # Errors
/// [`LearnError::Metrics`] where it is undefined: all cosines or all scores are equal.
pub fn similarity<'v>(
    pairs: impl Iterator<Item = [&'v [f32]; 2]>,
    scores: &[f32],
) -> Result<f64, LearnError> {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let cosine = |[a, b]: [&[f32]; 2]| {
        let length = (dot(a, a) * dot(b, b)).sqrt();
        if length > 0.0 { (dot(a, b) / length) as f32 } else { 0.0 }
    };
    let cosines: Vec<f32> = pairs.map(cosine).collect();
    Ok(spearman(&cosines, scores)?)
}

/// Scores of a search for each query of `data` by the cosine of vectors, the hit that has the query's own id left out as BEIR does.
///
/// # Shapes
/// A row a query of `data`, and a row a document.
///
/// # Errors
/// Whatever the metrics report, and [`LearnError::Cancelled`].
pub fn search(
    data: &Retrieval,
    rows: [&Matrix; 2],
    cancellation: &Cancellation,
) -> Result<RetrievalScores, LearnError> {
    Ok(RetrievalScores::mean(&search_each(data, rows, cancellation)?)?)
}

/// As [`search`], of each query by itself; `None` for one that no document answers.
///
/// # Errors
/// As [`search`].
pub fn search_each(
    data: &Retrieval,
    [queries, documents]: [&Matrix; 2],
    cancellation: &Cancellation,
) -> Result<Vec<Option<QueryScores>>, LearnError> {
    let ids = ids(data);
    let watch = Watch { cancellation, ..Watch::default() };
    // One more than are scored, for the one that may be left out.
    scores(data, retrieval::search(queries, documents, &ids, KEPT + 1, watch)?, &ids)
}

/// Scores of a search by BM25, as [`search`].
///
/// # Errors
/// As [`search`].
pub fn search_by_words(
    data: &Retrieval,
    display: &dyn ProgressDisplay,
    cancellation: &Cancellation,
) -> Result<RetrievalScores, LearnError> {
    let ids = ids(data);
    // Given by descending id, which it prefers among equals as `trec_eval` does.
    let mut order: Vec<u32> = (0..ids.len() as u32).collect();
    order.sort_unstable_by(|first, second| ids[*second as usize].cmp(&ids[*first as usize]));
    let texts = order.iter().map(|document| data.documents.texts.get(*document as usize));
    let bm25 = Bm25::new(texts, Bm25Options::default());
    let progress = display.start(data.queries.len() as u64, "BM25");
    let found = |query: &&str| {
        if cancellation.is_cancelled() {
            return Err(LearnError::Cancelled);
        }
        let hits = bm25.search(query, KEPT + 1).into_iter();
        progress.advance(1);
        Ok(Ranking { hits: hits.map(|(place, score)| (order[place as usize], score)).collect() })
    };
    let rankings: Result<Vec<Ranking>, LearnError> =
        data.queries.texts.to_vec().par_iter().map(found).collect();
    progress.finish();
    Ok(RetrievalScores::mean(&scores(data, rankings?, &ids)?)?)
}

fn ids(data: &Retrieval) -> Vec<String> {
    data.documents.ids.iter().map(str::to_owned).collect()
}

fn scores(
    data: &Retrieval,
    rankings: Vec<Ranking>,
    ids: &[String],
) -> Result<Vec<Option<QueryScores>>, LearnError> {
    let judged = data.judgements.iter().map(|judged| (judged.query, judged.document, judged.grade));
    let judgements = Judgements::new(data.queries.len(), data.documents.len(), judged)?;
    let others = rankings.into_iter().zip(data.queries.ids.iter());
    let others: Vec<Ranking> = others.map(|(ranking, id)| ranking.without(id, ids)).collect();
    Ok(retrieval::evaluate_each(&others, &judgements, ids)?)
}
