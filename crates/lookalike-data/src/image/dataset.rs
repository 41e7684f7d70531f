//! The interface every image data set offers to the loader: images by index, labels where there are any.

use crate::error::DataError;
use std::borrow::Cow;

/// One 8-bit RGB image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image<'a> {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Red, green, blue of each pixel, row after row from the top: 3 · width · height bytes. Borrowed from
    /// data sets that keep their pixels in memory, owned where they were decoded for this call.
    pub pixels: Cow<'a, [u8]>,
}

/// Which of the two disjoint parts of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Split {
    /// The part to learn from.
    Train,
    /// The part to measure on.
    Test,
}

impl Split {
    /// `"train"` or `"test"`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Test => "test",
        }
    }
}

/// A fixed, ordered set of images. Many threads may read it at once.
pub trait ImageDataset: Send + Sync {
    /// Number of instances, N.
    fn len(&self) -> usize;

    /// Whether there is no instance at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The image of instance `index`; the same pixels at every call.
    ///
    /// # Errors
    /// [`DataError::Index`] where `index` is not below [`ImageDataset::len`]; where images are decoded on
    /// demand, the reason why this one cannot be decoded.
    fn image(&self, index: u32) -> Result<Image<'_>, DataError>;

    /// The class of instance `index`, an index into [`ImageDataset::classes`]; `None` where the set has no
    /// labels or no such instance.
    fn label(&self, index: u32) -> Option<u32>;

    /// Names of the classes; empty where the set has no labels.
    fn classes(&self) -> &[String];

    /// The instances, in the order of their numbers, that are in the set and cannot be read any more; asked for the image of one, the set
    /// gives that of another.
    fn left_out(&self) -> &[u32] {
        &[]
    }

    /// What instance `index` is called, as its file within the set; `None` where it has no name, or there is no such instance.
    fn instance_name(&self, _index: u32) -> Option<String> {
        None
    }

    /// Whether the same images are learned from and measured on, for want of others.
    fn serves_both(&self) -> bool {
        false
    }

    /// The name of the set in reports, for instance `cifar10/train`.
    fn name(&self) -> String;

    /// A text that differs between sets, wherever their files lie: a run is resumed only with the data it
    /// began with. By default the name and the numbers of instances and classes, which is enough for
    /// published sets.
    ///
    /// # Errors
    /// [`DataError::Io`] where a file cannot be examined.
    fn fingerprint(&self) -> Result<String, DataError> {
        Ok(format!("{}, {} instances, {} classes", self.name(), self.len(), self.classes().len()))
    }
}
