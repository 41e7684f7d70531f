//! Pairs of a query and a document that answers it, and what is held out of them.

use super::beir::{Identified, Judgement, Retrieval};
use super::sts::Sts;
use super::text_set::{Column, Names, TextSet, Texts};
use crate::error::DataError;
use std::collections::HashMap;

/// What becomes of the rows of a group in training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// They are learned from.
    Train,
    /// They are scored while training goes on.
    Development,
    /// They are scored at the end.
    Test,
}

/// What is held out of rows with these groups: a tenth of the groups for the end, and another for development where `development` asks for
/// it. It hangs on a group's name alone, whatever the file: CRC-32 of its lower-case letters, modulo 10, is 0 for the end and 1 for
/// development. So rows of one group are never on both sides.
pub fn held_out(groups: &Names, development: bool) -> Vec<Held> {
    let of_name = |name: &String| {
        let mut crc = flate2::Crc::new();
        crc.update(name.to_lowercase().as_bytes());
        match crc.sum() % 10 {
            0 => Held::Test,
            1 if development => Held::Development,
            _ => Held::Train,
        }
    };
    let of_names: Vec<Held> = groups.names.iter().map(of_name).collect();
    groups.rows.iter().map(|row| of_names[*row as usize]).collect()
}

impl TextSet {
    /// The first two columns, of queries and of documents.
    ///
    /// # Errors
    /// [`DataError::NoPairs`] where there is only one.
    pub fn pair_columns(&self) -> Result<[&Column; 2], DataError> {
        match self.columns.as_slice() {
            [first, second, ..] => Ok([first, second]),
            columns => Err(DataError::NoPairs {
                name: self.name.clone(),
                column: columns.first().map(|column| column.name.clone()).unwrap_or_default(),
            }),
        }
    }

    /// The rows numbered `rows`, in that order.
    ///
    /// # Panics
    /// If a row is out of range.
    #[must_use]
    pub fn select(&self, rows: &[usize]) -> Self {
        let columns = self.columns.iter().map(|column| {
            let mut chosen = Column::new(&column.name);
            for row in rows {
                chosen.push(column.range(*row).map(|index| column.texts.get(index)));
            }
            chosen
        });
        let names = |names: &Names| Names {
            names: names.names.clone(),
            rows: rows.iter().map(|row| names.rows[*row]).collect(),
        };
        Self {
            name: self.name.clone(),
            columns: columns.collect(),
            labels: self.labels.as_ref().map(names),
            groups: self.groups.as_ref().map(names),
            scores: self.scores.as_ref().map(|scores| rows.iter().map(|row| scores[*row]).collect()),
            places: rows.iter().map(|row| self.places[*row]).collect(),
            relevant: self.relevant.as_ref().map(|relevant| among(relevant, rows)),
        }
    }

    /// A row for each query and each document: rows of several queries or documents as often as they have pairs of these. What stands in
    /// the third column and behind goes with each.
    ///
    /// # Errors
    /// As [`TextSet::pair_columns`].
    pub fn pairs(self) -> Result<Self, DataError> {
        let columns = self.pair_columns()?;
        if columns.iter().all(|column| column.rows.is_none()) {
            return Ok(self);
        }
        let mut source = Vec::new();
        let mut pairs = columns.map(|column| Column::new(&column.name));
        for row in 0..self.len() {
            for query in columns[0].row(row) {
                for document in columns[1].row(row) {
                    pairs[0].push(std::iter::once(query));
                    pairs[1].push(std::iter::once(document));
                    source.push(row);
                }
            }
        }
        let mut expanded = self.select(&source);
        for (column, pair) in expanded.columns.iter_mut().zip(pairs) {
            *column = pair;
        }
        Ok(expanded)
    }
}

/// The pairs of `relevant` whose rows both stand in `rows`, by their new numbers.
fn among(relevant: &[(u32, u32)], rows: &[usize]) -> Vec<(u32, u32)> {
    let mut places: HashMap<usize, Vec<u32>> = HashMap::new();
    for (row, place) in rows.iter().zip(0..) {
        places.entry(*row).or_default().push(place);
    }
    let of = |row: &u32| places.get(&(*row as usize)).into_iter().flatten().copied();
    relevant
        .iter()
        .flat_map(|(one, other)| of(one).flat_map(move |one| of(other).map(move |other| (one, other))))
        .collect()
}

impl From<&Retrieval> for TextSet {
    /// A row for each document that is judged to answer a query, with columns `query` and `document`. Its group is the query.
    fn from(data: &Retrieval) -> Self {
        let judged: Vec<&Judgement> = data.judgements.iter().filter(|judged| judged.grade > 0).collect();
        let mut columns = ["query", "document"].map(Column::new);
        for judged in &judged {
            columns[0].push(std::iter::once(data.queries.texts.get(judged.query as usize)));
            columns[1].push(std::iter::once(data.documents.texts.get(judged.document as usize)));
        }
        let groups = judged.iter().map(|judged| data.queries.ids.get(judged.query as usize)).collect();
        let places = (1..=judged.len() as u64).collect();
        Self { groups: Some(groups), ..Self::new(data.part.clone(), columns.into(), places) }
    }
}

impl Sts {
    /// The first two columns of rows with scores as scored pairs; `None` where rows have no scores.
    ///
    /// # Errors
    /// As [`TextSet::pair_columns`].
    pub fn of_rows(set: &TextSet) -> Result<Option<Self>, DataError> {
        let Some(scores) = set.scores.clone() else { return Ok(None) };
        set.pair_columns()?;
        let pair = |row| {
            let texts = set.row(row);
            (texts[0].to_owned(), texts[1].to_owned())
        };
        let subsets = vec![("all".to_owned(), set.len())];
        Ok(Some(Self { name: set.name.clone(), pairs: (0..set.len()).map(pair).collect(), scores, subsets }))
    }
}

impl Retrieval {
    /// Pairs as a retrieval set: each different text of the second column is a document, each of the first a query, and a document is
    /// relevant to a query where any row has both, or [`TextSet::relevant`] says so of the first texts of two rows.
    ///
    /// # Errors
    /// As [`TextSet::pair_columns`].
    pub fn of_pairs(set: &TextSet) -> Result<Self, DataError> {
        let [first, second] = set.pair_columns()?;
        let (mut queries, mut documents) = (Distinct::default(), Distinct::default());
        let (mut judged, mut places) = (Vec::new(), Vec::new());
        for row in 0..set.len() {
            let begin = judged.len();
            for query in first.row(row) {
                let query = queries.place(query);
                judged.extend(second.row(row).map(|document| (query, documents.place(document))));
            }
            places.push(judged[begin]);
        }
        for (query, document) in set.relevant.iter().flatten() {
            judged.push((places[*query as usize].0, places[*document as usize].1));
        }
        judged.sort_unstable();
        judged.dedup();
        let judged = judged.into_iter().map(|(query, document)| Judgement { query, document, grade: 1 });
        // No query has the id of a document.
        let (queries, documents) = (queries.identified("query"), documents.identified("document"));
        Ok(Self { part: "all".to_owned(), documents, queries, judgements: judged.collect() })
    }
}

/// Texts by number, each different one once.
#[derive(Default)]
struct Distinct {
    places: HashMap<String, u32>,
    texts: Texts,
}

impl Distinct {
    fn place(&mut self, text: &str) -> u32 {
        let next = self.texts.len() as u32;
        if let Some(place) = self.places.get(text) {
            return *place;
        }
        self.places.insert(text.to_owned(), next);
        self.texts.push(text);
        next
    }

    fn identified(self, what: &str) -> Identified {
        let ids = (0..self.texts.len()).map(|place| format!("{what} {place}")).collect();
        Identified { ids, texts: self.texts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of one query, one or two documents and a negative each.
    fn set() -> TextSet {
        let mut columns = ["query", "document", "negative"].map(Column::new);
        for (query, documents, negative) in
            [("a", &["1", "2"][..], "x"), ("b", &["2"], "y"), ("a", &["3"], "z")]
        {
            columns[0].push(std::iter::once(query));
            columns[1].push(documents.iter().copied());
            columns[2].push(std::iter::once(negative));
        }
        let groups = ["g", "h", "g"].into_iter().collect();
        TextSet { groups: Some(groups), ..TextSet::new("set".to_owned(), columns.into(), vec![1, 2, 3]) }
    }

    #[test]
    fn a_row_of_two_documents_is_two_pairs_with_its_negatives_group_and_place() {
        let pairs = set().pairs().unwrap();
        let rows: Vec<Vec<&str>> = (0..pairs.len()).map(|row| pairs.row(row)).collect();
        assert_eq!(rows, [["a", "1", "x"], ["a", "2", "x"], ["b", "2", "y"], ["a", "3", "z"]]);
        assert_eq!(pairs.places, [1, 1, 2, 3]);
        assert_eq!(pairs.groups.as_ref().unwrap().rows, [0, 0, 1, 0]);
        assert_eq!(pairs.clone().pairs().unwrap(), pairs);
    }

    #[test]
    fn pairs_are_searched_with_every_text_once_and_are_rows_again() {
        let data = Retrieval::of_pairs(&set()).unwrap();
        assert_eq!(data.queries.texts.to_vec(), ["a", "b"]);
        assert_eq!(data.documents.texts.to_vec(), ["1", "2", "3"]);
        let judged: Vec<(u32, u32)> =
            data.judgements.iter().map(|judged| (judged.query, judged.document)).collect();
        assert_eq!(judged, [(0, 0), (0, 1), (0, 2), (1, 1)]);
        let again = TextSet::from(&data);
        assert_eq!((again.len(), again.row(3)), (4, vec!["b", "2"]));
        assert_eq!(Retrieval::of_pairs(&again).unwrap().judgements, data.judgements);
    }

    #[test]
    fn rows_that_are_known_to_answer_are_judged_so_and_keep_it_when_some_are_chosen() {
        let set = TextSet { relevant: Some(vec![(0, 0), (1, 1), (1, 2), (2, 2)]), ..set() };
        let judged = |set: &TextSet| {
            let data = Retrieval::of_pairs(set).unwrap();
            data.judgements.iter().map(|judged| (judged.query, judged.document)).collect::<Vec<_>>()
        };
        // Row 1's query, b, is answered by the document of row 2 too.
        assert_eq!(judged(&set), [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2)]);
        let chosen = set.select(&[2, 1]);
        assert_eq!(chosen.relevant, Some(vec![(1, 1), (1, 0), (0, 0)]));
        assert_eq!(set.select(&[1]).relevant, Some(vec![(0, 0)]));
        let both = TextSet::joined("both", &[set.clone(), chosen]);
        assert_eq!(both.relevant.unwrap()[4..], [(4, 4), (4, 3), (3, 3)]);
    }

    #[test]
    fn one_column_is_no_pair() {
        let set = TextSet::new("lines".to_owned(), vec![Column::new("text")], Vec::new());
        let error = Retrieval::of_pairs(&set).unwrap_err().to_string();
        assert!(error.contains("lines") && error.contains("text"), "{error}");
    }

    #[test]
    fn what_is_held_out_hangs_on_the_name_of_the_group_alone() {
        use Held::{Development, Test, Train};
        // Python's zlib.crc32 modulo 10: adb 0, a2enmod 0, 7z 1, tar 6, git-commit 4.
        let names: Names = ["tar", "ADB", "git-commit", "7z", "a2enmod", "tar"].into_iter().collect();
        assert_eq!(held_out(&names, true), [Train, Test, Train, Development, Test, Train]);
        assert_eq!(held_out(&names, false), [Train, Test, Train, Train, Test, Train]);
    }
}
