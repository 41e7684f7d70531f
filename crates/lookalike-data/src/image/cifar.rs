//! CIFAR-10 and CIFAR-100 in their binary format (Krizhevsky 2009,
//! <https://www.cs.toronto.edu/~kriz/cifar.html>).
//!
//! A file is a row of records: the label (CIFAR-100: the coarse label, then the fine one), then 1024 bytes
//! each of red, green and blue. They are read from the unpacked folder or from the published archive, and
//! kept as interleaved RGB, as [`Image`](crate::Image) holds them.

use crate::bounded::{Bounded, read_file};
use crate::error::DataError;
use crate::image::dataset::Split;
use crate::image::memory::{InMemory, PixelFormat};
use flate2::read::MultiGzDecoder;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

/// Width and height of every image, in pixels.
pub const SIDE: u32 = 32;

const PLANE: usize = (SIDE * SIDE) as usize;

/// Limit of one file in bytes; an archive may unpack to four times as much. The longest published file,
/// CIFAR-100's `train.bin`, has 154 million bytes.
const MAX_FILE: u64 = 1 << 28;

/// Limit of the list of class names, in bytes.
const MAX_NAMES: u64 = 1 << 16;

const CIFAR10_CLASSES: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// Which of the two data sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cifar {
    /// CIFAR-10.
    Ten,
    /// CIFAR-100, with its fine labels.
    Hundred,
}

impl Cifar {
    /// The name in the registry.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ten => "cifar10",
            Self::Hundred => "cifar100",
        }
    }

    /// The folder the archive unpacks to.
    pub(crate) fn folder(self) -> &'static str {
        match self {
            Self::Ten => "cifar-10-batches-bin",
            Self::Hundred => "cifar-100-binary",
        }
    }

    /// The published archive.
    pub(crate) fn archive(self) -> &'static str {
        match self {
            Self::Ten => "cifar-10-binary.tar.gz",
            Self::Hundred => "cifar-100-binary.tar.gz",
        }
    }

    /// The files of a split, in the order of its instances.
    pub(crate) fn files(self, split: Split) -> &'static [&'static str] {
        match (self, split) {
            (Self::Ten, Split::Train) => &[
                "data_batch_1.bin",
                "data_batch_2.bin",
                "data_batch_3.bin",
                "data_batch_4.bin",
                "data_batch_5.bin",
            ],
            (Self::Ten, Split::Test) => &["test_batch.bin"],
            (Self::Hundred, Split::Train) => &["train.bin"],
            (Self::Hundred, Split::Test) => &["test.bin"],
        }
    }

    /// The file of class names, one a line.
    fn names_file(self) -> &'static str {
        match self {
            Self::Ten => "batches.meta.txt",
            Self::Hundred => "fine_label_names.txt",
        }
    }

    /// How many values each label byte of a record may take; the last is the label that is used.
    fn label_counts(self) -> &'static [u8] {
        match self {
            Self::Ten => &[10],
            Self::Hundred => &[20, 100],
        }
    }

    fn record_bytes(self) -> usize {
        self.label_counts().len() + 3 * PLANE
    }

    fn class_count(self) -> usize {
        match self {
            Self::Ten => 10,
            Self::Hundred => 100,
        }
    }

    fn default_classes(self) -> Vec<String> {
        match self {
            Self::Ten => CIFAR10_CLASSES.map(str::to_owned).to_vec(),
            Self::Hundred => (0..100).map(|class| format!("class {class}")).collect(),
        }
    }
}

/// Opens a split. `root` is the unpacked folder, the archive, or a folder that holds either.
///
/// The classes have the names in the file beside the records. Without that file CIFAR-10 has its well-known
/// names and CIFAR-100 the names `class 0` to `class 99`.
///
/// # Errors
/// [`DataError::NotFound`] where files are missing; [`DataError::Format`] where a file is empty, cut within a
/// record, too long, damaged, or holds a label that does not exist; [`DataError::Io`] where the system
/// refuses.
pub fn open(which: Cifar, root: &Path, split: Split) -> Result<InMemory, DataError> {
    let source = CifarFiles::locate(which, root)?;
    let files = which.files(split);
    let mut members = source.read(files, which.names_file())?;
    if let Some(missing) = files.iter().find(|file| !members.contains_key(**file)) {
        let wanted = vec![(*missing).to_owned()];
        return Err(DataError::NotFound { dataset: which.name(), root: source.path().into(), wanted });
    }
    let classes = match members.remove(which.names_file()) {
        Some(text) => class_names(which, &source.path().join(which.names_file()), &text)?,
        None => which.default_classes(),
    };
    let mut records = Records::default();
    for file in files {
        let bytes = members.remove(*file).unwrap_or_default();
        records.append(which, &source.path().join(file), &bytes)?;
    }
    let name = format!("{}/{}", which.name(), split.name());
    Ok(InMemory::new(name, (SIDE, SIDE), PixelFormat::Rgb, records.pixels, records.labels, classes))
}

/// Where the files of a set are.
#[derive(Debug)]
pub(crate) enum CifarFiles {
    /// In a folder.
    Folder(PathBuf),
    /// In a `.tar.gz`.
    Archive(PathBuf),
}

impl CifarFiles {
    pub(crate) fn locate(which: Cifar, root: &Path) -> Result<Self, DataError> {
        let holds_records = |folder: &Path| {
            [Split::Train, Split::Test]
                .iter()
                .any(|split| which.files(*split).iter().any(|f| folder.join(f).is_file()))
        };
        let (folder, archive) = (root.join(which.folder()), root.join(which.archive()));
        if root.is_file() {
            Ok(Self::Archive(root.into()))
        } else if holds_records(root) {
            Ok(Self::Folder(root.into()))
        } else if holds_records(&folder) {
            Ok(Self::Folder(folder))
        } else if archive.is_file() {
            Ok(Self::Archive(archive))
        } else {
            let wanted = [which.files(Split::Train)[0], which.folder(), which.archive()];
            Err(DataError::NotFound {
                dataset: which.name(),
                root: root.into(),
                wanted: wanted.map(str::to_owned).to_vec(),
            })
        }
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::Folder(path) | Self::Archive(path) => path,
        }
    }

    /// The contents of those of `files` and `names` that exist, by name.
    fn read(
        &self,
        files: &[&'static str],
        names: &'static str,
    ) -> Result<BTreeMap<&'static str, Vec<u8>>, DataError> {
        let limits: Vec<(&'static str, u64)> =
            files.iter().map(|file| (*file, MAX_FILE)).chain([(names, MAX_NAMES)]).collect();
        match self {
            Self::Folder(folder) => limits
                .into_iter()
                .filter(|(name, _)| folder.join(name).is_file())
                .map(|(name, limit)| Ok((name, read_file(&folder.join(name), limit)?)))
                .collect(),
            Self::Archive(archive) => unpack(archive, &limits),
        }
    }
}

/// The first member of each of the `wanted` names, whatever folder of the archive it is in.
fn unpack(path: &Path, wanted: &[(&'static str, u64)]) -> Result<BTreeMap<&'static str, Vec<u8>>, DataError> {
    let file = File::open(path).map_err(DataError::io("open", path))?;
    let unpacked = Bounded::new(MultiGzDecoder::new(BufReader::new(file)), 4 * MAX_FILE);
    let mut archive = tar::Archive::new(unpacked);
    members(&mut archive, wanted).map_err(|error| {
        let problem = format!("the archive cannot be read further: {error}");
        DataError::Format { path: path.into(), byte: archive.into_inner().count(), problem }
    })
}

fn members<R: Read>(
    archive: &mut tar::Archive<R>,
    wanted: &[(&'static str, u64)],
) -> io::Result<BTreeMap<&'static str, Vec<u8>>> {
    let mut found = BTreeMap::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let Some(&(name, limit)) =
            wanted.iter().find(|(name, _)| path.file_name().is_some_and(|file| file == *name))
        else {
            continue;
        };
        if !entry.header().entry_type().is_file() || found.contains_key(name) {
            continue;
        }
        let mut bytes = Vec::new();
        // A sparse member may claim any length without a byte behind it.
        let count = Read::take(&mut entry, limit + 1).read_to_end(&mut bytes)? as u64;
        if count > limit {
            let problem = format!("{} has more than {limit} bytes, the limit", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        found.insert(name, bytes);
        if found.len() == wanted.len() {
            break;
        }
    }
    Ok(found)
}

fn class_names(which: Cifar, path: &Path, text: &[u8]) -> Result<Vec<String>, DataError> {
    let wrong = |byte, problem| DataError::Format { path: path.into(), byte, problem };
    let text = std::str::from_utf8(text).map_err(|error| {
        wrong(error.valid_up_to() as u64, "expected class names as UTF-8 text".to_owned())
    })?;
    let names: Vec<String> =
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    if names.len() != which.class_count() {
        let problem =
            format!("expected {} class names, one a line, found {}", which.class_count(), names.len());
        return Err(wrong(0, problem));
    }
    Ok(names)
}

/// What has been read of a split.
#[derive(Default)]
struct Records {
    pixels: Vec<u8>,
    labels: Vec<u8>,
}

impl Records {
    fn append(&mut self, which: Cifar, path: &Path, bytes: &[u8]) -> Result<(), DataError> {
        let wrong =
            |byte: usize, problem| DataError::Format { path: path.into(), byte: byte as u64, problem };
        let size = which.record_bytes();
        let left = bytes.len() % size;
        if bytes.is_empty() {
            return Err(wrong(0, format!("the file is empty; expected records of {size} bytes")));
        }
        if left != 0 {
            let problem = format!(
                "record {} ends after {left} of {size} bytes; the file is cut short or not in this format",
                bytes.len() / size
            );
            return Err(wrong(bytes.len(), problem));
        }
        self.pixels.reserve_exact(bytes.len() / size * 3 * PLANE);
        for (number, record) in bytes.chunks_exact(size).enumerate() {
            let (labels, planes) = record.split_at(which.label_counts().len());
            for (at, (label, count)) in labels.iter().zip(which.label_counts()).enumerate() {
                if label >= count {
                    let problem = format!("record {number} has label {label}; expected 0 to {}", count - 1);
                    return Err(wrong(number * size + at, problem));
                }
            }
            self.labels.extend(labels.last());
            let (red, others) = planes.split_at(PLANE);
            let (green, blue) = others.split_at(PLANE);
            self.pixels.extend(red.iter().zip(green).zip(blue).flat_map(|((r, g), b)| [*r, *g, *b]));
        }
        Ok(())
    }
}
