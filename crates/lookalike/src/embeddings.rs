//! Embeddings, labels and groups, as commands are given them.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use lookalike_base::files::split_name;
use lookalike_base::hash::Hasher;
use lookalike_base::words::did_you_mean;
use lookalike_base::{Cancellation, FileRows, ProgressDisplay, Ranks, RowSource, npy};
use lookalike_sampling::{PairRows, SamplingError, UNLABELLED};

use crate::failure::Failure;
use crate::progress::Terminal;
use crate::run::warn;

/// Embeddings that are checked between two looks at the progress.
const CHECKED_AT_ONCE: usize = 4096;

/// The embeddings of the instances: one file, or two with queries and documents, whose rows are read side by side.
pub(crate) struct Embeddings<'a> {
    files: Vec<(FileRows, &'a Path)>,
}

impl RowSource for Embeddings<'_> {
    fn len(&self) -> usize {
        self.files[0].0.len()
    }

    fn columns(&self) -> usize {
        self.files.iter().map(|(rows, _)| rows.columns()).sum()
    }

    fn read_row(&self, index: usize, mut into: &mut [f32]) {
        for (rows, _) in &self.files {
            let (part, rest) = into.split_at_mut(rows.columns());
            rows.read_row(index, part);
            into = rest;
        }
    }

    /// Those of the row in the first file.
    fn addresses(&self, index: usize) -> Range<usize> {
        self.files[0].0.addresses(index)
    }
}

impl<'a> Embeddings<'a> {
    /// Opens the embeddings, and checks that those of pairs have two halves of one width.
    pub(crate) fn open(
        path: &'a Path,
        documents: Option<&'a Path>,
        pairs: Option<PairRows>,
    ) -> Result<Self, Failure> {
        let paths = std::iter::once(path).chain(documents);
        let mut files = Vec::new();
        for path in paths {
            let rows = FileRows::open(path)?;
            if rows.rounds() {
                warn(&[format!("{} holds float64, which is rounded to float32", path.display())]);
            }
            files.push((rows, path));
        }
        let shape = |(rows, _): &(FileRows, &Path)| (rows.len(), rows.columns());
        if let [queries, documents] = &files[..]
            && shape(queries) != shape(documents)
        {
            let (query_shape, document_shape) = (shape(queries), shape(documents));
            return Err(Failure::usage(format!(
                "{} has shape {document_shape:?}, {} {query_shape:?}: a document belongs to each query, of the same width",
                documents.1.display(),
                queries.1.display()
            )));
        }
        let embeddings = Self { files };
        if pairs.is_some() && !embeddings.columns().is_multiple_of(2) {
            let (path, columns) = (path.display(), embeddings.columns());
            return Err(Failure::usage(format!(
                "{path} has {columns} columns; those of pairs must be even in number, the query's half and then the document's, or \
                 the documents be given by --documents"
            )));
        }
        Ok(embeddings)
    }

    /// Checks that all values are finite, and warns of rows of zeros. Each rank looks at its part of the rows.
    pub(crate) fn check(&self, ranks: &dyn Ranks, cancellation: &Cancellation) -> Result<(), Failure> {
        let begin = |rank: usize| (self.len() as u128 * rank as u128 / ranks.size() as u128) as usize;
        let own = begin(ranks.rank())..begin(ranks.rank() + 1);
        for (rows, path) in &self.files {
            let found = check(rows, path, own.clone(), cancellation);
            let refused = match &found {
                Err(Failure::Error { error, .. }) => error.to_string(),
                _ => String::new(),
            };
            // The lowest instance of all ranks is told by all.
            let refused = ranks.all_gather(refused.as_bytes())?;
            if let Some(told) = refused.iter().find(|told| !told.is_empty()) {
                return Err(anyhow::Error::msg(String::from_utf8_lossy(told).into_owned()).into());
            }
            let found = found?;
            let all =
                ranks.all_gather(&found.map_or(Vec::new(), |found| found.map(u64::to_le_bytes).concat()))?;
            let all = all
                .iter()
                .filter_map(|bytes| Some(bytes.as_chunks::<8>().0).filter(|words| words.len() == 2));
            let all: Vec<[u64; 2]> =
                all.map(|words| [0, 1].map(|at| u64::from_le_bytes(words[at]))).collect();
            if let Some([_, first]) = all.first() {
                let count = all.iter().map(|[count, _]| count).sum::<u64>();
                warn(&[format!(
                    "{count} embeddings are all zeros, the first that of instance {first}: they are similar to nobody"
                )]);
            }
        }
        Ok(())
    }

    /// What two ranks have in common that have the same embeddings: their shape, and some of them.
    pub(crate) fn identity(&self) -> String {
        const LOOKED_AT: usize = 64;
        let (mut hasher, mut row) = (Hasher::new(), vec![0.0; self.columns()]);
        for place in 0..LOOKED_AT.min(self.len()) {
            self.read_row((self.len() as u128 * place as u128 / LOOKED_AT as u128) as usize, &mut row);
            hasher.numbers(row.iter().map(|value| value.to_bits().to_le_bytes()));
        }
        format!("{} × {} {:016x}", self.len(), self.columns(), hasher.short())
    }
}

/// Why sampling ended; `left` says what there is after an interrupt.
pub(crate) fn interrupted(error: SamplingError, left: &str) -> Failure {
    match error {
        SamplingError::Cancelled => Failure::Interrupted(left.to_owned()),
        error => error.into(),
    }
}

/// Checks that all values of some rows are finite; how many of them are all zeros, and the first of these, where there are any.
fn check(
    embeddings: &FileRows,
    path: &Path,
    instances: Range<usize>,
    cancellation: &Cancellation,
) -> Result<Option<[u64; 2]>, Failure> {
    let count = instances.len() as u64;
    let progress = Terminal.start(count, "checking");
    let mut row = vec![0.0; embeddings.columns()];
    let mut zeros = None;
    for (done, instance) in instances.enumerate() {
        if done % CHECKED_AT_ONCE == 0 {
            progress.set_position(done as u64);
            if cancellation.is_cancelled() {
                return Err(interrupted(SamplingError::Cancelled, "nothing was written"));
            }
        }
        embeddings.read_row(instance, &mut row);
        if let Some(column) = row.iter().position(|value| !value.is_finite()) {
            let (path, value) = (path.display(), row[column]);
            let text =
                format!("{path}: the embedding of instance {instance} holds {value} in column {column}");
            return Err(anyhow::Error::msg(text).into());
        }
        if row.iter().all(|value| *value == 0.0) {
            zeros.get_or_insert([0, instance as u64])[0] += 1;
        }
    }
    progress.set_position(count);
    progress.finish();
    Ok(zeros)
}

/// An integer an instance, at least 0; −1 for those that have none. Of a table (`FILE.csv:COLUMN`, the column `label` if none is named)
/// these are its numbers, or where it has other texts, a number a text.
pub(crate) fn integers(path: &Path, instances: usize) -> Result<Vec<i64>, Failure> {
    let (file, column) = split_name(path);
    let is_table = file.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv"));
    let (values, shape) = if is_table {
        let values = column_of(&file, column.as_deref().unwrap_or("label"))?;
        let shape = vec![values.len()];
        (values, shape)
    } else {
        npy::read_identifiers(path)?
    };
    if shape != [instances] {
        let (path, found) = (path.display(), shape);
        return Err(Failure::usage(format!(
            "{path} has shape {found:?}; expected [{instances}], one an instance"
        )));
    }
    Ok(values)
}

/// The names of the columns of a table with a header, and the cells of each of `columns`, where there is such a one.
pub(crate) fn read_table(file: &Path, columns: &[&str]) -> Result<TableColumns, Failure> {
    let refuse =
        |error: csv::Error| Failure::from(anyhow::Error::msg(format!("{}: {error}", file.display())));
    let mut reader = csv::Reader::from_path(file).map_err(refuse)?;
    let header = reader.headers().map_err(refuse)?;
    let names: Vec<String> =
        header.iter().map(|name| name.trim_start_matches('\u{feff}').to_owned()).collect();
    let places: Vec<Option<usize>> =
        columns.iter().map(|column| names.iter().position(|name| name == column)).collect();
    let mut found: Vec<Option<Vec<String>>> = places.iter().map(|place| place.map(|_| Vec::new())).collect();
    for record in reader.records() {
        let record = record.map_err(refuse)?;
        for (place, cells) in places.iter().zip(&mut found) {
            if let (Some(place), Some(cells)) = (place, cells) {
                cells.push(record.get(*place).unwrap_or_default().trim().to_owned());
            }
        }
    }
    Ok((names, found))
}

/// The names of all columns, and the cells of those that were asked for.
pub(crate) type TableColumns = (Vec<String>, Vec<Option<Vec<String>>>);

/// The identifiers in a column of a table with a header.
fn column_of(file: &Path, column: &str) -> Result<Vec<i64>, Failure> {
    let (names, mut found) = read_table(file, &[column])?;
    let Some(cells) = found.remove(0) else {
        let names = || names.iter().map(String::as_str);
        let there: Vec<String> = names().map(|name| format!("`{name}`")).collect();
        let (hint, there) = (did_you_mean(column, names()), there.join(", "));
        let problem = format!("{}: it has no column `{column}`, but {there}{hint}", file.display());
        return Err(anyhow::Error::msg(problem).into());
    };
    let number = |cell: &String| match cell.as_str() {
        "" => Some(-1),
        cell => cell.parse().ok().filter(|number| *number >= -1),
    };
    if let Some(numbers) = cells.iter().map(number).collect() {
        return Ok(numbers);
    }
    let mut known: HashMap<&str, i64> = HashMap::new();
    let mut numbers = Vec::with_capacity(cells.len());
    for cell in &cells {
        let next = known.len() as i64;
        numbers.push(if cell.is_empty() { -1 } else { *known.entry(cell).or_insert(next) });
    }
    Ok(numbers)
}

/// A class an instance.
pub(crate) fn classes(path: &Path, instances: usize) -> Result<Vec<u32>, Failure> {
    let class = |(instance, value): (usize, i64)| match u32::try_from(value) {
        _ if value == -1 => Ok(UNLABELLED),
        Ok(class) if class != UNLABELLED => Ok(class),
        _ => Err(Failure::usage(format!("{}: label {instance} is {value}, no class", path.display()))),
    };
    let classes: Vec<u32> =
        integers(path, instances)?.into_iter().enumerate().map(class).collect::<Result<_, _>>()?;
    let without = classes.iter().filter(|class| **class == UNLABELLED).count();
    if without > 0 {
        warn(&[format!(
            "{without} of {instances} instances have no label: no pair with one of them counts among false negatives"
        )]);
    }
    if one_class(&classes) {
        let path = path.display();
        return Err(Failure::usage(format!(
            "{path}: all instances are of one class, so no negative can be true"
        )));
    }
    Ok(classes)
}

/// Whether those that have a label all have the same one.
fn one_class(labels: &[u32]) -> bool {
    let mut known = labels.iter().filter(|label| **label != UNLABELLED);
    known.next().is_none_or(|first| known.all(|label| label == first))
}
