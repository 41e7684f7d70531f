//! Reading files whose size cannot be trusted.

use crate::error::DataError;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// All bytes of a file of at most `limit` bytes.
///
/// # Errors
/// [`DataError::Io`] where it cannot be read, [`DataError::Format`] where it is longer.
pub(crate) fn read_file(path: &Path, limit: u64) -> Result<Vec<u8>, DataError> {
    let file = File::open(path).map_err(DataError::io("open", path))?;
    let len = file.metadata().map_err(DataError::io("read", path))?.len();
    let mut bytes = Vec::with_capacity(len.min(limit) as usize);
    // A pipe or a device has the length 0, and a file may grow, so the bytes are counted as they are read.
    file.take(limit + 1).read_to_end(&mut bytes).map_err(DataError::io("read", path))?;
    if bytes.len() as u64 > limit {
        let problem = format!("the file is longer than {limit} bytes, the limit");
        return Err(DataError::Format { path: path.into(), byte: limit, problem });
    }
    Ok(bytes)
}

/// A reader that counts its bytes and fails beyond a limit, so that a small compressed file cannot fill the
/// memory.
pub(crate) struct Bounded<R> {
    inner: R,
    count: u64,
    limit: u64,
}

impl<R> Bounded<R> {
    pub(crate) fn new(inner: R, limit: u64) -> Self {
        Self { inner, count: 0, limit }
    }

    /// Bytes read so far.
    #[cfg(feature = "images")]
    pub(crate) fn count(&self) -> u64 {
        self.count
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.count += count as u64;
        if self.count > self.limit {
            let problem = format!("unpacks to more than {} bytes, the limit", self.limit);
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
        assert!(message.ends_with("byte 9: the file is longer than 9 bytes, the limit"), "{message}");
    }

    #[test]
    fn a_bounded_reader_counts_and_stops() {
        let mut bytes = Vec::new();
        let mut reader = Bounded::new(&[1_u8; 10][..], 10);
        reader.read_to_end(&mut bytes).unwrap();
        assert_eq!((reader.count, bytes.len()), (10, 10));
        assert!(Bounded::new(io::repeat(0), 1000).read_to_end(&mut bytes).is_err());
    }
}
