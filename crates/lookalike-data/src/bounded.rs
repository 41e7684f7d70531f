//! Reading files without trusting what they say of their size.

use crate::error::DataError;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The whole of a file of at most `limit` bytes.
///
/// # Errors
/// Whatever keeps it from being read; [`DataError::Format`] where it is longer.
pub(crate) fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>, DataError> {
    let file = File::open(path).map_err(DataError::io("open", path))?;
    let len = file.metadata().map_err(DataError::io("read", path))?.len();
    let mut bytes = Vec::with_capacity(len.min(limit) as usize);
    // A pipe or a device has a length of 0, and a file may grow: what counts is what comes.
    file.take(limit + 1).read_to_end(&mut bytes).map_err(DataError::io("read", path))?;
    if bytes.len() as u64 > limit {
        let problem = format!("the file goes on, and at most {limit} bytes can belong here");
        return Err(DataError::Format { path: path.into(), byte: limit, problem });
    }
    Ok(bytes)
}

/// A reader that counts what it gives, and fails rather than give more than a limit: what stands between a small
/// compressed file and all of the memory.
pub(crate) struct Bounded<R> {
    inner: R,
    given: u64,
    limit: u64,
}

impl<R> Bounded<R> {
    pub(crate) fn new(inner: R, limit: u64) -> Self {
        Self { inner, given: 0, limit }
    }

    /// Bytes given so far.
    pub(crate) fn given(&self) -> u64 {
        self.given
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.given += count as u64;
        if self.given > self.limit {
            let problem = format!("unpacks to more than {} bytes, which is the limit", self.limit);
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_the_limit_and_refused_beyond_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), [7; 10]).unwrap();
        assert_eq!(read_file(file.path(), 10).unwrap(), [7; 10]);
        let message = read_file(file.path(), 9).unwrap_err().to_string();
        assert!(
            message.ends_with("byte 9: the file goes on, and at most 9 bytes can belong here"),
            "{message}"
        );
    }

    #[test]
    fn a_bounded_reader_counts_and_stops() {
        let mut bytes = Vec::new();
        let mut reader = Bounded::new(&[1_u8; 10][..], 10);
        reader.read_to_end(&mut bytes).unwrap();
        assert_eq!((reader.given(), bytes.len()), (10, 10));
        assert!(Bounded::new(io::repeat(0), 1000).read_to_end(&mut bytes).is_err());
    }
}
