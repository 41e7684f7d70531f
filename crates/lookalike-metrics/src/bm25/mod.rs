//! BM25 (Robertson and Zaragoza 2009, *The Probabilistic Relevance Framework: BM25 and Beyond*), the baseline of retrieval
//! without learning.
//!
//! The score of document d for a query is the sum over the query's terms t, as often as each comes, of
//!
//! > ln(1 + (N − `n_t` + ½) / (`n_t` + ½)) · f / (f + k1·(1 − b + b·|d| / mean |d|))
//!
//! with `n_t` documents that hold t, f occurrences of t in d, |d| terms of d. That is Lucene's form, which lacks a
//! factor k1 + 1 that changes no order, and takes |d| as far as a byte holds it, but the mean exactly. N and the mean
//! count the documents that have terms. Text is English and analysed as Lucene's `EnglishAnalyzer` does. So the
//! figures that Anserini publishes for BEIR come out.

mod analysis;
mod porter;

use std::collections::HashMap;

use crate::error::MetricError;

/// The two constants of BM25. The default, k1 = 0.9 and b = 0.4, is that of Anserini, on which BEIR's figures rest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bm25Options {
    k1: f32,
    b: f32,
}

impl Default for Bm25Options {
    fn default() -> Self {
        Self { k1: 0.9, b: 0.4 }
    }
}

impl Bm25Options {
    /// Constants of one's own: `k1`, the higher the more a term's further occurrences count, and `b`, how much length
    /// counts against a document.
    ///
    /// # Errors
    /// [`MetricError::Option`] where `k1` is below 0 or not finite, or `b` is not between 0 and 1.
    pub fn new(k1: f32, b: f32) -> Result<Self, MetricError> {
        if !(k1.is_finite() && k1 >= 0.0) {
            return Err(MetricError::option("k1", &k1, "a finite number not below 0"));
        }
        if !(0.0..=1.0).contains(&b) {
            return Err(MetricError::option("b", &b, "between 0 and 1"));
        }
        Ok(Self { k1, b })
    }

    /// How fast the weight of a term's occurrences levels off.
    pub fn k1(&self) -> f32 {
        self.k1
    }

    /// How much length counts against a document, from 0 to 1.
    pub fn b(&self) -> f32 {
        self.b
    }
}

/// An index of documents.
#[derive(Debug, Clone)]
pub struct Bm25 {
    /// The number of each term.
    terms: HashMap<String, u32>,
    /// Of each term the documents that hold it, in order, with what one occurrence in a query adds to their scores.
    postings: Vec<Vec<(u32, f32)>>,
    documents: usize,
}

impl Bm25 {
    /// Analyses and counts the documents. A document's text is its title, a space and its body in BEIR's sets.
    pub fn new<'a>(documents: impl IntoIterator<Item = &'a str>, options: Bm25Options) -> Self {
        let mut vocabulary = Vocabulary::default();
        // Occurrences for now, weights when all lengths are known.
        let mut postings: Vec<Vec<(u32, f32)>> = Vec::new();
        let mut lengths: Vec<usize> = Vec::new();
        for text in documents {
            let mut terms = vocabulary.terms_of(text);
            terms.sort_unstable();
            postings.resize_with(vocabulary.terms.len(), Vec::new);
            for equal in terms.chunk_by(|first, second| first == second) {
                postings[equal[0] as usize].push((lengths.len() as u32, equal.len() as f32));
            }
            lengths.push(terms.len());
        }
        let filled = lengths.iter().filter(|length| **length > 0).count() as f64;
        let mean = lengths.iter().sum::<usize>() as f64 / filled.max(1.0);
        let (k1, b) = (f64::from(options.k1), f64::from(options.b));
        for postings in &mut postings {
            let holding = postings.len() as f64;
            let rarity = (1.0 + (filled - holding + 0.5) / (holding + 0.5)).ln();
            for (document, weight) in postings {
                let (occurrences, length) = (f64::from(*weight), rounded(lengths[*document as usize]) as f64);
                *weight = (rarity * occurrences / (occurrences + k1 * (1.0 - b + b * length / mean))) as f32;
            }
        }
        Self { terms: vocabulary.terms, postings, documents: lengths.len() }
    }

    /// Number of documents.
    pub fn len(&self) -> usize {
        self.documents
    }

    /// Whether there is no document.
    pub fn is_empty(&self) -> bool {
        self.documents == 0
    }

    /// The `k` documents with the highest scores above 0, as (document, score), best first; fewer where fewer hold a
    /// term of the query. Documents are numbered in the order in which [`Bm25::new`] saw them; of equal scores the lower
    /// number comes first, so documents given by descending id are cut off as [`retrieval`](crate::retrieval) orders them.
    pub fn search(&self, query: &str, k: usize) -> Vec<(u32, f32)> {
        let words = analysis::words(query);
        let known = |term: String| self.terms.get(&term).copied();
        let mut terms: Vec<u32> =
            words.iter().filter_map(|word| analysis::term(word)).filter_map(known).collect();
        // In an order of their own, so that the query's does not change the rounding.
        terms.sort_unstable();
        let mut scores = vec![0.0_f64; self.documents];
        for term in terms {
            for (document, weight) in &self.postings[term as usize] {
                scores[*document as usize] += f64::from(*weight);
            }
        }
        let scored = (0..).zip(scores.into_iter().map(|score| score as f32));
        let mut best: Vec<(u32, f32)> = scored.filter(|(_, score)| *score > 0.0).collect();
        let order = |first: &(u32, f32), second: &(u32, f32)| {
            second.1.total_cmp(&first.1).then(first.0.cmp(&second.0))
        };
        if k < best.len() {
            best.select_nth_unstable_by(k, order);
            best.truncate(k);
        }
        best.sort_unstable_by(order);
        best
    }
}

/// The length of a document as Lucene keeps it in a byte (`SmallFloat.intToByte4`): exact below 40; of what is above 24
/// the four leading bits stay.
fn rounded(length: usize) -> usize {
    const EXACT: usize = 24;
    let above = length.saturating_sub(EXACT);
    let lost = (usize::BITS - above.leading_zeros()).saturating_sub(4);
    length - above + (above >> lost << lost)
}

/// Terms by number; each distinct word is analysed once.
#[derive(Default)]
struct Vocabulary {
    /// The term of each word seen, if it is no stop word.
    words: HashMap<String, Option<u32>>,
    terms: HashMap<String, u32>,
}

impl Vocabulary {
    fn terms_of(&mut self, text: &str) -> Vec<u32> {
        analysis::words(text).into_iter().filter_map(|word| self.term_of(word)).collect()
    }

    fn term_of(&mut self, word: String) -> Option<u32> {
        if let Some(known) = self.words.get(&word) {
            return *known;
        }
        let next = self.terms.len() as u32;
        let term = analysis::term(&word).map(|term| *self.terms.entry(term).or_insert(next));
        self.words.insert(word, term);
        term
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXTS: [&str; 5] =
        ["Cats chase mice.", "the cat's mouse, the mouse", "", "of the", "A dog; dogs bark. The dog barked"];

    #[test]
    fn scores_are_those_of_the_formula() {
        let index = Bm25::new(TEXTS, Bm25Options::new(1.2, 0.75).unwrap());
        // Terms: cat chase mice | cat mous mous | – | – | dog dog bark dog bark; 11 terms in 3 documents.
        let score = |holding: f64, occurrences: f64, length: f64| {
            let rarity = (1.0 + (3.0 - holding + 0.5) / (holding + 0.5)).ln();
            rarity * occurrences / (occurrences + 1.2 * (0.25 + 0.75 * length / (11.0 / 3.0)))
        };
        let check = |query: &str, expected: &[(u32, f64)]| {
            let found = index.search(query, 10);
            assert_eq!(found.len(), expected.len(), "{query}");
            for (found, expected) in found.iter().zip(expected) {
                assert_eq!(found.0, expected.0, "{query}");
                assert!((f64::from(found.1) - expected.1).abs() < 1e-6, "{query}: {found:?}");
            }
        };
        check("barking", &[(4, score(1.0, 2.0, 5.0))]);
        check("mouse", &[(1, score(1.0, 2.0, 3.0))]);
        // A term that comes twice in the query counts twice; both documents with cats are of the same length.
        check(
            "cat cats chased",
            &[(0, 2.0 * score(2.0, 1.0, 3.0) + score(1.0, 1.0, 3.0)), (1, 2.0 * score(2.0, 1.0, 3.0))],
        );
        check("the unknown", &[]);
    }

    #[test]
    fn long_documents_have_rounded_lengths() {
        assert!((0..=40).all(|length| rounded(length) == length));
        let found = [41, 42, 55, 56, 59, 60, 151, 152, 167, 168].map(rounded);
        assert_eq!(found, [40, 42, 54, 56, 56, 60, 144, 152, 152, 168]);
    }

    #[test]
    fn ties_go_to_the_lower_number_at_the_cut_too() {
        let index = Bm25::new(std::iter::repeat_n("same words", 40), Bm25Options::default());
        let documents =
            |k| index.search("words", k).into_iter().map(|(document, _)| document).collect::<Vec<_>>();
        assert_eq!(documents(3), [0, 1, 2]);
        assert_eq!(documents(40), (0..40).collect::<Vec<u32>>());
        assert_eq!((documents(0).len(), documents(99).len(), index.len()), (0, 40, 40));
    }

    #[test]
    fn the_order_of_words_does_not_matter() {
        let index = Bm25::new(TEXTS, Bm25Options::default());
        assert_eq!(index.search("cat mice chase", 9), index.search("chase cat mice", 9));
    }

    #[test]
    fn without_documents_or_terms_nothing_is_found() {
        assert!(Bm25::new([], Bm25Options::default()).is_empty());
        assert_eq!(Bm25::new(["", "the"], Bm25Options::default()).search("the cat", 5), []);
    }

    #[test]
    fn constants_out_of_range_are_refused() {
        for (k1, b) in [(-1.0, 0.5), (f32::NAN, 0.5), (f32::INFINITY, 0.5), (1.0, 1.1), (1.0, f32::NAN)] {
            assert!(matches!(Bm25Options::new(k1, b), Err(MetricError::Option { .. })));
        }
    }
}
