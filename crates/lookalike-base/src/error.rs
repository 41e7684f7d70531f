//! Why an array file could not be read or written.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why an array file (`.npy`, `.safetensors`) could not be read or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ArrayFileError {
    /// The operating system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was attempted: `read` or `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The file is not of its format, or its header contradicts itself.
    #[error("{} is not a valid {format} file: {problem}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// `.npy` or `.safetensors`.
        format: &'static str,
        /// What is wrong, and where.
        problem: String,
    },
    /// The file is shorter or longer than its header says, or its contents do not match their checksum: it was cut
    /// short or damaged after, or while, it was written.
    #[error("{} is torn: {problem}", path.display())]
    Torn {
        /// The file.
        path: PathBuf,
        /// Sizes or checksums, as found and as expected.
        problem: String,
    },
    /// The file is well formed, but holds something that is not read here.
    #[error("{}: {found}; {advice}", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What it holds.
        found: String,
        /// What to do about it.
        advice: String,
    },
    /// What was to be written contradicts itself.
    #[error("cannot write {}: {problem}", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// Which array, and why.
        problem: String,
    },
}

impl ArrayFileError {
    pub(crate) fn read(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action: "read", path: path.to_owned(), source }
    }

    pub(crate) fn write(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { action: "write", path: path.to_owned(), source }
    }

    pub(crate) fn torn(path: &Path, problem: impl Into<String>) -> Self {
        Self::Torn { path: path.to_owned(), problem: problem.into() }
    }

    pub(crate) fn unsupported(path: &Path, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::Unsupported { path: path.to_owned(), found: found.into(), advice: advice.into() }
    }

    pub(crate) fn unwritable(path: &Path, problem: impl Into<String>) -> Self {
        Self::Unwritable { path: path.to_owned(), problem: problem.into() }
    }
}
