//! The readers of array files on a corpus of good and lying files (`corpus/make.py`), and on thousands of variations of them.

#![allow(clippy::unwrap_used, reason = "a helper of tests fails the test")]
#![expect(
    unsafe_code,
    reason = "an allocator that counts can only be written so; it passes everything on to the system's"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::{Path, PathBuf};

use lookalike_base::{ArrayFileError, MappedRows, RowSource, Seed, Stream, npy, tensors};

/// The system's allocator, which counts what each thread holds and held at most.
struct Counting;

thread_local! {
    static HELD: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

fn count(change: impl Fn(usize) -> usize) {
    // A thread that is ending has no counter any more.
    let _ = HELD.try_with(|held| {
        let (now, most) = held.get();
        let now = change(now);
        held.set((now, most.max(now)));
    });
}

// SAFETY: every call is passed on unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(|now| now.saturating_add(layout.size()));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(|now| now.saturating_sub(layout.size()));
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most bytes that `work` held beyond those held before.
fn most_held<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.with(|held| {
        held.set((held.get().0, held.get().0));
        held.get().0
    });
    let result = work();
    (result, HELD.with(|held| held.get().1 - before))
}

fn corpus() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_array =
        |path: &PathBuf| path.extension().is_some_and(|kind| kind == "npy" || kind == "safetensors");
    let mut paths: Vec<PathBuf> = entries.filter(is_array).collect();
    paths.sort();
    assert!(paths.len() > 80, "{paths:?}");
    paths
}

/// What each reader makes of a file of `length` bytes. Panics where one holds more memory than the file justifies, does not
/// name the file, or where reading and mapping do not agree.
fn read_all(path: &Path, length: usize) -> [Result<(), ArrayFileError>; 3] {
    // An integer of one byte becomes eight, and an entry of a header, which has some 50 bytes, a few hundred.
    let limit = 64 * length + (1 << 19);
    let (results, held) = most_held(|| {
        [
            npy::read_rows(path).map(drop),
            npy::read_integers(path).map(drop),
            tensors::read(path).map(drop),
            MappedRows::open(path).map(|rows| {
                if let Some(last) = rows.len().checked_sub(1) {
                    rows.read_row(last, &mut vec![0.0; rows.columns()]);
                }
            }),
        ]
    });
    assert!(held <= limit, "{}: {held} bytes held for a file of {length}", path.display());
    for error in results.iter().filter_map(|result| result.as_ref().err()) {
        let text = error.to_string();
        assert!(text.contains(&path.display().to_string()), "{text}");
        // A message repeats what it found, but not a whole header.
        assert!(text.len() < path.as_os_str().len() + 2 * length + 1000, "{text}");
    }
    let [rows, integers, tensors, mapped] = results;
    if path.extension().is_some_and(|kind| kind == "npy") {
        assert_eq!(rows.is_ok(), mapped.is_ok(), "{rows:?} {mapped:?}");
    }
    [rows, integers, tensors]
}

#[test]
fn good_files_are_read_and_all_others_refused_by_name() {
    for path in corpus() {
        let length = std::fs::metadata(&path).unwrap().len() as usize;
        let good = path.file_name().unwrap().to_str().unwrap().starts_with("ok_");
        let results = read_all(&path, length);
        assert_eq!(results.iter().any(Result::is_ok), good, "{}: {results:?}", path.display());
    }
}

/// One of the things that accidents and attackers do to a file.
fn vary(bytes: &mut Vec<u8>, others: &[Vec<u8>], stream: &mut Stream) {
    const TELLING: [&[u8]; 12] = [
        &[0],
        &[0xff],
        &[0x80],
        b"{",
        b"}",
        b"[",
        b"\"",
        b"'",
        b"9",
        b"-",
        b"18446744073709551615",
        b"\xff\xff\xff\xff",
    ];
    let at = stream.below(bytes.len() as u32 + 1) as usize;
    let some = (stream.below(16) as usize).min(bytes.len() - at);
    match stream.below(7) {
        0 if at < bytes.len() => bytes[at] ^= 1 << stream.below(8),
        1 if at < bytes.len() => bytes[at] = stream.below(256) as u8,
        2 => bytes.truncate(at),
        3 => drop(bytes.drain(at..at + some)),
        4 => drop(bytes.splice(at..at, bytes[at..at + some].to_vec())),
        5 => {
            let token = TELLING[stream.below(TELLING.len() as u32) as usize];
            bytes.splice(at..at + token.len().min(bytes.len() - at), token.iter().copied());
        }
        _ => {
            let other = &others[stream.below(others.len() as u32) as usize];
            let from = stream.below(other.len() as u32 + 1) as usize;
            let end = (from + stream.below(64) as usize).min(other.len());
            bytes.splice(at..at + some, other[from..end].iter().copied());
        }
    }
}

#[test]
fn no_variation_of_a_file_makes_a_reader_panic_or_take_more_memory_than_the_file_justifies() {
    const VARIATIONS: u64 = 60;
    let paths = corpus();
    // The long ones, of brackets alone, are as telling when they are short.
    let files: Vec<Vec<u8>> =
        paths.iter().map(|path| std::fs::read(path).unwrap().into_iter().take(1000).collect()).collect();
    let folder = tempfile::tempdir().unwrap();
    let mut refused = 0;
    for (number, (path, file)) in paths.iter().zip(&files).enumerate() {
        let target = folder.path().join("file").with_extension(path.extension().unwrap());
        for variation in 0..VARIATIONS {
            let mut stream = Seed(1).stream("corpus", 0, number as u64, variation);
            let mut bytes = file.clone();
            for _ in 0..=stream.below(3) {
                vary(&mut bytes, &files, &mut stream);
            }
            std::fs::write(&target, &bytes).unwrap();
            refused += read_all(&target, bytes.len()).iter().filter(|result| result.is_err()).count();
        }
    }
    assert!(refused > paths.len() * VARIATIONS as usize, "{refused}");
}
