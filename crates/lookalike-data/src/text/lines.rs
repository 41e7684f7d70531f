//! Lines of text files, plain or gzipped, with their numbers for errors and what was replaced in them.

use crate::bounded::Bounded;
use crate::error::DataError;
use flate2::read::MultiGzDecoder;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// Longest line, and longest row of a table, in bytes.
pub(super) const MAX_LINE: u64 = 1 << 24;

/// Most bytes of a file after unpacking.
const MAX_BYTES: u64 = 1 << 34;

/// How the bytes of a file become texts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// UTF-8, with a byte order mark at the beginning or without.
    #[default]
    Utf8,
    /// Latin-1 (ISO 8859-1): every byte is the character of its number.
    Latin1,
}

/// What becomes of bytes that are no UTF-8.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InvalidUtf8 {
    /// An error that names file and line.
    #[default]
    Error,
    /// U+FFFD takes their place; how many lines that concerns becomes a warning.
    Replace,
}

/// Turns bytes into texts, and counts what it replaced.
#[derive(Debug, Clone, Default)]
pub(super) struct Decoder {
    encoding: Encoding,
    invalid: InvalidUtf8,
    replaced: u64,
    first: u64,
}

impl Decoder {
    pub(super) fn new(encoding: Encoding, invalid: InvalidUtf8) -> Self {
        Self { encoding, invalid, ..Self::default() }
    }

    /// Puts the text of `bytes`, which are on `line`, into `text`.
    pub(super) fn decode(&mut self, bytes: &[u8], line: u64, text: &mut String) -> Result<(), String> {
        text.clear();
        match (self.encoding, str::from_utf8(bytes)) {
            (Encoding::Latin1, _) => text.extend(bytes.iter().map(|byte| char::from(*byte))),
            (Encoding::Utf8, Ok(valid)) => text.push_str(valid),
            (Encoding::Utf8, Err(_)) if self.invalid == InvalidUtf8::Replace => {
                text.push_str(&String::from_utf8_lossy(bytes));
                if self.replaced == 0 {
                    self.first = line;
                }
                self.replaced += 1;
            }
            (Encoding::Utf8, Err(error)) => {
                return Err(format!(
                    "byte {} of {:?} is no UTF-8; with invalid_utf8 = \"replace\" (--invalid-utf8 replace) it is replaced and counted",
                    error.valid_up_to() + 1,
                    shortened(&String::from_utf8_lossy(bytes)),
                ));
            }
        }
        Ok(())
    }

    /// What the user should know of the file at `path`.
    pub(super) fn warning(&self, path: &Path) -> Option<String> {
        (self.replaced > 0).then(|| {
            format!(
                "{}: {} texts are no UTF-8, the first on line {}; what is not was replaced by U+FFFD",
                path.display(),
                self.replaced,
                self.first
            )
        })
    }
}

/// The bytes of a file after unpacking; it is gzipped where its name ends in `.gz`.
pub(super) fn open(path: &Path) -> Result<Box<dyn Read>, DataError> {
    let file = File::open(path).map_err(DataError::io("open", path))?;
    let file = BufReader::with_capacity(1 << 16, file);
    Ok(if path.extension().is_some_and(|end| end == "gz") {
        Box::new(Bounded::new(MultiGzDecoder::new(file), MAX_BYTES))
    } else {
        Box::new(Bounded::new(file, MAX_BYTES))
    })
}

/// Reads a file line by line. Lines end in LF or CR LF; a byte order mark at the beginning is passed over.
pub(super) struct Lines {
    reader: BufReader<Box<dyn Read>>,
    path: PathBuf,
    bytes: Vec<u8>,
    text: String,
    number: u64,
    decoder: Decoder,
}

impl Lines {
    pub(super) fn open(path: &Path, encoding: Encoding, invalid: InvalidUtf8) -> Result<Self, DataError> {
        let reader = BufReader::with_capacity(1 << 16, open(path)?);
        let decoder = Decoder::new(encoding, invalid);
        Ok(Self { reader, path: path.into(), bytes: Vec::new(), text: String::new(), number: 0, decoder })
    }

    /// The lines of a file in UTF-8.
    pub(super) fn utf8(path: &Path) -> Result<Self, DataError> {
        Self::open(path, Encoding::Utf8, InvalidUtf8::Error)
    }

    /// The number of the line read last, from 1.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The error that something is wrong with the line read last.
    pub(super) fn wrong(&self, problem: impl Into<String>) -> DataError {
        DataError::Line { path: self.path.clone(), line: self.number.max(1), problem: problem.into() }
    }

    /// The next line without its end; it may be empty. `None` at the end of the file.
    pub(super) fn next(&mut self) -> Result<Option<&str>, DataError> {
        self.bytes.clear();
        let read = self.reader.by_ref().take(MAX_LINE + 1).read_until(b'\n', &mut self.bytes);
        let count = read.map_err(DataError::io("read", &self.path))?;
        if count == 0 {
            return Ok(None);
        }
        self.number += 1;
        if count as u64 > MAX_LINE {
            return Err(self.wrong(format!("the line is longer than {MAX_LINE} bytes, the limit")));
        }
        let mut line = self.bytes.as_slice();
        if self.number == 1 {
            line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        }
        line = line.strip_suffix(b"\n").unwrap_or(line);
        line = line.strip_suffix(b"\r").unwrap_or(line);
        match self.decoder.decode(line, self.number, &mut self.text) {
            Ok(()) => Ok(Some(&self.text)),
            Err(problem) => Err(self.wrong(problem)),
        }
    }

    /// What the user should know of what was read.
    pub(super) fn warning(&self) -> Option<String> {
        self.decoder.warning(&self.path)
    }
}

/// The part of `text` that an error quotes: at most 40 characters.
pub(super) fn shortened(text: &str) -> String {
    let mut characters = text.trim().chars();
    let start: String = characters.by_ref().take(40).collect();
    if characters.next().is_some() { format!("{start}…") } else { start }
}
