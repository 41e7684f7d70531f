//! Which document answers which query, as far as the data say: by ids and equal texts, never by vectors.
//!
//! In a batch of pairs the documents of others are a query's negatives. Some of them answer it too: a document that several queries
//! share, a query that comes twice with two documents, a judgement of another row. Those are false negatives that nobody has to guess.

use std::collections::{HashMap, HashSet};

use crate::error::LearnError;
use crate::input::RowId;

/// The texts of a set's rows by their content, and which of them answer which.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Relevance {
    /// Where the texts of each row begin in `contents`, and last their number.
    first: Vec<usize>,
    /// The content of each text: the query, the document, the row's own negatives. Equal texts have equal numbers.
    contents: Vec<u32>,
    /// Queries with documents that answer them, by content.
    answers: HashSet<(u32, u32)>,
    /// Of each query's content the contents of documents that answer it, and of each document's the queries that it answers.
    partners: [HashMap<u32, Vec<u32>>; 2],
    /// The rows of each query's content, and of each document's.
    rows: [HashMap<u32, Vec<u32>>; 2],
}

impl Relevance {
    /// `rows` gives the contents of each row's texts: of its query, of its document, of its own negatives. A row's document answers its
    /// query; `further` names other contents of queries and documents that do.
    ///
    /// # Errors
    /// [`LearnError::Input`] names a row of fewer than two texts.
    pub fn new<'a>(
        rows: impl IntoIterator<Item = &'a [u32]>,
        further: impl IntoIterator<Item = (u32, u32)>,
    ) -> Result<Self, LearnError> {
        let (mut first, mut contents, mut answers) = (vec![0], Vec::new(), HashSet::new());
        for (number, row) in rows.into_iter().enumerate() {
            let [query, document, ..] = row else {
                return Err(LearnError::Input(format!("row {number} is no pair of a query and a document")));
            };
            answers.insert((*query, *document));
            contents.extend_from_slice(row);
            first.push(contents.len());
        }
        answers.extend(further);
        let (mut partners, mut by_content) =
            (<[HashMap<u32, Vec<u32>>; 2]>::default(), <[HashMap<_, Vec<_>>; 2]>::default());
        for (query, document) in &answers {
            partners[0].entry(*query).or_default().push(*document);
            partners[1].entry(*document).or_default().push(*query);
        }
        for (row, begin) in (0..).zip(&first[..first.len() - 1]) {
            for (side, rows) in by_content.iter_mut().enumerate() {
                rows.entry(contents[begin + side]).or_default().push(row);
            }
        }
        Ok(Self { first, contents, answers, partners, rows: by_content })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.first.len() - 1
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The content of a text: view 0 of a row is its query, view 1 its document, the views from 2 on its own negatives.
    ///
    /// # Panics
    /// Where there is no such text.
    pub fn content(&self, RowId { instance, view }: RowId) -> u32 {
        self.contents[self.first[instance as usize]..self.first[instance as usize + 1]][view as usize]
    }

    /// Whether `document` answers `query`.
    ///
    /// # Panics
    /// As [`Relevance::content`].
    pub fn answers(&self, query: RowId, document: RowId) -> bool {
        self.answers.contains(&(self.content(query), self.content(document)))
    }

    /// The rows whose document answers the query of `row`, or whose query its document answers, itself among them, in ascending order:
    /// neither is a negative of the other.
    pub fn related_to(&self, row: u32) -> Vec<u32> {
        if row as usize >= self.len() {
            return Vec::new();
        }
        let own = [0, 1].map(|view| self.content(RowId { instance: row, view }));
        let of = |side: usize| {
            let partners = self.partners[side].get(&own[side]).into_iter().flatten();
            partners.filter_map(move |partner| self.rows[1 - side].get(partner)).flatten().copied()
        };
        let mut related: Vec<u32> = of(0).chain(of(1)).collect();
        related.sort_unstable();
        related.dedup();
        related
    }

    /// Share of the ordered pairs of different members of batches whose document answers the query of the other: false negatives of
    /// queries among documents, which are exact here. `None` where no batch has two members.
    pub fn false_negative_rate(&self, batches: &[Vec<u32>]) -> Option<f64> {
        let (mut found, mut pairs) = (0_u64, 0_u64);
        for batch in batches {
            for (place, one) in batch.iter().enumerate() {
                for other in batch.iter().enumerate().filter(|(at, _)| *at != place).map(|(_, other)| *other)
                {
                    let [query, document] =
                        [(*one, 0), (other, 1)].map(|(instance, view)| RowId { instance, view });
                    found += u64::from(self.answers(query, document));
                    pairs += 1;
                }
            }
        }
        (pairs > 0).then(|| found as f64 / pairs as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows: q0 d0; q1 d0; q0 d2; q3 d3 with own negatives d0 and d4; and d4 is known to answer q1.
    fn relevance() -> Relevance {
        let rows: [&[u32]; 4] = [&[0, 10], &[1, 10], &[0, 12], &[3, 13, 10, 14]];
        Relevance::new(rows, [(1, 14)]).unwrap()
    }

    #[test]
    fn a_document_answers_by_its_row_by_an_equal_text_and_by_a_judgement() {
        let relevance = relevance();
        let answers = |query: u32, (instance, view): (u32, u32)| {
            relevance.answers(RowId { instance: query, view: 0 }, RowId { instance, view })
        };
        assert!(answers(0, (0, 1)), "its own");
        assert!(answers(0, (1, 1)), "an equal document");
        assert!(answers(0, (2, 1)), "the document of an equal query");
        assert!(answers(2, (1, 1)), "a document of an equal query, in a third row");
        assert!(answers(1, (3, 3)), "a judgement");
        assert!(!answers(1, (2, 1)) && !answers(3, (0, 1)) && !answers(3, (3, 2)), "nothing says so");
    }

    #[test]
    fn rows_are_related_where_either_answers_the_other() {
        let relevance = relevance();
        assert_eq!(relevance.related_to(0), [0, 1, 2]);
        assert_eq!(relevance.related_to(1), [0, 1, 2]);
        assert_eq!(relevance.related_to(3), [3], "own negatives are no documents of the row");
        assert_eq!(relevance.related_to(u32::MAX), [0; 0], "no instance at all");
        let (query, document) =
            (|instance| RowId { instance, view: 0 }, |instance| RowId { instance, view: 1 });
        for one in 0..4 {
            let twin: Vec<u32> = (0..4)
                .filter(|other| {
                    relevance.answers(query(one), document(*other))
                        || relevance.answers(query(*other), document(one))
                })
                .collect();
            assert_eq!(relevance.related_to(one), twin);
        }
    }

    #[test]
    fn the_rate_counts_ordered_pairs() {
        let relevance = relevance();
        // 0 and 1 answer each other; 1 does not get q0's other document, though q0 gets d0 from everywhere.
        assert_eq!(relevance.false_negative_rate(&[vec![0, 1], vec![2, 3]]), Some(2.0 / 4.0));
        assert_eq!(relevance.false_negative_rate(&[vec![1, 2]]), Some(1.0 / 2.0));
        assert_eq!(relevance.false_negative_rate(&[vec![1]]), None);
    }

    #[test]
    fn a_row_without_a_document_is_named() {
        let rows: [&[u32]; 2] = [&[0, 1], &[2]];
        assert!(Relevance::new(rows, []).unwrap_err().to_string().contains("row 1"));
    }
}
