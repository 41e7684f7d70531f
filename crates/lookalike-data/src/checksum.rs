//! SHA-256 sums of files and of what is read piece by piece.

use sha2::{Digest, Sha256};

/// A SHA-256 sum of bytes that come one piece after another.
#[derive(Clone, Default)]
pub(crate) struct Checksum(Sha256);

impl Checksum {
    pub(crate) fn update(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.update(bytes);
    }

    /// The sum of all bytes so far, as 64 lower-case hexadecimal digits.
    pub(crate) fn hexadecimal(&self) -> String {
        let digit = |half: u8| char::from(b"0123456789abcdef"[usize::from(half)]);
        self.0.clone().finalize().iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
    }
}

#[cfg(feature = "images")]
impl Checksum {
    const CHUNK: usize = 1 << 16;

    /// Adds everything that `reader` gives, and tells `report` the length of each piece.
    pub(crate) fn read(
        &mut self,
        reader: &mut impl std::io::Read,
        mut report: impl FnMut(usize),
    ) -> std::io::Result<()> {
        let mut chunk = vec![0; Self::CHUNK];
        loop {
            match reader.read(&mut chunk) {
                Ok(0) => return Ok(()),
                Ok(count) => {
                    self.update(&chunk[..count]);
                    report(count);
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The sum of the file at `path`.
    ///
    /// # Errors
    /// [`DataError::Io`](crate::DataError::Io) where it cannot be read.
    pub(crate) fn of_file(
        path: &std::path::Path,
        report: impl FnMut(usize),
    ) -> Result<String, crate::DataError> {
        let mut sum = Self::default();
        std::fs::File::open(path)
            .and_then(|mut file| sum.read(&mut file, report))
            .map_err(crate::DataError::io("read", path))?;
        Ok(sum.hexadecimal())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_that_of_the_standard_s_example() {
        // FIPS 180-2, appendix B.1.
        let mut sum = Checksum::default();
        sum.update("a");
        sum.update("bc");
        assert_eq!(sum.hexadecimal(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
