//! The lines of a text file, with their numbers for errors.

use crate::error::DataError;
use std::io::{BufRead, Read};
use std::path::PathBuf;

/// What some editors begin a file with.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Longest line, in bytes. The longest of the published files has some ten thousand.
const MAX_LINE: u64 = 1 << 24;

/// Reads a file line by line. Lines end in LF or CR LF, in any mixture; empty lines may stand only at the
/// end. A byte order mark is passed over.
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
        self.wrong_at(self.number.max(1), problem)
    }

    /// The error that something is wrong with `line`.
    pub(super) fn wrong_at(&self, line: u64, problem: impl Into<String>) -> DataError {
        DataError::Line { path: self.path.clone(), line, problem: problem.into() }
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
            return Err(self.wrong_at(line, "the line is empty, and the file goes on after it"));
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
        if self.number == 1 {
            if self.line.starts_with(b"\xff\xfe") || self.line.starts_with(b"\xfe\xff") {
                return Err(self.wrong("the file is UTF-16 text; save it as UTF-8"));
            }
            if self.line.starts_with(BYTE_ORDER_MARK) {
                self.line.drain(..BYTE_ORDER_MARK.len());
            }
        }
        for end in [b'\n', b'\r'] {
            if self.line.last() == Some(&end) {
                self.line.pop();
            }
        }
        Ok(count > 0)
    }

    /// The next line as one whole number; `None` where only empty lines follow.
    pub(super) fn number_on_next<T: TryFrom<i64>>(&mut self, what: &str) -> Result<Option<T>, DataError> {
        let Some(line) = self.next()? else { return Ok(None) };
        let number = whole(line.trim().strip_suffix(',').unwrap_or(line));
        if let Some(number) = number.and_then(|number| T::try_from(number).ok()) {
            return Ok(Some(number));
        }
        let found = shortened(line);
        Err(self.wrong(format!("expected {what} alone on the line, found {found:?}")))
    }
}

/// The fields of a line with commas between them; one may stand at its end.
pub(super) fn fields(line: &str) -> impl Iterator<Item = &str> {
    let line = line.trim();
    line.strip_suffix(',').unwrap_or(line).split(',').map(str::trim)
}

/// The whole number that `text` is, also where it is written as a decimal one, as NumPy's `savetxt` does: `3.0` is 3.
pub(super) fn whole(text: &str) -> Option<i64> {
    /// 2⁵³, above which not every whole number is a decimal one of 64 bits.
    const MOST: f64 = 9_007_199_254_740_992.0;
    let text = text.trim();
    let decimal =
        |text: &str| text.parse().ok().filter(|value: &f64| value.fract() == 0.0 && value.abs() < MOST);
    text.parse().ok().or_else(|| decimal(text).map(|value| value as i64))
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
    fn a_byte_order_mark_is_passed_over_and_another_encoding_named() {
        assert_eq!(lines(b"\xef\xbb\xbf1, 2\n\xef\xbb\xbf3\n").0, ["1, 2", "\u{feff}3"]);
        assert_eq!(lines(b"\xef\xbb\xbf"), (Vec::new(), None));
        for bytes in [&b"\xff\xfe1\0\n\0"[..], b"\xfe\xff\01\0\n"] {
            assert_eq!(lines(bytes).1.unwrap(), "x.txt, line 1: the file is UTF-16 text; save it as UTF-8");
        }
    }

    #[test]
    fn a_whole_number_may_be_written_as_a_decimal_one() {
        for (text, number) in
            [("0.0", 0), (" -3", -3), ("1.000000000000000000e+01", 10), ("-0.0", 0), ("7.", 7)]
        {
            assert_eq!(whole(text), Some(number), "{text}");
        }
        for text in ["0.5", "", "x", "nan", "inf", "1e300", "9007199254740993.0", "1 2"] {
            assert_eq!(whole(text), None, "{text}");
        }
        assert_eq!(whole("9007199254740993"), Some(9_007_199_254_740_993));
    }

    #[test]
    fn a_comma_at_the_end_of_a_line_ends_no_further_field() {
        assert_eq!(fields(" 1, 2 ,").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(fields("1,,").collect::<Vec<_>>(), ["1", ""]);
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
