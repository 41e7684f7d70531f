//! What the pages of a Parquet file claim to be, before anything is allocated by it.
//!
//! A column's values lie in pages, each behind a header in Thrift's compact protocol, whose second and third field are the sizes of the page
//! before and after it was compressed (parquet-format, `PageHeader`). The crate `parquet` allocates as many bytes as the header says.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use ::parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};

/// Bytes that every page may have.
const FREE: u64 = 1 << 26;
/// Bytes that a larger page may have for each byte in the file; gzip makes 1032 of one at most.
const MOST: u64 = 1 << 10;
/// Structures within structures at most; headers have three.
const DEPTH: usize = 8;

/// Checks all pages of the columns that `is_read` names.
///
/// # Errors
/// Which column's page claims more than it can be, or where a header is damaged.
pub(super) fn check(
    file: &File,
    metadata: &ParquetMetaData,
    is_read: impl Fn(&str) -> bool,
) -> Result<(), String> {
    let length = file.metadata().map_err(|error| error.to_string())?.len();
    let mut file = BufReader::new(file);
    for group in metadata.row_groups() {
        for column in group.columns() {
            let path = column.column_path();
            if path.parts().first().is_some_and(|root| is_read(root)) {
                column_pages(&mut file, column, length)
                    .map_err(|problem| format!("column `{}`: {problem}", path.string()))?;
            }
        }
    }
    Ok(())
}

fn column_pages(
    file: &mut BufReader<&File>,
    column: &ColumnChunkMetaData,
    length: u64,
) -> Result<(), String> {
    let first = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
    let range = u64::try_from(first).ok().zip(u64::try_from(column.compressed_size()).ok());
    let end = range.and_then(|(first, size)| first.checked_add(size)).filter(|end| *end <= length);
    let (Some((mut at, _)), Some(end)) = (range, end) else {
        return Err("it lies outside the file".to_owned());
    };
    while at < end {
        file.seek(SeekFrom::Start(at)).map_err(|error| error.to_string())?;
        let mut header = file.by_ref().take(end - at);
        let [unpacked, packed] =
            sizes(&mut header).map_err(|error| format!("the page at byte {at}: {error}"))?;
        let begin = end - header.limit();
        plausible([unpacked, packed], end - begin)
            .map_err(|problem| format!("the page at byte {at} {problem}"))?;
        at = begin + packed;
    }
    Ok(())
}

/// Refuses a page of more bytes than can have been packed into so few, or than `left` there are.
fn plausible([unpacked, packed]: [u64; 2], left: u64) -> Result<(), String> {
    if packed > left {
        return Err(format!("claims {packed} bytes of the {left} that are left"));
    }
    if unpacked > FREE && unpacked / MOST > packed {
        return Err(format!("claims to be {unpacked} bytes, packed into {packed}"));
    }
    Ok(())
}

/// The sizes of a page, unpacked and packed, by its header.
fn sizes(header: &mut impl Read) -> io::Result<[u64; 2]> {
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
        _ => Err(damaged("its header has no sizes")),
    }
}

const INTEGER: u8 = 5;

/// Passes a value of that kind, which is a field of a structure.
fn skip(header: &mut impl Read, kind: u8, depth: usize) -> io::Result<()> {
    let depth = depth.checked_sub(1).ok_or_else(|| damaged("its header is too deep"))?;
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
        12 => loop {
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
        _ => Err(damaged("its header has a field of no known kind")),
    }
}

/// Passes an element of a list, in which booleans have a byte.
fn element(header: &mut impl Read, kind: u8, depth: usize) -> io::Result<()> {
    if kind <= 2 { pass(header, 1) } else { skip(header, kind, depth) }
}

fn pass(header: &mut impl Read, count: u64) -> io::Result<()> {
    let passed = io::copy(&mut header.by_ref().take(count), &mut io::sink())?;
    if passed == count { Ok(()) } else { Err(damaged("its header is cut off")) }
}

fn byte(header: &mut impl Read) -> io::Result<u8> {
    let mut own = [0];
    header.read_exact(&mut own).map_err(|_| damaged("its header is cut off"))?;
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
    Err(damaged("a number in its header has no end"))
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
    fn a_page_is_no_larger_than_what_it_is_packed_into_allows() {
        assert!(plausible([1 << 26, 10], 10).is_ok());
        assert!(plausible([1 << 30, 1 << 20], 1 << 21).is_ok());
        let error = plausible([1_476_395_014, 300], 500).unwrap_err();
        assert_eq!(error, "claims to be 1476395014 bytes, packed into 300");
        assert_eq!(plausible([20, 11], 10).unwrap_err(), "claims 11 bytes of the 10 that are left");
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
