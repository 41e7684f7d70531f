//! The errors of this crate.

use std::path::PathBuf;
use thiserror::Error;

/// Why data could not be read, fetched or prepared.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DataError {
    /// No data set has this name.
    #[error(
        "there is no data set {name:?}; known are {}; sets of graphs are read where the encoder is gin or gcn",
        known.join(", ")
    )]
    UnknownName {
        /// The name asked for.
        name: String,
        /// All names there are.
        known: Vec<&'static str>,
    },
    /// The data set is read from files, and no folder was given.
    #[error("data set {name:?} is read from files, and data.root is not given: it should name {expected}")]
    NoRoot {
        /// The data set.
        name: String,
        /// What the root should be, and how to come by it.
        expected: String,
    },
    /// The folder that is given for a data set is not there.
    #[error("{} (data.root) does not exist: it should be {expected}", root.display())]
    RootMissing {
        /// The folder given.
        root: PathBuf,
        /// What the root should be, and how to come by it.
        expected: String,
    },
    /// An option has a value that is impossible or would have no effect.
    #[error("{key}: {problem}")]
    Option {
        /// The key as a recipe writes it, for instance `augment.crop_scale`.
        key: String,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// Files or folders of a data set are not there.
    #[error("{} does not hold {}; `lookalike data get {dataset}` fetches the published files", root.display(), wanted.join(" or "))]
    NotFound {
        /// The data set, one of those that can be fetched.
        dataset: &'static str,
        /// Folder searched.
        root: PathBuf,
        /// What was looked for, relative to `root`; any one of them would have done.
        wanted: Vec<String>,
    },
    /// The operating system refused to read or write.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was attempted, for instance `"read"`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file does not hold what its format demands.
    #[error("{}, byte {byte}: {problem}", path.display())]
    Format {
        /// The file; for a member of an archive, the archive joined with the member's name.
        path: PathBuf,
        /// Offset of the offending byte in the (decompressed) file.
        byte: u64,
        /// What is there and what would be right.
        problem: String,
    },
    /// A line of a text file does not hold what the format demands.
    #[error("{}, line {line}: {problem}", path.display())]
    Line {
        /// The file; for a member of an archive, the archive joined with the member's name.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is there and what would be right.
        problem: String,
    },
    /// The files of a set of graphs are not there.
    #[error("{} does not hold the graphs of {name}: there is no {}", place.display(), wanted.join(" nor "))]
    NoGraphs {
        /// The set.
        name: String,
        /// The folder or archive searched.
        place: PathBuf,
        /// The files that were looked for.
        wanted: Vec<String>,
    },
    /// An archive cannot be unpacked.
    #[error("cannot unpack {}", path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// The reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A graph, or a request about one, is impossible.
    #[error("{problem}")]
    Graph {
        /// What is there and what would be right.
        problem: String,
    },
    /// An image file could not be decoded.
    #[error("{} is not an image that can be decoded", path.display())]
    Decode {
        /// The file.
        path: PathBuf,
        /// The decoder's reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A server did not give a file.
    #[error("cannot fetch {url}: {problem}")]
    Fetch {
        /// What was asked for.
        url: String,
        /// What happened, and how to go on.
        problem: String,
    },
    /// A fetched file is not the published one; it was removed.
    #[error("what {url} gave has the MD5 sum {found}, the published file {expected}; it was not kept")]
    Checksum {
        /// Where it came from.
        url: String,
        /// The sum of what came.
        found: String,
        /// The sum of the published file.
        expected: String,
    },
    /// The user interrupted.
    #[error("interrupted; what came is kept in {} and is gone on from by the next attempt", path.display())]
    Interrupted {
        /// The file's first part.
        path: PathBuf,
    },
    /// There is no image to read.
    #[error("{} holds no images: {hint}", path.display())]
    NoImages {
        /// The file or folder.
        path: PathBuf,
        /// What would be right.
        hint: String,
    },
    /// An instance was asked for that does not exist.
    #[error("instance {index} of {dataset} was asked for, which has {len}")]
    Index {
        /// The data set.
        dataset: String,
        /// The index asked for.
        index: u32,
        /// Number of instances there are.
        len: usize,
    },
    /// A data set gave something that is no image.
    #[error("instance {index} of {dataset}: {problem}")]
    Image {
        /// The data set.
        dataset: String,
        /// The instance.
        index: u32,
        /// What is there and what would be right.
        problem: String,
    },
    /// The operating system refused a thread.
    #[error("cannot start a thread of the loader")]
    Thread(#[source] std::io::Error),
    /// Making a batch failed in a way that its source did not foresee.
    #[error("the batch of step {step} could not be made, which is a defect of its source: {message}")]
    Panic {
        /// The step the batch was for.
        step: u64,
        /// What the source said.
        message: String,
    },
}

impl DataError {
    /// For `map_err`: the system refused to `action` (`"read"`, `"list"`) `path`.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    /// For `map_err`: the archive `path` cannot be unpacked.
    pub(crate) fn archive<E>(path: impl Into<PathBuf>) -> impl FnOnce(E) -> Self
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        let path = path.into();
        move |source| Self::Archive { path, source: Box::new(source) }
    }
}
