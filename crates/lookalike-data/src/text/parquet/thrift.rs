//! Structures in Thrift's compact protocol: passed over, and the sizes of a page read.

use std::io::{self, Read};

/// Structures and lists within each other at most; the description of a file has about ten.
const DEPTH: usize = 20;

/// The sizes of a page, unpacked and packed, by its header.
pub(super) fn sizes(header: &mut impl Read) -> io::Result<[u64; 2]> {
    let (mut field, mut found) = (0_i64, [None; 2]);
    loop {
        let (own, kind) = (byte(header)?, |own: u8| own & 0x0f);
        if own == 0 {
            break;
        }
        field = match own >> 4 {
            0 => zigzag(varint(header)?),
            delta => field + i64::from(delta),
        };
        match (field, kind(own)) {
            (2 | 3, INTEGER) => {
                let size = u64::try_from(zigzag(varint(header)?));
                found[usize::from(field == 3)] = Some(size.map_err(|_| damaged("a size is below 0"))?);
            }
            (_, kind) => skip(header, kind, DEPTH)?,
        }
    }
    match found {
        [Some(unpacked), Some(packed)] => Ok([unpacked, packed]),
        _ => Err(damaged("it has no sizes")),
    }
}

/// Passes a structure.
pub(super) fn pass_structure(structure: &mut impl Read) -> io::Result<()> {
    skip(structure, STRUCTURE, DEPTH)
}

const INTEGER: u8 = 5;
const STRUCTURE: u8 = 12;

/// Passes a value of that kind, which is a field of a structure.
fn skip(header: &mut impl Read, kind: u8, depth: usize) -> io::Result<()> {
    let depth = depth.checked_sub(1).ok_or_else(|| damaged("it is too deep"))?;
    match kind {
        // Booleans are their kind.
        1 | 2 => Ok(()),
        3 => pass(header, 1),
        4..=6 => varint(header).map(|_| ()),
        7 => pass(header, 8),
        8 => {
            let length = varint(header)?;
            pass(header, length)
        }
        9 | 10 => {
            let own = byte(header)?;
            let count = if own >> 4 == 15 { varint(header)? } else { u64::from(own >> 4) };
            (0..count).try_for_each(|_| element(header, own & 0x0f, depth))
        }
        11 => {
            let count = varint(header)?;
            let kinds = if count == 0 { 0 } else { byte(header)? };
            (0..count).try_for_each(|_| {
                element(header, kinds >> 4, depth)?;
                element(header, kinds & 0x0f, depth)
            })
        }
        STRUCTURE => loop {
            let own = byte(header)?;
            if own == 0 {
                return Ok(());
            }
            if own >> 4 == 0 {
                varint(header)?;
            }
            skip(header, own & 0x0f, depth)?;
        },
        13 => pass(header, 16),
        _ => Err(damaged("it has a field of no known kind")),
    }
}

/// Passes an element of a list, in which booleans have a byte: so no list has more members than bytes.
fn element(header: &mut impl Read, kind: u8, depth: usize) -> io::Result<()> {
    if kind <= 2 { pass(header, 1) } else { skip(header, kind, depth) }
}

fn pass(header: &mut impl Read, count: u64) -> io::Result<()> {
    let passed = io::copy(&mut header.by_ref().take(count), &mut io::sink())?;
    if passed == count { Ok(()) } else { Err(damaged("it is cut off")) }
}

fn byte(header: &mut impl Read) -> io::Result<u8> {
    let mut own = [0];
    header.read_exact(&mut own).map_err(|_| damaged("it is cut off"))?;
    Ok(own[0])
}

fn varint(header: &mut impl Read) -> io::Result<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let own = byte(header)?;
        value |= u64::from(own & 0x7f) << shift;
        if own < 0x80 {
            return Ok(value);
        }
    }
    Err(damaged("a number in it has no end"))
}

fn zigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

fn damaged(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header with these sizes behind a kind of page, and a structure with a text, a list of flags and a structure in it.
    fn header(unpacked: i32, packed: i32) -> Vec<u8> {
        fn number(value: i32) -> Vec<u8> {
            let mut left = ((value << 1) ^ (value >> 31)) as u32;
            let mut bytes = Vec::new();
            while left >= 0x80 {
                bytes.push(left as u8 | 0x80);
                left >>= 7;
            }
            bytes.push(left as u8);
            bytes
        }
        let structure = [0x2c, 0x18, 2, b'a', b'b', 0x19, 0x31, 1, 2, 1, 0x1c, 0x15, 4, 0, 0];
        [&[0x15][..], &number(0), &[0x15], &number(unpacked), &[0x15], &number(packed), &structure, &[0]]
            .concat()
    }

    #[test]
    fn sizes_are_read_and_all_else_is_passed() {
        for (unpacked, packed) in [(0, 0), (100, 64), (i32::MAX, 1 << 20)] {
            let mut bytes = &header(unpacked, packed)[..];
            assert_eq!(sizes(&mut bytes).unwrap(), [unpacked as u64, packed as u64]);
            assert!(bytes.is_empty());
        }
    }

    #[test]
    fn a_damaged_header_is_no_panic_and_no_loop() {
        let whole = header(100, 64);
        for length in 0..whole.len() {
            assert!(sizes(&mut &whole[..length]).is_err(), "{length}");
        }
        assert!(sizes(&mut &header(-1, 64)[..]).is_err());
        // A list of 2⁶⁰ flags, and structures without end.
        let list = [&[0x19, 0xf1][..], &[0xff; 8], &[0x0f]].concat();
        assert!(sizes(&mut &list[..]).is_err());
        assert!(sizes(&mut &[0x1c; 40][..]).is_err());
    }
}
