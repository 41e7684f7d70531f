//! Comma- and tab-separated tables.

use super::collector::{Collector, Fields};
use super::lines::{Decoder, MAX_LINE, open};
use super::read::{ReadOptions, row_of, stem};
use super::text_set::TextSet;
use crate::error::DataError;
use csv::{ByteRecord, ReaderBuilder};
use std::cell::Cell;
use std::io::{self, Read};
use std::path::Path;
use std::rc::Rc;

/// A reader that fails where too much is read for one row: a quote that is never closed takes in the rest of the file.
struct RowLimit {
    inner: Box<dyn Read>,
    since_row: Rc<Cell<u64>>,
}

impl Read for RowLimit {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.since_row.set(self.since_row.get() + count as u64);
        if self.since_row.get() > MAX_LINE + buffer.len() as u64 {
            let problem = format!("a row is longer than {MAX_LINE} bytes, the limit; is a quote not closed?");
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        Ok(count)
    }
}

/// Reads a table. Lines without any character between rows carry nothing and are passed over.
pub(super) fn read(
    path: &Path,
    separator: u8,
    quotes: bool,
    options: &ReadOptions,
) -> Result<(TextSet, Vec<String>), DataError> {
    let since_row = Rc::new(Cell::new(0));
    let reader = RowLimit { inner: open(path)?, since_row: Rc::clone(&since_row) };
    let mut builder = ReaderBuilder::new();
    builder.delimiter(separator).quoting(quotes).has_headers(false).flexible(true);
    let mut reader = builder.from_reader(reader);
    let mut decoder = Decoder::new(options.encoding, options.invalid_utf8);
    let mut record = ByteRecord::new();
    let mut next = |record: &mut ByteRecord| {
        since_row.set(0);
        reader.read_byte_record(record).map_err(|error| failed(path, error))
    };

    if !next(&mut record)? {
        return Err(DataError::text_file(path, "it is empty"));
    }
    let count = record.len();
    let names: Vec<String> = if options.no_header {
        (1..=count).map(|number| number.to_string()).collect()
    } else {
        let mut names = Vec::with_capacity(count);
        for (place, name) in record.iter().enumerate() {
            let name = if place == 0 { name.strip_prefix(b"\xef\xbb\xbf").unwrap_or(name) } else { name };
            let mut text = String::new();
            decoder.decode(name, 1, &mut text).map_err(|problem| DataError::Line {
                path: path.into(),
                line: 1,
                problem,
            })?;
            if names.contains(&text) {
                let problem = format!("two columns are called {text:?}");
                return Err(DataError::Line { path: path.into(), line: 1, problem });
            }
            names.push(text);
        }
        names
    };
    let fields = Fields::of(&names, options, path, |_| true)?;
    let mut collector = Collector::new(path, &fields.names, "line");
    let mut is_row = options.no_header || next(&mut record)?;
    while is_row {
        let line = record.position().map_or(0, csv::Position::line);
        if record.len() != count {
            let whose = if options.no_header { "the first line" } else { "the line of names" };
            return Err(collector.wrong(line, format!("it has {} fields, {whose} {count}", record.len())));
        }
        let row = row_of(&fields, |place| {
            let mut text = String::new();
            let bytes = record.get(place).unwrap_or_default();
            let bytes = if line == 1 && place == 0 {
                bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
            } else {
                bytes
            };
            decoder.decode(bytes, line, &mut text).map_err(|problem| collector.wrong(line, problem))?;
            Ok(text)
        })?;
        collector.row(line, row)?;
        is_row = next(&mut record)?;
    }
    Ok(collector.finish(stem(path), decoder.warning(path)))
}

fn failed(path: &Path, error: csv::Error) -> DataError {
    let line = error.position().map(csv::Position::line);
    match (line, error.into_kind()) {
        (_, csv::ErrorKind::Io(source)) => DataError::Io { action: "read", path: path.into(), source },
        (line, kind) => DataError::Line {
            path: path.into(),
            line: line.unwrap_or(1),
            problem: format!("the row cannot be read: {kind:?}"),
        },
    }
}
