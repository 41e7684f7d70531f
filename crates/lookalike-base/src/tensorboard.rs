//! TensorBoard's event file: records of protocol-buffer `Event` messages, framed as `TFRecord`s.
//!
//! A record is the length (u64, little endian), the masked CRC-32C of those 8 bytes, the message, and its masked CRC-32C.

use std::io::{self, Write};

/// The beginning of the names of such files, by which TensorBoard finds them.
pub const PREFIX: &str = "events.out.tfevents.";

/// Events for TensorBoard, written one by one.
#[derive(Debug)]
pub struct TensorBoard<W: Write> {
    out: W,
}

impl<W: Write> TensorBoard<W> {
    /// Begins a file.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn begin(out: W) -> io::Result<Self> {
        let mut board = Self { out };
        // Event { wall_time = 1, file_version = 3 }
        let mut message = field_f64(1, 0.0);
        message.extend(field_bytes(3, b"brain.Event:2"));
        board.write(&message)?;
        Ok(board)
    }

    /// Writes one number. `time` counts seconds since 1970.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn scalar(&mut self, tag: &str, step: u64, time: f64, value: f32) -> io::Result<()> {
        // Value { simple_value = 2 }
        let mut number = vec![2 << 3 | 5];
        number.extend(value.to_le_bytes());
        self.value(tag, step, time, &number)
    }

    /// Writes a picture: the bytes of a JPEG or PNG file of colours, and its width and height in pixels.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn image(
        &mut self,
        tag: &str,
        step: u64,
        time: f64,
        file: &[u8],
        [width, height]: [u32; 2],
    ) -> io::Result<()> {
        // Value { image = 4 { height = 1, width = 2, colorspace = 3, encoded_image_string = 4 } }; 3 is red, green and blue.
        let mut image = Vec::new();
        for (number, value) in [(1_u8, height), (2, width), (3, 3)] {
            image.push(number << 3);
            image.extend(varint(u64::from(value)));
        }
        image.extend(field_bytes(4, file));
        self.value(tag, step, time, &field_bytes(4, &image))
    }

    fn value(&mut self, tag: &str, step: u64, time: f64, content: &[u8]) -> io::Result<()> {
        // Event { wall_time = 1, step = 2, summary = 5 { value = 1 { tag = 1, … } } }
        let value = [&field_bytes(1, tag.as_bytes()), content].concat();
        let mut message = field_f64(1, time);
        message.push(2 << 3);
        message.extend(varint(step));
        message.extend(field_bytes(5, &field_bytes(1, &value)));
        self.write(&message)
    }

    fn write(&mut self, message: &[u8]) -> io::Result<()> {
        self.out.write_all(&record(message)).and_then(|()| self.out.flush())
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

/// CRC-32 with Castagnoli's polynomial.
fn crc32c(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 256] = {
        let (mut table, mut byte) = ([0; 256], 0);
        while byte < 256 {
            let (mut crc, mut bit) = (byte as u32, 0);
            while bit < 8 {
                crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
                bit += 1;
            }
            table[byte] = crc;
            byte += 1;
        }
        table
    };
    !bytes.iter().fold(!0_u32, |crc, byte| crc >> 8 ^ TABLE[(crc as u8 ^ byte) as usize])
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
