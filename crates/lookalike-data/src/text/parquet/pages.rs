//! What the pages of a Parquet file claim to be, before anything is allocated by it.
//!
//! A column's values lie in pages, each behind a header whose second and third field are the sizes of the page before and after it was
//! compressed (parquet-format, `PageHeader`). The crate `parquet` allocates as many bytes as the header says, and takes as many steps as a
//! list in the file's own description says that it has members.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};

use ::parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};

use super::thrift::{pass_structure, sizes};

/// Bytes that every page may have.
const FREE: u64 = 1 << 26;
/// Bytes that a larger page may have for each byte in the file; gzip makes 1032 of one at most.
const MOST: u64 = 1 << 10;
/// Bytes behind the description of a file: its length and the letters `PAR1`.
const TAIL: u64 = 8;

/// Checks that the description at the end of the file is whole: each of its lists has as many members as it says.
///
/// # Errors
/// What is wrong with it.
pub(super) fn check_description(mut file: &File) -> Result<(), String> {
    let told = |error: std::io::Error| error.to_string();
    let length = file.seek(SeekFrom::End(0)).map_err(told)?;
    let Some(end) = length.checked_sub(TAIL) else { return Err("it is too short".to_owned()) };
    file.seek(SeekFrom::Start(end)).map_err(told)?;
    let mut tail = [0; 4];
    file.read_exact(&mut tail).map_err(told)?;
    let own = u64::from(u32::from_le_bytes(tail));
    let Some(first) = end.checked_sub(own) else {
        return Err(format!("its description claims {own} bytes, more than the file has"));
    };
    file.seek(SeekFrom::Start(first)).map_err(told)?;
    pass_structure(&mut BufReader::new(file.take(own))).map_err(|error| format!("its description: {error}"))
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_no_larger_than_what_it_is_packed_into_allows() {
        assert!(plausible([1 << 26, 10], 10).is_ok());
        assert!(plausible([1 << 30, 1 << 20], 1 << 21).is_ok());
        let error = plausible([1_476_395_014, 300], 500).unwrap_err();
        assert_eq!(error, "claims to be 1476395014 bytes, packed into 300");
        assert_eq!(plausible([20, 11], 10).unwrap_err(), "claims 11 bytes of the 10 that are left");
    }
}
