//! The errors of this crate.

use std::path::PathBuf;
use thiserror::Error;

/// Why data could not be read, downloaded or prepared.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DataError {
    /// No data set of images has this name.
    #[error("unknown image data set {name:?}; available: {}", available.join(", "))]
    UnknownName {
        /// The name asked for.
        name: String,
        /// All names there are.
        available: Vec<&'static str>,
    },
    /// Pairs of texts are needed, and a set has one column.
    #[error("`{name}` has one column of texts, `{column}`, and pairs need two: queries and documents")]
    NoPairs {
        /// The set.
        name: String,
        /// Its column.
        column: String,
    },
    /// The data set needs a part of this crate that was not built.
    #[error(
        "data set {name:?} needs the cargo feature `{feature}` of lookalike-data, which this build lacks"
    )]
    FeatureMissing {
        /// The data set.
        name: String,
        /// The cargo feature.
        feature: &'static str,
    },
    /// The data set is read from files, and no folder is given.
    #[error("data set {name:?} needs data.root, which should name {expected}")]
    NoRoot {
        /// The data set.
        name: String,
        /// What the root should name, and how to get it.
        expected: String,
    },
    /// The folder given for a data set does not exist.
    #[error("{} (data.root) does not exist; data.root should name {expected}", root.display())]
    RootMissing {
        /// The folder given.
        root: PathBuf,
        /// What the root should name, and how to get it.
        expected: String,
    },
    /// The value of an option is impossible or would have no effect.
    #[error("{key}: {problem}")]
    Option {
        /// The key as a recipe writes it, for instance `augment.crop_scale`.
        key: String,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// Files of a data set are missing.
    #[error("{} does not hold {}; `lookalike data get {dataset}` fetches the published files", root.display(), wanted.join(" or "))]
    NotFound {
        /// The data set, one of those that can be fetched.
        dataset: &'static str,
        /// The folder searched.
        root: PathBuf,
        /// What was looked for, relative to `root`; any one of these is enough.
        wanted: Vec<String>,
    },
    /// The operating system could not read or write.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was attempted, for instance `"read"`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file does not follow its format.
    #[error("{}, byte {byte}: {problem}", path.display())]
    Format {
        /// The file; for a member of an archive, the archive joined with the member's name.
        path: PathBuf,
        /// Offset of the offending byte in the (decompressed) file.
        byte: u64,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// A line of a text file does not follow the format.
    #[error("{}, line {line}: {problem}", path.display())]
    Line {
        /// The file; for a member of an archive, the archive joined with the member's name.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// The files of a set of graphs are missing.
    #[error("{} holds no graphs of {name}; looked for {}", root.display(), wanted.join(", "))]
    NoGraphs {
        /// The set.
        name: String,
        /// The folder or archive searched.
        root: PathBuf,
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
    /// A graph, or what is asked of it, is impossible.
    #[error("{problem}")]
    Graph {
        /// What is wrong and what would be right.
        problem: String,
    },
    /// No data set of texts has this name.
    #[error("unknown data set of texts {name:?}{hint}; available: {}", available.join(", "))]
    UnknownTexts {
        /// The name asked for.
        name: String,
        /// The nearest name there is, as the message says it.
        hint: String,
        /// All names there are.
        available: Vec<&'static str>,
    },
    /// The files of a data set of texts are missing.
    #[error("{} does not hold {name}; looked for {}", root.display(), wanted.join(", "))]
    NoTexts {
        /// The data set.
        name: String,
        /// The folder searched.
        root: PathBuf,
        /// The files that were looked for.
        wanted: Vec<String>,
    },
    /// A file of texts as a whole is not what is asked for.
    #[error("{}: {problem}", path.display())]
    TextFile {
        /// The file.
        path: PathBuf,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// A tokenizer, or what is asked of it, is impossible.
    #[error("tokenizer: {problem}")]
    Tokenizer {
        /// What is wrong and what would be right.
        problem: String,
    },
    /// Token lists could not be kept on disk.
    #[error("cannot keep token lists in {}", path.display())]
    TokenCache {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The work was cancelled; nothing is left of it.
    #[error("cancelled")]
    Stopped,
    /// An image file could not be decoded.
    #[error("cannot decode {} as an image", path.display())]
    Decode {
        /// The file.
        path: PathBuf,
        /// The decoder's reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A file could not be downloaded.
    #[error("cannot fetch {url}: {problem}")]
    Fetch {
        /// Its address.
        url: String,
        /// What happened, and what remains on disk.
        problem: String,
    },
    /// A downloaded file is not the published one; it was removed.
    #[error("the file at {url} has SHA-256 {found}, the published file {expected}; the download was removed")]
    Checksum {
        /// The address of the file.
        url: String,
        /// SHA-256 of the downloaded file.
        found: String,
        /// SHA-256 of the published file.
        expected: String,
    },
    /// The download was cancelled.
    #[error("cancelled; the partial download is in {}, and the next attempt resumes it", path.display())]
    Cancelled {
        /// The partial file.
        path: PathBuf,
    },
    /// Files of a folder cannot be read, and none is to be left out.
    #[error("{bad} of {files} files of {} cannot be read; data.skip_corrupt = true leaves them out: {named}", path.display())]
    Unreadable {
        /// The folder or list.
        path: PathBuf,
        /// How many cannot be read.
        bad: usize,
        /// How many there are.
        files: usize,
        /// The first of them, each with its reason.
        named: String,
    },
    /// An image has no mask, or a mask no image.
    #[error("{} has no {what} of the same name in {}", path.display(), place.display())]
    Unpaired {
        /// The file.
        path: PathBuf,
        /// What it lacks.
        what: &'static str,
        /// Where that was looked for.
        place: PathBuf,
    },
    /// A folder holds no images.
    #[error("{} holds no images: {hint}", path.display())]
    NoImages {
        /// The folder.
        path: PathBuf,
        /// What was looked for.
        hint: String,
    },
    /// The index of an instance is out of range.
    #[error("{dataset} has {len} instances; index {index} is out of range")]
    Index {
        /// The data set.
        dataset: String,
        /// The index asked for.
        index: u32,
        /// The number of instances.
        len: usize,
    },
    /// A data set returned pixels that are no image.
    #[error("instance {index} of {dataset}: {problem}")]
    Image {
        /// The data set.
        dataset: String,
        /// The instance.
        index: u32,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// The operating system could not start a thread.
    #[error("cannot start a loader thread")]
    Thread(#[source] std::io::Error),
    /// A batch source panicked, which is a defect of that source.
    #[error("the batch source panicked at step {step}: {message}")]
    Panic {
        /// The step the batch was for.
        step: u64,
        /// The message of the panic.
        message: String,
    },
}

#[cfg(any(feature = "graphs", feature = "images", feature = "text"))]
impl DataError {
    /// For `map_err`: the system could not `action` (`"read"`, `"list"`) `path`.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}

#[cfg(feature = "graphs")]
impl DataError {
    /// For `map_err`: the archive `path` cannot be unpacked.
    pub(crate) fn archive<E>(path: impl Into<PathBuf>) -> impl FnOnce(E) -> Self
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        let path = path.into();
        move |source| Self::Archive { path, source: Box::new(source) }
    }

    /// For `map_err`: a matrix of a graph is impossible.
    #[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
    pub(crate) fn graph(error: lookalike_kernels::KernelError) -> Self {
        Self::Graph { problem: error.to_string() }
    }
}

#[cfg(feature = "text")]
impl DataError {
    /// A tokenizer, or what is asked of it, is impossible.
    pub(crate) fn tokenizer(problem: impl Into<String>) -> Self {
        Self::Tokenizer { problem: problem.into() }
    }

    /// The file `path` as a whole is not what is asked for.
    pub(crate) fn text_file(path: impl Into<PathBuf>, problem: impl Into<String>) -> Self {
        Self::TextFile { path: path.into(), problem: problem.into() }
    }
}
