//! A list of images: a file of paths, with their classes and parts where these are known.

use super::{Found, Parts, UNLABELLED, list, part_of};
use crate::error::DataError;
use crate::image::dataset::Split;
use csv::{ByteRecord, ReaderBuilder};
use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Limit of the bytes of a list.
const MAX_BYTES: u64 = 1 << 30;

/// What a header calls the columns.
const PATHS: [&str; 8] = ["path", "file", "filename", "file_name", "filepath", "image", "image_path", "img"];
const LABELS: [&str; 5] = ["label", "class", "category", "target", "class_name"];
const PARTS: [&str; 4] = ["split", "part", "set", "subset"];

/// Which columns there are.
#[derive(Clone, Copy)]
struct Columns {
    path: usize,
    label: Option<usize>,
    part: Option<usize>,
}

/// A line of a list.
struct Row {
    path: PathBuf,
    /// Empty where the image has none.
    class: String,
    part: Option<Split>,
}

/// Whether `root` is a list by its name.
pub(super) fn is_list(root: &Path) -> bool {
    let ending = root.extension().map(OsStr::to_ascii_lowercase);
    root.is_file() && ending.is_some_and(|ending| ending == "csv" || ending == "tsv" || ending == "txt")
}

/// Reads the list `file`. Paths in it are relative to its folder.
///
/// # Errors
/// [`DataError::Line`] with the line that cannot be read.
pub(super) fn read(file: &Path) -> Result<Parts, DataError> {
    let rows = rows(file)?;
    let told = rows.iter().any(|row| row.part.is_some());
    let names: BTreeSet<&str> =
        rows.iter().map(|row| row.class.as_str()).filter(|name| !name.is_empty()).collect();
    let classes: Vec<String> = names.into_iter().map(str::to_owned).collect();
    let empty = || Found { classes: classes.clone(), place: file.to_owned(), ..Found::default() };
    let (mut train, mut test) = (empty(), empty());
    for Row { path, class, part } in rows {
        let found = if part == Some(Split::Test) { &mut test } else { &mut train };
        if let Some(reason) = list::problem(&path) {
            found.bad.push((path, reason));
            continue;
        }
        found.files.push(path);
        found.labels.push(classes.binary_search(&class).map_or(UNLABELLED, |label| label as u32));
    }
    for found in [&mut train, &mut test] {
        if classes.is_empty() {
            found.labels.clear();
        }
    }
    let why =
        || format!("{} tells no parts in a column split, so both splits are the whole list", file.display());
    Ok(Parts { train, test: if told { Ok(test) } else { Err(why()) } })
}

fn rows(file: &Path) -> Result<Vec<Row>, DataError> {
    let wrong = |line, problem| DataError::Line { path: file.to_owned(), line, problem };
    let mut opened = File::open(file).map_err(DataError::io("read", file))?;
    let length = opened.metadata().map_err(DataError::io("read", file))?.len();
    if length > MAX_BYTES {
        return Err(wrong(1, format!("the list is longer than {MAX_BYTES} bytes, the limit")));
    }
    let (delimiter, skipped) = delimiter(&mut opened).map_err(DataError::io("read", file))?;
    opened.seek(SeekFrom::Start(skipped)).map_err(DataError::io("read", file))?;
    let mut reader = ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .from_reader(opened.take(MAX_BYTES));
    let folder = file.parent().unwrap_or(Path::new(""));
    let (mut record, mut columns, mut rows) = (ByteRecord::new(), None, Vec::new());
    let mut lines: HashMap<PathBuf, u64> = HashMap::new();
    loop {
        let line = reader.position().line();
        let more = reader.read_byte_record(&mut record);
        if !more.map_err(|error| wrong(line, error.to_string()))? {
            return Ok(rows);
        }
        let line = record.position().map_or(line, csv::Position::line);
        if columns.is_none() {
            let named = header(&record, folder);
            columns = Some(named.unwrap_or(Columns { path: 0, label: Some(1), part: Some(2) }));
            if named.is_some() {
                continue;
            }
        }
        let Some(columns) = columns else { continue };
        let row = row(&record, columns, folder).map_err(|problem| wrong(line, problem))?;
        if let Some(first) = lines.insert(row.path.clone(), line) {
            let problem =
                format!("{} stands on line {first} already; an image stands once", row.path.display());
            return Err(wrong(line, problem));
        }
        rows.push(row);
    }
}

/// What separates the columns, by the first line, and how many bytes of a byte order mark stand before it.
fn delimiter(file: &mut File) -> std::io::Result<(u8, u64)> {
    let mut first = Vec::new();
    BufReader::new(file.take(1 << 16)).read_until(b'\n', &mut first)?;
    let has = |byte: u8| first.contains(&byte);
    let delimiter = if has(b'\t') {
        b'\t'
    } else if has(b';') && !has(b',') {
        b';'
    } else {
        b','
    };
    Ok((delimiter, if first.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 }))
}

/// The columns that a first line names, if it is no image itself.
fn header(record: &ByteRecord, folder: &Path) -> Option<Columns> {
    let names: Vec<String> =
        record.iter().map(|name| String::from_utf8_lossy(name).trim().to_lowercase()).collect();
    let place = |known: &[&str]| names.iter().position(|name| known.contains(&name.as_str()));
    let path = place(&PATHS)?;
    let columns = Columns { path, label: place(&LABELS), part: place(&PARTS) };
    (!folder.join(&names[path]).is_file()).then_some(columns)
}

fn row(record: &ByteRecord, columns: Columns, folder: &Path) -> Result<Row, String> {
    let cell = |column: Option<usize>| -> Result<&str, String> {
        let bytes = column.and_then(|column| record.get(column)).unwrap_or_default();
        let text =
            std::str::from_utf8(bytes).map_err(|_| "it is no UTF-8; save the list as UTF-8".to_owned())?;
        Ok(text.trim())
    };
    let (path, class, part) = (cell(Some(columns.path))?, cell(columns.label)?, cell(columns.part)?);
    if path.is_empty() {
        return Err("it names no image: its columns should be path, label, split, of which the last two may be absent".to_owned());
    }
    let part = match part {
        "" => None,
        name => Some(part_of(name).ok_or_else(|| {
            format!("its split is {name:?}, and should be train, or one of test, val, valid and validation")
        })?),
    };
    Ok(Row { path: folder.join(path), class: class.to_owned(), part })
}
