//! Files of other formats, known by their first bytes, so that a message can say what a file is and what to do about it.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::error::ArrayFileError;

/// How many of the first bytes tell.
pub(crate) const TELLING: usize = 512;

/// What begins so, and how embeddings come out of it.
const KNOWN: [(&[u8], &str, &str); 11] = [
    (
        b"PAR1",
        "a Parquet file",
        "read its column of vectors with pyarrow.parquet.read_table and save it as a matrix with numpy.save",
    ),
    (
        b"ARROW1",
        "an Arrow file",
        "read its column of vectors with pyarrow.feather.read_table and save it as a matrix with numpy.save",
    ),
    (b"\x89HDF\r\n", "an HDF5 file", "read the matrix with h5py and save it with numpy.save"),
    (b"\x1f\x8b", "compressed by gzip", "decompress it with gunzip"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd", "decompress it with unzstd"),
    (b"BZh", "compressed by bzip2", "decompress it with bunzip2"),
    (b"\xfd7zXZ", "compressed by xz", "decompress it with unxz"),
    (b"\x93NUMPY", NPY, "give it a name that ends in .npy"),
    (
        b"version https://git-lfs",
        "a pointer of Git LFS, not the file itself",
        "fetch the file with git lfs pull",
    ),
    (b"<!", "a page of HTML, as a download that failed leaves it", "download the file again"),
    (b"<html", "a page of HTML, as a download that failed leaves it", "download the file again"),
];

/// The refusal of a file that begins with `start`, where it is known what it is.
pub(crate) fn refusal(path: &Path, start: &[u8]) -> Option<ArrayFileError> {
    let (what, advice) = told(start)?;
    Some(ArrayFileError::unsupported(path, format!("it is {what}"), advice))
}

/// What the file at `path` is, where its first bytes tell.
///
/// # Errors
/// Whatever the system says where it cannot be read.
pub fn kind_of(path: &Path) -> io::Result<Option<&'static str>> {
    let mut start = Vec::new();
    File::open(path)?.take(TELLING as u64).read_to_end(&mut start)?;
    Ok(told(&start).map(|(what, _)| what))
}

/// What [`kind_of`] calls a `.npy` file.
pub const NPY: &str = "a .npy file";
/// What [`kind_of`] calls a safetensors file.
pub const SAFETENSORS: &str = "a safetensors file";

fn told(start: &[u8]) -> Told {
    let start = &start[..start.len().min(TELLING)];
    let known = KNOWN.iter().find(|(magic, ..)| start.starts_with(magic));
    known
        .map(|(_, what, advice)| (*what, *advice))
        .or_else(|| archive(start))
        .or_else(|| arrow_stream(start))
        .or_else(|| pickle(start))
        .or_else(|| safetensors(start))
        .or_else(|| text(start))
}

type Told = Option<(&'static str, &'static str)>;

const OF_TORCH: &str =
    "load it with torch.load and save the matrix with numpy.save(path, tensor.float().numpy())";

/// A zip archive: the name of its first member tells whose.
fn archive(start: &[u8]) -> Told {
    let rest = start.strip_prefix(b"PK\x03\x04")?;
    let size = rest.get(22..24).map_or(0, |size| usize::from(u16::from_le_bytes([size[0], size[1]])));
    let name = rest.get(26..26 + size).unwrap_or_default();
    Some(if name.ends_with(b"data.pkl") {
        ("a file of PyTorch", OF_TORCH)
    } else if name.ends_with(b".npy") {
        ("an .npz archive", "save the one matrix that is meant: numpy.save(path, numpy.load(file)[name])")
    } else {
        ("a zip archive", "unpack it")
    })
}

/// A mark, and the length of a message that tells the columns.
fn arrow_stream(start: &[u8]) -> Told {
    let (size, _) = start.strip_prefix(b"\xff\xff\xff\xff")?.split_first_chunk::<4>()?;
    let plausible = (1..1 << 24).contains(&u32::from_le_bytes(*size));
    let advice =
        "read its column of vectors with pyarrow.ipc.open_stream and save it as a matrix with numpy.save";
    plausible.then_some(("a stream of Arrow", advice))
}

fn pickle(start: &[u8]) -> Told {
    let [0x80, 2..=5, rest @ ..] = start else { return None };
    // PyTorch's files of before 2020 are pickles that begin with a number of its own.
    let of_torch = rest.windows(10).any(|bytes| bytes == b"\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19");
    Some(if of_torch {
        ("a file of PyTorch", OF_TORCH)
    } else {
        (
            "a pickle, which can hold any program",
            "load it where you trust it, and save the matrix with numpy.save",
        )
    })
}

/// A header's length, then the header itself.
fn safetensors(start: &[u8]) -> Told {
    let (size, rest) = start.split_first_chunk::<8>()?;
    let plausible = u64::from_le_bytes(*size) < 100_000_000 && rest.starts_with(b"{\"");
    plausible.then_some((SAFETENSORS, "give it a name that ends in .safetensors"))
}

fn text(start: &[u8]) -> Told {
    // A letter of several bytes may be cut at the end.
    let readable = match std::str::from_utf8(start) {
        Ok(text) => text,
        Err(error) if start.len() == TELLING && error.valid_up_to() + 4 > TELLING => {
            std::str::from_utf8(&start[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    let control = |letter: char| letter.is_control() && !letter.is_whitespace();
    if readable.trim().is_empty() || readable.contains(control) {
        return None;
    }
    Some(if readable.trim_start().starts_with(['{', '[']) {
        ("JSON", "read it with json.load or pandas.read_json and save the matrix with numpy.save")
    } else {
        ("text", "read it with numpy.loadtxt or pandas.read_csv and save the matrix with numpy.save")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(start: &[u8]) -> String {
        refusal(Path::new("e.npy"), start).map_or_else(String::new, |error| error.to_string())
    }

    #[test]
    fn files_of_other_programs_are_named() {
        let mut zip =
            b"PK\x03\x04\x14\0\0\0\0\0\0\0!\0\0\0\0\0\0\0\0\0\0\0\0\0\x10\0\0\0archive/data.pkl".to_vec();
        assert!(message(&zip).contains("a file of PyTorch"), "{}", message(&zip));
        zip.splice(26..28, [9, 0]);
        zip.splice(30.., *b"arr_0.npy");
        assert!(message(&zip).contains("an .npz archive"), "{}", message(&zip));
        for (start, what) in [
            (&b"PAR1\x15\0"[..], "e.npy: it is a Parquet file; read its column"),
            (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
            (b"\x1f\x8b\x08", "gzip"),
            (b"\xff\xff\xff\xff\x78\x01\0\0", "a stream of Arrow"),
            (b"\x80\x04\x95", "a pickle"),
            (b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19", "a file of PyTorch"),
            (b"PK\x03\x04", "a zip archive"),
            (b"\x40\0\0\0\0\0\0\0{\"a\":", "a safetensors file"),
            (b"[[0.1, 0.2]]", "JSON"),
            (b"0.1,0.2\n", "text"),
            (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        ] {
            assert!(message(start).contains(what), "{what}: {}", message(start));
        }
    }

    #[test]
    fn what_nobody_knows_is_not_named() {
        for start in [&b""[..], &[0; 80], &[0xff; 64], b"\x93NUMP", b"\xfe\xfa\x01\x02"] {
            assert_eq!(message(start), "", "{start:?}");
        }
        let cut = [b"a".repeat(TELLING - 1), "é".as_bytes().to_vec()].concat();
        assert!(message(&cut).contains("text"));
    }
}
