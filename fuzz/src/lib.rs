//! What the targets share.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

static FOLDER: LazyLock<PathBuf> =
    LazyLock::new(|| std::env::temp_dir().join(format!("lookalike-fuzz-{}", std::process::id())));

/// Lets `read` read a file of `bytes`: the readers take paths, because they map files and compare headers with lengths.
pub fn with_file(name: &str, bytes: &[u8], read: impl FnOnce(&Path)) {
    let path = FOLDER.join(name);
    std::fs::create_dir_all(&*FOLDER).expect("a temporary folder");
    std::fs::write(&path, bytes).expect("a temporary file");
    read(&path);
}
