//! Texts in memory: columns of rows, with classes, scores and groups where a file has them.

use lookalike_base::hash::Hasher;

/// Most rows of a set, and most texts of a column.
pub(super) const MAX_TEXTS: usize = u32::MAX as usize;

/// Many texts in one piece of memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Texts {
    all: String,
    /// Where each text begins, and last the length of all.
    offsets: Vec<usize>,
}

impl Default for Texts {
    fn default() -> Self {
        Self { all: String::new(), offsets: vec![0] }
    }
}

impl Texts {
    /// Number of texts.
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether there is no text at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Text `index`.
    ///
    /// # Panics
    ///
    /// If `index` is out of range.
    pub fn get(&self, index: usize) -> &str {
        &self.all[self.offsets[index]..self.offsets[index + 1]]
    }

    /// All texts in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        self.offsets.windows(2).map(|ends| &self.all[ends[0]..ends[1]])
    }

    /// All texts in order, for what takes a slice.
    pub fn to_vec(&self) -> Vec<&str> {
        self.iter().collect()
    }

    /// Adds a text at the end.
    pub fn push(&mut self, text: &str) {
        self.all.push_str(text);
        self.offsets.push(self.all.len());
    }

    /// SHA-256 of all texts in order, as 64 hexadecimal digits.
    pub fn fingerprint(&self) -> String {
        let mut hasher = Hasher::new();
        hasher.number(self.len() as u64);
        self.iter().for_each(|text| hasher.text(text));
        hasher.hex()
    }
}

impl<S: AsRef<str>> FromIterator<S> for Texts {
    fn from_iter<I: IntoIterator<Item = S>>(texts: I) -> Self {
        let mut all = Self::default();
        texts.into_iter().for_each(|text| all.push(text.as_ref()));
        all
    }
}

/// One column: a text a row, or several.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its texts, row after row.
    pub texts: Texts,
    /// Where the texts of each row begin, and last their number; `None` where every row has exactly one.
    pub rows: Option<Vec<usize>>,
}

impl Column {
    /// A column without rows.
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// The indices into `texts` of the texts of `row`, at least one.
    ///
    /// # Panics
    ///
    /// If `row` is out of range.
    pub fn range(&self, row: usize) -> std::ops::Range<usize> {
        self.rows.as_ref().map_or(row..row + 1, |rows| rows[row]..rows[row + 1])
    }

    /// The texts of `row`, at least one.
    ///
    /// # Panics
    ///
    /// If `row` is out of range.
    pub fn row(&self, row: usize) -> impl Iterator<Item = &str> {
        self.range(row).map(|index| self.texts.get(index))
    }

    /// Adds a row of `texts`, at least one.
    pub(super) fn push<'t>(&mut self, texts: impl ExactSizeIterator<Item = &'t str>) {
        if texts.len() != 1 && self.rows.is_none() {
            self.rows = Some((0..=self.texts.len()).collect());
        }
        texts.for_each(|text| self.texts.push(text));
        if let Some(rows) = &mut self.rows {
            rows.push(self.texts.len());
        }
    }
}

/// A name a row, kept as an index into the list of different names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// The different names, in the order of their bytes.
    pub names: Vec<String>,
    /// For each row the index of its name.
    pub rows: Vec<u32>,
}

impl<S: AsRef<str>> FromIterator<S> for Names {
    fn from_iter<I: IntoIterator<Item = S>>(rows: I) -> Self {
        let mut known = std::collections::BTreeMap::<String, u32>::new();
        let mut found = Vec::new();
        for name in rows {
            let next = known.len() as u32;
            found.push(known.get(name.as_ref()).copied().unwrap_or_else(|| {
                known.insert(name.as_ref().to_owned(), next);
                next
            }));
        }
        let mut order = vec![0; known.len()];
        for (place, first) in known.values().enumerate() {
            order[*first as usize] = place as u32;
        }
        for row in &mut found {
            *row = order[*row as usize];
        }
        Self { names: known.into_keys().collect(), rows: found }
    }
}

/// Rows of one or more columns of texts, as a file has them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TextSet {
    /// Its name: that of a known set, or the file's.
    pub name: String,
    /// The columns, equally long.
    pub columns: Vec<Column>,
    /// The class of each row.
    pub labels: Option<Names>,
    /// The group of each row.
    pub groups: Option<Names>,
    /// The score of each row.
    pub scores: Option<Vec<f32>>,
    /// Where in its file each row stands: the line, or the row of Parquet, from 1.
    pub places: Vec<u64>,
    /// Where it is known of all rows which answer which: the pairs of rows (i, j) such that the second text of row j answers the first
    /// of row i, in their order; (i, i) is among them for each i.
    pub relevant: Option<Vec<(u32, u32)>>,
}

impl TextSet {
    /// A set of rows from these places, as many as every column has.
    pub(super) fn new(name: String, columns: Vec<Column>, places: Vec<u64>) -> Self {
        Self { name, columns, places, ..Self::default() }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is no row at all.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The column named `name`.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The first text of each column in `row`.
    ///
    /// # Panics
    ///
    /// If `row` is out of range.
    pub fn row(&self, row: usize) -> Vec<&str> {
        self.columns.iter().map(|column| column.texts.get(column.range(row).start)).collect()
    }
}

impl TextSet {
    /// The rows of all `parts`, which have the same columns, one part after another. Groups, scores and what is known to
    /// answer are kept where all parts have them.
    pub fn joined(name: &str, parts: &[Self]) -> Self {
        let Some(first) = parts.first() else { return Self::default() };
        let mut columns: Vec<Column> = first.columns.iter().map(|column| Column::new(&column.name)).collect();
        for part in parts {
            for (column, own) in columns.iter_mut().zip(&part.columns) {
                for row in 0..part.len() {
                    column.push(own.range(row).map(|index| own.texts.get(index)));
                }
            }
        }
        let mut set = Self::new(
            name.to_owned(),
            columns,
            parts.iter().flat_map(|part| part.places.iter().copied()).collect(),
        );
        let names = |of: fn(&Self) -> Option<&Names>| -> Option<Names> {
            let all: Option<Vec<&Names>> = parts.iter().map(of).collect();
            let rows = |names: &'_ Names| {
                names.rows.iter().map(|row| names.names[*row as usize].clone()).collect::<Vec<_>>()
            };
            all.map(|all| all.into_iter().flat_map(rows).collect())
        };
        set.labels = names(|part| part.labels.as_ref());
        set.groups = names(|part| part.groups.as_ref());
        let scores: Option<Vec<&Vec<f32>>> = parts.iter().map(|part| part.scores.as_ref()).collect();
        set.scores = scores.map(|scores| scores.into_iter().flatten().copied().collect());
        let relevant: Option<Vec<&Vec<(u32, u32)>>> =
            parts.iter().map(|part| part.relevant.as_ref()).collect();
        set.relevant = relevant.map(|relevant| {
            let (mut all, mut first) = (Vec::new(), 0);
            for (part, own) in parts.iter().zip(relevant) {
                all.extend(own.iter().map(|(one, other)| (first + one, first + other)));
                first += part.len() as u32;
            }
            all
        });
        set
    }
}
