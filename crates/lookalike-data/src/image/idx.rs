//! MNIST and Fashion-MNIST in the idx format, plain or gzipped (`LeCun` et al. 1998,
//! <http://yann.lecun.com/exdb/mnist/>; Xiao et al. 2017).
//!
//! A file is a magic number (two zero bytes, 8 for unsigned bytes, the number of dimensions), one big-endian
//! 32-bit size a dimension, and the bytes, the last dimension fastest.

use crate::error::DataError;
use crate::image::dataset::Split;
use crate::image::memory::{InMemory, PixelFormat};
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// Limit of the values in one file, a byte each. MNIST's longest file has 47 million.
const MAX_BYTES: u64 = 1 << 30;

/// Limit of the width and height of an image, in pixels.
const MAX_SIDE: u32 = 1 << 12;

/// Deflate spends at least two bits on a match, which yields at most 258 bytes: 1032 bytes a byte.
const MAX_EXPANSION: u64 = 1032;

/// Which of the data sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idx {
    /// Handwritten digits.
    Mnist,
    /// Articles of clothing.
    FashionMnist,
}

impl Idx {
    /// The name in the registry.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mnist => "mnist",
            Self::FashionMnist => "fashion-mnist",
        }
    }

    /// Folders below the root in which the files are looked for after the root itself.
    fn folders(self) -> [&'static str; 2] {
        match self {
            Self::Mnist => ["MNIST/raw", "mnist"],
            Self::FashionMnist => ["FashionMNIST/raw", "fashion-mnist"],
        }
    }

    fn classes(self) -> [&'static str; 10] {
        match self {
            Self::Mnist => ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
            Self::FashionMnist => [
                "T-shirt/top",
                "Trouser",
                "Pullover",
                "Dress",
                "Coat",
                "Sandal",
                "Shirt",
                "Sneaker",
                "Bag",
                "Ankle boot",
            ],
        }
    }
}

/// Opens a split. `root` is the folder of the four files, or holds it under the name that torchvision gives
/// it (`MNIST/raw`, `FashionMNIST/raw`) or the data set's own (`mnist`, `fashion-mnist`).
///
/// # Errors
/// [`DataError::NotFound`] where a file is missing; [`DataError::Format`] where a file has another magic
/// number, a size that is impossible or does not fit its length, a label that does not exist, or is damaged,
/// and where there are not as many labels as images; [`DataError::Io`] where the system refuses.
pub fn open(which: Idx, root: &Path, split: Split) -> Result<InMemory, DataError> {
    let [images, labels] = locate(which, root, split)?;
    let (size, pixels) = read_images(&images)?;
    let count = pixels.len() / (size.0 as usize * size.1 as usize);
    let labels = read_labels(&labels, count)?;
    let name = format!("{}/{}", which.name(), split.name());
    let classes = which.classes().map(str::to_owned).to_vec();
    Ok(InMemory::new(name, size, PixelFormat::Gray, pixels, labels, classes))
}

/// The files of images and of labels.
pub(crate) fn locate(which: Idx, root: &Path, split: Split) -> Result<[PathBuf; 2], DataError> {
    let prefix = match split {
        Split::Train => "train",
        Split::Test => "t10k",
    };
    let names = ["images-idx3-ubyte", "labels-idx1-ubyte"].map(|kind| format!("{prefix}-{kind}"));
    let find = |folder: &Path, name: &str| {
        [name.to_owned(), format!("{name}.gz")]
            .into_iter()
            .map(|file| folder.join(file))
            .find(|path| path.is_file())
    };
    let [own, other] = which.folders().map(|folder| root.join(folder));
    for folder in [root, &own, &other] {
        let Some(images) = find(folder, &names[0]) else { continue };
        let Some(labels) = find(folder, &names[1]) else {
            let wanted = vec![names[1].clone(), format!("{}.gz", names[1])];
            return Err(DataError::NotFound { dataset: which.name(), root: folder.into(), wanted });
        };
        return Ok([images, labels]);
    }
    let below = which.folders().map(|folder| format!("{folder}/{}", names[0]));
    let wanted = [names[0].clone(), format!("{}.gz", names[0])].into_iter().chain(below).collect();
    Err(DataError::NotFound { dataset: which.name(), root: root.into(), wanted })
}

/// Width and height, and one byte a pixel.
fn read_images(path: &Path) -> Result<((u32, u32), Vec<u8>), DataError> {
    let mut file = IdxFile::open(path)?;
    let [count, height, width] = file.header()?;
    for (byte, value, what) in [(8, height, "rows"), (12, width, "columns")] {
        if !(1..=MAX_SIDE).contains(&value) {
            let problem = format!("the header declares images of {value} {what}; expected 1 to {MAX_SIDE}");
            return Err(file.wrong(byte, problem));
        }
    }
    if count == 0 {
        return Err(file.wrong(4, "the header declares no images".to_owned()));
    }
    // At most 2^32 · 2^12 · 2^12 = 2^56.
    let bytes = u64::from(count) * u64::from(height) * u64::from(width);
    Ok(((width, height), file.body(bytes)?))
}

fn read_labels(path: &Path, images: usize) -> Result<Vec<u8>, DataError> {
    let mut file = IdxFile::open(path)?;
    let [count] = file.header()?;
    if count as usize != images {
        return Err(
            file.wrong(4, format!("the header declares {count} labels, but there are {images} images"))
        );
    }
    let labels = file.body(u64::from(count))?;
    match labels.iter().position(|label| *label > 9) {
        Some(at) => {
            let problem = format!("instance {at} has label {}; expected 0 to 9", labels[at]);
            Err(file.wrong(8 + at as u64, problem))
        }
        None => Ok(labels),
    }
}

struct IdxFile {
    path: PathBuf,
    content: Box<dyn Read>,
    /// The most bytes that the file can hold once unpacked; for a plain file its length.
    max_len: u64,
    gzipped: bool,
    /// Bytes read so far.
    read: u64,
}

impl IdxFile {
    fn open(path: &Path) -> Result<Self, DataError> {
        let file = File::open(path).map_err(DataError::io("open", path))?;
        let len = file.metadata().map_err(DataError::io("read", path))?.len();
        let mut content = BufReader::new(file);
        // The content says so, not the name: browsers unpack a file and keep its name.
        let gzipped = content.fill_buf().map_err(DataError::io("read", path))?.starts_with(&[0x1f, 0x8b]);
        let content: Box<dyn Read> =
            if gzipped { Box::new(MultiGzDecoder::new(content)) } else { Box::new(content) };
        let max_len = if gzipped { len.saturating_mul(MAX_EXPANSION) } else { len };
        Ok(Self { path: path.into(), content, max_len, gzipped, read: 0 })
    }

    fn wrong(&self, byte: u64, problem: String) -> DataError {
        DataError::Format { path: self.path.clone(), byte, problem }
    }

    /// The sizes of all D dimensions.
    fn header<const D: usize>(&mut self) -> Result<[u32; D], DataError> {
        let magic = self.number()?;
        let expected = 0x800 + D as u32;
        if magic != expected {
            let problem = format!(
                "expected the magic number {expected:#010x} (unsigned bytes, {D}-dimensional), found {magic:#010x}"
            );
            return Err(self.wrong(0, problem));
        }
        let mut sizes = [0; D];
        for size in &mut sizes {
            *size = self.number()?;
        }
        Ok(sizes)
    }

    fn number(&mut self) -> Result<u32, DataError> {
        let bytes = self.read_up_to(4)?;
        match <[u8; 4]>::try_from(bytes.as_slice()) {
            Ok(bytes) => Ok(u32::from_be_bytes(bytes)),
            Err(_) => Err(self.wrong(self.read, "the file ends within its header".to_owned())),
        }
    }

    /// The `bytes` bytes after the header; the file must end with them.
    fn body(&mut self, bytes: u64) -> Result<Vec<u8>, DataError> {
        let (header, most) = (self.read, self.max_len.saturating_sub(self.read).min(MAX_BYTES));
        if bytes > most || (!self.gzipped && header + bytes != self.max_len) {
            let problem = if bytes > MAX_BYTES {
                format!("the header declares {bytes} bytes; the limit is {MAX_BYTES}")
            } else {
                let bound = if self.gzipped { "at most " } else { "" };
                let held = self.max_len.saturating_sub(header);
                format!("the header declares {bytes} bytes, but the file holds {bound}{held} after it")
            };
            return Err(self.wrong(4, problem));
        }
        let body = self.read_up_to(bytes)?;
        if (body.len() as u64) < bytes {
            let problem =
                format!("the file ends after {} of the {bytes} bytes its header declares", body.len());
            return Err(self.wrong(self.read, problem));
        }
        if !self.read_up_to(1)?.is_empty() {
            return Err(self.wrong(
                header + bytes,
                format!("the file goes on after the {bytes} bytes its header declares"),
            ));
        }
        Ok(body)
    }

    /// The next `bytes` bytes, or fewer where the file ends.
    fn read_up_to(&mut self, bytes: u64) -> Result<Vec<u8>, DataError> {
        let mut found = Vec::with_capacity(bytes as usize);
        let result = Read::take(&mut self.content, bytes).read_to_end(&mut found);
        self.read += found.len() as u64;
        match result {
            Ok(_) => Ok(found),
            Err(source) if self.gzipped => {
                Err(self.wrong(self.read, format!("the file cannot be unpacked further: {source}")))
            }
            Err(source) => Err(DataError::Io { action: "read", path: self.path.clone(), source }),
        }
    }
}
