//! The lines of a text file, with their numbers for errors.

use crate::error::DataError;
use std::io::{BufRead, Read};
use std::path::PathBuf;
use std::str::FromStr;

/// Longest line, in bytes. The longest of the published files has some ten thousand.
const MAX_LINE: u64 = 1 << 24;

/// Reads a file line by line. Lines end in LF or CR LF, in any mixture; empty lines may stand only at the
/// end.
pub(super) struct LineReader<'a> {
    reader: Box<dyn BufRead + 'a>,
    path: PathBuf,
    line: Vec<u8>,
    /// The number of the line that was read last, from 1.
    number: u64,
}

impl<'a> LineReader<'a> {
    /// The lines of `reader`; errors call the file `path`.
    pub(super) fn new(reader: impl BufRead + 'a, path: PathBuf) -> Self {
        Self { reader: Box::new(reader), path, line: Vec::new(), number: 0 }
    }

    /// The error that something is wrong with the line read last.
    pub(super) fn wrong(&self, problem: impl Into<String>) -> DataError {
        DataError::Line { path: self.path.clone(), line: self.number.max(1), problem: problem.into() }
    }

    /// The next line without its end; `None` where only empty lines follow.
    pub(super) fn next(&mut self) -> Result<Option<&str>, DataError> {
        let mut first_empty = None;
        loop {
            if !self.read()? {
                return Ok(None);
            }
            if !self.line.iter().all(u8::is_ascii_whitespace) {
                break;
            }
            first_empty.get_or_insert(self.number);
        }
        if let Some(line) = first_empty {
            let problem = "the line is empty, and the file goes on after it".to_owned();
            return Err(DataError::Line { path: self.path.clone(), line, problem });
        }
        if self.line.contains(&b'\r') {
            return Err(self.wrong("the line contains a carriage return; lines must end in LF or CR LF"));
        }
        match str::from_utf8(&self.line) {
            Ok(line) => Ok(Some(line)),
            Err(_) => Err(self.wrong("the line is not UTF-8 text")),
        }
    }

    /// Reads a line without its end; false where there is none.
    fn read(&mut self) -> Result<bool, DataError> {
        self.line.clear();
        let read = self.reader.as_mut().take(MAX_LINE + 1).read_until(b'\n', &mut self.line);
        let count = read.map_err(DataError::io("read", &self.path))?;
        self.number += u64::from(count > 0);
        if count as u64 > MAX_LINE {
            return Err(self.wrong(format!("the line is longer than {MAX_LINE} bytes, the limit")));
        }
        for end in [b'\n', b'\r'] {
            if self.line.last() == Some(&end) {
                self.line.pop();
            }
        }
        Ok(count > 0)
    }

    /// The next line as one number; `None` where only empty lines follow.
    pub(super) fn number_on_next<T: FromStr>(&mut self, what: &str) -> Result<Option<T>, DataError> {
        let Some(line) = self.next()? else { return Ok(None) };
        if let Ok(number) = line.trim().parse() {
            return Ok(Some(number));
        }
        let found = shortened(line);
        Err(self.wrong(format!("expected {what} alone on the line, found {found:?}")))
    }
}

/// The part of `text` that an error quotes: at most 40 characters.
pub(super) fn shortened(text: &str) -> String {
    let mut characters = text.trim().chars();
    let start: String = characters.by_ref().take(40).collect();
    if characters.next().is_some() { format!("{start}…") } else { start }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8]) -> (Vec<String>, Option<String>) {
        let mut lines = LineReader::new(bytes, PathBuf::from("x.txt"));
        let mut read = Vec::new();
        loop {
            match lines.next() {
                Ok(Some(line)) => read.push(line.to_owned()),
                Ok(None) => return (read, None),
                Err(error) => return (read, Some(error.to_string())),
            }
        }
    }

    #[test]
    fn line_ends_may_be_mixed_and_empty_lines_stand_at_the_end() {
        let (read, error) = lines(b"1, 2\r\n3\n 4\r\n\n \r\n");
        assert_eq!((read, error), (vec!["1, 2".to_owned(), "3".to_owned(), " 4".to_owned()], None));
        assert_eq!(lines(b"1\n2").0.len(), 2);
    }

    #[test]
    fn what_is_no_line_is_an_error_with_its_number() {
        for (bytes, wanted) in [
            (&b"1\n\n\n2\n"[..], "x.txt, line 2: the line is empty, and the file goes on after it"),
            (b"1\n2\r3\n", "x.txt, line 2: the line contains a carriage return"),
            (b"1\n2\n\xff\n", "x.txt, line 3: the line is not UTF-8 text"),
        ] {
            let error = lines(bytes).1.unwrap();
            assert!(error.starts_with(wanted), "{error}");
        }
        let endless = vec![b'1'; MAX_LINE as usize + 2];
        assert!(lines(&endless).1.unwrap().starts_with("x.txt, line 1: the line is longer than"));
    }
}
