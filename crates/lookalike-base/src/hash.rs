//! SHA-256 over named, typed parts: checksums of files, and fingerprints by which two processes know that they hold the same.
//!
//! Every text is preceded by its length and every list by its count, so that different contents never hash the same bytes.

use std::io;

use sha2::{Digest, Sha256};

/// SHA-256 in the making.
#[derive(Debug, Clone, Default)]
pub struct Hasher(Sha256);

impl Hasher {
    /// Nothing hashed yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a text, behind its length in bytes.
    pub fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.update(text);
    }

    /// Adds a number.
    pub fn number(&mut self, number: u64) {
        self.0.update(number.to_le_bytes());
    }

    /// Adds bytes as they are. Their number must be known from what was added before.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Adds little-endian numbers, behind their count.
    pub fn numbers<const SIZE: usize>(&mut self, numbers: impl ExactSizeIterator<Item = [u8; SIZE]>) {
        self.number(numbers.len() as u64);
        // In blocks: a call a number would take longer than the hash.
        let mut block = Vec::with_capacity(1 << 12);
        for number in numbers {
            block.extend_from_slice(&number);
            if block.len() + SIZE > 1 << 12 {
                self.0.update(&block);
                block.clear();
            }
        }
        self.0.update(&block);
    }

    /// All 256 bits, as 64 hexadecimal digits.
    pub fn hex(self) -> String {
        let digits: Vec<String> = self.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        digits.concat()
    }

    /// The first 64 bits: two different contents share them with a chance of 2⁻⁶⁴.
    pub fn short(self) -> u64 {
        let digest = self.0.finalize();
        digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

impl io::Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_sha_256_of_the_bytes_in_their_order() {
        let mut hasher = Hasher::new();
        hasher.bytes(b"abc");
        // FIPS 180-2, appendix B.1.
        assert_eq!(hasher.clone().hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(hasher.short(), 0xba78_16bf_8f01_cfea);
    }

    #[test]
    fn a_text_is_not_the_sum_of_its_parts_and_numbers_in_blocks_are_numbers() {
        let of = |texts: &[&str]| {
            let mut hasher = Hasher::new();
            for text in texts {
                hasher.text(text);
            }
            hasher.hex()
        };
        assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
        let (mut blocks, mut single) = (Hasher::new(), Hasher::new());
        blocks.numbers((0..5000_u32).map(u32::to_le_bytes));
        single.number(5000);
        for number in 0..5000_u32 {
            single.bytes(&number.to_le_bytes());
        }
        assert_eq!(blocks.hex(), single.hex());
    }
}
