//! What the targets share.

#[cfg(feature = "data")]
pub mod graphs;

use std::panic::{set_hook, take_hook};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// Ends a file within an input of several.
const END_OF_FILE: &[u8] = b"\0\0end\0\0";

/// In memory where the system has such a folder: the fuzzer writes thousands of files a second.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let memory = PathBuf::from("/dev/shm");
    let root = if memory.is_dir() { memory } else { std::env::temp_dir() };
    root.join(format!("lookalike-fuzz-{}", std::process::id()))
});

/// Lets `read` read a file of `bytes`: the readers take paths, because they map files and compare headers with lengths.
pub fn with_file(name: &str, bytes: &[u8], read: impl FnOnce(&Path)) {
    with_files(&[(name, Some(bytes))], |folder| read(&folder.join(name)));
}

/// Lets `read` read a folder of these files; one without bytes is not there. No other file of an earlier call may have another name.
pub fn with_files(files: &[(&str, Option<&[u8]>)], read: impl FnOnce(&Path)) {
    for (name, bytes) in files {
        let path = FOLDER.join(name);
        std::fs::create_dir_all(path.parent().unwrap_or(&FOLDER)).expect("a temporary folder");
        match bytes {
            Some(bytes) => std::fs::write(&path, bytes).expect("a temporary file"),
            None => drop(std::fs::remove_file(&path)),
        }
    }
    read(&FOLDER);
}

/// The files of an input, one behind another with [`END_OF_FILE`] between; the last are missing in an input of fewer.
pub fn files<const N: usize>(bytes: &[u8]) -> [Option<&[u8]>; N] {
    let mut rest = Some(bytes);
    [(); N].map(|()| {
        let bytes = rest?;
        let end = bytes.windows(END_OF_FILE.len()).position(|window| window == END_OF_FILE);
        rest = end.map(|end| &bytes[end + END_OF_FILE.len()..]);
        Some(&bytes[..end.unwrap_or(bytes.len())])
    })
}

/// Replaces the hook by which libFuzzer aborts at every panic, caught or not: those in source files whose path holds one of `crates`
/// are caught by the reader.
pub fn pass_over_panics_in(crates: &'static [&'static str]) {
    let abort = take_hook();
    set_hook(Box::new(move |panic| {
        let is_caught =
            |place: &std::panic::Location<'_>| crates.iter().any(|name| place.file().contains(name));
        if !panic.location().is_some_and(is_caught) {
            abort(panic);
        }
    }));
}
