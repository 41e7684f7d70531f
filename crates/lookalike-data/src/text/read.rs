//! Reads texts from files of lines, comma- and tab-separated tables, JSON lines and Parquet.

use super::collector::{Cell, Collector, Fields, Row};
use super::lines::{Encoding, InvalidUtf8, Lines};
use super::text_set::TextSet;
use super::{json_lines, separated};
use crate::error::DataError;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What is read of a file, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReadOptions {
    /// The columns of texts, by name and in this order. Without any: all that `label`, `score` and `group` do not name; of JSON lines
    /// those that hold texts in the first line.
    pub columns: Vec<String>,
    /// Of columns that are not named, the first alone: what the others hold does not matter.
    pub first_only: bool,
    /// The column of the rows' classes.
    pub label: Option<String>,
    /// The column of the rows' scores, finite numbers.
    pub score: Option<String>,
    /// The column of the rows' groups.
    pub group: Option<String>,
    /// How bytes become texts.
    pub encoding: Encoding,
    /// What becomes of bytes that are no UTF-8.
    pub invalid_utf8: InvalidUtf8,
    /// A table has no line of names: its columns are called `1`, `2` and so on.
    pub no_header: bool,
    /// Whether fields of a table may stand in double quotes, which then may hold separators and line ends. By default so in `.csv`, and
    /// not in `.tsv`.
    pub quotes: Option<bool>,
}

/// Reads a file by the end of its name: `.txt` (a text a line), `.csv`, `.tsv`, `.jsonl` (an object a line; a column holds a text or a
/// list of texts), each also followed by `.gz`, and `.parquet`. Returns the rows and warnings that the user should see: rows with an
/// empty text are left out and counted, and bytes that were replaced are too.
///
/// # Errors
/// [`DataError::Io`]; [`DataError::Line`] where a line is no UTF-8, is longer than 16 MiB or has the wrong number of fields;
/// [`DataError::TextFile`] where a column is missing, the name's end unknown, or the feature `parquet` needed and not built.
pub fn read(path: &Path, options: &ReadOptions) -> Result<(TextSet, Vec<String>), DataError> {
    let file = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let name = file.strip_suffix(".gz").unwrap_or(file);
    match name.rsplit_once('.').map(|(_, end)| end) {
        Some("txt") => {
            // It has one column, and nothing beside.
            Fields::of(&["text".to_owned()], options, path, |_| true)?;
            read_columns(&[("text", path)], options)
        }
        Some("csv") => separated::read(path, b',', options.quotes.unwrap_or(true), options),
        Some("tsv") => separated::read(path, b'\t', options.quotes.unwrap_or(false), options),
        Some("jsonl") => json_lines::read(path, options),
        #[cfg(feature = "parquet")]
        Some("parquet") if name == file => super::parquet::read(path, options),
        #[cfg(not(feature = "parquet"))]
        Some("parquet") if name == file => {
            Err(DataError::FeatureMissing { name: path.display().to_string(), feature: "parquet" })
        }
        _ => Err(DataError::text_file(
            path,
            "its name must end in .txt, .csv, .tsv or .jsonl, with .gz behind it or without, or in .parquet",
        )),
    }
}

/// Reads files of lines side by side: line i of every file makes row i. `files` are the names of the columns and their files; of
/// `options` only the encoding counts. A row with an empty line in any file is left out and counted.
///
/// # Errors
/// [`DataError::Io`], [`DataError::Line`], and [`DataError::TextFile`] where a file has fewer lines than the first.
pub fn read_columns(
    files: &[(&str, &Path)],
    options: &ReadOptions,
) -> Result<(TextSet, Vec<String>), DataError> {
    let Some((_, first)) = files.first() else {
        return Err(DataError::text_file("", "no file is named"));
    };
    let open = |(_, path): &(&str, &Path)| Lines::open(path, options.encoding, options.invalid_utf8);
    let mut readers = files.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let names: Vec<String> = files.iter().map(|(name, _)| (*name).to_owned()).collect();
    let mut collector = Collector::new(first, &names, "line");
    loop {
        let mut cells = Vec::with_capacity(readers.len());
        let mut ended = None;
        for (reader, (_, path)) in readers.iter_mut().zip(files) {
            match reader.next()? {
                Some(text) => cells.push(Cell::One(text.to_owned())),
                None => ended = Some((reader.number(), *path)),
            }
        }
        let Some((lines, path)) = ended else {
            let place = readers[0].number();
            collector.row(place, Row { cells, ..Row::default() })?;
            continue;
        };
        if !cells.is_empty() {
            return Err(DataError::text_file(
                path,
                format!("it has {lines} lines, and another column has more"),
            ));
        }
        let warnings: Vec<String> = readers.iter().filter_map(Lines::warning).collect();
        let (set, mut left_out) = collector.finish(stem(first), None);
        left_out.splice(0..0, warnings);
        return Ok((set, left_out));
    }
}

/// The name of a file without its ends.
pub(super) fn stem(path: &Path) -> String {
    let file = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    file.split('.').next().unwrap_or_default().to_owned()
}

/// The row that `fields` make of a record of texts.
pub(super) fn row_of(
    fields: &Fields,
    mut text: impl FnMut(usize) -> Result<String, DataError>,
) -> Result<Row, DataError> {
    let mut one = |place: Option<usize>| place.map(&mut text).transpose();
    let (label, score, group) = (one(fields.label)?, one(fields.score)?, one(fields.group)?);
    let cells = fields.texts.iter().map(|place| text(*place).map(Cell::One)).collect::<Result<_, _>>()?;
    Ok(Row { cells, label, score, group })
}
