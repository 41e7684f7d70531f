//! TensorBoard's event file: records of protocol-buffer `Event` messages, framed as `TFRecord`s.
//!
//! A record is the length (u64, little endian), the masked CRC-32C of those 8 bytes, the message, and its masked CRC-32C.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::error::LearnError;

/// The file's name; one run has one, rewritten from `events.jsonl` on resume.
pub(crate) const FILE: &str = "events.out.tfevents.lookalike";

/// A TensorBoard file of scalars, open for writing.
#[derive(Debug)]
pub struct TensorBoard {
    path: PathBuf,
    file: BufWriter<File>,
}

impl TensorBoard {
    /// Creates the file in `folder`, in place of an older one.
    ///
    /// # Errors
    /// [`LearnError::Io`] where it cannot be written.
    pub fn create(folder: &Path) -> Result<Self, LearnError> {
        let path = folder.join(FILE);
        let file = File::create(&path).map_err(|source| LearnError::Io { path: path.clone(), source })?;
        let mut board = Self { path, file: BufWriter::new(file) };
        // Event { wall_time = 1, file_version = 3 }
        let mut message = field_f64(1, 0.0);
        message.extend(field_bytes(3, b"brain.Event:2"));
        board.write(&message)?;
        Ok(board)
    }

    /// Writes one number.
    ///
    /// # Errors
    /// [`LearnError::Io`] where it cannot be written.
    pub fn scalar(&mut self, tag: &str, step: u64, time: f64, value: f32) -> Result<(), LearnError> {
        // Event { wall_time = 1, step = 2, summary = 5 { value = 1 { tag = 1, simple_value = 2 } } }
        let mut number = field_bytes(1, tag.as_bytes());
        number.push(2 << 3 | 5);
        number.extend(value.to_le_bytes());
        let mut message = field_f64(1, time);
        message.push(2 << 3);
        message.extend(varint(step));
        message.extend(field_bytes(5, &field_bytes(1, &number)));
        self.write(&message)
    }

    fn write(&mut self, message: &[u8]) -> Result<(), LearnError> {
        self.file
            .write_all(&record(message))
            .and_then(|()| self.file.flush())
            .map_err(|source| LearnError::Io { path: self.path.clone(), source })
    }
}

fn record(message: &[u8]) -> Vec<u8> {
    let length = (message.len() as u64).to_le_bytes();
    [&length[..], &masked_crc(&length).to_le_bytes(), message, &masked_crc(message).to_le_bytes()].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn field_bytes(number: u8, bytes: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2], &varint(bytes.len() as u64)[..], bytes].concat()
}

fn field_f64(number: u8, value: f64) -> Vec<u8> {
    [&[number << 3 | 1], &value.to_le_bytes()[..]].concat()
}

fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32 with Castagnoli's polynomial, bit by bit: a few hundred bytes a step do not need a table.
fn crc32c(bytes: &[u8]) -> u32 {
    let shift = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), shift))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_castagnolis() {
        // RFC 3720, B.4
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn long_numbers_take_several_bytes() {
        assert_eq!(varint(0), [0]);
        assert_eq!(varint(300), [0xac, 0x02]);
    }
}
