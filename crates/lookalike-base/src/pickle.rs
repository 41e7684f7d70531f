//! Arrays of NumPy in Python's pickle format, protocol 2
//! (<https://github.com/python/cpython/blob/main/Lib/pickletools.py>): written, never read.
//!
//! Arrays are rebuilt by `numpy.core.multiarray._reconstruct`. NumPy 2 moved that module and keeps the old name for pickles; NumPy
//! before 1.26 knows the old name alone. Protocol 2 has no strings of bytes, so these are text in Latin-1, as Python 3 writes them
//! itself: they come back whatever `encoding` a reader asks for.

use std::io::{self, ErrorKind, Write};

use crate::arrays::{Array, Values};
use crate::bytes::encode_values;

/// What is written.
#[derive(Debug, Clone)]
pub enum Object<'a> {
    /// Text.
    Text(&'a str),
    /// `True` or `False`.
    Flag(bool),
    /// A NumPy array, in rows.
    Array(&'a Array),
    /// A dictionary with names as its keys, in this order.
    Dict(Vec<(&'a str, Self)>),
}

/// Writes `object` as a pickle.
///
/// # Errors
/// Whatever `writer` returns; [`ErrorKind::InvalidInput`] for a text or an array of 4 GiB or more, and for a size beyond 31 bits, which
/// the protocol has no instructions for.
pub fn write(object: &Object<'_>, writer: &mut dyn Write) -> io::Result<()> {
    writer.write_all(b"\x80\x02")?;
    write_object(object, writer)?;
    writer.write_all(b".")
}

fn write_object(object: &Object<'_>, writer: &mut dyn Write) -> io::Result<()> {
    match object {
        Object::Text(text) => write_text(text, writer),
        Object::Flag(flag) => writer.write_all(if *flag { b"\x88" } else { b"\x89" }),
        Object::Array(array) => write_array(array, writer),
        Object::Dict(entries) => {
            writer.write_all(b"}(")?;
            for (name, value) in entries {
                write_text(name, writer)?;
                write_object(value, writer)?;
            }
            writer.write_all(b"u")
        }
    }
}

fn write_text(text: &str, writer: &mut dyn Write) -> io::Result<()> {
    write_text_length(text.len() as u64, writer)?;
    writer.write_all(text.as_bytes())
}

fn write_text_length(length: u64, writer: &mut dyn Write) -> io::Result<()> {
    let length = u32::try_from(length).map_err(|_| {
        io::Error::new(ErrorKind::InvalidInput, "a pickle of protocol 2 holds no text of 4 GiB")
    })?;
    writer.write_all(b"X")?;
    writer.write_all(&length.to_le_bytes())
}

/// Writes what makes bytes of the text that `write` writes.
fn write_bytes(write: impl Fn(&mut dyn Write) -> io::Result<()>, writer: &mut dyn Write) -> io::Result<()> {
    let mut counted = Latin1 { inner: io::sink(), bytes: 0 };
    write(&mut counted)?;
    writer.write_all(b"c_codecs\nencode\n")?;
    write_text_length(counted.bytes, writer)?;
    write(&mut Latin1 { inner: &mut *writer, bytes: 0 })?;
    write_text("latin1", writer)?;
    writer.write_all(b"\x86R")
}

fn write_array(Array { shape, values }: &Array, writer: &mut dyn Write) -> io::Result<()> {
    writer.write_all(b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85")?;
    write_bytes(|out| out.write_all(b"b"), writer)?;
    // The state: a version, shape, type, whether columns come first, and the numbers.
    writer.write_all(b"\x87R(K\x01(")?;
    for extent in shape {
        let extent = i32::try_from(*extent)
            .map_err(|_| io::Error::new(ErrorKind::InvalidInput, "an array is too long for a pickle"))?;
        writer.write_all(b"J")?;
        writer.write_all(&extent.to_le_bytes())?;
    }
    writer.write_all(b"tcnumpy\ndtype\n")?;
    let (kind, order) = match values {
        Values::F32(_) => ("f4", "<"),
        Values::I64(_) => ("i8", "<"),
        Values::U64(_) => ("u8", "<"),
        Values::U32(_) => ("u4", "<"),
        Values::U8(_) => ("u1", "|"),
    };
    write_text(kind, writer)?;
    writer.write_all(b"\x89\x88\x87R(K\x03")?;
    write_text(order, writer)?;
    // No fields, and sizes that follow from the type.
    writer.write_all(b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89")?;
    write_bytes(|out| encode_values(values, out), writer)?;
    writer.write_all(b"tb")
}

/// Bytes as text in Latin-1, which is written in UTF-8: those from 128 on take two.
struct Latin1<W> {
    inner: W,
    bytes: u64,
}

impl<W: Write> Write for Latin1<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut text = Vec::with_capacity(2 * bytes.len());
        for byte in bytes {
            match byte {
                0..=0x7f => text.push(*byte),
                _ => text.extend([0xc0 | byte >> 6, 0x80 | byte & 0x3f]),
            }
        }
        self.inner.write_all(&text)?;
        self.bytes += text.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes that Python's `pickle.dumps({"a": True, "b": "é"}, 2)` reads back; it numbers texts, which is left out here.
    #[test]
    fn texts_and_flags_stand_in_a_dictionary_in_their_order() {
        let mut bytes = Vec::new();
        let object = Object::Dict(vec![("a", Object::Flag(true)), ("b", Object::Text("é"))]);
        write(&object, &mut bytes).unwrap();
        assert_eq!(bytes, b"\x80\x02}(X\x01\0\0\0a\x88X\x01\0\0\0bX\x02\0\0\0\xc3\xa9u.");
    }

    #[test]
    fn bytes_from_128_on_take_two_and_are_counted() {
        let mut bytes = Vec::new();
        write_bytes(|out| out.write_all(&[0x7f, 0x80, 0xff]), &mut bytes).unwrap();
        assert_eq!(bytes, b"c_codecs\nencode\nX\x05\0\0\0\x7f\xc2\x80\xc3\xbfX\x06\0\0\0latin1\x86R");
    }

    #[test]
    fn a_size_without_an_instruction_is_refused() {
        let array = Array { shape: vec![1 << 31, 0], values: Values::U8(Vec::new()) };
        let error = write(&Object::Array(&array), &mut io::sink()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
}
